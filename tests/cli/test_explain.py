"""`archc explain` from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from archc.cli import main as cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(("explain", *arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_numbers_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "std.attention", "--layer", "SelfAttention", "--arg", "c=64", "--size", "rows=2", "t=10")
    assert status == 0
    line = next(line for line in out.splitlines() if line.startswith("  qkv"))
    assert line.split() == ["qkv", "Linear", "1", "12,480", "495.4", "k", "491.5", "k", "983.0", "k", "0", "3,840", "68.8", "KiB",
                            "68.8", "KiB", "5.0", "KiB"]
    assert "qkv.weight  o, i  192, 64    12,288  48.0 KiB" in out


def test_polynomials_where_sizes_are_open(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "std.attention", "--layer", "SelfAttention")
    assert status == 0 and "open: c, rows, t" in out
    assert "products    8*c^2*rows*t + 4*c*rows*t^2" in out
    assert "saved       20*c*rows*t + 16*rows*t^2 bytes" in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "std.linear", "--layer", "MLP", "--arg", "c=8", "--size", "rows=3", "--json", "--depth", "0")
    found = json.loads(out)
    assert status == 0 and [row["path"] for row in found["layers"]] == [""] and found["params"] == []
    assert found["layers"][0]["params"] == 8 * 32 + 32 + 32 * 8 + 8
    assert found["layers"][0]["products"] == 2 * 2 * 3 * 8 * 32


@pytest.mark.parametrize(("arguments", "status", "sentence"), [
    (("std.norm",), 2, "archc: say which layer of 'std.norm': --layer NAME, one of "),
    (("std.norm", "--layer", "RMSNorm", "--arg", "d=3"), 2, "archc: --arg takes c, eps, not 'd'"),
    (("std.norm", "--layer", "RMSNorm", "--size", "rows=-1"), 2, "archc: --size rows is a whole number of at least 0, not '-1'"),
    (("std.norm", "--layer", "RMSNorm", "--method", "f"), 2, "archc: RMSNorm has no method 'f'; it has forward"),
    (("std.attention", "--layer", "SelfAttention", "--arg", "c=9"), 1, "archc: c is 9, which heads = 4 does not divide"),
])
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, sentence: str) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (status, "") and err.startswith(sentence)


def test_sizes_that_are_bound_to_one_another(capsys: pytest.CaptureFixture[str]) -> None:
    """t = y * z: it is no open size."""
    status, out, _ = run(capsys, "std.vision", "--layer", "PatchEmbed", "--json")
    found = json.loads(out)
    assert status == 0 and found["open"] == ["channel", "n", "o", "y", "z"]
    assert found["layers"][0]["activations"] == "n*o*y*z" and found["layers"][0]["saved"] == "64*channel*n*y*z"
    arguments = ("std.vision", "--layer", "PatchEmbed", "--arg", "channel=1", "o=2", "t=5", "--size", "n=1", "y=2", "z=3")
    assert run(capsys, *arguments)[0] == 1


def test_an_axis_that_is_called_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.arch"
    file.write_text("layer A() {\n    forward(x[..., rows]) -> [...] { return sum[rows](x) }\n}\n")
    _, out, _ = run(capsys, str(file), "--size", "rows=3")
    assert "activations leading_rows" in out and "flops       3*leading_rows" in out
    _, out, _ = run(capsys, str(file), "--size", "rows=3", "leading_rows=2", "--json")
    assert json.loads(out)["layers"][0]["flops"] == 6


def test_a_strided_layer_says_what_it_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "std.vision", "--layer", "DownsampleBlock")
    assert "saved       ?" in out and "saved is not known: not a product of the open sizes" in out


def test_a_loop_keeps_something_at_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody runs a loop over a large prime to find out; the gradients' cost is known all the same."""
    asked = ("std.recurrent", "--layer", "LSTM", "--arg", "i=3", "h=4")
    status, out, _ = run(capsys, *asked)
    assert status == 0 and "saved is not known: a loop keeps something at every step: give --size t=..." in out
    assert re.search(r"products +800\*rows\*t\n", out), "224 of the value, 128 of it again in the loop back, 448 of derivatives"
    status, out, _ = run(capsys, *asked, "--size", "t=5")
    assert status == 0 and "saved is not known" not in out


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    for command in re.findall(r"^\$ archc explain (.*)$", page, re.M):
        _, out, _ = run(capsys, *command.split())
        shown = page[page.index(command) + len(command) + 1 :].split("\n```")[0]
        assert shown in out
    assert page.split("### What is counted\n\n```text\n")[1].split("\n```")[0] in run(
        capsys, "std.attention", "--layer", "SelfAttention", "--arg", "c=64", "--size", "rows=2", "t=10")[1]
