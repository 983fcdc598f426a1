"""The quadratic bowl: closed form against stepping, and what changes at 1 and at 2."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from landscape_helpers.explore import quadratic_explorer
from landscape_helpers.explore.quadratic import descend, quadratic_frame

LAMBDA = np.array([1.0, 0.1])
START = np.array([1.0, 1.6])


def steep(product: float) -> np.ndarray:
    return np.asarray(quadratic_frame(product, LAMBDA, START).curves["steep"])


def test_closed_form_is_what_stepping_gives() -> None:
    x = START.copy()
    for k, expected in enumerate(descend(0.7, LAMBDA, START, 10)):
        np.testing.assert_allclose(x, expected, rtol=1e-12, err_msg=f"step {k}")
        x = x - 0.7 * LAMBDA * x


def test_the_steep_coordinate_flips_past_one_and_grows_past_two() -> None:
    assert (steep(0.9) > 0).all()
    assert (np.sign(steep(1.1)) == (-1.0) ** np.arange(25)).all()
    assert abs(steep(1.95)[-1]) < 1 < abs(steep(2.05)[-1])
    np.testing.assert_allclose(np.abs(steep(2.0)), 1.0)
    np.testing.assert_array_equal(steep(1.0)[1:], 0.0)


def test_correlation_is_the_cosine_of_adjacent_gradients() -> None:
    curves = quadratic_frame(1.6, LAMBDA, START).curves
    g = LAMBDA * descend(1.6, LAMBDA, START)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.pairwise(g)]
    np.testing.assert_allclose(np.asarray(curves["correlation"])[1:], cosines, rtol=1e-12)
    assert np.isnan(np.asarray(curves["correlation"])[0])


def test_notes_name_the_regime() -> None:
    e = quadratic_explorer()
    said = {float(v): n for v, n in zip(e.spec["sliders"][0]["values"], e.notes, strict=True)}
    assert "Nothing oscillates" in said[0.5]
    assert "multiplies the steep coordinate by 0" in said[1.0]
    assert "flips every time, and still shrinks" in said[1.5]
    assert "never shrinks" in said[2.0]
    assert "diverges" in said[2.3]


def test_bad_bowls_are_refused() -> None:
    for bad in ([1.0], [1.0, 1.0], [1.0, -0.1]):
        with pytest.raises(ValueError, match="two different positive numbers"):
            quadratic_explorer(bad)
    with pytest.raises(ValueError, match="at least 1"):
        quadratic_explorer(steps=0)
