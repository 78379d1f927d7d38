"""A V-cycle of multigrid on images, whose limit is its convolutions."""

from __future__ import annotations

import eager_families as F

from archc.bench.case import Case
from suite import draw

SHAPES = {"small": (8, 8, 64, 64), "medium": (4, 8, 128, 128), "large": (2, 8, 256, 256)}


def cases() -> list[Case]:
    return [Case("V-cycle", "grid", size, "std.multigrid", "VCycle", draw.normal(shape), {"f": 8, "u": 8}, eager=F.VCycle,
                 bound="products", quick=size == "medium") for size, shape in SHAPES.items()]
