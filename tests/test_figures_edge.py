"""Every figure of the singularity paper: its frame, its themes, what it says of runs that are absent, or that ended."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import xarray
from drawn_edge import NOTE, TANH, data, drawn, runs_of
from matplotlib.figure import Figure
from pictures import assert_both_themes_are_laid_out_alike_and_differ, panels, texts
from synthetic_edge import edge_run, flow_run

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures import alt_text, draw
from landscape_helpers.figures.edge_axes import range_of, say_beyond
from landscape_helpers.figures.edge_figures import FLOWS, LAYOUTS
from landscape_helpers.figures.edge_record import EdgeRecord, FlowRecord, Series, unconverged
from landscape_helpers.figures.edge_words import WORDS
from landscape_helpers.figures.papers import compares, paper_of
from landscape_helpers.figures.style import LIGHT
from landscape_helpers.figures.words import findings


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
    assert_both_themes_are_laid_out_alike_and_differ(figure_id, runs_of(figure_id))


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
    assert findings("SING-F04", {"entry": run}).remarks == [said]


def test_runs_that_are_absent_are_named_with_the_reason() -> None:
    only = texts(draw("SING-F01", {"vgg16-relu-0.001": data("vgg16-relu-0.001")})).replace("\n", " ")
    assert "Not shown:" in only and "(not run)" in only
    with pytest.raises(ValueError, match=r"SING-F04 needs one of the runs entry, got alexnet"):
        draw("SING-F04", {"alexnet": data("entry")})
    with pytest.raises(ValueError, match="unknown figure 'SING-F99': expected one of GO-F01"):
        draw("SING-F99", {})


def test_what_many_settings_come_to_is_counted() -> None:
    settings = {f"vgg16-relu-{rate}": (edge_run(0, lr=lr), edge_run(1, lr=lr)) for rate, lr in
                (("0.003", 0.003), ("0.001", 0.001), ("0.0003", 0.0003))}  # fmt: skip
    heights = [np.median([float(d["rho"].max("stop")[int(d.attrs["n_classes"]) - 2]) for d in pair]) for pair in
               settings.values()]  # fmt: skip
    above, beyond = sum(h > 0.7 for h in heights), sum(h > 1 for h in heights)
    lead = findings("SING-F01", settings).lead
    assert f"the last top pair rises above 0.7 in {above} of 3 settings and above 1 in {beyond}" in lead
    changes = [np.median([float(d["change_top"].values[d["rho"].values[:, int(d.attrs["n_classes"]) - 2] > 0.7].mean())
                          for d in pair]) for pair in settings.values()]  # fmt: skip
    told = findings("SING-T01", settings).lead
    assert f"positive in {sum(c > 0 for c in changes)} of them and negative in {sum(c < 0 for c in changes)}" in told


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


def test_a_curve_that_leaves_the_axis_is_said_to() -> None:
    ax = Figure().subplots()
    ax.set(xlim=(0, 2), ylim=(0, 1.7))
    t = np.array([0.0, 1.0, 2.0])
    say_beyond(ax, [Series(t, np.array([np.nan, 1.7, 0.5]))], LIGHT)
    assert not ax.texts
    say_beyond(ax, [Series(t, np.array([6.5, 1.0, 0.5])), Series(t, np.array([2.0, 1.0, 1.9]))], LIGHT)
    assert [text.get_text() for text in ax.texts] == ["\u25b2 up to 6.5"]
