"""The graphs shown in docs/graph.md are valid, and written as they are shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archc.ir.text import parse, write
from archc.ir.verify import verify

PAGE = Path(__file__).parents[2] / "docs" / "graph.md"
GRAPHS = re.findall(r"```graph\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("text", GRAPHS)
def test_graphs_of_the_page(text: str) -> None:
    graph = parse(text)
    verify(graph)
    assert re.sub(r" +", " ", write(graph)) == re.sub(r" +", " ", text)
