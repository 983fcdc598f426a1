"""What a caption says about the settings of several runs."""

import pytest

from landscape_helpers.figures.evidence import in_common


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (["width 8 of 64, 500 images"], "width 8 of 64, 500 images"),
        (["width 8, t up to 12", "width 8, t up to 20"], "width 8; a: t up to 12; b: t up to 20"),
        (["width 8, 1,003 images", "1,003 images, width 8", "width 8"], "width 8; a, b: 1,003 images"),
        (["depth 2", "depth 3", "depth 2"], "a, c: depth 2; b: depth 3"),
        (
            [f"width 8 of 64, rate {r} for {r / 100:g}, t up to {t}" for r, t in [(1, 12), (2, 12), (3, 12), (3, 20)]],
            "width 8 of 64, rate 1 for 0.01 / 2 for 0.02 / 3 for 0.03, t up to 12 / 20",
        ),
        (["", "n 1", "n 2", "n 3, m"], "b: n 1; c: n 2; d: n 3, m"),
        (["n 1 of 9", "n 2 of 9", "n 3 of 9", "n 4 of 9"], "n 1 / 2 / 3 / 4 of 9"),
    ],
)
def test_what_runs_share_is_said_once(notes, said):
    assert in_common(dict(zip("abcd", notes, strict=False))) == said
