"""From nothing to the first fused training step, beyond the imports: compile, build, forward and backward; then from the cache.

    python benchmarks/first_step.py [--only std.norm] [--out FILE.json]

Each layer runs in a process of its own that has imported torch and archc, once with an empty cache of kernels and once more with
what the first has left. `compile` is archc's share of that; `processor` is the time of all processors in the first, which says
more than its seconds where other processes run beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "compiler")]

CHILD = """
import json, os, sys, time
import torch, archc, archc.api
from archc.runtime import native
from tests.example_lines import EXAMPLES
example = next(e for e in EXAMPLES if str(e) == sys.argv[1])
inputs = example.inputs()
begin, before = time.perf_counter(), sum(os.times()[:4])
declared = next(d.node for d in archc.api.open_program(example.source).layers if d.name == example.layer)
static = {name: value for name, value in example.arguments.items() if name in archc.api.static_names(declared)}
layer = getattr(archc.load(example.source, backend="cpp", **static), example.layer)
compiled = time.perf_counter() - begin
module = layer(**{name: value for name, value in example.arguments.items() if name not in static})
results = module(*[x.requires_grad_(x.is_floating_point()) for x in inputs])
results = [y for y in (results if isinstance(results, tuple) else (results,)) if y.requires_grad]
if results:
    torch.autograd.backward(results, [torch.ones_like(y) for y in results])
print(json.dumps([time.perf_counter() - begin, compiled, sum(os.times()[:4]) - before]))
"""


def run(example: str, cache: str) -> tuple[float, float, float]:
    environment = {**os.environ, "ARCHC_CACHE": cache, "OMP_WAIT_POLICY": "PASSIVE",
                   "PYTHONPATH": f"{ROOT / 'compiler'}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", CHILD, example], capture_output=True, text=True, check=True, env=environment)
    whole, compiled, processor = json.loads(done.stdout.splitlines()[-1])
    return whole, compiled, processor


def main() -> int:
    from tests.example_lines import EXAMPLES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="std.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    print(f"{'layer':52} {'cold, s':>8} {'warm, s':>8} {'compile':>8} {'processor':>10}")
    for example in EXAMPLES:
        if options.only not in f"{example.source} {example.layer}":
            continue
        with tempfile.TemporaryDirectory() as cache:
            (cold, _, processor), (warm, compiled, _) = run(str(example), cache), run(str(example), cache)
        rows.append({"layer": str(example), "cold": cold, "warm": warm, "compile": compiled, "processor": processor})
        print(f"{example!s:52} {cold:8.2f} {warm:8.2f} {compiled:8.2f} {processor:10.2f}", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
