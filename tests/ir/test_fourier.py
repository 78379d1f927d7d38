"""Fourier transforms in the evaluator, and as sums of floats, against the definition written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.cost import graph_work
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.forms.fourier import by_sum
from archc.ir.graph import Graph, Output, Port
from archc.ir.text import parse, write
from archc.ir.verify import verify

N, H, W, T = (Axis(name, Size.symbol(name)) for name in ("n", "h", "w", "t"))
F = Axis("f", W.size // 2 + 1)
NORMS = ("backward", "ortho", "forward")
SIZES = [(3, 4), (4, 5), (1, 1), (2, 1), (1, 6)]


def waves(size: int, sign: float) -> np.ndarray:
    """exp(sign 2 pi i j k / size), at [j, k]"""
    index = np.arange(size)
    return np.exp(sign * 2j * np.pi * np.outer(index, index) / size)


def by_definition(op: str, x: np.ndarray, sizes: tuple[int, int], norm: str) -> np.ndarray:
    """Over the last two axes of x; of rfft the first frequencies, of irfft with those that are conjugates of others."""
    h, w = sizes
    if op == "irfft":
        # As if the spectrum were that of floats: what stands for itself has no imaginary part, once the rows are done.
        rows = np.einsum("nhf,hk->nkf", x, waves(h, 1))
        alone = np.isin(np.arange(w // 2 + 1), [0, w / 2])
        rows = np.where(alone, rows.real, rows)
        whole = np.concatenate([rows, np.conj(rows[..., (w - 1) // 2 : 0 : -1])], -1)
        done = np.einsum("nkv,vw->nkw", whole, waves(w, 1)).real
    else:
        sign = 1 if op == "ifft" else -1
        done = np.einsum("nhw,hk,wv->nkv", x, waves(h, sign), waves(w, sign))
        done = done[..., : w // 2 + 1] if op == "rfft" else done
    inverse = op in ("ifft", "irfft")
    return done / {"ortho": np.sqrt(h * w), "backward": h * w if inverse else 1, "forward": 1 if inverse else h * w}[norm]


def transform(op: str, norm: str) -> Graph:
    x = Port("x", Type("float" if op == "rfft" else "complex", frozenset((N, H, F if op == "irfft" else W))),
             layout_of((N, H, F if op == "irfft" else W)))
    over, half = ((H,), (W, F)) if op in ("rfft", "irfft") else ((H, W), None)
    node = build.fourier(op, x.node, over, half, norm)
    return Graph(op, (x,), (Output("y", node, layout_of((N, H, F if op == "rfft" else W))),), numbers=("w",))


def draw(op: str, sizes: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = (2, sizes[0], sizes[1] // 2 + 1 if op == "irfft" else sizes[1])
    return rng.normal(size=shape) + (0 if op == "rfft" else 1j * rng.normal(size=shape))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("op", ["fft", "ifft", "rfft", "irfft"])
def test_the_definition(op: str, norm: str, sizes: tuple[int, int]) -> None:
    graph, x = transform(op, norm), draw(op, sizes)
    verify(graph)
    found = evaluate(graph, {"x": x}, {"w": sizes[1]}).outputs["y"]
    np.testing.assert_allclose(found, by_definition(op, x, sizes, norm), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("op", ["fft", "ifft", "rfft", "irfft"])
def test_as_sums_of_floats(op: str, norm: str, sizes: tuple[int, int]) -> None:
    graph, x = transform(op, norm), draw(op, sizes)
    node = graph.outputs[0].node
    twins = {axis: Axis(f"{axis}_2", axis.size) for axis in (H, W)}
    real, imag = build.apply("real", node.args[0]), build.apply("imag", node.args[0])
    parts = by_sum(node, node.args[0] if op == "rfft" else real, None if op == "rfft" else imag, twins)
    outputs = tuple(Output(name, part, graph.outputs[0].layout) for name, part in zip(("real", "imag"), parts, strict=True))
    sums = Graph("sums", graph.inputs, outputs, numbers=("w",))
    verify(sums)
    found = evaluate(sums, {"x": x}, {"w": sizes[1]}).outputs
    wanted = evaluate(graph, {"x": x}, {"w": sizes[1]}).outputs["y"]
    np.testing.assert_allclose(found["real"] + 1j * found["imag"], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["fft", "rfft", "irfft"])
def test_text_and_digest(op: str) -> None:
    seen = set()
    for norm in NORMS:
        graph = transform(op, norm)
        assert parse(write(graph)) == graph
        seen.add(digest(graph))
    assert len(seen) == 3
    assert digest(transform("fft", "ortho")) != digest(transform("ifft", "ortho"))


def test_nothing_is_transformed_to_nothing() -> None:
    graph = transform("fft", "backward")
    assert evaluate(graph, {"x": np.zeros((0, 3, 4))}, {"w": 4}).outputs["y"].shape == (0, 3, 4)
    with pytest.raises(ValueError, match="nothing to transform"):
        evaluate(graph, {"x": np.zeros((2, 3, 0))}, {"w": 0})


def test_float32_stays_float32() -> None:
    found = evaluate(transform("irfft", "ortho"), {"x": draw("irfft", (4, 6))}, {"w": 6}, dtype="float32").outputs["y"]
    assert found.dtype == np.float32


def test_what_a_transform_costs() -> None:
    """5 n log2 n of complex numbers, half of it of floats; the logarithm is rounded up."""
    sizes = {"n": 3, "h": 4, "w": 8}
    assert graph_work(transform("fft", "ortho")).evaluate(sizes)["flops"] == 3 * 5 * 32 * 5
    assert graph_work(transform("rfft", "ortho")).evaluate(sizes)["flops"] == 3 * 5 * 32 * 5 // 2
    assert graph_work(transform("irfft", "ortho")).evaluate({**sizes, "w": 9})["flops"] == 3 * 5 * 36 * 6 // 2
    assert "log2(h*w)" in str(graph_work(transform("fft", "ortho")).flops)


def test_complex_arithmetic_is_counted_in_real_numbers() -> None:
    graph = parse("""graph f(x: complex[n], y: complex[n], z: float[n])
      %0 = mul %x, %y : complex[n]
      %1 = mul %0, %z : complex[n]
      %2 = add %1, %x : complex[n]
      return r[n] = %2""")
    assert graph_work(graph).evaluate({"n": 1})["flops"] == 6 + 2 + 2
