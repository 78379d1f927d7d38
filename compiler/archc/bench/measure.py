"""Times of several calls, taken in turn, and what is made of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

SAMPLE = 2e-3
"""Seconds that a sample takes at least: a short call is made several times."""
ROUNDS, FEW = 9, 3
"""The least number of rounds; and the rounds of a column that is so slow that it would take all the time."""

Call = Callable[[], object]


def measure(columns: Mapping[str, Call], seconds: float, wait: Call = lambda: None) -> dict[str, list[float]]:
    """Seconds of a call of each column, one sample a round, in a changing order. `wait` returns when the device has done all.

    What slows the machine for a while slows all columns of a round. A column of which one call takes a fifth of `seconds` takes
    part in the first rounds alone.
    """
    calls: dict[str, int] = {}
    slow: set[str] = set()
    for name, run in columns.items():
        start = time.perf_counter()
        run()
        wait()
        first = time.perf_counter() - start
        for _ in range(2 if first < seconds / 5 else 0):
            run()
        wait()
        start = time.perf_counter()
        run()
        wait()
        once = min(first, time.perf_counter() - start)
        calls[name] = max(1, round(SAMPLE / once))
        slow |= {name} if once > seconds / 5 else set()
    samples: dict[str, list[float]] = {name: [] for name in columns}
    order, number = list(columns), 0
    end = time.perf_counter() + seconds
    while number < ROUNDS or time.perf_counter() < end:
        order.append(order.pop(0))
        for name in order:
            if name in slow and number >= FEW:
                continue
            start = time.perf_counter()
            for _ in range(calls[name]):
                columns[name]()
            wait()
            samples[name].append((time.perf_counter() - start) / calls[name])
        number += 1
        if slow >= set(columns) and number >= FEW:
            break
    return samples


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The first quartile, the median, the third."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def times(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Quartiles of how many times as long they take as we do, round by round."""
    return quartiles([a / b for a, b in zip(theirs, ours, strict=False)])


def geometric_mean(values: Iterable[float]) -> float:
    """nan of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logs)) if logs else math.nan
