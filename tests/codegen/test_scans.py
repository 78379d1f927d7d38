"""Loops in emitted code: states keep their value to the end of a step, sizes of 0, export, derivatives and batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archc import api
from tests.checker.programs import graph
from tests.passes.against_torch import assert_gradients

OLD = """
layer L(h: axis) {
    axis r = |h|
    param w[h, r] = normal(1)
    forward(x[n, t, h]) -> [n, t, h] {
        scan t {
            state s[n, h] = 0
            old = s
            s = tanh(x + sum[r](w * s[h = r]))
            yield y = 2 * old + s
        }
        return y
    }
}
"""


def layer(text: str = OLD, h: int = 3) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = api.load_text(text, "scan.arch").L(*[h] * (h > 0))
    return made.double()


def expected(module: nn.Module, x: Tensor) -> Tensor:
    state, ys = x.new_zeros(x.shape[0], x.shape[2]), []
    for t in range(x.shape[1]):
        old, state = state, torch.tanh(x[:, t] + state @ module.w.T)
        ys.append(2 * old + state)
    return torch.stack(ys, 1)


def test_a_state_keeps_its_value_while_others_read_it() -> None:
    module, x = layer(), torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(module(x), expected(module, x), rtol=1e-12, atol=1e-12)


def test_a_value_of_the_same_name_and_a_view_of_the_old_one() -> None:
    """`z` of the second turn may take the variable only where no one reads the first, turned or not."""
    module = layer("""
layer L(h: axis) {
    axis r = |h|
    param w[h, r] = normal(1)
    forward(x[n, h]) -> [n, h] {
        z = x
        first = x
        for l in range(2) {
            first = z
            z = tanh(sum[r](w * z[h = r]))
        }
        return 2 * z + 3 * first
    }
}
""")
    x = torch.randn(3, 3, dtype=torch.float64)
    first = torch.tanh(x @ module.w.T)
    torch.testing.assert_close(module(x), 2 * torch.tanh(first @ module.w.T) + 3 * first, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (1, 1, 3)])
def test_sizes_of_nothing_and_one(shape: tuple[int, ...]) -> None:
    assert layer()(torch.randn(shape, dtype=torch.float64)).shape == shape


def test_derivatives_and_batches() -> None:
    module, x = layer(), torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, x) and torch.autograd.gradgradcheck(module, x, fast_mode=True)
    many = torch.randn(5, 2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(module)(many), torch.stack([module(one) for one in many]))


def test_export() -> None:
    module, x = layer(), torch.randn(2, 4, 3, dtype=torch.float64)
    exported = torch.export.export(module, (x,)).module()
    torch.testing.assert_close(exported(x), module(x))


OWN = """
fn decay(x[n, t], a[n]) -> (y[n, t]) {
    scan t {
        state s[n] = 0
        s = a * s + x
        yield y = s
    }
}
fn back(dy[n, t], a[n]) -> (dx[n, t]) {
    scan t reverse {
        state s[n] = 0
        s = a * s + dy
        yield dx = s
    }
}
fn own(x[n, t], a[n]) -> [n, t]
        grad(dy) { x: back(dy, a), a: sum[t](back(dy, a) * decay(x, a)[t = t - 1 else 0]) } { return decay(x, a) }
layer L() {
    forward(x[n, t], a[n]) -> [n, t] { return FN(x, a) * x }
}
"""


@pytest.mark.parametrize("length", [0, 1, 5])
def test_an_own_derivative_with_loops(length: int) -> None:
    """Of a fn whose value and derivative are loops: the same as without it, and as the passes have it, to the second order."""
    own, plain = (layer(OWN.replace("FN", fn), h=0) for fn in ("own", "decay"))
    torch.manual_seed(1)
    x, a = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, length), (2,)))
    torch.testing.assert_close(own(x, a), plain(x, a), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(own, (x, a)) and torch.autograd.gradgradcheck(own, (x, a))
    names = {"x": x.detach().numpy(), "a": a.detach().numpy()}
    for fn in ("own", "decay"):
        assert_gradients(graph(OWN.replace("FN", fn)), lambda x, a: plain(x, a), names)
