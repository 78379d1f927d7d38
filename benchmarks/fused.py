"""Fused C++ kernels beside eager torch, Inductor and a plain copy, forward and as a training step.

    python benchmarks/fused.py [--only NAME] [--out FILE.json] [--seconds 2] [--threads 2]

All columns of a row are run in turn in one process, one sample a round; a figure is the median of the rounds' ratios. `copy` is
the time to copy the input once, for a step three times: input, cotangent and gradient cannot be spared. Before anything is timed,
results and gradients are compared in float64; a row whose outputs differ is refused.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import eager as E
import torch
from eager_parity import agree, measure, ratio, step
from torch import nn

import archc


@dataclass(frozen=True)
class Row:
    layer: str
    shape: tuple[int, ...]
    plain: Callable[[], nn.Module]
    arguments: Mapping[str, int] = field(default_factory=dict)


SIZES = {"small": (8, 16, 14, 14), "medium": (32, 64, 32, 32), "large": (32, 128, 64, 64)}
TOKENS = {"small": (4, 64, 64), "medium": (16, 256, 512), "large": (16, 1024, 768)}


def rows() -> list[tuple[str, Row]]:
    found: list[tuple[str, Row]] = []
    for size, shape in SIZES.items():
        c = shape[1]
        found += [
            (size, Row("norm.EvoNormS0", shape, lambda c=c: E.EvoNormS(c, 0), {"channels": c})),
            (size, Row("norm.EvoNormB0", shape, lambda c=c: E.EvoNormB(c, 0), {"channels": c})),
            (size, Row("norm.BatchNorm2d", shape, lambda c=c: E.BatchNorm2d(c), {"channels": c})),
            (size, Row("norm.GroupNorm", shape, lambda c=c: E.GroupNorm(c), {"channels": c})),
        ]
    for size, shape in TOKENS.items():
        c = shape[-1]
        found += [
            (size, Row("norm.LayerNorm", shape, lambda c=c: E.LayerNorm(c), {"c": c})),
            (size, Row("norm.RMSNorm", shape, lambda c=c: E.RMSNorm(c), {"c": c})),
        ]
    return found


def run(size: str, entry: Row, seconds: float) -> dict[str, object]:
    file, _, name = entry.layer.partition(".")
    torch.manual_seed(0)
    modules: dict[str, nn.Module] = {
        "cpp": getattr(archc.load(f"std.{file}", backend="cpp"), name)(**entry.arguments),
        "torch": getattr(archc.load(f"std.{file}", backend="torch"), name)(**entry.arguments),
        "eager": entry.plain(),
    }
    exact = torch.randn(entry.shape, dtype=torch.float64, requires_grad=True)
    for other in ("torch", "eager"):
        dy = agree(modules["cpp"].double(), modules[other].double(), exact, name).float()
    x = exact.detach().float().requires_grad_()
    for module in modules.values():
        module.float()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules["inductor"] = torch.compile(entry.plain())
        modules["inductor"].load_state_dict({f"_orig_mod.{k}": v for k, v in modules["eager"].state_dict().items()})
        step(modules["inductor"], x, dy)
    into = torch.empty_like(x)
    columns: dict[str, Callable[[], object]] = {key: lambda m=m: m(x) for key, m in modules.items()}
    columns["copy"] = lambda: into.copy_(x.detach())
    with torch.no_grad():
        forward = measure(columns, seconds)
    steps: dict[str, Callable[[], object]] = {key: lambda m=m: step(m, x, dy) for key, m in modules.items()}
    steps["copy"] = lambda: (into.copy_(x.detach()), into.copy_(x.detach()), into.copy_(dy))
    training = measure(steps, seconds)
    result: dict[str, object] = {"layer": name, "size": size, "shape": list(entry.shape)}
    for title, samples in (("forward", forward), ("step", training)):
        result[title] = {"ms": {key: statistics.median(found) * 1e3 for key, found in samples.items()},
                         "times": {key: ratio(samples["cpp"], found) for key, found in samples.items() if key != "cpp"}}
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = []
    head = ("layer", "size", "", "cpp ms", "of copy", "of torch", "of eager", "of inductor")
    print("{:14} {:7} {:8} {:>8} {:>8} {:>8} {:>8} {:>11}".format(*head))
    for size, entry in rows():
        if options.only and options.only not in f"{entry.layer} {size}":
            continue
        result = run(size, entry, options.seconds)
        found.append(result)
        for title in ("forward", "step"):
            part: dict[str, dict[str, float]] = result[title]  # type: ignore[assignment]
            times = part["times"]
            print(f"{result['layer']:14} {size:7} {title:8} {part['ms']['cpp']:8.3f} {times['copy']:8.2f} {times['torch']:8.2f} "
                  f"{times['eager']:8.2f} {times['inductor']:11.2f}", flush=True)
    for title in ("forward", "step"):
        for other in ("eager", "inductor"):
            logs = [math.log(r[title]["times"][other]) for r in found]  # type: ignore[index]
            if logs:
                print(f"{title}: geometric mean {1 / math.exp(statistics.fmean(logs)):.2f} times as fast as {other}")
    if options.out:
        options.out.write_text(json.dumps({"machine": platform.processor() or platform.machine(), "torch": torch.__version__,
                                           "threads": options.threads, "rows": found}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
