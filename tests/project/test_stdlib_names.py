"""A layer costs `.arch` text alone: the compiler's code knows the name of no layer of the standard library.

Documentation may use them as examples: docstrings, comments, and what the commands print as help.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ROOT / "compiler" / "archc"
LAYERS = frozenset(
    name
    for path in (ROOT / "stdlib").glob("*.arch")
    for name in re.findall(r"^layer (\w+)", path.read_text("utf-8"), re.MULTILINE)
)
WORDS = re.compile(r"\w+")


def words(tree: ast.AST, help_: bool) -> Iterator[tuple[int, str]]:
    """The line and text of every identifier and of every word in a string, no docstrings; with `help_`, no sentences."""
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)
    } | {
        id(after.value)  # the text below a constant
        for node in ast.walk(tree)
        if isinstance(node, ast.Module)
        for after in node.body
        if isinstance(after, ast.Expr)
    }
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documents and not (help_ and " " in node.value):
                yield from ((line, word) for word in WORDS.findall(node.value))
        else:
            for field in ("id", "attr", "name", "arg", "module", "asname"):
                text = getattr(node, field, None)
                if isinstance(text, str):
                    yield from ((line, word) for word in WORDS.findall(text))


def test_there_are_layers_to_look_for() -> None:
    assert len(LAYERS) > 40


@pytest.mark.parametrize("path", sorted(COMPILER.rglob("*.py")), ids=lambda path: str(path.relative_to(COMPILER)))
def test_code_names_no_layer_of_the_library(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    found = [f"{path.name}:{line} {word}" for line, word in words(tree, path.parent.name == "cli") if word in LAYERS]
    assert found == []


@pytest.mark.parametrize("path", [*sorted(COMPILER.rglob("*.rules")), *sorted((ROOT / "grammar").glob("*.lark"))],
                         ids=lambda path: path.name)
def test_rules_and_grammars_name_no_layer_of_the_library(path: Path) -> None:
    assert LAYERS & set(WORDS.findall(path.read_text("utf-8"))) == set()


def test_a_name_in_code_would_be_found() -> None:
    source = '"""LayerNorm in a docstring."""\nif node.name == "LayerNorm":\n    LayerNorm(1)\n'
    assert [word for _, word in words(ast.parse(source), False) if word in LAYERS] == ["LayerNorm", "LayerNorm"]
