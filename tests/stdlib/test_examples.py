"""Every `example:` line of the library and the examples holds: the layer is made and gives the shape that stands there."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import archc
from archc.diagnostics.model import Problems
from archc.resources import STDLIB, folder
from archc.syntax import tree
from archc.syntax.parse import parse
from tests.peers import kan, linear, norm, vision
from tests.stdlib.modules import assert_same, copy_state, default_dtype, step, stir

ROOT = Path(__file__).resolve().parents[2]
RUN_TIME = ("axis", "int", "float", "bool")
LINE = re.compile(r"example: (\w+)\((.*)\): (\[.*\](?:: int)?) -> (\[.*\])$", re.MULTILINE)
INPUT = re.compile(r"(\[[^\]]*\])(: int)?")
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
    inputs = [(torch.zeros(ast.literal_eval(shape), dtype=torch.long) if dtype else torch.randn(ast.literal_eval(shape)))
              for shape, dtype in INPUT.findall(before)]
    assert list(module(*inputs).shape) == ast.literal_eval(after)


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


# ------------------------------------------------------------------------------------- the models against plain torch
MODELS = [
    ("kan_digits", "KANDigits", {}, (5, 1, 8, 8), kan.KANDigits),
    ("vit_digits", "ViT", {"depth": 2}, (5, 1, 8, 8), partial(vision.ViT, depth=2)),
    ("vit_digits", "ViT", {"depth": 1, "mlp": "KANMLP", "norm": "RMSNorm"}, (5, 1, 8, 8),
     partial(vision.ViT, depth=1, mlp=kan.KANMLP, norm=norm.RMSNorm)),
    ("vit_digits", "ViT", {"depth": 1, "mlp": "GatedMLP"}, (5, 1, 8, 8), partial(vision.ViT, depth=1, mlp=linear.GatedMLP)),
    ("resnet_fashion", "ResNet", {}, (3, 1, 28, 28), vision.ResNet),
    ("resnet_fashion", "ResNet", {}, (3, 1, 13, 10), vision.ResNet),
    ("resnet_fashion", "ResNet", {"depth": 2, "norm": "GroupNorm"}, (3, 1, 12, 12),
     partial(vision.ResNet, depth=2, norm=norm.GroupNorm)),
    ("resnet_fashion", "ResNet", {"norm": "EvoNormS0", "act": "identity"}, (3, 1, 12, 12),
     partial(vision.ResNet, norm=norm.EvoNormS, act=lambda x: x)),
    ("resnet_fashion", "ResNet", {"norm": "EvoNormB0", "act": "identity"}, (3, 1, 12, 12),
     partial(vision.ResNet, norm=norm.EvoNormB, act=lambda x: x)),
]


@pytest.mark.parametrize(("folder_", "layer", "static", "shape", "reference"), MODELS,
                         ids=[f"{m[1]}({m[2]})-{m[3]}" for m in MODELS])
def test_model_equals_transcription(folder_: str, layer: str, static: dict[str, object], shape: tuple[int, ...],
                                    reference: Callable[[], torch.nn.Module]) -> None:
    loaded = archc.load(ROOT / "examples" / folder_ / f"{folder_}.arch", **static)
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        ours, theirs = getattr(loaded, layer)(), reference()
        x = torch.rand(shape)
    stir(ours)
    copy_state(ours, theirs, {})
    for training in (True, False):
        assert_same(step(ours.train(training), x), step(theirs.train(training), x), 1e-10)
