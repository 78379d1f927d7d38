"""Gradients, taken and simplified as for training, against torch.autograd of a plain transcription; corners included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.text import parse
from archc.passes.base import run
from archc.passes.gradient import gradient
from archc.pipelines import TRAINING


def same(text: str, function: Callable[..., torch.Tensor], tolerance: float = 1e-10, **inputs: object) -> None:
    """The gradients of every input, for a random cotangent, before and after simplification."""
    graph = parse(text)
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    tensors = {name: torch.tensor(value, requires_grad=value.dtype.kind == "f") for name, value in arrays.items()}
    result = function(**tensors)
    cotangent = torch.tensor(np.random.default_rng(1).normal(size=tuple(result.shape)))
    result.backward(cotangent)
    np.testing.assert_allclose(evaluate(graph, arrays).outputs["y"], result.detach().numpy(), rtol=tolerance, atol=tolerance)
    for back in (gradient(graph), run(graph, TRAINING)):
        found = evaluate(back, {**arrays, "d_y": cotangent.numpy()}).outputs
        for name, tensor in tensors.items():
            if tensor.requires_grad:
                wanted = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad.numpy()
                np.testing.assert_allclose(found["d_" + name], wanted, rtol=tolerance, atol=tolerance, err_msg=name)


RNG = np.random.default_rng(0)
CORNERS = np.array([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0])


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


@pytest.mark.parametrize(("op", "function"), [
    ("relu", F.relu), ("abs", torch.abs), ("sign", torch.sign), ("silu", F.silu), ("gelu", F.gelu), ("softplus", F.softplus),
    ("log_sigmoid", F.logsigmoid), ("floor", torch.floor), ("erf", torch.erf), ("tanh", torch.tanh), ("expm1", torch.expm1),
    ("atan", torch.atan), ("sinh", torch.sinh),
])
def test_one_operand(op: str, function: Callable[..., torch.Tensor]) -> None:
    same(f"graph f(x: float[n])\n  %y = {op} %x : float[n]\n  return y[n] = %y\n", lambda x: function(x), x=CORNERS)


@pytest.mark.parametrize(("op", "function"), [
    ("maximum", torch.maximum), ("minimum", torch.minimum), ("mod", torch.remainder), ("pow", torch.pow),
])
def test_two_operands(op: str, function: Callable[..., torch.Tensor]) -> None:
    """torch shares ties as the table says, and has no derivative of remainders by the divisor that differs."""
    same(f"graph f(x: float[n], z: float[n])\n  %y = {op} %x, %z : float[n]\n  return y[n] = %y\n",
         lambda x, z: function(x, z), x=np.array([0.5, 1.0, 2.0]), z=np.array([1.0, 1.0, 0.75]))


@pytest.mark.parametrize(("op", "function"), [
    ("max", lambda x: x.amax(1)), ("min", lambda x: x.amin(1)), ("mean", lambda x: x.mean(1)),
    ("var", lambda x: x.var(1, unbiased=False)), ("std", lambda x: x.std(1, unbiased=False)), ("prod", lambda x: x.prod(1)),
    ("logsumexp", lambda x: x.logsumexp(1)),
])
def test_reductions(op: str, function: Callable[..., torch.Tensor]) -> None:
    x = np.array([[0.0, 2.0, -1.0], [0.0, 0.0, 1.0], [3.0, 3.0, 1.0]])
    same(f"graph f(x: float[n, k])\n  %y = {op}[k] %x : float[n]\n  return y[n] = %y\n", function, x=x)


def test_layer_norm() -> None:
    same("""graph f(x: float[n, c], gamma: float[c], beta: float[c])
      %m = mean[c] %x : float[n]
      %d = sub %x, %m : float[n, c]
      %v = var[c] %x : float[n]
      %e = add %v, 1e-05 : float[n]
      %s = sqrt %e : float[n]
      %q = div %d, %s : float[n, c]
      %g = mul %q, %gamma : float[n, c]
      %y = add %g, %beta : float[n, c]
      return y[n, c] = %y
    """, lambda x, gamma, beta: F.layer_norm(x, (5,), gamma, beta), x=normal(3, 5), gamma=normal(5), beta=normal(5))


def test_causal_attention() -> None:
    same("""graph f(q: float[b, t, d], k: float[b, t, d], v: float[b, t, d])
      axis s = t
      %i = iota t : int[t]
      %j = iota s : int[s]
      %ks = read %k[t = %j trust] : float[b, s, d]
      %vs = read %v[t = %j trust] : float[b, s, d]
      %p = mul %q, %ks : float[b, t, s, d]
      %a = sum[d] %p : float[b, t, s]
      %n = size d : int
      %f = to_float %n : float
      %r = sqrt %f : float
      %c = div %a, %r : float[b, t, s]
      %m = le %j, %i : bool[t, s]
      %w = where %m, %c, -inf : float[b, t, s]
      %o = softmax[s] %w : float[b, t, s]
      %z = mul %o, %vs : float[b, t, s, d]
      %y = sum[s] %z : float[b, t, d]
      return y[b, t, d] = %y
    """, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q=normal(2, 5, 4), k=normal(2, 5, 4),
         v=normal(2, 5, 4))


def test_strided_convolution() -> None:
    same("""graph f(x: float[n, c, h], w: float[o, c, p])
      axis p = 3
      axis u = (h + 1) // 2
      %i = iota u : int[u]
      %j = iota p : int[p]
      %a = mul %i, 2 : int[u]
      %b = add %a, %j : int[u, p]
      %e = sub %b, 1 : int[u, p]
      %r = read %x[h = %e fill] else 0.0 : float[n, c, u, p]
      %m = mul %w, %r : float[n, o, c, u, p]
      %y = sum[c, p] %m : float[n, o, u]
      return y[n, o, u] = %y
    """, lambda x, w: F.conv1d(x, w, stride=2, padding=1), x=normal(2, 3, 7), w=normal(4, 3, 3))


def test_embedding() -> None:
    same("""graph f(table: float[v, c], token: int[n])
      %y = read %table[v = %token check] : float[n, c]
      return y[n, c] = %y
    """, lambda table, token: F.embedding(token, table), table=normal(4, 3), token=np.array([2, 2, 0]))


def test_cross_entropy() -> None:
    same("""graph f(x: float[n, c], target: int[n])
      %l = log_softmax[c] %x : float[n, c]
      %p = read %l[c = %target check] : float[n]
      %m = mean[n] %p : float
      %y = neg %m : float
      return y[] = %y
    """, lambda x, target: F.cross_entropy(x, target), x=normal(4, 3) * 30, target=np.array([2, 2, 0, 1]))


def test_second_order_of_a_layer() -> None:
    """A gradient penalty: the gradient of the norm of the gradient."""
    from archc.pipelines import SECOND_ORDER

    graph: Graph = parse("""graph f(x: float[n, i], w: float[o, i])
      %p = mul %x, %w : float[n, o, i]
      %s = sum[i] %p : float[n, o]
      %a = silu %s : float[n, o]
      %y = softmax[o] %a : float[n, o]
      return y[n, o] = %y
    """)
    x, w, dy = normal(3, 4), normal(2, 4), normal(3, 2)
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    y = F.softmax(F.silu(tx @ tw.T), 1)
    gx, gw = torch.autograd.grad(y, (tx, tw), torch.tensor(dy), create_graph=True)
    dx, dw = normal(3, 4), normal(2, 4)
    wanted = torch.autograd.grad((gx, gw), (tx, tw), (torch.tensor(dx), torch.tensor(dw)))
    found = evaluate(run(graph, SECOND_ORDER), {"x": x, "w": w, "d_y": dy, "d_d_x": dx, "d_d_w": dw}).outputs
    np.testing.assert_allclose(found["d_x"], wanted[0].numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found["d_w"], wanted[1].numpy(), rtol=1e-9, atol=1e-12)
