"""Errors point at the character, say what met there and the way out; all of a file in one go; three exits, never a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archc import api
from archc.diagnostics.codes import KINDS
from archc.diagnostics.model import CompilerBug, Limit, UserError

TWO = """layer A(channels: axis) {
    param gain[channels] = 1
    forward(x[n, channels]) -> [n] {
        return sum[chanels](x * gain)
    }
}

fn f(x[n, c]) -> [n] {
    return 2 * x
}
"""


def archc(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "archc", *arguments], input=text, capture_output=True, text=True)


def test_an_error_is_the_place_the_line_a_caret_and_the_way_out() -> None:
    shown = archc("check", "-", text=TWO).stdout
    first = shown.split("\n\n")[0].splitlines()
    assert first[0] == "error[unknown-axis]: unknown axis 'chanels'" and first[1].strip() == "--> <stdin>:4:20"
    line, carets = first[3].split("|")[1], first[4].split("|")[1]
    assert line.strip() == "return sum[chanels](x * gain)" and line[carets.index("^") : carets.rindex("^") + 1] == "chanels"
    assert "did you mean 'channels'?" in shown


def test_labels_stand_at_the_cause_and_both_types_are_spelled_out() -> None:
    shown = archc("check", "-", text=TWO).stdout
    assert "fn f(x[n, c]) -> [n] {" in shown and "the result is declared here" in shown
    assert "is float[c, n]" in shown and "declared are [n]" in shown


def test_all_errors_of_a_file_come_in_one_go() -> None:
    found = api.check(TWO)
    assert [(d.code, d.line, d.column) for d in found] == [("unknown-axis", 4, 20), ("result-axes", 9, 12)]


def test_there_are_three_exits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert archc("check", "-", text=TWO).returncode == 1
    deep = "fn f(x) { return " + "-" * 300 + "x }"
    done = archc("check", "-", text=deep)
    assert done.returncode == 1 and "error[limit]" in done.stdout
    with pytest.raises(UserError):
        api.open_text(TWO, "a.arch")
    with pytest.raises(Limit):
        api.open_text(deep, "a.arch")
    assert {kind.exit for kind in KINDS.values()} == {"user", "limit"}
    monkeypatch.setattr("archc.api.check_program", lambda *_: 1 / 0)
    with pytest.raises(CompilerBug, match=r"division by zero .while compiling a.arch"):
        api.open_text("fn f(x) { return x }", "a.arch")


@pytest.mark.parametrize(
    "text", ["", "\x00", "fn", "layer A {", "fn f(x) { return x[n = ] }", "\ud7ff", "}" * 50, "(" * 5000, "import a"])
def test_bad_input_never_shows_a_traceback(text: str) -> None:
    done = archc("check", "-", text=text)
    assert done.returncode in (0, 1) and "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 0 or "error[" in done.stdout + done.stderr
