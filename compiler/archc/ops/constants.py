"""Constants of constants, in double precision, as IEEE arithmetic has them: a division by zero is infinite or nan, no error."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence

from archc.ops.table import OPS, DType

Number = float  # or int or bool, which behave as one

LARGEST = 1 << 62  # an int constant beyond this is left for the target to compute


def computed(op: str, values: Sequence[Number], dtype: DType) -> Number | None:
    """What an elementwise operation gives for these values, as a constant of the dtype; None where it is not known here."""
    function = FUNCTIONS.get(op)
    if function is None:
        return None
    try:
        value = function(*values)
    except (OverflowError, ValueError, ZeroDivisionError):
        return None
    if dtype == "int" and abs(value) > LARGEST:
        return None
    if value != value:
        return math.nan  # of all that are not a number, the one
    return bool(value) if dtype == "bool" else int(value) if dtype == "int" else float(value)


def _divide(x: float, y: float) -> float:
    if y == 0:
        return math.nan if x == 0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)
    return x / y


def _power(x: float, y: float) -> float:
    if x < 0 and y != math.floor(y):
        return math.nan
    return math.inf if x == 0 and y < 0 else x**y


def _larger(x: Number, y: Number) -> Number:
    return math.nan if x != x or y != y else max(x, y)


def _smaller(x: Number, y: Number) -> Number:
    return math.nan if x != x or y != y else min(x, y)


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf if x > 710 else math.exp(x)


def _sign(x: Number) -> Number:
    return x if x != x else (x > 0) - (x < 0)


FUNCTIONS: dict[str, Callable[..., Number]] = {
    "neg": operator.neg, "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": _divide, "pow": _power,
    "ipow": operator.pow, "floordiv": operator.floordiv, "mod": operator.mod, "maximum": _larger, "minimum": _smaller,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "and": lambda x, y: x and y, "or": lambda x, y: x or y, "not": operator.not_, "where": lambda c, x, y: x if c else y,
    "isfinite": math.isfinite, "isnan": math.isnan, "to_float": float, "to_int": math.trunc, "bool_to_int": int,
    "detach": lambda x: x, "abs": abs, "sign": _sign, "exp": _exp, "expm1": math.expm1, "log": _log, "sqrt": _sqrt,
    "rsqrt": lambda x: _divide(1.0, _sqrt(x)), "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin,
    "acos": math.acos, "atan": math.atan, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "erf": math.erf,
    "relu": lambda x: x if x > 0 else 0.0,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x > -700 else 0.0, "positive": lambda x: 1.0 if x == 0 else x,
}
assert all(OPS[name].form == "elementwise" for name in FUNCTIONS)
