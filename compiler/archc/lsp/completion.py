"""What may stand at the cursor: axes in brackets and between bars, arguments of a call, names, functions, layers, keywords.

A text that is being typed rarely parses, so what is around the cursor is read off the tokens before it; what is called, and
what else the file knows, from the last analysis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from archc.checker.frame import BUILTINS
from archc.checker.program import Declared
from archc.checker.values import Instance
from archc.lsp.analysis import Analysis
from archc.lsp.around import Around, around
from archc.lsp.names import bindings
from archc.lsp.show import BUILTIN, header, operation, operations
from archc.ops.table import LANGUAGE_NAMES
from archc.syntax import tree

Sort = Literal["axis", "value", "argument", "function", "layer", "keyword", "module", "method"]

KEYWORDS = {
    "file": ("fn", "layer", "import", "search"),
    "layer": ("param", "buffer", "init", "axis", "if", "else", "forward", "fn"),
    "body": ("return", "axis", "if", "else", "when", "for", "scan", "state", "yield", "finally", "update", "penalty"),
    "expression": ("and", "or", "not", "true", "false", "inf", "repeat", "with"),
    "border": ("else", "edge", "reflect", "wrap", "by"),
    "kind": ("axis", "int", "float", "bool", "str", "layer", "fn", "border", "ints", "layers"),
    "signature": ("static",),
}
"""Words by where they may stand."""


@dataclass(frozen=True)
class Item:
    """`detail` is one line, `doc` the comment of what is offered; `insert` the text where it is not the label."""

    label: str
    sort: Sort
    detail: str = ""
    doc: str = ""
    insert: str = ""


def complete(analysis: Analysis, text: str, offset: int, modules: Iterable[str] = ()) -> list[Item]:
    """`text` may be newer than the analysis. `modules` are what can be imported."""
    here = around(text, offset)
    items: list[Item] = []
    if here.where == "nowhere":
        return []
    if here.where == "import":
        items = [Item(module, "module", "a file" if "." not in module else "of the standard library") for module in modules]
    elif here.where == "size":
        items = axes(here)
    elif here.where == "member":
        items = list(methods(here.callee, here, analysis))
    elif here.where == "kind":
        items = [Item(word, "keyword") for word in KEYWORDS["kind"]] + list(layers(analysis))
    else:
        if here.where == "brackets":
            items = [*callee_axes(here, analysis), *axes(here)]
        if here.where == "arguments":
            items = list(arguments(here, analysis))
        if here.where == "signature":
            items = [Item(word, "keyword") for word in KEYWORDS["signature"]]
        if here.where != "brackets" or here.after_equal:
            items += [*values(here), *([] if here.where == "brackets" else axes(here)), *declared(analysis), *built_in()]
        if here.where in ("file", "layer", "body") and not here.after_equal:
            items += [Item(word, "keyword") for word in KEYWORDS[here.where]]
        if here.after_equal or here.where in ("body", "arguments"):
            items += [Item(word, "keyword") for word in KEYWORDS["expression"]]
        if here.where == "brackets" and here.after_equal:
            items += [Item(word, "keyword") for word in KEYWORDS["border"]]
        if here.where == "file":
            items = [item for item in items if item.sort == "keyword"]
    kept: dict[tuple[str, str], Item] = {}
    for item in items:
        if item.label.startswith(here.prefix) and item.label != "...":
            kept.setdefault((item.label, item.insert), item)
    return list(kept.values())


def axes(here: Around) -> list[Item]:
    return [Item(name, "axis", f"axis {name}") for name in here.axes]


def values(here: Around) -> list[Item]:
    return [Item(name, "value") for name in here.values]


def declared(analysis: Analysis) -> Iterator[Item]:
    """The functions and layers of the file and of what it imports."""
    for item in analysis.program.root.scope.values() if analysis.program else ():
        node = item.node
        if not isinstance(node, tree.Search):
            sort: Sort = "layer" if isinstance(node, tree.Layer) else "function"
            yield Item(item.name, sort, header(node, item.file.text), node.doc)


def layers(analysis: Analysis) -> Iterator[Item]:
    return (item for item in declared(analysis) if item.sort == "layer")


def built_in() -> Iterator[Item]:
    for name in sorted({name for name, _ in LANGUAGE_NAMES}):
        rows = operations(name)
        yield Item(name, "function", ", ".join(map(operation, rows)), "; ".join(row.summary for row in rows))
    for name in sorted(BUILTINS):
        yield Item(name, "function", BUILTIN.get(name, "first values of a param"))


def called(name: str, here: Around, analysis: Analysis) -> Declared | None:
    """The declaration of what stands before the bracket: a function, a layer, or the layer of a sub-layer."""
    if analysis.program is None:
        return None
    scope = analysis.program.root.scope
    return scope.get(name) or scope.get(here.made.get(name, ""))


def arguments(here: Around, analysis: Analysis) -> Iterator[Item]:
    """`name=` for each parameter that is not given yet."""
    found = called(here.callee, here, analysis)
    if found is None or isinstance(found.node, tree.Search):
        return
    entries: Iterable[tree.Parameter | tree.Input]
    if isinstance(found.node, tree.Layer):
        inputs = next((m.signature for m in found.node.methods if m.name.name == "forward"), ())
        entries = inputs if here.callee in here.made else found.node.parameters
    else:
        entries = found.node.signature
    for entry in entries:
        if entry.name.name not in here.given:
            written = found.file.text[entry.span.start : entry.span.end]
            yield Item(entry.name.name, "argument", " ".join(written.split()), insert=f"{entry.name.name}=")


def callee_axes(here: Around, analysis: Analysis) -> list[Item]:
    """The axes of a function or layer that stand left in `f[callee = caller](x)`."""
    found = called(here.callee, here, analysis)
    if found is None or here.after_equal or isinstance(found.node, tree.Search):
        return []
    nodes: list[object] = [found.node]
    if isinstance(found.node, tree.Layer):
        nodes.extend(m for m in found.node.methods if m.name.name == "forward")
    names = dict.fromkeys(b.name for node in nodes for b in bindings(node) if b.sort == "axis")
    return [Item(name, "axis", f"axis {name} of {found.name}") for name in names if name != "..."]


def methods(name: str, here: Around, analysis: Analysis) -> Iterator[Item]:
    found = called(name, here, analysis)
    node = found.node if found else next((k.value.of.layer for k in analysis.known.values() if isinstance(k.value, Instance)
                                          and analysis.text[k.span.start : k.span.end] == name), None)  # fmt: skip
    if isinstance(node, tree.Layer):
        for method in node.methods:
            yield Item(method.name.name, "method", doc=method.doc)
