"""Searching for directions along which the loss has a rarer shape, and what chance finds at the same cost."""

from .null import NullModel, best_random, null_vvv_basin, null_w_peak
from .result import Mined
from .vvv_basin import vvv_basin
from .w_peak import w_peak

__all__ = ["Mined", "NullModel", "best_random", "null_vvv_basin", "null_w_peak", "vvv_basin", "w_peak"]
