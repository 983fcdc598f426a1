"""A card as HTML: two pictures of which the page's theme shows one, three columns of words, checks, provenance."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import xarray
from PIL.Image import Image

from ..catalogue import Figure, RunSpec, load_catalogue
from ..catalogue.naming import in_words, listed
from .card_checks import badge, checks_table, definitions, sentence, tally
from .card_style import STYLE
from .evidence import Evidence
from .fold import folded
from .image import DPI, Encoded, render, webp
from .papers import draw
from .words import alt_text, data_table, findings

# Pictures in a folded part are looked at less: they are stored smaller.
FOLDED_DPI = 110
# Longer lists of findings, and longer tables of checks, are folded: what they come to stands in the verdicts.
MANY_FINDINGS, MANY_CHECKS = 6, 3
# Findings of more characters than this take the whole width of the card: in a column they would be a long strip.
LONG_FINDINGS = 300
# A scale of more characters than this is a folded list; that it is reduced stands open.
LONG_SCALE = 200


def card_html(
    figure: Figure, shown: Evidence | None, images: tuple[Image, Image] | None, here: Evidence | None, reason: str
) -> str:
    """The whole card.

    Args:
        images: of what is shown, from :func:`pictures`.
    """
    caption = f"<strong>{escape(figure.id)} \u00b7 {escape(figure.title)}.</strong> {escape(figure.what)}"
    empty = f'<div class="lh-empty">{badge("not run")}<br>{sentence(reason)}</div>'
    picture = _pictures(shown, images) if shown and images else empty
    words = _findings(shown) if shown is not None else ("<p>Nothing yet.</p>", "")
    parts = [picture, f"<figcaption>{caption}</figcaption>", _three(figure, shown, *words)]
    if shown is not None:
        parts += [_table(shown), _checks(shown), _scale(shown), _provenance(shown)]
    if here is not None:
        parts.append(_here(here))
    return f'<figure class="lh-card" id="{escape(figure.id)}"><style>{STYLE}</style>{"".join(parts)}</figure>'


def pictures(evidence: Evidence, dpi: int = DPI) -> tuple[Image, Image]:
    """The figure on light and on dark."""
    return render(lambda theme: draw(evidence.figure.id, evidence.runs, theme, evidence.note), dpi)


def _pictures(evidence: Evidence, images: tuple[Image, Image]) -> str:
    name = f"Figure {evidence.figure.id}, {evidence.profile} scale"
    return images_html(images, alt_text(evidence.figure.id, evidence.runs), name)


def images_html(images: tuple[Image, Image], alt: str, name: str) -> str:
    """A picture on light and on dark, of which the page's theme shows one."""
    tags = [_image(webp(image), kind, escape(alt)) for image, kind in zip(images, ("lh-light", "lh-dark"), strict=True)]
    # On a narrow page the picture keeps its size and scrolls, by touch or by the arrow keys.
    return f'<div class="lh-picture" tabindex="0" role="group" aria-label="{escape(name)}">{"".join(tags)}</div>'


def _image(picture: Encoded, kind: str, alt: str) -> str:
    data = base64.b64encode(picture.data).decode()
    return (
        f'<img class="{kind}" alt="{alt}" width="{picture.width}" height="{picture.height}" '
        f'src="data:{picture.mime};base64,{data}">'
    )


def _three(figure: Figure, shown: Evidence | None, measured: str, more: str) -> str:
    """Three columns of words and, below them, what is too long for a column."""
    if shown is None:
        verdict = badge("not run")
    else:
        given = [f"<li>{badge(v, n)}</li>" for v, n in tally(row["verdict"] for row in shown.rows).items()]
        verdict = f"<ul>{''.join(given)}</ul>" if given else "<p>No check is decided on this figure.</p>"
    blocks = (
        ("The paper reports", f"<p>{escape(figure.reported)}</p>"),
        ("We measured", measured),
        ("Verdict", verdict),
    )
    below = f'<div class="lh-wide">{more}</div>' if more else ""
    return f'<div class="lh-three">{"".join(map(_block, blocks))}{below}</div>'


def _findings(evidence: Evidence) -> tuple[str, str]:
    """What was measured, for the column of that name, and what is too long for it.

    Of one network a paragraph; of a comparison its first sentence, then a line a network, folded where these are many.
    """
    found = findings(evidence.figure.id, evidence.runs)
    lead, rest = f"<p>{escape(found.lead)}</p>", found.sentences[1:]
    long = len(" ".join(rest)) > LONG_FINDINGS
    if not evidence.compares:
        return (lead, f"<p>{escape(' '.join(rest))}</p>") if long else (f"<p>{escape(str(found))}</p>", "")
    lines = f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in rest)}</ul>"
    if len(found.each) > MANY_FINDINGS:
        return lead, folded(f"What was measured in each of the {len(found.each)} settings", lines)
    return (lead, lines) if long else (lead + lines, "")


def _table(evidence: Evidence) -> str:
    """A table in the picture is a table in the page too, for those who read it by ear or copy from it."""
    table = data_table(evidence.figure.id, evidence.runs)
    return folded("The picture as a table", table) if table else ""


def _checks(evidence: Evidence) -> str:
    table, count = checks_table(evidence.rows), len(evidence.rows)
    return table if count <= MANY_CHECKS else folded(f"The {count} checks, with what was expected", table)


def _block(block: tuple[str, str]) -> str:
    head, body = block
    return f'<div><p class="lh-head">{head}</p>{body}</div>'


def _scale(evidence: Evidence) -> str:
    """At which scale; of a long one where it departs from the paper's is a list behind it."""
    open_, behind = [f"Measured at {evidence.scale}."], ""
    if len(evidence.scale) > LONG_SCALE:
        profile, _, rest = evidence.scale.partition(": ")
        *clauses, seeds = rest.split("; ")
        each = f'<ul class="lh-soft">{"".join(f"<li>{escape(clause)}</li>" for clause in clauses)}</ul>'
        open_, behind = [], folded(f"Measured at {profile}, {seeds}, reduced against the paper as listed here", each)
    if evidence.stale:
        open_.append("Results by an earlier version of the code.")
    if evidence.missing:
        networks = in_words({name: load_catalogue().runs[name].network for name in evidence.missing})
        reasons = dict.fromkeys(evidence.missing.values())
        named = {why: listed([networks[n] for n, own in evidence.missing.items() if own == why]) for why in reasons}
        open_.append("Not shown: " + "; ".join(f"{runs} ({why})" for why, runs in named.items()) + ".")
    return behind + (f'<p class="lh-soft">{escape(" ".join(open_))}</p>' if open_ else "")


def _provenance(evidence: Evidence) -> str:
    runs = "".join(_run(name, evidence.specs[name], list(evidence.runs[name])) for name in evidence.specs)
    return folded("Provenance", runs)


def _run(name: str, spec: RunSpec, datasets: Sequence[xarray.Dataset]) -> str:
    first = datasets[0].attrs
    parameters = ", ".join(f"{key}: {_compact(value)}" for key, value in spec.parameters.items())
    entries = [
        *_network_and_data(spec, first, parameters),
        ("computed on", f"{first['device']}, {first['dtype']}"),
        *((f"seed {d.attrs['seed']}", _seed(d)) for d in datasets),
    ]
    return f'<p class="lh-head">{escape(name)}</p><dl>{definitions(entries)}</dl>'


def _network_and_data(spec: RunSpec, first: Mapping[str, Any], parameters: str) -> list[tuple[str, str]]:
    """What was trained on what, and by which versions; an experiment without a network has parameters alone."""
    ours = f"landscape_helpers {first['package_version']}"
    if "model_parameters" not in first:
        return [("problem", spec.network), ("parameters", parameters), ("versions", ours)]
    return [
        ("network", f"{spec.network}, {int(first['model_parameters']):,} parameters"),
        ("parameters", parameters),
        ("data", f"{first['data_name']}, {int(first['data_n']):,} images, sha256 {first['data_sha256']}"),
        ("versions", f"{ours}, torch {first['torch_version']}"),
    ]


def _seed(dataset: xarray.Dataset) -> str:
    said = [str(dataset.attrs["status"]), f"{float(dataset.attrs['wall_time_s']):,.1f} s"]
    if "peak_memory_mb" in dataset.attrs:
        said.append(f"{float(dataset.attrs['peak_memory_mb']):,.0f} MB at most")
    if "accuracy" in dataset:
        said.append(f"training accuracy {float(dataset['accuracy']):.1%}")
    return ", ".join(said)


def _compact(value: object) -> str:
    return json.dumps(value, default=list)


def _here(here: Evidence) -> str:
    picture = _pictures(here, pictures(here, FOLDED_DPI))
    scale = f'<p class="lh-soft">{escape(f"Computed at {here.scale}.")}</p>'
    body = f"{picture}{''.join(_findings(here))}{checks_table(here.rows)}{scale}{_provenance(here)}"
    return folded(f"The same figure computed for this page, at {here.profile} scale", body)
