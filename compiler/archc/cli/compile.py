"""`archc compile`: a file's layers as a Python package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from archc.cli.values import add_static, pairs

GPUS = ("sm_80", "sm_90", "sm_100", "gfx942")

EXAMPLES = """examples:
  archc compile kat.arch -o build/kat
  archc compile std.norm -o build/norm --target cpp
  archc compile std.norm -o build/norm --target sm_90 --cubin
  archc compile gate.arch -o build/gate --layer Gate --set squeeze=8
  archc compile std.spectral -o build/fno --pairs"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="the package's folder; replaced as a whole")
    parser.add_argument("--layer", dest="layers", action="append", metavar="NAME", help="only this layer; give it again for more")
    add_static(parser)
    parser.add_argument("--pairs", action="store_true", help="complex numbers as pairs of floats, for torch.export and ONNX")
    parser.add_argument("--target", default="torch", choices=["torch", "cpp", "triton", *GPUS],
                        help="with kernels: cpp, in C++ for CPUs; triton, for GPUs; built when they are first used; the name of "
                             "a GPU: as triton, compiled for it here, with a report (torch)")
    parser.add_argument("--cubin", action="store_true", help="with the name of a GPU: also write what the kernels compile to")


def run(options: argparse.Namespace) -> int:
    from archc import api

    static = pairs(options.static, "--set")
    gpu = options.target if options.target in GPUS else None
    targets = list(dict.fromkeys(["torch", "triton" if gpu else options.target]))
    files = api.compile(options.file, options.out, targets=targets, static=static, layers=options.layers, pairs=options.pairs)
    print(f"{options.out}: {', '.join(path.name for path in files)}")
    return report(options, static, gpu) if gpu else 0


def report(options: argparse.Namespace, static: Mapping[str, object], gpu: str) -> int:
    """Compiles the kernels for a GPU that need not be here, and prints what they take."""
    from archc import api
    from archc.analyze.cubin import CubinError, compiled, specs
    from archc.cli.tables import table

    text, kernels = api.triton_kernels(options.file, static=static, layers=options.layers)
    if not kernels:
        print("there are no kernels: nothing here is worth one")
        return 0
    try:
        found = compiled(text, list(specs(kernels)), gpu, options.out / gpu if options.cubin else None)
    except CubinError as problem:
        print(problem, file=sys.stderr)
        return 1
    rows = [[r.function, str(r.registers), str(r.spilled), str(r.shared), widths(r.loads), widths(r.stores)] for r in found]
    table(["kernel", "registers", "spilled", "shared", "loads", "stores"], rows, 1, sys.stdout.isatty())
    print(f"{gpu}, float32, sizes that are multiples of 16; loads and stores: instructions x bits")
    return 0


def widths(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {bits}" for bits, count in sorted(counts.items(), key=lambda item: -int(item[0]))) or "none"
