"""The `example:` lines of the library's and the examples' layers, read."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from archc.resources import STDLIB, folder

ROOT = Path(__file__).resolve().parents[1]
FILES = [*sorted(folder(STDLIB).glob("*.arch")), *sorted((ROOT / "examples").glob("*/*.arch"))]
LINE = re.compile(r"example: (\w+)\((.*?)\): (\[.*\](?:: int)?) -> (\[.*\])$", re.MULTILINE)
INPUT = re.compile(r"(\[[^\]]*\])(: int)?")


@dataclass(frozen=True)
class Example:
    """`Layer(c=8): [2, 8], [2]: int -> [2]`, and the file whose layer it is."""

    path: Path
    layer: str
    written: str
    before: str
    after: str

    @property
    def source(self) -> str:
        return f"std.{self.path.stem}" if self.path.parent.name == "stdlib" else str(self.path)

    @property
    def arguments(self) -> dict[str, object]:
        pairs = (part.split("=") for part in re.findall(r"\w+=(?:\[[^\]]*\]|[^,\[]+)", self.written))
        return {name.strip(): ast.literal_eval(value) for name, value in pairs}

    @property
    def shapes(self) -> list[tuple[tuple[int, ...], bool]]:
        """The shape of each input, and whether it holds integers."""
        return [(tuple(ast.literal_eval(shape)), bool(integer)) for shape, integer in INPUT.findall(self.before)]

    @property
    def result(self) -> list[int]:
        return list(ast.literal_eval(self.after))

    def inputs(self, *, requires_grad: bool = False) -> list[Tensor]:
        """Random values; integers are 0."""
        return [torch.zeros(shape, dtype=torch.long) if integer else torch.randn(shape, requires_grad=requires_grad)
                for shape, integer in self.shapes]

    def __str__(self) -> str:
        return f"{self.path.stem}.{self.layer}({self.written})"


EXAMPLES = [Example(path, *found) for path in FILES for found in LINE.findall(path.read_text("utf-8"))]
