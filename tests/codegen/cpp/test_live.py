"""Kernels whose loops leave out what a mask excludes: structure, and values against torch in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import archc
from archc import api
from archc.checker.types import flat
from archc.codegen.cpp.form import For, Kernel, parts
from archc.codegen.cpp.lower import lower
from archc.ir.graph import Call, topological
from archc.passes.base import run
from archc.passes.group import group_value
from archc.pipelines import CPP

MASKS = {
    "s <= t": lambda t, s: s <= t,
    "s <= t and t - s < 40": lambda t, s: (s <= t) & (t - s < 40),
    "s < t - 3": lambda t, s: s < t - 3,
    "abs(t - s) <= 9 and (t - s) % 3 == 0": lambda t, s: ((t - s).abs() <= 9) & ((t - s) % 3 == 0),
    "2 * s > t": lambda t, s: 2 * s > t,
}


def written(folder: Path, body: str) -> Path:
    (folder / "l.arch").write_text("import std.attention\nlayer L() {\n" + "  forward({}) -> [b, h, t, e] {{".format(
        "q[b, h, t, d], k[b, h, s, d], v[b, h, s, e]") + f" return {body} }} }}\n")
    return folder / "l.arch"


def kernels(path: Path) -> tuple[Kernel, Kernel]:
    (call,) = (n.attrs for n in topological(run(api.graph(path, "L"), CPP).roots) if isinstance(n.attrs, Call))
    (back,) = (n.attrs for n in topological(group_value(call.vjp).roots) if isinstance(n.attrs, Call))
    return tuple(lower(of.body, "kernel", {w.name: flat(w.layout) for w in (*of.body.inputs, *of.body.outputs)})  # type: ignore[return-value]
                 for of in (call, back))


def test_loops_over_keys_end_where_a_block_of_queries_ends(tmp_path: Path) -> None:
    """Forward and backward; without a mask they do not."""
    for body, narrow in (("weigh(causal(scores(q, k)), v)", True), ("weigh(soft_cap(causal(scores(q, k)), 9.0), v)", False)):
        for kernel in kernels(written(tmp_path, body)):
            loops = [part for part in parts(kernel.body) if isinstance(part, For) and part.start == "s_first"]
            assert bool(loops) == narrow
            assert kernel.uneven == narrow


@pytest.mark.compiler
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("use", ["softmax", pytest.param("sigmoid", marks=pytest.mark.slow)])
def test_masked_attention(mask: str, use: str, tmp_path: Path) -> None:
    hidden = f"where({mask}, scores(q, k), -inf)"
    body = f"weigh({hidden}, v)" if use == "softmax" else f"sum[s](where({mask}, sigmoid(scores(q, k)), 0) * v)"
    layer = archc.load(written(tmp_path, body), backend="cpp").L()
    for t, s in ((1, 1), (70, 33), (97, 130)):
        made = torch.Generator().manual_seed(t)
        q, k, v = (torch.randn(2, 2, n, m, generator=made, dtype=torch.float64, requires_grad=True)
                   for n, m in ((t, 6), (s, 6), (s, 5)))
        keep = MASKS[mask](torch.arange(t)[:, None], torch.arange(s)[None])
        score = (q @ k.transpose(-1, -2)) / 6 ** 0.5
        share = score.masked_fill(~keep, -torch.inf).softmax(-1) if use == "softmax" else score.sigmoid()
        expected = torch.where(keep, share, 0.0).nan_to_num() @ v
        cotangent = torch.randn(expected.shape, generator=made, dtype=torch.float64)
        for dtype, tolerance in ((torch.float64, 1e-11), (torch.float32, 1e-4)):
            given = [x.detach().to(dtype).requires_grad_() for x in (q, k, v)]
            got = layer(*given)
            torch.testing.assert_close(got.double(), expected, rtol=0, atol=tolerance)
            if keep.any(-1).all():  # torch's gradient of a row without keys is nan
                wanted = torch.autograd.grad(expected, (q, k, v), cotangent, retain_graph=True)
                found = torch.autograd.grad(got, given, cotangent.to(dtype))
                for x, y in zip(found, wanted, strict=True):
                    torch.testing.assert_close(x.double(), y, rtol=0, atol=10 * tolerance)
            else:
                assert all(torch.isfinite(x).all() for x in torch.autograd.grad(got, given, cotangent.to(dtype)))


@pytest.mark.compiler
def test_what_a_query_sees_stays_nan_and_what_it_does_not_see_is_not_read(tmp_path: Path) -> None:
    layer = archc.load(written(tmp_path, "weigh(causal(scores(q, k)), v)"), backend="cpp").L()

    def given(*nan: int) -> Tensor:
        x = torch.ones(1, 1, 100, 4)
        x[:, :, list(nan)] = torch.nan
        return x

    whole = given()
    assert torch.isnan(layer(given(50), whole, whole))[0, 0, :, 0].nonzero().flatten().tolist() == [50]
    assert torch.isnan(layer(whole, given(50), whole))[0, 0, :, 0].nonzero().flatten().tolist() == list(range(50, 100))
    late = torch.isnan(layer(whole, whole, given(99)))[0, 0, :, 0]
    assert late[99]
    assert not late[:64].any()
