"""Networks that cannot be what was asked for: refused in one line, before anything is built where possible."""

import numpy as np
import pytest
import torch

from landscape_helpers.models import MODELS, build_model

SMALL = (3, 8, 8)


def refused(*fragments, name="cnn", shape=SMALL, **options):
    with pytest.raises(ValueError) as error:
        build_model(name, 10, shape, **options)
    assert "\n" not in str(error.value)
    for fragment in fragments:
        assert fragment in str(error.value)


@pytest.mark.parametrize(
    ("name", "option", "value", "allowed"),
    [
        ("vgg16", "depth", 11, "['activation', 'batchnorm', 'width']"),
        ("vgg16_bn", "batchnorm", False, "['activation', 'width']"),
        ("vgg11_bn", "depth", 11, "['activation', 'width']"),
        ("resnet18", "blocks", (1, 1, 1, 1), "['activation', 'norm', 'width']"),
    ],
)
def test_what_a_name_stands_for_cannot_be_changed(name, option, value, allowed):
    refused(repr(option), repr(name), "fixed", allowed, name=name, **{option: value})


def test_a_network_without_options_says_so():
    refused("'softmax'", "'width'", "none", name="softmax", width=3)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("cnn", "width", True),
        ("cnn", "width", 8.0),
        ("cnn", "width", "8"),
        ("vgg16", "width", -1),
        ("cnn", "batchnorm", 1),
        ("cnn", "batchnorm", "yes"),
        ("cnn", "activation", None),
        ("mlp", "activation", ["relu"]),
        ("resnet18", "norm", True),
        ("mlp", "hidden", (0,)),
        ("mlp", "hidden", (8, -1)),
        ("mlp", "hidden", 8),
        ("mlp", "hidden", "88"),
        ("mlp", "hidden", (True,)),
    ],
)
def test_options_have_their_kinds(name, option, value):
    refused(repr(option), repr(name), repr(value), name=name, **{option: value})


@pytest.mark.parametrize("seed", [1.5, True, "0", None, -1, 2**63, 2**70])
def test_a_seed_is_a_whole_number_that_generators_hold(seed):
    refused("seed", "below 2^63", repr(seed), seed=seed)


def test_every_other_seed_has_weights_of_its_own():
    def weights(seed):
        return next(build_model("mlp", 3, SMALL, seed=seed).parameters())

    seven = weights(7)
    assert torch.equal(weights(np.int64(7)), seven)
    for other in (0, 2**63 - 1):
        assert not torch.equal(weights(other), seven)


@pytest.mark.parametrize("shape", [(3, 7, 8), (1, 4, 4)])
def test_images_too_small_for_the_simple_cnn(shape):
    refused("8x8", f"{shape[1]}x{shape[2]}", shape=shape)
    build_model("cnn", 10, SMALL, width=2)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_other_network_takes_images_of_eight_pixels(name):
    options = {} if name in ("softmax", "mlp") else {"width": 2}
    assert build_model(name, 10, SMALL, **options)(torch.zeros(2, *SMALL)).shape == (2, 10)


def test_building_seeds_the_cpu_generator_alone_and_restores_it(monkeypatch):
    def never(*_args):
        raise AssertionError("torch.manual_seed also seeds the accelerators")

    monkeypatch.setattr(torch, "manual_seed", never)
    before = torch.get_rng_state()
    first, second = (build_model("cnn", 10, SMALL, seed=3, width=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        weight = torch.nn.Conv2d(3, 2, 3, padding=1).weight
    assert torch.equal(next(first.parameters()), weight)


def test_the_meta_device_draws_nothing():
    for name, options in (("cnn", {}), ("torchvision:resnet18", {})):
        with torch.device("meta"):
            model = build_model(name, 10, (3, 32, 32), **options)
        assert all(p.is_meta for p in model.parameters())


# --- Torchvision ----------------------------------------------------------------------------------------------------


def test_a_network_of_torchvision_is_fresh_and_ready_to_train():
    model = build_model("torchvision:shufflenet_v2_x0_5", 7, (3, 32, 32), seed=1)
    assert model.training and all(module.training for module in model.modules())
    statistics = dict(model.named_buffers())
    assert all((b == 0).all() for name, b in statistics.items() if name.endswith(("running_mean", "batches_tracked")))
    assert all((b == 1).all() for name, b in statistics.items() if name.endswith("running_var"))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    again = build_model("torchvision:shufflenet_v2_x0_5", 7, (3, 32, 32), seed=1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("network", "shape", "options", "fragments"),
    [
        ("resnet18", (3, 32, 32), {"colour": "red"}, ("colour", "options")),
        ("resnet18", (3, 32, 32), {"weights": "DEFAULT"}, ("weights", "cannot be set")),
        ("resnet18", (3, 32, 32), {"num_classes": 3}, ("num_classes", "cannot be set")),
        ("resnet18", (1, 32, 32), {}, ("(1, 32, 32)", "does not take")),
        ("alexnet", (3, 32, 32), {}, ("(3, 32, 32)", "does not take")),
        ("vit_b_16", (3, 32, 32), {}, ("(3, 32, 32)", "224")),
        ("nothing", (3, 32, 32), {}, ("'nothing'", "resnet18")),
        ("mobilenet_v2", (3, 32, 32), {"width_mult": float("inf")}, ("width_mult", "inf", "cannot be built")),
        ("mobilenet_v2", (3, 32, 32), {"round_nearest": 0}, ("round_nearest", "cannot be built")),
        ("googlenet", (3, 32, 32), {"blocks": [1]}, ("with options {'blocks': [1]}",)),
    ],
)
def test_torchvision_errors_become_one_line(network, shape, options, fragments):
    with torch.device("meta"):  # the networks are large, and the errors the same without their weights
        refused(*fragments, name=f"torchvision:{network}", shape=shape, **options)


# The sizes known for 1,000 classes, 6,624,904 and 23,834,568 without auxiliary classifiers, less 990 outputs.
@pytest.mark.parametrize(
    ("network", "parameters"),
    [("googlenet", 6_624_904 - 990 * 1025), ("inception_v3", 23_834_568 - 990 * 2049)],
)
def test_networks_with_auxiliary_classifiers_are_built_without(network, parameters, recwarn):
    """In training mode those return a tuple, and in evaluation mode their parameters have no gradient."""
    with torch.device("meta"):
        for options in ({}, {"aux_logits": False}):
            model = build_model(f"torchvision:{network}", 10, (3, 80, 80), **options)
            assert model.training and model(torch.zeros(2, 3, 80, 80)).shape == (2, 10)
            assert sum(p.numel() for p in model.parameters()) == parameters
        name = f"torchvision:{network}"
        refused(repr("aux_logits"), network, "one loss", name=name, shape=(3, 80, 80), aux_logits=True)
    assert not [str(warning.message) for warning in recwarn if warning.category is FutureWarning]
