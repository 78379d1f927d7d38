"""The evaluator against plain numpy, and the language's promises about values."""

from __future__ import annotations

import numpy as np
import pytest

from archc.ir.evaluate import evaluate
from archc.ir.text import parse

RNG = np.random.default_rng(7)


def run(text: str, numbers: dict | None = None, **inputs: object) -> np.ndarray:
    result = evaluate(parse(text), inputs, numbers)
    return next(iter(result.outputs.values()))


def test_broadcast_is_by_name() -> None:
    x, y = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    text = """graph f(x: float[a, b], y: float[b, c])
      %0 = add %x, %y : float[a, b, c]
      return r[c, a, b] = %0"""
    np.testing.assert_array_equal(run(text, x=x, y=y), (x[:, :, None] + y).transpose(2, 0, 1))


def test_contraction() -> None:
    x, w = RNG.normal(size=(3, 4)), RNG.normal(size=(5, 4))
    text = """graph f(x: float[n, i], w: float[o, i])
      %0 = mul %x, %w : float[n, o, i]
      %1 = sum[i] %0 : float[n, o]
      return r[n, o] = %1"""
    np.testing.assert_allclose(run(text, x=x, w=w), x @ w.T, rtol=1e-14)


@pytest.mark.parametrize(("border", "mode"), [("edge", "edge"), ("reflect", "reflect"), ("wrap", "wrap"), ("fill", "constant")])
def test_borders_are_those_of_pad(border: str, mode: str) -> None:
    x = RNG.normal(size=(2, 6))
    fill = " else 0.0" if border == "fill" else ""
    text = f"""graph f(x: float[n, t])
      axis u = t + 6
      %0 = iota u : int[u]
      %1 = sub %0, 3 : int[u]
      %2 = read %x[t = %1 {border}]{fill} : float[n, u]
      return r[n, u] = %2"""
    np.testing.assert_array_equal(run(text, x=x), np.pad(x, ((0, 0), (3, 3)), mode=mode))


def test_an_index_may_use_an_axis_that_it_replaces() -> None:
    x = np.arange(5.0)
    text = """graph f(x: float[t])
      %0 = iota t : int[t]
      %1 = sub %0, 1 : int[t]
      %2 = read %x[t = %1 fill] else -inf : float[t]
      return r[t] = %2"""
    np.testing.assert_array_equal(run(text, x=x), [-np.inf, 0, 1, 2, 3])


def test_gather_and_its_transpose() -> None:
    table, token = RNG.normal(size=(4, 3)), np.array([2, 0, 2, 3, 3])
    gather = """graph f(table: float[v, d], token: int[n])
      %0 = read %table[v = %token check] : float[n, d]
      return r[n, d] = %0"""
    np.testing.assert_array_equal(run(gather, table=table, token=token), table[token])
    scatter = """graph f(g: float[n, d], token: int[n], table: float[v, d])
      %0 = accumulate %g[v = %token check] keep [d] : float[v, d]
      return r[v, d] = %0"""
    g = RNG.normal(size=(5, 3))
    expected = np.zeros((4, 3))
    np.add.at(expected, token, g)
    np.testing.assert_allclose(run(scatter, g=g, token=token, table=table), expected, rtol=1e-14)


def test_a_checked_read_outside_says_where() -> None:
    text = """graph f(table: float[v, d], token: int[n])
      file "embed.arch"
      %0 = read %table[v = %token check] : float[n, d] @3:14
      return r[n, d] = %0"""
    with pytest.raises(IndexError, match=r"index 4 is outside axis v, which has 4 elements at embed.arch:3:14"):
        run(text, table=np.ones((4, 2)), token=np.array([0, 4]))
    with pytest.raises(IndexError, match="index -1 is outside"):
        run(text, table=np.ones((4, 2)), token=np.array([-1]))


def test_accumulate_is_the_transpose_of_read_for_every_border() -> None:
    for border in ("edge", "reflect", "wrap", "fill"):
        head = """
          axis u = 2*t + 1
          %0 = iota u : int[u]
          %1 = mul %0, 2 : int[u]
          %2 = sub %1, 3 : int[u]"""
        fill = " else 0.0" if border == "fill" else ""
        read = f"""graph f(x: float[n, t]){head}
          %3 = read %x[t = %2 {border}]{fill} : float[n, u]
          return r[n, u] = %3"""
        back = f"""graph f(g: float[n, (u)], x: float[n, t]){head}
          %3 = accumulate %g[t = %2 {border}] keep [n] : float[n, t]
          return r[n, t] = %3"""
        x, g = RNG.normal(size=(2, 4)), RNG.normal(size=(2, 9))
        forward, backward = run(read, x=x), run(back, g=g, x=x)
        np.testing.assert_allclose((forward * g).sum(), (x * backward).sum(), rtol=1e-12, err_msg=border)


def test_accumulate_repeats_along_an_axis_that_the_value_lacks() -> None:
    text = """graph f(v: float[n], x: float[t, d])
      %0 = iota t : int[t]
      %1 = accumulate %v[t = 1 edge] keep [d] : float[t, d]
      return r[t, d] = %1"""
    np.testing.assert_array_equal(run(text, v=np.array([1.0, 2.0]), x=np.ones((3, 2))), [[0, 0], [3, 3], [0, 0]])


def test_splits_are_the_outer_part_first() -> None:
    x = np.arange(12.0).reshape(2, 6)
    text = """graph f(x: float[n, (g k)])
      numbers groups
      axis g = groups
      define k = channels // groups of channels by groups
      %0 = sum[k] %x : float[n, g]
      return r[g, n] = %0"""
    np.testing.assert_array_equal(run(text, {"groups": 2}, x=x), x.reshape(2, 2, 3).sum(2).T)
    with pytest.raises(ValueError, match=r"x has 7 in dimension 1 \(channels\), which 2 groups do not divide"):
        run(text, {"groups": 2}, x=np.ones((2, 7)))


def test_leading_dimensions_broadcast_together() -> None:
    text = """graph f(x: float[..., i], y: float[..., i])
      %0 = mul %x, %y : float[..., i]
      %1 = sum[i] %0 : float[...]
      return r[...] = %1"""
    x, y = RNG.normal(size=(5, 1, 4)), RNG.normal(size=(2, 4))
    np.testing.assert_allclose(run(text, x=x, y=y), (x * y).sum(-1), rtol=1e-14)
    np.testing.assert_allclose(run(text, x=x[0, 0], y=y[0]), (x[0, 0] * y[0]).sum(), rtol=1e-14)
    with pytest.raises(ValueError, match=r"leading dimensions of x and y do not broadcast together: \(3,\), \(2,\)"):
        run(text, x=np.ones((3, 4)), y=np.ones((2, 4)))


def softmax(x: np.ndarray) -> np.ndarray:
    return run("""graph f(x: float[t, s])
      %0 = softmax[s] %x : float[t, s]
      return r[t, s] = %0""", x=x)


def test_a_masked_row_of_softmax_is_zero() -> None:
    x = np.array([[-np.inf, -np.inf], [0.0, -np.inf], [1e300, 1e300]])
    np.testing.assert_array_equal(softmax(x), [[0, 0], [1, 0], [0.5, 0.5]])


def test_variance_takes_two_passes() -> None:
    x = 1e8 + np.array([[1.0, 2.0, 3.0]])
    text = """graph f(x: float[n, c])
      %0 = var[c] %x : float[n]
      return r[n] = %0"""
    np.testing.assert_allclose(run(text, x=x), [2 / 3], rtol=1e-12)
    result = evaluate(parse(text), {"x": x - 1e8 + 4096}, dtype="float32")
    np.testing.assert_allclose(result.outputs["r"], [2 / 3], rtol=1e-6)
    assert result.outputs["r"].dtype == np.float32


@pytest.mark.parametrize(("op", "expected"), [("sum", 0), ("prod", 1), ("mean", np.nan), ("var", np.nan), ("logsumexp", -np.inf)])
def test_reductions_over_nothing(op: str, expected: float) -> None:
    text = f"""graph f(x: float[n, c])
      %0 = {op}[c] %x : float[n]
      return r[n] = %0"""
    np.testing.assert_array_equal(run(text, x=np.zeros((2, 0))), [expected] * 2)


def test_choosing_from_nothing_is_an_error_unless_nobody_asks() -> None:
    text = """graph f(x: float[n, c])
      %0 = max[c] %x : float[n]
      return r[n] = %0"""
    with pytest.raises(ValueError, match="max over c has nothing to choose from"):
        run(text, x=np.zeros((2, 0)))
    assert run(text, x=np.zeros((0, 0))).shape == (0,)
    assert softmax(np.zeros((2, 0))).shape == (2, 0)


def test_where_never_lets_the_other_branch_through() -> None:
    text = """graph f(x: float[n])
      %0 = gt %x, 0.0 : bool[n]
      %1 = log %x : float[n]
      %2 = where %0, %1, 0.0 : float[n]
      return r[n] = %2"""
    np.testing.assert_array_equal(run(text, x=np.array([-1.0, 1.0])), [0, 0])


def test_updates_and_penalties() -> None:
    graph = parse("""graph f(x: float[n, c], buffer m: float[c], number momentum: float)
      %0 = mean[n] %x : float[c]
      %1 = sub %0, %m : float[c]
      %2 = mul %1, %momentum : float[c]
      %3 = add %m, %2 : float[c]
      %4 = mean[c] %3 : float
      return r[n, c] = %x
      update m = %3
      penalty p[] = %4""")
    x, m = RNG.normal(size=(4, 3)), RNG.normal(size=3)
    result = evaluate(graph, {"x": x, "m": m}, {"momentum": 0.1})
    np.testing.assert_allclose(result.updates["m"], m + 0.1 * (x.mean(0) - m), rtol=1e-13)
    np.testing.assert_allclose(result.penalties["p"], result.updates["m"].mean(), rtol=1e-13)


def test_an_output_may_have_axes_that_its_value_lacks() -> None:
    text = """graph f(x: float[n, c])
      %0 = sum[c] %x : float[n]
      return r[c, n] = %0"""
    np.testing.assert_array_equal(run(text, x=np.ones((2, 3))), np.full((3, 2), 3.0))


def test_candidates_in_a_batch_are_evaluated_apart() -> None:
    graph = parse("""graph f(x: float[n, c], param w: float[c], number eps: float, table: float[v, c], token: int[n])
      %0 = mul %x, %w : float[n, c]
      %1 = softmax[c] %0 : float[n, c]
      %2 = read %table[v = %token wrap] : float[n, c]
      %3 = add %1, %2 : float[n, c]
      %4 = add %3, %eps : float[n, c]
      %5 = accumulate %4[v = %token wrap] keep [c] : float[v, c]
      return r[n, c] = %4
      return s[v, c] = %5""")
    x, w, eps = RNG.normal(size=(2, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=5)
    table, token = RNG.normal(size=(5, 4, 3)), RNG.integers(0, 9, (5, 2))
    together = evaluate(graph, {"x": x, "w": w, "eps": eps, "table": table, "token": token}, batch=5)
    for i in range(5):
        alone = evaluate(graph, {"x": x, "w": w[i], "eps": eps[i], "table": table[i], "token": token[i]})
        np.testing.assert_allclose(together.outputs["r"][i], alone.outputs["r"], rtol=1e-14)
        np.testing.assert_allclose(together.outputs["s"][i], alone.outputs["s"], rtol=1e-14)


@pytest.mark.parametrize(("text", "mean", "std"), [
    ("uniform[n, c] #0 -1.0, 3.0", 1.0, 4 / 12**0.5), ("normal[n, c] #0 2.0, 0.5", 2.0, 0.5),
    ("bernoulli[n, c] #0 0.3", 0.3, (0.3 * 0.7) ** 0.5), ("trunc_normal[n, c] #0 0.0, 1.0, -2.0, 2.0", 0.0, 0.8796),
    ("sparse[n, c] #0 0.5, 1.0", 0.0, 0.5**0.5), ("orthogonal[n, c] #0 1.0", 0.0, 1 / 200**0.5)])
def test_draws(text: str, mean: float, std: float) -> None:
    graph = parse(f"""graph f(x: float[n, c])
      %0 = random {text} : float[n, c]
      return r[c, n] = %0""")
    x = {"x": np.ones((200, 50))}
    drawn = evaluate(graph, x).outputs["r"]
    assert abs(drawn.mean() - mean) < 0.05
    assert abs(drawn.std() - std) < 0.05
    np.testing.assert_array_equal(drawn, evaluate(graph, x).outputs["r"])
    assert (drawn != evaluate(graph, x, seed=1).outputs["r"]).any()


def test_rows_of_an_orthogonal_draw_are_orthonormal() -> None:
    graph = parse("""graph f(x: float[n, c])
      %0 = random orthogonal[n, c] #0 2.0 : float[n, c]
      return r[n, c] = %0""")
    drawn = evaluate(graph, {"x": np.ones((3, 5))}).outputs["r"]
    np.testing.assert_allclose(drawn @ drawn.T, 4 * np.eye(3), atol=1e-12)


def test_a_call_is_its_body() -> None:
    graph = parse("""graph f(x: float[n])
      fn $0 wrt a surrogate {
        graph sign(a: float[n])
          %0 = sign %a : float[n]
          return y[n] = %0
        graph sign_grad(a: float[n], dy: float[n])
          return da[n] = %dy
      }
      %0 = call $0 %x : float
      %1 = item 0 %0 : float[n]
      return r[n] = %1""")
    np.testing.assert_array_equal(evaluate(graph, {"x": np.array([-2.0, 3.0])}).outputs["r"], [-1, 1])


def test_what_is_given_must_fit() -> None:
    graph = parse("""graph f(x: float[n, c], gamma: float[c], token: int[n])
      %0 = mul %x, %gamma : float[n, c]
      return r[n, c] = %0""")
    good = {"x": np.ones((2, 3)), "gamma": np.ones(3), "token": np.ones(2, int)}
    evaluate(graph, good)
    for change, sentence in (({"x": np.ones(3)}, r"x needs 2 dimensions, \[n, c\], and has 1"),
                             ({"gamma": np.ones(4)}, r"gamma has 4 in dimension 0 \(c\), where c is 3"),
                             ({"token": np.ones(2)}, "token is int, not float64")):
        with pytest.raises(ValueError, match=sentence):
            evaluate(graph, {**good, **change})
    with pytest.raises(ValueError, match="gamma is not given"):
        evaluate(graph, {"x": np.ones((2, 3))})
