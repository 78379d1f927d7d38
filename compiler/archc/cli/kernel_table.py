"""How `archc explain --kernels` prints: a paragraph a kernel."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archc.analyze.figures import Report
from archc.analyze.kernels import Row, kernels
from archc.analyze.machine import HERE, Machine
from archc.api import unit
from archc.cli.main import UsageError
from archc.cli.tables import bytes_text, count_text
from archc.ir.lower import lower_graph
from archc.passes.base import run as run_passes
from archc.pipelines import CPP

if TYPE_CHECKING:
    from archc.checker.program import Program


def run(program: Program, layer: str, report: Report, given: Mapping[str, int], options: argparse.Namespace,
        static: Mapping[str, object]) -> int:
    """The kernels of the C++ target, at sizes that are all given."""
    if report.open:
        raise UsageError(f"kernels are explained at given sizes: --size {' '.join(f'{name}=...' for name in report.open)}")
    graph = lower_graph(unit(program, layer, static), options.method, options.mode)
    values = report.values(given)
    values["..."] = values.get(report.sizes.rows, 1)
    for part in graph.definitions:  # a sub-layer's own sizes
        values.setdefault(part.symbol, part.whole.evaluate(values) // part.part.evaluate(values))
    rows = kernels(run_passes(graph, CPP, verify=False), values)
    if options.json:
        found = [vars(row) for row in rows]
        print(json.dumps({"file": options.file, "layer": layer, "method": options.method, "mode": options.mode,
                          "machine": vars(HERE), "sizes": report.values(given), "kernels": found}, indent=2))
    else:
        show(rows, f"{layer} of {options.file}, {options.method}, {options.mode}", HERE)
    return 0


def show(rows: Sequence[Row], title: str, machine: Machine) -> None:
    """Prints the report."""
    print(f"{title}: {len(rows)} kernel{'s' * (len(rows) != 1)} on the C++ target")
    print(f"predicted for {machine.name}: {machine.bytes_per_second / 1e9:g} GB/s, {machine.flops_per_second / 1e9:g} GFLOP/s, "
          f"{machine.specials_per_second / 1e9:g} G special functions a second")
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
