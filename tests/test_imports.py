"""Imports point one way, and checking a file loads none of the large libraries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "compiler" / "archc"
ORDER = ["version", "resources", "diagnostics", "limits", "syntax", "ops", "checker", "ir", "rules", "passes",
         "codegen", "pipelines", "analyze", "sources", "store", "probe", "watch", "api", "train", "bench", "editor", "lsp", "cli",
         "__main__"]
HEAVY = ("torch", "sympy", "networkx", "numpy", "triton", "rich", "pygls", "lsprotocol")
LAZY = ["diagnostics", "syntax", "ops", "checker", "ir", "rules", "passes", "codegen", "pipelines", "analyze", "api", "lsp",
        "cli"]


def imports(path: Path, *, top: bool = False, types: bool = True) -> set[str]:
    """The modules that a file imports: with `top` those that importing it loads, without `types` not those for annotations."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if not (typing and not types) and not (top and inside):
            stack.extend(ast.iter_child_nodes(node))
    return found


def files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path.read_text())


def folder(path: Path) -> str:
    return level(path.relative_to(ROOT).parts[0].removesuffix(".py"))


def level(name: str) -> str:
    """`loaded` is the part of `api` that makes classes."""
    return "api" if name == "loaded" else name


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = folder(path)
    seen = {level(name.split(".")[1]) for name in imports(path, types=own != "train") if name.startswith("archc.")}
    if own == "runtime":
        assert not seen - {"runtime"}, "emitted packages carry runtime, so it imports nothing of archc"
    elif own == "train":
        assert seen <= {"api", "train", "diagnostics", "resources", "version"}
    elif own != "__init__":
        below = ORDER[: ORDER.index(own) + 1] + ["runtime"] * (own in ("analyze", "api", "cli", "codegen"))
        assert seen <= set(below), f"{own} imports what is above it"


@pytest.mark.parametrize("path", [path for path in files() if folder(path) in LAZY and path.name != "numpy_spelling.py"],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_large_libraries_are_imported_in_functions(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path, top=True, types=False)} & set(HEAVY)


def test_checking_loads_no_large_library() -> None:
    code = (
        "import sys, archc\n"
        "archc.check('fn twice(x) { return 2 * x }')\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           env={"PYTHONPATH": str(ROOT.parent)})
    assert found.stdout.strip() == "[]"
