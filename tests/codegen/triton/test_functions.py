"""The prelude's mathematics, run by the interpreter, against numpy and scipy: units in the last place, infinities, nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from archc.codegen.triton.prelude import PRELUDE
from tests.codegen.triton.harness import module

pytestmark = pytest.mark.triton

# In float32: the reference, the bound in units in the last place, where it holds.
FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float, float]] = {
    "hyperbolic_tangent": (np.tanh, 4, 100), "logistic": (special.expit, 4, 80), "exp_less_1": (np.expm1, 4, 80),
    "log_of_1_plus": (np.log1p, 4, 1e6), "hyperbolic_sine": (np.sinh, 6, 80), "hyperbolic_cosine": (np.cosh, 4, 80),
    "arc_tangent": (np.arctan, 4, 1e6), "arc_sine": (np.arcsin, 6, 1), "arc_cosine": (np.arccos, 6, 1),
    "half_to_even": (np.round, 0, 1e9), "tangent": (np.tan, 1e4, 1.5),
}
LINES = "\n\n".join(
    f"@triton.jit\ndef each_{name}(x, y, SIZE: tl.constexpr):\n    at = tl.arange(0, SIZE)\n"
    f"    tl.store(y + at, {name}(tl.load(x + at)))" for name in (*FUNCTIONS, "sine", "cosine"))
SIZE = 1 << 14


def points(largest: float) -> Any:
    rng = np.random.default_rng(0)
    scales = [scale for scale in (1e-6, 1e-2, 1.0, 30.0, 1e4) if scale < largest or scale == 1e-6]
    x = np.concatenate([rng.uniform(-scale, scale, 2000) for scale in scales])
    x = np.concatenate([x, np.linspace(-largest, largest, SIZE - len(x) - 2), [0.0, 0.5]])
    return np.clip(x, -largest, largest)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_units_in_the_last_place(name: str, dtype: str) -> None:
    reference, bound, largest = FUNCTIONS[name]
    x = points(largest).astype(dtype)
    x = x[x > -1] if name == "log_of_1_plus" else x
    x = np.resize(x, SIZE)
    found = computed(name, x)
    exact = reference(x.astype(np.longdouble))
    away = np.abs(found - exact) / np.spacing(np.abs(exact).astype(dtype))
    assert away.max() <= bound, (x[away.argmax()], found[away.argmax()], away.max())


@pytest.mark.parametrize(("name", "reference"), [("sine", np.sin), ("cosine", np.cos)])
@pytest.mark.parametrize(("dtype", "largest", "bound"), [("float32", 1e3, 2e-7), ("float32", 1e4, 4e-7), ("float64", 1e4, 4e-16)])
def test_sine_and_cosine(name: str, reference: Callable[[Any], Any], dtype: str, largest: float, bound: float) -> None:
    x = points(largest).astype(dtype)
    assert np.abs(computed(name, x) - reference(x.astype(np.longdouble))).max() <= bound


@pytest.mark.parametrize(("name", "wanted"), [
    ("hyperbolic_tangent", [1, -1, np.nan]), ("logistic", [1, 0, np.nan]), ("exp_less_1", [np.inf, -1, np.nan]),
    ("hyperbolic_cosine", [np.inf, np.inf, np.nan]), ("hyperbolic_sine", [np.inf, -np.inf, np.nan]),
    ("arc_tangent", [np.pi / 2, -np.pi / 2, np.nan]), ("log_of_1_plus", [np.inf, np.nan, np.nan])])
def test_infinities_and_nan(name: str, wanted: list[float]) -> None:
    x = np.resize(np.array([np.inf, -np.inf, np.nan], "float32"), SIZE)
    np.testing.assert_allclose(computed(name, x)[:3], wanted, rtol=1e-6)


def computed(name: str, x: Any) -> Any:
    found = torch.empty(SIZE, dtype=torch.from_numpy(x).dtype)
    built = module(f"import triton\nimport triton.language as tl\n{PRELUDE}\n\n{LINES}\n")
    with np.errstate(all="ignore"):
        getattr(built, f"each_{name}")[(1,)](torch.from_numpy(x), found, SIZE=SIZE)
    return found.numpy()
