"""The chapter's slider: every regime on it, the library's own numbers, notes that say what happened."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from landscape_helpers.data import load_data
from landscape_helpers.explore import FrameExplorer, learning_rate_explorer
from landscape_helpers.explore.learning_rate import frame, note, regime, train
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

RATES = (0.03, 1.6, 6.0)


@functools.cache
def small() -> FrameExplorer:
    return learning_rate_explorer(RATES)


def objective(**options: object) -> Objective:
    images = load_data("digits", n_train=500)
    x, y, _, _ = images.standardised()
    return Objective(build_model("mlp", images.n_classes, images.input_shape, seed=0, **options), x, y)


def test_the_slider_passes_through_all_three_regimes() -> None:
    e = small()
    assert [b[0] for b in e.spec["sliders"][0]["bands"]] == ["smooth", "oscillates", "diverges"]
    assert [n.split(":")[0] for n in e.notes] == ["Smooth", "Oscillating", "Diverged"]
    assert e.position == [1.0], "the oscillating run is shown first"
    smooth, oscillating, diverged = (e.frame(i).curves for i in range(3))
    assert np.nanmin(smooth["correlation"]) > 0.5
    assert np.nanmin(oscillating["windowed"]) < -0.5 and oscillating["loss"][-1] < 0.1 * oscillating["loss"][0]
    assert diverged["loss"][-1] > diverged["loss"][0]


def test_stored_and_live_frames_are_the_same_run() -> None:
    e = small()
    assert e._compute is not None
    live, stored = e._compute(RATES[1]), e.frame(1)
    for key, values in stored.curves.items():
        np.testing.assert_allclose(np.asarray(live.curves[key], np.float32), values, rtol=1e-5, err_msg=key)
    assert live.note == stored.note


def test_curves_are_those_of_plain_gradient_descent() -> None:
    f = objective(hidden=(24, 24), activation="tanh")
    theta, losses, cosines, before = f.theta, [], [], None
    for _ in range(4):
        losses.append(f.loss(theta))
        g = f.gradient(theta)
        if before is not None:
            cosines.append(float(torch.nn.functional.cosine_similarity(g, before, dim=0)))
        before, theta = g, theta - RATES[1] * g
    stored = small().frame(1).curves
    np.testing.assert_allclose(stored["loss"][:4], losses, rtol=1e-4)
    np.testing.assert_allclose(stored["correlation"][1:4], cosines, rtol=1e-3)


def test_lines_follow_the_rate() -> None:
    for i, rate in enumerate(RATES):
        assert small().frame(i).references == pytest.approx({"two": 2 / rate, "one": 1 / rate})


def test_overflow_is_named_with_its_step_and_keeps_what_came_before() -> None:
    f = objective(hidden=(64, 64, 64, 64), activation="relu")
    record = train(f, 64.0, steps=40)
    last = record.sizes["step"]
    assert last < 40 and np.isfinite(record["loss"].values).all()
    assert regime(record) == "diverges"
    assert note(record) == f"Diverged: loss became non-finite at step {last}."
    assert len(np.asarray(frame(record).curves["loss"])) == last


def test_the_caption_and_alt_text_carry_the_numbers() -> None:
    e = small()
    assert "500 images of digits, 60 steps" in e.caption
    assert "at rates from 6 to 6 the loss ends above its start" in e.alt


@pytest.mark.parametrize(
    ("rates", "message"),
    [([-0.1, 0.1], "above 0"), ([0.2, 0.1], "strictly increasing"), ([0.1], "at least two")],
)
def test_bad_rates_are_refused_before_any_training(rates: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learning_rate_explorer(rates, data="no such data")
