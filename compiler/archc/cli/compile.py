"""`archc compile`: a file's layers as a Python package."""

from __future__ import annotations

import argparse
from pathlib import Path

from archc.cli.values import add_static, pairs

EXAMPLES = """examples:
  archc compile kat.arch -o build/kat
  archc compile std.norm -o build/norm --target cpp
  archc compile gate.arch -o build/gate --layer Gate --set squeeze=8
  archc compile std.spectral -o build/fno --pairs"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="DIR", help="the package's folder; replaced as a whole")
    parser.add_argument("--layer", dest="layers", action="append", metavar="NAME", help="only this layer; give it again for more")
    add_static(parser)
    parser.add_argument("--pairs", action="store_true", help="complex numbers as pairs of floats, for torch.export and ONNX")
    parser.add_argument("--target", choices=["torch", "cpp", "triton"], default="torch",
                        help="with kernels: cpp, in C++ for CPUs; triton, for GPUs; built when they are first used (torch)")


def run(options: argparse.Namespace) -> int:
    from archc import api

    static = pairs(options.static, "--set")
    targets = list(dict.fromkeys(["torch", options.target]))
    files = api.compile(options.file, options.out, targets=targets, static=static, layers=options.layers, pairs=options.pairs)
    print(f"{options.out}: {', '.join(path.name for path in files)}")
    return 0
