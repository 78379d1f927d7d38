"""`archc new`: what it writes is right, laid out, and runs; what is there is left alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archc
from archc.api import check_file
from archc.cli import main as cli
from archc.cli.new import kinds, place

CALLS = {
    "layer": ({"i": 8, "o": 3}, (2, 5, 8), (2, 5, 3)),
    "norm": ({"channels": 8}, (2, 8, 5, 6), (2, 8, 5, 6)),
    "attention": ({"c": 8, "heads": 2}, (2, 5, 8), (2, 5, 8)),
    "recurrence": ({"c": 8}, (2, 5, 8), (2, 5, 8)),
    "model": ({}, (2, 1, 8, 8), (2, 10)),
}


@pytest.mark.parametrize("kind", kinds())
def test_a_starter_is_right_and_laid_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "MyOwnThing", "--kind", kind]) == 0
    file = tmp_path / "my_own_thing.arch"
    assert check_file(file) == [] and cli.main(["fmt", "--check", str(file)]) == 0
    text = file.read_text()
    assert not re.search("starter", text, re.I) and ("MyOwnThing" in text or kind == "loss") and text.count("#") >= 2


@pytest.mark.parametrize("kind", sorted(CALLS))
def test_a_starter_runs_and_has_gradients(kind: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    arguments, shape, result = CALLS[kind]
    file = tmp_path / "mine.arch"
    assert cli.main(["new", str(file), "--kind", kind]) == 0
    module = archc.load(file).Mine(**arguments)
    x = torch.randn(shape)
    y = module(x)
    assert y.shape == result and y.isfinite().all()
    y.square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_every_layer_has_a_call_here() -> None:
    assert sorted(CALLS) == [kind for kind in kinds() if kind != "loss"]


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.arch"
    file.write_text("mine")
    assert cli.main(["new", str(file)]) == 1
    assert file.read_text() == "mine" and "is there already" in capsys.readouterr().err


def test_wrong_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "2much"]) == 2 and "cannot be a name" in capsys.readouterr().err
    assert cli.main(["new", "a-b.arch"]) == 2
    assert cli.main(["new", "LayerNorm", "--kind", "model"]) == 1 and "LayerNorm" in capsys.readouterr().err
    assert cli.main(["new", "no/such/Folder"]) == 1
    assert cli.main(["new", "X", "--kind", "spaceship"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given, kind, file, name",
    [
        ("GatedMLP", "layer", "gated_mlp.arch", "GatedMLP"),
        ("soft_f1", "loss", "soft_f1.arch", "soft_f1"),
        ("SoftF1", "loss", "soft_f1.arch", "soft_f1"),
        ("kan_mixer", "layer", "kan_mixer.arch", "KanMixer"),
        ("a/KAN2d.arch", "layer", "a/KAN2d.arch", "KAN2d"),
        ("_", "layer", "_.arch", "_"),
    ],
)
def test_names(given: str, kind: str, file: str, name: str) -> None:
    assert place(given, kind) == (Path(file), name)
