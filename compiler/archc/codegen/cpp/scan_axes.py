"""Along which axes the work of loops is independent, so that it can be cut: into places that threads take, and into lanes.

Along such an axis a value is `own` (each place has its own), `free` (the same for all places), or `part`: every place has a part
of it, and it is the sum of all parts. A `part` stays one under what is linear. So the gradient of a parameter, which a loop adds
up over its steps and which sums over the batch, does not keep the batch from being cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from archc.checker.types import Axis
from archc.ir.graph import Accumulate, Graph, Node, Read, Scan, topological, users
from archc.passes.loops import added

Kind = Literal["free", "own", "part"]
LINEAR = frozenset({"neg", "detach", "expand", "sum"})


class Bound(Exception):
    """The work is not independent along the axis."""


def kinds(graph: Graph, axis: Axis) -> list[Kind] | None:
    """What each result of a group is along an axis; None where the group cannot be cut along it."""
    try:
        known = {port.node: _kind_of(port.node, axis) for port in graph.inputs}
        found = [_merged(kind, node, axis) for kind, node in zip(_walk(graph.roots, axis, known), graph.roots, strict=True)]
    except Bound:
        return None
    return None if "free" in found else found


def _kind_of(node: Node, axis: Axis) -> Kind:
    return "own" if axis in node.axes else "free"


def _merged(kind: Kind, node: Node, axis: Axis) -> Kind:
    """A value that has the axis is each place's own, even if all are equal."""
    if axis not in node.axes:
        return kind
    if kind == "part":
        raise Bound
    return "own"


def _walk(roots: Sequence[Node], axis: Axis, known: Mapping[Node, Kind]) -> list[Kind]:
    """The kinds of values, for those of a graph's inputs."""
    found: dict[Node, Kind] = dict(known)
    loops: dict[Node, list[Kind]] = {}
    for current in topological(roots):
        if current in found:
            continue
        args = [found[arg] for arg in current.args if arg.op != "scan"]
        if isinstance(current.attrs, Scan):
            loops[current] = _loop(current.attrs, axis, args)
            found[current] = "free"
        elif current.op == "item":
            found[current] = loops[current.args[0]][current.attrs]  # type: ignore[index]
        else:
            found[current] = _merged(_result(current, axis, args), current, axis)
    return [found[root] for root in roots]


def _result(current: Node, axis: Axis, args: Sequence[Kind]) -> Kind:
    attrs = current.attrs
    if current.op == "iota":
        return "own" if attrs == axis else "free"
    if isinstance(attrs, (Read, Accumulate)) and any(at.axis == axis for at in attrs.at):
        raise Bound
    if isinstance(attrs, frozenset) and axis in attrs and current.op != "expand":
        if current.op != "sum":
            raise Bound
        return "part"
    if "part" not in args:
        return "own" if "own" in args else "free"
    linear = current.op in LINEAR or (isinstance(attrs, (Read, Accumulate)) and set(args[1:]) <= {"free"})
    if linear or _both(current, args) or _scaled(current, args):
        return "part"
    raise Bound


def _both(current: Node, args: Sequence[Kind]) -> bool:
    """A sum or a choice of parts."""
    given = [kind if kind == "part" or not is_zero(arg) else "part" for kind, arg in zip(args, current.args, strict=True)]
    if current.op == "where":
        return given[0] == "free" and given[1:] == ["part", "part"]
    return current.op in ("add", "sub") and set(given) == {"part"}


def _scaled(current: Node, args: Sequence[Kind]) -> bool:
    """A part times what is the same for all places."""
    return (current.op == "mul" and "free" in args) or (current.op == "div" and args[1] == "free")


def is_zero(node: Node) -> bool:
    return (node.op == "const" and node.attrs == 0) or (node.op == "expand" and is_zero(node.args[0]))


def _loop(scan: Scan, axis: Axis, args: Sequence[Kind]) -> list[Kind]:
    """The kinds of a loop's results. A state that lacks the axis is the same for all places, or adds up parts."""
    if scan.axis == axis:
        raise Bound
    ports, reading = scan.body.inputs, users(scan.body.roots)
    known: dict[Node, Kind] = {}
    for place, port in enumerate(ports):
        if place >= len(args):
            known[port.node] = "free"
        elif place >= scan.states:
            known[port.node] = args[place]
        else:
            known[port.node] = _kind_of(port.node, axis)
            if known[port.node] == "free" and args[place] != "free":
                raise Bound
    for k in range(scan.states):
        if known[ports[k].node] == "free" and (term := added(scan, k, reading)) is not None:
            known[ports[k].node] = _walk((term,), axis, known)[0]
    after = [_merged(kind, root, axis) for kind, root in zip(_walk(scan.body.roots, axis, known), scan.body.roots, strict=True)]
    for k in range(scan.states):
        kind = known[ports[k].node]
        if after[k] != kind and not (kind == "own" and after[k] == "free"):
            raise Bound
    return [*(known[port.node] for port in ports[: scan.states]), *after[scan.states:]]
