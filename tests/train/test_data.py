"""Reading data: every way to give it, and a sentence for every way that fails."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from archc.train.data import Reading, load
from archc.train.data.fashion import CLASSES, FILES, installed, read_idx
from archc.train.data.split import split
from archc.train.errors import TrainError


def fails(source: Path | str, reading: Reading | None = None) -> str:
    with pytest.raises(TrainError) as caught:
        load(str(source), reading)
    return str(caught.value)


@pytest.mark.parametrize(("name", "shape", "task", "outputs"), [
    ("digits", (1797, 1, 8, 8), "classes", 10), ("breast-cancer", (569, 30), "classes", 2), ("diabetes", (442, 10), "values", 1)])
def test_bundled(name: str, shape: tuple[int, ...], task: str, outputs: int) -> None:
    data = load(name)
    assert (data.x.shape, data.x.dtype, data.task, data.outputs) == (shape, np.float32, task, outputs)
    assert data.y.shape == shape[:1] and data.y.dtype == (np.int64 if task == "classes" else np.float32)


def test_digits_are_pixels_from_0_to_1() -> None:
    x = load("digits").x
    assert (x.min(), x.max()) == (0, 1)


def test_unknown_name() -> None:
    assert fails("mnits") == ("there is no data called 'mnits': it is neither a file nor one of digits, breast-cancer, diabetes, "
                              "fashion-mnist")


# ------------------------------------------------------------------------------------------------------------ csv
def csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_text_labels(tmp_path: Path) -> None:
    path = csv(tmp_path, "size,kind,weight\n1,cat,2.5\n\n2,dog,1e1\n3,cat,-1\n")
    data = load(str(path), Reading(target="kind"))
    assert data.features == ("size", "weight") and data.class_names == ("cat", "dog") and data.task == "classes"
    assert data.x.tolist() == [[1, 2.5], [2, 10], [3, -1]] and data.y.tolist() == [0, 1, 0]


def test_csv_target_kinds(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,few,many,real\n" + "".join(f"{i},{10 - i % 3},{i},{i}.5\n" for i in range(30)))
    few = load(str(path), Reading(target="few"))
    assert few.task == "classes" and few.class_names == ("8", "9", "10")
    assert load(str(path), Reading(target="many")).task == "values"
    assert load(str(path), Reading(target="real")).task == "values"
    assert load(str(path), Reading(target="few", task="values")).y.tolist()[:3] == [10, 9, 8]
    assert load(str(path), Reading(target="many", task="classes")).classes == 30


@pytest.mark.parametrize(("text", "reading", "sentence"), [
    ("a,b\n1,2\n1,2\n1,2\n", Reading(), "say which column of '{path}' to predict: --target COLUMN, one of a, b"),
    ("a,b\n1,2\n1,2\n1,2\n", Reading(target="c"), "'{path}' has no column 'c'; its columns are a, b"),
    ("a,b\n1,2\nx,2\n1,3\n", Reading(target="b"),
     "{path}:3: column 'a' holds 'x', not a number; leave the column out with --skip a"),
    ("a,b\n1,2\n,2\n1,3\n", Reading(target="b"),
     "{path}:3: column 'a' holds nothing, not a number; leave the column out with --skip a"),
    ("a,b\n1,2\nnan,2\n1,3\n", Reading(target="b"), "{path}:3: column 'a' holds nan, which is not a finite number in float32"),
    ("a,b\n1,2\n1\n1,3\n", Reading(target="b"), "{path}:3: this row has 1 cells, the header names 2 columns"),
    ("1,2\n1,2\n3,4\n5,6\n", Reading(target="1"), "the first line of '{path}' holds numbers: it must name the columns"),
    ("a,a\n1,2\n3,4\n5,6\n", Reading(target="a"),
     "the first line of '{path}' must name its columns, each with a name of its own"),
    ("", Reading(target="a"), "'{path}' is empty"),
    ("a\n", Reading(target="a"), "'{path}' has 0 rows: too few to train, validate and test"),
    ("a,b\n1,x\n1,x\n1,x\n", Reading(target="b"), "the target 'b' of '{path}' has the same label in every row: 'x'"),
    ("a\n1\n2\n3\n", Reading(target="a"), "'{path}' has no column left to predict from"),
])
def test_csv_that_is_wrong(tmp_path: Path, text: str, reading: Reading, sentence: str) -> None:
    path = csv(tmp_path, text)
    assert fails(path, reading) == sentence.format(path=path)


def test_csv_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n\xff\xfe,1\n")
    assert fails(path, Reading(target="b")).startswith(f"'{path}' is not a CSV file in UTF-8")


# ------------------------------------------------------------------------------------------------------------ npz
def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.zeros((5, 3)), y=np.array([3, 5, 3, 7, 5]), z=np.arange(5.0))
    data = load(str(path))
    assert data.task == "classes" and data.class_names == ("3", "5", "7") and data.y.tolist() == [0, 1, 0, 2, 1]
    assert load(str(path), Reading(target="z")).task == "values"
    assert load(str(path), Reading(target="y", task="values")).y.tolist() == [3, 5, 3, 7, 5]


def test_npz_with_its_own_test_part(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.arange(20).reshape(10, 2), y=["b", "a"] * 5, x_test=np.zeros((2, 2), int), y_test=["a", "b"])
    data = load(str(path))
    assert data.test is not None and data.test[1].tolist() == [0, 1] and data.x.dtype == np.int64
    parts = split(data, seed=0, validation=0.2, test=0.2)
    assert [len(p.x) for p in (parts.train, parts.validation, parts.test)] == [8, 2, 2]


def test_npz_with_fields(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(size=(20, 1, 4, 5)), y=3 + rng.normal(size=(20, 2, 4, 5)))
    data = load(str(path))
    assert data.is_field and data.task == "values" and data.outputs == 2
    assert data.describe() == "d: 20 examples of 1 x 4 x 5, fields of 2 x 4 x 5"
    parts = split(data, 0, 0.2, 0.2)
    assert parts.targets is not None and float(np.abs(parts.targets.shift).max()) == 0
    assert np.mean(parts.train.y**2) == pytest.approx(1, rel=1e-5)


def test_npz_of_bytes_is_pixels(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.full((4, 1, 2, 2), 255, np.uint8), y=np.arange(4) % 2)
    assert load(str(path)).x.max() == 1.0


@pytest.mark.parametrize(("arrays", "sentence"), [
    ({"a": np.zeros(3)}, "'{path}' has no array 'x'; it has a; choose with --input NAME"),
    ({"x": np.zeros((4, 2))}, "'{path}' has no array 'y'; it has x; choose with --target NAME"),
    ({"x": np.zeros(4), "y": np.zeros(4)}, "the array 'x' of '{path}' must be [n, ...]; its shape is [4]"),
    ({"x": np.zeros((4, 2)), "y": np.zeros(5)}, "'{path}' has 4 examples in 'x' and 5 in 'y'"),
    ({"x": np.full((4, 2), np.nan), "y": np.zeros(4)}, "the array 'x' of '{path}' holds values that are not finite"),
    ({"x": np.zeros((4, 2)), "y": np.zeros(4, int)}, "the array 'y' of '{path}' has one class only"),
    ({"x": np.zeros((4, 2)), "y": np.zeros((4, 1, 3, 3)), "x_test": np.zeros((2, 2)), "y_test": np.zeros((2, 1, 3, 2))},
     "'{path}': one example of 'y_test' has another shape than one of 'y'"),
    ({"x": np.zeros((2, 2)), "y": np.zeros(2)}, "'{path}' has 2 examples: too few to train, validate and test"),
])
def test_npz_that_is_wrong(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, **arrays)
    assert fails(path) == sentence.format(path=path)


def test_npz_is_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([{"a": 1}] * 4, object), y=np.zeros(4))
    assert "cannot be read as an NPZ file of plain arrays" in fails(path)


def test_not_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(b"nonsense")
    assert "cannot be read as an NPZ file of plain arrays" in fails(path)


# -------------------------------------------------------------------------------------------------- fashion-mnist
def idx(array: np.ndarray) -> bytes:
    head = (0x0800 + array.ndim).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def write_fashion(folder: Path, n: int = 12) -> None:
    rng = np.random.default_rng(0)
    for images, labels in FILES.values():
        (folder / images).write_bytes(idx(rng.integers(0, 256, (n, 28, 28))))
        (folder / labels).write_bytes(idx(np.arange(n) % len(CLASSES)))


def test_fashion_from_a_folder(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    data = load(str(tmp_path))
    assert data.x.shape == (12, 1, 28, 28) and 0 <= data.x.min() and data.x.max() <= 1 and data.classes == 10
    assert data.test is not None and len(data.test[0]) == 12


def test_a_folder_that_is_not_fashion(tmp_path: Path) -> None:
    assert fails(tmp_path).startswith(f"the folder '{tmp_path}' is not Fashion-MNIST: it lacks train-images-idx3-ubyte.gz")


def test_idx_files_that_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    for content, word in ((b"abc", "cannot be read"), (gzip.compress(b"abcdefgh"), "is not an idx file"),
                          (gzip.compress(gzip.decompress(idx(np.zeros((3, 2, 2))))[:-1]), "is cut short"),
                          (idx(np.zeros((3, 2, 2)))[:-9], "cannot be read")):
        path.write_bytes(content)
        with pytest.raises(TrainError, match=word):
            read_idx(path)


@pytest.mark.skipif(installed() is None, reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_where_debian_puts_it() -> None:
    data = load("fashion-mnist")
    assert data.x.shape == (60000, 1, 28, 28) and np.bincount(data.y).tolist() == [6000] * 10
    assert data.test is not None and data.test[0].shape == (10000, 1, 28, 28)


# ---------------------------------------------------------------------------------------------------------- split
def test_split_is_a_partition_with_each_class_in_proportion() -> None:
    data = load("digits")
    parts = split(data, seed=3, validation=0.1, test=0.2)
    sizes = [len(p.x) for p in (parts.train, parts.validation, parts.test)]
    assert sizes == [1258, 180, 359]
    together = np.concatenate([p.x for p in (parts.train, parts.validation, parts.test)]).reshape(1797, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, data.x.reshape(1797, -1)))
    for part, size in ((parts.validation, 180), (parts.test, 359)):
        assert np.abs(np.bincount(part.y) / size - np.bincount(data.y) / 1797).max() < 2 / size


def test_split_depends_on_the_seed_alone() -> None:
    data = load("diabetes")
    a, b, c = (split(data, seed, 0.1, 0.2) for seed in (1, 1, 2))
    assert (a.test.x == b.test.x).all() and not (a.test.x == c.test.x).all()


def test_scaling_knows_the_training_part_only() -> None:
    parts = split(load("diabetes"), 0, 0.1, 0.2)
    assert np.abs(parts.train.x.mean(0)).max() < 1e-5 and np.abs(parts.train.x.std(0) - 1).max() < 1e-4
    assert np.abs(parts.test.x.mean(0)).max() > 1e-3
    assert abs(parts.train.y.mean()) < 1e-5 and parts.targets is not None
    ranged = split(load("breast-cancer"), 0, 0.1, 0.2, "range")
    assert np.allclose(ranged.train.x.min(0), -1, atol=1e-5) and np.allclose(ranged.train.x.max(0), 1, atol=1e-5)


def test_a_feature_that_never_varies_stays_finite(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones((20, 2)), y=np.arange(20.0))
    for scale in ("standard", "range"):
        assert np.abs(split(load(str(path)), 0, 0.1, 0.2, scale).train.x).max() == 0  # type: ignore[arg-type]


def test_too_few_examples_to_split() -> None:
    with pytest.raises(TrainError, match="nothing is left to train on"):
        split(load("diabetes"), 0, 0.5, 0.5)
