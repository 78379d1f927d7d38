"""The verifier accepts what builders make and refuses everything else, with the graph and a mark."""

from __future__ import annotations

import pytest

from archc.diagnostics.model import CompilerBug
from archc.ir.text import parse
from archc.ir.verify import verify

HEAD = "graph f(x: float[n, c], token: int[n], keep: bool[n], buffer m: float[c])\n"
INNER = """  fn $0 wrt a {
    graph body(a: float[n, c])
      %0 = exp %a : float[n, c]
      return r[n, c] = %0
    graph back(a: float[n, c], dy: float[n, c])
      return da[n, c] = %dy
  }
"""


def line(text: str, result: str = "r[n, c]") -> str:
    return f"{HEAD}  %0 = {text}\n  return {result} = %0\n"


@pytest.mark.parametrize(("text", "message"), [
    (line("add %x, %token : float[n, c]"), "add has operands of several types"),
    (line("add %x, 1 : float[n, c]"), "add has operands of several types"),
    (line("add %x, %x : int[n, c]"), "add gives float here, not int"),
    (line("add %x, %x : float[n]", "r[n]"), "add has the union of its operands' axes"),
    (line("add %x : float[n, c]"), "add has 2 operands, not 1"),
    (line("exp %token : float[n]", "r[n]"), "exp takes no int there"),
    (line("sum[n] %x : float[n, c]"), "sum has the axes that are left"),
    (line("sum[c] %token : int[n]", "r[n]"), "sum goes over axes that its operand lacks"),
    (line("argmax[n, c] %x : int", "r[]"), "argmax goes along one axis"),
    (line("softmax[c] %x : float[n]", "r[n]"), "softmax has all axes of its operand"),
    (line("mean[n] %token : float", "r[]"), "mean takes no int"),
    (line("read %x[c = %x edge] : float[n, c]"), "the index along c is an int, not float"),
    (line("read %token[c = 1 edge] : int[n]", "r[n]"), "read indexes axes that its operand has"),
    (line("read %x[c = %token edge] : float[n, c]"), "read has the axes of its operand that are not indexed"),
    (line("read %x[c = %token fill] : float[n]", "r[n]"), "a scalar if it fills"),
    (line("read %x[c = %token fill] else 0 : float[n]", "r[n]"), "filled with a scalar of its own type"),
    (line("accumulate %x[c = %token edge] keep [c] : float[c]", "r[c]"), "an axis that accumulate makes is not kept too"),
    (line("accumulate %keep[c = %token edge] keep [n] : bool[n, c]"), "accumulate adds numbers"),
    (line("expand[n] %x : float[n, c]"), "expand adds axes that its operand lacks"),
    (line("iota n : int[c]", "r[c]"), "iota is an int along its axis"),
    (line("size n : float", "r[]"), "a size is an int without axes"),
    (line("const 1 : float", "r[]"), "a constant has the type of its value"),
    (line("input y : float", "r[]"), "no input of the graph is called y"),
    (line("input x : float", "r[]"), "input x is float[c, n], not float[]"),
    (line("random gumbel[n] #0 0.0 : float[n]", "r[n]"), "there is no random gumbel"),
    (line("random normal[n] #0 0.0 : float[n]", "r[n]"), "random normal has 2 parameters"),
    (line("random orthogonal[n] #0 1.0 : float[n]", "r[n]"), "random orthogonal needs two axes"),
    (line("exp %x : float[n, c]", "r[n]"), "output r is float[c, n], more than its layout holds"),
    (line("exp %x : float[n, c]", "r[n, n, c]"), "output r has an axis twice"),
    (line("exp %x : float[n, c]", "r[n, c, ...]"), "`...` is not the first dimension of r"),
    (line("exp %x : float[n, c]") + "  update x = %0\n", "x is updated and is no buffer"),
    (line("exp %x : float[n, c]") + "  update m = %0\n", "m is float[c], its update is float[c, n]"),
    (line("exp %x : float[n, c]") + "  return r[n, c] = %x\n", "two outputs have one name"),
    (HEAD + INNER + "  %0 = call $0 %token : float\n  %1 = item 0 %0 : float[n, c]\n  return r[n, c] = %1\n",
     "a of body is a float, not a int"),
    (HEAD + INNER + "  %0 = call $0 %x : float\n  %1 = item 1 %0 : float[n, c]\n  return r[n, c] = %1\n", "item says which of 1"),
    (HEAD + INNER + "  %0 = call $0 %x : float\n  return r[] = %0\n", "is a call itself"),
    ("graph f(x: float[n], y: float[n], x: float[n])\n  return r[n] = %x\n", "two inputs are called x"),
    ("graph f(x: float[n, n])\n  return r[n] = %x\n", "x has an axis twice in its layout"),
    ("graph f(x: float[n, (g k)])\n  return r[n, g, k] = %x\n", "nothing determines the size g, k"),
    ("graph f(x: float[n], number s: float[n])\n  return r[n] = %x\n", "the number s has axes"),
])
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(CompilerBug) as caught:
        verify(parse(text))
    assert message in str(caught.value)
    assert "graph f(" in str(caught.value)


def test_the_mark_stands_at_the_node() -> None:
    text = line("exp %x : float[n, c]").replace("return r[n, c] = %0", "%1 = add %0, 1 : float[n, c]\n  return r[n, c] = %1")
    with pytest.raises(CompilerBug) as caught:
        verify(parse(text), after="simplify")
    lines = str(caught.value).splitlines()
    assert lines[0] == "graph f is wrong after simplify: add has operands of several types: float, int"
    mark = next(i for i, line in enumerate(lines) if "^^^" in line)
    assert lines[mark - 1].startswith("  %1 = add") and "several types" in lines[mark]


def test_axis_names_are_unique() -> None:
    from archc.checker.sizes import Size
    from archc.checker.types import Axis
    from archc.ir import build
    from archc.ir.graph import Graph, Output

    a, b = Axis("n", Size.of(2)), Axis("n", Size.of(3))
    value = build.reduce("sum", build.apply("add", build.iota(a), build.iota(b)), {a, b})
    with pytest.raises(CompilerBug, match="two axes are called n"):
        verify(Graph("f", (), (Output("r", value, ()),)))
    verify(Graph("f", (), (Output("r", value, ()),)), level=1)
