"""docs/versus.md: what stands there runs, and every tool gives what a plain loop in float64 gives."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

PAGE = Path(__file__).parents[2] / "docs" / "versus.md"
BLOCK = re.compile(r"^```(arch|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILES = {"AlibiWindow": "alibi.arch", "Norm": "norm.arch"}
"""The names under which the page loads its layers."""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All names of the page, its blocks run in their order. `torch.compile` traces and differentiates; C++ is not built here."""
    folder, names = tmp_path_factory.mktemp("versus"), {}
    compiled, here = torch.compile, Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(torch, "compile", lambda f, **more: compiled(f, backend="aot_eager", **more))
        for kind, text in BLOCK.findall(PAGE.read_text()):
            if kind == "arch":
                (layer,) = re.findall(r"^layer (\w+)", text, re.MULTILINE)
                Path(FILES[layer]).write_text(text)
            else:
                exec(compile(text, str(PAGE), "exec"), names)
    assert Path.cwd() == here
    return names


def attention(q: Any, k: Any, v: Any) -> Any:
    """Loops over every query and key."""
    out = np.zeros((*q.shape[:3], v.shape[3]))
    for n, h, t in np.ndindex(q.shape[:3]):
        seen = [s for s in range(k.shape[2]) if t - 3 < s <= t]
        score = np.array([q[n, h, t] @ k[n, h, s] / math.sqrt(q.shape[3]) - 2.0 ** -(h + 1) * (t - s) for s in seen])
        weight = np.exp(score - score.max())
        out[n, h, t] = sum(w * v[n, h, s] for w, s in zip(weight / weight.sum(), seen, strict=True))
    return out


def norm(x: Any, v: Any, gamma: Any, beta: Any) -> Any:
    out = np.zeros(x.shape)
    for n, c in np.ndindex(x.shape[:2]):
        group = x[n, c // 2 * 2 : c // 2 * 2 + 2]
        out[n, c] = x[n, c] / (1 + np.exp(-v[c] * x[n, c])) / math.sqrt(group.var() + 1e-5) * gamma[c] + beta[c]
    return out


def slope(function: Any, arguments: list[Any], cotangent: Any, rng: Any) -> tuple[list[Any], float]:
    """A direction, and how fast the weighted sum of a result changes along it."""
    directions = [rng.standard_normal(a.shape) for a in arguments]
    sides = [function(*(a + sign * 1e-5 * d for a, d in zip(arguments, directions, strict=True))) for sign in (1, -1)]
    return directions, float(((sides[0] - sides[1]) * cotangent).sum() / 2e-5)


def agrees(function: Any, reference: Any, arguments: list[Any], backward: bool = True) -> None:
    rng = np.random.default_rng(0)
    given = [torch.tensor(a, requires_grad=backward) for a in arguments]
    y: Tensor = function(*given)
    wanted = reference(*arguments)
    assert np.allclose(y.detach().numpy(), wanted, atol=1e-9)
    if backward:
        cotangent = rng.standard_normal(wanted.shape)
        directions, expected = slope(reference, arguments, cotangent, rng)
        grads = torch.autograd.grad(y, given, torch.tensor(cotangent))
        found = sum(float((g.numpy() * d).sum()) for g, d in zip(grads, directions, strict=True))
        assert abs(found - expected) < 1e-6 * max(1.0, abs(expected))


@pytest.mark.parametrize("name", ["alibi_archc", "alibi_flex", "alibi_einops", "alibi_compiled", "alibi_plain"])
@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
def test_attention(name: str, space: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    arguments = [rng.standard_normal((2, 2, 6, 4)) for _ in range(3)]
    agrees(space[name], attention, arguments, backward=name != "alibi_flex")


def test_flex_attention_has_no_backward_on_a_cpu_as_the_page_says(space: dict[str, Any]) -> None:
    q = torch.ones(1, 1, 2, 2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="FlexAttention does not support backward on CPU"):
        space["alibi_flex"](q, q, q)
    assert "does not support backward on CPU" in PAGE.read_text()


@pytest.mark.parametrize("name", ["norm_archc", "norm_einops", "norm_compiled", "norm_plain"])
def test_norm(name: str, space: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    x, *params = [rng.standard_normal(shape) for shape in ((2, 8, 3, 5), (8,), (8,), (8,))]
    function = space[name]
    if name == "norm_archc":
        module = function.double()

        def function(x: Tensor, *params: Tensor) -> Tensor:
            names = dict(zip(("v", "gamma", "beta"), params, strict=True))
            return torch.func.functional_call(module, names, (x,))

    agrees(function, norm, [x, *params])


def test_second_derivatives_are_as_the_page_says(space: dict[str, Any]) -> None:
    x, params = torch.randn(1, 8, 2, 2, requires_grad=True), [torch.ones(8), torch.ones(8), torch.zeros(8)]
    (first,) = torch.autograd.grad(space["norm_archc"].float()(x).square().sum(), x, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), x)[0].isfinite().all()
    y = space["norm_compiled"](x, *params)
    with pytest.raises(RuntimeError, match=r"create_graph=False|double backward"):
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        torch.autograd.grad(first.square().sum(), x)


def test_a_row_without_keys_is_as_the_page_says(space: dict[str, Any]) -> None:
    q, k = torch.randn(1, 1, 8, 4), torch.randn(1, 1, 2, 4)
    assert (space["alibi_archc"](q, k, k)[0, 0, 6:] == 0).all() and space["alibi_einops"](q, k, k)[0, 0, 6:].isnan().all()
