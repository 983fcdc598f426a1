"""The singularity paper's table, and the sentences beside its figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_edge import data, drawn, runs_of
from pictures import texts
from synthetic_edge import MISSED, edge_run
from table_cells import Cells
from told import assert_told_in_numbers

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures import alt_text
from landscape_helpers.figures.edge_figures import LAYOUTS
from landscape_helpers.figures.edge_record import EdgeRecord
from landscape_helpers.figures.edge_table import PRINTED, decimals, rows_of
from landscape_helpers.figures.words import data_table, findings


def test_the_table_holds_the_papers_numbers_and_ours() -> None:
    records = {run: EdgeRecord(run, data(run)) for run in load_catalogue().figure("SING-T01").runs}
    rows = rows_of(records)
    assert len(rows) == 14 and len(PRINTED) == 9
    assert rows[0].cells[0].paper == "0.0043 (0.0172)" and rows[0].cells[1].paper == "\u22120.0041 (0.0010)"
    assert sum(row.cells[0].paper == "not given" for row in rows) == 5
    first = data("alexnet-relu-0.003")
    means, errors, counts = [], [], []
    for run in first:
        on = run["rho"].values[:, int(run.attrs["n_classes"]) - 2] > 0.7
        values = run["change_top"].values[on]
        means.append(values.mean())
        errors.append(values.std(ddof=1) / math.sqrt(len(values)))
        counts.append(len(values))
    form = decimals(float(np.median(errors)))
    assert rows[0].cells[0].ours.startswith(f"{np.median(means):{form}} \u00b1 {np.median(errors):{form}} (")
    assert rows[0].stops.startswith(f"{np.median(counts):.0f}")
    page = Cells(data_table("SING-T01", runs_of("SING-T01")))
    assert page.scopes == ["col"] * 4 + ["row"] * 14
    written = texts(drawn("SING-T01"))
    every = [cell for row in rows for cell in row.cells]
    drawn_cells = [text for i, text in enumerate(page.cells) if i % 3]
    for text, cell in zip(drawn_cells, every, strict=True):
        assert text.startswith(f"ours {cell.ours}") and text.endswith(f"paper {cell.paper}")
        assert cell.ours in written


def test_rows_with_too_few_stops_and_without_a_run_say_so() -> None:
    calm = edge_run(0, lr=0.001, model_options={"init": "default"})
    rows = rows_of({"alexnet-relu-0.001": EdgeRecord("alexnet-relu-0.001", calm)})
    own = next(row for row in rows if row.name.startswith("AlexNet-ReLU, \u03b7 = 0.001"))
    assert own.stops == f"0 of {calm.sizes['stop']}"
    assert own.cells[0].ours == own.cells[1].ours == "fewer than 3 such stops"
    assert sum(row.cells[0].ours == "not run" for row in rows) == 13


@pytest.mark.parametrize(
    ("error", "form"), [(0.0021, ".4f"), (0.21, ".2f"), (2.1e-5, ".6f"), (2.1e-8, ".1e"), (0, ".4f")]
)
def test_a_mean_is_told_to_two_digits_of_its_error(error: float, form: str) -> None:
    assert decimals(error) == form


def test_a_rate_that_stands_for_another_is_named_with_it() -> None:
    reduced = EdgeRecord("alexnet-relu-0.001", data("alexnet-relu-0.001"))
    assert reduced.rate_in_words == f"\u03b7 = {reduced.rate:g} for 0.001"
    assert EdgeRecord("alexnet-relu-0.001", edge_run(0, lr=0.001)).rate_in_words == "\u03b7 = 0.001"


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_is_told_in_numbers(figure_id: str) -> None:
    assert_told_in_numbers(alt_text(figure_id, runs_of(figure_id)), unknown="not known")


def test_words_carry_the_measured_numbers() -> None:
    largest = np.median([d["rho"].values[:, int(d.attrs["n_classes"]) - 1].max() for d in data("classes-2")])
    told = findings("SING-F02", runs_of("SING-F02")).each[0]
    assert f"of pair 2 {largest:.2f}" in told and told.startswith("2 classes")
    assert f"{100 * MISSED:.0f}%" in findings("SING-X03", runs_of("SING-X03")).each[0]
