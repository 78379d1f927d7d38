"""Loops in emitted code: states keep their value to the end of a step, sizes of 0, export, derivatives and batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archc import api

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
    made: nn.Module = api.load_text(text, "scan.arch").L(h)
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
