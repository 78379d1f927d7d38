"""`archc fmt`: what it writes, what it leaves alone, and its exit status."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

import pytest

from archc.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
GOOD = "fn f(x) { return -x + 1 }\n"
UGLY = "fn f(x){return -x+1}"
BAD = "fn f(x) { return }\n"


def test_a_file_is_laid_out_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.arch"
    file.write_text(UGLY)
    file.chmod(0o640)
    assert cli.main(["fmt", str(file)]) == 0
    assert file.read_text() == GOOD and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert capsys.readouterr().out == f"{file} is changed\n"
    before = file.stat().st_mtime_ns
    assert cli.main(["fmt", str(file)]) == 0
    assert file.stat().st_mtime_ns == before and capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.arch"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "a.arch").write_text(UGLY)
    (tmp_path / "b.arch").symlink_to("a.arch")
    assert cli.main(["fmt", str(tmp_path / "b.arch")]) == 0
    assert (tmp_path / "b.arch").is_symlink() and (tmp_path / "a.arch").read_text() == GOOD


def test_check_and_diff_change_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ugly, good = tmp_path / "ugly.arch", tmp_path / "good.arch"
    ugly.write_text(UGLY)
    good.write_text(GOOD)
    assert cli.main(["fmt", "--check", str(ugly), str(good)]) == 1
    assert capsys.readouterr().out == f"{ugly} would change\n"
    assert cli.main(["fmt", "--check", str(good)]) == 0
    assert cli.main(["fmt", "--diff", str(ugly)]) == 0
    out = capsys.readouterr().out
    assert "-fn f(x){return -x+1}\n\\ No newline at end of file\n+fn f(x) { return -x + 1 }\n" in out
    assert cli.main(["fmt", "--diff", "--check", str(ugly)]) == 1
    assert ugly.read_text() == UGLY


def test_what_archc_ships_is_laid_out(capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(ROOT / name) for name in ("stdlib", "examples", "starters")]
    assert cli.main(["fmt", "--check", *folders]) == 0, capsys.readouterr().out


def test_a_folder_is_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.arch", "inner/b.arch", "c.txt"):
        (tmp_path / name).write_text(UGLY)
    assert cli.main(["fmt", str(tmp_path), str(tmp_path / "a.arch")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'a.arch'} is changed\n{tmp_path / 'inner/b.arch'} is changed\n"
    assert (tmp_path / "c.txt").read_text() == UGLY
    (tmp_path / "none").mkdir()
    assert cli.main(["fmt", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"archc: there is no .arch file below the folder {tmp_path / 'none'}\n"


def test_a_file_with_errors_is_left_alone_and_the_others_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, ugly = tmp_path / "bad.arch", tmp_path / "ugly.arch"
    bad.write_text(BAD)
    ugly.write_text(UGLY)
    assert cli.main(["fmt", str(bad), str(ugly), str(tmp_path / "none.arch")]) == 1
    assert bad.read_text() == BAD and ugly.read_text() == GOOD
    err = capsys.readouterr().err
    assert f"{bad}:1:11" in err and "none.arch" in err and err.endswith("2 of 3 files left alone\n")


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def feed(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    feed(UGLY.encode())
    assert cli.main(["fmt", "-"]) == 0
    assert capsys.readouterr().out == GOOD
    feed(BAD.encode())
    assert cli.main(["fmt", "-"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "<stdin>:1:11" in captured.err
    feed(UGLY.encode())
    assert cli.main(["fmt", "-", "--check"]) == 1
    feed(b"\xff")
    assert cli.main(["fmt", "-"]) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "a.arch"
    file.write_text(UGLY)
    tmp_path.chmod(0o500)
    assert cli.main(["fmt", str(file)]) == 1
    tmp_path.chmod(0o700)
    assert file.read_text() == UGLY


def test_a_write_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.arch"
    file.write_text(UGLY)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    assert cli.main(["fmt", str(file)]) == 1
    assert file.read_text() == UGLY and [path.name for path in tmp_path.iterdir()] == ["a.arch"]
