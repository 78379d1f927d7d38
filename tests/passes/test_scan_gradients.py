"""The derivative of a loop is a loop: against torch.autograd of a plain transcription, first and second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, Random, Scan, topological
from archc.ir.text import parse, write
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.pipelines import INFERENCE, SECOND_ORDER, TRAINING
from tests.checker.programs import graph
from tests.passes.against_torch import assert_gradients
from tests.passes.oracle import check_gradient
from tests.peers import recurrent
from tests.stdlib.test_recurrent import CASES, inputs, source

RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def layer(signature: str, body: str) -> Graph:
    return graph(f"layer L() {{\n    forward({signature} {{\n{body}\n    }}\n}}\n")


def loops(of: Graph) -> list[Scan]:
    return [current.attrs for current in topological(of.roots) if isinstance(current.attrs, Scan)]


def steps(function: Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]], states: tuple[Tensor, ...], *sequences: Tensor,
          axis: int = 1, reverse: bool = False) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(last states, yields along the axis) of a loop in torch; what is yielded at no step is not given."""
    order = range(sequences[0].shape[axis])
    found: dict[int, tuple[Tensor, ...]] = {}
    for t in reversed(order) if reverse else order:
        states, found[t] = function(*states, *(x.select(axis, t) for x in sequences))
    return states, tuple(torch.stack(parts, axis) for parts in zip(*(found[t] for t in order), strict=True))


# ------------------------------------------------------------------------------------------------- running sums, lengths
SUM = layer("x[n, t]) -> (y[n, t], last[n])", """
        scan t {
            state s[n] = 0
            s = s + x
            yield y = s
            finally last = s
        }""")


@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_running_sum(length: int) -> None:
    assert_gradients(SUM, lambda x: (x.cumsum(1), x.sum(1)), {"x": normal(3, length)})


@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 1, 3), (0, 4, 3), (2, 4, 3)])
@pytest.mark.parametrize("reverse", [False, True])
def test_linear_recurrence(shape: tuple[int, ...], reverse: bool) -> None:
    """s = a s + x with a that depends on the step, from a start; the yield sees the old state and the new."""
    one = layer("x[n, t, c], a[n, t], start[c]) -> (y[n, t, c], last[n, c])", f"""
        scan t {"reverse" * reverse} {{
            state s[n, c] = start
            old = s
            s = a * s + x
            yield y = s * old
            finally last = 2 * s
        }}""")

    def plain(x: Tensor, a: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        s = start.expand(x.shape[0], x.shape[2])
        if not x.shape[1]:
            return x, 2 * s
        (last,), (y,) = steps(lambda s, x, a: ((new := a[:, None] * s + x,), (new * s,)), (s,), x, a, reverse=reverse)
        return y, 2 * last

    n, t, c = shape
    assert_gradients(one, plain, {"x": normal(n, t, c), "a": normal(n, t), "start": normal(c)})


def test_the_derivative_runs_the_other_way() -> None:
    forward, back = SUM, gradient(SUM)
    assert [loop.reverse for loop in loops(forward)] == [False]
    assert [loop.reverse for loop in loops(run(forward, TRAINING))] == [True], "a sum needs no saved state"
    assert parse(write(back)) == back


# ------------------------------------------------------------------------------------------------- the standard library
@pytest.mark.parametrize("name", CASES)
def test_recurrences_of_the_library(name: str) -> None:
    given = {key: value.detach().numpy() for key, value in zip(CASES[name][1].split(), inputs(name), strict=True)}
    given = {key: value[:, :4] if (value.ndim > 2 and key != "start") or key in ("g", "beta") else value
             for key, value in given.items()}
    assert_gradients(graph(source(name)), getattr(recurrent, name), given)


@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_gated_networks(name: str, gates: int) -> None:
    from archc import api

    cell = {"LSTM": _lstm, "GRU": _gru}[name]

    def plain(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        state: tuple[Tensor, ...] = (x.new_zeros(2, 2),) * (2 if name == "LSTM" else 1)
        ys = []
        for t in range(x.shape[1]):
            state = cell(x[:, t] @ weight_ih.T + bias_ih, weight_hh, bias_hh, *state)
            ys.append(state[0])
        return torch.stack(ys, 1)

    params = {"weight_ih": normal(gates * 2, 3), "weight_hh": normal(gates * 2, 2), "bias_ih": normal(gates * 2),
              "bias_hh": normal(gates * 2)}
    assert_gradients(api.graph("std.recurrent", name), plain, {"x": normal(2, 3, 3), **params}, {"i": 3, "h": 2})


def _lstm(entering: Tensor, w: Tensor, b: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
    i, f, g, o = (entering + hidden @ w.T + b).chunk(4, -1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(cell), cell


def _gru(entering: Tensor, w: Tensor, b: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
    (r, z, n), (hr, hz, hn) = entering.chunk(3, -1), (hidden @ w.T + b).chunk(3, -1)
    z = torch.sigmoid(z + hz)
    return ((1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * hidden,)


# ------------------------------------------------------------------------------------------------- states
def test_several_states() -> None:
    """One that moves only because another does, from the second step on; one that never does; and one that is never read."""
    several = layer("x[n, t], w[]) -> (y[n, t], z[n, t])", """
        scan t {
            state a[n] = 1
            state b[n] = 0
            state c[n] = 1
            state idle[n] = 0
            b = b * w + a * a
            a = sin(a) * x
            c = c * 0.5
            idle = idle + x
            yield y = a * b
            yield z = b * c
        }""")

    def plain(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
        ones = torch.ones_like(x[:, 0])

        def step(a: Tensor, b: Tensor, c: Tensor, x: Tensor) -> Any:
            b = b * w + a * a
            a, c = torch.sin(a) * x, c * 0.5
            return (a, b, c), (a * b, b * c)

        return steps(step, (ones, 0 * ones, ones), x)[1]

    assert_gradients(several, plain, {"x": normal(2, 4), "w": normal()})
    assert [loop.states for loop in loops(several)] == [4]
    assert [loop.states for loop in loops(run(several, INFERENCE))] == [3]


def test_states_of_other_types() -> None:
    """A counter and a flag beside a float: they choose and index, and have no derivative themselves."""
    mixed = parse("""graph f(x: float[n, t], table: float[v], token: int[t])
      loop $0 along t states 3 sequences 2 step {
        graph step(s: float[n], count: int, seen: bool[n], x: float[n], token: int, table: float[v], step: int)
          axis v = v
          %big = gt %x, 0.0 : bool[n]
          %now = or %seen, %big : bool[n]
          %more = add %count, %token : int
          %size = size v : int
          %place = mod %more, %size : int
          %w = read %table[v = %place trust] : float
          %p = mul %s, %w : float[n]
          %q = add %p, %x : float[n]
          %r = where %now, %q, %s : float[n]
          %f = to_float %step : float
          %y = mul %r, %f : float[n]
          return s[n] = %r
          return count[] = %more
          return seen[n] = %now
          return y[n] = %y
      }
      %z = expand[n] 0.5 : float[n]
      %no = expand[n] false : bool[n]
      %l = scan $0 %z, 0, %no, %x, %token, %table : float
      %last = item 0 %l : float[n]
      %count = item 1 %l : int
      %y = item 3 %l : float[n, t]
      return y[n, t] = %y
      return last[n] = %last
      return count[] = %count
    """)

    def plain(x: Tensor, table: Tensor, token: Tensor) -> tuple[Tensor, ...]:
        s, seen, ys, count = torch.full((x.shape[0],), 0.5, dtype=x.dtype), torch.zeros(x.shape[0], dtype=torch.bool), [], 0
        for t in range(x.shape[1]):
            seen = seen | (x[:, t] > 0)
            count += int(token[t])
            s = torch.where(seen, s * table[count % len(table)] + x[:, t], s)
            ys.append(s * t)
        return torch.stack(ys, 1), s, torch.tensor(count)

    assert_gradients(mixed, plain, {"x": normal(3, 5), "table": normal(3), "token": np.array([1, 2, 0, 4, 1])})


def test_a_complex_state() -> None:
    """A diagonal recurrence with decay and rotation, as linear recurrent units have it."""
    rotating = layer("x[n, t], nu[c], theta[c], b[c]) -> (y[n, t])", """
        a = exp(complex(-exp(nu), theta))
        scan t {
            state h[n, c] = complex(0, 0)
            h = a * h + b * x
            yield y = sum[c](real(h) * real(h) + imag(h) * real(b * h))
        }""")

    def plain(x: Tensor, nu: Tensor, theta: Tensor, b: Tensor) -> Tensor:
        a = torch.exp(torch.complex(-torch.exp(nu), theta))
        h, ys = torch.zeros(x.shape[0], b.shape[0], dtype=a.dtype), []
        for t in range(x.shape[1]):
            h = a * h + b * x[:, t, None]
            ys.append((h.real * h.real + h.imag * (b * h).real).sum(1))
        return torch.stack(ys, 1)

    assert_gradients(rotating, plain, {"x": normal(2, 3), "nu": normal(2), "theta": normal(2), "b": normal(2)})


def test_an_unused_yield() -> None:
    unused = layer("x[n, t]) -> [n]", """
        scan t {
            state s[n] = 1
            s = s * sin(x)
            yield y = exp(s)
            finally last = s
        }
        return last""")
    assert_gradients(unused, lambda x: torch.sin(x).prod(1), {"x": normal(2, 4)})


# ------------------------------------------------------------------------------------------------- nested loops, reads
def test_a_loop_in_a_loop() -> None:
    """The inner loop has constants, sequences and a start that move, and its own length."""
    nested = layer("x[n, t, j], w[j], a[n]) -> (y[n, t], last[n])", """
        scan t {
            state s[n] = a
            for j { s = tanh(s * w + x) * a }
            yield y = s * s
            finally last = s
        }""")

    def plain(x: Tensor, w: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        s, ys = a, []
        for t in range(x.shape[1]):
            for j in range(x.shape[2]):
                s = torch.tanh(s * w[j] + x[:, t, j]) * a
            ys.append(s * s)
        return torch.stack(ys, 1), s

    assert_gradients(nested, plain, {"x": normal(2, 3, 2), "w": normal(2), "a": normal(2)})


@pytest.mark.parametrize("reverse", [False, True])
def test_reads_of_outside_values(reverse: bool) -> None:
    """At the next step, at a place of the step, and of all steps at once."""
    reads = layer("x[n, t], table[u, c], w[c]) -> (y[n, t])", f"""
        scan t {"reverse" * reverse} {{
            state s[n] = 0
            s = tanh(s + x * x[t = t + 1 else 0] + sum[c](table[u = (t * t) % |u|] * w))
            yield y = s * x[t = 0]
        }}""")

    def plain(x: Tensor, table: Tensor, w: Tensor) -> Tensor:
        s, ys, length = torch.zeros_like(x[:, 0]), {}, x.shape[1]
        for t in reversed(range(length)) if reverse else range(length):
            ahead = x[:, t + 1] if t + 1 < length else 0 * s
            s = torch.tanh(s + x[:, t] * ahead + table[t * t % len(table)] @ w)
            ys[t] = s * x[:, 0]
        return torch.stack([ys[t] for t in range(length)], 1)

    assert_gradients(reads, plain, {"x": normal(2, 5), "table": normal(3, 2), "w": normal(2)})


def test_a_constant_with_the_axis_of_the_loop() -> None:
    """What every step reads whole is summed under another name, in a loop in a loop over the same axis too."""
    whole = parse("""graph f(x: float[n, t], w: float[t])
      loop $0 along t states 1 sequences 1 {
        graph step(s: float[n], x: float[n], w: float[t], all: float[n, t])
          loop $1 along t reverse states 1 sequences 1 {
            graph step(r: float[n], w: float, s: float[n], all: float[n, t])
              %i = iota t : int[t]
              %f = to_float %i : float[t]
              %a = mul %all, %f : float[n, t]
              %b = sum[t] %a : float[n]
              %c = mul %r, %w : float[n]
              %d = add %c, %b : float[n]
              %e = mul %d, %s : float[n]
              %g = tanh %e : float[n]
              return r[n] = %g
          }
          %l = scan $1 %s, %w, %s, %all : float
          %r = item 0 %l : float[n]
          %p = mul %r, %x : float[n]
          %m = mean[t] %w : float
          %q = add %p, %m : float[n]
          return s[n] = %q
          return y[n] = %p
      }
      %z = expand[n] 0.3 : float[n]
      %l = scan $0 %z, %x, %w, %x : float
      %y = item 1 %l : float[n, t]
      return y[n, t] = %y
    """)

    def plain(x: Tensor, w: Tensor) -> Tensor:
        index = torch.arange(x.shape[1], dtype=x.dtype)
        s, ys = torch.full((x.shape[0],), 0.3, dtype=x.dtype), []
        for t in range(x.shape[1]):
            r = s
            for u in reversed(range(x.shape[1])):
                r = torch.tanh((r * w[u] + (x * index).sum(1)) * s)
            ys.append(r * x[:, t])
            s = ys[-1] + w.mean()
        return torch.stack(ys, 1)

    assert_gradients(whole, plain, {"x": 0.5 * normal(2, 4), "w": normal(4)})


def test_an_own_derivative_in_a_loop() -> None:
    """Both ways: forwards it is the transpose of its author's vjp, in the loop too, and there of a loop."""
    own = graph("""
        fn total(x[n, k]) -> [n] {
            scan k {
                state s[n] = 0
                s = s + x
                finally all = s
            }
            return all
        }
        fn spread(dy[n], k: axis) -> (dx[n, k]) {
            scan k {
                state s[n] = dy
                yield dx = s
            }
        }
        fn own(x[n, k]) -> [n] grad(dy) { x: spread(dy, k) } { return total(x) }
        layer L() {
            forward(x[n, t, k], w[k]) -> [n, t] {
                scan t {
                    state s[n] = 1
                    s = tanh(own(s * x * w))
                    yield y = s
                }
                return y
            }
        }""")

    def plain(x: Tensor, w: Tensor) -> Tensor:
        s, ys = torch.ones_like(x[:, 0, 0]), []
        for t in range(x.shape[1]):
            s = torch.tanh((s[:, None] * x[:, t] * w).sum(1))
            ys.append(s)
        return torch.stack(ys, 1)

    given = {"x": normal(2, 3, 2), "w": normal(2)}
    assert_gradients(own, plain, given)
    check_gradient(own, given, RNG, order=2)


# ------------------------------------------------------------------------------------------------- draws, conditions
def draws(of: Graph) -> list[Random]:
    bodies = [of, *(loop.body for loop in loops(of))]
    return [current.attrs for body in bodies for current in topological(body.roots) if isinstance(current.attrs, Random)]


def test_dropout_repeats_its_draws() -> None:
    """Each step draws anew, and its derivative meets the same draw."""
    dropping = layer("x[n, t], start[n]) -> (y[n, t])", """
        scan t {
            state s[n] = start
            s = dropout(tanh(s * x), 0.5) + x
            yield y = s * s
        }""")
    (draw,) = draws(dropping)

    def plain(x: Tensor, start: Tensor) -> Tensor:
        s, ys = start, []
        for t in range(x.shape[1]):
            kept = np.random.default_rng([5, draw.serial, t]).random(x.shape[0]) < 0.5
            s = torch.tanh(s * x[:, t]) * torch.tensor(kept) * 2 + x[:, t]
            ys.append(s * s)
        return torch.stack(ys, 1)

    assert_gradients(dropping, plain, {"x": normal(6, 5), "start": normal(6)}, seed=5)


def test_draws_move_with_their_parameters() -> None:
    """Noise of a width that a state has, in a loop in a loop."""
    check_gradient(parse("""graph f(x: float[n, t], w: float[j])
      loop $0 along t states 1 sequences 1 {
        graph step(s: float[n], x: float[n], w: float[j])
          loop $1 along j states 1 sequences 1 {
            graph step(r: float[n], w: float, x: float[n])
              %z = random normal[n] #3 %r, %w : float[n]
              %y = mul %z, %x : float[n]
              %u = tanh %y : float[n]
              return r[n] = %u
          }
          %l = scan $1 %s, %w, %x : float
          %r = item 0 %l : float[n]
          return s[n] = %r
          return y[n] = %r
      }
      %z = expand[n] 0.3 : float[n]
      %l = scan $0 %z, %x, %w : float
      %y = item 1 %l : float[n, t]
      return y[n, t] = %y
    """), {"x": normal(2, 3), "w": normal(2)}, RNG, order=2)


def gradients(of: Graph, **inputs: Any) -> dict[str, np.ndarray]:
    """For cotangents of one, raw and simplified, which are equal."""
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    given = {**arrays, **{f"d_{k}": np.ones_like(v) for k, v in evaluate(of, arrays).outputs.items()}}
    found, simple = (dict(evaluate(back, given).outputs) for back in (gradient(of), run(of, TRAINING)))
    for name, value in found.items():
        np.testing.assert_allclose(simple[name], value, rtol=1e-12, err_msg=name)
    return found


def test_where_never_multiplies_a_nan_by_zero() -> None:
    """A state that is nan from some step on, where it is not looked at any more; and a start and a sequence that are."""
    padded = layer("x[n, t], keep[t]: bool, start[n]) -> (y[n, t])", """
        scan t {
            state s[n] = start
            s = log(s) * x
            yield y = where(keep, s, 0)
        }""")
    found = gradients(padded, x=[[1.0, 2.0, -1.0, np.nan]], keep=[True, True, False, False], start=[3.0])
    s = np.log(3.0)
    np.testing.assert_allclose(found["d_start"], [(1 + 2 / s) / 3])
    np.testing.assert_allclose(found["d_x"], [[s + 2 / s * s, np.log(s), 0, 0]])


OUTSIDE = """
        scan t {
            state s[n] = start
            s = log(s) + log(x) + log(c)
            yield y = s
            finally last = s
        }
        p = where(keep, y, 0)
        q = where(keep, last, 0)"""
INSIDE = """
        a = log(x)
        b = log(start)
        w = log(c)
        scan t {
            state s[n] = where(keep, b, 0)
            s = s + where(keep, a * w, 0)
            yield p = s
            finally q = s
        }"""


@pytest.mark.parametrize("body", [OUTSIDE, INSIDE])
def test_conditions_are_taken_along(body: str) -> None:
    """The condition stands outside of the loop and the nan is made in it, or the other way round; it holds for what comes of
    yields and last states, and for what goes to starts, elements and constants."""
    of = layer("x[n, t], c[n], start[n], keep[n]: bool) -> (p[n, t], q[n])", body)
    found = gradients(of, x=[[20.0, 30.0], [0.0, -1.0]], c=[5.0, 0.0], start=[1.5, -1.0], keep=[True, False])
    for name, value in found.items():
        assert np.isfinite(value).all() and not value[1].any() and value[0].all(), name


def test_no_condition_where_nothing_is_chosen() -> None:
    of = graph(source("gated_delta_net"))
    types = {port.type.dtype for loop in loops(run(of, SECOND_ORDER)) for port in loop.body.inputs}
    assert types == {"float"}
