"""A training step of each layer of the standard library against the same layer written by hand in eager torch.

    python benchmarks/eager_parity.py [--only NAME] [--out FILE.json] [--seconds 1.5] [--threads 2]

A step is forward and backward to the input and every parameter. The columns of a row are run in turn, many times over, in one
process: a round takes one sample of each, in a changing order. Times are medians over the rounds; a ratio is the median of the
rounds' ratios, so that what slows the machine for a while slows both sides. First the results and gradients are compared.
Exit status 1 if a layer takes more than --bar times (1.1) the plain eager one's time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin take the core from those they wait for
sys.path.insert(0, str(Path(__file__).resolve().parent))

import eager
import eager_families
import torch
from torch import Tensor, nn

import archc
from archc.bench import machine, measure


@dataclass(frozen=True)
class Row:
    """`plain` is ordinary tensor code; `fused`, if torch has the layer as one function, that."""

    layer: str
    shape: tuple[int, ...]
    plain: Callable[[], nn.Module]
    fused: Callable[[], nn.Module] | None = None
    arguments: Mapping[str, int] = field(default_factory=dict)
    static: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.layer.partition(".")[2] + "".join(f" {k}={v}" for k, v in self.static.items())


def row(layer: str, shape: tuple[int, ...], plain: Callable[[], nn.Module], fused: Callable[[], nn.Module] | None = None,
        static: Mapping[str, object] | None = None, **arguments: int) -> Row:
    return Row(layer, shape, plain, fused, arguments, static or {})


TOKENS, IMAGE, ROWS = (16, 64, 128), (16, 32, 28, 28), (512, 64)
E, F = eager, eager_families
SUITE = [
    row("linear.Linear", TOKENS, lambda: E.Linear(128, 256), i=128, o=256),
    row("linear.MLP", TOKENS, lambda: E.MLP(128), c=128),
    row("linear.GatedMLP", TOKENS, lambda: E.GatedMLP(128), c=128),
    row("linear.Perceptron", ROWS, lambda: E.Perceptron(64, 10, 256), i=64, o=10, hidden=256),
    row("activation.PReLU", TOKENS, lambda: E.PReLU(128), c=128),
    row("norm.BatchNorm2d", IMAGE, lambda: E.BatchNorm2d(32), lambda: E.FusedBatchNorm2d(32), channels=32),
    row("norm.LayerNorm", TOKENS, lambda: E.LayerNorm(128), lambda: E.FusedLayerNorm(128), c=128),
    row("norm.RMSNorm", TOKENS, lambda: E.RMSNorm(128), lambda: E.FusedRMSNorm(128), c=128),
    row("norm.GroupNorm", IMAGE, lambda: E.GroupNorm(32), lambda: E.FusedGroupNorm(32), channels=32),
    *(row(f"norm.EvoNormB{k}", IMAGE, lambda k=k: E.EvoNormB(32, k), channels=32) for k in range(3)),
    *(row(f"norm.EvoNormS{k}", IMAGE, lambda k=k: E.EvoNormS(32, k), channels=32) for k in range(3)),
    row("kan.KAN", ROWS, lambda: E.KAN(64, 64), lambda: E.RecursiveKAN(64, 64), i=64, o=64),
    row("kan.KANMLP", ROWS, lambda: E.KANMLP(64), lambda: E.KANMLP(64, E.RecursiveKAN), c=64),
    row("conv.Conv2d", IMAGE, lambda: E.Conv2d(32, 32), c=32, o=32),
    row("conv.Conv1d", (16, 32, 256), lambda: E.Conv1d(32, 32), c=32, o=32),
    row("conv.DepthwiseConv2d", IMAGE, lambda: E.DepthwiseConv2d(32), c=32),
    row("conv.ConvTranspose2d", (16, 32, 14, 14), lambda: E.ConvTranspose2d(32, 32), c=32, o=32),
    row("attention.SelfAttention", TOKENS, lambda: E.SelfAttention(128), lambda: E.FusedSelfAttention(128), c=128),
    row("attention.SelfAttention", TOKENS, lambda: E.SelfAttention(128, causal=True),
        lambda: E.FusedSelfAttention(128, causal=True), {"causal": True}, c=128),
    row("attention.GroupedAttention", TOKENS, lambda: E.GroupedAttention(128), c=128),
    row("attention.DifferentialAttention", TOKENS, lambda: E.DifferentialAttention(128), c=128),
    row("attention.NormLin", TOKENS, lambda: E.NormLin(64, 128), channel=64, c=128),
    row("spectral.SpectralConv2d", (8, 24, 64, 64), lambda: E.SpectralConv2d(24, 24), i=24, o=24),
    row("vision.PatchEmbed", (64, 1, 28, 28), lambda: E.PatchEmbed(1, 128), channel=1, o=128, t=49),
    row("vision.TransformerBlock", TOKENS, lambda: E.TransformerBlock(128),
        lambda: E.TransformerBlock(128, norm=E.FusedLayerNorm, attention=E.FusedSelfAttention), c=128),
    row("vision.ResidualBlock", IMAGE, lambda: E.ResidualBlock(32), lambda: E.ResidualBlock(32, E.FusedBatchNorm2d), channels=32),
    row("kan.RBFKAN", ROWS, lambda: F.RBFKAN(64, 64), i=64, o=64),
    row("kan.ReLUKAN", ROWS, lambda: F.ReLUKAN(64, 64), i=64, o=64),
    row("kan.ChebyKAN", ROWS, lambda: F.ChebyKAN(64, 64), i=64, o=64),
    row("kan.FourierKAN", ROWS, lambda: F.FourierKAN(64, 64), i=64, o=64),
    row("kan.GRKANMLP", ROWS, lambda: F.GRKANMLP(64), c=64),
    row("kan.AFKAN", ROWS, lambda: F.AFKAN(64, 64), i=64, o=64),
    row("attention.FourierAttention", (16, 17, 48), lambda: F.FourierAttention(48, 17), c=48, t=17),
    row("rbf.GaussianRBF", ROWS, lambda: F.GaussianRBF(64, 10), i=64, o=10),
    row("binary.BiPerConv2d", IMAGE, lambda: F.BiPerConv2d(32, 32), c=32, o=32),
    row("hyper.WeightNormLinear", ROWS, lambda: F.WeightNormLinear(64, 64), i=64, o=64),
    row("multigrid.VCycle", (8, 8, 32, 32), lambda: F.VCycle(8, 8), f=8, u=8),
    row("recurrent.LSTM", (16, 32, 64), lambda: F.LSTM(64, 64), i=64, h=64),
    row("vision.DownsampleBlock", IMAGE, lambda: E.DownsampleBlock(32, 64), lambda: E.DownsampleBlock(32, 64, E.FusedBatchNorm2d),
        i=32, o=64),
]


def step(module: nn.Module, x: Tensor, dy: Tensor) -> None:
    """Forward and backward; gradients are dropped, as zero_grad does."""
    x.grad = None
    module.zero_grad()
    module(x).backward(dy)


def agree(ours: nn.Module, other: nn.Module, x: Tensor, name: str) -> Tensor:
    """Copy our weights into the other, compare one step of both, and return a cotangent. Raises SystemExit where they differ."""
    missing = other.load_state_dict(ours.state_dict(), strict=False).missing_keys
    if missing:
        raise SystemExit(f"{name}: the eager layer has {missing} and ours has not")
    y = ours(x)
    dy = torch.randn_like(y)
    found: list[list[Tensor]] = []
    for module in (ours, other):
        step(module, x, dy)
        found.append([module(x).detach(), x.grad, *(p.grad for _, p in sorted(module.named_parameters()))])
    for mine, theirs in zip(*found, strict=True):
        worst = (mine - theirs).abs().max() / theirs.abs().max().clamp(min=1)
        if not worst <= 1e-4:
            raise SystemExit(f"{name}: our result or gradient differs from the eager one by {worst:.1e}")
    return dy


def run(entry: Row, seconds: float) -> dict[str, object]:
    file, _, name = entry.layer.partition(".")
    torch.manual_seed(0)
    ours = getattr(archc.load(f"std.{file}", backend="torch", **entry.static), name)(**entry.arguments)
    x = torch.randn(entry.shape, requires_grad=True)
    modules = {"archc": ours, "plain": entry.plain()}
    if entry.fused is not None:
        modules["fused"] = entry.fused()
    for other in list(modules.values())[1:]:
        dy = agree(ours, other, x, entry.name)
    samples = measure.measure({key: lambda m=module: step(m, x, dy) for key, module in modules.items()}, seconds)
    return {"layer": entry.name, "shape": list(entry.shape),
            "ms": {key: statistics.median(found) * 1e3 for key, found in samples.items()},
            "rounds": len(samples["archc"]),
            "ratio": measure.times(samples["archc"], samples["plain"])[1],
            "ratio_fused": measure.times(samples["archc"], samples["fused"])[1] if "fused" in samples else None}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--seconds", type=float, default=1.5, help="time for a row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bar", type=float, default=1.1)
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    found = []
    print(f"{'layer':30} {'archc':>9} {'eager':>9} {'ratio':>6}   {'fused':>9} {'ratio':>6}   ms a training step")
    for entry in SUITE:
        if settings.only in entry.name:
            result = run(entry, settings.seconds)
            found.append(result)
            ms = result["ms"]
            line = f"{result['layer']:30} {ms['archc']:9.3f} {ms['plain']:9.3f} {result['ratio']:6.2f}"
            if result["ratio_fused"]:
                line += f"   {ms['fused']:9.3f} {result['ratio_fused']:6.2f}"
            print(line + ("   over the bar" if result["ratio"] > settings.bar else ""), flush=True)
    if settings.out:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.write_text(json.dumps({"machine": machine.described(), "rows": found}, indent=1) + "\n")
    slow = [result["layer"] for result in found if result["ratio"] > settings.bar]
    print(f"{len(found) - len(slow)} of {len(found)} within {settings.bar} times the plain eager layer")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
