"""*Visualizing, Rethinking, and Mining the Loss Landscape*: the view of the Hessian.

Curves and planes along its leading eigenvectors (Figures 8 and 11), its spectrum and the loss change under noise (13),
and, beyond the paper, how far a second difference of the loss lies from the Hessian where the network has kinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray

from .. import directions, slices
from ..curvature import HessianAt, loss_change, spectral_density, trace
from ..progress import Progress
from .landscape.curves import gaussian_seed, losses_along, view
from .landscape.setting import Setting
from .landscape.tables import Tables
from .landscape.training import TRAINING, check_epochs, validate_training
from .parameters import check_all_positive, check_counts, check_positive, completed

DEFAULTS: dict[str, Any] = {
    **TRAINING,
    "hessian_at": [10, 50, 200],  # Figure 8
    "density_at": [0, 10, 50, 200],  # not stated in the text of Figure 13
    "eigenpairs": 10,  # Appendix B.1
    "shown": 5,  # Section 2.4
    "points": 41,
    # Views along unit eigenvectors scaled to |theta|: [-1, 1] as everywhere (Section 2.1); their length is not stated.
    "scales": [1.0, 0.1],
    "plane_points": 21,  # not stated
    "plane_scale": 0.1,  # as above
    "planes_at": [],
    "probes": 10,  # not stated
    "lanczos_steps": 80,  # not stated
    "noise_draws": 100,  # Section 3
    "noise_lambdas": [0.001, 0.01],  # Section 3
    "kink_at": [],
    "kink_steps": [1e-4, 1e-3, 1e-2, 1e-1, 1.0],  # lengths of the second differences; ours
}
PAIRS = (("P.E.1", "P.E.2"), ("N.E.1", "N.E.2"), ("P.E.1", "N.E.1"))  # Figure 11
KINK_DIRECTIONS = ("Gau.", "P.E.1", "Neg. Grad.")

# What must come out again where only the instruments have changed (see landscape_helpers.verify): the eigenvalues to
# the residual that they are certified with.
REPEATS = {"train_loss": 0.0, "eval_loss": 1e-5, "theta_norm": 0.0, "eigenvalue_positive": 1e-3}


def beginning(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a cheap part of a run: its training and the eigenpairs at its first checkpoint."""
    nothing: dict[str, list[Any]] = {name: [] for name in ("density_at", "planes_at", "kink_at", "scales")}
    return {**parameters, **nothing, "hessian_at": parameters["hessian_at"][:1]}


def validate(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters completed by :data:`DEFAULTS`.

    Raises:
        ValueError: an unknown name, or a value out of range; before any data is read.
    """
    p = completed(parameters, DEFAULTS)
    validate_training(p)
    counts = {"points": 3, "plane_points": 3, "eigenpairs": 2, "shown": 1, "probes": 1, "lanczos_steps": 2}
    check_counts(p, {**counts, "noise_draws": 2})
    if p["shown"] > p["eigenpairs"]:
        raise ValueError(f"shown must be at most eigenpairs, {p['eigenpairs']}, got {p['shown']}")
    for name in ("hessian_at", "density_at"):
        check_epochs(p, name, p[name])
    for name in ("planes_at", "kink_at"):
        check_epochs(p, name, p[name], among=list(p["hessian_at"]))
    check_positive(p, "plane_scale")
    check_all_positive(p, "scales", "noise_lambdas", "kink_steps")
    return p


def run(
    parameters: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Train one network, or recall its checkpoints, and look at its Hessian.

    The arguments are those of every experiment (:mod:`landscape_helpers.experiments`).

    Args:
        seed: of training, of the Lanczos starts and of the noise.
        checkpoint: file of this run's unfinished state; checkpoints and eigenvectors are kept beside it.
        progress: called after each part.

    Returns:
        Eigenvalues over (``hessian_epoch``, ``eigen``) with residuals, curves and planes along the eigenvectors,
        spectral densities and traces over ``density_epoch``, loss changes and second differences.
    """
    p = validate(parameters)
    setting = Setting(p, seed, device, checkpoint, progress)
    hessians, planes = len(p["hessian_at"]), len(p["planes_at"]) * len(PAIRS)
    curves = hessians * 2 * p["shown"] * len(p["scales"])
    setting.plan(len(p["keep"]) + hessians + curves + planes + 2 * len(p["density_at"]) + len(p["kink_at"]))
    tables = Tables()
    parts = [setting.checkpoints()]
    if hessians:
        parts.append(_eigenpairs(setting, tables))
    for epoch in p["planes_at"]:
        _planes(setting, tables, epoch)
    if p["density_at"]:
        parts.append(_spectra(setting))
    if p["kink_at"]:
        parts.append(_kinks(setting))
    return setting.finish([*parts, tables.dataset()], "landscape_curvature")


def _eigenpairs(setting: Setting, tables: Tables) -> xarray.Dataset:
    p, k = setting.p, setting.p["eigenpairs"]
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("eigenvalue_positive", "eigenvalue_negative", "residual_positive", "residual_negative")
    }
    products, orthogonality = [], []
    for epoch in p["hessian_at"]:
        theta = setting.theta(epoch)
        pairs = dict(zip(("positive", "negative"), setting.eigenpairs(epoch, k), strict=True))
        setting.step()
        for family, found in pairs.items():
            rows[f"eigenvalue_{family}"].append(found.values)
            rows[f"residual_{family}"].append(found.residuals)
            for draw in range(p["shown"]):
                direction = found.vectors[:, draw] * theta.norm()
                for scale in p["scales"]:
                    at = view(scale, p["points"])
                    losses = losses_along(setting, theta, direction, at)
                    tables.curve(at, losses, family=family, epoch=epoch, draw=draw, scale=scale, norm=1.0)
                    setting.step(float(losses.min()))
        products.append(max(found.products for found in pairs.values()))
        cosines = directions.cosines(torch.cat([found.vectors for found in pairs.values()], 1))
        orthogonality.append(float(np.abs(np.asarray(cosines) - np.eye(2 * k)).max()))
    dims = ("hessian_epoch", "eigen")
    units = "nat per squared parameter"
    return xarray.Dataset(
        {name: (dims, np.stack(values), {"units": units}) for name, values in rows.items()}
        | {
            "eigen_products": ("hessian_epoch", np.array(products), {"units": "1"}),
            "eigen_orthogonality": ("hessian_epoch", np.array(orthogonality), {"units": "1"}),
        },
        coords={"hessian_epoch": np.array(p["hessian_at"]), "eigen": np.arange(1, k + 1)},
    )


def _planes(setting: Setting, tables: Tables, epoch: int) -> None:
    p, theta = setting.p, setting.theta(epoch)
    vectors = setting.eigenvectors(epoch, p["eigenpairs"])
    at = view(p["plane_scale"], p["plane_points"])
    for first, second in PAIRS:
        d1, d2 = vectors[first] * theta.norm(), vectors[second] * theta.norm()
        surface = slices.plane(setting.objective, theta, d1, d2, at, at, batchnorm="re-estimated")
        cosine = float(directions.cosines(torch.stack([d1, d2], 1))[0, 1])
        tables.plane(
            at, at, np.asarray(surface), first=first, second=second, epoch=epoch, scale=p["plane_scale"], cosine=cosine
        )
        setting.step()


def _spectra(setting: Setting) -> xarray.Dataset:
    p, objective = setting.p, setting.objective
    nodes, weights, changes, measured = [], [], [], []
    scalars: dict[str, list[float]] = {
        name: [] for name in ("trace", "trace_error", "trace_exact", "smallest_ritz", "largest_ritz")
    }
    moments: dict[str, list[np.ndarray]] = {
        f"change_{name}": []
        for name in (
            "mean", "mean_expected", "variance", "variance_corrected", "variance_printed", "displacement", "mean_error",
        )
    }  # fmt: skip
    for epoch in p["density_at"]:
        theta = setting.theta(epoch)
        density = spectral_density(objective, theta, p["probes"], p["lanczos_steps"], seed=setting.seed)
        nodes.append(density.nodes)
        weights.append(density.weights)
        setting.step()
        noise = loss_change(
            objective, theta, 1.0, p["noise_lambdas"], p["noise_draws"], seed=setting.seed, measure=True
        )
        assert noise.measured is not None
        changes.append(noise.second_order.T)
        measured.append(noise.measured.T)
        sample = noise.second_order
        moments["change_mean"].append(sample.mean(0))
        moments["change_mean_error"].append(sample.std(0, ddof=1) / np.sqrt(len(sample)))
        moments["change_mean_expected"].append(noise.mean)
        moments["change_variance"].append(sample.var(0, ddof=1))
        moments["change_variance_corrected"].append(noise.variance)
        moments["change_variance_printed"].append(noise.printed_variance)
        moments["change_displacement"].append(noise.displacements.mean(0))
        found = trace(objective, theta, probes=p["noise_draws"], seed=setting.seed + 1)
        ends = (float(np.nanmin(density.nodes)), float(np.nanmax(density.nodes)))
        for name, value in zip(scalars, (found.value, found.error, float(found.exact), *ends), strict=True):
            scalars[name].append(value)
        setting.step()
    width = max(node.shape[1] for node in nodes)
    ritz = ("density_epoch", "probe", "ritz")
    draws = ("density_epoch", "noise_lambda", "draw")
    units = {"units": "nat per squared parameter"}
    return xarray.Dataset(
        {
            "density_node": (ritz, np.stack([_widened(n, width) for n in nodes]), units),
            "density_weight": (ritz, np.stack([_widened(w, width) for w in weights]), {"units": "1"}),
            "change": (draws, np.stack(changes), {"units": "nat"}),
            "change_true": (draws, np.stack(measured), {"units": "nat"}),
        }
        | {name: ("density_epoch", np.array(values), units) for name, values in scalars.items()}
        | {name: (draws[:2], np.stack(values), {"units": _unit(name)}) for name, values in moments.items()},
        coords={"density_epoch": np.array(p["density_at"]), "noise_lambda": np.array(p["noise_lambdas"])},
    )


def _kinks(setting: Setting) -> xarray.Dataset:
    r"""Second differences :math:`(L(\theta+hu)-2L(\theta)+L(\theta-hu))/h^2` along unit directions, and the Hessian.

    They agree for a smooth network as h shrinks; where the slope jumps, only the second differences see it. Evaluated
    in double precision, since the difference of three nearly equal losses is divided by a small number.
    """
    p = setting.p
    objective = setting.in_double_precision()
    steps = np.array(p["kink_steps"])
    secants = np.full((len(p["kink_at"]), len(KINK_DIRECTIONS), len(steps)), np.nan)
    hessians = np.full(secants.shape[:2], np.nan)
    for i, epoch in enumerate(p["kink_at"]):
        theta = setting.theta(epoch).double()
        vectors = {
            "Gau.": directions.gaussian(objective, theta, seed=gaussian_seed(setting, 0), normalize=None),
            "P.E.1": setting.eigenvectors(epoch, p["eigenpairs"])["P.E.1"].double(),
            "Neg. Grad.": -objective.gradient(theta),
        }
        here = objective.loss(theta)
        with HessianAt(objective, theta) as hessian:
            for j, name in enumerate(KINK_DIRECTIONS):
                unit = vectors[name] / vectors[name].norm()
                hessians[i, j] = float(unit @ hessian.product(unit))
        for j, name in enumerate(KINK_DIRECTIONS):
            unit = vectors[name] / vectors[name].norm()
            for m, h in enumerate(steps):
                both = objective.loss(theta + h * unit) + objective.loss(theta - h * unit)
                secants[i, j, m] = (both - 2 * here) / h**2
        setting.step()
    units = {"units": "nat per squared parameter"}
    dims = ("kink_epoch", "kink_direction", "kink_step")
    return xarray.Dataset(
        {"kink_secant": (dims, secants, units), "kink_hessian": (dims[:2], hessians, units)},
        coords={
            "kink_epoch": np.array(p["kink_at"]),
            "kink_direction": np.array(KINK_DIRECTIONS),
            "kink_step": ("kink_step", steps, {"units": "1", "long_name": "distance in parameter space"}),
        },
    )


def _unit(name: str) -> str:
    return "1" if name.endswith("displacement") else "nat^2" if "variance" in name else "nat"


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=np.nan)
