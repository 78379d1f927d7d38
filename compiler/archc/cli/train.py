"""`archc train`: flags to settings, a run to its end or to a signal."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from archc.cli.main import InputError, UsageError
from archc.cli.values import add_static, pairs

EXAMPLES = """examples:
  archc train kan.arch --layer KANDigits --data digits
  archc train net.arch --layer Net --data prices.csv --target price --loss huber --lr 3e-3 --epochs 100
  archc train --out runs/KANDigits-digits --resume"""

UNSET: Any = argparse.SUPPRESS  # a flag that is not given is not in the namespace, so that Settings keeps its default


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default=UNSET, help="a .arch file, or a module of the library: std.kan")
    what = parser.add_argument_group("what to train")
    what.add_argument("--layer", default=UNSET, metavar="NAME", help="the layer of the file")
    what.add_argument("--data", default=UNSET, metavar="NAME|PATH",
                      help="digits, breast-cancer, diabetes, fashion-mnist, a CSV or NPZ file, or a folder of idx.gz files")
    add_static(what)
    what.add_argument("--arg", dest="arguments", action="append", default=[], metavar="NAME=VALUE",
                      help="an argument of the layer that the data do not decide: --arg hidden=64")
    data = parser.add_argument_group("data")
    data.add_argument("--target", default=UNSET, metavar="NAME", help="the column of a CSV, or array of an NPZ (y), to predict")
    data.add_argument("--input", default=UNSET, metavar="NAME", help="the array of an NPZ to predict from (x)")
    data.add_argument("--task", default=UNSET, choices=["classes", "values"], help="what the target is, where its kind misleads")
    data.add_argument("--skip", default=UNSET, metavar="A,B", help="columns of a CSV to leave out")
    data.add_argument("--scale", default=UNSET, choices=["standard", "range", "none"],
                      help="mean 0 and deviation 1; from -1 to 1; as they are (standard, and none for images)")
    data.add_argument("--validation", default=UNSET, type=float, metavar="SHARE", help="of the examples (0.1)")
    data.add_argument("--test", default=UNSET, type=float, metavar="SHARE", help="of the examples (0.2)")
    how = parser.add_argument_group("how to train")
    how.add_argument("--loss", default=UNSET, metavar="NAME",
                     help="of torch (cross_entropy, mse, bce_with_logits, l1, ...), a fn or layer of the file, or std.loss.NAME")
    how.add_argument("--optimizer", default=UNSET, choices=["adam", "adamw", "sgd", "rmsprop", "lbfgs"], help="(adamw)")
    how.add_argument("--lr", default=UNSET, type=float, metavar="RATE", help="learning rate (1e-3; sgd 0.05; lbfgs 1)")
    how.add_argument("--momentum", default=UNSET, type=float, metavar="M", help="of sgd and rmsprop (0.9)")
    how.add_argument("--nesterov", default=UNSET, action="store_true", help="with sgd")
    how.add_argument("--weight-decay", default=UNSET, type=float, metavar="W", help="(0)")
    how.add_argument("--clip", default=UNSET, type=float, metavar="NORM", help="the largest norm of the gradient")
    how.add_argument("--schedule", default=UNSET, choices=["constant", "cosine", "linear"], help="of the learning rate (cosine)")
    how.add_argument("--warmup", default=UNSET, type=float, metavar="SHARE", help="of the steps in which the rate rises (0)")
    length = how.add_mutually_exclusive_group()
    length.add_argument("--epochs", default=UNSET, type=int, metavar="N", help="(20)")
    length.add_argument("--steps", default=UNSET, type=int, metavar="N", help="instead of epochs")
    how.add_argument("--batch", default=UNSET, type=int, metavar="N", help="examples a step (64)")
    how.add_argument("--seed", default=UNSET, type=int, metavar="N", help="of the split, the start and the order (0)")
    how.add_argument("--threads", default=UNSET, type=int, metavar="N", help="(torch's own choice)")
    how.add_argument("--device", default=UNSET, metavar="NAME", help="cpu, cuda, cuda:1, mps (cpu)")
    how.add_argument("--backend", default=UNSET, choices=["auto", "torch", "cpp"], help="what computes the layer (auto)")
    how.add_argument("--keep", default=UNSET, choices=["last", "best"], help="the weights to test: best by validation (last)")
    run = parser.add_argument_group("the run")
    run.add_argument("--out", type=Path, metavar="DIR", help="its folder (runs/LAYER-DATA)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out, with the settings it was begun with")
    run.add_argument("--save-every", type=float, default=10.0, metavar="SECONDS", help="between checkpoints (10)")


def run(options: argparse.Namespace) -> int:
    from archc.train.errors import TrainError

    if options.save_every < 0:
        raise UsageError("--save-every must not be negative")
    # Before torch is loaded. Threads that spin while they wait make training ten times slower as soon as another process
    # wants a core; threads that sleep cost a few microseconds a wait.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with _sentences(TrainError):
        return _train(options)


def _train(options: argparse.Namespace) -> int:
    from archc.train import run as runs
    from archc.train.settings import Settings

    given = {field.name: getattr(options, field.name) for field in fields(Settings) if hasattr(options, field.name)}
    given["static"] = pairs(given["static"], "--set")
    given["arguments"] = pairs(given["arguments"], "--arg")
    if "skip" in given:
        given["skip"] = tuple(name.strip() for name in given["skip"].split(",") if name.strip())
    if options.resume:
        folder = options.out
        if folder is None:
            raise UsageError("--resume needs the folder of the run: --out DIR")
        settings = runs.settings_of(folder)
        _same(settings, given)
    else:
        for name in ("file", "layer", "data"):
            if name not in given:
                raise UsageError(f"say what to train: {'FILE' if name == 'file' else f'--{name}'} is missing")
        settings = Settings(**given)
        if options.out is not None:
            runs.free(options.out)
    prepared = runs.prepare(settings)
    if not options.resume:
        folder = runs.begin(prepared, options.out)
    outcome = runs.train(prepared, folder, save_every=options.save_every)
    if outcome.signal is None:
        return 0
    print(f"stopped and saved; to go on: archc train --out {folder} --resume")
    return 128 + outcome.signal


def _same(settings: Any, given: dict[str, Any]) -> None:
    """A resumed run keeps its settings: a flag may repeat one, not change it."""
    for name, value in given.items():
        was = getattr(settings, name)
        if value in ({}, ()) or value == was:
            continue
        flag = {"static": "--set", "arguments": "--arg", "file": "FILE"}.get(name, f"--{name.replace('_', '-')}")
        raise UsageError(f"the run was begun with {flag} {was}, and goes on with that; leave {flag} out")


@contextlib.contextmanager
def _sentences(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise InputError(str(error)) from None
