"""Networks against parameter counts worked out by hand and forward passes written out."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape_helpers.layers import layers_of
from landscape_helpers.models import MODELS, build_model, model_table

CIFAR = (3, 32, 32)
VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}  # convolutions a stage, configurations A and D
RESNET = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}  # blocks a stage


def size(model):
    return sum(p.numel() for p in model.parameters())


def conv(inputs, outputs, kernel=3, bias=True):
    return kernel * kernel * inputs * outputs + bias * outputs


def linear(inputs, outputs):
    return inputs * outputs + outputs


def vgg_size(stages, width=64, batchnorm=False, classes=10, pixels=1, channels=3):
    total = 0
    for count, multiple in zip(stages, (1, 2, 4, 8, 8), strict=True):
        for _ in range(count):
            total += conv(channels, multiple * width) + 2 * batchnorm * multiple * width
            channels = multiple * width
    return total + linear(channels * pixels, classes)


def resnet_size(blocks, width=64, norm=True, classes=10, channels=3):
    def unit(inputs, outputs, kernel=3):
        return conv(inputs, outputs, kernel, bias=not norm) + 2 * norm * outputs

    total, inputs = unit(channels, width), width
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        for block in range(count):
            total += unit(inputs, outputs) + unit(outputs, outputs)
            if block == 0 and stage > 0:
                total += unit(inputs, outputs, kernel=1)
            inputs = outputs
    return total + linear(inputs, classes)


def counted(module):
    """The counting rule on its own: a module that directly owns parameters is a layer; a marked container is one."""
    if getattr(module, "counts_as_one_layer", False):
        return 1 if any(True for _ in module.parameters()) else 0
    own = any(True for _ in module.parameters(recurse=False))
    return own + sum(counted(child) for child in module.children())


# --- Parameters -----------------------------------------------------------------------------------------------------


def test_the_published_sizes():
    assert resnet_size(RESNET["resnet18"]) == 11_173_962
    assert vgg_size(VGG["vgg16"]) == 14_719_818


@pytest.mark.parametrize("name", RESNET)
def test_resnets_have_the_parameters_that_their_formula_gives(name):
    assert size(build_model(name, 10, CIFAR)) == resnet_size(RESNET[name])
    small = build_model(name, 7, (1, 8, 8), width=4, norm="none")
    assert size(small) == resnet_size(RESNET[name], 4, norm=False, classes=7, channels=1)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in small.modules())


@pytest.mark.parametrize("name", VGG)
def test_vggs_have_the_parameters_that_their_formula_gives(name):
    assert size(build_model(name, 10, CIFAR)) == vgg_size(VGG[name])
    small = size(build_model(f"{name}_bn", 7, (1, 28, 28), width=4))
    assert small == vgg_size(VGG[name], 4, batchnorm=True, classes=7, channels=1)
    assert small == size(build_model(name, 7, (1, 28, 28), width=4, batchnorm=True))
    assert vgg_size(VGG[name], 4, classes=7, pixels=4) == size(build_model(name, 7, (3, 64, 64), width=4))


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize(("shape", "width", "pixels"), [(CIFAR, 32, 16), ((1, 28, 28), 8, 9), ((1, 8, 8), 5, 1)])
def test_the_cnn_has_the_parameters_that_its_formula_gives(shape, width, pixels, batchnorm):
    widths = (shape[0], width, 2 * width, 4 * width)
    expected = sum(conv(a, b) + 2 * batchnorm * b for a, b in itertools.pairwise(widths))
    model = build_model("cnn", 10, shape, width=width, batchnorm=batchnorm)
    assert size(model) == expected + linear(4 * width * pixels, 10)
    assert len(layers_of(model)) == 4


def test_the_cnns_default_width_is_32():
    assert size(build_model("cnn", 10, CIFAR)) == conv(3, 32) + conv(32, 64) + conv(64, 128) + linear(2048, 10)


def test_dense_networks_have_the_parameters_that_their_formula_gives():
    assert size(build_model("softmax", 10, CIFAR)) == linear(3072, 10) == 30_730
    assert size(build_model("mlp", 10, (1, 8, 8))) == linear(64, 128) + linear(128, 10) == 9_610
    deep = build_model("mlp", 3, (1, 8, 8), hidden=(20, 30))
    assert size(deep) == linear(64, 20) + linear(20, 30) + linear(30, 3)


# --- Layers ---------------------------------------------------------------------------------------------------------


def test_resnet18_has_38_layers():
    model = build_model("resnet18", 10, CIFAR)
    kinds = [layer.kind for layer in layers_of(model)]
    assert len(kinds) == counted(model) == 38
    counts = [kinds.count(kind) for kind in ("Conv2d", "BatchNorm2d", "OneLayer", "Linear")]
    assert counts == [17, 17, 3, 1] and kinds[-1] == "Linear"
    assert sum(layer.size for layer in layers_of(model)) == 11_173_962


@pytest.mark.parametrize("name", MODELS)
def test_layers_are_counted_by_the_rule(name):
    model = build_model(name, 10, (3, 8, 8), **({} if name in ("softmax", "mlp") else {"width": 2}))
    stages, blocks = VGG.get(name.removesuffix("_bn")), RESNET.get(name)
    if stages is not None:
        expected = sum(stages) * (2 if name.endswith("_bn") else 1) + 1
    elif blocks is not None:
        expected = 2 * (1 + 2 * sum(blocks)) + 3 + 1
    elif name.startswith("resnet"):  # CIFAR family: a normalisation behind each layer but the last
        depth = int(name.removeprefix("resnet"))
        expected = 2 * depth - 1
    else:
        expected = {"softmax": 1, "mlp": 2, "cnn": 4, "alexnet": 8}[name]
    assert len(layers_of(model)) == counted(model) == expected


def test_the_model_table_lists_every_network():
    rows = {row["name"]: (row["parameters"], row["layers"]) for row in model_table(10, (1, 8, 8))}
    assert list(rows) == list(MODELS)
    assert rows["resnet18"] == (resnet_size(RESNET["resnet18"], channels=1), 38)
    assert rows["resnet34"] == (resnet_size(RESNET["resnet34"], channels=1), 70)
    assert rows["vgg16"] == (vgg_size(VGG["vgg16"], channels=1), 14)
    assert rows["softmax"] == (650, 1)


# --- Forward passes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [CIFAR, (1, 28, 28), (1, 8, 8)])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_one_logit_a_class_and_gradients_reach_every_parameter(name, shape):
    model = build_model(name, 7, shape, **({} if name in ("softmax", "mlp") else {"width": 2}))
    x = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0))
    out = model(x)
    assert out.shape == (3, 7) and out.dtype == torch.float32 and torch.isfinite(out).all()
    gradients = torch.autograd.grad(F.cross_entropy(out, torch.tensor([0, 1, 2])), list(model.parameters()))
    assert all(torch.isfinite(g).all() for g in gradients) and gradients[-1].abs().sum() > 0


@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh)])
@pytest.mark.parametrize("name", [name for name in MODELS if name != "softmax"])
def test_the_activation_asked_for_is_the_only_one(name, activation, kind):
    options = {} if name == "mlp" else {"width": 2}
    modules = list(build_model(name, 7, CIFAR, activation=activation, **options).modules())
    assert {type(module) for module in modules} & {nn.ReLU, nn.Tanh} == {kind}


@pytest.mark.parametrize("batchnorm", [False, True])
@pytest.mark.parametrize("name", ["cnn", "vgg11"])
def test_pooling_before_the_activation_equals_pooling_after_it(name, batchnorm):
    model = build_model(name, 10, CIFAR, width=3, batchnorm=batchnorm).double()
    x = torch.randn((4, *CIFAR), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flat = [m for m in model.modules() if not list(m.children())]
    h, pending = x, False
    for module in flat:
        if isinstance(module, nn.MaxPool2d):
            pending = True  # keep the pooling back until the activation has been applied
            continue
        h = module(h)
        if isinstance(module, nn.ReLU) and pending:
            h, pending = F.max_pool2d(h, 2), False
    assert not pending and sum(isinstance(m, nn.MaxPool2d) for m in flat) == (3 if name == "cnn" else 5)
    torch.testing.assert_close(model(x), h, rtol=1e-12, atol=1e-12)


def test_the_cnn_is_three_blocks_and_a_linear_layer():
    model = build_model("cnn", 10, (1, 8, 8), width=4)
    weights = list(model.parameters())
    h = x = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(2))
    for kernel, bias in zip(weights[0:6:2], weights[1:6:2], strict=True):
        h = F.max_pool2d(F.conv2d(h, kernel, bias, padding=1).relu(), 2)
    torch.testing.assert_close(model(x), h.flatten(1) @ weights[6].T + weights[7])


def test_the_resnet_is_basic_blocks_around_shortcuts():
    model = build_model("resnet10", 5, (3, 8, 8), width=4, norm="none")
    weights = iter(model.parameters())

    def convolve(h, stride=1, padding=1):
        return F.conv2d(h, next(weights), next(weights), stride, padding)

    x = torch.randn((2, 3, 8, 8), generator=torch.Generator().manual_seed(3))
    h = convolve(x).relu()
    for stage in range(4):
        stride = 2 if stage else 1
        inner = convolve(convolve(h, stride).relu())
        h = (inner + (convolve(h, stride, 0) if stage else h)).relu()
        assert h.shape == (2, 4 * 2**stage, 8 // 2**stage, 8 // 2**stage)
    expected = h.mean((2, 3)) @ next(weights).T + next(weights)
    assert next(weights, None) is None
    torch.testing.assert_close(model(x), expected)


def test_vgg_pools_only_while_there_is_something_to_pool():
    pools = {side: 0 for side in (64, 32, 28, 8, 1)}
    for side in pools:
        model = build_model("vgg11", 2, (1, side, side), width=1)
        pools[side] = sum(isinstance(m, nn.MaxPool2d) for m in model)
    assert pools == {64: 5, 32: 5, 28: 4, 8: 3, 1: 0}


# --- Seeds and initialisation ---------------------------------------------------------------------------------------


def vector(model):
    return nn.utils.parameters_to_vector(model.parameters())


@pytest.mark.parametrize("init", ["default", "kaiming"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet10", "torchvision:resnet18"])
def test_a_seed_fixes_the_weights_and_leaves_the_global_random_state_alone(name, init):
    options = {} if name in ("mlp", "torchvision:resnet18") else {"width": 2}
    torch.manual_seed(123)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = vector(build_model(name, 10, CIFAR, seed=5, init=init, **options))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.manual_seed(321)
    assert torch.equal(vector(build_model(name, 10, CIFAR, seed=5, init=init, **options)), first)
    assert not torch.equal(vector(build_model(name, 10, CIFAR, seed=6, init=init, **options)), first)


def test_the_default_initialisation_is_the_frameworks():
    torch.manual_seed(5)
    expected = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    assert torch.equal(vector(build_model("mlp", 10, (1, 8, 8), seed=5)), vector(expected))


def test_on_the_meta_device_a_network_has_shapes_only():
    with torch.device("meta"):
        model = build_model("resnet18", 10, CIFAR, init="kaiming")
    assert {p.device.type for p in model.parameters()} == {"meta"} and size(model) == 11_173_962


def test_kaiming_weights_have_variance_two_over_fan_in_and_zero_biases():
    model = build_model("vgg16_bn", 10, CIFAR, seed=1, init="kaiming", width=32)
    tested = 0
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
        if not isinstance(module, (nn.Conv2d, nn.Linear)):
            continue
        assert (module.bias == 0).all()
        weights = module.weight.detach().double().flatten()
        n, variance = len(weights), 2 / math.prod(module.weight.shape[1:])
        # Five standard errors of a normal sample's mean, variance and share within one standard deviation.
        assert abs(weights.mean()) < 5 * math.sqrt(variance / n)
        assert abs(weights.var(correction=1) / variance - 1) < 5 * math.sqrt(2 / n)
        share = (weights.abs() < math.sqrt(variance)).double().mean()
        assert abs(share - 0.682689) < 5 * math.sqrt(0.682689 * 0.317311 / n)
        tested += 1
    assert tested == 14


# --- Torchvision's networks -----------------------------------------------------------------------------------------


def test_torchvisions_resnet18_takes_the_number_of_classes():
    model = build_model("torchvision:resnet18", 10, CIFAR)
    # The 7x7 stem is the only difference in parameters from the network for small images.
    assert size(model) == resnet_size(RESNET["resnet18"]) + conv(3, 64, 7, bias=False) - conv(3, 64, 3, bias=False)
    # Trying it on an image when it is built leaves no trace: training mode, untouched running statistics.
    assert all(module.training for module in model.modules())
    statistics = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((m.running_mean == 0).all() and (m.running_var == 1).all() for m in statistics)
    assert model(torch.zeros(2, *CIFAR)).shape == (2, 10)
    assert len(layers_of(model)) == 38


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "options", "fragments"),
    [
        ("resnet19", (10, CIFAR), {}, ("'resnet19'", *MODELS, "torchvision:NAME")),
        ("torchvision:resnet19", (10, CIFAR), {}, ("'resnet19'", "resnet18")),
        ("softmax", (10, CIFAR), {"width": 8}, ("'softmax'", "'width'")),
        ("cnn", (10, CIFAR), {"colour": 1}, ("'cnn'", "'colour'", "activation", "batchnorm", "width")),
        ("resnet18", (10, CIFAR), {"batchnorm": True}, ("'resnet18'", "'batchnorm'", "norm")),
        ("cnn", (10, CIFAR), {"init": "xavier"}, ("'xavier'", "default", "kaiming")),
        ("cnn", (10, CIFAR), {"activation": "gelu"}, ("'gelu'", "relu", "tanh")),
        ("vgg16", (10, CIFAR), {"depth": 13}, ("'vgg16'", "'depth'", "fixed", "13")),
        ("vgg11_bn", (10, CIFAR), {"batchnorm": False}, ("'vgg11_bn'", "'batchnorm'", "fixed", "False")),
        ("resnet34", (10, CIFAR), {"blocks": (1, 1, 1, 1)}, ("'resnet34'", "'blocks'", "fixed")),
        ("resnet10", (10, CIFAR), {"norm": "layer"}, ("'layer'", "batch", "none")),
        ("cnn", (10, CIFAR), {"width": 0}, ("width", "at least 1", "0")),
        ("resnet18", (10, CIFAR), {"width": -2}, ("width", "at least 1", "-2")),
        ("cnn", (10, CIFAR), {"width": 2.5}, ("width", "whole number", "2.5")),
        ("cnn", (10, CIFAR), {"width": "8"}, ("width", "whole number", "'8'")),
        ("cnn", (10, CIFAR), {"batchnorm": 1}, ("batchnorm", "True or False", "1")),
        ("cnn", (10, (1, 7, 8)), {}, ("8x8", "7x8")),
        ("cnn", (10, CIFAR), {"seed": 1.5}, ("seed", "whole number", "1.5")),
        ("mlp", (10, CIFAR), {"hidden": (0,)}, ("hidden", "at least 1", "(0,)")),
        ("mlp", (10, CIFAR), {"hidden": (8, -1)}, ("hidden", "at least 1", "(8, -1)")),
        ("mlp", (10, CIFAR), {"hidden": 12}, ("hidden", "sequence", "12")),
        ("torchvision:resnet18", (10, (1, 8, 8)), {}, ("torchvision:resnet18", "(1, 8, 8)", "3 channels")),
        ("torchvision:resnet18", (10, CIFAR), {"colour": 1}, ("torchvision:resnet18", "colour")),
        ("torchvision:resnet18", (10, CIFAR), {"weights": "DEFAULT"}, ("'weights'", "untrained")),
        ("torchvision:resnet18", (10, CIFAR), {"num_classes": 3}, ("'num_classes'", "one output a class")),
        ("torchvision:resnet18", (10, CIFAR), {"progress": True}, ("'progress'", "untrained")),
        ("torchvision:fcn_resnet50", (10, CIFAR), {}, ("no classifier 'fcn_resnet50'", "resnet50")),
        ("mlp", (10.0, CIFAR), {}, ("10.0 classes",)),
        ("mlp", (0, CIFAR), {}, ("0 classes", "at least one class")),
        ("mlp", (10, (8, 8)), {}, ("(8, 8)", "channels, height, width")),
        ("mlp", (10, (1, 0, 8)), {}, ("(1, 0, 8)",)),
    ],
)
def test_errors_name_what_was_given_and_what_is_expected(name, arguments, options, fragments):
    with pytest.raises(ValueError) as error:
        build_model(name, *arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message
