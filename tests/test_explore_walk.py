"""The walk's explorer: the plain loop's numbers, three things that can happen, a cursor that runs along them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import xarray

from landscape_helpers.data import load_data
from landscape_helpers.explore import Cursor, Frame, FrameExplorer, Panel, Series, Slider, walk_explorer
from landscape_helpers.explore.picture import _places
from landscape_helpers.explore.walk import POINTS, WALK, batch_sizes, frame, note, regime, train
from landscape_helpers.minibatch import MiniBatches
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective
from landscape_helpers.shapes import valley

RATES = (0.1, 1.1)
UPDATES = 8


@functools.cache
def small() -> FrameExplorer:
    return walk_explorer(rates=RATES, updates=UPDATES, n_train=60)


def objective(n: int = 60, dtype: torch.dtype = torch.float32, **options: object) -> Objective:
    images = load_data("digits", n_train=n)
    x, y, _, _ = images.standardised()
    options = options or {"hidden": (12,), "activation": "tanh"}
    return Objective(build_model("mlp", images.n_classes, images.input_shape, seed=0, **options), x, y, dtype=dtype)


def record(*steps: list[float], status: str = "completed") -> xarray.Dataset:
    """A run with these losses along its steps."""
    losses = np.array(steps, dtype=float).reshape(len(steps), -1)
    alpha = np.linspace(0, 1, losses.shape[1])
    return xarray.Dataset(
        {
            "step_loss": (("update", "alpha"), losses),
            "cosine": ("step", np.r_[np.nan, np.full(len(losses), -0.25)]),
            "distance": ("step", np.arange(len(losses) + 1.0)),
        },
        coords={"alpha": alpha},
        attrs={"status": status, "updates": len(losses)},
    )


@pytest.mark.parametrize(("place", "batch"), [((0, 1), 8), ((1, 4), 60)])
def test_curves_are_those_of_a_plain_loop_in_double_precision(place: tuple[int, int], batch: int) -> None:
    f, rate = objective(dtype=torch.float64), RATES[place[0]]
    batches = MiniBatches(f, batch, seed=0)
    order = [b for epoch in range(1, 10) for b in batches.epoch(epoch)]
    thetas, cosines, before = [f.theta], [], None
    for k in range(UPDATES + 1):
        _, g = batches.gradient(thetas[-1], order[k])
        if before is not None:
            cosines.append(float(torch.nn.functional.cosine_similarity(g, before, dim=0)))
        before = g
        thetas.append(thetas[-1] - rate * g)
    shown = small().frame(*place).curves
    along = [
        f.loss(thetas[k] + j / (POINTS + 1) * (thetas[k + 1] - thetas[k])) for k in range(UPDATES) for j in range(11)
    ]
    along.append(f.loss(thetas[UPDATES]))
    np.testing.assert_allclose(shown["along"], along, rtol=1e-4)
    np.testing.assert_array_equal(shown["iterates"], np.asarray(shown["along"])[:: POINTS + 1])
    np.testing.assert_allclose(shown["cosine"], [np.nan, *cosines], atol=1e-4)
    distances = [float((theta - f.theta).norm()) for theta in thetas[: UPDATES + 1]]
    np.testing.assert_allclose(shown["distance"], distances, rtol=1e-4)


def test_the_floor_lies_on_the_curve_at_the_lowest_point_of_each_step() -> None:
    shown = small().frame(1, 1).curves
    along, floor = np.asarray(shown["along"]), np.asarray(shown["floor"])
    at = np.rint(floor[:, 0] * (POINTS + 1)).astype(int)
    np.testing.assert_array_equal(along[at], floor[:, 1])
    for k in range(UPDATES):
        assert floor[k, 1] == along[k * 11 : k * 11 + 12].min()


def test_where_full_gradients_oppose_each_other_the_floor_lies_inside_the_step() -> None:
    """Along a full-batch step the slope at its end is minus the rate times the product of the two gradients."""
    run = train(objective(200), 2.0, 200, 30)
    opposed = run["cosine"].values[1:] < -0.05
    inside = valley.interior(run["step_loss"].values)
    assert opposed.any() and inside[opposed].all()


def test_stored_and_live_frames_are_the_same_run() -> None:
    e = small()
    assert e._compute is not None
    live, stored = e._compute(RATES[1], 16.0), e.frame(1, 2)
    for key, values in stored.curves.items():
        np.testing.assert_array_equal(np.asarray(live.curves[key], np.float32), values, err_msg=key)
    assert live.note == stored.note
    between = e._compute(0.5, 11.3)
    assert "SGD" in between.note, "a batch size between two stored ones is rounded to a whole number"


def test_three_things_can_happen_and_the_note_counts_them() -> None:
    down, valley_, up = [3.0, 2.5, 2.0], [2.0, 1.0, 1.8], [1.8, 3.0, 9.0]
    assert regime(record(down, [2.0, 1.9, 1.8])) == "slides"
    assert regime(record(down, valley_, [1.8, 0.5, 1.9])) == "bounces"
    assert regime(record(down, valley_, up)) == "thrown out"
    assert regime(record(valley_, status="loss became non-finite in epoch 1 (step 2)")) == "thrown out"
    first, facts = note(record(down, valley_, [1.8, 1.2, 1.9]), whole=False).split("\n")
    assert first == "SGD bounces from wall to wall: 2 of 3 steps have their lowest loss inside."
    assert facts == "Mean height 0.68 nat · floor rises 1 of 2 times · barriers crossed 0 · mean cosine −0.25"
    assert note(record([1.0, 2.0, 1.0]), whole=True).startswith("Gradient descent slides: 0 of 1")
    assert "barriers crossed 1" in note(record([1.0, 2.0, 1.0]), whole=True)


def test_a_run_that_overflows_keeps_what_came_before_and_fits_its_panels() -> None:
    f = objective(hidden=(64, 64, 64, 64), activation="relu")
    run = train(f, 1e4, 60, UPDATES)
    assert "non-finite" in run.attrs["status"] and len(run["update"]) < UPDATES
    shown = frame(run, whole=True)
    assert shown.note.startswith(("Thrown out", "Gradient descent is thrown out"))
    left, right, bottom, top = shown.limits[WALK]
    assert (left, right) == (0.0, UPDATES) and bottom < top


def test_each_walk_fills_its_panel() -> None:
    for place in ((0, 0), (1, 4)):
        stored = small().frame(*place)
        along = np.asarray(stored.curves["along"])
        _, _, bottom, top = stored.limits[WALK]
        span = along.max() - along.min()
        assert bottom < along.min() and along.max() < top and top - bottom < 1.2 * span


def test_the_text_beside_it_carries_the_numbers() -> None:
    e = small()
    assert "8 updates from one and the same start, 910 parameters" in e.caption and "all 60 images" in e.caption
    assert "of 10 runs" in e.alt and e.png().startswith(b"\x89PNG")
    assert e.spec["cursor"] == {"label": "update", "first": 0, "last": UPDATES, "seconds": 8.0}
    assert [p["wide"] for p in e.spec["panels"]] == [True, False, False]


def test_batch_sizes_double_up_to_the_full_set() -> None:
    assert batch_sizes(500) == (4, 8, 16, 32, 64, 128, 256, 500)
    assert batch_sizes(300) == (4, 8, 16, 32, 64, 128, 300), "256 would be the full set once more"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": [0.2, 0.1]}, "strictly increasing"),
        ({"rates": [-0.2, 0.1]}, "above 0"),
        ({"updates": 1}, "at least 2"),
    ],
)
def test_bad_arguments_are_refused_before_any_data_are_read(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        walk_explorer(data="no such data", **arguments)


def test_too_few_images_for_two_batch_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="batch size B"):
        walk_explorer(n_train=4)


def test_cursors_refuse_what_they_cannot_run_along() -> None:
    with pytest.raises(ValueError, match="upwards"):
        Cursor("x", 3, 3)
    with pytest.raises(ValueError, match="seconds"):
        Cursor("x", 0, 3, seconds=0)
    panel, frames = Panel("P", "x", "y", [Series("a", "a", [0, 1])]), [Frame({"a": [0, 1]})] * 2
    with pytest.raises(ValueError, match=r"one of \['x'\], got 'z'"):
        FrameExplorer([panel], [Slider("s", [0, 1])], frames, alt="a", cursor=Cursor("z", 0, 1))


def test_wide_panels_have_a_row_to_themselves() -> None:
    every = slice(None)
    assert _places([True, False, False]) == ([(0, every), (1, 0), (1, 1)], 2, 2)
    assert _places([False, True]) == ([(0, 0), (1, every)], 2, 2)
    assert _places([False] * 3) == ([(0, 0), (0, 1), (0, 2)], 1, 3)
    assert _places([False] * 4) == ([(0, 0), (0, 1), (1, 0), (1, 1)], 2, 2)
