"""BatchNorm told what to normalise with: statistics of the whole data set, or given ones.

A statistic belongs to a *call*: a module that is used twice normalises two different inputs and gets two sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


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


def normalise(module: _BatchNorm, x: torch.Tensor, given: Statistics) -> torch.Tensor:
    return nn.functional.batch_norm(
        x, given.mean, given.variance, module.weight, module.bias, training=False, eps=module.eps
    )


def own_statistics(module: _BatchNorm) -> Statistics | None:
    """The running statistics of a module that keeps any."""
    if module.running_mean is None or module.running_var is None:
        return None
    return Statistics(module.running_mean, module.running_var)


Rule = Callable[[_BatchNorm, int, torch.Tensor], torch.Tensor]


@contextmanager
def normalising(model: nn.Module, rule: Rule) -> Iterator[None]:
    """Within it, every BatchNorm of ``model`` computes ``rule(module, number of the call, input)``.

    The calls of one forward pass are counted over all modules; enter anew for each pass. The modules are as before
    afterwards, also after an exception.
    """
    calls = 0

    def bound(module: _BatchNorm) -> Callable[[torch.Tensor], torch.Tensor]:
        def forward(x: torch.Tensor) -> torch.Tensor:
            nonlocal calls
            calls += 1
            return rule(module, calls - 1, x)

        return forward

    modules = batchnorm_modules(model)
    before = [module.__dict__.get("forward") for module in modules]
    try:
        for module in modules:
            module.__dict__["forward"] = bound(module)
        yield
    finally:
        for module, forward in zip(modules, before, strict=True):
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def of_the_input(module: _BatchNorm, call: int, x: torch.Tensor) -> torch.Tensor:
    """The rule of training: the statistics of the input itself."""
    return nn.functional.batch_norm(x, None, None, module.weight, module.bias, training=True, eps=module.eps)


def fixed(statistics: list[Statistics]) -> Rule:
    def rule(module: _BatchNorm, call: int, x: torch.Tensor) -> torch.Tensor:
        return normalise(module, x, statistics[call])

    return rule


def recording(into: list[Statistics], own: bool = False) -> Rule:
    """The rule of training, noting the statistics; with ``own`` a module's running statistics go before its input's."""

    def rule(module: _BatchNorm, call: int, x: torch.Tensor) -> torch.Tensor:
        found = (own_statistics(module) if own else None) or measure(x)
        into.append(found)
        return normalise(module, x, found)

    return rule
