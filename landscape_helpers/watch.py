"""Probes on a training that is not one of ours: any optimiser, any loop."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray
from torch import nn

from .checkpoint import nest, unnest
from .descent.gradient_descent import record_of_losses
from .descent.probe import Probe
from .descent.probes import Probes, check_probes
from .identity import Identity, differing
from .objective import Objective
from .slices.batchnorm import batchnorm_modules
from .weights import theta_of


class Watch:
    """Shows probes a model while somebody else trains it.

    The training stays as it is; it calls :meth:`look` where a look is wanted, and each look costs one gradient over the
    objective's samples and what the probes spend::

        watch = Watch(Objective(model, x, y), [GradientCorrelation(), Sharpness(every=10)])
        for images, labels in loader:
            watch.look(model)
            optimiser.zero_grad()
            loss_function(model(images), labels).backward()
            optimiser.step()
        watch.record().to_netcdf("watched.nc")

    What the probes see is the objective's loss and gradient where the model stands, whatever the steps were taken on:
    mini-batches, augmented images, with dropout. ``step`` in their results counts looks. With a look at every update
    :class:`~landscape_helpers.descent.GradientCorrelation` is what *Exploring Gradient Oscillation* defines; with
    fewer, the gradients it compares lie further apart, and looks that are told the training's own step carry it along
    as the coordinate ``training_step``. :class:`~landscape_helpers.descent.Telemetry` takes its partial
    steps along the gradient, also where the optimiser does not.

    What a training moves beside the parameters is not followed: BatchNorm takes the statistics of the samples, and a
    look raises where other buffers, such as those of ``spectral_norm``, have moved away from the objective's.

    Args:
        objective: made of the model, or of one of its make, and of the samples to look at. They need not be those it is
            trained on: a part of them makes a look cheaper.
        probes: what to measure, as :func:`~landscape_helpers.descent.gradient_descent` takes them. Each is copied
            (:func:`copy.copy`), so that one list may serve several watches; what was measured is in :meth:`record`.

    Attributes:
        status: "watching", or "loss became non-finite at look k": the training has diverged, the looks up to then are
            kept, and no later one is measured.

    Raises:
        TypeError: a probe by itself instead of a list.
        ValueError: an objective that holds BatchNorm's running statistics fixed, which a training moves.
    """

    def __init__(self, objective: Objective, probes: Sequence[Probe] = ()) -> None:
        if objective.batchnorm == "frozen" and batchnorm_modules(objective.model):
            raise ValueError(
                "the objective normalises with the running statistics it was made with (batchnorm='frozen'), and "
                "training moves the model's: make the objective with batchnorm='batch' or batchnorm='whole'"
            )
        check_probes(probes)
        self.objective, self.status = objective, "watching"
        self._probes = [copy.copy(probe) for probe in probes]  # a probe keeps one trajectory
        self._begin()

    def _begin(self) -> None:
        self._watching = Probes(self._probes, self.objective)
        self._losses: list[float] = []
        self._training_steps: list[float] = []

    def look(self, weights: nn.Module | Mapping[str, torch.Tensor], training_step: float | None = None) -> float:
        """Measure where the model stands; the objective's loss there.

        In the objective's own precision and with gradients, also where it is called under ``torch.autocast``,
        ``torch.no_grad`` or ``torch.inference_mode``.

        Args:
            weights: the model, which is left as it is, or its state dict.
            training_step: where the training stands by its own count, such as of updates or epochs.

        Raises:
            TypeError, ValueError: weights that are not those of the objective's model, as
                :func:`~landscape_helpers.weights.theta_of` says.
        """
        with torch.inference_mode(False), torch.autocast(self.objective.device.type, enabled=False):
            return self._look(theta_of(self.objective, weights), training_step)

    def _look(self, theta: torch.Tensor, training_step: float | None) -> float:
        loss, gradient = self.objective.loss_and_gradient(theta)
        if self.status == "watching" and not (math.isfinite(loss) and bool(torch.isfinite(gradient.sum()))):
            self.status = self._ended()
        if self.status != "watching":
            return loss
        self._watching.observe(len(self._losses), theta, loss, gradient)
        self._watching.remember(gradient)
        self._losses.append(loss)
        self._training_steps.append(math.nan if training_step is None else float(training_step))
        return loss

    def record(self) -> xarray.Dataset:
        """What was measured so far, like that of a descent: ``loss`` over ``step``, which counts looks, and more."""
        record = self._watching.record(record_of_losses(self._losses, "look")).assign_attrs(status=self.status)
        if np.isnan(self._training_steps).all():
            return record
        about = {"long_name": "step of the training"}
        return record.assign_coords(training_step=("step", np.array(self._training_steps), about))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that looks after an interruption need, beside the model's and the optimiser's own state dicts."""
        own = {"losses": np.array(self._losses), "training_steps": np.array(self._training_steps)}
        own["watching"] = np.array(self.status == "watching")
        arrays = own | nest("identity", self._marks) | self._watching.state()
        return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what :meth:`state_dict` returned in an earlier process; the record will be that of one process.

        Raises:
            ValueError: the state of a watch with another objective or other probes, or something else.
        """
        arrays = {name: values.cpu().numpy() for name, values in state.items() if isinstance(values, torch.Tensor)}
        theirs = unnest("identity", arrays)
        if not theirs:
            raise ValueError(
                f"the state is none of a watch (it holds {', '.join(map(repr, list(state)[:3])) or 'nothing'}): give "
                "what Watch.state_dict() returned"
            )
        if differing(theirs, self._marks) is not None:
            raise ValueError(
                "the state belongs to a watch with another objective (its data, loss or model differ) or other probes, "
                "or was saved by another version of this package: begin anew with Watch(...)"
            )
        self._begin()
        self._losses, self._training_steps = arrays["losses"].tolist(), arrays["training_steps"].tolist()
        self._watching.restore(arrays)
        self.status = "watching" if arrays["watching"] else self._ended()

    def _ended(self) -> str:
        return f"loss became non-finite at look {len(self._losses)}"

    @functools.cached_property
    def _marks(self) -> dict[str, np.ndarray]:
        with torch.inference_mode(False), torch.autocast(self.objective.device.type, enabled=False):
            return Identity("watch", self.objective, [], (self._watching.settings,)).marks()
