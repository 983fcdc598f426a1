"""Every measure against numbers worked out by hand, and the phases they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthetic_run import make_run, oscillation

from landscape_helpers.claims import MEASURES, NotRecorded, Record, measure, phases, shown_layers
from landscape_helpers.claims.run_measures import decrease_under

DOWN = oscillation(400, 30, -1)  # + for 30 steps, then -
UP = oscillation(400, 120, +1)


def record(curve: np.ndarray, loss: np.ndarray | None = None, **given: object) -> Record:
    loss = np.linspace(2.0, 0.0, len(curve)) if loss is None else loss
    return Record(make_run(loss, curve, windowed=True, **given))  # type: ignore[arg-type]


class TestPhases:
    @pytest.mark.parametrize(("curve", "opening", "step", "sign"), [(DOWN, 1, 30, -1), (UP, -1, 120, 1)])
    def test_finds_the_one_change(self, curve: np.ndarray, opening: int, step: int, sign: int) -> None:
        found = phases(curve)
        assert found.opening == opening
        assert [(c.step, c.sign) for c in found.changes] == [(step, sign)]
        assert found.closing == sign

    def test_a_short_opening_phase_counts(self) -> None:
        # Ten of 1,500 epochs, as in the paper's CNN: far less than the new phase must last.
        assert [c.step for c in phases(oscillation(1500, 10, -1)).changes] == [10]

    def test_an_excursion_is_no_change(self) -> None:
        curve = DOWN.copy()
        curve[200:208] = 0.5  # m is 20 here, half of it 10
        assert [c.step for c in phases(curve).changes] == [30]

    def test_a_long_excursion_is_two(self) -> None:
        curve = DOWN.copy()
        curve[200:240] = 0.5
        assert [(c.step, c.sign) for c in phases(curve).changes] == [(30, -1), (200, 1), (240, -1)]

    def test_nothing_lasts_in_the_last_steps(self) -> None:
        assert phases(oscillation(400, 390, -1)).changes == ()
        assert [c.step for c in phases(oscillation(400, 380, -1)).changes] == [380]

    def test_a_phase_must_last_for_a_twentieth_of_the_run_rounded_up(self) -> None:
        assert [c.step for c in phases(oscillation(401, 381, -1)).changes] == [381]  # 21 steps to the end
        assert phases(oscillation(401, 382, -1)).changes == ()

    def test_the_opening_sign_is_the_median_of_five(self) -> None:
        curve = np.full(401, -0.9)
        curve[:3] = 0.1
        assert phases(curve).opening == 1
        curve[3] = 0.1
        curve[0] = -0.9  # + by three of five, and from the first step on - by far
        found = phases(curve)
        assert (found.opening, [(c.step, c.sign) for c in found.changes]) == (1, [(0, -1)])

    def test_half_a_window_of_known_steps_is_not_most_of_it(self) -> None:
        curve = oscillation(400, 30, -1)
        curve[40:49] = np.nan  # nine of the twenty steps from 30 on
        assert [c.step for c in phases(curve).changes] == [30]
        curve[49] = np.nan
        assert [c.step for c in phases(curve).changes] == [50]

    def test_noise_around_zero_before_the_turn_does_not_move_it_far(self) -> None:
        curve = DOWN.copy()
        curve[10] = -0.1
        # One negative value 20 steps early: the next 20 values are then positive in their majority.
        assert [c.step for c in phases(curve).changes] == [30]

    def test_a_curve_without_a_value_has_no_phase(self) -> None:
        found = phases(np.full(50, np.nan))
        assert (found.opening, found.changes) == (0, ())

    def test_leading_nan_are_skipped(self) -> None:
        curve = UP.copy()
        curve[:4] = np.nan
        assert phases(curve) == phases(UP)


class TestLoss:
    def test_loss_at(self) -> None:
        r = record(DOWN, np.arange(401.0))
        assert measure("loss_at", r, epoch=17) == 17.0

    def test_a_run_that_ended_early_has_no_number(self) -> None:
        dataset = make_run(np.arange(11.0), np.ones(11))
        assert math.isnan(measure("loss_at", Record(dataset, planned_steps=100), epoch=17))

    def test_a_run_never_meant_to_get_there_is_not_recorded(self) -> None:
        dataset = make_run(np.arange(11.0), np.ones(11))
        for name, window in (("mean_correlation", {"start": 5, "end": 17}), ("loss_at", {"epoch": 17})):
            with pytest.raises(NotRecorded, match="10 steps and does not reach epoch 17"):
                measure(name, Record(dataset, planned_steps=10), **window)

    def test_largest_increase_keeps_its_sign(self) -> None:
        assert measure("largest_loss_increase", record(DOWN[:4], np.array([3.0, 2.0, 1.5, 1.4]))) == pytest.approx(-0.1)
        assert measure("largest_loss_increase", record(DOWN[:4], np.array([3.0, 2.0, 2.5, 1.4]))) == pytest.approx(0.5)

    def test_share_of_the_decrease(self) -> None:
        curve = np.array([np.nan, np.nan, np.nan, np.nan, -0.5, 0.5, -0.5, -0.5])
        loss = np.array([10.0, 9.0, 8.0, 7.0, 6.0, 3.0, 2.0, 4.0])
        r = Record(make_run(loss, curve, windowed=True))
        # Oscillating at 4, 6 (7 has no next step): (6 - 3) + (2 - 4) = 1 of 10 - 4 = 6.
        assert measure("decrease_share", r) == pytest.approx(1 / 6)

    def test_the_share_as_it_grows(self) -> None:
        loss, windowed = [10.0, 9.0, 7.0, 6.0, np.nan], [np.nan, -0.5, 0.5, -0.5, np.nan]
        share = decrease_under(np.array(loss), np.array(windowed))
        np.testing.assert_allclose(share, [0, 0, 0.5, 0.5, np.nan])
        assert np.isnan(decrease_under(np.array(loss[::-1]), np.array(windowed))).all()

    def test_smoothing_removes_the_period_2_bounce(self) -> None:
        k = np.arange(201)
        trend = 2.0 - k / 200
        bounced = trend + 0.4 * (-1.0) ** k
        curve = oscillation(200, 100, -1)
        smooth = measure("decrease_share", record(curve, bounced), smoothed=True)
        # The interior is the trend again; only the kept ends bounce, by 0.4 in what the sum ends at.
        inside = (trend[100] - trend[199]) + (trend[199] - bounced[200])
        assert smooth == pytest.approx(inside / (bounced[0] - bounced[200]))

    def test_smoothing_takes_three_points(self) -> None:
        r = record(DOWN[:3], np.array([3.0, 1.0, 2.0]))
        r.dataset["windowed_correlation"][1:] = -0.5
        assert measure("decrease_share", r) == -1
        assert measure("decrease_share", r, smoothed=True) == -0.25  # (3 + 2 * 1 + 2) / 4 = 1.75 in the middle

    def test_no_decrease_has_no_share(self) -> None:
        assert math.isnan(measure("decrease_share", record(DOWN, np.linspace(1, 2, 401))))
        assert math.isnan(measure("decrease_share", record(DOWN[:4], np.array([1.0, 9.0, 5.0, 2.0]))))

    def test_share_between(self) -> None:
        r = record(DOWN, np.linspace(4.0, 0.0, 401))
        assert measure("decrease_share_between", r, start=100, end=300) == pytest.approx(0.5)
        assert measure("decrease_share_between", r, start=100) == pytest.approx(0.75)
        assert math.isnan(measure("decrease_share_between", Record(r.dataset, planned_steps=900), start=100, end=500))


class TestCorrelation:
    def test_means_over_windows(self) -> None:
        r = record(DOWN)
        assert measure("mean_correlation", r, start=1, end=8) == pytest.approx(0.9)
        assert measure("mean_correlation", r, start=30, end=400) == pytest.approx(-0.9)
        assert measure("mean_correlation", r, start=29, end=30) == pytest.approx(0.0)
        assert measure("mean_correlation", r, first=0.05) == pytest.approx(0.9)
        assert measure("mean_correlation", r, last=0.5) == pytest.approx(-0.9)

    def test_shares_are_of_the_papers_epochs(self) -> None:
        dataset = make_run(np.linspace(2, 0, 401), UP, windowed=True)
        shorter = Record(dataset, planned_steps=400, paper_steps=1000)
        assert measure("mean_correlation", shorter, first=0.1) == pytest.approx(-0.9)
        with pytest.raises(NotRecorded, match="400 steps and does not reach epoch 1,000"):
            measure("mean_correlation", shorter, last=0.7)
        assert math.isnan(measure("mean_correlation", Record(dataset, 1000, 1000), last=0.7))

    def test_a_share_ends_with_the_last_whole_step_within(self) -> None:
        r = record(DOWN)  # + up to step 29
        assert measure("mean_correlation", r, first=29.9 / 400) == pytest.approx(0.9)
        assert measure("mean_correlation", r, last=1 - 29.1 / 400) == pytest.approx(-0.9)

    def test_a_run_cut_short_is_as_if_planned_so(self) -> None:
        r = record(UP, sharpness={50: 20.0, 300: 10.0}).until(100)
        assert (r.last_step, r.planned_steps) == (100, 100)
        assert measure("closing_sign", r) == -1
        assert math.isnan(measure("sharpness_ratio", r, phase="stable"))

    def test_a_window_is_given_in_one_way(self) -> None:
        with pytest.raises(ValueError, match="by start and end, by first, or by last"):
            measure("mean_correlation", record(DOWN), start=1, last=0.5)

    def test_minimum_and_share(self) -> None:
        curve = DOWN.copy()
        curve[77] = -0.95
        r = record(curve)
        assert measure("min_correlation", r) == pytest.approx(-0.95)
        assert measure("min_correlation", r, start=5, end=20) == pytest.approx(0.9)
        assert measure("oscillating_share", r) == pytest.approx(371 / 397)
        assert measure("oscillating_share", r, below=-0.92) == pytest.approx(1 / 397)

    def test_turns(self) -> None:
        assert measure("transition_epoch", record(DOWN), direction="down") == 30
        assert math.isnan(measure("transition_epoch", record(DOWN), direction="up"))
        assert measure("transition_epoch", record(UP), direction="up") == 120
        assert measure("transition_epoch", record(DOWN), direction="down", until=1000) == 30
        assert math.isnan(measure("transition_epoch", record(DOWN), direction="up", until=300))
        with pytest.raises(NotRecorded, match="does not reach epoch 1,000"):
            measure("transition_epoch", Record(record(DOWN).dataset, planned_steps=399), direction="up", until=1000)
        assert measure("lasting_changes", record(UP)) == 1
        assert (measure("opening_sign", record(UP)), measure("closing_sign", record(UP))) == (-1, 1)
        assert measure("phase_mean", record(UP), direction="up", side="before") == pytest.approx(-0.9)
        assert measure("phase_mean", record(UP), direction="up", side="after") == pytest.approx(0.9)
        assert math.isnan(measure("phase_mean", record(UP), direction="down", side="after"))
        with pytest.raises(ValueError, match="direction must be"):
            measure("transition_epoch", record(UP), direction="left")

    def test_matrix_entries(self) -> None:
        distance = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
        matrix = np.where(distance == 0, 1.0, np.where(distance % 2, -0.8, 0.7))
        matrix[0, 1] = matrix[1, 0] = -0.6
        r = record(DOWN, matrices={75: matrix})
        assert measure("matrix_entries", r, epoch=75, lag=1, reduce="max") == pytest.approx(-0.6)
        assert measure("matrix_entries", r, epoch=75, lag=2, reduce="min") == pytest.approx(0.7)
        assert measure("matrix_entries", r, epoch=75, reduce="min") == pytest.approx(-0.8)
        with pytest.raises(NotRecorded, match="no correlation matrix was recorded at epoch 76"):
            measure("matrix_entries", r, epoch=76, reduce="min")
        assert math.isnan(measure("matrix_entries", r, epoch=397, reduce="min"))  # its window ends at 401 of 400
        with pytest.raises(NotRecorded, match="no correlation matrix was recorded at epoch 396"):
            measure("matrix_entries", r, epoch=396, reduce="min")
        matrix[2, 3] = matrix[3, 2] = -0.9
        assert measure("matrix_entries", record(DOWN, matrices={75: matrix}), epoch=75, reduce="min") == -0.9

    def test_sharpness_by_phase(self) -> None:
        r = record(UP, sharpness={0: 99.0, 50: 22.0, 100: 24.0, 150: 10.0, 300: 14.0})
        # eta / 2 = 0.05; step 0 has no windowed correlation and belongs to neither.
        assert measure("sharpness_ratio", r, phase="oscillating") == pytest.approx(23 * 0.05)
        assert measure("sharpness_ratio", r, phase="stable") == pytest.approx(12 * 0.05)
        with pytest.raises(NotRecorded, match="sharpness was not measured"):
            measure("sharpness_ratio", record(UP), phase="stable")


class TestLayers:
    LATE = oscillation(400, 150, +1, 0.6)

    def layered(self, **given: object) -> Record:
        return record(UP, layers={"a": UP, "b": self.LATE, "c": UP}, **given)

    def test_mean_of_every_layer(self) -> None:
        r = self.layered()
        assert measure("layer_mean_correlation", r, start=5, end=119, reduce="max") == pytest.approx(-0.6)
        assert measure("layer_mean_correlation", r, start=5, end=119, reduce="max", layers="first") == pytest.approx(
            -0.9
        )

    def test_sign_agreement(self) -> None:
        r = self.layered()
        # Steps 120 ... 149 of 4 ... 400 disagree.
        assert measure("sign_agreement", r) == pytest.approx(1 - 30 / 397)
        assert measure("sign_agreement", r, layers="last", reference="first") == 1.0
        assert measure("sign_agreement", r, layers="first", reference="b") == pytest.approx(1 - 30 / 397)

    def test_spread_and_single_changes(self) -> None:
        r = self.layered()
        assert measure("layer_transition_spread", r, direction="up") == 30
        assert measure("single_change_share", r, direction="up") == 1
        assert math.isnan(measure("layer_transition_spread", r, direction="down"))
        flat = record(UP, layers={"a": UP, "b": np.full(401, 0.5)})
        assert math.isnan(measure("layer_transition_spread", flat, direction="up"))
        assert measure("single_change_share", flat, direction="up") == 0.5

    def test_dot_products(self) -> None:
        ones = np.ones(401)
        dots = {"a": 8 * ones, "b": -2 * ones, "c": 0.5 * ones}
        r = self.layered(layer_dots=dots)
        assert measure("dot_ratio", r) == pytest.approx(16)
        assert measure("largest_dot_ratio", r) == pytest.approx(16)
        assert measure("first_dominance", r, direction="up") == pytest.approx(4)
        assert math.isnan(measure("first_dominance", r, direction="down", until=300))
        assert measure("first_largest_share", r) == 1
        assert measure("layer_sum_error", r) == 0
        r.dataset["dot"] = r.dataset["dot"] + 0.21  # of |8| + |-2| + |0.5|
        r.dataset["dot"][0] = np.nan  # the first step has no gradient before it
        assert measure("layer_sum_error", r) == pytest.approx(0.02)

    def test_pearson_gap_and_order(self) -> None:
        wave = np.sin(np.arange(401) / 9)
        layers = {"a": wave, "b": -wave, "c": 0.2 * wave + 0.5}
        r = record(wave, layers=layers)
        assert measure("layer_pearson", r, layer="first") == pytest.approx(1)
        assert measure("layer_pearson", r, layer="b") == pytest.approx(-1)
        below = wave[4:][wave[4:] < 0].mean()
        assert measure("layer_gap", r) == pytest.approx(0.5 + 0.2 * below - below)
        assert math.isnan(measure("layer_gap", record(np.abs(wave)), until=300))
        means = [c[4:].mean() for c in layers.values()]
        ranks = np.argsort(np.argsort(means))
        assert measure("depth_order", r) == pytest.approx(np.corrcoef(np.arange(3), ranks)[0, 1])

    @pytest.mark.parametrize(("name", "given"), [("first_dominance", {"direction": "down"}), ("layer_gap", {})])
    def test_what_follows_a_turn_is_open_where_the_run_was_planned_to_end_before_it(
        self, name: str, given: dict[str, str]
    ) -> None:
        r = Record(record(np.full(401, 0.9)).dataset, planned_steps=400)
        assert math.isnan(measure(name, r, **given))
        with pytest.raises(NotRecorded, match="does not reach epoch 1,000"):
            measure(name, r, until=1000, **given)

    def test_a_layer_without_gradient_cannot_pass(self) -> None:
        dead = np.full(401, np.nan)
        r = record(UP, layers={"a": UP, "b": dead})
        for name, arguments in (
            ("sign_agreement", {}),
            ("layer_mean_correlation", {"start": 5, "end": 100, "reduce": "max"}),
            ("largest_dot_ratio", {}),
        ):
            assert math.isnan(measure(name, r, **arguments)), name

    def test_shown_layers(self) -> None:
        assert shown_layers(38) == [0, 12, 25, 37]
        assert shown_layers(2) == [0, 1]
        assert shown_layers(1) == [0]

    def test_an_unknown_layer_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="unknown layers 'middle'"):
            measure("mean_correlation", self.layered(), layer="middle")


def test_unknown_measures_and_arguments_are_errors() -> None:
    with pytest.raises(ValueError, match="unknown measure 'nothing'"):
        measure("nothing", record(UP))
    with pytest.raises(ValueError, match="measure loss_at: "):
        measure("loss_at", record(UP), step=3)


def test_every_measure_states_what_it_measures() -> None:
    assert all(function.__doc__ for function in MEASURES.values())
