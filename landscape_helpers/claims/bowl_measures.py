"""Measures of gradient descent on a quadratic bowl, and of the Hessian taken apart."""

from __future__ import annotations

import numpy as np

from .record import Record
from .registry import register


@register
def largest_rate_error(r: Record) -> float:
    r"""Largest difference between measured contraction and :math:`|\lambda_i\eta-1|` (WALK-D18)."""
    return float(np.abs(r["measured_rate"] - r["predicted_rate"]).max())


@register
def wrong_alternations(r: Record) -> float:
    r"""How many components fail to alternate where :math:`\lambda_i\eta>1`, or change sign elsewhere."""
    under_damped = np.outer(r["rate"], r["eigenvalue"]) > 1
    return float((r["sign_changes"] != under_damped).sum())


@register
def wrong_convergence(r: Record) -> float:
    r"""How many rates let the stiffest component shrink from :math:`\eta=2/\lambda_{\max}` on, or grow below."""
    shrinks = r["measured_rate"][:, -1] < 1
    return float((shrinks != (r["rate"] < 2 / r["eigenvalue"][-1])).sum())


@register
def under_damped_bound(r: Record, *, side: str) -> float:
    r"""Lowest or highest :math:`\eta\lambda_{\max}` at which the stiffest component alternates and shrinks.

    Args:
        side: "low" or "high".
    """
    if side not in ("low", "high"):
        raise ValueError(f"side must be 'low' or 'high', got {side!r}")
    held = (r["sign_changes"][:, -1] == 1) & (r["measured_rate"][:, -1] < 1)
    relative = r["rate"][held] * r["eigenvalue"][-1]
    return float(relative.min() if side == "low" else relative.max()) if held.any() else float("nan")


@register
def largest_identity_error(r: Record) -> float:
    """Of all checkpoints the largest relative error of the Hessian's decomposition (WALK-D13)."""
    return float(r["identity_error"].max())


@register
def residual_share(r: Record, *, of: str) -> float:
    """Frobenius norm of the residual relative to the Hessian's (WALK-D13).

    Args:
        of: the "first" checkpoint, the "last", or the one at which it is "smallest".
    """
    shares = r["residual_norm"] / r["hessian_norm"]
    return float(shares.min()) if of == "smallest" else _at(r, shares, of, "'first', 'last' or 'smallest'")


@register
def covariance_alignment(r: Record, *, of: str) -> float:
    """Cosine between Hessian and gradient covariance, as vectors of entries, at the "first" or "last" checkpoint."""
    return _at(r, r["alignment"], of)


def _at(r: Record, values: np.ndarray, of: str, choices: str = "'first' or 'last'") -> float:
    if of not in ("first", "last"):
        raise ValueError(f"of must be {choices}, got {of!r}")
    return float(values[0 if of == "first" else -1])
