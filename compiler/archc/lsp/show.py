"""Values, types and declarations as text for people: the language's own notation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from archc.checker.frame import Frame
from archc.checker.sizes import Size
from archc.checker.terms import is_term
from archc.checker.types import LEADING, Axis, Dim, Layout, Type, layout_of
from archc.checker.values import AxisRef, Bound, BuiltinRef, FnRef, Instance, LayerClass, OpRef, SizeVal, Value, chain_size
from archc.ops.table import LANGUAGE_NAMES, OPS, Op
from archc.syntax import tree

BUILTIN = {
    "dropout": "dropout(x, p): in training each element is 0 with probability p, else divided by 1 - p",
    "range": "range(n), range(a, b): a static list of whole numbers",
    "cat": "cat[z](a, b): the elements of a, then those of b, where `axis z = p + q`",
    "sort": "sort[k](x): rising along k",
    "top_k": "values, places = top_k[k = j](x): the |j| largest along k, falling, and their indices",
    "eigh": "w, v = eigh[i, j](a): the eigenvalues w[j], rising, and their vectors v[i, j], of a's symmetric part",
}
OPERANDS = ("x", "y", "z")


def value_text(name: str, value: Value, frame: Frame) -> tuple[str, str]:
    """A line of the language for a value called `name` (or written so), and a sentence; either may be empty."""
    if is_term(value):
        layout = getattr(value, "layout", ())  # of an input, param or buffer: its axes in memory order
        return typed(name, value.type, frame, layout), sizes(value.type, frame)  # type: ignore[union-attr]
    if isinstance(value, AxisRef):
        size = size_text(chain_size(value.chain), frame)
        parts = [frame.axis_name(axis) for axis in value.chain]
        split = f" = ({' '.join(parts)})" if len(parts) > 1 else ""
        return f"axis {name}{split}", f"size {size}; as a value, the index along it"
    if isinstance(value, SizeVal):
        known = value.size.constant
        return f"{name}: int", f"{known}" if known is not None else size_text(value.size, frame)
    if isinstance(value, OpRef):
        return operation(value.row), value.row.summary
    if isinstance(value, BuiltinRef):
        signature, _, sentence = BUILTIN.get(value.name, f"{value.name}(...): random first values of a param").partition(": ")
        return signature, sentence
    if isinstance(value, FnRef):
        return header(value.fn, value.declared.file.text), value.fn.doc
    if isinstance(value, LayerClass):
        return header(value.layer, value.declared.file.text), value.layer.doc
    if isinstance(value, Instance):
        return f"{name} = {value.of.layer.name.name}(...)", f"a sub-layer: {header(value.of.layer, value.of.declared.file.text)}"
    if isinstance(value, Bound):
        return value_text(name, value.value, frame)
    if isinstance(value, tuple):
        return f"{name}: list", f"{len(value)} items"
    if isinstance(value, bool):
        return f"static {name}: bool", str(value).lower()
    if isinstance(value, (int, float, str)):
        return f"static {name}: {type(value).__name__}", f'"{value}"' if isinstance(value, str) else f"{value}"
    return "", ""


def typed(name: str, type_: Type, frame: Frame, layout: Layout = ()) -> str:
    """`x: float[..., o]`, with the axes in memory order where there is one, else in the order in which they were made."""
    dims = layout or layout_of(frame.context.in_order(type_.axes))
    names = dict.fromkeys(dimension(dim, frame) for dim in dims)
    return f"{name}: {type_.dtype}[{', '.join(sorted(names, key=lambda name: name != LEADING))}]"


def dimension(dim: Dim, frame: Frame) -> str:
    """A dimension of memory: `c`, or `(head d)=c` where it is split."""
    if len(dim) == 1:
        return frame.axis_name(dim[0])
    whole = next((name for name in sorted(frame.axis_names()) if frame.find_axis(name) == dim), "")
    return f"({' '.join(map(frame.axis_name, dim))})" + (f"={whole}" if whole else "")


def sizes(type_: Type, frame: Frame) -> str:
    """The sizes of axes that say more than the name: `|k| = 8, |hidden| = 4*|c|`."""
    found = []
    for axis in frame.context.in_order(type_.axes):
        text, name = size_text(axis.size, frame), frame.axis_name(axis)
        if name != LEADING and text != f"|{name}|":
            found.append(f"|{name}| = {text}")
    return ", ".join(dict.fromkeys(found))


def size_text(size: Size, frame: Frame) -> str:
    """A size in the names of the declaration: an axis' size between bars, a whole number's as it is."""

    def symbol(name: str) -> str:
        value = frame.find_value(name)
        if isinstance(value, SizeVal):
            return name
        return f"|{frame.axis_name(Axis(name, Size.symbol(name)))}|"

    return size.spell(symbol)


def operation(row: Op) -> str:
    """How an operation of the table is called: `max(x, y)`, `max[k](x)`, `solve[i, j](x, y)`."""
    name = row.language or row.name
    operands = ", ".join(OPERANDS[: row.arity])
    return f"{name}{ {'elementwise': '', 'matrix': '[i, j]'}.get(row.form, '[k]') }({operands})"


def operations(name: str) -> list[Op]:
    """The rows of that name in the language: pointwise, and over axes."""
    return [OPS[LANGUAGE_NAMES[name, bracketed]] for bracketed in (False, True) if (name, bracketed) in LANGUAGE_NAMES]


def header(node: tree.Fn | tree.Layer | tree.Search, text: str) -> str:
    """A declaration up to its body, on one line; of a layer, with its forward."""
    if isinstance(node, tree.Search):
        return f"search {node.name.name}"
    parts: Iterable[object] = node.parameters if isinstance(node, tree.Layer) else (*node.signature, *node.results)
    end = max([node.name.span.end, *(part.span.end for part in parts)])  # type: ignore[attr-defined]
    brace = text.find("{", end)
    gradient = node.gradient if isinstance(node, tree.Fn) else None
    stop = gradient.span.start if gradient is not None else brace if brace >= 0 else len(text)
    line = re.sub(r"\s+", " ", re.sub(r"#[^\n]*", "", text[node.span.start : stop])).strip()
    line = re.sub(r"(?<=[(\[]) | (?=[)\]])", "", line)
    if isinstance(node, tree.Layer) and node.methods and node.methods[0].name.name == "forward":
        return f"{line}: {header(node.methods[0], text)}"
    return line
