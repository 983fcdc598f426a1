"""Hashes that say whether a stored result is still the one that the present code would compute.

The code hash covers a module and everything of this package that it imports, directly or not, wherever the import
stands. It is taken from the syntax tree, so that comments, layout, docstrings, type annotations and the wording of
error messages do not count. Nothing is imported to compute it. Imports by a name computed at run time are not seen.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).resolve().parent
PACKAGE = PACKAGE_ROOT.name


def parameters_hash(experiment: str, parameters: Mapping[str, Any], seed: int) -> str:
    """Hex digest of what was asked for: experiment, parameters and seed. 1 and 1.0 are the same number."""
    canonical = json.dumps([experiment, _plain(parameters), seed], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """JSON-ready, with numbers that compare equal written alike and tuples as lists."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


@cache
def code_hash(experiment: str) -> str:
    """Hex digest of the experiment's module and its import closure inside the package."""
    return closure_hash(f"{PACKAGE}.experiments.{experiment}", PACKAGE_ROOT)


def closure_hash(module: str, root: Path) -> str:
    """Hash of ``module`` and what it imports from the package whose folder is ``root``.

    Names are followed through a package's ``__init__.py`` to the module that defines them, and the ``__init__.py``
    itself does not count then: a new export beside the old ones leaves results valid.
    """
    digest = hashlib.sha256()
    for name in sorted(import_closure(module, root)):
        digest.update(f"{name}\n{_significant_text(_source(name, root))}\n".encode())
    return digest.hexdigest()


def import_closure(module: str, root: Path) -> set[str]:
    """Dotted names of ``module`` and of the modules of its package that it imports, directly or not."""
    if _file_of(module, root) is None:
        raise ValueError(f"no module {module!r} under {root}")
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for base, imported in _imports(_source(name, root), _package_of(name, root)):
                waiting += _resolve(base, imported, root)
    return found


@cache
def _imports(source: str, package: str) -> tuple[tuple[str, str | None], ...]:
    """(module, name) for every imported name, (module, None) for a module imported as such."""
    return tuple(_imported(_parsed(source), package))


def _imported(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            yield from ((base, alias.name) for alias in node.names)


def _resolve(base: str, name: str | None, root: Path) -> list[str]:
    """The module that ``from base import name`` depends on; none where it is not ours or is the root package itself."""
    if name is not None and _file_of(f"{base}.{name}", root) is not None:
        return [f"{base}.{name}"]
    path = _file_of(base, root)
    if path is None:
        return []
    if name is not None and path.name == "__init__.py":
        package = _package_of(base, root)
        for node in _parsed(_source(base, root)).body:
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name and _base(node, package) != base:
                        return _resolve(_base(node, package), alias.name, root)
    return [] if base == root.name else [base]


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *([node.module] if node.module else [])])


def _package_of(module: str, root: Path) -> str:
    path = _file_of(module, root)
    return module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]


def _source(module: str, root: Path) -> str:
    path = _file_of(module, root)
    assert path is not None, module
    return path.read_text("utf-8")


# The experiments share most of their modules. What follows from a source is kept by its whole text, so that a file that
# has changed on disk since is read anew.


@cache
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


@cache
def _significant_text(source: str) -> str:
    return _significant(_parsed(source))


def _file_of(module: str, root: Path) -> Path | None:
    first, *rest = module.split(".")
    if first != root.name:
        return None
    base = root.joinpath(*rest)
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _significant(node: Any) -> str:
    """The syntax tree as text, without what cannot change a result, and alike for all Python versions."""
    if isinstance(node, list):
        return "[" + ",".join(_significant(n) for n in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Raise):
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return f"Raise({_significant(error)})"
    if isinstance(node, ast.AnnAssign):
        # The type does not count, but a field without a value does: its place is an argument's in a dataclass.
        return f"Assign(targets={_significant([node.target])},value={_significant(node.value)})"
    fields = []
    for name, value in ast.iter_fields(node):
        if name in _IGNORED or value is None or value == []:
            continue  # an absent field and an empty one are written differently from version to version
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        fields.append(f"{name}={_significant(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_IGNORED = {"annotation", "returns", "type_comment", "type_params", "ctx", "kind", "type_ignores"}
