"""BatchNorm told what to normalise with: statistics of the whole data set, or given ones.

A statistic belongs to a *call*: a module that is used twice normalises two different inputs and gets two sets. What a
module of another class does around its normalisation, such as an activation, stays its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Statistics:
    """Mean and variance (C,) of one call's input over samples and positions; the variance is the biased one."""

    mean: torch.Tensor
    variance: torch.Tensor

    def towards(self, other: Statistics, share: float) -> Statistics:
        """Linear between the two, extrapolated beyond them; a variance stays at least 0."""
        return Statistics(
            torch.lerp(self.mean, other.mean, share),
            torch.lerp(self.variance, other.variance, share).clamp_min_(0),
        )


def batchnorm_modules(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def measure(x: torch.Tensor) -> Statistics:
    """The statistics BatchNorm takes of its input (n, C, ...) in training."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    return Statistics(mean, variance)


def own_statistics(module: _BatchNorm) -> Statistics | None:
    """The running statistics of a module that keeps any."""
    return _kept(module.running_mean, module.running_var)


def _kept(mean: torch.Tensor | None, variance: torch.Tensor | None) -> Statistics | None:
    return None if mean is None or variance is None else Statistics(mean, variance)


class Call(NamedTuple):
    """One normalisation: its number in the forward pass, its input (n, C, ...), and what the module does it with."""

    number: int
    x: torch.Tensor
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float
    own: Statistics | None

    def normalised(self, given: Statistics) -> torch.Tensor:
        return nn.functional.batch_norm(
            self.x, given.mean, given.variance, self.weight, self.bias, training=False, eps=self.eps
        )


Rule = Callable[[Call], torch.Tensor]


class _Told(TorchFunctionMode):
    """Answers calls of ``batch_norm`` by a rule. Entered, it does so for every call, whoever makes it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self._rule = rule
        self.calls = 0
        self._answering = False

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        # A rule calls batch_norm itself, and where one module runs inside another's forward it is still entered then.
        asked = func is nn.functional.batch_norm and not self._answering
        return (self.answer if asked else func)(*args, **(kwargs or {}))

    def answer(
        self,
        x: torch.Tensor,
        running_mean: torch.Tensor | None,
        running_var: torch.Tensor | None,
        weight: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> torch.Tensor:
        """What ``batch_norm``, whose arguments these are, is to return."""
        self.calls += 1
        own = None if training else _kept(running_mean, running_var)
        self._answering = True
        try:
            return self._rule(Call(self.calls - 1, x, weight, bias, eps, own))
        finally:
            self._answering = False


@contextmanager
def normalising(model: nn.Module, rule: Rule) -> Iterator[None]:
    """Within it, what every BatchNorm of ``model`` normalises is as ``rule(call)`` says.

    The calls of one forward pass are counted over all modules; enter anew for each pass. The modules are as before
    afterwards, also after an exception.

    Raises:
        ValueError: in the forward pass, a module of another class that normalises by other means than ``batch_norm``.
    """
    told = _Told(rule)
    modules = {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
    before = [module.__dict__.get("forward") for module in modules.values()]
    try:
        for name, module in modules.items():
            own = "forward" in module.__dict__ or type(module).forward is not _BatchNorm.forward
            module.__dict__["forward"] = _around(module, name, told) if own else _instead(module, told)
        yield
    finally:
        for module, forward in zip(modules.values(), before, strict=True):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def _instead(module: _BatchNorm, told: _Told) -> Callable[[torch.Tensor], torch.Tensor]:
    """The forward of a module that does nothing but normalise."""

    def forward(input: torch.Tensor) -> torch.Tensor:  # torch's name for it, by which a model may pass it
        return told.answer(input, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps)

    return forward


def _around(module: _BatchNorm, name: str, told: _Told) -> Callable[..., Any]:
    """The module's own forward, its normalisation answered."""
    own = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        before = told.calls
        with told:
            result = own(*args, **kwargs)
        if told.calls == before:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) is a BatchNorm that does not call "
                "torch.nn.functional.batch_norm, so that it cannot be told what statistics to normalise with: let its "
                "forward call it or super().forward, or derive its class from nn.Module"
            )
        return result

    return forward


def of_the_input(call: Call) -> torch.Tensor:
    """The rule of training: the statistics of the input itself."""
    return nn.functional.batch_norm(call.x, None, None, call.weight, call.bias, training=True, eps=call.eps)


def fixed(statistics: list[Statistics]) -> Rule:
    return lambda call: call.normalised(statistics[call.number])


def recording(into: list[Statistics], own: bool = False) -> Rule:
    """The rule of training, noting the statistics; with ``own`` a module's running statistics go before its input's."""

    def rule(call: Call) -> torch.Tensor:
        found = (call.own if own else None) or measure(call.x)
        into.append(found)
        return call.normalised(found)

    return rule
