"""The TextMate grammar `grammar/arch.tmLanguage.json`, which most editors read. `python -m archc.editor.textmate` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from archc.editor.words import CONSTANT, CONTROL, DECLARATION, FOLLOWED, KINDS, OPERATOR, STORE
from archc.resources import GRAMMAR, folder

FILE = "arch.tmLanguage.json"


def alternatives(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


def rule(name: str, match: str, **captures: str) -> dict[str, object]:
    found: dict[str, object] = {"match": match}
    if name:
        found["name"] = f"{name}.arch"
    if captures:
        found["captures"] = {group.lstrip("_"): {"name": f"{scope}.arch"} for group, scope in captures.items()}
    return found


def grammar() -> dict[str, object]:
    name, no_name = r"[A-Za-z_][A-Za-z0-9_]*", r"\b(?!\s*[=,])"
    followed = "|".join(rf"{word}\b(?={after})" for word, after in sorted(FOLLOWED.items()))
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "Arch",
        "scopeName": "source.arch",
        "fileTypes": ["arch"],
        "patterns": [
            rule("comment.line.number-sign", r"#.*$"),
            {"name": "string.quoted.double.arch", "begin": '"', "end": '"|$',
             "patterns": [rule("constant.character.escape", r"\\.")]},
            rule("variable.other.size", rf"\|[ \t]*{name}[ \t]*\|"),
            rule("constant.numeric", r"(?<![\w.])(?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
            rule("", rf"\b(fn)\s+({name})", _1="storage.type.function", _2="entity.name.function"),
            rule("", rf"\b(layer|search)\s+({name})", _1="storage.type.class", _2="entity.name.type"),
            rule("", r"\b(import)\s+([\w.]+)", _1="keyword.control.import", _2="entity.name.namespace"),
            rule("", rf":\s*({alternatives(KINDS)})\b", _1="support.type"),
            rule("keyword.other", rf"\b(?:{followed})"),
            rule("storage.type", rf"\b(?:{alternatives(DECLARATION)}){no_name}"),
            rule("storage.modifier", rf"\b(?:{alternatives(STORE)}){no_name}"),
            rule("keyword.control", rf"\b(?:{alternatives(CONTROL)}){no_name}"),
            rule("keyword.operator.word", rf"\b(?:{alternatives(OPERATOR)})\b"),
            rule("constant.language", rf"\b(?:{alternatives(CONSTANT)})\b"),
            rule("entity.name.function.call", rf"\b{name}(?=[\[(])"),
            rule("variable.other", rf"\b{name}\b"),
            rule("keyword.operator", r"->|\.\.\.|==|!=|<=|>=|//|[-+*/%^=<>]"),
        ],
    }


def text() -> str:
    return json.dumps(grammar(), indent=2) + "\n"


def save() -> Path:
    path = folder(GRAMMAR) / FILE
    path.write_text(text(), encoding="utf-8")
    return path


if __name__ == "__main__":
    print(f"wrote {save()}")
