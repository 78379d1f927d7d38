"""Sum terms apart where their sum would be larger than any of them:

    sum[i](base * silu(x) + sum[k](coef * basis)) -> sum[i](base * silu(x)) + sum[i](sum[k](coef * basis))

with base[o, i] and x[n, i]: nothing of size n * o * i is made, and each side is a contraction. What one term holds in full
already is left as it is, and so is a square, whose terms would cancel.
"""

from __future__ import annotations

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Graph, Node, rewrite
from archc.passes.base import Keeps, Pass, also_inside
from archc.passes.products import Product, product, terms, total


def distribute(node: Node) -> Node | None:
    """One sum of a sum, perhaps times factors, as sums of its terms."""
    if node.op != "sum":
        return None
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    whole = product(node.args[0])
    trees = [i for i, (factor, divides) in enumerate(whole.factors) if not divides and factor.op in ("add", "sub")]
    if len(trees) != 1:
        return None
    tree = whole.factors[trees[0]][0]
    parts = terms(tree)
    if parts is None or any(leaf.axes >= tree.axes for part, _ in parts for leaf in _leaves(part)):
        return None
    others = whole.factors[: trees[0]] + whole.factors[trees[0] + 1 :]
    sums = []
    for part, negative in parts:
        term = Product(((part, False), *others)).node()
        assert term is not None
        sums.append((build.expand(build.reduce("sum", term, over), node.axes), negative != whole.negative))
    return total(sums)


def _leaves(part: Node) -> list[Node]:
    """What must be held to compute a term: its factors, those of a sum's terms included."""
    if part.op == "sum":
        part = part.args[0]
    return [factor for factor, _ in product(part).factors]


@also_inside
def run(graph: Graph) -> Graph:
    return rewrite(graph, distribute)


DISTRIBUTE = Pass("distribute", "sum terms apart where their sum would be larger than any of them", run,
                  Keeps.UP_TO_REASSOCIATION)
