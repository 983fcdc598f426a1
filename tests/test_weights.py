"""Weights of a model and theta: one and the same, in both directions, and nothing else taken for them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from landscape_helpers.curvature import top_eigenpairs
from landscape_helpers.objective import Objective
from landscape_helpers.weights import adam_scale, load_theta, state_dict_of, theta_of


class Tied(nn.Module):
    """An embedding whose matrix is the output layer's too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.embedding(x).mean(1))


def normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def partly_frozen() -> nn.Module:
    model = normalised()
    model[0].requires_grad_(False)
    return model


def weight_normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(5, 6)), nn.Tanh(), nn.Linear(6, 3))


MAKES = {"batchnorm": normalised, "partly frozen": partly_frozen, "weight norm": weight_normed, "tied": Tied}


def made(make: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = MAKES[make]()
    if make == "partly frozen":
        nn.init.constant_(model[0].weight, 0.3)
        nn.init.zeros_(model[0].bias)
    return model.double()


def objective_of(model: nn.Module) -> Objective:
    generator = torch.Generator().manual_seed(9)
    tied = isinstance(model, Tied)
    x = torch.randint(0, 7, (12, 2), generator=generator) if tied else torch.randn(12, 5, generator=generator)
    return Objective(model, x, torch.randint(0, 3, (12,), generator=generator))


@pytest.mark.parametrize("make", MAKES)
def test_another_model_of_the_make(make):
    """An objective made of one model, moved to theta of another, has the loss of an objective made of the other."""
    objective, other = objective_of(made(make, 0)), made(make, 1)
    theta = theta_of(objective, other)
    assert objective.loss(theta) == objective_of(other).loss(objective_of(other).theta)
    assert objective.loss(theta) != objective.loss(objective.theta)
    assert torch.equal(theta, theta_of(objective, other.state_dict()))


@pytest.mark.parametrize("make", MAKES)
def test_back_into_a_model(make):
    objective, other = objective_of(made(make, 0)), made(make, 1)
    theta = torch.randn(objective.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    given = state_dict_of(objective, theta)
    assert not other.load_state_dict(given, strict=False).unexpected_keys
    assert torch.equal(theta_of(objective, other), theta)
    assert objective_of(other).loss(objective_of(other).theta) == objective.loss(theta)
    next(iter(given.values())).zero_()  # a copy: theta is the caller's
    assert not torch.equal(theta_of(objective, given), theta)


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "_orig_mod.module.", "module._orig_mod.", "module.module."]
)
def test_names_that_a_wrapper_has_prefixed(prefix):
    model = made("batchnorm", 0)
    wrapped = {prefix + name: value for name, value in model.state_dict().items()}
    assert torch.equal(theta_of(objective_of(model), wrapped), objective_of(model).theta)


class Scaled(nn.Module):
    """A model that calls a part of its own as wrappers call theirs, and has a parameter of the same name outside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x) + self.bias


WRAPPERS = ["data parallel", "average", "compiled", "average of compiled", "compiled part"]


def wrapped_in(wrapper: str, model: nn.Module) -> nn.Module:
    if wrapper == "compiled part":
        model[0] = torch.compile(model[0], backend="eager")
        return model
    wrappers = {
        "data parallel": nn.DataParallel,
        "average": torch.optim.swa_utils.AveragedModel,
        "compiled": lambda of: torch.compile(of, backend="eager"),
        "average of compiled": lambda of: torch.optim.swa_utils.AveragedModel(torch.compile(of, backend="eager")),
    }
    return wrappers[wrapper](model)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_weights_and_objectives_of_wrapped_models(wrapper):
    """torch's own wrappers: their weights for an objective of the bare model, and the other way round."""
    bare, other = made("batchnorm", 0), made("batchnorm", 1)
    expected = torch.cat([p.detach().reshape(-1) for p in other.parameters()])
    wrapped = wrapped_in(wrapper, copy.deepcopy(other))
    around = objective_of(wrapped_in(wrapper, copy.deepcopy(bare)))
    for objective in (objective_of(bare), around):
        for weights in (wrapped, wrapped.state_dict(), other, other.state_dict()):
            assert torch.equal(theta_of(objective, weights), expected)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_theta_into_a_wrapped_model(wrapper):
    """Where a state dict would find no place, the parameters are found; buffers and objective stay as they are."""
    objective = objective_of(made("batchnorm", 0))
    theta = torch.randn(objective.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    wrapped = wrapped_in(wrapper, made("batchnorm", 1))
    buffers = [b.clone() for b in wrapped.buffers()]
    load_theta(objective, theta, wrapped)
    assert torch.equal(torch.cat([p.detach().reshape(-1) for p in wrapped.parameters()]), theta)
    assert all(torch.equal(a, b) for a, b in zip(buffers, wrapped.buffers(), strict=True))
    assert torch.equal(theta_of(objective, wrapped), theta)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_an_objective_of_a_wrapped_model_has_its_curvature(wrapper):
    """Compiled code has no second derivative: the objective is one of what was compiled."""
    bare = made("batchnorm", 0)
    wrapped = wrapped_in(wrapper, copy.deepcopy(bare))
    names = [name for name, _ in wrapped.named_parameters()]
    truth, objective = objective_of(bare), objective_of(wrapped)
    v = torch.ones(truth.parameters, dtype=torch.float64)
    assert torch.equal(objective.hvp(objective.theta, v), truth.hvp(truth.theta, v))
    pairs = [top_eigenpairs(o, o.theta, 3).values for o in (objective, truth)]
    assert pairs[0].tolist() == pytest.approx(pairs[1].tolist(), rel=1e-12)
    assert [name for name, _ in wrapped.named_parameters()] == names


def test_a_compiled_part_that_is_shared_is_plain_wherever_it_stands():
    part = torch.compile(nn.Linear(5, 5, dtype=torch.float64), backend="aot_eager")
    model = nn.Sequential(part, nn.Tanh(), part, nn.Tanh(), nn.Linear(5, 3, dtype=torch.float64))
    plain = nn.Sequential(part._orig_mod, nn.Tanh(), part._orig_mod, nn.Tanh(), model[4])
    objective, truth = objective_of(model), objective_of(plain)
    assert objective.parameters == truth.parameters == 5 * 5 + 5 + 5 * 3 + 3
    v = torch.ones(truth.parameters, dtype=torch.float64)
    assert torch.equal(objective.hvp(objective.theta, v), truth.hvp(truth.theta, v))


def test_theta_into_a_model_that_shares_and_one_that_does_not():
    objective, theta = objective_of(made("tied", 0)), torch.arange(28, dtype=torch.float64)
    tied, untied = made("tied", 1).float(), made("tied", 1)
    untied.out.weight = nn.Parameter(untied.embedding.weight.detach().clone())
    for model in (tied, untied):
        load_theta(objective, theta, model)
        for weight in (model.embedding.weight, model.out.weight):
            assert torch.equal(weight.double(), theta.view(7, 4))
    assert tied.embedding.weight is tied.out.weight and tied.out.weight.dtype == torch.float32


def test_a_model_that_shares_what_the_objective_holds_twice():
    """It has a theta, and takes the thetas that it can have; of any other, half would be lost in silence."""
    untied, tied = made("tied", 0), made("tied", 1)
    untied.out.weight = nn.Parameter(untied.embedding.weight.detach() + 1)
    generator = torch.Generator().manual_seed(9)
    x, y = torch.randint(0, 7, (12, 2), generator=generator), torch.randint(0, 7, (12,), generator=generator)
    objective, half = Objective(untied, x, y), torch.arange(28, dtype=torch.float64)
    assert torch.equal(theta_of(objective, tied), tied.out.weight.detach().reshape(-1).repeat(2))
    before = tied.out.weight.detach().clone()
    with pytest.raises(ValueError, match="shares a parameter that the objective's model holds twice"):
        load_theta(objective, torch.cat([half, half + 1]), tied)
    assert torch.equal(tied.out.weight, before)
    load_theta(objective, half.repeat(2), tied)
    assert torch.equal(tied.out.weight, half.view(7, 4))


def test_a_module_that_stands_at_two_places():
    """A state dict names its parameters twice, and both names have a place."""
    part = nn.Linear(5, 5)
    model = nn.Sequential(part, nn.Tanh(), part, nn.Linear(5, 3)).double()
    expected = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    for weights in (model, model.state_dict()):
        assert torch.equal(theta_of(objective_of(model), weights), expected)


def test_nothing_is_written_where_a_model_is_refused():
    objective = objective_of(made("batchnorm", 0))
    larger = nn.Sequential(*made("batchnorm", 1), nn.Linear(3, 3).double())
    before = [p.clone() for p in larger.parameters()]
    with pytest.raises(ValueError, match=r"'4.weight', for which .* has no place"):
        load_theta(objective, objective.theta, larger)
    assert all(torch.equal(a, b) for a, b in zip(before, larger.parameters(), strict=True))
    with pytest.raises(TypeError, match="model must be a module, whose parameters are written, got OrderedDict"):
        load_theta(objective, objective.theta, made("batchnorm", 1).state_dict())
    with pytest.raises(ValueError, match="theta must have shape"):
        load_theta(objective, objective.theta[:-1], made("batchnorm", 1))
    with pytest.raises(TypeError, match=r"theta must be a tensor of shape \(\d+,\), got ndarray"):
        load_theta(objective, objective.theta.numpy(), made("batchnorm", 1))


def test_a_model_with_a_part_called_module():
    model = Scaled(nn.Linear(5, 3, dtype=torch.float64)).double()
    with torch.no_grad():
        model.bias += 2
    objective = objective_of(model)
    assert torch.equal(theta_of(objective, nn.DataParallel(model).state_dict()), objective.theta)
    with pytest.raises(ValueError, match=r"hold no 'module\.weight'"):
        theta_of(objective, model.module)


def test_a_shared_parameter_under_one_of_its_names():
    model = made("tied", 0)
    state = model.state_dict()
    for kept in ("embedding.weight", "out.weight"):
        assert torch.equal(theta_of(objective_of(model), {kept: state[kept]}), objective_of(model).theta)
    untied = {"embedding.weight": state["out.weight"], "out.weight": state["out.weight"] + 1}
    with pytest.raises(ValueError, match=r"'embedding.weight' and 'out.weight' are one parameter.*does not share"):
        theta_of(objective_of(model), untied)
    diverged = {name: value * float("nan") for name, value in state.items()}
    assert theta_of(objective_of(model), diverged).isnan().all()


def encoder(layers: int) -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 1, 4, dropout=0.0, batch_first=True)
    return nn.Sequential(
        nn.Linear(5, 4), nn.TransformerEncoder(layer, layers, enable_nested_tensor=False), nn.Linear(4, 3)
    )


def test_weights_of_a_larger_model_are_refused():
    """Of a deeper network's weights those of a shallower one would be a part: of the same names and shapes."""
    objective, deeper = objective_of(encoder(1)), encoder(2)
    for weights in (deeper, deeper.state_dict()):
        with pytest.raises(ValueError, match=r"'1.layers.1.self_attn.in_proj_weight', for which .* has no place"):
            theta_of(objective, weights)
    without_bias = objective_of(nn.Sequential(nn.Linear(5, 3, bias=False)))
    with pytest.raises(ValueError, match=r"'0.bias', for which .* has no place"):
        theta_of(without_bias, nn.Sequential(nn.Linear(5, 3)))


@pytest.mark.parametrize(
    "make",
    [lambda: parametrizations.spectral_norm(nn.Linear(5, 5)), lambda: nn.InstanceNorm2d(5, track_running_stats=True)],
)
def test_other_buffers_are_another_function(make):
    """What training has moved beside the parameters makes another loss of the same parameters, so it is refused."""
    torch.manual_seed(0)
    model = nn.Sequential(make(), nn.Tanh(), nn.Flatten(), nn.Linear(125, 3))
    generator = torch.Generator().manual_seed(9)
    x, y = torch.randn(12, 5, 5, 5, generator=generator), torch.randint(0, 3, (12,), generator=generator)
    before = Objective(model, x, y)
    assert torch.equal(theta_of(before, model), before.theta)
    parameters = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
        model.train()(x)
        for parameter, value in zip(model.parameters(), parameters, strict=True):
            parameter.copy_(value)  # back again: only buffers have moved
    after = Objective(model, x, y)
    assert torch.equal(after.theta, before.theta)
    assert after.loss(after.theta) != before.loss(before.theta)
    for weights in (model, model.state_dict()):
        with pytest.raises(ValueError, match=r"the buffer '0\..* has other values.*named_parameters"):
            theta_of(before, weights)
    assert torch.equal(theta_of(before, dict(model.named_parameters())), before.theta)
    assert torch.equal(theta_of(after, model), after.theta)


def test_a_frozen_part_in_a_shorter_type_is_the_same():
    model = partly_frozen()
    theta = theta_of(objective_of(model), copy.deepcopy(model).bfloat16())
    assert torch.equal(theta, objective_of(model).theta.bfloat16().float())


def test_rounding_of_a_frozen_part_is_no_other_function():
    """Some layers write their statistics back as they read them; a difference that can be seen in a loss is refused."""
    objective = objective_of(made("partly frozen", 0))
    for factor, refused in ((1 + 2**-52, False), (1 + 1e-12, True)):
        other = made("partly frozen", 0)
        with torch.no_grad():
            other[0].weight *= factor
        if refused:
            with pytest.raises(ValueError, match=r"'0.weight' does not train"):
                theta_of(objective, other)
        else:
            assert torch.equal(theta_of(objective, other), objective.theta)


def test_a_copy_of_the_objectives_dtype():
    model = made("batchnorm", 0)
    objective = objective_of(model)
    theta = theta_of(objective, model.float())
    assert theta.dtype == torch.float64
    before = theta.clone()
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(theta, before)


def test_what_is_refused():
    objective = objective_of(made("batchnorm", 0))
    with pytest.raises(ValueError, match=r"hold no '0.weight'.*they hold 'embedding.weight'"):
        theta_of(objective, made("tied", 0))
    with pytest.raises(ValueError, match="they hold no tensor"):
        theta_of(objective, {"epoch": 3})
    with pytest.raises(ValueError, match="no tensor but 'model', 'optimiser': give the model's state dict alone"):
        theta_of(objective, {"model": made("batchnorm", 0).state_dict(), "optimiser": {}, "epoch": 3})
    with pytest.raises(ValueError, match=r"'3.weight' has shape \(2, 6\).*\(3, 6\)"):
        theta_of(objective, made("batchnorm", 0).state_dict() | {"3.weight": torch.zeros(2, 6)})
    with pytest.raises(TypeError, match="got list"):
        theta_of(objective, [torch.zeros(3)])
    with pytest.raises(ValueError, match=r"theta must have shape"):
        state_dict_of(objective, torch.zeros(3))


def test_another_frozen_part_is_another_function():
    objective = objective_of(made("partly frozen", 0))
    for name, change in (("bias", 1.0), ("bias", 1e-12), ("weight", 1e-12)):  # no rounding to a shorter type
        other = made("partly frozen", 1)
        with torch.no_grad():
            getattr(other[0], name).view(-1)[0] += change
        with pytest.raises(ValueError, match=rf"'0.{name}' does not train.*make the objective of the model"):
            theta_of(objective, other)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("make", ["batchnorm", "tied"])
def test_adams_scale_is_that_of_three_steps_by_hand(kind, amsgrad, make):
    model = made(make, 0)
    objective = objective_of(model)
    # In another order than theta's, and with two epsilons.
    first, *others = reversed(list(model.parameters()))
    groups = [{"params": [first], "eps": 1e-2}] + ([{"params": others}] if others else [])
    optimiser = kind(groups, lr=0.05, betas=(0.8, 0.95), eps=1e-3, amsgrad=amsgrad)
    eps = torch.cat([torch.full_like(p, 1e-2 if p is first else 1e-3).flatten() for p in model.parameters()]).detach()
    v = greatest = torch.zeros(objective.parameters, dtype=torch.float64)
    for scale in (5.0, 1.0, 0.1):  # the last second moments are smaller than the first
        gradient = scale * objective.gradient(theta_of(objective, model))
        for p, g in zip(model.parameters(), objective.views(gradient), strict=True):
            p.grad = g.clone()
        optimiser.step()
        v = 0.95 * v + 0.05 * gradient.square()
        greatest = torch.maximum(greatest, v)
    expected = 1 / (((greatest if amsgrad else v) / (1 - 0.95**3)).sqrt() + eps)
    torch.testing.assert_close(adam_scale(objective, optimiser, model), expected, rtol=1e-12, atol=0)
    wrapped = nn.DataParallel(model)
    torch.testing.assert_close(adam_scale(objective, optimiser, wrapped), expected, rtol=1e-12, atol=0)


def test_a_scale_that_adam_does_not_have_is_refused():
    model = made("batchnorm", 0)
    objective = objective_of(model)
    adam = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match=r"^the optimiser has no state of '0.weight' yet: ask after a step"):
        adam_scale(objective, adam, model)
    with pytest.raises(TypeError, match=r"^optimizer must be torch.optim.Adam or AdamW.* got SGD$"):
        adam_scale(objective, torch.optim.SGD(model.parameters(), lr=0.1), model)
    with pytest.raises(TypeError, match=r"^model must be the module whose parameters the optimiser moves, got .*dict"):
        adam_scale(objective, adam, model.state_dict())
    with pytest.raises(ValueError, match=r"^the optimiser does not hold '0.weight' of the model given"):
        adam_scale(objective, adam, copy.deepcopy(model))
    part = torch.optim.Adam([p for name, p in model.named_parameters() if name != "3.bias"])
    nn.functional.cross_entropy(model(torch.randn(4, 5).double()), torch.tensor([0, 1, 2, 0])).backward()
    part.step()
    with pytest.raises(ValueError, match=r"^the optimiser does not hold '3.bias' of the model given"):
        adam_scale(objective, part, model)
