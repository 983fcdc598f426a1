"""The recorded correlations: the definition bit for bit, with no more work at a step than it takes."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
import xarray

from landscape_helpers.data import load_data
from landscape_helpers.descent import GradientCorrelation, Travel, gradient_descent
from landscape_helpers.descent.probe import Step
from landscape_helpers.layers import Layer
from landscape_helpers.models import build_model
from landscape_helpers.objective import Objective

NETWORKS = [("mlp", {}, torch.float32), ("cnn", {"width": 4}, torch.float32), ("resnet8", {"width": 4}, torch.float64)]


def objective_of(name, options, dtype):
    data = load_data("digits", n_train=40)
    x, y, _, _ = data.standardised(dtype)
    return Objective(build_model(name, data.n_classes, data.input_shape, **options), x, y, dtype=dtype)


class Keep:
    """A probe that keeps a copy of every gradient."""

    history = 0

    def begin(self, objective):
        self.gradients = []

    def observe(self, step):
        self.gradients.append(step.gradient.numpy().copy())

    def result(self):
        return xarray.Dataset()


@pytest.mark.parametrize(("name", "options", "dtype"), NETWORKS)
def test_fifty_steps_hold_every_bit_of_the_definition(name, options, dtype):
    objective, keep = objective_of(name, options, dtype), Keep()
    record = gradient_descent(objective, objective.theta, 0.1, 50, [keep, GradientCorrelation(5, [0, 20])]).record
    g = keep.gradients
    assert len(g) == 51
    dots = [np.nan, *(float(b @ a) for a, b in pairwise(g))]
    np.testing.assert_array_equal(record.dot.values, dots)
    np.testing.assert_array_equal(record.gradient_norm.values, np.sqrt([float(a @ a) for a in g]))
    for i, layer in enumerate(objective.layers):
        parts = [layer.of(a) for a in g]
        dots = np.array([np.nan, *(float(b @ a) for a, b in pairwise(parts))])
        norms = np.sqrt([float(a @ a) for a in parts])
        np.testing.assert_array_equal(record.layer_dot.values[:, i], dots)
        with np.errstate(invalid="ignore"):
            cosines = np.clip(dots[1:] / (norms[1:] * norms[:-1]), -1, 1)
        np.testing.assert_array_equal(record.layer_correlation.values[1:, i], cosines)


def test_the_window_is_the_papers_five():
    objective = objective_of(*NETWORKS[0])
    windowed = gradient_descent(objective, objective.theta, 0.1, 6, [GradientCorrelation()]).record.windowed_correlation
    assert windowed.attrs["window"] == 5 and np.isnan(windowed).values.tolist() == [True] * 4 + [False] * 3


def test_a_gradient_is_cut_into_layers_once(monkeypatch):
    """A step of a small network takes half a millisecond, of which a second cutting would be a hundredth."""
    objective, cuts = objective_of(*NETWORKS[0]), []
    of = Layer.of
    monkeypatch.setattr(Layer, "of", lambda layer, vector: cuts.append(layer) or of(layer, vector))
    gradient_descent(objective, objective.theta, 0.1, 30, [GradientCorrelation()])
    assert 31 * len(objective.layers) <= len(cuts) <= 33 * len(objective.layers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [[1] * 5, [1e20] * 5, [1, 1e-25, 1e25, 1, 0, 1e30, 1e-3], [1e160] * 3])
def test_any_size_of_gradient_is_recorded_in_silence(sizes, dtype):
    """Products that leave single precision are taken in double; a layer may lie in pieces."""
    layers = (
        Layer("a", "Linear", (slice(0, 50),), 50),
        Layer("b", "Linear", (slice(50, 70), slice(90, 100)), 30),
        Layer("c", "Linear", (slice(70, 90),), 20),
    )
    objective = objective_of(*NETWORKS[0])
    objective.layers = layers
    top = float(torch.finfo(dtype).max) / 10
    rng = np.random.default_rng(0)
    g = [torch.from_numpy(rng.uniform(-1, 1, 100) * min(size, top)).to(dtype) for size in sizes]
    probe = GradientCorrelation()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe.begin(objective)
        for k, gradient in enumerate(g):
            probe.observe(Step(k, gradient, 1.0, gradient, (g[k - 1],) if k else ()))
        record = probe.result()
    exact = [a.numpy().astype(np.longdouble) for a in g]
    for k in range(1, len(g)):
        bound = 200 * float(torch.finfo(dtype).eps)
        for found, part in [(record.dot[k], slice(None)), (record.layer_dot[k, 2], slice(70, 90))]:
            a, b = exact[k - 1][part], exact[k][part]
            wanted = np.sum(a * b)
            assert abs(float(found) - wanted) <= bound * np.sum(np.abs(a * b)) + 1e-37 or abs(wanted) > 1e307


@pytest.mark.parametrize("size", [1e-22, 1e-30, 1e-36])
def test_gradients_whose_squares_vanish_in_single_precision_keep_their_correlation(size):
    """A network that has fitted its data to the last sample has such gradients, and one layer may have them alone."""
    layers = (Layer("a", "Linear", (slice(0, 60),), 60), Layer("b", "Linear", (slice(60, 100),), 40))
    objective = objective_of(*NETWORKS[0])
    objective.layers, objective.parameters = layers, 100
    rng = np.random.default_rng(1)
    for scale in (np.full(100, size), np.where(np.arange(100) < 60, 1.0, size)):
        g = [torch.from_numpy(rng.uniform(-1, 1, 100) * scale).float() for _ in range(6)]
        probes = [GradientCorrelation(5, [0]), Travel()]
        for probe in probes:
            probe.begin(objective)
            for k, gradient in enumerate(g):
                probe.observe(Step(k, torch.ones(100), 1.0, gradient, g[:k][::-1]))
        record, travel = (probe.result() for probe in probes)
        exact = np.array([a.double().numpy() for a in g])
        norms = np.linalg.norm(exact, axis=1)
        cosines = exact @ exact.T / np.outer(norms, norms)
        np.testing.assert_allclose(record.gradient_norm, norms, rtol=1e-6)
        np.testing.assert_allclose(record.correlation[1:], np.diag(cosines, 1), rtol=0, atol=1e-6)
        np.testing.assert_allclose(record.matrix[0], cosines[:5, :5], rtol=0, atol=1e-6)
        np.testing.assert_allclose(travel.gradient_norm, norms, rtol=1e-6)
        np.testing.assert_allclose(travel.cosine[1:], np.diag(cosines, 1), rtol=0, atol=1e-6)
        part = exact[:, 60:] / np.linalg.norm(exact[:, 60:], axis=1)[:, None]
        np.testing.assert_allclose(record.layer_correlation[1:, 1], (part[1:] * part[:-1]).sum(1), rtol=0, atol=1e-6)


def test_a_layer_without_a_gradient_changes_nothing_of_the_others():
    """Zero is no number that has left the range: what is beside it keeps its bits."""
    objective = objective_of(*NETWORKS[0])
    objective.layers = (Layer("a", "Linear", (slice(0, 60),), 60), Layer("dead", "Linear", (slice(60, 100),), 40))
    objective.parameters = 100
    rng = np.random.default_rng(1)
    g = [torch.from_numpy(np.append(rng.uniform(-1, 1, 60), np.zeros(40))).float() for _ in range(3)]
    probe = GradientCorrelation(5, [])
    probe.begin(objective)
    for k, gradient in enumerate(g):
        probe.observe(Step(k, gradient, 1.0, gradient, g[:k][::-1]))
    record = probe.result()
    np.testing.assert_array_equal(record.dot[1:], [float(np.vdot(b, a)) for a, b in pairwise(map(np.asarray, g))])
    assert record.layer_correlation[:, 1].isnull().all()


def test_after_the_end_the_probe_holds_no_gradient():
    objective, probe = objective_of(*NETWORKS[0]), GradientCorrelation(5, [2])
    gradient_descent(objective, objective.theta, 0.1, 10, [probe])
    held = [v for v in vars(probe).values() if isinstance(v, torch.Tensor) or hasattr(v, "gradient")]
    assert held == []
