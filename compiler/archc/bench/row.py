"""One row, in a process of its own: `python -m archc.bench.row` reads what is asked from its input, as JSON."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.bench import cases, measure, memory
from archc.bench.case import LIMIT, Case

if TYPE_CHECKING:
    from archc.bench.columns import Row


def main() -> None:
    asked = json.load(sys.stdin)
    memory.whole_blocks()
    import torch

    if not asked.get("column", "").startswith("archc"):
        import torch._inductor.compile_fx  # before any clock starts: no one's compile time holds imports

    torch.set_num_threads(asked["threads"])
    if asked["device"] != "cpu":
        torch.set_float32_matmul_precision("high")
    case = cases.found(asked["case"])
    made = compiled(case, asked) if asked["task"] == "compile" else measured(case, asked)
    Path(asked["out"]).write_text(json.dumps(made), encoding="utf-8")


def compiled(case: Case, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds from the text to the first training step and forward pass of one column, its comparison included."""
    from archc.bench import columns

    row = columns.reference(case, asked["device"])
    columns.fill(row, {}, asked["column"])
    column = row.columns[asked["column"]]
    return {"seconds": column.seconds, "left_out": column.left_out}


def measured(case: Case, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Times, how many times ours, peak memory, and why a column has none."""
    from archc.bench import columns

    row = columns.reference(case, asked["device"])
    columns.fill(row, asked["left_out"])
    best = columns.best(row)
    found: dict[str, Any] = {
        "inputs": [list(t.shape) for t in row.inputs], "ours": best,
        "left_out": {name: column.left_out for name, column in row.columns.items() if column.left_out},
        "warm_s": {name: column.seconds for name, column in row.columns.items() if not column.left_out},
    }
    if best is not None:
        found |= _figures(row, best, float(asked["seconds"]))
    return found


def _figures(row: Row, best: str, seconds: float) -> dict[str, Any]:
    from archc.bench import steps

    training = {name: c.step for name, c in row.columns.items() if c.step is not None and not c.left_out}
    still = {name: c.forward for name, c in row.columns.items() if c.forward is not None and not c.left_out}
    judge = training.get("eager", training["archc torch"] if "archc torch" in training else training[best])
    with steps.mode([judge], True):
        kind, least_forward, least_step = steps.bounds(row.case, judge, row.inputs, row.dy)
    wait = _wait(row.device)
    found: dict[str, Any] = {"limit": kind}
    with steps.mode(list(training.values()), True):
        calls = {name: steps.train(row.case, module, row.inputs, row.dy) for name, module in training.items()}
        found["peak_bytes"] = {name: _peak(row, training[name], call) for name, call in calls.items()}
        memory.usual_blocks()
        with_limit = {**calls, LIMIT: _no_grad(least_step)}
        found["step"] = _part(measure.measure(with_limit, seconds, wait), best)
    with steps.mode(list(still.values()), False):
        calls = {name: steps.infer(module, row.inputs) for name, module in still.items()}
        found["forward"] = _part(measure.measure({**calls, LIMIT: least_forward}, seconds, wait), best)
    return found


def _part(samples: Mapping[str, Sequence[float]], best: str) -> dict[str, Any]:
    """Milliseconds, and how many times as long as ours each takes: the quartiles of both, with the median in the middle."""
    return {"ms": {name: [t * 1e3 for t in measure.quartiles(found)] for name, found in samples.items()},
            "times": {name: list(measure.times(found, samples[best])) for name, found in samples.items()},
            "rounds": {name: len(found) for name, found in samples.items()}}


def _no_grad(call: Callable[[], None]) -> Callable[[], None]:
    import torch

    return torch.no_grad()(call)


def _wait(device: str) -> Callable[[], object]:
    import torch

    return torch.cuda.synchronize if device != "cpu" else lambda: None


def _peak(row: Row, module: Any, call: Callable[[], None]) -> int | None:
    from archc.bench import steps

    def fresh() -> None:
        for tensor in steps.leaves(module, row.inputs):
            tensor.grad = None
        gc.collect()

    fresh()
    return memory.peak(call, row.device, fresh)


if __name__ == "__main__":
    main()
