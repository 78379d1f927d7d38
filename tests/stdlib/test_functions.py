"""Functions of the standard library, run by the evaluator: activations and losses against torch, B-splines against scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from archc import api, sources
from archc.diagnostics.model import Problems
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph
from archc.passes.gradient import gradient

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity(x)": lambda x: x,
    "relu(x)": F.relu,
    "leaky_relu(x)": F.leaky_relu,
    "leaky_relu(x, 0.3)": lambda x: F.leaky_relu(x, 0.3),
    "relu6(x)": F.relu6,
    "squared_relu(x)": lambda x: F.relu(x).square(),
    "silu(x)": F.silu,
    "gelu(x)": F.gelu,
    "gelu_tanh(x)": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu(x)": lambda x: x * torch.sigmoid(1.702 * x),
    "sigmoid(x)": torch.sigmoid,
    "tanh(x)": torch.tanh,
    "softplus(x)": lambda x: F.softplus(x, threshold=1000),
    "log_sigmoid(x)": F.logsigmoid,
    "elu(x)": F.elu,
    "elu(x, 0.7)": lambda x: F.elu(x, 0.7),
    "selu(x)": F.selu,
    "celu(x)": F.celu,
    "celu(x, 2.0)": lambda x: F.celu(x, 2.0),
    "mish(x)": F.mish,
    "hardsigmoid(x)": lambda x: F.relu6(x + 3) / 6,  # F.hardsigmoid takes 1/6 in float32 for its derivative
    "hardswish(x)": F.hardswish,
    "hardtanh(x)": F.hardtanh,
    "hardtanh(x, -0.5, 2)": lambda x: F.hardtanh(x, -0.5, 2.0),
    "softsign(x)": F.softsign,
    "tanhshrink(x)": F.tanhshrink,
    "softshrink(x)": F.softshrink,
    "softshrink(x, 0.1)": lambda x: F.softshrink(x, 0.1),
    "hardshrink(x)": F.hardshrink,
}

Y, T = "[n, c]", "[n, c]"
SHAPES = {"[n]": (7,), Y: (7, 5), "[n, c, h, w]": (3, 2, 4, 5)}
LOSSES: dict[str, tuple[str, str, Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    # call: signature of y, signature of target, torch's loss, and what makes a target of it from standard normal numbers
    "mse(y, target)": (Y, T, F.mse_loss, lambda z: z),
    "mae(y, target)": (Y, T, F.l1_loss, lambda z: z),
    "huber(y, target)": (Y, T, F.huber_loss, lambda z: z),
    "huber(y, target, 0.3)": (Y, T, lambda y, t: F.huber_loss(y, t, delta=0.3), lambda z: z),
    "smooth_l1(y, target)": (Y, T, F.smooth_l1_loss, lambda z: z),
    "smooth_l1(y, target, 0.3)": (Y, T, lambda y, t: F.smooth_l1_loss(y, t, beta=0.3), lambda z: z),
    "log_cosh(y, target)": (Y, T, lambda y, t: torch.log(torch.cosh(y - t)).mean(), lambda z: z),
    "bce_with_logits(y, target)": (Y, T, F.binary_cross_entropy_with_logits, torch.sigmoid),
    "kl_divergence[k = c](y, target)": (Y, T, lambda y, t: F.kl_div(y, t, reduction="batchmean"), lambda z: z.softmax(-1)),
    "hinge(y, target)": (Y, T, lambda y, t: F.relu(1 - t * y).mean(), torch.sign),
    "focal(y, target)": (Y, T, lambda y, t: focal(y, t, 2.0), lambda z: (z > 0).double()),
    "focal(y, target, 1.5)": (Y, T, lambda y, t: focal(y, t, 1.5), lambda z: (z > 0).double()),
    "cross_entropy[classes = c](y, target)": (Y, "[n]: int", F.cross_entropy, lambda z: z[:, :3].argmax(-1)),
    "cross_entropy[classes = c](y, target, 0.1)": (Y, "[n]: int", lambda y, t: F.cross_entropy(y, t, label_smoothing=0.1),
                                                   lambda z: z[:, :3].argmax(-1)),
    "relative_l2(y, target)": ("[n, c, h, w]", "[n, c, h, w]", lambda y, t: relative_l2(y, t), lambda z: z),
    "f1_loss(y, target)": ("[n]", "[n]", lambda y, t: f1(y, t), lambda z: (z > 0).double()),
}


def focal(y: Tensor, t: Tensor, gamma: float) -> Tensor:
    """Lin et al., arXiv 1708.02002, equation 4."""
    p = torch.sigmoid(y)
    right = t * p + (1 - t) * (1 - p)
    return (-((1 - right) ** gamma) * torch.log(right)).mean()


def relative_l2(y: Tensor, t: Tensor) -> Tensor:
    return (torch.linalg.vector_norm(y - t, dim=(1, 2, 3)) / torch.linalg.vector_norm(t, dim=(1, 2, 3))).mean()


def f1(y: Tensor, t: Tensor) -> Tensor:
    """Han, Moniz, Chawla, arXiv 2405.14745: 1 - 2 TP / (P + S) of amplified probabilities."""
    p = 1 / (1 + torch.exp(-73 * (torch.sigmoid(y) - 0.5)))
    return 1 - 2 * (t * p).sum() / (t.sum() + p.sum())


def graph(text: str) -> Graph:
    """The forward graph of the layer F of a text."""
    problems = Problems()
    program = sources.load_text(text, "<test>", problems)
    sources.raise_errors(problems, program)
    assert program is not None
    return lower_graph(api.unit(program, "F"), "forward", "train")


def compare(found: object, expected: Tensor, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(found), expected.detach().numpy(), rtol=tolerance, atol=tolerance)


POINTS = [0.0, 1.0, -1.0, 3.0, -3.0, 6.0, 0.5, -0.5, 2.0, 20.0, -20.0, 40.0, -40.0, 1e-6, -1e-6]


@pytest.mark.parametrize("call", ACTIVATIONS)
def test_activation_equals_torch_at_random_points_and_kinks(call: str) -> None:
    forward = graph(f"import std.activation\nlayer F() {{ forward(x[n]) -> like x {{ return {call} }} }}")
    x = torch.cat([torch.tensor(POINTS, dtype=torch.float64), 3 * torch.randn(200, dtype=torch.float64)]).requires_grad_()
    y = ACTIVATIONS[call](x)
    compare(evaluate(forward, {"x": x.detach().numpy()}).outputs["result"], y)
    dy = torch.randn_like(y)
    y.backward(dy)
    assert x.grad is not None
    compare(evaluate(gradient(forward), {"x": x.detach().numpy(), "d_result": dy.numpy()}).outputs["d_x"], x.grad)


@pytest.mark.parametrize("call", ACTIVATIONS)
@pytest.mark.parametrize("size", [1e3, 1e30])
def test_activation_of_large_numbers_is_finite_and_so_is_its_derivative(call: str, size: float) -> None:
    if size == 1e30 and call in ("gelu_tanh(x)", "squared_relu(x)"):
        pytest.skip("a power of x itself overflows")
    forward = graph(f"import std.activation\nlayer F() {{ forward(x[n]) -> like x {{ return {call} }} }}")
    x = np.array([size, -size], dtype="float32")
    with np.errstate(all="ignore"):
        y = evaluate(forward, {"x": x}, dtype="float32").outputs["result"]
        dx = evaluate(gradient(forward), {"x": x, "d_result": np.ones(2, "float32")}, dtype="float32").outputs["d_x"]
    assert np.isfinite(y).all() and np.isfinite(dx).all()


def test_glu_equals_torch() -> None:
    forward = graph("""
        import std.activation
        layer F(c: axis) {
            forward(x[n, c]) -> [n, k] {
                axis c = (half=2 k)
                return glu(x)
            }
        }""")
    x = torch.randn(5, 8, dtype=torch.float64)
    compare(evaluate(forward, {"x": x.numpy()}, {"c": 8}).outputs["result"], F.glu(x))


@pytest.mark.parametrize("call", LOSSES)
def test_loss_equals_torch(call: str) -> None:
    prediction, target, torchs, make = LOSSES[call]
    forward = graph(f"import std.loss\nlayer F() {{ forward(y{prediction}, target{target}) -> [] {{ return {call} }} }}")
    torch.manual_seed(1)
    shape = SHAPES[prediction]
    y = (2 * torch.randn(shape, dtype=torch.float64)).requires_grad_()
    t = make(torch.randn(shape, dtype=torch.float64))
    loss = torchs(y, t)
    values = {"y": y.detach().numpy(), "target": t.numpy()}
    compare(evaluate(forward, values).outputs["result"], loss)
    loss.backward()
    assert y.grad is not None
    compare(evaluate(gradient(forward, ["y"]), {**values, "d_result": np.ones(())}).outputs["d_y"], y.grad)


@pytest.mark.parametrize("call", ["bce_with_logits(y, target)", "focal(y, target)", "log_cosh(y, target)"])
def test_loss_of_sure_predictions_is_finite_and_exact(call: str) -> None:
    forward = graph(f"import std.loss\nlayer F() {{ forward(y[n], target[n]) -> [] {{ return {call} }} }}")
    y, t = np.array([80.0, -80.0, 500.0, -500.0], "float32"), np.array([1.0, 0.0, 1.0, 0.0], "float32")
    values = {"y": y, "target": t}
    with np.errstate(all="ignore"):
        loss = evaluate(forward, values, dtype="float32").outputs["result"]
        dy = evaluate(gradient(forward, ["y"]), {**values, "d_result": np.ones((), "float32")}, dtype="float32").outputs["d_y"]
    assert np.isfinite(loss) and np.isfinite(dy).all()
    if call.startswith("bce"):
        assert loss == pytest.approx(math.exp(-80) / 2, rel=1e-4)


# ------------------------------------------------------------------------------------------------------- B-splines
def splines(grid: int, order: int) -> Graph:
    return graph(f"""
        import std.kan
        layer F() {{
            axis k = {grid + order}
            forward(x[n]) -> [n, k] {{ return bspline(x, k, {grid}, {order}) }}
        }}""")


def design(x: np.ndarray, grid: int, order: int) -> np.ndarray:
    """scipy's B-splines: [n, grid + order]. Its knots go on for `order` cells more, where it would give nan."""
    from scipy.interpolate import BSpline

    knots = (np.arange(-2 * order, grid + 2 * order + 1) * 2 - grid) / grid
    every = np.eye(grid + 3 * order)
    ours = range(order, grid + 2 * order)
    return np.stack([np.nan_to_num(BSpline(knots, every[k], order, extrapolate=False)(x)) for k in ours], -1)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("grid", [1, 3, 5, 20])
def test_bspline_equals_scipy(grid: int, order: int) -> None:
    reach = 1 + 2 * order / grid  # as far as the first and the last function go
    x = np.random.default_rng(0).uniform(-reach, reach, 4000)
    expected = design(x, grid, order)
    forward = splines(grid, order)
    assert np.abs(evaluate(forward, {"x": x}).outputs["result"] - expected).max() < 1e-13
    single = x.astype("float32")
    if order == 0:  # a step: only away from the knots
        single = single[np.abs((single + 1) * grid / 2 - np.round((single + 1) * grid / 2)) > 1e-4]
    found = evaluate(forward, {"x": single}, dtype="float32").outputs["result"]
    assert np.abs(found - design(single.astype("float64"), grid, order)).max() < 1e-6


@pytest.mark.parametrize(("grid", "order"), [(5, 3), (3, 2), (8, 1), (4, 5)])
def test_bspline_derivative_equals_scipy(grid: int, order: int) -> None:
    from scipy.interpolate import BSpline

    knots = (np.arange(-order, grid + order + 1) * 2 - grid) / grid
    rng = np.random.default_rng(0)
    coefficients, x = rng.normal(size=grid + order), rng.uniform(-1, 1, 500)
    dy = np.broadcast_to(coefficients, (500, grid + order))
    found = evaluate(gradient(splines(grid, order)), {"x": x, "d_result": dy}).outputs["d_x"]
    assert np.abs(found - BSpline(knots, coefficients, order).derivative()(x)).max() < 1e-11 * grid**2


@pytest.mark.parametrize("order", range(5))
def test_bsplines_add_up_to_one_and_vanish_far_away(order: int) -> None:
    x = np.linspace(-1, 1, 101)[:-1]
    y = evaluate(splines(5, order), {"x": x}).outputs["result"]
    assert np.abs(y.sum(-1) - 1).max() < 1e-14 and y.min() >= -1e-16
    far = np.array([-1e30, -50.0, 50.0, 1e30], "float32")
    assert not evaluate(splines(5, order), {"x": far}, dtype="float32").outputs["result"].any()


def test_bspline_cells_are_closed_on_the_left() -> None:
    y = evaluate(splines(4, 0), {"x": np.array([-1.0, -0.5, 0.0, 0.5, 1.0])}).outputs["result"]
    assert (y == np.vstack([np.eye(4), np.zeros(4)])).all()
