"""Sums over windows in C++ kernels against torch's convolutions, forward and all gradients: any number of dimensions, steps,
dilations, borders and sizes, several batch and channel axes."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archc

pytestmark = [pytest.mark.compiler, pytest.mark.filterwarnings("error:computing with torch's own operations")]

MODES = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}


def layer_of(text: str, folder: Path) -> type[nn.Module]:
    path = folder / "windows.arch"
    path.write_text(text)
    return archc.load(path, backend="cpp").L  # type: ignore[no-any-return]


def slow(*cases: tuple[object, ...]) -> list[Any]:
    return [pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def agree(module: nn.Module, x: Tensor, reference: Tensor, wanted: list[Tensor]) -> None:
    """Result and gradients, by input and params, are those of the reference."""
    y = module(x)
    dy = torch.randn_like(reference)
    torch.testing.assert_close(y, reference, rtol=1e-11, atol=1e-11)
    found = torch.autograd.grad(y, [x, *module.parameters()], dy)
    expected = torch.autograd.grad(reference, [x, *wanted], dy)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


USUAL = [(3, 1, 1), (3, 2, 1), (2, 3, 0), (5, 1, 2)]
RARE = [case for case in itertools.product([1, 2, 3, 5], [1, 2, 3], [0, 1, 2]) if case not in USUAL]


@pytest.mark.parametrize(("kernel", "stride", "pad"), [*USUAL, *slow(*RARE)])
def test_images(kernel: int, stride: int, pad: int) -> None:
    rng = random.Random(kernel * 100 + stride * 10 + pad)
    conv = archc.load("std.conv", backend="cpp", kernel=kernel, stride=stride, pad=pad, biased=False).Conv2d
    for _ in range(4):
        n, c, o = rng.choice([1, 2, 3]), rng.choice([1, 2, 5, 9, 50]), rng.choice([1, 3, 8, 17])
        h, w = (max(1, kernel - 2 * pad, rng.choice([1, 2, 7, 16, 19, 33, 50])) for _ in range(2))
        module = conv(c=c, o=o).double()
        x = torch.randn(n, c, h, w, dtype=torch.float64, requires_grad=True)
        agree(module, x, F.conv2d(x, module.weight, stride=stride, padding=pad), [module.weight])


@pytest.mark.parametrize(("kernel", "stride", "pad"), [
    (2, 2, 0), (4, 2, 1), *slow((3, 2, 1), (3, 1, 1), (3, 3, 0), (5, 4, 2))])
def test_transposed_images(kernel: int, stride: int, pad: int) -> None:
    rng = random.Random(kernel * 10 + stride)
    conv = archc.load("std.conv", backend="cpp", kernel=kernel, stride=stride, pad=pad, biased=False).ConvTranspose2d
    for _ in range(3):
        n, c, o = rng.choice([1, 2, 3]), rng.choice([1, 2, 5, 9]), rng.choice([1, 3, 8, 17])
        h, w = (rng.choice([1, 2, 7, 16, 19, 33]) for _ in range(2))
        if stride * (min(h, w) - 1) + kernel - 2 * pad < 1:
            continue
        module = conv(c=c, o=o).double()
        x = torch.randn(n, c, h, w, dtype=torch.float64, requires_grad=True)
        agree(module, x, F.conv_transpose2d(x, module.weight, stride=stride, padding=pad), [module.weight])


@pytest.mark.parametrize("border", ["wrap", *slow(("edge",), ("reflect",))])
def test_borders(border: str) -> None:
    """What folds back at a border is torch's; the gradient by the weights is a kernel all the same."""
    conv = archc.load("std.conv", backend="cpp", border=border, biased=False, kernel=5, pad=2).Conv2d
    module = conv(c=3, o=9).double()
    for h, w in [(3, 5), (9, 40)]:
        x = torch.randn(2, 3, h, w, dtype=torch.float64, requires_grad=True)
        agree(module, x, F.conv2d(F.pad(x, (2, 2, 2, 2), mode=MODES[border]), module.weight), [module.weight])


def volume(step: int, dilation: int) -> str:
    index = ", ".join(f"{axis} = {step} * {place} + {dilation} * {tap} - 1 else 0" for axis, place, tap in ("dip", "hjq", "wkr"))
    sizes = ", ".join(f"{place} = (|{axis}| + 1 - {2 * dilation}) // {step} + 1" for axis, place in ("di", "hj", "wk"))
    return f"""
layer L(c: axis, o: axis) {{
    param weight[o, c, p=3, q=3, r=3] = normal(1.0)
    forward(x[n, c, d, h, w]) -> [n, o, {sizes}] {{
        return sum[c, p, q, r](weight * x[{index}])
    }}
}}
"""


@pytest.mark.parametrize(("step", "dilation"), [(1, 1), (3, 2), *slow((2, 1), (1, 2))])
def test_volumes(step: int, dilation: int, tmp_path: Path) -> None:
    module = layer_of(volume(step, dilation), tmp_path)(c=3, o=5).double()
    x = torch.randn(2, 3, 7, 6, 20, dtype=torch.float64, requires_grad=True)
    reference = F.conv3d(x, module.weight, stride=step, padding=1, dilation=dilation)
    agree(module, x, reference, [module.weight])


def test_sequences_with_several_batch_and_channel_axes(tmp_path: Path) -> None:
    text = f"""
layer L(c: axis, o: axis) {{
    param weight[o, a={2}, c, p=4] = normal(1.0)
    forward(x[n, a, m, c, t]) -> [n, m, o, u = |t| - 3] {{ return sum[a, c, p](weight * x[t = u + p]) }}
}}
"""
    module = layer_of(text, tmp_path)(c=3, o=5).double()
    x = torch.randn(2, 2, 4, 3, 37, dtype=torch.float64, requires_grad=True)
    flat = x.permute(0, 2, 1, 3, 4).reshape(8, 6, 37)
    agree(module, x, F.conv1d(flat, module.weight.reshape(5, 6, 4)).reshape(2, 4, 5, 34), [module.weight])


def test_precision_of_float32() -> None:
    module = archc.load("std.conv", backend="cpp", biased=False).Conv2d(c=16, o=24)
    x = torch.randn(4, 16, 37, 41, requires_grad=True)
    exact = F.conv2d(x.double(), module.weight.double(), padding=1)
    y = module(x)
    dy = torch.randn_like(y)
    found = [y, *torch.autograd.grad(y, [x, module.weight], dy)]
    wide = [x.detach().double().requires_grad_(), module.weight.detach().double().requires_grad_()]
    expected = [exact, *torch.autograd.grad(F.conv2d(*wide, padding=1), wide, dy.double())]
    for one, other in zip(found, expected, strict=True):
        assert (one.double() - other).abs().max() < 1e-5 * other.abs().max()


def test_the_same_bits_for_any_number_of_threads() -> None:
    module = archc.load("std.conv", backend="cpp", biased=False).Conv2d(c=7, o=20)
    x = torch.randn(5, 7, 30, 31, requires_grad=True)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = module(x)
            results.append([y, *torch.autograd.grad(y.square().sum(), [x, module.weight])])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], others, strict=True))


def test_second_derivatives() -> None:
    module = archc.load("std.conv", backend="cpp", stride=2, biased=False).Conv2d(c=2, o=3).double()
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = module.weight

    def run(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(module, {"weight": weight}, (x,))  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(run, (x, weight))
    assert torch.autograd.gradgradcheck(run, (x, weight))
