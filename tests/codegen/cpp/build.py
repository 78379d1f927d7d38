"""Kernels built and called without torch: a text of C++, arrays in, arrays out."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archc.codegen.cpp.form import Kernel
from archc.codegen.cpp.print import text
from archc.runtime import native

DTYPES = {"int": "int64", "bool": "bool"}


def library(kernels: Sequence[Kernel]) -> ctypes.CDLL:
    return ctypes.CDLL(str(native.build(text(kernels, "a test"))))


def call(built: ctypes.CDLL, kernel: Kernel, arrays: Mapping[str, Any], shapes: Mapping[str, Sequence[int]],
         sizes: Mapping[str, int], numbers: Mapping[str, float], dtype: str = "float64", threads: int = 2) -> dict[str, Any]:
    """The results by name. Arrays are filled with nan before, so that what is not written shows."""
    def pointer(array: Any) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    given = [np.ascontiguousarray(arrays[a.name], dtype=DTYPES.get(a.dtype, dtype)) for a in kernel.inputs]
    made = {a.name: np.full(shapes[a.name], np.nan, dtype=dtype) for a in kernel.outputs}
    getattr(built, f"{kernel.name}_{dtype}")(
        *map(pointer, given), *map(pointer, made.values()), *(ctypes.c_int64(sizes[s]) for s, _ in kernel.symbols),
        *(ctypes.c_double(float(numbers[n])) for n in kernel.numbers), ctypes.c_int(threads))
    return made
