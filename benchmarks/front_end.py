"""How long reading takes: whole commands on the largest example, the parse tables, 1,000 lines of source, the first error.

    python benchmarks/front_end.py [--json]

Medians of several runs, in milliseconds, beside what each is meant to stay under.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from archc.api import graph
from archc.diagnostics.model import Problems
from archc.diagnostics.suggest import nearest
from archc.passes.simplify import simplify
from archc.resources import folder
from archc.syntax import mistakes, tables
from archc.syntax.parse import parse


def median(run: Callable[[], object], before: Callable[[], object] = lambda: None, runs: int = 9) -> float:
    """Milliseconds."""
    samples = []
    for _ in range(runs):
        before()
        start = time.perf_counter()
        run()
        samples.append(1e3 * (time.perf_counter() - start))
    return statistics.median(samples)


ROOT = Path(__file__).resolve().parents[1]
LARGEST = str(max((ROOT / "examples").rglob("*.arch"), key=lambda path: path.stat().st_size))


def process(*command: str) -> Callable[[], object]:
    """A whole Python process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "compiler")}
    return lambda: subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT, env=environment)


def thousand_lines() -> str:
    library = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder("stdlib").glob("*.arch")))
    lines = library.splitlines()
    return "\n".join((lines * (1000 // len(lines) + 1))[:1000]) if len(lines) < 1000 else library


def forget_errors() -> None:
    mistakes.first_errors.cache_clear()
    mistakes.situation.cache_clear()
    tables.load()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--json", action="store_true")
    arguments = options.parse_args()
    text = thousand_lines()
    scale = 1000 / len(text.splitlines())
    block = graph("std.vision", "TransformerBlock")
    simplify(block)
    out = tempfile.TemporaryDirectory()
    measured = {
        "archc check, the whole process": (median(process("-m", "archc", "check", LARGEST)), 300.0),
        "archc compile, the whole process": (median(process("-m", "archc", "compile", LARGEST, "-o", f"{out.name}/out")), 2000.0),
        "import archc, the whole process": (median(process("-c", "import archc")), 150.0),
        "load the parse tables": (median(tables.load, tables.load.cache_clear), 10.0),
        "parse 1,000 lines": (scale * median(lambda: parse(text, "library.arch", Problems())), 150.0),
        "explain the first syntax error": (
            median(lambda: parse("fn f(x) { a < b < c }", "x.arch", Problems()), forget_errors), 50.0),
        "suggest among 300 long names": (median(lambda: nearest("a" * 200, ["b" * 200 + str(i) for i in range(300)])), 50.0),
        "simplify a transformer block": (median(lambda: simplify(block)), 50.0),
    }
    out.cleanup()
    if arguments.json:
        print(json.dumps({name: {"ms": round(ms, 2), "bar_ms": bar} for name, (ms, bar) in measured.items()}, indent=2))
        return
    for name, (ms, bar) in measured.items():
        print(f"{name:32} {ms:8.1f} ms   (under {bar:g} ms)")


if __name__ == "__main__":
    main()
