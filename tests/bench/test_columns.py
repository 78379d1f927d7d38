"""What is compared before it is timed, and how a row of one's own file comes about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archc.bench import columns, row, run
from archc.bench.case import Case, Peer
from archc.bench.errors import BenchError
from archc.bench.own import own
from archc.cli import main as cli


class RMSNorm(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(c))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.gamma


class Wrong(nn.Module):
    """The right result, and a gradient without the part through the mean."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.gamma = nn.Parameter(other.gamma.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6).detach() * self.gamma


def missing(ours: nn.Module) -> nn.Module:
    raise ImportError(name="nothing")


def normal(generator: torch.Generator) -> list[Tensor]:
    return [torch.randn(4, 6, 32, generator=generator, dtype=torch.float64)]


CASE = Case("RMSNorm", "norm", "tiny", "std.norm", "RMSNorm", normal, {"c": 32}, eager=RMSNorm,
            peers={"wrong": Peer(Wrong), "still": Peer(Wrong, backward=()), "absent": Peer(missing)})


def test_what_differs_is_not_timed() -> None:
    found = row.measured(CASE, {"device": "cpu", "seconds": 0.01, "left_out": {"inductor": "not today"}})
    assert found["left_out"]["wrong"].startswith("differs: gradient of input 0 by ")
    assert found["left_out"]["absent"] == "nothing is not installed" and found["left_out"]["inductor"] == "not today"
    assert set(found["forward"]["ms"]) == {"eager", "still", "archc torch", "archc cpp", "limit"} - set(found["left_out"])
    assert "still" not in found["step"]["ms"] and "wrong" not in found["forward"]["ms"]
    assert found["limit"] == "copy" and found["step"]["times"][found["ours"]] == [1.0, 1.0, 1.0]


def test_a_row_without_any_of_ours_has_no_figures() -> None:
    wrong = replace(CASE, eager=lambda c: Wrong(RMSNorm(c)), peers={})
    found = row.measured(wrong, {"device": "cpu", "seconds": 0.01, "left_out": {"inductor": "not today"}})
    assert found["ours"] is None and "forward" not in found and "differs" in found["left_out"]["archc torch"]


def test_weights_of_the_reference_are_not_all_one() -> None:
    assert columns.reference(CASE, "cpu").state["gamma"].std() > 0.05


FILE = """layer Pick(v: axis, c: axis, drop: float = 0.0) {
    param table[v, c] = normal(1)
    forward(x[..., t, c], token[..., t]: int, keep[t]: bool) -> like x {
        return where(keep, x + table[v = token], 0.0)
    }
}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "pick.arch"
    path.write_text(FILE)
    return str(path)


def test_sizes_by_name_give_inputs_and_arguments(file: str) -> None:
    case = own(file, "Pick", {"rows": 2, "t": 3, "v": 5, "c": 4}, {})
    x, token, keep = case.inputs(torch.Generator())
    assert x.shape == (2, 3, 4) and token.shape == (2, 3) and keep.shape == (3,)
    assert not token.is_floating_point() and 0 <= token.min() and token.max() < 2 and keep.dtype == torch.bool
    assert case.arguments == {"v": 5, "c": 4} and case.size == "rows=2, t=3, v=5, c=4" and case.bound == "copy"


@pytest.mark.parametrize(("sizes", "sentence"), [
    ({"t": 3}, "Pick needs more sizes: --sizes c=N,v=N"),
    ({"q": 3}, "--sizes takes c, drop, rows, t, v, not 'q'"),
    ({"t": 0}, "--sizes t is a whole number of at least 1, not '0'"),
])
def test_sizes_that_are_wrong(file: str, sizes: dict[str, int], sentence: str) -> None:
    with pytest.raises(BenchError) as error:
        own(file, "Pick", sizes, {})
    assert str(error.value) == sentence


@pytest.mark.parametrize(("arguments", "status", "sentence"), [
    ((), 2, "say what to measure: a FILE, or --suite"),
    (("std.norm", "--suite"), 2, "say what to measure: a FILE, or --suite"),
    (("std.norm", "--only", "kan"), 2, "--only chooses from the suite: --suite"),
    (("--suite", "--sizes", "n=1"), 2, "--layer, --sizes and --set are for a FILE; --only chooses from the suite"),
    (("--suite", "--only", "nothing of this name"), 1,
     "no row of the suite has 'nothing of this name' in its name, family and size"),
    (("std.norm", "--layer", "RMSNorm", "--seconds", "0"), 2, "--seconds is greater than 0, not 0"),
    (("std.norm", "--layer", "RMSNorm", "--sizes", "c"), 2, "--sizes takes NAME=VALUE, not 'c'"),
    (("std.norm", "--layer", "RMSNorm"), 1, "RMSNorm needs more sizes: --sizes c=N"),
])
def test_wrong_usage_is_one_sentence(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int,
                                     sentence: str) -> None:
    assert cli.main(("bench", *arguments)) == status
    assert capsys.readouterr().err == f"archc: {sentence}\n"


def test_a_gpu_that_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert cli.main(("bench", "std.norm", "--layer", "RMSNorm", "--sizes", "c=8", "--device", "cuda")) == 1
    assert capsys.readouterr().err == "archc: torch sees no GPU here (`archc doctor` says what this machine can run)\n"


@pytest.mark.slow
def test_a_whole_run_of_ones_own_file(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, chart = tmp_path / "found.json", tmp_path / "chart.svg"
    assert cli.main(("bench", file, "--sizes", "rows=2,t=16,v=5,c=8", "--seconds", "0.05", "--threads", "1", "--out", str(out),
                     "--chart", str(chart))) == 0
    found = json.loads(out.read_text())
    [one] = found["rows"]
    assert {"inductor", "archc torch", "limit"} <= set(one["step"]["ms"]) and one["cold_s"]["inductor"] > 0
    assert found["machine"]["torch"] == torch.__version__ and chart.read_text().startswith("<svg")
    assert "training step: ms (times ours)" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_not_compiled_in_time_is_left_out(file: str) -> None:
    spec = {"file": file, "layer": "Pick", "sizes": {"rows": 2, "t": 16, "v": 5, "c": 8}, "static": {}}
    found = run.run([run.Asked(own(**spec), spec)], run.Options(seconds=0.05, threads=1, limit=0.5))  # type: ignore[arg-type]
    assert found["rows"][0]["left_out"]["inductor"] == "not compiled in 0.5 s"
    assert "inductor" not in found["means"]["step"]
