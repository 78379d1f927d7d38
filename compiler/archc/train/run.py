"""A run from its settings to its result: the folder, the data, the layer, the loop, the test."""

from __future__ import annotations

import hashlib
import json
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archc.train import checkpoint, loop, progress
from archc.train.build import Built, build
from archc.train.data import Dataset, load
from archc.train.data.split import Parts, split
from archc.train.errors import TrainError
from archc.train.metrics import evaluate, words
from archc.train.settings import Settings, check
from archc.version import __version__

RUN, RESULT, MODEL = "run.json", "result.json", "model.safetensors"


@dataclass(frozen=True)
class Outcome:
    """`result` is None where the run was stopped before its end; `signal` says by what."""

    folder: Path
    result: dict[str, object] | None
    signal: int | None = None


@dataclass(frozen=True)
class Prepared:
    """All that a run needs except its folder."""

    settings: Settings
    data: Dataset
    parts: Parts
    built: Built

    @property
    def made_from(self) -> dict[str, str]:
        """Digests of the program and of the data."""
        digest = hashlib.blake2b(digest_size=16)
        for array in (self.data.x, self.data.y, *(self.data.test or ())):
            digest.update(np.ascontiguousarray(array).data)
        return {"source": self.built.source, "data": digest.hexdigest()}


def prepare(settings: Settings, make: Callable[[Settings, Dataset], Built] = build) -> Prepared:
    """Reads the data, makes the layer and tries them together. Seeds torch's generator and sets its number of threads."""
    import torch

    check(settings)
    data = load(settings.data, settings.reading)
    parts = split(data, settings.seed, settings.validation, settings.test, settings.scale)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    built = make(settings, data)
    _try(built, parts, settings.layer)
    return Prepared(settings, data, parts, built)


def begin(prepared: Prepared, folder: Path | None) -> Path:
    """Makes the folder of a new run and writes its settings. Without one, `runs/LAYER-DATA` with a number if it is taken."""
    settings = prepared.settings
    if folder is None:
        base = Path("runs") / f"{settings.layer}-{Path(settings.data).stem}"
        folder, count = base, 1
        while folder.exists():
            count += 1
            folder = base.with_name(f"{base.name}-{count}")
    free(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"the folder '{folder}' cannot be made: {error.strerror or error}") from None
    content = {"settings": settings.to_json(), "made_from": prepared.made_from, "archc": __version__}
    checkpoint.write_whole(folder / RUN, (json.dumps(content, indent=2) + "\n").encode())
    return folder


def free(folder: Path) -> None:
    """Raises TrainError if a run is in the folder."""
    if (folder / RUN).exists():
        raise TrainError(f"'{folder}' holds a run already: go on with it (--resume), or give another --out")


def settings_of(folder: Path) -> Settings:
    """The settings of a run begun before. Raises TrainError if there is none."""
    try:
        return Settings.from_json(_read(folder)["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(f"'{folder / RUN}' is damaged: {error}") from None


def unchanged(prepared: Prepared, folder: Path) -> None:
    """Raises TrainError if a run began with another source or other data than there are now: it could not go on as it was."""
    was = _read(folder).get("made_from")
    for name, what in (("source", prepared.settings.file), ("data", prepared.settings.data)):
        if not isinstance(was, dict) or was.get(name) != prepared.made_from[name]:
            raise TrainError(f"'{what}' has changed since the run in '{folder}' began, so the run cannot go on as it was; "
                             "start a new one")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RUN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise TrainError(f"'{folder}' holds no run to go on with: there is no {RUN} in it") from None
    except ValueError as error:
        raise TrainError(f"'{path}' is damaged: {error}") from None
    if not isinstance(content, dict):
        raise TrainError(f"'{path}' is damaged: it holds no object")
    return content


def train(prepared: Prepared, folder: Path, save_every: float = 10.0, say: Callable[[str], None] = print) -> Outcome:
    """Works on a run until it ends or a signal stops it. SIGINT and SIGTERM save the state after the step under way."""
    import torch

    unchanged(prepared, folder)
    settings, data, parts, built = prepared.settings, prepared.data, prepared.parts, prepared.built
    job = loop.Job(built.module, built.loss.function, built.penalty, built.shape, parts, data.task, settings, folder)
    arguments = ", ".join(f"{name}={value}" for name, value in built.arguments.items())
    say(f"{data.describe()}; {len(parts.train.x)} train, {len(parts.validation.x)} validate, {len(parts.test.x)} test")
    say(f"{settings.layer}({arguments}): {_count(built.module)} parameters")
    say(f"{built.loss.name}, {settings.optimizer}, lr {settings.learning_rate:g} {settings.schedule}, "
        f"batch {settings.batch}, {job.total} steps, {torch.get_num_threads()} threads, {settings.device}; run in {folder}")
    report = progress.reporter()
    with _signals() as received:
        try:
            state = loop.run(job, report, save_every, lambda: bool(received))
        finally:
            report.stop()
    if state.step < job.total:
        return Outcome(folder, None, received[0])
    return Outcome(folder, _finish(job, built, state, say))


def _finish(job: loop.Job, built: Built, state: loop.State, say: Callable[[str], None]) -> dict[str, object]:
    import torch

    test = evaluate(job.module, job.loss, job.x(job.parts.test.x), job.targets(job.parts.test.y), job.task, job.parts.targets)
    result: dict[str, object] = {
        "layer": job.settings.layer, "arguments": dict(built.arguments), "data": job.settings.data, "steps": state.step,
        "epochs": math.ceil(state.step / job.steps_per_epoch), "parameters": _count(job.module), "best_epoch": state.best_epoch,
        "seconds": round(state.seconds, 3), "threads": torch.get_num_threads(), "device": job.settings.device,
        "backend": job.settings.backend, "torch": torch.__version__,
        **{f"test_{name}": value for name, value in test.items()}}
    _store(job, built)
    checkpoint.write_whole(job.folder / RESULT, (json.dumps(result, indent=2) + "\n").encode())
    say(f"test {words(test)}  ({state.step} steps in {state.seconds:.1f} s)")
    return result


def _store(job: loop.Job, built: Built) -> None:
    """The trained weights under the names of the source, with what a user needs to feed the layer."""
    from safetensors.torch import save

    scaling: dict[str, Any] = {
        name: {"shift": s.shift.tolist(), "factor": s.factor.tolist()} if s else None
        for name, s in (("inputs", job.parts.inputs), ("targets", job.parts.targets))}
    meta = {"layer": job.settings.layer, "arguments": dict(built.arguments), "static": dict(job.settings.static),
            "scaling": scaling}
    tensors = {name: value.detach().contiguous().clone() for name, value in job.module.state_dict().items()}
    checkpoint.write_whole(job.folder / MODEL, save(tensors, {"archc": json.dumps(meta)}))


def _try(built: Built, parts: Parts, layer: str) -> None:
    """One small batch forward, in eval mode, so that data and layer that do not fit are a sentence and not a traceback."""
    import torch

    x = built.shape(parts.train.x[:2])
    y = torch.as_tensor(parts.train.y[:2]).to(x.device)
    built.module.eval()
    try:
        with torch.no_grad():
            given = built.module(x)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise TrainError(f"{layer} cannot take this data, of shape {list(x.shape)}: {_first_line(error)}") from None
    if not torch.is_tensor(given):
        raise TrainError(f"{layer} gives several results; archc train needs a layer with one")
    try:
        value = built.loss.function(given, y)
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise TrainError(f"the loss {built.loss.name} cannot compare what {layer} gives, of shape "
                         f"{list(given.shape)}, with targets of shape {list(y.shape)}: {_first_line(error)}") from None
    if value.numel() != 1:
        raise TrainError(f"the loss {built.loss.name} gives {list(value.shape)} and not one number")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM; a second one within the block interrupts at once."""
    received: list[int] = []

    def handle(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

