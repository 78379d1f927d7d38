"""A layer costs `.arch` text alone: no file under `compiler/` contains the name of a layer of the standard library.

Not in code, and not in a docstring, a comment, a rule or a help text either. A name counts as a whole word: torch's `nn.Linear`
would be found too, and code that needs it says `F.linear`. Of names that are words of English, with one capital as a
sentence begins, only what is used as a name counts: in quotes, after a point, before a parenthesis.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = frozenset(
    name
    for path in (ROOT / "stdlib").rglob("*.arch")
    for name in re.findall(r"^layer (\w+)", path.read_text("utf-8"), re.MULTILINE)
)
FILES = sorted(
    path for folder in ("compiler", "grammar") for path in (ROOT / folder).rglob("*")
    if path.is_file() and not {"__pycache__", "archc.egg-info"} & set(path.parts)
)  # fmt: skip


ENGLISH = re.compile(r"[A-Z][a-z]+")
USE = re.compile(r"(?<=[\"'`.])\w+|\w+(?=\()")


def named(text: str) -> list[str]:
    """The line and word of each name of a layer in a text."""
    return [f"{n}: {word}" for n, line in enumerate(text.split("\n"), 1) for word in re.findall(r"\w+", line)
            if word in LAYERS and (not ENGLISH.fullmatch(word) or word in USE.findall(line))]  # fmt: skip


def test_there_are_layers_and_files_to_look_for() -> None:
    assert len(LAYERS) > 40 and {path.suffix for path in FILES} >= {".py", ".rules", ".lark", ".json"} and len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_names_a_layer_of_the_library(path: Path) -> None:
    assert named(path.read_text("utf-8")) == []


def test_a_name_would_be_found_wherever_it_stands() -> None:
    text = '"""LayerNorm here."""\nif node.name == "LayerNorm":  # and LayerNorms\n    nn.Linear(1)\n# Linear ones\n'
    text += 'x == "Tower"\n'
    assert named(text) == ["1: LayerNorm", "2: LayerNorm", "3: Linear", "5: Tower"]
