"""`archc graph`: a picture of a layer's graph."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from archc.cli.main import UsageError
from archc.cli.values import add_static, layer_of, pairs
from archc.store import replace_text

EXAMPLES = """examples:
  archc graph norm.arch --layer Norm -o norm.svg
  archc graph model.arch --layer Block -o block.svg --depth 2
  archc graph model.arch --layer Edge -o edge.dot --dot"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="where to write it; - for standard output")
    parser.add_argument("--layer", metavar="NAME", help="the layer (the file's only one)")
    parser.add_argument("--method", metavar="NAME", default="forward", help="(forward)")
    parser.add_argument("--mode", choices=["train", "eval"], default="train", help="which of the layer's two graphs (train)")
    add_static(parser)
    parser.add_argument("--depth", type=int, default=0, metavar="N", help="open sub-layers N levels deep (0)")
    parser.add_argument("--dot", action="store_true", help="write the DOT language and not SVG")


def run(options: argparse.Namespace) -> int:
    from archc import api
    from archc.analyze.draw.dot import dot
    from archc.analyze.draw.picture import picture
    from archc.analyze.draw.svg import svg

    program = api.open_program(options.file)
    if os.path.exists(options.out) and any(os.path.exists(p) and os.path.samefile(p, options.out) for p in program.sources):
        raise UsageError(f"-o {options.out} is what the picture is drawn from; give it a file of its own")
    package = api.package(program, [layer_of(program, options)], pairs(options.static, "--set"))
    module = package.modules[package.roots[0]]
    methods = [method.name for method in module.methods]
    if options.method not in methods:
        raise UsageError(f"{module.name} has no method '{options.method}'; it has {', '.join(methods)}")
    with api.guarded(options.file):
        drawn = picture(package, package.roots[0], method=options.method, mode=options.mode, depth=options.depth)
        text = dot(drawn) if options.dot else svg(drawn)
    if options.out == "-":
        sys.stdout.write(text)
    else:
        replace_text(Path(options.out), text)
        print(options.out)
    return 0
