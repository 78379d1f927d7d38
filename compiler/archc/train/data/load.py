"""From a name or path to a Dataset."""

from __future__ import annotations

from pathlib import Path

from archc.train.data.dataset import Dataset, Reading
from archc.train.errors import TrainError

BUNDLED = ("digits", "breast-cancer", "diabetes")
FASHION = "fashion-mnist"
NAMES = (*BUNDLED, FASHION)


def load(source: str, reading: Reading | None = None) -> Dataset:
    """The data called `source`: a name of NAMES, a CSV or NPZ file, or a folder with Fashion-MNIST's four files.

    Raises TrainError with a sentence that says what is missing and how to get it.
    """
    reading = reading or Reading()
    if source in BUNDLED:
        from archc.train.data import bundled

        return bundled.load(source)
    path = Path(source)
    if source == FASHION or path.is_dir():
        from archc.train.data import fashion

        return fashion.load(None if source == FASHION else path)
    if not path.exists():
        raise TrainError(f"there is no data called '{source}': it is neither a file nor one of {', '.join(NAMES)}")
    if path.suffix.lower() == ".csv":
        from archc.train.data import table

        return table.load(path, reading)
    if path.suffix.lower() == ".npz":
        from archc.train.data import arrays

        return arrays.load(path, reading)
    raise TrainError(f"'{source}' is not data that archc reads: a file must end in .csv or .npz")
