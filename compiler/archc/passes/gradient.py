"""Derivatives of whole graphs as graphs. Each applies to its own result, which gives every higher order.

The derivative of a loop is a loop. Forwards, its states are the tangents that move; backwards it runs the other way, the
cotangents of what was yielded enter step by step, and those of constants are summed in states. Both read what the states were
at the start of each step, which the first loop yields beside the rest, and compute anew what else a step needs, with the same
draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from archc.checker.types import Type, flat
from archc.diagnostics.codes import NO_DERIVATIVE
from archc.diagnostics.model import Problem, UserError
from archc.ir import build
from archc.ir.graph import Call, Graph, Node, Output, Port, Scan, node, topological
from archc.passes.base import Keeps, Pass
from archc.passes.cotangent import Cotangent, sum_over
from archc.passes.forms.call import TANGENT, inline
from archc.passes.forms.common import ZERO, NotLinear, Run, fresh_name
from archc.passes.linearise import differentiable, linearise, ready, results, tangents
from archc.passes.transpose import depends, transpose


def gradient(graph: Graph, wrt: Iterable[str] | None = None) -> Graph:
    """Reverse mode: linearise, then transpose.

    Inputs: the graph's, then a cotangent `d_<output>` for each float output and penalty, laid out like it. Outputs: the
    cotangent `d_<input>` of each chosen input, laid out like it; by default of all float inputs and params. An output may lack
    axes of its layout, along which it is the same. Raises UserError where a derivative is asked for that does not exist.
    """
    chosen = differentiable(graph, wrt)
    graph = ready(graph, [port.node for port in chosen])
    outputs = results(graph)
    taken = {port.name for port in graph.inputs}
    ports = tuple(
        Port(fresh_name(f"d_{output.name}", taken), Type(output.node.type.dtype, frozenset(flat(output.layout))), output.layout)
        for output in outputs
    )
    run = Run(graph)
    pulls = _pull(run, chosen, tuple(output.node for output in outputs), ports)
    names: set[str] = set()
    return replace(
        graph,
        inputs=(*graph.inputs, *ports),
        outputs=tuple(
            Output(fresh_name(f"d_{port.name}", names), pull, port.layout) for port, pull in zip(chosen, pulls, strict=True)
        ),
        updates=(),
        penalties=(),
        notes=run.notes,
    )


def _pull(run: Run, chosen: Iterable[Port], roots: tuple[Node, ...], ports: tuple[Port, ...]) -> tuple[Node, ...]:
    """The cotangents of the chosen ports for cotangents of the roots."""
    taken = {port.name for port in run.graph.inputs}
    seeds = {port.node: node("input", (), fresh_name(f"t_{port.name}", taken), port.type) for port in chosen}
    moved = tangents(roots, seeds, run)
    starts = [
        (tangent, sum_over(Cotangent(port.node), port.type.axes - tangent.axes))
        for root, port in zip(roots, ports, strict=True)
        if (tangent := moved[root]) is not None
    ]
    pulled = transpose(starts, seeds.values(), run)
    return tuple(build.converted(pulled[seed].value if seed in pulled else ZERO, seed.type.dtype) for seed in seeds.values())


def jvp(graph: Graph, wrt: Iterable[str] | None = None) -> Graph:
    """Forward mode: the graph with an input `t_<name>` for each chosen input and, after its outputs, an output `t_<name>` for
    each float output and penalty. Raises UserError as `gradient` does, and for a fn whose own derivative has no forward form."""
    whole, _ = linearise(graph, wrt)
    return _with_own(whole, {})


def _with_own(graph: Graph, forward: dict[Call, Graph]) -> Graph:
    """The graph with the forward derivatives of calls in place of their tangents, in loops too. `forward` remembers them."""
    results_of: dict[Node, tuple[Node, ...]] = {}
    new: dict[Node, Node] = {}
    for current in topological(graph.roots):
        args, attrs = tuple(new[arg] for arg in current.args), current.attrs
        if isinstance(attrs, Call) and current.op == TANGENT:
            if attrs not in forward:
                forward[attrs] = _forward(attrs, graph, current)
            results_of[current] = inline(forward[attrs], args)
            new[current] = current
        elif current.op == "item" and current.args[0] in results_of:
            new[current] = build.expand(results_of[current.args[0]][attrs], current.axes)  # type: ignore[index]
        elif isinstance(attrs, Scan):
            body = _with_own(attrs.body, forward)
            new[current] = node(current.op, args, replace(attrs, body=body), current.type)
        else:
            new[current] = current if args == current.args else node(current.op, args, attrs, current.type)
    return graph.with_roots(new[root] for root in graph.roots)


def _forward(call: Call, graph: Graph, at: Node) -> Graph:
    """The tangents of a call's results, for its inputs and their tangents: the transpose of its vjp in the cotangents."""
    count = len(call.body.inputs)
    cotangents = call.vjp.inputs[count:]
    vjp = ready(call.vjp, (port.node for port in cotangents))
    run = Run(vjp)
    taken = {port.name for port in vjp.inputs}
    seeds = {port.node: node("input", (), fresh_name(f"t_{port.name}", taken), port.type) for port in cotangents}
    moved = tangents((output.node for output in vjp.outputs), seeds, run)
    sources = {port.name: port for port in call.body.inputs}
    pulls = tuple(replace(sources[name], name=fresh_name(f"d_{name}", taken), role="input") for name in call.wrt)
    starts = [
        (tangent, sum_over(Cotangent(port.node), port.type.axes - tangent.axes))
        for output, port in zip(vjp.outputs, pulls, strict=True)
        if (tangent := moved[output.node]) is not None
    ]
    try:
        if depends((tangent for tangent, _ in starts), frozenset(port.node for port in cotangents)):
            raise NotLinear(at)
        pulled = transpose(starts, seeds.values(), run)
    except NotLinear:
        why = "its grad(...) is not linear in the cotangents that it is given"
        problem = Problem(NO_DERIVATIVE, graph.notes.spans.get(at), {"what": f"'{call.body.name}' forward", "why": why})
        raise UserError([problem]) from None
    outputs = tuple(
        Output(port.name, build.converted(pulled[seed].value if seed in pulled else ZERO, port.type.dtype), port.layout)
        for port, seed in zip(cotangents, seeds.values(), strict=True)
    )
    return Graph(call.body.name, (*vjp.inputs[:count], *pulls), outputs)


GRADIENT = Pass("gradient", "take the derivative backwards: linearise, then transpose", gradient, Keeps.NOTHING)
JVP = Pass("jvp", "take the derivative forwards beside the value", jvp, Keeps.NOTHING)
