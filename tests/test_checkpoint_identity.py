"""Checkpoints belong to one function: other data, another loss and another model are told apart, equal ones are not."""

import dataclasses
import functools
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from interruption import Interrupted, stop_at
from torch import nn
from torch.nn import functional as F

from landscape_helpers import Objective, identity, mining, slices
from landscape_helpers.checkpoint import ArrayFile, Checkpoint, array
from landscape_helpers.descent import Evaluation, gradient_descent, gradient_flow, sgd
from landscape_helpers.identity import Identity, differing

N = 24


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, 6, generator=generator, dtype=torch.float64), torch.randint(0, 3, (N,), generator=generator)


def objective(loss=None, x=None, y=None, activation=nn.ReLU, dtype=torch.float64, **options) -> Objective:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), activation(), nn.Linear(5, 3)).double()
    own, labels = data()
    x, y = own if x is None else x, labels if y is None else y
    return Objective(model, x, y, loss or "cross_entropy", dtype=dtype, **options)


def marks(o: Objective) -> dict[str, np.ndarray]:
    return Identity("run", o, [], ()).marks()


def same(a: Objective, b: Objective) -> bool:
    """Whether two functions are the same, however they are computed."""
    return differing(marks(a), marks(b) | {"run": marks(a)["run"]}) is None


def direction(o: Objective) -> torch.Tensor:
    return torch.randn(o.parameters, generator=torch.Generator().manual_seed(1)).to(o.dtype)


RUNS = {
    "gradient_descent": lambda o, **k: gradient_descent(o, o.theta, 0.1, 6, **k).theta,
    "sgd": lambda o, **k: sgd(o, o.theta, 0.1, 6, 8, **k).theta,
    "gradient_flow": lambda o, **k: gradient_flow(o, o.theta, cap=0.1, steps=6, **k).theta,
    "line": lambda o, **k: torch.tensor(slices.line(o, o.theta, direction(o), np.linspace(0, 1, 6), **k).values),
    "w_peak": lambda o, **k: mining.w_peak(o, o.theta, 3, 0.1, 8, **k).direction,
}


def interrupted(run, o: Objective, file) -> None:
    with pytest.raises(Interrupted):
        run(o, checkpoint=file, checkpoint_every=0, progress=stop_at(3))
    assert file.exists()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_with_its_own_function_only(tmp_path, name, monkeypatch):
    run, file = RUNS[name], tmp_path / "state.npz"
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    whole = run(objective(loss))
    interrupted(run, objective(loss), file)
    x, y = data()
    others = [
        objective(nn.CrossEntropyLoss(label_smoothing=0.2)),
        objective(loss, x=x + 1e-9),
        objective(loss, y=y.flip(0)),
        objective(loss, activation=nn.Tanh),
    ]
    for other in others:
        with pytest.raises(ValueError, match=f"{file.name} was saved for another objective"):
            run(other, checkpoint=file)
    evaluated = []
    loss_at_mark = identity.loss_at_mark
    monkeypatch.setattr(identity, "loss_at_mark", lambda o: evaluated.append(o) or loss_at_mark(o))
    resumed = run(objective(nn.CrossEntropyLoss(label_smoothing=0.1)), checkpoint=file)
    assert torch.equal(resumed, whole) and len(evaluated) == 1
    run(objective(loss))
    assert len(evaluated) == 1, "without a checkpoint nothing is asked"


@pytest.mark.parametrize("name", ["gradient_descent", "sgd"])
def test_probes_with_other_settings_are_another_run(tmp_path, name):
    run, file = RUNS[name], tmp_path / "state.npz"
    x, y = data()
    with pytest.raises(Interrupted):
        run(objective(), checkpoint=file, checkpoint_every=0, progress=stop_at(3), probes=[Evaluation(1, x, y)])
    with pytest.raises(ValueError, match="saved by another tra"):
        run(objective(), checkpoint=file, probes=[Evaluation(2, x, y)])
    run(objective(), checkpoint=file, probes=[Evaluation(1, x, y)])
    assert not file.exists()


def test_the_clock_goes_on_where_it_stood(tmp_path):
    def checkpoint() -> Checkpoint:
        return Checkpoint(tmp_path / "state.npz", 0, Identity("run", objective(), [], ()))

    first = checkpoint()
    first._started -= 100
    first.save({"a": np.arange(3)})
    second = checkpoint()
    assert second.seconds < 50
    saved = second.load()
    assert set(saved) == {"a"} and second.seconds > 100
    nowhere = Checkpoint(None, 0, Identity("run", objective(), [], ()))
    nowhere.save(saved)
    nowhere.clear()
    assert not nowhere.due() and nowhere.load() is None and (tmp_path / "state.npz").exists()


def test_a_save_that_takes_long_makes_the_next_one_wait(tmp_path, monkeypatch):
    now = 0.0
    monkeypatch.setattr("landscape_helpers.checkpoint.time", SimpleNamespace(perf_counter=lambda: now))
    what = Identity("run", objective(), [], ())

    def slow(*_):
        nonlocal now
        now += 10

    monkeypatch.setattr("landscape_helpers.checkpoint.ArrayFile.save", slow)
    for every, pause in ((60.0, 300.0), (600.0, 600.0), (0.5, 300.0)):
        checkpoint = Checkpoint(tmp_path / f"{every}.npz", every, what)
        now += every
        assert checkpoint.due()
        checkpoint.save({"a": np.arange(3)})
        now += pause - 1
        assert not checkpoint.due()
        now += 1
        assert checkpoint.due()
    always = Checkpoint(tmp_path / "always.npz", 0, what)
    always.save({"a": np.arange(3)})
    assert always.due()


@pytest.mark.parametrize("name", ["gradient_descent", "sgd", "gradient_flow"])
def test_a_checkpoint_that_is_kept_takes_the_same_run_to_its_end_again(tmp_path, name):
    run, file = RUNS[name], tmp_path / "state.npz"
    every, last = [], []
    kept = {"checkpoint_every": 0, "keep_checkpoint": True}
    first = run(objective(), checkpoint=file, progress=lambda k, *_: every.append(k), **kept)
    assert file.exists()
    again = run(objective(), checkpoint=file, progress=lambda k, *_: last.append(k))
    assert torch.equal(first, again) and last == every[-1:] and not file.exists()


DAMAGED = r"state\.npz is not a readable checkpoint \(.+\): delete it to start afresh$"


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "bit", "folder", "array"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    file = ArrayFile(tmp_path / "state.npz")
    assert file.load() is None
    file.save({"a": np.arange(300)})
    held = bytearray(file.path.read_bytes())
    held[400] ^= 1  # among the numbers, which only the archive's checksum guards
    if damage == "folder":
        file.path.unlink()
        file.path.mkdir()
    elif damage == "array":
        with file.path.open("wb") as single:
            np.save(single, np.arange(300))
    else:
        file.path.write_bytes({"empty": b"", "text": b"no archive", "cut": held[:900], "bit": held}[damage])
    with pytest.raises(ValueError, match=DAMAGED):
        file.load()


def test_whatever_bit_is_flipped_a_checkpoint_is_read_as_it_was_or_refused(tmp_path):
    """More numbers than zipfile reads at once: the header is parsed before the checksum is compared."""
    file = ArrayFile(tmp_path / "state.npz")
    arrays = {"a": np.arange(1200.0), "b": np.arange(6).reshape(2, 3), "c": np.array("text")}
    file.save(arrays)
    held = file.path.read_bytes()
    after = held.index(arrays["a"].tobytes()) + arrays["a"].nbytes
    read = 0
    for place in [*range(220), *range(after - 5, len(held))]:
        for bit in range(8):
            damaged = bytearray(held)
            damaged[place] ^= 1 << bit
            file.path.write_bytes(damaged)
            try:
                loaded = file.load()
            except ValueError as error:
                assert re.search(DAMAGED, str(error)), (place, bit, str(error))
            else:
                assert loaded.keys() == arrays.keys(), (place, bit)
                assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays), (place, bit)
                read += 1
    assert 0 < read < len(held), "times, versions and attributes of the members do not matter"
    for end in range(0, len(held), 97):
        file.path.write_bytes(held[:end])
        with pytest.raises(ValueError, match=DAMAGED):
            file.load()


def test_times_and_ends_that_cannot_be_are_refused(tmp_path):
    what = Identity("run", objective(), [], ())
    with pytest.raises(ValueError, match=r"^seconds between checkpoints must not be negative, got -0\.1$"):
        Checkpoint(tmp_path / "state.npz", -0.1, what)
    with pytest.raises(ValueError, match=r"state\.npz stands at step 3, beyond the steps=2 asked for"):
        Checkpoint(tmp_path / "state.npz", 0, what).refuse(True, "step 3", "steps=2")
    Checkpoint(tmp_path / "state.npz", 0, what).refuse(False, "step 3", "steps=3")


def test_tensors_are_saved_as_plain_arrays_of_their_numbers():
    for dtype, kept in ((torch.float64, np.float64), (torch.float16, np.float16), (torch.bfloat16, np.float32)):
        saved = array(torch.tensor([0.5, -3.0], dtype=dtype, requires_grad=True))
        assert isinstance(saved, np.ndarray) and saved.dtype == kept and saved.tolist() == [0.5, -3.0]


def weighted(weights: torch.Tensor):
    return lambda outputs, y: F.cross_entropy(outputs, y, weight=weights)


def powered(outputs: torch.Tensor, y: torch.Tensor, power: float = 2.0) -> torch.Tensor:
    return F.cross_entropy(outputs, y) ** power


class Own(nn.Module):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float64))

    def forward(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.weight * F.cross_entropy(outputs, y)


class Callable:
    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.scale * F.cross_entropy(outputs, y)

    def method(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self(outputs, y)


def test_a_run_that_ends_before_its_first_save_leaves_nothing_and_folders_are_made(tmp_path):
    def checkpoint(every: float) -> Checkpoint:
        what = Identity("run", objective(), [], ())
        return Checkpoint(tmp_path / "new" / "folder" / "state.npz", every, what)

    seldom, always = checkpoint(1e6), checkpoint(0)
    assert not seldom.due() and always.due()
    seldom.clear()
    assert not (tmp_path / "new").exists()
    always.save({"a": np.arange(3)})
    assert always.load()["a"].tolist() == [0, 1, 2]
    always.clear()
    assert not list((tmp_path / "new" / "folder").iterdir())


class Plain:
    def __init__(self, scale: float) -> None:
        self.scale = scale


@dataclasses.dataclass
class Record:
    scale: torch.Tensor


def scaled_by(held):
    return lambda outputs, y: held.scale * F.cross_entropy(outputs, y)


def named(outputs: torch.Tensor, y: torch.Tensor, reduction: str = "mean") -> torch.Tensor:
    mean = reduction in {"mean", "average", "batch", "all", "samples", "labels", "rows"}
    return F.cross_entropy(outputs, y, reduction="mean" if mean else "sum")


ONE, OTHER = torch.tensor([1.0, 2.0, 9.0]).double(), torch.tensor([1.0, 2.0, 8.0]).double()
LOSSES = {
    "class weights": lambda w: nn.CrossEntropyLoss(weight=(OTHER if w else ONE).clone()),
    "ignored label": lambda w: nn.CrossEntropyLoss(ignore_index=2 if w else -100),
    "enclosed tensor": lambda w: weighted((OTHER if w else ONE).clone()),
    "partial": lambda w: functools.partial(F.cross_entropy, label_smoothing=0.2 if w else 0.1),
    "partial of a default": lambda w: functools.partial(powered, power=3.0) if w else functools.partial(powered),
    "code": lambda w: (
        (lambda o, t: 2.0 * F.cross_entropy(o, t)) if w else (lambda o, t: 3.0 * F.cross_entropy(o, t))
    ),
    "module of one's own": lambda w: Own(2.0 if w else 1.0),
    "object": lambda w: Callable(2.0 if w else 1.0),
    "method": lambda w: Callable(2.0 if w else 1.0).method,
    "attributes": lambda w: scaled_by(Plain(2.0 if w else 1.0)),
    "data class": lambda w: scaled_by(Record(torch.tensor(1.01 if w else 1.0))),
    "set of words": lambda w: functools.partial(named, reduction="sum") if w else functools.partial(named),
    "inside a sequence": lambda w: functools.partial(lambda o, t, of: of[0](o, t), of=[Own(2.0 if w else 1.0)]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_known_by_what_they_give(name):
    first, again, other = (objective(LOSSES[name](w)) for w in (False, False, True))
    assert same(first, again) and not same(first, other)


def rewritten(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -F.log_softmax(outputs, dim=1).gather(1, y[:, None]).mean()


def test_an_edit_that_changes_nothing_makes_no_other_loss():
    assert same(objective("cross_entropy"), objective(rewritten))
    assert same(objective(nn.CrossEntropyLoss()), objective(nn.CrossEntropyLoss(ignore_index=-2)))


SETTINGS = {
    "number": lambda w: 0.1 + (1e-12 if w else 0),
    "type": lambda w: 1.0 if w else 1,
    "text": lambda w: "a" if w else "b",
    "nothing": lambda w: None if w else 0,
    "array": lambda w: np.arange(3000.0) + (1e-9 if w else 0),
    "words in an array": lambda w: np.array(["a", "c" if w else "b"]),
    "shape": lambda w: torch.zeros(2, 3) if w else torch.zeros(3, 2),
    "dtype": lambda w: torch.zeros(4) if w else torch.zeros(4, dtype=torch.int32),
    "sparse tensor": lambda w: torch.diag(torch.tensor([1.0, 2.0 if w else 3.0])).to_sparse(),
    "nesting": lambda w: ((1, 2), 3) if w else ((1,), 2, 3),
    "set": lambda w: {"mean", "average", "batch", "all", "labels" if w else "rows"},
    "mapping": lambda w: {"a": 1, "b": 2 if w else 3},
    "data class": lambda w: Record(torch.tensor(1.000001 if w else 1.0)),
    "objective": lambda w: objective(x=data()[0] + (1e-9 if w else 0)),
    "policy of an objective": lambda w: objective(batch_size=5 if w else None),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_known_by_their_bytes(name):
    first, again, other = (Identity("run", objective(), [], (SETTINGS[name](w),)).marks() for w in (False, False, True))
    assert differing(first, again) is None and differing(first, other) == "run"


def test_the_functions_of_other_objectives_count():
    def with_other(loss: nn.Module) -> dict[str, np.ndarray]:
        return Identity("run", objective(), [], ([objective(loss)],)).marks()

    one, other = nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.2)
    assert differing(with_other(one), with_other(one)) is None
    assert differing(with_other(one), with_other(other)) == "objective"


def test_a_setting_without_a_text_of_its_own_is_refused():
    for setting in (data, Plain(1.0), lambda share: share):
        with pytest.raises(TypeError, match=r"cannot be told from others by <.+ at 0x.+give numbers and text"):
            Identity("run", objective(), [], (setting,)).marks()


def test_rounding_makes_no_other_function():
    """A deep chain in single precision: another order of its sums is the same function, a hundredth more is not."""

    def chain(width: int, factor: float = 1.0) -> Objective:
        torch.manual_seed(0)
        layers = [module for _ in range(20) for module in (nn.Linear(6, 6), nn.Tanh())]
        return Objective(nn.Sequential(*layers), data()[0].float(), data()[1], Callable(factor), batch_size=width)

    assert marks(chain(N))["losses"] != marks(chain(7))["losses"]
    assert same(chain(N), chain(7)) and not same(chain(N), chain(N, 1.01))


class Positive(nn.Module):
    """A model that takes no negative weight: it raises, or its loss is no number."""

    def __init__(self, raises: bool) -> None:
        super().__init__()
        self.scale, self.raises = nn.Parameter(torch.ones(6, 3)), raises

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.raises and bool((self.scale <= 0).any()):
            raise ValueError("scale must be above 0")
        return x @ self.scale.sqrt()


@pytest.mark.parametrize("raises", [True, False])
def test_a_model_that_fails_at_the_mark_is_told_by_its_samples(raises):
    x, y = data()
    one, other = (Objective(Positive(raises), inputs.float(), y) for inputs in (x, x + 1))
    assert np.isnan(marks(one)["losses"]).all()
    assert same(one, one) and not same(one, other) and one.counts.forward == 0


def test_weights_count_where_they_do_not_train_and_only_there():
    """Which of two equal layers is frozen makes another function; where theta stands does not."""

    def frozen(at: int | None, other: float = 1.0) -> Objective:
        model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
        for parameter in model.parameters():
            nn.init.constant_(parameter, other)
        if at is not None:
            nn.init.ones_(model[at].weight)
            model[at].weight.requires_grad_(False)
        return Objective(model.double(), *data())

    assert same(frozen(None), frozen(None, 2.0)) and same(frozen(0), frozen(0, 2.0))
    assert not same(frozen(0), frozen(2)) and not same(frozen(0), frozen(None))


def test_images_of_another_shape_are_others_though_their_bytes_are_the_same():
    def images(*shape: int) -> Objective:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
        x, y = data()
        return Objective(model, x.view(N, 1, *shape), y)

    wide, high = images(2, 3), images(3, 2)
    assert wide.loss(wide.theta) != high.loss(high.theta) and not same(wide, high)


def test_micro_batches_are_no_matter_and_shape_and_type_are():
    x, y = data()
    assert same(objective(), objective(batch_size=5))
    assert not same(objective(), objective(dtype=torch.float32))
    assert not same(objective(x=x[:-1], y=y[:-1]), objective())
    # The same bytes in another order of samples, and images whose memory is laid out otherwise.
    assert not same(objective(x=x.flip(0), y=y), objective())
    assert same(objective(x=x.t().contiguous().t()), objective())


def test_a_computation_is_the_same_in_another_process(tmp_path):
    """With other addresses and another order of sets."""
    script = textwrap.dedent(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import test_checkpoint_identity as t
        for name, make in t.LOSSES.items():
            t.ArrayFile(f"{sys.argv[2]}/{name}.npz").save(t.described(make))
        """
    )
    folder = __file__.rpartition("/")[0]
    (tmp_path / "marks.py").write_text(script)
    subprocess.run(
        [sys.executable, tmp_path / "marks.py", folder, tmp_path], check=True, timeout=120,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    for name, make in LOSSES.items():
        theirs = ArrayFile(tmp_path / f"{name}.npz").load()
        assert differing(theirs, described(make)) is None, name


def described(make) -> dict[str, np.ndarray]:
    """The marks of a computation with settings of several kinds."""
    settings = (SETTINGS["set"](False), SETTINGS["mapping"](False), SETTINGS["objective"](False), None, 0.1)
    return Identity("run", objective(make(False)), [torch.arange(3)], settings).marks()


@pytest.mark.parametrize("name", ["gradient_descent", "sgd", "line", "w_peak"])
def test_bfloat16_is_saved_and_goes_on_bit_for_bit(tmp_path, name):
    run, file = RUNS[name], tmp_path / "state.npz"
    whole = run(objective(dtype=torch.bfloat16))
    interrupted(run, objective(dtype=torch.bfloat16), file)
    resumed = run(objective(dtype=torch.bfloat16), checkpoint=file)
    assert resumed.dtype == whole.dtype and torch.equal(resumed, whole)


def test_sgd_takes_all_samples_where_there_are_fewer_than_a_batch():
    o = objective()
    small, whole = sgd(o, o.theta, 0.1, 3), sgd(o, o.theta, 0.1, 3, batch_size=N)
    assert torch.equal(small.theta, whole.theta) and small.steps == 3
    truth = o.theta
    for _ in range(3):
        truth = truth - 0.1 * o.gradient(truth)
    torch.testing.assert_close(small.theta, truth, rtol=1e-12, atol=1e-12)
