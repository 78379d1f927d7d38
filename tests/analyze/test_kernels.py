"""`archc explain --kernels`: bytes, arithmetic and reasons, counted by hand for a few layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archc import api
from archc.analyze.kernels import Row, kernels
from archc.analyze.machine import Machine
from archc.cli import main as cli
from archc.passes.base import run
from archc.pipelines import CPP

SLOW = Machine("slow", 1e9, 1e9, 1e9, 1 << 20)


def rows(layer: str, sizes: dict[str, int], machine: Machine = SLOW, static: dict[str, object] | None = None) -> list[Row]:
    return kernels(run(api.graph(layer.rpartition(".")[0], layer.rpartition(".")[2], static=static), CPP), sizes, machine)


def test_a_norm_moves_the_least_bytes() -> None:
    forward, backward = rows("std.norm.LayerNorm", {"...": 64, "c": 32})
    x = 4 * 64 * 32
    assert (forward.read, forward.written, forward.least) == (x + 2 * 4 * 32, x, 2 * x + 2 * 4 * 32)
    # mean 1, variance 3, difference, two factors and a sum for each element; eps and the root for each row
    assert (forward.flops, forward.special) == (8 * 64 * 32 + 64, 64)
    assert forward.saved == x + 4 * 32  # beta has no part in the derivative
    assert (backward.read, backward.written) == (2 * x + 4 * 32, x + 2 * 4 * 32)
    assert backward.of == "backward of LayerNorm"
    assert {"var", "rsqrt"} <= set(backward.recomputed)
    assert forward.lines == ("norm.arch:35-39",)
    assert not forward.stops


def test_the_time_is_the_longest_of_three() -> None:
    (forward, _) = rows("std.norm.RMSNorm", {"...": 10, "c": 100})
    moved, flops = forward.least, forward.flops
    assert forward.microseconds == pytest.approx(max(moved, flops) / 1e3)
    assert forward.share == pytest.approx(moved / max(moved, flops))
    (quick, _) = rows("std.norm.RMSNorm", {"...": 10, "c": 100}, Machine("quick", 1e6, 1e15, 1e15, 1 << 20))
    assert (quick.bound, quick.share) == ("bytes", 1.0)


def test_what_does_not_fit_in_the_cache_is_read_in_every_sweep() -> None:
    (near, *_) = rows("std.norm.LayerNorm", {"...": 4, "c": 1 << 10})
    (far, *_) = rows("std.norm.LayerNorm", {"...": 4, "c": 1 << 20})
    x = 4 * 4 * (1 << 20)
    assert near.read + near.written == near.least
    assert far.read >= 3 * x  # mean, variance, result
    assert far.least == 2 * x + 2 * 4 * (1 << 20)


def test_live_ranges_and_what_ends_a_kernel() -> None:
    sizes = {"...": 2, "t": 8, "c": 16, "g": 2, "r": 2, "d": 4, "j": 2, "groups": 2, "each": 2}
    found = rows("std.attention.GroupedAttention", sizes, static={"window": 3})
    text = [live for row in found for live in row.narrowed]
    assert any(live.startswith("softmax: t - 2 <= s < t + 1, at most 3") for live in text)
    ends = [end for row in found for end in row.stops]
    assert any("a read at other places" in end and "attention.arch:" in end for end in ends)


def test_a_loop_in_a_kernel_has_a_class(tmp_path: Path) -> None:
    (tmp_path / "l.arch").write_text("import std.recurrent\nlayer L() {\n" + "  forward({}) -> [n, t, v] {{".format(
        "q[n, t, k], key[n, t, k], val[n, t, v], beta[n, t]") + " y, last = delta_net(q, key, val, beta)\n return y } }\n")
    grouped = run(api.graph(tmp_path / "l.arch", "L"), CPP)
    found = kernels(grouped, {"n": 2, "t": 8, "k": 4, "v": 4}, SLOW)
    assert found[0].scans[0].startswith("along t: class (a), updates of rank 1 at recurrent.arch:")


def test_a_product_ends_a_kernel() -> None:
    found = rows("std.recurrent.LSTM", {"...": 2, "t": 3, "i": 4, "h": 5})
    assert any("a product that the library contracts at recurrent.arch:" in end for row in found for end in row.stops)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["explain", "std.norm", "--layer", "LayerNorm", "--kernels"]
    assert cli.main([*ask, "--arg", "c=512", "--size", "rows=4096"]) == 0
    out = capsys.readouterr().out
    assert "LayerNorm of std.norm, forward, train: 2 kernels on the C++ target" in out
    assert "    moves       8.0 MiB in, 8.0 MiB out, the least possible\n" in out
    assert cli.main([*ask, "--arg", "c=512", "--size", "rows=4096", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found["kernels"]] == ["LayerNorm", "LayerNorm_derivative"]
    assert found["sizes"]["c"] == 512
    assert cli.main([*ask, "--arg", "c=512"]) == 2
    assert "kernels are explained at given sizes: --size rows=..." in capsys.readouterr().err
