"""A CSV file with a header: numeric columns are features, one column is the target."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from archc.train.data.dataset import Array, Dataset, Reading, Task
from archc.train.errors import TrainError

FEW_CLASSES = 20  # whole numbers with at most this many different values are taken for class labels


def load(path: Path, reading: Reading) -> Dataset:
    """Raises TrainError, with the line and column, for a cell that is not a finite number."""
    header, rows = _rows(path)
    target = reading.target
    if target is None:
        raise TrainError(f"say which column of '{path}' to predict: --target COLUMN, one of {_some(header)}")
    for name in (target, *reading.skip):
        if name not in header:
            raise TrainError(f"'{path}' has no column '{name}'; its columns are {_some(header)}")
    columns = [i for i, name in enumerate(header) if name != target and name not in reading.skip]
    if not columns:
        raise TrainError(f"'{path}' has no column left to predict from")
    x = np.empty((len(rows), len(columns)), np.float32)
    for row, (line, cells) in enumerate(rows):
        for place, column in enumerate(columns):
            x[row, place] = _number(path, line, header[column], cells[column])
    where = header.index(target)
    y, names = _target(path, target, [(line, cells[where].strip()) for line, cells in rows], reading.task)
    return Dataset(path.stem, x, y, "classes" if names else "values", names, tuple(header[i] for i in columns))


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and each row with the line where it ends."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise TrainError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainError(f"'{path}' is not a CSV file in UTF-8: {error}") from None
    if not header:
        raise TrainError(f"'{path}' is empty")
    if len(set(header)) != len(header) or not all(header):
        raise TrainError(f"the first line of '{path}' must name its columns, each with a name of its own")
    if all(_is_number(name) for name in header):
        raise TrainError(f"the first line of '{path}' holds numbers: it must name the columns")
    for line, row in rows:
        if len(row) != len(header):
            raise TrainError(f"{path}:{line}: this row has {len(row)} cells, the header names {len(header)} columns")
    if len(rows) < 3:
        raise TrainError(f"'{path}' has {len(rows)} rows: too few to train, validate and test")
    return header, rows


def _target(path: Path, column: str, cells: list[tuple[int, str]], task: Task | None) -> tuple[Array, tuple[str, ...]]:
    """(y, class names): no names where the target is a value. Text, and a few different whole numbers, are classes."""
    numeric = all(_is_number(text) for _, text in cells)
    if task is None and numeric:
        different = {float(text) for _, text in cells}
        task = "classes" if len(different) <= FEW_CLASSES and all(v.is_integer() for v in different) else "values"
    if task == "values":
        return np.array([_number(path, line, column, text) for line, text in cells], np.float32), ()
    for line, text in cells:
        if not text:
            raise TrainError(f"{path}:{line}: the target '{column}' is empty")
    labels = [text for _, text in cells]
    names = sorted(set(labels), key=lambda name: (float(name), name) if numeric else (0.0, name))
    if len(names) < 2:
        raise TrainError(f"the target '{column}' of '{path}' has the same label in every row: '{names[0]}'")
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[label] for label in labels], np.int64), tuple(names)


def _number(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        shown = f"'{text.strip()}'" if text.strip() else "nothing"
        raise TrainError(f"{path}:{line}: column '{column}' holds {shown}, not a number; "
                         f"leave the column out with --skip {column}") from None
    if not np.isfinite(np.float32(value)):
        raise TrainError(f"{path}:{line}: column '{column}' holds {text.strip()}, which is not a finite number in float32")
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _some(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
