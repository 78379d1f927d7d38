"""The loop: it learns, it is the same every time, and it goes on after a kill as if nothing had happened."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archc.train import loop
from archc.train import run as runs
from archc.train.build import Built
from archc.train.data import Dataset
from archc.train.errors import TrainError
from archc.train.losses import torch_loss
from archc.train.settings import Settings
from tests.train.kills import attempt
from tests.train.toys import network, write_blobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def blobs(tmp_path: Path) -> str:
    write_blobs(tmp_path / "blobs.npz")
    return str(tmp_path / "blobs.npz")


def settings(data: str, **more: Any) -> Settings:
    return replace(Settings("none.arch", "Toy", data, epochs=5, batch=16, lr=1e-2, threads=1), **more)


def go(wanted: Settings, folder: Path, make: Any = network, save_every: float = 10.0) -> runs.Outcome:
    prepared = runs.prepare(wanted, make)
    return runs.train(prepared, runs.begin(prepared, folder), save_every, say=lambda text: None)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / loop.METRICS).read_text().splitlines()]


def test_it_learns(blobs: str, tmp_path: Path) -> None:
    outcome = go(settings(blobs, epochs=30), tmp_path / "run")
    assert outcome.result is not None and float(outcome.result["test_accuracy"]) > 0.9  # type: ignore[arg-type]
    found = lines(tmp_path / "run")
    assert [line["epoch"] for line in found] == list(range(1, 31))
    assert found[-1]["train_loss"] < found[0]["train_loss"] / 2
    assert set(found[0]) == {"epoch", "step", "lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "metrics.jsonl", "model.safetensors", "result.json", "run.json"]


def test_values_are_reported_in_their_own_units(tmp_path: Path) -> None:
    outcome = go(settings("diabetes", epochs=10), tmp_path / "run")
    assert outcome.result is not None and 45 < float(outcome.result["test_rmse"]) < 70  # type: ignore[arg-type]
    assert 0.25 < lines(tmp_path / "run")[-1]["validation_r2"] < 0.7


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "lbfgs"])
def test_equal_settings_give_equal_curves_and_a_stop_changes_nothing(blobs: str, tmp_path: Path, optimizer: str) -> None:
    wanted = settings(blobs, epochs=3, optimizer=optimizer, lr=None)
    for name in ("a", "b"):
        go(wanted, tmp_path / name)
    prepared = runs.prepare(wanted, network)
    folder = runs.begin(prepared, tmp_path / "c")
    job = loop.Job(prepared.built.module, prepared.built.loss.function, prepared.built.penalty, prepared.built.shape,
                   prepared.parts, "classes", wanted, folder)
    from archc.train.progress import Plain

    stops = iter([False] * 7 + [True])
    assert loop.run(job, Plain(), math.inf, lambda: next(stops)).step == 8  # within the second epoch
    outcome = runs.train(runs.prepare(wanted, network), folder, say=lambda text: None)
    assert outcome.result is not None
    content = [[(tmp_path / name / file).read_bytes() for file in (loop.METRICS, runs.MODEL)] for name in "abc"]
    assert content[0] == content[1] == content[2]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_kills_at_random_moments_change_nothing(blobs: str, tmp_path: Path, seed: int) -> None:
    attempt(tmp_path / "whole", blobs)
    done = subprocess.run([sys.executable, "-m", "tests.train.kills", str(tmp_path / "broken"), blobs, str(seed)], cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": f"{ROOT / 'compiler'}:{ROOT}", "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout.split()[0]) >= 3
    for file in (loop.METRICS, runs.MODEL):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "broken" / file).read_bytes()
    assert len(lines(tmp_path / "broken")) == 30


def test_a_signal_saves_and_says_so(blobs: str, tmp_path: Path) -> None:
    wanted = settings(blobs, epochs=2000)
    prepared = runs.prepare(wanted, network)
    folder = runs.begin(prepared, tmp_path / "run")
    threading.Thread(target=lambda: (time.sleep(0.5), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
    outcome = runs.train(prepared, folder, save_every=math.inf, say=lambda text: None)
    assert outcome.signal == signal.SIGINT and outcome.result is None and (folder / loop.CHECKPOINT).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_that_is_done_gives_its_result_again(blobs: str, tmp_path: Path) -> None:
    first = go(settings(blobs), tmp_path / "run")
    again = runs.train(runs.prepare(runs.settings_of(tmp_path / "run"), network), tmp_path / "run", say=lambda text: None)
    assert again.result == first.result


def test_steps_may_end_within_an_epoch(blobs: str, tmp_path: Path) -> None:
    outcome = go(settings(blobs, epochs=None, steps=8), tmp_path / "run")
    assert outcome.result is not None and outcome.result["steps"] == 8
    assert [(line["epoch"], line["step"]) for line in lines(tmp_path / "run")] == [(1, 6), (2, 8)]


def test_batches_are_of_equal_size_and_cover_the_data(blobs: str, tmp_path: Path) -> None:
    prepared = runs.prepare(settings(blobs, batch=50, epochs=2), network)
    job = loop.Job(prepared.built.module, prepared.built.loss.function, prepared.built.penalty, prepared.built.shape,
                   prepared.parts, "classes", prepared.settings, tmp_path)
    batches = list(loop._Loop(job).batches(0))
    assert [len(batch) for batch in batches] == [42, 42, 42, 42]
    first, second = torch.cat(batches[:2]), torch.cat(batches[2:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(84)) and first.tolist() != second.tolist()
    assert [b.tolist() for b in loop._Loop(job).batches(3)] == [batches[3].tolist()]


def test_penalties_are_added_to_the_loss(blobs: str, tmp_path: Path) -> None:
    def heavy(wanted: Settings, data: Dataset) -> Built:
        built = network(wanted, data)
        weight = built.module[1].weight  # type: ignore[index]
        return replace(built, penalty=lambda: 100 * weight.square().sum())

    go(settings(blobs), tmp_path / "plain")
    go(settings(blobs), tmp_path / "heavy", heavy)
    from safetensors.torch import load_file

    plain, shrunk = (load_file(tmp_path / name / runs.MODEL)["1.weight"].norm() for name in ("plain", "heavy"))
    assert shrunk < 0.6 * plain and lines(tmp_path / "heavy")[0]["train_loss"] > 10


def test_tied_weights_are_saved_and_restored(blobs: str, tmp_path: Path) -> None:
    def tied(wanted: Settings, data: Dataset) -> Built:
        built = network(wanted, data)
        inner = nn.Linear(16, 16)
        built.module.insert(4, inner)  # type: ignore[operator]
        built.module.insert(5, inner)  # type: ignore[operator]
        return built

    go(settings(blobs), tmp_path / "run", tied)
    assert runs.train(runs.prepare(settings(blobs), tied), tmp_path / "run", say=lambda text: None).result is not None


def test_the_best_weights_can_be_kept(blobs: str, tmp_path: Path) -> None:
    outcome = go(settings(blobs, epochs=12, keep="best", lr=0.3, schedule="constant"), tmp_path / "run")
    losses = [line["validation_loss"] for line in lines(tmp_path / "run")]
    assert outcome.result is not None and outcome.result["best_epoch"] == 1 + losses.index(min(losses))
    best = runs.prepare(settings(blobs, epochs=12, keep="best"), network)
    from safetensors.torch import load_file

    from archc.train.metrics import evaluate

    best.built.module.load_state_dict(load_file(tmp_path / "run" / runs.MODEL))
    x, y = torch.as_tensor(best.parts.validation.x), torch.as_tensor(best.parts.validation.y)
    assert evaluate(best.built.module, best.built.loss.function, x, y, "classes", None)["loss"] == pytest.approx(min(losses))


# ------------------------------------------------------------------------------------------------- what goes wrong
def test_a_loss_that_is_not_finite_ends_the_run_with_a_sentence(blobs: str, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"the loss is nan at step \d+: lower --lr"):
        go(settings(blobs, lr=1e30, optimizer="sgd", epochs=50), tmp_path / "run")


def test_a_layer_that_does_not_take_the_data(blobs: str) -> None:
    def wrong(wanted: Settings, data: Dataset) -> Built:
        return replace(network(wanted, data), module=nn.Linear(7, 3))

    with pytest.raises(TrainError, match=r"Toy cannot take this data, of shape \[2, 4\]: mat1 and mat2"):
        runs.prepare(settings(blobs), wrong)


def test_a_loss_that_does_not_fit(blobs: str) -> None:
    def wrong(wanted: Settings, data: Dataset) -> Built:
        return replace(network(wanted, data), module=nn.Flatten(0))

    with pytest.raises(TrainError, match="the loss cross_entropy cannot compare what Toy gives, of shape"):
        runs.prepare(settings(blobs), wrong)


def test_a_loss_for_another_task(blobs: str) -> None:
    with pytest.raises(TrainError, match="the loss mse is for values, and blobs has classes to predict; choose one of cross_"):
        runs.prepare(settings(blobs, loss="mse"), network)


def test_folders_that_cannot_be_used(blobs: str, tmp_path: Path) -> None:
    go(settings(blobs, epochs=1), tmp_path / "run")
    with pytest.raises(TrainError, match="holds a run already"):
        runs.begin(runs.prepare(settings(blobs), network), tmp_path / "run")
    with pytest.raises(TrainError, match="holds no run to go on with"):
        runs.settings_of(tmp_path / "nothing")
    with pytest.raises(TrainError, match="cannot be made"):
        runs.begin(runs.prepare(settings(blobs), network), Path(blobs) / "run")
    (tmp_path / "run" / runs.RUN).write_text("{")
    with pytest.raises(TrainError, match="is damaged"):
        runs.settings_of(tmp_path / "run")


def test_a_source_or_data_that_changed_cannot_go_on(blobs: str, tmp_path: Path) -> None:
    prepared = runs.prepare(settings(blobs), network)
    folder = runs.begin(prepared, tmp_path / "run")
    changed = replace(prepared, built=replace(prepared.built, source="another"))
    with pytest.raises(TrainError, match=r"'none.arch' has changed since the run"):
        runs.train(changed, folder, say=lambda text: None)
    write_blobs(blobs, seed=1)
    with pytest.raises(TrainError, match=r"blobs.npz' has changed since the run"):
        runs.train(runs.prepare(settings(blobs), network), folder, say=lambda text: None)


def test_a_damaged_checkpoint(blobs: str, tmp_path: Path) -> None:
    go(settings(blobs, epochs=1), tmp_path / "run")
    (tmp_path / "run" / loop.CHECKPOINT).write_bytes(b"nonsense")
    with pytest.raises(TrainError, match="is not a checkpoint"):
        runs.train(runs.prepare(settings(blobs, epochs=1), network), tmp_path / "run", say=lambda text: None)


def test_a_checkpoint_of_another_layer(blobs: str, tmp_path: Path) -> None:
    def wider(wanted: Settings, data: Dataset) -> Built:
        built = network(wanted, data)
        return replace(built, module=nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))

    go(settings(blobs, epochs=1), tmp_path / "run")
    with pytest.raises(TrainError, match="is of another layer"):
        runs.train(runs.prepare(settings(blobs, epochs=1), wider), tmp_path / "run", say=lambda text: None)


def test_a_full_disk_is_a_sentence_and_leaves_the_old_checkpoint(
        blobs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = go(settings(blobs, epochs=1), tmp_path / "run")
    before = (outcome.folder / loop.CHECKPOINT).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    from archc.train import checkpoint

    with pytest.raises(TrainError, match=r"cannot be written: No space left on device"):
        checkpoint.save(outcome.folder / loop.CHECKPOINT, {"step": 1})
    assert (outcome.folder / loop.CHECKPOINT).read_bytes() == before
    assert not list(outcome.folder.glob("*.tmp"))


def test_losses_by_name() -> None:
    from archc.train.data import load

    digits = load("digits")
    logits, labels = torch.randn(5, 10), torch.tensor([1, 2, 3, 4, 5])
    assert torch_loss("cross_entropy", digits).function(logits, labels) == nn.functional.cross_entropy(logits, labels)
    one_hot = nn.functional.one_hot(labels, 10).float()
    assert torch_loss("bce_with_logits", digits).function(logits, labels) == nn.functional.binary_cross_entropy_with_logits(
        logits, one_hot)
    assert torch_loss("bce_with_logits", load("breast-cancer")).outputs == 1
    with pytest.raises(TrainError, match="there is no loss 'crossentropy'; known are cross_entropy"):
        torch_loss("crossentropy", digits)
