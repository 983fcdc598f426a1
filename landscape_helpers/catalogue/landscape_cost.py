"""How much a run of the landscape experiments computes: passes, gradients and Hessian products over images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PRODUCTS_PER_EIGENPAIR = 15  # of a Krylov space; what the solver needs differs from Hessian to Hessian
CENTRES = 11  # of the interpolation, MINE-F14
Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """Images put through the network, once for each.

    Attributes:
        passes: forward passes.
        gradients: forward and backward passes.
        products: of the Hessian with a vector.
    """

    passes: float = 0.0
    gradients: float = 0.0
    products: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.passes + other.passes, self.gradients + other.gradients, self.products + other.products)


def landscape_work(experiment: str, p: Parameters, images: float) -> Work:
    """The work of one seed, trainings included; a run that finds its checkpoints remembered does less.

    Args:
        images: of the training set.
    """
    evaluated = min(p["n_eval"] or images, images)
    return LANDSCAPE[experiment](p, images, evaluated)


def _training(p: Parameters, images: float) -> Work:
    epochs = p["epochs"] if max(p["keep"]) > 0 else 0
    return Work(gradients=images * (epochs + (p["pretrain"] or {}).get("epochs", 0)))


def _slices(p: Parameters, images: float, evaluated: float) -> Work:
    draws, points = p["draws"], p["points"]
    curves = draws * (len(p["conditions"]) + 2 * bool(p["fine"] and p["conditions"]))
    curves += 2 * len(p["descents"]) + 2 * len(p["angle_epochs"]) * len(p["best_scales"]) + 2 * len(p["barriers"])
    losses = curves * points + len(p["planes"]) * p["plane_points"] ** 2
    work = _training(p, images) + Work(passes=evaluated * losses)
    if p["barriers"]:
        work += _training(p, images)
    if p["interpolation"]:
        work += Work(products=evaluated * CENTRES * 4)
    return work


def _curvature(p: Parameters, images: float, evaluated: float) -> Work:
    curves = len(p["hessian_at"]) * 2 * p["shown"] * len(p["scales"])
    losses = curves * p["points"] + len(p["planes_at"]) * 3 * p["plane_points"] ** 2
    products = len(p["hessian_at"]) * 2 * p["eigenpairs"] * PRODUCTS_PER_EIGENPAIR
    spectra = len(p["density_at"])
    products += spectra * (p["probes"] * p["lanczos_steps"] + 2 * p["noise_draws"])
    losses += spectra * p["noise_draws"] * len(p["noise_lambdas"]) + 6 * len(p["kink_at"]) * len(p["kink_steps"])
    return _training(p, images) + Work(passes=evaluated * losses, products=evaluated * products)


def _mining(p: Parameters, images: float, evaluated: float) -> Work:
    searches = 2 * len(p["mine_at"]) * p["mining_epochs"]  # each with its null model
    curves = 2 * len(p["mine_at"])
    if p["triple_at"] is not None:
        settings = len(p["alphas"]) * len(p["gammas"])
        searches += (2 * settings + 1) * p["triple_epochs"]  # two gradients a step
        curves += settings + 1
    losses = curves * p["points"] + len(p["planes"]) * p["plane_points"] ** 2
    eigenpairs = len(p["mine_at"]) * 2 * p["eigenpairs"] * PRODUCTS_PER_EIGENPAIR
    return _training(p, images) + Work(evaluated * losses, images * searches, evaluated * eigenpairs)


LANDSCAPE: dict[str, Callable[[Parameters, float, float], Work]] = {
    "landscape_slices": _slices,
    "landscape_curvature": _curvature,
    "landscape_mining": _mining,
}
