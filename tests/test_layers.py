"""Every parameter belongs to exactly one layer, and the counting follows the rule that is written down."""

import torch
from torch import nn

from landscape_helpers.layers import layers_of, trainable_parameters


class Unit(nn.Sequential):
    counts_as_one_layer = True


def test_layers_partition_theta_in_order():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Linear(4, 2)))
    layers = layers_of(model)
    assert [layer.name for layer in layers] == ["0", "1", "2.0"]
    assert [layer.kind for layer in layers] == ["Linear", "BatchNorm1d", "Linear"]
    covered = torch.cat([torch.arange(s.start, s.stop) for layer in layers for s in layer.slices])
    assert torch.equal(covered, torch.arange(sum(p.numel() for p in model.parameters())))
    assert [layer.size for layer in layers] == [16, 8, 10]


def test_units_and_shortcuts_count_once():
    model = nn.ModuleDict(
        {
            "block": Unit(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)),
            "downsample": nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)),
            "plain": nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)),
        }
    )
    assert [layer.name for layer in layers_of(model)] == ["block", "downsample", "plain.0", "plain.1"]


def test_a_shared_parameter_belongs_to_the_first_module_that_holds_it():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    layers = layers_of(nn.Sequential(first, second))
    assert [(layer.name, layer.size) for layer in layers] == [("0", 12), ("1", 3)]


def test_parameters_of_the_root_module_are_a_layer_of_their_own():
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))
            self.inner = nn.Linear(2, 2, bias=False)
            self.inner.weight.requires_grad_(False)
            self.unit = Unit(nn.Linear(2, 1, bias=False))

    layers = layers_of(Split())
    assert [(layer.name, layer.size) for layer in layers] == [("model", 2), ("unit", 2)]
    vector = torch.arange(4.0)
    assert torch.equal(layers[1].of(vector), torch.tensor([2.0, 3.0]))


def test_frozen_parameters_are_no_part_of_theta():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert [name for name, _ in trainable_parameters(model)] == ["weight"]
