"""Programs of everything that the language has, and mutations of them: library, examples, starters, documents, tests."""

from __future__ import annotations

import ast
import random
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIECES = (r"\b[a-z]\w*\b", r"\b[a-zA-Z]\b", r"\b[0-9]+\b", r"[-+*/^]", r"\[[^\[\]]*\]", r"\([^()]*\)", r"= .*", r"^    .*$")
LINE = re.compile(r"^ +\S.*$", re.MULTILINE)


@cache
def corpus() -> tuple[str, ...]:
    """Every program of the repository once: files, blocks of the documents, texts in the tests."""
    found = [path.read_text(encoding="utf-8") for folder in ("stdlib", "examples", "starters", "tests")
             for path in sorted((ROOT / folder).rglob("*.arch"))]
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        found += re.findall(r"```arch\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for constant in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str) and _is_program(constant.value):
                found.append(constant.value)
    return tuple(dict.fromkeys(found))


def _is_program(text: str) -> bool:
    return bool(re.search(r"^ *(layer|fn) \w+\(", text, re.MULTILINE)) and "{" in text and "{{" not in text


@cache
def lines() -> tuple[str, ...]:
    """Every line that stands in a body somewhere."""
    return tuple(dict.fromkeys(line[0].strip() for text in corpus() for line in LINE.finditer(text)))


@cache
def pieces(pattern: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found[0] for text in corpus() for found in re.finditer(pattern, text, re.MULTILINE)))


def spliced(rng: random.Random) -> str:
    """A program that mostly still parses: pieces of it are others of its own or of any other program, or lines move."""
    text = rng.choice(corpus())
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.randrange(4)
        if kind == 0:
            text = _moved(text, rng)
            continue
        pattern = rng.choice(PIECES)
        places = list(re.finditer(pattern, text, re.MULTILINE))
        if places:
            place = rng.choice(places)
            new = rng.choice(places)[0] if kind < 3 else rng.choice(pieces(pattern))
            text = text[: place.start()] + new + text[place.end() :]
    return text


def _moved(text: str, rng: random.Random) -> str:
    """A line doubled, dropped, put elsewhere, or one of another program."""
    places = list(LINE.finditer(text))
    if not places:
        return text
    a, b = rng.choice(places), rng.choice(places)
    match rng.randrange(4):
        case 0:
            return text[: a.start()] + text[a.end() + 1 :]
        case 1:
            return text[: a.start()] + b[0] + "\n" + text[a.start() :]
        case 2:
            return text[: a.start()] + b[0] + text[a.end() :]
        case _:
            indent = " " * (len(a[0]) - len(a[0].lstrip()))
            return text[: a.start()] + indent + rng.choice(lines()) + "\n" + text[a.start() :]
