"""Reading a catalogue from YAML; every mistake is one clear line that names the place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from ..fingerprint import PACKAGE_ROOT
from .model import PROFILES, Catalogue, Claim, Figure, Level, Measurement, Run, Scale

BASES = ("P", "C", "P+C", "ours")
LEVELS: tuple[Level, ...] = ("reproduced", "partly")
# What stands behind a key, in the words of an error.
TEXT = "text"
NAMES = "a list of names"
TABLE = "keys and values"
WHOLE = "a whole number or null"
SWITCH = "true or false"
ANY = "anything"
IS: dict[str, Callable[[Any], bool]] = {
    TEXT: lambda value: isinstance(value, str) and bool(value.strip()),
    NAMES: lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    TABLE: lambda value: isinstance(value, Mapping),
    WHOLE: lambda value: value is None or type(value) is int,
    SWITCH: lambda value: type(value) is bool,
    ANY: lambda value: True,
}
PAPER = {"key": TEXT, "title": TEXT, "authors": NAMES, "year": WHOLE}
RUN = {"experiment": TEXT, "network": TEXT, "paper_steps": WHOLE, "parameters": TABLE, **dict.fromkeys(PROFILES, TABLE)}
FIGURE = {"title": TEXT, "what": TEXT, "reported": TEXT, "runs": NAMES, "presentation": TABLE, "checks": TABLE}
CHECK = {
    **{"basis": TEXT, "statement": TEXT, "measurements": TABLE, "reproduced": TEXT, "partly": TEXT},
    **{"paper_value": ANY, "remark": TEXT, "common_steps": SWITCH},
}
CLAIM = {**CHECK, "figures": NAMES, "short": TEXT}
MEASUREMENT = {"measure": TEXT, "run": TEXT, "optional": SWITCH}
FILE = dict.fromkeys(("paper", "experiments", "scales", "runs", "figures", "claims"), TABLE)
Tree = Mapping[str, Any]
# The same language read by libyaml, in a tenth of the time, where PyYAML was built with it.
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SAFE):
    """YAML 1.1 as a person means it: a name stands once and is text, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            problem = ""
            if key.value in seen:  # PyYAML takes the last and drops the others without a word
                problem = f"{key.value!r} stands twice"
            elif key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                problem = f"{key.value!r} is read as {self.construct_object(key)!r} and not as a name: put it in quotes"
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+$"), [*"-+0123456789"])


def read_yaml(text: str) -> Any:
    """What stands in a catalogue, or behind ``--set``.

    Raises:
        ValueError: text that is no YAML; one line with the problem and its place.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        begun = error.context_mark
        if mark and begun and begun.line != mark.line:
            place += f", in what begins in line {begun.line + 1}"
        # A constructor says what to do; the parser's words name neither of the two common causes.
        remedy = ": text with a colon, or that begins with a mark, stands in quotes; indents are spaces"
        if isinstance(error, yaml.constructor.ConstructorError):
            remedy = ""
        raise ValueError(f"not valid YAML: {error.problem}{place}{remedy}") from error
    except (yaml.YAMLError, ValueError) as error:  # a character or a date that does not exist
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from error


@cache
def load_catalogue() -> Catalogue:
    """The catalogue of all papers, from the YAML files of this package."""
    folder = resources.files(__package__)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)
    return join({f.name: parse_catalogue(f.read_text("utf-8"), f.name) for f in files})


def join(parts: Mapping[str, Catalogue]) -> Catalogue:
    """The catalogues of several files as one.

    Raises:
        ValueError: a name that stands in two files, or a run whose experiment has no module.
    """
    joined: dict[str, dict[str, Any]] = {"papers": {}, "figures": {}, "runs": {}, "claims": {}}
    holder: dict[str, str] = {}
    for source, part in parts.items():
        for kind, table in joined.items():
            for name, entry in getattr(part, kind).items():
                if holder.setdefault(name, source) != source:
                    raise ValueError(f"{source}: {name!r} stands in {holder[name]} too")
                table[name] = entry
        for run in part.runs.values():
            module = f"experiments/{run.experiment}.py"
            if not (PACKAGE_ROOT / module).is_file():
                raise ValueError(f"{source}: run {run.name}: experiment {run.experiment!r} has no module {module}")
    return Catalogue(**joined)


def parse_catalogue(text: str, source: str = "catalogue") -> Catalogue:
    """The catalogue of one paper.

    Raises:
        ValueError: a key, run, profile or parameter that is unknown, missing or of the wrong kind.
    """
    try:
        tree = read_yaml(text)
    except ValueError as error:
        raise ValueError(f"{source} is {error}") from error
    _keys(tree, FILE, source, required=FILE)
    paper = tree["paper"]
    _keys(paper, PAPER, f"{source}: paper", required={"key", "title", "year"})
    _keys(tree["scales"], dict.fromkeys(PROFILES, TABLE), f"{source}: scales", required=PROFILES)
    _keys(tree["experiments"], dict.fromkeys(tree["experiments"], TABLE), f"{source}: experiments")
    if not tree["experiments"]:
        raise ValueError(f"{source}: experiments must name at least one")
    key = paper["key"]
    runs = {name: _run(name, body, tree, f"{source}: run {name}") for name, body in tree["runs"].items()}
    figures = {name: _figure(name, body, key, runs, f"{source}: {name}") for name, body in tree["figures"].items()}
    claims = {name: _claim(name, body, key, runs, f"{source}: {name}") for name, body in tree["claims"].items()}
    for claim in claims.values():
        if missing := [f for f in claim.figures if f not in figures]:
            raise ValueError(f"{source}: {claim.id}: evidence names unknown figure {missing[0]!r}")
    checks = [check.id for figure in figures.values() for check in figure.checks]
    name, times = Counter([*runs, *figures, *checks, *claims]).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{source}: {name!r} names two things")
    return Catalogue({key: paper}, figures, runs, claims)


def _run(name: str, body: Tree, tree: Tree, where: str) -> Run:
    _keys(body, RUN, where, required={"network", *PROFILES})
    experiment = body.get("experiment", next(iter(tree["experiments"])))
    if experiment not in tree["experiments"]:
        raise ValueError(f"{where}: unknown experiment {experiment!r}")
    scales: dict[str, Scale] = {}
    unavailable: dict[str, str] = {}
    for profile in PROFILES:
        block = body[profile]
        if "unavailable" in block:
            _keys(block, {"unavailable": TEXT}, f"{where} at {profile}")
            unavailable[profile] = block["unavailable"]
            continue
        shared = {k: v for k, v in tree["scales"][profile].items() if k not in tree["experiments"]}
        of_its_kind = tree["scales"][profile].get(experiment, {})
        layers = [tree["experiments"][experiment], shared, of_its_kind, body.get("parameters", {}), block]
        scales[profile] = _scale(layers, f"{where} at {profile}")
    return Run(name, experiment, body["network"], scales, unavailable, body.get("paper_steps"))


def _scale(layers: Iterable[Tree], where: str) -> Scale:
    """Later layers win; ``model_options`` are merged key by key."""
    defaults, *changes = layers
    parameters = dict(defaults)
    seeds: Any = None
    note: Any = None
    kinds = {name: TABLE if name == "model_options" else ANY for name in [*defaults, "seeds", "note"]}
    _keys(defaults, kinds, where)
    for layer in changes:
        _keys(layer, kinds, where)
        changed = {k: v for k, v in layer.items() if k in defaults}
        if "model_options" in changed:
            changed["model_options"] = {**parameters["model_options"], **changed["model_options"]}
        parameters.update(changed)
        seeds, note = layer.get("seeds", seeds), layer.get("note", note)
    if not (isinstance(seeds, list) and seeds and all(type(s) is int and s >= 0 for s in seeds)):
        raise ValueError(f"{where}: seeds must be a list of whole numbers of at least 0, got {seeds!r}")
    if not isinstance(note, str) or not note:
        raise ValueError(f"{where}: a note must say how the run is reduced, got {note!r}")
    return Scale(parameters, tuple(seeds), note)


def _figure(name: str, body: Tree, paper: str, runs: Mapping[str, Run], where: str) -> Figure:
    _named_after("figure", name, "its paper", paper, where)
    _keys(body, FIGURE, where, required={"title", "what", "reported", "runs"})
    if missing := [r for r in body["runs"] if r not in runs]:
        raise ValueError(f"{where}: unknown run {missing[0]!r}")
    checks = []
    for check_id, check in body.get("checks", {}).items():
        _named_after("check", check_id, "its figure", name, where)
        checks.append(_claim(check_id, check, paper, runs, f"{where}: {check_id}", figure=name))
        if missing := [r for r in checks[-1].runs if r not in body["runs"]]:
            raise ValueError(f"{where}: {check_id}: run {missing[0]!r} is not among the runs of its figure")
    return Figure(
        name,
        paper,
        body["title"],
        body["what"].strip(),
        body["reported"].strip(),
        tuple(body["runs"]),
        tuple(checks),
        body.get("presentation", {}),
    )


def _claim(
    claim_id: str, body: Tree, paper: str, runs: Mapping[str, Run], where: str, figure: str | None = None
) -> Claim:
    """A check of ``figure``, or a claim of the paper."""
    required = ("basis", "statement", "measurements", "reproduced")
    if figure is None:
        _named_after("claim", claim_id, "its paper", paper, where)
        _keys(body, CLAIM, where, required=(*required, "figures", "short", "partly"))
    else:
        _keys(body, CHECK, where, required)
    if body["basis"] not in BASES:
        raise ValueError(f"{where}: basis must be one of {', '.join(BASES)}, got {body['basis']!r}")
    measurements = tuple(_measurement(n, m, runs, f"{where}: {n}") for n, m in body["measurements"].items())
    predicates: dict[Level, str] = {level: body[level].strip() for level in LEVELS if level in body}
    return Claim(
        claim_id,
        paper,
        "claim" if figure is None else "check",
        body["basis"],
        tuple(body["figures"]) if figure is None else (figure,),
        body["statement"].strip(),
        measurements,
        predicates,
        body.get("paper_value"),
        body.get("remark"),
        body.get("common_steps", False),
        body.get("short"),
    )


def _measurement(name: str, body: Tree, runs: Mapping[str, Run], where: str) -> Measurement:
    if not name.isidentifier():
        raise ValueError(f"{where}: a measurement's name must be a word of letters, digits and _, got {name!r}")
    arguments = {k: v for k, v in body.items() if k not in MEASUREMENT} if isinstance(body, Mapping) else {}
    _keys(body, MEASUREMENT | dict.fromkeys(arguments, ANY), where, required=("measure", "run"))
    if body["run"] not in runs:
        raise ValueError(f"{where}: unknown run {body['run']!r}")
    return Measurement(name, body["measure"], body["run"], arguments, body.get("optional", False))


def _named_after(what: str, name: str, parent: str, prefix: str, where: str) -> None:
    if not name.startswith(prefix + "-"):
        raise ValueError(f"{where}: {what} {name!r} must be named after {parent}, {prefix}-...")


def _keys(tree: Any, kinds: Mapping[str, str], where: str, required: Iterable[str] = ()) -> None:
    if not isinstance(tree, Mapping):
        raise ValueError(f"{where}: expected keys and values, got {tree!r}")
    if unknown := sorted(str(k) for k in set(tree) - set(kinds)):
        # "{note: 1,000 images}" reads as two keys.
        cut = "; text that holds a comma or a colon stands in quotes" if " " in unknown[0] else ""
        raise ValueError(f"{where}: unknown key {unknown[0]!r}, expected one of {', '.join(sorted(kinds))}{cut}")
    if missing := sorted(set(required) - set(tree)):
        raise ValueError(f"{where}: {missing[0]!r} is missing")
    for key, value in tree.items():
        if not IS[kinds[key]](value):
            raise ValueError(f"{where}: {key} must be {kinds[key]}, got {value!r}")
