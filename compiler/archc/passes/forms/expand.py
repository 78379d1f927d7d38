"""Repeating along axes, and its transpose, the sum over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.ir.graph import Node
from archc.passes.cotangent import Cotangent, sum_over
from archc.passes.forms.common import Parts, Run


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    """The operand's: it is the same along the new axes."""
    return tangents[0]


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    yield node.args[0], sum_over(ct, node.axes - node.args[0].axes)
