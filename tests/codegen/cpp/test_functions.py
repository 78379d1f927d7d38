"""The prelude's mathematics against numpy and scipy in float64: units in the last place, infinities, nan, subnormal numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import special

from archc.codegen.cpp.prelude import PRELUDE
from archc.runtime import native

pytestmark = pytest.mark.compiler

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exponential": (np.exp, 1), "logarithm": (np.log, 1), "hyperbolic_tangent": (np.tanh, 2), "logistic": (special.expit, 4),
    "exponential_less_1": (np.expm1, 4), "logarithm_of_1_plus": (np.log1p, 2), "inverse_root": (lambda x: 1 / np.sqrt(x), 2),
    "error_function": (special.erf, 2),
}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 88.7, 89, -87.3, -88, -95, -103, -110, 1, -1, 1e-30]


@cache
def built() -> ctypes.CDLL:
    loops = "".join(
        f'extern "C" void each_{name}(const float* x, float* y, int64_t n) {{\n    #pragma omp simd\n'
        f"    for (int64_t i = 0; i < n; ++i) y[i] = {name}(x[i]);\n}}\n" for name in FUNCTIONS)
    return ctypes.CDLL(str(native.build(PRELUDE + loops)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_units_in_the_last_place(name: str) -> None:
    reference, bound = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=100_000) * scale for scale in (1e-3, 1.0, 30.0)]
    x = np.concatenate([*drawn, np.linspace(-100, 100, 200_001), SPECIAL]).astype(np.float32)
    y = np.empty_like(x)
    getattr(built(), f"each_{name}")(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(len(x)))
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    normal = np.isfinite(rounded)
    away = np.abs(y[normal] - exact[normal]) / np.spacing(np.abs(rounded[normal])).astype(np.float64)
    assert away.max() <= bound, (name, x[normal][away.argmax()], away.max())
    np.testing.assert_array_equal(y[~normal], rounded[~normal])
