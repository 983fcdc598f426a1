"""Second derivatives of an objective: leading eigenpairs of its Hessian."""

from .lanczos import Eigenpairs, OverflowedCurvature, top_eigenpairs

__all__ = ["Eigenpairs", "OverflowedCurvature", "top_eigenpairs"]
