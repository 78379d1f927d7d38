"""`archc explain`: what a layer costs, by sub-layer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archc.cli.main import InputError, UsageError
from archc.cli.values import add_static, layer_of, pairs

if TYPE_CHECKING:
    from archc.analyze.saved import Kept
    from archc.checker.program import Program
    from archc.ir.module import Module

EXAMPLES = """examples:
  archc explain model.arch --layer Block
  archc explain model.arch --layer Block --arg c=64 --size rows=8 t=128
  archc explain model.arch --layer Stem --arg channels=16 --size n=32 h=28 w=28 --json
  archc explain model.arch --layer Block --arg c=64 --size rows=8 t=128 --kernels

Sizes that are not given stay symbols; `rows` is that of all leading dimensions together."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("--layer", metavar="NAME", help="the layer (the file's only one)")
    parser.add_argument("--method", metavar="NAME", default="forward", help="(forward)")
    parser.add_argument("--mode", choices=["train", "eval"], default="train", help="(train)")
    add_static(parser)
    parser.add_argument("--arg", action="extend", nargs="+", default=[], metavar="NAME=VALUE",
                        help="an argument of the constructor: --arg c=64 heads=4")
    parser.add_argument("--size", action="extend", nargs="+", default=[], metavar="NAME=VALUE",
                        help="the size of an axis of the inputs: --size n=32 t=49")
    parser.add_argument("--data", action="store_true", help="the inputs are data: no gradient is asked of them")
    parser.add_argument("--depth", type=int, metavar="N", help="only the first N levels of sub-layers")
    parser.add_argument("--kernels", action="store_true", help="each kernel of the C++ target: bytes, arithmetic, what ends it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from archc import api
    from archc.analyze import explain, figures
    from archc.analyze.binding import Unfit

    program = api.open_program(options.file)
    static = pairs(options.static, "--set")
    package = api.simplified(api.package(program, [layer_of(program, options)], static))
    key = package.roots[0]
    module = package.modules[key]
    methods = [method.name for method in module.methods]
    if options.method not in methods:
        raise UsageError(f"{module.name} has no method '{options.method}'; it has {', '.join(methods)}")
    numbers, axes, rows = figures.symbols_of(package, key, options.method, options.mode)
    others = {number.name for number in module.numbers} - set(numbers)
    given = _numbers(options, numbers, [rows if axis == "..." else axis for axis in axes], others)
    sizes = {("..." if name == rows and "..." in axes else name): value for name, value in given.items() if name not in others}
    try:
        report = figures.analyse(package, key, sizes, method=options.method, mode=options.mode, data=options.data)
        if options.kernels:
            from archc.cli import kernel_table

            return kernel_table.run(program, module.name, report, given, options, static)
        found = explain.explained(report, lambda more: _kept(program, module, report, {**given, **more}, options, static),
                                  _gradients(program, module, report, options, static))
    except Unfit as error:
        raise InputError(str(error)) from error
    if options.depth is not None:
        found = explain.down_to(found, options.depth)
    if options.json:
        asked = {"file": options.file, "method": options.method, "mode": options.mode}
        print(json.dumps({**asked, **explain.as_json(found)}, indent=2))
    else:
        from archc.cli import tables

        tables.show(found, options, sys.stdout.isatty())
    return 0


def _gradients(program: Program, module: Module, report: Any, options: argparse.Namespace,
               static: Mapping[str, object]) -> Any:
    """What all gradients cost; None where the method has none."""
    from archc import api, pipelines
    from archc.analyze import figures
    from archc.diagnostics.model import ArchError
    from archc.ir.lower import lower_graph
    from archc.passes import base

    if next(m for m in module.methods if m.name == options.method).no_grad:
        return None
    graph = lower_graph(api.unit(program, module.name, static), options.method, options.mode)
    try:
        return figures.gradients(base.run(graph, pipelines.TRAINING, verify=False), report)
    except ArchError:  # an operation without derivative
        return None


def _numbers(options: argparse.Namespace, numbers: list[str], axes: list[str], others: set[str]) -> dict[str, Any]:
    """What --arg and --size give, each known and a number."""
    found: dict[str, Any] = {}
    for flag, texts, known in (("--arg", options.arg, {*numbers, *others}), ("--size", options.size, {*axes, *numbers})):
        for name, value in pairs(texts, flag).items():
            if name not in known:
                raise UsageError(f"{flag} takes {', '.join(sorted(known)) or 'nothing here'}, not '{name}'")
            if name not in others and (type(value) is not int or value < 0):
                raise UsageError(f"{flag} {name} is a whole number of at least 0, not '{value}'")
            found[name] = value
    return found


def _kept(program: Program, module: Module, report: Any, given: Mapping[str, Any], options: argparse.Namespace,
          static: Mapping[str, object]) -> list[Kept]:
    """What torch keeps of a call at these sizes; on the CPU where the layer looks at values and the call is small."""
    from archc.analyze import saved

    values = report.values(given)
    shapes = {name: tuple(size.evaluate(values) for size in shape) for name, shape in report.inputs.items()}
    method = next(m for m in module.methods if m.name == options.method)
    dtypes = {port.name: port.type.dtype for port in method.train.inputs}
    arguments = {number.name: values[number.name] for number in module.numbers if number.name in values}

    def ask(device: str) -> list[Kept]:
        return saved.kept(lambda where: _class(program, module.name, static)(**arguments, device=where), shapes, dtypes,
                          method=options.method, training=options.mode == "train", data=options.data, device=device)

    try:
        return ask("meta")
    except ValueError as error:  # the module's own sentence
        if report.open:
            raise saved.Unknown(f"the open sizes are bound to one another: {error}") from error
        raise InputError(str(error)) from error
    except saved.Unknown:
        work = report.layer.total.work
        if report.open or (work.read + work.written).evaluate({}) > LARGEST:
            raise
        return ask("cpu")


LARGEST = 1 << 28
"""Bytes moved by a call that is run on the CPU to see what it keeps."""


def _class(program: Program, layer: str, static: Mapping[str, object]) -> Any:
    from archc.loaded import Namespace

    return getattr(Namespace(program, "explained", static), layer)
