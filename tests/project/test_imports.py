"""Who may import whom, and what may be loaded when: the arrows of docs/HACKING.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ARCHC = ROOT / "compiler" / "archc"

ANYONE = {"version", "limits", "resources"}  # leaves
ORDER = ["diagnostics", "syntax", "ops", "check", "ir", "rules", "passes", "codegen", "pipelines", "api"]
ALLOWED = {part: set(ORDER[:place]) for place, part in enumerate(ORDER)}
ALLOWED["check"] |= {"ops"}
ALLOWED["train"] = {"api", "diagnostics"}
ALLOWED["cli"] = {*ORDER, "train"}
ALLOWED["runtime"] = set()
ALLOWED["limits"] = {"diagnostics"}
ALLOWED["api"] |= {"runtime"}
ALLOWED["__init__"] = {"api", "diagnostics"}
ALLOWED["__main__"] = {"cli"}
HEAVY = {"torch", "numpy", "networkx", "rich", "sympy", "triton", "scipy", "sklearn", "safetensors"}
MAY_LOAD_HEAVY = {"train", "runtime"}
ONLY_WHEN_EVALUATING = {"ir/numpy_spelling.py"}  # the evaluator imports it when it is called


def files() -> list[Path]:
    return sorted(p for p in ARCHC.rglob("*.py") if "__pycache__" not in p.parts)


def part_of(path: Path) -> str:
    return path.relative_to(ARCHC).parts[0].removesuffix(".py")


def imports(tree: ast.AST, *, top: bool) -> Iterator[str]:
    """Modules imported at run time: by the whole file, or (`top`) while it is being imported. What only types need is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "archc":
                yield from (f"archc.{alias.name}" for alias in node.names)
            else:
                yield "." * node.level + (node.module or "")
        yield from imports(node, top=top)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ARCHC)))
def test_imports_point_one_way(path: Path) -> None:
    part, tree = part_of(path), ast.parse(path.read_text(encoding="utf-8"))
    used = {name.split(".")[1] for name in imports(tree, top=False) if name.startswith("archc.")}
    wrong = used - ANYONE - {part} - ALLOWED.get(part, set())
    assert not wrong, f"{part} must not import {', '.join(sorted(wrong))}"
    assert not [name for name in imports(tree, top=False) if name.startswith(".")], "imports are absolute"


@pytest.mark.parametrize("path", [p for p in files() if part_of(p) not in MAY_LOAD_HEAVY], ids=lambda p: str(p.relative_to(ARCHC)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    if str(path.relative_to(ARCHC)) in ONLY_WHEN_EVALUATING:
        return
    loaded = {name.split(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")), top=True)}
    assert not loaded & HEAVY, "import it inside the function that needs it, so that `archc check` starts fast"


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
    allowed = {"syntax/tables.py"}  # the grammar and its saved tables
    for path in files():
        if part_of(path) in ("syntax", "ops", "check", "ir", "rules", "passes", "codegen") and (
                str(path.relative_to(ARCHC)) not in allowed):
            used = {name.split(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")), top=False)}
            assert not used & forbidden, f"{path.relative_to(ROOT)} imports {used & forbidden}"
