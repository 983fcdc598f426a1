"""Figures of the mining paper, drawn from records whose classes and numbers are known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pictures import assert_both_themes_are_laid_out_alike_and_differ, drawings, panels, texts
from synthetic_slices import LOG_C, P, slice_run, slice_runs
from told import assert_told_in_numbers

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures import THEMES, alt_text, draw
from landscape_helpers.figures.classes_figure import KINDS, schematic
from landscape_helpers.figures.curves_panel import loss_axis, plain, power
from landscape_helpers.figures.hessian_figures import segments
from landscape_helpers.figures.mining_landscape import LAYOUTS
from landscape_helpers.figures.papers import compares
from landscape_helpers.figures.planes_panel import QUANTILE, plane_panel
from landscape_helpers.figures.slice_records import Plane, SliceRecord, labels_of, mean_count
from landscape_helpers.figures.spectrum_panel import smoothed
from landscape_helpers.figures.style import theme as themed
from landscape_helpers.figures.words import findings
from landscape_helpers.shapes import classify, count_stationary

UNAVAILABLE = {"resnext-slices", "noskip-c100-slices", "noskip-deep-c100-slices"}  # but at paper scale
NOTE = "smoke scale: width 4 of 16"


@cache
def records(run: str) -> tuple[xarray.Dataset, ...]:
    return tuple(slice_run(run, seed) for seed in (0, 1))


runs_of, drawn = drawings(records, NOTE, UNAVAILABLE)


def under(ax: Axes) -> str:
    return "\n".join([ax.get_title(loc="left"), *(t.get_text() for t in ax.texts)])


def dotted(ax: Axes, *, vertical: bool) -> dict[float, str]:
    """Place and colour of the straight lines across a panel."""
    found = {}
    for line in ax.lines:
        along, across = (line.get_ydata(), line.get_xdata()) if vertical else (line.get_xdata(), line.get_ydata())
        if list(along) == [0, 1] and across[0] == across[1]:
            found[float(across[0])] = to_hex(line.get_color())
    return found


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_says_its_scale_and_names_its_axes(figure_id: str) -> None:
    figure = drawn(figure_id)
    written = texts(figure)
    assert NOTE in written.replace("\n", " ")
    assert "nan" not in written.lower()
    labels = " ".join(ax.get_xlabel() + ax.get_ylabel() for ax in panels(figure))
    unitless = {"MINE-X02", "MINE-X03", "MINE-F05", "MINE-F11", "MINE-F12"}  # counts, shares, degrees, planes
    assert figure_id in unitless or "nats" in labels
    assert len(figure.legends) == 1 and figure.legends[0].get_texts()
    assert panels(figure)


def test_the_catalogue_and_the_layouts_have_the_same_figures() -> None:
    known = [f.id for f in load_catalogue().figures.values() if f.paper == "MINE"]
    assert sorted(known) == sorted(LAYOUTS)
    assert all(compares(figure_id) for figure_id in LAYOUTS)


@pytest.mark.parametrize("figure_id", ["MINE-F07", "MINE-F11", "MINE-X03"])
def test_both_themes_are_laid_out_alike_and_differ(figure_id: str) -> None:
    assert_both_themes_are_laid_out_alike_and_differ(figure_id, runs_of(figure_id))


@pytest.mark.parametrize("name", THEMES)
def test_wells_between_trainings_are_marked_labelled_and_counted(name: str) -> None:
    figure = draw("MINE-F07", runs_of("MINE-F07"), theme=name)
    with themed(name) as colours:
        for ax in panels(figure):
            assert "w-basin 2/2 [3]" in under(ax)
            verticals = dotted(ax, vertical=True)
            assert verticals[0.0] == to_hex(colours.ink)
            assert verticals[1.0] == to_hex(colours.series[1])
            assert any(level == pytest.approx(LOG_C) for level in dotted(ax, vertical=False))
    assert "random guess, log C" in texts(figure)


def test_three_wells_are_found_at_one_setting_alone() -> None:
    labelled = [under(ax).split(" ")[-2:] for ax in panels(drawn("MINE-F10"))]
    assert [count for _, count in labelled].count("[5]") == 2  # one for each network
    assert sum("vvv-basin" in under(ax) for ax in panels(drawn("MINE-F10"))) == 2


def test_the_label_of_a_panel_is_the_classifiers() -> None:
    record = SliceRecord("noskip-slices", records("noskip-slices"))
    shown = [ax for ax in panels(drawn("MINE-F03")) if ax.get_yscale() == "log" and ax.lines]
    curves = [
        c for c in record.curves("gaussian", normalize="model", scale=1.0) if c.fields["epoch"] == record.final_epoch
    ]
    label, n = labels_of(curves)[0]
    assert n == [classify(c.at, c.loss) for c in curves].count(label)
    mean = np.mean([count_stationary(c.loss) for c in curves])
    assert mean_count(curves) == pytest.approx(mean)
    assert f"{label} {n}/{len(curves)} [{mean:.1f}]" in under(shown[0])


def test_an_axis_is_logarithmic_where_losses_span_decades() -> None:
    with themed("light") as colours:
        for top, expected in ((5.0, "linear"), (500.0, "log")):
            ax = Figure().add_subplot()
            loss_axis(ax, [np.array([1.0, top])], LOG_C, colours)
            assert ax.get_yscale() == expected
        # A random guess far above a narrow view would flatten it: it is left out.
        ax = Figure().add_subplot()
        loss_axis(ax, [np.array([0.01, 0.02])], LOG_C, colours)
        assert dotted(ax, vertical=False) == {}
        assert ax.get_ylim()[1] < 0.03
        ax = Figure().add_subplot()
        loss_axis(ax, [np.array([1.0, np.inf, np.nan, 3.0])], LOG_C, colours)
        assert np.isfinite(ax.get_ylim()).all()


def test_colours_of_a_plane_end_at_the_quantile_and_its_lowest_point_is_marked() -> None:
    at = np.linspace(-1, 1, 21)
    loss = 1 + (at[:, None] - 0.5) ** 2 + (at - 0.2) ** 2
    loss[0, 0], loss[0, 1] = 1e6, np.inf  # chaos in a corner
    plane = Plane(0, at, at, loss, {}, {})
    with themed("light") as colours:
        ax = Figure().add_subplot()
        plane_panel(ax, plane, LOG_C, colours)
    lowest = next(line for line in ax.lines if line.get_marker() == "v")
    assert (lowest.get_xdata()[0], lowest.get_ydata()[0]) == (pytest.approx(0.5), pytest.approx(0.2))
    levels = ax.collections[0].levels
    assert levels[-1] == pytest.approx(np.quantile(loss[np.isfinite(loss)], QUANTILE))
    assert any(getattr(c, "levels", [0])[0] == pytest.approx(LOG_C) for c in ax.collections[1:])


def test_the_first_direction_of_a_plane_runs_to_the_right() -> None:
    at = np.linspace(-1, 1, 11)
    plane = Plane(0, at, at[:7], np.add.outer(at, 0 * at[:7]), {}, {})
    with themed("light") as colours:
        ax = Figure().add_subplot()
        plane_panel(ax, plane, LOG_C, colours)
    lowest = next(line for line in ax.lines if line.get_marker() == "v")
    assert lowest.get_xdata()[0] == -1
    assert ax.get_xlim() == (-1, 1)
    assert ax.get_ylim() == (pytest.approx(-1), pytest.approx(at[6]))


def test_density_is_one_of_all_eigenvalues() -> None:
    nodes = np.array([[-1.0, 0.0, 30.0], [0.0, 2.0, np.nan]])
    weights = np.array([[0.2, 0.7, 0.1], [0.5, 0.5, np.nan]])
    grid, values = smoothed(nodes, weights)
    assert np.trapezoid(values, grid) == pytest.approx(1, rel=1e-3)
    above = grid > 15
    assert np.trapezoid(values[above], grid[above]) == pytest.approx(0.1 / 2, rel=1e-3)  # the mean of two probes


def test_deviations_are_drawn_to_scale_unless_they_leave_the_panel() -> None:
    record = records("mlp-curvature")[0]
    histogram = next(ax for ax in panels(drawn("MINE-F13")) if "above 0" in under(ax))
    bars = [
        line for line in histogram.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == line.get_ydata()[1]
    ]
    corrected, printed = (float(np.ptp(line.get_xdata())) / 2 for line in bars)
    assert corrected == pytest.approx(float(np.sqrt(record["change_variance_corrected"].values[0, 0])))
    assert corrected < printed < float(np.sqrt(record["change_variance_printed"].values[0, 0]))
    assert {line.get_marker() for line in histogram.lines} >= {"<", ">"}


def test_the_smallest_eigenvalue_stands_in_brackets() -> None:
    titles = [ax.get_title(loc="left") for ax in panels(drawn("MINE-F13"))]
    assert titles[0] == "E = 0 [\u22123]"


def test_local_quadratics_touch_the_curve_with_its_slope_and_curvature() -> None:
    record = SliceRecord("mlp-slices", records("mlp-slices"))
    data = record.first
    parts = segments(record, 3)
    assert len(parts) == 11
    for i, (x, y) in enumerate(parts):
        a, b, c = np.polyfit(x - data["interpolation_at"].values[3, i], y, 2)
        assert np.ptp(x) == pytest.approx(0.1)
        assert c == pytest.approx(data["interpolation_loss"].values[3, i])
        assert b == pytest.approx(data["interpolation_slope"].values[3, i], abs=1e-9)
        assert 2 * a == pytest.approx(data["interpolation_curvature"].values[3, i])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.label)
def test_schematics_have_the_class_that_they_stand_for(kind: object) -> None:
    assert classify(*schematic(kind)) == kind.label


def test_a_class_without_a_measured_example_is_said_to_be_drawn() -> None:
    alone = draw("MINE-F01", {"mlp-slices": records("mlp-slices")})
    shown = [under(ax) for ax in panels(alone)]
    assert [("schematic" in text) for text in shown] == [False, False, False, True, True]
    assert "v-basin\nMLP, E = 40" in shown[0]


def test_networks_that_are_absent_are_named_with_the_reason() -> None:
    only = draw("MINE-F02", {"mlp-slices": records("mlp-slices")})
    written = texts(only).replace("\n", " ")
    assert "Not shown:" in written
    assert "ResNeXt101 on ImageNet (ImageNet and its weights are not embedded)" in written
    with pytest.raises(ValueError, match=r"MINE-F02 needs one of the runs mlp-slices, .*, got cnn"):
        draw("MINE-F02", {"cnn": records("mlp-slices")})
    with pytest.raises(ValueError, match="unknown figure 'MINE-F99': expected one of GO-F01"):
        draw("MINE-F99", {})


def test_a_condition_that_a_network_cannot_have_says_so() -> None:
    assert "no BatchNorm in this\nnetwork" in texts(drawn("MINE-F02"))


def test_planes_that_know_nothing_of_checkpoints_say_so() -> None:
    bare = [d.drop_vars("plane_off") for d in records("mlp-mining")]
    assert "not recorded" in texts(draw("MINE-X03", {"mlp-mining": bare})).replace("\n", " ")


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_is_told_in_numbers(figure_id: str) -> None:
    assert_told_in_numbers(alt_text(figure_id, runs_of(figure_id)), unknown="not measured.")


def test_words_carry_the_measured_numbers() -> None:
    data = records("mlp-slices")
    angles = np.concatenate([d[f"angle_{n}"].values.ravel() for n in ("gradient", "later", "final") for d in data])
    told = findings("MINE-F05", {"mlp-slices": data}).each[0]
    assert f"{angles.min():.2f}\u00b0 to {angles.max():.2f}\u00b0" in told
    assert f"{P:,} parameters" in told
    fall = [float(d["curve_loss"][i, 10] - d["curve_loss"][i].min()) for d in data for i in later(d)]
    assert f"falling {np.median(fall):.2g}" in findings("MINE-F04", {"mlp-slices": data}).each[0]


def later(data: xarray.Dataset) -> list[int]:
    return [int(i) for i in np.flatnonzero(data["curve_family"].values == "later")]


def test_records_are_the_same_however_seeds_are_given() -> None:
    data = slice_runs(["mlp-slices"], seeds=(0, 1))["mlp-slices"]
    stacked = xarray.concat([d.drop_attrs(deep=False) for d in data], xarray.Variable("seed", [0, 1]), data_vars="all")
    stacked = stacked.assign_attrs({k: v for k, v in data[0].attrs.items() if k != "seed"})
    split, listed = SliceRecord("mlp-slices", stacked), SliceRecord("mlp-slices", data)
    assert split.seeds == listed.seeds == [0, 1]
    for a, b in zip(split.all_curves, listed.all_curves, strict=True):
        np.testing.assert_array_equal(a.loss, b.loss)
        assert a.seed == b.seed and np.isfinite(a.at).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.5, "\u22120.5"), (1e-6, "1\u00b710\u207b\u2076"), (-2.5e7, "\u22122.5\u00b710\u2077")],
)
def test_numbers_on_axes(value: float, text: str) -> None:
    assert plain(value) == text


def test_powers_on_axes() -> None:
    assert [power(v) for v in (1e-6, 0.01, 1, 100, 1e4)] == ["10\u207b\u2076", "0.01", "1", "100", "10\u2074"]
