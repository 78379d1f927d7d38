"""What commands write is written whole or not at all: on a full disk, over other files, killed or interrupted on the way."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archc.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
ENV = {**{name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}, "PYTHONPATH": str(ROOT / "compiler")}
SOURCE = "layer A(c: axis) {\n    param w[c] = 1\n    forward(x[n, c]) -> like x {\n        return w * x\n    }\n}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.arch").write_text(SOURCE)
    (tmp_path / "wide.arch").write_text(SOURCE.replace(" x", "  x"))
    (tmp_path / "old.svg").write_text("old")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def little_space() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))


@pytest.mark.parametrize("command", [
    "new Small --kind attention", "graph a.arch -o new.svg", "graph a.arch -o old.svg", "fmt wide.arch", "compile a.arch -o out"])
def test_a_full_disk_leaves_all_as_it_was(folder: Path, command: str) -> None:
    before = contents(folder)
    done = subprocess.run([sys.executable, "-m", "archc", *command.split()], capture_output=True, text=True, env=ENV, check=False,
                          preexec_fn=little_space)
    assert done.returncode == 1 and "File too large" in done.stderr.splitlines()[0] and "Traceback" not in done.stderr
    assert contents(folder) == before


def test_a_picture_never_replaces_its_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "link.svg").symlink_to("a.arch")
    for out in ("a.arch", "./a.arch", "link.svg"):
        assert cli.main(["graph", "a.arch", "-o", out]) == 2
        assert capsys.readouterr().err == f"archc: -o {out} is what the picture is drawn from; give it a file of its own\n"
    assert (folder / "a.arch").read_text() == SOURCE


def test_places_that_cannot_be_written_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sub").mkdir()
    wrong = {"missing/a.svg": "No such file or directory", "a.arch/b.svg": "Not a directory", "sub": "Is a directory"}
    for out, why in wrong.items():
        assert cli.main(["graph", "a.arch", "-o", out]) == 1
        assert capsys.readouterr().err == f"archc: {why} '{out}'\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.arch", "old.svg", "sub", "wide.arch"]


def test_a_new_file_has_the_usual_permissions(folder: Path) -> None:
    (folder / "plain").write_text("")
    assert cli.main(["graph", "a.arch", "-o", "new.svg"]) == 0 and cli.main(["new", "Small"]) == 0
    modes = {(folder / name).stat().st_mode for name in ("plain", "new.svg", "small.arch")}
    assert len(modes) == 1


def test_help_to_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "archc", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, env=ENV,
                              check=False)
    assert (done.returncode, done.stderr) == (1, "archc: No space left on device\n")


def test_an_interrupt_while_the_command_is_loaded_is_quiet() -> None:
    """Modules are being imported; the signal comes from one of them, so that the moment is certain."""
    code = ("import archc.cli, os, signal, sys; sys.modules['archc.diagnostics.model'] = None\n"
            "os.kill(os.getpid(), signal.SIGINT)\nimport archc.cli.main")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV, check=False)
    assert done.returncode == -signal.SIGINT and done.stderr == ""


def test_a_killed_compile_leaves_a_whole_package_or_none(folder: Path) -> None:
    rng = random.Random(0)
    assert cli.main(["compile", "a.arch", "-o", "whole"]) == 0
    whole = contents(folder / "whole")
    for _ in range(6):
        process = subprocess.Popen([sys.executable, "-m", "archc", "compile", "a.arch", "-o", "out"], env=ENV,
                                   stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.1, 0.6))
        process.kill()
        process.wait()
        assert not (folder / "out").exists() or contents(folder / "out") == whole
    assert cli.main(["compile", "a.arch", "-o", "out"]) == 0
    assert contents(folder / "out") == whole
