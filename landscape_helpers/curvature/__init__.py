"""Curvature of an objective: leading eigenpairs of its Hessian, and what a finite step meets."""

from .lanczos import Eigenpairs, OverflowedCurvature, top_eigenpairs
from .secant import secant_curvature

__all__ = ["Eigenpairs", "OverflowedCurvature", "secant_curvature", "top_eigenpairs"]
