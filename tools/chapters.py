"""Executing the book's notebooks, and remembering what they gave.

A stored execution is addressed by what it came from: the code cells of the notebook, and everything they
can reach here (the package, the stored results, the pinned versions, the Python version). Prose is not part
of it, so mending a sentence costs nothing, and a changed module executes every notebook again.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
import yaml
from nbformat import NotebookNode

# A chapter takes two or three minutes at smoke on two idle cores; ten times that is a notebook that hangs.
TIMEOUT = 1800.0
# Where runs computed in a checkout are stored, relative to it.
COMPUTED = ".cache/results"


class ExecutionError(RuntimeError):
    """A notebook failed, or did not end in time."""


@dataclass(frozen=True)
class Executed:
    """A notebook with its outputs.

    Attributes:
        page: its name in the table of contents, e.g. ``chapters/gradient-oscillation``.
        notebook: current prose and code, with outputs.
        seconds: how long the execution took, start-up of the kernel included.
        when: the day it was executed, ISO 8601.
        reused: whether the outputs are those of an earlier execution.
    """

    page: str
    notebook: NotebookNode
    seconds: float
    when: str
    reused: bool


def toc_pages(toc: Path) -> list[str]:
    """Pages in the order of a Jupyter Book table of contents, without suffixes."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield node[key]
            for key in ("parts", "chapters", "sections"):
                yield from walk(node.get(key, []))
        elif isinstance(node, list):
            for child in node:
                yield from walk(child)

    return list(walk(yaml.safe_load(toc.read_text(encoding="utf-8"))))


def notebook_pages(book: Path) -> list[str]:
    """The pages of the table of contents that are notebooks.

    Raises:
        FileNotFoundError: the table of contents names a page that is not there.
    """
    pages = []
    for page in toc_pages(book / "_toc.yml"):
        if (book / f"{page}.ipynb").exists():
            pages.append(page)
        elif not (book / f"{page}.md").exists():
            raise FileNotFoundError(f"{book / '_toc.yml'} names {page}, and there is no .md or .ipynb of that name")
    return pages


def reachable_files(root: Path, *folders: str) -> list[Path]:
    """Files whose content an execution may depend on: the package, published results, pinned versions.

    Args:
        root: of the checkout.
        folders: further ones that hold results, relative to it.
    """
    package = (path for path in (root / "landscape_helpers").rglob("*") if "__pycache__" not in path.parts)
    # Finished results only: a run under way keeps its checkpoints beside them.
    results = (path for folder in ("book/results", *folders) for path in (root / folder).glob("*.nc"))
    benchmarks = (root / "book/results/benchmarks").glob("*.json")
    files = [root / "requirements.txt", *package, *results, *benchmarks]
    return sorted(path for path in files if path.is_file())


def digest_of(files: Iterable[Path], root: Path) -> str:
    """One sha256 over names and contents."""
    digest = hashlib.sha256()
    for path in files:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def fingerprint(notebook: NotebookNode, surroundings: str) -> str:
    """Address of an execution: the code cells in order, and a digest of what they can reach."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(json.dumps([code, surroundings, python]).encode()).hexdigest()[:16]


def with_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """``notebook`` with the outputs of an execution of the same code cells.

    Widget state goes: it doubles the file, and makes the built page load widget code that has no kernel.
    """
    result = copy.deepcopy(notebook)
    ours = [cell for cell in result.cells if cell.cell_type == "code"]
    theirs = [cell for cell in executed.cells if cell.cell_type == "code"]
    if [cell.source for cell in ours] != [cell.source for cell in theirs]:
        raise ValueError("the execution is of other code than the notebook holds")
    for cell, source in zip(ours, theirs, strict=True):
        cell.outputs = source.outputs
        cell.execution_count = source.execution_count
    result.metadata.pop("widgets", None)
    result.metadata.pop("papermill", None)
    return result


def execute_all(
    pages: list[str], root: Path, cache: Path, *, jobs: int = 2, timeout: float = TIMEOUT
) -> list[Executed]:
    """Execute notebooks of ``root/book``, ``jobs`` at a time, reusing what the cache holds.

    Chapters go first, for they store what they compute; the other pages (the ledger) read it. All chapters are
    tried before the first failure is reported, so that one build names every broken one.

    Raises:
        ExecutionError: at least one failed; the message says which, and ends with its traceback.
    """
    chapters = [page for page in pages if page.startswith("chapters/")]
    readers = [page for page in pages if page not in chapters]
    done = _execute_together(chapters, root, cache, reachable_files(root), jobs, timeout)
    return done + _execute_together(readers, root, cache, reachable_files(root, COMPUTED), jobs, timeout)


def _execute_together(
    pages: list[str], root: Path, cache: Path, reachable: list[Path], jobs: int, timeout: float
) -> list[Executed]:
    if not pages:
        return []
    surroundings = digest_of(reachable, root)
    threads = max(1, (os.cpu_count() or 1) // min(jobs, len(pages)))

    def one(page: str) -> Executed | ExecutionError:
        try:
            return _execute(page, root, cache, surroundings, threads, timeout)
        except ExecutionError as error:
            return error

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        results = list(pool.map(one, pages))
    failures = [result for result in results if isinstance(result, ExecutionError)]
    if failures:
        raise ExecutionError("\n\n".join(str(failure) for failure in failures))
    return [result for result in results if isinstance(result, Executed)]


def _execute(page: str, root: Path, cache: Path, surroundings: str, threads: int, timeout: float) -> Executed:
    source = root / "book" / f"{page}.ipynb"
    notebook = nbformat.read(source, as_version=4)
    folder = cache / page
    stored = folder / f"{fingerprint(notebook, surroundings)}.ipynb"
    if reused := stored.exists():
        executed = nbformat.read(stored, as_version=4)
        print(f"  {page}: unchanged, executed {executed.metadata.execution.when}", flush=True)
    else:
        print(f"  {page}: executing", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / "unfinished.ipynb"
        seconds = _papermill(source, fresh, root, threads, timeout)
        executed = nbformat.read(fresh, as_version=4)
        executed.metadata.execution = {"seconds": round(seconds, 1), "when": time.strftime("%Y-%m-%d")}
        executed.metadata.pop("widgets", None)
        nbformat.write(executed, fresh)
        for older in folder.glob("*.ipynb"):
            if older != fresh:
                older.unlink()
        os.replace(fresh, stored)
        print(f"  {page}: {seconds:.0f} s", flush=True)
    record = executed.metadata.execution
    return Executed(page, with_outputs(notebook, executed), record.seconds, record.when, reused)


def _papermill(source: Path, target: Path, root: Path, threads: int, timeout: float) -> float:
    """Execute a notebook in a process of its own; seconds it took.

    The exit status decides: on a timeout papermill writes a notebook that says completed.
    """
    command = [sys.executable, "-m", "papermill", "--kernel", "python3", "--cwd", str(root)]
    command += ["--execution-timeout", str(int(timeout)), "--no-progress-bar", str(source), str(target)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    start = time.monotonic()
    log = target.with_suffix(".log")
    with log.open("w", encoding="utf-8") as stream:
        # A file and not a pipe: what the notebook started may outlive it, and would keep a pipe open.
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        try:
            process.wait(timeout)
        except BaseException as error:
            stop(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise ExecutionError(
                    f"{source.name} was still running after {timeout:.0f} s and was stopped; its cells so far: {target}"
                ) from None
            raise
    if process.returncode != 0:
        lines = log.read_text(encoding="utf-8").strip().splitlines()
        tail = "\n".join(line if len(line) < 400 else f"{line[:400]} ..." for line in lines[-40:])
        status = process.returncode
        how = f"exit status {status}" if status > 0 else f"ended by signal {-status}"
        raise ExecutionError(f"{source.name} failed ({how}); its outputs up to there: {target}\n{tail}")
    log.unlink()
    return time.monotonic() - start


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything it has started: the kernel has a session of its own, and processes too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [parent := psutil.Process(process.pid), *parent.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()
