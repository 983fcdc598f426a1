"""Figures of the singularity paper, drawn from records whose ratios, bursts, peaks and powers are known."""

from __future__ import annotations

import math
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from synthetic_edge import MISSED, edge_run, flow_run, peak_of, run_of
from table_cells import Cells

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims.edge_measures import entries_together, prediction_error
from landscape_helpers.claims.flow_measures import cusp_exponent
from landscape_helpers.claims.record import Record
from landscape_helpers.figures import THEMES, alt_text, draw
from landscape_helpers.figures.edge_axes import range_of
from landscape_helpers.figures.edge_entry import moments_of, together
from landscape_helpers.figures.edge_figures import FLOWS, LAYOUTS
from landscape_helpers.figures.edge_flow import at_its_end, fitted, line_through
from landscape_helpers.figures.edge_integrator import deviation
from landscape_helpers.figures.edge_map import NUMBERS, table_of
from landscape_helpers.figures.edge_notes import merged, shortened
from landscape_helpers.figures.edge_profile import fits
from landscape_helpers.figures.edge_record import EdgeRecord, FlowRecord, Series, unconverged
from landscape_helpers.figures.edge_table import PRINTED, decimals, rows_of
from landscape_helpers.figures.edge_taylor import misses, predicted
from landscape_helpers.figures.edge_words import WORDS
from landscape_helpers.figures.image import render
from landscape_helpers.figures.papers import compares, paper_of
from landscape_helpers.figures.style import theme as themed
from landscape_helpers.figures.words import data_table, findings

NOTE = "smoke scale: width 4 of 64"
TANH = {"init": "kaiming", "activation": "tanh"}


@cache
def data(run: str) -> tuple[xarray.Dataset, ...]:
    """Two seeds."""
    return tuple(run_of(run, seed) for seed in (0, 1))


def runs_of(figure_id: str) -> dict[str, tuple[xarray.Dataset, ...]]:
    return {run: data(run) for run in load_catalogue().figure(figure_id).runs}


@cache
def drawn(figure_id: str, theme: str = "light") -> Figure:
    return draw(figure_id, runs_of(figure_id), theme, NOTE)


def texts(figure: Figure) -> str:
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text))


def panels(figure: Figure) -> list[Axes]:
    """Axes that hold data."""
    return [ax for ax in figure.axes if ax.get_visible() and (ax.lines or ax.patches or ax.images)]


def levels(ax: Axes) -> set[float]:
    """Heights of the straight lines across a panel."""
    return {
        round(float(line.get_ydata()[0]), 6)
        for line in ax.lines
        if list(line.get_xdata()) == [0, 1] and line.get_ydata()[0] == line.get_ydata()[1]
    }


def shows(ax: Axes, values: np.ndarray) -> bool:
    """Whether one of the lines of a panel has these heights."""
    return any(
        len(line.get_ydata()) == len(values) and np.allclose(line.get_ydata(), values, equal_nan=True)
        for line in ax.lines
    )


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_says_its_scale_and_names_its_axes(figure_id: str) -> None:
    figure = drawn(figure_id)
    written = texts(figure)
    assert NOTE in written.replace("\n", " ")
    assert "nan" not in written.lower().replace("nats", "")
    assert "Not shown" not in written
    if figure_id == "SING-T01":
        return
    for ax in panels(figure):
        assert ax.get_xlabel() or not any(label.get_visible() for label in ax.get_xticklabels()), ax.get_title("left")
        assert ax.get_ylabel()
    assert len(figure.legends) == 1 and figure.legends[0].get_texts()


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_no_text_leaves_the_picture(figure_id: str) -> None:
    figure = drawn(figure_id)
    figure.draw_without_rendering()
    width, height = figure.canvas.get_width_height()
    for text in written_in(figure):
        if text.get_text().strip():
            box = text.get_window_extent()
            assert box.x0 >= -2 and box.x1 <= width + 2 and box.y0 >= -2 and box.y1 <= height + 2, text.get_text()


def written_in(figure: Figure) -> list[mpl.text.Text]:
    """All but the labels of ticks, of which those beyond the ends of an axis are not drawn."""
    found = [*figure.texts, *(t for legend in figure.legends for t in legend.get_texts())]
    for ax in panels(figure):
        found += [*ax.texts, ax.xaxis.label, ax.yaxis.label, ax.title, ax._left_title]
        found += ax.get_legend().get_texts() if ax.get_legend() else []
    return found


def test_the_catalogue_the_layouts_and_the_words_have_the_same_figures() -> None:
    known = [f.id for f in load_catalogue().figures.values() if f.paper == "SING"]
    assert sorted(known) == sorted(LAYOUTS) == sorted(WORDS)
    assert all(compares(figure_id) and paper_of(figure_id) == "SING" for figure_id in LAYOUTS)
    first = {figure_id: load_catalogue().figure(figure_id).runs[0] for figure_id in LAYOUTS}
    assert sorted(FLOWS) == [f for f in sorted(first) if load_catalogue().runs[first[f]].experiment == "gradient_flow"]


@pytest.mark.parametrize("figure_id", ["SING-F01", "SING-T01", "SING-X01"])
def test_both_themes_are_laid_out_alike_and_differ(figure_id: str) -> None:
    before = dict(mpl.rcParams)
    light, dark = (np.asarray(i) for i in render(lambda name: draw(figure_id, runs_of(figure_id), name), dpi=40))
    assert dict(mpl.rcParams) == before
    assert light.shape == dark.shape
    assert light[0, -1, 3] == dark[0, -1, 3] == 0
    both = (light[..., 3] > 200) & (dark[..., 3] > 200)
    assert (light[both] != dark[both]).any()


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


def test_peaks_lie_on_a_line_whose_slope_is_theirs() -> None:
    sizes = (100, 200, 400, 800)
    runs = [FlowRecord("x", flow_run(n_train=n)) for n in sizes]
    line = line_through(runs)
    assert line is not None
    assert line.slope == pytest.approx(peak_of(1) - peak_of(0), rel=1e-3) and line.r_squared > 0.9999
    x, y = np.array([1.0, 2, 4, 8]), np.array([1.0, 2.5, 3, 9])
    known = fitted(x, y)
    assert known is not None and known.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert fitted([1, 2], [3, 4]) is None and fitted([1, 2, 3], [1, np.nan, 3]) is None
    assert "R\u00b2 = 1.0000" in texts(drawn("SING-F05"))


def test_a_peak_at_the_end_of_a_run_is_drawn_open_and_told() -> None:
    whole = flow_run(n_train=400)
    cut = whole.isel(step=slice(0, whole.sizes["step"] // 3))
    assert at_its_end(FlowRecord("x", [whole, cut])) == [False, True]
    figure = draw("SING-F05", {"flow-relu-whole": cut})
    assert "open: largest at its end" in texts(figure) and "open:" not in texts(drawn("SING-F05"))
    assert "1 of 1 runs end at their peak" in findings("SING-F05", {"flow-relu-whole": cut})[1]


def test_the_spike_of_tanh_is_told_apart_from_its_peak() -> None:
    written = texts(drawn("SING-F05"))
    assert "Peak after t = 1 against size" in written and "first value after the start" in written
    told = findings("SING-F05", runs_of("SING-F05"))
    assert "30,000" in told[2] and "30,000" not in told[1]


def test_every_eigenvalue_stands_with_two_over_the_rate() -> None:
    for figure_id in ("SING-F05", "SING-X04"):
        first = data(load_catalogue().figure(figure_id).runs[0])[0]
        cap = FlowRecord("x", first).cap
        curves = [ax for ax in panels(drawn(figure_id)) if ax.get_ylabel().startswith("\u03bb")]
        assert curves and all(round(2 / cap, 6) in levels(ax) for ax in curves)
        small = first["rate"].values < 0.999 * cap
        assert small.any() and shows(curves[0], np.where(small, 2 / first["rate"].values, np.nan))
    rate = EdgeRecord("default-init", data("default-init")).rate
    curves = [ax for ax in panels(drawn("SING-X02")) if ax.get_ylabel().startswith("\u03bb")]
    assert len(curves) == 2 and all(round(2 / rate, 6) in levels(ax) for ax in curves)


@pytest.mark.parametrize(("power", "verdict"), [(2.0, "parabola"), (1.0, "kink"), (0.5, "cusp")])
def test_the_exponent_is_that_of_the_profile(power: float, verdict: str) -> None:
    run = flow_run(power=power)
    (law,) = fits(FlowRecord("flow-relu-whole", run), 1e-4, 3e-3)
    assert law.exponent == pytest.approx(power, abs=0.01) and law.verdict == verdict
    assert law.exponent == pytest.approx(cusp_exponent(Record(run)), rel=1e-6)
    figure = draw("SING-F06", {"flow-relu-whole": run})
    assert shows(panels(figure)[0], run["cusp_change"].values[0])
    assert shows(panels(figure)[1], run["cusp_change"].values[1])
    assert f"({verdict})" in findings("SING-F06", {"flow-relu-whole": run})[1]


def test_a_profile_that_is_too_short_is_said_to_be() -> None:
    figure = draw("SING-F06", {"flow-relu-whole": flow_run(delta_ranges=[0.003])})
    assert "not sampled as far as 0.03" in texts(figure).replace("\n", " ")


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


def test_the_rule_is_held_against_runge_kutta_at_the_same_times() -> None:
    runs = [FlowRecord("x", [flow_run(s, method=m) for s in (0, 1)]) for m in ("euler", "rk4")]
    found = deviation(runs)
    assert len(found) == 2
    np.testing.assert_allclose(found[0].values, 1 / 1.01 - 1, rtol=1e-9)
    assert deviation(runs[:1]) == []
    assert "one method only" in texts(draw("SING-X04", {"flow-rk4": data("flow-rk4")}))


def test_an_initialisation_that_was_not_run_is_named() -> None:
    assert "not run: framework's" in texts(draw("SING-X02", {"cnn-kaiming": data("cnn-kaiming")}))


def test_endings_are_marked_and_two_points_are_seen_to_be_points() -> None:
    ended = {
        "alexnet-relu-0.001": edge_run(0, ends="stopped: loss below 0.1 at step 5"),
        "alexnet-relu-0.003": edge_run(0, lr=0.003, ends="loss became non-finite at step 9"),
        "vgg16-tanh-0.0001": edge_run(0, model="vgg16", model_options=TANH, lr=0.0001, t_max=1.2),
    }
    figure = draw("SING-F01", ended)
    assert {"stopped by its loss", "overflowed"} <= {t.get_text() for t in figure.legends[0].get_texts()}
    relu, tanh = panels(figure)
    assert {line.get_marker() for line in relu.lines} >= {"X", "o"}
    assert [len(line.get_xdata()) for line in tanh.lines if line.get_marker() == "o"] == [2, 2]


def test_a_run_that_overflows_leaves_the_edge_in_sight() -> None:
    lost = edge_run(0, lr=0.003, ends="loss became non-finite at step 9")
    for name in ("rho", "eigenvalue", "coordinate", "top_norm", "bulk_norm", "change_top", "change_bulk"):
        lost[name][-2] *= 1e9
        lost[name][-1] = np.nan
    lost["converged"] = lost["converged"].copy(data=np.isfinite(lost["top_norm"].values))
    for figure_id, run in (
        ("SING-F01", "alexnet-relu-0.003"), ("SING-F03", "alexnet-relu-0.003"), ("SING-F04", "entry"),
        ("SING-T01", "alexnet-relu-0.003"), ("SING-X01", "alexnet-relu-0.003"), ("SING-X02", "cnn-kaiming"),
        ("SING-X03", "alexnet-relu-0.001"),
    ):  # fmt: skip
        figure = draw(figure_id, {run: lost})
        figure.draw_without_rendering()
        assert all(ax.get_ylim()[1] <= 5 for ax in panels(figure) if ax.get_ylabel() == "\u03c1")
        assert "not within tolerance at 1 of" in texts(figure).replace("\n", " ")
        assert alt_text(figure_id, {run: lost})


def test_bands_reach_from_the_least_to_the_largest_seed_and_end_with_them() -> None:
    a = Series(np.array([0.0, 1, 2]), np.array([1.0, 2, 3]))
    b = Series(np.array([0.0, 2, 3]), np.array([2.0, 0, 5]))
    t, low, high = range_of([a, b])
    np.testing.assert_allclose(t, [0, 1, 2, 3])
    np.testing.assert_allclose(low, [1, 1, 0, 5])
    np.testing.assert_allclose(high, [2, 2, 3, 5])


def test_eigenvalues_outside_the_tolerance_are_counted_in_the_picture() -> None:
    run, flow = edge_run(0), flow_run(0)
    run["converged"] = run["converged"].copy(data=np.arange(run.sizes["stop"]) > 2)
    flow["converged"] = ("step", np.arange(flow.sizes["step"]) % 2 == 0)
    flow["lambda_1"][1::2] = np.nan  # not asked for
    said = f"Eigenvalues are not within tolerance at 3 of {run.sizes['stop']} stops."
    assert unconverged([EdgeRecord("x", run)]) == said
    assert unconverged([FlowRecord("x", flow)]) == ""
    assert said in texts(draw("SING-F04", {"entry": run})).replace("\n", " ")
    assert findings("SING-F04", {"entry": run})[-1] == said


def test_runs_that_are_absent_are_named_with_the_reason() -> None:
    only = texts(draw("SING-F01", {"vgg16-relu-0.001": data("vgg16-relu-0.001")})).replace("\n", " ")
    assert "Not shown:" in only and "(not run)" in only
    with pytest.raises(ValueError, match=r"SING-F04 needs one of the runs entry, got alexnet"):
        draw("SING-F04", {"alexnet": data("entry")})
    with pytest.raises(ValueError, match="unknown figure 'SING-F99': expected one of GO-F01"):
        draw("SING-F99", {})


def test_a_long_note_is_told_once_with_what_differs() -> None:
    assert merged(["t up to 12 of 40, rate 0.1", "t up to 20 of 40, rate 0.1"]) == "t up to 12 or 20 of 40, rate 0.1"
    assert merged(["rate 0.3 for 0.003", "rate 0.1 for 0.001"]) == "rate 0.3 for 0.003 or 0.1 for 0.001"
    assert merged(["a b", "a b"]) == "a b" and merged(["a a", "a a a"]) == "a a or a a"
    assert merged(["one, two", "one"]) == ""
    records = {run: EdgeRecord(run, data(run)) for run in ("alexnet-relu-0.003", "alexnet-relu-0.001")}
    assert shortened(NOTE, records) == NOTE
    told = shortened("x" * 1000, records)
    rates = " or ".join(f"{r.rate:g} for {r.paper_rate:g}" for r in records.values())
    assert told.startswith("smoke scale: ") and rates in told and told.endswith("; 2 seeds")
    mixed = {"a": EdgeRecord("entry", edge_run(profile="smoke")), "b": EdgeRecord("entry", edge_run(profile="laptop"))}
    assert shortened("x" * 1000, mixed) == "x" * 1000


def test_a_rate_that_stands_for_another_is_named_with_it() -> None:
    reduced = EdgeRecord("alexnet-relu-0.001", data("alexnet-relu-0.001"))
    assert reduced.rate_in_words == f"\u03b7 = {reduced.rate:g} for 0.001"
    assert EdgeRecord("alexnet-relu-0.001", edge_run(0, lr=0.001)).rate_in_words == "\u03b7 = 0.001"


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_is_told_in_numbers(figure_id: str) -> None:
    text = alt_text(figure_id, runs_of(figure_id))
    assert sum(character.isdigit() for character in text) >= 5
    assert "nan" not in text.lower() and "not known" not in text
    assert text.endswith(".") and ".." not in text


def test_words_carry_the_measured_numbers() -> None:
    largest = np.median([d["rho"].values[:, int(d.attrs["n_classes"]) - 1].max() for d in data("classes-2")])
    told = findings("SING-F02", runs_of("SING-F02"))[1]
    assert f"of pair 2 {largest:.2f}" in told and told.startswith("2 classes")
    assert f"{100 * MISSED:.0f}%" in findings("SING-X03", runs_of("SING-X03"))[1]


def test_seeds_may_come_stacked() -> None:
    listed = data("entry")
    stacked = xarray.concat(
        [d.drop_attrs(deep=False) for d in listed], xarray.Variable("seed", [0, 1]), data_vars="all"
    ).assign_attrs({k: v for k, v in listed[0].attrs.items() if k != "seed"})
    a, b = EdgeRecord("entry", stacked), EdgeRecord("entry", listed)
    assert a.seeds == b.seeds == [0, 1]
    for x, y in zip(a.over("rho", 3), b.over("rho", 3), strict=True):
        np.testing.assert_array_equal(x.values, y.values)
        np.testing.assert_array_equal(x.t, y.t)
