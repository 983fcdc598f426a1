"""Figures in words: the numbers are those of the runs, and what cannot be known is said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from figures_synthetic import SHAPES, quadratic_run, synthetic_runs

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims import Record, measure
from landscape_helpers.figures import alt_text
from landscape_helpers.figures.words import findings, spread

EVERY_RUN = synthetic_runs(tuple(SHAPES))


@pytest.mark.parametrize("figure_id", [f.id for f in load_catalogue().figures.values() if f.paper == "GO"])
def test_every_figure_is_told_in_numbers(figure_id):
    text = alt_text(figure_id, EVERY_RUN)
    assert sum(character.isdigit() for character in text) >= 10
    assert "nan" not in text.lower()
    assert text.endswith(".")


def test_the_share_is_the_one_that_claims_are_decided_on():
    runs = {"resnet18": [quadratic_run(**{**SHAPES["resnet18"], "seed": s}) for s in (0, 1, 2)]}
    shares = [100 * measure("decrease_share", Record(d)) for d in runs["resnet18"]]
    expected = f"{np.median(shares):.0f}% ({min(shares):.0f}% to {max(shares):.0f}%)"
    assert f"{expected} of the loss decrease" in alt_text("GO-F04", runs)


def test_phases_are_told_with_their_turn():
    run = quadratic_run(**SHAPES["resnet18"])
    turn = measure("transition_epoch", Record(run), direction="up")
    before = measure("phase_mean", Record(run), direction="up", side="before")
    text = alt_text("GO-F04", {"resnet18": run})
    assert f"averages {before:.2f} until epoch {turn:.0f}, then ".replace("-", "\u2212") in text


def test_a_run_without_a_turn_says_so():
    assert "without a lasting sign change" in alt_text("GO-F01", EVERY_RUN)


def test_losses_and_sharpness_are_the_recorded_ones():
    run = quadratic_run(**SHAPES["cnn"])
    text = alt_text("GO-F02", {"cnn": run})
    assert f"goes from {run.loss[0].item():.3g} to {run.loss[-1].item():.3g} nats in 150 full-batch steps" in text
    assert f"ends at {run.sharpness[-1].item():.3g}; 2/\u03b7 is 20." in text


def test_an_early_end_is_told_with_its_step_and_reason():
    run = quadratic_run(**SHAPES["cnn"], ends_at=36, status="loss became non-finite at step 37")
    text = alt_text("GO-F02", {"cnn": run})
    assert "36 full-batch steps" in text
    assert "loss became non-finite at step 37" in text


def test_seeds_of_different_length_keep_their_own_last_values():
    runs = [quadratic_run(**SHAPES["cnn"]), quadratic_run(**SHAPES["cnn"], seed=1, ends_at=80, status="stopped: x")]
    text = alt_text("GO-F02", {"cnn": runs})
    lasts = sorted(float(d.loss[-1]) for d in runs)
    assert "80 to 150 full-batch steps" in text
    assert f"({lasts[0]:.3g} to {lasts[1]:.3g})" in text


def test_a_loss_that_rises_has_no_share():
    run = quadratic_run(**SHAPES["cnn"])
    run = run.assign(loss=("step", np.sort(run.loss.values)))
    assert "The loss did not decrease." in alt_text("GO-F02", {"cnn": run})


def test_a_comparison_is_one_line_a_network_and_leaves_out_what_is_absent():
    lines = findings("GO-X01", {name: EVERY_RUN[name] for name in ("cnn", "cnn-batchnorm")}).each
    assert [line.split(":")[0] for line in lines] == ["Simple CNN", "Simple CNN with BatchNorm"]


def test_unknown_figures_and_missing_runs_are_refused_in_one_line():
    with pytest.raises(ValueError, match=r"unknown figure 'GO-F99'"):
        alt_text("GO-F99", EVERY_RUN)
    with pytest.raises(ValueError, match=r"GO-F02 needs the run 'cnn', got vgg16"):
        alt_text("GO-F02", {"vgg16": EVERY_RUN["vgg16"]})


@pytest.mark.parametrize(
    ("values", "form", "text"),
    [
        ([0.5, 0.7, 0.6], ".2f", "0.60 (0.50 to 0.70)"),
        ([0.5, 0.5], ".2f", "0.50"),
        ([-0.25, math.nan], ".2f", "\u22120.25"),
        ([math.nan], ".2f", "not known"),
        ([1.36e-5], ".1e", "1.4 \u00d7 10\u207b\u2075"),
        ([48.2, -0.0231, 1533.0], ".3g", "48.2 (\u22120.0231 to 1,530)"),
    ],
)
def test_spread(values, form, text):
    assert spread(values, form) == text
