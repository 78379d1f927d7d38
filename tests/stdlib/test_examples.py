"""Every `example:` line of the library and the examples holds: the layer is made and gives the shape that stands there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

import archc
from archc.diagnostics.model import Problems
from archc.resources import STDLIB, folder
from archc.syntax import tree
from archc.syntax.parse import parse

ROOT = Path(__file__).resolve().parents[2]
RUN_TIME = ("axis", "int", "float", "bool")
LINE = re.compile(r"example: (\w+)\((.*)\): (\[.*\]) -> (\[.*\])$", re.MULTILINE)
FILES = [*sorted(folder(STDLIB).glob("*.arch")), *sorted((ROOT / "examples").glob("*/*.arch"))]


def lines(path: Path) -> list[tuple[tree.Layer, str, str, str]]:
    parsed = parse(path.read_text("utf-8"), str(path), Problems())
    assert parsed is not None
    layers = [node for node in parsed.declarations if isinstance(node, tree.Layer)]
    return [(layer, *found.groups()[1:]) for layer in layers for found in LINE.finditer(layer.doc)]


CASES = [(path, layer, *rest) for path in FILES for layer, *rest in lines(path)]


@pytest.mark.parametrize(("path", "layer", "arguments", "before", "after"), CASES,
                         ids=[f"{path.stem}.{layer.name.name}({arguments})" for path, layer, arguments, _, _ in CASES])
def test_example_line(path: Path, layer: tree.Layer, arguments: str, before: str, after: str) -> None:
    given = {k.strip(): ast.literal_eval(v) for k, v in (part.split("=") for part in arguments.split(",") if part)}
    fixed = {entry.name.name for entry in layer.parameters if entry.static or entry.kind.name not in RUN_TIME}
    source = f"std.{path.stem}" if path.parent.name == "stdlib" else str(path)
    loaded = archc.load(source, **{k: v for k, v in given.items() if k in fixed})
    module = getattr(loaded, layer.name.name)(**{k: v for k, v in given.items() if k not in fixed})
    assert list(module(torch.randn(ast.literal_eval(before))).shape) == ast.literal_eval(after)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_layer_has_an_example_line_and_every_declaration_a_doc_comment(path: Path) -> None:
    parsed = parse(path.read_text("utf-8"), str(path), Problems())
    assert parsed is not None
    for node in parsed.declarations:
        if isinstance(node, (tree.Layer, tree.Fn)):
            assert node.doc, f"{node.name} says nothing"
        if isinstance(node, tree.Layer):
            assert LINE.search(node.doc), f"{node.name} has no example line"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_has_no_problems_at_all(path: Path) -> None:
    assert archc.check_file(path) == []
