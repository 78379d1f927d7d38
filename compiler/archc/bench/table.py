"""What was measured as a table: on a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archc.bench.case import LIMIT

FIRST = ("eager", "inductor")
LAST = ("archc torch", "archc cpp", "archc triton", LIMIT)
PARTS = ("forward", "step")


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All that any row has: eager and Inductor first, then peers, ours, the limit."""
    seen = {name for row in rows for part in PARTS for name in row.get(part, {}).get("ms", {})}
    seen |= {name for row in rows for name in row.get("left_out", {})}
    peers = sorted(seen - {*FIRST, *LAST})
    return [name for name in (*FIRST, *peers, *LAST) if name in seen]


def cells(row: Mapping[str, Any], part: str, names: Sequence[str]) -> list[str]:
    """Milliseconds of each column, and how many times as long as ours that is."""
    found = []
    for name in names:
        if name in row.get("left_out", {}):
            found.append("-")
            continue
        ms, times = row.get(part, {}).get("ms", {}).get(name), row.get(part, {}).get("times", {}).get(name)
        if ms is None:
            found.append("")
        elif name == row["ours"]:
            found.append(number(ms[1]))
        else:
            found.append(f"{number(ms[1])} ({times[1]:.2f})")
    return found


def number(ms: float) -> str:
    return f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def show(found: Mapping[str, Any]) -> None:
    """Prints all: times, memory, compile times, means, and what was left out."""
    from rich.console import Console
    from rich.table import Table

    rows, console = found["rows"], Console(highlight=False)
    peers = [name for name in columns(rows) if name not in (*FIRST, *LAST)]
    names = [name for name in columns(rows) if name not in peers or len(rows) == 1 or len(peers) < 3]
    if not console.is_terminal:
        console = Console(highlight=False, width=60 + 18 * len(names))
    for part in PARTS:
        title = {"forward": "forward pass in evaluation", "step": "training step"}[part]
        table = Table(title=f"{title}: ms (times ours)", title_justify="left", box=None, pad_edge=False)
        table.add_column("layer")
        for name in names:
            table.add_column(name, justify="right")
        for row in rows:
            if part in row:
                table.add_row(f"{row['name']} {row['size']}".strip(), *cells(row, part, names))
        console.print(table)
        if len(names) < len(columns(rows)):
            for row in rows:
                for name in peers:
                    if name in row.get(part, {}).get("ms", {}):
                        console.print(f"{row['name']} {row['size']}: {name} {cells(row, part, [name])[0]}")
        console.print()
    table = Table(title="memory of a training step at its highest, MB; seconds to the first step", title_justify="left", box=None,
                  pad_edge=False)
    table.add_column("layer")
    held = [name for name in names if any(name in row.get("peak_bytes", {}) for row in rows)]
    compiled = [name for name in names if any(name in row.get("cold_s", {}) for row in rows)]
    for name in held:
        table.add_column(f"{name} MB", justify="right")
    for name in compiled:
        table.add_column(f"{name} s", justify="right")
        table.add_column("again", justify="right")
    for row in rows:
        table.add_row(f"{row['name']} {row['size']}".strip(), *(_megabytes(row.get("peak_bytes", {}).get(name)) for name in held),
                      *(_seconds(row.get(kind, {}).get(name)) for name in compiled for kind in ("cold_s", "warm_s")))
    console.print(table)
    console.print()
    for line in sentences(found):
        console.print(line)


def _megabytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def sentences(found: Mapping[str, Any]) -> list[str]:
    """The means, and everything that was left out with its reason."""
    rows = found["rows"]
    said = []
    for part in PARTS:
        for name, mean in found["means"][part].items():
            if name == LIMIT:
                said.append(f"{part}: {1 / mean['mean']:.2f} times as long as the limit in geometric mean of {mean['rows']} rows")
            else:
                said.append(f"{part}: {mean['mean']:.2f} times as fast as {name} in geometric mean of {mean['rows']} rows, "
                            f"{mean['least']:.2f} times at the least")
    for row in rows:
        key = f"{row['name']} {row['size']}".strip()
        if "failed" in row:
            said.append(f"{key}: {row['failed']}")
        said += [f"{key}: {name} {reason}" for name, reason in row.get("left_out", {}).items()]
    limits = {row["limit"] for row in rows if "limit" in row}
    if "copy" in limits:
        said.append("limit: a copy that reads and writes as many bytes as the layer must (inputs, params, results; for a step "
                    "also their gradients)")
    if "products" in limits:
        said.append("limit of layers with products: the matrix products and convolutions of the layer by hand, alone")
    return said
