"""Classes of loops: of the recurrences of the library, and of what bends them out of a class."""

from __future__ import annotations

from pathlib import Path

import pytest

from archc import api
from archc.ir.graph import Scan, topological
from archc.passes.base import run
from archc.passes.scan_class import ScanClass, classify
from archc.pipelines import INFERENCE

QKV = "q[n, t, k], key[n, t, k], val[n, t, v], beta[n, t], g[n, t], a[n, t, k]"
STEPS = "q[n, t, k], key[n, t, j, k], val[n, t, j, v], beta[n, t, j], g[n, t]"
LIBRARY = {
    "linear_attention(q, key, val)": (QKV, "a"), "gla(q, key, val, a)": (QKV, "a"), "delta_net(q, key, val, beta)": (QKV, "a"),
    "gated_delta_net(q, key, val, beta, g)": (QKV, "a"), "delta_product(q, key, val, beta)": (STEPS, "a"),
    "gated_delta_product(q, key, val, beta, g)": (STEPS, "a"),
    "selective_scan(x, dt, a, b, read, skip)": ("x[n, t, v], dt[n, t, v], a[v, s], b[n, t, s], read[n, t, s], skip[v]", "b"),
}


def loop(folder: Path, signature: str, body: str) -> ScanClass:
    text = f"import std.recurrent\nlayer L() {{\n  forward({signature}) -> [n, t, v] {{\n    {body}\n  }}\n}}\n"
    (folder / "l.arch").write_text(text)
    graph = run(api.graph(folder / "l.arch", "L"), INFERENCE)
    (scan,) = (n.attrs for n in topological(graph.roots) if isinstance(n.attrs, Scan))
    return classify(scan)


@pytest.mark.parametrize("call", LIBRARY)
def test_recurrences_of_the_library(call: str, tmp_path: Path) -> None:
    signature, letter = LIBRARY[call]
    bind = "[c = v]" if call.startswith("selective") else ""
    name, rest = call.split("(", 1)
    found = loop(tmp_path, signature, f"y, last = {name}{bind}({rest}\n    return y")
    assert found.letter == letter, found


def test_cells_are_sequential() -> None:
    for layer in ("LSTM", "GRU"):
        graph = run(api.graph("std.recurrent", layer), INFERENCE)
        (scan,) = (n.attrs for n in topological(graph.roots) if isinstance(n.attrs, Scan))
        found = classify(scan)
        assert found.letter == "c"
        assert found.reason
        assert found.decided_by is not None


CASES = {
    "S = b * S + x": ("b", "itself alone"), "S = where(x > 0, S, x)": ("b", "itself alone"), "S = x": ("b", ""),
    "S = tanh(S + x)": ("c", "tanh of the state"), "S = S * S": ("c", "mul of the state"), "S = max(S, x)": ("c", "maximum"),
    "S = S + w * sum[v](w * S)": ("a", "rank 1"), "S = x + sum[u](m * S[v = u])": ("c", "a full matrix along v"),
    "S = x + S[v = v - 1 else 0]": ("c", "other places"), "S = where(S > 0, x, S)": ("c", "of the state"),
    "S = S / (1 + b) - w * mean[v](S)": ("a", "rank 1"),
}


@pytest.mark.parametrize("step", CASES)
def test_steps(step: str, tmp_path: Path) -> None:
    letter, reason = CASES[step]
    body = f"axis u = |v|\n    scan t {{\n state S[n, v] = 0.0\n {step.replace('m *', 'm[u] *')}\n yield y = S\n }}\n    return y"
    signature = "x[n, t, v], b[n, t, v], w[v], m[v, u]"
    body = body.replace("m[u] *", "m *").replace("axis u = |v|\n", "")
    found = loop(tmp_path, signature, body)
    assert found.letter == letter, found
    assert reason in found.reason


def test_states_that_follow_one_another(tmp_path: Path) -> None:
    body = ("scan t {\n state S[n, v] = 0.0\n state Z[n, v] = 0.0\n S = b * S + x\n Z = Z + S\n yield y = Z\n }\n    return y")
    found = loop(tmp_path, "x[n, t, v], b[n, t, v]", body)
    assert (found.letter, found.reason.split(" ")[1]) == ("c", "follows")
