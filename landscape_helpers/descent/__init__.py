"""Optimisation trajectories that carry their measurements along."""

from .correlation import GradientCorrelation, windowed_mean
from .gradient_descent import Descent, gradient_descent
from .probe import Probe, Step
from .sharpness import Sharpness

__all__ = ["Descent", "GradientCorrelation", "Probe", "Sharpness", "Step", "gradient_descent", "windowed_mean"]
