r"""Numbers that claims are decided on: each a function of one run's record and keyword arguments.

:math:`\bar\mu_k` is the windowed correlation (GO-D04), trailing, so that it exists from step 4 on; *oscillating* means
:math:`\bar\mu_k<0`. One epoch is one step. A number that does not exist, such as the epoch of a turn that never comes,
is NaN, and no predicate is satisfied by it.
"""

from __future__ import annotations

from . import layer_measures, run_measures  # noqa: F401  (importing a module enters its measures in the table)
from .registry import MEASURES, check_arguments, measure

__all__ = ["MEASURES", "check_arguments", "measure"]
