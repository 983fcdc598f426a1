"""Shapes of curves and surfaces whose class is known from their formula."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from landscape_helpers import shapes

GRIDS = {
    "41": np.linspace(-1, 1, 41),
    "81": np.linspace(-1, 1, 81),
    "long": np.linspace(-1, 2, 61),
    "off": np.linspace(-1, 2, 41),  # has no point at the origin
    "wide": np.linspace(-1.25, 1.75, 121),
}
CURVES = {
    "v-basin": lambda t: np.abs(t) ** 1.5 + 0.3,
    "v-side": lambda t: np.cosh(2 * (t - 0.4)),
    "w-basin": lambda t: (t * (t - 0.85)) ** 2 + 0.1 * t,
    "w-peak": lambda t: (t**2 - 0.35) ** 2,
    "vvv-basin": lambda t: (t * (t - 0.45) * (t - 0.9)) ** 2,
}
COUNTS = {"v-basin": 1, "v-side": 1, "w-basin": 3, "w-peak": 3, "vvv-basin": 5}


def printed_count(y: np.ndarray) -> int:
    """The product test of App. A.3, as printed."""
    return sum((y[t] - y[t + 1]) * (y[t] - y[t - 1]) > 0 for t in range(1, len(y) - 1))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("label", CURVES)
def test_the_five_classes(label, grid):
    y = CURVES[label](grid)
    shape = shapes.describe(grid, y)
    assert (shape.label, shape.count, shape.ties) == (label, COUNTS[label], 0)
    assert shapes.classify(grid, y) == label and shapes.count_stationary(y) == printed_count(y)
    assert not shape.weak
    assert len(shape.minima) == (COUNTS[label] + 1) // 2 and len(shape.maxima) == COUNTS[label] // 2


def test_extrema_are_placed():
    grid = GRIDS["81"]
    shape = shapes.describe(grid, CURVES["w-peak"](grid))
    step, well = 0.025, math.sqrt(0.35)
    assert shape.minima == pytest.approx((-well, well), abs=step)
    assert shape.maxima == pytest.approx((0,), abs=1e-12)
    assert shape.at_origin == "maximum" and shape.loss == pytest.approx(0.35**2)


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=30))
def test_the_count_is_the_printed_one(values):
    y = np.array(values, dtype=float)
    at = shapes.stationary_points(y)
    assert len(at) == printed_count(y) == shapes.count_stationary(y)
    assert all((y[t] - y[t + 1]) * (y[t] - y[t - 1]) > 0 for t in at)


def test_the_count_survives_differences_whose_product_underflows():
    y = np.array([2e-200, 1e-200, 2e-200])
    assert printed_count(y) == 0  # in doubles
    assert shapes.count_stationary(y) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 2, 1, 0, 0, 0, 1, 2, 3], ("v-basin", 0, 1)),  # a flat bottom at the origin
        ([3, 3, 3, 1, 0, 1, 3, 3, 3], ("v-basin", 1, 0)),  # saturated on both sides
        ([4, 3, 2, 2, 1, 2, 2, 3, 4], ("v-basin", 1, 0)),  # a ledge is no extremum
        ([6, 5, 5, 4, 3, 2, 1, 1, 2], ("v-side", 0, 1)),
        ([3, 1, 2, 4, 4, 4, 2, 1, 3], ("w-peak", 2, 1)),
        ([3, 1, 3, 1, 0, 1, 4, 4, 2], ("other", 3, 1)),  # the flat top would be missed and a w-basin seen
        ([1, 1, 1, 1, 1, 1, 1, 1, 1], ("other", 0, 0)),
        ([5, 4, 3, 2, 1, 1, 1, 1, 1], ("other", 0, 0)),  # falls no further from the origin
        ([5, 4, 3, 3, 3, 2, 1, 1, 1], ("v-side", 0, 0)),
    ],
)
def test_plateaus_and_ties(values, expected):
    shape = shapes.describe(np.arange(-4, 5), values)
    assert (shape.label, shape.count, shape.ties) == expected


@pytest.mark.parametrize(
    ("formula", "label", "weak"),
    [
        (lambda t: -(t**2), "w-peak", True),  # the view ends before either minimum
        (lambda t: (t**2 - 0.35) ** 2 - 0.95 * t**3, "w-peak", True),  # before one of them
        (lambda t: np.exp(-t), "v-side", False),
        (lambda t: np.exp(t), "v-side", False),
        (lambda t: -np.abs(t - 0.5), "other", False),  # a peak elsewhere
        (lambda t: np.cos(20 * t), "other", False),  # ragged, although it falls on both sides
        (lambda t: (t - 0.35) ** 2 * (t + 0.65) ** 2, "other", False),  # on the flank of the barrier
        (lambda t: ((t - 0.6) ** 2 - 0.04) ** 2, "other", False),  # above the barrier, outside either well
        (lambda t: t**2 - 1.2 * t**4, "other", False),  # a basin that ends
    ],
)
def test_what_is_seen_from_the_origin(formula, label, weak):
    grid = GRIDS["41"]
    shape = shapes.describe(grid, formula(grid))
    assert (shape.label, shape.weak) == (label, weak)


def test_a_well_ends_at_the_lower_of_its_barriers():
    """Three wells with barriers of 1 and 4, the origin beside the bottom of the middle one and below the higher."""
    for loss, label in ((0.9, "vvv-basin"), (1.5, "other")):
        values = [5, 0, 1, 0.2, loss, 2.5, 4, 0, 5]
        shape = shapes.describe(np.arange(-4, 5), values)
        assert (shape.label, len(shape.minima), shape.at_origin) == (label, 3, "minimum")


def test_a_peak_may_fall_at_the_very_ends_of_the_view():
    assert shapes.falls_on_both_sides([-1, 0, 1], [0, 1, 0])
    assert shapes.describe([-1, 0, 1], [0, 1, 0]).weak
    for losses in ([2, 1, 0], [1, 1, 0], [0, 1, 1]):
        assert not shapes.falls_on_both_sides([-1, 0, 1], losses)
    assert shapes.falls_on_both_sides([-1, -0.5, 0, 1], [5, -1, 0, -3])  # at 0.5, a grid point on the left alone


@pytest.mark.parametrize(("well", "label"), [(0.0, "v-basin"), (0.05, "v-basin"), (0.1, "v-side"), (-0.1, "v-side")])
def test_a_minimum_is_at_the_origin_within_one_grid_step(well, label):
    grid = GRIDS["41"]
    assert shapes.classify(grid, (grid - well) ** 2) == label
    assert shapes.classify(grid, (grid - well) ** 2, tolerance=2) == "v-basin"
    assert shapes.classify(grid, (grid - well) ** 2, tolerance=0) == ("v-basin" if well == 0 else "v-side")


@pytest.mark.parametrize("label", CURVES)
def test_the_origin_moves_the_class(label):
    """The same curve seen from far up its right flank is no longer what it is called after."""
    grid = np.linspace(-3, 1, 161)
    y = CURVES[label](grid + 2)
    assert shapes.describe(grid, y).count == COUNTS[label]
    assert shapes.classify(grid, y) == ("v-side" if COUNTS[label] == 1 else "other")


def test_a_grid_of_any_spacing():
    grid = np.sinh(np.linspace(-3, 3, 61)) / math.sinh(3)
    for label in ("v-basin", "w-peak", "v-side"):
        assert shapes.classify(grid, CURVES[label](grid)) == label


def test_values_that_are_not_finite_count_as_infinite():
    grid = np.arange(-4.0, 5)
    nan, inf = math.nan, math.inf
    assert shapes.classify(grid, [nan, inf, 2, 1, 0, 1, 2, -inf, nan]) == "v-basin"
    assert shapes.count_stationary([nan, inf, 2, 1, 0, 1, 2, -inf, nan]) == 1
    assert shapes.classify(grid, [3, 1, nan, 1, 0, 1, 2, 3, 4]) == "w-basin"  # one blown-up point is a barrier
    assert shapes.classify(grid, [3, 2, 1, 2, nan, 2, 1, 2, 3]) == "other"  # no class without a loss at the origin
    assert shapes.describe(grid, [nan] * 9).label == "other"


def test_noise_is_counted_and_clipping_takes_what_lies_above():
    grid = GRIDS["41"]
    ragged = 10 * grid**2 + np.where(np.abs(grid) > 0.5, (-1.0) ** np.arange(41), 0)
    shape = shapes.describe(grid, ragged)
    assert shape.label == "other" and shape.count > 5
    assert shapes.classify(grid, np.minimum(ragged, math.log(5))) == "v-basin"


def test_peak_height():
    grid = GRIDS["41"]
    lopsided = np.where(grid < 0, 1 - 0.3 * np.sin(-math.pi * grid), 1 - 0.8 * np.sin(math.pi * grid))
    assert shapes.peak_height(grid, lopsided) == pytest.approx(0.3)
    assert shapes.peak_height(grid, CURVES["v-basin"](grid)) == 0
    assert shapes.peak_height(grid, CURVES["v-side"](grid)) == 0  # falls on one side only
    assert shapes.peak_height(grid, np.where(grid > 0.5, math.nan, -np.abs(grid))) == pytest.approx(0.5)
    assert shapes.peak_height(grid, lopsided, signed=True) == pytest.approx(0.3)
    assert shapes.peak_height(grid, np.abs(grid), signed=True) == pytest.approx(-0.05)  # one grid step up
    assert shapes.peak_height(grid, np.where(grid > 0, math.nan, -grid), signed=True) == -math.inf


def test_barrier_height():
    grid = GRIDS["long"]
    hill = 0.4 * np.sin(math.pi * grid) + 1 + 0.5 * grid  # 0.4 above the chord from (0, 1) to (1, 1.5)
    assert shapes.barrier_height(grid, hill) == pytest.approx(0.4)
    assert shapes.barrier_height(grid, grid**2) == 0
    assert shapes.barrier_height(grid - 0.5, hill, ends=(-0.5, 0.5)) == pytest.approx(0.4)
    assert shapes.barrier_height(grid, np.where(grid == grid[30], math.nan, hill)) == math.inf
    assert math.isnan(shapes.barrier_height(grid, np.where(np.abs(grid) < 1e-9, math.nan, hill)))


def test_middle_well():
    grid = GRIDS["long"]
    t = grid - 0.5
    # Wells of loss 0 at 0 and 1, of loss 0.5 at the middle, barriers of loss 1 between.
    three = np.interp(grid, [-1, 0, 0.3, 0.5, 0.7, 1, 2], [4, 0, 1, 0.5, 1, 0, 4])
    assert shapes.middle_well(grid, three) == pytest.approx(0.5)
    assert shapes.middle_well(1 - grid[::-1], three[::-1]) == pytest.approx(0.5)
    uneven = np.interp(grid, [-1, 0, 0.3, 0.5, 0.7, 1, 2], [4, 0.8, 1, 0.5, 0.9, 0.2, 4])
    assert shapes.middle_well(grid, uneven) == pytest.approx(0.2)  # the first barrier above theta, at 0.8
    deep = np.interp(grid, [-1, 0, 0.3, 0.5, 0.7, 1, 2], [4, 0.8, 1, -3, 0.9, 0.2, 4])
    assert shapes.middle_well(grid, deep) == pytest.approx(0.2)
    for none in (1 - t**2, t**2, grid, 0 * grid, CURVES["w-basin"](grid)):
        assert shapes.middle_well(grid, none) == 0
    assert shapes.middle_well(grid, np.where(np.abs(t) < 1e-9, math.nan, three)) < 0.5
    assert shapes.middle_well(grid, np.where(np.abs(grid) < 1e-9, math.nan, three)) == 0
    assert shapes.middle_well(grid, np.where(np.abs(grid - 1) < 1e-9, math.nan, three)) == 0
    assert shapes.middle_well(np.arange(5), [0, 1, 0.5, 2, 0], ends=(0, 4)) == pytest.approx(0.5)
    off = GRIDS["off"]  # neither end on the grid
    three = np.interp(off, [-1, 0, 0.3, 0.5, 0.7, 1, 2], [4, 0, 1, 0.5, 1, 0, 4])
    assert 0.3 < shapes.middle_well(off, three) < 0.5


def test_confidence_over_seeds_and_grids():
    grid = GRIDS["81"]
    same = shapes.confidence(grid, [a * CURVES["w-peak"](grid) for a in (1, 2, 3)])
    assert (same.label, same.seeds, same.grids, same.value) == ("w-peak", 1, 1, 1)
    assert (same.fine_count, same.coarse_count) == (3, 3)
    split = shapes.confidence(grid, [CURVES[k](grid) for k in ("v-side", "v-side", "v-basin", "v-side")])
    assert (split.label, split.seeds, split.value) == ("v-side", 0.75, 0.75)
    # Ripples between the points of the coarse grid are seen by the fine one alone.
    ripple = 10 * grid**2 + 0.3 * (-1.0) ** np.arange(81)
    seen = shapes.confidence(grid, ripple)
    assert seen.fine == ("other",) and seen.coarse == ("v-basin",)
    assert (seen.label, seen.seeds, seen.grids, seen.value) == ("other", 1, 0, 0)
    assert seen.fine_count > 5 and seen.coarse_count == 1
    # A minimum one coarse step away is at the origin on the coarse grid only.
    shifted = shapes.confidence(grid, (grid - 0.05) ** 2)
    assert (shifted.fine, shifted.coarse) == (("v-side",), ("v-basin",))


def test_the_coarse_grid_keeps_the_origin():
    grid = np.linspace(-0.9, 1, 39)  # the origin is the 18th of 38 steps
    peak = np.where(np.abs(grid) < 1e-9, 1.0, np.abs(grid))
    assert shapes.confidence(grid, peak).coarse == ("w-peak",)
    odd = grid[1:]
    assert shapes.confidence(odd, peak[1:]).coarse == ("w-peak",)


# Invariance


curves = st.lists(st.integers(0, 6), min_size=5, max_size=25)


@given(curves, st.data())
def test_mirroring_the_curve_leaves_its_shape(values, data):
    start = data.draw(st.integers(0, len(values) - 1))
    half = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    assume(start + half <= len(values) - 1)
    grid, y = np.arange(len(values)) - start - half, np.array(values, dtype=float)
    shape, mirrored = shapes.describe(grid, y), shapes.describe(-grid[::-1], y[::-1])
    assert mirrored.label == shape.label and mirrored.weak == shape.weak and mirrored.at_origin == shape.at_origin
    assert (mirrored.count, mirrored.ties, mirrored.loss) == (shape.count, shape.ties, shape.loss)
    assert tuple(-t for t in reversed(mirrored.minima)) == shape.minima
    assert shapes.peak_height(grid, y) == shapes.peak_height(-grid[::-1], y[::-1])


@given(
    curves,
    st.data(),
    st.floats(1e-3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(-1000, 1000),
)
def test_the_units_of_loss_and_lambda_do_not_matter(values, data, loss_scale, view_scale, shift):
    start = data.draw(st.integers(0, len(values) - 1))
    grid, y = np.arange(len(values), dtype=float) - start, np.array(values, dtype=float)
    shape, scaled = shapes.describe(grid, y), shapes.describe(view_scale * grid, loss_scale * y)
    assert (scaled.label, scaled.count, scaled.ties, scaled.weak) == (shape.label, shape.count, shape.ties, shape.weak)
    assert scaled.minima == pytest.approx([view_scale * t for t in shape.minima])
    assert shapes.classify(grid, y + shift) == shape.label
    assert shapes.peak_height(grid, loss_scale * y) == pytest.approx(loss_scale * shapes.peak_height(grid, y))


# Surfaces


def surface(formula, n1=41, n2=31, s=1.0):
    at1, at2 = np.linspace(-s, s, n1), np.linspace(-s, s, n2)
    return SimpleNamespace(at1=at1, at2=at2, losses=formula(at1[:, None], at2[None, :]))


@pytest.mark.parametrize(
    ("formula", "kind"),
    [
        (lambda a, b: 3 * a**2 + b**2 + 0 * a * b, "bowl"),
        (lambda a, b: (a**2 + b**2 - 0.3) ** 2, "wine-bottle"),
        (lambda a, b: -(a**2) - 2 * b**2, "wine-bottle"),  # the view ends before the walls
        (lambda a, b: 4 * a**2 - b**2, "saddle"),
        (lambda a, b: b**2 - 0.2 * a**2, "saddle"),
        (lambda a, b: a * b, "saddle"),
        (lambda a, b: a**2 + b**2 - 3 * a * b, "saddle"),  # both axes rise
        (lambda a, b: (a - 0.5) ** 2 + b**2, "other"),
        (lambda a, b: a + 2 * b, "other"),
        (lambda a, b: 0 * a * b, "other"),
        (lambda a, b: a**3 - 3 * a * b**2, "other"),  # a monkey saddle
    ],
)
def test_surfaces(formula, kind):
    s = surface(formula)
    assert shapes.surface_kind(s.at1, s.at2, s.losses) == kind
    assert shapes.surface_kind(s.at2, s.at1, s.losses.T) == kind
    assert shapes.surface_kind(s.at1, s.at2, s.losses[::-1]) == kind
    assert shapes.surface_kind(5 * s.at1, 0.1 * s.at2, 7 * s.losses + 1) == kind


def test_a_blown_up_rim_does_not_change_a_surface_and_a_blown_up_origin_has_none():
    s = surface(lambda a, b: 4 * a**2 - b**2)
    s.losses[0] = math.nan
    assert shapes.surface_kind(s.at1, s.at2, s.losses) == "saddle"
    s.losses[20, 15] = math.inf
    assert shapes.surface_kind(s.at1, s.at2, s.losses) == "other"


def kind_by_hand(y, origin):
    """The definitions over whole rings, each in the order of its angles."""
    i, j = origin
    grids = [np.arange(n, dtype=float) - o for n, o in zip(y.shape, origin, strict=True)]
    rows, columns = np.meshgrid(*grids, indexing="ij")
    away = np.maximum(np.abs(rows), np.abs(columns))
    if y.min() < y.max() and (away[y == y.min()] <= 1).any():
        return "bowl"
    places = {shapes.describe(grids[0], y[:, j]).at_origin, shapes.describe(grids[1], y[i]).at_origin}
    whole = range(1, int(min(-grids[0][0], grids[0][-1], -grids[1][0], grids[1][-1])) + 1)
    rings = [y[away == r][np.argsort(np.arctan2(rows, columns)[away == r])] - y[i, j] for r in whole]
    crossings = [
        sum(a * b < 0 for a, b in zip(held, np.roll(held, 1), strict=True)) for held in (r[r != 0] for r in rings[:2])
    ]
    if places == {"minimum", "maximum"} or crossings == [4, 4]:
        return "saddle"
    return "wine-bottle" if places == {"maximum"} and any(ring.mean() < 0 for ring in rings) else "other"


def test_surfaces_of_any_size_and_origin_by_brute_force():
    generator = np.random.default_rng(0)
    seen = []
    for _ in range(1500):
        n1, n2 = generator.integers(3, 8, 2)
        origin = int(generator.integers(1, n1 - 1)), int(generator.integers(1, n2 - 1))
        y = generator.integers(0, 6, (n1, n2)).astype(float)
        y[origin] = generator.integers(1, 6)
        if generator.random() < 0.5:  # mostly a peak, so that rings decide
            y[origin[0] - 1 : origin[0] + 2, origin[1]] -= [1, 0, 1]
            y[origin[0], origin[1] - 1 : origin[1] + 2] = y[origin] - [1, 0, 1]
            y[0, 0] = y.min() - (max(origin) > 1)
        seen.append(kind_by_hand(y, origin))
        assert shapes.surface_kind(np.arange(n1) - origin[0], np.arange(n2) - origin[1], y) == seen[-1], (y, origin)
    assert min(seen.count(kind) for kind in ("bowl", "saddle", "wine-bottle", "other")) > 50


def test_every_interior_point_can_be_a_minimum():
    for place in np.ndindex(3, 4):
        y = np.ones((5, 6))
        y[place[0] + 1, place[1] + 1] = 0
        assert shapes.minima_of_surface(y).tolist() == [[place[0] + 1, place[1] + 1]]


def test_minima_of_surface_by_brute_force():
    y = np.random.default_rng(0).integers(0, 9, (12, 9)).astype(float)
    y[3, 4] = math.nan
    clean = np.where(np.isnan(y), math.inf, y)
    expected = [
        [i, j]
        for i in range(1, 11)
        for j in range(1, 8)
        if all(clean[i, j] < clean[i + a, j + b] for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0))
    ]
    assert expected and shapes.minima_of_surface(y).tolist() == expected


def test_two_wells_of_a_surface():
    s = surface(lambda a, b: (a**2 - 0.25) ** 2 + b**2)
    assert [(round(s.at1[i], 2), round(s.at2[j], 2)) for i, j in shapes.minima_of_surface(s.losses)] == [
        (-0.5, 0.0),
        (0.5, 0.0),
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shapes.classify([0.0], [1.0]), r"at least three points to have a shape, got losses of shape \(1,\)"),
        (lambda: shapes.classify([-1, 0, 1], [1, 2, 3, 4]), r"one shape, got \(3,\) and \(4,\)"),
        (lambda: shapes.classify([1, 0, -1], [1, 2, 3]), "ascending"),
        (lambda: shapes.classify([0, math.nan, 1], [1, 2, 3]), "finite, ascending"),
        (lambda: shapes.classify([1, 2, 3], [1, 2, 3]), "leaves out the origin"),
        (lambda: shapes.classify([-1, 0, 1], [1, 2, 3], tolerance=-1), "not negative, got -1"),
        (lambda: shapes.stationary_points([[1, 2, 3]]), "at least three points"),
        (lambda: shapes.peak_height([-1, 0, 1], [1, math.nan, 1]), "not finite"),
        (lambda: shapes.barrier_height([-1, 0, 1], [1, 2, 3], ends=(0, 2)), r"within the grid \[-1, 1\], got \(0, 2\)"),
        (lambda: shapes.peak_height([0, 1, 2], [1, 2, 3], signed=True), r"both sides of the origin, got \[0, 2\]"),
        (lambda: shapes.middle_well([-1, 0, 1], [1, 2, 3]), "at least five points there, got 2"),
        (lambda: shapes.confidence([-1, 0, 1], [[1, 2, 3]]), "T >= 5"),
        (lambda: shapes.confidence(np.arange(5), np.ones((2, 6))), r"got \(5,\) and \(2, 6\)"),
        (lambda: shapes.minima_of_surface(np.ones((2, 5))), "three points along each axis"),
        (lambda: shapes.surface_kind(np.arange(3), np.arange(4), np.ones((4, 3))), r"shape \(3, 4\) of the axes"),
    ],
)
def test_bad_input_gets_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
