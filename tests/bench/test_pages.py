"""The documents hold what the results hold."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "benchmarks" / "pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_stands_between_markers_is_replaced() -> None:
    between = pages().between
    assert between("a\n<!-- x -->\nold\n<!-- /x -->\nb\n", "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="'y' are there 0 times"):
        between("a\n", "y", "new")


@pytest.mark.parametrize(("name", "made"), [("docs/performance.md", "page"), ("README.md", "readme")])
def test_documents_hold_the_kept_results(name: str, made: str) -> None:
    module = pages()
    found = json.loads(module.RESULTS.read_text(encoding="utf-8"))
    assert getattr(module, made)(found).rstrip() in (ROOT / name).read_text(encoding="utf-8")
