"""Recurrences in plain torch, one token after the other, and torch's own gated networks under our names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def delta_step(state: Tensor, key: Tensor, val: Tensor, beta: Tensor) -> Tensor:
    """(I - beta k k^T) S + beta k v^T for S[..., k, v]: arXiv 2406.06484, equation 2, with the state turned."""
    found = torch.einsum("...k,...kv->...v", key, state)
    return state + torch.einsum("...,...k,...v->...kv", beta, key, val - found)


def read(q: Tensor, state: Tensor) -> Tensor:
    return torch.einsum("...k,...kv->...v", q, state)


def linear_attention(q: Tensor, key: Tensor, val: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """All tokens at once: y_t = q_t start + sum over s <= t of (q_t . k_s) v_s."""
    scores = (q @ key.transpose(-1, -2)).tril()
    return scores @ val + q @ start, start + key.transpose(-1, -2) @ val


def gla(q: Tensor, key: Tensor, val: Tensor, g: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """All tokens at once, with the decay between any two of them."""
    total = g.cumsum(-2)
    decay = torch.exp(total[..., :, None, :] - total[..., None, :, :])
    scores = torch.einsum("...tk,...sk,...tsk->...ts", q, key, decay).tril()
    left = torch.exp(total[..., -1:, :] - total)
    last = torch.exp(total[..., -1, :])[..., None] * start + (left * key).transpose(-1, -2) @ val
    return scores @ val + (q * torch.exp(total)) @ start, last


def delta_net(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return gated_delta_net(q, key, val, beta, torch.zeros_like(beta), start)


def gated_delta_net(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, g: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    state, ys = start, []
    for t in range(q.shape[-2]):
        state = torch.exp(g[..., t])[..., None, None] * state
        state = delta_step(state, key[..., t, :], val[..., t, :], beta[..., t])
        ys.append(read(q[..., t, :], state))
    return torch.stack(ys, -2), state


def gated_delta_product(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, g: Tensor,
                        start: Tensor) -> tuple[Tensor, Tensor]:
    """arXiv 2502.10297: the gated delta rule over t * j steps, the gate at the first of a token and the query at the last."""
    steps = beta.shape[-1]
    gates = torch.cat([g[..., None], torch.zeros_like(beta[..., 1:])], -1)
    queries = torch.cat([torch.zeros_like(key[..., 1:, :]), q[..., None, :]], -2)
    y, last = gated_delta_net(queries.flatten(-3, -2), key.flatten(-3, -2), val.flatten(-3, -2), beta.flatten(-2),
                              gates.flatten(-2), start)
    return y[..., steps - 1::steps, :], last


def delta_product(q: Tensor, key: Tensor, val: Tensor, beta: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    return gated_delta_product(q, key, val, beta, torch.zeros_like(beta[..., 0]), start)


def selective_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, read: Tensor, skip: Tensor,
                   start: Tensor) -> tuple[Tensor, Tensor]:
    """The reference of arXiv 2312.00752 (`selective_scan_ref`), batch and length in front."""
    decay = torch.exp(torch.einsum("...tc,cs->...tcs", dt, a))
    entering = torch.einsum("...tc,...ts,...tc->...tcs", dt, b, x)
    state, ys = start, []
    for t in range(x.shape[-2]):
        state = decay[..., t, :, :] * state + entering[..., t, :, :]
        ys.append(torch.einsum("...cs,...s->...c", state, read[..., t, :]))
    return torch.stack(ys, -2) + x * skip, state


class Sequence(nn.Module):
    """A recurrent layer of torch over [n, t, i], with our names for its first layer's params."""

    def __init__(self, inner: nn.RNNBase) -> None:
        super().__init__()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(self, name, nn.Parameter(getattr(inner, f"{name}_l0").detach().clone()))
        self.inner = (inner,)

    def forward(self, x: Tensor) -> Tensor:
        params = {f"{name}_l0": param for name, param in self.named_parameters()}
        result: Tensor = torch.func.functional_call(self.inner[0], params, (x,))[0]
        return result


def lstm(i: int, h: int) -> Sequence:
    return Sequence(nn.LSTM(i, h, batch_first=True))


def gru(i: int, h: int) -> Sequence:
    return Sequence(nn.GRU(i, h, batch_first=True))
