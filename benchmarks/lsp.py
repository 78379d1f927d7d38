"""How long an editor waits: answers of `archc lsp` on a file of 500 lines, measured over standard input and output.

    python benchmarks/lsp.py [--lines 500] [--runs 30] [--out FILE.json]

From the moment an edit is sent to the diagnostics of that version (the server's pause included), and from a question sent right
after an edit, before anything was analysed, to its answer. Exit status 1 if a median or a 95th percentile is not under 100 ms.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from archc.resources import folder  # noqa: E402
from tests.lsp.client import Client  # noqa: E402

BAR = 100.0
MODULES = ("activation", "linear", "norm", "kan", "conv")
"""Modules of the library put one after the other, without their imports and what stands in two of them."""


def text_of(lines: int) -> str:
    """A program of about that many lines, of whole declarations of the library."""
    library = folder("stdlib")
    parts: list[str] = []
    for module in MODULES:
        source = (library / f"{module}.arch").read_text(encoding="utf-8")
        parts += [line for line in source.split("\n") if not line.startswith("import ")]
    end = next(n for n, line in enumerate(parts) if n + 1 >= lines and line == "}")
    return "\n".join(parts[: end + 1]) + "\n"


def measure(client: Client, folder_: Path, lines: int, runs: int) -> dict[str, list[float]]:
    text = text_of(lines)
    uri = client.open(folder_ / "large.arch", text)
    client.diagnostics(uri)
    rows = text.split("\n")
    # A line in the middle of a body, and one in a function that others are made of.
    row = next(n for n, line in enumerate(rows) if n > len(rows) // 2 and line.strip().startswith("return"))
    column = len(rows[row])
    samples: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[[], object]) -> None:
        start = time.perf_counter()
        run()
        samples.setdefault(name, []).append(1e3 * (time.perf_counter() - start))

    place = {"textDocument": {"uri": uri}, "position": {"line": row, "character": len(rows[row]) - len(rows[row].lstrip()) + 8}}
    layout = {"textDocument": {"uri": uri}, "options": {"tabSize": 4, "insertSpaces": True}}
    for turn in range(runs):
        added = turn % 2 == 0

        def edit(added: bool = added) -> int:
            return client.edit(uri, row, column, " + 1" if added else "", 0 if added else 4)

        timed("edit to diagnostics", lambda: client.diagnostics(uri, edit()))
        timed("edit and hover", lambda: (client.edit(uri, row, column, " "), client.ask("textDocument/hover", place)))
        client.diagnostics(uri, client.versions[uri])
        timed("edit and completion", lambda: (client.edit(uri, row, column, "", 1), client.ask("textDocument/completion", place)))
        client.diagnostics(uri, client.versions[uri])
        timed("hover", lambda: client.ask("textDocument/hover", place))
        timed("definition", lambda: client.ask("textDocument/definition", place))
        timed("formatting", lambda: client.ask("textDocument/formatting", layout))
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Client(Path(name)) as client:
        samples = measure(client, Path(name), options.lines, options.runs)
    length = len(text_of(options.lines).split("\n"))
    print(f"a file of {length} lines; milliseconds\n{'':24} {'median':>8} {'p95':>8} {'worst':>8}")
    figures = {what: {"median_ms": statistics.median(times), "p95_ms": statistics.quantiles(times, n=20)[-1],
                      "worst_ms": max(times)} for what, times in samples.items()}  # fmt: skip
    for what, row in figures.items():
        print(f"{what:24} " + " ".join(f"{value:8.1f}" for value in row.values()))
    if options.out:
        rounded = {what: {name: round(value, 2) for name, value in row.items()} for what, row in figures.items()}
        about = {"lines": length, "runs": options.runs, "python": platform.python_version(), "machine": platform.machine()}
        options.out.write_text(json.dumps({**about, "figures": rounded}, indent=2) + "\n", encoding="utf-8")
    return int(any(max(row["median_ms"], row["p95_ms"]) >= BAR for row in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
