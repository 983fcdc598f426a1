"""What shape a sampled loss curve or surface has, and how sure that is."""

from . import valley
from .agreement import Confidence, confidence
from .curves import (
    LABELS,
    Shape,
    barrier_height,
    classify,
    count_stationary,
    describe,
    falls_on_both_sides,
    middle_well,
    near_origin,
    peak_height,
    stationary_points,
)
from .power_law import PowerLaw, Side, max_slope_near_zero, power_law
from .surfaces import minima_of_surface, surface_kind

__all__ = [
    "LABELS",
    "Confidence",
    "PowerLaw",
    "Shape",
    "Side",
    "barrier_height",
    "classify",
    "confidence",
    "count_stationary",
    "describe",
    "falls_on_both_sides",
    "max_slope_near_zero",
    "middle_well",
    "minima_of_surface",
    "near_origin",
    "peak_height",
    "power_law",
    "stationary_points",
    "surface_kind",
    "valley",
]
