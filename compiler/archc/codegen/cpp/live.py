"""Where loops along an axis have something to do: the places that are live for some row of a block.

    sum[s](softmax[s](where(s <= t, score, -inf)) * v), rows of t from t_first      loops along s end at t_first + t_count
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.ir.build import apply, const
from archc.ir.graph import Node, node, topological
from archc.passes.affine import Bound, as_node, over_rows
from archc.passes.narrow import Live, either, live_along

KNOWN = frozenset({"const", "size", "iota", "add", "sub", "mul", "neg", "floordiv", "minimum", "maximum", "where", "gt"})


def ends_of(events: Iterable[Node], axis: Axis, rows: tuple[Axis, str] | None, places: Collection[Axis],
         numbers: Collection[str]) -> tuple[Node | None, Node | None]:
    """First and one past the last place along an axis, for a block of rows; None where they are those of the axis.

    `events` are reductions whose terms have the axis, and are neutral elsewhere; `rows` the other axis and its variable, whose
    block starts at `variable_first` and has `variable_count` elements; `places` the axes of which the kernel is at one place;
    `numbers` what it is told. What the ends depend on must be one of these.
    """
    live: Live | None = None
    for event in events:
        found = live_along(axis, event.args[0], event.op)
        live = found if live is None else either(live, found)
    if live is None or not live.narrow:
        return None, None
    if live.never:
        return const(0), const(0)
    ends: list[Node | None] = []
    for bound, high in ((live.lo, False), (live.hi, True)):
        end = _end(bound, high, axis.size, rows) if bound is not None else None
        known = end is not None and all(_told(n, places, numbers, rows) for n in topological([end]))
        ends.append(end if known else None)
    return ends[0], ends[1]


def _end(bound: Bound, high: bool, length: Size, rows: tuple[Axis, str] | None) -> Node | None:
    if rows is None:
        return as_node(bound, "hi" if high else "lo", length)
    axis, variable = rows
    first, count = (node("input", (), f"{variable}{end}", Type("int")) for end in ("_first", "_count"))
    ends = over_rows(bound, axis, first, apply("sub", apply("add", first, count), const(1)))
    return None if ends is None else as_node(ends[high], "hi" if high else "lo", length)


def _told(n: Node, places: Collection[Axis], numbers: Collection[str], rows: tuple[Axis, str] | None) -> bool:
    if n.op == "input":
        names = {f"{rows[1]}_first", f"{rows[1]}_count"} if rows else set()
        return n.type.dtype == "int" and str(n.attrs) in {*names, *numbers}
    return n.op in KNOWN and n.type.dtype in ("int", "bool") and n.axes <= frozenset(places)

