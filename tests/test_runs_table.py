"""The list of a paper's configurations."""

import pytest
import xarray

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures.runs_table import RunsTable
from landscape_helpers.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path, search=[])
    for name, seed, status in [
        ("classes-2", 0, "stopped: loss below 0.1 at step 190"),
        ("classes-2", 1, "completed"),
        ("classes-2", 2, "stopped: loss below 0.1 at step 1,204"),
        ("entry", 0, "completed"),
    ]:
        spec = load_catalogue().spec(name, "laptop")
        store.save(spec, seed, xarray.Dataset(attrs={"status": status}))
    return store


def test_every_run_of_every_figure_is_there(store):
    table = RunsTable("SING", store)
    figures = [figure for figure in load_catalogue().figures.values() if figure.paper == "SING"]
    assert {row.run for row in table.rows} == {run for figure in figures for run in figure.runs}
    assert len(table.rows) == len({row.run for row in table.rows})
    assert all(row.figures for row in table.rows)


def test_seeds_are_counted_and_endings_told(store):
    rows = {row.run: row for row in RunsTable("SING", store).rows}
    two, entry, absent = rows["classes-2"], rows["entry"], rows["classes-3"]
    assert (two.stored, two.planned) == (3, 3)
    assert two.ended == "stopped: loss below 0.1 (2); completed (1)"
    assert (entry.stored, entry.ended) == (1, "completed")
    assert entry.figures == ("SING-F04",)
    assert (absent.stored, absent.ended) == (0, "")


def test_the_summary_counts_what_there_is_and_what_there_is_not(store):
    table = RunsTable("SING", store)
    n = len(table.rows)
    stored, absent = f"{n} configurations at laptop scale, 4 results over all seeds", f"{n - 2} configurations not run"
    assert table.summary == f"{stored}; {absent}"
    assert table.summary in str(table)
    page = table._repr_html_()
    assert table.summary in page
    assert page.count("<tr>") == n + 1


def test_what_a_scale_cannot_have_gives_its_reason(store):
    spec = load_catalogue().spec("vgg11-gd", "laptop")
    store.save(spec, 0, xarray.Dataset(attrs={"status": "completed"}))
    row = next(row for row in RunsTable("WALK", store).rows if row.run == "tiny-gd")
    assert row.planned == 0
    assert "Tiny ImageNet" in row.note
    assert "not run" in RunsTable("WALK", store)._repr_html_()


def test_an_unknown_paper_is_refused(store):
    with pytest.raises(ValueError, match="unknown paper 'SONG': expected one of"):
        RunsTable("SONG", store)
