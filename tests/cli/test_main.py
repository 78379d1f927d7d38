"""The command line as a whole: help, mistakes, and every way to end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from archc.cli import main as cli
from archc.cli.values import pairs, value_of
from archc.diagnostics.model import CompilerBug

ROOT = Path(__file__).resolve().parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "compiler")}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0 and all(re.search(rf"^  {name} +{sentence}$", out, re.M) for name, sentence in cli.COMMANDS.items())
    assert run(capsys)[0] == 2


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, err = run(capsys, command, "--help")
    assert status == 0 and out.startswith(f"usage: archc {command}") and not err
    assert "examples:" in out


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("chek",), "archc: there is no command 'chek'; did you mean 'check'? (`archc --help` lists them)"),
    (("brew",), "archc: there is no command 'brew' (`archc --help` lists them)"),
    (("train",), "archc: say what to train: FILE is missing"),
    (("train", "a.arch", "--layer", "A"), "archc: say what to train: --data is missing"),
    (("train", "--resume"), "archc: --resume needs the folder of the run: --out DIR"),
    (("train", "a.arch", "--layer", "A", "--data", "d", "--arg", "c"), "archc: --arg takes NAME=VALUE, not 'c'"),
    (("train", "a.arch", "--set", "c=1", "--set", "c=2"), "archc: --set gives 'c' twice"),
    (("ir",), "archc: say which FILE to read, or give --list"),
    (("ir", "std.norm", "--run", "simplfy"),
     "archc: there is no pass 'simplfy' to run here; did you mean 'simplify'? (archc ir --list)"),
])
def test_wrong_usage_is_one_sentence_and_status_2(
        capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str) -> None:
    assert run(capsys, *arguments) == (2, "", sentence + "\n")


def test_unknown_flags_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", "a.arch", "--jsn")
    assert status == 2 and not out and "unrecognized arguments: --jsn" in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from archc.version import __version__

    assert run(capsys, "--version") == (0, f"archc {__version__}\n", "")


@pytest.mark.parametrize(("text", "value"), [
    ("3", 3), ("-2", -2), ("1e-5", 1e-5), ("true", True), ("False", "False"), ("RMSNorm", "RMSNorm"), ("[1, 2]", [1, 2]),
    ('"x"', "x"), ("[1.5]", "[1.5]"), ("null", "null"), ("{}", "{}"), ("a=b", "a=b")])
def test_values(text: str, value: object) -> None:
    assert value_of(text) == value and type(value_of(text)) is type(value)
    assert pairs([f"name={text}"], "--set") == {"name": value}


# ---------------------------------------------------------------------------------------------------- ways to end
def fails_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    def raises(arguments: Any) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", raises)
    return cli.main([])


@pytest.mark.parametrize("error", [CompilerBug("a node lost its type"), ZeroDivisionError("by zero"), RecursionError("deep")])
def test_a_bug_says_how_to_report_it(
        error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails_with(error, monkeypatch) == 70
    err = capsys.readouterr().err
    assert err.startswith("archc: this is a bug of archc, not of your file: ") and str(error) in err and "Traceback" not in err
    details = Path(re.search(r"with (\S+), which holds", err)[1])  # type: ignore[index]
    assert "Traceback" in details.read_text()
    details.unlink()


def test_a_full_disk_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails_with(OSError(28, "No space left on device", "build/x"), monkeypatch) == 1
    assert capsys.readouterr().err == "archc: No space left on device 'build/x'\n"


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails_with(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr() == ("", "")


def start(*arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "archc", *arguments], stdin=stdin, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=ENV)


def test_a_broken_pipe_is_quiet() -> None:
    process = start("ir", "--list")
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
    process.stderr.close()


def test_a_full_disk_behind_standard_output() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "archc", "ir", "--list"], stdout=full, stderr=subprocess.PIPE, env=ENV)
    assert (done.returncode, done.stderr) == (1, b"archc: No space left on device\n")


def test_a_real_interrupt_is_quiet() -> None:
    process = start("check", "-", stdin=subprocess.PIPE)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stdin and process.stdout and process.stderr and process.stderr.read() == b""
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()


# ---------------------------------------------------------------------------------------------------------- doctor
def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "doctor")
    assert status == 0 and re.search(r"^  ok  torch +\d", out, re.M) and re.search(r"^  --  gpu +|^  ok  gpu +", out, re.M)
    status, out, _ = run(capsys, "doctor", "--json")
    assert {f["name"] for f in json.loads(out)["findings"]} >= {"python", "torch", "numpy", "triton", "gpu", "c++ compiler"}


def test_doctor_limits(capsys: pytest.CaptureFixture[str]) -> None:
    from archc.limits import LIMITS

    status, out, _ = run(capsys, "doctor", "--limits")
    assert status == 0 and [line.split("  ")[0] for line in out.splitlines()] == list(LIMITS)
    assert json.loads(run(capsys, "doctor", "--limits", "--json")[1]).keys() == LIMITS.keys()


def test_doctor_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    real = metadata.version

    def version(name: str) -> str:
        if name in ("lark", "scikit-learn"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    status, out, _ = run(capsys, "doctor")
    assert status == 1 and "  no  lark          not installed; it reads .arch files\n" in out and "  --  scikit-learn" in out
