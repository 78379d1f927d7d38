"""What the environment asks to see of passes, for whoever works on archc:

    ARCHC_VERIFY=0|1|2   after each pass: nothing is verified, the types are (the default), values on random inputs as well
    ARCHC_TIME=1         how long each pass took, on standard error
    ARCHC_DUMP=DIR       each graph before the first pass and after each that changed it, numbered, and what changed
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable
from difflib import unified_diff
from pathlib import Path

from archc.diagnostics import codes
from archc.diagnostics.model import Problem, UserError
from archc.ir.graph import Graph
from archc.passes import base
from archc.passes.base import Pass, Step

LEVELS = ("0", "1", "2")
_numbers = itertools.count()


def run(graph: Graph, passes: Iterable[Pass], after: Callable[[Step], None] | None = None) -> Graph:
    """`passes.base.run`, watched. Raises UserError for a setting that means nothing."""
    level, folder = os.environ.get("ARCHC_VERIFY", "1"), os.environ.get("ARCHC_DUMP", "")
    if level not in LEVELS:
        facts = {"name": "ARCHC_VERIFY", "value": level, "values": "0 (off), 1 (types) or 2 (values)"}
        raise UserError([Problem(codes.ENVIRONMENT, None, facts)])
    timed = os.environ.get("ARCHC_TIME", "0") not in ("", "0")
    watchers: list[Callable[[Step], None]] = [after] if after else []
    watchers += [_tell] if timed else []
    watchers += [Dump(Path(folder), graph)] if folder else []

    def each(step: Step) -> None:
        for watcher in watchers:
            watcher(step)

    oracle = None
    if level == "2":
        from archc.probe import difference

        oracle = difference
    return base.run(graph, passes, verify=level != "0", after=each if watchers else None, oracle=oracle,
                    clock=time.perf_counter if timed else None)  # fmt: skip


def _tell(step: Step) -> None:
    changed = "" if step.after is not step.before else "  (nothing changed)"
    print(f"{1e3 * step.seconds:8.2f} ms  {step.done.name:12}  {step.after.name}{changed}", file=sys.stderr)


class Dump:
    """Writes the stages of one graph: `007-Norm.forward-simplify.ir` beside `007-Norm.forward-simplify.diff`."""

    def __init__(self, folder: Path, graph: Graph) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.text = folder, ""
        self.write(graph, "source")

    def __call__(self, step: Step) -> None:
        self.write(step.after, step.done.name)

    def write(self, graph: Graph, stage: str) -> None:
        from archc.ir.text import write

        text = write(graph)
        if text == self.text:
            return
        name = f"{next(_numbers):03d}-{graph.name}-{stage}"
        (self.folder / f"{name}.ir").write_text(text, encoding="utf-8")
        if self.text:
            lines = unified_diff(self.text.splitlines(), text.splitlines(), "before", stage, lineterm="", n=2)
            (self.folder / f"{name}.diff").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.text = text
