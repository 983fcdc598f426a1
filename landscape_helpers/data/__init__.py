"""Image classification data with provenance."""

from .classes import DATASETS
from .dataset import Data
from .load import check_dataset, load_data
from .sources import DataNotFoundError, find_source, search_path

__all__ = ["DATASETS", "Data", "DataNotFoundError", "check_dataset", "find_source", "load_data", "search_path"]
