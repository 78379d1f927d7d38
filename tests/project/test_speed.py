"""How long the commands take. The bounds here leave room for a busy machine; docs/performance.md has the figures."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LARGEST = max((ROOT / "examples").rglob("*.arch"), key=lambda path: path.stat().st_size)


def seconds(*command: str) -> float:
    """The least processor time of a whole process in five runs."""
    best = 1e9
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=ROOT,
                       env={**os.environ, "PYTHONPATH": str(ROOT / "compiler")})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return best


def test_checking_the_largest_example_is_quick() -> None:
    assert seconds("-m", "archc", "check", str(LARGEST)) < 0.45  # 0.3 on a quiet machine


def test_importing_archc_is_quick() -> None:
    assert seconds("-c", "import archc") < 0.15


def test_compiling_the_largest_example_is_quick(tmp_path: Path) -> None:
    assert seconds("-m", "archc", "compile", str(LARGEST), "-o", str(tmp_path / "out")) < 2
