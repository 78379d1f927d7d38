"""Data to train on: bundled sets by name, the user's own CSV and NPZ files by path."""

from archc.train.data.dataset import Dataset, Reading
from archc.train.data.load import NAMES, load

__all__ = ["NAMES", "Dataset", "Reading", "load"]
