"""Library calls in the text form: every kind that recognition makes, in the layers that ship, exact both ways."""

from __future__ import annotations

import random
import re

import pytest

from archc.checker.program import elaborate
from archc.codegen.torch.prepare import prepared
from archc.diagnostics.model import Problems
from archc.ir.graph import Library, topological
from archc.ir.library import RECORDS
from archc.ir.lower import lower_graph
from archc.ir.text import parse, write
from tests.checker.programs import STDLIB, load
from tests.fuzz.graphs import random_graph

FILES = ("norm", "linear", "conv", "vision")
KINDS = {*RECORDS, "contract", "softmax", "logsumexp", "dropout"}

MORE = """layer L() {
    forward(x[n, c, h], y[n, c, k]) -> [n, c, z = |h| + |k|, u = |h| // 2] {
        axis both = h + k
        p = cat[both](x, y)[both = z]
        axis j = 2
        return p + mean[j](x[h = 2 * u + j]) + logsumexp[c](x)[h = 0]
    }
}
layer M() {
    forward(x[n, c], y[n]) -> [n, c, pair = 2] { return where(pair < 1, x, y) }
}"""

CONVOLUTION = """\
graph f(x: float[n, c, h], w: float[o, c, p])
  axis p = 3
  axis u = h
  library $0 convolution(windows=[(axis=h, out=u, kernel=p, step=1, dilation=1, start=-1, border=fill)], batch=[n], groups=[], \
channels=[c], filters=[o]) {
    graph convolution(`0`: float[c, h, n], `1`: float[c, o, p])
      axis p = 3
      axis u = h
      %0 = iota u : int[u]
      %1 = iota p : int[p]
      %2 = add %0, %1 : int[p, u]
      %3 = sub %2, 1 : int[p, u]
      %4 = read %`0`[h = %3 fill] else 0.0 : float[c, n, p, u]
      %5 = mul %4, %`1` : float[c, n, o, p, u]
      %6 = sum[c, p] %5 : float[n, o, u]
      return result[n, o, u] = %6
  }
  %0 = library convolution $0 %x, %w : float[n, o, u]
  return r[n, o, u] = %0
"""


def squeezed(text: str) -> str:
    return re.sub(r" +", " ", text)


def test_it_comes_back_as_it_is() -> None:
    graph = parse(CONVOLUTION)
    assert squeezed(write(graph)) == squeezed(CONVOLUTION)
    assert parse(write(graph)) == graph


def test_layers_that_ship() -> None:
    seen: set[str] = set()
    for text in (MORE, *((STDLIB / f"{file}.arch").read_text() for file in FILES)):
        program, _ = load(text)
        assert program is not None
        for declared in program.layers:
            unit = elaborate(program, declared.name, {}, Problems())
            for mode in ("train", "eval") if unit is not None else ():
                assert unit is not None
                graph = prepared(lower_graph(unit, "forward", mode))
                text = write(graph)
                assert parse(text) == graph, declared.name
                assert write(parse(text)) == text, declared.name
                seen |= {node.attrs.kind for node in topological(graph.roots) if isinstance(node.attrs, Library)}
    assert seen == KINDS


def test_random_graphs() -> None:
    for seed in range(40):
        graph = prepared(random_graph(random.Random(seed), 10))
        assert parse(write(graph)) == graph, seed


@pytest.mark.parametrize(("old", "new", "message"), [
    ("step=1, ", "", "line 4: expected 'step', found 'dilation'"),
    ("step=1", "step=n 1", "line 4: expected ','"),
    ("$0 convolution(windows", "$0 contract(windows", "line 4: expected '{'"),
    ("library convolution $0", "library pool $0", "line 17: $0 is another call"),
    ("library convolution $0", "call $0", "line 17: $0 is another call"),
    ("      return result[n, o, u] = %6\n", "", "line 15: the body of a library call has one result"),
])
def test_errors_name_the_line(old: str, new: str, message: str) -> None:
    assert old in CONVOLUTION
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(CONVOLUTION.replace(old, new))
