"""Draws in a method: torch's own numbers, by its seed or by a generator that is passed; their means in eval."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from archc.api import load_text
from archc.ir.digest import digest
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph
from archc.ir.to_source import to_source
from tests.checker.programs import unit
from tests.codegen.harness import compare, without_draws

SOURCE = """
layer Noisy(std: float = 0.5) {
    forward(x[n, c]) -> like x { return x + normal[n, c](std) }
}

# One of the columns, drawn with probabilities softmax(logit / heat): the trick of Gumbel and the softmax
# (Jang, Gu, Poole, arXiv 1611.01144).
layer Gumbel(heat: float = 0.7) {
    forward(logit[n, k]) -> like logit {
        when training { g = -log(-log(uniform[n, k](0, 1))) } else { g = 0 * logit }
        return softmax[k]((logit + g) / heat)
    }
}

# What a variational encoder draws: its parameters are values, and the draw moves with them.
layer Sample() {
    forward(centre[n, c], spread[n, c]) -> like centre { return normal[n, c](centre, spread) }
}

layer Means() {
    forward(x[n, c]) -> [n, c] {
        return normal[n, c](3, 1) + 10 * uniform[c](2, 4) + 100 * bernoulli[n](sigmoid(mean[c](x)))
    }
}

layer Walk() {
    forward(x[n, t]) -> [n, t] {
        scan t {
            state s[n] = 0
            s = s + normal[n](1)
            yield y = s
        }
        return x + y
    }
}

layer Stack() {
    first = Noisy()
    rest  = repeat 2 { Noisy(std=0.1) }
    forward(x[n, c]) -> like x {
        y = first(x)
        for layer in rest { y = layer(y) }
        return dropout(y, 0.25)
    }
}

# Features of a kernel (Rahimi, Recht, NIPS 2007): drawn once, stored, not trained.
layer Features(i: axis, m: axis) {
    buffer w[m, i] = normal(1)
    buffer b[m]    = uniform(0, 6.283185307179586)
    buffer keep[m, i] = bernoulli(0.5)
    buffer shared[m, i] = normal[i](1)
    forward(x[n, i]) -> [n, m] { return cos(sum[i](w * keep * x) + b) * sqrt(2 / |m|) }
}
"""
LAYERS = load_text(SOURCE, "draws.arch")


def graph(text: str, name: str) -> Graph:
    return lower_graph(unit(text, name))


NAMES = ["Noisy", "Gumbel", "Sample", "Means", "Walk"]


def inputs(layer: nn.Module, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    count = len([name for name in inspect.signature(layer.forward).parameters if name != "generator"])
    return [torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(count)]


def test_the_numbers_are_torchs() -> None:
    x = torch.zeros(3, 4)
    torch.manual_seed(5)
    found = LAYERS.Noisy()(x)
    torch.manual_seed(5)
    assert torch.equal(found, torch.empty(3, 4).normal_(0, 0.5))
    torch.manual_seed(5)
    walk = LAYERS.Walk()(x)
    torch.manual_seed(5)
    torch.testing.assert_close(walk, torch.stack([torch.empty(3).normal_() for _ in range(4)], 1).cumsum(1))
    torch.manual_seed(5)
    centre, spread = torch.randn(2, 3, 4)
    torch.manual_seed(6)
    sample = LAYERS.Sample()(centre, spread)
    torch.manual_seed(6)
    torch.testing.assert_close(sample, centre + spread * torch.randn(3, 4))


@pytest.mark.parametrize("name", [*NAMES, "Stack"])
def test_a_seed_and_a_generator_give_the_same(name: str) -> None:
    layer = getattr(LAYERS, name)()
    given = inputs(layer)
    torch.manual_seed(11)
    by_seed = layer(*given)
    other = layer(*given)
    before = torch.get_rng_state()
    by_generator = layer(*given, generator=torch.Generator().manual_seed(11))
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(by_generator, by_seed)
    assert not torch.equal(other, by_seed)


def test_what_draws_nothing_takes_no_generator() -> None:
    assert "generator" not in inspect.signature(LAYERS.Features(i=2, m=3).forward).parameters


def test_means_in_eval() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(LAYERS.Noisy().eval()(x), x)
    assert torch.equal(LAYERS.Stack().eval()(x), x)
    torch.testing.assert_close(LAYERS.Gumbel().eval()(x), torch.softmax(x / 0.7, -1))
    torch.testing.assert_close(LAYERS.Sample().eval()(x, x + 1), x)
    wanted = 3 + 30 + 100 * torch.sigmoid(x.mean(1, keepdim=True)).expand(3, 4)
    torch.testing.assert_close(LAYERS.Means().eval()(x), wanted)


def test_gumbel_against_plain_torch() -> None:
    logit = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    results = []
    for by_hand in (False, True):
        torch.manual_seed(1)
        if by_hand:
            noise = -torch.log(-torch.log(torch.empty_like(logit).uniform_()))
            y = torch.softmax((logit + noise) / 0.7, -1)
        else:
            y = LAYERS.Gumbel()(logit)
        results.append((y, *torch.autograd.grad((y**2).sum(), logit)))
    torch.testing.assert_close(results[0], results[1])


def test_a_draw_moves_with_its_parameters() -> None:
    layer = LAYERS.Sample()
    given = tuple(x.requires_grad_() for x in inputs(layer))

    def fixed(*args: Tensor) -> Tensor:
        return layer(*args, generator=torch.Generator().manual_seed(2))

    assert torch.autograd.gradcheck(fixed, given) and torch.autograd.gradgradcheck(fixed, given)


@pytest.mark.parametrize("name", ["Noisy", "Gumbel", "Sample", "Means", "Stack"])
def test_the_evaluator_agrees_given_the_same_draws(name: str) -> None:
    found = without_draws(graph(SOURCE, name))
    assert len(found.inputs) > len(graph(SOURCE, name).inputs)
    given = {port.name: torch.rand(*(3 if axis[0].name == "n" else 4 for axis in port.layout)).double().numpy()
             for port in found.inputs if port.role != "number"}
    compare(found, given, {port.name: 0.5 for port in found.inputs if port.role == "number"})


@pytest.mark.parametrize("name", NAMES)
def test_source_round_trip(name: str) -> None:
    original = graph(SOURCE, name)
    assert digest(lower_graph(unit(to_source(original, "Again"), "Again"))) == digest(original)


@pytest.mark.parametrize("name", ["Noisy", "Sample", "Stack"])
def test_under_checkpointing(name: str) -> None:
    layer = getattr(LAYERS, name)()
    given = [x.requires_grad_() for x in inputs(layer)]
    results = []
    for call in (layer, lambda *args: checkpoint(layer, *args, use_reentrant=False)):
        torch.manual_seed(3)
        y = call(*given)
        results.append((y, *torch.autograd.grad((y**2).sum(), given)))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("name", ["Noisy", "Stack"])
def test_under_torch_compile(name: str) -> None:
    layer = getattr(LAYERS, name)()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    (x,) = inputs(layer)
    torch.manual_seed(4)
    first, second = compiled(x), compiled(x)
    torch.manual_seed(4)
    assert torch.equal(compiled(x), first) and not torch.equal(first, second)
    torch.testing.assert_close((first - x).std().item(), 0.5, rtol=0.9, atol=0.5)


@pytest.mark.parametrize("name", [*NAMES, "Stack"])
def test_under_vmap(name: str) -> None:
    layer = getattr(LAYERS, name)()
    given = [x.expand(5, -1, -1) for x in inputs(layer)]
    apart = torch.vmap(layer, randomness="different")(*given)
    assert apart.shape == (5, 3, 4) and not torch.equal(apart[0], apart[1])
    if name != "Means":  # torch has no like draws for probabilities that differ
        alike = torch.vmap(layer, randomness="same")(*given)
        assert torch.equal(alike[0], alike[1])


def test_frozen_features() -> None:
    torch.manual_seed(7)
    layer = LAYERS.Features(i=3, m=500)
    torch.manual_seed(7)
    assert torch.equal(layer.w, torch.empty(500, 3).normal_(0, 1))
    assert not list(layer.parameters()) and set(layer.state_dict()) == {"w", "b", "keep", "shared"}
    assert set(layer.keep.unique().tolist()) == {0.0, 1.0} and torch.equal(layer.shared, layer.shared[:1].expand(500, 3))
    same = copy.deepcopy(layer)
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x), torch.cos(x @ (layer.w * layer.keep).T + layer.b) * (2 / 500) ** 0.5)
    assert torch.equal(same(x), layer(x))


OWN = """fn dropped(x[n]) -> [n] grad(dy) {{ x: 3 * dy }} {{
    return dropout(x, {p})
}}
fn noisy(x[n]) -> [n] grad(dy) {{ x: dy * bernoulli[n]({p}) }} {{
    return dropped(x) + normal[n](1.0)
}}
layer Own() {{
    forward(x[n]) -> [n] {{ return noisy(x) }}
}}
layer Twice() {{
    own = Own()
    forward(x[n]) -> [n] {{ return own(x) + own(2 * x) }}
}}
"""


@pytest.mark.parametrize("name", ["Own", "Twice"])
def test_a_fn_with_its_own_derivative_draws_by_the_generator(name: str) -> None:
    """Forward, and in its derivative; torch's own generator stays where it is."""
    layer = getattr(load_text(OWN.format(p=0.5), "own.arch"), name)()

    def step(generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        x = torch.ones(50, requires_grad=True)
        y = layer(x, generator=generator)
        y.sum().backward()
        assert x.grad is not None
        return y.detach(), x.grad

    torch.manual_seed(5)
    by_seed = step()
    state = torch.get_rng_state()
    by_generator = step(torch.Generator().manual_seed(5))
    assert all(torch.equal(a, b) for a, b in zip(by_seed, by_generator, strict=True))
    assert torch.equal(state, torch.get_rng_state()) and not torch.equal(by_seed[0], step()[0])
    assert 0 < (by_seed[1] > 0).sum() < 50 or name == "Twice"
    layer.eval()
    assert torch.equal(layer(torch.ones(3)), torch.full((3,), 1.0 if name == "Own" else 3.0))


def test_an_identity_may_have_a_gradient_of_its_own() -> None:
    """A reversed gradient: what the fn gives is its input, which it also saves."""
    text = OWN[: OWN.index("fn noisy")].replace("dropout(x, {p})", "x").replace("3 * dy", "-x * dy")
    text = text.format() + "layer Reversed() {\n    forward(x[n]) -> [n] { return dropped(x) }\n}\n"
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    y = load_text(text, "reversed.arch").Reversed()(x)
    y.backward(torch.full_like(x, 2.0))
    assert torch.equal(y.detach(), x.detach()) and x.grad is not None and torch.equal(x.grad, -2 * x.detach())
