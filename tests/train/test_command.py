"""`archc train` with layers and losses written in .arch."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import archc
from archc.cli import main as cli
from archc.train.build import build
from archc.train.data import load
from archc.train.settings import Settings
from tests.train.toys import write_blobs

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """
import std.linear

layer Net(i: axis, classes: axis, hidden: axis = 8, drop: float = 0.1, static depth: int = 1) {
    first  = Linear(i=i, o=hidden)
    middle = repeat depth { Linear(i=hidden, o=hidden) }
    last   = Linear(i=hidden, o=classes)
    forward(x[..., i]) -> [..., classes] {
        h = dropout(relu(first(x)), drop)
        for linear in middle { h = relu(linear(h)) }
        return last(h)
    }
}

layer Weighted(i: axis, o: axis) {
    param w[o, i] = 1
    forward(x[n, i]) -> [n, o] {
        penalty size = 0.5 * sum[o, i](w ^ 2)
        return sum[i](w * x)
    }
}

layer Given(i: axis, o: axis) {
    param w[o, i] = given
    forward(x[n, i]) -> [n, o] { return sum[i](w * x) }
}

# The square of the error, larger above than below.
fn tilted(y[n, o], target[n, o], up: float = 3.0) -> [] {
    e = y - target
    return mean[n, o](where(e > 0, up, 1.0) * e ^ 2)
}

layer Margin(classes: axis, width: float = 1.0) {
    forward(score[n, classes], target[n]: int) -> [] {
        right = score[classes = target]
        wrong = where(classes == target, 0.0, relu(width + score - right))
        return mean[n](sum[classes](wrong))
    }
}

fn lonely(y[n]) -> [] { return sum[n](y) }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.arch").write_text(SOURCE)
    write_blobs(tmp_path / "blobs.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str) -> int:
    return cli.main(["train", *arguments, "--threads", "1"])


NET = ("net.arch", "--layer", "Net", "--data", "blobs.npz")


def test_a_layer_is_trained_from_its_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*NET, "--epochs", "30", "--lr", "1e-2", "--arg", "hidden=16", "--set", "depth=2") == 0
    out = capsys.readouterr().out
    assert "blobs: 120 examples of 4, 3 classes; 84 train, 12 validate, 24 test" in out
    assert "Net(i=4, classes=3, hidden=16): 675 parameters" in out
    accuracy = re.search(r"^test loss \S+  accuracy (\S+) %", out, re.M)
    assert accuracy and float(accuracy[1]) > 90
    run = folder / "runs" / "Net-blobs"
    result = json.loads((run / "result.json").read_text())
    assert result["arguments"] == {"i": 4, "classes": 3, "hidden": 16} and result["parameters"] == 675
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 30

    from safetensors.torch import load_file

    model = archc.load("net.arch", depth=2).Net(**result["arguments"])
    model.load_state_dict(load_file(run / "model.safetensors"))


def test_a_field_is_trained_for_its_relative_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A linear map of channels, found exactly; the error that is printed is that of the data's own units."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2, 5, 6))
    np.savez(folder / "field.npz", x=x, y=1e-3 * np.einsum("oi,nihw->nohw", [[1.0, 2.0], [-1.0, 0.5], [3.0, 0.0]], x))
    (folder / "field.arch").write_text("""
        layer Mixed(i: axis, o: axis) {
            param weight[o, i] = 0
            forward(x[n, i, h, w]) -> [n, o, h, w] { return sum[i](weight * x) }
        }""")
    run = folder / "run"
    given = ["field.arch", "--layer", "Mixed", "--data", "field.npz", "--loss", "std.loss.relative_l2", "--lr", "0.1"]
    assert train(*given, "--batch", "16", "--epochs", "40", "--out", str(run)) == 0
    result = json.loads((run / "result.json").read_text())
    assert result["arguments"] == {"i": 2, "o": 3} and result["test_relative_l2"] < 0.02
    assert result["test_relative_l2"] == pytest.approx(result["test_loss"], rel=1e-4)
    assert result["test_rmse"] < 1e-4 and "test_r2" not in result
    assert "fields of 3 x 5 x 6" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cuda:77", "mars", "meta", ""])
def test_a_device_that_is_not_there_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert train(*NET, "--device", name, "--out", "run") == 1
    assert capsys.readouterr().err.startswith(f"archc: --device {name} is not there: torch can use cpu")
    assert not (folder / "run").exists()


@pytest.mark.compiler
def test_a_run_goes_on_with_its_backend_and_device(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stopped and resumed, the kernels give the bytes of the whole run; and what torch gives, to rounding."""
    more = ("--epochs", "3", "--device", "cpu")
    assert train(*NET, *more, "--out", "plain", "--backend", "torch") == 0
    assert train(*NET, *more, "--out", "whole", "--backend", "cpp") == 0
    assert train(*NET, *more, "--out", "run", "--backend", "cpp") == 0
    for file in ("result.json", "model.safetensors", "checkpoint.safetensors"):
        (folder / "run" / file).unlink()  # as if it had been killed before its first checkpoint
    assert train("--out", "run", "--resume") == 0
    for file in ("metrics.jsonl", "model.safetensors"):
        assert (folder / "whole" / file).read_bytes() == (folder / "run" / file).read_bytes()
    results = [json.loads((folder / name / "result.json").read_text()) for name in ("plain", "whole")]
    assert [result["backend"] for result in results] == ["torch", "cpp"]
    assert results[0]["test_loss"] == pytest.approx(results[1]["test_loss"], rel=1e-4)
    capsys.readouterr()
    assert train("--out", "run", "--resume", "--backend", "torch") == 2
    assert "the run was begun with --backend cpp, and goes on with that" in capsys.readouterr().err


def test_a_backend_that_does_not_exist_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*NET, "--backend", "tpu") == 2
    assert "'tpu'" in capsys.readouterr().err


def test_runs_without_a_folder_get_one_each(folder: Path) -> None:
    for _ in range(3):
        assert train(*NET, "--steps", "1") == 0
    assert sorted(p.name for p in (folder / "runs").iterdir()) == ["Net-blobs", "Net-blobs-2", "Net-blobs-3"]


def loss_of(name: str | None, layer: str, data: str, **more: Any) -> tuple[Any, Any]:
    dataset = load(data)
    return build(Settings("net.arch", layer, data, loss=name, **more), dataset), dataset


def test_losses_of_the_library_equal_those_of_torch(folder: Path) -> None:
    from torch.nn import functional

    built, _ = loss_of("std.loss.cross_entropy", "Net", "blobs.npz")
    score, target = torch.randn(7, 3), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    assert built.loss.function(score, target) == pytest.approx(functional.cross_entropy(score, target).item(), rel=1e-6)
    assert built.loss.outputs == 3

    np.savez(folder / "line.npz", x=np.random.default_rng(0).normal(size=(40, 4)), y=np.arange(40.0))
    built, _ = loss_of("std.loss.mse", "Net", "line.npz")
    given, wanted = torch.randn(7, 1), torch.randn(7)
    assert built.loss.function(given, wanted) == pytest.approx(functional.mse_loss(given[:, 0], wanted).item(), rel=1e-6)


def test_a_binary_loss_asks_for_one_score(folder: Path) -> None:
    write_blobs(folder / "two.npz", classes=2)
    for name in ("std.loss.bce_with_logits", "std.loss.f1_loss", "std.loss.focal"):
        built, _ = loss_of(name, "Net", "two.npz")
        assert built.loss.outputs == 1 and built.arguments["classes"] == 1
        assert torch.isfinite(built.loss.function(torch.randn(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])))


def test_losses_of_the_file(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "plane.npz", x=rng.normal(size=(40, 4)), y=rng.normal(size=(40, 2)))
    built, data = loss_of("tilted", "Net", "plane.npz")
    given, wanted = torch.randn(5, 2), torch.randn(5, 2)
    error = given - wanted
    assert built.loss.function(given, wanted) == pytest.approx(
        (torch.where(error > 0, 3.0, 1.0) * error**2).mean().item(), rel=1e-6)
    assert data.outputs == built.arguments["classes"] == 2

    built, _ = loss_of("Margin", "Net", "blobs.npz")
    score, target = torch.randn(7, 3), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    right = score.gather(1, target[:, None])
    hinge = (1 + score - right).relu().scatter(1, target[:, None], 0.0).sum(1).mean()
    assert built.loss.function(score, target) == pytest.approx(hinge.item(), rel=1e-6)


def test_penalties_are_part_of_the_loss(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built, _ = loss_of(None, "Weighted", "blobs.npz")
    built.module.train()
    for _ in range(2):
        built.module(torch.randn(5, 4))
    penalty = built.penalty()
    assert penalty is not None and penalty.item() == pytest.approx(0.5 * 12)
    assert train("net.arch", "--layer", "Weighted", "--data", "blobs.npz", "--epochs", "2") == 0
    first = json.loads((folder / "runs" / "Weighted-blobs" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["train_loss"] > 6 > first["validation_loss"]


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("net.arch", "--layer", "Nets", "--data", "blobs.npz"), "'net.arch' has no layer 'Nets'; did you mean 'Net'?"),
    ((*NET, "--loss", "mse"), "the loss mse is for values, and blobs has classes to predict"),
    ((*NET, "--loss", "crossentropy"), "there is no loss 'crossentropy': it is neither torch's (cross_entropy, "),
    ((*NET, "--loss", "std.loss.none"), "there is no loss 'std.loss.none'"),
    ((*NET, "--loss", "lonely"), "the loss 'lonely' must have two inputs, the prediction and the target, and one result"),
    ((*NET, "--arg", "width=3"), "Net has no argument 'width'; its arguments are i, classes, hidden, drop"),
    ((*NET, "--set", "depht=3"), "depht"),
    ((*NET, "--arg", "i=5"), "Net(i=5) does not fit: the data have 4"),
    ((*NET, "--batch", "0"), "--batch must be at least 1, not 0"),
    (("none.arch", "--layer", "Net", "--data", "blobs.npz"), "none.arch"),
    (("net.arch", "--layer", "Given", "--data", "blobs.npz"), "Given"),
])
def test_what_is_wrong_is_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...],
                                     sentence: str) -> None:
    assert train(*arguments) == 1
    err = capsys.readouterr().err
    assert sentence in err and "Traceback" not in err and "bug" not in err
    assert not (folder / "runs").exists()


def test_a_resumed_run_keeps_its_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*NET, "--steps", "3", "--out", "run") == 0
    assert train("--out", "run", "--resume") == 0
    assert train(*NET, "--steps", "3", "--out", "run", "--resume") == 0
    assert cli.main(["train", "--out", "run", "--resume", "--steps", "9"]) == 2
    assert "the run was begun with --steps 3, and goes on with that; leave --steps out" in capsys.readouterr().err
    assert train(*NET, "--steps", "3", "--out", "run") == 1
    assert "'run' holds a run already" in capsys.readouterr().err


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "archc", "train", *arguments], stdout=subprocess.PIPE, text=True, bufsize=1,
                            env={**os.environ, "PYTHONPATH": str(ROOT / "compiler")})


def test_ctrl_c_saves_and_says_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(*NET, "--epochs", "60", "--out", "whole") == 0
    process = start(*NET, "--epochs", "60", "--out", "run", "--threads", "1", "--save-every", "1000")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch  3/60"):
            process.send_signal(signal.SIGINT)
            break
    last = process.stdout.read().splitlines()[-1]
    process.stdout.close()
    assert process.wait() == 130
    assert last == "stopped and saved; to go on: archc train --out run --resume"
    assert train("--out", "run", "--resume") == 0
    for file in ("metrics.jsonl", "model.safetensors"):
        assert (folder / "whole" / file).read_bytes() == (folder / "run" / file).read_bytes()


@pytest.mark.parametrize(("file", "more"), [
    ("full/checkpoint.safetensors", ("--save-every", "0")), ("full/metrics.jsonl", ("--epochs", "50"))])
def test_a_disk_that_fills_up_is_a_sentence(folder: Path, file: str, more: tuple[str, ...]) -> None:
    assert train(*NET, "--steps", "3", "--out", "run") == 0
    (folder / "run" / "result.json").unlink()
    kept = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}

    def little_space() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = subprocess.run([sys.executable, "-m", "archc", "train", *NET, *more, "--out", "full"], capture_output=True, text=True,
                          preexec_fn=little_space, env={**os.environ, "PYTHONPATH": str(ROOT / "compiler")}, check=False)
    assert (done.returncode, done.stderr) == (1, f"archc: '{file}' cannot be written: File too large\n")
    assert {path.name for path in (folder / "full").iterdir()} == {"run.json", "metrics.jsonl"}
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == kept


def test_a_live_bar_on_a_terminal(folder: Path) -> None:
    """The terminal of a pseudo-terminal: lines of epochs above, a bar with rate and time left at the foot."""
    import pty

    main, side = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "compiler"), "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-m", "archc", "train", *NET, "--epochs", "3", "--threads", "1"], stdout=side,
                               stderr=side, env=environment)
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(main, 4096)
        except OSError:  # the other side was closed
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert process.wait() == 0
    assert b"epoch 3/3" in shown and b"steps/s" in shown and b"6/6" in shown and b"test loss" in shown and b"\x1b[" in shown


def saved_at(run: Path) -> int:
    path = run / "checkpoint.safetensors"
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(folder: Path) -> None:
    more = ("--epochs", "150", "--threads", "1", "--save-every", "0", "--clip", "1", "--optimizer", "sgd", "--nesterov")
    assert cli.main(["train", *NET, *more, "--out", "whole"]) == 0
    rng, kills = random.Random(0), 0
    while True:
        resume = (folder / "run" / "run.json").exists()
        process = start(*(("--out", "run", "--resume", "--save-every", "0") if resume else (*NET, *more, "--out", "run")))
        assert process.stdout
        before = saved_at(folder / "run")
        while process.poll() is None and saved_at(folder / "run") == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.stdout.close()
        if process.wait() == 0:
            break
        kills += 1
    assert kills > 0
    for file in ("metrics.jsonl", "model.safetensors"):
        assert (folder / "whole" / file).read_bytes() == (folder / "run" / file).read_bytes()
