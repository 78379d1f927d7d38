"""The text form of graphs: exact both ways, and errors that name the line."""

from __future__ import annotations

import math
import re
import struct

import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.ir import build
from archc.ir.graph import Graph, Node, Notes, Output, Port, node
from archc.ir.text import parse, write
from archc.syntax.tree import Span

EVERYTHING = """\
graph everything(
    x: float[n, c],
    param blocks.0.gamma: float[(g k)],
    buffer m: float[c],
    number eps: float,
    keep: bool[n],
    token: int[n]
)
  file "norm.arch"
  doc "two\\nlines"
  numbers c, groups
  axis g = groups
  axis z = 3*((n + 1) // 2) + max(c, n) - 1
  define k = (c // groups) of c by groups  @12:3
  fn $0 wrt x stopped y surrogate {
    graph body(x: float[n], y: float[n])
      %0 = add %x, -0.0  : float[n]
      return r[n] = %0
    graph vjp(x: float[n], y: float[n], dy: float[n])
      return dx[n] = %dy
  }
  %0 = mul %x, %x                                            : float[n, c]        @13:18
  %1 = mean[c] %0                                            : float[n]           @13:12
  %2 = add %1, 1e-05                                         : float[n]           @13:26
  %scale = rsqrt %2                                          : float[n]           @"std/norm.arch":13:5
  %4 = mul %x, %scale                                        : float[n, c]        @14:12
  %5 = where %keep, %4, %eps                                 : float[n, c]
  %6 = mul %5, %blocks.0.gamma                               : float[n, c, g, k]  @14:20
  %7 = iota z                                                : int[z]
  %8 = read %6[c = %7 fill, n = %token check] else -inf      : float[n, g, k, z]
  %9 = accumulate %8[n = %7 wrap] keep [g, k]                : float[n, g, k]
  %10 = random uniform[n, c] #3 0.0, nan(0x7ff8000000000001)  : float[n, c]
  %11 = call $0 %1, %1                                       : float
  %12 = item 0 %11                                           : float[n]
  %13 = expand[k, z] %12                                     : float[n, k, z]
  %14 = member norm.0 forward #2 (%13 [n, (z k)], true []) -> (float[n, (k z)], int in [n])  : float
  %15 = item 1 %14                                           : int
  %16 = size c*n : int
  return result[n, c, (g k)] = %9
  return draw[n, c] = %10
  return count[n] = %15
  update m = %16
  penalty p[] = 3
  require c >= 1 "the mean \\"over\\" c"  @13:12
  require c == 2*n "why"
"""


def squeezed(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_every_construct_comes_back() -> None:
    graph = parse(EVERYTHING)
    text = write(graph)
    assert squeezed(text) == squeezed(EVERYTHING)
    assert parse(text) == graph
    assert write(parse(text)) == text


def of(value: Node, *ports: Port, notes: Notes | None = None) -> Graph:
    layout = tuple((axis,) for axis in sorted(value.axes, key=str))
    return Graph("g", ports, (Output("r", value, layout),), notes=notes or Notes())


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-5, math.pi, 5e-324, 1e308, math.inf, -math.inf, math.nan, 0, -3, 10**30, True,
                                   struct.unpack("<d", struct.pack("<Q", 0x7FF800000000BEEF))[0]])
def test_constants_keep_their_bits(value: bool | int | float) -> None:
    constant = build.const(value)
    back = parse(write(of(constant))).outputs[0].node
    assert back is constant
    assert type(back.attrs) is type(value)
    if isinstance(value, float):
        assert struct.pack("<d", back.attrs) == struct.pack("<d", value)


@pytest.mark.parametrize("size", ["n", "2*n + 1", "n*m - 3", "(n + 1) // 2", "(-n) // 2", "n // (m + k)", "max(n, m + 1)", "...",
                                  "3*((n + 1) // 2)*m - max(2, (n*m) // 3)", "-n + m", "(n // 2) // 3", "0", "-4"])
def test_sizes(size: str) -> None:
    text = f"graph g()\n  %0 = size {size}  : int\n  return r[] = %0\n"
    graph = parse(text)
    assert parse(write(graph)) == graph


def test_names_that_are_no_identifiers() -> None:
    axis = Axis("odd name`s", Size.symbol("a size"))
    port = Port("8 ball", Type("float", frozenset({axis})), ((axis,),))
    graph = of(build.apply("exp", port.node), port)
    assert "`8 ball`" in write(graph)
    assert parse(write(graph)) == graph


def test_names_come_from_notes_where_they_are_unique() -> None:
    axis = Axis("n", Size.symbol("n"))
    x = Port("x", Type("float", frozenset({axis})), ((axis,),))
    a, b = build.apply("exp", x.node), build.apply("log", x.node)
    c, d = build.apply("add", a, b), build.apply("mul", a, b)
    value = build.apply("sub", build.apply("div", c, d), a)
    notes = Notes(names={a: "same", b: "same", c: "x", d: "fine.1"})
    text = write(of(value, x, notes=notes))
    assert [line.split()[0] for line in text.splitlines()[1:6]] == ["%0", "%1", "%2", "%fine.1", "%4"]


def test_places_come_back() -> None:
    x = Port("x", Type("float"), ())
    value = build.apply("exp", x.node)
    graph = of(value, x, notes=Notes(spans={value: Span("a.arch", 3, 7, 3, 13, 40, 46)}))
    span = parse(write(graph)).notes.spans[value]
    assert (span.file, span.line, span.column) == ("a.arch", 3, 7)


def test_an_invalid_graph_is_written_too() -> None:
    """The verifier shows what it refuses."""
    stray = node("input", (), "y", Type("float"))
    graph = of(build.apply("exp", stray))
    assert "input y" in write(graph)
    assert parse(write(graph)) == graph


@pytest.mark.parametrize(("text", "message"), [
    ("graph g(x: float[n]\n", "line 2: expected ')'"),
    ("graph g(x: flot[n])\n", "line 1: there is no type 'flot'"),
    ("graph g()\n  %0 = exp %x : float\n", "line 2: %x is not defined above"),
    ("graph g()\n  %0 = expp 1.0 : float\n", "line 2: there is no operation 'expp'"),
    ("graph g()\n  %0 = exp 1.0\n", "line 2: expected ':'"),
    ("graph g()\n  %0 = exp 1.0 : float\n  %0 = exp 1.0 : float\n", "line 3: %0 is defined twice"),
    ("graph g()\n  retrun r[] = 1\n", "line 2: no line of a graph begins with 'retrun'"),
    ("graph g()\n  return r[] = 1 2\n", "line 2: expected the end of the line"),
    ("graph g(x: float[n])\n  %0 = read %x[n = 1 beyond] : float\n", "line 2: there is no border 'beyond'"),
    ("graph g()\n  %0 = call $0 : float\n", "line 2: $0 is not defined above"),
    ("graph g() ?\n", "line 1: '?' has no meaning here"),
    ("graph g()\n  return r[] = 1\n}\n", "line 3: nothing may follow the graph"),
    ("", "line 1: expected 'graph'"),
])
def test_errors_name_the_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)
