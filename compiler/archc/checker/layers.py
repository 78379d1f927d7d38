"""Layers: made with their arguments, and opened: what they store, their axes and their sub-layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from archc.checker import arguments, binding, calls, expressions, overrides, statements, tables
from archc.checker import axes as axis_rules
from archc.checker.frame import Context, Frame, Stop
from archc.checker.program import Declared
from archc.checker.sizes import Size
from archc.checker.terms import converted, expand, is_term
from archc.checker.typed import Number, Ref, Stored, Term
from archc.checker.types import Axis, Type
from archc.checker.values import POISON, RUN_TIME, AxisRef, FnRef, Instance, LayerClass, SizeVal, Static, Value
from archc.diagnostics import codes
from archc.ops.table import DType
from archc.syntax import tree

DTYPES = ("float", "int", "bool", "complex")


class LayerFrame(Frame):
    """The frame of a layer, shared by its methods."""

    def __init__(self, context: Context, declared: Declared, path: str) -> None:
        super().__init__(context, declared.file, None, path)
        self.declared = declared
        assert isinstance(declared.node, tree.Layer)
        self.layer = declared.node
        self.numbers: list[Number] = []
        self.stored: list[Stored] = []
        self.children: dict[str, Value] = {}
        self.initialise = False
        self.absent: frozenset[str] = frozenset()
        known = context.registry.always if context.registry else {}
        if id(self.layer) not in known:
            known[id(self.layer)] = overrides.always(self.layer)
        self.always = known[id(self.layer)]
        self.values.update({m.name.name: FnRef(declared, m, self) for m in self.layer.methods if m.name.name != "forward"})

    @cached_property
    def splits(self) -> axis_rules.Splits:
        """The splits that hold in the layer, once its static choices are known."""
        return axis_rules.splits_in(self.layer, self)


def instantiate(of: LayerClass, expr: tree.Call, frame: Frame) -> Instance:
    """`Inner(i=c, o=h)`: a sub-layer with its arguments, in the axes and sizes of the layer that makes it."""
    if not isinstance(frame, LayerFrame):
        frame.fail(codes.INSTANCE_IN_METHOD, expr.span, name=of.layer.name.name)
    written = calls.arguments(of.layer.parameters, expr, of.layer.name.name, frame, of.layer.name.span)
    axes: dict[str, tuple[Axis, ...]] = {}
    ints: dict[str, Size] = {}
    numbers: dict[str, Term] = {}
    statics: dict[str, Static] = {}
    probe = Frame(frame.context, of.declared.file)
    for entry in of.layer.parameters:
        name = entry.name.name
        argument = written.get(name)
        value = arguments.parameter(entry, argument.value if argument else None, frame, probe, expr.span)
        if isinstance(value, AxisRef):
            axes[name] = value.chain
        elif entry.kind.name == "axis" and isinstance(value, SizeVal):
            if argument is not None:
                frame.fail(
                    codes.ARGUMENT_KIND,
                    argument.span,
                    name=name,
                    expected="an axis",
                    found="a number",
                    way_out=f"make an axis of that size: axis {name} = ..., then {name}={name}",
                    also=[(entry.span, "declared here")],
                )
            axes[name] = (frame.context.axis(name, value.size),)
        elif isinstance(value, SizeVal):
            ints[name] = value.size
        elif is_term(value):
            numbers[name] = value  # type: ignore[assignment]
        else:
            statics[name] = value  # type: ignore[assignment]
        if not is_term(value) and not isinstance(value, AxisRef):
            probe.values[name] = value
    return Instance(of, "", axes, ints, numbers, statics, frozenset(written), expr.span)


def open_child(instance: Instance, frame: Frame) -> LayerFrame:
    """The frame of a sub-layer, made at its first call in a graph."""
    owner: Frame | None = frame
    while owner is not None and not isinstance(owner, LayerFrame):
        owner = owner.parent
    prefix = frame.path
    path = f"{prefix}.{instance.path}" if prefix else instance.path
    known = frame.context.frames.get(path)
    if isinstance(known, LayerFrame):
        return known
    child = LayerFrame(frame.context, instance.of.declared, path)
    child.absent = instance.absent
    frame.context.frames[path] = child
    child.values.update(instance.statics)
    child.values.update({name: SizeVal(size) for name, size in instance.ints.items()})
    child.values.update(instance.numbers)
    used: set[Axis] = set()
    for name, chain in instance.axes.items():
        used |= set(binding.enter(child, name, chain, used, instance.span, child.splits))
    _body(child)
    return child


def open_root(
    context: Context, declared: Declared, statics: Mapping[str, Value], initialise: bool, absent: frozenset[str] = frozenset()
) -> LayerFrame:
    """The frame of a layer by itself: axis and int parameters are symbols, given when a module is constructed."""
    frame = LayerFrame(context, declared, "")
    frame.initialise, frame.absent = initialise, absent
    context.taken.update(entry.name.name for entry in frame.layer.parameters if not entry.static and entry.kind.name == "int")
    axes = declare(frame.layer.parameters, statics, frame, frame.numbers)
    declare_axes(axes, frame, frame.splits)
    _body(frame)
    return frame


def declare(
    entries: Sequence[tree.Parameter], statics: Mapping[str, Value], frame: Frame, numbers: list[Number]
) -> list[tree.Parameter]:
    """The parameters of a layer, or of a method, that is checked by itself: those of run time are symbols and numbers.

    Gives those that are axes, which are declared when the static choices are known."""
    context = frame.context
    run_time = [entry for entry in entries if not entry.static and entry.kind.name in RUN_TIME]
    axes: list[tree.Parameter] = []
    for entry in entries:
        name = entry.name.name
        try:
            taken = frame.find_value(name) is not None or frame.find_axis(name) is not None
            if taken or any(number.name == name for number in numbers):
                frame.fail(codes.DECLARED_TWICE, entry.name.span, name=name)
            if entry in run_time:
                default = _default(entry, frame)
                numbers.append(Number(name, entry.kind.name, default, "", entry.span))  # type: ignore[arg-type]
                if entry.kind.name == "axis":
                    axes.append(entry)
                elif entry.kind.name == "int":
                    frame.values[name] = SizeVal(Size.symbol(name))
                else:
                    dtype: DType = "bool" if entry.kind.name == "bool" else "float"
                    ref = Ref(name, "number", Type(dtype), (), entry.name.span)
                    frame.values[name] = context.ports[name] = ref
            elif name in statics:
                frame.values[name] = arguments.coerce(entry, statics[name], entry.span, frame)
            else:
                frame.values[name] = arguments.parameter(entry, None, frame, frame, entry.span)
        except Stop:
            frame.values[name] = POISON
    return axes


def declare_axes(entries: Sequence[tree.Parameter], frame: Frame, splits: axis_rules.Splits) -> None:
    """Parameters that are axes, of sizes given at run time."""
    context = frame.context
    for entry in entries:
        name = entry.name.name
        context.taken.add(name)
        if name not in splits:
            axis = Axis(name, Size.symbol(name))
            context.made.setdefault(axis, len(context.made))
            frame.define_axis(name, (axis,), entry.span)
        else:
            axis_rules.declare(frame, name, Size.symbol(name), entry.span, splits)


def _default(entry: tree.Parameter, frame: Frame) -> bool | int | float | None:
    if entry.default is None:
        return None
    value = expressions.static(entry.default, frame, f"the default of {entry.name.name}")
    arguments.coerce(entry, value, entry.default.span, frame)
    if entry.kind.name == "float":
        return float(value)  # type: ignore[arg-type]
    return value  # type: ignore[return-value]


def _body(frame: LayerFrame) -> None:
    """The declarations in a layer's body, in order: axes, what it stores, sub-layers, static choices."""
    _run(frame.layer.body, frame, set())


def _run(body: Sequence[tree.Statement], frame: LayerFrame, assigned: set[str]) -> None:
    for statement in body:
        try:
            match statement:
                case tree.Store():
                    _store(statement, frame)
                case tree.AxisDecl():
                    statements.axis(statement, frame, frame.splits)
                case tree.If(condition, then, otherwise):
                    value = expressions.static(condition, frame, "the condition of `if`")
                    if not isinstance(value, bool):
                        frame.fail(codes.CONDITION_NOT_BOOL, condition.span)
                    _run(then if value else otherwise or (), frame, assigned)
                case tree.Assign(targets, value):
                    _member(targets, expressions.evaluate(value, frame), statement, frame)
                case _:
                    frame.fail(codes.STATEMENT_IN_LAYER, statement.span)
        except Stop:
            for name in statements.targets(statement):
                frame.values[name.name] = POISON


def _member(targets: Sequence[tree.Ident], value: Value, statement: tree.Assign, frame: LayerFrame) -> None:
    if len(targets) != 1:
        frame.fail(codes.UNPACK, statement.span, expected=1, found=len(targets))
    name = targets[0].name
    if name in frame.values or name in frame.axes:
        frame.fail(codes.DECLARED_TWICE, targets[0].span, name=name)
    if isinstance(value, Ref) and value.role == "param":
        # A second name: two attributes of the module, one Parameter.
        frame.values[name] = value
        of = value.path.rsplit(".", 1)[-1]
        if frame.initialise and of not in frame.absent:
            frame.stored.append(Stored("tied", name, value.type, value.layout, None, "", statement.span, of))
        return
    if is_term(value):
        frame.fail(codes.VALUE_IN_LAYER, statement.span, name=name)
    value = calls.named(value, name)
    if isinstance(value, Instance) and value.path == name:
        value = replace(value, absent=frame.always.get(name, frozenset()))
    frame.values[name] = value
    if isinstance(value, (Instance, tuple)):
        frame.children[name] = value


def _store(statement: tree.Store, frame: LayerFrame) -> None:
    name = statement.name.name
    if name in frame.values or name in frame.axes:
        frame.fail(codes.DECLARED_TWICE, statement.name.span, name=name)
    layout = axis_rules.layout(frame, statement.dims, frame.splits)
    axes = frozenset(axis for dim in layout for axis in dim)
    dtype = statement.dtype.name if statement.dtype else "float"
    if dtype not in DTYPES:
        frame.fail(codes.UNKNOWN_KIND, statement.span, name=dtype, kinds=DTYPES)
    type_ = Type(dtype, axes)  # type: ignore[arg-type]
    path = f"{frame.path}.{name}" if frame.path else name
    role = "buffer" if statement.kind == "buffer" else "param"
    ref = Ref(path, role, type_, layout, statement.name.span)  # type: ignore[arg-type]
    frame.context.ports[path] = ref
    if frame.initialise and name not in frame.absent:
        value: Term | None = None
        if statement.value is not None:
            inner = Frame(frame.context, frame.file, frame)
            inner.initial = layout
            if isinstance(statement.value, tree.ListOf):
                value = tables.table(statement.value, [axis for dim in layout for axis in dim], type_.dtype, inner)
            else:
                value = expressions.term(statement.value, inner)
            if extra := value.type.axes - axes:
                frame.report(
                    codes.RESULT_AXES,
                    statement.value.span,
                    axes=frame.names_of(extra),
                    found=frame.show(value.type),
                    expected=frame.show(type_),
                )
                value = None
            elif (value := converted(value, dtype, frame)).type.dtype != dtype:
                frame.report(codes.RESULT_DTYPE, statement.value.span, found=value.type.dtype, expected=dtype)
            value = expand(value, axes) if value is not None else None
        frame.stored.append(Stored(statement.kind, name, type_, layout, value, "", statement.span))
    if statement.kind == "init" and not frame.initialise:
        return
    frame.values[name] = ref
