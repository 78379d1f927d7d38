"""The parts that attention is composed of: values and gradients against torch, rows that see nothing, and flex_attention."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from archc import api
from archc.loaded import Namespace
from tests.peers import attention_variants as peer
from tests.peers.attention import attend
from tests.stdlib.modules import default_dtype

N, H, T, S, D, E = 2, 6, 5, 7, 4, 3
SCORE = "score[n, h, t, s]"
QKV = "q[n, h, t, d], k[n, h, s, d], v[n, h, s, e]"


def randn(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape)


def ints(high: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, high, shape)


def keep(rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """What hides the keys for which `rule(t, s)` does not hold. The sum below never reads -inf."""
    return lambda score, *more: peer.softmax(peer.masked(score, rule(*peer.places(score))))


def soft(call: str) -> str:
    return f"softmax[s]({call})"


SCORES, Q, K, V = randn(N, H, T, S), randn(N, H, T, D), randn(N, H, S, D), randn(N, H, S, E)
CASES: dict[str, tuple[str, list[Callable[[], Tensor]], str, Callable[..., Tensor]]] = {
    # the expression: its inputs, what makes them, the result's axes, the same in torch
    "scores(q, k)": (QKV, [Q, K, V], "n, h, t, s", lambda q, k, v: peer.scores(q, k)),
    "weigh(score, v)": (f"{SCORE}, v[n, h, s, e]", [SCORES, V], "n, h, t, e", lambda p, v: F.softmax(p, -1) @ v),
    "weigh(scores(q, k), v)": (QKV, [Q, K, V], "n, h, t, e", F.scaled_dot_product_attention),
    "weigh(causal(scores(q, k)), v)": (QKV, [Q, K, V], "n, h, t, e",
                                       lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)),
    "weigh_sigmoid(score, v, -log(|s|))": (f"{SCORE}, v[n, h, s, e]", [SCORES, V], "n, h, t, e",
                                           lambda p, v: torch.sigmoid(p - math.log(S)) @ v),
    "weigh_sigmoid(causal(score), v)": (f"{SCORE}, v[n, h, s, e]", [SCORES, V], "n, h, t, e",
                                        lambda p, v: torch.sigmoid(p).tril() @ v),
    "softmax_one(score)": (SCORE, [SCORES], "n, h, t, s", peer.softmax_one),
    "softmax_one(score, 0.7)": (SCORE, [SCORES], "n, h, t, s", lambda p: peer.softmax_one(p, 0.7)),
    "softmax_one(score, sink)": (f"{SCORE}, sink[h]", [SCORES, randn(H)], "n, h, t, s",
                                 lambda p, z: torch.exp(p) / (torch.exp(z)[:, None, None] + torch.exp(p).sum(-1, keepdim=True))),
    "weigh_one(score, v)": (f"{SCORE}, v[n, h, s, e]", [SCORES, V], "n, h, t, e", lambda p, v: peer.softmax_one(p) @ v),
    soft("causal(score)"): (SCORE, [SCORES], "n, h, t, s", keep(lambda t, s: s <= t)),
    soft("sliding(score, 3)"): (SCORE, [SCORES], "n, h, t, s", keep(lambda t, s: (s <= t) & (s >= t - 2))),
    soft("dilated(score, 4, 2)"): (SCORE, [SCORES], "n, h, t, s", keep(lambda t, s: ((t - s).abs() <= 4) & ((t - s) % 2 == 0))),
    soft("prefix(score, length)"): (f"{SCORE}, length[n]: int", [SCORES, lambda: torch.tensor([3, 0])], "n, h, t, s",
                                    lambda p, m: peer.softmax(peer.masked(p, (peer.places(p)[1] < m[:, None, None, None])
                                                                          | (peer.places(p)[1] <= peer.places(p)[0])))),
    soft("same_document(score, a, b)"): (f"{SCORE}, a[n, t]: int, b[n, s]: int", [SCORES, ints(3, N, T), ints(2, N, S)],
                                         "n, h, t, s",
                                         lambda p, a, b: peer.softmax(peer.masked(p, (a[:, :, None] == b[:, None])[:, None]))),
    "soft_cap(score, 2.0)": (SCORE, [SCORES], "n, h, t, s", lambda p: 2 * torch.tanh(p / 2)),
    "alibi(score)": (SCORE, [SCORES], "n, h, t, s", peer.alibi),
    "relative_bias(score, table)": (f"{SCORE}, table[h, r]", [SCORES, randn(H, T + S - 1)], "n, h, t, s", peer.relative_bias),
    "bucket_bias(score, table)": (f"{SCORE}, table[h, r]", [SCORES, randn(H, 6)], "n, h, t, s", peer.bucket_bias),
    "bucket_bias(score, table, 128, true)": ("score[n, h, t, s], table[h, r]", [randn(1, H, 40, 40), randn(H, 8)], "n, h, t, s",
                                             lambda p, b: peer.bucket_bias(p, b, True)),
    "forgetting(score, g)": ("score[n, h, t, s], g[n, h, t]", [randn(N, H, T, T), lambda: F.logsigmoid(torch.randn(N, H, T))],
                             "n, h, t, s", peer.forgetting),
    "softmax[s](weighted(score, w))": (f"{SCORE}, w[s]", [SCORES, lambda: torch.rand(S) + 0.1], "n, h, t, s",
                                       lambda p, w: p.exp() * w / (p.exp() * w).sum(-1, keepdim=True)),
    soft("neighbourhood(score, 5, 3)"): (SCORE, [randn(N, H, 20, 20)], "n, h, t, s",
                                         lambda p: peer.softmax(peer.neighbourhood(p, 5, 3))),
    "rotary(x)": ("x[n, h, t, d]", [randn(N, H, T, 8)], "n, h, t, d", peer.rotary),
    "rotary_halves(x)": ("x[n, h, t, d]", [randn(N, H, T, 8)], "n, h, t, d", lambda x: peer.rotary(x, True)),
    "attend_grouped(q, k, v)": ("q[n, h, t, d], k[n, g, s, d], v[n, g, s, e]", [Q, randn(N, 2, S, D), randn(N, 2, S, E)],
                                "n, h, t, e", peer.grouped),
    "attend_differential(q, k, v, mix)": (
        "q[n, h, pair, t, d], k[n, h, pair, s, d], v[n, h, s, e], mix[h]",
        [randn(N, H, 2, T, D), randn(N, H, 2, S, D), V, randn(H)], "n, h, t, e",
        lambda q, k, v, m: attend(q[:, :, 0], k[:, :, 0], v) - m[:, None, None] * attend(q[:, :, 1], k[:, :, 1], v)),
    "weigh(causal(alibi(soft_cap(scores(q, k), 3.0))), v)": (
        QKV, [Q, K, V], "n, h, t, e",
        lambda q, k, v: peer.softmax(peer.masked(peer.alibi(3 * torch.tanh(peer.scores(q, k) / 3)),
                                                 torch.ones(T, S, dtype=torch.bool).tril())) @ v),
}


def loaded(call: str) -> Namespace:
    signature, _, result, _ = CASES[call]
    return api.load_text(
        f"import std.attention\nlayer Outer() {{ forward({signature}) -> [{result}] {{ return {call} }} }}", "outer.arch")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("call", CASES)
def test_part_equals_torch(call: str, dtype: torch.dtype, tolerance: float) -> None:
    _, makers, _, reference = CASES[call]
    torch.manual_seed(0)
    with default_dtype(dtype):
        inputs = [make() for make in makers]
    leaves = [value.requires_grad_() for value in inputs if value.is_floating_point()]
    y, expected = loaded(call).Outer()(*inputs), reference(*inputs)
    torch.testing.assert_close(y, expected, rtol=0, atol=tolerance)
    dy = torch.randn_like(y)
    ours = torch.autograd.grad(y, leaves, dy, allow_unused=True)
    theirs = torch.autograd.grad(expected, leaves, dy, allow_unused=True)
    for a, b, leaf in zip(ours, theirs, leaves, strict=True):
        none = torch.zeros_like(leaf)
        torch.testing.assert_close(none if a is None else a, none if b is None else b, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("call", CASES)
def test_part_has_first_and_second_derivatives(call: str) -> None:
    _, makers, _, _ = CASES[call]
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        inputs = [make() for make in makers]
    for value in inputs:
        value.requires_grad_(value.is_floating_point())
    module = loaded(call).Outer()
    assert torch.autograd.gradcheck(module, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(module, inputs, fast_mode=True)


@pytest.mark.parametrize("heads", range(1, 21))
def test_slopes_of_any_number_of_heads(heads: int) -> None:
    text = "import std.attention\nlayer Outer(h: axis) { forward(x[h]) -> [h] { return alibi_slope(h) + 0 * x } }"
    found = api.load_text(text, "outer.arch").Outer(h=heads)(torch.zeros(heads, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(peer.slopes(heads), dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("call", ["weigh(hidden, v)", "weigh_one(hidden, v)", "weigh_sigmoid(hidden, v)"])
def test_a_query_that_sees_nothing_gives_zero_and_no_gradient(call: str) -> None:
    text = f"""
        import std.attention
        layer Outer() {{
            forward(score[n, t, s], v[n, s, e], a[n, t]: int, b[n, s]: int) -> [n, t, e] {{
                hidden = same_document(score, a, b)
                return {call}
            }}
        }}"""
    module = api.load_text(text, "outer.arch").Outer()
    score, v = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 4, 5, requires_grad=True)
    a, b = torch.tensor([[0, 9, 1], [9, 9, 9]]), torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]])
    y = module(score, v, a, b)
    y.sum().backward()
    assert score.grad is not None and v.grad is not None
    assert (y[0, 1] == 0).all() and (y[1] == 0).all() and (y[0, 0] != 0).any()
    assert (score.grad[0, 1] == 0).all() and (v.grad[1] == 0).all() and score.grad.isfinite().all()


MODS: dict[str, tuple[Callable[..., Tensor] | None, Callable[..., Tensor] | None]] = {
    # what torch's flex_attention calls score_mod and mask_mod
    "weigh(causal(scores(q, k)), v)": (None, lambda b, h, t, s: t >= s),
    "weigh(sliding(scores(q, k), 3), v)": (None, lambda b, h, t, s: (t >= s) & (t - s < 3)),
    "weigh(causal(alibi(scores(q, k))), v)": (lambda x, b, h, t, s: x + (s - t) * 2.0 ** (-2 * (h + 1)),
                                              lambda b, h, t, s: t >= s),
    "weigh(dilated(soft_cap(scores(q, k), 5.0), 6, 3), v)": (lambda x, b, h, t, s: 5 * torch.tanh(x / 5),
                                                             lambda b, h, t, s: ((t - s).abs() <= 6) & ((t - s) % 3 == 0)),
}


@pytest.mark.parametrize("call", MODS)
def test_compositions_equal_flex_attention(call: str) -> None:
    """Forward alone: torch's has no backward on a CPU."""
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    score_mod, mask_mod = MODS[call]
    text = f"import std.attention\nlayer Outer() {{ forward({QKV}) -> [n, h, t, e] {{ return {call} }} }}"
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 16, 8, dtype=torch.float64) for _ in range(3))
    mask = flex.create_block_mask(mask_mod, 2, 4, 16, 16, device="cpu") if mask_mod else None
    expected = flex.flex_attention(q, k, v, score_mod=score_mod, block_mask=mask)
    torch.testing.assert_close(api.load_text(text, "outer.arch").Outer()(q, k, v), expected, rtol=0, atol=1e-10)
