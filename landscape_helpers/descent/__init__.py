"""Optimisation trajectories that carry their measurements along."""

from .correlation import GradientCorrelation, windowed_mean
from .gradient_descent import Descent, gradient_descent
from .probe import Probe, Step
from .schedules import SCHEDULES
from .sharpness import Sharpness
from .stochastic import StochasticDescent, sgd

__all__ = [
    "SCHEDULES",
    "Descent",
    "GradientCorrelation",
    "Probe",
    "Sharpness",
    "Step",
    "StochasticDescent",
    "gradient_descent",
    "sgd",
    "windowed_mean",
]
