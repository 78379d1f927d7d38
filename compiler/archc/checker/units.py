"""Units: one layer with one set of static choices, checked by itself, with its methods in each mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archc.checker import axes as axis_rules
from archc.checker import binding, expressions, layers, statements, summaries, warnings
from archc.checker.frame import Context, Frame, Stop
from archc.checker.layers import DTYPES, LayerFrame, open_root
from archc.checker.program import Declared, Program
from archc.checker.sizes import Size
from archc.checker.terms import as_term, const
from archc.checker.typed import Body, Child, Method, Number, Ref, SizeValue, TensorInput, TensorResult, Term, Unit
from archc.checker.types import LEADING, Axis, Dim, Type, flat
from archc.checker.values import FnRef, Instance, LayerClass, OpRef, Value, chain_size
from archc.diagnostics import codes
from archc.diagnostics.model import Problems
from archc.limits import LIMITS, beyond
from archc.syntax import tree
from archc.syntax.tree import Span


class Registry:
    """Units by key, made once each; knows which are being made, so that a layer that contains itself is noticed."""

    def __init__(self, program: Program, problems: Problems, graphs: bool = True) -> None:
        self.program, self.problems = program, problems
        self.graphs = graphs  # whether terms are wanted; else calls are not inlined where that would say nothing new
        self.summaries: dict[tuple[str, str, bool], summaries.Summary] = {}  # by unit, method and mode
        self.units: dict[str, Unit | None] = {}
        self.open: list[str] = []
        self.splits: dict[int, axis_rules.Splits] = {}  # by declaration, as found once
        self.always: dict[int, dict[str, frozenset[str]]] = {}  # the same of `overrides.always`

    def unit(self, of: LayerClass, statics: Mapping[str, Value], absent: frozenset[str] = frozenset()) -> Unit | None:
        """The unit of a layer with its static choices; without the params in `absent`, which every call supplies."""
        key = unit_key(of, statics) + (f" without {','.join(sorted(absent))}" if absent else "")
        if key in self.units:
            return self.units[key]
        if key in self.open:
            self.problems.add(codes.ENDLESS_LAYER, of.layer.name.span, name=of.layer.name.name)
            self.units[key] = None
            return None
        if len(self.open) >= LIMITS["call depth"].value:  # its statics differ at each level, so it is no circle
            beyond(self.problems, "call depth", of.layer.name.span, once=True)
            self.units[key] = None
            return None
        self.open.append(key)
        try:
            self.units[key] = self._make(of, statics, key, absent)
        except Stop:
            self.units[key] = None
        finally:
            self.open.pop()
        return self.units[key]

    def summary(self, key: str, method: str, context: Context) -> summaries.Summary | None:
        """What is known of a method of a layer that was checked by itself, and found right."""
        return self.summaries.get((key, method, context.training)) if self.units.get(key) is not None else None

    def context(self, training: bool = False) -> Context:
        return Context(self.problems, training=training, registry=self)

    def _make(self, of: LayerClass, statics: Mapping[str, Value], key: str, absent: frozenset[str]) -> Unit | None:
        before = len(self.problems.errors)
        layer = of.layer
        context = self.context()
        root = open_root(context, of.declared, statics, initialise=True, absent=absent)
        filled(root)
        children = tuple(
            c for name, value in root.children.items() if (c := self._child(name, value, context.wholes)) is not None
        )
        if not any(method.name.name == "forward" for method in layer.methods):
            root.report(codes.NO_FORWARD, layer.name.span, name=layer.name.name)
        # What is left of a layer whose params come from outside is a store: it cannot be called by itself.
        # A method with a static choice and no default for it is there for the layer's own code.
        open_ = [] if absent else [fn for fn in layer.methods if all(
            entry.default is not None or not (entry.static or entry.kind.name in ("fn", "layer"))
            for entry in fn.signature if isinstance(entry, tree.Parameter))]
        methods = [m for fn in open_ if (m := self._method(of.declared, statics, fn)) is not None]
        if len(self.problems.errors) > before or not (methods or absent):
            return None
        chosen = {
            name: value
            for name, value in root.values.items()
            if any(p.name.name == name and (p.static or p.kind.name in ("layer", "fn")) for p in layer.parameters)
        }
        return Unit(
            layer.name.name + "".join(f"Without{name.capitalize()}" for name in sorted(absent)),
            key,
            layer.doc,
            tuple(root.numbers),
            chosen,
            tuple(context.splits),
            tuple(context.checks),
            tuple(root.stored),
            children,
            tuple(methods),
            layer.span,
        )

    def _child(self, name: str, value: Value, wholes: Mapping[Dim, Size]) -> Child | None:
        items = value if isinstance(value, tuple) else (value,)
        instances = [item for item in items if isinstance(item, Instance)]
        if not instances or len(instances) != len(items):
            return None
        own = [i.path == (f"{name}.{k}" if isinstance(value, tuple) else name) for k, i in enumerate(instances)]
        if not any(own):
            return None  # another name for sub-layers that stand elsewhere: their weights are tied
        if not all(own):
            self.problems.add(codes.NOT_SUPPORTED, instances[0].span, what="a list of which some sub-layers stand elsewhere too")
            return None
        units = [self.unit(instance.of, instance.statics, instance.absent) for instance in instances]
        if any(unit is None for unit in units):
            return None
        if all(unit is not None and not (unit.methods or unit.stored or unit.children) for unit in units):
            return None
        return Child(
            name,
            tuple(u for u in units if u is not None),
            tuple(_constructor(i, wholes) for i in instances),
            isinstance(value, tuple),
            instances[0].span,
        )

    def _method(self, declared: Declared, statics: Mapping[str, Value], fn: tree.Fn) -> Method | None:
        found: list[Body] = []
        inputs: tuple[TensorInput, ...] = ()
        key = unit_key(LayerClass(declared), statics)
        for training in (True, False):
            context = self.context(training)
            root = open_root(context, declared, statics, initialise=False)
            try:
                inputs, body, numbers, frame = method_body(fn, root, key)
            except Stop:
                return None
            found.append(body)
            if not self.graphs:
                known = summaries.summary(inputs, body, root.numbers, frame)
                modes = (training,) if context.mode_used else (True, False)
                self.summaries |= {(key, fn.name.name, mode): known for mode in modes}
            if not context.mode_used:
                found.append(body)
                break
        # What a method stores outside of training is no part of a derivative: a refit, a decoding step.
        no_grad = fn.name.name != "forward" and bool(found[1].updates)
        chosen = {e.name.name: frame.values[e.name.name] for e in fn.signature if isinstance(e, tree.Parameter) and e.static}
        signature = tuple(entry.name.name for entry in fn.signature)
        return Method(fn.name.name, fn.doc, inputs, found[0], found[1], fn.span, no_grad, tuple(numbers), chosen, signature)


def _constructor(instance: Instance, wholes: Mapping[Dim, Size]) -> dict[str, Term]:
    """What the emitted class passes to a sub-module's constructor: every axis, and the numbers that were written."""
    span = instance.span
    arguments: dict[str, Term] = {
        name: _size_term(wholes.get(chain) or chain_size(chain), span) for name, chain in instance.axes.items()
    }
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


def method_body(fn: tree.Fn, root: LayerFrame, key: str) -> tuple[tuple[TensorInput, ...], Body, list[Number], Frame]:
    """A method by itself: its inputs' axes are new, their sizes read off at run time."""
    frame = Frame(root.context, root.file, root)
    context = root.context
    context.layers.append(key)
    parameters = [entry for entry in fn.signature if isinstance(entry, tree.Parameter)]
    context.taken.update(entry.name.name for entry in parameters if not entry.static and entry.kind.name == "int")
    numbers: list[Number] = []
    layers.declare_axes(layers.declare(parameters, {}, frame, numbers), frame, root.splits)
    inputs = [root_input(entry, frame, root.splits) for entry in fn.signature if isinstance(entry, tree.Input)]
    # The inputs' memory says which of the members of `...` comes first, before the layer's own axes.
    context.made = {a: i for i, a in enumerate(dict.fromkeys((*(a for i in inputs for a in flat(i.layout)), *context.made)))}
    terms = [as_term(value, fn.span, frame) for value in statements.results_of(fn, frame)]
    declared = [entry for entry in fn.signature if isinstance(entry, tree.Input)]
    stated = fn.results
    if not stated and terms:
        pointwise = next((entry for entry in declared if entry.dims is None), None)
        if pointwise is None or len(terms) != 1:
            frame.fail(codes.RESULT_NOT_STATED, fn.name.span, name=fn.name.name)
        stated = (tree.Result(None, None, pointwise.name, None, fn.span),)
    results = []
    for position, (term, result) in enumerate(zip(terms, stated, strict=True)):
        stated_term, layout = binding.state(frame, term, result, declared, root.splits)
        name = result.name.name if result.name else "result" if len(terms) == 1 else f"result{position}"
        results.append(TensorResult(name, stated_term, layout))
    updates = tuple(context.updates.values())
    if root.declared.file is context.registry.program.root if context.registry else False:
        stored = [term for _, term in (*updates, *context.penalties)]
        axes = [value.type.axes for value in (*inputs, *(r.term for r in results), *stored)]
        warnings.outer_products([*(r.term for r in results), *stored], axes, fn.span, frame)
    solvable(tuple(inputs), [*root.numbers, *numbers], frame, root)
    body = Body(
        tuple(results), updates, tuple(context.penalties), tuple(context.checks), tuple(context.splits), tuple(context.names),
        frozenset(context.effects),
    )
    return tuple(inputs), body, numbers, frame


def filled(root: LayerFrame) -> None:
    """Every size that fills a param must follow from the constructor's arguments, or from the params that its start reads."""
    known = {number.name for number in root.numbers} | {split.symbol for split in root.context.splits}
    layouts = {item.name: item.layout for item in root.stored}
    for item in root.stored:
        if item.value is None:
            continue
        terms = list(warnings.reached([item.value]))
        read = [layouts[term.path] for term in terms if isinstance(term, Ref) and term.path in layouts]
        sizes = [axis.size for axis in (*item.type.axes, *(axis for term in terms for axis in term.type.axes))]
        sizes += [term.size for term in terms if isinstance(term, SizeValue)]
        said = {s for layout in read for dim in layout if len(symbols := chain_size(dim).symbols - known) == 1 for s in symbols}
        if unknown := {symbol for size in sizes for symbol in size.symbols} - known - said:
            root.report(codes.OPEN_PARAM, item.span, names=sorted(unknown), first=min(unknown))


def solvable(inputs: Sequence[TensorInput], numbers: Sequence[Number], frame: Frame, root: LayerFrame) -> None:
    """Every size must follow from the constructor's arguments and the inputs' shapes, one unknown to a dimension."""
    known = {number.name for number in numbers} | {split.symbol for split in root.context.splits}
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
