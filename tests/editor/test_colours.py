"""The keywords that editors colour are those of the grammar; the grammar file and the lexer are made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number, Operator, Text, Token

from archc.editor import textmate, words
from archc.editor.pygments import ArchLexer
from archc.lsp.completion import KEYWORDS
from archc.syntax.tables import load

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for folder in ("stdlib", "examples") for path in sorted((ROOT / folder).rglob("*.arch"))]


def test_the_keywords_are_the_grammars() -> None:
    assert set(load().words) == words.ALL
    groups = [words.DECLARATION, words.STORE, words.CONTROL, words.OPERATOR, words.CONSTANT, words.FOLLOWED]
    assert sum(map(len, groups)) == len(words.ALL)


def test_what_is_completed_are_keywords() -> None:
    for where, found in KEYWORDS.items():
        assert set(found) <= (set(words.KINDS) if where == "kind" else words.ALL)


def test_the_textmate_grammar_is_the_one_in_the_folder() -> None:
    saved = (ROOT / "grammar" / textmate.FILE).read_text(encoding="utf-8")
    assert saved == textmate.text(), "write it with: python -m archc.editor.textmate"
    for rule in json.loads(saved)["patterns"]:
        re.compile(rule.get("match", rule.get("begin")))


def kinds(text: str) -> list[tuple[str, object]]:
    return [(value, kind) for kind, value in ArchLexer().get_tokens(text) if value.strip()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_read_whole(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tokens = list(ArchLexer().get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    assert not [value for kind, value in tokens if kind in (Error, Text)]


def test_words_are_coloured_where_they_are_keywords() -> None:
    found = kinds("layer Act(c: axis) { # note\n forward(x[n=2]) -> like x { return sum[c](x * |c|) and true } }")
    for expected in [("layer", Keyword.Declaration), ("Act", Name.Class), ("axis", Keyword.Type), ("# note", Comment.Single),
                     ("forward", Keyword), ("like", Keyword), ("return", Keyword), ("sum", Name.Function), ("2", Number),
                     ("|c|", Name.Variable), ("and", Operator.Word), ("true", Keyword.Constant)]:
        assert expected in found
    names = kinds("space = edge + like\nlayer, axis = given(x)")
    assert {value for value, kind in names if kind in Token.Keyword} == set()


def test_pygments_finds_the_lexer() -> None:
    pytest.importorskip("importlib.metadata")
    from importlib.metadata import entry_points

    found = [point for point in entry_points(group="pygments.lexers") if point.name == "arch"]
    declared = 'arch = "archc.editor.pygments:ArchLexer"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert declared and all(point.load() is ArchLexer for point in found)
