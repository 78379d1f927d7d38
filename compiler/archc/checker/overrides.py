"""`inner(x) with { weight: w0 + u }`: params of a sub-layer that a call supplies from outside, perhaps with further axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archc.checker import expressions
from archc.checker.frame import Frame
from archc.checker.terms import converted, expand, reindex
from archc.checker.typed import Ref, Term
from archc.checker.types import Axis, Dim
from archc.checker.values import chain_size
from archc.diagnostics import codes
from archc.syntax import tree

if TYPE_CHECKING:
    from archc.checker.binding import Binding
    from archc.checker.layers import LayerFrame


@dataclass(frozen=True)
class Supplied:
    """Params by name, in the caller's axes, and how the axes of each correspond: (the caller's, the callee's)."""

    terms: Mapping[str, Term]
    axes: Mapping[str, tuple[tuple[Dim, Dim], ...]]
    riding: frozenset[Axis]  # axes of the caller that the params do not have: they ride along in `...`


def evaluate(expr: tree.Call, owner: LayerFrame, caller: Frame) -> Supplied:
    """The params that a call supplies. Reports unknown ones and wrong sizes."""
    terms: dict[str, Term] = {}
    axes: dict[str, tuple[tuple[Dim, Dim], ...]] = {}
    riding: set[Axis] = set()
    params = {name: value for name, value in owner.values.items() if isinstance(value, Ref) and value.role == "param"}
    for name, value in expr.overrides:
        param = params.get(name.name)
        if param is None:
            caller.fail(codes.UNKNOWN_ARGUMENT, name.span, name=name.name, names=sorted(params), callee=owner.layer.name.name)
        term = expressions.term(value, caller)
        term = converted(term, param.type.dtype, caller)
        if term.type.dtype != param.type.dtype:
            caller.fail(codes.RESULT_DTYPE, value.span, found=term.type.dtype, expected=param.type.dtype)
        pairs: list[tuple[Dim, Dim]] = []
        for axis, inside in owner.axes.items():
            if not set(inside) <= param.type.axes:
                continue
            outside = owner.outside(axis) or caller.find_axis(axis)
            if outside is not None and set(outside) <= term.type.axes:
                caller.require_equal(chain_size(outside), chain_size(inside), value.span, codes.SIZE_MISMATCH, name=axis)
                pairs.append((outside, inside))
        terms[name.name], axes[name.name] = term, tuple(pairs)
        riding |= term.type.axes - {axis for outside, _ in pairs for axis in outside}
    return Supplied(terms, axes, frozenset(riding))


def inside(supplied: Supplied, bound: Binding, owner: LayerFrame) -> dict[str, Term]:
    """The params as the body of the callee sees them."""
    found: dict[str, Term] = {}
    moved = {outside: own for own, outside in bound.exits}
    for name, term in supplied.terms.items():
        for axis in supplied.riding & term.type.axes:
            term = reindex(term, (axis,), moved.get((axis,), (axis,)), term.span)
        for outside, own in supplied.axes[name]:
            term = reindex(term, outside, own, term.span)
        ref = owner.values[name]
        assert isinstance(ref, Ref)
        # Under every name that the param has.
        found |= dict.fromkeys((other for other, value in owner.values.items() if value is ref), expand(term, ref.type.axes))
    return found


def always(layer: tree.Layer) -> dict[str, frozenset[str]]:
    """For each name that methods only ever call with params supplied: the params that every call supplies."""
    found: dict[str, frozenset[str]] = {}
    used: dict[str, int] = {}
    called: dict[str, int] = {}
    stack: list[object] = [statement for method in layer.methods for statement in method.body]
    while stack:
        node = stack.pop()
        if isinstance(node, tree.Name):
            used[node.name] = used.get(node.name, 0) + 1
        if isinstance(node, tree.Call):
            callee = node.callee.base if isinstance(node.callee, tree.Bracketed) else node.callee
            if isinstance(callee, tree.Name) and node.overrides:
                names = frozenset(name.name for name, _ in node.overrides)
                found[callee.name] = found.get(callee.name, names) & names
                called[callee.name] = called.get(callee.name, 0) + 1
        stack.extend(tree.children(node))
    return {name: params for name, params in found.items() if used[name] == called[name] and params}
