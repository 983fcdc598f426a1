"""Curvature of an objective: leading eigenpairs of its Hessian, and what a finite step meets."""

from .covariance import HessianDecomposition, hessian_decomposition
from .density import SpectralDensity, spectral_density
from .lanczos import Eigenpairs, OverflowedCurvature, both_ends, top_eigenpairs
from .noise import LossChange, loss_change
from .operator import HessianAt
from .quadratic import Quadratic, quadratic_model, segments
from .secant import secant_curvature
from .trace import Trace, trace
from .tracking import EigenTracker

__all__ = [
    "EigenTracker",
    "Eigenpairs",
    "HessianAt",
    "HessianDecomposition",
    "LossChange",
    "OverflowedCurvature",
    "Quadratic",
    "SpectralDensity",
    "Trace",
    "both_ends",
    "hessian_decomposition",
    "loss_change",
    "quadratic_model",
    "secant_curvature",
    "segments",
    "spectral_density",
    "top_eigenpairs",
    "trace",
]
