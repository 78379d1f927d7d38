"""What the environment asks to see of passes: ARCHC_VERIFY, ARCHC_TIME, ARCHC_DUMP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archc import api, watch
from archc.cli import main as cli
from archc.diagnostics.model import CompilerBug, UserError
from archc.ir import build
from archc.ir.graph import Graph, Node, rewrite
from archc.ir.read_text import parse
from archc.passes.base import Pass
from archc.pipelines import INFERENCE

STDLIB = Path(__file__).resolve().parents[2] / "stdlib"
WITH_LAYERS = [path for path in sorted(STDLIB.glob("*.arch")) if api.open_program(path).layers]


def graph() -> Graph:
    return api.graph("std.norm", "RMSNorm")


def doubled(current: Graph) -> Graph:
    """A pass that is wrong in its values alone."""
    return current.with_roots(build.apply("add", root, root) for root in current.roots)


def mistyped(current: Graph) -> Graph:
    def wrong(n: Node) -> Node | None:
        return replace(n, type=replace(n.type, axes=frozenset())) if n.op == "mean" else None

    return rewrite(current, wrong)


def test_levels_of_verifying(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = [Pass("doubling", "", doubled)]
    for level in ("0", "1"):
        monkeypatch.setenv("ARCHC_VERIFY", level)
        watch.run(graph(), bad)
    monkeypatch.setenv("ARCHC_VERIFY", "2")
    with pytest.raises(CompilerBug, match="the pass 'doubling' changed the value"):
        watch.run(graph(), bad)
    assert watch.run(graph(), INFERENCE)
    monkeypatch.setenv("ARCHC_VERIFY", "3")
    with pytest.raises(UserError, match=r"it may be 0 .off., 1 .types. or 2 .values."):
        watch.run(graph(), INFERENCE)
    assert cli.main(["ir", "std.norm", "--layer", "RMSNorm"]) == 1


@pytest.mark.parametrize("path", WITH_LAYERS, ids=lambda path: path.stem)
def test_passes_keep_the_values_of_the_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHC_VERIFY", "2")
    assert api.files_of(path)


def test_stages_are_written_with_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHC_DUMP", str(tmp_path / "dump"))
    done = watch.run(graph(), INFERENCE)
    names = sorted(path.name for path in (tmp_path / "dump").iterdir())
    assert names[0].endswith("-RMSNorm-source.ir") and {name.rpartition(".")[2] for name in names} == {"ir", "diff"}
    last = [name for name in names if name.endswith(".ir")][-1]
    again = parse((tmp_path / "dump" / last).read_text())  # any dump reads back
    assert again.roots == done.roots
    assert "\n+" in (tmp_path / "dump" / last.replace(".ir", ".diff")).read_text()


def test_times_are_told_on_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ARCHC_TIME", "1")
    assert cli.main(["ir", "std.norm", "--layer", "RMSNorm", "--for", "inference"]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == len(INFERENCE) and all(" ms  " in line for line in lines) and printed.out.startswith("graph RMSNorm")
