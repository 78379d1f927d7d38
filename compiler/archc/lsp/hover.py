"""What stands under the cursor: the type of the expression, or the declaration of the name with its comment."""

from __future__ import annotations

from dataclasses import dataclass

from archc.checker.terms import is_term
from archc.checker.values import Poison
from archc.lsp.analysis import Analysis
from archc.lsp.checked import Known
from archc.lsp.names import Binding, Target, resolve
from archc.lsp.places import path_to
from archc.lsp.show import header, operation, operations, size_text, value_text
from archc.syntax import tree
from archc.syntax.tree import Span

SHOWN = 60
"""Longer expressions are cut in the first line of a hover."""


@dataclass(frozen=True)
class Hover:
    """Markdown, and the stretch of text that it is about."""

    text: str
    span: Span


def hover(analysis: Analysis, offset: int) -> Hover | None:
    if analysis.tree is None:
        return None
    named = resolve(analysis, offset)
    if named is not None:
        node, target = named
        text = about_name(analysis, node, target)
        if text:
            return Hover(text, node.span)
    for above in reversed(path_to(analysis.tree, offset)):
        known = analysis.of(above.span)  # type: ignore[attr-defined]
        if known is not None and not isinstance(known.value, Poison):
            span = known.span
            written = " ".join(analysis.text[span.start : span.end].split())
            shown = written if len(written) <= SHOWN else written[: SHOWN - 3] + "..."
            return Hover(card(*value_text(shown, known.value, known.frame)), span)
    return None


def about_name(analysis: Analysis, node: tree.Ident | tree.Name | tree.Import, target: Target | None) -> str:
    if isinstance(node, tree.Import):
        return f"the file of `{node.dotted}`" if target is not None else ""
    known = analysis.of(node.span)
    if known is not None and not isinstance(known.value, Poison):
        if rows := operations(node.name) if type(known.value).__name__ == "OpRef" else []:
            return card("\n".join(map(operation, rows)), "; ".join(row.summary for row in rows))
        return card(*value_text(node.name, known.value, known.frame))
    if target is None or target.binding is None:
        return ""
    binding = target.binding
    text = target.declared.file.text if target.declared else analysis.text
    if isinstance(binding.node, (tree.Fn, tree.Layer, tree.Search)):
        return card(header(binding.node, text), binding.node.doc)
    span = binding.node.span  # type: ignore[attr-defined]
    place = next((k for k in analysis.known.values() if inside(k, node.span, analysis)), None)
    if target.declared is None and place is not None:
        chain = place.frame.find_axis(node.name) if binding.sort == "axis" else None
        if chain is not None:
            total = " * ".join(size_text(axis.size, place.frame) for axis in chain)
            return card(f"axis {node.name}", f"size {total}; as a value, the index along it")
        if typed_text := assigned(analysis, binding):
            return typed_text
        value = place.frame.find_value(node.name)
        if value is not None and is_term(value):
            return card(*value_text(node.name, value, place.frame))
    written = " ".join(text[span.start : span.end].split())
    return card(f"axis {written}" if isinstance(binding.node, tree.Dim) else written, "")


def assigned(analysis: Analysis, binding: Binding) -> str:
    """The type of what a statement assigns to a name."""
    if not isinstance(binding.node, (tree.Assign, tree.Yield, tree.State, tree.Update, tree.Penalty)):
        return ""
    known = analysis.of(binding.node.value.span)
    if known is None:
        return ""
    value = known.value
    if isinstance(binding.node, tree.Assign) and len(binding.node.targets) > 1 and isinstance(value, tuple):
        position = [target.span for target in binding.node.targets].index(binding.span)
        value = value[position] if position < len(value) else value
    return card(*value_text(binding.name, value, known.frame))


def inside(known: Known, span: Span, analysis: Analysis) -> bool:
    """Whether an expression was elaborated in the innermost declaration that a place is in."""
    assert analysis.tree is not None
    scopes = [n for n in path_to(analysis.tree, span.start) if isinstance(n, (tree.Fn, tree.Layer))]
    if not scopes:
        return False
    innermost = scopes[-1].span
    return innermost.start <= known.span.start and known.span.end <= innermost.end


def card(code: str, sentence: str) -> str:
    fenced = f"```arch\n{code}\n```" if code else ""
    return "\n\n".join(filter(None, (fenced, sentence)))
