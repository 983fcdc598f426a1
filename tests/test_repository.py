"""What holds for the whole repository: notebooks without outputs, pinned versions, a README that keeps its word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import nbformat
import pytest
import yaml

import landscape_helpers
from landscape_helpers.catalogue import load_catalogue

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "book").rglob("*.ipynb"))
CHAPTERS = sorted((ROOT / "book/chapters").glob("*.ipynb"))
PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.]*)(?P<marker> ; .+)?")
LARGEST_RESULTS, LARGEST_PICTURE = 25_000_000, 300_000


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def requirements() -> dict[str, tuple[str, bool]]:
    """Version of each required package, and whether it is listed as one that this project uses itself."""
    found: dict[str, tuple[str, bool]] = {}
    direct = False
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# direct"):
            direct = True
        elif line.startswith("# needed by"):
            direct = False
        elif line and not line.startswith("#"):
            pin = PIN.fullmatch(line)
            assert pin, f"requirements.txt: not one pinned version: {line!r}"
            name = canonical(pin["name"])
            assert name not in found, f"requirements.txt names {name} twice"
            found[name] = (pin["version"], direct)
    return found


def tracked(*patterns: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).exists()]


# Notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=label)
def test_notebooks_hold_no_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    held = [cell.id for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
    assert not held, f"{label(path)}: outputs in cells {held}; run nbstripout on it"
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("path", CHAPTERS, ids=label)
def test_chapters_have_their_parameters(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1, "papermill needs exactly one cell tagged 'parameters'"
    namespace: dict[str, object] = {}
    exec(compile(tagged[0].source, str(path), "exec"), namespace)
    assert namespace["profile"] == "smoke" and namespace["data"] == "digits", "the default must run on any machine"
    assert isinstance(namespace["seeds"], list) and namespace["seeds"]


@pytest.mark.parametrize("path", CHAPTERS, ids=label)
def test_chapters_are_in_the_table_of_contents_and_the_gallery(path: Path) -> None:
    page = path.relative_to(ROOT / "book").with_suffix("").as_posix()
    assert f"file: {page}\n" in (ROOT / "book/_toc.yml").read_text(encoding="utf-8")
    assert f":link: {page}\n" in (ROOT / "book/intro.md").read_text(encoding="utf-8")


# Versions


def test_every_version_is_pinned() -> None:
    pins = requirements()
    assert pins["torch"][0] == "2.13.0" and pins["torchvision"][0] == "0.28.0"
    assert len(pins) > 100, "the packages that packages need are pinned as well"


def test_what_the_library_needs_is_pinned_as_direct() -> None:
    needed = {canonical(re.split(r"[<>=!~ ;\[]", entry)[0]) for entry in PROJECT["project"]["dependencies"]}
    missing = {name for name in needed if not requirements().get(name, ("", False))[1]}
    assert not missing, f"in pyproject.toml and not among the direct ones of requirements.txt: {missing}"


def test_what_the_code_imports_is_pinned_as_direct() -> None:
    statement = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
    imported: set[str] = set()
    for folder in ("landscape_helpers", "tools", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            code = re.sub(r'("""|\'\'\').*?\1', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
            imported |= set(statement.findall(code))
    local = {path.stem for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    ours = {"landscape_helpers", "tools", *local, *sys.stdlib_module_names}
    # What the benchmarks compare with lives in an environment of its own.
    pinned_apart = (ROOT / "benchmarks/requirements.txt").read_text(encoding="utf-8").lower().replace("-", "_")
    peers = {name for name in imported if re.search(rf"^{name.lower()}(_for_pytorch)?==", pinned_apart, re.MULTILINE)}
    ours |= peers - set(map(str.lower, requirements()))
    distributions = packages_distributions()
    assert not {name for name in imported - ours if name not in distributions}, "imported and not installed"
    for name in sorted(imported - ours):
        candidates = {canonical(distribution) for distribution in distributions[name]}
        assert any(requirements().get(c, ("", False))[1] for c in candidates), (
            f"{name} is imported and not pinned as direct"
        )


def test_the_installed_versions_are_the_pinned_ones() -> None:
    """Results and baselines are those of the pinned versions; with others, a failure elsewhere means nothing."""
    for name, (wanted, direct) in requirements().items():
        if direct:
            assert version(name).split("+")[0] == wanted, f"{name} is installed at {version(name)}; run make test"


def test_the_package_carries_its_data_and_version() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["landscape_helpers"]
    package = ROOT / "landscape_helpers"
    matched = {path for pattern in patterns for path in package.glob(pattern)}
    other = {
        p
        for p in package.rglob("*")
        if p.is_file() and p.suffix not in (".py", ".pyc") and "__pycache__" not in p.parts
    }
    assert other <= matched, f"not installed with the package: {sorted(map(label, other - matched))}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", landscape_helpers.__version__)


# README


def test_commands_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"book", "test", "lab", "regress", "bench", "lint"} <= named
    assert named <= targets, f"no such target in the Makefile: {named - targets}"


def test_command_line_of_the_readme_exists() -> None:
    named = set(re.findall(r"python -m landscape_helpers ([a-z]+)", README))
    assert named == {"list", "run", "claims", "doctor"}
    for command in sorted(named):
        shown = subprocess.run(
            [sys.executable, "-m", "landscape_helpers", command, "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert shown.returncode == 0 and command in shown.stdout, shown.stderr


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    command = re.search(r"^(make \w+) +# runs the tests$", README, re.MULTILINE)
    assert command, "the README names the command that runs the tests"
    for wanted in (command[1], "make lint", "make book"):
        assert re.search(rf"^{wanted}\b", script, re.MULTILINE), f".ci/run does not run {wanted!r}"
    assert script.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in script
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_links_of_the_documents_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("https://"):
                continue
            file, _, heading = target.partition("#")
            assert (ROOT / file).exists(), f"{name} links to {file}, which is not there"
            linked = (ROOT / file).read_text(encoding="utf-8") if heading else ""
            headings = {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", linked, re.MULTILINE)}
            assert not heading or heading in headings, f"{file} has no heading {heading}"


def test_readme_counts_the_runs_at_paper_scale() -> None:
    catalogue = load_catalogue()
    names = [name for name, run in catalogue.runs.items() if "paper" in run.scales]
    costs = [catalogue.spec(name, "paper").pflop or 0.0 for name in names]
    hour = 30e12 * 3600 / 1e15
    assert f"{sum(cost < hour for cost in costs)} of the {len(costs)} runs take less than an hour" in README
    assert 13 < max(costs) / hour / 24 < 15, "two weeks"


def test_readme_opens_with_a_picture_of_the_book() -> None:
    picture = re.match(r"!\[(?P<alt>[^\]]{30,})\]\((?P<path>[^)]+\.png)\)", README)
    assert picture, "the first line is a picture with a description"
    path = ROOT / picture["path"]
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size < LARGEST_PICTURE


def test_examples_of_the_readme_run(tmp_path: Path) -> None:
    """One after the other, with what the text says of the output: opposing gradients, a falling loss, a sharpness above
    2 / lr, a class for every direction, and under Adam a sharpness that grows past that."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    script = tmp_path / "example.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    rows = [[float(word) for word in row] for line in lines if (row := line.split())[0].isdigit()]
    losses, correlations = [row[1] for row in rows], [row[2] for row in rows]
    assert losses == sorted(losses, reverse=True) and all(value < -0.5 for value in correlations)
    (line,) = [line for line in lines if line.startswith("sharpness")]
    sharpness, bound = map(float, re.findall(r"(?<=\[)[0-9.]+|(?<== )[0-9.]+", line))
    assert bound < sharpness < 1.5 * bound
    classes = {line[:25].strip(): line[25:].split()[0] for line in lines[-4:-1]}
    assert classes == {"random": "v-basin", "steepest curvature": "v-basin", "most negative curvature": "w-peak"}
    watched = [float(word) for word in re.findall(r"[0-9.]+", lines[-1])]
    assert len(watched) == 5 and watched[0] < sharpness < watched[-1]


# What is committed


def test_committed_results_are_small() -> None:
    size = sum(path.stat().st_size for path in tracked("book/results"))
    assert size <= LARGEST_RESULTS, f"book/results holds {size / 1e6:.1f} MB"


def test_nothing_committed_names_a_machine() -> None:
    home = re.compile(r"(?<![\w.])/(?:home|Users|root|tmp|work)/\w")
    for path in tracked(
        "*.py", "*.md", "*.ipynb", "*.yml", "*.yaml", "*.toml", "*.txt", "*.js", "*.css", "Makefile", ".ci"
    ):
        if path != Path(__file__):
            found = home.search(path.read_text(encoding="utf-8"))
            assert not found, f"{label(path)} names {found and found[0]}..."


def test_the_citation_is_of_this_version_and_of_the_papers_repeated() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == landscape_helpers.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    papers = {paper["title"] for paper in load_catalogue().papers.values()}
    assert {reference["title"] for reference in citation["references"]} == papers


def test_metadata_files_parse() -> None:
    for path in tracked("*.yml", "*.yaml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8")) is not None, label(path)
