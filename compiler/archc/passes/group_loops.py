"""Which loops a kernel computes whole, and what belongs to each.

A kernel takes a loop whose steps are elementwise operations, reductions, values at other places, and loops of the same kind. Its
states then never leave the thread that computes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from archc.checker.types import Axis
from archc.ir.graph import Accumulate, Graph, Node, Read, Scan, topological
from archc.ops.table import OPS

BORDERS = frozenset({"trust", "edge", "wrap", "fill"})
PLAIN = frozenset({"const", "size", "iota", "input", "expand", "item", "detach"})


def _whole(scan: Node, reading: Mapping[Node, Sequence[Node]], over_axes: frozenset[str]) -> bool:
    """Whether a kernel can compute a loop; its results are floats."""
    attrs = scan.attrs
    return (isinstance(attrs, Scan) and all(item.type.dtype == "float" for item in reading[scan])
            and _computes(attrs, frozenset(), over_axes))


def _computes(scan: Scan, around: frozenset[Axis], over_axes: frozenset[str]) -> bool:
    around |= {scan.axis}
    return not any(port.type.axes & around for port in scan.body.inputs) and all(
        _known(current, around, over_axes) for current in topological(scan.body.roots))


def _known(current: Node, around: frozenset[Axis], over_axes: frozenset[str]) -> bool:
    """Whether a kernel has the operation, and its value no axis of the loops around it."""
    attrs, row = current.attrs, OPS.get(current.op)
    if current.type.dtype == "complex" or current.axes & around or attrs in around:
        return False
    if isinstance(attrs, Scan):
        return _computes(attrs, around, over_axes)
    if isinstance(attrs, Read):
        return all(at.border in BORDERS for at in attrs.at)
    if isinstance(attrs, Accumulate):
        given = frozenset().union(*(arg.axes for arg in current.args))
        made = frozenset(at.axis for at in attrs.at)
        return all(at.border == "trust" for at in attrs.at) and given <= attrs.keep and not given & made
    return current.op in PLAIN or current.op in over_axes or (row is not None and row.form == "elementwise")


def loops(graph: Graph, reading: Mapping[Node, Sequence[Node]], over_axes: frozenset[str]) -> Iterator[tuple[Node, ...]]:
    """The loops for kernels, each with its results. `over_axes`: rows over axes that kernels compute."""
    found = {current: (current, *dict.fromkeys(reading[current])) for current in topological(graph.roots)
             if current.op == "scan" and _whole(current, reading, over_axes)}
    for there, back in paired(graph.roots, reading):
        if there in found and back in found and not any(item in graph.roots for item in reading[there]):
            found[back] = (*found.pop(there), *found[back])
    yield from found.values()


def paired(roots: Iterable[Node], reading: Mapping[Node, Sequence[Node]]) -> Iterator[tuple[Node, Node]]:
    """Loops all of whose results are read, step by step, by one other loop that runs the other way, and are larger than what else
    enters there: a kernel of both keeps few of the first one's steps, and does them again."""
    for current in topological(roots):
        if not isinstance(current.attrs, Scan):
            continue
        readers = {reader for item in reading[current] for reader in reading[item]}
        back = next(iter(readers)) if len(readers) == 1 else None
        if back is not None and isinstance(back.attrs, Scan) and back.attrs.axis == current.attrs.axis:
            step_by_step = back.args[back.attrs.states : back.attrs.states + back.attrs.sequences]
            others = {*back.args[: back.attrs.states], *back.args[back.attrs.states + back.attrs.sequences:]}
            items = set(reading[current])
            small = [arg.axes for arg in step_by_step if arg not in items]
            large = any(not any(item.axes <= axes for axes in small) for item in items)
            if large and back.attrs.reverse != current.attrs.reverse and items <= {*step_by_step} and not items & others:
                yield current, back


def starts(graph: Graph, fixed: frozenset[Node]) -> frozenset[Node]:
    """Starts of states that are the same everywhere: a kernel writes them itself."""
    return frozenset(arg for current in topological(graph.roots) if isinstance(current.attrs, Scan)
                     for arg in current.args[: current.attrs.states] if arg.op == "expand" and arg.args[0] in fixed)
