"""Every `example:` line of the library and the examples holds: the layer is made and gives the shape that stands there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch

import archc
from archc.diagnostics.model import Problems
from archc.syntax import tree
from archc.syntax.parse import parse
from tests.example_lines import EXAMPLES, FILES, ROOT, Example
from tests.peers import kan, linear, norm, vision
from tests.stdlib.modules import assert_same, copy_state, default_dtype, step, stir

RUN_TIME = ("axis", "int", "float", "bool")


def parsed(path: Path) -> tree.File:
    found = parse(path.read_text("utf-8"), str(path), Problems())
    assert found is not None
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_example_line(example: Example) -> None:
    layer = next(node for node in parsed(example.path).declarations
                 if isinstance(node, tree.Layer) and node.name.name == example.layer)
    fixed = {entry.name.name for entry in layer.parameters if entry.static or entry.kind.name not in RUN_TIME}
    loaded = archc.load(example.source, **{k: v for k, v in example.arguments.items() if k in fixed})
    module = getattr(loaded, example.layer)(**{k: v for k, v in example.arguments.items() if k not in fixed})
    assert list(module(*example.inputs()).shape) == example.result


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_layer_has_an_example_line_and_every_declaration_a_doc_comment(path: Path) -> None:
    for node in parsed(path).declarations:
        if isinstance(node, (tree.Layer, tree.Fn)):
            assert node.doc, f"{node.name} says nothing"
        if isinstance(node, tree.Layer):
            assert any(e.path == path and e.layer == node.name.name for e in EXAMPLES), f"{node.name} has no example line"


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
