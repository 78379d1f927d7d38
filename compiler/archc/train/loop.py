"""The training loop: a function of the settings, the data and the step, so that it can stop and go on anywhere."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archc.train import checkpoint, optimizers
from archc.train.data.dataset import Task
from archc.train.data.split import Parts
from archc.train.device import device, random_state, set_random_state
from archc.train.errors import TrainError
from archc.train.losses import Function
from archc.train.metrics import evaluate, hits, words
from archc.train.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from archc.train.progress import Reporter

METRICS, CHECKPOINT, BEST = "metrics.jsonl", "checkpoint.safetensors", "best.safetensors"


@dataclass
class Sums:
    """Of the epoch under way. `loss` counts every example once, as the mean of its batch."""

    loss: float = 0.0
    seen: int = 0
    hits: int = 0


@dataclass
class State:
    """What a run is after `step` steps, beside the module, the optimizer and torch's generator."""

    step: int = 0
    sums: Sums = field(default_factory=Sums)
    metrics_bytes: int = 0  # the length of metrics.jsonl
    best: float = math.inf  # the lowest validation loss so far
    best_epoch: int = 0
    seconds: float = 0.0  # spent in training, over all processes that worked on the run


@dataclass(frozen=True)
class Job:
    """What a loop works on. `penalty` gives what the module adds to the loss of the forward pass just made."""

    module: nn.Module
    loss: Function
    penalty: Callable[[], Tensor | None]
    x: Callable[[Any], Tensor]  # from an array of the data to what the module's forward takes
    parts: Parts
    task: Task
    settings: Settings
    folder: Path

    def targets(self, array: Any) -> Tensor:
        """What the results are compared with, where they are."""
        import torch

        return torch.as_tensor(array).to(self.settings.device)

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.parts.train.x) / self.settings.batch)

    @property
    def total(self) -> int:
        return self.settings.steps or (self.settings.epochs or DEFAULT_EPOCHS) * self.steps_per_epoch


DEFAULT_EPOCHS = 20


def run(job: Job, report: Reporter, save_every: float, stopped: Callable[[], bool]) -> State:
    """Trains from the folder's checkpoint, or from the start, to the end or until `stopped()`; the state is then saved.

    A checkpoint is written whenever `save_every` seconds have passed since the last. Raises TrainError if the loss is not finite.
    """
    loop = _Loop(job)
    state = loop.restore()
    metrics = _open_metrics(job.folder / METRICS, state.metrics_bytes)
    report.start(state.step, job.total)
    began, saved = time.monotonic() - state.seconds, time.monotonic()
    with metrics:
        for batch in loop.batches(state.step):
            value = loop.step(state, batch)
            if not math.isfinite(value):
                raise TrainError(f"the loss is {value} at step {state.step + 1}: lower --lr, raise --warmup, or bound the "
                                 "gradients with --clip 1")
            state.step += 1
            report.step(state.step, f"loss {value:.4g}")
            if state.step % job.steps_per_epoch == 0 or state.step == job.total:
                line = loop.end_of_epoch(state)
                state.metrics_bytes = _append(metrics, line)
                report.line(_sentence(line, job))
            last = state.step == job.total or stopped()
            if last or time.monotonic() - saved >= save_every:
                os.fsync(metrics.fileno())
                state.seconds = time.monotonic() - began
                loop.save(state)
                saved = time.monotonic()
            if last:
                break
    if job.settings.keep == "best" and state.step == job.total and (best := checkpoint.load(job.folder / BEST)):
        job.module.load_state_dict(best["module"])
    return state


class _Loop:
    """The module and its optimizer on their way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        job.module.train()
        self.optimizer = optimizers.make(job.settings, job.module.parameters())
        self.inputs = job.x(job.parts.train.x)
        self.targets = job.targets(job.parts.train.y)
        self.held_out = job.x(job.parts.validation.x), job.targets(job.parts.validation.y)

    def batches(self, step: int) -> Iterator[Tensor]:
        """The examples of each step from `step` on. An epoch's order is drawn from the seed and the epoch's number alone;
        its batches are of equal size, to within one example."""
        import torch

        count, per_epoch = len(self.inputs), self.job.steps_per_epoch
        while step < self.job.total:
            epoch, place = divmod(step, per_epoch)
            generator = torch.Generator().manual_seed(_mixed(self.job.settings.seed, epoch))
            batches = torch.randperm(count, generator=generator).tensor_split(per_epoch)
            yield from batches[place: place + self.job.total - step]
            step += per_epoch - place

    def step(self, state: State, batch: Tensor) -> float:
        """One step of the optimizer; gives the loss with its penalties."""
        import torch

        job, settings = self.job, self.job.settings
        x, y = self.inputs[batch], self.targets[batch]
        for group in self.optimizer.param_groups:
            group["lr"] = optimizers.learning_rate(settings, state.step, job.total)
        given: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            given[:] = [job.module(x)]
            loss = job.loss(given[0], y)
            if (extra := job.penalty()) is not None:
                loss = loss + extra
            loss.backward()  # type: ignore[no-untyped-call]
            if settings.clip is not None:
                torch.nn.utils.clip_grad_norm_(job.module.parameters(), settings.clip)
            return loss.detach()

        value = float(self.optimizer.step(closure))  # type: ignore[arg-type]
        state.sums.loss += value * len(y)
        state.sums.seen += len(y)
        if job.task == "classes":
            state.sums.hits += hits(given[0].detach(), y)
        return value

    def end_of_epoch(self, state: State) -> dict[str, object]:
        """The epoch's line of metrics; keeps the weights if they are the best so far."""
        job, sums = self.job, state.sums
        epoch = math.ceil(state.step / job.steps_per_epoch)
        line: dict[str, object] = {
            "epoch": epoch, "step": state.step, "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": sums.loss / sums.seen}
        if job.task == "classes":
            line["train_accuracy"] = sums.hits / sums.seen
        found = evaluate(job.module, job.loss, *self.held_out, job.task, job.parts.targets)
        line |= {f"validation_{name}": value for name, value in found.items()}
        if found["loss"] < state.best:
            state.best, state.best_epoch = found["loss"], epoch
            if job.settings.keep == "best":
                checkpoint.save(job.folder / BEST, {"module": job.module.state_dict()})
        state.sums = Sums()
        return line

    def save(self, state: State) -> None:
        import torch

        s, place = state, device(self.job.settings.device)
        others = {} if place.type == "cpu" else {"device_random": random_state(place)}
        checkpoint.save(self.job.folder / CHECKPOINT, {
            "module": self.job.module.state_dict(), "optimizer": self.optimizer.state_dict(), "random": torch.get_rng_state(),
            "step": s.step, "sums": [s.sums.loss, s.sums.seen, s.sums.hits], "metrics_bytes": s.metrics_bytes,
            "best": [s.best, s.best_epoch], "seconds": s.seconds, **others})

    def restore(self) -> State:
        """The state of the folder's checkpoint, put into the module, the optimizer and torch's generator."""
        import torch

        found = checkpoint.load(self.job.folder / CHECKPOINT)
        if found is None:
            return State()
        try:
            self.job.module.load_state_dict(found["module"])
            self.optimizer.load_state_dict(found["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise TrainError(f"the checkpoint in '{self.job.folder}' is of another layer: {str(error).splitlines()[-1].strip()}"
                             ) from None
        torch.set_rng_state(found["random"])
        if "device_random" in found:
            set_random_state(device(self.job.settings.device), found["device_random"])
        loss, seen, right = found["sums"]
        best, best_epoch = found["best"]
        return State(found["step"], Sums(loss, seen, right), found["metrics_bytes"], best, best_epoch, found["seconds"])


def _mixed(seed: int, epoch: int) -> int:
    """A seed for each epoch's order that no other seed's epochs share (splitmix64's step)."""
    z = (seed + (epoch + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return (z ^ z >> 31) >> 1


def _open_metrics(path: Path, length: int) -> Any:
    """metrics.jsonl, cut to what the checkpoint knows of it and open for more."""
    try:
        file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        file.truncate(length)
        file.seek(0, os.SEEK_END)
    except OSError as error:
        raise TrainError(f"'{path}' cannot be written: {error.strerror or error}") from None
    if file.tell() < length:
        with suppress(OSError):
            file.close()
        raise TrainError(f"'{path}' is shorter than its checkpoint says: it was changed since")
    return file


def _append(metrics: Any, line: dict[str, object]) -> int:
    """Adds a line; gives the file's new length."""
    rest = (json.dumps(line) + "\n").encode()
    try:
        while rest:  # unbuffered: a full disk may take a part
            rest = rest[metrics.write(rest):]
    except OSError as error:
        raise TrainError(f"'{metrics.name}' cannot be written: {error.strerror or error}") from None
    return int(metrics.tell())


def _sentence(line: dict[str, object], job: Job) -> str:
    values = {name.removeprefix("validation_"): float(v) for name, v in line.items()  # type: ignore[arg-type]
              if name.startswith("validation_")}
    epochs = math.ceil(job.total / job.steps_per_epoch)
    return f"epoch {line['epoch']:>{len(str(epochs))}}/{epochs}  loss {line['train_loss']:.4g}  validation {words(values)}"
