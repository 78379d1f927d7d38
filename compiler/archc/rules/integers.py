"""What is known of int expressions without running them: a normal form, provable comparisons, and where a condition can hold.

An int expression over indices and sizes is a polynomial: a `Size` in which `#t` stands for the index along axis t. Equal
polynomials are equal values, whatever way they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from archc.checker.sizes import Atom, FloorDiv, Largest, Size, Symbol
from archc.checker.types import Axis
from archc.ir import build
from archc.ir.graph import Node

LONGEST = 24  # terms of a polynomial; what is longer is left as it was written
_INDEX = "#"
_known: WeakKeyDictionary[Node, Size | None] = WeakKeyDictionary()


def polynomial(node: Node) -> Size | None:
    """The int expression as a polynomial of sizes and indices; None where it reads data or does more than arithmetic."""
    stack = [node]
    while stack:
        current = stack[-1]
        if current in _known:
            stack.pop()
            continue
        waiting = [arg for arg in current.args if arg not in _known] if current.type.dtype == "int" else []
        if waiting:
            stack.extend(waiting)
        else:
            _known[stack.pop()] = _compute(current)
    return _known[node]


def _compute(node: Node) -> Size | None:
    if node.type.dtype != "int":
        return None
    if node.op == "const":
        return Size.of(node.attrs)  # type: ignore[arg-type]
    if node.op == "size":
        return node.attrs  # type: ignore[return-value]
    if node.op == "iota":
        return Size.symbol(_INDEX + node.attrs.name)  # type: ignore[union-attr]
    parts = [_known[arg] for arg in node.args]
    if node.op not in ("neg", "add", "sub", "mul", "floordiv", "mod", "maximum") or None in parts:
        return None
    left, right = parts[0], parts[-1]
    assert left is not None and right is not None
    result: Size | None = None
    if node.op == "neg":
        result = -left
    elif node.op == "add":
        result = left + right
    elif node.op == "sub":
        result = left - right
    elif node.op == "mul":
        result = left * right if len(left.terms) * len(right.terms) <= LONGEST else None
    elif node.op == "maximum" and not indices(left) and not indices(right):
        result = left.largest(right)
    elif node.op in ("floordiv", "mod") and right.constant != 0 and not indices(right):
        result = left // right
        if node.op == "mod":
            # A remainder that stays one is not taken apart: as a polynomial it would be two terms and a quotient.
            result = None if _divides(result) else left - result * right
    return result if result is not None and len(result.terms) <= LONGEST else None


def remainder(node: Node) -> Node | None:
    """A remainder without what the divisor divides: (x + m*y) % m is x % m. None where there is no such part."""
    left, right = (polynomial(arg) for arg in node.args)
    if node.op != "mod" or left is None or right is None or right.constant == 0:
        return None
    exact = Size(tuple(term for term in (left // right).terms if not any(isinstance(atom, FloorDiv) for atom in term[0])))
    if not exact.terms or indices(right):
        return None
    return build.apply("mod", as_node(left - exact * right, node.axes), as_node(right, ()))


def index_of(axis: Axis) -> Size:
    """The index along an axis, as a polynomial."""
    return Size.symbol(_INDEX + axis.name)


def _divides(size: Size) -> bool:
    """Whether a quotient of something with an index stands in a polynomial."""
    return any(isinstance(atom, FloorDiv) and _moves(atom) for monomial, _ in size.terms for atom in monomial)


def indices(size: Size) -> frozenset[str]:
    """The names of the axes whose index stands in a polynomial."""
    return frozenset(name[1:] for name in size.symbols if name.startswith(_INDEX))


def as_node(size: Size, axes: Iterable[Axis]) -> Node:
    """The one spelling of a polynomial over the indices of some axes: terms with indices in order, then the size that is left."""
    table = {axis.name: axis for axis in axes}
    return _spell(size, table)


def _spell(size: Size, axes: dict[str, Axis]) -> Node:
    result: Node | None = None
    plain: list[tuple[tuple[Atom, ...], int]] = []
    negative: list[Node] = []
    for monomial, coefficient in size.terms:
        moving = [atom for atom in monomial if _moves(atom)]
        if not moving:
            plain.append((monomial, coefficient))
            continue
        factors = [_spell_atom(atom, axes) for atom in moving]
        rest = tuple(atom for atom in monomial if not _moves(atom))
        term = factors[0]
        for factor in factors[1:]:
            term = build.apply("mul", term, factor)
        if coefficient < 0 and not rest:
            negative.append(term if coefficient == -1 else build.apply("mul", term, build.const(-coefficient)))
            continue
        scale = Size(((rest, coefficient),))
        term = term if scale.constant == 1 else build.apply("mul", term, build.size(scale))
        result = term if result is None else build.apply("add", result, term)
    remainder = Size(tuple(plain))
    for term in negative:
        if result is None:
            result = build.apply("neg", term) if remainder.constant == 0 else build.apply("sub", build.size(remainder), term)
            remainder = Size.of(0)
        else:
            result = build.apply("sub", result, term)
    if result is None:
        return build.size(remainder)
    if not remainder.terms:
        return result
    if all(coefficient < 0 for _, coefficient in remainder.terms):
        return build.apply("sub", result, build.size(-remainder))
    return build.apply("add", result, build.size(remainder))


def _moves(atom: Atom) -> bool:
    if isinstance(atom, Symbol):
        return atom.name.startswith(_INDEX)
    return bool(indices(Size((((atom,), 1),))))


def _spell_atom(atom: Atom, axes: dict[str, Axis]) -> Node:
    if isinstance(atom, Symbol):
        return build.iota(axes[atom.name[1:]])
    if isinstance(atom, FloorDiv):
        return build.apply("floordiv", _spell(atom.numerator, axes), _spell(atom.denominator, axes))
    assert isinstance(atom, Largest)
    return build.apply("maximum", _spell(atom.left, axes), _spell(atom.right, axes))


# ------------------------------------------------------------------------------------------------- signs
def _single(size: Size) -> str | None:
    """The symbol, if the size is one."""
    if len(size.terms) == 1 and size.terms[0][1] == 1 and len(size.terms[0][0]) == 1:
        atom = size.terms[0][0][0]
        return atom.name if isinstance(atom, Symbol) else None
    return None


def split(size: Size, axis: Axis) -> tuple[Size, Size] | None:
    """(a, b) with size = a * (index of the axis) + b; None if it is not linear in it."""
    symbol = Symbol(_INDEX + axis.name)
    slope: dict[tuple[Atom, ...], int] = {}
    rest: list[tuple[tuple[Atom, ...], int]] = []
    for monomial, coefficient in size.terms:
        count = monomial.count(symbol)
        others = tuple(atom for atom in monomial if atom != symbol)
        if count > 1 or axis.name in indices(Size(((others, 1),))):
            return None
        if count:
            slope[others] = coefficient
        else:
            rest.append((monomial, coefficient))
    return sum((Size(((monomial, c),)) for monomial, c in slope.items()), Size.of(0)), Size(tuple(rest))


def _extreme(size: Size, axis: Axis, least: bool, axes: frozenset[Axis]) -> Size | None:
    """The least or greatest value along an axis that is not empty."""
    parts = split(size, axis)
    if parts is None:
        return None
    slope, rest = parts
    if _never_negative(slope, axes):
        return rest if least else rest + slope * (axis.size - 1)
    if _never_negative(-slope, axes):
        return rest + slope * (axis.size - 1) if least else rest
    return None


def never_negative(size: Size, axes: frozenset[Axis]) -> bool:
    """Proof that a polynomial is at least 0 at every element of axes, none of which is then empty."""
    for axis in sorted(axes, key=lambda axis: axis.name):
        if axis.name in indices(size):
            least = _extreme(size, axis, True, axes)
            if least is None:
                return False
            size = least
    return _never_negative(size, axes)


def _never_negative(size: Size, axes: frozenset[Axis]) -> bool:
    """As above for a polynomial of sizes alone: every axis has at least one element, so n = n' + 1 with n' >= 0."""
    if indices(size):
        return False
    if size.constant is not None:
        return size.constant >= 0
    grown = {name: Size.symbol(name) + 1 for axis in axes if (name := _single(axis.size))}
    return all(
        coefficient >= 0 and all(isinstance(atom, Symbol) and (not monomial or atom.name in grown) for atom in monomial)
        for monomial, coefficient in size.substitute(grown).terms
    )


# ------------------------------------------------------------------------------------------------- conditions
# a <= b is b - a >= 0, a < b is b - a - 1 >= 0.
_ORDER = {"le": (1, 0), "lt": (1, -1), "ge": (-1, 0), "gt": (-1, -1)}


def gap(node: Node) -> Size | None:
    """p such that the int comparison holds exactly where p >= 0; None for anything else."""
    if node.op not in _ORDER or node.args[0].type.dtype != "int" or node.args[1].type.dtype != "int":
        return None
    left, right = polynomial(node.args[0]), polynomial(node.args[1])
    if left is None or right is None:
        return None
    sign, shift = _ORDER[node.op]
    return (right - left) * sign + shift


def decide(node: Node) -> Node | None:
    """A simpler node for a bool: a constant where an int comparison is provable, a comparison for `any` along an axis that a
    comparison is monotone in. None where nothing is known."""
    if node.type.dtype != "bool":
        return None
    if node.op in ("eq", "ne") and node.args[0].type.dtype == node.args[1].type.dtype == "int":
        return _decide_equal(node)
    if node.op in _ORDER:
        p = gap(node)
        if p is None:
            return None
        if never_negative(p, node.axes):
            return build.expand(build.const(True), node.axes)
        if never_negative(-p - 1, node.axes):
            return build.expand(build.const(False), node.axes)
        return None
    if node.op == "any":
        return _decide_any(node)
    return None


def _decide_equal(node: Node) -> Node | None:
    left, right = polynomial(node.args[0]), polynomial(node.args[1])
    if left is None or right is None:
        return None
    difference = left - right
    if difference.constant == 0:
        return build.expand(build.const(node.op == "eq"), node.axes)
    if never_negative(difference - 1, node.axes) or never_negative(-difference - 1, node.axes):
        return build.expand(build.const(node.op == "ne"), node.axes)
    return None


def _decide_any(node: Node) -> Node | None:
    over: frozenset[Axis] = node.attrs  # type: ignore[assignment]
    inner = node.args[0]
    p = gap(inner)
    if p is None:
        return None
    for axis in sorted(over, key=lambda axis: axis.name):
        if axis.name not in indices(p) or not (symbol := _single(axis.size)):
            return None
        reached = _extreme(p, axis, False, inner.axes)
        # Along an empty axis `any` is false, and what stands for it must be too.
        if reached is None or not never_negative(-reached.substitute({symbol: Size.of(0)}) - 1, node.axes):
            return None
        p = reached
    result = _at_least_zero(p, node.axes)
    return decide(result) or result


def _at_least_zero(p: Size, axes: frozenset[Axis]) -> Node:
    """The comparison p >= 0, written as (what is subtracted) <= (the rest)."""
    low = Size(tuple((m, -c) for m, c in p.terms if c < 0 and m))
    high = p + low
    return build.apply("le", as_node(low, axes), as_node(high, axes))
