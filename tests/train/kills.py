"""Runs a training over and over, each time killed with SIGKILL at a random moment, until one attempt gets to the end.

python kills.py FOLDER DATA SEED: forks an attempt from a process that has torch loaded, so that attempts start at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from archc.train import run as runs
from archc.train.settings import Settings
from tests.train.toys import network


def settings(data: str) -> Settings:
    return Settings("none.arch", "Toy", data, epochs=30, batch=16, lr=3e-3, threads=1, optimizer="adamw", clip=1.0, keep="best")


def attempt(folder: Path, data: str, save_every: float = 0.0) -> None:
    if (folder / runs.RUN).exists():
        wanted = runs.settings_of(folder)
        runs.train(runs.prepare(wanted, network), folder, save_every, say=lambda text: None)
    else:
        prepared = runs.prepare(settings(data), network)
        runs.train(prepared, runs.begin(prepared, folder), save_every, say=lambda text: None)


def main(folder: Path, data: str, seed: int) -> None:
    rng, killed = random.Random(seed), 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as warm, contextlib.redirect_stdout(io.StringIO()):
        attempt(Path(warm) / "run", data)  # what torch imports late is then there for every attempt
    while True:
        child = os.fork()
        if child == 0:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            attempt(folder, data)
            os._exit(0)
        deadline = time.monotonic() + rng.uniform(0.01, 0.12) * (1 + killed / 10)
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                print(f"{killed} kills")
                return
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
