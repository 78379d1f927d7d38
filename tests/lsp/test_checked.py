"""After any edit, what an editor is told is what `archc check` says of the text; and no place makes an answer fail."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from archc.api import check
from archc.checker.program import Declared, Program
from archc.lsp.analysis import Analyser, Analysis
from archc.lsp.completion import complete
from archc.lsp.hover import hover
from archc.lsp.modules import modules_of
from archc.lsp.names import resolve
from archc.lsp.places import Lines
from archc.lsp.problems import findings
from archc.lsp.server import Document, Documents

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*(ROOT / "stdlib").glob("*.arch"), *(ROOT / "examples").rglob("*.arch")])


def said(analysis: Analysis) -> list[tuple[str, int, int]]:
    return sorted((p.kind.code, getattr(p.at, "line", 0), getattr(p.at, "column", 0)) for p in analysis.problems)


def edited(text: str, draw: random.Random) -> str:
    """One edit as a person makes them: a character, a word, a line."""
    kind = draw.choice(["letter", "cut", "word", "line", "double", "swap"])
    at = draw.randrange(len(text))
    lines = text.split("\n")
    n = draw.randrange(len(lines))
    if kind == "letter":
        return text[:at] + draw.choice("abx(=[]|\n ") + text[at:]
    if kind == "cut":
        return text[:at] + text[at + draw.randrange(1, 4) :]
    if kind == "word":
        return text.replace(draw.choice(["silu", "x", "mean", "gamma", "weight", "sum"]), draw.choice(["relu", "y", "k"]), 1)
    if kind == "line":
        return "\n".join(lines[:n] + lines[n + 1 :])
    if kind == "double":
        return "\n".join(lines[: n + 1] + lines[n:])
    return "\n".join([*lines[:n], "", *lines[n:]])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_edits_one_after_the_other(path: Path) -> None:
    draw, analyse = random.Random(path.stem), Analyser()
    start = text = path.read_text(encoding="utf-8")
    for step in range(7):
        analysis = analyse(text, path)
        whole = sorted((d.code, d.line, d.column) for d in check(text, str(path)))
        mine = said(analysis)
        if not {"unknown-kind", "limit"} & {code for code, _, _ in whole}:  # after those, the whole check stops early
            assert mine == whole, f"after {step} edits"
        for _ in range(20):
            offset = draw.randrange(len(text) + 1)
            hover(analysis, offset), resolve(analysis, offset), complete(analysis, text, offset)
        for finding in findings(analysis):
            assert 0 <= finding.start <= finding.end <= len(text)
        text = edited(start if step % 3 == 2 else text, draw)


def test_what_did_not_change_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from archc.lsp import checked

    path = ROOT / "stdlib" / "kan.arch"
    text = path.read_text(encoding="utf-8")
    analyse, counted = Analyser(), []
    one = checked.check_one

    def count(program: Program, declared: Declared, *rest: Any) -> checked.Checked:
        counted.append(declared.name)
        return one(program, declared, *rest)

    monkeypatch.setattr(checked, "check_one", count)
    analyse(text, path)
    every = len(counted)
    counted.clear()
    analyse("# another line\n" + text, path)
    assert counted == []
    analyse(text.replace("turn = (m + 1)", "turn = (m + 2)"), path)
    assert counted == ["FourierKAN"] and every > 8


def test_a_type_after_a_shift_is_the_same(tmp_path: Path) -> None:
    path = ROOT / "stdlib" / "norm.arch"
    text = path.read_text(encoding="utf-8")
    analyse = Analyser()
    first = hover(analyse(text, path), text.index("x - m"))
    moved = "# a line\n\n" + text
    second = hover(analyse(moved, path), moved.index("x - m"))
    assert first and second and first.text == second.text and second.span.start == first.span.start + len("# a line\n\n")


def test_places_and_back() -> None:
    text = "a𝛼b\n\nxyz"
    for encoding in ("utf-8", "utf-16", "utf-32"):
        lines = Lines(text, encoding)
        for offset in range(len(text) + 1):
            assert lines.offset(*lines.position(offset)) == offset
    lines = Lines(text)
    assert lines.position(2) == (0, 3) and lines.offset(0, 99) == 3 and lines.offset(9, 0) == len(text)
    lines = Lines("a\r\nb\rc\n")
    assert lines.starts == [0, 3, 5, 7] and lines.offset(0, 99) == 1 and lines.offset(1, 99) == 4 and lines.offset(3, 9) == 7


def test_a_bug_of_the_compiler_is_told_once_and_the_editor_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> object:
        raise ValueError("no such thing")

    said: list[str] = []
    documents, document = Documents(said.append), Document("file:///a.arch", Path("a.arch"), "fn f(x) { return x }", 1, "utf-8")
    monkeypatch.setattr("archc.lsp.analysis.check", fails)
    assert findings(documents.analysis(document)) == [] and findings(documents.analysis(document)) == []
    assert len(said) == 1 and "bug of archc" in said[0] and "no such thing" in said[0]
    monkeypatch.undo()
    document.change("fn f(x) { return y }", 2)
    assert len(findings(documents.analysis(document))) == 1 and len(said) == 1


def test_modules(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("one.arch", "two.arch", "inner/three.arch", "not-a-name.arch"):
        (tmp_path / name).write_text("")
    found = modules_of(tmp_path / "one.arch")
    assert "std.norm" in found and [name for name in found if not name.startswith("std.")] == ["inner.three", "two"]
