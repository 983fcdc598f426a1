"""The checks of a figure as an HTML table: what was measured, what was expected, and each verdict."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ..claims import VERDICTS
from .evidence import Row
from .fold import folded
from .measured import breakable, measured_html

# A verdict is a word and a mark as well as a colour.
MARKS = {"reproduced": "\u2713", "partly": "\u25d0", "not reproduced": "\u2717", "not run": "\u25cb"}
COLUMNS = ("Check", "Measured", "Expected", "Verdict")
LONG = 40  # characters of a remark that stands once below the table where several checks share it
# A rule of more characters than this is folded: a check of a whole table compares a dozen numbers.
LONG_RULE = 160


def badge(verdict: str, count: int | None = None) -> str:
    """A verdict with its mark, and how often it was given."""
    number = "" if count is None else f"{count} "
    return f'<span class="lh-badge" data-verdict="{escape(verdict)}">{MARKS[verdict]} {number}{escape(verdict)}</span>'


def tally(verdicts: Iterable[str]) -> dict[str, int]:
    """How often each verdict was given, in the order of ``VERDICTS``; those that were not are left out."""
    counts = Counter(verdicts)
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def checks_table(rows: Sequence[Row]) -> str:
    """A row for every check; a remark that several share stands once, below the table."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
    shared = _shared([row["remarks"] for row in rows])
    body = "".join(_check(row, shared) for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    if not shared:
        return table
    notes = definitions((f"Remark {number}", remark) for remark, number in shared.items())
    return f'{table}<dl class="lh-soft">{notes}</dl>'


def _shared(remarks: Sequence[Sequence[str]]) -> dict[str, int]:
    """Long remarks that several checks have, numbered in the order in which they appear."""
    counts = Counter(remark for own in remarks for remark in set(own))
    found = [remark for own in remarks for remark in own if counts[remark] > 1 and len(remark) >= LONG]
    return {remark: number for number, remark in enumerate(dict.fromkeys(found), 1)}


def _reason(remarks: Sequence[str], shared: Mapping[str, int]) -> str:
    """A row's remarks, those below the table by their numbers."""
    numbers = sorted({shared[remark] for remark in remarks if remark in shared})
    own = [remark for remark in remarks if remark not in shared]
    if numbers:
        own.append(f"remark{'s' if len(numbers) > 1 else ''} {_ranges(numbers)}")
    return "; ".join(own)


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers with their runs of three and more drawn together: ``"1, 3\u20136, 8, 9"``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    return ", ".join(f"{r[0]}\u2013{r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in ranges)


def _check(row: Row, shared: Mapping[str, int]) -> str:
    statement = f'{escape(row["statement"])} <span class="lh-soft lh-id">{escape(row["id"])}</span>'
    measured = measured_html(row["measured"]) or "\u2013"
    verdict = badge(row["verdict"])
    if row["remarks"]:
        verdict += f'<div class="lh-soft">{escape(_reason(row["remarks"], shared))}</div>'
    expected = f"<code>{breakable(row['expected'])}</code>"
    if len(row["expected"]) > LONG_RULE:
        expected = folded("rule", expected)
    return (
        f'<tr><td>{statement}</td><td class="lh-number" data-column="Measured">{measured}</td>'
        f'<td data-column="Expected">{expected}</td><td data-column="Verdict">{verdict}</td></tr>'
    )


def sentence(text: str) -> str:
    """A reason as a sentence; what stands in backquotes is code."""
    whole = escape(text[:1].upper() + text[1:]) + ("" if text.endswith(".") else ".")
    return re.sub("`([^`]*)`", r"<code>\1</code>", whole)


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    """Terms and what they stand for, the content of a ``<dl>``."""
    return "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in entries)
