"""How a run is shown: a live bar on a terminal, plain lines elsewhere; rate and time left in both."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

PLAIN_EVERY = 10.0  # seconds between lines within an epoch where there is no terminal


class Reporter(Protocol):
    def start(self, step: int, total: int) -> None: ...
    def step(self, step: int, text: str) -> None: ...
    def line(self, text: str) -> None: ...
    def stop(self) -> None: ...


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Rate:
    """Steps a second since the start of this process, and what is left at that rate."""

    def __init__(self, step: int, total: int) -> None:
        self.first, self.total, self.began = step, total, time.monotonic()

    def text(self, step: int) -> str:
        passed = time.monotonic() - self.began
        rate = (step - self.first) / passed if passed > 0 else 0.0
        left = f"{duration((self.total - step) / rate)} left" if rate > 0 else "time left unknown"
        return f"{rate:.1f} steps/s  {left}"


class Plain:
    """Lines on standard output: each epoch, and within one every ten seconds."""

    def start(self, step: int, total: int) -> None:
        self.total, self.rate, self.shown = total, Rate(step, total), time.monotonic()

    def step(self, step: int, text: str) -> None:
        self.at = step
        if time.monotonic() - self.shown >= PLAIN_EVERY:
            self.line(f"step {step}/{self.total}  {text}")

    def line(self, text: str) -> None:
        self.shown = time.monotonic()
        print(f"{text}  {self.rate.text(self.at)}" if hasattr(self, "at") and self.at < self.total else text, flush=True)

    def stop(self) -> None:
        pass


class Live:
    """A bar of rich at the foot of the terminal, lines scrolling above."""

    def start(self, step: int, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.rate = Rate(step, total)
        texts = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[text]}")
        self.bar: Any = Progress(BarColumn(), MofNCompleteColumn(), *texts, transient=True)
        self.task = self.bar.add_task("", total=total, completed=step, rate="", text="")
        self.bar.start()

    def step(self, step: int, text: str) -> None:
        self.bar.update(self.task, completed=step, text=text, rate=self.rate.text(step))

    def line(self, text: str) -> None:
        self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        self.bar.stop()


def reporter() -> Reporter:
    return Live() if sys.stdout.isatty() else Plain()
