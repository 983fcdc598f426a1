"""Which computation a checkpoint belongs to: what is saved half-way is only worth going on from in the same one.

Samples and settings are known by their bytes. A function is known by what it gives: its loss at one point that every
process draws alike. However model and loss come by it, through code, buffers, hooks or a variable in some other file,
another loss there is another function, and an edit that changes nothing is none. It is asked for once a run, and only
where there is a checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .objective import Objective
from .objective_checks.isolation import undisturbed

# How far the loss at the point may lie from the one saved, in its own units: processors add in another order, and 110
# layers without skip connections make 2e-4 of it in single precision. Numbers of 16 bits round a thousand times more.
ROUNDING, ROUNDING_16_BITS = 1e-3, 0.1


@dataclass(frozen=True)
class Identity:
    """A computation on an objective.

    Attributes:
        what: its kind and, in brackets, what tells it from others of that kind, for a message.
        objective: the function.
        vectors: where it starts and what it goes along.
        settings: everything else that its results depend on: values whose text tells them from others, tensors and
            arrays, other objectives, and collections of these.
    """

    what: str
    objective: Objective
    vectors: Sequence[torch.Tensor]
    settings: tuple[object, ...]

    def marks(self) -> dict[str, np.ndarray]:
        """What :func:`differing` compares: 32 bytes of the samples and of all else, and the losses of the functions.

        Raises:
            TypeError: a setting whose text does not say what it is, such as a function.
        """
        digest, objectives = hashlib.sha256(), [self.objective]
        cut = (self.objective.batch_size, self.objective.batchnorm)
        _add(digest, (self.what, cut, self.settings, *self.vectors), objectives)
        return {
            "samples": np.frombuffer(_samples(self.objective), dtype=np.uint8),
            "run": np.frombuffer(digest.digest(), dtype=np.uint8),
            "losses": np.array([loss_at_mark(objective) for objective in objectives]),
            "rounding": np.array([ROUNDING if o.dtype.itemsize >= 4 else ROUNDING_16_BITS for o in objectives]),
        }


def differing(theirs: Mapping[str, np.ndarray], ours: Mapping[str, np.ndarray]) -> str | None:
    """In what two computations differ by their marks: "objective" or "run"; None for the same one."""
    if not theirs.keys() >= ours.keys() or not np.array_equal(theirs["samples"], ours["samples"]):
        return "objective"
    if not np.array_equal(theirs["run"], ours["run"]):
        return "run"
    same = np.isclose(theirs["losses"], ours["losses"], rtol=ours["rounding"], atol=0, equal_nan=True)
    return None if same.all() else "objective"


def loss_at_mark(objective: Objective) -> float:
    """The loss where every weight is drawn with variance 1 / fan-in, the same in every process; NaN where it fails.

    Neither the parameters that the model has nor the counts of work play a part in it or are changed by it.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(w.shape, generator=generator) / _fan_in(w) ** 0.5 for w in objective.weights]
    theta = torch.cat([part.reshape(-1) for part in drawn])
    objective.move(theta)
    evaluations = objective.counts.forward
    try:
        with undisturbed(objective.model, objective.device):
            return objective.loss(theta)
    except (ArithmeticError, AssertionError, RuntimeError, ValueError):
        return math.nan  # a model that takes positive numbers only: its samples and the settings alone tell it
    finally:
        objective.counts.forward = evaluations


def _fan_in(weight: torch.Tensor) -> int:
    return max(1, weight[0].numel()) if weight.dim() > 1 else 1


def _samples(objective: Objective) -> bytes:
    """32 bytes of the samples in their order, however they are cut into micro-batches."""
    digest = hashlib.sha256()
    batches = [(x, y) for _, x, y in objective.weighted()]
    form = [(str(held.dtype), tuple(held.shape[1:])) for held in batches[0]]
    digest.update(repr((objective.n, str(objective.dtype), form)).encode())
    for i in (0, 1):
        for batch in batches:
            _update(digest, batch[i])
    return digest.digest()


def _add(digest: hashlib._Hash, value: object, objectives: list[Objective]) -> None:
    """Add a value to a digest, and the objectives that are met to the list."""
    if isinstance(value, Objective):
        objectives.append(value)
        value = (_samples(value), value.batch_size, value.batchnorm)
    if dataclasses.is_dataclass(value):
        value = (type(value).__qualname__, vars(value))
    if isinstance(value, Mapping):
        value = tuple(value.items())
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)  # words stand in another order in every process
    if isinstance(value, np.ndarray):
        numbers = value.dtype.kind in "biufc"
        value = torch.from_numpy(np.ascontiguousarray(value)) if numbers else (value.shape, value.tolist())
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype} {tuple(value.shape)}\0".encode())
        _update(digest, value)
    elif isinstance(value, list | tuple):
        digest.update(f"{len(value)}\0".encode())
        for part in value:
            _add(digest, part, objectives)
    elif " at 0x" in (text := repr(value)):
        raise TypeError(
            f"a computation with a checkpoint cannot be told from others by {text}, whose text is another in every "
            "process: give numbers and text that say what it does"
        )
    else:
        digest.update(f"{type(value).__qualname__} {text}\0".encode(errors="surrogatepass"))


def _update(digest: hashlib._Hash, tensor: torch.Tensor) -> None:
    """Add the bytes of a tensor of any type, NumPy's or not, in the order of its indices."""
    if tensor.layout != torch.strided:
        sparse = tensor.detach().to_sparse_coo().coalesce()
        _update(digest, sparse.indices())
        tensor = sparse.values()
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
