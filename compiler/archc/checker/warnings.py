"""What is allowed and probably not meant: names that hide others, params that nothing reads, accidental outer products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from archc.checker import typed
from archc.checker.frame import BUILTINS, INITIALISERS, Frame
from archc.checker.program import SourceFile
from archc.checker.sizes import product
from archc.checker.typed import Term
from archc.checker.types import Axis
from archc.diagnostics.model import Problems
from archc.diagnostics.warning_codes import OUTER_PRODUCT, SHADOWED_NAME, UNUSED_PARAM
from archc.ops.table import LANGUAGE_NAMES, OPS
from archc.syntax import tree
from archc.syntax.tree import Ident, Span

EVERYDAY = frozenset({"angle", "count"})  # what people call such a thing; as a function it is rare
FUNCTIONS = ((BUILTINS - INITIALISERS) | {name for name, _ in LANGUAGE_NAMES}) - EVERYDAY


# ------------------------------------------------------------------------------------------------- names
def shadows(file: SourceFile, problems: Problems) -> None:
    """Names of a file's declarations that hide others."""
    for declared in file.own.values():
        node = declared.node
        if isinstance(node, (tree.Fn, tree.Layer)) and node.name.name in FUNCTIONS:
            problems.add(SHADOWED_NAME, node.name.span, name=node.name.name, what="the built-in of that name")
        if isinstance(node, tree.Fn):
            _shadows(_bound(node), {}, problems, FUNCTIONS)
        elif isinstance(node, tree.Layer):
            own = [p.name for p in node.parameters] + [name for s in node.body for name in _declared(s)]
            _shadows(own, {}, problems, FUNCTIONS | INITIALISERS)
            values = [p.name for p in node.parameters if p.kind.name != "axis"]
            values += [name for s in _stores(node.body) for name in (s.targets if isinstance(s, tree.Assign) else (s.name,))]
            for method in node.methods:
                _shadows(_bound(method), {name.name: name.span for name in values}, problems, FUNCTIONS)


def unused(file: SourceFile, problems: Problems) -> None:
    """Params that no method of a file's layers reads."""
    for declared in file.own.values():
        if isinstance(declared.node, tree.Layer):
            _unused(declared.node, problems)


def _stores(body: Sequence[tree.Statement]) -> Iterator[tree.Store | tree.Assign]:
    """What a layer's body stores and which sub-layers it makes, in any branch."""
    for statement in body:
        if isinstance(statement, (tree.Store, tree.Assign)):
            yield statement
        yield from _stores(_inner(statement))


def _shadows(bound: Iterable[Ident], outer: dict[str, Span], problems: Problems, builtins: Iterable[str]) -> None:
    """Warn of each name once, where it is bound first."""
    seen: set[str] = set()
    for ident in bound:
        name = ident.name
        if name in seen:
            continue
        seen.add(name)
        if name in outer:
            hidden = [(outer[name], "hides this one")]
            problems.add(SHADOWED_NAME, ident.span, also=hidden, name=name, what=f"'{name}' of the layer")
        elif name in builtins:
            problems.add(SHADOWED_NAME, ident.span, name=name, what="the built-in of that name")


def _bound(fn: tree.Fn) -> Iterator[Ident]:
    """Every name that a fn or method declares: parameters, inputs, axes, values."""
    for entry in fn.signature:
        yield entry.name
        if isinstance(entry, tree.Input):
            yield from _axes(entry.dims or ())
    for result in fn.results:
        if result.name is not None:
            yield result.name
        yield from _axes(result.dims or ())
    for statement in fn.body:
        yield from _declared(statement)


def _declared(statement: tree.Statement) -> Iterator[Ident]:
    match statement:
        case tree.Assign(targets=targets):
            yield from targets
        case tree.AxisDecl(name=name, parts=parts):
            yield name
            yield from _axes(parts)
        case tree.Store(name=name, dims=dims):
            yield name
            yield from _axes(dims)
        case tree.State(name=name):
            yield name
        case tree.For(target=target, items=items) if items is not None:
            yield target
    for inner in _inner(statement):
        yield from _declared(inner)


def _axes(dims: Sequence[tree.Dim]) -> Iterator[Ident]:
    for dim in dims:
        if dim.name is not None:
            yield dim.name
        yield from _axes(dim.parts)


def _inner(statement: tree.Statement) -> tuple[tree.Statement, ...]:
    if isinstance(statement, (tree.If, tree.When)):
        return (*statement.then, *(statement.otherwise or ()))
    return statement.body if isinstance(statement, (tree.For, tree.Scan)) else ()


def _unused(layer: tree.Layer, problems: Problems) -> None:
    """Params whose name stands in no method, whatever the static choices."""
    read: set[str] = set()
    stack: list[object] = list(layer.methods)
    while stack:
        current = stack.pop()
        if isinstance(current, tree.Name):
            read.add(current.name)
        stack.extend(tree.children(current))
    for store in _stores(layer.body):
        if isinstance(store, tree.Store) and store.kind == "param" and store.name.name not in read:
            problems.add(UNUSED_PARAM, store.name.span, name=store.name.name)


# ------------------------------------------------------------------------------------------------- outer products
def outer_products(results: Sequence[Term], stated: Iterable[frozenset[Axis]], within: Span, frame: Frame) -> None:
    """Warn where the union of an operation's axes is no operand's, and no result, param, read, state or sub-layer has it either.

    A reduction makes it right: one around the operation in the same expression, one of an operand that has still more axes, or
    one over an axis that both sides share, as a distance or a product of matrices has it; or two that both read it, of which
    neither can be moved before it. What is left could have been reduced before. Only what is written `within` this place is
    judged.
    """
    grown: list[typed.Apply] = []
    reductions: list[typed.Reduction] = []
    known: set[frozenset[Axis]] = set(stated)
    for term in reached(results):
        axes = term.type.axes
        if isinstance(term, typed.Apply):
            if len(axes) > 1 and all(arg.type.axes != axes for arg in term.args) and _inside(term.span, within):
                grown.append(term)
        elif isinstance(term, typed.Reduction) and OPS[term.op].form == "reduce":
            reductions.append(term)
            known.add(axes)
        elif isinstance(term, typed.MatrixCall):
            known.update((axes, *(arg.type.axes for arg in term.args)))
        elif not isinstance(term, (typed.Const, typed.SizeValue, typed.AxisIndex, typed.Expand, typed.Reduction)):
            known.add(axes)
            if isinstance(term, typed.ReadAt):
                known.add(term.arg.type.axes)
    for term in grown:
        if any(term.type.axes <= other for other in known) or any(_reduces(around, term) for around in reductions):
            continue
        if sum(bool(around.over & term.type.axes) and _reads(around.arg, term) for around in reductions) > 1:
            continue
        sides = sorted((arg for arg in term.args if arg.type.axes), key=lambda arg: -len(arg.type.axes))
        total = product(axis.size for axis in term.type.axes).constant
        listed = frame.names_of(term.type.axes)
        size = " * ".join(f"|{name}|" for name in listed) if total is None else total
        lacking = frame.names_of(term.type.axes - sides[0].type.axes)
        frame.report(OUTER_PRODUCT, term.span, size=size, axes=f"[{', '.join(listed)}]", name=lacking[0],
                     left=frame.show(sides[0].type), right=frame.show(sides[1].type))


def _reduces(reduction: typed.Reduction, term: typed.Apply) -> bool:
    """Whether a reduction makes a growing operation right."""
    axes, operand = term.type.axes, reduction.arg.type.axes
    shared = frozenset.intersection(*(arg.type.axes for arg in term.args if arg.type.axes))
    return _inside(term.span, reduction.span) or axes < operand or (axes <= operand and bool(shared & reduction.over))


def _reads(root: Term, term: Term) -> bool:
    """Whether a value is made of another by operations that leave its axes."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        current = stack.pop()
        if current is term:
            return True
        if id(current) in seen or not term.type.axes <= current.type.axes:
            continue
        seen.add(id(current))
        if isinstance(current, typed.Apply):
            stack.extend(current.args)
        elif isinstance(current, typed.Reduction):
            stack.append(current.arg)
    return False


def _inside(span: Span, around: Span) -> bool:
    return span.file == around.file and around.start <= span.start and span.end <= around.end


def reached(roots: Sequence[Term]) -> Iterator[Term]:
    """Every term below, those of loops included; sub-layers are judged by themselves."""
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        term = stack.pop()
        if id(term) in seen:
            continue
        seen.add(id(term))
        yield term
        match term:
            case (typed.Apply(args=args) | typed.Draw(args=args) | typed.CustomCall(args=args) | typed.MemberCall(args=args)
                  | typed.MatrixCall(args=args)):
                stack.extend(args)
            case typed.Reduction(arg=arg) | typed.Expand(arg=arg):
                stack.append(arg)
            case typed.ReadAt(arg=arg, at=at, fill=fill):
                stack.append(arg)
                stack.extend(index for _, index, _ in at)
                stack.extend([] if fill is None else [fill])
            case typed.LoopResult(loop=loop):
                stack.extend((*loop.states, *loop.starts, *loop.nexts, *loop.yields))
