"""Losses of the confusion matrix: against the paper's formulas and derivatives, and scikit-learn's metrics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn import metrics
from torch import Tensor

from archc import api
from archc.loaded import Namespace


def parts(p: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor, Tensor, Tensor]:
    """n, P, S, TP, TN of the paper."""
    n, P, S, TP = len(y), y.sum(), p.sum(), (y * p).sum()
    return n, P, S, TP, n - P - S + TP


def accuracy(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The metric and the derivative of 1 - metric for each amplified probability."""
    n, P, S, TP, _ = parts(p, y)
    return (n - P - S + 2 * TP) / n, (1 - 2 * y) / n


def fbeta(beta: float) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def metric(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        _, P, S, TP, _ = parts(p, y)
        b = beta**2
        return (1 + b) * TP / (b * P + S), -(1 + b) * (y * (b * P + S) - TP) / (b * P + S) ** 2

    return metric


def gmean(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    n, P, _, TP, TN = parts(p, y)
    return torch.sqrt(TP * TN / (P * (n - P))), -(y * TN - (1 - y) * TP) / (2 * torch.sqrt(P * (n - P) * TP * TN))


def balanced(p: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    n, P, S, TP, _ = parts(p, y)
    return (n * (TP + P) - P * (S + P)) / (2 * P * (n - P)), -(n * y - P) / (2 * P * (n - P))


def g_score(y: Tensor, hard: Tensor) -> float:
    rates = metrics.recall_score(y, hard, average=None)
    return float((rates[0] * rates[1]) ** 0.5)


LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], Callable[[Tensor, Tensor], float]]] = {
    "accuracy_loss(z, y)": (accuracy, metrics.accuracy_score),
    "fbeta_loss(z, y)": (fbeta(1), metrics.f1_score),
    "fbeta_loss(z, y, 0.5)": (fbeta(0.5), lambda y, hard: metrics.fbeta_score(y, hard, beta=0.5)),
    "fbeta_loss(z, y, 2)": (fbeta(2), lambda y, hard: metrics.fbeta_score(y, hard, beta=2)),
    "f1_loss(z, y)": (fbeta(1), metrics.f1_score),
    "gmean_loss(z, y)": (gmean, g_score),
    "balanced_accuracy_loss(z, y)": (balanced, metrics.balanced_accuracy_score),
}


def loaded(call: str) -> Namespace:
    return api.load_text(f"import std.loss\nlayer Outer() {{ forward(z[n], y[n]) -> [] {{ return {call} }} }}", "outer.arch")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("call", LOSSES)
def test_loss_and_derivative_are_the_papers(call: str, dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    z, y = (0.1 * torch.randn(40, dtype=dtype)).requires_grad_(), (torch.rand(40) < 0.3).to(dtype)
    loss = loaded(call).Outer()(z, y)
    p = torch.sigmoid(z.detach())
    amplified = 1 / (1 + torch.exp(-73 * (p - 0.5)))
    metric, slope = LOSSES[call][0](amplified, y)
    torch.testing.assert_close(loss, 1 - metric, rtol=0, atol=tolerance)
    loss.backward()
    chain = slope * 73 * amplified * (1 - amplified) * p * (1 - p)
    torch.testing.assert_close(z.grad, chain, rtol=0, atol=tolerance)


@pytest.mark.parametrize("call", LOSSES)
def test_loss_of_clear_predictions_is_one_minus_the_metric(call: str) -> None:
    torch.manual_seed(1)
    y = (torch.rand(100) < 0.4).double()
    z = torch.where(torch.rand(100) < 0.8, 2 * y - 1, 1 - 2 * y).double() * 9
    assert 1 - loaded(call).Outer()(z, y).item() == pytest.approx(LOSSES[call][1](y, (z > 0).double()), abs=1e-9)


@pytest.mark.parametrize("call", LOSSES)
def test_loss_has_first_and_second_derivatives(call: str) -> None:
    torch.manual_seed(0)
    z, y = (0.05 * torch.randn(9, dtype=torch.float64)).requires_grad_(), torch.tensor([1.0, 0, 0, 1, 1, 0, 0, 0, 1]).double()
    module = loaded(call).Outer()
    assert torch.autograd.gradcheck(lambda z: module(z, y), [z], fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda z: module(z, y), [z], fast_mode=True)


@pytest.mark.parametrize("y", [torch.zeros(5), torch.ones(5)])
@pytest.mark.parametrize("call", LOSSES)
def test_a_batch_of_one_class_and_sure_predictions_are_finite(call: str, y: Tensor) -> None:
    for z in (torch.randn(5), torch.full((5,), 60.0), torch.full((5,), -60.0)):
        z.requires_grad_()
        loss = loaded(call).Outer()(z, y)
        loss.backward()
        assert loss.isfinite() and z.grad is not None and z.grad.isfinite().all()
