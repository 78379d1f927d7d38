"""`scan t { ... }`: sequential loops with explicit states, and `for j { ... }` inside them.

In the body a value that has the scanned axis means its element at this step, and the axis as a value is the step. The terms of a
body are terms like others, over the step and the states; what depends on neither is computed outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archc.checker import axes as axis_rules
from archc.checker import expressions, statements
from archc.checker.frame import Frame, Stop
from archc.checker.terms import INT, as_term, converted, expand, is_term
from archc.checker.typed import AxisIndex, Loop, LoopResult, ReadAt, StateRef, Step, Term
from archc.checker.types import LEADING, Axis, Type, flat
from archc.checker.values import POISON, Value
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span


@dataclass
class State:
    """A state of a loop: its reference in the body and where it starts."""

    ref: StateRef
    start: Term
    span: Span


@dataclass
class Yielded:
    name: str
    term: Term
    span: Span


class LoopFrame(Frame):
    """The frame of a loop's body. Names of the surrounding scope are seen through it, element by element."""

    def __init__(self, outer: Frame, axis: Axis, span: Span) -> None:
        super().__init__(outer.context, outer.file, outer, outer.path)
        self.leading = outer.leading
        self.axis = axis
        self.step = Step(axis, INT, span)
        self.states: dict[str, State] = {}
        self.yields: list[Yielded] = []
        self.finals: list[tree.Finally] = []
        self.draws = self.context.draws

    def run(self, body: Sequence[tree.Statement]) -> statements.Block:
        """Check the body; what is drawn in it is drawn at every step."""
        inner = statements.Block()
        self.context.loops.append(self.step)
        try:
            statements.run(body, self, inner)
        finally:
            self.context.loops.pop()
        return inner

    def element(self, value: Value, span: Span) -> Value:
        assert self.parent is not None
        value = self.parent.element(value, span)
        if is_term(value) and self.axis in value.type.axes:  # type: ignore[union-attr]
            term: Term = value  # type: ignore[assignment]
            if isinstance(term, AxisIndex) and term.axis == self.axis:
                return self.step  # given to a fn by another name, an index is an index still
            return ReadAt(
                term, ((self.axis, self.step, "trust"),), None, Type(term.type.dtype, term.type.axes - {self.axis}), span
            )
        return value

    def index_of(self, chain: tuple[Axis, ...]) -> Term | None:
        assert self.parent is not None
        return self.step if chain == (self.axis,) else self.parent.index_of(chain)


def scan(statement: tree.Scan, frame: Frame, block: statements.Block) -> None:
    """Check a scan and give its yields and last states to the surrounding scope."""
    chain = frame.chain(statement.axis)
    if len(chain) != 1:
        frame.fail(codes.SCAN_SPLIT, statement.axis.span, name=statement.axis.name)
    body = LoopFrame(frame, chain[0], statement.span)
    inner = body.run(statement.body)
    if inner.returned is not None:
        frame.fail(codes.RETURN_IN_SCAN, statement.span)
    if inner.failed:
        raise Stop
    if not body.states:
        frame.report(codes.SCAN_WITHOUT_STATE, statement.span)
    loop = close(body, statement.reverse, statement.span)
    for position, yielded in enumerate(body.yields):
        type_ = Type(yielded.term.type.dtype, yielded.term.type.axes | {body.axis})
        _give(frame, block, yielded.name, LoopResult(loop, position, False, type_, yielded.span), yielded.span)
    last = Frame(frame.context, frame.file, frame, frame.path)
    last.leading = frame.leading
    for position, (name, state) in enumerate(body.states.items()):
        last.values[name] = LoopResult(loop, position, True, state.ref.type, state.span)
    for final in body.finals:
        _give(frame, block, final.name.name, expressions.evaluate(final.value, last), final.span)


def _give(frame: Frame, block: statements.Block, name: str, value: Value, span: Span) -> None:
    if name in block.assigned:
        frame.report(codes.ASSIGNED_TWICE, span, name=name, also=[(block.assigned[name], "first here")])
    block.assigned[name] = span
    frame.values[name] = value
    if is_term(value):
        frame.context.names.append((value, name))  # type: ignore[arg-type]


def close(body: LoopFrame, reverse: bool, span: Span) -> Loop:
    """The loop, when its body has been checked: what each state is at the end of a step."""
    nexts: list[Term] = []
    for name, state in body.states.items():
        value = as_term(body.values[name], state.span, body)
        if extra := value.type.axes - state.ref.type.axes:
            body.fail(codes.RESULT_AXES, value.span, axes=body.names_of(extra), found=body.show(value.type),
                      expected=body.show(state.ref.type), also=[(state.span, "the state is declared here")])  # fmt: skip
        nexts.append(expand(_as_dtype(value, state.ref.type, body), state.ref.type.axes))
    refs, starts = tuple(s.ref for s in body.states.values()), tuple(s.start for s in body.states.values())
    around = tuple(body.context.loops) if body.context.draws > body.draws else ()
    return Loop(body.axis, reverse, body.step, refs, starts, tuple(nexts), tuple(y.term for y in body.yields), span, around)


def _as_dtype(value: Term, wanted: Type, frame: Frame) -> Term:
    value = converted(value, wanted.dtype, frame)
    if value.type.dtype != wanted.dtype:
        frame.fail(codes.RESULT_DTYPE, value.span, found=value.type.dtype, expected=wanted.dtype)
    return value


def statement(node: tree.State | tree.Yield | tree.Finally, frame: Frame) -> None:
    """A statement that only a scan has."""
    if not isinstance(frame, LoopFrame):
        frame.fail(codes.OUTSIDE_SCAN, node.span)
    if isinstance(node, tree.State):
        _state(node, frame)
    elif isinstance(node, tree.Yield):
        term = expressions.term(node.value, frame)
        frame.yields.append(Yielded(node.name.name, term, node.span))
    else:
        frame.finals.append(node)


def _state(node: tree.State, frame: LoopFrame) -> None:
    name = node.name.name
    if name in frame.states:
        frame.fail(codes.DECLARED_TWICE, node.name.span, name=name)
    assert frame.parent is not None
    axis_rules.declare_sized(frame, node.dims)
    layout = axis_rules.layout(frame, node.dims, {})
    axes = frozenset(axis for dim in layout for axis in dim)
    if frame.axis in axes:
        frame.fail(codes.STATE_HAS_AXIS, node.span, name=frame.axis_name(frame.axis))
    start = expressions.term(node.value, frame.parent)
    if extra := start.type.axes - axes:
        frame.fail(codes.RESULT_AXES, node.value.span, axes=frame.names_of(extra), found=frame.show(start.type),
                   expected=frame.show(Type(start.type.dtype, axes)))  # fmt: skip
    dtype = node.dtype.name if node.dtype is not None else "float" if start.type.dtype == "int" else start.type.dtype
    if dtype not in ("float", "int", "bool", "complex"):
        frame.fail(codes.UNKNOWN_KIND, node.span, name=dtype, kinds=("float", "int", "bool", "complex"))
    type_ = Type(dtype, axes)  # type: ignore[arg-type]
    order = tuple(sorted(flat(layout), key=lambda axis: axis.name != LEADING))  # these come first in memory
    ref = StateRef(name, type_, node.span, order)
    frame.states[name] = State(ref, expand(_as_dtype(start, type_, frame), axes), node.span)
    frame.values[name] = ref


def _order(start: Term, frame: Frame) -> tuple[Axis, ...]:
    """The order of axes of a state that is not declared: that of a state around it that has the same."""
    alike = [state.ref.order for state in frame.states.values() if state.ref.type.axes == start.type.axes] if isinstance(
        frame, LoopFrame) else []
    return alike[0] if alike else tuple(sorted(start.type.axes, key=lambda axis: axis.name))


def inner_loop(node: tree.For, frame: Frame, block: statements.Block) -> None:
    """`for j { ... }` over an axis inside a scan: one step after the other, carrying what the body assigns anew."""
    if not isinstance(frame, LoopFrame):
        frame.fail(codes.OUTSIDE_SCAN, node.span)
    chain = frame.chain(node.target)
    if len(chain) != 1:
        frame.fail(codes.SCAN_SPLIT, node.target.span, name=node.target.name)
    body = LoopFrame(frame, chain[0], node.span)
    for target in statements.targets(node):
        value = frame.values.get(target.name)
        if value is POISON:
            raise Stop
        if target.name not in body.states and is_term(value):
            start: Term = value  # type: ignore[assignment]
            ref = StateRef(target.name, start.type, target.span, _order(start, frame))
            body.states[target.name] = State(ref, start, target.span)
            body.values[target.name] = ref
    inner = body.run(node.body)
    if inner.failed:
        raise Stop
    if inner.returned is not None or body.yields or body.finals:
        frame.fail(codes.RETURN_IN_SCAN, node.span)
    if not body.states:
        frame.fail(codes.SCAN_WITHOUT_STATE, node.span)
    loop = close(body, False, node.span)
    for position, (name, state) in enumerate(body.states.items()):
        frame.values[name] = LoopResult(loop, position, True, state.ref.type, state.span)
        block.assigned.setdefault(name, node.span)
