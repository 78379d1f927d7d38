"""`fft`, `ifft`, `rfft`, `irfft`: discrete Fourier transforms over whole axes, as numpy's library has them.

    fft[t](x) at k    = sum[t](x * exp(-2 pi i k t / |t|))
    ifft[k](y) at t   = sum[k](y * exp(2 pi i k t / |k|)) / |k|
    rfft[t = f](x)    = fft[t](x) at the frequencies up to |t| // 2, which determine it for a float x
    irfft[f = t](y)   = the sum over those that count twice and once, as if y had the others: the real part of it

`by_sum` says them so; numpy computes them.
"""

from __future__ import annotations

from math import pi

from archc.checker.types import Axis
from archc.ir import build
from archc.ir.forms.base import Form, demand
from archc.ir.graph import Fourier, Node
from archc.ir.values import Run, Value
from archc.ops.table import OPS

NORMS = ("backward", "ortho", "forward")


def verify(node: Node) -> None:
    attrs, row = node.attrs, OPS[node.op]
    demand(isinstance(attrs, Fourier), f"the attributes of {node.op} are a Fourier")
    assert isinstance(attrs, Fourier)
    demand(len(node.args) == 1, f"{node.op} has one operand")
    x = node.args[0]
    demand(row.accepts(0, x.type.dtype), f"{node.op} takes no {x.type.dtype}")
    demand(attrs.norm in NORMS, f"there is no norm {attrs.norm}")
    halves = node.op in ("rfft", "irfft")
    demand((attrs.half is not None) == halves, f"{node.op} has {'an' if halves else 'no'} axis of frequencies of its own")
    demand(bool(attrs.elements), f"{node.op} goes over an axis")
    gone, made = _ends(node.op, attrs)
    demand(attrs.over | gone <= x.axes, f"{node.op} goes over axes that its operand lacks")
    demand(made.isdisjoint(x.axes | attrs.over), f"{node.op} makes an axis that its operand has")
    demand(node.type.dtype == row.result((x.type.dtype,)), f"{node.op} gives no {node.type.dtype}")
    demand(node.axes == (x.axes - gone) | made, f"{node.op} has the axes of its operand, one of frequencies for one of elements")


def _ends(op: str, attrs: Fourier) -> tuple[frozenset[Axis], frozenset[Axis]]:
    """The axis that a transform of floats takes away, and the one that it makes."""
    if attrs.half is None:
        return frozenset(), frozenset()
    ends = frozenset(attrs.half[:1]), frozenset(attrs.half[1:])
    return ends if op == "rfft" else ends[::-1]


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    attrs = node.attrs
    assert isinstance(attrs, Fourier)
    x = run.spread(args[0], node.args[0].axes)
    gone, made = _ends(node.op, attrs)
    order = (*sorted(attrs.over, key=lambda axis: axis.name), *gone)
    if any(run.size(axis) == 0 for axis in attrs.elements):
        raise ValueError(f"{node.op} over {', '.join(map(str, order))} has nothing to transform: a size is 0")
    axes = tuple(axis for axis in x.axes if axis not in gone)
    array, places = run.aligned(x, (*axes, *gone)), tuple((*axes, *gone).index(axis) for axis in order)
    kept = (*axes, *made)
    if array.size:
        array = getattr(np.fft, f"{node.op}n")(array, s=run.shape(attrs.elements), axes=places, norm=attrs.norm)
    else:
        array = np.zeros(run.shape(kept), run.numpy_type(node.type.dtype))
    ordered = run.sorted(kept)
    return Value(array.transpose([kept.index(axis) for axis in ordered]), ordered)


FOURIER_FORM = Form("fourier", verify, evaluate)


# --------------------------------------------------------------------------------------------------- as sums
Pair = tuple[Node, Node]
ZERO = build.const(0.0)


def by_sum(node: Node, real: Node, imag: Node | None, twin: dict[Axis, Axis]) -> Pair:
    """The real and imaginary part of a transform, of an operand with these parts (None: it has no imaginary one), as sums of
    floats; one axis after the other. `twin` has for each axis of `over` a second index along it, and the sums go over those."""
    attrs = node.attrs
    assert isinstance(attrs, Fourier)
    sign = 1.0 if node.op in ("ifft", "irfft") else -1.0
    parts = (real, imag)
    for axis in sorted(attrs.over, key=lambda axis: axis.name):
        other = twin[axis]
        moved = tuple(part if part is None else build.rename(part, {axis: other}) for part in parts)
        parts = _waves(moved[0], moved[1], other, axis, axis, sign)  # type: ignore[arg-type]
    assert parts[0] is not None
    if attrs.half is not None:
        time, frequency = attrs.half
        if node.op == "rfft":
            parts = _waves(parts[0], parts[1], time, frequency, time, sign)
        else:
            weighed = tuple(part if part is None else build.apply("mul", part, counted(time, frequency, 2.0)) for part in parts)
            parts = _waves(weighed[0], weighed[1], frequency, time, time, sign)  # type: ignore[arg-type]
    assert parts[0] is not None
    scale = scale_of(node.op, attrs)
    done = [part if scale is None else build.apply("div", part, scale) for part in (parts[0], parts[1] or ZERO)]
    return done[0], ZERO if node.op == "irfft" else done[1]


def _waves(real: Node, imag: Node | None, along: Axis, to: Axis, whole: Axis, sign: float) -> tuple[Node, Node | None]:
    """The sums over `along` of a value times waves exp(sign 2 pi i along to / |whole|)."""
    length = build.size(whole.size)
    # The turns are taken off while they are whole numbers, so that no digit is lost.
    turns = build.apply("mod", build.apply("mul", build.iota(along), build.iota(to)), length)
    phase = build.apply("div", build.apply("mul", build.const(2 * pi), build.apply("to_float", turns)), length)
    cos, sin = build.apply("cos", phase), build.apply("sin", phase)

    def total(part: Node, wave: Node) -> Node:
        return build.reduce("sum", build.apply("mul", build.expand(part, {along}), wave), {along})

    plus, minus = ("add", "sub") if sign > 0 else ("sub", "add")
    if imag is None:
        turned = total(real, sin)
        return total(real, cos), turned if sign > 0 else build.apply("neg", turned)
    a, b, c, d = total(real, cos), total(imag, sin), total(imag, cos), total(real, sin)
    return build.apply(minus, a, b), build.apply(plus, c, d)


def counted(time: Axis, frequency: Axis, others: float) -> Node:
    """1 for frequencies that stand for themselves, 0 and half of an even length; `others` for those that stand for two."""
    index = build.iota(frequency)
    last = build.apply("eq", build.apply("mul", index, build.const(2)), build.size(time.size))
    alone = build.apply("or", build.apply("eq", index, build.const(0)), last)
    return build.apply("where", alone, build.const(1.0), build.const(others))


def scale_of(op: str, attrs: Fourier) -> Node | None:
    """What a transform is divided by, a float; None for 1."""
    if attrs.norm == ("forward" if op in ("ifft", "irfft") else "backward"):
        return None
    count = build.apply("to_float", build.count_of(attrs.elements))
    return build.apply("sqrt", count) if attrs.norm == "ortho" else count
