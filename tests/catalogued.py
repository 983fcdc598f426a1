"""What the catalogue holds of one paper."""

from __future__ import annotations

from landscape_helpers.catalogue import Claim, Figure, load_catalogue


def figures_and_claims(paper: str) -> tuple[dict[str, Figure], dict[str, Claim]]:
    catalogue = load_catalogue()
    figures = {name: figure for name, figure in catalogue.figures.items() if figure.paper == paper}
    return figures, {name: claim for name, claim in catalogue.claims.items() if claim.paper == paper}


def every_claim(paper: str) -> list[Claim]:
    """The checks of its figures, then its claims."""
    figures, claims = figures_and_claims(paper)
    return [*(check for figure in figures.values() for check in figure.checks), *claims.values()]
