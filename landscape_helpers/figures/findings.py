"""What a figure shows, as sentences with measured numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Findings:
    """Sentences, each with its full stop.

    Attributes:
        lead: what the figure is about, or the first thing to say of its one network.
        each: then one a run, setting or row; of a figure of one network, whatever else there is.
        remarks: what did not go as planned, such as runs that ended early.
    """

    lead: str
    each: Sequence[str]
    remarks: Sequence[str] = ()

    @property
    def sentences(self) -> list[str]:
        return [self.lead, *self.each, *self.remarks]

    def __str__(self) -> str:
        return " ".join(self.sentences)
