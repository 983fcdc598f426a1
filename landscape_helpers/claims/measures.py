r"""Numbers that claims are decided on: each a function of one run's record and keyword arguments.

Of a descent: :math:`\bar\mu_k` is the windowed correlation (GO-D04), trailing, so that it exists from step 4 on;
*oscillating* means :math:`\bar\mu_k<0`; one epoch is one step. Of slices: arguments such as ``family``, ``epoch`` and
``scale`` choose the curves or planes, with epochs as the paper numbers them (:mod:`.slices`). A number that does not
exist, such as the epoch of a turn that never comes, is NaN, and no predicate is satisfied by it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from .registry import MEASURES, check_arguments, measure

__all__ = ["MEASURES", "check_arguments", "measure"]

# Importing a module enters its measures in the table.
for _module in pkgutil.iter_modules([str(Path(__file__).parent)]):
    if _module.name.endswith("_measures"):
        import_module(f"{__package__}.{_module.name}")
