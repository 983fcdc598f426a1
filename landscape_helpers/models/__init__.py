"""The networks that the papers train, in the sizes that their images ask for."""

from .registry import MODELS, build_model, model_table

__all__ = ["MODELS", "build_model", "model_table"]
