"""`archc ir`: a layer's graph as text, before or after passes."""

from __future__ import annotations

import argparse
from difflib import get_close_matches, unified_diff
from itertools import pairwise

from archc.cli.main import UsageError
from archc.cli.values import add_static, layer_of, pairs
from archc.ir.graph import Graph
from archc.passes.base import Pass

EXAMPLES = """examples:
  archc ir norm.arch --layer Norm
  archc ir norm.arch --layer Norm --for training --after gradient
  archc ir norm.arch --layer Norm --for training --diff
  archc ir norm.arch --layer Norm --run simplify,hoist"""

MODES = ("inference", "training", "second-order", "forward", "step", "torch")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("--layer", metavar="NAME", help="the layer (the file's only one)")
    parser.add_argument("--method", metavar="NAME", default="forward", help="(forward)")
    parser.add_argument("--mode", choices=["train", "eval"], default="train", help="which of the layer's two graphs (train)")
    add_static(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--run", metavar="P,Q", help="run these passes, in this order")
    what.add_argument("--for", dest="pipeline", choices=MODES, help="run the passes of a pipeline")
    parser.add_argument("--after", metavar="PASS", help="stop after this pass, at its last place in the pipeline (of training)")
    parser.add_argument("--diff", action="store_true", help="show what each pass changed, and not the whole graphs")
    parser.add_argument("--list", action="store_true", help="list the passes and pipelines")


def run(options: argparse.Namespace) -> int:
    from archc import pipelines
    from archc.ir.text import write
    from archc.watch import run as watched

    if options.list:
        return _list()
    if options.file is None:
        raise UsageError("say which FILE to read, or give --list")
    passes = _chosen(options)
    graph = _graph(options)
    texts = [("the source", write(graph))]
    result = watched(graph, passes, lambda step: texts.append((step.done.name, write(step.after))))
    if not options.diff:
        print(texts[-1][1], end="")
        print(*_held(result), sep="\n", end="")
        return 0
    for (before, old), (after, new) in pairwise(texts):
        print(f"== {after}: {pipelines.PASSES[after].sentence}")
        lines = list(unified_diff(old.splitlines(), new.splitlines(), before, after, lineterm="", n=2))
        print("\n".join(lines[2:]) if lines else "nothing changed")
    return 0


def _held(graph: Graph) -> list[str]:
    """Comments that say what loops keep for one another, and how many bytes that is if a float has 4."""
    from archc.analyze.symbolic import symbol_text
    from archc.checker.sizes import Size
    from archc.checker.types import LEADING
    from archc.ir import cost
    from archc.ir.text import value_names

    names, rows = value_names(graph), {LEADING: Size.symbol("rows")}
    found = {value: size.substitute(rows) for value, size in cost.held(graph).items()}
    lines = [f"# held from loop to loop: {names[value]}, {symbol_text(size)} bytes" for value, size in found.items()]
    if len(found) > 1:
        lines.append(f"# together {symbol_text(sum(found.values(), Size.of(0)))} bytes")
    return [*lines, ""] if lines else []


def _list() -> int:
    from archc import pipelines

    width = max(map(len, pipelines.PASSES))
    for current in pipelines.PASSES.values():
        print(f"{current.name:{width}}  {current.sentence} ({current.keeps.value})")
    for name, passes in pipelines.MODES.items():
        print(f"\n{name}: {' '.join(current.name for current in passes)}")
    return 0


def _chosen(options: argparse.Namespace) -> list[Pass]:
    """The passes to run: those of --run, or of a pipeline up to --after."""
    from archc import pipelines

    passes: list[Pass] = []
    if options.run is not None:
        names = [name.strip() for name in options.run.split(",") if name.strip()]
        passes = [pipelines.PASSES[_known(name, list(pipelines.PASSES))] for name in names]
    elif options.pipeline or options.after or options.diff:
        passes = list(pipelines.MODES[options.pipeline or "training"])
    if options.after is None:
        return passes
    names = [current.name for current in passes]
    last = len(names) - names[::-1].index(_known(options.after, names))
    return passes[:last]


def _known(name: str, names: list[str]) -> str:
    if name in names:
        return name
    near = get_close_matches(name, names, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(dict.fromkeys(names))}"
    raise UsageError(f"there is no pass '{name}' to run here; {hint} (archc ir --list)")


def _graph(options: argparse.Namespace) -> Graph:
    """A method of the layer asked for, or of the file's only one, with sub-layers inlined."""
    from archc import api
    from archc.ir.lower import lower_graph

    program = api.open_program(options.file)
    unit = api.unit(program, layer_of(program, options), pairs(options.static, "--set"))
    methods = [method.name for method in unit.methods]
    if options.method not in methods:
        raise UsageError(f"{unit.name} has no method '{options.method}'; it has {', '.join(methods)}")
    with api.guarded(options.file):
        return lower_graph(unit, options.method, options.mode)
