"""Loops as kernels: against plain transcriptions of the recurrences, in both precisions, with all gradients; random loops against
the evaluator; and what grouping makes of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from archc import api
from archc.codegen.cpp.form import For, Kernel, Lanes, Statement
from archc.ir.graph import Graph, Scan, topological
from archc.loaded import Namespace
from archc.passes.base import run
from archc.passes.group import group_value
from archc.pipelines import CPP
from tests.checker.programs import graph
from tests.codegen.cpp.test_kernels import Case, cases, compare, compare_halves
from tests.fuzz.graphs import random_graph
from tests.passes.test_group import groups
from tests.shares import shares

pytestmark = pytest.mark.compiler


# ------------------------------------------------------------------------------------------------ plain transcriptions
def linear_attention(q: Tensor, key: Tensor, val: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return delta_like(q, key, val, start, lambda t, s: s + outer(key[:, t], val[:, t]))


def gla(q: Tensor, key: Tensor, val: Tensor, g: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return delta_like(q, key, val, start, lambda t, s: g[:, t].exp()[:, :, None] * s + outer(key[:, t], val[:, t]))


def delta_net(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return delta_like(q, key, val, start, lambda t, s: reflected(s, key[:, t], val[:, t], beta[:, t]))


def gated_delta_net(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, g: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return delta_like(q, key, val, start,
                      lambda t, s: reflected(g[:, t].exp()[:, None, None] * s, key[:, t], val[:, t], beta[:, t]))


def delta_product(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    def step(t: int, s: Tensor) -> Tensor:
        for j in range(key.shape[2]):
            s = reflected(s, key[:, t, j], val[:, t, j], beta[:, t, j])
        return s
    return delta_like(q, key, val, start, step)


def gated_delta_product(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, g: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    def step(t: int, s: Tensor) -> Tensor:
        s = g[:, t].exp()[:, None, None] * s
        for j in range(key.shape[2]):
            s = reflected(s, key[:, t, j], val[:, t, j], beta[:, t, j])
        return s
    return delta_like(q, key, val, start, step)


def selective_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, read: Tensor, skip: Tensor, start: Tensor
                   ) -> tuple[Tensor, Tensor]:
    h, ys = start, []
    for t in range(x.shape[1]):
        h = (dt[:, t, :, None] * a).exp() * h + (dt * x)[:, t, :, None] * b[:, t, None]
        ys.append((h * read[:, t, None]).sum(-1) + skip * x[:, t])
    return torch.stack(ys, 1), h


def outer(a: Tensor, b: Tensor) -> Tensor:
    return a[:, :, None] * b[:, None, :]


def reflected(s: Tensor, key: Tensor, val: Tensor, beta: Tensor) -> Tensor:
    return s - outer(beta[:, None] * key, torch.einsum("nk,nkv->nv", key, s) - val)


def delta_like(q: Tensor, key: Tensor, val: Tensor, start: Tensor, step: Callable[[int, Tensor], Tensor]
               ) -> tuple[Tensor, Tensor]:
    s, ys = start, []
    for t in range(q.shape[1]):
        s = step(t, s)
        ys.append(torch.einsum("nk,nkv->nv", q[:, t], s))
    return torch.stack(ys, 1), s


TOKEN = {"q": "ntk", "key": "ntk", "val": "ntv", "beta": "nt"}
SEVERAL = {"q": "ntk", "key": "ntjk", "val": "ntjv", "beta": "ntj"}
STATE = {"start": "nkv"}
FUNCTIONS: dict[Callable[..., Any], dict[str, str]] = {
    linear_attention: {**dict(list(TOKEN.items())[:3]), **STATE},
    gla: {**dict(list(TOKEN.items())[:3]), "g": "ntk", **STATE},
    delta_net: {**TOKEN, **STATE},
    gated_delta_net: {**TOKEN, "g": "nt", **STATE},
    delta_product: {**SEVERAL, **STATE},
    gated_delta_product: {**SEVERAL, "g": "nt", **STATE},
    selective_scan: {"x": "ntc", "dt": "ntc", "a": "cs", "b": "nts", "read": "nts", "skip": "c", "start": "ncs"},
}
SIZES = [
    {"n": 2, "t": 5, "j": 1, "k": 3, "v": 4, "c": 5, "s": 3},
    {"n": 3, "t": 7, "j": 2, "k": 33, "v": 37, "c": 67, "s": 16},
    {"n": 1, "t": 1, "j": 4, "k": 1, "v": 1, "c": 1, "s": 1},
    {"n": 4, "t": 71, "j": 4, "k": 32, "v": 64, "c": 64, "s": 2},  # three chunks of steps on the way back
    {"n": 1, "t": 2, "j": 2, "k": 64, "v": 31, "c": 32, "s": 5},
]


def signature(shapes: dict[str, str]) -> str:
    return ", ".join(f"{name}[{', '.join(axes)}]" for name, axes in shapes.items())


def text(function: Callable[..., Any]) -> str:
    shapes = FUNCTIONS[function]
    y, last = ("[n, t, c]", "[n, c, s]") if "x" in shapes else ("[n, t, v]", "[n, k, v]")
    return (f"import std.recurrent\nlayer L() {{\n    forward({signature(shapes)}) -> ({y}, {last}) {{\n"
            f"        y, last = {function.__name__}({', '.join(shapes)})\n        return y, last\n    }}\n}}\n")


def loaded(source: str, backend: str = "cpp") -> Any:
    targets = ("torch", "cpp") if backend == "cpp" else ("torch",)
    return Namespace(api.open_text(source, "scans.arch"), f"scans{backend}", {}, targets)


def tensors(function: Callable[..., Any], sizes: dict[str, int], dtype: torch.dtype) -> list[Tensor]:
    """Inputs on which no state grows: short keys, decays below 1."""
    torch.manual_seed(0)
    fitted = {"beta": torch.sigmoid, "dt": lambda x: F.softplus(x - 2), "g": lambda x: -x.abs(), "a": lambda x: -torch.exp(x),
              "key": lambda x: F.normalize(x, dim=-1)}
    return [fitted.get(name, lambda x: x)(torch.randn([sizes[axis] for axis in axes], dtype=torch.float64)).to(dtype)
            .requires_grad_() for name, axes in FUNCTIONS[function].items()]


def results(function: Callable[..., Any], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Both results, and the gradient of every input for cotangents of both."""
    made = function(*inputs)
    torch.manual_seed(1)
    cotangents = [torch.randn(y.shape, dtype=torch.float64).to(y.dtype) for y in made]
    moved = [(y, dy) for y, dy in zip(made, cotangents, strict=True) if y.requires_grad]
    found = torch.autograd.grad([y for y, _ in moved], inputs, [dy for _, dy in moved], allow_unused=True, materialize_grads=True)
    return [*(y.detach() for y in made), *found]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels that were called."""
    from archc.runtime.native import Functions

    names: list[str] = []
    def noted(self: Functions, key: tuple[str, torch.dtype]) -> Any:
        names.append(key[0])
        return self.get(key) or self.__missing__(key)

    monkeypatch.setattr(Functions, "__getitem__", noted)
    return names


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_recurrences(function: Callable[..., Any]) -> None:
    layer = loaded(text(function)).L()
    for sizes in SIZES:
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            inputs = tensors(function, sizes, dtype)
            ours = results(layer, inputs)
            wanted = results(function, [x.detach().double().requires_grad_() for x in inputs])
            for mine, other in zip(ours, wanted, strict=True):
                assert (mine - other).abs().max() <= tolerance * max(1.0, float(other.abs().max())), (sizes, dtype)


@pytest.mark.parametrize("function", [delta_net, selective_scan], ids=lambda function: function.__name__)
def test_gradcheck_to_second_order(function: Callable[..., Any]) -> None:
    layer = loaded(text(function)).L()
    inputs = tensors(function, {"n": 2, "t": 3, "k": 2, "v": 3, "c": 2, "s": 3}, torch.float64)
    assert torch.autograd.gradcheck(layer, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, inputs, fast_mode=True)


@pytest.mark.parametrize("size", ["n", "t"])
def test_nothing_to_do(size: str) -> None:
    sizes = {**SIZES[0], size: 0}
    inputs = tensors(delta_net, sizes, torch.float64)
    layers = [loaded(text(delta_net), backend).L() for backend in ("cpp", "torch")]
    for mine, other in zip(*(results(layer, inputs) for layer in layers), strict=True):
        torch.testing.assert_close(mine, other)


def test_the_number_of_threads_changes_no_bit() -> None:
    layer, inputs = loaded(text(selective_scan)).L(), tensors(selective_scan, {"n": 7, "t": 33, "c": 37, "s": 5}, torch.float32)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(results(layer, inputs))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


# ---------------------------------------------------------------------------------------------------- other loops
LOOPS = {
    "reverse": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t reverse { state s[n, c] = x[t = 0]
            s = tanh(d * s + x)
            yield y = s * s }
        return y"""),
    "several": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t { state a[n, c] = 0
            state b[n, c] = 1
            old = a
            a = d * b + x
            b = 0.5 * old - x
            yield y = a * b }
        return y"""),
    "swapped": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t { state a[n, c] = 0
            state b[n, c] = x[t = 0]
            old = a
            a = b
            b = sin(old + x) * d
            yield y = a - b }
        return y"""),
    "a hidden state": ("x[n, t, c], d[c]", "[n, t, c]", """
        axis r = |c|
        scan t { state s[n, c] = 0
            s = tanh(x + sum[r](d[c = r] * sin(d * d[c = r]) * s[c = r]))
            yield y = s }
        return y"""),
    "neighbours": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t { state s[n, c] = d
            s = x + 0.5 * s[c = c - 1 else 0] + 0.2 * s[c = c + 1 edge] + 0.1 * s[c = c - 2 wrap]
            yield y = s * s[c = 0] }
        return y"""),
    "softmax": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t { state s[n, c] = 0
            s = softmax[c](s + x) * d
            yield y = s }
        return y"""),
    "over the batch": ("x[n, t, c], d[c]", "[n, t, c]", """
        scan t { state s[c] = d
            s = 0.5 * s + mean[n](x * s)
            yield y = s * x }
        return y"""),
    "no batch": ("x[t, c], d[c]", "[t]", """
        scan t { state s = 0
            s = 0.9 * s + sum[c](x * d)
            yield y = s }
        return y"""),
    "largest": ("x[n, t, c], d[c]", "[n, t]", """
        scan t { state s[n, c] = 0
            s = max(s, x * d)
            yield y = max[c](s - x) }
        return y"""),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str, used: list[str]) -> None:
    inputs, result, body = LOOPS[name]
    source = f"layer L() {{ forward({inputs}) -> {result} {{{body}\n}} }}"
    torch.manual_seed(0)
    shape = (37, 3) if name == "no batch" else (2, 37, 3)
    given = [torch.randn(shape, dtype=torch.float64, requires_grad=True), torch.randn(3, dtype=torch.float64, requires_grad=True)]
    layers = [loaded(source, backend).L() for backend in ("cpp", "torch")]
    ours, theirs = (results(lambda *xs, layer=layer: (layer(*xs),), given) for layer in layers)
    assert used
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


# -------------------------------------------------------------------------------------------------------- structure
def loops_of(body: Sequence[Statement], axis: str) -> int:
    found = 0
    for statement in body:
        if isinstance(statement, (For, Lanes)):
            found += isinstance(statement, For) and statement.variable == axis
            found += loops_of(statement.body, axis)
    return found


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_a_loop_is_one_kernel_and_so_is_its_derivative(function: Callable[..., Any]) -> None:
    (call,) = groups(run(graph(text(function)), CPP))
    kernel = lowered(call.body)
    assert loops_of(kernel.body, "t") == 1
    (back,) = groups(group_value(call.vjp))
    assert loops_of(lowered(back.body).body, "t_step") == 3  # there, there again, and back
    assert [variable for variable, _ in kernel.parallel] == ["n", "c_block" if function is selective_scan else "v_block"]
    assert not any({"t", "k"} <= set(array.axes) and array.count.symbols >= {"t", "k", "v"} for array in kernel.scratch)


def lowered(group: Graph) -> Kernel:
    from archc.checker.types import flat
    from archc.codegen.cpp.lower import lower

    return lower(group, "kernel", {port.name: flat(port.layout) for port in (*group.inputs, *group.outputs)})


# ---------------------------------------------------------------------------------------------------- random loops
def looping(seeds: range) -> list[Case]:
    def draw(rng: random.Random) -> Graph:
        return random_graph(rng, rng.choice([6, 12, 20]), smooth=rng.random() < 0.7, loops=True, wide=True)

    return [case for case in cases(seeds, draw) if any(isinstance(n.attrs, Scan) for n in topological(case.group.roots))]


@pytest.mark.parametrize("seeds", shares(range(15), range(15, 45), range(45, 315), 30))
def test_random_loops(seeds: range) -> None:
    assert compare(looping(seeds)) > len(seeds)


@pytest.mark.slow
def test_random_loops_in_half_types() -> None:
    assert compare_halves(looping(range(20, 23)), "bfloat16") > 3


# ----------------------------------------------------------------------------------------------------- gated networks
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_gated_networks(name: str, used: list[str]) -> None:
    import archc

    layers = archc.load("std.recurrent", backend="cpp")
    for n, t, i, h in ((2, 5, 3, 4), (1, 1, 1, 1), (7, 37, 5, 33), (4, 3, 8, 64)):
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            torch.manual_seed(0)
            ours, theirs = getattr(layers, name)(i, h, dtype=dtype), getattr(torch.nn, name)(i, h, batch_first=True).double()
            theirs.load_state_dict({f"{key}_l0": value for key, value in ours.state_dict().items()})
            x = torch.randn(n, t, i, dtype=dtype)
            found = [
                gradients_of(ours, x, list(ours.parameters())),
                gradients_of(lambda x, layer=theirs: layer(x)[0], x.double(), list(theirs.parameters()))]
            for mine, other in zip(*found, strict=True):
                assert (mine - other).abs().max() <= tolerance * max(1.0, float(other.abs().max())), (n, t, i, h, dtype)
    assert used


def gradients_of(layer: Callable[[Tensor], Tensor], x: Tensor, params: list[Tensor]) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    torch.manual_seed(1)
    return [y.detach(), *torch.autograd.grad(y, [x, *params], torch.randn(y.shape, dtype=torch.float64).to(y.dtype))]


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_the_gradient_of_a_weight_is_one_product_after_the_loop(name: str) -> None:
    call = next(call for call in groups(run(api.graph("std.recurrent", name), CPP))
                if any(isinstance(n.attrs, Scan) for n in topological(call.body.roots)))
    loops = [n.attrs for n in topological(call.vjp.roots) if isinstance(n.attrs, Scan)]
    states = [port.type.axes for loop in loops for port in loop.body.inputs[: loop.states]]
    assert len(loops) == 2 and not any("r" in {axis.name for axis in axes} for axes in states)
