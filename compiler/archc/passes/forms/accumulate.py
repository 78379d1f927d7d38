"""Adding into places by index; its transpose reads from them, 0 where what was added had been dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.ir import build
from archc.ir.graph import Accumulate, Node
from archc.passes.cotangent import Cotangent, sum_over
from archc.passes.forms.common import ZERO, Parts, Run
from archc.rules.structure import places_of


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    attrs: Accumulate = node.attrs  # type: ignore[assignment]
    moved = tangents[0]
    if moved is None:
        return None
    # What is summed away must be there to be counted.
    return build.accumulate(build.expand(moved, node.args[0].axes - attrs.keep), places_of(node), attrs.keep)


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    v, at = node.args[0], places_of(node)
    fills = any(border == "fill" for _, border in at.values())
    came = build.read(build.expand(ct.value, at), at, ZERO if fills else None)
    attrs: Accumulate = node.attrs  # type: ignore[assignment]
    spread = attrs.keep.union(*(index.axes for index in node.args[1:]))
    yield v, sum_over(Cotangent(came), spread - v.axes)
