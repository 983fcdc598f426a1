"""How each node of a traced model is computed: as written, or the same in place and with less memory traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from . import trace

Kernel = Callable[[list[Any]], Any]


def kernel_of(node: fx.Node, model: nn.Module, slots: dict[fx.Node, int]) -> Kernel:
    """A function of all values so far that gives the node's."""
    modules = dict(model.named_modules())
    if trace.is_alias(node, modules) or _relu_moves_behind_its_pool(node, modules):
        source = slots[node.all_input_nodes[0]]
        return lambda values: values[source]
    if trace.is_relu(node, modules):
        return _relu(slots[node.all_input_nodes[0]], trace.overwritable(node.all_input_nodes[0], modules))
    if trace.is_addition(node):
        return _addition(node, modules, slots)
    if halving_pool(node, modules):
        before = node.all_input_nodes[0]
        return _pool(slots[before], _relu_moves_behind_its_pool(before, modules))
    return _as_written(node, model, modules, slots)


def halving_pool(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether the node is a maximum over 2 x 2 squares side by side."""
    module = trace.module_of(node, modules)
    if module is not None:
        if type(module) is not nn.MaxPool2d or not trace.plain(module):
            return False
        found = (module.kernel_size, module.stride, module.padding, module.dilation)
        return all(_pair(a) == b for a, b in zip(found, (2, 2, 0, 1), strict=True)) and not (
            module.ceil_mode or module.return_indices
        )
    if node.target is not nn.functional.max_pool2d:
        return False
    given = dict(zip(("kernel_size", "stride", "padding", "dilation"), node.args[1:], strict=False)) | node.kwargs
    stride = given.get("stride")
    return (
        len(node.args) <= 5
        and _pair(given.get("kernel_size")) == 2
        and (stride is None or _pair(stride) == 2)
        and _pair(given.get("padding", 0)) == 0
        and _pair(given.get("dilation", 1)) == 1
        and not given.get("ceil_mode", False)
        and not given.get("return_indices", False)
    )


def _pair(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return value[0] if len(set(value)) == 1 else None
    return value


def _relu_moves_behind_its_pool(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """ReLU is monotone: after a maximum it gives the same values from a quarter of the work."""
    if not trace.is_relu(node, modules) or len(node.users) != 1:
        return False
    return halving_pool(next(iter(node.users)), modules)


def _relu(source: int, overwrite: bool) -> Kernel:
    if overwrite:
        return lambda values: torch.relu_(values[source])
    return lambda values: torch.relu(values[source])


def _addition(node: fx.Node, modules: dict[str, nn.Module], slots: dict[fx.Node, int]) -> Kernel:
    terms = [a for a in node.args if isinstance(a, fx.Node)]
    a, b = (slots[term] for term in terms)
    if trace.overwritable(terms[1], modules) and not trace.overwritable(terms[0], modules):
        a, b, terms = b, a, terms[::-1]
    overwrite = trace.overwritable(terms[0], modules)

    def add(values: list[Any]) -> Any:
        x, y = values[a], values[b]
        if overwrite and x.shape == y.shape and x.dtype == y.dtype:
            return x.add_(y)
        return x + y

    return add


def pool(x: torch.Tensor) -> torch.Tensor:
    """The maximum over 2 x 2 squares of x (n, C, H, W): pairs of pixels, then pairs of rows."""
    last = x.permute(0, 2, 3, 1)
    n, height, width, channels = last.shape
    if height % 2 or width % 2 or not last.is_contiguous():
        return nn.functional.max_pool2d(x, 2)
    rows = last.view(n, height // 2, 2, width * channels)
    pairs = torch.maximum(rows[:, :, 0], rows[:, :, 1]).view(n, height // 2, width // 2, 2, channels)
    return torch.maximum(pairs[:, :, :, 0], pairs[:, :, :, 1]).permute(0, 3, 1, 2)


def _pool(source: int, then_relu: bool) -> Kernel:
    if then_relu:
        return lambda values: torch.relu_(pool(values[source]))
    return lambda values: pool(values[source])


def _as_written(node: fx.Node, model: nn.Module, modules: dict[str, nn.Module], slots: dict[fx.Node, int]) -> Kernel:
    if node.op == "get_attr":
        path, _, name = str(node.target).rpartition(".")
        owner = model.get_submodule(path)
        return lambda values: getattr(owner, name)
    module = trace.module_of(node, modules)
    if module is not None and len(node.args) == 1 and isinstance(node.args[0], fx.Node) and not node.kwargs:
        only = slots[node.args[0]]
        return lambda values: module(values[only])

    def compute(values: list[Any]) -> Any:
        def look_up(argument: fx.Node) -> Any:
            return values[slots[argument]]

        args: Any = fx.node.map_arg(node.args, look_up)
        kwargs: Any = fx.node.map_arg(node.kwargs, look_up)
        if module is not None:
            return module(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return compute
