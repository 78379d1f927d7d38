"""Kernels built and called by themselves: a text of C++, arrays in, arrays out."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from archc.codegen.cpp.form import Kernel
from archc.codegen.cpp.print import text
from archc.runtime import native

DTYPES = {"int": "int64", "bool": "bool"}


def library(kernels: Sequence[Kernel], dtype: str = "float64") -> ctypes.CDLL:
    return ctypes.CDLL(str(native.build(text(kernels, "a test"), native.for_type(dtype))))


def call(built: ctypes.CDLL, kernel: Kernel, arrays: Mapping[str, Any], shapes: Mapping[str, Sequence[int]],
         sizes: Mapping[str, int], numbers: Mapping[str, float], dtype: str = "float64", threads: int = 2) -> dict[str, Any]:
    """The results by name. Arrays are filled with nan before, so that what is not written shows."""
    def pointer(tensor: torch.Tensor) -> ctypes.c_void_p:
        return ctypes.c_void_p(tensor.data_ptr())

    given = [torch.tensor(np.asarray(arrays[a.name]), dtype=getattr(torch, DTYPES.get(a.dtype, dtype))) for a in kernel.inputs]
    made = {a.name: torch.full(tuple(shapes[a.name]), torch.nan, dtype=getattr(torch, dtype)) for a in kernel.outputs}
    getattr(built, f"{kernel.name}_{dtype}")(
        *map(pointer, given), *map(pointer, made.values()), *(ctypes.c_int64(sizes[s]) for s, _ in kernel.symbols),
        *(ctypes.c_double(float(numbers[n])) for n in kernel.numbers), ctypes.c_int(threads))
    return {name: (y.float() if "16" in dtype else y).numpy() for name, y in made.items()}
