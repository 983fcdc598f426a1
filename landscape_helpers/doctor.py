"""What this machine has, and what each profile could run on it."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

from .catalogue import PROFILES, Catalogue, load_catalogue
from .store import Store

PROBE_SECONDS = 1.0


def examine() -> dict[str, Any]:
    """Versions, device, memory, data sets and the rough time of all runs of each profile.

    The time is the catalogue's floating-point operations over the rate of a few training steps of a small network
    measured here, so that it is right to a factor of about 2; sharpness and data loading are not in it.
    """
    import torch

    from . import __version__

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rate, store = training_rate(device), Store()
    data = {name: _data_set(name) for name in _names(load_catalogue())}
    return {
        "package": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": _version("torchvision"),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": _memory_gb(),
        "gflop_per_s": round(rate / 1e9, 1),
        "data": data,
        "results": [str(folder) for folder in store.folders],
        "profiles": {profile: _ability(profile, data, rate, store) for profile in PROFILES},
    }


def training_rate(device: str = "cpu") -> float:
    """Floating-point operations a second in training steps of a narrow convolutional network."""
    import torch
    from torch import nn

    width, size, n = 16, 16, 100
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
    net = net.to(device)
    x = torch.zeros(n, 3, size, size, device=device)
    macs = 9 * (3 + width) * width * size * size * n

    def step() -> None:
        net(x).square().mean().backward()
        if device == "cuda":
            torch.cuda.synchronize()

    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < PROBE_SECONDS:
        step()
        steps += 1
    return 6 * macs * steps / (time.perf_counter() - started)


def _ability(profile: str, data: dict[str, dict[str, Any]], rate: float, store: Store) -> dict[str, Any]:
    catalogue = load_catalogue()
    obstacles: dict[str, list[str]] = {}
    runnable: list[str] = []
    operations = 0.0
    for run in catalogue.runs.values():
        if profile not in run.scales:
            obstacles.setdefault(run.unavailable[profile], []).append(run.name)
            continue
        spec = catalogue.spec(run.name, profile)
        name, wanted = spec.parameters.get("data"), spec.parameters.get("n_train")
        if wanted is not None:
            wanted += spec.parameters.get("n_valid") or 0  # held out behind those to train on
        have = data[name]["train_images"] if name else 0  # a closed form needs none
        if have is None:
            missing = "not readable" if "problem" in data[str(name)] else "not found"
            obstacles.setdefault(f"data set {name} {missing}", []).append(run.name)
        elif wanted is not None and have < wanted:
            obstacles.setdefault(f"data set {name} has {have:,} of {wanted:,} training images", []).append(run.name)
        else:
            runnable.append(run.name)
            if store.state(spec) != "stored":
                operations += (spec.pflop or 0.0) * 1e15 * len(spec.seeds)
    return {"runnable": runnable, "obstacles": obstacles, "seconds_for_what_is_missing": round(operations / rate)}


def _names(catalogue: Catalogue) -> list[str]:
    used = [scale.parameters.get("data") for run in catalogue.runs.values() for scale in run.scales.values()]
    return sorted({name for name in used if name})


def _data_set(name: str) -> dict[str, Any]:
    from .archive import UNREADABLE, reason
    from .data import DataNotFoundError, check_dataset, find_source
    from .data.layouts import layout

    if name == "digits":
        return {"found": "embedded in scikit-learn", "train_images": 1500}
    try:
        found = check_dataset(name)
    except DataNotFoundError:
        return {"found": None, "train_images": None}
    path = find_source(name) if found is None else found[0]
    if path is None:
        return {"found": None, "train_images": None}
    try:
        images = _count(name, path) if found is None else sum(map(len, layout(path).train.values()))
    except UNREADABLE as error:
        return {"found": str(path), "train_images": None, "problem": reason(error)}
    return {"found": str(path), "train_images": images}


def _count(name: str, path: Path) -> int:
    """Training images, without reading the images where the format allows it."""
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as archive:
            return len(archive["y_train"])
    from .catalogue.cost import DATA_SIZES

    return DATA_SIZES[name][2]  # torchvision's layout holds the whole set


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _memory_gb() -> float | None:
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
