"""Pictures: what is in them, where it stands, and that nothing covers a text."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archc import api
from archc.analyze.draw import layout, svg
from archc.analyze.draw.dot import dot
from archc.analyze.draw.picture import Picture, picture
from archc.ir.module import Package

ROOT = Path(__file__).parents[2]
FILES = sorted((*(ROOT / "stdlib").glob("*.arch"), *(ROOT / "examples").glob("*/*.arch")))
LAYERS = [(path, name) for path in FILES for name in re.findall(r"^layer (\w+)", path.read_text(encoding="utf-8"), re.M)]


@cache
def packaged(source: str, layer: str) -> Package:
    return api.package(api.open_program(source), [layer])


def drawn(source: str, layer: str, depth: int = 0) -> Picture:
    package = packaged(source, layer)
    return picture(package, package.roots[0], depth=depth)


@pytest.mark.parametrize(("path", "layer"), LAYERS, ids=lambda value: value if isinstance(value, str) else value.stem)
@pytest.mark.parametrize("depth", [0, 2])
def test_texts_do_not_overlap_and_bytes_are_the_same(path: Path, layer: str, depth: int) -> None:
    source = f"std.{path.stem}" if path.parent.name == "stdlib" else str(path)
    found = drawn(source, layer, depth)
    text, places = svg.draw(found)
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for x, y, w, h in places:
        assert x >= 0 and y >= 0 and x + w <= width + 1 and y + h <= height
    for (x, y, w, h), (x2, y2, w2, h2) in itertools.combinations(places, 2):
        apart = x + w <= x2 + 0.5 or x2 + w2 <= x + 0.5 or y + h <= y2 + 1 or y2 + h2 <= y + 1
        assert apart, (layer, x, y, x2, y2)
    assert svg.svg(drawn(source, layer, depth)) == text
    assert dot(found).count("{") == dot(found).count("}")


def test_what_a_picture_holds() -> None:
    found = drawn("std.norm", "RMSNorm")
    assert [(box.kind, box.name, box.lines, box.gives) for box in found.boxes] == [
        ("input", "x", [], "[..., c]"),
        ("reduction", "mean", ["mean[c](x ^ 2)"], "[...]"),
        ("operation", "", ["x / sqrt(mean + eps) * gamma"], "[..., c]"),
        ("result", "result", [], "[..., c]"),
    ]
    assert found.lines == [(0, 1), (0, 2), (1, 2), (2, 3)]
    sides = [(side.name, side.role, side.axes) for side in found.boxes[2].sides]
    assert sides == [("eps", "number", ""), ("gamma", "param", "[c]")]


def test_sub_layers_open() -> None:
    closed, opened = drawn("std.linear", "MLP"), drawn("std.linear", "MLP", 1)
    assert [box.inner for box in closed.boxes if box.kind == "layer"] == [None, None]
    inner = [box.inner for box in opened.boxes if box.kind == "layer"]
    assert [part.title for part in inner if part is not None] == ["Linear", "Linear"]


def test_arguments_of_a_sub_layer_are_told_apart() -> None:
    text = """layer Blend(c: axis) {
    forward(x[n, c], y[n, c]) -> like x { return x * sigmoid(y) }
}
layer Pair(c: axis) {
    blend = Blend(c=c)
    forward(x[n, c]) -> like x {
        z = exp(x)
        return blend(z, x)
    }
}
"""
    package = api.package(api.open_text(text, "pair.arch"), ["Pair"])
    closed, opened = (picture(package, package.roots[0], depth=depth) for depth in (0, 1))
    assert [box.lines for box in closed.boxes if box.kind == "layer"] == [["Blend(z, x)"]]
    member = next(i for i, box in enumerate(opened.boxes) if box.kind == "layer")
    names = {i: box.name for i, box in enumerate(opened.boxes)}
    assert {names[a]: position for (a, b), position in opened.entry.items() if b == member} == {"z": 0, "x": 1}
    assert "Blend(z, x)" in svg.svg(opened)


def test_rows_go_down_and_lines_pass_between_boxes() -> None:
    blocks = [layout.Block(40, 20, 20) for _ in range(5)]
    lines = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (0, 4)]
    placed = layout.place(blocks, lines, frozenset({0}), frozenset({4}))
    for a, b in lines:
        assert placed.at[a][1] + 20 < placed.at[b][1]
    for bends in placed.bends.values():
        for x, upper, lower in bends:
            for left, top in placed.at:
                if top < lower and top + 20 > upper:
                    assert x < left or x > left + 40
    assert len(placed.bends[0, 3]) == 2


def test_crossings_are_undone() -> None:
    blocks = [layout.Block(40, 20, 20) for _ in range(4)]
    placed = layout.place(blocks, [(0, 3), (1, 2)], frozenset({0, 1}), frozenset({2, 3}))
    assert (placed.at[0][0] < placed.at[1][0]) == (placed.at[3][0] < placed.at[2][0])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from archc.cli import main as cli

    out = tmp_path / "a.svg"
    assert cli.main(("graph", "std.kan", "--layer", "KAN", "-o", str(out))) == 0
    assert out.read_text().startswith("<svg ") and capsys.readouterr().out == f"{out}\n"
    assert cli.main(("graph", "std.kan", "--layer", "KAN", "-o", "-", "--dot")) == 0
    assert capsys.readouterr().out.startswith('digraph "KAN" {')
    assert cli.main(("graph", "std.kan", "-o", str(out))) == 2


@pytest.mark.parametrize(("source", "layer", "file"), [("std.norm", "EvoNormS0", "evonorm_s0"),
                                                       ("std.attention", "SelfAttention", "self_attention")])
def test_pictures_of_the_documentation(source: str, layer: str, file: str, golden) -> None:  # type: ignore[no-untyped-def]
    golden(ROOT / "docs" / "images" / f"{file}.svg", svg.svg(drawn(source, layer)))
