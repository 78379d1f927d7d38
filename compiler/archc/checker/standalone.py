"""Declarations checked by themselves, in the most general setting: axes are symbols, `...` is one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from archc.checker import arguments, binding, statements, units, warnings
from archc.checker import axes as axis_rules
from archc.checker.frame import Frame, Stop
from archc.checker.program import Declared, Program
from archc.checker.sizes import Size
from archc.checker.terms import as_term
from archc.checker.typed import Ref, Term, Unit
from archc.checker.types import Axis, Type
from archc.checker.values import RUN_TIME, LayerClass, SizeVal, Value
from archc.diagnostics import codes
from archc.diagnostics.model import Problems
from archc.syntax import tree


def check(program: Program, problems: Problems) -> None:
    """Report what is wrong with the declarations of the root file. A static parameter without a default leaves a declaration to
    be checked where it is used."""
    registry = units.Registry(program, problems, graphs=False)
    warnings.shadows(program.root, problems)
    for declared in program.root.own.values():
        _check_kinds(declared, problems)
    if problems.errors:
        return
    for declared in program.root.own.values():
        if isinstance(declared.node, tree.Layer):
            if all(_has_value(p) for p in declared.node.parameters):
                registry.unit(LayerClass(declared), default_statics(declared, registry))
        elif isinstance(declared.node, tree.Fn):
            if all(_has_value(p) for p in declared.node.signature if isinstance(p, tree.Parameter)):
                try:
                    fn_by_itself(declared, registry)
                except Stop:
                    continue
        else:
            problems.add(codes.NOT_SUPPORTED, declared.node.span, what="`search`")
    if not problems.errors:
        warnings.unused(program.root, problems)


def _check_kinds(declared: Declared, problems: Problems) -> None:
    """The kinds of all parameters, those included whose values a check by itself does not know."""
    if isinstance(declared.node, tree.Search):
        return
    entries = declared.node.parameters if isinstance(declared.node, tree.Layer) else declared.node.signature
    for entry in entries:
        if isinstance(entry, tree.Parameter):
            kinds = arguments.STATIC if entry.static else (*RUN_TIME, "layer", "fn")
            other = declared.file.scope.get(entry.kind.name)
            if entry.kind.name not in kinds and not (other and isinstance(other.node, tree.Layer)):
                problems.add(codes.UNKNOWN_KIND, entry.kind.span, name=entry.kind.name, kinds=sorted(kinds))


def _has_value(entry: tree.Parameter) -> bool:
    run_time = not entry.static and entry.kind.name in RUN_TIME
    return run_time or entry.default is not None


def default_statics(declared: Declared, registry: units.Registry) -> dict[str, Value]:
    """The static choices that a layer makes by its defaults."""
    assert isinstance(declared.node, tree.Layer)
    frame = Frame(registry.context(), declared.file)
    chosen: dict[str, Value] = {}
    for entry in declared.node.parameters:
        if (entry.static or entry.kind.name not in RUN_TIME) and entry.default is not None:
            try:
                value = arguments.parameter(entry, None, frame, frame, entry.span)
                chosen[entry.name.name] = frame.values[entry.name.name] = value
            except Stop:
                continue
    return chosen


def fn_by_itself(declared: Declared, registry: units.Registry) -> None:
    fn = declared.node
    assert isinstance(fn, tree.Fn)
    context = registry.context(training=True)
    frame = Frame(context, declared.file)
    inputs: list[tree.Input] = []
    for entry in fn.signature:
        if isinstance(entry, tree.Input):
            inputs.append(entry)
            continue
        name, kind = entry.name.name, entry.kind.name
        if name in frame.values or name in frame.axes:
            frame.fail(codes.DECLARED_TWICE, entry.name.span, name=name)
        if entry.static or kind not in RUN_TIME:
            frame.values[name] = arguments.parameter(entry, None, frame, frame, entry.span)
        elif kind == "axis":
            context.taken.add(name)
            axis = Axis(name, Size.symbol(name))
            frame.define_axis(name, (axis,), entry.span)
        elif kind == "int":
            context.taken.add(name)
            frame.values[name] = SizeVal(Size.symbol(name))
        else:
            frame.values[name] = Ref(name, "number", Type("bool" if kind == "bool" else "float"), (), entry.span)
    splits = axis_rules.splits_in(fn, frame)
    for entry in inputs:
        units.root_input(entry, frame, splits)
    results = statements.results_of(fn, frame) if fn.gradient is None else statements.custom_gradient(fn, inputs, frame)
    terms = [as_term(value, fn.span, frame) for value in results]
    for term, result in zip(terms, fn.results, strict=False):
        binding.state(frame, term, result, inputs, splits)
    warnings.outer_products(terms, _known_axes(terms, inputs, frame), fn.span, frame)


def _known_axes(terms: Sequence[Term], inputs: Sequence[tree.Input], frame: Frame) -> list[frozenset[Axis]]:
    """The axes that a fn's results and inputs have."""
    given = [value.type.axes for i in inputs if isinstance(value := frame.values.get(i.name.name), Ref)]
    return [*given, *(term.type.axes for term in terms)]


def elaborate(program: Program, layer: str, statics: Mapping[str, object], problems: Problems) -> Unit | None:
    """A layer with static choices: numbers, texts or bools as they are; layers and functions by their names."""
    declared = program.root.scope.get(layer)
    if declared is None or not isinstance(declared.node, tree.Layer):
        names = [d.name for d in program.root.scope.values() if isinstance(d.node, tree.Layer)]
        problems.add(codes.UNKNOWN_LAYER, None, name=layer, names=names, path=program.root.path)
        return None
    registry = units.Registry(program, problems)
    chosen = default_statics(declared, registry)
    frame = Frame(registry.context(), declared.file)
    entries = {p.name.name: p for p in declared.node.parameters if p.static or p.kind.name not in RUN_TIME}
    for name, value in statics.items():
        if name not in entries:
            problems.add(codes.UNKNOWN_STATIC, None, name=name, names=sorted(entries), layer=layer)
            continue
        entry = entries[name]
        try:
            if isinstance(value, str) and entry.kind.name in ("layer", "fn"):
                # A name may also be one of the file that was loaded, which the layer's own file does not see.
                root = Frame(registry.context(), program.root)
                value = root.find(tree.Name(value, entry.span))
            elif isinstance(value, list):
                value = tuple(value)
            chosen[name] = arguments.coerce(entry, value, entry.span, frame)  # type: ignore[arg-type]
        except Stop:
            continue
    missing = [name for name in entries if name not in chosen]
    for name in missing:
        problems.add(codes.STATIC_MISSING, entries[name].span, name=name, layer=layer)
    if missing or problems.errors:
        return None
    return registry.unit(LayerClass(declared), chosen)
