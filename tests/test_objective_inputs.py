"""What an objective accepts, refuses and leaves alone, each against the slow way or by its message."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from landscape_helpers.curvature import HessianAt, top_eigenpairs
from landscape_helpers.descent import sgd
from landscape_helpers.minibatch import MiniBatches
from landscape_helpers.objective import Objective
from landscape_helpers.slices import line

N = 24


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (N,), generator=generator)


def net(width: int = 5, outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, outputs)).double()


class Forward(nn.Module):
    """A network whose inputs or outputs go through a function."""

    def __init__(self, before=lambda x: x, after=lambda out: out, outputs: int = 3) -> None:
        super().__init__()
        self.body, self.before, self.after = net(outputs=outputs), before, after

    def forward(self, x):
        return self.after(self.body(self.before(x)))


def true_hessian(model: nn.Module, loss) -> torch.Tensor:
    """The Hessian of ``loss(model)`` by torch.func, in the order of theta."""
    values = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [v.numel() for v in values.values()]

    def at(theta):
        pieces = [t.reshape(v.shape) for t, v in zip(theta.split(sizes), values.values(), strict=True)]
        return loss(lambda x: torch.func.functional_call(model, dict(zip(values, pieces, strict=True)), (x,)))

    return torch.func.hessian(at)(torch.cat([v.reshape(-1) for v in values.values()]))


# Copies.


@pytest.mark.parametrize("way", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_copy_is_an_objective_of_its_own(way, batch_size):
    objective = Objective(net(), *data(), batch_size=batch_size)
    theta = objective.theta
    other = way(objective)
    for point in (theta + 0.5, theta):
        assert other.loss(point) == objective.loss(point)
        assert torch.equal(other.gradient(point), objective.gradient(point))
        assert torch.equal(other.hvp(point, theta), objective.hvp(point, theta))
    assert other.loss(theta + 0.5) != other.loss(theta)
    other.move(theta + 1)
    objective.move(theta)
    assert torch.equal(objective.weights[0].detach().reshape(-1), theta[:30])


# Ignored labels.


@pytest.mark.parametrize("width", [5, 20])
def test_cross_entropy_with_ignored_labels_is_the_callers_own_loss(width):
    x, y = data()
    y[::3] = -100
    model = net(width)
    objective = Objective(model, x, y, loss=F.cross_entropy)
    theta = objective.theta
    H = true_hessian(model, lambda f: F.cross_entropy(f(x)[y >= 0], y[y >= 0]))
    identity = torch.eye(len(theta), dtype=torch.float64)
    assert torch.allclose(objective.hvp(theta, identity), H, atol=1e-10)
    assert torch.allclose(HessianAt(objective, theta).product(identity), H, atol=1e-10)
    found = top_eigenpairs(objective, theta, k=1, tol=1e-6).values[0]
    assert float(found) == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=1e-5)
    losses = line(objective, theta, identity[0], [0.0, 1.0])
    assert float(losses[1]) == pytest.approx(objective.loss(theta + identity[0]), rel=1e-9)


def test_the_callable_without_ignored_labels_is_the_known_loss():
    x, y = data()
    assert Objective(net(), x, y, loss=F.cross_entropy).loss_function is F.cross_entropy
    assert Objective(net(), x, y).loss_function is F.cross_entropy


# Losses that are no average.


def per_sample(out, y):
    return (out.logsumexp(1) - out[torch.arange(len(out)), y]).mean()


SAMPLES = torch.tensor([1.0, 2.0, 9.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=SAMPLES),
        nn.CrossEntropyLoss(reduction="sum"),
        lambda out, y: F.mse_loss(out, F.one_hot(y, 3).to(out)).sqrt(),
    ],
    ids=["class weights", "sum", "root"],
)
def test_a_loss_that_is_no_average_is_refused_with_micro_batches_only(loss):
    x, y = data()
    model = net()
    whole = Objective(model, x, y, loss=loss)
    assert whole.loss(whole.theta) == pytest.approx(loss(model(x), y).item(), rel=1e-12)
    with pytest.raises(ValueError, match=r"no plain average over samples: .* pass batch_size=None, or a loss that"):
        Objective(model, x, y, loss=loss, batch_size=8)


def test_class_weights_are_refused_between_balanced_micro_batches():
    """Each micro-batch holds every class as often, so that the weights hardly tell the micro-batches apart."""
    x, _ = data()
    y = torch.arange(24) % 3
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"weighted mean over 16 single samples is .*, but on all 16 samples together"):
        Objective(model, x[:24] / 100, y, loss=nn.CrossEntropyLoss(weight=SAMPLES.float()), batch_size=12)


def test_one_ignored_label_in_each_micro_batch_is_refused():
    x, y = data()
    y[::8] = -100
    with pytest.raises(ValueError, match="no plain average over samples"):
        Objective(net(), x[:16], y[:16], loss=nn.CrossEntropyLoss(), batch_size=8)


@pytest.mark.filterwarnings("error")
def test_single_samples_that_tell_nothing_are_no_fault():
    """A loss that needs several samples, and one that drops axes, are averages all the same."""
    x, y = data()

    def several(out, labels):
        assert len(labels) > 1
        return F.cross_entropy(out, labels)

    def squeezed(out, values):
        return F.mse_loss(out.squeeze(), values)

    cases = ((net(), y[:16], several), (nn.Linear(6, 1).double(), x[:16, 0], squeezed))
    for model, targets, loss in cases:
        objective = Objective(model, x[:16], targets, loss=loss, batch_size=8)
        assert objective.loss(objective.theta) == pytest.approx(loss(model(x[:16]), targets).item(), rel=1e-12)


class Packed(nn.Module):
    """Two outputs in a container; with statistics of the batch alone, so that two batches cannot be passed as one."""

    def __init__(self, pack):
        super().__init__()
        self.norm, self.head, self.pack = nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 3).double(), pack

    def forward(self, x):
        out = self.head(self.norm(x))
        return self.pack(out, 2 * out)


@pytest.mark.parametrize("pack", [lambda a, b: (a, b), lambda a, b: [a, b], lambda a, b: {0: a, 1: b}])
def test_outputs_in_containers_are_joined_to_see_whether_the_loss_is_an_average(pack):
    x, y = torch.randn(24, 5, dtype=torch.float64), torch.arange(24) % 3

    def loss(out, target, reduction="sum"):
        return F.cross_entropy(out[0] + out[1], target, reduction=reduction)

    with pytest.raises(ValueError, match="no plain average over samples"):
        Objective(Packed(pack).double(), x, y, loss=loss, batch_size=8)
    Objective(Packed(pack).double(), x, y, loss=lambda out, target: loss(out, target, "mean"), batch_size=8)


def test_ignored_labels_are_refused_with_micro_batches():
    x, y = data()
    y[:8] = -100
    for loss in (F.cross_entropy, nn.CrossEntropyLoss()):
        with pytest.raises(ValueError, match="no plain average over samples"):
            Objective(net(), x, y, loss=loss, batch_size=8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch_size", [1, 5, 8, 23])
@pytest.mark.parametrize(
    "loss",
    [
        per_sample,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        lambda out, y: F.cross_entropy(out, y, weight=SAMPLES.to(out), reduction="sum") / len(y),
        lambda out, y: (out - 0.1).mean(),
    ],
    ids=["by hand", "smoothed", "weighted sum", "signed"],
)
def test_averages_are_taken_and_do_not_depend_on_the_micro_batches(loss, batch_size, dtype):
    x, y = data()
    model = net().to(dtype)
    objective = Objective(model, x, y, loss=loss, batch_size=batch_size)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    expected = loss(model(x.to(dtype)), y).item()
    assert objective.loss(objective.theta) == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("seed", range(6))
def test_a_loss_in_double_precision_of_single_outputs_is_compared_as_single(seed):
    torch.manual_seed(seed)
    x, y = torch.randn(41, 1), torch.randint(0, 3, (41,))
    loss = lambda outputs, targets: F.cross_entropy(outputs, targets).double()  # noqa: E731
    objective = Objective(nn.Linear(1, 3), x, y, loss, batch_size=16)
    assert objective.loss(objective.theta) == pytest.approx(Objective(objective.model, x, y).loss(objective.theta))


def test_batchnorm_is_no_fault_of_the_loss():
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).double()
    x, y = data()
    assert Objective(model, x, y, loss=per_sample, batch_size=8).batch_size == 8
    with pytest.raises(ValueError, match="no plain average"):
        Objective(model, x, y, loss=nn.CrossEntropyLoss(reduction="sum"), batch_size=8)


@pytest.mark.parametrize("total", [True, False])
def test_several_outputs_and_time_first_outputs_are_judged_too(total):
    x, y = data()

    def several(outputs, y):
        value = ((outputs[0] - 1) ** 2).mean(1) + (outputs[1]["far"] ** 2).mean(1)
        return value.sum() if total else value.mean()

    def turned(outputs, y):
        value = F.cross_entropy(outputs.T, y, reduction="none")
        return value.sum() if total else value.mean()

    for model, loss in (
        (Forward(after=lambda out: (out, {"far": 2 * out})), several),
        (Forward(after=lambda out: out.T), turned),
    ):
        if total:
            with pytest.raises(ValueError, match="no plain average"):
                Objective(model, x, y, loss=loss, batch_size=9)
        else:
            objective = Objective(model, x, y, loss=loss, batch_size=9)
            assert objective.loss(objective.theta) == pytest.approx(loss(model(x), y).item(), rel=1e-12)


# The caller's data.


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("shape", [(N, 6), (N, 1, 2, 3), (N, 2, 3, 1)])
def test_later_changes_of_the_data_do_not_reach_the_objective(shape, part):
    x, y = data()
    x = x.reshape(shape)
    if part:  # of a larger tensor, whose memory begins before it
        x, y = (torch.cat([t[:1], t])[1:] for t in (x, y))
    model = nn.Sequential(nn.Flatten(), net())
    objective = Objective(model, x, y, batch_size=10)
    before = objective.loss(objective.theta)
    assert before == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-12)
    x.zero_()
    y.zero_()
    assert objective.loss(objective.theta) == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_are_taken_in_the_objectives_type_and_whole_numbers_as_they_are(dtype):
    x, y = data()
    values = torch.zeros(N, 3, dtype=torch.float16)
    objective = Objective(net(), x.half(), values, loss="mse", dtype=dtype)
    assert [t.dtype for t in objective.samples()] == [dtype, dtype]
    tokens = Objective(nn.Sequential(nn.Embedding(4, 3), nn.Flatten(), nn.Linear(18, 3)), y[:, None].expand(N, 6), y)
    assert [t.dtype for t in tokens.samples()] == [torch.int64, torch.int64]
    for loss, kept in (("cross_entropy", torch.int64), (lambda out, t: F.cross_entropy(out, t.long()), torch.uint8)):
        objective = Objective(net(), x, y.to(torch.uint8), loss, dtype=dtype)
        assert objective.samples()[1].dtype == kept and torch.equal(objective.samples()[1].long(), y)


def test_images_of_bytes_are_told_how_to_become_numbers():
    x, y = data()
    with pytest.raises(ValueError, match=r"of torch\.uint8 .*: bytes stay bytes: give numbers, such as"):
        Objective(net(), (255 * x.abs()).to(torch.uint8), y)


def test_a_model_that_differentiates_by_its_inputs_is_told_how():
    class Slope(nn.Module):
        def __init__(self, recorded):
            super().__init__()
            self.inner, self.recorded = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), recorded

        def forward(self, x):
            with torch.set_grad_enabled(self.recorded or torch.is_grad_enabled()):
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.inner(x).sum(), x, create_graph=True)[0][:, :1]

    x, y = torch.randn(10, 2), torch.randn(10, 1)
    with pytest.raises(ValueError, match=r"inside torch.enable_grad\(\), from x = x.detach\(\).requires_grad_\(\) on"):
        Objective(Slope(False), x, y, "mse")
    objective = Objective(Slope(True), x, y, "mse", dtype=torch.float64)
    theta, direction = objective.theta, torch.randn(objective.parameters, dtype=torch.float64)
    change = objective.loss(theta + 1e-5 * direction) - objective.loss(theta - 1e-5 * direction)
    assert change / 2e-5 == pytest.approx(float(objective.gradient(theta) @ direction), rel=1e-6)


def test_inputs_and_targets_with_a_gradient_get_none():
    x, y = data()
    backbone = nn.Linear(6, 6).double()
    target = torch.zeros(N, 3, dtype=torch.float64, requires_grad=True)
    objective = Objective(net(), backbone(x), target, loss="mse")
    first = objective.gradient(objective.theta)
    assert torch.equal(objective.gradient(objective.theta), first)
    assert backbone.weight.grad is None and target.grad is None
    x.requires_grad_()
    plain = Objective(net(), x, y)
    plain.gradient(plain.theta)
    assert x.grad is None


@pytest.mark.parametrize("shape", [(N, 6), (N, 1, 2, 3)])
def test_a_model_that_writes_to_its_inputs_is_refused_and_the_data_stay(shape):
    x, y = data()
    x = x.reshape(shape)
    kept = x.clone()
    with pytest.raises(ValueError, match=r"changes its inputs or targets in place.*x = x - 1"):
        Objective(Forward(before=lambda x: x.sub_(1).div_(2).flatten(1)), x, y)
    assert torch.equal(x, kept)
    with pytest.raises(ValueError, match="changes y in place"):
        Objective(net(), x.flatten(1), y, loss=lambda out, y: F.cross_entropy(out, y.clamp_(0)))


def test_a_model_that_writes_to_its_inputs_only_later_is_refused_then():
    switch = {"on": False}
    model = Forward(before=lambda x: x.mul_(2) if switch["on"] else x)
    objective = Objective(model, *data())
    switch["on"] = True
    for call in (objective.loss, objective.gradient, lambda t: objective.hvp(t, t), objective.outputs):
        with pytest.raises(ValueError, match="in place"):
            call(objective.theta)


# What a trial leaves alone.


class Counting(nn.Module):
    """Buffers that change in every forward pass, in place or by another tensor, and random numbers drawn for them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(6, dtype=torch.float64))

    def forward(self, x):
        self.seen += torch.rand(()) + 1
        self.mean = self.mean + x.flatten(1).mean(0)
        return self.body(x.flatten(1))


@pytest.mark.parametrize("loss", ["cross_entropy", per_sample])
@pytest.mark.parametrize("shape", [(N, 6), (N, 2, 3, 1)])
def test_trials_leave_buffers_counts_and_random_numbers_as_they_were(loss, shape):
    x, y = data()
    source = Counting()
    state = torch.get_rng_state()
    objective = Objective(source, x.reshape(shape), y, loss=loss, batch_size=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert float(objective.model.seen) == 0 and not objective.model.mean.any()
    counts = objective.counts
    assert (counts.forward, counts.gradients, counts.products) == (0, 0, 0)


def test_a_model_that_needs_more_than_two_samples():
    def centred(x):
        if len(x) < 3:
            raise RuntimeError("three at least")
        return x

    x, y = data()
    objective = Objective(Forward(before=centred), x, y)
    assert objective.loss(objective.theta) == pytest.approx(float(F.cross_entropy(net()(x), y)), rel=1e-12)


# Models that are no function of theta.


def test_functional_dropout_is_refused():
    for model, loss in (
        (Forward(before=lambda x: F.dropout(x, 0.5)), "cross_entropy"),
        (net(), lambda out, y: F.cross_entropy(F.dropout(out, 0.5), y)),
    ):
        torch.manual_seed(3)
        with pytest.raises(ValueError, match=r"different values at the same parameters.*training=self\.training"):
            Objective(model, *data(), loss=loss)
    objective = Objective(nn.Sequential(nn.Dropout(0.5), net()), *data())
    assert objective.loss(objective.theta) == pytest.approx(float(F.cross_entropy(net()(data()[0]), data()[1])))


# BatchNorm and a single sample.


def normalising(x: torch.Tensor) -> nn.Module:
    if x.dim() == 2:
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3)).double()
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(12, 3)).double()


def test_a_last_batch_of_one_sample_that_batchnorm_cannot_take():
    x, y = data()
    model, message = normalising(x), r"24 samples in batches of 23 leave a single sample.*batchnorm='frozen'"
    with pytest.raises(ValueError, match=message):
        Objective(model, x, y, batch_size=23)
    objective = Objective(model, x, y)
    steps: list = []
    with pytest.raises(ValueError, match=message):
        sgd(objective, objective.theta, 0.1, 1, 23, progress=lambda *a: steps.append(a))
    with pytest.raises(ValueError, match="24 samples in batches of 1 leave"):
        MiniBatches(objective, 1)
    assert not steps and objective.counts.gradients == 0
    Objective(model, x, y, batch_size=23, batchnorm="frozen")
    MiniBatches(Objective(model, x, y, batchnorm="frozen"), 23)
    MiniBatches(objective, 22)


def test_a_last_batch_of_one_image_is_enough_for_batchnorm():
    x, y = data()
    x = x.reshape(N, 1, 2, 3)
    model = normalising(x)
    objective = Objective(model, x, y, batch_size=23)
    model.train()
    expected = (23 * F.cross_entropy(model(x[:23]), y[:23]) + F.cross_entropy(model(x[23:]), y[23:])) / N
    assert objective.loss(objective.theta) == pytest.approx(float(expected), rel=1e-12)
    MiniBatches(objective, 23)


# Kinds and shapes of arguments.

X, Y = data()
FLAT = Forward(after=lambda out: out[:, 0])
TALL = Forward(after=lambda out: out.reshape(-1, 1))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"model": nn.Linear}, TypeError, "must be a torch.nn.Module, got the class Linear: make one first"),
        ({"x": X.numpy()}, TypeError, r"x must be one tensor .*got ndarray: pass torch.as_tensor\(x\)"),
        ({"y": Y.tolist()}, TypeError, r"y must be one tensor .*got list: pass torch.as_tensor\(y\)"),
        ({"x": (X, X)}, TypeError, "got tuple of several: pack them into one tensor"),
        ({"x": {"ids": X, "mask": X}}, TypeError, "got dict of several: pack them into one tensor"),
        (
            {"x": torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y)), "y": None},
            TypeError,
            r"got DataLoader: concatenate its batches, x, y = map\(torch.cat, zip\(\*loader\)\)",
        ),
        ({"x": torch.utils.data.TensorDataset(X, Y)}, TypeError, "got TensorDataset: read it whole"),
        ({"y": torch.tensor(1)}, ValueError, "y must be one tensor .*got a single number"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, r"the class CrossEntropyLoss: .*CrossEntropyLoss\(\)"),
        ({"loss": 3}, TypeError, "name or a callable .*got int"),
        ({"batch_size": 8.0}, ValueError, "batch_size must be a whole number, or None .*got 8.0"),
        ({"batch_size": True}, ValueError, "batch_size must be a whole number"),
        ({"y": Y.int()}, ValueError, r"dtype torch.int64, got torch.int32: pass y.long\(\)"),
        ({"y": Y > 0}, ValueError, r"dtype torch.int64, got torch.bool: pass y.long\(\)"),
        ({"y": Y.double()}, ValueError, r"class probabilities.*pass y.long\(\)"),
        ({"y": F.one_hot(Y, 3)}, ValueError, r"class labels for outputs \(2, 3\) .*pass y.argmax\(1\)"),
        ({"y": Y[:, None]}, ValueError, r"have shape \(2,\), got \(2, 1\): pass y.squeeze\(1\)"),
        ({"y": torch.where(Y == 0, -100, Y)}, ValueError, "run from -100 to 2.*pass loss=torch.nn.functional.cross"),
        ({"y": Y + 1, "loss": F.cross_entropy}, ValueError, "labels run from 1 to 3, but the model has 3 outputs"),
        ({"model": TALL, "y": Y[:, None].expand(N, 3)}, ValueError, r"outputs \(6, 1\) of 2 samples .*a callable loss"),
        ({"model": FLAT}, ValueError, r"takes outputs \(samples, classes, ...\), got \(2,\)"),
        ({"model": FLAT, "y": X[:, :1], "loss": "mse"}, ValueError, r"\(2,\) with y \(2, 1\): give y the shape"),
        ({"y": X[:, 0], "loss": "mse"}, ValueError, r"compares outputs \(2, 3\) with y \(2,\)"),
        ({"x": X[:, :4], "y": X[:, :3], "loss": "mse"}, ValueError, r"evaluated on x \(24, 4\) .*: give x the shape"),
        ({"model": FLAT, "loss": nn.BCEWithLogitsLoss()}, ValueError, r"loss cannot be evaluated .*give y the shape"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, ValueError, r"floating-point .*\(2,\) .*reduction='mean'"),
        ({"loss": lambda out, y: 1.0}, ValueError, "one floating-point number as a tensor, got a float"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_in_one_line(change, kind, message):
    with pytest.raises(kind, match=message) as error:
        Objective(**({"model": net(), "x": X, "y": Y} | change))
    assert "\n" not in str(error.value)


def test_what_the_messages_advise_works():
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=7)
    x, y = map(torch.cat, zip(*loader, strict=True))
    expected = float(F.cross_entropy(net()(X), Y))

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, packed):
            left, right = packed.split([2, 4], dim=1)
            return self.body(torch.cat([left, right], dim=1))

    for objective in (
        Objective(net(), x, y),
        Objective(Two(), torch.cat([X[:, :2], X[:, 2:]], dim=1), Y),
        Objective(net(), X, F.one_hot(Y, 3).to(X.dtype)),
        Objective(net(), X, Y.to(torch.uint8)),
    ):
        assert objective.loss(objective.theta) == pytest.approx(expected, rel=1e-12)


# Gradients where none are recorded, and models that cannot be copied.


def test_gradients_and_products_under_no_grad():
    objective = Objective(net(), *data(), batch_size=7)
    theta = objective.theta
    expected = objective.loss_and_gradient(theta), objective.hvp(theta, theta)
    with torch.no_grad():
        assert torch.equal(objective.gradient(theta), expected[0][1])
        assert objective.loss_and_gradient(theta)[0] == expected[0][0]
        assert torch.equal(objective.hvp(theta, theta), expected[1])


def test_a_model_that_cannot_be_copied_names_the_attribute():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            self.hidden = self.body(x)
            return self.hidden

    model = nn.Sequential(Remembers())
    model(X)
    with pytest.raises(ValueError, match=r"cannot be copied because of its attribute 0\.hidden, \(24, 3\) .*delete"):
        Objective(model, X, Y)
    del model[0].hidden
    assert Objective(model, X, Y).n == N


def test_what_to_do_about_lazy_and_pruned_layers_is_said_and_helps():
    lazy = nn.Sequential(nn.LazyBatchNorm1d(dtype=X.dtype), net())
    with pytest.raises(ValueError, match=r"run the model once \(a lazy layer\)"):
        Objective(lazy, X, Y)
    lazy(X)
    assert Objective(lazy, X, Y).n == N

    pruned = nn.Sequential(nn.Linear(X.shape[1], 3, dtype=X.dtype))
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    pruned(X)
    with pytest.raises(ValueError, match=r"0\.weight, .* call torch\.nn\.utils\.prune\.remove"):
        Objective(pruned, X, Y)
    prune.remove(pruned[0], "weight")
    assert Objective(pruned, X, Y).n == N
