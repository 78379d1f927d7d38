"""How Triton writes the operations of the table; what has no entry is written as its meaning.

Nothing of libdevice: the interpreter cannot run it. What `tl` lacks is a function of the prelude.
"""

from __future__ import annotations

SPELLING: dict[str, str] = {
    "neg": "-{x}", "add": "{x} + {y}", "sub": "{x} - {y}", "mul": "{x} * {y}", "div": "{x} / {y}",
    "eq": "{x} == {y}", "ne": "{x} != {y}", "lt": "{x} < {y}", "le": "{x} <= {y}", "gt": "{x} > {y}", "ge": "{x} >= {y}",
    "and": "{x} & {y}", "or": "{x} | {y}", "not": "~{x}", "where": "tl.where({x}, {y}, {z})",
    "pow": "power({x}, {y})", "ipow": "whole_power({x}, {y})", "floordiv": "floor_divide({x}, {y})", "mod": "modulo({x}, {y})",
    "maximum": "larger({x}, {y})", "minimum": "smaller({x}, {y})",
    "isfinite": "is_finite({x})", "isnan": "{x} != {x}",
    "to_float": "{x}.to(REAL)", "to_int": "{x}.to(tl.int64)", "bool_to_int": "{x}.to(tl.int64)", "detach": "{x}",
    "abs": "tl.abs({x})", "sign": "sign_of({x})", "floor": "tl.floor({x})", "ceil": "tl.ceil({x})", "round": "half_to_even({x})",
    "exp": "tl.exp({x})", "expm1": "exp_less_1({x})", "log": "tl.log({x})", "log1p": "log_of_1_plus({x})",
    "sqrt": "tl.sqrt({x})", "rsqrt": "tl.rsqrt({x})",
    "sin": "sine({x})", "cos": "cosine({x})", "tan": "tangent({x})", "asin": "arc_sine({x})", "acos": "arc_cosine({x})",
    "atan": "arc_tangent({x})", "atan2": "angle_of({x}, {y})",
    "sinh": "hyperbolic_sine({x})", "cosh": "hyperbolic_cosine({x})", "tanh": "hyperbolic_tangent({x})",
    "erf": "tl.erf({x})", "sigmoid": "logistic({x})",
}

REDUCTIONS: dict[str, str] = {
    "sum": "tl.sum({x}, {dim}, keep_dims=True)", "max": "largest({x}, {dim})", "min": "smallest({x}, {dim})",
    "any": "any_of({x}, {dim})", "all": "all_of({x}, {dim})",
}
"""A reduction of a block over one of its dimensions, which stays with size 1."""

COMBINE: dict[str, str] = {"sum": "{x} + {y}", "max": "larger({x}, {y})", "min": "smaller({x}, {y})", "any": "{x} | {y}",
                           "all": "{x} & {y}"}
"""How two parts of a reduction become one."""

NEUTRAL: dict[str, dict[str, str]] = {
    "float": {"sum": "0.0", "max": 'float("-inf")', "min": 'float("inf")'},
    "int": {"sum": "0", "max": "-(1 << 63)", "min": "(1 << 63) - 1"},
    "bool": {"any": "0", "all": "1"},
}
"""By the type of what is reduced: what changes nothing."""

MASKED: dict[str, str] = {"any": "{x} & ({mask})", "all": "{x} | ~({mask})"}
"""How what is not there is left out, where it is not replaced by the neutral value."""

TYPES: dict[str, str] = {"float": "REAL", "int": "tl.int64", "bool": "tl.int1"}

TIGHT = frozenset({"name", "load", "size", "full"})
"""What needs no brackets as an operand."""
