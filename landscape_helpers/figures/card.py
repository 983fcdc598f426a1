"""A figure held against its paper: the picture, what the paper reports, what was measured, and each check's verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL.Image import Image

from ..catalogue import Figure, load_catalogue
from ..store import Store
from .card_html import card_html, pictures
from .evidence import Evidence, gather
from .image import png
from .words import findings


@dataclass(frozen=True)
class Card:
    """What a notebook shows for one figure; ``print`` gives the same in plain text.

    Attributes:
        shown: the published evidence, or None where nothing is stored.
        here: what was computed in this place, folded below; None where it is the same or there is none.
        reason: why there is nothing to show; empty otherwise.
    """

    figure: Figure
    shown: Evidence | None
    here: Evidence | None = None
    reason: str = ""

    @cached_property
    def _images(self) -> tuple[Image, Image] | None:
        """On light and on dark."""
        return None if self.shown is None else pictures(self.shown)

    @cached_property
    def html(self) -> str:
        """A ``<figure>`` that needs no JavaScript, no network and no other file."""
        return card_html(self.figure, self.shown, self._images, self.here, self.reason)

    def __str__(self) -> str:
        lines = [f"{self.figure.id} \u00b7 {self.figure.title}", f"The paper reports: {self.figure.reported}"]
        if self.shown is None:
            return "\n".join([*lines, f"Not run: {self.reason}"])
        lines.append(f"We measured ({self.shown.scale}): {findings(self.figure.id, self.shown.runs)}")
        for row in self.shown.rows:
            measured = row["measured_text"] or row["reason"]
            lines.append(f"{row['id']}  {row['verdict']}: {row['statement']} [{measured}; expected {row['expected']}]")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/html": self.html, "text/plain": str(self)}
        if self._images is not None:
            bundle["image/png"] = png(self._images[0]).data
        return {
            mime: data
            for mime, data in bundle.items()
            if (not include or mime in include) and (not exclude or mime not in exclude)
        }


def card(
    figure_id: str,
    profile: str | None = None,
    *,
    live: tuple[str, Sequence[int]] | None = None,
    store: Store | None = None,
) -> Card:
    """The card of a figure, from stored results; nothing is computed but the drawing.

    Args:
        figure_id: as in the catalogue, ``"GO-F02"``.
        profile: "smoke", "laptop" or "paper"; None for the highest that is stored.
        live: (profile, seeds) of runs that were computed in this place and are shown folded below; on their own where
            nothing else is stored.
        store: where results lie; by default the standard places.

    Raises:
        ValueError: an unknown figure or profile.
    """
    store = store or Store()
    found = gather(figure_id, profile, store=store)
    here = gather(figure_id, live[0], live[1], store) if live is not None else None
    shown = found if isinstance(found, Evidence) else None
    local = here if isinstance(here, Evidence) else None
    if shown is None and local is not None:
        shown, local = local, None
    if shown is not None and local is not None and (shown.profile, shown.seeds) == (local.profile, local.seeds):
        local = None
    reason = "" if shown is not None else str(found)
    return Card(load_catalogue().figure(figure_id), shown, local, reason)
