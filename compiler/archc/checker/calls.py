"""Calls: operations of the table, reductions, functions (inlined), and sub-layers (made, then called)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archc.checker import arguments as arguments_of
from archc.checker import axes as axis_rules
from archc.checker import binding, expressions, initial, layers, matrices, overrides, statements, summaries, transforms, units
from archc.checker.frame import INITIALISERS, Frame, Stop
from archc.checker.sizes import Size
from archc.checker.terms import apply, as_term, axis_index, const, converted, demand_dtype, describe, expand, is_term
from archc.checker.typed import Draw, MemberCall, ReadAt, Reduction, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import AxisRef, Bound, BuiltinRef, FnRef, Instance, LayerClass, OpRef, SizeVal, Value, chain_size
from archc.diagnostics import codes
from archc.ops.table import LANGUAGE_NAMES, OPS
from archc.syntax import tree
from archc.syntax.habits import habit
from archc.syntax.tree import Span

Items = Sequence[tree.BracketItem]


def call(expr: tree.Call, frame: Frame) -> Value:
    callee = expressions.evaluate(expr.callee, frame)
    items: Items = ()
    if isinstance(callee, Bound):
        items, callee = callee.items, callee.value
    if expr.overrides and not isinstance(callee, Instance):
        frame.fail(codes.OVERRIDE_TARGET, expr.span, what=describe(callee))
    if isinstance(callee, OpRef):
        return _operation(callee, items, isinstance(expr.callee, tree.Bracketed), expr, frame)
    if isinstance(callee, BuiltinRef):
        return _builtin(callee.name, items, expr, frame)
    if isinstance(callee, FnRef):
        results = apply_fn(callee, items, expr, frame)
        return results[0] if len(results) == 1 else tuple(results)
    if isinstance(callee, LayerClass):
        return layers.instantiate(callee, expr, frame)
    if isinstance(callee, Instance):
        results = invoke(callee, "forward", items, expr, frame)
        return results[0] if len(results) == 1 else tuple(results)
    frame.fail(codes.NOT_CALLABLE, expr.callee.span, what=describe(callee))


def member(base: Value, name: tree.Ident, frame: Frame) -> Value:
    if isinstance(base, Instance):
        method = next((m for m in base.of.layer.methods if m.name.name == name.name), None)
        if method is not None:
            owner = layers.open_child(base, frame)
            return FnRef(base.of.declared, method, owner)
        frame.fail(
            codes.UNKNOWN_MEMBER,
            name.span,
            name=name.name,
            layer=base.of.layer.name.name,
            names=[m.name.name for m in base.of.layer.methods],
        )
    frame.fail(codes.NO_MEMBERS, name.span, name=name.name, what=describe(base), way_out=habit(name.name))


# ------------------------------------------------------------------------------------- operations of the table
def _operation(ref: OpRef, items: Items, bracketed: bool, expr: tree.Call, frame: Frame) -> Value:
    name = ref.row.language or ref.row.name
    row = LANGUAGE_NAMES.get((name, bracketed))
    if row is None:
        if bracketed:
            frame.fail(codes.NO_AXES, expr.callee.span, name=name)
        frame.fail(codes.NEEDS_AXES, expr.span, name=name)
    if OPS[row].form == "transform":
        return transforms.transform(OPS[row], items, expr, frame)
    if any(argument.name for argument in expr.arguments):
        frame.fail(codes.NAMED_ARGUMENT, expr.span, name=name)
    values = [expressions.evaluate(argument.value, frame) for argument in expr.arguments]
    if not bracketed:
        if (folded := _fold(row, values)) is not None:
            return folded
        terms = [as_term(v, a.value.span, frame) for v, a in zip(values, expr.arguments, strict=True)]
        if row in ("maximum", "minimum") and len(terms) > 2:
            total = terms[0]
            for term in terms[1:]:
                total = apply(row, [total, term], expr.span, frame)
            return total
        return apply(row, terms, expr.span, frame, [argument.value.span for argument in expr.arguments])
    if OPS[row].form == "matrix":
        terms = [as_term(v, a.value.span, frame) for v, a in zip(values, expr.arguments, strict=True)]
        return matrices.call(row, items, terms, expr, frame)
    if len(values) != 1:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name=name, expected=1, found=len(values))
    return reduce(row, items, as_term(values[0], expr.arguments[0].value.span, frame), expr.span, frame)


def _fold(row: str, values: Sequence[Value]) -> Value | None:
    """Static numbers and sizes stay what they are under max, min and conversion."""
    if row in ("maximum", "minimum") and len(values) == 2:
        a, b = values
        if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
            return (max if row == "maximum" else min)(a, b)  # type: ignore[type-var]
        if row == "maximum" and all(isinstance(v, (SizeVal, int)) and not isinstance(v, bool) for v in values):
            sizes = [v.size if isinstance(v, SizeVal) else Size.of(v) for v in values]  # type: ignore[arg-type]
            return SizeVal(sizes[0].largest(sizes[1]))
    if row == "to_float" and isinstance(values[0], (int, float)) and not isinstance(values[0], bool):
        return float(values[0])
    return None


def reduce(row: str, items: Items, arg: Term, span: Span, frame: Frame) -> Term:
    """A reduction or normaliser over the axes in brackets."""
    over: set[Axis] = set()
    for item in items:
        if item.value is not None or item.border is not None:
            frame.fail(codes.REDUCTION_ITEM, item.span, name=OPS[row].language or row)
        chain = frame.chain(item.axis)
        if item.axis.name == "...":
            chain = tuple(axis for axis in chain if axis in arg.type.axes)
        elif not set(chain) <= arg.type.axes:
            frame.fail(
                codes.UNKNOWN_AXIS, item.axis.span, name=item.axis.name, axes=frame.names_of(arg.type.axes), value="this value"
            )
        if over & set(chain):
            frame.fail(codes.AXIS_TWICE, item.span, name=item.axis.name)
        over |= set(chain)
    op = OPS[row]
    demand_dtype(op, 0, arg, span, frame)
    if op.one_axis and len(over) != 1:
        frame.fail(codes.ONE_AXIS, span, name=row)
    dtype = op.result(("float" if op.dtypes[0] in "fv" and arg.type.dtype == "int" else arg.type.dtype,))
    axes = arg.type.axes - over if op.form == "reduce" else arg.type.axes
    return Reduction(row, arg, frozenset(over), Type(dtype, axes), span)


# ------------------------------------------------------------------------------------------------- built-ins
def _builtin(name: str, items: Items, expr: tree.Call, frame: Frame) -> Value:
    if name in INITIALISERS:
        return initial.draw(name, items, expr, frame)
    if name == "range":
        bounds = [expressions.static(a.value, frame, "the bound of a range") for a in expr.arguments]
        if not 1 <= len(bounds) <= 2 or not all(isinstance(b, int) and not isinstance(b, bool) for b in bounds):
            frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name=name, expected="one or two whole numbers", found=len(bounds))
        values = range(*bounds)  # type: ignore[arg-type]
        frame.limit("repetitions", len(values), expr.span)
        return tuple(values)
    if name == "dropout":
        return _dropout(expr, frame)
    if name in ("sort", "top_k"):
        return _ordered(name, items, expr, frame)
    if name == "eigh":
        return matrices.eigh(items, expr, frame)
    return _cat(items, expr, frame)


def _dropout(expr: tree.Call, frame: Frame) -> Value:
    if len(expr.arguments) != 2:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name="dropout", expected=2, found=len(expr.arguments))
    x, p = (expressions.term(argument.value, frame) for argument in expr.arguments)
    if p.type.axes:
        frame.fail(codes.FILL_NOT_SCALAR, p.span, found=frame.show(p.type))
    context = frame.context
    context.mode_used = True
    if not context.training:
        return x
    keep = apply("sub", [const(1.0, expr.span), p], expr.span, frame)
    axes = context.in_order(x.type.axes)
    mask = Draw("bernoulli", (keep,), axes, context.draw(), Type("float", x.type.axes), expr.span, tuple(context.loops))
    return apply("div", [apply("mul", [x, mask], expr.span, frame), keep], expr.span, frame)


def _ordered(name: str, items: Items, expr: tree.Call, frame: Frame) -> Value:
    """`sort[k](x)`: rising along k. `top_k[k = j](x)`: the |j| largest, falling along j, and their indices along k.

    Both read x at the indices of `argsort`, so their derivatives are those of a read.
    """
    if len(items) != 1 or items[0].border is not None or (items[0].value is None) != (name == "sort"):
        frame.fail(codes.ONE_AXIS, expr.span, name=name)
    if len(expr.arguments) != 1 or expr.arguments[0].name is not None:
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name=name, expected=1, found=len(expr.arguments))
    x, span = expressions.term(expr.arguments[0].value, frame), expr.span
    demand_dtype(OPS["argsort"], 0, x, span, frame, name)
    key = x if name == "sort" else apply("neg", [x], span, frame)
    order = reduce("argsort", [replace(items[0], value=None)], key, span, frame)
    (axis,) = frame.chain(items[0].axis)
    if name == "sort":
        return ReadAt(x, ((axis, order, "trust"),), None, x.type, span)
    assert items[0].value is not None
    target = expressions.evaluate(items[0].value, frame)
    if not isinstance(target, AxisRef):
        frame.fail(codes.BINDING_NOT_AXIS, items[0].span, name=items[0].axis.name)
    size = chain_size(target.chain)
    frame.require_at_least(axis.size, size, span, f"the top {size} of an axis of size {axis.size} are asked for")
    index = axis_index(target.chain, span)
    axes = (x.type.axes - {axis}) | index.type.axes
    places = ReadAt(order, ((axis, index, "trust"),), None, Type("int", axes), span)
    return (ReadAt(x, ((axis, places, "trust"),), None, Type(x.type.dtype, axes), span), places)


def _cat(items: Items, expr: tree.Call, frame: Frame) -> Value:
    """`cat[z](p, q)` where `axis z = a + b`: p's elements along a, then q's along b."""
    if len(items) != 1 or items[0].value is not None:
        frame.fail(codes.ONE_AXIS, expr.span, name="cat")
    chain = frame.chain(items[0].axis)
    parts = frame.find_sum(items[0].axis.name)
    if parts is None:
        frame.fail(codes.NOT_A_SUM, items[0].axis.span, name=items[0].axis.name)
    terms = [expressions.term(argument.value, frame) for argument in expr.arguments]
    if len(terms) != len(parts):
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name="cat", expected=len(parts), found=len(terms))
    span = expr.span
    index = axis_index(chain, span)
    start = Size.of(0)
    pieces: list[tuple[Term, Size]] = []
    for term, part in zip(terms, parts, strict=True):
        if len(part) != 1 or part[0] not in term.type.axes:
            frame.fail(
                codes.UNKNOWN_AXIS,
                term.span,
                name=frame.axis_name(part[0]),
                axes=frame.names_of(term.type.axes),
                value="this value",
            )
        at = index if start.constant == 0 else apply("sub", [index, as_term(SizeVal(start), span, frame)], span, frame)
        nothing = const(False if term.type.dtype == "bool" else 0, span)
        zero = converted(nothing, term.type.dtype, frame)
        axes = (term.type.axes - {part[0]}) | set(chain)
        start = start + part[0].size
        pieces.append((ReadAt(term, ((part[0], at, "fill"),), zero, Type(term.type.dtype, axes), span), start))
    result = pieces[-1][0]
    for piece, end in reversed(pieces[:-1]):
        inside = apply("lt", [index, as_term(SizeVal(end), span, frame)], span, frame)
        result = apply("where", [inside, piece, result], span, frame)
    return result


def repeat(expr: tree.Repeat, frame: Frame) -> Value:
    """`repeat n as l { ... }`: the body once for each turn."""
    count = expressions.static(expr.count, frame, "the number of repetitions")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        frame.fail(codes.NOT_A_SIZE, expr.count.span)
    frame.limit("repetitions", count, expr.span)
    result: list[Value] = []
    for turn in range(count):
        if expr.index is not None:
            frame.values[expr.index.name] = turn
        result.append(expressions.evaluate(expr.body, frame))
    if expr.index is not None:
        frame.values.pop(expr.index.name, None)
    return tuple(result)


# ------------------------------------------------------------------------------------------------- functions
def arguments(
    signature: Sequence[tree.Parameter | tree.Input], expr: tree.Call, name: str, frame: Frame, declared: Span
) -> dict[str, tree.Argument]:
    """The written arguments by the name of what they stand for. Reports unknown, doubled and surplus ones."""
    found: dict[str, tree.Argument] = {}
    names = [entry.name.name for entry in signature]
    position = 0
    for argument in expr.arguments:
        if argument.name is None:
            if position >= len(names):
                frame.fail(
                    codes.WRONG_ARGUMENT_COUNT,
                    argument.span,
                    name=name,
                    expected=len(names),
                    found=len(expr.arguments),
                    also=[(declared, "declared here")],
                )
            key = names[position]
            position += 1
        else:
            key = argument.name.name
            if key not in names:
                frame.fail(
                    codes.UNKNOWN_ARGUMENT,
                    argument.name.span,
                    name=key,
                    names=names,
                    callee=name,
                    also=[(declared, "declared here")],
                )
        if key in found:
            frame.fail(codes.ARGUMENT_TWICE, argument.span, name=key, callee=name)
        found[key] = argument
    return found


def apply_fn(ref: FnRef, items: Items, expr: tree.Call, frame: Frame) -> list[Value]:
    """A fn, inlined with private axes; or a method of a layer, called by its own code or from outside."""
    fn = ref.fn
    context = frame.context
    frame.enter_call(expr.span)
    written = arguments(fn.signature, expr, fn.name.name, frame, fn.name.span)
    callee = Frame(context, ref.declared.file, ref.owner, ref.owner.path if ref.owner else frame.path)
    given: dict[str, Term] = {}
    axes_given = _parameters(fn, written, expr, frame, callee)
    splits = axis_rules.splits_in(fn, callee)
    for entry in fn.signature:
        argument = written.get(entry.name.name)
        if isinstance(entry, tree.Parameter):
            continue
        if argument is not None:
            given[entry.name.name] = _argument(entry, argument, frame)
        elif entry.default is None:
            frame.fail(
                codes.MISSING_ARGUMENT, expr.span, name=entry.name.name, callee=fn.name.name, also=[(entry.span, "declared here")]
            )
    inputs = [entry for entry in fn.signature if isinstance(entry, tree.Input)]
    bound = binding.bind(inputs, given, items, callee, frame, splits, fn.results, expr.span, opaque=False)
    bound.exits.extend(axes_given)
    check_dtypes(inputs, bound.arguments, frame, expr.span)
    context.calls.append(expr.span)
    try:
        callee.values.update(bound.arguments)
        _defaults(inputs, given, callee, splits)
        terms = statements.results_of(fn, callee) if fn.gradient is None else statements.custom_gradient(fn, inputs, callee)
        if all(is_term(t) or isinstance(t, (int, float, bool, SizeVal, AxisRef)) for t in terms):
            values = [as_term(t, expr.span, callee) for t in terms]
        else:
            return terms
        left = binding.leave(bound, values, fn.results, inputs, splits)
    finally:
        context.calls.pop()
    if not fn.results and all(isinstance(t, (int, float)) for t in terms):
        return list(terms)
    return [term for term, _ in left]


def _parameters(fn: tree.Fn, written: Mapping[str, tree.Argument], expr: tree.Call, frame: Frame, callee: Frame,
                splits: axis_rules.Splits | None = None) -> list[tuple[Dim, Dim]]:
    """The parameters of a call that are no tensors, into the callee; and the axes among them as the callee and the caller have
    them, where they differ. `splits` of a fn follow from its static choices."""
    used: set[Axis] = set()
    exits: list[tuple[Dim, Dim]] = []
    parameters = [entry for entry in fn.signature if isinstance(entry, tree.Parameter)]
    for entry in sorted(parameters, key=lambda entry: not (entry.static or entry.kind.name in ("layer", "fn"))):
        name, argument = entry.name.name, written.get(entry.name.name)
        value = arguments_of.parameter(entry, argument.value if argument else None, frame, callee, expr.span)
        if entry.kind.name == "axis" and isinstance(value, SizeVal):
            value = AxisRef(name, (frame.context.axis(name, value.size),))
        if not isinstance(value, AxisRef):
            callee.values[name] = value
            continue
        splits = axis_rules.splits_in(fn, callee) if splits is None else splits
        used |= set(binding.enter(callee, name, value.chain, used, expr.span, splits))
        if callee.axes[name] != value.chain:
            exits.append((callee.axes[name], value.chain))
    return exits


def _argument(entry: tree.Input, argument: tree.Argument, frame: Frame) -> Term:
    """An argument; one for a complex input is made complex."""
    term = expressions.term(argument.value, frame)
    return converted(term, "complex", frame) if entry.dtype is not None and entry.dtype.name == "complex" else term


def _defaults(inputs: Sequence[tree.Input], given: Mapping[str, Term], callee: Frame, splits: axis_rules.Splits) -> None:
    """Inputs that the call left out, at their default: repeated along the axes that they state."""
    for entry in inputs:
        if entry.name.name not in given and entry.default is not None:
            term = expressions.term(entry.default, callee)
            term = converted(term, entry.dtype.name if entry.dtype else "float", callee)
            layout = axis_rules.layout(callee, entry.dims or (), splits)
            callee.values[entry.name.name] = expand(term, frozenset(axis for dim in layout for axis in dim))


def check_dtypes(inputs: Sequence[tree.Input], given: Mapping[str, Term], frame: Frame, span: Span, stated: bool = True) -> None:
    """Reports arguments of another dtype than their input's. `stated`: an input that states none takes any, else floats."""
    for input_ in inputs:
        if (input_.dtype is None and stated) or input_.name.name not in given:
            continue
        found, wanted = given[input_.name.name].type.dtype, input_.dtype.name if input_.dtype else "float"
        if found != wanted and not (found == "int" and wanted == "float"):
            frame.fail(
                codes.WRONG_DTYPE,
                span,
                name=input_.name.name,
                expected=f"{wanted} values",
                found=f"{found} values",
                also=[(input_.span, "declared here")],
            )


# ------------------------------------------------------------------------------------------------ sub-layers
def invoke(instance: Instance, method: str, items: Items, expr: tree.Call, frame: Frame) -> list[Value]:
    """A sub-layer called: inlined, and, in the layer's own methods, also kept as the call of a module."""
    layer = instance.of.layer
    fn = next((m for m in layer.methods if m.name.name == method), None)
    if fn is None:
        frame.fail(codes.NO_FORWARD, expr.span, name=layer.name.name, also=[(layer.name.span, "declared here")])
    context = frame.context
    frame.enter_call(expr.span)
    owner = layers.open_child(instance, frame)
    written = arguments(fn.signature, expr, layer.name.name, frame, fn.span)
    inputs = [entry for entry in fn.signature if isinstance(entry, tree.Input)]
    given: dict[str, Term] = {}
    for entry in inputs:
        argument = written.get(entry.name.name)
        if argument is not None:
            given[entry.name.name] = _argument(entry, argument, frame)
        elif entry.default is None:
            frame.fail(
                codes.MISSING_ARGUMENT,
                expr.span,
                name=entry.name.name,
                callee=layer.name.name,
                also=[(entry.span, "declared here")],
            )
    key = units.unit_key(instance.of, instance.statics)
    if key in context.layers:
        frame.fail(codes.ENDLESS_LAYER, layer.name.span, name=layer.name.name)
    callee = Frame(context, instance.of.declared.file, owner, owner.path)
    exits = _parameters(fn, written, expr, frame, callee, owner.splits)
    supplied = overrides.evaluate(expr, owner, frame)
    bound = binding.bind(
        inputs, given, items, callee, frame, owner.splits, fn.results, expr.span, opaque=True, riding=supplied.riding
    )
    bound.exits.extend(exits)
    check_dtypes(inputs, bound.arguments, frame, expr.span, stated=False)
    context.calls.append(expr.span)
    context.layers.append(key)
    # What a module cannot be told in a call, the code of the layer around it works out itself.
    plain = len(inputs) == len(fn.signature)
    carried = not frame.path and context.registry is not None and not expr.overrides and plain
    context.carried += carried
    try:
        callee.values.update(bound.arguments)
        callee.values.update(overrides.inside(supplied, bound, owner))
        _defaults(inputs, given, callee, owner.splits)
        results = fn.results or (tree.Result(None, None, inputs[0].name, None, fn.span),) if inputs else fn.results
        known = context.registry.summary(key, method, context) if context.registry and plain and not expr.overrides else None
        terms = summaries.results(known, fn, results, given, callee, owner.splits) if known and not instance.absent else None
        if terms is None:
            terms = [as_term(t, expr.span, callee) for t in statements.results_of(fn, callee)]
        left = binding.leave(bound, terms, results, inputs, owner.splits)
    finally:
        context.calls.pop()
        context.layers.pop()
        context.carried -= carried
    if not carried:
        return [term for term, _ in left]
    assert context.registry is not None
    unit = context.registry.unit(instance.of, instance.statics, instance.absent)
    if unit is None:
        raise Stop
    group = object()
    layouts = tuple(bound.layouts[i.name.name] for i in inputs if i.name.name in given)
    args = tuple(given[i.name.name] for i in inputs if i.name.name in given)
    return [
        MemberCall(
            unit,
            method,
            instance.path,
            args,
            layouts,
            tuple(layout for _, layout in left),
            tuple(t.type for t, _ in left),
            k,
            term,
            term.type,
            expr.span,
            group,
        )
        for k, (term, _) in enumerate(left)
    ]


def named(value: Value, path: str) -> Value:
    """Sub-layers made by an assignment take its name: `norm`, `blocks.0`. One that has a name keeps it: that ties its weights."""
    if isinstance(value, Instance) and not value.path:
        return replace(value, path=path)
    if isinstance(value, tuple):
        return tuple(named(item, f"{path}.{position}") for position, item in enumerate(value))
    return value
