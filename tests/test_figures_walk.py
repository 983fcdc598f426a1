"""Figures of the walk with SGD, drawn from descents on a bowl whose floors, heights and cosines are known."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import xarray
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from pictures import assert_both_themes_are_laid_out_alike_and_differ, drawings, panels, texts
from synthetic_walk import run_of, walk_run
from table_cells import Cells
from told import assert_told_in_numbers

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.figures import alt_text, draw
from landscape_helpers.figures.card import card
from landscape_helpers.figures.image import render
from landscape_helpers.figures.papers import PAPERS, compares, paper_of
from landscape_helpers.figures.style import theme as themed
from landscape_helpers.figures.walk_barriers import by_epoch, relative_barriers
from landscape_helpers.figures.walk_comparison import has_batchnorm
from landscape_helpers.figures.walk_figures import LAYOUTS
from landscape_helpers.figures.walk_heights import height_pairs
from landscape_helpers.figures.walk_noise import final_norms
from landscape_helpers.figures.walk_record import WalkRecord, moving_average
from landscape_helpers.figures.walk_schedules import best_accuracy, by_kind
from landscape_helpers.figures.walk_spectrum import spectral_norm
from landscape_helpers.figures.walk_sweeps import smoothing, sweeps
from landscape_helpers.figures.walk_tables import UPDATES, table_of
from landscape_helpers.figures.walk_trajectory import shorten_ticks
from landscape_helpers.figures.walk_words import WORDS
from landscape_helpers.figures.words import data_table, findings
from landscape_helpers.store import Store

NOTE = "smoke scale: width 4 of 64, 300 of 45,000 images"
BARRIERS = (3, 75, 80)  # updates of the first seed of vgg11-sgd; epoch 1, and epochs 26 and 27 of 3 updates each


@cache
def data(run: str) -> tuple[xarray.Dataset, ...]:
    """Two seeds."""
    bumps = {"barriers": BARRIERS} if run == "vgg11-sgd" else {}
    return tuple(run_of(run, seed, **(bumps if seed == 0 else {})) for seed in (0, 1))


runs_of, drawn = drawings(data, NOTE)


def record(run: str) -> WalkRecord:
    return WalkRecord(run, data(run))


def records(figure_id: str) -> dict[str, WalkRecord]:
    return {run: record(run) for run in load_catalogue().figure(figure_id).runs}


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_says_its_scale_and_names_its_axes(figure_id: str) -> None:
    figure = drawn(figure_id)
    written = texts(figure)
    assert NOTE in written.replace("\n", " ")
    assert "nan" not in written.lower() and "inf" not in written.lower().split()
    if figure_id.startswith("WALK-T"):
        return
    labels = " ".join(ax.get_xlabel() + ax.get_ylabel() for ax in panels(figure))
    unitless = {"WALK-F08", "WALK-F28", "WALK-X01"}  # shares, contraction, norms of four matrices
    assert figure_id in unitless or "nats" in labels or "cosine" in labels
    assert len(figure.legends) == 1 and figure.legends[0].get_texts()


def test_the_catalogue_and_the_layouts_have_the_same_figures() -> None:
    known = [f.id for f in load_catalogue().figures.values() if f.paper == "WALK"]
    assert sorted(known) == sorted(LAYOUTS) == sorted(WORDS)
    assert all(compares(figure_id) for figure_id in LAYOUTS)


def test_papers_are_a_table() -> None:
    assert [paper_of(f) for f in ("GO-F02", "MINE-F02", "WALK-F02")] == ["GO", "MINE", "WALK"]
    every = [figure for paper in PAPERS.values() for figure in paper.figures]
    assert len(every) == len(set(every))
    assert all(load_catalogue().figure(figure).paper == paper_of(figure) for figure in every)
    with pytest.raises(ValueError, match=r"unknown figure 'WALK-F99': expected one of GO-F01, .*WALK-X04"):
        paper_of("WALK-F99")


def test_a_figure_of_the_catalogue_that_nothing_draws_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PAPERS, "WALK")
    with pytest.raises(ValueError, match=r"^nothing draws figure 'WALK-F01' of the catalogue: enter it in figures/"):
        paper_of("WALK-F01")


@pytest.mark.parametrize("figure_id", ["WALK-F02", "WALK-T02"])
def test_both_themes_are_laid_out_alike_and_differ(figure_id: str) -> None:
    assert_both_themes_are_laid_out_alike_and_differ(figure_id, runs_of(figure_id))


def test_a_trajectory_draws_every_sampled_point_and_joins_the_floors() -> None:
    first = data("vgg11-sgd")[0]
    top = panels(drawn("WALK-F02"))[0]
    alpha, losses = first["alpha"].values, first["step_loss"].values[:40]
    arcs = max(top.lines, key=lambda line: len(line.get_xdata()))
    np.testing.assert_allclose(arcs.get_xdata(), np.concatenate([t + alpha for t in range(40)]))
    np.testing.assert_allclose(arcs.get_ydata(), losses.ravel())
    floors = next(line for line in top.lines if line.is_dashed() and len(line.get_xdata()) == 40)
    np.testing.assert_allclose(floors.get_ydata(), [min(row) for row in losses])
    np.testing.assert_allclose(
        floors.get_xdata(), [t + alpha[list(row).index(min(row))] for t, row in enumerate(losses)]
    )
    crosses = [line for line in top.lines if line.get_marker() == "X"]
    assert [x for line in crosses for x in line.get_xdata()] == [BARRIERS[0] + 0.5]


def test_the_numbers_over_a_trajectory_are_those_of_a_plain_loop() -> None:
    losses = data("resnet56-sgd")[0]["step_loss"].values[:40]
    inside = sum(min(row[1:-1]) < min(row[0], row[-1]) for row in losses)
    rises = sum(min(b) > min(a) for a, b in pairwise(losses))
    told = texts(drawn("WALK-F10"))
    assert f"minimum inside {inside} of 40 steps" in told
    assert f"floor rises {rises} of 39 times, no barrier crossed" in told
    assert "1 barrier crossed" in texts(drawn("WALK-F02"))


def test_a_later_epoch_starts_at_its_own_update() -> None:
    ax = panels(drawn("WALK-F15"))[-1]
    first = data("vgg11-sgd")[0]
    assert ax.get_xlabel() == "iteration (0: update 72)"  # epoch 25 of 3 updates each
    n = min(40, max(n for epoch, n in record("vgg11-sgd").parameters["windows"] if epoch == 25))
    lines = [line for line in ax.lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(lines[0].get_ydata(), first["distance"].values[72 : 73 + n])


def test_columns_that_compare_share_their_axes() -> None:
    axes = drawn("WALK-F10").axes
    assert len(axes) == 6
    for left, right in zip(axes[::2], axes[1::2], strict=True):
        assert left.get_ylim() == right.get_ylim()
    assert axes[2].get_ylim()[0] < -1 and axes[2].get_ylim()[1] > 0


def test_full_batch_cosines_are_drawn_where_they_were_recorded() -> None:
    assert "full-batch gradients" in texts(drawn("WALK-F02"))
    assert "full-batch gradients" not in texts(drawn("WALK-F10"))
    middle = drawn("WALK-F14").axes[1]
    full = next(line for line in middle.lines if line.is_dashed())
    first = data("vgg11-sgd")[0]
    np.testing.assert_allclose(full.get_ydata(), first["full_cosine"].values[3:43])
    np.testing.assert_allclose(full.get_xdata(), np.arange(1, 41))


def test_windows_that_overlap_are_whole_and_losses_that_blow_up_end_one() -> None:
    run = walk_run({"n_train": 300, "epochs": 20, "windows": [[1, 40], [2, 40], [5, 3]]})
    windows = WalkRecord("vgg11-sgd", run).windows()
    assert [(w.epoch, w.start, len(w.updates)) for w in windows] == [(1, 0, 40), (2, 3, 40), (5, 12, 3)]
    run["step_loss"][20] = np.inf
    windows = WalkRecord("vgg11-sgd", run).windows()
    assert [len(w.updates) for w in windows] == [20, 17, 3]
    assert WalkRecord("vgg11-sgd", run).window(7) is None
    epochs = WalkRecord("vgg11-sgd", run).epochs(40)
    assert [len(w.updates) for w in epochs.values()] == [3] * 6 + [2] + [3] * 7 + [1]


def test_runs_are_grouped_by_what_differs_in_them() -> None:
    by_batch, by_rate = sweeps(records("WALK-F04"))
    assert by_batch.values == [50, 100, 200, 400, 800] and by_batch.kept == "\u03b7 = 0.1"
    assert by_rate.values == [0.025, 0.05, 0.1, 0.2] and by_rate.kept == "batches of 100"
    expected = [np.nanmean(d["cosine"].values) for d in data("vgg11-batch-200")]
    np.testing.assert_allclose(by_batch.means()[2], expected)


def test_the_moving_average_is_a_plain_one_of_a_hundred_iterations() -> None:
    values = np.random.default_rng(0).standard_normal((2, 50))
    smooth = moving_average(values, 7)
    np.testing.assert_allclose(smooth[1], [values[1, i : i + 7].mean() for i in range(44)])
    long = WalkRecord("x", walk_run({"n_train": 300, "windows": [], "steps": 400}))
    short = WalkRecord("x", walk_run({"n_train": 300, "windows": [], "steps": 60}))
    assert smoothing([long]) == 100 and smoothing([long, short]) == 15
    assert "moving average of 15 iterations" in texts(drawn("WALK-F04"))
    alone = draw("WALK-F04", {"vgg11-batch-50": data("vgg11-batch-50")})
    assert "fewer than two runs that differ in their batch size" in texts(alone).replace("\n", " ")


def test_noise_is_named_by_its_variance_and_final_norms_are_told() -> None:
    figure = drawn("WALK-F05")
    assert [t.get_text() for t in figure.legends[0].get_texts()][:4] == [
        "GD", "GD + noise, variance 0.014", "GD + noise, variance 0.028", "SGD, batch 100",
    ]  # fmt: skip
    assert all(ax.get_xlim()[1] < 62 for ax in figure.axes)  # SGD goes on for longer
    last = [float(d["theta_norm"].values[-1]) for d in data("vgg11-noise-0.1")]
    assert final_norms(record("vgg11-noise-0.1")) == last
    assert f"{np.median(last):.3g}" in texts(figure)


def test_of_each_schedule_the_best_peak_is_drawn_strongly() -> None:
    kinds = by_kind(records("WALK-F06"))
    assert list(kinds) == ["cyclical", "steps_at", "trapezoid"]
    for runs in kinds.values():
        best = [float(np.median([d["validation_accuracy"].values.max() for d in r.datasets])) for r in runs]
        assert best == sorted(best, reverse=True) and best[0] == best_accuracy(runs[0])
    widths = sorted(line.get_linewidth() for line in drawn("WALK-F06").axes[2].lines)
    assert widths == [0.6] * 6 + [1.6] * 3


def test_the_spectral_norm_is_the_largest_by_size() -> None:
    run = data("vgg11-sgd")[0].copy(deep=True)
    run["lambda_min"][2] = -99.0
    epochs, norms = spectral_norm(WalkRecord("vgg11-sgd", run))
    assert norms[0, 2] == 99 and epochs[2] == run["stop"].values[2] / 3
    assert norms[0, 0] == run["lambda_max"].values[0]


def test_barriers_are_counted_by_epoch_and_held_against_the_loss() -> None:
    told = by_epoch(record("vgg11-sgd"))
    crossed = {epoch: int(windows[0].crossed.sum()) for epoch, windows in told.items()}
    assert {epoch for epoch, n in crossed.items() if n} == {2, 26, 27} and set(told) <= set(range(1, 41))
    losses = data("vgg11-sgd")[0]["step_loss"].values
    row = losses[BARRIERS[0]]
    expected = (row.max() - max(row[0], row[-1])) / row[0]
    np.testing.assert_allclose(relative_barriers(told[2][0]), [expected])


def test_table_1_counts_barriers_at_their_share_of_450_updates() -> None:
    table = table_of("WALK-T01", records("WALK-T01"))
    name, cells = table.rows[0]
    assert name == "VGG-11 with BatchNorm, \u03b7 = 0.1"
    assert cells[0].ours == f"{UPDATES * 1 / 40 / 2:.3g}"  # one of 40 in one seed, none in the other
    assert cells[0].asides == ("0 to 11.2", "1 of 80 sampled")
    assert [c.paper for c in cells] == ["0", "0", "5", "13"]
    mlp = next(cells for name, cells in table.rows if name.startswith("MLP"))
    assert (mlp[3].ours, mlp[3].paper) == ("not sampled", "\u2013")


@pytest.mark.parametrize("figure_id", ["WALK-T01", "WALK-T02"])
def test_tables_are_the_same_drawn_and_as_html(figure_id: str) -> None:
    html = data_table(figure_id, runs_of(figure_id))
    page = Cells(html)
    table = table_of(figure_id, records(figure_id))
    assert page.scopes == ["col"] * 5 + ["row"] * len(table.rows)
    assert "<caption>" in html
    written = texts(drawn(figure_id))
    for text, cell in zip(page.cells, [c for _, cells in table.rows for c in cells], strict=True):
        assert text.startswith(f"ours {cell.ours}")
        assert cell.ours in written and f"paper: {cell.paper}" in written
    assert data_table("WALK-F01", runs_of("WALK-F01")) == ""


def test_mean_heights_are_those_of_a_plain_loop() -> None:
    cells = dict(table_of("WALK-T02", records("WALK-T02")).rows)["ResNet-8, \u03b7 = 0.3"]
    means = []
    for run in data("resnet56-sgd-rate-0.3"):
        rows = run["step_loss"].values[run["update_epoch"].values == 1]
        means.append(np.mean([(row[0] + row[-1]) / 2 - min(row) for row in rows]))
    assert cells[0].ours == f"{np.median(means):#.2g}"
    assert cells[0].paper == "0.0380"


def test_on_a_bowl_the_height_is_the_quadratics() -> None:
    for run in ("vgg11-gd", "vgg11-sgd"):
        pairs = height_pairs(WalkRecord(run, data(run)[1]))
        assert pairs is not None and pairs.inside.any()
        # The floor is read off a grid of twelve points, so that a height is at most that of the parabola.
        assert pairs.ratio() == pytest.approx(1, abs=0.02)
        assert pairs.correlation() > 0.999
        assert (pairs.measured <= pairs.predicted * (1 + 1e-9)).all()
    assert height_pairs(record("resnet56-sgd")) is None
    assert "not recorded" in texts(draw("WALK-X02", {"vgg11-sgd": [bare(d) for d in data("vgg11-sgd")]}))


def bare(run: xarray.Dataset) -> xarray.Dataset:
    return run.drop_vars(["slope_start", "slope_end"])


def test_batchnorm_is_read_off_the_network() -> None:
    assert [has_batchnorm(record(r)) for r in ("vgg11-gd", "vgg11-plain-gd", "resnet56-gd")] == [True, False, True]
    labels = [t.get_text() for ax in drawn("WALK-X04").axes[-2:] for t in ax.get_xticklabels()]
    assert labels[:4] == ["GD\nBatchNorm", "GD\nno BatchNorm", "SGD\nBatchNorm", "SGD\nno BatchNorm"]


def test_simulated_contraction_lies_on_the_lines() -> None:
    left = panels(drawn("WALK-F28"))[0]
    bowl = data("quadratic-bowl")[0]
    for line in left.lines:
        if line.get_linestyle() == "None" and len(line.get_xdata()):
            x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
            distance = [
                np.min(np.abs(np.abs(bowl["eigenvalue"].values * a - 1) - b)) for a, b in zip(x, y, strict=True)
            ]
            assert np.max(distance) < 1e-12
            if line.get_marker() == "D":  # flips its sign: only where lambda_max eta > 1
                assert (x * 10 > 1).all()
    with themed("light") as colours:
        shaded = [p for p in left.patches if to_hex(p.get_facecolor()) == to_hex(colours.series[0])]
    assert shaded[0].get_x() == pytest.approx(0.1) and shaded[0].get_width() == pytest.approx(0.1)


def test_runs_that_are_absent_are_named_with_the_reason() -> None:
    told = texts(draw("WALK-F02", {"vgg11-sgd": data("vgg11-sgd")})).replace("\n", " ")
    assert "Not shown: vgg11-gd (not run)" in told
    told = texts(draw("WALK-X03", {"vgg11-sgd": data("vgg11-sgd"), "vgg11-gd": data("vgg11-gd")})).replace("\n", " ")
    assert "MLP on MNIST (not run)" in told
    told = texts(draw("WALK-F21", {"tiny-sgd": data("tiny-sgd")})).replace("\n", " ")
    assert "Not shown: tiny-gd (Tiny ImageNet is not embedded)" in told
    with pytest.raises(ValueError, match=r"WALK-F01 needs one of the runs vgg11-gd, got mlp"):
        draw("WALK-F01", {"mlp": data("vgg11-gd")})


@pytest.mark.parametrize("figure_id", LAYOUTS)
def test_every_figure_is_told_in_numbers(figure_id: str) -> None:
    assert_told_in_numbers(alt_text(figure_id, runs_of(figure_id)), unknown="not known")


def test_words_carry_the_measured_numbers() -> None:
    told = findings("WALK-F03", runs_of("WALK-F03")).each[0]
    first, last = data("vgg11-sgd")[0]["lambda_max"].values[[0, -1]]
    assert f"starts at {first:.3g}" in told and f"ends at {last:.3g}" in told and "2/\u03b7 = 20" in told
    gd = [d["distance"].values[40] for d in data("vgg11-gd")]
    assert f"distance {np.median(gd):.3g}" in findings("WALK-F01", runs_of("WALK-F01")).each[0]


def test_records_are_the_same_however_seeds_are_given() -> None:
    listed = record("vgg11-gd")
    stacked = xarray.concat(
        [d.drop_attrs(deep=False) for d in listed.datasets], xarray.Variable("seed", [0, 1]), data_vars="all"
    ).assign_attrs(listed.first.attrs)  # results loaded together carry the first one's, its seed among them
    split = WalkRecord("vgg11-gd", stacked)
    assert split.seeds == listed.seeds == [0, 1]
    for seed in (0, 1):
        np.testing.assert_array_equal(split.windows(seed)[0].losses, listed.windows(seed)[0].losses)
    np.testing.assert_array_equal(split.over("cosine")[1], listed.over("cosine")[1])


def test_seeds_of_different_length_are_padded() -> None:
    short = data("vgg11-gd")[0].isel(step=slice(0, 30))
    steps, values = WalkRecord("vgg11-gd", [short, data("vgg11-gd")[1]]).over("distance")
    assert len(steps) == 41 and np.isnan(values[0, 30:]).all() and np.isfinite(values[1]).all()


def broken_off(run: str, step: int) -> xarray.Dataset:
    """The first seed with nothing beyond a step, where its loss was infinite."""
    short = data(run)[0].isel(step=slice(0, step + 1)).copy(deep=True)
    for name in ("batch_loss", "distance", "theta_norm"):
        short[name][step] = np.inf
    short["cosine"][step] = np.nan
    for dimension in ("update", "evaluation", "stop"):
        if dimension in short.dims:
            short = short.isel({dimension: short[dimension].values < step})
    return short.assign_attrs(status=f"loss became non-finite in epoch 5 (step {step})")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure_id", ["WALK-F02", "WALK-F03", "WALK-F05", "WALK-F06", "WALK-T02", "WALK-X03"])
def test_a_seed_that_broke_off_is_drawn_as_far_as_it_went_and_told(figure_id: str) -> None:
    runs = {run: [broken_off(run, 15), data(run)[1]] for run in load_catalogue().figure(figure_id).runs}
    figure = draw(figure_id, runs)
    figure.draw_without_rendering()
    for text in (texts(figure).replace("\n", " "), alt_text(figure_id, runs)):
        assert "seed 0: loss became non-finite in epoch 5 (step 15)" in text
        assert "nan" not in text.lower()


def test_where_the_first_seed_did_not_get_the_next_one_is_drawn() -> None:
    runs = {"vgg11-sgd": [broken_off("vgg11-sgd", 60), data("vgg11-sgd")[1]]}
    figure = draw("WALK-F16", runs)
    assert ", seed 1: minimum inside" in texts(figure)
    drawn_losses = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata())).get_ydata()
    assert drawn_losses[0] == pytest.approx(WalkRecord("vgg11-sgd", runs["vgg11-sgd"]).window(100, 1).losses[0, 0])
    alone = draw("WALK-F16", {"vgg11-sgd": runs["vgg11-sgd"][:1]})
    assert "no step from epoch 100 on was sampled" in texts(alone).replace("\n", " ")


@pytest.mark.parametrize(("figure_id", "expected"), [("WALK-T01", "<caption>Barriers"), ("WALK-F28", "problem")])
def test_cards_of_tables_and_of_what_has_no_network(figure_id: str, expected: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("landscape_helpers.figures.card_html.render", lambda drawing, dpi: render(drawing, dpi=30))
    store = Store(out=tmp_path, search=[])
    for run in load_catalogue().figure(figure_id).runs:
        spec = load_catalogue().spec(run, "smoke")
        store.save(spec, 0, data(run)[0])
    html = card(figure_id, "smoke", store=store).html
    assert expected in html
    assert html.count("<img") == 2


def test_losses_far_below_one_are_in_a_power_of_ten_of_a_nat() -> None:
    for top, label, ticks in ((7.95e-4, "loss, whole training set\n(10\u207b\u2074 nats)", "7.95"), (0.2, "", "0.2")):
        ax = Figure().subplots()
        ax.set_ylim(0, 1.05 * top)
        shorten_ticks(ax)
        assert ax.get_ylabel() == label
        assert not label or ax.yaxis.get_major_formatter()(top, 0) == ticks
