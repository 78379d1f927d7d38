"""What may be loaded when, and which stages see nothing of the outside world."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHC = ROOT / "compiler" / "archc"
HEAVY = {"torch", "numpy", "networkx", "rich", "sympy", "triton", "scipy", "sklearn", "safetensors"}


def loaded_by(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], cwd=ROOT, capture_output=True,
                          text=True, check=True, env={"PYTHONPATH": str(ROOT / "compiler")})
    return {name.split(".")[0] for name in done.stdout.split("\n")[-2].split()}


def test_importing_archc_loads_nothing_heavy() -> None:
    assert not loaded_by("import archc") & HEAVY


def test_checking_a_file_loads_nothing_heavy() -> None:
    largest = max((ROOT / "examples").rglob("*.arch"), key=lambda p: p.stat().st_size)
    assert not loaded_by(f"from archc.cli.main import main; assert main(['check', {str(largest)!r}]) == 0") & HEAVY


def test_the_text_stages_touch_no_file_and_no_clock() -> None:
    """From syntax to codegen: text in, text out."""
    forbidden = {"os", "io", "pathlib", "time", "random", "subprocess", "tempfile", "shutil"}
    for path in sorted(ARCHC.rglob("*.py")):
        name = path.relative_to(ARCHC)
        if str(name) == "syntax/tables.py":  # the grammar and its saved tables
            continue
        if name.parts[0] not in ("syntax", "ops", "checker", "ir", "rules", "passes", "codegen"):
            continue
        used = {found.split(".")[0] for found in imported(ast.parse(path.read_text(encoding="utf-8")))}
        assert not used & forbidden, f"{name} imports {', '.join(used & forbidden)}"


def imported(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found
