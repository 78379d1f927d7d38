"""The Python programs of the examples, and training runs of their layers."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import archc
from archc.cli import main as cli
from tests.stdlib.modules import assert_same, copy_state, default_dtype, step, stir

ROOT = Path(__file__).resolve().parents[2] / "examples"


def program(example: str, name: str) -> types.ModuleType:
    """examples/EXAMPLE/NAME.py as a module."""
    spec = importlib.util.spec_from_file_location(f"{example}_{name}", ROOT / example / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


class Within(nn.Module):
    """A module under the name that it has in the example's layer; `before` makes its inputs of the layer's."""

    def __init__(self, name: str, inner: nn.Module, before: Callable[[Tensor], tuple[Tensor, ...]] = lambda x: (x,)) -> None:
        super().__init__()
        self.add_module(name, inner)
        self.inner, self.before = [inner], before

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner[0](*self.before(x))
        return result


def compare(example: str, layer: str, reference: Callable[[], nn.Module], shape: tuple[int, ...], static: Mapping[str, object],
            **arguments: int) -> None:
    """A layer of the example equals the reference in float64, with all gradients."""
    made = getattr(archc.load(ROOT / example / f"{example}.arch", **static), layer)
    torch.manual_seed(0)
    with default_dtype(torch.float64):
        ours, theirs, x = made(**arguments), reference(), torch.rand(shape)
    stir(ours)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    copy_state(ours, theirs, {})
    assert_same(step(ours, x), step(theirs, x), 1e-10)


def train(example: str, out: Path, *flags: str) -> dict[str, Any]:
    """`archc train` on the example's file: what the test part says."""
    source = ROOT / example / f"{example}.arch"
    assert cli.main(["train", str(source), *flags, "--threads", "1", "--out", str(out)]) == 0
    found: dict[str, Any] = json.loads((out / "result.json").read_text())
    return found
