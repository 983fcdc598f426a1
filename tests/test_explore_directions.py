"""Lines under a menu and a slider: wells whose places are known, and a trained network's own losses."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
import traitlets
from torch import nn

from landscape_helpers.explore import (
    Choice,
    Frame,
    FrameExplorer,
    Panel,
    Reference,
    Series,
    direction_explorer,
    line_explorer,
)
from landscape_helpers.explore import directions as embedded
from landscape_helpers.explore.spec import Layout
from landscape_helpers.explore.view import VIEW
from landscape_helpers.objective import Objective

SCALES = (0.25, 1.0, 2.0)
ONE = torch.ones(1, dtype=torch.float64)


class Weight(nn.Module):
    """A network that is its one weight, so that the loss is any function of one variable."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w.expand(len(x), 1)


def landscape(function: Callable[[torch.Tensor], torch.Tensor]) -> Objective:
    x = torch.zeros(2, 1, dtype=torch.float64)
    return Objective(Weight(), x, x, loss=lambda outputs, _: function(outputs).mean())


def lines(function: Callable[[torch.Tensor], torch.Tensor], at: float, **networks: float) -> FrameExplorer:
    others = {name: other * ONE for name, other in networks.items()}
    return line_explorer(landscape(function), at * ONE, {"up": ONE}, others, scales=SCALES)


def two_wells(w: torch.Tensor) -> torch.Tensor:
    return (w**2 - 1) ** 2  # minima at -1 and 1, maximum at 0


def three_wells(w: torch.Tensor) -> torch.Tensor:
    return w**2 * (w**2 - 1) ** 2  # minima at -1, 0 and 1


def labels(e: FrameExplorer) -> list[str]:
    return [note.split(":")[0] for note in e.notes]


def test_one_menu_entry_shows_a_slider_alone_and_its_shape_by_scale() -> None:
    e = lines(two_wells, 0.0)
    assert len(e.spec["sliders"]) == 1
    assert labels(e) == ["w-peak", "w-peak", "w-peak"]
    assert "whose bottoms are not both in view" in e.notes[0] and "not both" not in e.notes[2]
    assert "Stationary points in view: 3" in e.notes[2]
    assert "none, as the gradient is zero" in e.notes[2]


def test_a_network_stands_at_one_and_stationary_points_where_they_are() -> None:
    e = lines(two_wells, -1.0, far=1.0)
    assert e.spec["sliders"][0]["options"] == ["up", "far"]
    up, far = e.frame(0, 2), e.frame(1, 2)
    assert np.isnan(up.references["other"]) and far.references["other"] == 1.0
    assert labels(e)[3:] == ["v-basin", "other", "w-basin"], (
        "the other well is at the edge of [-1, 1], and within [-2, 2]"
    )
    found = far.curves["extrema"][np.isfinite(far.curves["extrema"][:, 0])]
    np.testing.assert_allclose(found, [[0.0, 0.0], [0.5, 1.0], [1.0, 0.0]], atol=2 / 30)
    assert "length: 2 × that of the weights" in e.notes[3]


def test_three_wells_are_named() -> None:
    e = lines(three_wells, -1.0, far=1.0)
    assert labels(e)[5] == "vvv-basin" and "Stationary points in view: 5" in e.notes[5]


@pytest.mark.parametrize("at", [0.0, 0.8])
def test_on_a_parabola_the_second_order_model_is_the_loss(at: float) -> None:
    e = lines(lambda w: 3 * w**2, at)
    for i, s in enumerate(SCALES):
        curves = e.frame(i).curves
        np.testing.assert_allclose(curves["loss"], 3 * (at + s * np.linspace(-1, 1, 61)) ** 2, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(curves["quadratic"], curves["loss"][::2], rtol=1e-5, atol=1e-6)
    assert labels(e) == (["v-basin"] * 3 if at == 0 else ["v-side"] * 3)
    assert "its bottom lies out of view" in e.notes[0] or at == 0
    assert "gradient: 180.0°" in e.notes[0] or at == 0


def test_walls_are_cut_off_where_they_would_hide_the_wells() -> None:
    e = lines(lambda w: two_wells(3 * w), 0.0)
    left, right, bottom, top = e.frame(2).limits[VIEW]
    assert (left, right) == (-2.0, 2.0) and bottom < 0
    losses = e.frame(2).curves["loss"]
    assert top < losses.max() / 3 and (losses <= top).mean() >= 0.25
    assert top > 1.0, "the peak, one high, stays in view"
    whole = lines(lambda w: 3 * w**2, 0.0)
    assert whole.frame(2).limits[VIEW][3] > whole.frame(2).curves["loss"].max(), "a single well has nothing to hide"


def test_stored_and_computed_frames_agree_and_losses_that_overflow_are_left_out() -> None:
    e = lines(lambda w: torch.exp(300 * w.abs()) - 1, 0.0, far=0.1)
    assert e._compute is not None
    live, stored = e._compute(1, 1.0), e.frame(1, 1)
    for key, values in stored.curves.items():
        np.testing.assert_allclose(
            np.asarray(live.curves[key], np.float32)[: len(values)], values[: len(live.curves[key])]
        )
    assert live.note == stored.note
    between = e._compute(0, 3.0)
    assert np.isinf(between.curves["loss"]).any() and np.isfinite(between.limits[VIEW]).all()


@functools.cache
def network() -> FrameExplorer:
    return direction_explorer(n_train=60, scales=(0.5, 1.0), points=11)


def test_the_embedded_network_has_the_directions_of_the_paper_at_two_checkpoints() -> None:
    e = network()
    checkpoints, names, scale = e.spec["sliders"]
    assert checkpoints["options"] == ["E = 5, early", "E = 40, trained"] and len(names["options"]) == 10
    assert len(e.notes) == 2 * 10 * len(scale["values"])
    assert json.dumps(e.spec, allow_nan=False)
    assert "along random, draw 1" in e.alt and "60 images of digits" in e.caption


def test_lines_meet_the_losses_of_the_networks_they_join() -> None:
    e = network()
    task = embedded.trained("digits", 60, "mlp", {"hidden": (24, 24, 24)}, 0.05, 32, 0)
    later, independent = (
        e.spec["sliders"][1]["options"].index(name) for name in ("later checkpoint, E = 80", "independent training, E′")
    )
    for i, epoch in enumerate((5, 40)):
        here = task.exact.loss(task.kept[epoch].double())
        for line, other in ((later, task.kept[80]), (independent, task.independent)):
            curve = e.frame(i, line, 1).curves["loss"]
            assert curve[5] == pytest.approx(here, rel=1e-5)
            assert curve[-1] == pytest.approx(task.exact.loss(other.double()), rel=1e-4)


def test_random_directions_and_eigenvectors_are_as_long_as_the_weights() -> None:
    e = network()
    for line in (0, 1, 2, 3, 6, 7):
        assert "length: 1 × that of the weights" in e.notes[2 * line]
    assert "angle to the negative gradient: 0.0°" in e.notes[2 * 3]


def test_eigenvectors_carry_their_curvature() -> None:
    task = embedded.trained("digits", 60, "mlp", {"hidden": (24, 24, 24)}, 0.05, 32, 0)
    theta = task.kept[5].double()
    lines_there = embedded.lines_at(task, 5)
    for line, kind in ((lines_there[6], "largest"), (lines_there[7], "smallest")):
        v = line.direction.double()
        curvature = float(v @ task.exact.hvp(theta, v)) / float(v @ v)
        said = float(line.about.rsplit(" ", 1)[1].rstrip(".").replace("\N{MINUS SIGN}", "-"))
        assert kind in line.about and said == pytest.approx(curvature, rel=0.06)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"directions": {}}, "nothing to look along"),
        ({"directions": {"a": ONE}, "networks": {"a": ONE}}, "two names"),
        ({"points": 10}, "points must be odd"),
        ({"points": 3}, "at least 5"),
        ({"scales": (1.0,)}, "at least two"),
        ({"scales": (0.0, 1.0)}, "above 0"),
        ({"directions": {"a": torch.ones(2)}}, r"shape \(1,\)"),
    ],
)
def test_bad_lines_are_refused(arguments: dict, message: str) -> None:
    settings = {"directions": {"up": ONE}, **arguments}
    with pytest.raises(ValueError, match=message):
        line_explorer(landscape(two_wells), 0 * ONE, **settings)


def test_bad_scales_are_refused_before_any_data_is_read() -> None:
    with pytest.raises(ValueError, match="above 0"):
        direction_explorer(data="no such data", scales=(-1.0, 1.0))


def test_menus_refuse_and_take_whole_positions_only() -> None:
    for options in (["one"], ["same", "same"]):
        with pytest.raises(ValueError, match="at least two different options"):
            Choice("which", options)
    e = lines(two_wells, 0.5, far=1.0)
    e.position = [1.0, 0.5]
    with pytest.raises(traitlets.TraitError, match="whole number"):
        e.position = [0.5, 1.0]


def test_moving_axes_travel_with_their_frame() -> None:
    mark = Reference("r", vertical=True)
    panel = Panel("P", "x", "y", [Series("a", "a", [0.0, 1.0])], references=[mark], moving=True)
    good = Frame({"a": np.ones(2)}, {"r": np.nan}, limits={"P": (-1.0, 2.0, 0.5, 4.0)})
    layout = Layout([panel])
    back = layout.unpack(layout.pack(good))
    assert back.limits == good.limits and np.isnan(back.references["r"])
    with pytest.raises(ValueError, match="must ascend"):
        layout.pack(Frame(good.curves, good.references, limits={"P": (1.0, 1.0, 0.0, 1.0)}))
    with pytest.raises(ValueError, match="limits must be"):
        layout.pack(Frame(good.curves, good.references))
    with pytest.raises(ValueError, match="different titles"):
        Layout([panel, Panel("P", "x", "y", [Series("b", "b", [0.0])], moving=True)])


def test_line_styles_are_known() -> None:
    with pytest.raises(ValueError, match="must be one of"):
        Series("a", "a", [0.0], line="wavy")
