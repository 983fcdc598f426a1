"""Figures of gradient flows, drawn from records whose peaks and powers are known."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_edge import data, drawn, levels, runs_of, shows
from pictures import panels, texts
from synthetic_edge import flow_run, peak_of

from landscape_helpers.catalogue import load_catalogue
from landscape_helpers.claims.flow_measures import cusp_exponent
from landscape_helpers.claims.record import Record
from landscape_helpers.figures import draw
from landscape_helpers.figures.edge_flow import at_its_end, fitted, line_through
from landscape_helpers.figures.edge_integrator import deviation
from landscape_helpers.figures.edge_profile import fits
from landscape_helpers.figures.edge_record import EdgeRecord, FlowRecord
from landscape_helpers.figures.words import findings


def test_peaks_lie_on_a_line_whose_slope_is_theirs() -> None:
    sizes = (100, 200, 400, 800)
    runs = [FlowRecord("x", flow_run(n_train=n)) for n in sizes]
    line = line_through(runs)
    assert line is not None
    assert line.slope == pytest.approx(peak_of(1) - peak_of(0), rel=1e-3) and line.r_squared > 0.9999
    x, y = np.array([1.0, 2, 4, 8]), np.array([1.0, 2.5, 3, 9])
    known = fitted(x, y)
    assert known is not None and known.r_squared == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert fitted([1, 2], [3, 4]) is None and fitted([1, 2, 3], [1, np.nan, 3]) is None
    assert "R\u00b2 = 1.0000" in texts(drawn("SING-F05"))


def test_a_peak_at_the_end_of_a_run_is_drawn_open_and_told() -> None:
    whole = flow_run(n_train=400)
    cut = whole.isel(step=slice(0, whole.sizes["step"] // 3))
    assert at_its_end(FlowRecord("x", [whole, cut])) == [False, True]
    figure = draw("SING-F05", {"flow-relu-whole": cut})
    assert "open: largest at its end" in texts(figure) and "open:" not in texts(drawn("SING-F05"))
    assert "1 of 1 runs end at their peak" in findings("SING-F05", {"flow-relu-whole": cut}).each[0]


def test_the_spike_of_tanh_is_told_apart_from_its_peak() -> None:
    written = texts(drawn("SING-F05"))
    assert "Peak after t = 1 against size" in written and "first value after the start" in written
    told = findings("SING-F05", runs_of("SING-F05")).each
    assert "30,000" in told[1] and "30,000" not in told[0]


def test_every_eigenvalue_stands_with_two_over_the_rate() -> None:
    for figure_id in ("SING-F05", "SING-X04"):
        first = data(load_catalogue().figure(figure_id).runs[0])[0]
        cap = FlowRecord("x", first).cap
        curves = [ax for ax in panels(drawn(figure_id)) if ax.get_ylabel().startswith("\u03bb")]
        assert curves and all(round(2 / cap, 6) in levels(ax) for ax in curves)
        small = first["rate"].values < 0.999 * cap
        assert small.any() and shows(curves[0], np.where(small, 2 / first["rate"].values, np.nan))
    rate = EdgeRecord("default-init", data("default-init")).rate
    curves = [ax for ax in panels(drawn("SING-X02")) if ax.get_ylabel().startswith("\u03bb")]
    assert len(curves) == 2 and all(round(2 / rate, 6) in levels(ax) for ax in curves)


@pytest.mark.parametrize(("power", "verdict"), [(2.0, "parabola"), (1.0, "kink"), (0.5, "cusp")])
def test_the_exponent_is_that_of_the_profile(power: float, verdict: str) -> None:
    run = flow_run(power=power)
    (law,) = fits(FlowRecord("flow-relu-whole", run), 1e-4, 3e-3)
    assert law.exponent == pytest.approx(power, abs=0.01) and law.verdict == verdict
    assert law.exponent == pytest.approx(cusp_exponent(Record(run)), rel=1e-6)
    figure = draw("SING-F06", {"flow-relu-whole": run})
    assert shows(panels(figure)[0], run["cusp_change"].values[0])
    assert shows(panels(figure)[1], run["cusp_change"].values[1])
    assert f"({verdict})" in findings("SING-F06", {"flow-relu-whole": run}).each[0]


def test_a_profile_that_is_too_short_is_said_to_be() -> None:
    figure = draw("SING-F06", {"flow-relu-whole": flow_run(delta_ranges=[0.003])})
    assert "not sampled as far as 0.03" in texts(figure).replace("\n", " ")


def test_the_rule_is_held_against_runge_kutta_at_the_same_times() -> None:
    runs = [FlowRecord("x", [flow_run(s, method=m) for s in (0, 1)]) for m in ("euler", "rk4")]
    found = deviation(runs)
    assert len(found) == 2
    np.testing.assert_allclose(found[0].values, 1 / 1.01 - 1, rtol=1e-9)
    assert deviation(runs[:1]) == []
    assert "one method only" in texts(draw("SING-X04", {"flow-rk4": data("flow-rk4")}))
