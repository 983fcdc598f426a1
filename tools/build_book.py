"""Build the book: ``python -m tools.build_book`` from the root of a checkout.

Notebooks are executed (or their stored execution reused), written with their outputs to ``build/src``, and built
there by Jupyter Book, warnings being errors. Files that have not changed keep their time stamp, so that Sphinx
reads only the pages that have.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from PIL import Image

from tools import check_site
from tools.chapters import TIMEOUT, Executed, ExecutionError, execute_all, notebook_pages, toc_pages

ROOT = Path(__file__).resolve().parents[1]
# Written by the build: pictures of the gallery, times of execution. Sphinx writes the second.
GENERATED, API = "_generated", "generated"


def thumbnail(notebook: NotebookNode, page: str) -> bytes:
    """The picture that stands for a chapter in the gallery: the PNG output of the cell tagged ``thumbnail``.

    Of a cell with a ``box`` in its metadata (left, top, right and bottom as shares), what lies within it.

    Raises:
        ValueError: no cell has the tag, or it has no PNG output.
    """
    for cell in notebook.cells:
        if "thumbnail" in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                if png := output.get("data", {}).get("image/png"):
                    picture = base64.b64decode(png)
                    return within(picture, cell.metadata["box"]) if "box" in cell.metadata else picture
    raise ValueError(
        f"{page} has no picture for the gallery: tag one cell `thumbnail` whose output holds an image/png"
    )


def within(picture: bytes, box: Sequence[float]) -> bytes:
    """The part of a PNG that lies in a box of shares of its width and height."""
    image = Image.open(io.BytesIO(picture))
    left, top, right, bottom = box
    part = image.crop(
        (round(left * image.width), round(top * image.height), round(right * image.width), round(bottom * image.height))
    )
    cut = io.BytesIO()
    part.save(cut, "PNG")
    return cut.getvalue()


def execution_times(executed: list[Executed]) -> str:
    """The table of execution times, in Markdown."""
    rows = [
        f"| {{doc}}`/{item.page}` | {item.seconds:,.0f}\u00a0s | {item.when} |"
        for item in sorted(executed, key=lambda item: item.page)
    ]
    total = sum(item.seconds for item in executed)
    rows.append(f"| together | {total:,.0f}\u00a0s | |")
    return "\n".join(["| notebook | took | executed |", "|---|--:|---|", *rows]) + "\n"


def synchronise(folder: Path, files: Mapping[str, bytes], keep: str) -> None:
    """Make ``folder`` hold exactly ``files`` (and what lies under ``keep``), touching only what differs."""
    for name, content in files.items():
        target = folder / name
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and not name.startswith(f"{keep}/"):
            path.unlink()


def source_files(book: Path, executed: list[Executed]) -> dict[str, bytes]:
    """What Jupyter Book is given: the pages of the table of contents, executed, and what they show."""
    files = {}
    for page in toc_pages(book / "_toc.yml"):
        if (book / f"{page}.md").exists():
            files[f"{page}.md"] = (book / f"{page}.md").read_bytes()
    for path in [book / "_toc.yml", *book.glob("*.bib"), *book.glob("_static/**/*"), *book.glob("_templates/**/*")]:
        if path.is_file():
            files[path.relative_to(book).as_posix()] = path.read_bytes()
    for item in executed:
        files[f"{item.page}.ipynb"] = nbformat.writes(item.notebook).encode()
        if item.page.startswith("chapters/"):
            files[f"{GENERATED}/{Path(item.page).name}.png"] = thumbnail(item.notebook, item.page)
    files[f"{GENERATED}/execution-times.md"] = execution_times(executed).encode()
    return files


def jupyter_book(root: Path) -> None:
    """Run Jupyter Book over ``build/src``.

    After a failure its stored state goes: a page that warned once is not read again, and the next build would
    pass without the warning.

    Raises:
        subprocess.CalledProcessError: a warning or an error; what it was is printed.
    """
    # Sphinx writes the pages of the API anew; those left from before it would take for pages outside the contents.
    shutil.rmtree(root / "build/src" / API, ignore_errors=True)
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", "build/src", "--config", "_config.yml"]
    command += ["--path-output", ".", "-W", "--keep-going", "-q"]
    try:
        subprocess.run(command, cwd=root, check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(root / "_build", ignore_errors=True)
        raise


def remove_leftovers(html: Path, pages: list[str]) -> None:
    """Delete built pages whose source is gone."""
    known = {*pages, "index", "search", "genindex", "py-modindex"}
    for path in html.rglob("*.html"):
        name = path.relative_to(html).with_suffix("").as_posix()
        if name not in known and not re.match(rf"{API}/|_static/|_modules/", name):
            path.unlink()


def build(root: Path, jobs: int, timeout: float) -> Path:
    """Build the book of a checkout; path of its first page."""
    book = root / "book"
    print("Executing the notebooks", flush=True)
    executed = execute_all(notebook_pages(book), root, root / ".cache/book", jobs=jobs, timeout=timeout)
    synchronise(root / "build/src", source_files(book, executed), keep=API)
    print("Building the site", flush=True)
    jupyter_book(root)
    html = root / "_build/html"
    remove_leftovers(html, toc_pages(book / "_toc.yml"))
    if problems := check_site.problems(html):
        raise ValueError("the built site is not self-contained:\n" + "\n".join(problems))
    return html / "index.html"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.build_book", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="notebooks executed at a time (default 2)")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT, help=f"seconds a notebook may take (default {TIMEOUT:.0f})"
    )
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        index = build(ROOT, arguments.jobs, arguments.timeout)
    except (ExecutionError, ValueError, FileNotFoundError, yaml.YAMLError) as error:
        print(f"The book was not built: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print("The book was not built: see the warnings above.", file=sys.stderr)
        return 1
    print(f"Built in {time.monotonic() - start:.0f} s:\n{index}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
