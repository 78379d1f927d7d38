"""The mathematics of kernels against numpy, scipy and mpmath in more digits: units in the last place, infinities, nan, subnormal
numbers, large arguments; with the instructions of this machine, with AVX2, and with neither."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np
import pytest
import torch
from scipy import special

from archc.codegen.cpp.prelude import PRELUDE
from archc.codegen.cpp.vectors import vectors
from archc.runtime import native

pytestmark = pytest.mark.compiler

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exponential": (np.exp, 1), "logarithm": (np.log, 1), "hyperbolic_tangent": (np.tanh, 2), "logistic": (special.expit, 4),
    "exponential_less_1": (np.expm1, 4), "logarithm_of_1_plus": (np.log1p, 2), "inverse_root": (lambda x: 1 / np.sqrt(x), 2),
    "error_function": (special.erf, 2), "sine_of": (np.sin, 1), "cosine_of": (np.cos, 1), "std::tan": (np.tan, 1),
    "std::asin": (np.arcsin, 1), "std::acos": (np.arccos, 1), "std::atan": (np.arctan, 1), "std::sinh": (np.sinh, 2),
    "std::cosh": (np.cosh, 2),
}
DOUBLES: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exponential": (mpmath.exp, 1), "logarithm": (mpmath.log, 1), "hyperbolic_tangent": (mpmath.tanh, 2),
    "logistic": (lambda x: 1 / (1 + mpmath.exp(-x)), 3), "exponential_less_1": (mpmath.expm1, 1),
    "logarithm_of_1_plus": (mpmath.log1p, 1), "error_function": (mpmath.erf, 1), "sine_of": (mpmath.sin, 1),
    "cosine_of": (mpmath.cos, 1), "std::tan": (mpmath.tan, 1), "std::atan": (mpmath.atan, 1),
}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 88.7, 89, -87.3, -88, -95, -103, -110, 1, -1, 1e-30,
           1e5, 1e10, -1e20, 16367173.0 * 2.0**72]
"""The last is nearly a multiple of pi / 2."""

INSTRUCTIONS = {"native": (), "avx2": ("-mno-avx512f",), "sse": ("-mno-avx",)}


@cache
def built(flags: tuple[str, ...]) -> ctypes.CDLL:
    loops = "".join(
        f'extern "C" void each_{name.removeprefix("std::")}_{dtype}(const {dtype}* x, {dtype}* y, int64_t n) {{\n'
        f"    #pragma omp simd\n    for (int64_t i = 0; i < n; ++i) y[i] = {name}(x[i]);\n}}\n"
        for dtype, table in (("float", FUNCTIONS), ("double", DOUBLES)) for name in table)
    loops += """
extern "C" void each_power_float(const float* x, float* y, int64_t n) {
    #pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = power(x[i], y[i]);
}
"""
    return ctypes.CDLL(str(native.build(vectors(loops) + PRELUDE + loops, flags)))


def computed(name: str, flags: tuple[str, ...], x: Any, y: Any = None) -> Any:
    dtype = "float" if x.dtype == np.float32 else "double"
    y = np.empty_like(x) if y is None else y.copy()
    function = getattr(built(flags), f"each_{name.removeprefix('std::')}_{dtype}")
    function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int64(len(x)))
    return y


def compare(name: str, x: Any, y: Any, exact: Any, bound: float) -> None:
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        normal = np.isfinite(rounded)
        away = np.abs(y[normal] - exact[normal]) / np.spacing(np.abs(rounded[normal])).astype(np.float64)
    assert away.max() <= bound, (name, x[normal][away.argmax()], away.max())
    np.testing.assert_array_equal(y[~normal], rounded[~normal])


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_units_in_the_last_place(name: str, instructions: str) -> None:
    reference, bound = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=100_000) * scale for scale in (1e-3, 1.0, 30.0, 1e6)]
    x = np.concatenate([*drawn, np.linspace(-100, 100, 200_001), SPECIAL]).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    compare(name, x, computed(name, INSTRUCTIONS[instructions], x), exact, bound)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_powers(instructions: str) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.normal(size=20_000)), -np.exp(rng.normal(size=2_000)), np.repeat(SPECIAL, len(SPECIAL))])
    y = np.concatenate([rng.normal(size=20_000) * 5, np.arange(2_000) % 9 - 4, np.tile(SPECIAL, len(SPECIAL))])
    x, y = x.astype(np.float32), y.astype(np.float32)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
    compare("power", x, computed("power", INSTRUCTIONS[instructions], x, y), exact, 1)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("name", DOUBLES)
def test_units_in_the_last_place_of_doubles(name: str, instructions: str) -> None:
    reference, bound = DOUBLES[name]
    rng = np.random.default_rng(0)
    finite = [x for x in SPECIAL if np.isfinite(x) and abs(x) > 1e-300]
    x = np.concatenate([*(rng.normal(size=700) * scale for scale in (1e-3, 1.0, 30.0, 1e6)), finite, [1e22, 7e-310]])
    y = computed(name, INSTRUCTIONS[instructions], x)
    with mpmath.workprec(2200):
        for at, value in zip(x, y, strict=True):
            at, value = float(at), float(value)
            if (name == "logarithm" and at <= 0) or (name == "logarithm_of_1_plus" and at <= -1):
                assert value != value or value == (-np.inf if at in (0, -1) else np.nan), (name, at)
                continue
            exact = reference(mpmath.mpf(at))
            if abs(exact) >= 2 ** mpmath.mpf(1024):
                assert value == np.inf, (name, at)
            else:
                assert abs(mpmath.mpf(value) - exact) <= bound * mpmath.mpf(np.spacing(abs(float(exact)))), (name, at, value)


def test_special_values_of_doubles() -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan] * 3)
    for name, (reference, _) in FUNCTIONS.items():
        if name in DOUBLES:
            with np.errstate(all="ignore"):
                wanted = reference(x)
            found = computed(name, (), x)
            np.testing.assert_array_equal(found, wanted, err_msg=name)
            signed = wanted == 0
            np.testing.assert_array_equal(np.signbit(found[signed]), np.signbit(wanted[signed]), err_msg=name)


CONVERSIONS = """
extern "C" void wide_{0}(const {0}* x, float* y, int64_t n) {{
    #pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = x[i];
}}
extern "C" void narrow_{0}(const float* x, {0}* y, int64_t n) {{
    #pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = x[i];
}}
"""


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_convert_like_torch(dtype: torch.dtype, instructions: str) -> None:
    name = native.TYPES[dtype]
    text = PRELUDE + "".join(CONVERSIONS.format(name) for name in ("bfloat16", "float16"))
    library = ctypes.CDLL(str(native.build(text, INSTRUCTIONS[instructions])))

    def call(function: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        function(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()), ctypes.c_int64(len(x)))
        return y

    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    wide = call(getattr(library, f"wide_{name}"), every, torch.empty(2**16))
    torch.testing.assert_close(wide, every.float(), rtol=0, atol=0, equal_nan=True)
    torch.manual_seed(0)
    bits = torch.randint(-(2**31), 2**31 - 1, (200_000,)).to(torch.int32)
    near = torch.arange(-(2**15), 2**15).to(torch.int32)[:, None] * 2**16 + torch.tensor([0x7fff, 0x8000, 0x8001, 1, 0xffff])
    ties = (wide[:, None] * torch.tensor([1.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 - 2**-12])).flatten()
    edges = torch.tensor([65519.0, 65520, -65520, 65536, 1e-45, 2.9e-8, 3e-8, 2**-25, 2**-24 * 1.5, 3.4e38, 3.39e38])
    x = torch.cat([bits.view(torch.float32), near.to(torch.int32).flatten().view(torch.float32), wide, ties, edges])
    found = call(getattr(library, f"narrow_{name}"), x, torch.empty(len(x), dtype=dtype))
    torch.testing.assert_close(found, x.to(dtype), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(found.signbit()[~found.isnan()], x.signbit()[~found.isnan()])
