"""Views that a loop would take at every step, taken once before it: of whole sequences, and of what stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from archc.checker.types import Axis
from archc.codegen.torch import layout
from archc.codegen.torch.form import Assign, Branch, Dims, Do, Expr, For, NoGrad, Raise, Return, Statement, walk
from archc.codegen.torch.layout import literal
from archc.codegen.torch.spelling import SPELLING

_MOVES = frozenset({"unsqueeze", "view", "transpose", "matrix_transpose", "permute", "squeeze"})
_STEADY = _MOVES | {"flatten", "unflatten", "expand"}


@dataclass(frozen=True)
class Element:
    """What a loop runs over: the variable of an element, the sequence, the axis, and whether from its end."""

    target: str
    whole: Expr
    axis: Axis
    reverse: bool

    def source(self) -> Expr:
        parts = Expr("method", (self.whole, literal(self.whole.position(self.axis))), ("unbind",), None)
        return Expr("function", (parts,), ("reversed",), None) if self.reverse else parts


def outward(body: Sequence[Statement], elements: Sequence[Element], bind: Callable[[Expr, str], Expr],
            fresh: Callable[[str], str]) -> tuple[list[Statement], list[Element]]:
    """The body without such views, and what the loop runs over then. `bind` names a value before the loop."""
    moving = {element.target for element in elements} | set(_assigned(body))
    by_name = {element.target: element for element in elements}
    kept = {element.target: element for element in elements}
    views: dict[Expr, Expr] = {}
    origins: list[tuple[Element, str]] = []

    def moved(x: Expr) -> Expr:
        if x in views:
            return views[x]
        root = _root(x)
        if root is not None and x.op in _MOVES and str(root.params[0]) in by_name and x.axes == root.axes:
            element = by_name[str(root.params[0])]
            whole = _seen(element, x)
            if whole is not None:
                made = next((other for other in kept.values() if other.whole == whole), None)
                if made is None:
                    made = Element(fresh(element.target), whole, element.axis, element.reverse)
                    kept[made.target] = made
                    origins.append((made, element.target))
                views[x] = layout.name(made.target, x.dims, x.dtype)
                return views[x]
        if x.op in _STEADY and not any(_first(part) in moving for part in walk(x) if part.op in ("name", "subscript", "shape")):
            inner = next(part for part in walk(x) if part.op not in _STEADY)
            if inner.op == "name":
                views[x] = bind(x, str(inner.params[0]).rsplit(".", 1)[-1])
                return views[x]
        args = tuple(moved(arg) for arg in x.args)
        return x if args == x.args else replace(x, args=args)

    found = [_mapped(statement, lambda x: moved(raised(x))) for statement in body]
    read = {_first(part) for statement in found for x in _expressions(statement) for part in walk(x) if part.op == "name"}
    used = [element for element in kept.values() if element.target in read] or list(elements[:1])
    return _renamed(found, used, {view.target: kept[origin] for view, origin in origins if origin not in read})


def _renamed(body: list[Statement], elements: list[Element], free: dict[str, Element]) -> tuple[list[Statement], list[Element]]:
    """A view has the name of its element where nothing else has it."""
    names: dict[str, str] = {}
    for target, element in free.items():
        if element.target not in names.values():
            names[target] = element.target

    def renamed(x: Expr) -> Expr:
        if x.op == "name" and x.params[0] in names:
            return replace(x, params=(names[str(x.params[0])],))
        args = tuple(map(renamed, x.args))
        return x if args == x.args else replace(x, args=args)

    found = [replace(element, target=names.get(element.target, element.target)) for element in elements]
    return [_mapped(statement, renamed) for statement in body] if names else body, found


def raised(x: Expr) -> Expr:
    """Arithmetic on dimensions of size one that are taken away and put back is done with them: (a.squeeze(1) - b).unsqueeze(1) is
    a - b.unsqueeze(1)."""
    if x.op == "unsqueeze" and (x.dims or ()).count(None) == 1:
        inner = x.args[0]
        if inner.dims and SPELLING[inner.op].broadcasts and _squeezed(inner, x.dims):
            x = _with_ones(inner, x)
    args = tuple(map(raised, x.args))
    return x if args == x.args else replace(x, args=args)


def _squeezed(x: Expr, dims: Dims | None) -> bool:
    """Whether arithmetic has an operand from which the dimension was taken that is put back, and no smaller ones."""
    if x.op == "squeeze":
        return x.args[0].dims == dims
    if not SPELLING[x.op].broadcasts or any(arg.dims is not None and len(arg.dims) != len(x.dims or ()) for arg in x.args):
        return False
    return any(_squeezed(arg, dims) for arg in x.args)


def _with_ones(x: Expr, seen: Expr) -> Expr:
    """The same value as `seen` sees it."""
    if x.dims is None:
        return x
    if x.op == "squeeze" and x.args[0].dims == seen.dims:
        return x.args[0]
    if SPELLING[x.op].broadcasts and _squeezed(x, seen.dims):
        return replace(x, args=tuple(_with_ones(arg, seen) for arg in x.args), dims=seen.dims)
    place = (seen.dims or ()).index(None)
    return replace(seen, args=(x,), dims=(*x.dims[:place], None, *x.dims[place:]))


def _seen(element: Element, x: Expr) -> Expr | None:
    """The whole sequence seen as a view sees its element."""
    assert x.dims is not None
    whole = layout.squeeze(element.whole)
    order = [dim for dim in x.dims if dim is not None]
    place = min(whole.dims.index(element.axis) if whole.dims else 0, len(order))
    if whole.is_leading and (place == 0 or not order or order[0] != (whole.dims or (None,))[0]):
        return None
    whole = layout.permute(whole, [*order[:place], element.axis, *order[place:]])
    dims, axes = list(x.dims), 0
    for at in range(len(dims) + 1):
        if axes == place:
            dims.insert(at, element.axis)
            break
        axes += dims[at] is not None
    return layout.insert(whole, tuple(dims))


def _root(x: Expr) -> Expr | None:
    """The variable under a chain of views that only move dimensions."""
    while x.op in _MOVES:
        x = x.args[0]
    return x if x.op == "name" and x.dims is not None else None


def _first(part: Expr) -> str:
    return str(part.params[0]).split(".", 1)[0].split("[", 1)[0]


def _assigned(body: Iterable[Statement]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, Assign | For):
            yield from statement.targets
        if isinstance(statement, For):
            yield from _assigned(statement.body)


def _expressions(statement: Statement) -> Iterator[Expr]:
    if isinstance(statement, Assign | Do):
        yield statement.value
    elif isinstance(statement, For):
        yield statement.source
        for inner in statement.body:
            yield from _expressions(inner)
    elif isinstance(statement, Return):
        yield from statement.values
    elif isinstance(statement, Raise):
        yield from (statement.condition, *statement.values)
    elif isinstance(statement, Branch):
        yield statement.condition
        for inner in (*statement.then, *statement.otherwise):
            yield from _expressions(inner)
    elif isinstance(statement, NoGrad):
        for inner in statement.body:
            yield from _expressions(inner)


def _mapped(statement: Statement, change: Callable[[Expr], Expr]) -> Statement:
    """A statement of a loop's body with its expressions changed. (Checks and branches stay as they are.)"""
    if isinstance(statement, Assign | Do):
        return replace(statement, value=change(statement.value))
    if isinstance(statement, For):
        return replace(statement, source=change(statement.source), body=tuple(_mapped(inner, change) for inner in statement.body))
    return statement
