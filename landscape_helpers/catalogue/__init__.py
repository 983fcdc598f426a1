"""The table of contents of the reproduction: which figure needs which runs, at which scale, and what it must show.

One YAML file a paper, beside this module. Nothing here imports torch, so that the table opens at once.
"""

from .cost import forward_macs, run_pflop
from .loader import load_catalogue, parse_catalogue
from .model import PROFILES, Catalogue, Claim, Figure, Level, Measurement, Run, RunSpec, Scale

__all__ = [
    "PROFILES",
    "Catalogue",
    "Claim",
    "Figure",
    "Level",
    "Measurement",
    "Run",
    "RunSpec",
    "Scale",
    "forward_macs",
    "load_catalogue",
    "parse_catalogue",
    "run_pflop",
]
