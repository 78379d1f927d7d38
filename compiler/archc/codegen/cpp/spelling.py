"""How C++ writes the operations of the table; what has no entry is written as its meaning."""

from __future__ import annotations

SPELLING: dict[str, str] = {
    "neg": "-{x}", "add": "{x} + {y}", "sub": "{x} - {y}", "mul": "{x} * {y}", "div": "{x} / {y}",
    "eq": "{x} == {y}", "ne": "{x} != {y}", "lt": "{x} < {y}", "le": "{x} <= {y}", "gt": "{x} > {y}", "ge": "{x} >= {y}",
    "and": "{x} & {y}", "or": "{x} | {y}", "not": "!{x}", "where": "{x} ? {y} : {z}",
    "pow": "power({x}, {y})", "ipow": "whole_power({x}, {y})", "floordiv": "floor_divide({x}, {y})", "mod": "modulo({x}, {y})",
    "maximum": "larger({x}, {y})", "minimum": "smaller({x}, {y})",
    "isfinite": "is_finite({x})", "isnan": "({x} != {x})",
    "to_float": "T({x})", "to_int": "int64_t({x})", "bool_to_int": "int64_t({x})", "detach": "{x}",
    "abs": "absolute({x})", "sign": "sign_of({x})", "floor": "std::floor({x})", "ceil": "std::ceil({x})",
    "round": "std::nearbyint({x})",
    "exp": "exponential({x})", "expm1": "exponential_less_1({x})", "log": "logarithm({x})", "log1p": "logarithm_of_1_plus({x})",
    "sqrt": "std::sqrt({x})", "rsqrt": "inverse_root({x})",
    "sin": "sine_of({x})", "cos": "cosine_of({x})", "tan": "std::tan({x})", "asin": "std::asin({x})", "acos": "std::acos({x})",
    "atan": "std::atan({x})", "atan2": "std::atan2({x}, {y})",
    "sinh": "std::sinh({x})", "cosh": "std::cosh({x})", "tanh": "hyperbolic_tangent({x})",
    "erf": "error_function({x})", "sigmoid": "logistic({x})",
}

REDUCTIONS: dict[str, str] = {"sum": "{x} + {y}", "max": "larger({x}, {y})", "min": "smaller({x}, {y})",
                              "any": "{x} | {y}", "all": "{x} & {y}"}
"""How two parts of a reduction become one."""

NEUTRAL: dict[str, str] = {"sum": "{T}(0)", "max": "-infinity<{T}>()", "min": "infinity<{T}>()", "any": "false", "all": "true"}

PRAGMAS: dict[str, str] = {"sum": "+", "any": "|", "all": "&"}
"""Reductions that OpenMP knows; the others have a declaration of their own in the prelude."""

TIGHT = frozenset({"name", "load", "const", "size"})
"""What needs no brackets as an operand."""
