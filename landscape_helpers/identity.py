"""Which computation a checkpoint belongs to: the function, made of data, loss and model, and what is done with it.

What is saved half-way is only worth going on from while both are the same. The digests are the same in every process
in which the same code makes the same objective; one takes a pass over the data, so it is asked for once a run and only
where there is a checkpoint. Results are not stored by it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from .objective import Objective

DEEPEST = 8  # how far into what a loss holds its description goes
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True)
class Identity:
    """A computation on an objective.

    Attributes:
        what: its kind and, in brackets, what tells it from others of that kind, for a message.
        objective: the function.
        vectors: where it starts and what it goes along.
        settings: everything else that its results depend on, as plain values.
    """

    what: str
    objective: Objective
    vectors: Sequence[torch.Tensor]
    settings: tuple[object, ...]

    def digests(self) -> dict[str, np.ndarray]:
        """32 bytes each: ``objective``, of the function, and ``run``, of all else."""
        objective = self.objective
        cut = (objective.batch_size, objective.batchnorm)
        digest = hashlib.sha256(repr((self.what, cut, self.settings)).encode())
        for vector in self.vectors:
            update(digest, vector)
        return {"objective": objective_digest(objective), "run": np.frombuffer(digest.digest(), dtype=np.uint8)}


def objective_digest(objective: Objective) -> np.ndarray:
    """32 bytes that identify what an objective computes: its samples in order, its loss, and its model's make.

    The loss is known by its name, its code and what it holds: class weights, settings of a loss module, defaults,
    variables that it encloses; global variables that it reads are not looked at. The parameters in theta do not count,
    nor do buffers, which a forward pass may move, nor how the samples are cut into micro-batches.
    """
    digest = hashlib.sha256()
    digest.update(ADDRESS.sub("", repr(objective.model)).encode())
    for name, parameter in objective.model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode())
            update(digest, parameter)
    for part in _described(objective.loss_function):
        if isinstance(part, torch.Tensor):
            update(digest, part)
        else:
            digest.update(part.encode() + b"\0")
    batches = [(x, y) for _, x, y in objective.weighted()]
    form = [(str(held.dtype), tuple(held.shape[1:])) for held in batches[0]]
    digest.update(repr((objective.n, str(objective.dtype), form)).encode())
    for i in (0, 1):
        for batch in batches:
            update(digest, batch[i])
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def update(digest: hashlib._Hash, tensor: torch.Tensor) -> None:
    """Add the bytes of a tensor of any type, NumPy's or not, in the order of its indices."""
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _described(value: object, depth: int = 0) -> Iterator[str | torch.Tensor]:
    """What tells a value from others, without anything that changes from process to process."""
    if isinstance(value, torch.Tensor):
        yield f"{value.dtype} {tuple(value.shape)}"
        yield value
        return
    held = _held(value) if depth < DEEPEST else None
    if held is None:
        yield ADDRESS.sub("", f"{type(value).__qualname__} {value!r}")
        return
    name = getattr(value, "__qualname__", type(value).__qualname__)
    yield f"{name} {len(held)}"
    for part in held:
        yield from _described(part, depth + 1)


def _held(value: object) -> list[object] | None:
    """What a value is made of; None for one that its text describes."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)  # words stand in another order in every process
    if isinstance(value, np.ndarray):
        # As text it is rounded, and cut short where it is long.
        return [str(value.dtype), value.shape, value.tolist() if value.dtype.hasobject else value.tobytes()]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *enclosed]
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, value.co_consts]
    if isinstance(value, nn.Module):
        settings = {name: setting for name, setting in vars(value).items() if not name.startswith("_")}
        return [settings, dict(value.named_parameters(recurse=False)), dict(value.named_buffers(recurse=False)),
                type(value).forward, *value.children()]  # fmt: skip
    if isinstance(value, type | types.BuiltinFunctionType) or not hasattr(value, "__dict__"):
        return None
    if callable(value):
        return [vars(value), type(value).__call__]
    if dataclasses.is_dataclass(value) or type(value).__repr__ is object.__repr__:
        return [vars(value)]
    return None
