"""An NPZ file: array `x` [n, ...] and array `y` [n], [n, values] or a field [n, ...], or others that the flags name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from archc.train.data.dataset import Array, Dataset, Reading, Task
from archc.train.errors import TrainError


def load(path: Path, reading: Reading) -> Dataset:
    """`x_test` and `y_test`, where the file has both, are the test examples. Nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise TrainError(f"'{path}' cannot be read as an NPZ file of plain arrays: {error}") from None
    x_name, y_name = reading.input or "x", reading.target or "y"
    for name, flag in ((x_name, "--input"), (y_name, "--target")):
        if name not in arrays:
            known = ", ".join(sorted(arrays)) or "none"
            raise TrainError(f"'{path}' has no array '{name}'; it has {known}; choose with {flag} NAME")
    x = _inputs(path, x_name, arrays[x_name])
    y, names, task = _targets(path, y_name, arrays[y_name], reading.task)
    _together(path, x_name, x, y_name, y)
    if len(x) < 3:
        raise TrainError(f"'{path}' has {len(x)} examples: too few to train, validate and test")
    test = None
    if {"x_test", "y_test"} <= arrays.keys():
        labels = arrays["y_test"].astype(str)
        unknown = sorted(set(labels.ravel()) - set(names)) if names else []
        if unknown:
            raise TrainError(f"the array 'y_test' of '{path}' has the label {unknown[0]}, which '{y_name}' lacks")
        y_test = (np.array([names.index(label) for label in labels], np.int64) if names
                  else arrays["y_test"].astype(np.float32))
        test = _inputs(path, "x_test", arrays["x_test"]), y_test
        _together(path, "x_test", test[0], "y_test", test[1])
        for own, of_test, like, example in (("x_test", test[0], x_name, x), ("y_test", y_test, y_name, y)):
            if of_test.shape[1:] != example.shape[1:]:
                raise TrainError(f"'{path}': one example of '{own}' has another shape than one of '{like}'")
    return Dataset(path.stem, x, y, task, names, test=test)


def _inputs(path: Path, name: str, x: Array) -> Array:
    if x.ndim < 2:
        raise TrainError(f"the array '{name}' of '{path}' must be [n, ...]; its shape is {list(x.shape)}")
    if x.dtype.kind == "b":
        return x.astype(np.float32)
    if x.dtype == np.uint8:  # bytes are pixels; wider integers are indices
        return x.astype(np.float32) / np.float32(255)
    if x.dtype.kind in "iu":
        return x.astype(np.int64)
    if x.dtype.kind != "f":
        raise TrainError(f"the array '{name}' of '{path}' must hold numbers; its dtype is {x.dtype}")
    if not np.isfinite(x).all():
        raise TrainError(f"the array '{name}' of '{path}' holds values that are not finite")
    return x.astype(np.float32)


def _targets(path: Path, name: str, y: Array, task: Task | None) -> tuple[Array, tuple[str, ...], Task]:
    """Whole numbers, bools and texts are class labels, floats are values, unless `task` says otherwise."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    task = task or ("values" if y.dtype.kind == "f" else "classes")
    if task == "values":
        if y.dtype.kind not in "fiub" or y.ndim < 1:
            raise TrainError(f"the array '{name}' of '{path}' must be numbers [n], [n, values] or a field [n, ...]")
        if not np.isfinite(y).all():
            raise TrainError(f"the array '{name}' of '{path}' holds values that are not finite")
        return y.astype(np.float32), (), task
    if y.ndim != 1:
        raise TrainError(f"the array '{name}' of '{path}' must hold one class label an example; its shape is {list(y.shape)}")
    labels, numbers = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        raise TrainError(f"the array '{name}' of '{path}' has one class only")
    return numbers.astype(np.int64), tuple(map(str, labels)), task


def _together(path: Path, x_name: str, x: Array, y_name: str, y: Array) -> None:
    if len(x) != len(y):
        raise TrainError(f"'{path}' has {len(x)} examples in '{x_name}' and {len(y)} in '{y_name}'")
