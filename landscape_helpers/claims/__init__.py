"""From stored runs to verdicts: measures, a predicate language, and the ledger."""

from .check import check_claim
from .expression import Outcome, evaluate
from .ledger import VERDICTS, judge, ledger
from .measures import MEASURES, check_arguments, measure
from .phases import Change, Phases, phases
from .record import NotRecorded, Record, shown_layers

__all__ = [
    "MEASURES",
    "VERDICTS",
    "Change",
    "NotRecorded",
    "Outcome",
    "Phases",
    "Record",
    "check_arguments",
    "check_claim",
    "evaluate",
    "judge",
    "ledger",
    "measure",
    "phases",
    "shown_layers",
]
