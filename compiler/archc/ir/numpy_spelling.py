"""How numpy writes each operation of the table, for the evaluator. Importing this loads numpy; do so on use.

A row that is not here is evaluated by its meaning. Elementwise entries take arrays that broadcast; those over axes take an array
and the dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
Dims = tuple[int, ...]


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[float])(x).astype(x.dtype)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _integer(x: Array) -> Array:
    return np.trunc(np.nan_to_num(x, posinf=0, neginf=0)).astype(np.int64)


def _whole_power(x: Array, y: Array) -> Array:
    # An exponent of 0 or more is the row's promise; numpy refuses others for ints, and nothing else is asked of it.
    return np.power(x, np.maximum(y, 0).astype(x.dtype))


def _complex(x: Array, y: Array) -> Array:
    # Not x + 1j * y, in which what is infinite or nan spreads to the other part.
    x, y = np.broadcast_arrays(x, y)
    made = np.empty(x.shape, np.result_type(x, y, np.complex64))
    made.real, made.imag = x, y
    return made


ELEMENTWISE: dict[str, Callable[..., Array]] = {
    "neg": np.negative, "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide, "pow": np.power,
    "ipow": _whole_power, "floordiv": np.floor_divide, "mod": np.mod, "maximum": np.maximum, "minimum": np.minimum,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "where": np.where,
    "isfinite": np.isfinite, "isnan": np.isnan,
    "to_float": lambda x: x, "to_int": _integer, "bool_to_int": lambda x: x.astype(np.int64), "detach": lambda x: x,
    "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil, "round": np.round,
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "erf": _erf, "sigmoid": _sigmoid,
    "relu": lambda x: np.where(x > 0, x, 0), "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x), "silu": lambda x: x * _sigmoid(x),
    "positive": lambda x: np.where(x == 0, 1, x),
    "complex": _complex, "real": np.real, "imag": np.imag, "conj": np.conj, "angle": np.angle,
}


def _finite_max(x: Array, dims: Dims, keepdims: bool = False) -> Array:
    largest = np.max(x, axis=dims, initial=-np.inf, keepdims=keepdims)
    return np.where(np.isfinite(largest), largest, 0).astype(x.dtype)


def _softmax(x: Array, dims: Dims) -> Array:
    e = np.exp(x - _finite_max(x, dims, keepdims=True))
    total = np.sum(e, axis=dims, keepdims=True)
    return e / np.where(total == 0, 1, total)


def _logsumexp(x: Array, dims: Dims, keepdims: bool = False) -> Array:
    total = np.sum(np.exp(x - _finite_max(x, dims, keepdims=True)), axis=dims, keepdims=keepdims)
    return np.log(total) + _finite_max(x, dims, keepdims)


def _mean(x: Array, dims: Dims, keepdims: bool = False) -> Array:
    return np.sum(x, axis=dims, keepdims=keepdims) / np.asarray(math.prod(x.shape[d] for d in dims), x.dtype)


def _var(x: Array, dims: Dims) -> Array:
    return _mean((x - _mean(x, dims, keepdims=True)) ** 2, dims)


def _argmax(x: Array, dims: Dims) -> Array:
    return np.argmax(x, axis=dims[0])


def _largest(choose: Callable[..., Array]) -> Callable[[Array, Dims], Array]:
    """max or min: the form has seen to it that nothing is chosen from nothing, except where the result has no element."""

    def over(x: Array, dims: Dims) -> Array:
        return choose(x, axis=dims) if x.size else np.zeros([n for i, n in enumerate(x.shape) if i not in dims], x.dtype)

    return over


OVER_AXES: dict[str, Callable[[Array, Dims], Array]] = {
    "sum": lambda x, dims: np.sum(x, axis=dims), "prod": lambda x, dims: np.prod(x, axis=dims),
    "max": _largest(np.max), "min": _largest(np.min), "any": lambda x, dims: np.any(x, axis=dims),
    "all": lambda x, dims: np.all(x, axis=dims), "argmax": _argmax, "mean": _mean, "var": _var,
    "std": lambda x, dims: np.sqrt(_var(x, dims)), "finite_max": _finite_max, "logsumexp": _logsumexp, "softmax": _softmax,
    "log_softmax": lambda x, dims: x - _logsumexp(x, dims, keepdims=True),
    "cumsum": lambda x, dims: np.cumsum(x, axis=dims[0]), "cumprod": lambda x, dims: np.cumprod(x, axis=dims[0]),
    "argsort": lambda x, dims: np.argsort(x, axis=dims[0], kind="stable"),
}
