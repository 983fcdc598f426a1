"""Figures drawn from runs whose phases are known: nothing lost, nothing global changed, everything named."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest
from figures_synthetic import SHAPES, quadratic_run, synthetic_runs
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from pictures import panels, texts
from PIL import Image

from landscape_helpers.figures import THEMES, Trajectories, alt_text, draw, stack_seeds, theme
from landscape_helpers.figures.canvas import lines_of
from landscape_helpers.figures.decimate import binned_mean, envelope, extremes, parts_of
from landscape_helpers.figures.gradient_oscillation import PLANS, opens_briefly
from landscape_helpers.figures.style import DARK, LIGHT, Theme

EVERY_RUN = synthetic_runs(tuple(SHAPES))
SINGLE_SEED = synthetic_runs(tuple(SHAPES), seeds=(4,))


def png(figure: Figure) -> np.ndarray:
    """RGBA (height, width, 4) of what a reader sees."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=70)
    return np.asarray(Image.open(file).convert("RGBA"))


def contrast(first: str, second: str) -> float:
    """WCAG 2 contrast ratio of two colours."""

    def luminance(colour: str) -> float:
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("figure_id", PLANS)
def test_every_figure_draws_with_named_axes_on_a_transparent_ground(figure_id: str, name: str) -> None:
    figure = draw(figure_id, EVERY_RUN, theme=name, scale_note="smoke scale: width 8 of 32")
    image = png(figure)
    assert image[0, -1, 3] == 0, "the corner is painted: the figure has a background of its own"
    assert 0.01 < (image[..., 3] > 128).mean() < 0.99
    assert "smoke scale: width 8 of 32" in texts(figure)
    for ax in panels(figure):
        # Panels of one row share the label of the first.
        row = ax.get_shared_y_axes().get_siblings(ax)
        assert ax.get_title(loc="left") or any(a.get_xlabel() or a.get_ylabel() for a in row)
    assert any("epoch" in ax.get_xlabel() for ax in panels(figure))
    assert any(ax.get_ylabel() for ax in panels(figure))


@pytest.mark.parametrize("figure_id", PLANS)
def test_one_seed_is_a_line_and_several_are_announced(figure_id: str) -> None:
    alone = texts(draw(figure_id, SINGLE_SEED))
    together = texts(draw(figure_id, EVERY_RUN))
    assert "range of" not in alone
    if figure_id not in ("GO-X01", "GO-X02"):
        assert "range of 3 seeds" in together
        assert "seed 4" in alone


def test_the_two_themes_differ_and_leave_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    light, dark = (png(draw("GO-F02", EVERY_RUN, theme=name)) for name in THEMES)
    assert dict(mpl.rcParams) == before
    painted = (light[..., 3] > 200) & (dark[..., 3] > 200)
    assert light[painted][:, :3].mean() < dark[painted][:, :3].mean(), "ink should be dark on light and light on dark"


def test_a_theme_restores_the_settings_after_an_exception() -> None:
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), theme("dark"):
        raise RuntimeError
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("chosen", [LIGHT, DARK], ids=lambda t: t.name)
def test_text_and_curves_stand_out_from_the_page(chosen: Theme) -> None:
    for colour in (chosen.ink, chosen.soft, chosen.alarm):
        assert contrast(colour, chosen.page) >= 4.5
    # Non-text contrast of WCAG 2.1; the first three series carry every curve that a statement rests on.
    for colour in (*chosen.series[:3], chosen.progress):
        assert contrast(colour, chosen.page) >= 3.0


def test_unknown_names_are_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="unknown theme 'sepia': expected one of light, dark"):
        draw("GO-F02", EVERY_RUN, theme="sepia")
    with pytest.raises(ValueError, match="unknown figure 'GO-F99': expected one of GO-F01"):
        draw("GO-F99", EVERY_RUN)
    with pytest.raises(ValueError, match="GO-F03 needs the run 'vgg16'"):
        draw("GO-F03", {"cnn": EVERY_RUN["cnn"]})


def test_a_run_without_matrices_or_sharpness_still_shows_the_rest() -> None:
    runs = {"cnn": [quadratic_run(matrices_at=(), sharpness_every=0, seed=s) for s in (0, 1)]}
    figure = draw("GO-F02", runs)
    written = texts(figure)
    assert "no correlation matrix" in written
    assert "Sharpness" not in written
    assert "Share of the loss decrease" in written


def test_sharpness_counts_as_measured_where_a_step_has_it() -> None:
    run = quadratic_run()
    assert Trajectories(run).has_sharpness is True
    assert Trajectories([run, quadratic_run(seed=1)]).has_sharpness is True
    assert Trajectories(quadratic_run(sharpness_every=0)).has_sharpness is False
    never = run.isel(stop=slice(0, 0))  # asked for, and the run ended before the first
    assert "sharpness" in never and Trajectories(never).has_sharpness is False
    assert "sharpness" not in alt_text("GO-F10", {"cnn-small-rate": never})
    assert "Sharpness" not in texts(draw("GO-F02", {"cnn": never}))


@pytest.mark.parametrize("form", ["one dataset a seed", "one text for all seeds"])
def test_a_run_that_broke_off_says_so_and_the_others_go_on(form: str) -> None:
    status = "loss became non-finite at step 80"
    seeds = [quadratic_run(seed=0), quadratic_run(seed=1, ends_at=80, status=status)]
    runs = seeds if form == "one dataset a seed" else stack_seeds(seeds).drop_vars("status")
    if form == "one text for all seeds":
        runs.attrs["status"] = f"seed 0: completed; seed 1: {status}"
    trajectories = Trajectories(runs)
    assert [(e.seed, e.step, e.failed) for e in trajectories.endings] == [(1, 80, True)]
    assert trajectories.last_steps == [150, 80]
    written = texts(draw("GO-F02", {"cnn": runs})).replace("\n", " ")
    assert "seed 1: loss became non-finite at step 80" in written


def test_a_run_that_stopped_by_rule_is_not_called_a_failure() -> None:
    status = "stopped: loss below 0.01 at step 90"
    run = Trajectories([quadratic_run(ends_at=90, status=status)])
    assert [(e.step, e.failed) for e in run.endings] == [(90, False)]
    assert "loss below 0.01" in texts(draw("GO-F02", {"cnn": [quadratic_run(ends_at=90, status=status)]}))


def test_a_comparison_shows_what_there_is_and_names_what_there_is_not() -> None:
    figure = draw("GO-X01", {name: EVERY_RUN[name] for name in ("cnn", "cnn-batchnorm")})
    assert "not run" in texts(figure)
    with pytest.raises(ValueError, match="GO-X01 needs the run"):
        draw("GO-X01", {})


def test_epochs_of_the_paper_stand_where_they_are_and_those_out_of_reach_are_left_out() -> None:
    figure = draw("GO-F02", EVERY_RUN, log_epochs=False)
    loss = next(ax for ax in panels(figure) if "loss" in ax.get_ylabel())
    marked = [line.get_xdata()[0] for line in loss.lines if len(set(np.atleast_1d(line.get_xdata()))) == 1]
    assert 10 in marked, "the paper names epochs 10 and 800"
    assert 800 not in marked, "this run has 150 steps"


def test_the_axis_is_logarithmic_where_a_short_phase_opens_the_run() -> None:
    assert opens_briefly(Trajectories([quadratic_run(turn=0.05, steps=1000)]))
    assert not opens_briefly(Trajectories([quadratic_run(turn=0.5, steps=1000)]))
    for log, scale in ((True, "symlog"), (False, "linear")):
        figure = draw("GO-F02", EVERY_RUN, log_epochs=log)
        loss = next(ax for ax in panels(figure) if "loss" in ax.get_ylabel())
        assert loss.get_xscale() == scale
        assert ("log scale" in loss.get_xlabel()) == log


@pytest.mark.parametrize("log", [False, True])
def test_no_step_of_a_long_run_is_lost(log: bool) -> None:
    x = np.arange(30_001)
    y = np.cos(np.pi * x)  # period two: every stride of even length would draw a flat line
    y[12_345] = -9.0
    kept_x, kept_y = extremes(x, y, log=log)
    assert len(kept_x) <= 1000
    assert kept_y.min() == -9.0
    assert kept_x[kept_y.argmin()] == 12_345
    assert (np.diff(kept_x) > 0).all()
    _, low, high = envelope(x, y, y + 1, log=log)
    assert (low.min(), high.max()) == (-9.0, 2.0)
    assert np.array_equal(np.concatenate(parts_of(x, 500, log)), x)


@pytest.mark.parametrize("log", [False, True])
def test_binned_means_cover_the_axis_and_keep_the_mean(log: bool) -> None:
    x = np.arange(5_000.0)
    edges, means = binned_mean(x, (x >= 2_500).astype(float), log=log)
    assert (edges[0], edges[-1]) == (-0.5, 4_999.5)
    assert (np.diff(edges) > 0).all()
    assert (means * np.diff(edges)).sum() == pytest.approx(2_500)


def test_a_gap_stays_a_gap() -> None:
    y = np.ones(4_000)
    y[1_000:3_000] = np.nan
    _, kept = extremes(np.arange(4_000), y)
    assert np.isnan(kept).any()
    assert np.isfinite(kept).any()


def test_seeds_of_different_settings_are_not_stacked() -> None:
    with pytest.raises(ValueError, match="must share their parameters"):
        stack_seeds([quadratic_run(seed=0), quadratic_run(seed=1, lr=0.2)])
    with pytest.raises(ValueError, match="no run to stack"):
        stack_seeds([])


def test_no_word_of_a_note_is_left_to_a_line_of_its_own() -> None:
    text = "word " * 23 + "three seeds."
    assert len(text) > 118
    first, last = lines_of(text)
    assert len(last) > 118 // 4 and f"{first} {last}" == text
    assert lines_of("Short.") == ["Short."] and lines_of("") == []
