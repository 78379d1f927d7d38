"""Passes on graphs in text: `cases/<pass>.txt` has graphs before and after, or `unchanged`.

A case is a line `== what it shows`, a graph, a line `=>`, and the graph that is expected. Graphs are compared node for node.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from archc.ir.text import parse, write
from archc.ir.verify import verify
from archc.pipelines import PASSES

FOLDER = Path(__file__).parent / "cases"


def cases() -> list[object]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for block in path.read_text().split("\n== ")[1:]:
            title, _, body = block.partition("\n")
            before, _, after = body.partition("\n=>")
            found.append(pytest.param(path.stem, before, after.strip(), id=f"{path.stem}: {title}"))
    return found


@pytest.mark.parametrize(("name", "before", "after"), cases())
def test_case(name: str, before: str, after: str) -> None:
    graph = parse(before)
    verify(graph)
    result = PASSES[name].run(graph)
    verify(result)
    expected = graph if after == "unchanged" else parse(after)
    assert write(result) == write(expected)
    assert result.roots == expected.roots
