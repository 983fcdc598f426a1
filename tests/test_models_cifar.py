"""The CIFAR family of residual networks against published sizes and a forward pass written out."""

import pytest
import torch
from torch.nn import functional as F

from landscape_helpers.models import build_model

CIFAR = (3, 32, 32)


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)]
)  # He et al. (2016), Table 6
def test_sizes_are_those_of_the_paper(depth, millions):
    size = sum(p.numel() for p in build_model(f"resnet{depth}", 10, CIFAR).parameters())
    assert round(size / 1e6, 1 if millions == 1.7 else 2) == millions


def reference(model, x, skip):
    """The forward pass from the parameters alone, statistics of the batch."""
    weights = iter(model.parameters())

    def conv_norm(z, stride):
        z = F.conv2d(z, next(weights), stride=stride, padding=1)
        return F.batch_norm(z, None, None, next(weights), next(weights), training=True)

    z = conv_norm(x, 1).relu()
    for stage in range(3):
        for block in range((8 - 2) // 6):
            stride = 2 if stage and not block else 1
            inner = conv_norm(conv_norm(z, stride).relu(), 1)
            if skip:
                around = torch.zeros_like(inner)
                around[:, : z.shape[1]] = z[:, :, ::stride, ::stride]
                inner = inner + around
            z = inner.relu()
    return F.linear(z.mean((2, 3)), next(weights), next(weights))


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("pixels", [8, 9, 32])
def test_forward_pass_written_out(skip, pixels):
    model = build_model("resnet8", 7, (3, pixels, pixels), width=4, skip=skip).double()
    x = torch.randn(6, 3, pixels, pixels, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model(x), reference(model, x, skip), atol=1e-12)


def test_without_shortcuts_the_parameters_stay():
    with_skip, without = (build_model("resnet20", 10, CIFAR, seed=3, skip=s) for s in (True, False))
    for a, b in zip(with_skip.parameters(), without.parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_depths_and_options_are_refused():
    from landscape_helpers.models.cifar_residual import cifar_resnet

    for depth in (2, 21, -4):
        with pytest.raises(ValueError, match=f"6 n \\+ 2, such as 8, 20 or 32, got {depth}"):
            cifar_resnet(10, CIFAR, depth=depth)
    with pytest.raises(ValueError, match="'skip' of model 'resnet20' must be True or False, got 'no'"):
        build_model("resnet20", 10, CIFAR, skip="no")
