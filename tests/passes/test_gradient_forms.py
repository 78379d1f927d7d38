"""The derivative of every structural form, at the places where it is easily got wrong."""

from __future__ import annotations

import numpy as np
import pytest

from archc.diagnostics.model import UserError
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph, topological
from archc.ir.text import parse
from archc.ir.verify import verify
from archc.passes.gradient import gradient, jvp
from archc.passes.simplify import simplify
from tests.passes.oracle import check_gradient, draw

RNG = np.random.default_rng(5)
SIZES = {"n": 3, "h": 5, "c": 2, "k": 3, "groups": 2, "channels": 6}


def checked(text: str, order: int = 2, **given: object) -> Graph:
    graph = parse(text)
    verify(graph)
    inputs = {**draw(graph, RNG, sizes=SIZES), **given}
    back = check_gradient(graph, inputs, RNG, order=order)
    verify(back)
    return back


def derivative(text: str, **inputs: object) -> dict[str, np.ndarray]:
    """The gradient for given inputs and cotangents of one, before and after simplification."""
    back = gradient(parse(text))
    shapes = evaluate(parse(text), {k: np.asarray(v) for k, v in inputs.items()}).outputs
    given = {**{k: np.asarray(v) for k, v in inputs.items()}, **{f"d_{k}": np.ones_like(v) for k, v in shapes.items()}}
    found, simple = dict(evaluate(back, given).outputs), evaluate(simplify(back), given).outputs
    for name in found:
        np.testing.assert_allclose(simple[name], found[name], rtol=1e-12)
    return found


# ------------------------------------------------------------------------------------------------- read and accumulate
@pytest.mark.parametrize("border", ["edge", "reflect", "wrap", "fill"])
@pytest.mark.parametrize("index", ["mul %i, 2", "sub %i, 2", "add %i, 3", "floordiv %i, 2", "sub 4, %i"])
def test_read_with_every_border(border: str, index: str) -> None:
    fill = " else 0.5" if border == "fill" else ""
    back = checked(f"""graph f(x: float[n, h])
      %i = iota h : int[h]
      %j = {index} : int[h]
      %y = read %x[h = %j {border}]{fill} : float[n, h]
      %z = mul %y, %y : float[n, h]
      return y[n, h] = %z
    """)
    assert any(node.op == "accumulate" for node in topological(back.roots))


def test_read_filled_with_an_input() -> None:
    checked("""graph f(x: float[h], pad: float)
      %i = iota h : int[h]
      %j = sub %i, 2 : int[h]
      %y = read %x[h = %j fill] else %pad : float[h]
      %z = mul %y, %y : float[h]
      return y[h] = %z
    """)


def test_read_of_what_is_the_same_along_the_axis() -> None:
    checked("""graph f(s: float[n])
      %x = expand[h] %s : float[n, h]
      %i = iota h : int[h]
      %j = sub %i, 1 : int[h]
      %y = read %x[h = %j fill] else 1.0 : float[n, h]
      %z = mul %y, %y : float[n, h]
      return y[n, h] = %z
    """.replace("graph f(s: float[n])", "graph f(s: float[n], w: float[h])"))


def test_gather_and_window() -> None:
    checked("""graph f(table: float[n, c], token: int[h], x: float[h])
      axis p = 2
      %e = read %table[n = %token check] : float[h, c]
      %i = iota h : int[h]
      %o = iota p : int[p]
      %j = add %i, %o : int[h, p]
      %w = read %x[h = %j fill] else 0.0 : float[h, p]
      %y = mul %e, %w : float[h, c, p]
      return y[h, c, p] = %y
    """, token=np.array([0, 2, 1, 2, 2]))


def test_a_diagonal() -> None:
    """x[n = k] where x has k too."""
    checked("""graph f(x: float[n, k])
      %i = iota k : int[k]
      %y = read %x[n = %i check] : float[k]
      %z = mul %y, %y : float[k]
      return y[k] = %z
    """)


@pytest.mark.parametrize("border", ["edge", "reflect", "wrap", "fill"])
def test_accumulate(border: str) -> None:
    checked(f"""graph f(v: float[n, h])
      axis b = 3
      %i = iota h : int[h]
      %j = sub %i, 1 : int[h]
      %a = accumulate %v[b = %j {border}] keep [n] : float[n, b]
      %z = mul %a, %a : float[n, b]
      return y[n, b] = %z
    """)


def test_accumulate_of_what_lacks_axes() -> None:
    checked("""graph f(v: float[n], w: float[h, c])
      axis b = 5
      %i = iota h : int[h]
      %a = accumulate %v[b = %i trust] keep [c] : float[b, c]
      %z = mul %a, %a : float[b, c]
      %s = mul %z, %w : float[b, c, h]
      return y[b, c, h] = %s
    """)


def test_a_renaming_is_renamed_back() -> None:
    back = checked("""graph f(x: float[n, h])
      axis s = h
      %i = iota s : int[s]
      %e = exp %x : float[n, h]
      %y = read %e[h = %i trust] : float[n, s]
      %z = mul %y, %x : float[n, s, h]
      return y[n, s, h] = %z
    """)
    assert not any(node.op == "accumulate" for node in topological(back.roots))


# ------------------------------------------------------------------------------------------------- where
def test_where_never_multiplies_a_nan_by_zero() -> None:
    found = derivative("""graph f(x: float[n])
      %c = gt %x, 0.0 : bool[n]
      %l = log %x : float[n]
      %q = div %l, %x : float[n]
      %y = where %c, %q, 0.0 : float[n]
      return y[n] = %y
    """, x=[0.0, 1.0, -1.0])
    np.testing.assert_allclose(found["d_x"], [0.0, 1.0, 0.0])


def test_where_guards_what_is_summed() -> None:
    """A nan in a row that is not chosen does not reach the derivative of what all rows share."""
    found = derivative("""graph f(x: float[n, c], w: float[c], keep: bool[n])
      %p = mul %x, %w : float[n, c]
      %s = sum[c] %p : float[n]
      %y = where %keep, %s, 0.0 : float[n]
      return y[n] = %y
    """, x=[[1.0, 2.0], [np.nan, np.inf]], w=[3.0, 4.0], keep=[True, False])
    np.testing.assert_allclose(found["d_w"], [1.0, 2.0])
    np.testing.assert_allclose(found["d_x"], [[3.0, 4.0], [0.0, 0.0]])


def test_where_guards_what_is_never_chosen() -> None:
    found = derivative("""graph f(x: float[n], v: float, c: bool[n])
      %q = div %x, %v : float[n]
      %y = where %c, %q, 0.0 : float[n]
      return y[n] = %y
    """, x=[1.0, 2.0], v=0.0, c=[False, False])
    assert found["d_v"] == 0 and not found["d_x"].any()


def test_the_opposite_choices_of_one_condition() -> None:
    back = gradient(parse("""graph f(x: float[n])
      %c = gt %x, 0.0 : bool[n]
      %e = expm1 %x : float[n]
      %y = where %c, %x, %e : float[n]
      return y[n] = %y
    """))
    assert sum(node.op == "where" for node in topological(back.roots)) == 1


def test_causal_attention_keeps_its_products() -> None:
    """The mask of the scores guards no operand of the products: position s is seen from some t, which is proved."""
    back = simplify(gradient(parse("""graph f(q: float[t, d], k: float[t, d])
      axis s = t
      %s = iota s : int[s]
      %t = iota t : int[t]
      %e = exp %k : float[t, d]
      %l = log %e : float[t, d]
      %key = read %l[t = %s trust] : float[s, d]
      %m = le %s, %t : bool[t, s]
      %p = mul %q, %key : float[t, s, d]
      %r = sum[d] %p : float[t, s]
      %w = where %m, %r, -inf : float[t, s]
      %y = softmax[s] %w : float[t, s]
      return y[t, s] = %y
    """)))
    assert sum(node.op == "where" for node in topological(back.roots)) == 2, "the scores, and their cotangent"


# ------------------------------------------------------------------------------------------------- reductions
def test_a_row_that_is_masked_out_has_no_gradient() -> None:
    found = derivative("""graph f(x: float[n, c], keep: bool[n, c])
      %m = where %keep, %x, -inf : float[n, c]
      %y = softmax[c] %m : float[n, c]
      %z = mul %y, %x : float[n, c]
      return y[n, c] = %z
    """, x=[[1.0, 2.0], [3.0, 4.0]], keep=[[True, True], [False, False]])
    assert np.isfinite(found["d_x"]).all() and not found["d_x"][1].any()


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_prod_is_exact_at_zeros_for_three_orders(zeros: int) -> None:
    x = np.array([0.0] * zeros + [1.5, -2.0, 0.5, 3.0][zeros:])
    checked("""graph f(x: float[h])
      %y = prod[h] %x : float
      return y[] = %y
    """, order=3, x=x)


def test_prod_over_two_axes() -> None:
    checked("""graph f(x: float[n, h, c])
      %y = prod[n, c] %x : float[h]
      return y[h] = %y
    """)


@pytest.mark.parametrize("op", ["max", "min"])
def test_equal_largest_share(op: str) -> None:
    found = derivative(f"""graph f(x: float[n])
      %y = {op}[n] %x : float
      return y[] = %y
    """, x=[2.0, 2.0, 2.0])
    np.testing.assert_allclose(found["d_x"], [1 / 3] * 3)


def test_equal_operands_share() -> None:
    found = derivative("""graph f(x: float, y: float)
      %m = maximum %x, %y : float
      return m[] = %m
    """, x=1.0, y=1.0)
    assert found["d_x"] == found["d_y"] == 0.5


def test_std_of_equal_numbers() -> None:
    found = derivative("""graph f(x: float[n])
      %y = std[n] %x : float
      return y[] = %y
    """, x=[2.0, 2.0])
    np.testing.assert_array_equal(found["d_x"], [0.0, 0.0])


# ------------------------------------------------------------------------------------------------- what has no derivative
def test_whole_values_and_detach_carry_nothing() -> None:
    found = derivative("""graph f(x: float[n], i: int[n])
      %f = to_float %i : float[n]
      %r = to_int %x : int[n]
      %g = to_float %r : float[n]
      %d = detach %x : float[n]
      %p = mul %d, %x : float[n]
      %a = mul %f, %g : float[n]
      %y = add %p, %a : float[n]
      return y[n] = %y
    """, x=[1.5, 2.5], i=[3, 4])
    np.testing.assert_allclose(found["d_x"], [1.5, 2.5])


def test_what_an_output_does_not_depend_on() -> None:
    found = derivative("""graph f(x: float[n], z: float[n])
      return y[n] = %x
    """, x=[1.0], z=[1.0])
    assert found["d_z"].shape == (1,) and found["d_z"] == 0


# ------------------------------------------------------------------------------------------------- layouts
def test_a_split_axis_and_an_output_that_is_repeated() -> None:
    back = gradient(parse("""graph f(x: float[n, (g k)], gamma: float[(g k)])
      axis g = groups
      numbers channels, groups
      define k = channels // groups of channels by groups
      %v = mean[k] %x : float[n, g]
      %y = mul %v, %gamma : float[n, g, k]
      return y[n, (g k)] = %y
      return z[n, (g k)] = %v
    """))
    verify(back)
    x, gamma = RNG.normal(size=(2, 6)), RNG.normal(size=6)
    dy, dz = RNG.normal(size=(2, 6)), RNG.normal(size=(2, 6))
    found = evaluate(back, {"x": x, "gamma": gamma, "d_y": dy, "d_z": dz}, {"channels": 6, "groups": 2}).outputs
    mean = np.repeat(x.reshape(2, 2, 3).mean(2), 3, 1)
    np.testing.assert_allclose(found["d_gamma"], (dy * mean).sum(0))
    pulled = (dy * gamma + dz).reshape(2, 2, 3).sum(2) / 3
    np.testing.assert_allclose(found["d_x"], np.repeat(pulled, 3, 1))


def test_leading_dimensions() -> None:
    back = gradient(parse("""graph f(x: float[..., i], w: float[o, i])
      %p = mul %x, %w : float[..., o, i]
      %y = sum[i] %p : float[..., o]
      return y[..., o] = %y
    """))
    verify(back)
    x, w, dy = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(5, 4)), RNG.normal(size=(2, 3, 5))
    found = evaluate(back, {"x": x, "w": w, "d_y": dy}).outputs
    np.testing.assert_allclose(found["d_x"], dy @ w)
    np.testing.assert_allclose(found["d_w"], np.einsum("abo,abi->oi", dy, x))


# ------------------------------------------------------------------------------------------------- draws and calls
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_draws_move_with_their_parameters(kind: str) -> None:
    checked(f"""graph f(a: float[n], b: float)
      %z = random {kind}[n, c] #3 %a, %b : float[n, c]
      %y = mul %z, %z : float[n, c]
      return y[n, c] = %y
    """.replace("b: float)", "b: float, w: float[c])"))


def test_a_draw_that_cannot_move() -> None:
    graph = parse("""graph f(p: float)
      %z = random bernoulli[] #0 %p : float
      return y[] = %z
    """)
    with pytest.raises(UserError) as caught:
        gradient(graph)
    assert caught.value.problems[0].kind.code == "no-derivative"


CALL = """graph f(x: float[n], w: float[n])
  fn $0 wrt a {WRT} {
    graph own(a: float[n], b: float[n])
      %y = mul %a, %b : float[n]
      return y[n] = %y
    graph own_grad(a: float[n], b: float[n], dy: float[n])
      GRAD
      return a[n] = %g
  }
  %e = exp %x : float[n]
  %c = call $0 %e, %w : float
  %y = item 0 %c : float[n]
  return y[n] = %y
"""


def own(grad: str, wrt: str = "stopped b") -> Graph:
    graph = parse(CALL.replace("{WRT}", wrt).replace("GRAD", grad))
    verify(graph)
    return graph


def test_a_call_uses_its_own_derivative() -> None:
    graph = own("%g = mul %dy, 7.0 : float[n]")
    x, w, d = RNG.normal(size=(3, 4))
    found = evaluate(gradient(graph), {"x": x, "w": w, "d_y": d}).outputs
    np.testing.assert_allclose(found["d_x"], 7 * d * np.exp(x))
    assert not found["d_w"].any()
    moved = evaluate(jvp(graph), {"x": x, "w": w, "t_x": d, "t_w": d}).outputs
    np.testing.assert_allclose(moved["t_y"], 7 * d * np.exp(x))
    verify(jvp(graph))


def test_the_derivative_of_a_calls_derivative() -> None:
    graph = own("%s = mul %b, %a : float[n]\n      %g = mul %dy, %s : float[n]")
    x, w, d, u = RNG.normal(size=(4, 4))
    twice = gradient(gradient(graph), ["x", "w", "d_y"])
    verify(twice)
    found = evaluate(twice, {"x": x, "w": w, "d_y": d, "d_d_x": u, "d_d_w": u}).outputs
    np.testing.assert_allclose(found["d_x"], u * d * w * 2 * np.exp(2 * x))
    np.testing.assert_allclose(found["d_w"], u * d * np.exp(2 * x))
    np.testing.assert_allclose(found["d_d_y"], u * w * np.exp(2 * x))


def test_an_input_of_a_call_without_a_derivative() -> None:
    graph = own("%g = mul %dy, 7.0 : float[n]", wrt="")
    gradient(graph, ["x"])
    with pytest.raises(UserError) as caught:
        gradient(graph)
    assert "grad" in str(caught.value.problems[0].facts["why"])


def test_a_derivative_that_is_not_linear_has_no_forward_form() -> None:
    graph = own("%g = tanh %dy : float[n]")
    x, w, d = RNG.normal(size=(3, 4))
    found = evaluate(gradient(graph), {"x": x, "w": w, "d_y": d}).outputs
    np.testing.assert_allclose(found["d_x"], np.tanh(d) * np.exp(x))
    with pytest.raises(UserError):
        jvp(graph)


# ------------------------------------------------------------------------------------------------- names and size
def test_names_that_are_taken() -> None:
    back = gradient(parse("graph f(x: float[n], d_y: float[n])\n  %y = mul %x, %d_y : float[n]\n  return y[n] = %y\n"))
    assert [port.name for port in back.inputs] == ["x", "d_y", "d_y_2"]
    assert [output.name for output in back.outputs] == ["d_x", "d_d_y"]


def test_a_chosen_input() -> None:
    graph = parse("graph f(x: float[n], param w: float[n])\n  %y = mul %x, %w : float[n]\n  return y[n] = %y\n")
    assert [output.name for output in gradient(graph, ["w"]).outputs] == ["d_w"]
    with pytest.raises(KeyError):
        gradient(graph, ["v"])
