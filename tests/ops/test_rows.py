"""Every row of the op table: spelled or defined, its meaning and its derivative true of its values."""

from __future__ import annotations

import numpy as np
import pytest

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.ir.build import apply, reduce
from archc.ir.evaluate import evaluate_nodes
from archc.ir.graph import Node, node
from archc.ir.meaning import derivative, jvp, meaning
from archc.ir.numpy_spelling import ELEMENTWISE, OVER_AXES
from archc.ir.values import Run, Value
from archc.ops.table import OPS

N, K = Axis("i", Size.of(7)), Axis("k", Size.of(5))
DTYPES = {"f": "float", "n": "float", "z": "float", "v": "float", "a": "float", "i": "int", "b": "bool"}
PARTS = ("complex", "real", "imag", "conj", "angle")  # linear over the reals alone: tests/passes/test_gradient_complex.py
ELEMENTWISE_ROWS = [name for name, row in OPS.items() if row.form == "elementwise"]
AXES_ROWS = [name for name, row in OPS.items() if row.form in ("reduce", "normalise")]


def operands(op: str) -> list[Node]:
    return [node("input", (), name, Type(DTYPES[letter], frozenset({N, K}))) for name, letter in zip("xyz", OPS[op].dtypes[:-1],
                                                                                                      strict=False)]


def draw(op: str, seed: int = 0) -> list[np.ndarray]:
    """Random operands from the row's domain, away from its ends and from ties."""
    rng = np.random.default_rng(seed)
    low, high = OPS[op].domain
    made: list[np.ndarray] = []
    for letter in OPS[op].dtypes[:-1]:
        if letter == "b":
            made.append(rng.random((7, 5)) < 0.5)
        elif letter == "i":
            made.append(rng.integers(0, 4, (7, 5)))
        else:
            width = min(high, 4.0) - max(low, -4.0)
            made.append(rng.uniform(max(low, -4.0) + 0.01 * width, min(high, 4.0) - 0.01 * width, (7, 5)))
    return made


def value(root: Node, arguments: dict[Node, np.ndarray]) -> np.ndarray:
    run = Run({}, np.dtype(float), order={N: 0, K: 1})
    run.values = {hole: Value(array, tuple(axis for axis in (N, K) if axis in hole.axes)) for hole, array in arguments.items()}
    evaluate_nodes([root], run)
    result = run.spread(run.values[root], root.axes)
    return result.array


@pytest.mark.parametrize("op", [*ELEMENTWISE_ROWS, *AXES_ROWS])
def test_a_row_is_spelled_or_defined(op: str) -> None:
    spelled = ELEMENTWISE if OPS[op].form == "elementwise" else OVER_AXES
    # Those of matrices are evaluated by their form.
    assert op in spelled or OPS[op].value is not None or OPS[op].form == "matrix"


@pytest.mark.parametrize("op", [name for name in ELEMENTWISE_ROWS if OPS[name].value])
def test_meaning_of_an_elementwise_row(op: str) -> None:
    holes = operands(op)
    given = dict(zip(holes, draw(op), strict=True))
    meant = meaning(apply(op, *holes))
    assert meant is not None
    if op in ELEMENTWISE:
        np.testing.assert_allclose(value(meant, given), value(apply(op, *holes), given), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("op", [name for name in AXES_ROWS if OPS[name].value])
def test_meaning_of_a_row_over_axes(op: str) -> None:
    for over in ({K}, {N, K}):
        (x,) = operands(op)
        given = {x: draw(op)[0]}
        meant = meaning(reduce(op, x, over))
        assert meant is not None
        np.testing.assert_allclose(value(meant, given), value(reduce(op, x, over), given), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("op", [name for name in ELEMENTWISE_ROWS if OPS[name].dtypes[-1] in "fnzvra" and name not in PARTS])
def test_derivative_of_an_elementwise_row(op: str) -> None:
    holes, values, step = operands(op), draw(op), 1e-6
    current = node(op, holes, None, apply(op, *holes).type)
    if op == "detach":
        assert derivative(current, 0) is None
        return
    for index, hole in enumerate(holes):
        if hole.type.dtype != "float" or current.type.dtype != "float":
            assert derivative(current, index) is None
            continue
        up, down = (value(current, dict(zip(holes, [*values[:index], values[index] + change, *values[index + 1 :]], strict=True)))
                    for change in (step, -step))
        found = derivative(current, index)
        actual = 0.0 if found is None else value(found, dict(zip(holes, values, strict=True)))
        np.testing.assert_allclose(np.broadcast_to(actual, (7, 5)), (up - down) / (2 * step), rtol=1e-6, atol=1e-7,
                                   err_msg=f"operand {index}")


@pytest.mark.parametrize("op", [name for name in AXES_ROWS if OPS[name].dtypes in ("ff", "nn", "zz", "vv")])
@pytest.mark.parametrize("over", [frozenset({K}), frozenset({N}), frozenset({N, K})], ids=["k", "i", "ik"])
def test_derivative_of_a_row_over_axes(op: str, over: frozenset[Axis]) -> None:
    (x,) = operands(op)
    dx = node("input", (), "dx", x.type)
    current = reduce(op, x, sorted(over, key=str)[:1] if OPS[op].one_axis else over)
    here, direction, step = draw(op)[0], draw(op, 1)[0], 1e-6
    expected = (value(current, {x: here + step * direction}) - value(current, {x: here - step * direction})) / (2 * step)
    found = jvp(current, dx)
    if op == "finite_max":
        assert found is None
        return
    assert found is not None
    actual = value(found, {x: here, dx: direction})
    np.testing.assert_allclose(np.broadcast_to(actual, expected.shape), expected, rtol=2e-6, atol=1e-6)


def test_derivative_of_a_product_with_zeros() -> None:
    (x,) = operands("prod")
    dx = node("input", (), "dx", x.type)
    here = draw("prod")[0]
    here[0, 1] = here[1, 0] = here[1, 3] = 0
    direction = draw("prod", 1)[0]
    found = jvp(reduce("prod", x, {K}), dx)
    assert found is not None
    expected = [sum(direction[i, j] * np.prod(np.delete(here[i], j)) for j in range(5)) for i in range(7)]
    np.testing.assert_allclose(value(found, {x: here, dx: direction}), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("zeros", [(), (0,), (2,), (4,), (1, 3), (0, 1, 4)])
def test_derivative_of_a_running_product_with_zeros(zeros: tuple[int, ...]) -> None:
    (x,) = operands("cumprod")
    dx = node("input", (), "dx", x.type)
    here, direction = draw("cumprod")[0], draw("cumprod", 1)[0]
    here[:, list(zeros)] = 0
    found = jvp(reduce("cumprod", x, {K}), dx)
    assert found is not None
    expected = [[sum(direction[i, j] * np.prod(np.delete(here[i, : k + 1], j)) for j in range(k + 1)) for k in range(5)]
                for i in range(7)]
    np.testing.assert_allclose(value(found, {x: here, dx: direction}), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("op", ["max", "min"])
def test_equal_extremes_share_the_derivative(op: str) -> None:
    (x,) = operands(op)
    dx = node("input", (), "dx", x.type)
    found = jvp(reduce(op, x, {K}), dx)
    assert found is not None
    actual = value(found, {x: np.zeros((7, 5)), dx: np.broadcast_to(np.arange(5.0), (7, 5))})
    np.testing.assert_allclose(actual, np.full(7, 2.0))


def test_derivatives_at_kinks() -> None:
    """What the table promises where a function has no derivative."""
    x, y = operands("maximum")
    zero = {x: np.zeros((7, 5)), y: np.zeros((7, 5))}
    for op, index, expected in (("abs", 0, 0.0), ("relu", 0, 0.0), ("maximum", 0, 0.5), ("maximum", 1, 0.5), ("minimum", 1, 0.5)):
        found = derivative(apply(op, *(x, y)[: OPS[op].arity]), index)
        assert found is not None
        assert (value(found, zero) == expected).all(), op


def test_derivatives_of_powers_at_zero() -> None:
    x, _ = operands("pow")
    for exponent, expected in ((0, 0.0), (1, 1.0), (2, 0.0)):
        found = derivative(apply("ipow", x, node("const", (), exponent, Type("int"))), 0)
        assert found is not None
        assert (value(found, {x: np.zeros((7, 5))}) == expected).all()


def test_the_same_operand_twice() -> None:
    """A row whose operands are one node still has a partial derivative for each place."""
    (x,) = operands("silu")
    square = apply("mul", x, x)
    assert derivative(square, 0) is x and derivative(square, 1) is x
