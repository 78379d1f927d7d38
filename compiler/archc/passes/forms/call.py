"""A fn with a derivative of its own, and what is an item of several results. The vjp, as its author wrote it, serves both ways.

While linearising, the call's tangent is a node of the operation `call tangent` (args: the call's, then the tangents of the inputs
in `wrt`), with `item` nodes for its results. Transposing puts the author's vjp in its place. Where a forward derivative is asked
for, `forward` replaces it by the transpose of the vjp. The operation is in no graph that leaves the derivative passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from archc.diagnostics.codes import NO_DERIVATIVE
from archc.diagnostics.model import Problem, UserError
from archc.ir import build
from archc.ir.graph import Call, Graph, Node, Port, node, topological
from archc.passes.cotangent import Cotangent
from archc.passes.forms.common import ZERO, NotLinear, Parts, Run

TANGENT = "call tangent"


def tangent(current: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    if current.op == "item":
        moved = tangents[0]
        if current.args[0] in run.results:
            return run.results[current.args[0]][current.attrs]  # type: ignore[index]
        return moved if moved is None else build.item(moved, current.attrs, current.type)  # type: ignore[arg-type]
    call: Call = current.attrs  # type: ignore[assignment]
    given = dict(zip((port.name for port in call.body.inputs), zip(call.body.inputs, tangents, strict=True), strict=True))
    for name, (_, moved) in given.items():
        if moved is not None and name not in call.wrt and name not in call.stopped:
            raise UserError([Problem(NO_DERIVATIVE, run.graph.notes.spans.get(current), {
                "what": f"'{call.body.name}' in its input '{name}'",
                "why": f"its grad(...) says nothing of '{name}': give its derivative there, or `{name}: none` if it has none"})])
    if all(given[name][1] is None for name in call.wrt):
        return None
    moving = (_whole(given[name][1], given[name][0]) for name in call.wrt)
    return node(TANGENT, (*current.args, *moving), call)


def _whole(value: Node | None, port: Port) -> Node:
    """A tangent or cotangent, None being zero, as a value of the type of what it belongs to."""
    return build.expand(build.converted(value or ZERO, port.type.dtype), port.type.axes)


def transpose(current: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    """Of what has several results `pulled` answers for all of its items together."""
    raise NotLinear(current)


def pulled(current: Node, linear: Callable[[Node], bool], cts: Mapping[int, Cotangent], run: Run) -> Parts:
    """The transpose of a call's tangent: the author's vjp, of the call's inputs and the cotangents of its results."""
    call: Call = current.attrs  # type: ignore[assignment]
    count = len(call.body.inputs)
    results = [_whole(cts[i].value if i in cts else None, port) for i, port in enumerate(call.vjp.inputs[count:])]
    pulls = inline(call.vjp, (*current.args[:count], *results))
    for moved, pull in zip(current.args[count:], pulls, strict=True):
        if linear(moved):
            yield moved, Cotangent(pull)


def inline(graph: Graph, args: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes of a graph's outputs, with args for its inputs, which have their types."""
    new: dict[Node, Node] = {port.node: arg for port, arg in zip(graph.inputs, args, strict=True)}
    roots = tuple(output.node for output in graph.outputs)
    for current in topological(roots):
        if current not in new:
            moved = tuple(new[arg] for arg in current.args)
            new[current] = current if moved == current.args else node(current.op, moved, current.attrs, current.type)
    return tuple(new[root] for root in roots)
