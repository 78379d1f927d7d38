"""examples/hypernet: its data, and short runs of its command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.examples.programs import Within, compare, program, train
from tests.peers import hyper, linear


@pytest.mark.parametrize("encoded", [True, False])
def test_model_equals_transcription(encoded: bool) -> None:
    compare("hypernet", "Turned", lambda: Within("classifier", hyper.MIPPerceptron(1, 8, 3, 6, encoded), lambda x: (
        x[:, 1:], x[:, :1])), (4, 9), {"encoded": encoded, "residual": encoded}, i=9, classes=3, hidden=6)


@pytest.mark.parametrize("told", [True, False])
def test_what_it_is_compared_with_equals_transcription(told: bool) -> None:
    compare("hypernet", "Fixed", lambda: Within("classifier", linear.Perceptron(8 + told, 3, 6, 1), lambda x: (
        x[:, 1 - told :],)), (4, 9), {"told": told}, i=9, classes=3, hidden=6)


def test_examples_are_turned_digits() -> None:
    """An angle of none leaves an image, half a turn of 180 degrees turns it over; no handwriting is in both parts."""
    data = program("hypernet", "data")
    image = np.arange(64.0).reshape(1, 8, 8) / 64

    class Shares:
        def __init__(self, share: float) -> None:
            self.share = share

        def uniform(self, size: int) -> np.ndarray:
            return np.full(size, self.share)

    for share, expected in ((0.0, image[0]), (1.0, image[0, ::-1, ::-1]), (0.5, np.rot90(image[0]))):
        x, y = data.turned(image, np.array([7]), 1, Shares(share))
        assert x.shape == (1, 65) and y.tolist() == [7] and x[0, 0] == share
        np.testing.assert_allclose(x[0, 1:].reshape(8, 8), expected, atol=1e-6)
    (x, y), (x_test, y_test) = data.examples(2, 0)
    assert (len(x), len(x_test)) == (2 * 1438, 2 * 359) and len(y) == len(x) and len(y_test) == len(x_test)
    assert x.min() >= 0 and x.max() <= 1


@pytest.mark.slow
def test_weights_that_know_the_angle_read_better(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = program("hypernet", "data").examples(2, 0)
    np.savez(tmp_path / "turned.npz", x=x, y=y, x_test=x_test, y_test=y_test)
    flags = ["--data", str(tmp_path / "turned.npz"), "--scale", "none", "--epochs", "6"]
    turned = train("hypernet", tmp_path / "turned", "--layer", "Turned", *flags)
    fixed = train("hypernet", tmp_path / "fixed", "--layer", "Fixed", *flags)
    assert turned["test_accuracy"] > 0.8 and turned["test_accuracy"] > fixed["test_accuracy"] + 0.1
