"""Leave out of loops what nobody reads, and out of their states what does not change.

- A result that is not read is not computed, nor a state that only it needed, nor an operand that only these needed. (One state
  stays: without any, a loop is none.)
- A state that every step leaves as it was is a constant of the loop, and so is a sequence whose elements are all the same.
- Operands that are one value enter once, and a number is written where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, Output, Scan, carry, node, topological
from archc.passes.base import Pass, also_inside
from archc.passes.loops import Loop, items


def trim(graph: Graph) -> Graph:
    """The graph with every loop of it trimmed."""
    order = tuple(topological(graph.roots))
    needed, read = set(graph.roots), dict[Node, set[int]]()
    kept: dict[Node, tuple[Loop, list[int]]] = {}
    for current in reversed(order):
        if current in needed and isinstance(current.attrs, Scan):
            kept[current] = loop, _ = _live(current, read[current])
            needed.update(loop.args)
        elif current in needed:
            needed.update(current.args)
            if current.op == "item":
                read.setdefault(current.args[0], set()).add(current.attrs)  # type: ignore[arg-type]
    new: dict[Node, Node] = {}
    results: dict[Node, dict[int, Node]] = {}
    for current in order:
        if current in kept:
            loop, numbers = kept[current]
            new[current], found = _plain(loop, new)
            results[current] = dict(zip(numbers, found, strict=True))
        elif current in needed and current.op == "item" and current.args[0] in results:
            new[current] = results[current.args[0]][current.attrs]  # type: ignore[index]
        elif current in needed:
            args = tuple(new[arg] for arg in current.args)
            new[current] = current if args == current.args else node(current.op, args, current.attrs, current.type)
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


def _live(scan: Node, read: set[int]) -> tuple[Loop, list[int]]:
    """The loop with what is needed for some of its results, and the numbers of the results that it still has."""
    loop = Loop.of(scan)
    count = len(loop.states)
    yields = sorted(k for k in read if k >= count)
    states = {k for k in read if k < count}
    while True:
        live = [loop.states[k] for k in sorted(states)]
        outputs = [*(state.after for state in live), *(loop.yields[k - count] for k in yields)]
        body = trim(Graph("step", (), tuple(Output("", out, ()) for out in outputs if out is not None), notes=loop.notes))
        found = {current for current in topological(body.roots) if current.op == "input"}
        more = {k for k, state in enumerate(loop.states) if state.port.node in found}
        if not (more or states) and loop.states:
            more = {0}
        if more <= states:
            break
        states |= more
    for state, after in zip(live, body.roots, strict=False):
        state.after = after
    loop.states, loop.yields, loop.notes = live, list(body.roots[len(live) :]), body.notes
    return loop.without_unused(), [*sorted(states), *yields]


def _plain(loop: Loop, outside: Mapping[Node, Node]) -> tuple[Node, list[Node]]:
    """The loop with its operands as they are now, each as plainly as it can enter; and its results."""
    inside: dict[Node, Node] = {}  # a port, and what stands in the body in its place
    known: dict[tuple[Node, bool], Node] = {}
    sequences, constants = loop.sequences, loop.constants
    loop.sequences, loop.constants = [], []
    still = [state for state in loop.states if state.after is state.port.node][: len(loop.states) - 1]
    for of, arg, sequence in (*((*operand, True) for operand in sequences), *((*operand, False) for operand in constants),
                              *((state.port, state.start, False) for state in still)):  # fmt: skip
        value = outside[arg]
        if sequence and (same := _element(value, loop.axis)) is not None:
            value, sequence = same, False
        number = value.args[0] if value.op == "expand" else value
        if not sequence and number.op == "const":
            inside[of.node] = value
        elif (value, sequence) in known:
            inside[of.node] = known[value, sequence]
        else:
            known[value, sequence] = of.node
            (loop.sequences if sequence else loop.constants).append((of, value))
    states, loop.states = loop.states, [state for state in loop.states if state not in still]
    roots = [*(state.after for state in loop.states if state.after is not None), *loop.yields]
    for current in topological(roots):
        if current not in inside:
            args = tuple(inside[arg] for arg in current.args)
            inside[current] = current if args == current.args else node(current.op, args, current.attrs, current.type)
    for state in loop.states:
        assert state.after is not None
        state.start, state.after = outside[state.start], inside[state.after]
    loop.yields = [inside[given] for given in loop.yields]
    loop.notes = carry(loop.notes, inside)
    scan = loop.node()
    made = iter(items(scan))
    lasts = [outside[state.start] if state in still else next(made) for state in states]
    return scan, [*lasts, *made]


def _element(sequence: Node, axis: Axis) -> Node | None:
    """The one element of a sequence whose elements are all the same."""
    if sequence.op != "expand" or axis not in sequence.attrs:  # type: ignore[operator]
        return None
    return build.expand(sequence.args[0], sequence.axes - {axis})


TRIM = Pass("trim", "leave out of loops what is not read, and of their states what does not change", also_inside(trim))
