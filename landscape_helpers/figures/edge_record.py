"""Records of the singularity paper's experiments as figures read them: telemetry over the time t, flows, profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..catalogue import load_catalogue
from ..claims import edge_measures, flow_measures
from ..claims.record import NotRecorded, Record
from .numbers_in_words import seeds_in_words
from .run_record import RunRecord, told
from .trajectories import NAMES

NETWORKS = {"alexnet": "AlexNet", "vgg16": "VGG-16", "vgg11": "VGG-11", "mlp": "MLP"}
ACTIVATIONS = {"relu": "ReLU"}
Measure = Callable[..., float]
Key = TypeVar("Key")
Kept = TypeVar("Kept", bound="FullBatchRecord")


@dataclass(frozen=True)
class Series:
    """One quantity of one seed over the time t, both (m,)."""

    t: np.ndarray
    values: np.ndarray


class FullBatchRecord(RunRecord):
    """The runs of one network, data set and rule of steps over their seeds."""

    @cached_property
    def network(self) -> str:
        """``"AlexNet-ReLU"``, as the paper names them."""
        model = str(self.parameters.get("model", "network"))
        activation = str(self.options.get("activation", "relu"))
        return f"{NETWORKS.get(model, NAMES.get(model, model))}-{ACTIVATIONS.get(activation, activation)}"

    @property
    def options(self) -> Mapping[str, Any]:
        return dict(self.parameters.get("model_options") or {})

    @property
    def initialisation(self) -> str:
        """``"default"`` or ``"kaiming"``."""
        return str(self.options.get("init", "default"))

    @property
    def images(self) -> int:
        """n_D, of the training set."""
        return int(told(self.first, "data_n", 0))

    @property
    def n_classes(self) -> int:
        return int(told(self.first, "n_classes", 10))

    def over(self, name: str, pair: int | None = None) -> list[Series]:
        """A quantity of every seed that has it over t; of eigenpair number ``pair``, counted from 1 (SING-Q01)."""
        found = []
        for data in self.datasets:
            if name in data:
                values = np.asarray(data[name].values, dtype=float)
                at = np.asarray(data["time"].values, dtype=float)
                found.append(Series(at, values if pair is None else values[:, pair - 1]))
        return found

    def measured(self, measure: Measure, **arguments: Any) -> list[float]:
        """A number of the ledger, of every seed; NaN where the run does not hold what it needs."""
        return [_number(measure, Record(data), arguments) for data in self.datasets]


class EdgeRecord(FullBatchRecord):
    """Gradient descent at a constant rate with telemetry of its curvature."""

    @property
    def paper_rate(self) -> float:
        """The rate of the paper that this run stands for: its own at full scale, the catalogue's at a reduced one."""
        run = load_catalogue().runs.get(self.run)
        if run is None or "paper" not in run.scales:
            return self.rate
        return float(run.scales["paper"].parameters["lr"])

    @property
    def rate_in_words(self) -> str:
        """``"\u03b7 = 0.001"``, or ``"\u03b7 = 0.05 for 0.001"`` where it stands for another."""
        other = "" if np.isclose(self.rate, self.paper_rate, rtol=1e-6) else f" for {self.paper_rate:g}"
        return f"\u03b7 = {self.rate:g}{other}"

    @property
    def rate_in_short(self) -> str:
        """``"0.001"``, or ``"0.05 (0.001)"`` with the rate of the paper that it stands for."""
        other = "" if np.isclose(self.rate, self.paper_rate, rtol=1e-6) else f" ({self.paper_rate:g})"
        return f"{self.rate:g}{other}"

    @property
    def top(self) -> int:
        """Number of pairs in the top subspace, n_c - 1 (SING-D09)."""
        return self.n_classes - 1

    def on_edge(self, seed: int = 0) -> np.ndarray:
        """(stop,): rho of the last top pair above 0.7."""
        return edge_measures.on_edge(Record(self.datasets[seed]))


class FlowRecord(FullBatchRecord):
    """A gradient flow followed with small steps, and the profile of the loss at its largest curvature."""

    @property
    def cap(self) -> float:
        """The largest step (SING-D14)."""
        return float(self.parameters.get("cap", np.nan))

    @property
    def method(self) -> str:
        return str(self.parameters.get("method", "euler"))

    def profile(self, far: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
        """Distances along h_1 up to ``far`` and the change of the loss there; None where it was not sampled so far."""
        try:
            return flow_measures.profile_of(Record(self.datasets[seed]), far)
        except NotRecorded:
            return None


def grouped(records: Iterable[Kept], key: Callable[[Kept], Key]) -> dict[Key, list[Kept]]:
    """Records that share a key, in the order in which they come."""
    groups: dict[Key, list[Kept]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record)
    return groups


def common(records: Sequence[FullBatchRecord], *more: str) -> str:
    """What the runs have in common in one line: network, data, number of images, seeds, and anything added."""
    networks = {r.network for r in records}
    data = {r.data for r in records}
    images = {r.images for r in records}
    seeds = sorted({seed for r in records for seed in r.seeds})
    parts = [
        next(iter(networks)) if len(networks) == 1 else "",
        next(iter(data)) if len(data) == 1 else "",
        f"{next(iter(images)):,} images" if len(images) == 1 else "",
        *more,
        seeds_in_words(seeds),
    ]
    return " \u00b7 ".join(part for part in parts if part)


def _number(measure: Measure, record: Record, arguments: Mapping[str, Any]) -> float:
    try:
        return float(measure(record, **arguments))
    except NotRecorded:
        return float("nan")


def unconverged(records: Iterable[FullBatchRecord]) -> str:
    """One sentence on the stops whose eigenpairs were not found within tolerance; empty where there is none."""
    missed = asked = 0
    for record in records:
        for data in record.datasets:
            if "converged" not in data:
                continue
            found = np.asarray(data["converged"].values, dtype=bool)
            # A flow asks at some steps only; where it did not ask there is no value.
            wanted = np.isfinite(data["lambda_1"].values) if "lambda_1" in data else np.ones(len(found), dtype=bool)
            missed, asked = missed + int((wanted & ~found).sum()), asked + int(wanted.sum())
    return f"Eigenvalues are not within tolerance at {missed:,} of {asked:,} stops." if missed else ""
