"""The saved tables belong to the grammar, load fast, and are never needed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import archc
from archc.resources import GRAMMAR, folder
from archc.syntax import tables


def test_saved_tables_belong_to_the_grammar() -> None:
    saved = json.loads((folder(GRAMMAR) / tables.SAVED).read_text(encoding="utf-8"))
    assert saved["grammar"] == tables.key(tables.grammar_text()), "write them with: python -m archc.syntax.tables"
    assert saved == json.loads(json.dumps(tables.build(tables.grammar_text()))), "write them with: python -m archc.syntax.tables"


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "stale", "other format", "other shape", "not text"])
def test_without_good_tables_they_are_made_in_memory_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    good = (folder(GRAMMAR) / tables.SAVED).read_text(encoding="utf-8")
    shutil.copy(folder(GRAMMAR) / "arch.lark", tmp_path)
    saved = tmp_path / tables.SAVED
    if damage == "not text":
        saved.write_bytes(b"\xff\xfe\x00")
    elif damage != "missing":
        texts = {
            "empty": "",
            "cut": good[: len(good) // 2],
            "stale": good.replace('"grammar": "', '"grammar": "0'),
            "other format": good.replace('"format": 1', '"format": 0'),
            "other shape": "[1, 2]",
        }
        saved.write_text(texts[damage], encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(tables, "folder", lambda name: tmp_path)
    tables.load.cache_clear()
    try:
        made = tables.load()
    finally:
        tables.load.cache_clear()
    monkeypatch.undo()
    assert made == tables.load()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_parse_imports_neither_lark_nor_numpy() -> None:
    program = """
import sys
from archc.syntax.parse import parse
from archc.diagnostics.model import Problems
assert parse("fn f(x) { return x }", "x", Problems())
parse("fn f(x) { return }", "x", Problems())
print([name for name in ("lark", "numpy", "torch", "networkx", "rich") if name in sys.modules])
"""
    path = {**os.environ, "PYTHONPATH": str(Path(archc.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=path)
    assert done.stdout.strip() == "[]"
