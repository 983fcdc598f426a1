"""The making of the book: what is executed again and what is not, how formulas are set, what a site may not do."""

from __future__ import annotations

import base64
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from math_core import LatexError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from sphinx.application import Sphinx

from tools import build_book, chapters, check_site, math_font, mathml

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def notebook(*code: str, prose: str = "prose"):
    cells = [new_markdown_cell(prose), *(new_code_cell(source) for source in code)]
    return new_notebook(cells=cells, metadata=KERNEL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small book about a one-line package."""
    files = {
        "requirements.txt": "numpy==2\n",
        "landscape_helpers/__init__.py": "",
        "landscape_helpers/module.py": "VALUE = 1\n",
        "book/_toc.yml": "root: intro\nparts:\n- chapters:\n  - file: chapters/one\n- chapters:\n  - file: ledger\n",
        "book/intro.md": "# Intro\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "book/chapters").mkdir()
    nbformat.write(notebook("2 + 3"), tmp_path / "book/chapters/one.ipynb")
    nbformat.write(notebook("1 + 1"), tmp_path / "book/ledger.ipynb")
    return tmp_path


def test_pages_come_in_the_order_of_the_contents(checkout: Path) -> None:
    assert chapters.toc_pages(checkout / "book/_toc.yml") == ["intro", "chapters/one", "ledger"]
    assert chapters.notebook_pages(checkout / "book") == ["chapters/one", "ledger"]


def test_a_page_that_is_not_there_is_named(checkout: Path) -> None:
    (checkout / "book/intro.md").unlink()
    with pytest.raises(FileNotFoundError, match="intro"):
        chapters.notebook_pages(checkout / "book")


def test_prose_does_not_change_the_address_of_an_execution_and_code_does() -> None:
    same = chapters.fingerprint(notebook("a = 1", prose="one"), "s")
    assert chapters.fingerprint(notebook("a = 1", prose="another"), "s") == same
    assert chapters.fingerprint(notebook("a = 2", prose="one"), "s") != same
    assert chapters.fingerprint(notebook("a = 1", prose="one"), "other surroundings") != same


@pytest.mark.parametrize(
    "name", ["landscape_helpers/module.py", "landscape_helpers/new.yaml", "book/results/run.nc", "requirements.txt"]
)
def test_whatever_code_can_reach_changes_the_surroundings(checkout: Path, name: str) -> None:
    before = chapters.digest_of(chapters.reachable_files(checkout), checkout)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed")
    assert chapters.digest_of(chapters.reachable_files(checkout), checkout) != before


def test_compiled_files_do_not_change_the_surroundings(checkout: Path) -> None:
    before = chapters.reachable_files(checkout)
    cache = checkout / "landscape_helpers/__pycache__"
    cache.mkdir()
    (cache / "module.pyc").write_bytes(b"0")
    assert chapters.reachable_files(checkout) == before


def test_outputs_are_given_to_the_same_code_only() -> None:
    executed = notebook("a = 1", prose="old")
    executed.cells[1].outputs = [new_output("stream", text="out")]
    executed.metadata["widgets"] = {"state": {}}
    result = chapters.with_outputs(notebook("a = 1", prose="new"), executed)
    assert result.cells[0].source == "new" and result.cells[1].outputs[0].text == "out"
    assert "widgets" not in chapters.with_outputs(executed, executed).metadata
    with pytest.raises(ValueError, match="other code"):
        chapters.with_outputs(notebook("a = 2"), executed)


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the notebooks executed, without a kernel: papermill's part only copies."""
    names: list[str] = []

    def copy(source: Path, target: Path, *_: object) -> float:
        names.append(source.stem)
        shutil.copy(source, target)
        return 1.0

    monkeypatch.setattr(chapters, "_papermill", copy)
    return names


def test_a_notebook_is_executed_once_and_again_when_a_module_changes(checkout: Path, executions: list[str]) -> None:
    cache = checkout / ".cache/book"
    [first] = chapters.execute_all(["chapters/one"], checkout, cache)
    [second] = chapters.execute_all(["chapters/one"], checkout, cache)
    assert (first.reused, second.reused) == (False, True) and executions == ["one"]
    (checkout / "landscape_helpers/module.py").write_text("VALUE = 2\n")
    [third] = chapters.execute_all(["chapters/one"], checkout, cache)
    assert not third.reused and executions == ["one", "one"]
    assert len(list((cache / "chapters/one").glob("*.ipynb"))) == 1, "older executions are dropped"


def test_the_ledger_follows_the_chapters_and_what_they_stored(checkout: Path, executions: list[str]) -> None:
    pages, cache = ["ledger", "chapters/one"], checkout / ".cache/book"
    for _ in range(2):
        chapters.execute_all(pages, checkout, cache)
    assert executions == ["one", "ledger"]
    (checkout / chapters.COMPUTED).mkdir()
    (checkout / chapters.COMPUTED / "cnn-smoke-s0-0123456789ab.nc").write_bytes(b"0")
    chapters.execute_all(pages, checkout, cache)
    assert executions == ["one", "ledger", "ledger"]


def test_an_execution_gives_outputs_and_a_failing_one_fails_the_build(checkout: Path) -> None:
    cache = checkout / ".cache/book"
    [done] = chapters.execute_all(["chapters/one"], checkout, cache)
    assert done.notebook.cells[1].outputs[0].data["text/plain"] == "5" and done.seconds > 0
    nbformat.write(notebook("1 / 0"), checkout / "book/chapters/one.ipynb")
    with pytest.raises(chapters.ExecutionError, match=r"one\.ipynb failed \(exit status 1\)(.|\n)*ZeroDivisionError"):
        chapters.execute_all(["chapters/one"], checkout, cache)
    kept = [nbformat.read(path, as_version=4) for path in cache.rglob("*.ipynb") if path.stem != "unfinished"]
    assert all("1 / 0" not in cell.source for executed in kept for cell in executed.cells), "a failure is never reused"


def test_a_notebook_that_hangs_is_stopped(checkout: Path) -> None:
    nbformat.write(notebook("import time; time.sleep(600)"), checkout / "book/chapters/one.ipynb")
    with pytest.raises(chapters.ExecutionError, match="still running after 5 s"):
        chapters.execute_all(["chapters/one"], checkout, checkout / ".cache/book", timeout=5)


def test_what_a_notebook_has_started_is_stopped_with_it() -> None:
    """Also where it has a session of its own, as a kernel has."""
    wait = "import time; time.sleep(600)"
    code = "import subprocess, sys, time\n"
    code += f"child = subprocess.Popen([sys.executable, '-c', {wait!r}], start_new_session=True)\n"
    code += "print(child.pid, flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    chapters.stop(process)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    for _ in range(100):  # a killed process takes a moment to go, and one without a parent may stay as a zombie
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail("what the process had started is still running")


# Formulas


def test_formulas_become_mathml() -> None:
    assert mathml.to_mathml(r"\eta\lambda > 1", display=False) == (
        "<math><mi>η</mi><mi>λ</mi><mo>&gt;</mo><mn>1</mn></math>"
    )
    fraction = mathml.to_mathml(r"\frac{a}{b} \tag{2} \label{x}", display=True)
    assert "<mfrac>" in fraction and "2" not in fraction


@pytest.mark.parametrize(
    ("latex", "body"),
    [
        (r"a \tag{2}", "a"),
        (r"a \label{eq} \tag*{A}", "a"),
        (r"a \\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        (r"\begin{align}a&=b\\c&=d\end{align}", r"\begin{aligned}a&=b\\c&=d\end{aligned}"),
        (r"\begin{equation*} a \end{equation*}", "a"),
        (r"\begin{gather}a\\b\end{gather}", r"\begin{gathered}a\\b\end{gathered}"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ],
)
def test_a_display_formula_is_freed_of_what_sphinx_does(latex: str, body: str) -> None:
    assert mathml.display_body(latex) == body


def test_a_command_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LatexError, match="nosuchcommand"):
        mathml.to_mathml(r"\nosuchcommand", display=True)


def sphinx_build(folder: Path, text: str, warnings: list[str]) -> str:
    """The body of a page of one small project, and Sphinx's warnings."""
    (folder / "src").mkdir()
    (folder / "src/index.md").write_text(text, encoding="utf-8")
    with (folder / "warnings").open("w+") as stream:
        settings = {
            "extensions": ["myst_parser", "tools.mathml"],
            "html_math_renderer": "mathml",
            "myst_enable_extensions": ["dollarmath", "amsmath"],
            "myst_update_mathjax": False,
            "html_theme": "basic",
        }
        app = Sphinx(
            str(folder / "src"), None, str(folder / "site/html"), str(folder / "trees"), "html",
            confoverrides=settings, status=None, warning=stream,
        )  # fmt: skip
        app.build()
        stream.seek(0)
        warnings += stream.read().splitlines()
    return (folder / "site/html/index.html").read_text(encoding="utf-8")


def test_equations_are_numbered_as_in_their_paper_and_referred_to_so(tmp_path: Path) -> None:
    text = (
        "# Page\n\n$$ a = 1 \\tag{2} $$ (first)\n\n$$ b = 2 $$ (own)\n\n$$ c = 3 \\tag{1} $$ (second)\n\n"
        "\\begin{align}d &= 4 \\\\ e &= 5\\end{align}\n\n{eq}`first` {eq}`own` {eq}`second`, $x$\n"
    )
    warnings: list[str] = []
    page = sphinx_build(tmp_path, text, warnings)
    assert warnings == []
    # 1 and 2 are the paper's; our own two go on from 3.
    assert '<span class="eqno">(4)' in page
    for label, number in (("first", 2), ("own", 3), ("second", 1)):
        equation = page.split(f'id="equation-{label}"')[1]
        assert equation.split('class="eqno">')[1].startswith(f"({number})")
        assert f'href="#equation-{label}">({number})' in page
    assert "math-font.css" in page and (tmp_path / "site/html/_static/math-font.css").exists()
    assert "mathjax" not in page.lower()


def test_a_bad_formula_is_a_warning_that_names_its_place(tmp_path: Path) -> None:
    warnings: list[str] = []
    page = sphinx_build(tmp_path, "# Page\n\n$\\nosuchcommand$\n", warnings)
    assert any("index.md:3" in line and "nosuchcommand" in line for line in warnings)
    assert "math-font.css" in page


def test_the_font_lies_inside_its_style_sheet() -> None:
    sheet = math_font.style_sheet()
    assert "Open Font License" in sheet and "url(\"data:font/woff;base64," in sheet
    assert 100_000 < len(sheet) < 500_000
    assert sheet == math_font.style_sheet(), "the same every time, so that pages need not be written again"


# The site


def test_the_picture_of_a_chapter_is_the_output_of_the_tagged_cell() -> None:
    chapter = notebook("picture", "other")
    chapter.cells[1].metadata["tags"] = ["thumbnail"]
    chapter.cells[1].outputs = [new_output("display_data", {"image/png": base64.b64encode(b"png").decode()})]
    assert build_book.thumbnail(chapter, "one") == b"png"
    chapter.cells[1].metadata["tags"] = []
    with pytest.raises(ValueError, match="one has no picture"):
        build_book.thumbnail(chapter, "one")


def test_the_picture_of_a_chapter_can_be_one_panel_of_a_figure() -> None:
    whole = io.BytesIO()
    Image.new("RGB", (40, 20)).save(whole, "PNG")
    chapter = notebook("picture")
    chapter.cells[1].metadata.update(tags=["thumbnail"], box=[0.5, 0.0, 1.0, 0.5])
    chapter.cells[1].outputs = [new_output("display_data", {"image/png": base64.b64encode(whole.getvalue()).decode()})]
    assert Image.open(io.BytesIO(build_book.thumbnail(chapter, "one"))).size == (20, 10)


def test_execution_times_add_up() -> None:
    done = [chapters.Executed(f"page{n}", notebook(), seconds=n, when="2026-01-01", reused=False) for n in (20, 30)]
    table = build_book.execution_times(done)
    assert "{doc}`/page20` | 20\u00a0s" in table and "together | 50\u00a0s" in table


def test_synchronising_touches_only_what_differs(tmp_path: Path) -> None:
    files = {"same.md": b"1", "sub/changed.md": b"1", "gone.md": b"1", "generated/api.rst": b"1"}
    build_book.synchronise(tmp_path, files, keep="generated")
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (0, 0))
    build_book.synchronise(tmp_path, {"same.md": b"1", "sub/changed.md": b"2"}, keep="generated")
    assert (tmp_path / "same.md").stat().st_mtime == 0
    assert (tmp_path / "sub/changed.md").read_bytes() == b"2"
    assert not (tmp_path / "gone.md").exists() and (tmp_path / "generated/api.rst").exists()


def test_built_pages_without_a_source_are_removed(tmp_path: Path) -> None:
    for name in ("intro.html", "old.html", "search.html", "generated/api.html", "_static/part.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    build_book.remove_leftovers(tmp_path, ["intro"])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    assert left == {"intro.html", "search.html", "generated/api.html", "_static/part.html"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example/x.js"),
        ('<img src="//cdn.example/x.png">', "loads //cdn.example/x.png"),
        ('<img srcset="a.png 1x, https://cdn.example/x.png 2x" src="a.png">', "loads https://cdn.example/x.png"),
        ('<link rel="stylesheet" href="https://cdn.example/x.css">', "loads https://cdn.example/x.css"),
        ('<div style="background: url(https://cdn.example/x.png)"></div>', "loads https://cdn.example/x.png"),
        ('<style>@import "https://cdn.example/x.css";</style>', "loads https://cdn.example/x.css"),
        ('<a href="missing.html">x</a>', "points to missing.html, which is not there"),
        ('<a href="#nowhere">x</a>', "points to #nowhere, and that page has no such place"),
        ('<img src="missing.png">', "points to missing.png, which is not there"),
    ],
)
def test_a_site_that_is_not_whole_is_told(tmp_path: Path, body: str, problem: str) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "index.html").write_text(f"<!doctype html><body>{body}</body>")
    assert check_site.problems(tmp_path) == [f"index.html {problem}"]


def test_a_style_sheet_that_loads_from_elsewhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "x.css").write_text("@font-face { src: url('https://cdn.example/f.woff') }")
    assert check_site.problems(tmp_path) == ["x.css loads https://cdn.example/f.woff"]


def test_a_whole_site_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<!doctype html><link rel="canonical" href="https://book.example/"><h1 id="top-of-page">x</h1>'
        '<a href="https://elsewhere.example">out</a><a href="other.html#place">in</a><a href="#">up</a>'
        '<img src="data:image/png;base64,//8A"><a href="mailto:a@b.example">mail</a>'
    )
    (tmp_path / "other.html").write_text('<!doctype html><p id="place">')
    assert check_site.problems(tmp_path) == []


def test_there_must_be_a_site(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make book"):
        check_site.problems(tmp_path)
