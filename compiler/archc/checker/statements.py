"""Statements of a body, in order: each one's first problem is reported, then checking goes on with the next."""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker import axes as axis_rules
from archc.checker import calls, expressions, scans
from archc.checker.frame import Context, Frame, Stop
from archc.checker.terms import as_term, converted, expand, is_term
from archc.checker.typed import Body, CustomCall, Function, Reduction, Ref, TensorInput, TensorResult
from archc.checker.types import Dim, Layout, Type
from archc.checker.values import POISON, AxisRef, Poison, Value, chain_size
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span


class Block:
    """Names assigned so far in one block, and what a `return` gave."""

    def __init__(self) -> None:
        self.assigned: dict[str, Span] = {}
        self.returned: list[Value] | None = None
        self.returned_at: Span | None = None
        self.failed = False


def results_of(fn: tree.Fn, frame: Frame) -> list[Value]:
    """Run a body; its results in the order of the signature. Raises Stop where a result was spoiled by a problem."""
    named = [result.name for result in fn.results if result.name is not None]
    block = Block()
    axis_rules.declare_results(frame, fn.results)
    run(fn.body, frame, block)
    if named:
        if block.returned is not None:
            frame.fail(codes.RETURN_AND_NAMED, fn.name.span, name=fn.name.name)
        values: list[Value] = []
        for name in named:
            value = frame.values.get(name.name)
            if value is None:
                if block.failed:
                    raise Stop
                frame.fail(codes.RESULT_NOT_ASSIGNED, name.span, name=name.name)
            if isinstance(value, Poison):
                raise Stop
            values.append(value)
        return values
    if block.returned is None:
        if block.failed:
            raise Stop
        if not fn.results and frame.context.updates and fn.name.name != "forward":
            return []  # a method that only stores
        frame.fail(codes.NO_RETURN, fn.name.span, name=fn.name.name)
    expected = max(len(fn.results), 1)
    if len(block.returned) != expected and fn.results:
        at, stated = block.returned_at or fn.name.span, [(fn.name.span, "declared here")]
        frame.fail(codes.RESULT_COUNT, at, also=stated, expected=expected, found=len(block.returned))
    if any(isinstance(value, Poison) for value in block.returned):
        raise Stop
    return block.returned


def run(body: Sequence[tree.Statement], frame: Frame, block: Block) -> None:
    for position, statement in enumerate(body):
        if frame.context.exhausted:
            raise Stop
        frame.context.steps += 1
        frame.limit("statements", frame.context.steps, statement.span)
        if block.returned is not None:
            frame.report(codes.AFTER_RETURN, statement.span)
            return
        try:
            _statement(statement, frame, block)
        except Stop:
            block.failed = True
            for target in targets(body[position]):
                frame.values[target.name] = POISON
                if not isinstance(statement, tree.State):
                    block.assigned[target.name] = target.span
            if isinstance(statement, tree.Return):
                block.returned = [POISON for _ in statement.values]


def targets(statement: tree.Statement) -> Sequence[tree.Ident]:
    """The names that a statement would have given a value."""
    if isinstance(statement, tree.Assign):
        return statement.targets
    if isinstance(statement, (tree.AxisDecl, tree.Store, tree.State)):
        return (statement.name,)
    if isinstance(statement, (tree.If, tree.When)):
        inner = [*statement.then, *(statement.otherwise or ())]
        return [target for s in inner for target in targets(s)]
    if isinstance(statement, tree.For):
        return [target for s in statement.body for target in targets(s)]
    if isinstance(statement, tree.Scan):
        return [s.name for s in statement.body if isinstance(s, (tree.Yield, tree.Finally))]
    return ()


def _statement(statement: tree.Statement, frame: Frame, block: Block) -> None:
    match statement:
        case tree.Assign():
            _assign(statement, frame, block)
        case tree.Return(values):
            block.returned = [expressions.evaluate(value, frame) for value in values]
            block.returned_at = statement.span
        case tree.AxisDecl():
            axis(statement, frame, axis_rules.splits_in(statement, frame))
        case tree.If(condition, then, otherwise):
            value = expressions.static(condition, frame, "the condition of `if`")
            if not isinstance(value, bool):
                frame.fail(codes.CONDITION_NOT_BOOL, condition.span)
            _branch(then if value else otherwise or (), frame, block)
        case tree.When(mode, then, otherwise):
            if mode.name != "training":
                frame.fail(codes.UNKNOWN_MODE, mode.span, name=mode.name)
            frame.context.mode_used = True
            _branch(then if frame.context.training else otherwise or (), frame, block)
        case tree.For():
            _for(statement, frame, block)
        case tree.Update(name, value):
            _update(name, value, frame)
        case tree.Penalty(name, value):
            term = expressions.term(value, frame)
            if term.type.axes:
                frame.fail(codes.PENALTY_NOT_SCALAR, value.span, found=frame.show(term.type))
            if term.type.dtype not in ("float", "int"):
                frame.fail(codes.WRONG_DTYPE, value.span, name=name.name, expected="a float", found=frame.show(term.type))
            path = f"{frame.path}.{name.name}" if frame.path else name.name
            frame.context.penalties.append((path, term))
            frame.context.effect(path)
        case tree.Scan():
            scans.scan(statement, frame, block)
        case tree.Store(span=span):
            frame.fail(codes.STORE_IN_BODY, span)
        case tree.State() | tree.Yield() | tree.Finally():
            scans.statement(statement, frame)


def _branch(body: Sequence[tree.Statement], frame: Frame, block: Block) -> None:
    """A branch is a block: it may give a name from outside a new value, and its own names stay known after it."""
    inner = Block()
    run(body, frame, inner)
    block.failed |= inner.failed
    block.returned, block.returned_at = inner.returned, inner.returned_at
    for name, span in inner.assigned.items():
        block.assigned.setdefault(name, span)


def _assign(statement: tree.Assign, frame: Frame, block: Block) -> None:
    for target in statement.targets:
        if target.name in block.assigned:
            frame.report(codes.ASSIGNED_TWICE, target.span, name=target.name, also=[(block.assigned[target.name], "first here")])
        if frame.find_axis(target.name) is not None:
            frame.fail(codes.AMBIGUOUS_NAME, target.span, name=target.name)
        block.assigned[target.name] = target.span
    value = expressions.evaluate(statement.value, frame)
    if len(statement.targets) == 1:
        frame.values[statement.targets[0].name] = calls.named(value, statement.targets[0].name)
        _note(value, statement.targets[0], frame)
        return
    if not isinstance(value, tuple) or len(value) != len(statement.targets):
        found = len(value) if isinstance(value, tuple) else 1
        frame.fail(codes.UNPACK, statement.span, expected=len(statement.targets), found=found)
    for target, part in zip(statement.targets, value, strict=True):
        frame.values[target.name] = part
        _note(part, target, frame)


def _note(value: Value, target: tree.Ident, frame: Frame) -> None:
    """Remember what the source calls a term, for those who read the graph or the printed code."""
    if is_term(value):
        frame.context.names.append((value, target.name))  # type: ignore[arg-type]


def axis(statement: tree.AxisDecl, frame: Frame, splits: axis_rules.Splits) -> None:
    """`axis z = size`, `axis c = (g=8 k)`, `axis z = a + b`."""
    name = statement.name.name
    if frame.find_value(name) is not None:
        frame.fail(codes.AMBIGUOUS_NAME, statement.name.span, name=name)
    known = frame.find_axis(name)
    if statement.parts:
        if known is None:
            axis_rules.declare(frame, name, None, statement.name.span, splits)
        else:
            _split_again(statement, known, frame)
        return
    assert statement.size is not None
    parts = _sum_of_axes(statement.size, frame)
    if parts is not None:
        size = sum((chain_size(part) for part in parts[1:]), chain_size(parts[0]))
        frame.sums[name] = parts
    else:
        size = axis_rules.size_expression(statement.size, frame)
    if known is not None:
        frame.require_equal(chain_size(known), size, statement.span, codes.SIZE_MISMATCH, name=name)
    else:
        axis_rules.declare(frame, name, size, statement.name.span, splits)


def _split_again(statement: tree.AxisDecl, known: Dim, frame: Frame) -> None:
    """A split of an axis that is there already says again what it is made of; it cannot change that."""
    names = [part.name.name if part.name else "part" for part in statement.parts]
    parts = [(part, name, frame.find_axis(name)) for part, name in zip(statement.parts, names, strict=True)]
    chains = [chain for _, _, chain in parts if chain is not None]
    if len(chains) < len(parts) or tuple(axis for chain in chains for axis in chain) != known:
        name = statement.name.name
        frame.fail(codes.SPLIT_LATER, statement.span, name=name, state="without parts" if len(known) == 1 else "with other parts")
    for part, name, chain in parts:
        if part.size is not None and chain is not None:
            size = axis_rules.size_expression(part.size, frame)
            frame.require_equal(chain_size(chain), size, part.span, codes.SIZE_MISMATCH, name=name)


def _sum_of_axes(expr: tree.Expr, frame: Frame, inside: bool = False) -> list[Dim] | None:
    """The axes of `a + b + ...`, or None where the expression is something else."""
    if isinstance(expr, tree.Binary) and expr.op == "+":
        left, right = _sum_of_axes(expr.left, frame, True), _sum_of_axes(expr.right, frame, True)
        return left + right if left is not None and right is not None else None
    if inside and isinstance(expr, tree.Name) and frame.find_value(expr.name) is None and (chain := frame.find_axis(expr.name)):
        return [chain]
    return None


def _for(statement: tree.For, frame: Frame, block: Block) -> None:
    """Unrolled over a static list: each turn is a block; names from outside are carried from turn to turn."""
    if statement.items is None:
        scans.inner_loop(statement, frame, block)
        return
    items = expressions.evaluate(statement.items, frame)
    if not isinstance(items, tuple):
        what = "an axis is looped over inside `scan` only" if isinstance(items, AxisRef) else "a list is needed"
        frame.fail(codes.NOT_A_LIST, statement.items.span, why=what)
    outside = set(frame.values)
    axes_outside = set(frame.axes)
    for item in items:
        frame.values[statement.target.name] = item
        turn = Block()
        run(statement.body, frame, turn)
        block.failed |= turn.failed
        if turn.returned is not None:
            block.returned, block.returned_at = turn.returned, turn.returned_at
            return
        for name in set(frame.values) - outside:
            del frame.values[name]
        for name in set(frame.axes) - axes_outside:
            if not any(set(frame.axes[name]) & v.type.axes for v in frame.values.values() if is_term(v)):  # type: ignore[union-attr]
                del frame.axes[name]
        if turn.failed:
            raise Stop


def _update(name: tree.Ident, value: tree.Expr, frame: Frame) -> None:
    buffer = frame.find_value(name.name)
    if not isinstance(buffer, Ref) or buffer.role != "buffer":
        frame.fail(codes.UPDATE_TARGET, name.span, name=name.name)
    term = converted(expressions.term(value, frame), buffer.type.dtype, frame)
    if term.type.dtype != buffer.type.dtype:
        frame.fail(codes.RESULT_DTYPE, value.span, found=term.type.dtype, expected=buffer.type.dtype)
    if extra := term.type.axes - buffer.type.axes:
        frame.fail(
            codes.RESULT_AXES,
            value.span,
            axes=frame.names_of(extra),
            found=frame.show(term.type),
            expected=frame.show(buffer.type),
        )
    if buffer.path in frame.context.updates:
        frame.fail(codes.ASSIGNED_TWICE, name.span, name=name.name)
    frame.context.updates[buffer.path] = (buffer, expand(term, buffer.type.axes))
    frame.context.effect(buffer.path)


# ------------------------------------------------------------------------------------------ derivatives of one's own
def custom_gradient(fn: tree.Fn, inputs: Sequence[tree.Input], frame: Frame) -> list[Value]:
    """A fn with `grad(...)`: its body and its derivative as a unit, applied to the arguments that the frame holds."""
    assert fn.gradient is not None
    gradient = fn.gradient
    given = {i.name.name: as_term(frame.values[i.name.name], i.span, frame) for i in inputs}
    tensors = [
        TensorInput(i.name.name, given[i.name.name].type, _any_layout(given[i.name.name].type, frame.context), None, i.span)
        for i in inputs
    ]
    refs: dict[str, Value] = {t.name: Ref(t.name, "input", t.type, t.layout, t.span) for t in tensors}
    frame.values.update(refs)
    results = [as_term(v, fn.span, frame) for v in results_of(fn, frame)]
    if len(gradient.names) != len(results):
        frame.fail(codes.GRADIENT_COUNT, gradient.span, expected=len(results), found=len(gradient.names))
    body = Body(
        tuple(
            TensorResult(r.name.name if r.name else f"result{k or ''}", t, _any_layout(t.type, frame.context))
            for k, (t, r) in enumerate(
                zip(results, fn.results or [tree.Result(None, None, None, None, fn.span)] * len(results), strict=True)
            )
        ),
        (),
        (),
        (),
        (),
    )
    back = Frame(frame.context, frame.file, frame.parent, frame.path)
    back.values.update({k: v for k, v in frame.values.items() if k in refs or not is_term(v)})
    back.axes.update(frame.axes)
    back.outer.update(frame.outer)
    back.leading = frame.leading
    cotangents: list[TensorInput] = []
    for name, result in zip(gradient.names, results, strict=True):
        layout = _any_layout(result.type, frame.context)
        cotangents.append(TensorInput(name.name, result.type, layout, None, name.span))
        back.values[name.name] = Ref(name.name, "input", result.type, layout, name.span)
    named = {t.name: t for t in tensors}
    wrt: list[TensorResult] = []
    stopped: list[str] = []
    for name, row in gradient.rows:
        if name.name not in named:
            frame.fail(codes.UNKNOWN_ARGUMENT, name.span, name=name.name, names=sorted(named), callee=fn.name.name)
        if row is None:
            stopped.append(name.name)
            continue
        target = named[name.name].type
        term = expressions.term(row, back)
        term = converted(term, target.dtype, back)
        if extra := term.type.axes - target.axes:
            term = Reduction("sum", term, frozenset(extra), Type(term.type.dtype, term.type.axes - extra), row.span)
        wrt.append(TensorResult(name.name, expand(term, target.axes), named[name.name].layout))
    vjp = Body(tuple(wrt), (), (), (), ())
    function = Function(
        fn.name.name,
        tuple(tensors),
        body,
        (*tensors, *cotangents),
        vjp,
        tuple(r.name for r in wrt),
        tuple(stopped),
        gradient.surrogate,
        fn.span,
    )
    group = object()
    args = tuple(given[t.name] for t in tensors)
    return [CustomCall(function, args, k, t.type, t.span, group) for k, t in enumerate(results)]


def _any_layout(type_: Type, context: Context) -> Layout:
    return tuple((a,) for a in context.in_order(type_.axes))
