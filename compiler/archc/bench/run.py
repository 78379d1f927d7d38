"""A whole run: first what must be compiled, each way in a process of its own with a limit; then the rows, one after the other."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archc.bench import measure
from archc.bench.case import Case
from archc.bench.columns import INDUCTOR

ROW_LIMIT = 600.0
"""Seconds after which a row is given up."""


@dataclass(frozen=True)
class Options:
    """`limit`: seconds that torch.compile has for a row. `jobs`: compilations at a time."""

    seconds: float = 2.0
    threads: int = 2
    device: str = "cpu"
    limit: float = 60.0
    jobs: int = 2


@dataclass(frozen=True)
class Asked:
    """A case, and the description by which another process finds it."""

    case: Case
    spec: Mapping[str, Any]


def run(asked: Sequence[Asked], options: Options, say: Callable[[str], None] = lambda text: None,
        each: Callable[[dict[str, Any]], None] = lambda found: None) -> dict[str, Any]:
    """Everything that was measured. `say` hears what is being done, `each` gets all that there is after every row. Builds go to a
    folder of their own, so that every compile time is that of a first time."""
    import torch

    from archc.bench import machine

    torch.set_num_threads(options.threads)
    before = machine.described(options.device)
    rows: list[dict[str, Any]] = []

    def whole() -> dict[str, Any]:
        return {"machine": before, "load_after": list(os.getloadavg()), "settings": vars(options), "asked": len(asked),
                "rows": rows, "means": means(rows)}

    with tempfile.TemporaryDirectory(prefix="archc-bench-") as folder:
        child = _Child(Path(folder), options)
        cold = _compiled(asked, options, child, say)
        for number, one in enumerate(asked, 1):
            say(f"{number} of {len(asked)}: {one.case.key}")
            case, first = one.case, cold[one.case.key]
            left_out = {name: c["left_out"] for name, c in first.items() if c["left_out"] and not name.startswith("archc")}
            task = {"task": "row", "case": dict(one.spec), "seconds": options.seconds, "left_out": left_out}
            found = child.run(task, ROW_LIMIT)
            found = {"name": case.name, "family": case.family, "size": case.size, "layer": case.layer, **found,
                     "cold_s": {name: c["seconds"] for name, c in first.items() if not c["left_out"]}}
            rows.append(found)
            each(whole())
    return whole()


def _compiled(asked: Sequence[Asked], options: Options, child: _Child,
              say: Callable[[str], None]) -> dict[str, dict[str, dict[str, Any]]]:
    """By row and column, of what compiles: the seconds of a first compilation, or why it was left out."""
    from archc.bench.columns import backends

    ours = f"archc {backends(options.device)[-1]}"
    pairs = [(one, name) for one in asked
             for name in (INDUCTOR, ours, *(name for name, peer in one.case.peers.items()
                                            if peer.compiled and options.device in peer.devices))]
    done = 0

    def one(case: Asked, column: str) -> dict[str, Any]:
        nonlocal done
        limit = ROW_LIMIT if column == ours else options.limit
        found = child.run({"task": "compile", "case": dict(case.spec), "column": column}, limit)
        if found.get("timeout"):
            found = {"left_out": f"not compiled in {limit:g} s"}
        elif "failed" in found:
            found = {"left_out": found["failed"]}
        done += 1
        say(f"compiled {done} of {len(pairs)}")
        return found

    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda pair: one(*pair), pairs))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (case, column), result in zip(pairs, results, strict=True):
        found.setdefault(case.case.key, {})[column] = result
    return found


class _Child:
    """Other processes, with folders for what they build."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options, self.numbers = folder, options, itertools.count()  # which threads share
        self.environment = {
            **os.environ, "ARCHC_CACHE": str(folder / "archc"), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            "TORCHINDUCTOR_COMPILE_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }

    def run(self, asked: dict[str, Any], limit: float) -> dict[str, Any]:
        """What it made; or {"failed": a sentence}, with "timeout" where the limit was met."""
        number = next(self.numbers)
        out, log = (self.folder / f"{number}.{kind}" for kind in ("json", "log"))
        asked |= {"out": str(out), "threads": self.options.threads, "device": self.options.device}
        with log.open("w") as errors:
            process = subprocess.Popen([sys.executable, "-m", "archc.bench.row"], stdin=subprocess.PIPE, stdout=errors,
                                       stderr=errors, env=self.environment, start_new_session=True, text=True)
            try:
                process.communicate(json.dumps(asked), timeout=limit)
            except subprocess.TimeoutExpired:
                return {"failed": f"no result in {limit:g} s", "timeout": True}
            finally:
                with contextlib.suppress(ProcessLookupError):  # with the compilers that it started
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode == 0 and out.exists():
            found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
            return found
        lines = log.read_text(errors="replace").strip().splitlines()
        return {"failed": lines[-1][:300] if lines else f"ended by signal {-process.returncode}"}


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Of forward and step, by column: the geometric mean of how many times as long it takes as ours, the least of them, and over
    how many rows. Rows that a column is left out of count in none of its figures."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for part in ("forward", "step"):
        by_column: dict[str, list[float]] = {}
        for row in rows:
            for name, (_, middle, _) in row.get(part, {}).get("times", {}).items():
                if name != row["ours"]:
                    by_column.setdefault(name, []).append(middle)
        found[part] = {name: {"mean": measure.geometric_mean(values), "least": min(values), "rows": len(values)}
                       for name, values in by_column.items()}
    return found
