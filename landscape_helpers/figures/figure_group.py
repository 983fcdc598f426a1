"""Several figures behind one open line: each with its title and its verdicts, folded until a reader asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape

from ..catalogue import PROFILES, Figure, load_catalogue
from .card import Card
from .card_checks import badge, sentence, tally
from .card_style import GROUP_STYLE


@dataclass(frozen=True)
class FigureGroup:
    """What a notebook shows for figures that repeat one statement; ``print`` gives the same in plain text.

    A figure of which something is stored is a card, folded under its title and the counts of its verdicts. Those of
    which nothing is stored stand open, with what the paper reports, and with the reason once.

    Attributes:
        about: what the figures show, as the end of a sentence: "VGG-11 by SGD, later in training".
    """

    about: str
    cards: Sequence[Card]

    @property
    def counts(self) -> dict[str, int]:
        """How many checks of all figures have each verdict that was given, in the order of ``VERDICTS``."""
        return tally(verdict for card in self.cards for verdict in verdicts(card))

    @cached_property
    def html(self) -> str:
        """A block that needs no JavaScript; every figure's id is an anchor in it."""
        lead = f"<strong>{_head(self.cards)}:</strong> {self._said(escape(self.about), badges(self.counts))}"
        folds = "".join(_fold(card) for card in self.cards if card.shown is not None)
        absent = _absent([card for card in self.cards if card.shown is None])
        return f'<div class="lh-group"><style>{GROUP_STYLE}</style><p>{lead}</p>{folds}{absent}</div>'

    def _said(self, about: str, given: str) -> str:
        # The verdicts of a single figure stand beside its title.
        return f"{about}." if len(self.cards) == 1 else f"{about}. Their checks: {given or 'none'}."

    def __str__(self) -> str:
        given = ", ".join(f"{n} {verdict}" for verdict, n in self.counts.items())
        return "\n\n".join([f"{_head(self.cards)}: {self._said(self.about, given)}", *map(str, self.cards)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html


def verdicts(card: Card) -> list[str]:
    """The verdicts on one figure's checks; of a figure that is not shown none has been run."""
    if card.shown is None:
        return ["not run"] * len(card.figure.checks)
    return [row["verdict"] for row in card.shown.rows]


def badges(counts: Mapping[str, int]) -> str:
    """``"✓ 2 reproduced, ✗ 1 not reproduced"``, each with its colour."""
    return ", ".join(badge(verdict, n) for verdict, n in counts.items())


def why_absent(card: Card) -> str:
    """Why nothing of a figure is stored: what keeps its runs from the highest scale that some of them cannot have."""
    runs = [load_catalogue().runs[name] for name in card.figure.runs]
    for profile in reversed(PROFILES):
        if reasons := dict.fromkeys(run.unavailable[profile] for run in runs if profile in run.unavailable):
            return "; ".join(reasons)
    return card.reason


def _head(cards: Sequence[Card]) -> str:
    """``"7 figures, folded"``; ``"3 figures, not run"``; both where there are both."""
    shown = sum(card.shown is not None for card in cards)
    parts = [(shown, "folded"), (len(cards) - shown, "not run")]
    return "; ".join(f"{n} figure{'' if n == 1 else 's'}, {what}" for n, what in parts if n)


def _fold(card: Card) -> str:
    given = badges(tally(verdicts(card)))
    summary = f'{_title(card.figure)} <span class="lh-given">{given}</span>'
    return f"<details><summary>{summary}</summary>{card.html}</details>"


def _title(figure: Figure) -> str:
    return f"<strong>{escape(figure.id)}</strong> \u00b7 {escape(figure.title)}"


def _absent(cards: Sequence[Card]) -> str:
    """Figures of which there is nothing: the paper's words on each, and each reason once."""
    if not cards:
        return ""
    figures = "".join(_not_run(card) for card in cards)
    reasons = "".join(f'<p class="lh-soft">{sentence(why)}</p>' for why in dict.fromkeys(map(why_absent, cards)))
    return f"{reasons}{figures}"


def _not_run(card: Card) -> str:
    figure = card.figure
    reported = f"The paper reports: {escape(figure.reported)}"
    return f'<p id="{escape(figure.id)}">{_title(figure)}. {reported} {badge("not run", len(figure.checks))}</p>'
