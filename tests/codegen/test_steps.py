"""Steps of emitted modules: token after token gives what the whole sequence gives, through layers in layers, in every way in
which torch runs a module."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archc
from archc import api
from archc.api import files_of

RECURRENT = archc.load("std.recurrent")
MODEL = """
import std.recurrent
import std.linear
import std.norm
layer Block(c: axis, p: float = 0.1) {
    norm = RMSNorm(c=c)
    mix = GRU(i=c, h=c)
    param taps[k=3, c] = normal(0.5)
    forward(x[n, t, c]) -> like x {
        z = sum[k](taps * norm(x)[t = t + k - 2 else 0])
        return x + dropout(mix(z), p)
    }
}
layer Model(i: axis, c: axis, o: axis, static depth: int = 2) {
    param place[s=32, c] = normal(1)
    up = Linear(i=i, o=c)
    blocks = repeat depth { Block(c=c) }
    top = LSTM(i=c, h=o)
    forward(x[n, t, i]) -> (y[n, t, o], last[n, o]) {
        z = up(x) + place[s = t]
        for block in blocks { z = block(z) }
        y = top(z)
        scan t {
            state sum[n, o] = 0
            sum = 0.5 * sum + y
            yield unused = sum
            finally last = sum
        }
    }
}
"""


def model() -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = api.load_text(MODEL, "steps.arch").Model(3, 4, 5)
    return made.double().eval()


def decoded(module: nn.Module, x: Tensor, axis: int, call: Callable[..., Any] | None = None) -> list[Tensor]:
    """The outputs of `step` stacked along the axis, and the last of those that the whole has without it."""
    step, state, found = call or module.step, None, []
    for element in x.unbind(axis):
        *outputs, state = step(element, state)
        found.append(outputs)
    return [torch.stack(outputs, axis) for outputs in zip(*found, strict=True)]


@pytest.mark.parametrize(("make", "shape", "axis"), [
    (lambda: RECURRENT.LSTM(3, 4), (2, 6, 3), 1),
    (lambda: RECURRENT.GRU(3, 4), (2, 6, 3), 1),
    (lambda: RECURRENT.GRU(3, 4), (6, 3), 0),
    (lambda: RECURRENT.LSTM(3, 4), (5, 2, 6, 3), 2),
    (lambda: RECURRENT.LSTM(3, 4), (0, 6, 3), 1),
])
def test_token_after_token(make: Callable[[], nn.Module], shape: tuple[int, ...], axis: int) -> None:
    torch.manual_seed(0)
    module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(decoded(module, x, axis)[0], module(x), rtol=1e-10, atol=1e-10)


def test_a_step_is_torchs_cell() -> None:
    """From a state of one's own, with the names of the text."""
    torch.manual_seed(0)
    ours, cell = RECURRENT.LSTM(3, 4), nn.LSTMCell(3, 4)
    cell.load_state_dict(ours.state_dict())
    x, state = torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))
    y, after = ours.step(x, state)
    expected = cell(x, state)
    torch.testing.assert_close((y, after.hidden, after.cell), (expected[0], *expected))
    assert type(after)._fields == ("hidden", "cell") and type(after).__name__ == "LSTMState"


def test_through_layers_in_layers() -> None:
    """Recurrent layers in a list, a causal convolution, a position, dropout that is off, a last state."""
    module, x = model(), torch.randn(2, 7, 3, dtype=torch.float64)
    y, last = module(x)
    ys, lasts = decoded(module, x, 1)
    torch.testing.assert_close(ys, y, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(lasts[:, -1], last, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(lasts[:, 3], module(x[:, :4])[1], rtol=1e-10, atol=1e-10)
    *_, state = module.step(x[:, 0])
    assert state._fields == ("t_index", "sum", "blocks_0", "blocks_1", "top")
    assert state.blocks_0._fields == ("norm_before", "mix") and state.blocks_0.norm_before.shape == (2, 4, 2)


def test_gradients_are_those_of_the_whole() -> None:
    module, x = model(), torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    params = [x, *module.parameters()]
    whole = torch.autograd.grad(module(x)[0].square().sum(), params)
    steps = torch.autograd.grad(decoded(module, x, 1)[0].square().sum(), params)
    torch.testing.assert_close(steps, whole, rtol=1e-9, atol=1e-9)


def test_compiled_exported_and_mapped() -> None:
    module, x = model(), torch.randn(2, 5, 3, dtype=torch.float64)
    expected = module(x)[0]
    for backend in ("eager", "aot_eager"):
        compiled = torch.compile(module.step, fullgraph=True, backend=backend)
        torch.testing.assert_close(decoded(module, x, 1, compiled)[0], expected)
        torch._dynamo.reset()
    *_, state = module.step(x[:, 0])

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Tensor, state: Any) -> Any:
            return self.inner.step(x, state)

    exported = torch.export.export(Step(), (x[:, 1], state)).module()
    torch.testing.assert_close(exported(x[:, 1], state), module.step(x[:, 1], state))
    many = torch.randn(3, 2, 3, dtype=torch.float64)
    *outputs, after = torch.vmap(module.step)(many)
    again = torch.vmap(module.step)(many, after)
    for i in range(3):
        *one, state = module.step(many[i])
        torch.testing.assert_close([part[i] for part in outputs], one)
        torch.testing.assert_close([part[i] for part in again[:2]], list(module.step(many[i], state)[:2]))


def test_states_can_be_kept() -> None:
    module = RECURRENT.LSTM(3, 4)
    x = torch.randn(2, 3)
    with torch.no_grad():
        _, state = module.step(x)
    for kept in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        torch.testing.assert_close(module.step(x, kept)[0], module.step(x, state)[0], rtol=0, atol=0)
    other = pickle.loads(pickle.dumps(copy.deepcopy(module)))
    torch.testing.assert_close(other.step(x, state)[0], module.step(x, state)[0], rtol=0, atol=0)
    half = copy.deepcopy(module).bfloat16()
    y, state = half.step(x.bfloat16())
    assert {y.dtype, state.cell.dtype} == {torch.bfloat16}


SCAN = "scan t {\n state s[n] = 0\n s = 0.5 * s + x\n yield y = s\n }"


def loaded(body: str, signature: str = "x[n, t]", result: str = "[n, t]") -> Any:
    text = f"layer L() {{\n forward({signature}) -> {result} {{\n {body}\n }}\n }}"
    return api.load_text(text, "steps.arch").L()


def test_a_layer_that_needs_the_whole_says_so() -> None:
    module = loaded(f"{SCAN}\n return y - mean[t](y)")
    assert module(torch.randn(2, 3)).shape == (2, 3)
    with pytest.raises(NotImplementedError, match="L cannot go along t one element at a time: it needs all"):
        module.step(torch.randn(2))
    assert not hasattr(loaded("return x"), "step")


def test_a_model_with_a_layer_that_needs_the_whole_names_it() -> None:
    module = api.load_text("""
import std.recurrent
layer Center() { forward(x[n, t, h]) -> like x { return x - mean[t](x) } }
layer L(h: axis) {
    cell = GRU(i=h, h=h)
    center = Center()
    forward(x[n, t, h]) -> like x { return center(cell(x)) }
}
""", "steps.arch").L(2)
    with pytest.raises(NotImplementedError, match="in 'center' it needs all elements of t at once"):
        module.step(torch.randn(2, 2))


def test_what_only_training_does_with_all_elements() -> None:
    """The training mode centers over t, which no step can; eval mode has a step."""
    module = loaded(f"{SCAN}\n when training {{ z = y - mean[t](y) }} else {{ z = y }}\n return z")
    x = torch.randn(2, 3)
    with pytest.raises(RuntimeError, match="call eval"):
        module.step(x[:, 0])
    module.eval()
    torch.testing.assert_close(decoded(module, x, 1)[0], module(x))


def test_modes_that_both_have_a_step() -> None:
    module = loaded(f"{SCAN}\n when training {{ z = 2 * y }} else {{ z = y }}\n return z")
    x = torch.randn(2, 3)
    for training in (True, False):
        module.train(training)
        torch.testing.assert_close(decoded(module, x, 1)[0], module(x))
    dropped = loaded(f"{SCAN}\n return dropout(y, 0.5)")
    y, _ = dropped.step(torch.ones(1000))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    y, _ = dropped.eval().step(torch.ones(1000))
    assert set(y.unique().tolist()) == {1.0}


def test_two_axes_each_have_a_step() -> None:
    module = loaded("""
        scan h {
            state a[n, w] = 0
            a = 0.5 * a + x
            yield y = a
        }
        scan w {
            state b[n, h] = 0
            b = 0.5 * b + y
            yield z = b
        }
        return z""", "x[n, h, w]", "[n, h, w]")
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(decoded(module, x, 1, module.step_h)[0], module(x))
    torch.testing.assert_close(decoded(module, x, 2, module.step_w)[0], module(x))


def test_leading_dimensions_that_must_be_one() -> None:
    """An operation that addresses all leading dimensions at once; the states come and go as the inputs have them."""
    module = loaded("""
        scan t {
            state s[..., c] = 0
            s = 0.5 * s + x
            yield y = sort[c](s)
        }
        return y""", "x[..., t, c]", "[..., t, c]")
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(decoded(module, x, 2)[0], module(x))
    _, state = module.step(x[:, :, 0])
    assert state.s.shape == (2, 3, 4)


def test_names_that_python_or_the_class_has() -> None:
    module = loaded("""
        scan t {
            state _count[n] = 0
            state index[n] = 0
            state state[n] = 0
            _count = _count + x
            index = index + _count
            state = state + index
            yield y = state
        }
        return y""")
    x = torch.randn(2, 4)
    torch.testing.assert_close(decoded(module, x, 1)[0], module(x))
    own = api.load_text(f"layer L() {{\n forward(x[n, t]) -> [n, t] {{\n {SCAN}\n return y\n }}\n"
                        " fn step(x[n]) -> [n] { return 3 * x } }", "steps.arch").L()
    torch.testing.assert_close(own.step(x[:, 0]), 3 * x[:, 0])


def test_the_package_has_the_step(tmp_path: Any) -> None:
    text = files_of("std.recurrent")["modules.py"]
    assert "def step(self, x: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:" in text
    assert "class GRUState(NamedTuple):" in text
