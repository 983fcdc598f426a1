"""All the probes of one trajectory: shown its points, resumed and read out together."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
import xarray

from ..checkpoint import array, nest, unnest
from ..objective import Objective
from .probe import Probe, Step


class Probes:
    """Probes that watch one trajectory, in their order, and the earlier gradients that they ask to see.

    Args:
        probes: made ready here for a trajectory on ``objective``.
        objective: what is descended on.

    Raises:
        TypeError: a probe by itself instead of a list.
    """

    def __init__(self, probes: Sequence[Probe], objective: Objective) -> None:
        check_probes(probes)
        self._probes = tuple(probes)
        self._like = objective.theta
        self._past: deque[torch.Tensor] = deque(maxlen=max((probe.history for probe in probes), default=0))
        for probe in probes:
            probe.begin(objective)

    def __bool__(self) -> bool:
        return bool(self._probes)

    @property
    def settings(self) -> list[tuple[object, ...]]:
        """What tells the probes of two trajectories apart."""
        return [(type(probe).__name__, probe.history, getattr(probe, "settings", ())) for probe in self._probes]

    def observe(self, index: int, theta: torch.Tensor, loss: float, gradient: torch.Tensor, whole: bool = True) -> None:
        """Show a point of the trajectory, as :class:`~landscape_helpers.descent.Step` describes it."""
        step = Step(index, theta, loss, gradient, tuple(self._past), whole)
        for probe in self._probes:
            probe.observe(step)

    def remember(self, gradient: torch.Tensor) -> torch.Tensor | None:
        """Keep a gradient for the points to come.

        Returns:
            A vector that nobody needs any more, for another gradient: the one that falls out of the history, this one
            where no history is kept; None while the history is not yet full.
        """
        if not self._past.maxlen:
            return gradient
        spare = self._past.pop() if len(self._past) == self._past.maxlen else None
        self._past.appendleft(gradient)
        return spare

    def record(self, base: xarray.Dataset) -> xarray.Dataset:
        """A trajectory's record together with what its probes measured.

        Two probes may give one name to the same numbers. Where they give it to different ones, such as the products
        that each has spent, the later probe's name ends in its place among the probes (``products_1``; places count
        from 0): what was measured in hours must not be lost for a name. So does the name of a dimension along which
        they measured in different places (``stop_1``); its other names stay.
        """
        for i, probe in enumerate(self._probes):
            result = probe.result()
            try:
                base = _together(base, result)
            except ValueError:  # of xarray, for variables, coordinates or lengths that contradict each other
                names = {name: f"{name}_{i}" for name in _contradicting(base, result)}
                base = _together(base, result.rename(names))
        return base

    def state(self) -> dict[str, np.ndarray]:
        """Everything needed to go on in another process."""
        arrays = nest("past", {str(i): array(gradient) for i, gradient in enumerate(self._past)})
        for i, probe in enumerate(self._probes):
            arrays |= nest(f"probe{i}", probe.state())
        return arrays

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` returned, in a set of the same probes that has seen nothing yet."""
        past = unnest("past", state)
        self._past.extend(torch.as_tensor(past[str(i)]).to(self._like) for i in range(len(past)))
        for i, probe in enumerate(self._probes):
            probe.restore(unnest(f"probe{i}", state))


def check_probes(probes: Sequence[Probe]) -> None:
    """Refuse what is no list of probes.

    Raises:
        TypeError: such as a probe by itself.
    """
    if not isinstance(probes, Sequence):
        raise TypeError(f"probes must be a list, got {type(probes).__name__}: put a single probe into one, [probe]")


def _together(record: xarray.Dataset, result: xarray.Dataset) -> xarray.Dataset:
    return xarray.merge([record, result], join="outer", compat="no_conflicts")


def _contradicting(record: xarray.Dataset, result: xarray.Dataset) -> set[Hashable]:
    """The names that a result shares with the record for other numbers, or for numbers in other places."""
    shared = {*result.dims} & {*record.dims} - {"step", "layer"}
    dims = {dim for dim in shared if not result[dim].variable.equals(record[dim].variable)}
    return dims | {
        name
        for name in {*result.variables} & {*record.variables} - {"step", "layer"}
        if dims & {*result[name].dims} or not result[name].variable.no_conflicts(record[name].variable)
    }
