"""Each layer's module equals its transcription in float64 and other authors' layers in float32: results, gradients, buffers."""

from __future__ import annotations

import pytest
import torch

from tests.stdlib.cases import CASES, Case, Peer
from tests.stdlib.modules import LAYOUTS, assert_same, copy_state, default_dtype, make, renamed, step

MODES = ["train", "eval"]
PAIRS = [(case, peer) for case in CASES for peer in case.peers]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_equals_transcription_in_float64(case: Case, mode: str) -> None:
    ours = make(case, torch.float64).train(mode == "train")
    with default_dtype(torch.float64):
        reference = case.reference().train(mode == "train")
    copy_state(ours, reference, {})
    torch.manual_seed(0)
    for _ in range(2):  # the second step starts from buffers that have moved
        x = torch.randn(case.shape, dtype=torch.float64)
        assert_same(step(ours, x), step(reference, x), 1e-10)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("case", "peer"), PAIRS, ids=[f"{case.id}-{peer.name}" for case, peer in PAIRS])
def test_equals_peer_in_float32(case: Case, peer: Peer, mode: str) -> None:
    ours, theirs = make(case).train(mode == "train"), peer.make().train(mode == "train")
    copy_state(ours, theirs, peer.names)
    torch.manual_seed(0)
    for _ in range(2):
        x = torch.randn(case.shape)
        assert_same(renamed(step(ours, x), peer.names), step(theirs, x), 1e-5)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "contiguous"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_strides_make_no_difference(case: Case, layout: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(case.shape, dtype=torch.float64)
    expected = step(make(case, torch.float64), x)
    moved = LAYOUTS[layout](x)
    cotangent = LAYOUTS[layout](torch.randn(expected["result"].shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype))
    assert torch.equal(moved, x)
    assert_same(step(make(case, torch.float64), moved, cotangent), expected, 1e-12)


def stray(case: Case) -> bool:
    """Whether the layer's derivative jumps at places that random points may come near."""
    return case.static.get("order") in (0, 1)


@pytest.mark.parametrize("case", [case for case in CASES if not stray(case)], ids=lambda case: case.id)
def test_first_and_second_derivatives(case: Case) -> None:
    """gradcheck and gradgradcheck of input and params, in float64, along random directions."""
    module = make(case, torch.float64)
    names = [name for name, _ in module.named_parameters()]
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}

    def run(x: torch.Tensor, *params: torch.Tensor) -> torch.Tensor:
        fresh = {name: buffer.clone() for name, buffer in buffers.items()}
        result: torch.Tensor = torch.func.functional_call(module, {**dict(zip(names, params, strict=True)), **fresh}, (x,))
        return result

    torch.manual_seed(0)
    inputs = [torch.randn(case.shape, dtype=torch.float64), *(p.detach().clone() for p in module.parameters())]
    for value in inputs:
        value.requires_grad_()
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(run, inputs, fast_mode=True)
