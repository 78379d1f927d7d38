"""Which passes run, in which order, by what the graph is for. Simplification stands wherever something was left to tidy up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from archc.codegen.torch.prepare import PREPARE
from archc.passes.base import Pass
from archc.passes.distribute import DISTRIBUTE
from archc.passes.gather import GATHER
from archc.passes.gradient import GRADIENT, JVP
from archc.passes.group import GROUP
from archc.passes.hoist import HOIST
from archc.passes.narrow import NARROW
from archc.passes.outer_sums import OUTER_SUMS
from archc.passes.pairs import PAIRS
from archc.passes.simplify import SIMPLIFY, SIMPLIFY_EXACTLY, SIMPLIFY_FINITE
from archc.passes.step import STEP
from archc.passes.trim import TRIM

# Graph to graph, before any target: what the value is, in the least work.
INFERENCE: tuple[Pass, ...] = (SIMPLIFY, TRIM, DISTRIBUTE, HOIST, SIMPLIFY)

# The gradient of the value: taken of the simplified graph, then simplified like it.
TRAINING: tuple[Pass, ...] = (*INFERENCE, GRADIENT, TRIM, SIMPLIFY, GATHER, SIMPLIFY, TRIM, DISTRIBUTE, HOIST, SIMPLIFY,
                              NARROW)

# The gradient of the gradient: the same again.
SECOND_ORDER: tuple[Pass, ...] = (*TRAINING[:-1], GRADIENT, TRIM, SIMPLIFY, GATHER, SIMPLIFY, TRIM, DISTRIBUTE, HOIST, SIMPLIFY)

# The forward derivative beside the value.
FORWARD: tuple[Pass, ...] = (*INFERENCE, JVP, TRIM, SIMPLIFY, DISTRIBUTE, HOIST, SIMPLIFY)

# One element of the scanned axis after the other: what a step does, in the least work.
STEPPING: tuple[Pass, ...] = (STEP, *INFERENCE)

# For a target: what is simplest, then what the target's library does whole.
TORCH: tuple[Pass, ...] = (*INFERENCE, *PREPARE)

# For C++ and Triton: what is simplest, in groups; torch computes what is between them.
CPP: tuple[Pass, ...] = (*INFERENCE, NARROW, GROUP)

TARGETS: dict[str, tuple[Pass, ...]] = {"torch": TORCH, "cpp": CPP, "triton": CPP}

MODES: dict[str, tuple[Pass, ...]] = {
    "inference": INFERENCE, "training": TRAINING, "second-order": SECOND_ORDER, "forward": FORWARD,
    "step": STEPPING, "torch": TORCH, "cpp": CPP, "triton": CPP,
}

PASSES: dict[str, Pass] = {
    current.name: current
    for current in (SIMPLIFY, SIMPLIFY_EXACTLY, SIMPLIFY_FINITE, TRIM, DISTRIBUTE, HOIST, GRADIENT, JVP, STEP, GATHER, NARROW,
                    GROUP, OUTER_SUMS, PAIRS, *PREPARE)
}
"""Every pass by name: what `archc ir --list` shows and `--after`, `--run` take."""


@dataclass(frozen=True)
class Numerics:
    """What a compilation lets the rules assume: `exact` keeps every bit, `finite` forgets infinities and nan."""

    name: str
    simplify: Pass


EXACT = Numerics("exact", SIMPLIFY_EXACTLY)
DEFAULT = Numerics("default", SIMPLIFY)
FINITE = Numerics("finite", SIMPLIFY_FINITE)


def under(numerics: Numerics, passes: Iterable[Pass]) -> tuple[Pass, ...]:
    """The passes with the simplification that the numerics allow; exact numerics leave out what reassociates."""
    swapped = (numerics.simplify if current is SIMPLIFY else current for current in passes)
    return tuple(p for p in swapped if numerics is not EXACT or p not in (DISTRIBUTE, HOIST))
