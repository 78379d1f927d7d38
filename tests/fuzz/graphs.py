"""Random well-typed graphs over every form, and random inputs on which their values are finite.

Bounds of every value are kept while a graph grows, so that operations stay inside their domains. What jumps (comparisons,
rounding) is asked of raw inputs only, where a pass that reassociates cannot move a value across the jump.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archc.checker.sizes import Size
from archc.checker.types import LEADING, Axis, Layout, Type, flat
from archc.ir import build
from archc.ir.graph import (
    Borders,
    Check,
    Definition,
    Graph,
    Node,
    Notes,
    Output,
    Port,
    Update,
    topological,
)
from archc.ir.numpy_spelling import ELEMENTWISE
from archc.ops.table import OPS
from archc.probe import random_inputs
from archc.syntax.tree import Span
from tests.fuzz import inner, loops
from tests.fuzz.waves import needed, wave

__all__ = ["Grower", "random_graph", "random_inputs"]
SMOOTH = ("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
          "erf", "sigmoid", "silu", "gelu", "softplus", "log_sigmoid", "neg")
KINKED = ("abs", "relu", "positive")
JUMPING = ("floor", "ceil", "round", "sign")
Bounds = tuple[float, float]


@dataclass
class Grower:
    """A graph while it grows: its axes, ports and values with their bounds."""

    rng: random.Random
    smooth: bool  # nothing whose derivative jumps or is 0 everywhere
    written: bool  # nothing that the language has no words for
    loops: bool  # scans too
    wide: bool  # scans whose steps are random
    waves: bool = False  # complex numbers and their transforms too
    axes: list[Axis] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)
    floats: list[Node] = field(default_factory=list)
    ints: list[Node] = field(default_factory=list)
    bools: list[Node] = field(default_factory=list)
    complexes: list[Node] = field(default_factory=list)
    bounds: dict[Node, Bounds] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)
    definitions: list[Definition] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    serial: int = 0

    # -- the frame -------------------------------------------------------------------------------------------
    def frame(self, leading: bool) -> None:
        rng = self.rng
        names = ["n", "c", "t", "h"][: rng.randint(2, 4)]
        self.axes = [Axis(name, Size.symbol(name)) for name in names]
        dims: list[tuple[Axis, ...]] = [(axis,) for axis in self.axes]
        if rng.random() < 0.5:
            g, k = Axis("g", Size.symbol("groups")), Axis("k", Size.symbol("k"))
            self.numbers += ["channels", "groups"]
            whole, part = Size.symbol("channels"), Size.symbol("groups")
            self.definitions.append(Definition("k", whole // part, whole, part))
            self.axes += [g, k]
            dims.append((g, k))
        if rng.random() < 0.3:
            fixed = Axis("p", Size.of(3))
            self.axes.append(fixed)
            dims.append((fixed,))
        everything = list(dims)
        if leading:
            dots = Axis(LEADING, Size.symbol(LEADING))
            self.axes.append(dots)
        for i in range(rng.randint(1, 3)):
            chosen = rng.sample(dims, rng.randint(1, min(3, len(dims))))
            layout: Layout = tuple(chosen)
            if leading and (i == 0 or rng.random() < 0.5):
                layout = ((dots,), *layout)
            self.port(f"x{i}", "float", layout, "input")
        missing = [dim for dim in everything if not any(dim in port.layout for port in self.ports)]
        self.port("rest", "float", tuple(missing), "input")
        self.port("inner.weight", "float", tuple(rng.sample(everything, rng.randint(1, 2))), "param")
        self.port("state", "float", tuple(rng.sample(everything, 1)), "buffer")
        if self.written:
            # What a layer stores has the sizes of its constructor.
            stored = {axis.name for port in self.ports[-2:] for axis in flat(port.layout) if axis.size == Size.symbol(axis.name)}
            self.numbers += sorted(stored - {"k"})
        if rng.random() < 0.5:
            self.port("eps", "float", (), "number")
        if rng.random() < 0.5 and not self.smooth:
            self.port("keep", "bool", tuple(rng.sample(everything, rng.randint(1, 2))), "input")
        if rng.random() < 0.5:
            self.port("token", "int", tuple(rng.sample(everything, 1)), "input")
        if self.waves:
            self.port("z", "complex", tuple(rng.sample(everything, rng.randint(1, 2))), "input")
        if rng.random() < 0.3 and not self.written:
            self.checks.append(Check(Size.symbol("n"), Size.of(1), "at least", "n is {found}, which is not enough"))

    def port(self, name: str, dtype: Any, layout: Layout, role: Any) -> None:
        port = Port(name, Type(dtype, frozenset(flat(layout))), layout, role)
        self.ports.append(port)
        {"float": self.floats, "int": self.ints, "bool": self.bools, "complex": self.complexes}[dtype].append(port.node)
        if dtype in ("float", "complex"):
            self.bounds[port.node] = (-2.0, 2.0)

    def fresh_axis(self) -> Axis:
        """A new axis whose size is an expression of others."""
        a, b = (self.rng.choice([x for x in self.axes if x.name != LEADING]).size for _ in range(2))
        size = self.rng.choice([a, a + 1, 2 * a, (a + 1) // 2, Size.of(2), Size.of(3), a.largest(b), a + b])
        axis = Axis(f"z{len(self.axes)}", size)
        self.axes.append(axis)
        return axis

    # -- values ----------------------------------------------------------------------------------------------
    def add(self, made: Node, bounds: Bounds) -> Node:
        """A new float value; squashed where it might grow out of hand."""
        self.bounds[made] = bounds
        if max(map(abs, bounds)) > 50:
            made = build.apply("tanh", made)
            self.bounds[made] = (-1.0, 1.0)
        self.floats.append(made)
        return made

    def pick(self) -> Node:
        """Mostly a late value, so that graphs grow deep as well as wide."""
        recent = self.floats[-4:]
        return self.rng.choice(recent if self.rng.random() < 0.6 else self.floats)

    def within(self, x: Node, low: float, high: float) -> Node:
        """x, moved into an interval where its bounds do not lie there."""
        if low <= self.bounds[x][0] and self.bounds[x][1] <= high:
            return x
        low, high = max(low, -3.0), min(high, 3.0)
        if low < 0 < high and min(-low, high) >= 1:
            made = build.apply("tanh", x)
            self.bounds[made] = (-1.0, 1.0)
            return made
        low, high = low + 0.1 * (high - low), high - 0.1 * (high - low)
        made = build.apply("add", build.apply("mul", build.apply("sigmoid", x), build.const(high - low)), build.const(low))
        self.bounds[made] = (low, high)
        return made

    def step(self) -> None:
        forms = [self.unary, self.binary, self.binary, self.reduction, self.normaliser, self.shift, self.read, self.gather,
                 self.choice, self.expand, self.index_value, self.call, self.matrix]
        if not self.written:
            forms += [self.accumulate, self.constants]
        if self.loops:
            forms += [self.loop, self.loop]
        if self.wide:
            forms += [self.loop] * 4 + [self.shift, self.read, self.gather] + [self.accumulate] * (not self.written)
        if self.waves:
            forms += [lambda: wave(self)] * 4
        if not self.smooth:
            forms += [self.jump, self.count]
            forms += [] if self.written else [self.random]
        self.rng.choice(forms)()

    def unary(self) -> None:
        op = self.rng.choice(SMOOTH if self.smooth else SMOOTH + KINKED)
        low, high = OPS[op].domain
        x = self.within(self.pick(), max(low, -4.0), min(high, 4.0))
        grid = ELEMENTWISE[op](np.linspace(*self.bounds[x], 101)) if op in ELEMENTWISE else np.array([-5.0, 5.0])
        margin = 0.1 * (grid.max() - grid.min()) + 0.01
        self.add(build.apply(op, x), (float(grid.min() - margin), float(grid.max() + margin)))

    def binary(self) -> None:
        op = self.rng.choice(["add", "sub", "mul", "mul", "div", "pow", "ipow", "maximum", "minimum"])
        if self.smooth and op in ("maximum", "minimum"):
            op = "mul"
        x, y = self.pick(), self.pick()
        if self.rng.random() < 0.2:
            y = build.const(self.rng.choice([0.5, -1.25, 2.0, 3]))
            self.bounds[y] = (float(y.attrs), float(y.attrs))  # type: ignore[arg-type]
        if op in ("div", "pow"):
            y = self.within(y, 0.4, 2.0) if op == "div" else self.within(y, -2.0, 2.0)
            x = x if op == "div" else self.within(x, 0.4, 2.0)
            a = max(map(abs, self.bounds[x]))
            self.add(build.apply(op, x, y), (-3 * a, 3 * a) if op == "div" else (0.0, 8.0))
            return
        if op == "ipow":
            x = self.within(x, -3.0, 3.0)
            self.add(build.apply(op, x, build.const(self.rng.randint(0, 3))), (-27.0, 27.0))
            return
        (a, b), (c, d) = self.bounds[x], self.bounds[y]
        corners = {"add": (a + c, b + d), "sub": (a - d, b - c), "maximum": (max(a, c), max(b, d)),
                   "minimum": (min(a, c), min(b, d)), "mul": (min(a * c, a * d, b * c, b * d), max(a * c, a * d, b * c, b * d))}
        self.add(build.apply(op, x, y), corners[op])

    def some_axes(self, x: Node, most: int = 2) -> frozenset[Axis]:
        axes = sorted(x.axes, key=str)
        return frozenset(self.rng.sample(axes, self.rng.randint(1, min(most, len(axes))))) if axes else frozenset()

    def reduction(self) -> None:
        x = self.pick()
        op = self.rng.choice(["sum", "sum", "mean", "max", "min", "var", "std", "prod", "logsumexp"])
        if self.smooth and op in ("max", "min", "std"):
            op = "sum"
        if op == "prod":
            x = self.within(x, -1.2, 1.2)
        over = self.some_axes(x)
        if op == "sum" and self.rng.random() < 0.2:
            over |= {self.indexed()}
        if not over:
            return
        m = max(map(abs, self.bounds[x]))
        bound = {"sum": 200 * m, "prod": 30.0, "var": m * m, "logsumexp": m + 5}.get(op, m)
        self.add(build.reduce(op, x, over), (-bound, bound))

    def normaliser(self) -> None:
        x = self.within(self.pick(), -4, 4)
        over = self.some_axes(x)
        if over and self.rng.random() < 0.25:
            m = max(map(abs, self.bounds[x]))
            axis = self.rng.choice(sorted(over, key=str))
            if self.rng.random() < 0.5:
                self.add(build.reduce("cumsum", x, {axis}), (-40 * m, 40 * m))
            else:
                self.add(build.reduce("cumprod", self.within(x, -1.2, 1.2), {axis}), (-30.0, 30.0))
        elif over:
            op = self.rng.choice(["softmax", "log_softmax"])
            self.add(build.reduce(op, x, over), (0.0, 1.0) if op == "softmax" else (-12.0, 0.0))

    def matrix(self) -> None:
        """An operation on x x' with a diagonal that leads every row and has no two entries alike. Vectors are squared: their
        signs are the library's."""
        if not (found := self.readable()):
            return
        x, i = self.within(found[0], -1.0, 1.0), found[1]
        j = Axis(f"z{len(self.axes)}", i.size)
        self.axes.append(j)
        whole = build.apply("add", build.size(i.size + 4), build.apply("mul", build.iota(i), build.const(3)))
        diagonal = build.apply("where", build.apply("eq", build.iota(i), build.iota(j)), build.apply("to_float", whole),
                               build.const(0.0))
        a = build.apply("add", build.apply("mul", x, build.rename(x, {i: j})), diagonal)
        op = self.rng.choice(["solve", "solve_lower", "solve_upper", "cholesky", "eigenvalues", "eigenvectors"])
        if op.startswith("solve"):
            b = self.pick()
            m = max(map(abs, self.bounds[b]))
            if j not in b.axes:
                self.add(build.matrix(op, i, j, a, b), (-m, m))
        elif op == "eigenvectors":
            self.add(build.apply("ipow", build.matrix(op, i, j, a), build.const(2)), (0.0, 1.0))
        else:
            self.add(build.matrix(op, i, j, a), (-40.0, 40.0))

    def affine(self, axis: Axis) -> Node:
        """An int expression along an axis: its index, scaled and shifted."""
        index: Node = build.iota(axis)
        for op in self.rng.sample(["add", "mul", "sub", "floordiv", "reverse"], self.rng.randint(0, 2)):
            if op == "reverse":
                index = build.apply("sub", build.size(axis.size - 1), index)
            else:
                index = build.apply(op, index, build.const(self.rng.randint(1, 2)))
        return index

    def border(self) -> tuple[Borders, Node | None]:
        border: Borders = self.rng.choice(("fill", "edge", "reflect", "wrap"))
        return border, build.const(self.rng.choice([0.0, -1.5])) if border == "fill" else None

    def readable(self) -> tuple[Node, Axis] | None:
        x = self.pick()
        axes = [axis for axis in sorted(x.axes, key=str) if axis.name != LEADING]
        return (x, self.rng.choice(axes)) if axes else None

    def shift(self) -> None:
        if found := self.readable():
            x, axis = found
            border, fill = self.border()
            index = self.affine(axis)
            index = build.apply("add", index, build.const(1)) if index.op == "iota" else index  # or nothing would move
            self.add(build.read(x, {axis: (index, border)}, fill), self.wider(x, -1.5, 0.0))

    def wider(self, x: Node, *values: float) -> Bounds:
        return min(self.bounds[x][0], *values), max(self.bounds[x][1], *values)

    def read(self) -> None:
        """A window, `x[h = 2*i + p]`: one or two fresh axes in an index, perhaps two axes indexed at once."""
        if not (found := self.readable()):
            return
        x, axis = found
        index = build.apply("sub", self.affine(self.fresh_axis()), build.const(1))
        if self.rng.random() < 0.5:
            index = build.apply("add", index, build.iota(self.fresh_axis()))
        border, fill = self.border()
        at: dict[Axis, tuple[Node, Borders]] = {axis: (index, border)}
        others = [a for a in sorted(x.axes - {axis}, key=str) if a.name != LEADING]
        if others and self.rng.random() < 0.3:
            at[self.rng.choice(others)] = (self.affine(self.rng.choice(others)), "edge")
        self.add(build.read(x, at, fill), self.wider(x, -1.5, 0.0))

    def gather(self) -> None:
        """By an int input that random_inputs keeps inside, checked; or by a remainder, which is inside and trusted."""
        if not (found := self.readable()):
            return
        x, axis = found
        token = [value for value in self.ints if value.op == "input"]
        if token and self.rng.random() < 0.6:
            self.add(build.read(x, {axis: (token[0], "check")}), self.bounds[x])
        else:
            other = self.rng.choice([a for a in self.axes if a.name != LEADING])
            index = build.apply("mod", self.affine(other), build.size(axis.size))
            self.add(build.read(x, {axis: (index, "trust")}), self.bounds[x])

    def accumulate(self) -> None:
        if not (found := self.readable()):
            return
        x, axis = found
        target = self.rng.choice([a for a in self.axes if a.name != LEADING and a not in x.axes - {axis}])
        index = self.affine(axis)
        border: Borders = self.rng.choice(("fill", "edge", "reflect", "wrap"))
        if self.rng.random() < 0.3:
            index, border = build.apply("mod", index, build.size(target.size)), "trust"
        keep = frozenset(a for a in x.axes - {axis} if self.rng.random() < 0.8)
        m = 60 * max(map(abs, self.bounds[x]))
        self.add(build.accumulate(x, {target: (index, border)}, keep), (-m, m))

    def constants(self) -> None:
        fixed = [axis for axis in self.axes if axis.size.constant is not None][:2]
        if fixed:
            shape = [axis.size.constant or 0 for axis in fixed]
            values = [self.rng.uniform(-1.0, 1.0) for _ in range(math.prod(shape))]
            self.add(build.table(fixed, shape, values, "float"), (-1.0, 1.0))

    def choice(self) -> None:
        x, y = self.pick(), self.pick()
        condition = self.rng.choice(self.bools) if self.bools and self.rng.random() < 0.5 else self.condition()
        if condition is not None:
            (a, b), (c, d) = self.bounds[x], self.bounds[y]
            self.add(build.apply("where", condition, x, y), (min(a, c), max(b, d)))

    def indexed(self) -> Axis:
        """An axis whose index may be asked for."""
        return self.rng.choice([axis for axis in self.axes if axis.name != LEADING or not self.written])

    def condition(self) -> Node:
        """On indices, or on raw inputs against a number that none of them is."""
        axis = self.indexed()
        op = self.rng.choice(["lt", "le", "eq", "ne", "gt", "ge"])
        if self.rng.random() < 0.6 or self.smooth:
            other = self.rng.choice([build.iota(self.indexed()), build.const(1), build.size(axis.size // 2)])
            made = build.apply(op, build.iota(axis), other)
        else:
            raw = self.rng.choice([port.node for port in self.ports if port.type.dtype == "float"])
            made = build.apply(self.rng.choice(["lt", "ge"]), raw, build.const(0.123456789))
        if self.bools and self.rng.random() < 0.3:
            made = build.apply(self.rng.choice(["and", "or"]), made, build.apply("not", self.rng.choice(self.bools)))
        self.bools.append(made)
        return made

    def expand(self) -> None:
        x = self.pick()
        self.add(build.expand(x, {self.indexed()}), self.bounds[x])

    def index_value(self) -> None:
        axis = self.indexed()
        made = self.affine(axis) if axis.name != LEADING else build.iota(axis)
        if self.rng.random() < 0.3:
            made = build.apply("mod", made, build.const(3))
        self.ints.append(made)
        self.add(build.apply("to_float", made), (-20.0, 20.0))

    def jump(self) -> None:
        raw = self.rng.choice([port.node for port in self.ports if port.type.dtype == "float"])
        op = self.rng.choice((*JUMPING, "to_int", "floordiv", "mod", "argmax", "argsort"))
        if op in ("argmax", "argsort"):
            axes = sorted(raw.axes, key=str)
            if axes:
                made = build.reduce(op, raw, {self.rng.choice(axes)})
                self.ints.append(made)
                self.add(build.apply("to_float", made), (0.0, 20.0))
        elif op == "to_int":
            self.ints.append(build.apply(op, raw))
        elif op in ("floordiv", "mod"):
            self.add(build.apply(op, raw, build.const(self.rng.choice([0.7, 1.3]))), (-4.0, 4.0))
        else:
            self.add(build.apply(op, raw), (-3.0, 3.0))

    def count(self) -> None:
        if self.bools:
            flag = self.rng.choice(self.bools)
            over = self.some_axes(flag)
            made = build.reduce(self.rng.choice(["any", "all"]), flag, over) if over else flag
            self.bools.append(made)
            self.ints.append(build.apply("bool_to_int", made))

    def random(self) -> None:
        axes = self.rng.sample(self.axes, min(2, len(self.axes)))
        kind = self.rng.choice(["uniform", "normal", "bernoulli"])
        args = {"uniform": (-1.0, 1.0), "normal": (0.0, 1.0), "bernoulli": (0.5,)}[kind]
        made = build.random(kind, map(build.const, args), axes, self.serial)
        self.serial += 1
        self.add(build.apply("tanh", made), (-1.0, 1.0))

    def call(self) -> None:
        args = [self.pick(), self.pick()]
        if args[0] is not args[1]:
            m = max(map(abs, self.bounds[args[0]]))
            self.add(inner.product(*args), (-m, m))

    def loop(self) -> None:
        if not (found := self.readable()):
            return
        x, axis = found
        if self.wide:
            others = [value for value in self.floats if len(value.axes | x.axes) <= 4 and value is not x]
            sequences = [x, *([value for value in others if axis in value.axes][-1:] if self.rng.random() < 0.4 else [])]
            constants = self.rng.sample(others, min(2, len(others)))
            results = loops.loop(self.rng, axis, sequences, list(dict.fromkeys([*constants, x])), self.written)
            for result in results if self.rng.random() < 0.7 else self.rng.sample(results, 1):
                self.add(result, (-1.0, 1.0))
            return
        constants = [value for value in self.floats if value.axes <= x.axes - {axis} and value is not x][:1]
        reverse = self.rng.random() < 0.5
        if self.rng.random() < 0.5:
            last, every = inner.squashed_sum(x, axis, constants, reverse, self.rng.random() < 0.4)
            self.add(last, (-1.0, 1.0))
            self.add(every, (-2.0, 2.0))
        else:
            for value in inner.tangled(x, axis, constants, reverse):
                self.add(value, (-2.0, 2.0))

    # -- the end ---------------------------------------------------------------------------------------------
    def output(self, name: str, value: Node) -> Output:
        axes = sorted(value.axes, key=str)
        self.rng.shuffle(axes)
        if self.rng.random() < 0.15:
            extra = self.rng.choice(self.axes)
            axes += [extra] if extra not in axes else []
        layout = [(axis,) for axis in axes if axis.name != LEADING]
        if len(layout) >= 2 and self.rng.random() < 0.3:
            layout[-2:] = [(*layout[-2], *layout[-1])]  # type: ignore[list-item]
        front = [(axis,) for axis in axes if axis.name == LEADING]
        return Output(name, value, (*front, *layout))

    def graph(self) -> Graph:
        rng = self.rng
        outputs = [self.output(f"out{i}", value) for i, value in enumerate(dict.fromkeys([self.floats[-1], self.pick()]))]
        if self.complexes and rng.random() < 0.5:
            outputs.append(self.output("spectrum", self.complexes[-1]))
        if not self.smooth and self.ints and rng.random() < 0.3:
            outputs.append(self.output("where", self.ints[-1]))
        if not self.smooth and self.bools and rng.random() < 0.3:
            outputs.append(self.output("mask", self.bools[-1]))
        state = next(port for port in self.ports if port.role == "buffer")
        update = self.pick()
        update = build.reduce("sum", update, update.axes - state.type.axes)
        updates = (Update("state", update),) if rng.random() < 0.5 else ()
        extra = self.pick()
        penalty = build.reduce("mean", extra, extra.axes) if extra.axes else extra
        penalties = (Output("penalty", penalty, ()),) if rng.random() < 0.3 else ()
        roots = [*(o.node for o in outputs), *(u.node for u in updates), *(p.node for p in penalties)]
        if self.written:
            read = {current for current in topological(roots) if current.op == "input"}
            kept = {"state"} if updates else set()
            self.ports = [port for port in self.ports if port.role == "input" or port.node in read or port.name in kept]
        spans, names = {}, {}
        for i, value in enumerate(topological(roots)):
            if rng.random() < 0.7:
                spans[value] = Span(rng.choice(["a.arch", "a.arch", "std/norm.arch"]), i + 1, 5, i + 1, 9, 0, 0)
            if rng.random() < 0.2 and value.op != "input":
                names[value] = f"v{i}"
        return Graph("random", tuple(self.ports), tuple(outputs), updates, penalties, tuple(self.numbers),
                     tuple(self.definitions), (*self.checks, *needed(roots)), Notes(spans, names))


def random_graph(rng: random.Random, steps: int = 12, *, smooth: bool = False, leading: bool | None = None,
                 written: bool = False, loops: bool = False, wide: bool = False, waves: bool = False) -> Graph:
    """A graph of about so many operations. `smooth`: of operations whose derivatives are continuous, without draws.
    `leading`: whether inputs have leading dimensions `...`; by default, now and then. `written`: of what the language can say.
    `loops`: with scans too; `wide`: with many, whose steps are random as well. `waves`: with complex numbers and Fourier
    transforms too."""
    grower = Grower(rng, smooth, written, loops or wide, wide, waves)
    grower.frame(rng.random() < 0.2 if leading is None else leading)
    for _ in range(steps):
        grower.step()
    return grower.graph()
