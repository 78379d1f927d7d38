"""The runner blames the pass that broke a graph; graphs may be deep; rules of both numerics."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.diagnostics.model import CompilerBug
from archc.ir import build
from archc.ir.graph import Call, Graph, Node, Output, Port, node, topological
from archc.ir.text import parse
from archc.passes.base import Keeps, Pass, Step, run
from archc.passes.gradient import gradient
from archc.passes.hoist import HOIST
from archc.passes.simplify import SIMPLIFY, simplify
from archc.pipelines import EXACT, FINITE, INFERENCE, MODES, PASSES, TARGETS, under
from tests.passes.oracle import differ, draw

N = Axis("n", Size.symbol("n"))
X = Port("x", Type("float", frozenset({N})), ((N,),))
SMALL = parse("graph f(x: float[n])\n  %y = mul %x, 2.0 : float[n]\n  return y[n] = %y\n")


def graph_of(value: Node) -> Graph:
    return Graph("deep", (X,), (Output("y", value, ((N,),)),))


def test_an_invalid_graph_names_the_pass() -> None:
    def breaks(graph: Graph) -> Graph:
        return graph.with_roots([node("mul", (X.node,), None, X.type)])

    with pytest.raises(CompilerBug, match="'clumsy'"):
        run(SMALL, [SIMPLIFY, Pass("clumsy", "", breaks), HOIST])


def test_a_changed_value_names_the_pass() -> None:
    import numpy as np

    def breaks(graph: Graph) -> Graph:
        return graph.with_roots([build.apply("mul", root, build.const(1.5)) for root in graph.roots])

    inputs = draw(SMALL, np.random.default_rng(0))
    with pytest.raises(CompilerBug, match=r"'clumsy' changed the value.*y is"):
        run(SMALL, [SIMPLIFY, Pass("clumsy", "", breaks)], oracle=lambda a, b: differ(a, b, inputs))
    run(SMALL, [Pass("clumsy", "", breaks, Keeps.NOTHING)], oracle=lambda a, b: differ(a, b, inputs))


def test_steps_are_shown_and_timed() -> None:
    steps: list[Step] = []
    run(SMALL, [SIMPLIFY, HOIST], after=steps.append, clock=iter(range(9)).__next__)  # type: ignore[arg-type]
    assert [(step.number, step.done.name, step.seconds) for step in steps] == [(0, "simplify", 1), (1, "hoist", 1)]
    assert steps[1].before is steps[0].after


def test_every_pass_of_a_pipeline_is_listed() -> None:
    for passes in (*MODES.values(), *TARGETS.values()):
        assert all(PASSES[current.name] is current for current in passes)
    assert all(current.sentence and not current.sentence.endswith(".") for current in PASSES.values())


def test_numerics_choose_the_rules() -> None:
    assert not any(current.keeps is Keeps.UP_TO_REASSOCIATION for current in under(EXACT, INFERENCE))
    assert under(FINITE, [SIMPLIFY])[0].keeps is Keeps.ON_FINITE_INPUTS


def test_a_deep_graph() -> None:
    value = X.node
    for i in range(5_000):
        value = build.apply("tanh", build.apply("add", value, build.const(float(i % 7))))
    back = gradient(simplify(graph_of(value)))
    assert sum(1 for _ in topological(simplify(back).roots)) > 5_000


@pytest.mark.parametrize("make", [
    lambda v, i: build.apply("neg", build.apply("mul", v, build.const(-1.0))),
    lambda v, i: build.apply("mul", X.node, build.apply("neg", v)),
    lambda v, i: build.apply("add", v, v) if i % 2 else build.apply("sub", v, X.node),
    lambda v, i: build.apply("where", build.apply("gt", X.node, build.const(0.0)), v, X.node),
    lambda v, i: build.apply("maximum", build.apply("exp", v), build.apply("div", v, build.const(3.0))),
], ids=["signs", "signs outwards", "doubled", "nested choices", "shared"])
def test_a_thousand_nodes_are_simplified_at_once(make: object) -> None:
    value = X.node
    while sum(1 for _ in topological((value,))) < 1000:
        for i in range(100):
            value = make(value, i)  # type: ignore[operator]
    graph = graph_of(value)
    result = simplify(graph)
    assert simplify(result).roots == result.roots, "simplifying again changes nothing"


def test_the_graphs_of_a_call_are_simplified_too() -> None:
    text = """graph f(x: float[n])
      fn $0 wrt a {
        graph own(a: float[n])
          %y = mul %a, BODY : float[n]
          return y[n] = %y
        graph own_grad(a: float[n], dy: float[n])
          %g = mul %dy, %a : float[n]
          return a[n] = %g
      }
      %c = call $0 %x : float
      %y = item 0 %c : float[n]
      return y[n] = %y
    """
    graph = run(parse(text.replace("BODY", "1.0")), [SIMPLIFY])
    body = next(n.attrs.body for n in topological(graph.roots) if isinstance(n.attrs, Call))
    assert body.outputs[0].node is body.inputs[0].node


def test_updates_and_penalties_are_rewritten_too() -> None:
    graph = parse("""graph f(x: float[n], buffer b: float)
      %s = mul %x, 1.0 : float[n]
      %m = mean[n] %s : float
      return y[n] = %x
      update b = %m
      penalty p[] = %m
    """)
    plain = simplify(graph)
    assert plain.updates[0].node is plain.penalties[0].node is build.reduce("mean", X.node, {N})
    back = gradient(graph)
    assert [port.name for port in back.inputs] == ["x", "b", "d_y", "d_p"] and not back.updates and not back.penalties
    assert replace(back, outputs=()).outputs == ()
