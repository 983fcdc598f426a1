"""The primer's experiments against what must hold, and its pictures."""

import numpy as np
import pytest
import torch

from landscape_helpers.primer import Primer
from landscape_helpers.primer.drawn import DRAWN


@pytest.fixture(scope="module")
def primer() -> Primer:
    return Primer()


def test_stretching_is_a_symmetry_that_filters_respect(primer):
    found = primer.measured.symmetry
    middle = len(found.at) // 2
    assert found.at[middle] == 0
    np.testing.assert_allclose(found.model[0, middle], found.model[1, middle], rtol=1e-12)
    np.testing.assert_allclose(found.filters[0], found.filters[1], rtol=1e-9)
    assert found.model[1, 0] > 10 * found.model[0, 0]


def test_random_directions_meet_the_mean_of_the_spectrum(primer):
    found = primer.measured.average
    error = found.random.std(ddof=1) / len(found.random) ** 0.5
    assert abs(found.random.mean() - found.mean) < 4 * error
    assert found.smallest.max() < 0 < found.random.min() and found.random.max() < found.largest.min()


def test_planes_hold_what_they_go_through(primer):
    found = primer.measured.planes
    random, start, components = found.outside.values()
    assert start[0] < 1e-12 and (random > 0.99).all()
    # Principal components leave out least of all the ways together.
    _, thetas = primer.measured._trained("relu")
    lengths = (thetas[:-1] - thetas[-1]).norm(dim=1).numpy()
    left = [float(((share * lengths) ** 2).sum()) for share in (random, start, components)]
    assert left[2] < min(left[:2])


def test_batchnorm_agrees_where_its_statistics_are_the_same(primer):
    at, curves = primer.measured.normalised
    anew, kept, pieces = curves.values()
    middle = len(at) // 2
    np.testing.assert_allclose(anew[middle], kept[middle], rtol=1e-9)
    assert pieces[middle] > 1.5 * anew[middle] and kept[0] > 1.5 * anew[0]


def test_differences_become_derivatives_below_the_nearest_kink(primer):
    found = primer.measured.kinks
    np.testing.assert_allclose(found.ratio["tanh"][:, found.lengths < 0.01], 1, rtol=1e-2)
    np.testing.assert_allclose(found.ratio["relu"][:, 0], 1, rtol=1e-2)
    assert (found.ratio["relu"].max(1) > 3).all()


@pytest.mark.parametrize("name", DRAWN)
def test_every_picture_comes_on_light_and_dark_with_words(primer, name):
    picture = primer.show(name)
    bundle = picture._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG") and bundle["text/plain"] == picture.alt == str(picture)
    assert bundle["text/html"].count("<img") == 2 and f'id="primer-{name}"' in bundle["text/html"]
    for theme in ("light", "dark"):
        for ax in picture.draw(theme).axes:
            assert ax.get_xlabel() and ax.get_title(loc="left")


def test_a_picture_that_does_not_exist_is_refused_by_name(primer):
    with pytest.raises(ValueError, match="unknown figure 'ridges': expected one of symmetry, average"):
        primer.show("ridges")


def test_measurements_are_recorded_and_the_seed_counts(primer):
    recorded = primer.record_metrics().quantities
    assert recorded["stretched network, the same along noise scaled by filters"]["value"] is True
    other = Primer(seed=1).measured._trained("relu")[1]
    assert not torch.equal(other[0], primer.measured._trained("relu")[1][0])
