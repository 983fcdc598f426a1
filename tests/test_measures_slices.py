"""Measures of slices, spectra and mined directions on small records of known content."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from landscape_helpers.claims import NotRecorded, Record, measure
from landscape_helpers.experiments.landscape.tables import Tables

LOG_C = math.log(10)
AT = np.linspace(-1, 1, 21)
BASIN = 0.1 + AT**2
SIDE = 0.1 + (AT - 0.6) ** 2
PEAK = 0.1 + (AT**2 - 0.25) ** 2
# A basin with a bump on its wall at 0.8 of the given height, and so one more maximum and one more minimum.
BUMP = np.where(np.isclose(AT, 0.8), 1.0, 0.0)


def record(tables: Tables | None = None, epochs: int = 200, **variables: Any) -> Record:
    dataset = (Tables() if tables is None else tables).dataset().assign(variables)
    parameters = json.dumps({"epochs": epochs})
    return Record(dataset.assign_attrs(parameters=parameters, random_guess=LOG_C, model_parameters=10_000))


def gaussians(*curves: np.ndarray, **fields: Any) -> Tables:
    tables = Tables()
    for draw, loss in enumerate(curves):
        tables.curve(AT, loss, **{"family": "gaussian", "epoch": 200, "scale": 1.0, "draw": draw, **fields})
    return tables


class TestSelection:
    def test_epochs_are_the_papers(self) -> None:
        tables = Tables()
        for epoch, loss in ((2, BASIN), (40, SIDE)):
            tables.curve(AT, loss, family="gaussian", epoch=epoch)
        r = record(tables, epochs=40)
        assert measure("share_of_class", r, label="v-basin", epoch=10) == 1
        assert measure("share_of_class", r, label="v-basin", epoch=200) == 0
        assert measure("curve_count", r, epoch=[10, 200]) == 2
        with pytest.raises(NotRecorded, match="no curve with epoch 50"):
            measure("curve_count", r, epoch=50)

    def test_lists_and_networks_without_batchnorm(self) -> None:
        tables = gaussians(BASIN, normalize="filter")
        tables.curve(AT, BASIN, family="later", epoch=200, batchnorm="frozen")
        r = record(tables)
        assert measure("curve_count", r, family=["gaussian", "later"]) == 2
        assert measure("curve_count", r, batchnorm="re-estimated") == 1  # "" fits any
        assert measure("curve_count", r, batchnorm="frozen") == 2

    def test_unknown_selections_are_errors(self) -> None:
        with pytest.raises(ValueError, match="measure curve_count: unknown 'familiy', expected one of family, epoch"):
            measure("curve_count", record(gaussians(BASIN)), familiy="gaussian")

    def test_padding_is_not_read(self) -> None:
        tables = gaussians(BASIN)
        tables.curve(np.linspace(-1, 1, 41), 0.1 + np.linspace(-1, 1, 41) ** 2, family="gaussian-fine", draw=0)
        assert measure("mean_stationary_points", record(tables), family="gaussian") == 1

    def test_what_a_record_does_not_tell_apart_cannot_be_chosen_by(self) -> None:
        tables = Tables()
        tables.plane(AT, AT, np.add.outer(BASIN, BASIN), first="Gau.", second="Gau.", epoch=200, scale=1.0)
        r = record(tables)
        bare = Record(r.dataset.drop_vars([name for name in r.dataset if name == "plane_orthogonalised"]))
        assert measure("share_with_lowest_at_origin", bare, scale=1.0) == 1  # of an earlier record every plane is raw
        with pytest.raises(NotRecorded, match="holds no plane_scale"):
            measure("share_with_lowest_at_origin", Record(bare.dataset.drop_vars("plane_scale")), scale=1.0)


class TestClasses:
    def test_shares_by_panel(self) -> None:
        tables = gaussians(BASIN, BASIN, SIDE, BASIN)
        for draw, loss in enumerate((BASIN, PEAK)):
            tables.curve(AT, loss, family="gaussian", epoch=200, scale=4.0, draw=draw)
        r = record(tables)
        assert measure("share_of_class", r, label="v-basin") == pytest.approx(4 / 6)
        assert measure("class_count", r, label="w-peak") == 1
        assert measure("smallest_panel_share", r, label="v-basin") == 0.5
        assert measure("panels_below", r, label="v-basin", share=0.6) == 1
        assert measure("panels_below", r, label="v-basin", share=0.8) == 2
        assert measure("panel_count", r) == 2
        assert measure("panels_with_count", r, count=1) == 1
        assert measure("panels_with_count", r, count=2) == 1  # the mean of 1 and 3
        assert measure("panels_with_count", r, count=3) == 0
        assert measure("largest_panel_mean", r) == 2
        assert measure("mean_stationary_points", r) == pytest.approx(8 / 6)
        assert measure("count_with", r, count=[3, 5]) == 1
        assert measure("share_with_count", r, count=1) == pytest.approx(5 / 6)
        assert measure("distinct_values", r, of="scale") == 2

    def test_lowest_at_the_origin(self) -> None:
        r = record(gaussians(BASIN, SIDE, PEAK))
        assert measure("share_argmin_at_zero", r) == 0.5  # the peak has three points and is not asked
        assert math.isnan(measure("share_argmin_at_zero", record(gaussians(PEAK))))

    def test_extra_points_and_where_they_lie(self) -> None:
        low, high = BASIN + 0.9 * BUMP, BASIN + 5 * BUMP  # the bump's top at 1.64 and 5.74, its foot at 0.91
        r = record(gaussians(BASIN, low, high))
        assert measure("extra_points", r) == 4
        assert measure("extra_points_above_guess", r) == 1
        r = record(gaussians(high + 3))  # the foot is above log C too
        assert measure("extra_points", r) == measure("extra_points_above_guess", r) == 2
        assert measure("extra_points", record(gaussians(PEAK))) == 2

    def test_besides_the_lowest(self) -> None:
        r = record(gaussians(SIDE))
        assert measure("extra_points", r) == 1
        assert measure("extra_points", r, besides="lowest") == 0
        assert measure("extra_points_above_guess", record(gaussians(BASIN + 5 * BUMP)), besides="lowest") == 1
        with pytest.raises(ValueError, match="besides must be 'origin' or 'lowest', got 'first'"):
            measure("extra_points", r, besides="first")

    def test_a_network_near_chance_is_excused(self) -> None:
        variables: dict[str, Any] = {"epoch": ("checkpoint", [0, 200]), "test_accuracy": ("checkpoint", [0.1, 0.6])}
        low = BASIN + 0.9 * BUMP
        tables = gaussians(low)
        tables.curve(AT, low, family="gaussian", epoch=0)
        r = record(tables, **variables)
        assert measure("extra_points_above_guess", r) == 0
        assert measure("extra_points_above_guess", r, near_chance=2.0) == 2
        assert measure("extra_points_above_guess", r, near_chance=7.0) == 4

    def test_what_is_ragged_above_the_guess_is_cut_off(self) -> None:
        ragged = np.where(np.abs(AT) > 0.35, 4 + np.cos(np.pi * np.arange(21)), BASIN)
        r = record(gaussians(ragged, BASIN))
        assert measure("count_exceeding", r, count=5) == 0
        assert measure("count_exceeding", record(gaussians(ragged / 5, BASIN)), count=5) == 1

    def test_the_same_curve_on_a_finer_grid(self) -> None:
        fine = np.linspace(-1, 1, 41)
        tables = gaussians(BASIN, BASIN)
        tables.curve(fine, 0.1 + fine**2, family="gaussian-fine", draw=0)
        between = 0.1 + fine**2
        between[33] += 1  # between two points of the plain grid
        tables.curve(fine, between, family="gaussian-fine", draw=1)
        assert measure("share_unchanged_when_refined", record(tables)) == 0.5

    def test_the_same_class_by_another_count_is_not_the_same(self) -> None:
        fine = np.linspace(-1, 1, 41)
        tables = gaussians(AT**2)
        tables.curve(fine, np.fmax(fine**2, 0.003), family="gaussian-fine", draw=0)  # a flat bottom of three points
        assert measure("share_of_class", record(tables), label="v-basin") == 1
        assert measure("share_unchanged_when_refined", record(tables)) == 0

    @pytest.mark.parametrize("points", [21, 41])
    def test_synthetic_curves(self, points: int) -> None:
        tables = Tables()
        at = np.linspace(-1, 1, points)
        tables.curve(at, at**2, family="gaussian")
        r = record(tables)
        assert measure("synthetic_labels_right", r) == 5
        counts = [
            measure("synthetic_count", r, label=c) for c in ("v-basin", "v-side", "w-basin", "w-peak", "vvv-basin")
        ]
        assert counts == [1, 1, 3, 3, 5]


class TestLines:
    def test_slopes_and_changes(self) -> None:
        tables = gaussians(SIDE, slope=-1.2)
        tables.curve(AT, BASIN, family="gaussian", slope=0.5)
        r = record(tables)
        assert measure("largest_slope", r) == 0.5
        assert measure("largest_change", r, at=1.0) == pytest.approx(1.0)
        assert measure("smallest_decrease", r) == 0
        assert measure("smallest_decrease", record(gaussians(SIDE))) == pytest.approx(0.36)

    def test_an_unknown_slope_cannot_pass(self) -> None:
        assert math.isnan(measure("largest_slope", record(gaussians(SIDE))))

    def test_decrease_of_the_best_gaussian(self) -> None:
        tables = Tables()
        for scale, depth in ((0.1, 0.01), (1.0, 0.05)):
            tables.curve(AT * scale, 1 - AT, family="gradient-view", epoch=0, scale=scale)
            tables.curve(10 * AT * scale, 1 - depth * AT, family="best-gaussian", epoch=0, scale=scale)
        assert measure("largest_decrease_ratio", record(tables)) == pytest.approx(0.05)

    def test_no_decrease_along_the_gradient_has_no_ratio(self) -> None:
        tables = Tables()
        tables.curve(AT, BASIN, family="gradient-view", epoch=0, scale=1.0)
        tables.curve(AT, SIDE, family="best-gaussian", epoch=0, scale=1.0)
        assert math.isnan(measure("largest_decrease_ratio", record(tables)))

    def test_peaks(self) -> None:
        r = record(gaussians(PEAK, BASIN))
        assert measure("mean_peak_height", r) == pytest.approx(0.0625 / 2)
        assert measure("mean_peak_height", r, relative=True) == pytest.approx(0.0625 / 0.1625 / 2)
        uneven = 0.1 + (AT**2 - 0.25) ** 2 + 0.05 * AT
        assert measure("mean_peak_height", record(gaussians(uneven))) == pytest.approx(0.0625 - 0.025)

    def test_wells(self) -> None:
        wide = np.linspace(-1, 2, 31)
        tables = Tables()
        tables.curve(wide, (wide * (wide - 1)) ** 2, family="independent")
        tables.curve(wide, ((wide + 0.4) * (wide - 1)) ** 2, family="independent")
        r = record(tables)
        assert measure("share_between_wells", r, tolerance=0.15) == 0.5
        assert measure("share_with_one_barrier", r) == 1
        assert measure("share_with_one_barrier", record(gaussians(PEAK))) == 0  # its barrier is at 0, not between
        middle = np.linspace(-0.5, 1.5, 41)
        tables = Tables()
        tables.curve(middle, (middle * (middle - 0.5) * (middle - 1)) ** 2, family="triple", alpha=0.0, gamma=0.1)
        tables.curve(middle, (middle * (middle - 1)) ** 2, family="triple", alpha=0.0, gamma=0.5)
        r = record(tables)
        assert measure("share_of_three_wells", r, tolerance=0.15, gamma=0.1) == 1
        assert measure("share_of_three_wells", r, tolerance=0.15) == 0.5
        assert measure("share_with_one_barrier", r) == 0.5
        # The quartic's barrier: 1/16 in the middle, (3/16)^2 a quarter beside it.
        assert measure("largest_sag", r, gamma=0.5) == pytest.approx((9 / 256 - 1 / 16) * 16)
        assert measure("largest_sag", r) > 0

    def test_each_barrier_lies_between_the_networks(self) -> None:
        at = np.linspace(-0.5, 1.5, 41)
        for first, share in ((-0.05, 0), (0.1, 1)):
            tables = Tables()
            loss = np.interp(at, [-0.5, -0.15, first, 0.4, 0.7, 1, 1.5], [2, 0, 1, 0, 1, 0, 2])
            tables.curve(at, loss, family="triple")
            assert measure("share_of_three_wells", record(tables), tolerance=0.16) == share

    def test_interpolation(self) -> None:
        centres = np.linspace(-1, 0, 11)
        dims = ("interpolation", "centre")
        cubic = {"loss": -(centres**3), "slope": -3 * centres**2, "curvature": -6 * centres}
        rising = {"loss": np.where(centres < -0.85, 0.0, 1.0), "slope": centres + 0.15, "curvature": 0 * centres}
        ahead = [-((centres + 0.05) ** 3), np.where(centres > -0.65, 9.0, 0.0)]
        variables: dict[str, Any] = {f"interpolation_{n}": (dims, np.stack([cubic[n], rising[n]])) for n in cubic}
        r = record(
            interpolation_kind=("interpolation", np.array(["GMI", "MLI"])),
            interpolation_half_width=((), 0.05),
            interpolation_ahead=(dims, np.stack(ahead)),
            **variables,
        )
        assert measure("most_rising_steps", r, kind="GMI") == 0
        assert measure("most_rising_steps", r, kind="MLI") == 1
        assert measure("fewest_falling_segments", r, kind="GMI") == 10  # flat at 0
        assert measure("fewest_falling_segments", r, kind="MLI") == 9
        # The errors are 0.0425, 0.0375, about 1 after the jump, and about 8 where 9 was found ahead.
        assert measure("error_rank_at_start", r, kind="MLI") == 10
        with pytest.raises(NotRecorded, match="no interpolation of kind XXX"):
            measure("most_rising_steps", r, kind="XXX")

    def test_the_first_centre_can_be_the_worst(self) -> None:
        centres = np.linspace(-1, 0, 11)
        dims = ("interpolation", "centre")
        zero: dict[str, Any] = {
            f"interpolation_{name}": (dims, np.zeros((1, 11))) for name in ("loss", "slope", "curvature")
        }
        r = record(
            interpolation_kind=("interpolation", np.array(["MLI"])),
            interpolation_half_width=((), 0.05),
            interpolation_ahead=(dims, centres[None] ** 2),
            **zero,
        )
        assert measure("error_rank_at_start", r, kind="MLI") == 1

    def test_local_quadratics_err_by_what_is_beyond_the_second_order(self) -> None:
        centres, h = np.linspace(-1, 0, 11), 0.05
        dims = ("interpolation", "centre")
        # On t^4 the error is 4 t h^3 + h^4, largest at -1; without the curvature it would be 6 t^2 h^2 more.
        held = {"loss": centres**4, "slope": 4 * centres**3, "curvature": 12 * centres**2, "ahead": (centres + h) ** 4}
        held["ahead"][3] += 4.5e-4  # the errors are -4.9e-4, ..., and here -3.4e-4 + 4.5e-4: still less
        variables: dict[str, Any] = {f"interpolation_{name}": (dims, y[None]) for name, y in held.items()}
        kind = ("interpolation", np.array(["MLI"]))
        r = record(interpolation_kind=kind, interpolation_half_width=((), h), **variables)
        assert measure("error_rank_at_start", r, kind="MLI") == 1
        r.dataset["interpolation_ahead"][0, 3] += 5e-4  # 6.1e-4
        assert measure("error_rank_at_start", r, kind="MLI") == 2

    def test_angles(self) -> None:
        degrees = np.array([[89.0, 90.0, 92.0, 91.0]])
        nothing = np.full((1, 4), np.nan)
        r = record(
            angle_gradient=(("angle_epoch", "draw"), degrees),
            angle_later=(("angle_epoch", "draw"), nothing),
            angle_descent=(("angle_epoch", "batch"), degrees - 2),
        )
        assert measure("angle_extreme", r, of=["gradient", "later"], reduce="min") == 89
        assert measure("angle_extreme", r, of="gradient", reduce="max") == 92
        assert measure("median_angle", r, of="descent") == 88.5
        assert measure("largest_angle_deviation", r, of="gradient") == 2
        assert measure("largest_angle_deviation", r, of="descent") == 3
        assert measure("largest_angle_deviation", r, of="gradient", parameters=40_000) == pytest.approx(1)
        assert measure("largest_angle_deviation", r, of="gradient", parameters=100) == 2
        expected = np.std(degrees, ddof=1) / (math.degrees(1) / 100)
        assert measure("angle_spread_ratio", r, of="gradient") == pytest.approx(expected)
        with pytest.raises(NotRecorded, match="no angles of later"):
            measure("median_angle", r, of="later")

    def test_accuracy_at_a_checkpoint(self) -> None:
        r = record(epochs=100, epoch=("checkpoint", [0, 100]), test_accuracy=("checkpoint", [0.1, 0.7]))
        assert measure("checkpoint_accuracy", r, epoch=200) == 0.7
        with pytest.raises(NotRecorded, match="no epoch at E = 50, only 0, 100"):
            measure("checkpoint_accuracy", r, epoch=50)


GRID = np.linspace(-1, 1, 11)
X, Y = np.meshgrid(GRID, GRID, indexing="ij")  # rows along the first direction


def surfaces(*losses: np.ndarray, **fields: Any) -> Record:
    tables = Tables()
    for loss in losses:
        tables.plane(GRID, GRID, loss, **{"first": "Gau.", "second": "Gau.", "epoch": 200, "cosine": 0.0, **fields})
    return record(tables)


class TestPlanes:
    BOWL = 0.1 + X**2 + 2 * Y**2
    BOTTLE = 0.5 - X**2 - Y**2 + 2 * (X**2 + Y**2) ** 2
    SADDLE = 0.5 + X**2 - 0.5 * Y**2

    def test_bowls(self) -> None:
        beside = 0.1 + (X - 0.2) ** 2 + Y**2  # one step off
        r = surfaces(self.BOWL, beside, self.SADDLE)
        assert measure("planes_with_minimum_at_origin", r) == pytest.approx(2 / 3)
        assert measure("share_with_lowest_at_origin", r) == pytest.approx(1 / 3)
        assert measure("other_minima", r) == 0
        assert measure("highest_surface_loss", r) == pytest.approx(3.1)

    def test_other_minima_below_the_guess(self) -> None:
        dented = self.BOWL.copy()
        dented[2, 3] = 0.2
        assert measure("other_minima", surfaces(dented)) == 1
        assert measure("other_minima", surfaces(dented + LOG_C)) == 0

    def test_rings(self) -> None:
        assert measure("ring_depth", surfaces(self.BOWL)) < 0
        ring = np.maximum(np.abs(X), np.abs(Y))
        depths = [0.5 - self.BOTTLE[np.isclose(ring, k / 5)].mean() for k in range(1, 6)]
        assert measure("ring_depth", surfaces(self.BOTTLE)) == pytest.approx(max(depths))
        assert measure("ring_depth", surfaces(self.BOTTLE, self.BOWL)) < 0  # the least counts

    def test_only_rings_wholly_in_view_count(self) -> None:
        """The origin is two steps from the left end, and what lies three steps away is far lower."""
        at1, at2 = np.arange(-4.0, 5), np.arange(-2.0, 6)
        away = np.maximum.outer(np.abs(at1), np.abs(at2))
        tables = Tables()
        tables.plane(at1, at2, np.where(away > 2, -9.0, 1 - 0.1 * away), first="Gau.", second="Gau.", epoch=200)
        assert measure("ring_depth", record(tables)) == pytest.approx(0.2)

    def test_saddles(self) -> None:
        assert measure("share_of_saddles", surfaces(self.SADDLE)) == 1
        assert measure("share_of_saddles", surfaces(self.SADDLE.T, self.BOWL, self.BOTTLE)) == 0
        assert measure("share_of_saddles", surfaces(self.SADDLE, self.SADDLE, self.BOWL, self.BOTTLE)) == 0.5

    def test_a_saddle_rises_next_to_the_origin_on_both_sides(self) -> None:
        trench = np.where(np.abs(X) > 0.3, self.SADDLE - 2, self.SADDLE)
        assert measure("share_of_saddles", surfaces(trench)) == 1
        for side in (-1, 1):
            level = np.where(np.isclose(X, side * 0.2), 0.5 - 0.5 * Y**2, self.SADDLE)
            assert measure("share_of_saddles", surfaces(level)) == 0

    def test_slices_carry_the_class_of_their_direction(self) -> None:
        w_peak, v_side = (GRID**2 - 0.25) ** 2, (GRID - 0.6) ** 2
        tables = Tables()
        tables.plane(GRID, GRID, np.add.outer(GRID**2, w_peak), first="Gau.", second="N.E.1", epoch=10, cosine=0.01)
        tables.plane(GRID, GRID, np.add.outer(v_side, v_side), first="E=200", second="P.E.1", epoch=10, cosine=-0.3)
        r = record(tables)
        assert measure("share_of_expected_slices", r) == 0.75
        assert measure("slice_classes", r, labels=["v-side", "w-basin", "w-peak"]) == 2
        assert measure("distinct_pairs", r) == 2
        assert measure("largest_plane_cosine", r) == 0.3
        assert measure("planes_without_orthogonal", r, above=0.1) == 1
        tables.plane(
            GRID,
            GRID,
            np.add.outer(v_side, v_side),
            first="E=200",
            second="P.E.1",
            epoch=10,
            cosine=0.0,
            orthogonalised=1,
        )
        r = record(tables)
        assert measure("planes_without_orthogonal", r, above=0.1) == 0
        assert measure("distinct_pairs", r) == 2
        assert measure("share_of_expected_slices", r) == 0.75

    def test_an_unrecorded_cosine_is_not_a_small_one(self) -> None:
        assert measure("planes_without_orthogonal", surfaces(self.BOWL, cosine=np.nan), above=0.1) == 1

    def test_distance_off_the_plane(self) -> None:
        tables = Tables()
        for first, second in (("Gau.", "Neg. Grad."), ("Gau.", "E=200"), ("P.E.1", "E'=200")):
            tables.plane(GRID, GRID, self.BOWL, first=first, second=second, epoch=10)
        off = np.array([[0.99, np.nan, 0.95], [0.8, np.nan, 0.0], [0.9, np.nan, 0.7]])
        r = record(tables, plane_off=(("plane", "checkpoint"), off))
        assert measure("distance_off_planes", r, through_checkpoints=False, reduce="min") == 0.95
        assert measure("distance_off_planes", r, through_checkpoints=True, reduce="max") == 0.8
        with pytest.raises(NotRecorded, match="holds no plane_off"):
            measure("distance_off_planes", surfaces(self.BOWL), through_checkpoints=True, reduce="max")


class TestSpectrum:
    def spectrum(self) -> Record:
        # Nodes of two probes at E = 0 and 200: a bulk near zero, one outlier, one negative value at E = 0.
        nodes = np.array([[[-2.0, 0.1, 10.0], [-2.0, 0.2, 10.0]], [[-1e-6, 0.4, 20.0], [0.9, 19.0, np.nan]]])
        weights = np.array([[[0.1, 0.8, 0.1], [0.3, 0.6, 0.1]], [[0.5, 0.4, 0.1], [0.9, 0.1, np.nan]]])
        return record(
            density_epoch=("density_epoch", [0, 200]),
            density_node=(("density_epoch", "probe", "ritz"), nodes),
            density_weight=(("density_epoch", "probe", "ritz"), weights),
            trace=("density_epoch", [-1.0, 3.0]),
            hessian_epoch=("hessian_epoch", [10, 200]),
            eigenvalue_positive=(("hessian_epoch", "eigen"), [[10.0, 5.0], [20.0, 4.0]]),
            eigenvalue_negative=(("hessian_epoch", "eigen"), [[-4.0, -1.0], [-2.0, -1.0]]),
            eigen_orthogonality=("hessian_epoch", [1e-6, 3e-6]),
        )

    def test_masses(self) -> None:
        r = self.spectrum()
        assert measure("smallest_mass_near_zero", r, within=0.05) == pytest.approx(0.7)
        assert measure("negative_mass", r, epoch=0) == pytest.approx(0.2)
        assert measure("negative_mass", r, epoch=200) == 0  # -1e-6 of 20 is rounding
        r.dataset["density_node"][1, 0, 0] = -20 * 1.1e-5  # a hundred-thousandth is the limit
        assert measure("negative_mass", r, epoch=200) == pytest.approx(0.5 / 2)

    def test_eigenvalues(self) -> None:
        r = self.spectrum()
        assert measure("smallest_eigenvalue", r, epoch=10) == -4
        assert measure("smallest_outlier_ratio", r) == 2.5
        assert measure("largest_curvature_ratio", r) == 0.4
        assert measure("largest_eigenvector_cosine", r) == 3e-6
        assert measure("smallest_trace", r) == 3  # that at the initialisation does not count
        with pytest.raises(NotRecorded, match="no hessian_epoch at E = 50"):
            measure("smallest_eigenvalue", r, epoch=50)

    def noise(self, trace_error: float = 0.0) -> Record:
        at_the_start = [[1.0, -1.0, 3.0, 1.0], [5.0, 7.0, 6.0, 6.0]]
        trained = [[-1.0, -1.0, 3.0, 3.0], [6.0, 6.0, 6.0, -2.0]]
        changes = np.array([at_the_start, trained])
        dims = ("density_epoch", "noise_lambda")
        return record(
            density_epoch=("density_epoch", [0, 200]),
            noise_lambda=("noise_lambda", [1.0, 2.0]),
            change=((*dims, "draw"), changes),
            trace=("density_epoch", [2.0, 2.0]),
            trace_error=("density_epoch", [trace_error] * 2),
            change_variance_corrected=(dims, changes.var(2, ddof=1) * np.array([[1, 1], [1, 2]])),
            change_variance_printed=(dims, changes.var(2, ddof=1) / 10),
        )

    def test_loss_changes(self) -> None:
        r = self.noise()
        assert measure("positive_share", r, noise_lambda=1.0, reduce="min") == 0.5
        assert measure("positive_share", r, noise_lambda=2.0, reduce="max") == 0.75
        # Expected 1 and 4; at E = 0 and lambda = 2 the mean is 6 with a standard error of sqrt(2/3)/2.
        assert measure("largest_mean_deviation", r) == pytest.approx(2 / (math.sqrt(2 / 3) / 2))
        assert measure("largest_mean_deviation", self.noise(1.0)) == pytest.approx(2 / math.hypot(math.sqrt(1 / 6), 2))
        r.dataset["trace"][:] = 20.0  # expected 10 and 40: the means lie below, at the start by 34 at lambda = 2
        assert measure("largest_mean_deviation", r) == pytest.approx(34 / (math.sqrt(2 / 3) / 2))
        corrected = {"of": "corrected", "reduce": "max"}
        assert measure("variance_factor", r, noise_lambda=1.0, **corrected) == pytest.approx(1)
        assert measure("variance_factor", r, noise_lambda=2.0, **corrected) == pytest.approx(2)
        assert measure("variance_factor", r, of="printed", noise_lambda=1.0, reduce="min") == pytest.approx(10)
        with pytest.raises(NotRecorded, match="no loss change at lambda = 3"):
            measure("positive_share", r, noise_lambda=3.0, reduce="min")

    def test_kinks(self) -> None:
        r = record(
            kink_epoch=("kink_epoch", [200]),
            kink_direction=("kink_direction", np.array(["Gau.", "P.E.1"])),
            kink_step=("kink_step", [0.1, 1.0]),
            kink_secant=(("kink_epoch", "kink_direction", "kink_step"), [[[2.0, 0.25], [-1.0, 1.1]]]),
            kink_hessian=(("kink_epoch", "kink_direction"), [[1.0, 1.0]]),
        )
        factors = [
            measure("kink_factor", r, epoch=200, direction=direction, step=step)
            for direction in ("Gau.", "P.E.1")
            for step in (0.1, 1.0)
        ]
        assert factors == pytest.approx([2, 4, math.inf, 1.1])
        for direction, step in (("Gau.", 0.5), ("N.E.1", 0.1)):
            with pytest.raises(NotRecorded, match=f"no second difference along {direction} with step {step}"):
                measure("kink_factor", r, epoch=200, direction=direction, step=step)
        r.dataset["kink_hessian"][:] = [[-4.0, 0.0]]
        r.dataset["kink_secant"][:] = [[[-2.0, -12.0], [1.0, np.nan]]]
        assert [
            measure("kink_factor", r, epoch=200, direction=direction, step=step)
            for direction in ("Gau.", "P.E.1")
            for step in (0.1, 1.0)
        ] == pytest.approx([2, 3, math.inf, math.nan], nan_ok=True)


class TestMining:
    def test_overlaps_and_heights(self) -> None:
        tables = Tables()
        for epoch, loss in ((10, PEAK), (50, BASIN), (200, PEAK)):
            tables.curve(AT, loss, family="mined", epoch=epoch)
        r = record(
            tables,
            mined_epoch=("mined_epoch", [10, 50, 200]),
            overlap_positive=(("mined_epoch", "eigen"), [[0.1, 0.1], [0.8, 0.8], [0.1, 0.1]]),
            overlap_negative=(("mined_epoch", "eigen"), [[0.2, 0.4], [0.0, 0.0], [0.1, 0.2]]),
            mined_height=("mined_epoch", [0.5, 0.0, 0.1]),
            null_height=("mined_epoch", [0.2, 0.0, 0.0]),
            negative_height=("mined_epoch", [0.3, 0.1, 0.0]),
        )
        assert measure("largest_overlap", r) == 0.8
        r.dataset["overlap_negative"][1, 0], r.dataset["overlap_negative"][2] = 0.9, np.nan  # not mined
        assert measure("largest_overlap", r) == 0.9
        r.dataset["overlap_negative"][1:] = [[0.0, 0.0], [0.1, 0.2]]
        assert measure("smallest_tilt", r) == pytest.approx(0.05)  # no peak at 50
        assert measure("mining_height", r, of="mined", epoch=10) == 0.5
        assert measure("mining_height", r, of="random", epoch=10) == 0.2
        assert measure("mining_height", r, of="negative", epoch=50) == 0.1
        with pytest.raises(ValueError, match="of must be one of mined, random, negative, got 'best'"):
            measure("mining_height", r, of="best", epoch=10)

    def test_without_a_peak_there_is_no_tilt(self) -> None:
        r = record(
            gaussians(BASIN, family="mined"),
            mined_epoch=("mined_epoch", [200]),
            overlap_positive=(("mined_epoch", "eigen"), [[0.1]]),
            overlap_negative=(("mined_epoch", "eigen"), [[0.2]]),
        )
        assert math.isnan(measure("smallest_tilt", r))
