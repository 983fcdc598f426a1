"""The picture of trainings side by side: what is in the records is drawn, in either theme, and told in words."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
import xarray
from matplotlib.colors import to_hex
from torch import nn

from landscape_helpers.descent import GradientCorrelation, Sharpness, Spectrum, Telemetry, Travel, gradient_descent, sgd
from landscape_helpers.figures import THEMES, training_picture
from landscape_helpers.figures.style import of_name
from landscape_helpers.objective import Objective


def small() -> Objective:
    torch.manual_seed(0)
    x = torch.randn(40, 4)
    return Objective(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), x, (x[:, 0] > 0).long())


def record_of(lr: float, probes: list) -> xarray.Dataset:
    objective = small()
    return gradient_descent(objective, objective.theta, lr, 12, probes).record


@pytest.fixture(scope="module")
def records() -> dict[str, xarray.Dataset]:
    return {
        "fast": record_of(2.0, [GradientCorrelation(3), Sharpness(4), Travel()]),
        "slow": record_of(0.5, [Spectrum(4)]),
    }


@pytest.mark.parametrize("name", THEMES)
def test_panels_hold_the_records(records, name):
    before = mpl.rcParams.copy()
    figure = training_picture(records, {"fast": 2.0}).draw(name)
    assert mpl.rcParams == before
    colours = [to_hex(c) for c in of_name(name).series]
    loss, correlation, sharpness, distance = figure.axes
    fast, slow = records["fast"], records["slow"]
    drawn = {
        (ax, to_hex(line.get_color())): line.get_xydata()
        for ax in figure.axes
        for line in ax.lines
        if len(line.get_xdata()) > 2
    }
    expected = {
        (loss, 0): (fast.step, fast.loss),
        (loss, 1): (slow.step, slow.loss),
        (correlation, 0): (fast.step[2:], fast.windowed_correlation[2:]),
        (sharpness, 0): (fast.stop, fast.sharpness),
        (sharpness, 1): (slow.stop, slow.lambda_max),
        (distance, 0): (fast.step, fast.distance),
    }
    assert {(ax, colours[i]) for ax, i in expected} == set(drawn)
    for (ax, i), columns in expected.items():
        np.testing.assert_allclose(drawn[ax, colours[i]], np.stack(columns, 1))
    assert 1.0 in [line.get_ydata()[0] for line in sharpness.lines if len(line.get_ydata()) == 2]  # 2 / eta
    assert loss.get_yscale() == "log"
    assert figure.axes[-1].get_xlabel() == "full-batch step"
    assert [t.get_text() for t in figure.legends[0].get_texts()][:2] == ["fast", "slow"]


def test_words_and_output(records):
    picture = training_picture({"fast": records["fast"]}, note="Twelve steps.")
    loss = records["fast"].loss.values
    assert f"fast: the loss goes from {loss[0]:.3g} to {loss[-1]:.3g}" in picture.alt
    html = picture._repr_mimebundle_()["text/html"]
    assert 'id="training-fast"' in html
    assert "distance from the start" in html


def test_looks_stand_at_the_steps_of_their_trainings(records):
    """One training was looked at every five updates, another every two: they end at the same update."""
    often = records["fast"].isel(step=slice(0, 11), stop=slice(0, 3))
    seldom = records["fast"].isel(step=slice(0, 5), stop=slice(0, 2))
    steps = {"often": (often, 2 * np.arange(11.0)), "seldom": (seldom, 5 * np.arange(5.0))}
    about = {"long_name": "step of the training"}
    told = {name: record.assign_coords(training_step=("step", at, about)) for name, (record, at) in steps.items()}
    figure = training_picture(told).draw("light")
    loss, _, sharpness, _ = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xdata(), steps["often"][1])
    np.testing.assert_array_equal(loss.lines[1].get_xdata(), steps["seldom"][1])
    np.testing.assert_array_equal(sharpness.lines[0].get_xdata(), [0, 8, 16])  # looks 0, 4 and 8
    np.testing.assert_array_equal(sharpness.lines[1].get_xdata(), [0, 20])
    assert figure.axes[-1].get_xlabel() == "step of the training"


def test_a_loss_that_reaches_zero_has_a_linear_axis():
    record = xarray.Dataset({"loss": ("step", [1.0, 0.5, 0.0])}, coords={"step": [0, 1, 2]})
    figure = training_picture({"run": record}).draw("light")
    assert figure.axes[0].get_yscale() == "linear"
    assert figure.axes[0].get_ylabel() == "loss"


def lines(ax) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines]


def test_mini_batches_have_a_panel_of_their_own(records):
    """The loss of a mini-batch is not that of all samples: it is drawn, and not on the same axes."""
    objective = small()
    run = sgd(objective, objective.theta, 0.5, 3, 10).record
    full, batches, *_ = training_picture({"whole": records["slow"], "parts": run}).draw("light").axes
    known = np.isfinite(run.batch_loss)
    np.testing.assert_array_equal(lines(full)[0][:, 1], records["slow"].loss)
    assert [len(line) for line in lines(full)] == [13, 0]
    assert [len(line) for line in lines(batches)] == [0, int(known.sum())]
    np.testing.assert_array_equal(lines(batches)[1][:, 1], run.batch_loss[known])
    assert batches.get_ylabel().startswith("loss of mini-batches")
    assert f"the loss of the mini-batches goes from {float(run.batch_loss[0]):.3g}" in training_picture({"a": run}).alt


def test_a_sharpness_that_was_renamed_for_another_probe():
    """Where two probes measure it, the later name ends in its place among them; the panel is theirs all the same."""
    record = record_of(0.5, [Telemetry(0.5, every=4, top=2, k=3), Spectrum(3)])
    record = record.rename(lambda_max="lambda_max_1")
    *_, sharpness = training_picture({"run": record}).draw("light").axes
    np.testing.assert_array_equal(lines(sharpness)[0], np.stack([record.stop_1, record.lambda_max_1], 1))


def test_one_point_is_seen():
    objective = small()
    record = gradient_descent(objective, objective.theta, 0.5, 0, [Sharpness()]).record
    for ax in training_picture({"start": record}).draw("light").axes:
        [line] = ax.lines
        assert line.get_marker() == "o"
        assert len(line.get_xdata()) == 1


def test_steps_are_whole_numbers(records):
    figure = training_picture({"fast": records["fast"].isel(step=slice(3))[["loss"]]}).draw("light")
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


def test_a_divergence_is_marked_and_told(records):
    objective = small()
    squares = Objective(objective.model, *objective.samples(), loss=lambda out, y: (out[:, 0] - y).pow(2).mean())
    record = gradient_descent(squares, squares.theta, 100.0, 200).record
    assert "became non-finite at step" in record.attrs["status"]
    picture = training_picture({"wild": record, "slow": records["slow"]})
    assert f"; {record.attrs['status']}. slow:" in picture.alt
    figure = picture.draw("light")
    [cross] = [line.get_xydata() for line in figure.axes[0].lines if line.get_marker() == "X"]
    np.testing.assert_array_equal(cross[0], (record.step[-1], record.loss[-1]))
    assert "became non-finite" in [t.get_text() for t in figure.legends[0].get_texts()]
    batches = sgd(squares, squares.theta, 100.0, 9, 10).record
    figure = training_picture({"wild": batches, "slow": records["slow"]}).draw("light")
    [cross] = [(ax, line.get_xydata()) for ax in figure.axes for line in ax.lines if line.get_marker() == "X"]
    assert cross[0] is figure.axes[1]
    np.testing.assert_array_equal(cross[1][0], (batches.step[-1], batches.batch_loss[-1]))


def test_a_part_of_a_record(records):
    figure = training_picture({"fast": records["fast"][["sharpness"]]}).draw("light")
    assert figure.axes[0].get_xlabel() == "step"
    np.testing.assert_array_equal(lines(figure.axes[0])[0][:, 1], records["fast"].sharpness)


def test_what_is_refused(records):
    with pytest.raises(TypeError, match=r"dictionary of records by name, got Dataset: give \{"):
        training_picture(records["fast"])
    with pytest.raises(TypeError, match=r"'slow' must be an xarray\.Dataset, got Objective: give watch\.record"):
        training_picture(records | {"slow": small()})
    with pytest.raises(ValueError, match="above 0, got fast: 0, slow: -1"):
        training_picture(records, {"fast": 0, "slow": -1})
    with pytest.raises(ValueError, match="got 0: draw fewer"):
        training_picture({})
    with pytest.raises(ValueError, match="1 to 5 trainings, got 6"):
        training_picture({str(i): records["fast"] for i in range(6)})
    with pytest.raises(ValueError, match="rates are given for other: expected names of fast, slow"):
        training_picture(records, {"other": 1.0})
    with pytest.raises(ValueError, match="nothing to draw: expected one of the variables loss"):
        training_picture({"empty": xarray.Dataset()})
