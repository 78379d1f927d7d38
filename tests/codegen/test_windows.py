"""Sums over shifted reads become convolutions and pooling; the numbers are those of the sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.ir import build
from archc.ir.graph import Graph
from tests.codegen.builders import axes, axis, graph, linear_index, port
from tests.codegen.harness import compare


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).uniform(-1, 1, shape)


def convolution(kernel: int, stride: int, pad: int, dilation: int, border: str, dims: int) -> Graph:
    n, c, o = axes("n c o")
    spatial = axes("h w d")[:dims]
    kernels = [axis(name, kernel) for name in "pqr"[:dims]]
    outs = [
        axis(name, (s.size + (2 * pad - dilation * (kernel - 1) - 1)) // stride + 1)
        for name, s in zip("uvx", spatial, strict=False)
    ]
    x, w = port("x", n, c, *spatial), port("w", o, c, *kernels, role="param")
    at = {s: (linear_index((stride, u), (dilation, k), -pad), border) for s, u, k in zip(spatial, outs, kernels, strict=True)}
    read = build.read(x.node, at, build.const(0.0) if border == "fill" else None)
    return graph([x, w], build.reduce("sum", build.apply("mul", w.node, read), {c, *kernels}), n, o, *outs)


@pytest.mark.parametrize(
    "kernel, stride, pad, dilation", [(3, 1, 1, 1), (3, 2, 1, 1), (1, 1, 0, 1), (2, 2, 0, 1), (3, 1, 2, 2), (5, 3, 0, 1)]
)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_are_convolutions(kernel: int, stride: int, pad: int, dilation: int, dims: int) -> None:
    g = convolution(kernel, stride, pad, dilation, "fill" if pad else "trust", dims)
    shape = (7, 6, 5)[:dims]
    text = compare(g, {"x": draw(2, 3, *shape), "w": draw(4, 3, *[kernel] * dims)}, {})
    assert f"F.conv{dims}d(x, w" in text and "pad(" not in text


@pytest.mark.parametrize("border", ["edge", "reflect", "wrap"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_borders_of_convolutions(border: str, size: int) -> None:
    g = convolution(3, 1, 1, 1, border, 2)
    text = compare(g, {"x": draw(2, 3, size, size + 1), "w": draw(4, 3, 3, 3)}, {})
    assert "F.conv2d(" in text


def test_two_borders_in_one_convolution() -> None:
    n, c, h, w, o = axes("n c h w o")
    p, q = axis("p", 3), axis("q", 3)
    u, v = axis("u", h.size), axis("v", w.size)
    x, weight = port("x", n, c, h, w), port("w", o, c, p, q)
    read = build.read(x.node, {h: (linear_index(u, p, -1), "fill"), w: (linear_index(v, q, -1), "wrap")}, build.const(0.0))
    g = graph([x, weight], build.reduce("sum", build.apply("mul", weight.node, read), {c, p, q}), n, o, u, v)
    text = compare(g, {"x": draw(2, 3, 5, 4), "w": draw(4, 3, 3, 3)}, {})
    assert 'mode="circular"' in text and "padding=(1, 0)" in text


def test_groups_and_depthwise() -> None:
    n, c, h = axes("n c h")
    g, o = axis("g", 2), axis("o", 3)
    p = axis("p", 3)
    u = axis("u", h.size)
    x, w = port("x", n, (g, c), h), port("w", (g, o), c, p)
    read = build.read(x.node, {h: (linear_index(u, p, -1), "fill")}, build.const(0.0))
    grouped = Graph("g", (x, w), graph([x, w], build.reduce("sum", build.apply("mul", w.node, read), {c, p}), n, g, o, u).outputs)
    text = compare(grouped, {"x": draw(2, 8, 5), "w": draw(6, 4, 3)}, {})
    assert "F.conv1d(x, w, padding=1, groups=2)" in text
    x, w = port("x", n, c, h), port("w", c, p)
    read = build.read(x.node, {h: (linear_index(u, p, -1), "fill")}, build.const(0.0))
    g_ = graph([x, w], build.reduce("sum", build.apply("mul", w.node, read), {p}), n, c, u)
    text = compare(g_, {"x": draw(2, 4, 5), "w": draw(4, 3)}, {})
    assert "groups=c" in text


def test_a_bias_is_added_by_the_library() -> None:
    g = convolution(3, 1, 1, 1, "fill", 2)
    o = next(a for a in g.outputs[0].node.axes if a.name == "o")
    b = port("b", o)
    order = [a for dim in g.outputs[0].layout for a in dim]
    biased = graph([*g.inputs, b], build.apply("add", g.outputs[0].node, b.node), *order)
    assert "F.conv2d(x, w, b, padding=1)" in compare(biased, {"x": draw(2, 3, 5, 4), "w": draw(4, 3, 3, 3), "b": draw(4)}, {})


@pytest.mark.parametrize(
    "kernel, stride, pad, extra", [(2, 2, 0, 0), (3, 2, 1, 1), (3, 1, 1, 0), (3, 2, 1, -1), (2, 3, 0, 0), (2, 1, 0, 3)]
)
def test_transposed_convolutions(kernel: int, stride: int, pad: int, extra: int) -> None:
    n, c, h, o = axes("n c h o")
    p = axis("p", kernel)
    u = axis("u", stride * (h.size - 1) + kernel - 2 * pad + extra)
    x, w = port("x", n, c, h), port("w", c, o, p)
    e = build.apply("sub", build.apply("add", build.iota(u), build.const(pad)), build.iota(p))
    s = build.const(stride)
    index = build.apply(
        "where", build.apply("eq", build.apply("mod", e, s), build.const(0)), build.apply("floordiv", e, s), build.const(-1)
    )
    read = build.read(x.node, {h: (index, "fill")}, build.const(0.0))
    g = graph([x, w], build.reduce("sum", build.apply("mul", w.node, read), {c, p}), n, o, u)
    text = compare(g, {"x": draw(2, 3, 5), "w": draw(3, 4, kernel)}, {})
    assert "F.conv_transpose1d(x, w" in text


@pytest.mark.parametrize("op", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize(
    "window, stride, pad, size", [(2, 2, 0, 6), (2, 2, 0, 7), (3, 2, 1, 7), (3, 1, 1, 4), (2, 2, 0, 1), (2, 2, 0, 0)]
)
@pytest.mark.parametrize("batch", [0, 1, 2, 3])
def test_pooling(op: str, window: int, stride: int, pad: int, size: int, batch: int) -> None:
    if op in ("max", "min") and pad:
        pad = 0
    if size < window and op in ("mean", "sum"):
        pytest.skip("torch's average pooling refuses an image that is smaller than the window")
    lead = axes("n c t")[:batch]
    h, w = axes("h w")
    p, q = axis("p", window), axis("q", window)
    outs = [axis(name, (s.size + (2 * pad - window)) // stride + 1) for name, s in (("u", h), ("v", w))]
    x = port("x", *lead, h, w)
    border = "fill" if pad else "trust"
    at = {s: (linear_index((stride, u), k, -pad), border) for s, u, k in zip((h, w), outs, (p, q), strict=True)}
    read = build.read(x.node, at, build.const(0.0) if pad else None)
    g = graph([x], build.reduce(op, read, {p, q}), *lead, *outs)
    if size + 2 * pad < window and not (size <= 1 and window == stride):
        pytest.skip("nothing fits")
    text = compare(g, {"x": draw(*(2, 3, 2)[:batch], size, size)}, {})
    if op in ("mean", "sum"):
        assert "F.avg_pool2d(" in text
    else:
        assert ".amax(" in text or ".amin(" in text


def test_patches_are_one_product() -> None:
    n, c, y, z, o = axes("n c y z o")
    p, q = axis("p", 4), axis("q", 2)
    x, w = port("x", n, c, (y, p), (z, q)), port("w", o, c, p, q)
    g = graph([x, w], build.reduce("sum", build.apply("mul", x.node, w.node), {c, p, q}), n, y, z, o)
    text = compare(g, {"x": draw(2, 3, 8, 6), "w": draw(5, 3, 4, 2)}, {})
    assert "F.linear(" in text and "einsum" not in text


def test_a_window_that_is_read_by_two_axes_is_a_view() -> None:
    n, t = axes("n t")
    u, k = axis("u", t.size - 2), axis("k", 3)
    x = port("x", n, t)
    g = graph([x], build.read(x.node, {t: (linear_index(u, k), "trust")}), n, u, k)
    assert ".unfold(" in compare(g, {"x": draw(2, 6)}, {})


@pytest.mark.parametrize("sizes", list(itertools.product([0, 1, 2], [0, 1, 3])))
def test_concatenation(sizes: tuple[int, int]) -> None:
    n, a, b = axes("n a b")
    z = axis("z", a.size + b.size)
    p, q = port("p", n, a), port("q", b)
    first = build.read(p.node, {a: (build.iota(z), "fill")}, build.const(0.0))
    second = build.read(q.node, {b: (build.apply("sub", build.iota(z), build.size(a.size)), "fill")}, build.const(0.0))
    value = build.apply("where", build.apply("lt", build.iota(z), build.size(a.size)), first, second)
    g = graph([p, q], value, n, z)
    text = compare(g, {"p": draw(2, sizes[0]), "q": draw(sizes[1])}, {})
    assert "torch.cat(" in text and "where" not in text


def test_three_parts_are_one_concatenation() -> None:
    parts = axes("a b c")
    total = Size.of(0)
    for part in parts:
        total = total + part.size
    z = axis("z", total)
    ports = [port(f"x{i}", part) for i, part in enumerate(parts)]
    value, start = None, total
    for source, part in zip(reversed(ports), reversed(parts), strict=True):
        start = start - part.size
        read = build.read(source.node, {part: (build.apply("sub", build.iota(z), build.size(start)), "fill")}, build.const(0.0))
        end = build.size(start + part.size)
        value = read if value is None else build.apply("where", build.apply("lt", build.iota(z), end), read, value)
    assert value is not None
    text = compare(graph(ports, value, z), {"x0": draw(2), "x1": draw(3), "x2": draw(1)}, {})
    assert "torch.cat((x0, x1, x2), -1)" in text
