"""Where names are declared: by the tree alone, so that it is known also of what does not check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from archc.checker.program import Declared
from archc.checker.values import Bound, FnRef, Instance, LayerClass, Value
from archc.lsp.analysis import Analysis
from archc.lsp.places import path_to
from archc.syntax import tree
from archc.syntax.tree import Ident, Span

Sort = Literal["axis", "value", "parameter", "input", "param", "sublayer", "method", "fn", "layer", "search"]


@dataclass(frozen=True)
class Binding:
    """One declaration of a name: the name's place, and the node that says the rest."""

    name: str
    sort: Sort
    span: Span
    node: object


@dataclass(frozen=True)
class Target:
    """What a name at some place means. `module` is set for an import: the file itself."""

    span: Span
    binding: Binding | None = None
    declared: Declared | None = None
    owner: tree.Layer | None = None
    module: str = ""


def bindings(node: object, layer: bool = False) -> Iterator[Binding]:
    """What a declaration or statement gives names to, in the order of the text. Methods of a layer are not entered."""
    match node:
        case tree.Layer():
            for parameter in node.parameters:
                yield from bindings(parameter)
            for statement in node.body:
                yield from bindings(statement, layer=True)
            for method in node.methods:
                yield Binding(method.name.name, "method", method.name.span, method)
        case tree.Fn():
            for entry in (*node.signature, *node.results):
                yield from bindings(entry)
            if node.gradient is not None:
                for name in node.gradient.names:
                    yield Binding(name.name, "value", name.span, node.gradient)
            for statement in node.body:
                yield from bindings(statement)
        case tree.Parameter(name=name):
            yield Binding(name.name, "axis" if node.kind.name == "axis" else "parameter", name.span, node)
        case tree.Input(name=name, dims=dims):
            yield Binding(name.name, "input", name.span, node)
            yield from axes(dims or ())
        case tree.Result(dims=dims):
            if node.name is not None:
                yield Binding(node.name.name, "value", node.name.span, node)
            yield from axes(dims or ())
        case tree.Store(name=name, dims=dims):
            yield Binding(name.name, "param", name.span, node)
            yield from axes(dims)
        case tree.State(name=name, dims=dims):
            yield Binding(name.name, "value", name.span, node)
            yield from axes(dims)
        case tree.Yield(name=name) | tree.Finally(name=name) | tree.Penalty(name=name):
            yield Binding(name.name, "value", name.span, node)
        case tree.AxisDecl(name=name, parts=parts):
            yield Binding(name.name, "axis", name.span, node)
            yield from axes(parts)
        case tree.Assign(targets=targets, value=value):
            for target in targets:
                yield Binding(target.name, "sublayer" if layer else "value", target.span, node)
            if isinstance(value, tree.Repeat) and value.index is not None:
                yield Binding(value.index.name, "parameter", value.index.span, value)
        case tree.If(then=then, otherwise=otherwise) | tree.When(then=then, otherwise=otherwise):
            for statement in (*then, *(otherwise or ())):
                yield from bindings(statement, layer)
        case tree.For(target=target, items=items, body=body):
            if items is not None:
                yield Binding(target.name, "value", target.span, node)
            for statement in body:
                yield from bindings(statement)
        case tree.Scan(body=body):
            for statement in body:
                yield from bindings(statement)


def axes(dims: Sequence[tree.Dim]) -> Iterator[Binding]:
    for dim in dims:
        if dim.name is not None and dim.name.name != "...":
            yield Binding(dim.name.name, "axis", dim.name.span, dim)
        yield from axes(dim.parts)


def resolve(analysis: Analysis, offset: int) -> tuple[Ident | tree.Name | tree.Import, Target | None] | None:
    """The name at an offset and what it means; None where no name is."""
    if analysis.tree is None:
        return None
    path = path_to(analysis.tree, offset)
    if path and isinstance(path[0], tree.Import):
        return path[0], imported(path[0], analysis)
    if not path or not isinstance(node := path[-1], (Ident, tree.Name)) or node.name == "...":
        return None
    above = path[-2] if len(path) > 1 else None
    if isinstance(above, tree.Member) and node is above.name:
        return node, member(known(above.base, analysis), node.name, analysis)
    if isinstance(above, tree.Argument) and node is above.name:
        call = path[-3]
        return node, entry_of(known(call.callee, analysis), node.name, analysis) if isinstance(call, tree.Call) else None
    if isinstance(above, tree.BracketItem) and node is above.axis and isinstance(read := path[-3], tree.Bracketed):
        target = entry_of(known(read.base, analysis), node.name, analysis)
        if target is not None:
            return node, target
    if isinstance(above, tree.Call) and any(node is name for name, _ in above.overrides):
        return node, entry_of(known(above.callee, analysis), node.name, analysis)
    return node, local(path, node, analysis)


def imported(node: tree.Import, analysis: Analysis) -> Target | None:
    assert analysis.program is not None
    for file in analysis.program.files.values():
        if file.module == node.dotted:
            return Target(file.tree.span, module=node.dotted)
    return None


def known(expr: object, analysis: Analysis) -> Value | None:
    found = analysis.of(expr.span)  # type: ignore[attr-defined]
    if found is None and isinstance(expr, tree.Name) and analysis.program is not None:
        declared = analysis.program.root.scope.get(expr.name)
        if declared is not None and isinstance(declared.node, tree.Layer):
            return LayerClass(declared)
        if declared is not None and isinstance(declared.node, tree.Fn):
            return FnRef(declared, declared.node)
    value = found.value if found else None
    return value.value if isinstance(value, Bound) else value


def current(declared: Declared, analysis: Analysis) -> Declared:
    """A declaration as it is now: one of this file may have been checked when it stood elsewhere."""
    root = analysis.program.root if analysis.program else None
    return root.own.get(declared.name, declared) if root is not None and declared.file.path == root.path else declared


def member(value: Value | None, name: str, analysis: Analysis) -> Target | None:
    """`block.step`: a method of a sub-layer's class."""
    if not isinstance(value, Instance):
        return None
    declared = current(value.of.declared, analysis)
    found = next((b for b in bindings(declared.node) if b.name == name), None)
    return Target(found.span, found, declared, layer_of(declared)) if found else None


def layer_of(declared: Declared) -> tree.Layer | None:
    return declared.node if isinstance(declared.node, tree.Layer) else None


def entry_of(value: Value | None, name: str, analysis: Analysis) -> Target | None:
    """A parameter, input or axis of what is called."""
    if isinstance(value, FnRef):
        declared = current(value.declared, analysis)
        layer = layer_of(declared)
        fn = next((m for m in layer.methods if m.name.name == value.fn.name.name), value.fn) if layer else declared.node
        found = next((b for b in bindings(fn) if b.name == name and b.sort != "value"), None)
        return Target(found.span, found, declared) if found else None
    if isinstance(value, (LayerClass, Instance)):
        declared = current(value.declared if isinstance(value, LayerClass) else value.of.declared, analysis)
        layer = layer_of(declared)
        nodes: list[object] = [layer]
        if isinstance(value, Instance) and layer is not None:
            nodes.extend(method for method in layer.methods if method.name.name == "forward")
        found = next((b for node in nodes for b in bindings(node) if b.name == name and b.sort not in ("value", "method")), None)
        return Target(found.span, found, declared, layer) if found else None
    return None


def local(path: Sequence[object], node: Ident | tree.Name, analysis: Analysis) -> Target | None:
    """A name of the method or fn, of its layer, or of the file, innermost first; of several, the last one before the place."""
    scopes = [n for n in path if isinstance(n, (tree.Fn, tree.Layer))]
    for scope in reversed(scopes):
        if isinstance(scope, tree.Fn) and node is scope.name and len(scopes) > 1:
            continue
        found = [b for b in bindings(scope) if b.name == node.name]
        before = [b for b in found if b.span.start <= node.span.start]
        if found:
            # Within `x = x + 1` the x on the right is the one before.
            earlier = [b for b in before if not (isinstance(b.node, tree.Assign) and within(node.span, b.node.value.span))]
            chosen = (earlier or before or found)[-1 if before else 0]
            if chosen.sort == "axis":  # declared once, mentioned again in other brackets
                chosen = next(b for outer in scopes for b in bindings(outer) if b.name == node.name)
            owner = scope if isinstance(scope, tree.Layer) else None
            return Target(chosen.span, chosen, owner=owner)
    declared = analysis.program.root.scope.get(node.name) if analysis.program else None
    if declared is None:
        return None
    sort: Sort = "fn" if isinstance(declared.node, tree.Fn) else "layer" if isinstance(declared.node, tree.Layer) else "search"
    name = declared.node.name
    return Target(name.span, Binding(name.name, sort, name.span, declared.node), declared)


def within(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end
