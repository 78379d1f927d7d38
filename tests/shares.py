"""How much of a random test runs when: a share always, more with --slow, and all of it, which takes hours, with --sweep too."""

from __future__ import annotations

from typing import Any

import pytest


def shares(few: range, slow: range, sweep: range = range(0), block: int = 100) -> list[Any]:
    """Parameters that are ranges of seeds: one of the few, and blocks of the others under their markers."""
    found = [pytest.param(few, id=f"{few.start}-{few.stop}")]
    for seeds, mark in ((slow, pytest.mark.slow), (sweep, pytest.mark.sweep)):
        for low in range(seeds.start, seeds.stop, block):
            part = range(low, min(low + block, seeds.stop))
            found.append(pytest.param(part, id=f"{part.start}-{part.stop}", marks=mark))
    return found
