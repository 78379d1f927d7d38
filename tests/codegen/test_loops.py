"""Every part of a scan in emitted code against plain loops of torch; modules with a scan in all ways in which torch runs them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api

Given = dict[str, Tensor]


def layer(body: str, signature: str, result: str, head: str = "", file: str = "") -> nn.Module:
    text = f"{file}\nlayer L() {{\n{head}\n    forward({signature}) -> {result} {{\n{body}\n    }}\n}}\n"
    made: nn.Module = api.load_text(text, "loops.arch").L()
    return made.double()


def draw(**shapes: tuple[int, ...]) -> Given:
    torch.manual_seed(0)
    return {name: torch.randn(shape, dtype=torch.float64, requires_grad=True) for name, shape in shapes.items()}


def same(module: nn.Module, reference: Callable[..., Any], given: Given) -> None:
    """Results and gradients to every input that is a float."""
    found, wanted = (value if isinstance(value, tuple) else (value,) for value in (module(*given.values()), reference(**given)))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    floats = [x for x in given.values() if x.dtype.is_floating_point]
    pulls = [torch.randn_like(y) for y in wanted if y.requires_grad]
    grads = [torch.autograd.grad([y for y in ys if y.requires_grad], floats, pulls, allow_unused=True, materialize_grads=True)
             for ys in (found, wanted)]
    torch.testing.assert_close(*grads, rtol=1e-10, atol=1e-10)


SIZES = [(2, 5), (2, 0), (2, 1), (0, 3), (1, 1)]


@pytest.mark.parametrize(("n", "t"), SIZES)
def test_several_states_first_and_last_as_values(n: int, t: int) -> None:
    module = layer("""
        scan t {
            state a[n] = start
            state b[n] = 2 * start
            state c[] = 1
            old = a
            a = tanh(a * c + x)
            b = b + old
            c = 0.5 * c
            yield y = a - b
            yield z = old * c
            finally last = a + b
            finally end = c
        }""", "x[n, t], start[n]", "(y[n, t], z[t, n], last[n], end[])")

    def reference(x: Tensor, start: Tensor) -> tuple[Tensor, ...]:
        a, b, c, ys, zs = start, 2 * start, torch.ones((), dtype=x.dtype), x.new_zeros(n, 0), x.new_zeros(0, n)
        for k in range(t):
            old = a
            a, b, c = torch.tanh(a * c + x[:, k]), b + old, 0.5 * c
            ys, zs = torch.cat([ys, (a - b)[:, None]], 1), torch.cat([zs, (old * c)[None]])
        return ys, zs, a + b, c

    same(module, reference, draw(x=(n, t), start=(n,)))


@pytest.mark.parametrize("j", [0, 1, 3])
@pytest.mark.parametrize(("n", "t"), SIZES)
def test_a_loop_in_a_scan_in_reverse(n: int, t: int, j: int) -> None:
    module = layer("""
        scan t reverse {
            state s[n, k] = 0
            for j { s = s + w * (x - sum[k](w * s)) }
            yield y = sum[k](s * s) + t
        }
        return y""", "x[n, t], w[t, j, k]", "[n, t]")

    def reference(x: Tensor, w: Tensor) -> Tensor:
        s, ys = x.new_zeros(n, 2), [x.new_zeros(n)] * t
        for a in reversed(range(t)):
            for b in range(j):
                s = s + w[a, b] * (x[:, a] - s @ w[a, b])[:, None]
            ys[a] = (s * s).sum(1) + a
        return torch.stack(ys, 1) if ys else x + w.sum()

    same(module, reference, draw(x=(n, t), w=(t, j, 2)))


def test_scans_in_scans_in_methods_and_in_layers() -> None:
    """A scan of a fn along k at every step of a scan along t of a sub-layer's method; weights of both layers."""
    text = """
fn folded(x[..., k], keep[...]) -> (last[...]) {
    scan k {
        state s[...] = 0
        s = keep * s + x
        finally last = s
    }
}
layer Inner(c: axis) {
    param keep[c] = uniform(0.1, 0.9)
    fn fold(x[..., t, k, c], start[..., c]) -> (y[..., t, c], last[..., c]) {
        scan t {
            state s[..., c] = start
            s = tanh(s + folded(x * s, keep))
            yield y = s
            finally last = s
        }
    }
    forward(x[..., t, k, c]) -> [..., t, c] {
        y, last = fold(x, 1.0)
        return y
    }
}
layer L(c: axis) {
    inner = Inner(c=c)
    param scale[c] = normal(1)
    forward(x[n, t, k, c], start[n, c]) -> (y[n, t, c], last[n, c]) {
        first, middle = inner.fold(x * scale, start)
        second, last = inner.fold(x, middle)
        y = first * second
    }
}
"""
    text = text.replace("fold(x, 1.0)", "fold(x, sum[t, k](0 * x) + 1)")
    torch.manual_seed(1)
    module = api.load_text(text, "loops.arch").L(3).double()

    def fold(x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        ys = []
        for t in range(x.shape[1]):
            inner = torch.zeros_like(s)
            for k in range(x.shape[2]):
                inner = module.inner.keep * inner + x[:, t, k] * s
            s = torch.tanh(s + inner)
            ys.append(s)
        return torch.stack(ys, 1), s

    def reference(x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        first, middle = fold(x * module.scale, start)
        second, last = fold(x, middle)
        return first * second, last

    given = draw(x=(2, 4, 3, 3), start=(2, 3))
    same(module, reference, given)
    x = given["x"]
    torch.testing.assert_close(module.inner(x), fold(x, torch.ones(2, 3, dtype=x.dtype))[0])


@pytest.mark.parametrize(("signature", "shape", "axis"), [
    ("x[..., t]", (2, 3, 5), 2),
    ("x[..., t]", (5,), 0),
    ("x[t, n]", (5, 2), 0),
    ("x[n, t, m]", (2, 5, 3), 1),
    ("x[(g=2 n), t]", (6, 5), 1),
    ("x[t]", (5,), 0),
    ("x[..., t, m]", (2, 1, 5, 3), 2),
])
def test_batch_axes_of_every_kind(signature: str, shape: tuple[int, ...], axis: int) -> None:
    others = {"x[t, n]": "n", "x[n, t, m]": "m, n", "x[(g=2 n), t]": "n, g", "x[t]": "", "x[..., t, m]": "..., m"}
    state = others.get(signature, "...")
    module = layer(f"""
        scan t {{
            state s[{state}] = 0
            s = tanh(0.5 * s + x)
            yield y = s * x
        }}
        return y""", signature, "like x")

    def reference(x: Tensor) -> Tensor:
        s, ys = torch.zeros_like(x.select(axis, 0)), []
        for part in x.unbind(axis):
            s = torch.tanh(0.5 * s + part)
            ys.append(s * part)
        return torch.stack(ys, axis)

    same(module, reference, draw(x=shape))


def test_bool_and_int_states() -> None:
    module = layer("""
        scan t {
            state seen[n] = false
            state count[n]: int = 0
            state at[n]: int = 0
            seen = seen or x > 0.5
            count = count + where(seen, 1, 0)
            at = where(x > 0, t, at)
            yield y = where(seen, x * count, 0) + float(at)
            finally last = count
            finally any_seen = seen
        }""", "x[n, t]", "(y[n, t], last[n]: int, any_seen[n]: bool)")
    x = draw(x=(3, 6))["x"]
    seen, count, at, ys = torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.long), torch.zeros(3, dtype=torch.long), []
    for t in range(6):
        seen = seen | (x[:, t] > 0.5)
        count, at = count + seen, torch.where(x[:, t] > 0, t, at)
        ys.append(torch.where(seen, x[:, t] * count, 0) + at)
    torch.testing.assert_close(module(x), (torch.stack(ys, 1), count, seen))


def test_dropout_is_drawn_at_every_step() -> None:
    module = layer("""
        scan t {
            state s[n] = 0
            s = dropout(s + x, 0.5)
            yield y = s
        }
        return y""", "x[n, t]", "[n, t]")
    x = torch.ones(4000, 3, dtype=torch.float64)
    torch.manual_seed(0)
    y = module(x)
    s = torch.zeros(4000, dtype=torch.float64)
    for t in range(3):  # each is 0, or twice what was before and 1
        kept = y[:, t] != 0
        assert 0.46 < kept.double().mean() < 0.54
        torch.testing.assert_close(y[:, t], torch.where(kept, 2 * (s + 1), 0))
        s = y[:, t]
    torch.manual_seed(0)
    torch.testing.assert_close(module(x), y, rtol=0, atol=0)
    torch.testing.assert_close(module.eval()(x), torch.cumsum(x, 1))


def model() -> nn.Module:
    torch.manual_seed(0)
    return archc.load("std.recurrent").GRU(3, 4).double()


def test_compiled_whole_and_exported() -> None:
    module, x = model(), torch.randn(2, 4, 3, dtype=torch.float64)
    expected = module(x)
    for backend in ("eager", "aot_eager"):
        torch._dynamo.reset()
        compiled = torch.compile(module, fullgraph=True, backend=backend)
        torch.testing.assert_close(compiled(x), expected)
        given = x.clone().requires_grad_()
        grads = [torch.autograd.grad(m(given).sum(), given)[0] for m in (compiled, module)]
        torch.testing.assert_close(*grads)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), expected)
    batch = torch.export.Dim("batch")
    exported = torch.export.export(module, (x,), dynamic_shapes={"x": {0: batch}}).module()
    more = torch.randn(5, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(exported(more), module(more))


def test_mapped_and_differentiated_by_torch_func() -> None:
    module, many = model(), torch.randn(5, 2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(module)(many), torch.stack([module(one) for one in many]))
    params = dict(module.named_parameters())

    def loss(params: Given, x: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(module, params, (x,)).square().sum()
        return result

    each = torch.vmap(torch.func.grad(loss), (None, 0))(params, many)
    for i, one in enumerate(many):
        wanted = torch.autograd.grad(loss(params, one), list(params.values()))
        torch.testing.assert_close([grad[i] for grad in each.values()], list(wanted))
    _, moved = torch.func.jvp(module, (many[0],), (many[1],))
    step = 1e-6
    torch.testing.assert_close(moved, (module(many[0] + step * many[1]) - module(many[0] - step * many[1])) / (2 * step),
                               rtol=1e-6, atol=1e-8)


def test_kept_and_copied(tmp_path: Path) -> None:
    module, x = model(), torch.randn(2, 4, 3, dtype=torch.float64)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    other = type(module)(3, 4).double()
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    for made in (other, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(made(x), module(x), rtol=0, atol=0)
    assert set(module.state_dict()) == {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types(dtype: torch.dtype) -> None:
    module, x = model(), torch.randn(2, 4, 3, dtype=torch.float64)
    half = copy.deepcopy(module).to(dtype)
    y = half(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), module(x), rtol=3e-2, atol=3e-2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = copy.deepcopy(module).float()(x.float())
    torch.testing.assert_close(mixed.double(), module(x), rtol=3e-2, atol=3e-2)
