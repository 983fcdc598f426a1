"""Optimisation trajectories that carry their measurements along."""

from .correlation import GradientCorrelation, windowed_mean
from .evaluation import Evaluation
from .full_gradients import FullGradients
from .gradient_descent import Descent, gradient_descent
from .noise import IsotropicNoise, largest_gradient_variance
from .probe import Probe, Step
from .schedules import SCHEDULES, cyclical, steps_at, trapezoid
from .sharpness import Sharpness
from .spectrum import Spectrum
from .step_losses import StepLosses
from .stochastic import StochasticDescent, sgd
from .travel import Travel

__all__ = [
    "SCHEDULES",
    "Descent",
    "Evaluation",
    "FullGradients",
    "GradientCorrelation",
    "IsotropicNoise",
    "Probe",
    "Sharpness",
    "Spectrum",
    "Step",
    "StepLosses",
    "StochasticDescent",
    "Travel",
    "cyclical",
    "gradient_descent",
    "largest_gradient_variance",
    "sgd",
    "steps_at",
    "trapezoid",
    "windowed_mean",
]
