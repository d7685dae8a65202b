"""Data sets behind one interface: `load` gives train, validation and held-out samples."""

from training.datasets.registry import NAMES, DataOptions, load
from training.datasets.samples import Dataset, DatasetError, Samples

__all__ = ["NAMES", "DataOptions", "Dataset", "DatasetError", "Samples", "load"]
