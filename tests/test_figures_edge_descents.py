"""Figures of full-batch descents at the edge, drawn from records whose ratios, bursts and predictions are known."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from drawn_edge import TANH, data, drawn, levels, runs_of, shows
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from pictures import panels, texts
from synthetic_edge import MISSED, edge_run

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims.edge_measures import entries_together, prediction_error
from landscape_helpers.claims.record import Record
from landscape_helpers.figures import THEMES, draw
from landscape_helpers.figures.edge_entry import moments_of, together
from landscape_helpers.figures.edge_map import NUMBERS, table_of
from landscape_helpers.figures.edge_record import EdgeRecord
from landscape_helpers.figures.edge_taylor import misses, predicted
from landscape_helpers.figures.style import theme as themed


@pytest.mark.parametrize("name", THEMES)
def test_ratios_stand_with_the_edge_and_the_threshold(name: str) -> None:
    axes = panels(drawn("SING-F01", name))
    assert [ax.get_title(loc="left") for ax in axes] == ["AlexNet-ReLU", "AlexNet-tanh", "VGG-16-ReLU", "VGG-16-tanh"]
    assert all({0.7, 1.0} <= levels(ax) for ax in axes)
    first = data("alexnet-relu-0.001")[0]
    top = int(first.attrs["n_classes"]) - 1
    for pair in (top, top + 1):
        assert shows(axes[0], first["rho"].values[:, pair - 1])
    # The colour of a rate is the same in every panel, also where the largest rate was not run.
    with themed(name) as colours:
        keys = [{t.get_text().split(" ")[0]: to_hex(h.get_color()) for t, h in entries(ax)} for ax in axes]
    assert len(keys[0]) == 4 and len(keys[1]) == 3
    assert all(keys[0][rate] == colour for key in keys for rate, colour in key.items())
    assert set(keys[0].values()) <= {to_hex(c) for c in colours.series}


def entries(ax: Axes) -> list[tuple[mpl.text.Text, mpl.lines.Line2D]]:
    legend = ax.get_legend()
    return list(zip(legend.get_texts(), legend.get_lines(), strict=True))


def test_over_a_panel_stand_the_largest_ratios() -> None:
    medians = []
    for pair in (-1, 0):
        found = [d["rho"].values[:, int(d.attrs["n_classes"]) - 1 + pair].max() for d in data("alexnet-relu-0.0001")]
        medians.append(f"{np.median(found):.2f}")
    assert f"(0.0001): {medians[0]} | {medians[1]}" in texts(drawn("SING-F01"))


def test_the_number_of_pairs_on_the_edge_is_counted() -> None:
    count = panels(drawn("SING-F02"))[1]
    for run in load_catalogue().figure("SING-F02").runs:
        first = data(run)[0]
        expected = [sum(value > 0.7 for value in row) for row in first["rho"].values]
        assert shows(count, np.array(expected, float))
        assert float(first.attrs["n_classes"] - 1) in levels(count)


def test_parts_of_the_gradient_share_one_logarithmic_axis() -> None:
    axes = panels(drawn("SING-F03"))
    assert {ax.get_yscale() for ax in axes} == {"log"} and len({ax.get_ylim() for ax in axes}) == 1
    first = data("vgg16-tanh-0.0003")[0]
    assert all(shows(axes[3], first[name].values) for name in ("top_norm", "bulk_norm"))


def test_entries_and_bursts_are_those_of_the_check() -> None:
    record = EdgeRecord("entry", data("entry"))
    for seed, dataset in enumerate(record.datasets):
        assert sum(together(record, seed)) == entries_together(Record(dataset)) > 0
    first = data("entry")[0]
    for i, moments in enumerate(moments_of(record)):
        ratios = first["rho"].values[:, i]
        assert moments.entry == next((s for s in range(1, len(ratios)) if ratios[s] > 0.9 >= ratios[s - 1]), None)
    sizes = np.abs(first["coordinate"].values[:, 0])
    left, right, below = panels(drawn("SING-F04"))
    assert shows(right, sizes) and shows(left, first["rho"].values[:, 0])
    assert f"{sum(together(record))} of {record.top} pairs" in texts(drawn("SING-F04"))
    assert len({line.get_ydata()[0] for line in below.lines if line.get_marker() == "o"}) == record.top


def test_a_coordinate_without_a_burst_is_said_to_have_none() -> None:
    quiet = edge_run(0, telemetry_every=10, max_steps=2000, burst=0.0)
    assert texts(draw("SING-F04", {"entry": quiet})).count("no burst") == 9


def test_predictions_are_the_second_orders() -> None:
    for options, missed in ((TANH, 0.0), ({"init": "kaiming"}, MISSED)):
        run = edge_run(0, model_options=options)
        record = EdgeRecord("alexnet-relu-0.001", run)
        eta, top = 0.001, 9
        for stop in (0, 5, -1):
            d, lambdas = run["coordinate"].values[stop], run["eigenvalue"].values[stop]
            by_hand = sum(eta * d[i] ** 2 * (0.5 * eta * lambdas[i] - 1) for i in range(top))
            assert predicted(record, "top")[stop] == pytest.approx(by_hand)
            rest = sum(0.5 * eta**2 * d[i] ** 2 * lambdas[i] for i in range(top, len(d)))
            assert predicted(record, "bulk")[stop] == pytest.approx(rest - eta * run["bulk_norm"].values[stop] ** 2)
        (series,) = misses(record)
        np.testing.assert_allclose(series.values, missed, atol=1e-9)
        assert np.median(series.values) == pytest.approx(prediction_error(Record(run)), abs=1e-12)


def test_maps_are_filled_by_images_and_rate_and_framed_by_their_condition() -> None:
    figure_runs = runs_of("SING-X01")
    absent = list(figure_runs)[1]
    kept = {run: d for run, d in figure_runs.items() if run != absent}
    records = [EdgeRecord(run, d) for run, d in kept.items()]
    sizes, rates, values = table_of(NUMBERS[0], records)
    assert sizes == sorted(sizes) and rates == sorted(rates, reverse=True)
    for record in records:
        expected = np.median([d["rho"].values[:, record.top - 1].max() for d in record.datasets])
        assert values[sizes.index(record.images), rates.index(record.rate)] == pytest.approx(expected)
    assert np.isnan(values).sum() == 1
    figure = draw("SING-X01", kept)
    assert texts(figure).count("not run") >= 4
    for ax, quantity in zip(panels(figure), NUMBERS, strict=True):
        holds = [quantity.holds(float(v)) for v in table_of(quantity, records)[2].ravel() if np.isfinite(v)]
        assert len(ax.patches) == sum(holds)


def test_an_initialisation_that_was_not_run_is_named() -> None:
    assert "not run: framework's" in texts(draw("SING-X02", {"cnn-kaiming": data("cnn-kaiming")}))
