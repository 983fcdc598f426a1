"""The font that MathML is set in: STIX Two Math, cut down to what mathematics here uses.

Browsers set fractions, roots and large brackets from tables inside a mathematics font, and few systems have one.
The font comes from a pinned Python package when the book is built, as one style sheet with the font inside:
pages opened from a folder may not load font files that lie elsewhere.
"""

from __future__ import annotations

import base64
import importlib.util
import io
from pathlib import Path

from fontTools import subset

# Letters, then operators and arrows, then brackets with the pieces that tall ones are built from.
RANGES = (
    (0x20, 0x7E), (0xA0, 0xFF), (0x2C6, 0x2DD), (0x300, 0x338), (0x391, 0x3F6),
    (0x2010, 0x2057), (0x2061, 0x2064), (0x20D0, 0x20E1), (0x2100, 0x214F), (0x2190, 0x21D5), (0x21A6, 0x21A6),
    (0x2200, 0x22FF), (0x2308, 0x230B), (0x239B, 0x23B7), (0x23D0, 0x23D0), (0x23DC, 0x23E1),
    (0x25A1, 0x25A1), (0x27E6, 0x27EF), (0x27F5, 0x27FA), (0x2A00, 0x2A06), (0x2A7D, 0x2A7E), (0x2AAF, 0x2AB0),
    # Mathematical bold, italic, bold italic, script, double-struck; bold and italic Greek.
    (0x1D400, 0x1D4CF), (0x1D538, 0x1D56B), (0x1D6A8, 0x1D755),
)  # fmt: skip
FAMILY = "Book Math"


def font_file() -> Path:
    """The whole font, as the package ``ziamath`` carries it; the package itself is not imported."""
    found = importlib.util.find_spec("ziamath")
    if found is None or found.origin is None:
        raise FileNotFoundError("the package ziamath, which carries the font of formulas, is missing: run make book")
    return Path(found.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def style_sheet() -> str:
    """CSS that declares the font family with the cut-down font inside, licence notice included."""
    options = subset.Options(flavor="woff", layout_features=["ssty", "kern", "mark", "mkmk"], hinting=False)
    font = subset.load_font(str(font_file()), options)
    notice = " ".join(filter(None, (font["name"].getDebugName(i) for i in (0, 13, 14))))
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
    subsetter.subset(font)
    buffer = io.BytesIO()
    subset.save_font(font, buffer, options)
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"/* STIX Two Math (a subset). {notice.replace('*/', '')} */\n"
        f'@font-face {{ font-family: "{FAMILY}"; font-display: block;\n'
        f'  src: url("data:font/woff;base64,{data}") format("woff"); }}\n'
    )
