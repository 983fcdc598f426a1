"""Whether a claim can be judged at all, before any run is read."""

from __future__ import annotations

from ..catalogue import Claim
from .expression import names
from .measures import check_arguments


def check_claim(claim: Claim) -> None:
    """Raise ValueError unless its measures exist, take their arguments, and its predicates use no other names."""
    for m in claim.measurements:
        try:
            check_arguments(m.measure, m.arguments)
        except ValueError as error:
            raise ValueError(f"{claim.id}: {m.name}: {error}") from error
    measured = {m.name for m in claim.measurements}
    for level, predicate in claim.predicates.items():
        try:
            unknown = sorted(names(predicate) - measured)
        except ValueError as error:
            raise ValueError(f"{claim.id}: {level}: {error}") from error
        if unknown:
            raise ValueError(f"{claim.id}: {level} uses {unknown[0]!r}, which is not among its measurements")
