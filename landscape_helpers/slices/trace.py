"""What a model's forward pass does, as a graph: or nothing, where that cannot be told."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

ADDITIONS = {operator.add, operator.iadd, torch.add}
RELUS = {torch.relu, torch.relu_, nn.functional.relu, nn.functional.relu_}
FLATTENINGS = {torch.flatten, torch.reshape}
IN_PLACE_OPERATORS = {
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.imatmul, operator.ipow, operator.setitem,
}  # fmt: skip
# Modules that always return new storage, so that the next step may overwrite it.
ALLOCATING = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.MaxPool2d)
ALLOCATING_FUNCTIONS = {torch.cat, nn.functional.linear, nn.functional.conv2d, torch.matmul, torch.tanh, torch.sigmoid}


class _Tracer(fx.Tracer):
    """Looks into no BatchNorm, of whatever class: what it normalises with is the caller's to say."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _BatchNorm) or super().is_leaf_module(m, module_qualified_name)


def traced(model: nn.Module) -> fx.Graph | None:
    """The graph of ``model.forward`` with one input and one output, or None.

    None for control flow that depends on the data, several inputs or outputs, and values that are overwritten while
    something else still reads them: such models are evaluated as they are.
    """
    try:
        graph = _Tracer().trace(model)
    except Exception:  # whatever a foreign forward raises on symbolic values, it only means that there is no graph
        return None
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    output = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if len(placeholders) != 1 or not isinstance(output, fx.Node) or output.op == "placeholder":
        return None
    modules = dict(model.named_modules())
    for node in graph.nodes:
        if "out" in node.kwargs or (overwrites_input(node, modules) and not overwritable(node.args[0], modules)):
            return None
        module = module_of(node, modules)
        if isinstance(module, _BatchNorm) and not (plain(module) and type(module).forward is _BatchNorm.forward):
            return None
    return graph


def batchnorms(graph: fx.Graph, model: nn.Module) -> list[_BatchNorm]:
    """The module of each BatchNorm call, in the order of the calls."""
    modules = dict(model.named_modules())
    found = (module_of(node, modules) for node in graph.nodes)
    return [module for module in found if isinstance(module, _BatchNorm)]


def module_of(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Module | None:
    return modules[str(node.target)] if node.op == "call_module" else None


def plain(module: nn.Module) -> bool:
    """Whether calling the module does what its class says: no hooks, no forward of its own."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return not any(hooks) and "forward" not in module.__dict__


def overwrites_input(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    if node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        named = name.endswith("_") and not name.endswith("__")
        flagged = node.kwargs.get("inplace", False) or (node.target is nn.functional.relu and True in node.args[1:])
        return node.target in IN_PLACE_OPERATORS or named or bool(flagged)
    return False


def is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        module = modules[str(node.target)]
        return type(module) is nn.ReLU and plain(module)
    if node.op == "call_method":
        return node.target in ("relu", "relu_")
    return node.op == "call_function" and node.target in RELUS


def is_addition(node: fx.Node) -> bool:
    if node.kwargs or len(node.args) != 2 or not all(isinstance(a, fx.Node) for a in node.args):
        return False
    return node.target in ADDITIONS or (node.op == "call_method" and node.target in ("add", "add_"))


def is_alias(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether the node hands on its input: the identity, and dropout outside training."""
    module = module_of(node, modules)
    if module is None or not plain(module):
        return False
    return type(module) is nn.Identity or (isinstance(module, nn.modules.dropout._DropoutNd) and not module.training)


def is_flattening(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether the node only changes the shape of its input."""
    module = module_of(node, modules)
    if module is not None:
        return type(module) is nn.Flatten and plain(module)
    if node.op == "call_method":
        return node.target in ("flatten", "reshape", "view")
    return node.op == "call_function" and node.target in FLATTENINGS


def overwritable(value: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether a node's result is storage of its own that only one other node reads."""
    return isinstance(value, fx.Node) and len(value.users) == 1 and _fresh(value, modules)


def _fresh(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if is_alias(node, modules) or (overwrites_input(node, modules) and not is_addition(node)):
        return overwritable(node.args[0], modules)
    if is_relu(node, modules) or is_addition(node):
        return True
    module = module_of(node, modules)
    if module is not None:
        return plain(module) and isinstance(module, (*ALLOCATING, _BatchNorm))
    return node.op == "call_function" and node.target in ALLOCATING_FUNCTIONS
