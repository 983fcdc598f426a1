"""Measures of walks, valleys, bowls and decompositions against numbers worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import xarray

from landscape_helpers.claims import NotRecorded, Record, measure

ALPHA = np.linspace(0, 1, 5)
VALLEY = [2.0, 1.0, 0.5, 1.0, 1.5]  # interior floor 0.5, height (2 + 1.5 - 1) / 2 = 1.25
SLOPE = [2.0, 1.8, 1.6, 1.4, 1.2]  # no interior floor, height (2 + 1.2 - 2.4) / 2 = 0.4
BARRIER = [1.0, 1.2, 0.8, 0.9, 0.95]  # 0.2 above the higher end, floor 0.8


DIMENSIONS = {
    "lambda_max": "stop",
    "lambda_min": "stop",
    "validation_accuracy": "evaluation",
    "slope_start": "update",
    "slope_end": "update",
}


def walk(
    losses: Sequence[Sequence[float]] = (VALLEY,),
    updates: Sequence[int] | None = None,
    windows: Sequence[Sequence[int]] = ((1, 1),),
    per_epoch: int = 1,
    **series: Any,
) -> Record:
    updates = range(len(losses)) if updates is None else updates
    data: dict[str, Any] = {"step_loss": (("update", "alpha"), np.array(losses, dtype=float))}
    for name, value in series.items():
        if name not in ("stop", "evaluation"):
            data[name] = (DIMENSIONS.get(name, "step"), np.array(value, dtype=float))
    coordinates: dict[str, Any] = {"update": np.array(updates), "alpha": ALPHA}
    coordinates |= {name: np.array(series[name]) for name in ("stop", "evaluation") if name in series}
    parameters = json.dumps({"windows": windows})
    attributes = {"iterations_per_epoch": per_epoch, "parameters": parameters, "status": "completed"}
    return Record(xarray.Dataset(data, coordinates, attributes))


class TestValleys:
    def test_interior_share(self) -> None:
        r = walk([VALLEY, SLOPE, VALLEY, BARRIER], windows=[[1, 4]])
        assert measure("interior_share", r) == 0.75
        assert measure("interior_share", r, start=1, end=3) == 0.5

    def test_floors_that_rise(self) -> None:
        r = walk([VALLEY, BARRIER, SLOPE, VALLEY], windows=[[1, 4]])  # floors 0.5, 0.8, 1.2, 0.5
        assert measure("floor_rise_share", r) == pytest.approx(2 / 3)
        assert measure("floor_rise_share", r, start=2, end=4) == 0

    def test_a_window_starts_with_its_epoch_whatever_else_was_sampled(self) -> None:
        losses = [SLOPE, SLOPE, VALLEY, VALLEY, SLOPE]
        r = walk(losses, updates=[0, 1, 20, 21, 22], windows=[[3, 2], [1, 2]], per_epoch=10)
        assert measure("interior_share", r, epoch=3) == 1
        assert measure("interior_share", r, epoch=3, end=3) == pytest.approx(2 / 3)

    def test_what_was_not_sampled_is_not_recorded(self) -> None:
        r = walk([VALLEY, VALLEY], windows=[[1, 2]])
        with pytest.raises(NotRecorded, match="no losses between the iterates of epoch 7"):
            measure("interior_share", r, epoch=7)
        with pytest.raises(NotRecorded, match="sampled 2 of the updates 0 to 40 from epoch 1"):
            measure("interior_share", r, start=0, end=40)

    def test_heights(self) -> None:
        r = walk([VALLEY, SLOPE], windows=[[1, 2]])
        assert measure("mean_height", r, epoch=1) == pytest.approx((1.25 + 0.4) / 2)
        assert measure("mean_height", r, epoch=1, inside=True) == pytest.approx(1.25)

    def test_a_parabola_fits_itself_and_a_kink_less(self) -> None:
        parabola = (ALPHA - 0.3) ** 2
        assert measure("smallest_fit", walk([parabola, 2 * parabola], windows=[[1, 2]])) == pytest.approx(1)
        kinked = measure("smallest_fit", walk([parabola, np.abs(ALPHA - 0.5)], windows=[[1, 2]]))
        design = np.stack([np.ones(5), ALPHA, ALPHA**2], 1)
        y = np.abs(ALPHA - 0.5)
        rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        assert kinked == pytest.approx(1 - rest @ rest / ((y - y.mean()) @ (y - y.mean())))


class TestBarriers:
    def test_shares_and_the_unit_of_the_table(self) -> None:
        r = walk([VALLEY, BARRIER, VALLEY, VALLEY], windows=[[1, 4]])
        assert measure("barrier_share", r) == 0.25
        assert measure("barriers_per_epoch", r, epoch=1) == 112.5
        assert measure("barrier_share", r, tolerance=0.3) == 0  # 1.2 is 20 % above 1.0

    def test_epochs_are_counted_one_by_one(self) -> None:
        r = walk([VALLEY, BARRIER, VALLEY, VALLEY, BARRIER, BARRIER], windows=[[1, 6]], per_epoch=2)
        assert measure("clear_epochs", r, first=1, last=3) == 1
        assert measure("largest_barrier_share", r, first=1, last=3, least=1) == 1
        # Four updates at a time: the first two epochs, and the third, left over, joins them.
        assert measure("largest_barrier_share", r, first=1, last=3, least=4) == 0.5
        with pytest.raises(NotRecorded, match="epoch 4"):
            measure("clear_epochs", r, first=1, last=4)

    def test_the_table_ends_with_epoch_40_and_takes_40_updates_at_a_time(self) -> None:
        clear, late = [VALLEY] * 40, walk([VALLEY] * 40 + [BARRIER], windows=[])
        assert measure("clear_epochs", late) == 40 and measure("barrier_height_ratio", late) == 0
        assert measure("largest_barrier_share", late) == 0
        two = walk([BARRIER] * 4 + [VALLEY] * 36 + clear, windows=[])
        assert measure("largest_barrier_share", two, last=80) == 0.1

    def test_heights_are_relative_to_the_loss(self) -> None:
        lower = [2.0, 2.1, 1.0, 1.0, 1.0]
        r = walk([VALLEY, BARRIER, lower], windows=[[1, 3]])
        assert measure("barrier_height_ratio", r, first=1, last=3) == pytest.approx((0.2 + 0.05) / 2)
        assert measure("barrier_height_ratio", walk([VALLEY]), first=1, last=1) == 0


class TestPredictedHeights:
    def test_of_a_quadratic_valley_are_exact(self) -> None:
        """L = k x^2 / 2 from x = 1 with rate eta: slopes along the step are -eta g^2 and -eta g g'."""
        k, rate = 10.0, 0.16
        x, y = 1.0, 1.0 - rate * k
        g, h = k * x, k * y
        losses = k * ((1 - ALPHA) * x + ALPHA * y) ** 2 / 2
        fine = walk([losses], gradient_norm=[g, abs(h)], cosine=[np.nan, np.sign(g * h)], learning_rate=[rate, np.nan],
                    slope_start=[-rate * g * g], slope_end=[-rate * g * h])  # fmt: skip
        exact = (k * x**2 / 2 + k * y**2 / 2) / 2
        sampled = (losses[0] + losses[-1]) / 2 - losses.min()
        for by in ("gradients", "slopes"):
            assert measure("height_error", fine, by=by) == pytest.approx(abs(exact / sampled - 1), abs=1e-9)

    def test_an_unknown_way_is_refused(self) -> None:
        with pytest.raises(ValueError, match="'gradients' or 'slopes', got 'x'"):
            measure("height_error", walk(), by="x")


class TestWalks:
    def test_mean_cosine_of_iterations(self) -> None:
        r = walk(cosine=[np.nan, 0.1, 0.2, 0.3, 0.4], per_epoch=2)
        assert measure("mean_step_cosine", r, start=2, end=3) == pytest.approx(0.25)
        assert measure("mean_step_cosine", r) == pytest.approx(0.25)
        assert measure("mean_step_cosine", r, epoch=2, start=0, end=1) == pytest.approx(0.25)
        assert measure("mean_step_cosine", r, start=1, end=4) == pytest.approx(0.25)
        with pytest.raises(NotRecorded, match="does not reach 5"):
            measure("mean_step_cosine", walk(cosine=[np.nan, 0.1, 0.2, 0.3, 0.4]), end=5)
        with pytest.raises(NotRecorded):
            measure("distance_at", walk(distance=[0.0, 1.0]), step=2)

    def test_a_run_that_diverged_has_no_number(self) -> None:
        r = walk(distance=[0.0, 1.0])
        r.dataset.attrs["status"] = "loss became non-finite in epoch 2 (step 2)"
        assert math.isnan(measure("distance_at", r, step=2))
        assert measure("distance_at", r, step=1) == 1

    def test_losses_and_the_distance_at_a_loss(self) -> None:
        r = walk([VALLEY, SLOPE[::-1]], windows=[[1, 2]], distance=[0.0, 3.0, 4.0])
        assert measure("loss_after", r, step=0) == 2.0
        assert measure("loss_after", r, step=2) == 2.0
        assert measure("distance_at_loss", r, level=1.5) == 3.0
        assert math.isnan(measure("distance_at_loss", r, level=0.1))
        with pytest.raises(NotRecorded, match="after 5 updates"):
            measure("loss_after", r, step=5)

    def test_ends_and_maxima(self) -> None:
        r = walk(evaluation=[0, 1, 2], validation_accuracy=[0.1, 0.5, 0.4])
        assert measure("final", r, of="validation_accuracy") == 0.4
        assert measure("best", r, of="validation_accuracy") == 0.5


SPECTRUM = {"stop": [0, 2, 4, 6, 8, 10], "lambda_max": [9.0, 4, 3, 2, 2, 5], "lambda_min": [-10.0, -1, -1, -1, -3, -1]}


class TestSpectralNorms:
    def test_the_norm_is_the_larger_size(self) -> None:
        r = walk(per_epoch=2, **SPECTRUM)  # norms 10, 4, 3, 2, 3, 5 at epochs 0 to 5
        assert measure("mean_spectral_norm", r, start=0, end=1) == 7
        assert measure("negative_largest_share", r) == pytest.approx(2 / 6)
        with pytest.raises(NotRecorded, match="epochs 20 to 60"):
            measure("mean_spectral_norm", r, start=20, end=60)

    def test_late_rise(self) -> None:
        r = walk(per_epoch=2, **SPECTRUM)  # averages over five stops: 4.4 and 3.4; the last tenth is the last stop
        assert measure("late_spectral_rise", r) == pytest.approx(5 - 3.4)
        held = {"stop": [*range(9), 36, 40], "lambda_max": [1.0] * 9 + [3, 4], "lambda_min": [0.0] * 11}
        assert measure("late_spectral_rise", walk(**held)) == pytest.approx(3.5 - 1)  # two stops in the last tenth

    def test_rank_correlation_over_common_stops(self) -> None:
        r = walk(per_epoch=2, evaluation=[0, 1, 2, 4, 6], validation_accuracy=[0.1, 0.9, 0.2, 0.3, 0.4], **SPECTRUM)
        assert measure("spectral_accuracy_rho", r) == pytest.approx(-1)


class TestBowls:
    def bowl(self) -> xarray.Dataset:
        rate = np.array([0.05, 0.15, 0.25])
        predicted = np.abs(np.outer(rate, [1.0, 10.0]) - 1)
        return xarray.Dataset(
            {
                "measured_rate": (("rate", "component"), predicted.copy()),
                "predicted_rate": (("rate", "component"), predicted),
                "sign_changes": (("rate", "component"), [[0.0, 0], [0, 1], [0, 1]]),
            },
            {"rate": rate, "eigenvalue": ("component", [1.0, 10.0])},
        )

    def test_a_right_bowl(self) -> None:
        r = Record(self.bowl())
        assert measure("largest_rate_error", r) == 0
        assert measure("wrong_alternations", r) == 0 and measure("wrong_convergence", r) == 0
        edge = self.bowl().assign_coords(rate=[0.05, 0.15, 0.2])  # on 2 / lambda_max it neither shrinks nor should
        edge["measured_rate"][2, 1] = 1.0
        assert measure("wrong_convergence", Record(edge)) == 0
        assert measure("under_damped_bound", r, side="low") == measure("under_damped_bound", r, side="high") == 1.5

    def test_the_bounds_are_the_lowest_and_the_highest_rate_that_alternates_and_shrinks(self) -> None:
        rate = np.array([0.05, 0.12, 0.15, 0.18, 0.25])
        held = {
            "measured_rate": (("rate", "component"), np.abs(np.outer(rate, [1.0, 10.0]) - 1)),
            "sign_changes": (("rate", "component"), np.outer(rate, [1.0, 10.0]) > 1),
        }
        r = Record(xarray.Dataset(held, {"rate": rate, "eigenvalue": ("component", [1.0, 10.0])}))
        assert measure("under_damped_bound", r, side="low") == pytest.approx(1.2)
        assert measure("under_damped_bound", r, side="high") == pytest.approx(1.8)

    def test_a_wrong_one(self) -> None:
        held = self.bowl()
        held["sign_changes"][1, 1] = 0.9
        held["measured_rate"][2, 1] = 0.5
        r = Record(held)
        assert measure("largest_rate_error", r) == pytest.approx(1.0)
        assert measure("wrong_alternations", r) == 1 and measure("wrong_convergence", r) == 1
        with pytest.raises(ValueError, match="'low' or 'high'"):
            measure("under_damped_bound", r, side="left")


def test_the_hessian_taken_apart() -> None:
    r = Record(
        xarray.Dataset(
            {
                "identity_error": ("checkpoint", [1e-14, 3e-14]),
                "residual_norm": ("checkpoint", [4.0, 1.0]),
                "hessian_norm": ("checkpoint", [5.0, 10.0]),
                "alignment": ("checkpoint", [0.2, 0.9]),
            }
        )
    )
    assert measure("largest_identity_error", r) == 3e-14
    assert (measure("residual_share", r, of="first"), measure("residual_share", r, of="last")) == (0.8, 0.1)
    assert measure("covariance_alignment", r, of="last") == 0.9
    with pytest.raises(ValueError, match="'first', 'last' or 'smallest', got 'middle'"):
        measure("residual_share", r, of="middle")
    with pytest.raises(ValueError, match="'first' or 'last', got 'smallest'"):
        measure("covariance_alignment", r, of="smallest")


def test_the_smallest_residual_may_lie_before_the_end() -> None:
    norms = {"residual_norm": ("checkpoint", [4.0, 1.0, 3.0]), "hessian_norm": ("checkpoint", [4.0, 4.0, 4.0])}
    r = Record(xarray.Dataset(norms))
    assert measure("residual_share", r, of="smallest") == 0.25
    assert (measure("residual_share", r, of="first"), measure("residual_share", r, of="last")) == (1.0, 0.75)
