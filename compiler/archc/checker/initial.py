"""Initialisers: random draws for every element of the param that is being declared, as torch.nn.init has them; and draws in a
method, along the axes in brackets.

Glorot & Bengio 2010 (xavier), He et al. 2015 (kaiming), LeCun et al. 1998 (lecun), Saxe et al. 2014 (orthogonal),
Martens 2010 (sparse).
"""

from __future__ import annotations

from collections.abc import Sequence

from archc.checker import expressions
from archc.checker.frame import Frame
from archc.checker.sizes import Size, product
from archc.checker.terms import apply, as_term, axis_index, const, expand
from archc.checker.typed import Draw, Term
from archc.checker.types import Axis, Dim, Type
from archc.checker.values import SizeVal, chain_size
from archc.diagnostics import codes
from archc.syntax import tree
from archc.syntax.tree import Span

DRAWS = ("normal", "uniform", "bernoulli")
"""Those that draw every element alike, so that a method may have them."""

ARITY = {
    "normal": (1, 2),
    "uniform": (1, 2),
    "bernoulli": (1, 1),
    "trunc_normal": (1, 4),
    "kaiming_uniform": (0, 1),
    "kaiming_normal": (0, 1),
    "xavier_uniform": (0, 1),
    "xavier_normal": (0, 1),
    "lecun_normal": (0, 0),
    "orthogonal": (0, 1),
    "eye": (0, 0),
    "dirac": (0, 0),
    "sparse": (1, 2),
}


def draw(name: str, items: Sequence[tree.BracketItem], expr: tree.Call, frame: Frame) -> Term:
    dims = _dims(frame)
    if dims is None and name not in DRAWS:
        frame.fail(codes.INITIALISER_OUTSIDE, expr.span, name=name)
    low, high = ARITY[name]
    if not low <= len(expr.arguments) <= high:
        expected = str(low) if low == high else f"{low} to {high}"
        frame.fail(codes.WRONG_ARGUMENT_COUNT, expr.span, name=name, expected=expected, found=len(expr.arguments))
    args = [expressions.term(argument.value, frame) for argument in expr.arguments]
    for arg in args:
        if arg.type.dtype not in ("float", "int"):
            frame.fail(codes.WRONG_DTYPE, arg.span, name=name, expected="a float", found=frame.show(arg.type))
    if name in DRAWS and (items or dims is None):
        return _along(name, items, args, dims is not None, expr.span, frame)
    assert dims is not None
    return _Maker(name, items, args, dims, expr.span, frame).make()


def _along(name: str, items: Sequence[tree.BracketItem], args: list[Term], stored: bool, span: Span, frame: Frame) -> Term:
    """A draw along the axes in brackets; what is left of one in eval is its mean."""
    axes: list[Axis] = []
    for item in items:
        if item.value is not None or item.border is not None:
            frame.fail(codes.REDUCTION_ITEM, item.span, name=name)
        chain = frame.chain(item.axis)
        if set(chain) & set(axes):
            frame.fail(codes.AXIS_TWICE, item.span, name=item.axis.name)
        axes += chain
    if not items:
        frame.fail(codes.DRAW_AXES, span, name=name, axes=", ".join(sorted(frame.axis_names())) or "n, c")
    for arg in args:
        if extra := arg.type.axes - set(axes):
            frame.fail(codes.EXTRA_AXES, arg.span, name=name, axes=frame.names_of(extra))
    maker = _Maker(name, items, args, tuple((axis,) for axis in axes), span, frame)
    context = frame.context
    if not stored:
        context.mode_used = True
        if not context.training:
            return expand(maker.mean(), frozenset(axes))
    return maker.make()


def _dims(frame: Frame) -> tuple[Dim, ...] | None:
    current: Frame | None = frame
    while current is not None:
        if current.initial is not None:
            return current.initial
        current = current.parent
    return None


class _Maker:
    """One initialiser with what it needs at hand."""

    def __init__(
        self, name: str, items: Sequence[tree.BracketItem], args: list[Term], dims: tuple[Dim, ...], span: Span, frame: Frame
    ) -> None:
        self.name, self.items, self.args, self.dims, self.span, self.frame = name, items, args, dims, span, frame
        self.axes = tuple(axis for dim in dims for axis in dim)

    def make(self) -> Term:
        one = const(1.0, self.span)
        match self.name:
            case "normal":
                mean, std = self.args if len(self.args) == 2 else (const(0.0, self.span), self.args[0])
                return self.random("normal", mean, std)
            case "uniform":
                if len(self.args) == 2:
                    return self.random("uniform", *self.args)
                return self.uniform(self.args[0])
            case "bernoulli":
                return self.random("bernoulli", self.args[0])
            case "trunc_normal":
                std = self.args[-1] if len(self.args) != 4 else self.args[1]
                mean = self.args[0] if len(self.args) in (2, 4) else const(0.0, self.span)
                low, high = self.args[2:] if len(self.args) == 4 else (const(-2.0, self.span), const(2.0, self.span))
                return self.random("trunc_normal", mean, std, low, high)
            case "kaiming_uniform" | "kaiming_normal":
                slope = self.args[0] if self.args else const(0.0, self.span)
                gain = self.op("div", const(2.0, self.span), self.op("add", one, self.op("mul", slope, slope)))
                return self.scaled(self.op("div", gain, self.number(self.fan_in())))
            case "xavier_uniform" | "xavier_normal":
                gain = self.args[0] if self.args else one
                fans = self.number(self.fan_in() + self.fan_out())
                variance = self.op("mul", self.op("mul", gain, gain), self.op("div", const(2.0, self.span), fans))
                return self.scaled(variance)
            case "lecun_normal":
                return self.scaled(self.op("div", one, self.number(self.fan_in())))
            case "orthogonal":
                self.at_least_two()
                return self.random("orthogonal", self.args[0] if self.args else one)
            case "sparse":
                self.at_least_two()
                return self.random("sparse", self.args[0], self.args[1] if len(self.args) == 2 else const(0.01, self.span))
            case "eye":
                self.at_least_two()
                return self.diagonal(self.dims[0], self.dims[1])
            case _:
                self.at_least_two()
                result = self.diagonal(self.dims[0], self.dims[1])
                for dim in self.dims[2:]:
                    middle = as_term(SizeVal(chain_size(dim) // 2), self.span, self.frame)
                    centre = self.op("eq", axis_index(dim, self.span), middle)
                    result = self.op("where", centre, result, const(0.0, self.span))
                return result

    def mean(self) -> Term:
        """Of one of DRAWS."""
        if len(self.args) == 1:
            return self.op("to_float", self.args[0]) if self.name == "bernoulli" else const(0.0, self.span)
        if self.name == "normal":
            return self.op("to_float", self.args[0])
        return self.op("mul", self.op("add", *self.args), const(0.5, self.span))

    def op(self, name: str, *args: Term) -> Term:
        return apply(name, args, self.span, self.frame)

    def number(self, size: Size) -> Term:
        return as_term(SizeVal(size), self.span, self.frame)

    def random(self, kind: str, *args: Term) -> Term:
        for arg in args:
            if arg.type.axes and kind not in DRAWS:
                self.frame.fail(codes.FILL_NOT_SCALAR, arg.span, found=self.frame.show(arg.type))
            if extra := arg.type.axes - frozenset(self.axes):
                expected = self.frame.show(Type("float", frozenset(self.axes)))
                self.frame.fail(codes.RESULT_AXES, arg.span, axes=self.frame.names_of(extra), found=self.frame.show(arg.type),
                                expected=expected)
        context = self.frame.context
        return Draw(kind, args, self.axes, context.draw(), Type("float", frozenset(self.axes)), self.span, tuple(context.loops))

    def uniform(self, bound: Term) -> Term:
        return self.random("uniform", self.op("neg", bound), bound)

    def scaled(self, variance: Term) -> Term:
        """Uniform or normal, by the initialiser's name, with the given variance."""
        if self.name.endswith("uniform"):
            return self.uniform(self.op("sqrt", self.op("mul", const(3.0, self.span), variance)))
        return self.random("normal", const(0.0, self.span), self.op("sqrt", variance))

    def fan_in(self) -> Size:
        if self.items:
            return product(chain_size(self.frame.chain(item.axis)) for item in self.items)
        if len(self.dims) < 2:
            self.frame.fail(codes.NO_FAN, self.span, name=self.name)
        return product(chain_size(dim) for dim in self.dims[1:])

    def fan_out(self) -> Size:
        if self.items:
            inside = {axis for item in self.items for axis in self.frame.chain(item.axis)}
            return product(axis.size for axis in self.axes if axis not in inside)
        return chain_size(self.dims[0]) * product(chain_size(dim) for dim in self.dims[2:])

    def at_least_two(self) -> None:
        if len(self.dims) < 2:
            self.frame.fail(codes.NO_FAN, self.span, name=self.name)

    def diagonal(self, rows: Dim, columns: Dim) -> Term:
        same = self.op("eq", axis_index(rows, self.span), axis_index(columns, self.span))
        return self.op("where", same, const(1.0, self.span), const(0.0, self.span))
