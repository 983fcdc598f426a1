"""AlexNet for small images against parameters worked out by hand and a forward pass written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers.catalogue import forward_macs
from landscape_helpers.models import build_model


def conv(inputs: int, outputs: int) -> int:
    return 9 * inputs * outputs + outputs


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


@pytest.mark.parametrize(
    ("shape", "width", "pixels"), [((3, 32, 32), 64, 4), ((3, 16, 16), 8, 1), ((1, 28, 28), 4, 1), ((1, 8, 8), 5, 1)]
)
def test_it_has_the_parameters_of_its_layers(shape: tuple[int, int, int], width: int, pixels: int) -> None:
    w = width
    convolutions = conv(shape[0], w) + conv(w, 3 * w) + conv(3 * w, 6 * w) + conv(6 * w, 4 * w) + conv(4 * w, 4 * w)
    head = linear(4 * w * pixels, 32 * w) + linear(32 * w, 32 * w) + linear(32 * w, 10)
    model = build_model("alexnet", 10, shape, width=width)
    assert sum(p.numel() for p in model.parameters()) == convolutions + head


@pytest.mark.parametrize(("side", "pools"), [(32, 3), (16, 3), (8, 2), (4, 1), (1, 0)])
def test_it_pools_while_there_is_something_to_pool(side: int, pools: int) -> None:
    model = build_model("alexnet", 10, (1, side, side), width=2)
    assert sum(isinstance(m, nn.MaxPool2d) for m in model.modules()) == pools
    assert model(torch.zeros(2, 1, side, side)).shape == (2, 10)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_forward_pass_is_the_originals_order_of_layers(activation: str) -> None:
    model = build_model("alexnet", 10, (3, 16, 16), width=2, activation=activation, seed=1).double()
    act = torch.relu if activation == "relu" else torch.tanh
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    x = h = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for j, layer in enumerate(layers[:5]):
        h = act(F.conv2d(h, layer.weight, layer.bias, stride=1 if j else 2, padding=1))
        if j in (0, 1, 4):
            h = F.max_pool2d(h, 2)  # behind the activation, as in the original
    h = h.flatten(1)
    for layer in layers[5:7]:
        h = act(F.linear(h, layer.weight, layer.bias))
    torch.testing.assert_close(model(x), F.linear(h, layers[7].weight, layers[7].bias))


@pytest.mark.parametrize(("shape", "width"), [((3, 32, 32), 64), ((3, 16, 16), 3), ((1, 28, 28), 2), ((1, 8, 8), 4)])
def test_its_cost_agrees_with_hooks_on_the_network(shape: tuple[int, int, int], width: int) -> None:
    counted = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal counted
        counted += output.numel() * module.weight[0].numel()  # type: ignore[index]

    model = build_model("alexnet", 10, shape, width=width)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, *shape))
    assert forward_macs("alexnet", shape, 10, width=width) == counted


def test_at_full_width_it_takes_about_fifty_million_multiply_accumulates() -> None:
    assert forward_macs("alexnet", (3, 32, 32), 10) == pytest.approx(48.0e6, rel=0.01)


@pytest.mark.parametrize("model", ["alexnet", "vgg16"])
def test_an_activation_that_is_not_known_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match=r"option 'activation' of model .* must be one of"):
        build_model(model, 10, (3, 16, 16), width=2, activation="gelu")
