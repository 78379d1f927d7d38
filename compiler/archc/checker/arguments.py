"""Arguments of layers and functions: a value as the kind of its parameter wants it."""

from __future__ import annotations

from archc.checker import expressions
from archc.checker.frame import Frame, Stop
from archc.checker.sizes import Size
from archc.checker.terms import apply, as_term, const, describe, is_term
from archc.checker.types import Type
from archc.checker.values import RUN_TIME, AxisRef, FnRef, Instance, LayerClass, OpRef, Poison, SizeVal, Value
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span

STATIC = ("int", "float", "bool", "str", "border", "choice", "ints", "layers", "layer", "fn")


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
        frame.fail(
            codes.ARGUMENT_KIND, span, name=name, expected=expected, found=describe(value), way_out="",
            also=[(entry.span, "declared here")]
        )

    if isinstance(value, Poison):
        raise Stop
    if entry.static or kind in ("layer", "fn"):
        return _static(entry, value, span, frame)
    if kind == "axis":
        if isinstance(value, int) and not isinstance(value, bool):
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
        words = {
            "int": "a whole number",
            "float": "a number",
            "bool": "true or false",
            "str": "a text",
            "border": 'one of "zero", "edge", "reflect", "wrap"',
            "choice": "one of " + ", ".join(f'"{c}"' for c in entry.choices),
            "ints": "a list of whole numbers",
            "layers": "a list of layers",
            "layer": "a layer",
            "fn": "a function",
        }
        frame.fail(
            codes.ARGUMENT_KIND,
            span,
            name=entry.name.name,
            expected=words[kind],
            found=describe(value),
            way_out="",
            also=[(entry.span, "declared here")],
        )
    return value
