"""The forward derivative: beside every node, the node that says how it moves when the chosen inputs move.

Values that are whole or logical do not move, nor what `detach` has cut off. An operation without a derivative of its own is
differentiated through its meaning. No recursion: a graph may be as deep as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from archc.diagnostics.model import CompilerBug
from archc.ir import build
from archc.ir.graph import Graph, Node, Output, Port, carry, node, topological
from archc.ir.meaning import meaning
from archc.ops.table import OPS, SMOOTH
from archc.passes.forms import form_of
from archc.passes.forms.common import Run, fresh_name
from archc.passes.forms.random import reparameterised
from archc.passes.forms.scan import saving


def tangents(roots: Iterable[Node], seeds: Mapping[Node, Node], run: Run) -> dict[Node, Node | None]:
    """The tangent of every node below the roots, for given tangents of some. None is zero; a tangent may lack
    axes of its node."""
    found: dict[Node, Node | None] = dict(seeds)
    for current in topological(roots):
        if current not in found:
            found[current] = moved = _tangent(current, found, run)
            if moved is not None:
                run.moves(current, moved)
    return found


def _tangent(current: Node, found: dict[Node, Node | None], run: Run) -> Node | None:
    moved = tuple(found[arg] for arg in current.args)
    if all(part is None for part in moved):
        return None
    if current.type.dtype not in SMOOTH and current.op not in ("call", "scan"):
        return None
    if by_meaning(current.op):
        inside = meaning(current)
        assert inside is not None
        for inner in topological((inside,)):
            if inner not in found:
                found[inner] = _tangent(inner, found, run)
        return found[inside]
    form = form_of(current.op)
    if form is None:
        raise CompilerBug(f"there is no derivative of '{current.op}'")
    return form.tangent(current, moved, run)


def by_meaning(op: str) -> bool:
    """Whether an operation over axes leaves its derivative to its meaning."""
    row = OPS.get(op)
    return row is not None and row.form != "elementwise" and row.value is not None and row.jvp is None


def ready(graph: Graph, wrt: Iterable[Node]) -> Graph:
    """The graph as `tangents` takes it. Of what depends on the chosen inputs, a draw is written as a fixed draw that is moved and
    scaled, and a loop also gives what its states were at the start of each step."""
    moving = set(wrt)
    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        if any(arg in moving for arg in current.args):
            moving.add(current)
        args = tuple(new[arg] for arg in current.args)
        rebuilt = current if args == current.args else node(current.op, args, current.attrs, current.type)
        if current in moving and current.op in _READY:
            rebuilt = _READY[current.op](rebuilt)
        new[current] = rebuilt
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


_READY: dict[str, Callable[[Node], Node]] = {"random": reparameterised, "scan": saving}


def differentiable(graph: Graph, wrt: Iterable[str] | None) -> tuple[Port, ...]:
    """The ports named in wrt, in that order; for None all smooth inputs and params. Raises KeyError for an unknown name."""
    ports = {port.name: port for port in graph.inputs}
    if wrt is not None:
        return tuple(ports[name] for name in wrt)
    return tuple(port for port in graph.inputs if port.role in ("input", "param") and port.type.dtype in SMOOTH)


def results(graph: Graph) -> tuple[Output, ...]:
    """What a graph gives that has a derivative: its float outputs, then its penalties."""
    return tuple(output for output in (*graph.outputs, *graph.penalties) if output.node.type.dtype in SMOOTH)


def linearise(graph: Graph, wrt: Iterable[str] | None = None) -> tuple[Graph, tuple[str, ...]]:
    """The graph with an input `t_<name>` beside each chosen input and an output `t_<name>` beside each float output, linear in
    the former; and the names of the new inputs. Own derivatives are still calls (`forms.call.TANGENT`): see `jvp`."""
    chosen = differentiable(graph, wrt)
    graph = ready(graph, [port.node for port in chosen])
    taken = {port.name for port in graph.inputs}
    ports = tuple(replace(port, name=fresh_name(f"t_{port.name}", taken), role="input") for port in chosen)
    seeds = {port.node: moving.node for port, moving in zip(chosen, ports, strict=True)}
    outputs = results(graph)
    run = Run(graph)
    found = tangents((output.node for output in outputs), seeds, run)
    names = {output.name for output in (*graph.outputs, *graph.penalties)}
    moving = tuple(
        Output(fresh_name(f"t_{o.name}", names), _moving(o.node, found[o.node]), o.layout) for o in outputs
    )
    whole = replace(graph, inputs=(*graph.inputs, *ports), outputs=(*graph.outputs, *moving), notes=run.notes)
    return whole, tuple(port.name for port in ports)


def _moving(current: Node, tangent: Node | None) -> Node:
    """A tangent as a result: of its value's type."""
    return build.converted(tangent or build.const(0.0), current.type.dtype)
