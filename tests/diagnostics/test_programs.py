"""Every diagnostic has a program that meets it: `tests/errors/unknown_axis.arch` beside what is said of it, `unknown_axis.txt`.

`pytest --bless` rewrites the texts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from archc.diagnostics.codes import KINDS
from archc.diagnostics.render import missing_facts
from tests.diagnostics.programs import FOLDER, PROGRAMS, problems_of, said

ELSEWHERE = {
    "file-missing": "test_files.py",
    "file-unreadable": "test_files.py",
    "file-folder": "test_files.py",
    "file-encoding": "test_files.py",
    "file-empty": "test_files.py",
    "import-outside": "test_files.py",
    "out-taken": "test_files.py",
    "out-unwritable": "test_files.py",
    "unknown-target": "test_files.py",
    "no-layer": "test_files.py",
    "environment": "test_files.py",
}
"""Kinds that no text of a program meets by itself, each with the file beside this one that meets them."""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_program(path: Path, golden) -> None:  # type: ignore[no-untyped-def]
    problems, texts = problems_of(path)
    assert path.stem.replace("_", "-") in [problem.kind.code for problem in problems], [p.kind.code for p in problems]
    for problem in problems:
        assert not missing_facts(problem), f"{problem.kind.code} lacks the facts {missing_facts(problem)}"
    golden(path.with_suffix(".txt"), f"{path.read_text(encoding='utf-8').rstrip()}\n\n{'-' * 100}\n{said(problems, texts)}\n")


@pytest.mark.parametrize("code", sorted(KINDS))
def test_every_kind_has_a_program(code: str) -> None:
    if code in ELSEWHERE:
        assert f'"{code}"' in Path(__file__).with_name(ELSEWHERE[code]).read_text(encoding="utf-8")
    else:
        assert (FOLDER / f"{code.replace('-', '_')}.arch").exists()


def test_every_text_belongs_to_a_program() -> None:
    assert [path for path in FOLDER.glob("*.txt") if not path.with_suffix(".arch").exists()] == []
