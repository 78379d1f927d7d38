"""How `archc explain --kernels` prints: a paragraph a kernel."""

from __future__ import annotations

from collections.abc import Sequence

from archc.analyze.kernels import Row
from archc.analyze.machine import Machine
from archc.cli.tables import bytes_text, count_text


def show(rows: Sequence[Row], title: str, machine: Machine) -> None:
    """Prints the report."""
    print(f"{title}: {len(rows)} kernel{'s' * (len(rows) != 1)} on the C++ target")
    print(f"predicted for {machine.name}: {machine.bytes_per_second / 1e9:g} GB/s, {machine.flops_per_second / 1e9:g} GFLOP/s, "
          f"{machine.specials_per_second / 1e9:g} special functions a nanosecond")
    for row in rows:
        print(f"\n{row.name}  {row.of}  computes {', '.join(row.lines) or 'what has no place in the source'}")
        moved = row.read + row.written
        more = "the least possible" if moved == row.least else f"least {bytes_text(row.least)}"
        lines = [("reads", ", ".join(row.reads)), ("writes", ", ".join(row.writes)),
                 ("moves", f"{bytes_text(row.read)} in, {bytes_text(row.written)} out, {more}"),
                 ("computes", f"{count_text(row.flops)} flops, {count_text(row.special)} special functions"),
                 ("saves", bytes_text(row.saved) if row.saved else ""), ("recomputes", ", ".join(row.recomputed)),
                 *(("live", text) for text in row.narrowed), *(("loop", text) for text in row.scans),
                 ("time", f"{row.microseconds:.3g} us, bound by {row.bound}, {row.share:.0%} of the roofline of its bytes"),
                 *(("ends", text) for text in row.stops)]
        for name, text in lines:
            if text:
                print(f"    {name:11} {text}")
