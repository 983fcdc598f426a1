"""The pretended accelerator makes an accelerator's demands, and computes what the CPU computes."""

import pytest
import torch
from torch import nn


def test_the_two_places_do_not_mix(device):
    here, there = torch.ones(3), torch.ones(3, device=device)
    assert there.device == device and float((there * 2).sum()) == 6
    for mixed in (lambda: here + there, lambda: there @ here, lambda: torch.cat([there, here]), there.numpy):
        with pytest.raises((RuntimeError, TypeError)):
            mixed()
    image, filters = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3, device=device)
    with pytest.raises(RuntimeError):
        nn.functional.conv2d(image, filters)


def test_statistics_that_batch_norm_writes_arrive(device):
    layers = [nn.BatchNorm1d(3, momentum=1.0).to(where) for where in ("cpu", device)]
    x = torch.randn(8, 3)
    for layer in layers:
        layer(x.to(layer.weight.device))
    assert torch.equal(layers[0].running_mean, layers[1].running_mean.cpu()) and layers[0].running_mean.any()
