"""What a call of a sub-layer may do to its caller, kept from the check of the sub-layer by itself.

A layer that was found right for every size of its axes needs no second look where it is called, as long as nothing that the first
look left open is decided there: two sizes that must agree and now cannot, a division that is not exact. A check asks a summary
that; where something is decided, and where a graph is wanted, the call is inlined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from archc.checker import axes as axis_rules
from archc.checker import binding
from archc.checker.frame import Context, Frame, differ
from archc.checker.sizes import Size
from archc.checker.typed import Body, EntryCheck, Number, Ref, SplitSize, TensorInput, Term
from archc.checker.types import Dim, Type
from archc.checker.values import SizeVal, chain_size
from archc.limits import LIMITS
from archc.ops.table import DType
from archc.syntax import tree

SIMPLE = 12  # terms and factors of a size up to which arithmetic with it stays far below the limit


@dataclass(frozen=True)
class Summary:
    """A method of a layer in one mode, as a call of it sees it; axes and sizes are the method's own."""

    dtypes: Mapping[str, DType]  # of its inputs
    axes: Mapping[str, Dim]
    ints: tuple[str, ...]
    results: tuple[DType, ...]
    body: Body
    context: Context  # how much it expands to; which effects it has


def summary(inputs: Sequence[TensorInput], body: Body, numbers: Sequence[Number], frame: Frame) -> Summary:
    axes = {name: frame.find_axis(name) or () for name in frame.axis_names()}
    ints = tuple(number.name for number in numbers if number.kind == "int")
    dtypes = {i.name: i.type.dtype for i in inputs}
    return Summary(dtypes, axes, ints, tuple(r.term.type.dtype for r in body.results), body, frame.context)


def results(known: Summary, fn: tree.Fn, stated: Sequence[tree.Result], given: Mapping[str, Term], callee: Frame,
            splits: axis_rules.Splits) -> list[Term] | None:
    """Values that stand for the results of a call, in the callee's axes, once what the call asks of its caller is noted.

    None where the call has to be inlined, because that might say more."""
    sizes = _sizes(known, callee)
    asked = _asked(known, sizes, callee) if sizes is not None else None
    if asked is None or not _fits(known, given, callee):
        return None
    context, own = callee.context, known.context
    context.checks.extend(asked[0])
    context.splits.extend(asked[1])
    context.divisors.extend(asked[2])
    context.inlined, context.steps = context.inlined + own.inlined, context.steps + own.steps
    context.calls_below = max(context.calls_below, len(context.calls) + own.calls_below)
    context.nested_below = max(context.nested_below, context.nested + own.nested_below)
    context.mode_used |= own.mode_used
    for ref, term in known.body.updates:
        path = _path(callee, ref.path)
        context.updates[path] = (ref, term)
        context.effect(path)
    for path, term in known.body.penalties:
        context.penalties.append((_path(callee, path), term))
        context.effect(_path(callee, path))
    axis_rules.declare_results(callee, fn.results)
    inputs = [entry for entry in fn.signature if isinstance(entry, tree.Input)]
    layouts = [binding.result_layout(callee, result, inputs, splits) for result in stated]
    return [
        Ref(fn.name.name, "input", Type(dtype, frozenset(axis for dim in layout for axis in dim)), layout, fn.span)
        for dtype, layout in zip(known.results, layouts, strict=True)
    ]


def _path(callee: Frame, path: str) -> str:
    return f"{callee.path}.{path}" if callee.path else path


def _fits(known: Summary, given: Mapping[str, Term], callee: Frame) -> bool:
    """Whether the call is one of those that the method was checked for, and breaks no limit."""
    context, own = callee.context, known.context
    return (
        all(term.type.dtype == known.dtypes[name] for name, term in given.items())
        and not (own.leading_named or own.undecided or context.loops)
        and context.inlined + own.inlined <= LIMITS["calls"].value
        and context.steps + own.steps <= LIMITS["statements"].value
        and len(context.calls) + own.calls_below <= LIMITS["call depth"].value
        and context.nested + own.nested_below <= LIMITS["evaluations"].value
        and not any(_path(callee, ref.path) in context.updates for ref, _ in known.body.updates)
    )


def _sizes(known: Summary, callee: Frame) -> dict[str, Size] | None:
    """The caller's sizes by the symbols that stood for them."""
    found: dict[str, Size] = {}
    pairs: list[tuple[Size, Size]] = []
    for name, own in known.axes.items():
        here = callee.find_axis(name)
        if here is None:
            continue  # it is made inside the body
        if len(here) == len(own):
            pairs.extend((a.size, b.size) for a, b in zip(own, here, strict=True))
        elif len(own) == 1:
            pairs.append((own[0].size, chain_size(here)))
        else:
            return None
    for name in known.ints:
        value = callee.find_value(name)
        if not isinstance(value, SizeVal):
            return None
        pairs.append((Size.symbol(name), value.size))
    for own_size, size in pairs:
        if len(own_size.terms) == 1 and own_size == Size.symbol(symbol := str(own_size)):
            if size.constant == 0 or sum(1 + len(monomial) for monomial, _ in size.terms) > SIMPLE:
                return None
            found[symbol] = size
    return found


Asked = tuple[list[EntryCheck], list[SplitSize], list[Size]]


def _asked(known: Summary, sizes: dict[str, Size], callee: Frame) -> Asked | None:
    """What the call asks of the caller's sizes, beyond what it is sure of; None where that cannot be."""
    context, body = callee.context, known.body
    here = _renamed(sizes, context)
    splits: list[SplitSize] = []
    for split in body.splits:
        if split.symbol in sizes:
            continue  # it was made when the call was entered
        whole, part = here(split.whole), here(split.part)
        if part.constant == 0 or (whole.constant is not None and part.constant is not None and not whole.divisible_by(part)):
            return None
        if whole.divisible_by(part):
            sizes[split.symbol] = whole // part
        else:
            splits.append(SplitSize(str(here(Size.symbol(split.symbol))), whole, part, split.span))
    checks: list[EntryCheck] = []
    seen: set[tuple[Size, Size, str]] = set()
    for check in body.checks:
        left, right = here(check.left), here(check.right)
        if left == right or (left, right, check.relation) in seen:
            continue
        seen.add((left, right, check.relation))
        short = (left - right).constant
        if (short or 0) < 0 or (check.relation == "equal" and differ(left, right)):
            return None
        if check.relation == "equal" or short is None:
            checks.append(EntryCheck(left, right, check.relation, check.message, check.span, _path(callee, check.path)))
    divisors = [here(size) for size in known.context.divisors]
    return None if any(size.constant == 0 for size in divisors) else (checks, splits, divisors)


def _renamed(sizes: dict[str, Size], context: Context) -> Callable[[Size], Size]:
    """A size in the caller's symbols. What has no size there gets a symbol that nothing else has."""

    def here(size: Size) -> Size:
        for symbol in sorted(size.symbols - sizes.keys()):
            sizes[symbol] = Size.symbol(context.fresh(symbol))
        return size.substitute(sizes)

    return here
