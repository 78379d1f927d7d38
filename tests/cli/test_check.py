"""`archc check` and `archc ir`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archc.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
GOOD = "layer Scale(c: axis) {\n    param gain[c] = 1\n    forward(x[..., c]) -> like x { return x * gain }\n}\n"
BAD = GOOD.replace("x * gain", "x * gian")


def write(folder: Path, text: str, name: str = "a.arch") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", write(tmp_path, GOOD)]) == 0
    assert capsys.readouterr().out == "nothing wrong in 1 file\n"


def test_a_bad_file_and_a_missing_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path, BAD)
    assert cli.main(["check", bad, str(tmp_path / "none.arch")]) == 1
    out = capsys.readouterr().out
    assert f"{bad}:3:47" in out and "did you mean 'gain'?" in out and "none.arch" in out
    assert out.endswith("2 errors in 2 files\n") and "\x1b" not in out


def test_colour_only_when_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", write(tmp_path, BAD), "--color", "always"]) == 1
    assert "\x1b[1;31m" in capsys.readouterr().out


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path, BAD)
    assert cli.main(["check", bad, "--json"]) == 1
    [found] = json.loads(capsys.readouterr().out)
    assert [found[key] for key in ("severity", "file", "line", "column")] == ["error", bad, 3, 47]
    assert "gian" in found["message"]
    assert cli.main(["check", write(tmp_path, GOOD), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_standard_input() -> None:
    def check(text: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([sys.executable, "-m", "archc", "check", "-"], input=text, capture_output=True,
                              env={**os.environ, "PYTHONPATH": str(ROOT / "compiler")}, check=False)

    assert check(GOOD.encode()).returncode == 0
    assert check(BAD.encode()).returncode == 1 and b"<stdin>:3:47" in check(BAD.encode()).stdout
    assert check(b"\xff\xfe\x00layer").returncode == 1 and check(b"").returncode in (0, 1)


def test_the_library_checks(capsys: pytest.CaptureFixture[str]) -> None:
    modules = [f"std.{path.stem}" for path in (ROOT / "stdlib").glob("*.arch")]
    assert cli.main(["check", *modules]) == 0, capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- ir
def test_ir_is_text_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    from archc.ir.text import parse, write

    for more in ([], ["--for", "training"], ["--mode", "eval"]):
        assert cli.main(["ir", "std.norm", "--layer", "RMSNorm", *more]) == 0
        text = capsys.readouterr().out
        assert write(parse(text)) == text


def test_ir_stops_after_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    def ir(*more: str) -> str:
        assert cli.main(["ir", "std.norm", "--layer", "RMSNorm", *more]) == 0
        return capsys.readouterr().out

    assert ir("--run", "simplify,gradient") != ir("--run", "simplify") != ir()
    assert "d_result" in ir("--after", "gradient") and "d_result" not in ir("--for", "inference", "--after", "hoist")


def test_ir_shows_what_a_pass_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ir", "std.norm", "--layer", "RMSNorm", "--run", "simplify,simplify", "--diff"]) == 0
    first, second = capsys.readouterr().out.split("== simplify: ")[1:]
    assert "\n-" in first and "\n+" in first and second.splitlines()[1] == "nothing changed"


def test_ir_says_what_loops_hold_for_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    """In comments, so that the text reads back; 4 bytes for each element of hidden and cell at each step."""
    from archc.ir.text import parse

    assert cli.main(["ir", "std.recurrent", "--layer", "LSTM", "--for", "training"]) == 0
    text = capsys.readouterr().out
    assert text.endswith("""
# held from loop to loop: %hidden_saved, 4*h*rows*t bytes
# held from loop to loop: %cell_saved, 4*h*rows*t bytes
# together 8*h*rows*t bytes
""")
    assert [output.name for output in parse(text).outputs] == ["d_x", "d_weight_ih", "d_weight_hh", "d_bias_ih", "d_bias_hh"]



def test_ir_lists_passes(capsys: pytest.CaptureFixture[str]) -> None:
    from archc.pipelines import MODES, PASSES

    assert cli.main(["ir", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(current.sentence in out for current in PASSES.values()) and all(f"\n{mode}: " in out for mode in MODES)


def test_ir_of_a_file_with_one_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ir", write(tmp_path, GOOD)]) == 0
    assert capsys.readouterr().out.startswith("graph Scale(")
    assert cli.main(["ir", "std.norm"]) == 2
    assert "say which layer of 'std.norm': --layer NAME, one of " in capsys.readouterr().err


def test_ir_of_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ir", write(tmp_path, BAD)]) == 1
    assert "gian" in capsys.readouterr().err
    assert cli.main(["ir", "std.norm", "--layer", "RMSNrm"]) == 1
    err = capsys.readouterr().err
    assert "RMSNorm" in err and "Traceback" not in err


def test_ir_of_a_method_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ir", "std.norm", "--layer", "RMSNorm", "--method", "backward"]) == 2
    assert capsys.readouterr().err == "archc: RMSNorm has no method 'backward'; it has forward\n"
