"""`archc bench`: a layer, or the suite, beside other ways to compute it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.cli.main import InputError, UsageError
from archc.cli.values import add_static, pairs

if TYPE_CHECKING:
    from archc.bench.run import Asked

EXAMPLES = """examples:
  archc bench gate.arch --layer Gate --sizes n=32,channels=64,h=32,w=32
  archc bench kat.arch --layer Block --sizes rows=1024,i=256,o=256 --set order=3
  archc bench --suite --quick --out benchmarks/results/suite.json --chart docs/img/suite.svg
  archc bench --suite --only attention --seconds 5

Nothing is timed whose results or gradients differ from the layer in plain torch, in float64. Columns run in turn, one sample
a round. Sizes are those of the inputs' axes and of the constructor's arguments; `rows` is that of all leading dimensions."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a .arch file, or a module of the library: std.kan")
    parser.add_argument("--layer", dest="layers", action="append", default=[], metavar="NAME",
                        help="the layer (the file's only one); give it again for more")
    parser.add_argument("--sizes", action="extend", nargs="+", default=[], metavar="NAME=N,...", help="n=32,h=28,w=28")
    add_static(parser)
    parser.add_argument("--suite", action="store_true", help="the suite of archc's repository instead of a FILE")
    parser.add_argument("--quick", action="store_true", help="of the suite, one row a kind: for ten minutes of a quiet machine")
    parser.add_argument("--only", metavar="WORDS", help="of the suite, rows whose name, family and size hold these")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="to measure a row, forward and step each (2)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, metavar="N", help="(all cores)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(cpu)")
    parser.add_argument("--limit", type=float, default=60.0, metavar="S", help="for torch.compile to compile a row (60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="compilations at a time (all cores)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all figures there")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw how many times as fast there")


def run(options: argparse.Namespace) -> int:
    from archc.bench.errors import BenchError

    for name, least in (("seconds", 0.0), ("limit", 0.0), ("threads", 0), ("jobs", 0)):
        if not getattr(options, name) > least:
            raise UsageError(f"--{name} is greater than 0, not {getattr(options, name):g}")
    if options.suite == (options.file is not None):
        raise UsageError("say what to measure: a FILE, or --suite")
    if not options.suite and (options.only or options.quick):
        raise UsageError(f"{'--only' if options.only else '--quick'} chooses from the suite: --suite")
    if options.suite and (options.layers or options.sizes or options.static):
        raise UsageError("--layer, --sizes and --set are for a FILE; --only chooses from the suite")
    # Before torch is loaded: threads that spin while they wait take the core from the one they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _bench(options)
    except BenchError as error:
        raise InputError(str(error)) from None


def _bench(options: argparse.Namespace) -> int:
    import sys

    from archc.bench import run as runs
    from archc.bench import table

    asked = _suite(options) if options.suite else _own(options)
    _device(options.device)
    settings = runs.Options(options.seconds, options.threads, options.device, options.limit, options.jobs)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def keep(found: dict[str, Any]) -> None:
        if options.out:
            _write(options.out, json.dumps(found, indent=1) + "\n")

    found = runs.run(asked, settings, say, keep)
    say("")
    if options.chart:
        from archc.bench import chart

        _write(options.chart, chart.drawn(found))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        table.show(found)
    return 1 if any("forward" not in row for row in found["rows"]) else 0


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _device(device: str) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch sees no GPU here (`archc doctor` says what this machine can run)")


def _suite(options: argparse.Namespace) -> list[Asked]:
    from archc.bench import cases
    from archc.bench.run import Asked

    words = (options.only or "").lower().split()
    found = [case for case in cases.suite() if all(w in f"{case.name} {case.family} {case.size}".lower() for w in words)]
    found = [case for case in found if case.quick or not options.quick]
    if not found:
        raise InputError(f"no row of the suite has '{options.only}' in its name, family and size")
    return [Asked(case, {"key": case.key}) for case in found]


def _own(options: argparse.Namespace) -> list[Asked]:
    from archc import api
    from archc.bench.own import own
    from archc.bench.run import Asked

    names = [declared.name for declared in api.open_program(options.file).layers]
    if not options.layers and len(names) != 1:
        raise UsageError(f"say which layer of '{options.file}': --layer NAME, one of {', '.join(names) or 'none'}")
    sizes = pairs((part for text in options.sizes for part in text.split(",") if part), "--sizes")
    static = pairs(options.static, "--set")
    specs = [{"file": options.file, "layer": layer, "sizes": sizes, "static": static} for layer in options.layers or names]
    return [Asked(own(**spec), spec) for spec in specs]
