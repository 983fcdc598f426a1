"""Instruments for neural-network loss landscapes, and the experiments of four papers that use them."""

__version__ = "0.1.0"
