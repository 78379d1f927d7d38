"""Darcy's equation -div(a grad u) = 1 on the unit square, u = 0 on its border: random a, and u by a sparse solver.

`a` is 12 where a Gaussian field is positive and 3 elsewhere (Li et al., ICLR 2021, section 5.2), or its exponential (--lognormal).
Writes an NPZ with x, y to train on and x_test, y_test, each [n, 1, points, points], borders included.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.fft import idctn
from scipy.sparse import diags_array
from scipy.sparse.linalg import spsolve


def gaussian_field(points: int, rng: np.random.Generator, tau: float = 3.0, alpha: float = 2.0) -> np.ndarray:
    """A draw of N(0, (-Laplace + tau^2)^-alpha) with Neumann borders and mean 0, by its cosine series."""
    k = np.arange(points)
    power = tau ** (alpha - 1) * (np.pi**2 * (k[:, None] ** 2 + k**2) + tau**2) ** (-alpha / 2)
    modes = points * power * rng.normal(size=(points, points))
    modes[0, 0] = 0
    return idctn(modes, norm="ortho")


def solve(a: np.ndarray) -> np.ndarray:
    """u on the points of `a`, by five-point differences: a face has the mean of `a` on both sides."""
    points = len(a)
    n = points - 2
    down, right = (a[1:, 1:-1] + a[:-1, 1:-1]) / 2, (a[1:-1, 1:] + a[1:-1, :-1]) / 2
    centre = (down[1:] + down[:-1] + right[:, 1:] + right[:, :-1]).ravel()
    below = -down[1:-1].ravel()
    beside = -right[:, 1:].copy()
    beside[:, -1] = 0  # the last point of a row has no neighbour in the next
    beside = beside.ravel()[:-1]
    matrix = diags_array([centre, beside, beside, below, below], offsets=[0, 1, -1, n, -n], format="csc")
    u = np.zeros_like(a)
    u[1:-1, 1:-1] = spsolve(matrix, np.full(n * n, 1 / (points - 1) ** 2)).reshape(n, n)
    return u


def examples(count: int, points: int, seed: int, lognormal: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fields = [gaussian_field(points, rng) for _ in range(count)]
    media = [np.exp(g) if lognormal else np.where(g >= 0, 12.0, 3.0) for g in fields]
    return np.stack(media)[:, None], np.stack([solve(a) for a in media])[:, None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="darcy.npz")
    parser.add_argument("--points", type=int, default=33)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lognormal", action="store_true", help="the exponential of the field, in place of 12 and 3")
    given = parser.parse_args()
    x, y = examples(given.train + given.test, given.points, given.seed, given.lognormal)
    x, y = x.astype(np.float32), y.astype(np.float32)
    np.savez_compressed(given.out, x=x[: given.train], y=y[: given.train], x_test=x[given.train:], y_test=y[given.train:])
    print(f"{given.out}: {given.train} and {given.test} of {given.points} x {given.points} points")


if __name__ == "__main__":
    main()
