"""Random graphs with contractions of computed factors: expansions into a sum, and scores that are reduced again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.ir import build
from archc.ir.graph import Graph, Node, Output, Port

POINTWISE = ("tanh", "sigmoid", "sin", "relu", "abs", "neg", "silu")


class Products:
    """A graph while it grows."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.ports = rng, list[Port]()
        self.axes: dict[str, Axis] = {}

    def axis(self, name: str) -> Axis:
        sizes = [Size.symbol(name), Size.symbol(name), Size.of(3), Size.symbol(name) + 1]
        return self.axes.setdefault(name, Axis(name, self.rng.choice(sizes) if name in "kpd" else Size.symbol(name)))

    def given(self, names: str) -> Node:
        axes = [self.axis(name) for name in names]
        self.rng.shuffle(axes)
        port = Port(f"x{len(self.ports)}", Type("float", frozenset(axes)), tuple((axis,) for axis in axes))
        self.ports.append(port)
        return port.node

    def curve(self, x: Node, names: str) -> Node:
        """A function of x, and of positions and given values along these axes."""
        for name in names:
            place = build.apply("to_float", build.iota(self.axis(name)))
            y = place if self.rng.random() < 0.7 else self.given(name)
            x = build.apply(self.rng.choice(["add", "sub", "mul"]), x, build.apply("mul", build.const(0.1), y))
        for _ in range(self.rng.randint(1, 3)):
            x = build.apply(self.rng.choice(POINTWISE), x)
            if self.rng.random() < 0.3:
                x = build.apply("mul", x, x)
        return x

    def contracted(self, a: Node, b: Node, over: str) -> Node:
        both = [a, b, *([build.const(0.3)] if self.rng.random() < 0.3 else [])]
        self.rng.shuffle(both)
        result = both[0]
        for factor in both[1:]:
            result = build.apply("mul", result, factor)
        return build.reduce("sum", result, {self.axis(name) for name in over})

    def around(self, y: Node, names: Sequence[str]) -> Node:
        """What stands behind a contraction: a bias, a function, a residual, a normalization."""
        choice = self.rng.randint(0, 4)
        if choice == 1:
            return build.apply("add", y, self.given(self.rng.choice(names)))
        if choice == 2:
            return build.apply("tanh", build.apply("mul", y, build.const(0.2)))
        if choice == 3:
            return build.apply("add", y, self.given("".join(names)))
        if choice == 4:
            over = self.axis(names[-1])
            return build.apply("sub", y, build.expand(build.reduce("mean", y, {over}), y.axes))
        return y

    def expansion(self) -> Node:
        """sum[i, k](w * curve(x, k)), perhaps of a normalized x, with a branch beside it."""
        batch = self.rng.choice(["", "b"])
        x = self.given(f"{batch}ni")
        if self.rng.random() < 0.3:
            x = build.apply("sub", x, build.expand(build.reduce("mean", x, {self.axis("i")}), x.axes))
        more = self.rng.choice(["k", "k", "kp"])
        y = self.contracted(self.curve(x, more), self.given("oi" + more), "i" + more)
        if self.rng.random() < 0.5:
            y = build.apply("add", y, self.contracted(self.curve(x, ""), self.given("oi"), "i"))
        return self.around(y, [*batch, "n", "o"])

    def attention(self) -> Node:
        """sum[s](normalizer(sum[d](q * k)) * v)"""
        batch = self.rng.choice(["b", "b", "bh", ""])
        score = self.contracted(self.given(f"{batch}td"), self.given(f"{batch}sd"), "d")
        if self.rng.random() < 0.4:
            score = build.apply("add", score, self.given(self.rng.choice(["ts", "s", "t"])))
        t, s = self.axis("t"), self.axis("s")
        if self.rng.random() < 0.5:
            seen = build.apply("le", build.iota(s), build.iota(t))
            score = build.apply("where", seen, score, build.const(float("-inf")))
            share = build.reduce("softmax", score, {s})
        elif not batch or self.rng.random() < 0.6:
            share = build.reduce("softmax", score, {s})
        else:
            share = build.apply("sigmoid", score)
        return self.around(self.contracted(share, self.given(f"{batch}se"), "s"), [*batch, "t", "e"])


def product_graph(rng: random.Random) -> Graph:
    """A graph with one or two contractions that a kernel computes itself."""
    grown = Products(rng)
    result = grown.expansion() if rng.random() < 0.5 else grown.attention()
    order = list(result.axes)
    order.sort(key=lambda axis: axis.name)
    rng.shuffle(order)
    output = Output("result", result, tuple((axis,) for axis in order))
    return Graph("products", tuple(grown.ports), (output,))
