"""What the primer's notebook calls."""

from __future__ import annotations

import numpy as np

from ..figures.picture import Picture
from ..regression import Metrics
from .drawn import DRAWN
from .measured import COMPONENTS, HIDDEN, Measured


class Primer:
    """The page's five figures, measured when they are first shown.

    Args:
        data: data set, as :func:`~landscape_helpers.data.load_data` takes it.
        seed: of initialisations and directions.
    """

    def __init__(self, data: str = "digits", seed: int = 0) -> None:
        self.measured = Measured(data, seed)

    def show(self, name: str) -> Picture:
        """The figure of an experiment: "symmetry", "average", "planes", "normalised" or "kinks".

        Raises:
            ValueError: another name.
        """
        if name not in DRAWN:
            raise ValueError(f"unknown figure {name!r}: expected one of {', '.join(DRAWN)}")
        draw, alt = DRAWN[name]
        measured = getattr(self.measured, name)
        note = (
            f"Computed for this page: {self.measured.data}, {self.measured.images:,} images, full-batch gradient "
            f"descent, {HIDDEN} hidden units."
        )
        return Picture(lambda theme: draw(measured, note, theme), alt, f"primer-{name}")

    def record_metrics(self) -> Metrics:
        """Hand this page's measurements to the regression run."""
        measured, metrics = self.measured, Metrics()
        rounding = "rounding on another processor, through four hundred steps of descent"
        gap = np.ptp(measured.symmetry.model, 0).max()
        kink = np.median(measured.kinks.ratio["relu"][:, -1])
        numbers = {
            "stretched network, largest difference along noise of the network's length": gap,
            "mean curvature along random directions": measured.average.random.mean(),
            "largest curvature": measured.average.largest[0],
            "share of the start outside two principal components": measured.planes.outside[COMPONENTS][0],
            "second difference over curvature at the longest step, ReLU": kink,
        }
        for name, value in numbers.items():
            metrics.record(name, float(value), 1e-3, rounding, relative=True)
        alike = bool(np.ptp(measured.symmetry.filters, 0).max() < 1e-9)
        metrics.record("stretched network, the same along noise scaled by filters", alike)
        return metrics
