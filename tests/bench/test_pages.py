"""The documents hold what the results hold; the script for a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

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


def test_gpu_sh_ends_with_one_sentence_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = subprocess.run(["sh", str(ROOT / "benchmarks" / "gpu.sh")], capture_output=True, text=True,
                          env={**os.environ, "PYTHON": sys.executable})
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("gpu.sh: ") and ("sees no GPU here" in done.stderr or "has no " in done.stderr)
