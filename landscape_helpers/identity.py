"""Which computation a checkpoint belongs to: the function, made of data, loss and model, and what is done with it.

What is saved half-way is only worth going on from while both are the same. The digests are the same in every process
in which the same code makes the same objective; one takes a pass over the data, so it is asked for once a run and only
where there is a checkpoint. Results are not stored by it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import dis
import functools
import hashlib
import inspect
import re
import types
from collections.abc import Collection, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from .objective import Objective
from .objective_checks.isolation import COMPILED, undisturbed, version

DEEPEST = 64  # how far into what a value holds its description goes: a level of a model takes three
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
# What torch keeps in every module, and in one that was compiled.
MODULE = {*vars(nn.Module()), "_compiled_call_impl", "_is_torch_compile"} - {"training"}
# Methods by which lists, dicts and sets are written to; an assignment to an item is an operation of its own.
WRITING = {"append", "appendleft", "extend", "insert", "update", "setdefault", "add", "pop", "popitem", "clear"}


@dataclass(frozen=True)
class Identity:
    """A computation on an objective.

    Attributes:
        what: its kind and, in brackets, what tells it from others of that kind, for a message.
        objective: the function.
        vectors: where it starts and what it goes along.
        settings: everything else that its results depend on: plain values, functions, tensors, other objectives.
    """

    what: str
    objective: Objective
    vectors: Sequence[torch.Tensor]
    settings: tuple[object, ...]

    def digests(self) -> dict[str, np.ndarray]:
        """32 bytes each: ``objective``, of the function, and ``run``, of all else."""
        objective = self.objective
        cut = (objective.batch_size, objective.batchnorm)
        digest = hashlib.sha256()
        _Description(digest).add((self.what, cut, self.settings))
        for vector in self.vectors:
            update(digest, vector)
        return {"objective": objective_digest(objective), "run": np.frombuffer(digest.digest(), dtype=np.uint8)}


def objective_digest(objective: Objective) -> np.ndarray:
    """32 bytes that identify what an objective computes: its samples in order, its loss and its model.

    Loss and model are known by their names, their code and what they hold: class weights, settings of a module,
    defaults, variables that they enclose, parameters that do not train, and buffers, such as running statistics that
    are held fixed; global variables that they read are not looked at. The parameters in theta do not count, nor what
    a forward pass moves, nor how the samples are cut into micro-batches.
    """
    digest = hashlib.sha256()
    batches = [(x, y) for _, x, y in objective.weighted()]
    theta = objective.weights[0].untyped_storage().data_ptr()
    _Description(digest, theta, _moved(objective.model, batches[0][0])).add(objective.model)
    _Description(digest).add(objective.loss_function)
    form = [(str(held.dtype), tuple(held.shape[1:])) for held in batches[0]]
    digest.update(repr((objective.n, str(objective.dtype), form)).encode())
    for i in (0, 1):
        for batch in batches:
            update(digest, batch[i])
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def update(digest: hashlib._Hash, tensor: torch.Tensor) -> None:
    """Add the bytes of a tensor of any type, NumPy's or not, in the order of its indices."""
    if tensor.layout != torch.strided:
        sparse = tensor.detach().to_sparse_coo().coalesce()
        update(digest, sparse.indices())
        tensor = sparse.values()
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)


def _moved(model: nn.Module, x: torch.Tensor) -> set[int]:
    """The ids of the buffers that a forward pass writes to, such as counters: they tell how often it was evaluated."""
    before = {id(buffer): (buffer, version(buffer)) for buffer in model.buffers()}
    for count in dict.fromkeys((min(2, len(x)), len(x))) if before else ():
        with undisturbed(model, x.device), contextlib.suppress(Exception):  # it may need more samples than two
            model(x[:count])
            now = {id(buffer) for buffer in model.buffers()}
            return {key for key, (buffer, old) in before.items() if key not in now or version(buffer) != old}
    return set()


class _Description:
    """Tells values from others, without anything that changes from process to process.

    Args:
        digest: what it is written to.
        theta: the memory whose numbers do not count.
        moved: ids of tensors of which nothing counts.
    """

    def __init__(self, digest: hashlib._Hash, theta: int | None = None, moved: Collection[int] = ()) -> None:
        self._digest, self._theta, self._moved = digest, theta, moved
        self._seen: dict[int, tuple[int, object]] = {}  # the objects too, so that no other one gets the id

    def add(self, value: object, depth: int = 0) -> None:
        if isinstance(value, torch.Tensor):
            self._add_tensor(value)
            return
        if isinstance(value, bytes):
            self._write(f"bytes {len(value)}")
            self._digest.update(value)
            return
        held = _held(value) if depth < DEEPEST else None
        if held is None:
            self._write(ADDRESS.sub("", f"{type(value).__qualname__} {value!r}"))
            return
        if not isinstance(value, tuple | frozenset | types.CodeType):  # of these equal ones may or may not be the same
            if id(value) in self._seen:
                self._write(f"again {self._seen[id(value)][0]}")
                return
            self._seen[id(value)] = len(self._seen), value
        self._write(f"{getattr(value, '__qualname__', type(value).__qualname__)} {len(held)}")
        for part in held:
            self.add(part, depth + 1)

    def _add_tensor(self, tensor: torch.Tensor) -> None:
        if id(tensor) in self._moved:
            self._write("moved")
            return
        self._write(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.layout}")
        of_theta = tensor.layout == torch.strided and tensor.untyped_storage().data_ptr() == self._theta
        if not (of_theta or tensor.is_meta):
            update(self._digest, tensor)

    def _write(self, text: str) -> None:
        self._digest.update(text.encode(errors="surrogatepass") + b"\0")


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
    if isinstance(value, Objective):
        return [objective_digest(value), value.batch_size, value.batchnorm]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, torch.jit.ScriptFunction):
        return [value.code]
    if isinstance(value, types.FunctionType):
        if (compiled := getattr(value, "_torchdynamo_orig_callable", None)) is not None:
            return [compiled]
        enclosed = [cell.cell_contents for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, *enclosed]
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, value.co_consts]
    if isinstance(value, nn.Module):
        return _held_by_module(value)
    if isinstance(value, type | types.BuiltinFunctionType) or not hasattr(value, "__dict__"):
        return None
    if callable(value):
        return [vars(value), *_methods(type(value), "__call__")]
    if dataclasses.is_dataclass(value) or type(value).__repr__ is object.__repr__:
        return [vars(value)]
    return None


def _held_by_module(module: nn.Module) -> list[object]:
    """What a module computes with. Of its hooks only the code counts: they gather what they see."""
    if COMPILED in module._modules:
        return [module._modules[COMPILED]]
    kind = type(module)
    own = any(not k.__module__.startswith("torch.") for k in kind.__mro__ if k is not object)
    methods = _methods(kind, "forward")
    assigned, changed = (frozenset().union(*names) for names in zip(*map(_written, methods), strict=True))
    settings = {
        name: value
        for name, value in vars(module).items()
        if name not in MODULE
        and (own or not name.startswith("_"))  # torch's own modules keep what follows from the others
        and name not in assigned
        and not (name in changed and isinstance(value, MutableSequence | MutableMapping | MutableSet))
        and not isinstance(inspect.getattr_static(kind, name, None), functools.cached_property)
    }
    buffers = dict(module._buffers)
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        buffers.pop("num_batches_tracked", None)  # no forward pass in evaluation mode reads it
    hooks = [_code_of_hook(hook) for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())]
    return [settings, dict(module._parameters), buffers, methods, hooks, dict(module._modules)]


def _code_of_hook(hook: Any) -> object:
    while isinstance(hook, functools.partial | types.MethodType):
        hook = hook.func if isinstance(hook, functools.partial) else hook.__func__
    return hook.__code__ if isinstance(hook, types.FunctionType) else _methods(type(hook), "__call__")


def _methods(kind: type, entry: str) -> tuple[object, ...]:
    """A method of a class and those of its methods and properties that it names, which may name others in turn."""
    found: dict[str, object] = {}
    names = [entry]
    for name in names:
        method = inspect.getattr_static(kind, name, None)
        for function in ("fget", "func", "__func__"):  # of a property, one that is kept, a static or a class method
            method = getattr(method, function, method)
        if name not in found and (name == entry or isinstance(method, types.FunctionType)):
            found[name] = method
            names.extend(name for code in _codes(method) for name in code.co_names)
    return tuple(found.values())


def _codes(function: object) -> Iterator[types.CodeType]:
    """The code of a function, or of what a decorator made it from, and those of the functions that it defines."""
    code = function if isinstance(function, types.CodeType) else None
    if isinstance(function, types.FunctionType):
        code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None:
        yield code
        for part in code.co_consts:
            if isinstance(part, types.CodeType):
                yield from _codes(part)


def _written(function: object) -> tuple[frozenset[str], frozenset[str]]:
    """The attributes that a function assigns, and all that it names where it changes the contents of something.

    Intermediate results, caches and counters tell how often a model was evaluated and where, not what it computes.
    """
    each = [_written_by_code(code) for code in _codes(function)]
    return frozenset().union(*(a for a, _ in each)), frozenset().union(*(c for _, c in each))


@functools.cache
def _written_by_code(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    operations = [(o.opname, o.argval) for o in dis.get_instructions(code)]
    changes = WRITING & {*code.co_names} or any(name == "STORE_SUBSCR" for name, _ in operations)
    assigned = frozenset(argument for name, argument in operations if name == "STORE_ATTR")
    return assigned, frozenset(code.co_names if changes else ())
