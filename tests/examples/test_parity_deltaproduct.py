"""examples/parity_deltaproduct: its groups, its model against a transcription, and short trainings that end as the paper says."""

from __future__ import annotations

import types

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archc
from tests.examples.programs import ROOT, program
from tests.peers.recurrent import delta_product


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "parity_deltaproduct"))  # as where the command runs
    return program("parity_deltaproduct", "train")


def test_tables_are_groups() -> None:
    symmetric = program("parity_deltaproduct", "groups").symmetric
    for points, size, commutes in ((2, 2, True), (3, 6, False)):
        table = symmetric(points)
        every = torch.arange(size)
        assert table.shape == (size, size) and bool((table == table.T).all()) is commutes
        assert (table[0] == every).all() and (table[:, 0] == every).all()
        assert all((row.sort().values == every).all() for row in (*table, *table.T))
        assert (table[table] == table[:, table]).all()  # (a b) c is a (b c)


def test_words_and_their_products() -> None:
    groups = program("parity_deltaproduct", "groups")
    table = groups.symmetric(3)
    draw = [groups.words(table, 5, 7, torch.Generator().manual_seed(3)) for _ in range(2)]
    symbols, products = draw[0]
    assert all((a == b).all() for a, b in zip(*draw, strict=True))
    assert symbols.shape == products.shape == (5, 8) and (symbols[:, 0] == 6).all() and (products[:, 0] == 0).all()
    for word, wanted in zip(symbols[:, 1:].tolist(), products[:, 1:].tolist(), strict=True):
        so_far = 0
        for symbol, product in zip(word, wanted, strict=True):
            so_far = int(table[so_far, symbol])
            assert so_far == product


class Mixer(nn.Module):
    """The mixer in plain torch."""

    def __init__(self, c: int, h: int, k: int, j: int, most: int) -> None:
        super().__init__()
        self.most = most
        self.query, self.key, self.value = (nn.Parameter(torch.zeros(shape)) for shape in ((h, k, c), (j, h, k, c), (j, h, k, c)))
        self.strength, self.gain = nn.Parameter(torch.zeros(j, h, c)), nn.Parameter(torch.zeros(k))
        self.out = nn.Parameter(torch.zeros(c, h, k))

    def forward(self, x: Tensor) -> Tensor:
        def unit(z: Tensor) -> Tensor:
            return z / (z.square().sum(-1, keepdim=True) + 1e-6).sqrt()

        q = unit(F.silu(torch.einsum("hkc,ntc->nhtk", self.query, x))) / self.gain.numel() ** 0.5
        key = unit(F.silu(torch.einsum("jhkc,ntc->nhtjk", self.key, x)))
        value = F.silu(torch.einsum("jhkc,ntc->nhtjk", self.value, x))
        beta = self.most * torch.sigmoid(torch.einsum("jhc,ntc->nhtj", self.strength, x))
        y, _ = delta_product(q, key, value, beta, x.new_zeros(*q.shape[:2], q.shape[-1], q.shape[-1]))
        y = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * self.gain
        return torch.einsum("chv,nhtv->ntc", self.out, y)


@pytest.mark.parametrize(("steps", "negative"), [(1, False), (2, True)])
def test_mixer_equals_transcription(steps: int, negative: bool) -> None:
    torch.manual_seed(0)
    layers = archc.load(ROOT / "parity_deltaproduct" / "parity_deltaproduct.arch", steps=steps, negative=negative)
    ours = layers.Mixer(c=10, heads=3, width=4).double()
    theirs = Mixer(10, 3, 4, steps, 1 + negative).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 10, dtype=torch.float64, requires_grad=True)
    dy = torch.randn(2, 5, 10, dtype=torch.float64)
    found, wanted = (torch.autograd.grad(m(x), [x, *(p for _, p in sorted(m.named_parameters()))], dy) for m in (ours, theirs))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_a_trained_tracker_decodes_as_it_reads(train: types.ModuleType) -> None:
    """Symbol by symbol with `step`, as the whole word at once."""
    groups = program("parity_deltaproduct", "groups")
    task = train.TASKS[2]
    tracker = train.train(task, updates=3, batch=4)
    symbols, products = groups.words(groups.symmetric(3), 512, 9, torch.Generator().manual_seed(1001))
    with torch.no_grad():
        whole = tracker(symbols).argmax(-1)
    assert (train.right(tracker, task, 9) == (whole == products)[:, 1:]).float().mean() > 0.999  # equal scores but for rounding


@pytest.mark.slow
def test_parity_needs_negative_eigenvalues(train: types.ModuleType) -> None:
    """One reflection tracks parity far beyond the words of training; what can only shrink does not."""
    shares = {}
    for task in train.TASKS[:2]:
        tracker = train.train(task, updates=250)
        shares[task.negative] = train.right(tracker, task, 2 * task.length, count=256).float().mean().item()
    assert shares[True] > 0.97 and shares[False] < 0.8
