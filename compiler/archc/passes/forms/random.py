"""Draws have no tangent; one whose parameters are differentiated is first written as a fixed draw, moved and scaled:

    normal(m, s)  = m + s * normal(0, 1)          uniform(a, b) = a + (b - a) * uniform(0, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.diagnostics.codes import NO_DERIVATIVE
from archc.diagnostics.model import Problem, UserError
from archc.ir import build
from archc.ir.graph import Node, Random
from archc.passes.cotangent import Cotangent
from archc.passes.forms.common import NotLinear, Parts, Run


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    if all(moved is None for moved in tangents):
        return None
    raise UserError([Problem(NO_DERIVATIVE, run.graph.notes.spans.get(node), {
        "what": f"a draw of '{node.attrs.kind}'", "why": "its result does not move smoothly with the parameters"})])  # type: ignore[union-attr]


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    raise NotLinear(node)


def reparameterised(node: Node) -> Node:
    """The draw by location and scale, if its kind can be written so."""
    attrs: Random = node.attrs  # type: ignore[assignment]
    if attrs.kind not in ("normal", "uniform"):
        return node
    location, second = node.args
    scale = second if attrs.kind == "normal" else build.apply("sub", second, location)
    fixed = build.random(attrs.kind, (build.const(0.0), build.const(1.0)), attrs.axes, attrs.serial)
    return build.apply("add", build.apply("mul", fixed, scale), location)
