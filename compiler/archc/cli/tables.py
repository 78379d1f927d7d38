"""How `archc explain` prints: tables where all is a number, a list where sizes are open; with rich on a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from archc.analyze.explain import Explained, Row

COUNTED = """\
params       elements of the params, once however often a layer is called
flops        additions and multiplications of one call: a sum of n products is 2 n; other operations as the table of
             operations says, for each element; `special` counts calls of exp, sqrt and the like beside them
products     of the flops, those in matrix products and convolutions; the backward pass spends `backward` on them
activations  elements given out, over all calls
moved        bytes if each operation reads its operands and writes its result; views move nothing
least        bytes if the inputs and params are read once and the results written once
saved        bytes that autograd keeps for the backward pass beside params and buffers: storages, each once, at the layer
             that keeps them first (asked of torch, for the torch target)
A float has 4 bytes. A layer's line holds its sub-layers."""

COLUMNS = ("layer", "class", "calls", "params", "flops", "products", "backward", "special", "activations", "moved", "least",
           "saved")


def show(found: Explained, options: argparse.Namespace, terminal: bool) -> None:
    """Prints the report."""
    sizes = ", ".join(f"{name}={value}" for name, value in sorted(found.sizes.items()))
    print(f"{found.layer} of {options.file}, {options.method}, {options.mode}: {shape_text(found)}")
    print(f"sizes: {sizes or 'none given'}{'; open: ' * bool(found.open)}{', '.join(found.open)}")
    for name, text in found.quotients.items():
        print(f"{name} is {text}")
    print()
    if found.open:
        _list(found.rows)
    else:
        table(COLUMNS, [_cells(row) for row in found.rows], 2, terminal)
    if found.params:
        print()
    table(("tensor", "axes", "sizes", "elements", "bytes"),
           [(p.name if p.kind == "param" else f"{p.name} (buffer)", ", ".join(p.dims), ", ".join(map(str, p.sizes)),
             count_text(p.count), bytes_text(p.bytes)) for p in found.params], 3, terminal)
    if found.gradients is not None:
        print("\nall gradients, those of the inputs too, as one graph with what they need of the value:")
        for name, value in found.gradients.items():
            text = f"{bytes_text(value)}{' bytes' * isinstance(value, str)}" if name == "least" else count_text(value)
            print(f"    {name:11} {text}")
    print(f"\n{COUNTED}")
    if found.saved_unknown is not None:
        print(f"saved is not known: {found.saved_unknown}")
    elif found.saved_inputs:
        print(f"Of what is saved, the inputs are {bytes_text(found.saved_inputs)}.")


def _cells(row: Row) -> tuple[str, ...]:
    name = "  " * row.depth + (_last(row.path) or row.kind)
    counts = (row.params, row.flops, row.products, row.backward_products, row.special, row.activations)
    return (name, row.kind if row.path else "", str(row.calls), *map(count_text, counts), bytes_text(row.moved),
            bytes_text(row.least), "?" if row.saved is None else bytes_text(row.saved))


def _last(path: str) -> str:
    """`norm` of `blocks.0.norm`; a member of a list with its list: `blocks.0`."""
    parts = path.split(".")
    return ".".join(parts[-2:]) if parts[-1].isdigit() else parts[-1]


def _list(rows: Sequence[Row]) -> None:
    """One layer after another, a figure a line: polynomials do not fit into columns."""
    for row in rows:
        indent = "  " * row.depth
        print(f"{indent}{_last(row.path) or row.kind}{f': {row.kind}' * bool(row.path)}")
        cells = dict(zip(COLUMNS, _cells(row), strict=True))
        for column in COLUMNS[2:]:
            value = cells[column]
            if value in ("0", "0 B") or (column == "calls" and value == "1"):
                continue
            print(f"{indent}    {column:11} {value}{' bytes' * (column in ('moved', 'least', 'saved') and value != '?')}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int, terminal: bool) -> None:
    """A table whose first `left` columns stand at the left and the others at the right."""
    if not rows:
        return
    if terminal:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, name in enumerate(head):
            shown.add_column(name, justify="left" if place < left else "right", no_wrap=True)
        for row in rows:
            shown.add_row(*row)
        wanted = Console(width=1000).measure(shown).maximum
        Console(highlight=False, width=max(Console().width, wanted)).print(shown)  # a narrow terminal wraps lines, not cells
        return
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        cells = [cell.ljust(width) if place < left else cell.rjust(width)
                 for place, (cell, width) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


def bytes_text(value: int | str) -> str:
    """`48.0 KiB`; a polynomial stays."""
    if isinstance(value, str):
        return value
    size = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    raise AssertionError


def count_text(value: int | str) -> str:
    """`1,234`; from a hundred thousand on `123.4 k`, `12.3 M`; a polynomial stays."""
    if isinstance(value, str):
        return value
    for unit, step in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= 100 * step or (unit != "k" and value >= step):
            return f"{value / step:,.1f} {unit}"
    return f"{value:,}"


def shape_text(found: Explained) -> str:
    return ", ".join(f"{name}[{', '.join(map(str, shape))}]" for name, shape in found.inputs.items())
