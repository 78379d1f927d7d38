"""Calls and axes: a callee's axes are private and distinct, renamed on entry and back on exit.

They are bound by axis arguments, else by brackets `f[callee = caller](x)`, else by equal name. `...` takes what is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker import axes as axis_rules
from archc.checker.frame import Frame
from archc.checker.terms import converted, expand, reindex
from archc.checker.typed import Term
from archc.checker.types import LEADING, Axis, Dim, Layout
from archc.checker.values import chain_size
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span


@dataclass
class Binding:
    """How the axes of one call correspond. `inside` are the callee's own, `outside` the caller's."""

    callee: Frame
    caller: Frame
    span: Span
    explicit: Mapping[str, tree.BracketItem]
    arguments: dict[str, Term] = field(default_factory=dict)  # in the callee's axes
    layouts: dict[str, Layout] = field(default_factory=dict)  # in the caller's axes
    exits: list[tuple[Dim, Dim]] = field(default_factory=list)  # inside, outside
    leading: Dim = ()  # in the caller's axes


def bind(
    inputs: Sequence[tree.Input],
    given: Mapping[str, Term],
    items: Sequence[tree.BracketItem],
    callee: Frame,
    caller: Frame,
    splits: axis_rules.Splits,
    results: Sequence[tree.Result],
    span: Span,
    opaque: bool,
    riding: frozenset[Axis] = frozenset(),
) -> Binding:
    """Enter a call: the arguments in the callee's axes. `opaque`: an input without brackets takes any axes as `...`.

    `riding` are axes of the caller that come along beside the arguments, and are part of `...`.
    """
    binding = Binding(callee, caller, span, _explicit(inputs, results, items, callee, caller))
    outside = _outside_axes(inputs, given, binding)
    leading: set[Axis] = set(riding)
    for input_ in inputs:
        if input_.name.name not in given:
            continue
        rest = given[input_.name.name].type.axes - _named(input_, outside)
        if input_.dims is None:
            leading |= rest if opaque else set()
        elif any(dim.name is not None and dim.name.name == LEADING for dim in input_.dims):
            leading |= rest
        elif rest:
            caller.fail(
                codes.EXTRA_AXES, span, name=input_.name.name, axes=caller.names_of(rest), also=[(input_.span, "declared here")]
            )
    inside = _inside_axes(inputs, outside, leading, binding, splits)
    moved = _move_leading(leading, binding)
    binding.leading = caller.context.in_order(leading)
    callee.leading = frozenset(moved.get(axis, axis) for axis in leading)
    for input_ in inputs:
        name = input_.name.name
        if name not in given:
            continue
        term = given[name]
        for axis, copy in moved.items():
            term = reindex(term, (axis,), (copy,), span)
        for axis_name in _names(input_):
            term = reindex(term, outside[axis_name], inside[axis_name], span)
        binding.arguments[name] = term
        binding.layouts[name] = _argument_layout(input_, given[name], outside, binding, opaque)
    return binding


def _explicit(
    inputs: Sequence[tree.Input], results: Sequence[tree.Result], items: Sequence[tree.BracketItem], callee: Frame, caller: Frame
) -> dict[str, tree.BracketItem]:
    names = {name for input_ in inputs for name in _names(input_)} | callee.axis_names()
    names |= {dim.name.name for result in results for dim in result.dims or () if dim.name}
    found: dict[str, tree.BracketItem] = {}
    for item in items:
        if item.axis.name not in names:
            caller.fail(
                codes.UNKNOWN_AXIS, item.axis.span, name=item.axis.name, axes=sorted(names - {LEADING}), value="the callee"
            )
        if item.value is not None and not isinstance(item.value, tree.Name):
            caller.fail(codes.BINDING_NOT_AXIS, item.span, name=item.axis.name)
        found[item.axis.name] = item
    return found


def _names(input_: tree.Input) -> list[str]:
    """The names under which an input's dimensions are bound; the parts of a split without a name of its whole count singly."""
    names: list[str] = []
    for dim in input_.dims or ():
        for part in [dim] if dim.name is not None else dim.parts:
            if part.name is not None and part.name.name != LEADING:
                names.append(part.name.name)
    return names


def _named(input_: tree.Input, outside: Mapping[str, Dim]) -> set[Axis]:
    return {axis for name in _names(input_) for axis in outside[name]}


def _outside_axes(inputs: Sequence[tree.Input], given: Mapping[str, Term], binding: Binding) -> dict[str, Dim]:
    """For every name in the inputs' brackets, the caller's axes that it stands for."""
    caller, callee = binding.caller, binding.callee
    outside: dict[str, Dim] = {}
    for input_ in inputs:
        if input_.name.name not in given:
            continue
        term = given[input_.name.name]
        for name in _names(input_):
            chain = outside.get(name) or callee.outside(name)
            item = binding.explicit.get(name)
            if chain is None and item is not None:
                target = item.value.name if isinstance(item.value, tree.Name) else name
                chain = caller.find_axis(target)
                if chain is None:
                    caller.fail(codes.UNKNOWN_AXIS, item.span, name=target, axes=sorted(caller.axis_names()), value="the caller")
            chain = chain or caller.find_axis(name)
            if chain is None or not set(chain) <= term.type.axes:
                caller.fail(
                    codes.MISSING_AXIS,
                    term.span.within(binding.span),
                    name=name,
                    input=input_.name.name,
                    axes=caller.names_of(term.type.axes),
                    found=caller.show(term.type),
                    also=[(input_.span, "declared here")],
                )
            outside[name] = chain
    return outside


def _inside_axes(
    inputs: Sequence[tree.Input], outside: Mapping[str, Dim], leading: set[Axis], binding: Binding, splits: axis_rules.Splits
) -> dict[str, Dim]:
    """The callee's axes for every bound name: the caller's own where that is safe, private copies where it is not."""
    callee, span = binding.callee, binding.span
    inside: dict[str, Dim] = {}
    used: set[Axis] = set(leading) | callee.all_axes()
    for input_ in inputs:
        for dim in input_.dims or ():
            for part in [dim] if dim.name is not None else dim.parts:
                name = part.name.name if part.name else LEADING
                if name == LEADING or name not in outside:
                    continue
                if name not in inside:
                    known = callee.find_axis(name)
                    if known is not None:
                        if callee.outside(name) != outside[name]:
                            callee.require_equal(
                                chain_size(outside[name]), chain_size(known), span, codes.SIZE_MISMATCH, name=name
                            )
                        inside[name] = known
                    else:
                        inside[name] = enter(callee, name, outside[name], used, part.span, splits)
                    used |= set(inside[name])
                    if inside[name] != outside[name]:
                        binding.exits.append((inside[name], outside[name]))
                if part.size is not None:
                    size = axis_rules.size_expression(part.size, callee)
                    callee.require_equal(
                        chain_size(inside[name]), size, span, codes.SIZE_MISMATCH, name=name, also=[(part.span, "declared here")]
                    )
    return inside


def enter(callee: Frame, name: str, outside: Dim, used: set[Axis], span: Span, splits: axis_rules.Splits) -> Dim:
    """Declare a callee's axis that stands for axes of the caller."""
    parts = splits.get(name)
    if parts is None:
        if used.isdisjoint(outside):
            callee.define_axis(name, outside, span)
        else:
            callee.define_axis(name, (callee.context.axis(name, chain_size(outside)),), span)
    else:
        own = axis_rules.declare(callee, name, chain_size(outside), span, splits)
        same = len(own) == len(outside) and all(a.size == b.size for a, b in zip(own, outside, strict=True))
        if same and used.isdisjoint(outside):
            for part, axis in zip(own, outside, strict=True):
                for key, chain in list(callee.axes.items()):
                    callee.axes[key] = tuple(axis if a == part else a for a in chain)
            callee.define_axis(name, outside, span)
    callee.outer[name] = outside
    return callee.axes[name]


def _move_leading(leading: set[Axis], binding: Binding) -> dict[Axis, Axis]:
    """Members of `...` that are also named axes of the callee get another name while inside, so that nothing captures them."""
    clash = leading & binding.callee.all_axes()
    context = binding.callee.context
    moved = {axis: context.axis(axis.name, axis.size) for axis in context.in_order(clash)}
    binding.exits.extend(((copy,), (axis,)) for axis, copy in moved.items())
    return moved


def _argument_layout(input_: tree.Input, term: Term, outside: Mapping[str, Dim], binding: Binding, opaque: bool) -> Layout:
    lead: Layout = tuple((axis,) if axis in term.type.axes else () for axis in binding.leading)
    if input_.dims is None:
        return lead if opaque else ()
    layout: list[Dim] = []
    for dim in input_.dims:
        if dim.name is not None and dim.name.name == LEADING:
            layout.extend(lead)
        elif dim.name is not None:
            layout.append(outside[dim.name.name])
        else:
            layout.append(tuple(axis for part in dim.parts if part.name for axis in outside[part.name.name]))
    return tuple(layout)


def leave(
    binding: Binding,
    terms: Sequence[Term],
    results: Sequence[tree.Result],
    inputs: Sequence[tree.Input],
    splits: axis_rules.Splits,
) -> list[tuple[Term, Layout]]:
    """Leave a call: results in the caller's axes, with their layouts there."""
    if not results:
        return [_leave_unstated(binding, term) for term in terms]
    left: list[tuple[Term, Layout]] = []
    for term, result in zip(terms, results, strict=True):
        inner, inner_layout = state(binding.callee, term, result, inputs, splits)
        left.append(_leave_stated(binding, inner, inner_layout, result, inputs))
    return left


def state(
    frame: Frame, term: Term, result: tree.Result, inputs: Sequence[tree.Input], splits: axis_rules.Splits
) -> tuple[Term, Layout]:
    """A result as its signature states it: no other axes, and repeated along those that it lacks."""
    layout = result_layout(frame, result, inputs, splits)
    stated = frozenset(axis for dim in layout for axis in dim)
    if extra := term.type.axes - stated:
        frame.fail(
            codes.RESULT_AXES,
            term.span,
            axes=frame.names_of(extra),
            found=frame.show(term.type),
            expected="[" + ", ".join(frame.names_of(stated)) + "]",
            also=[(result.span, "the result is declared here")],
        )
    if result.dtype is not None and result.dtype.name == "complex":
        term = converted(term, "complex", frame)
    if result.dtype is not None and result.dtype.name != term.type.dtype:
        frame.fail(
            codes.RESULT_DTYPE,
            term.span,
            found=term.type.dtype,
            expected=result.dtype.name,
            also=[(result.span, "the result is declared here")],
        )
    return expand(term, stated), layout


def result_layout(frame: Frame, result: tree.Result, inputs: Sequence[tree.Input], splits: axis_rules.Splits) -> Layout:
    dims = result.dims
    if result.like is not None:
        model = next((i for i in inputs if i.name.name == result.like.name), None)
        if model is None:
            frame.fail(
                codes.UNKNOWN_NAME, result.like.span, name=result.like.name, names=[i.name.name for i in inputs], way_out=""
            )
        if model.dims is None:
            return tuple((axis,) for axis in axis_rules.leading_order(frame))
        dims = model.dims
    assert dims is not None
    return axis_rules.layout(frame, dims, splits)


def _leave_stated(
    binding: Binding, term: Term, layout: Layout, result: tree.Result, inputs: Sequence[tree.Input]
) -> tuple[Term, Layout]:
    dims = result.dims
    if result.like is not None:
        dims = next(i.dims for i in inputs if i.name.name == result.like.name)
    position = 0
    outer: list[Dim] = []
    for dim in dims if dims is not None else [None]:
        if dim is None or (dim.name is not None and dim.name.name == LEADING):
            count = len(binding.leading)
            outer.extend((axis,) for axis in binding.leading)
            position += count
            continue
        chain = layout[position]
        position += 1
        outer.append(_outer_chain(binding, chain, dim))
    seen: set[Axis] = set()
    for dim_axes in outer:
        for axis in dim_axes:
            if axis in seen:
                binding.caller.fail(codes.RESULT_AXIS_TWICE, binding.span, name=binding.caller.axis_name(axis))
            seen.add(axis)
    for inside, outside in zip(layout, outer, strict=True):
        term = reindex(term, inside, outside, binding.span)
    return term, tuple(outer)


def _outer_chain(binding: Binding, chain: Dim, dim: tree.Dim) -> Dim:
    """The caller's axes for one dimension of a result."""
    caller, callee = binding.caller, binding.callee
    if dim.name is None:
        return tuple(axis for part in dim.parts if part.name for axis in _outer_chain(binding, callee.chain(part.name), part))
    name = dim.name.name
    for inside, outside in binding.exits:
        if inside == chain:
            return outside
    bound = callee.outside(name)
    if bound is not None:
        return bound
    if chain == caller.find_axis(name) and name not in binding.explicit:
        return chain
    item = binding.explicit.get(name)
    target = item.value.name if item is not None and isinstance(item.value, tree.Name) else name
    existing = caller.find_axis(target)
    if existing is None:
        caller.define_axis(target, chain, binding.span)
        return chain
    caller.require_equal(
        chain_size(chain),
        chain_size(existing),
        binding.span,
        codes.RESULT_SIZE,
        name=target,
        also=[(dim.span, "the result's size is declared here")],
    )
    return existing


def _leave_unstated(binding: Binding, term: Term) -> tuple[Term, Layout]:
    """A fn that does not state its result: every axis goes back to the caller's; new ones come out under the fn's name."""
    for inside, outside in binding.exits:
        if set(inside) <= term.type.axes:
            if set(outside) & term.type.axes:
                binding.caller.fail(codes.RESULT_AXIS_TWICE, binding.span, name=binding.caller.axis_name(outside[0]))
            term = reindex(term, inside, outside, binding.span)
    known = binding.caller.all_axes() | set(binding.leading)
    for name, chain in binding.callee.axes.items():
        if set(chain) <= term.type.axes and not set(chain) & known:
            existing = binding.caller.find_axis(name)
            if existing is None:
                binding.caller.define_axis(name, chain, binding.span)
            else:
                binding.caller.require_equal(chain_size(chain), chain_size(existing), binding.span, codes.RESULT_SIZE, name=name)
                term = reindex(term, chain, existing, binding.span)
    return term, ()
