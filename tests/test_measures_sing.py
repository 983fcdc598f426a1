"""Measures of telemetry and of gradient flows against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from synthetic_sing import make_edge, make_flow

from landscape_helpers.claims import NotRecorded, Record, measure

# Three classes: pairs 1 and 2 are the top, pair 3 is the first of the bulk. Stops at t = 0, 1, ..., 5.
RHO = np.array(
    [[0.4, 0.2, 0.1, 0.1], [1.0, 0.6, 0.2, 0.1], [1.1, 0.8, 0.2, 0.1], [1.2, 0.9, 0.8, 0.1], [0.9, 0.5, 0.1, 0.1],
     [0.9, 0.75, 0.25, 0.2]]
)  # fmt: skip


def edge(rho: np.ndarray = RHO, **given: Any) -> Record:
    return Record(make_edge(rho, **given))


class TestRatios:
    def test_largest(self) -> None:
        assert measure("max_rho", edge(), pair="last top") == 0.9
        assert measure("max_rho", edge(), pair="first bulk") == 0.8
        assert measure("max_rho", edge(), pair="first") == 1.2
        assert measure("max_rho", edge(), pair="last top", start=4, end=5) == 0.75

    def test_an_overflowed_stop_is_left_out(self) -> None:
        rho = RHO.copy()
        rho[3] = np.nan
        assert measure("max_rho", edge(rho), pair="last top") == 0.8
        assert math.isnan(measure("max_rho", edge(np.full_like(RHO, np.nan)), pair="first"))

    def test_the_pairs_follow_the_number_of_classes(self) -> None:
        assert measure("max_rho", edge(classes=2), pair="last top") == 1.2
        assert measure("top_pairs", edge(classes=4)) == 3
        with pytest.raises(ValueError, match="pair must be one of first, last top, first bulk, got 'tenth'"):
            measure("max_rho", edge(), pair="tenth")

    def test_entry_and_stay(self) -> None:
        assert measure("edge_time", edge()) == 2.0
        assert measure("edge_time", edge(), above=0.85) == 3.0
        assert math.isnan(measure("edge_time", edge(), above=2))
        assert measure("edge_stops", edge()) == 3
        assert measure("edge_share", edge()) == 0.5
        assert measure("edge_stops", edge(), above=0.8) == 1  # at 0.8 is not above it

    def test_the_gap_is_the_median_from_the_entry_on(self) -> None:
        # 0.8/0.2, 0.9/0.8, 0.5/0.1, 0.75/0.25 from t = 2 on.
        assert measure("rho_gap", edge()) == pytest.approx((4 + 3) / 2)
        assert math.isnan(measure("rho_gap", edge(), above=2))

    def test_the_count_of_directions(self) -> None:
        # Above 0.7: 0, 1, 2, 3, 1, 2 of four; two classes less one is two.
        assert measure("share_with_edge_count", edge()) == pytest.approx(2 / 6)

    def test_windows_end_with_the_run(self) -> None:
        stopped = edge(status="stopped: loss below 0.1 at step 500")
        assert measure("max_rho", stopped, pair="first", end=6) == measure("max_rho", stopped, pair="first", end=5)
        assert math.isnan(measure("max_rho", stopped, pair="first", start=5.5, end=6))
        with pytest.raises(NotRecorded, match="ends at t = 5 and does not reach 6"):
            measure("max_rho", edge(), pair="first", end=6)

    def test_a_window_reaches_half_a_step_beyond_its_ends(self) -> None:
        r = edge(lr=1.0, every=1)  # a stop at each step, t = 0, 1, ..., 5; last top 0.2 0.6 0.8 0.9 0.5 0.75
        assert measure("max_rho", r, pair="last top", start=3.4) == 0.9
        assert measure("max_rho", r, pair="last top", start=3.6) == 0.75
        assert measure("max_rho", r, pair="last top", end=1.4) == 0.6
        assert measure("max_rho", r, pair="last top", end=1.6) == 0.8
        assert measure("max_rho", r, pair="last top", start=4.0, end=5.4) == 0.75
        with pytest.raises(NotRecorded, match=r"ends at t = 5 and does not reach 5\.6"):
            measure("max_rho", r, pair="last top", end=5.6)

    def test_curvature_is_the_ratio_over_half_the_rate(self) -> None:
        assert measure("curvature_between", edge(), pair="first bulk", start=1, end=3) == pytest.approx(200 * 0.4)
        assert measure("rho_between", edge(), pair="first bulk", start=1, end=3, by="median") == pytest.approx(0.2)
        assert measure("curvature_rise", edge()) == pytest.approx(3)

    def test_the_negative_end(self) -> None:
        # The last top eigenvalue at the last stop is 2 * 0.75 / 0.01 = 150.
        assert measure("negative_share", edge(smallest_eigenvalue=-30.0)) == pytest.approx(0.2)
        assert measure("negative_share", edge(smallest_eigenvalue=3.0)) == 0


class TestGradient:
    def test_parts_over_a_window(self) -> None:
        coordinate = np.tile(np.array([3.0, 4.0, 9.0, 9.0]), (6, 1)) * np.array([1, 1, 1, 1, 4, 1])[:, None]
        r = edge(coordinate=coordinate)
        assert measure("gradient_part", r, of="top", start=1, end=3) == pytest.approx(5)
        assert measure("gradient_part", r, of="top", start=2, end=4) == pytest.approx(10)
        assert measure("gradient_part", r, of="top", start=2, end=4, by="median") == pytest.approx(5)
        assert measure("gradient_part", r, of="bulk", start=2, end=4) == 1
        assert measure("concentration", r) == pytest.approx(5)  # 5, 5, 20, 5 from the entry on
        with pytest.raises(ValueError, match="of must be 'top' or 'bulk'"):
            measure("gradient_part", r, of="all", start=1, end=2)
        with pytest.raises(ValueError, match="a statistic must be one of mean, median"):
            measure("gradient_part", r, of="top", start=1, end=2, by="mode")

    def test_entry_and_burst_together(self) -> None:
        # Stops every 10 steps. Pair 1 enters at stop 5 and bursts at 6; pair 2 enters at 5 and bursts at 15.
        rho, coordinate = np.full((20, 4), 0.5), np.ones((20, 4))
        rho[5:, :2] = 1.0
        coordinate[6:, 0], coordinate[15:, 1] = 20.0, 20.0
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("entries_together", r) == 1
        assert measure("entries_together", r, iterations=101) == 2
        assert measure("bursts", r) == 2
        assert measure("bursts", r, times=30) == 0

    def test_a_burst_is_held_against_the_median_before_it(self) -> None:
        """One stop of 8 raises the mean of those before to more than 2, and leaves their median at 1."""
        rho, coordinate = np.full((9, 4), 0.5), np.ones((9, 4))
        rho[5:, 0], coordinate[2, 0], coordinate[5:, 0] = 0.95, 8.0, 10.5
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("entries_together", r) == measure("bursts", r) == 1

    def test_fifty_iterations_apart_is_not_together(self) -> None:
        rho, coordinate = np.full((20, 4), 0.5), np.ones((20, 4))
        rho[5:, :2], coordinate[10:, 0], coordinate[9:, 1] = 1.0, 20.0, 20.0
        assert measure("entries_together", edge(rho, every=10, coordinate=coordinate)) == 1

    def test_a_stop_whose_curvature_overflowed_is_passed_over(self) -> None:
        """Entry and burst are found past it; a pair that was on the edge on both sides of it has not entered."""
        rho, coordinate = np.full((20, 4), 0.5), np.ones((20, 4))
        rho[10:, 0], coordinate[10:, 0] = 1.0, 20.0
        rho[:, 1], coordinate[12:, 1] = 1.0, 20.0
        rho[3], coordinate[3] = np.nan, np.nan
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("entries_together", r) == measure("bursts", r) == 1
        rho[4:9], coordinate[1:9] = np.nan, np.nan  # of the stops before, two are known
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("bursts", r) == 0

    def test_signs_of_coordinates_do_not_matter(self) -> None:
        rho, coordinate = np.full((9, 4), 0.5), np.ones((9, 4))
        rho[5:, 0], coordinate[5:, 0] = 1.0, -20.0
        assert measure("entries_together", edge(rho, every=10, coordinate=coordinate)) == 1

    def test_a_pair_that_starts_on_the_edge_has_no_entry_to_look_back_from(self) -> None:
        rho, coordinate = np.ones((9, 4)), np.ones((9, 4))
        coordinate[5:] = 50.0
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("bursts", r) == measure("entries_together", r) == 0
        for stop, count in ((2, 0), (3, 2)):  # three stops before it are needed
            rho[:], coordinate[:], rho[:stop] = 1.0, 1.0, 0.5
            coordinate[stop:] = 50.0
            assert measure("bursts", edge(rho, every=10, coordinate=coordinate)) == count
        rho[:], coordinate[:5] = 1.0, 1.0
        rho[2:4] = 0.5  # leaves, and enters at stop 4, one stop before the burst
        r = edge(rho, every=10, coordinate=coordinate)
        assert measure("bursts", r) == measure("entries_together", r) == 2


class TestPartialSteps:
    CHANGE = np.array([5.0, 5.0, 0.1, -0.1, 5.0, 0.3])  # on the edge at stops 2, 3 and 5

    def test_statistics_over_the_stops_on_the_edge(self) -> None:
        r = edge(change_top=self.CHANGE)
        assert measure("partial_change", r, of="top") == pytest.approx(0.1)
        assert measure("partial_change", r, of="top", statistic="median") == pytest.approx(0.1)
        assert measure("partial_change", r, of="top", statistic="std") == pytest.approx(0.2)
        assert measure("partial_change", r, of="top", statistic="error") == pytest.approx(0.2 / math.sqrt(3))
        assert measure("partial_change", r, of="bulk") == pytest.approx(-0.01)

    def test_fewer_than_three_stops_have_no_number(self) -> None:
        assert math.isnan(measure("partial_change", edge(), of="top", above=0.77))

    def test_the_second_order_is_exact_on_a_quadratic(self) -> None:
        # On sum lambda_i x_i^2 / 2 a step along the top changes the loss by eta d^2 (eta lambda / 2 - 1) exactly.
        coordinate = np.tile(np.array([3.0, 4.0, 1.0, 1.0]), (6, 1))
        exact = 0.01 * (9 * (RHO[:, 0] - 1) + 16 * (RHO[:, 1] - 1))
        assert measure("prediction_error", edge(coordinate=coordinate, change_top=exact)) == pytest.approx(0, abs=1e-12)
        terms = 0.01 * (9 * abs(RHO[:, 0] - 1) + 16 * abs(RHO[:, 1] - 1))
        off = measure("prediction_error", edge(coordinate=coordinate, change_top=exact + 0.25 * terms))
        assert off == pytest.approx(0.25)

    def test_growth_of_the_weights_is_the_largest_seen(self) -> None:
        lengths = np.array([10.0, 10.2, 10.5, 10.1, 10.0, 10.0])
        assert measure("norm_growth", edge(theta_norm=lengths, theta_norm_end=10.3)) == pytest.approx(0.05)
        assert measure("norm_growth", edge(theta_norm_end=10.6)) == pytest.approx(0.06)


class TestFlow:
    LAMBDA = np.array([4.0, 9.0, np.nan, 2.0, 1.0, 6.0, 5.0])  # t = 0, 0.1, ...

    def test_peaks(self) -> None:
        r = Record(make_flow(self.LAMBDA))
        assert measure("peak_curvature", r) == 9
        assert measure("peak_curvature", r, start=0.25) == 6
        assert measure("peak_rise", r) == pytest.approx(9 / 4)
        assert measure("opening_curvature", r) == 9
        assert measure("opening_curvature", Record(make_flow(self.LAMBDA[1:]))) == 2

    def test_the_number_of_images_is_what_the_run_was_given(self) -> None:
        flow = make_flow(self.LAMBDA, images=81)
        assert measure("number_of_images", Record(flow)) == 81
        del flow.attrs["data_n"]
        with pytest.raises(NotRecorded, match="number of images"):
            measure("number_of_images", Record(flow))

    def test_the_time_of_a_loss(self) -> None:
        r = Record(make_flow(np.ones(11)))  # loss 2.3 - 2.2 t, t = 0 to 1
        assert measure("flow_time", r, loss=2.3 - 0.55 * 2.2) == pytest.approx(0.55)
        assert measure("flow_time", r, loss=5) == 0
        assert measure("flow_time", r, loss=float(r["loss"][-1])) == pytest.approx(1)
        with pytest.raises(NotRecorded, match=r"ends at a loss of 0\.1 and does not reach 0\.01"):
            measure("flow_time", r, loss=0.01)

    @pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
    def test_the_exponent_of_a_known_profile(self, exponent: float) -> None:
        r = Record(make_flow(np.ones(3), exponent=exponent))
        assert measure("cusp_exponent", r) == pytest.approx(exponent, abs=1e-6)
        assert measure("cusp_exponent", r, low=1e-3, high=3e-2) == pytest.approx(exponent, abs=1e-6)
        assert measure("cusp_exponent_error", r) == pytest.approx(0, abs=1e-6)

    def test_the_exponent_is_that_of_the_distances_from_one_to_thirty_ten_thousandths(self) -> None:
        held = make_flow(np.ones(3), exponent=1.0)
        delta, change = np.abs(held["cusp_delta"].values), held["cusp_change"].values
        for low, high, inside in ((0, 0.95e-4, False), (0.95e-4, 1.55e-4, True), (2.94e-3, 3e-3, True)):
            near = (delta[0] > low) & (delta[0] <= high * (1 + 1e-9))
            assert near.any()
            changed = change.copy()
            changed[0, near] *= 2
            r = Record(held.assign(cusp_change=(("cusp", "delta"), changed)))
            assert (measure("cusp_exponent_error", r) > 1e-3) is inside

    def test_slopes_are_the_largest_within_a_distance(self) -> None:
        r = Record(make_flow(np.ones(3), exponent=2, scale=100))
        spacing = 0.006 / 120
        # Between the last two points of c x^2 the slope is c (x_a + x_b).
        assert measure("cusp_slope", r) == pytest.approx(100 * (2 * 0.003 - spacing))
        assert measure("cusp_slope", r, within=0.0003) == pytest.approx(100 * (2 * 0.0003 - spacing))
        assert measure("cusp_slope", r, within=0.03) == pytest.approx(100 * (2 * 0.03 - 10 * spacing))
        with pytest.raises(NotRecorded, match=r"reaches to 0.03 and not to 0.1"):
            measure("cusp_slope", r, within=0.1)

    def test_the_share_that_lies_higher(self) -> None:
        assert measure("cusp_positive_share", Record(make_flow(np.ones(3)))) == 1
        dataset = make_flow(np.ones(3))
        change = dataset["cusp_change"].values.copy()
        change[0, :30] = -1.0
        change[0, :5] = 0.0  # no change is no rise
        dataset["cusp_change"] = (("cusp", "delta"), change)
        assert measure("cusp_positive_share", Record(dataset)) == pytest.approx(0.75)
