"""Complex values and Fourier transforms for random graphs. Bounds of a complex value are those of its absolute value."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Protocol

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis
from archc.ir import build
from archc.ir.graph import Check, Fourier, Node, topological


class Grower(Protocol):
    rng: random.Random
    smooth: bool
    axes: list[Axis]
    complexes: list[Node]
    bounds: dict[Node, tuple[float, float]]

    def pick(self) -> Node: ...
    def add(self, made: Node, bounds: tuple[float, float]) -> Node: ...


def wave(grower: Grower) -> None:
    """A few operations on complex numbers, and often a float made of them."""
    rng = grower.rng
    z = _start(grower)
    for _ in range(rng.randint(1, 3)):
        z, most = _step(grower, z)
        if most > 50:
            z, most = build.apply("mul", z, build.const(1 / most)), 1.0
        grower.bounds[z] = (-most, most)
    grower.complexes.append(z)
    if rng.random() < 0.7:
        _back(grower, z)


def _size(grower: Grower, x: Node) -> float:
    return max(map(abs, grower.bounds[x]))


def _start(grower: Grower) -> Node:
    if grower.complexes and grower.rng.random() < 0.5:
        return grower.rng.choice(grower.complexes)
    x, y = grower.pick(), grower.pick()
    z = build.apply("complex", x, y)
    most = _size(grower, x) + _size(grower, y)
    grower.bounds[z] = (-most, most)
    return z


def _step(grower: Grower, z: Node) -> tuple[Node, float]:
    """(the next value, its largest absolute value)"""
    rng, most = grower.rng, _size(grower, z)
    op = rng.choice(["mul", "add", "div", "exp", "conj", "fft", "fft", "ifft", "rfft", "sum", "shift", "where", "ipow"])
    other = rng.choice([*grower.complexes[-3:], grower.pick()])
    if op in ("mul", "add", "where"):
        both = _size(grower, other)
        if op == "where":
            axis = rng.choice(grower.axes[:2])
            return build.apply(op, build.apply("lt", build.iota(axis), build.const(1)), z, other), max(most, both)
        return build.apply(op, z, other), most * both if op == "mul" else most + both
    if op == "div":
        within = build.apply("mul", z, build.const(1 / max(most, 1.0)))
        return build.apply(op, z, build.apply("add", within, build.apply("complex", build.const(2.0), build.const(1.0)))), most
    if op == "exp":
        return build.apply(op, build.apply("mul", z, build.const(1 / max(most, 1.0)))), 3.0
    if op == "ipow":
        power = rng.randint(0, 3)
        return build.apply(op, z, build.const(power)), max(most, 1.0) ** power
    axes = [axis for axis in sorted(z.axes, key=str) if axis.name != LEADING]
    if op == "conj" or not axes:
        return build.apply("conj", z), most
    axis = rng.choice(axes)
    if op == "sum":
        return build.reduce(rng.choice(["sum", "mean"]), z, {axis}), 20 * most
    if op == "shift":
        moved = build.apply("add", build.iota(axis), build.const(1))
        return build.read(z, {axis: (moved, "wrap")}) if rng.random() < 0.5 else build.read(
            z, {axis: (moved, "fill")}, build.const(0.5)), most + 0.5
    norm = rng.choice(["backward", "ortho", "forward"])
    if op == "rfft":
        x = build.apply("real", z)
        return build.fourier(op, x, (), (axis, _frequencies(grower, axis)), norm), 20 * most
    over = rng.sample(axes, rng.randint(1, min(2, len(axes))))
    return build.fourier(op, z, over, None, norm), 60 * most


def needed(roots: Iterable[Node]) -> list[Check]:
    """That there is an element along every axis of a transform."""
    axes = {axis for node in topological(roots) if isinstance(node.attrs, Fourier) for axis in node.attrs.elements}
    sizes = sorted({axis.size for axis in axes if axis.size.constant is None}, key=str)
    return [Check(size, Size.of(1), "at least", "nothing to transform") for size in sizes]


def _frequencies(grower: Grower, axis: Axis) -> Axis:
    found = Axis(f"f{len(grower.axes)}", axis.size // 2 + 1)
    grower.axes.append(found)
    return found


def _back(grower: Grower, z: Node) -> None:
    rng, most = grower.rng, _size(grower, z)
    op = rng.choice(["real", "imag", "irfft", "atan2", *([] if grower.smooth else ["abs", "angle"])])
    axes = [axis for axis in sorted(z.axes, key=str) if axis.name != LEADING]
    if op == "irfft" and axes:
        # As if the axis held the frequencies of one of the size before; one that does is turned back.
        frequency = rng.choice(axes)
        time = next((a for a in grower.axes if a.size // 2 + 1 == frequency.size and a not in z.axes), None)
        time = time or Axis(f"t{len(grower.axes)}", 2 * frequency.size - 1)
        if time not in grower.axes:
            grower.axes.append(time)
        made = build.fourier(op, z, (), (time, frequency), rng.choice(["backward", "ortho", "forward"]))
        grower.add(made, (-40 * most, 40 * most))
        return
    if op == "atan2":
        grower.add(build.apply(op, build.apply("imag", z), build.const(1.5)), (-3.2, 3.2))
        return
    grower.add(build.apply(op if op != "irfft" else "real", z), (-most, most) if op != "angle" else (-3.2, 3.2))
