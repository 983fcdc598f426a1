"""Planes spanned by any two directions of the paper, by the names of its Appendix A.4 (Figure 12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ... import directions, slices
from ..parameters import is_list
from .curves import gaussian_seed, view
from .peaks import mined_peak
from .setting import Setting
from .tables import Tables
from .training import check_epochs

FIXED_DIRECTIONS = ("Gau.", "Neg. Grad.", "Mine")  # besides P.E.x, N.E.x, E=x and E'=x
OVERLAP = 0.1  # |cos| above which a plane is drawn a second time with orthogonal axes (MINE-Q02 of the inventory)


def check_plane(p: Mapping[str, Any], plane: Any) -> None:
    """Raise ValueError unless ``plane`` is [epoch, first, second] with directions that the run with p can have."""
    if not is_list(plane) or len(plane) != 3:
        raise ValueError(f"planes must be a list of [epoch, first, second], got {plane!r}")
    epoch, *names = plane
    check_epochs(p, "planes", [epoch])
    for name in names:
        kind, _, number = name.partition("=") if "=" in name else name.rpartition(".")
        known = name in FIXED_DIRECTIONS or (kind in ("P.E", "N.E", "E", "E'") and number.isdigit())
        if not known:
            expected = "Gau., Neg. Grad., Mine, P.E.x, N.E.x, E=x or E'=x"
            raise ValueError(f"planes names direction {name!r}: expected {expected}")
        if kind in ("P.E", "N.E") and not 1 <= int(number) <= p["eigenpairs"]:
            raise ValueError(f"planes names {name}, but there are {p['eigenpairs']} eigenpairs a side")
        if kind in ("E", "E'"):
            check_epochs(p, "planes", [int(number)])
        if name == "Mine" and epoch not in p["mine_at"]:
            raise ValueError(f"planes needs a direction mined at epoch {epoch}: mine_at holds {p['mine_at']}")


def plane(setting: Setting, tables: Tables, epoch: int, first: str, second: str) -> list[np.ndarray]:
    """The plane of two named directions as they are, and, where they overlap, of the second made orthogonal.

    Returns:
        For each the share of the way to every kept checkpoint that leads out of the plane, NaN for its own.
    """
    p, theta = setting.p, setting.theta(epoch)
    d1, d2 = (named_direction(setting, epoch, name) for name in (first, second))
    cosine = float(directions.cosines(torch.stack([d1, d2], 1))[0, 1])
    at1, at2 = (_view_towards(p, name) for name in (first, second))
    ways = [(0, d2)]
    if abs(cosine) > OVERLAP:
        ways.append((1, directions.orthogonalised(d2, d1)))
    for orthogonalised, other in ways:
        surface = slices.plane(setting.objective, theta, d1, other, at1, at2, batchnorm="re-estimated")
        tables.plane(
            at1,
            at2,
            np.asarray(surface),
            first=first,
            second=second,
            epoch=epoch,
            scale=p["plane_scale"],
            cosine=cosine,
            orthogonalised=orthogonalised,
        )
    setting.step()
    others = [e for e in sorted(p["keep"]) if e != epoch]
    shares = np.full(len(p["keep"]), np.nan)
    where = [sorted(p["keep"]).index(e) for e in others]
    shares[where] = slices.project(theta, d1, d2, torch.stack([setting.theta(e) for e in others])).off_share
    return [shares] * len(ways)


def _view_towards(p: Mapping[str, Any], name: str) -> np.ndarray:
    """[-s, s], and [-1, 2] towards another checkpoint, so that what lies there, at 1, is well inside."""
    if name.startswith(("E=", "E'=")):
        return np.linspace(-1, 2, 3 * (p["plane_points"] - 1) // 2 + 1)
    return view(p["plane_scale"], p["plane_points"])


def named_direction(setting: Setting, epoch: int, name: str) -> torch.Tensor:
    """A direction by the paper's abbreviation (Appendix A.4); random ones and eigenvectors as long as theta."""
    theta = setting.theta(epoch)
    if name == "Gau.":
        return directions.gaussian(setting.objective, theta, seed=gaussian_seed(setting, 0), normalize="model")
    if name == "Neg. Grad.":
        return directions.negative_gradient(setting.objective, theta)
    if name == "Mine":
        return mined_peak(setting, epoch)[0]
    if name.startswith("E'="):
        return directions.towards(theta, setting.independent(int(name[3:])))
    if name.startswith("E="):
        return directions.towards(theta, setting.theta(int(name[2:])))
    return setting.eigenvectors(epoch, setting.p["eigenpairs"])[name] * theta.norm()
