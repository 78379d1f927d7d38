"""What a rewrite promises of the values of a graph. The sign of a zero is never promised."""

from __future__ import annotations

from enum import Enum


class Keeps(Enum):
    EXACT = "exact"  # the same numbers in floating point, nan and infinities included
    UP_TO_REASSOCIATION = "reassociates"  # equal over the reals and in domain; rounding may differ
    ON_FINITE_INPUTS = "on finite inputs"  # equal where no operand is infinite or nan
    NOTHING = "another function"  # the result is not the same function: a derivative
