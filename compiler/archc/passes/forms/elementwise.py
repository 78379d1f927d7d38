"""Elementwise operations: the sum of partial derivatives times tangents; `where` chooses, and never multiplies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from archc.ir import build
from archc.ir.graph import Node
from archc.ir.meaning import derivative, jvp
from archc.ops.table import OPS
from archc.passes.cotangent import Cotangent, conjugate, scale, select, sum_over, times
from archc.passes.forms.common import ZERO, NotLinear, Parts, Run, plus


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    if node.op == "where":
        then, other = tangents[1], tangents[2]
        if then is other:
            return then
        return build.apply("where", node.args[0], then or ZERO, other or ZERO)
    if node.op == "complex":
        return build.apply("complex", tangents[0] or ZERO, tangents[1] or ZERO) if tangents[1] else tangents[0]
    if node.op in REAL_LINEAR:
        return build.apply(node.op, *(moved for moved in tangents if moved is not None))
    return plus(_term(node, place, moved) for place, moved in enumerate(tangents) if moved is not None)


def _term(node: Node, place: int, moved: Node) -> Node | None:
    if node.op == "mul":
        return times(moved, node.args[1 - place])
    if node.op == "div" and place == 0:
        return build.apply("div", moved, node.args[1])
    if OPS[node.op].jvp is not None and node.args[place].type.dtype == "complex":
        return jvp(node, moved)
    partial = derivative(node, place)
    return None if partial is None else times(moved, partial)


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    """Each linear operand gets the cotangent times its factor, summed over the axes that the operand lacks."""
    x = node.args[0]
    if node.op in ("add", "sub"):
        for place, arg in enumerate(node.args):
            if linear(arg):
                signed = ct if node.op == "add" or place == 0 else _minus(ct)
                yield arg, sum_over(signed, node.axes - arg.axes)
    elif node.op == "neg":
        yield x, _minus(ct)
    elif node.op in ("to_float", "positive") and x.type.dtype == "float":
        yield x, ct
    elif node.op == "complex":
        for part, arg in zip(("real", "imag"), node.args, strict=True):
            if linear(arg):
                yield arg, sum_over(replace(ct, raw=build.apply(part, ct.raw)), node.axes - arg.axes)
    elif node.op in REAL_LINEAR:
        back = {"real": ct.raw, "conj": build.apply("conj", ct.raw)}
        yield x, replace(ct, raw=back[node.op] if node.op in back else build.apply("complex", ZERO, ct.raw))
    elif node.op == "mul" and linear(x) != linear(node.args[1]):
        arg, factor = node.args if linear(x) else node.args[::-1]
        yield arg, _scaled(ct, conjugate(factor), node, arg, run)
    elif node.op == "div" and not linear(node.args[1]):
        yield x, _scaled(ct, build.apply("div", build.const(1.0), conjugate(node.args[1])), node, x, run)
    elif node.op == "where" and not linear(x):
        for place, arg in enumerate(node.args[1:]):
            if linear(arg):
                yield arg, sum_over(select(ct, x, holds=place == 0), node.axes - arg.axes)
    else:
        raise NotLinear(node)


REAL_LINEAR = ("real", "imag", "conj")
"""Operations that are their own derivative, and linear over the reals alone."""


def _minus(ct: Cotangent) -> Cotangent:
    return Cotangent(build.apply("neg", ct.raw), ct.mask, ct.clean)


def _scaled(ct: Cotangent, factor: Node, node: Node, arg: Node, run: Run) -> Cotangent:
    """Summed first over what the factor does not have: the sum is smaller than the product."""
    missing = node.axes - arg.axes
    first = missing - factor.axes
    return sum_over(scale(sum_over(ct, first), factor, run.facts), missing - first)
