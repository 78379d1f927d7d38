"""Recurrences of the standard library against the same loops written by hand in eager torch, and against torch's own networks.

    python benchmarks/recurrent.py [--only NAME] [--out FILE.json] [--seconds 2] [--threads 2] [--tokens 64] [--size 32]

Two rows for each: a forward without derivative, and a training step (forward, and backward to every float input and parameter).
`archc` is the torch target, `cpp` has each loop in one kernel. `--tokens` and `--size` (of keys and values) are those of the
recurrences with a state of keys and values, and of the selective scan.
`hand` is a careful loop: what needs no state is computed for all tokens before it, states carry one tensor each, results are
stacked once; those of LSTM and GRU take any leading dimensions, as the layers do. For these two the second column is nn.LSTM and
nn.GRU. Columns run in turn in one process; times are medians, a ratio is the median of the rounds' ratios. First the results and
gradients are compared. Exit status 1 if a row takes more than --bar times (1.1) the hand-written loop's time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archc
from archc.bench import machine, measure
from archc.loaded import Namespace

Fn = Callable[..., Tensor]
N, T, INPUT, H, K, C, S = 8, 64, 64, 128, 32, 64, 16


def lstm(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    entering = F.linear(x, w_ih, b_ih + b_hh)
    h = c = x.new_zeros(*x.shape[:-2], w_hh.shape[1])
    ys = []
    for e in entering.unbind(-2):
        i, f, g, o = (e + F.linear(h, w_hh)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        ys.append(h)
    return torch.stack(ys, -2)


def gru(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor) -> Tensor:
    h = x.new_zeros(*x.shape[:-2], w_hh.shape[1])
    ys = []
    for e in F.linear(x, w_ih, b_ih).unbind(-2):
        er, eu, en = e.chunk(3, -1)
        pr, pu, pn = F.linear(h, w_hh, b_hh).chunk(3, -1)
        update = torch.sigmoid(eu + pu)
        new = torch.tanh(en + torch.sigmoid(er + pr) * pn)
        h = new + update * (h - new)
        ys.append(h)
    return torch.stack(ys, -2)


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    s = q.new_zeros(q.shape[0], k.shape[2], v.shape[2])
    ys = []
    for kt, vt, qt in zip(k.unsqueeze(3).unbind(1), v.unsqueeze(2).unbind(1), q.unsqueeze(2).unbind(1), strict=True):
        s = s + kt * vt
        ys.append(qt @ s)
    return torch.cat(ys, 1)


def gla(q: Tensor, k: Tensor, v: Tensor, g: Tensor) -> Tensor:
    s = q.new_zeros(q.shape[0], k.shape[2], v.shape[2])
    ys = []
    decay = torch.exp(g).unsqueeze(3)
    for at, kt, vt, qt in zip(decay.unbind(1), k.unsqueeze(3).unbind(1), v.unsqueeze(2).unbind(1), q.unsqueeze(2).unbind(1),
                              strict=True):
        s = at * s + kt * vt
        ys.append(qt @ s)
    return torch.cat(ys, 1)


def delta_net(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
    s = q.new_zeros(q.shape[0], k.shape[2], v.shape[2])
    ys = []
    written = (beta.unsqueeze(2) * k).unsqueeze(3)
    for bk, kt, vt, qt in zip(written.unbind(1), k.unsqueeze(2).unbind(1), v.unsqueeze(2).unbind(1), q.unsqueeze(2).unbind(1),
                              strict=True):
        s = s - bk * (kt @ s - vt)
        ys.append(qt @ s)
    return torch.cat(ys, 1)


def gated_delta_net(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Tensor:
    s = q.new_zeros(q.shape[0], k.shape[2], v.shape[2])
    ys = []
    written, decay = (beta.unsqueeze(2) * k).unsqueeze(3), torch.exp(g)[:, :, None, None]
    for at, bk, kt, vt, qt in zip(decay.unbind(1), written.unbind(1), k.unsqueeze(2).unbind(1), v.unsqueeze(2).unbind(1),
                                  q.unsqueeze(2).unbind(1), strict=True):
        s = at * s
        s = s - bk * (kt @ s - vt)
        ys.append(qt @ s)
    return torch.cat(ys, 1)


def delta_product(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> Tensor:
    s = q.new_zeros(q.shape[0], k.shape[3], v.shape[3])
    ys = []
    written = (beta.unsqueeze(3) * k).unsqueeze(4)
    for bk, kt, vt, qt in zip(written.unbind(1), k.unsqueeze(3).unbind(1), v.unsqueeze(3).unbind(1), q.unsqueeze(2).unbind(1),
                              strict=True):
        for bkj, kj, vj in zip(bk.unbind(1), kt.unbind(1), vt.unbind(1), strict=True):
            s = s - bkj * (kj @ s - vj)
        ys.append(qt @ s)
    return torch.cat(ys, 1)


def selective_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, read: Tensor, skip: Tensor) -> Tensor:
    h = x.new_zeros(x.shape[0], x.shape[2], a.shape[1])
    decay = torch.exp(dt.unsqueeze(3) * a)
    entering = (dt * x).unsqueeze(3) * b.unsqueeze(2)
    ys = []
    for at, et, rt in zip(decay.unbind(1), entering.unbind(1), read.unsqueeze(3).unbind(1), strict=True):
        h = at * h + et
        ys.append(h @ rt)
    return torch.cat(ys, 2).mT + skip * x


Functions = dict[str, tuple[Fn, dict[str, tuple[int, ...]], str, str]]


def functions(t: int, k: int) -> Functions:
    """By name: the loop by hand, shapes of its inputs, and how the layer around the library's function takes and gives them."""
    v = k
    tokens = {"q": (N, t, k), "key": (N, t, k), "val": (N, t, v), "beta": (N, t), "g": (N, t)}
    return {
        "linear_attention": (linear_attention, {name: tokens[name] for name in ("q", "key", "val")},
                             "q[n, t, k], key[n, t, k], val[n, t, v]",
                             "[n, t, v]"),
        "gla": (gla, {**{name: tokens[name] for name in ("q", "key", "val")}, "g": (N, t, k)},
                "q[n, t, k], key[n, t, k], val[n, t, v], g[n, t, k]", "[n, t, v]"),
        "delta_net": (delta_net, {name: tokens[name] for name in ("q", "key", "val", "beta")},
                      "q[n, t, k], key[n, t, k], val[n, t, v], beta[n, t]", "[n, t, v]"),
        "gated_delta_net": (gated_delta_net, tokens, "q[n, t, k], key[n, t, k], val[n, t, v], beta[n, t], g[n, t]", "[n, t, v]"),
        "delta_product": (delta_product, {"q": (N, t, k), "key": (N, t, 2, k), "val": (N, t, 2, v), "beta": (N, t, 2)},
                          "q[n, t, k], key[n, t, j, k], val[n, t, j, v], beta[n, t, j]", "[n, t, v]"),
        "selective_scan": (selective_scan, {"x": (N, t, C), "dt": (N, t, C), "a": (C, S), "b": (N, t, S), "read": (N, t, S),
                                            "skip": (C,)},
                           "x[n, t, c], dt[n, t, c], a[c, s], b[n, t, s], read[n, t, s], skip[c]", "[n, t, c]"),
    }


def tensors(shapes: dict[str, tuple[int, ...]]) -> list[Tensor]:
    """Inputs on which no state grows: short keys, decays below 1."""
    torch.manual_seed(0)
    fitted = {"beta": torch.sigmoid, "dt": lambda x: F.softplus(x - 2), "g": lambda x: -x.abs(), "a": lambda x: -torch.exp(x),
              "key": lambda x: F.normalize(x, dim=-1)}
    return [fitted.get(name, lambda x: x)(torch.randn(shape)).requires_grad_() for name, shape in shapes.items()]


def rows(t: int, k: int, only: str) -> dict[str, tuple[dict[str, Fn], list[Tensor]]]:
    """By name: the columns, and what they are called with."""
    found: dict[str, tuple[dict[str, Fn], list[Tensor]]] = {}
    library, kernels = archc.load("std.recurrent", backend="torch"), archc.load("std.recurrent", backend="cpp")
    for name, hand, peer in (("LSTM", lstm, nn.LSTM), ("GRU", gru, nn.GRU)):
        torch.manual_seed(0)
        ours, theirs = getattr(library, name)(INPUT, H), peer(INPUT, H, batch_first=True)
        fused = getattr(kernels, name)(INPUT, H)
        theirs.load_state_dict({f"{key}_l0": value for key, value in ours.state_dict().items()})
        x, params = torch.randn(N, T, INPUT, requires_grad=True), list(ours.parameters())
        theirs_params = list(theirs.parameters())
        for mine, other, third in zip(params, theirs_params, fused.parameters(), strict=True):
            other.data = third.data = mine.data
        columns: dict[str, Fn] = {
            "archc": lambda x, *p, ours=ours: ours(x), "hand": hand, "cpp": lambda x, *p, fused=fused: fused(x),
            "torch": lambda x, *p, theirs=theirs: theirs(x)[0],
        }
        found[name] = columns, [x, *params]
        PEERS[name] = {"torch": [x, *theirs_params], "cpp": [x, *fused.parameters()]}
    for name, (hand, shapes, signature, result) in functions(t, k).items():
        if only not in name:
            continue
        call = ", ".join(shapes)
        text = (f"import std.recurrent\nlayer L() {{\n    forward({signature}) -> {result} {{\n"
                f"        y, last = {name}({call})\n        return y\n    }}\n}}\n")
        program = archc.api.open_text(text, "recurrent.arch")
        ours, fused = (Namespace(program, f"recurrent_{target}", {}, targets).L()
                       for target, targets in (("torch", ("torch",)), ("cpp", ("torch", "cpp"))))
        found[name] = {"archc": ours, "hand": hand, "cpp": fused}, tensors(shapes)
    return found


PEERS: dict[str, dict[str, list[Tensor]]] = {}
"""What a column is differentiated by, where that is not what it is called with."""


def check(name: str, columns: dict[str, Fn], inputs: list[Tensor]) -> Tensor:
    """Results and gradients agree; gives a cotangent. Raises SystemExit where they differ."""
    dy = torch.randn_like(columns["archc"](*inputs))
    wanted: list[Tensor] = []
    for key, function in columns.items():
        wrt = PEERS.get(name, {}).get(key, inputs)
        y = function(*inputs)
        got = [y.detach(), *torch.autograd.grad(y, wrt, dy)]
        wanted = wanted or got
        for mine, theirs in zip(wanted, got, strict=True):
            worst = (mine - theirs).abs().max() / theirs.abs().max().clamp(min=1)
            if not worst <= 1e-4:
                raise SystemExit(f"{name}: {key} differs from ours by {worst:.1e}")
    return dy


def timed(name: str, columns: dict[str, Fn], inputs: list[Tensor], seconds: float) -> list[dict[str, object]]:
    dy = check(name, columns, inputs)

    def forward(function: Fn) -> None:
        with torch.no_grad():
            function(*inputs)

    def train(function: Fn, wrt: list[Tensor]) -> None:
        torch.autograd.grad(function(*inputs), wrt, dy)

    found = []
    for kind in ("forward", "training"):
        if kind == "forward":
            calls = {key: lambda f=f: forward(f) for key, f in columns.items()}
        else:
            given = {key: PEERS.get(name, {}).get(key, inputs) for key in columns}
            calls = {key: lambda f=f, wrt=given[key]: train(f, wrt) for key, f in columns.items()}
        samples = measure.measure(calls, seconds)
        found.append({"name": name, "kind": kind, "rounds": len(samples["archc"]),
                      "ms": {key: statistics.median(times) * 1e3 for key, times in samples.items()},
                      "ratio": measure.times(samples["archc"], samples["hand"])[1],
                      "ratio_cpp": measure.times(samples["cpp"], samples["hand"])[1],
                      "ratio_torch": measure.times(samples["archc"], samples["torch"])[1] if "torch" in samples else None})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for a row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=T)
    parser.add_argument("--size", type=int, default=K, help="of keys and of values")
    parser.add_argument("--bar", type=float, default=1.1)
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    found: list[dict[str, object]] = []
    columns_of_ratios = "".join(f"   {name:>9} {'ratio':>6}" for name in ("cpp", "torch"))
    print(f"{'recurrence':18} {'':9} {'archc':>9} {'hand':>9} {'ratio':>6}{columns_of_ratios}   ms")
    for name, (columns, inputs) in rows(settings.tokens, settings.size, settings.only).items():
        for result in timed(name, columns, inputs, settings.seconds) if settings.only in name else []:
            found.append(result)
            ms = result["ms"]
            assert isinstance(ms, dict)
            line = f"{name:18} {result['kind']:9} {ms['archc']:9.3f} {ms['hand']:9.3f} {result['ratio']:6.2f}"
            line += f"   {ms['cpp']:9.3f} {result['ratio_cpp']:6.2f}"
            if result["ratio_torch"]:
                line += f"   {ms['torch']:9.3f} {result['ratio_torch']:6.2f}"
            print(line + ("   over the bar" if float(str(result["ratio"])) > settings.bar else ""), flush=True)
    if settings.out:
        settings.out.parent.mkdir(parents=True, exist_ok=True)
        settings.out.write_text(json.dumps({"machine": machine.described(), "rows": found}, indent=1) + "\n")
    slow = [result for result in found if float(str(result["ratio"])) > settings.bar]
    print(f"{len(found) - len(slow)} of {len(found)} within {settings.bar} times the loop by hand")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
