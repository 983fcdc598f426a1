"""Optimisation trajectories that carry their measurements along."""

from .correlation import GradientCorrelation, windowed_mean
from .evaluation import Evaluation
from .full_gradients import FullGradients
from .gradient_descent import Descent, gradient_descent
from .gradient_flow import Flow, Peak, gradient_flow
from .noise import IsotropicNoise, largest_gradient_variance
from .probe import Probe, Step
from .schedules import SCHEDULES, cyclical, steps_at, trapezoid
from .sharpness import Sharpness
from .spectrum import Spectrum
from .step_losses import StepLosses
from .stochastic import StochasticDescent, sgd
from .telemetry import Telemetry
from .travel import Travel

__all__ = [
    "SCHEDULES",
    "Descent",
    "Evaluation",
    "Flow",
    "FullGradients",
    "GradientCorrelation",
    "IsotropicNoise",
    "Peak",
    "Probe",
    "Sharpness",
    "Spectrum",
    "Step",
    "StepLosses",
    "StochasticDescent",
    "Telemetry",
    "Travel",
    "cyclical",
    "gradient_descent",
    "gradient_flow",
    "largest_gradient_variance",
    "sgd",
    "steps_at",
    "trapezoid",
    "windowed_mean",
]
