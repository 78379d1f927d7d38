"""Recurrences against transcriptions and torch: result, last state and every gradient; cut sequences; facts of the papers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api
from tests.peers import recurrent
from tests.stdlib.modules import assert_same, copy_state, default_dtype, step, stir

N, T, K, V, J, C, S = 2, 6, 3, 4, 3, 5, 3
SHAPES = {"q": (N, T, K), "key": (N, T, K), "val": (N, T, V), "g": (N, T), "beta": (N, T), "start": (N, K, V)}
STEPS = {**SHAPES, "key": (N, T, J, K), "val": (N, T, J, V), "beta": (N, T, J)}
SYSTEM = {"x": (N, T, C), "dt": (N, T, C), "a": (C, S), "b": (N, T, S), "read": (N, T, S), "skip": (C,), "start": (N, C, S)}
CASES: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "linear_attention": (SHAPES, "q key val start"),
    "gla": ({**SHAPES, "g": (N, T, K)}, "q key val g start"),
    "delta_net": (SHAPES, "q key val beta start"),
    "gated_delta_net": (SHAPES, "q key val beta g start"),
    "delta_product": (STEPS, "q key val beta start"),
    "gated_delta_product": (STEPS, "q key val beta g start"),
    "selective_scan": (SYSTEM, "x dt a b read skip start"),
}
LAYOUT = {"linear_attention": "", "q": "..., t, k", "key": "..., t, k", "val": "..., t, v", "g": "..., t", "beta": "..., t",
          "start": "..., k, v"}
AXES = {"x": "..., t, c", "dt": "..., t, c", "a": "c, s", "b": "..., t, s", "read": "..., t, s", "skip": "c",
        "start": "..., c, s"}


def source(name: str) -> str:
    """A layer that only calls the function."""
    _, names = CASES[name]
    layout = dict(AXES if name == "selective_scan" else LAYOUT)
    if name.endswith("delta_product"):
        layout |= {"key": "..., t, j, k", "val": "..., t, j, v", "beta": "..., t, j"}
    if name == "gla":
        layout["g"] = "..., t, k"
    inputs = ", ".join(f"{key}[{layout[key]}]" for key in names.split())
    out = layout["start"]
    y = "..., t, c" if name == "selective_scan" else "..., t, v"
    return f"""
        import std.recurrent
        layer Fn() {{
            forward({inputs}) -> (y[{y}], last[{out}]) {{
                y, last = {name}({", ".join(names.split())})
            }}
        }}"""


@cache
def module(name: str) -> nn.Module:
    made: nn.Module = api.load_text(source(name), "recurrent.arch").Fn()
    return made


def inputs(name: str) -> list[Tensor]:
    torch.manual_seed(0)
    shapes, names = CASES[name]
    made = []
    for key in names.split():
        value = torch.randn(shapes[key], dtype=torch.float64)
        value = {"beta": 2 * torch.sigmoid(value), "dt": torch.nn.functional.softplus(value), "g": -value.abs(),
                 "a": -torch.exp(value)}.get(key, value)
        made.append((0.5 * value if key in ("key", "val") else value).requires_grad_())
    return made


def everything(function: Callable[..., tuple[Tensor, Tensor]], given: list[Tensor], names: str) -> dict[str, Tensor]:
    y, last = function(*given)
    generator = torch.Generator().manual_seed(2)
    draws = [torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out.dtype) for out in (y, last)]
    grads = torch.autograd.grad([y, last], given, draws)
    return {"y": y, "last": last, **dict(zip(names.split(), grads, strict=True))}


@pytest.mark.parametrize("name", CASES)
def test_function_equals_transcription(name: str) -> None:
    names, given = CASES[name][1], inputs(name)
    ours, theirs = module(name), getattr(recurrent, name)
    assert_same(everything(ours, given, names), everything(theirs, given, names), 1e-10)
    single = [value.detach().float().requires_grad_() for value in given]
    assert_same(everything(ours, single, names), everything(theirs, single, names), 1e-5)


@pytest.mark.parametrize("name", CASES)
def test_function_has_first_and_second_derivatives(name: str) -> None:
    given = inputs(name)
    assert torch.autograd.gradcheck(module(name), given, fast_mode=True)
    assert torch.autograd.gradgradcheck(module(name), given, fast_mode=True)


@pytest.mark.parametrize("name", CASES)
def test_a_sequence_can_be_cut_and_continued(name: str) -> None:
    """Every sequence has t second, what has not t is the same for both pieces, and the start is last."""
    given = [value.detach() for value in inputs(name)]
    whole, last = module(name)(*given)
    fixed = {"a", "skip"}
    keys = CASES[name][1].split()
    pieces = []
    state = given[-1]
    for part in (slice(0, 2), slice(2, 2), slice(2, None)):
        cut = [value if key in fixed else value[:, part] for key, value in zip(keys[:-1], given[:-1], strict=True)]
        y, state = module(name)(*cut, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


def test_reflections_track_a_permutation() -> None:
    """A step with key (e_a - e_b) / sqrt 2, beta 2 and value 0 swaps two rows of the state (arXiv 2502.10297, section 4)."""
    torch.manual_seed(0)
    swaps = torch.stack([torch.randperm(5)[:2] for _ in range(4 * 512)]).reshape(1, 512, 4, 2)
    eye = torch.eye(5)
    key = (eye[swaps[..., 0]] - eye[swaps[..., 1]]) / 2**0.5
    zeros = torch.zeros(1, 512, 4, 5)
    _, last = module("delta_product")(torch.zeros(1, 512, 5), key, zeros, torch.full((1, 512, 4), 2.0), eye[None])
    order = list(range(5))
    for a, b in swaps.reshape(-1, 2).tolist():
        order[a], order[b] = order[b], order[a]
    torch.testing.assert_close(last[0], eye[order], rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------- gated networks
RECURRENT = archc.load("std.recurrent")
LAYERS = {"LSTM": (RECURRENT.LSTM, recurrent.lstm, nn.LSTMCell), "GRU": (RECURRENT.GRU, recurrent.gru, nn.GRUCell)}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_torchs(name: str, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs, _ = LAYERS[name]
    torch.manual_seed(0)
    with default_dtype(dtype):
        a, b, x = ours(3, 4), theirs(3, 4), torch.randn(2, 5, 3)
    stir(a)
    assert {k: v.shape for k, v in a.state_dict().items()} == {k: v.shape for k, v in b.state_dict().items()}
    copy_state(a, b, {})
    assert_same(step(a, x), step(b, x), tolerance)


@pytest.mark.parametrize("name", LAYERS)
def test_one_step_equals_torchs_cell(name: str) -> None:
    ours, _, cell = LAYERS[name]
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        a, b, x = ours(3, 4), cell(3, 4), torch.randn(2, 3)
        states = [torch.randn(2, 4) for _ in range(2 if name == "LSTM" else 1)]
    copy_state(a, b, {})
    expected = b(x, tuple(states)) if name == "LSTM" else (b(x, states[0]),)
    y, state = a.step(x, type(a.step(x)[1])(*states))
    torch.testing.assert_close(tuple(state), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(y, expected[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_has_first_and_second_derivatives(name: str) -> None:
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        layer, x = LAYERS[name][0](2, 3), torch.randn(2, 4, 2)
    names = [key for key, _ in layer.named_parameters()]
    values = [x.requires_grad_(), *(param.detach().clone().requires_grad_() for param in layer.parameters())]

    def run(x: Tensor, *params: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x,))
        return result

    assert torch.autograd.gradcheck(run, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, values, fast_mode=True)


@pytest.mark.parametrize("name", LAYERS)
def test_no_token_and_no_sample(name: str) -> None:
    layer = LAYERS[name][0](3, 4)
    assert layer(torch.randn(2, 0, 3)).shape == (2, 0, 4) and layer(torch.randn(0, 5, 3)).shape == (0, 5, 4)
