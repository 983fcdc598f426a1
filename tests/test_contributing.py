"""The example of CONTRIBUTING.md, done as it says in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)(?:, (in|above) (\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = ("-m", "landscape_helpers")
NOTEBOOK = "book/chapters/random-lines.ipynb"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with every block of the text where it says."""
    root = tmp_path_factory.mktemp("checkout")
    package = "landscape_helpers"
    shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, where, table, block in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8")):
        path = root / name
        if not where:
            assert not path.exists(), name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, "utf-8")
            continue
        text = path.read_text("utf-8")
        found = re.search(rf"^{table}: .*?^(?=}})", text, re.MULTILINE | re.DOTALL)
        assert found, f"{name} has no table {table}"
        at = found.end() if where == "in" else found.start()
        text = text[:at] + block + text[at:]
        if table == "PAPERS":
            text = text.replace("from . import (\n", "from . import (\n    random_line_figures,\n", 1)
        path.write_text(text, "utf-8")
    assert "written: " in python(root, *COMMAND, "run", "TOY-F01", "--profile", "smoke")
    return root


def python(checkout: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "LANDSCAPE_RESULTS": str(checkout / "results")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_claims_are_judged(checkout: Path) -> None:
    told = python(checkout, *COMMAND, "claims", "--paper", "TOY").splitlines()
    assert [line.split()[:2] for line in told[::2]] == [["TOY-F01-1", "reproduced"], ["TOY-C01", "reproduced"]]


def test_the_cells_of_its_chapter_run(checkout: Path) -> None:
    cells = (checkout / NOTEBOOK).read_text("utf-8")
    # A page shows what its cells end with.
    shown = python(checkout, "-c", re.sub(r"(?m)^(chapter\.(?!record).*)$", r"print(\1._repr_html_())", cells))
    assert all(text in shown for text in ("Random directions show a bowl", "nat at the centre", "data:image"))
