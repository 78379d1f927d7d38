"""What the README shows is what archc does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import archc
from archc import api

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", TEXT, re.S)[1]  # type: ignore[index]


def test_the_layer_compiles_to_what_is_shown(tmp_path: Path) -> None:
    source = tmp_path / "gate.arch"
    source.write_text(block("arch"))
    assert block("python") in api.files_of(source)["modules.py"]


def test_the_mistake_is_explained_as_shown() -> None:
    wrong = block("arch").replace("mean[h, w]", "mean[h, width]")
    [found] = archc.check(wrong, "gate.arch")
    assert f"{found}\n" == block("text")


def test_a_trained_layer_loads_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archc.cli.main import main

    monkeypatch.chdir(tmp_path)
    source = ROOT / "examples" / "kan_digits" / "kan_digits.arch"
    assert main(["train", str(source), "--layer", "KANDigits", "--data", "digits", "--steps", "1", "--arg", "hidden=8"]) == 0
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.S)[1].replace("examples/kan_digits/kan_digits.arch", str(source))  # type: ignore[index]
    scope: dict[str, object] = {}
    exec(code, scope)
    assert scope["layer"].hidden == 8  # type: ignore[attr-defined]
