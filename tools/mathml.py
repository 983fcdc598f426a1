r"""Mathematics as MathML, set when the book is built (a Sphinx extension).

The formulas of the finished pages need no JavaScript and no other host, and a formula that is not valid LaTeX
is a warning that names its place, so it fails the build rather than the reader.

Numbers: an equation with ``\tag{2}`` is number 2 wherever it is referred to, as in the paper it comes from; the
other labelled equations of a page count on from the first number that no tag of that page has taken.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.domains.math import MathDomain
from sphinx.util import logging

from tools import math_font

logger = logging.getLogger(__name__)

TAG = re.compile(r"\\tag\*?\s*\{([^{}]*)\}")
LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
ENVIRONMENT = re.compile(
    r"\A\s*\\begin\{(equation|align|gather|multline|eqnarray)(\*?)\}(.*)\\end\{\1\2\}\s*\Z", re.DOTALL
)
# The environment that sets the same lines inside a formula that Sphinx has numbered.
INNER = {
    "equation": "{}",
    "align": r"\begin{{aligned}}{}\end{{aligned}}",
    "eqnarray": r"\begin{{aligned}}{}\end{{aligned}}",
    "gather": r"\begin{{gathered}}{}\end{{gathered}}",
    "multline": r"\begin{{gathered}}{}\end{{gathered}}",
}
FONT_SHEET = "math-font.css"
CONVERTER = LatexToMathML(fancy_error=False)


def tag_of(latex: str) -> str | None:
    """The number an author has given an equation with ``\\tag``."""
    found = TAG.search(latex)
    return found.group(1).strip() if found else None


def display_body(latex: str) -> str:
    r"""LaTeX of one display formula: numbers and labels taken out, top-level lines in an environment.

    Sphinx places the number, so ``\tag`` and ``\label`` would set it twice; ``\\`` outside an environment
    has no meaning for the converter.
    """
    latex = LABEL.sub("", TAG.sub("", latex)).strip()
    if environment := ENVIRONMENT.match(latex):
        return INNER[environment[1]].format(environment[3].strip())
    # What is inside environments has its own lines.
    outside = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", latex, flags=re.DOTALL)
    if r"\\" in outside:
        return rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return latex


def to_mathml(latex: str, *, display: bool) -> str:
    """MathML of a formula.

    Raises:
        LatexError: it is not valid LaTeX, or uses a command the converter does not know.
    """
    return CONVERTER.convert_with_local_state(display_body(latex) if display else latex, displaystyle=display)


def number_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Give every labelled equation of a page its number."""
    domain = cast(MathDomain, app.env.get_domain("math"))
    blocks = [node for node in doctree.findall(nodes.math_block) if node.get("label") or tag_of(node.astext())]
    taken = {tag for node in blocks if (tag := tag_of(node.astext()))}
    free = (str(number) for number in range(1, len(blocks) + len(taken) + 1) if str(number) not in taken)
    for node in blocks:
        node["number"] = tag_of(node.astext()) or next(free)
        if label := node.get("label"):
            # Sphinx counts equations over the whole book; its table takes any number it can print.
            domain.equations[label] = (app.env.docname, cast(Any, node["number"]))


def _set(translator: Any, node: nodes.Element, *, display: bool) -> str:
    try:
        return to_mathml(node.astext(), display=display)
    except LatexError as error:
        logger.warning("formula not understood: %s in %s", error, node.astext().strip(), location=node)
        return f"<code>{translator.encode(node.astext())}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    translator.body.append(_set(translator, node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_display(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    translator.body.append(f'<div class="formula">{_set(translator, node, display=True)}</div>')
    if number := node.get("number"):
        translator.body.append(f'<span class="eqno">({translator.encode(str(number))})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def write_font(app: Sphinx) -> None:
    """Put the font beside the other style sheets of the site."""
    folder = Path(app.outdir).parent / "math"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FONT_SHEET).write_text(math_font.style_sheet(), encoding="utf-8")
    app.config.html_static_path.append(str(folder))


def link_font(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if cast(MathDomain, app.env.get_domain("math")).has_equations(page):
        app.add_css_file(FONT_SHEET)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", write_font)
    app.connect("doctree-read", number_equations)
    app.connect("html-page-context", link_font)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
