"""What a call costs beside its arithmetic: fused modules on 16 elements, beside torch's layer_norm.

    python benchmarks/host.py [--rounds 30] [--calls 300]

Microseconds are the least of all rounds, taken in turn in one process with one thread; `of layer_norm` is their ratio. `hand` is
an autograd.Function written by hand around the same C function, without any check.
"""

from __future__ import annotations

import argparse
import sys
import timeit
import warnings
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

import archc


def hand(kernels: Mapping[tuple[str, torch.dtype], Callable[..., None]]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    forward = kernels["layer_norm_kernel", torch.float32]
    backward = kernels["layer_norm_derivative_kernel", torch.float32]

    class Hand(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, gamma, beta):
            ctx.save_for_backward(x, gamma)
            result = torch.empty_like(x)
            forward(x.data_ptr(), gamma.data_ptr(), beta.data_ptr(), result.data_ptr(), 1, 16, 1e-5, 1)
            return result

        @staticmethod
        def backward(ctx, d_result):
            x, gamma = ctx.saved_tensors
            d_x, d_gamma, d_beta = torch.empty_like(x), torch.empty_like(gamma), torch.empty_like(gamma)
            backward(d_result.data_ptr(), gamma.data_ptr(), x.data_ptr(), d_x.data_ptr(), d_gamma.data_ptr(), d_beta.data_ptr(),
                     1, 16, 1e-5, 1)
            return d_x, d_gamma, d_beta

    return Hand.apply


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, dy = torch.randn(1, 16, requires_grad=True), torch.ones(1, 16)
    layer_norm = archc.load("std.norm", backend="cpp").LayerNorm(c=16)
    rms_norm = archc.load("std.norm", backend="cpp").RMSNorm(c=16)
    gamma, beta = layer_norm.gamma, layer_norm.beta
    layer_norm(x).backward(dy)
    by_hand = hand(sys.modules[type(layer_norm).__module__]._kernels.functions)
    columns: dict[str, Callable[[], Tensor]] = {
        "layer_norm": lambda: F.layer_norm(x, (16,), gamma, beta),
        "hand": lambda: by_hand(x, gamma, beta),
        "std.norm LayerNorm": lambda: layer_norm(x),
        "std.norm RMSNorm": lambda: rms_norm(x),
        "the same in 3 dimensions": lambda: layer_norm(x3),
    }
    x3 = x.detach().view(1, 1, 16).requires_grad_()

    def inference(call: Callable[[], Tensor]) -> None:
        with torch.no_grad():
            call()

    def step(call: Callable[[], Tensor]) -> None:
        result = call()
        torch.autograd.backward(result, dy.view(result.shape))

    kinds: dict[str, Callable[[Callable[[], Tensor]], object]] = {
        "no grad": inference, "forward": lambda call: call(), "forward and backward": step}
    print(f"{'':26}" + "".join(f"{kind + ', us':>26} {'of layer_norm':>14}" for kind in kinds))
    best = {(name, kind): float("inf") for name in columns for kind in kinds}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(options.rounds):
            for kind, run in kinds.items():
                for name, call in columns.items():
                    taken = timeit.timeit(lambda run=run, call=call: run(call), number=options.calls) / options.calls * 1e6
                    best[name, kind] = min(best[name, kind], taken)
    for name in columns:
        line = f"{name:26}"
        for kind in kinds:
            line += f"{best[name, kind]:26.1f} {best[name, kind] / best['layer_norm', kind]:14.2f}"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
