"""`archc compile`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archc.cli import main as cli

SOURCE = """
layer Scale(c: axis, static power: int = 1) {
    param gain[c] = 2
    forward(x[..., c]) -> like x { return x * gain ^ power }
}
layer Twice(c: axis) {
    forward(x[..., c]) -> like x { return 2 * x }
}
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scale.arch").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_package_that_needs_only_torch(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "scale.arch", "-o", "build/scale", "--set", "power=3"]) == 0
    assert capsys.readouterr().out == "build/scale: __init__.py, modules.py, manifest.json, py.typed\n"
    code = ("import sys, torch, scale; assert not [m for m in sys.modules if m.startswith('archc')]; "
            "print(scale.Scale(3)(torch.ones(2, 3)).sum().item(), scale.Twice(1)(torch.ones(1)).item())")
    done = subprocess.run([sys.executable, "-c", code], cwd=source / "build", capture_output=True, text=True, check=True)
    assert done.stdout == "48.0 2.0\n"


def test_the_same_input_gives_the_same_bytes(source: Path) -> None:
    for name in ("a", "b"):
        assert cli.main(["compile", "scale.arch", "-o", name]) == 0
    first, second = ({path.name: path.read_bytes() for path in (source / name).iterdir()} for name in ("a", "b"))
    assert first == second


def test_one_layer(source: Path) -> None:
    assert cli.main(["compile", "scale.arch", "-o", "out", "--layer", "Twice"]) == 0
    text = (source / "out" / "modules.py").read_text()
    assert "class Twice(" in text and "class Scale(" not in text


@pytest.mark.parametrize(("arguments", "word"), [
    (("none.arch", "-o", "out"), "none.arch"),
    (("scale.arch", "-o", "out", "--layer", "Thrice"), "Thrice"),
    (("scale.arch", "-o", "out", "--set", "powr=2"), "powr"),
    (("scale.arch", "-o", "out", "--set", "power=many"), "power"),
    (("scale.arch", "-o", "scale.arch"), "scale.arch"),
])
def test_what_is_wrong_is_a_sentence_and_writes_nothing(
        source: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], word: str) -> None:
    assert cli.main(["compile", *arguments]) == 1
    err = capsys.readouterr().err
    assert word in err and "Traceback" not in err and "bug" not in err
    assert [p.name for p in source.iterdir()] == ["scale.arch"] and (source / "scale.arch").read_text() == SOURCE


def test_the_folder_must_be_given(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compile", "scale.arch"]) == 2
    assert "-o" in capsys.readouterr().err
