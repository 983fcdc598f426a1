"""The picture of trainings side by side: what is in the records is drawn, in either theme, and told in words."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
import xarray
from matplotlib.colors import to_hex
from torch import nn

from landscape_helpers.descent import GradientCorrelation, Sharpness, Spectrum, Travel, gradient_descent
from landscape_helpers.figures import THEMES, training_picture
from landscape_helpers.figures.style import of_name
from landscape_helpers.objective import Objective


def record_of(lr: float, probes: list) -> xarray.Dataset:
    torch.manual_seed(0)
    x = torch.randn(40, 4)
    objective = Objective(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), x, (x[:, 0] > 0).long())
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


def test_a_loss_that_reaches_zero_has_a_linear_axis():
    record = xarray.Dataset({"loss": ("step", [1.0, 0.5, 0.0])}, coords={"step": [0, 1, 2]})
    figure = training_picture({"run": record}).draw("light")
    assert figure.axes[0].get_yscale() == "linear"
    assert figure.axes[0].get_ylabel() == "loss"


def test_what_is_refused(records):
    with pytest.raises(ValueError, match="got 0: draw fewer"):
        training_picture({})
    with pytest.raises(ValueError, match="1 to 5 trainings, got 6"):
        training_picture({str(i): records["fast"] for i in range(6)})
    with pytest.raises(ValueError, match="rates are given for other: expected names of fast, slow"):
        training_picture(records, {"other": 1.0})
    with pytest.raises(ValueError, match="nothing to draw: expected one of the variables loss"):
        training_picture({"empty": xarray.Dataset()})
