"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 60,000 and 10,000 images of clothes, 28 x 28, from its four idx.gz files."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np

from archc.train.data.dataset import Array, Dataset
from archc.train.errors import TrainError

PACKAGE = "dataset-fashion-mnist"
USUAL = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
IMAGES, LABELS = 2051, 2049  # the magic numbers of idx files of unsigned bytes with three dimensions, and with one


def load(folder: Path | None) -> Dataset:
    """The set from a folder, or from where Debian's package puts it."""
    folder = folder or installed()
    if folder is None:
        raise TrainError(f"fashion-mnist is not on this machine: install Debian's package (apt-get install {PACKAGE}), "
                         "or give the folder that holds its four idx.gz files: --data FOLDER")
    missing = [name for pair in FILES.values() for name in pair if not (folder / name).is_file()]
    if missing:
        raise TrainError(f"the folder '{folder}' is not Fashion-MNIST: it lacks {', '.join(missing)}")
    x, y = (read_idx(folder / name) for name in FILES["train"])
    x_test, y_test = (read_idx(folder / name) for name in FILES["test"])
    for images, labels in ((x, y), (x_test, y_test)):
        if len(images) != len(labels) or images.ndim != 3 or labels.ndim != 1 or labels.max(initial=0) >= len(CLASSES):
            raise TrainError(f"the folder '{folder}' is not Fashion-MNIST: images and labels do not go together")
    return Dataset("fashion-mnist", _images(x), y.astype(np.int64), "classes", CLASSES,
                   test=(_images(x_test), y_test.astype(np.int64)))


def installed() -> Path | None:
    """The folder of Debian's package, or None where it is not installed."""
    if (USUAL / FILES["train"][0]).is_file():
        return USUAL
    if shutil.which("dpkg") is None:
        return None
    listing = subprocess.run(["dpkg", "-L", PACKAGE], capture_output=True, text=True, check=False).stdout
    found = [Path(line) for line in listing.splitlines() if line.endswith(FILES["train"][0])]
    return found[0].parent if found else None


def read_idx(path: Path) -> Array:
    """An idx file of unsigned bytes: a magic number, the sizes as big-endian int32, the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise TrainError(f"'{path}' cannot be read: {error}") from None
    magic = int.from_bytes(raw[:4], "big")
    if magic not in (IMAGES, LABELS):
        raise TrainError(f"'{path}' is not an idx file of bytes")
    dims = magic & 0xFF
    shape = tuple(int.from_bytes(raw[4 + 4 * i: 8 + 4 * i], "big") for i in range(dims))
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims)
    if body.size != int(np.prod(shape)):
        raise TrainError(f"'{path}' is cut short: it should hold {int(np.prod(shape))} bytes and holds {body.size}")
    return body.reshape(shape)


def _images(x: Array) -> Array:
    return (x.astype(np.float32) / np.float32(255))[:, None, :, :]
