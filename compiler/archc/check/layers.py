"""Layers: their arguments, what they store, their sub-layers and methods; one `Unit` for each set of static choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archc.check import axes as axis_rules
from archc.check import binding, calls, expressions, statements
from archc.check.frame import Context, Frame, Stop
from archc.check.program import Declared, Program
from archc.check.sizes import Size
from archc.check.terms import apply, as_term, const, describe, expand, is_term
from archc.check.typed import (
    Body,
    Child,
    Method,
    Number,
    Ref,
    SizeValue,
    Stored,
    TensorInput,
    TensorResult,
    Term,
    Unit,
)
from archc.check.types import LEADING, Axis, Dim, Type
from archc.check.values import (
    POISON,
    AxisRef,
    FnRef,
    Instance,
    LayerClass,
    OpRef,
    Poison,
    SizeVal,
    Static,
    Value,
    chain_size,
)
from archc.diagnostics import codes
from archc.diagnostics.model import Problems
from archc.ops.table import DType
from archc.syntax import tree
from archc.syntax.tree import Span

RUN_TIME = ("axis", "int", "float", "bool")
STATIC_KINDS = ("int", "float", "bool", "str", "border", "choice", "ints", "layers")
DTYPES = ("float", "int", "bool", "complex")


class LayerFrame(Frame):
    """The frame of a layer, shared by its methods."""

    def __init__(self, context: Context, declared: Declared, path: str) -> None:
        super().__init__(context, declared.file, None, path)
        self.declared = declared
        assert isinstance(declared.node, tree.Layer)
        self.layer = declared.node
        self.splits = axis_rules.splits_in([self.layer], self)
        self.numbers: list[Number] = []
        self.stored: list[Stored] = []
        self.children: dict[str, Value] = {}
        self.initialise = False


# ------------------------------------------------------------------------------------------------- arguments
def parameter(entry: tree.Parameter, written: tree.Expr | None, caller: Frame, callee: Frame, span: Span) -> Value:
    """The value of one parameter: written at the call, or the default. Reports a wrong kind."""
    if written is not None:
        return coerce(entry, expressions.evaluate(written, caller), written.span, caller)
    if entry.default is not None:
        return coerce(entry, expressions.evaluate(entry.default, callee), entry.default.span, callee)
    if entry.kind.name == "axis" and (chain := caller.find_axis(entry.name.name)) is not None:
        return AxisRef(entry.name.name, chain)
    caller.fail(codes.MISSING_ARGUMENT, span, name=entry.name.name, callee="this call", also=[(entry.span, "declared here")])


def coerce(entry: tree.Parameter, value: Value, span: Span, frame: Frame) -> Value:
    """A value as a parameter's kind wants it."""
    kind, name = entry.kind.name, entry.name.name

    def wrong(expected: str) -> Value:
        frame.fail(codes.ARGUMENT_KIND, span, name=name, expected=expected, found=describe(value), also=[(entry.span, "declared here")])

    if isinstance(value, Poison):
        raise Stop
    if entry.static or kind in ("layer", "fn"):
        return _static(entry, value, span, frame)
    if kind == "axis":
        if isinstance(value, int) and not isinstance(value, bool) and frame.context.calls == []:
            return SizeVal(Size.of(value))
        return value if isinstance(value, (AxisRef, SizeVal)) else wrong("an axis")
    if kind == "int":
        if isinstance(value, SizeVal):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return SizeVal(Size.of(value))
        return wrong("a whole number")
    if kind == "float":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return const(float(value), span)
        if isinstance(value, SizeVal) or is_term(value):
            term = as_term(value, span, frame)
            if term.type.dtype in ("float", "int") and not term.type.axes:
                return apply("to_float", [term], span, frame) if term.type.dtype == "int" else term
        return wrong("a number")
    if kind == "bool":
        if isinstance(value, bool):
            return const(value, span)
        if is_term(value) and value.type == Type("bool"):  # type: ignore[union-attr]
            return value
        return wrong("true or false")
    declared = frame.file.scope.get(kind)
    if declared is not None and isinstance(declared.node, tree.Layer):
        return value if isinstance(value, Instance) else wrong(f"a sub-layer {kind}")
    frame.fail(codes.UNKNOWN_KIND, entry.kind.span, name=kind, kinds=[*RUN_TIME, "str", "layer", "border", "ints", "layers"])


def _static(entry: tree.Parameter, value: Value, span: Span, frame: Frame) -> Value:
    kind = entry.kind.name
    if isinstance(value, SizeVal) and value.size.constant is not None:
        value = value.size.constant
    if isinstance(value, SizeVal) or is_term(value):
        frame.fail(codes.NOT_STATIC, span, what=f"the argument {entry.name.name}")
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    good = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, float),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
        "border": isinstance(value, str) and value in ("zero", "edge", "reflect", "wrap"),
        "choice": isinstance(value, str) and value in entry.choices,
        "ints": isinstance(value, tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value),
        "layers": isinstance(value, tuple) and all(isinstance(v, LayerClass) for v in value),
        "layer": isinstance(value, LayerClass),
        "fn": isinstance(value, (FnRef, OpRef)),
    }
    if kind not in good:
        frame.fail(codes.UNKNOWN_KIND, entry.kind.span, name=kind, kinds=sorted(good))
    if not good[kind]:
        words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text",
                 "border": 'one of "zero", "edge", "reflect", "wrap"', "choice": "one of " + ", ".join(f'"{c}"' for c in entry.choices),
                 "ints": "a list of whole numbers", "layers": "a list of layers", "layer": "a layer", "fn": "a function"}
        frame.fail(codes.ARGUMENT_KIND, span, name=entry.name.name, expected=words[kind], found=describe(value),
                   also=[(entry.span, "declared here")])
    return value


def instantiate(of: LayerClass, expr: tree.Call, frame: Frame) -> Instance:
    """`Linear(i=c, o=h)`: a sub-layer with its arguments, in the axes and sizes of the layer that makes it."""
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
        value = parameter(entry, argument.value if argument else None, frame, probe, expr.span)
        if isinstance(value, AxisRef):
            axes[name] = value.chain
        elif entry.kind.name == "axis" and isinstance(value, SizeVal):
            if argument is not None:
                frame.fail(codes.ARGUMENT_KIND, argument.span, name=name, expected="an axis", found="a number",
                           also=[(entry.span, "declared here")])
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


# ------------------------------------------------------------------------------------------------- opening layers
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
    frame.context.frames[path] = child
    child.values.update(instance.statics)
    child.values.update({name: SizeVal(size) for name, size in instance.ints.items()})
    child.values.update(instance.numbers)
    used: set[Axis] = set()
    for name, chain in instance.axes.items():
        used |= set(binding.enter(child, name, chain, used, instance.span, child.splits))
    _body(child)
    return child


def open_root(context: Context, declared: Declared, statics: Mapping[str, Value], initialise: bool) -> LayerFrame:
    """The frame of a layer by itself: axis and int parameters are symbols, given when a module is constructed."""
    frame = LayerFrame(context, declared, "")
    frame.initialise = initialise
    run_time = [entry for entry in frame.layer.parameters if not entry.static and entry.kind.name in RUN_TIME]
    context.taken.update(entry.name.name for entry in run_time if entry.kind.name == "int")
    axes: list[tree.Parameter] = []
    for entry in frame.layer.parameters:
        name = entry.name.name
        try:
            if name in frame.values or name in frame.axes:
                frame.fail(codes.DECLARED_TWICE, entry.name.span, name=name)
            if entry in run_time:
                default = _default(entry, frame)
                frame.numbers.append(Number(name, entry.kind.name, default, "", entry.span))  # type: ignore[arg-type]
                if entry.kind.name == "axis":
                    axes.append(entry)
                elif entry.kind.name == "int":
                    frame.values[name] = SizeVal(Size.symbol(name))
                else:
                    dtype: DType = "bool" if entry.kind.name == "bool" else "float"
                    ref = Ref(name, "number", Type(dtype), (), entry.name.span)
                    frame.values[name] = context.ports[name] = ref
            elif name in statics:
                frame.values[name] = coerce(entry, statics[name], entry.span, frame)
            else:
                frame.values[name] = parameter(entry, None, frame, frame, entry.span)
        except Stop:


            frame.values[name] = POISON
    for entry in axes:
        name = entry.name.name
        if name not in frame.splits:
            context.taken.add(name)
            axis = Axis(name, Size.symbol(name))
            context.made.setdefault(axis, len(context.made))
            frame.define_axis(name, (axis,), entry.span)
        else:
            context.taken.add(name)
            axis_rules.declare(frame, name, Size.symbol(name), entry.span, frame.splits)
    _body(frame)
    return frame


def _default(entry: tree.Parameter, frame: Frame) -> bool | int | float | None:
    if entry.default is None:
        return None
    value = expressions.static(entry.default, frame, f"the default of {entry.name.name}")
    coerce(entry, value, entry.default.span, frame)
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


            for name in [statement.name] if isinstance(statement, tree.Store) else getattr(statement, "targets", ()):
                frame.values[name.name] = POISON


def _member(targets: Sequence[tree.Ident], value: Value, statement: tree.Assign, frame: LayerFrame) -> None:
    if len(targets) != 1:
        frame.fail(codes.UNPACK, statement.span, expected=1, found=len(targets))
    name = targets[0].name
    if name in frame.values or name in frame.axes:
        frame.fail(codes.DECLARED_TWICE, targets[0].span, name=name)
    if is_term(value):
        frame.fail(codes.VALUE_IN_LAYER, statement.span, name=name)
    value = calls.named(value, name)
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
    if frame.initialise:
        value: Term | None = None
        if statement.value is not None:
            inner = Frame(frame.context, frame.file, frame)
            inner.initial = layout
            value = expressions.term(statement.value, inner)
            if extra := value.type.axes - axes:
                frame.report(codes.RESULT_AXES, statement.value.span, axes=frame.names_of(extra), found=frame.show(value.type),
                             expected=frame.show(type_))
                value = None
            elif value.type.dtype == "int" and dtype == "float":
                value = apply("to_float", [value], statement.value.span, frame)
            elif value.type.dtype != dtype:
                frame.report(codes.RESULT_DTYPE, statement.value.span, found=value.type.dtype, expected=dtype)
            value = expand(value, axes) if value is not None else None
        frame.stored.append(Stored(statement.kind, name, type_, layout, value, "", statement.span))
    if statement.kind == "init" and not frame.initialise:
        return
    frame.values[name] = ref


# ------------------------------------------------------------------------------------------------- units
class Registry:
    """Units by key, made once each; knows which are being made, so that a layer that contains itself is noticed."""

    def __init__(self, program: Program, problems: Problems) -> None:
        self.program, self.problems = program, problems
        self.units: dict[str, Unit | None] = {}
        self.open: list[str] = []

    def unit(self, of: LayerClass, statics: Mapping[str, Value]) -> Unit | None:
        key = unit_key(of, statics)
        if key in self.units:
            return self.units[key]
        if key in self.open:
            self.problems.add(codes.ENDLESS_LAYER, of.layer.name.span, name=of.layer.name.name)
            self.units[key] = None
            return None
        self.open.append(key)
        try:
            self.units[key] = self._make(of, statics, key)
        except Stop:
            self.units[key] = None
        finally:
            self.open.pop()
        return self.units[key]

    def context(self, training: bool = False) -> Context:
        return Context(self.problems, training=training, registry=self)

    def _make(self, of: LayerClass, statics: Mapping[str, Value], key: str) -> Unit | None:
        before = len(self.problems.errors)
        layer = of.layer
        context = self.context()
        root = open_root(context, of.declared, statics, initialise=True)
        children = tuple(c for name, value in root.children.items() if (c := self._child(name, value, context.wholes)) is not None)
        if not any(method.name.name == "forward" for method in layer.methods):
            root.report(codes.NO_FORWARD, layer.name.span, name=layer.name.name)
        methods = [m for fn in layer.methods if (m := self._method(of.declared, statics, fn)) is not None]
        if len(self.problems.errors) > before or not methods:
            return None
        chosen = {name: value for name, value in root.values.items()
                  if any(p.name.name == name and (p.static or p.kind.name in ("layer", "fn")) for p in layer.parameters)}
        return Unit(layer.name.name, key, layer.doc, tuple(root.numbers), chosen, tuple(context.splits), tuple(context.checks),
                    tuple(root.stored), children, tuple(methods), layer.span)

    def _child(self, name: str, value: Value, wholes: Mapping[Dim, Size]) -> Child | None:
        items = value if isinstance(value, tuple) else (value,)
        instances = [item for item in items if isinstance(item, Instance)]
        if not instances or len(instances) != len(items):
            return None
        units = [self.unit(instance.of, instance.statics) for instance in instances]
        if any(unit is None for unit in units):
            return None
        return Child(name, tuple(u for u in units if u is not None), tuple(_constructor(i, wholes) for i in instances), isinstance(value, tuple),
                     instances[0].span)

    def _method(self, declared: Declared, statics: Mapping[str, Value], fn: tree.Fn) -> Method | None:
        found: list[Body] = []
        inputs: tuple[TensorInput, ...] = ()
        for training in (True, False):
            context = self.context(training)
            root = open_root(context, declared, statics, initialise=False)
            try:
                inputs, body = method_body(fn, root)
            except Stop:
                return None
            found.append(body)
            if not context.mode_used:
                found.append(body)
                break
        return Method(fn.name.name, fn.doc, inputs, found[0], found[1], fn.span)


def _constructor(instance: Instance, wholes: Mapping[Dim, Size]) -> dict[str, Term]:
    """What the emitted class passes to a sub-module's constructor: every axis, and the numbers that were written."""
    span = instance.span
    arguments: dict[str, Term] = {name: _size_term(wholes.get(chain) or chain_size(chain), span) for name, chain in instance.axes.items()}
    arguments |= {name: _size_term(size, span) for name, size in instance.ints.items() if name in instance.given}
    return arguments | {name: term for name, term in instance.numbers.items() if name in instance.given}


def _size_term(size: Size, span: Span) -> Term:
    return const(size.constant, span) if size.constant is not None else SizeValue(size, Type("int"), span)


def unit_key(of: LayerClass, statics: Mapping[str, Value]) -> str:
    def text(value: Value) -> str:
        if isinstance(value, LayerClass):
            return value.key
        if isinstance(value, FnRef):
            return value.declared.key
        if isinstance(value, OpRef):
            return value.row.name
        if isinstance(value, tuple):
            return "[" + ",".join(map(text, value)) + "]"
        return repr(value)

    chosen = ",".join(f"{name}={text(statics[name])}" for name in sorted(statics))
    return f"{of.key}({chosen})"


def method_body(fn: tree.Fn, root: LayerFrame) -> tuple[tuple[TensorInput, ...], Body]:
    """A method by itself: its inputs' axes are new, their sizes read off at run time."""
    frame = Frame(root.context, root.file, root)
    context = root.context
    inputs: list[TensorInput] = []
    for entry in fn.signature:
        if isinstance(entry, tree.Parameter):
            frame.fail(codes.NOT_SUPPORTED, entry.span, what="a method with parameters that are not tensors")
        inputs.append(root_input(entry, frame, root.splits))
    terms = [as_term(value, fn.span, frame) for value in statements.results_of(fn, frame)]
    declared = [entry for entry in fn.signature if isinstance(entry, tree.Input)]
    stated = fn.results
    if not stated:
        pointwise = next((entry for entry in declared if entry.dims is None), None)
        if pointwise is None or len(terms) != 1:
            frame.fail(codes.RESULT_NOT_STATED, fn.name.span, name=fn.name.name)
        stated = (tree.Result(None, None, pointwise.name, None, fn.span),)
    results = []
    for position, (term, result) in enumerate(zip(terms, stated, strict=True)):
        stated_term, layout = binding.state(frame, term, result, declared, root.splits)
        name = result.name.name if result.name else "result" if len(terms) == 1 else f"result{position}"
        results.append(TensorResult(name, stated_term, layout))
    updates = tuple(context.updates.items())
    solvable(tuple(inputs), fn, frame, root)
    return tuple(inputs), Body(tuple(results), updates, tuple(context.penalties), tuple(context.checks), tuple(context.splits))


def solvable(inputs: Sequence[TensorInput], fn: tree.Fn, frame: Frame, root: LayerFrame) -> None:
    """Every size must follow from the constructor's arguments and the inputs' shapes, one unknown to a dimension."""
    known = {number.name for number in root.numbers} | {split.symbol for split in root.context.splits}
    dims = [(dim, entry.span) for entry in inputs for dim in entry.layout]
    while True:
        found = {symbols.pop() for dim, _ in dims if len(symbols := set(chain_size(dim).symbols - known)) == 1}
        if not found:
            break
        known |= found
    for dim, span in dims:
        if unknown := chain_size(dim).symbols - known:
            frame.fail(codes.OPEN_SPLIT, span, names=sorted(unknown))


def root_input(entry: tree.Input, frame: Frame, splits: axis_rules.Splits) -> TensorInput:
    """An input of a graph by itself: `...` is one axis that stands for all leading dimensions."""
    context = frame.context
    dtype = entry.dtype.name if entry.dtype else "float"
    if dtype not in DTYPES:
        frame.fail(codes.UNKNOWN_KIND, entry.span, name=dtype, kinds=DTYPES)
    if entry.dims is None or any(dim.name is not None and dim.name.name == LEADING for dim in entry.dims):
        axis = Axis(LEADING, Size.symbol(LEADING))
        context.taken.add(LEADING)
        context.made.setdefault(axis, -1)
        frame.leading = frozenset({axis})
    if frame.find_value(entry.name.name) is not None or frame.find_axis(entry.name.name) is not None:
        frame.fail(codes.DECLARED_TWICE, entry.name.span, name=entry.name.name)
    dims = entry.dims if entry.dims is not None else (tree.Dim(tree.Ident(LEADING, entry.span), None, (), entry.span),)
    layout = axis_rules.layout(frame, dims, splits)
    type_ = Type(dtype, frozenset(axis for dim in layout for axis in dim))  # type: ignore[arg-type]
    ref = Ref(entry.name.name, "input", type_, layout, entry.name.span)
    frame.values[entry.name.name] = context.ports[entry.name.name] = ref
    default = None
    if entry.default is not None:
        value = expressions.static(entry.default, frame, f"the default of {entry.name.name}")
        default = value if isinstance(value, (bool, int, float)) else None
    return TensorInput(entry.name.name, type_, layout, default, entry.name.span)


