"""The edge's explorer: numbers of a dense Hessian in double precision, what the note counts, what is refused."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import xarray

from landscape_helpers.data import load_data
from landscape_helpers.data.subset import first_classes
from landscape_helpers.explore import FrameExplorer, edge_explorer
from landscape_helpers.explore.edge import LOSSES, STOPS, TIME, frame, stops, train
from landscape_helpers.explore.edge_words import note, reached
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

RATES = (0.25, 0.6)
NETWORK = {"hidden": (5,), "activation": "tanh", "init": "kaiming"}


@functools.cache
def small() -> FrameExplorer:
    return edge_explorer(n_train=150, images=30, classes=(2, 4), model_options=NETWORK, rates=RATES)


def objective(classes: int, dtype: torch.dtype = torch.float64, **options: object) -> Objective:
    images = first_classes(load_data("digits", n_train=150), classes).pooled(2)
    x, y, _, _ = images.standardised(dtype)
    network = build_model("mlp", classes, images.input_shape, seed=0, **(options or NETWORK))
    return Objective(network, x[:30], y[:30], dtype=dtype)


def record(rho: list[list[float]], classes: int, status: str = "completed", loss: float = 0.5) -> xarray.Dataset:
    """A run of three stops, the first before a ratio counts, with loss changes of -1 and -2 on the way."""
    changes = np.array([-1.0, -1.0, -4.0])
    return xarray.Dataset(
        {
            "rho": (("stop", "eigen"), np.array(rho)),
            "loss": ("step", np.array([2.0, loss])),
            "change_top": ("stop", changes),
            "change_bulk": ("stop", 2 * changes),
        },
        coords={"time": ("stop", np.array([0.0, 1.0, 2.0]))},
        attrs={"status": status, "classes": classes, "learning_rate": 0.5},
    )


def test_curves_are_those_of_a_dense_hessian_in_double_precision() -> None:
    f, rate, top = objective(4), RATES[0], 3
    thetas = [f.theta]
    for _ in range(int(stops(rate)[-1])):
        thetas.append(thetas[-1] - rate * f.gradient(thetas[-1]))
    shown = small().frame(0, 1).curves
    # The first stops only: over many steps float32 and float64 part company.
    for i, step in enumerate(stops(rate)[:4]):
        theta = thetas[step]
        hessian = torch.stack([f.hvp(theta, unit) for unit in torch.eye(f.parameters, dtype=f.dtype)])
        values, vectors = torch.linalg.eigh((hessian + hessian.T) / 2)
        values, vectors = values.flip(0), vectors.flip(1)[:, :top]
        rho = rate * values / 2
        assert shown["last"][i] == pytest.approx(float(rho[top - 1]), rel=0.02)
        assert shown["first"][i] == pytest.approx(float(rho[top]), rel=0.02)
        assert np.asarray(shown["others"])[i, 1] == pytest.approx(float(rho[0]), rel=0.02)
        assert np.asarray(shown["others"])[STOPS + 2 + i, 1] == pytest.approx(float(rho[1]), rel=0.02)
        assert np.asarray(shown["next"])[i, 1] == pytest.approx(float(rho[top + 1]), rel=0.02)
        g = f.gradient(theta)
        inside = vectors @ (vectors.T @ g)
        for part, name in ((inside, "top"), (g - inside, "bulk")):
            assert shown[f"{name}_norm"][i] == pytest.approx(float(part.norm()), rel=0.1, abs=0.02)
            change = (f.loss(theta - rate * part) - f.loss(theta)) / rate
            assert shown[f"change_{name}"][i] == pytest.approx(change, rel=0.1, abs=0.02)


def test_the_loss_is_that_of_every_step_joined_by_straight_lines() -> None:
    run = train(objective(2, torch.float32), 0.6, 2)
    shown = np.asarray(frame(run, 0.6).curves["loss"])
    at = np.linspace(0, TIME, LOSSES + 1)
    for k, loss in enumerate(run["loss"].values):
        nearest = int(np.abs(at - 0.6 * k).argmin())
        if at[nearest] == pytest.approx(0.6 * k):
            assert shown[nearest] == pytest.approx(loss)
    between = (run["loss"].values[0] + run["loss"].values[1]) / 2
    assert np.interp(0.3, at, shown) == pytest.approx(between, rel=1e-3)


def test_the_stops_are_the_steps_nearest_to_even_times() -> None:
    assert stops(0.05).tolist() == list(range(0, 241, 20))
    assert (np.abs(stops(0.6) * 0.6 - np.linspace(0, TIME, STOPS + 1)) <= 0.3 + 1e-12).all()
    assert len(set(stops(0.75).tolist())) == STOPS + 1


def test_stored_and_live_frames_are_the_same_run() -> None:
    e = small()
    assert e._compute is not None
    live, stored = e._compute(RATES[1], 1.0), e.frame(1, 1)
    for key, values in stored.curves.items():
        shown = np.asarray(live.curves[key], np.float32)
        np.testing.assert_array_equal(shown, values[: len(shown)], err_msg=key)
    assert live.note == stored.note
    assert e._compute(0.4, 0.0).note != stored.note


def test_with_two_classes_nothing_stands_beside_the_last_of_the_top() -> None:
    assert np.isnan(np.asarray(small().frame(0, 0).curves["others"])).all()


def test_an_eigenvector_counts_from_0_7_on_and_after_the_start() -> None:
    run = record([[3.0, 0.2, 0.1, 0.0], [0.9, 0.71, 0.3, 0.1], [0.2, 0.6, 0.69, 0.1]], classes=3)
    assert reached(run) == 2
    first, facts = note(run).split("\n")
    assert first == "Both directions of the top reach the edge, the bulk does not."
    assert facts == (
        "Loss from 2.00 to 0.5 · largest ρ after t = 1: 0.90, last of the top 0.71, first of the bulk 0.69 · "
        "loss change per t, mean of the one stop on the edge: −2 along the top, −4 along the bulk"
    )


@pytest.mark.parametrize(
    ("largest", "classes", "said"),
    [
        ([0.5, 0.4, 0.1], 2, "No direction reaches the edge"),
        ([0.8, 0.4, 0.1], 2, "The one direction of the top reaches the edge"),
        ([0.8, 0.4, 0.1, 0.1], 3, "1 of the 2 directions of the top reaches the edge"),
        ([0.8, 0.8, 0.1, 0.1], 3, "Both directions"),
        ([0.9, 0.9, 0.9, 0.1, 0.1], 4, "All 3 directions"),
        ([0.9, 0.9, 0.9, 0.1], 3, "The edge is reached by 3 directions: the 2 of the top"),
        ([0.9, 0.9, 0.9, 0.8], 3, "The edge is reached by 4 or more directions"),
    ],
)
def test_the_note_says_how_many_directions_reach_the_edge(largest: list[float], classes: int, said: str) -> None:
    assert note(record([[0.0] * len(largest), [0.0] * len(largest), largest], classes)).startswith(said)


def test_a_run_that_overflows_keeps_what_came_before() -> None:
    network = build_model("mlp", 3, (1, 4, 4), seed=0, hidden=(64, 64, 64, 64), init="kaiming")
    generator = torch.Generator().manual_seed(0)
    images = 1e6 * torch.randn(9, 1, 4, 4, generator=generator)
    run = train(Objective(network, images, torch.arange(9) % 3), 0.75, 3)
    assert "non-finite" in run.attrs["status"]
    shown = frame(run, 0.75)
    assert shown.note.startswith("Diverged: ")
    assert len(np.asarray(shown.curves["last"])) == STOPS + 1 and np.isnan(shown.curves["last"][-1])
    assert np.isnan(np.asarray(shown.curves["loss"])[-1])


def test_the_text_beside_it_carries_the_numbers() -> None:
    e = small()
    assert (
        "Gradient descent on 28 to 30 images of digits, averaged over 2 × 2 pixels; 97 to 109 parameters" in e.caption
    )
    assert "with 2 classes" in e.alt and "at 0.25" in e.alt and e.png().startswith(b"\x89PNG")
    assert e.spec["cursor"]["last"] == TIME
    assert [p["wide"] for p in e.spec["panels"]] == [True, False, False, False]
    assert [list(c) for c in (e.spec["sliders"][0]["values"], e.spec["sliders"][1]["options"])] == [
        list(RATES),
        ["2", "4"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": [0.2, 0.1]}, "strictly increasing"),
        ({"rates": [0.1, 1.1]}, "at most 1.0"),
        ({"images": 0}, "images must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_any_data_are_read(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        edge_explorer(data="no such data", **arguments)


def test_one_number_of_classes_is_no_choice() -> None:
    with pytest.raises(ValueError, match="menu 'number of classes'"):
        edge_explorer(classes=(3, 11))


def test_a_whole_run_follows_the_leading_eigenvalues() -> None:
    f, rate, classes = objective(4), 0.6, 4
    run = train(f, rate, classes)
    theta, stop = f.theta, 0
    for step in range(int(stops(rate)[-1]) + 1):
        if step == stops(rate)[stop]:
            hessian = f.hvp(theta, torch.eye(f.parameters, dtype=f.dtype))
            largest = torch.linalg.eigvalsh((hessian + hessian.T) / 2).flip(0)[:classes]
            np.testing.assert_allclose(run["rho"].values[stop, :classes], rate * largest.numpy() / 2, rtol=0.02)
            stop += 1
        theta = theta - rate * f.gradient(theta)
    assert stop == STOPS + 1 and bool(run["converged"].all())
