"""Modes of torch around a call in which an objective would be another function, or have no gradient."""

from __future__ import annotations

import torch


def check_precision(device: torch.device) -> None:
    """Refuse autocast, which computes in another dtype and goes on using parameters that have moved since.

    Raises:
        RuntimeError: autocast is on for the device.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        raise RuntimeError(
            f"torch.autocast is on, and an objective computes in its own dtype: leave it, or go through "
            f"torch.autocast({device.type!r}, enabled=False); for another precision give Objective a dtype"
        )


def check_gradients() -> None:
    """Refuse inference mode, in which no gradient can be had, not even by switching gradients on.

    Raises:
        RuntimeError: it is on.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError(
            "torch.inference_mode() is on, which rules out gradients: leave it, or go through "
            "torch.inference_mode(False); torch.no_grad() does not get in the way"
        )
