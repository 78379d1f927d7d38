"""The machine that predictions are for: three rates, in one place.

The figures are those of docs/performance.md's machine, 2 threads: a copy of 8 MiB (read and written) in 0.29 ms and a product of
1024 x 2048 x 256 in 5.0 ms; special functions are taken as 1.1 ns each and thread.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    name: str
    bytes_per_second: float
    flops_per_second: float
    specials_per_second: float
    cache: int  # bytes that a thread has near: what is read again from it is read once


HERE = Machine("2 cores of an x86-64 server", 58e9, 215e9, 1.8e9, 1 << 20)
