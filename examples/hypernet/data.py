"""scikit-learn's handwritten digits, each turned by several angles between 0 and 180 degrees.

Writes an NPZ with x [n, 65], the angle as a share of 180 degrees and then 8 x 8 pixels from 0 to 1, and y [n], the digit; x_test and
y_test are of other handwriting than x and y.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits


def turned(images: np.ndarray, labels: np.ndarray, angles: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Every image at `angles` angles, drawn evenly: x [n * angles, 65] and y."""
    rows, found = [], []
    for image, label in zip(images, labels, strict=True):
        for share in rng.uniform(size=angles):
            pixels = rotate(image, 180 * share, reshape=False, order=1)
            rows.append(np.concatenate([[share], pixels.ravel()]))
            found.append(label)
    return np.array(rows, np.float32), np.array(found, np.int64)


def examples(angles: int, seed: int, test: float = 0.2) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    digits = load_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits.target))
    cut = round(test * len(order))
    parts = [turned(digits.images[part] / 16, digits.target[part], angles, rng) for part in (order[cut:], order[:cut])]
    return parts[0], parts[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="turned.npz")
    parser.add_argument("--angles", type=int, default=8, help="of each image (8)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    (x, y), (x_test, y_test) = examples(given.angles, given.seed)
    np.savez_compressed(given.out, x=x, y=y, x_test=x_test, y_test=y_test)
    print(f"{given.out}: {len(x)} to train on and {len(x_test)} to test")


if __name__ == "__main__":
    main()
