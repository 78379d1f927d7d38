"""solve, cholesky and eigh on the torch target against torch.linalg and scipy: values, both derivatives, batches, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import archc
from archc.api import load_text
from archc.ir.cost import node_work
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.graph import Graph
from archc.ir.lower import lower_graph
from archc.ir.to_source import to_source
from tests.checker.programs import unit

SOURCE = """
layer Solve() { forward(a[..., i, j], b[..., i]) -> [..., j] { return solve[i, j](a, b) } }
layer SolveMany() { forward(a[n, i, j], b[i, k, m]) -> [n, j, k, m] { return solve[i, j](a, b) } }
layer SolveOne() { forward(a[i, j], b[..., i, k]) -> [..., j, k] { return solve[i, j](a, b) } }
layer Turned() { forward(a[n, i, j], b[n, j]) -> [n, i] { return solve[j, i](a, b) } }
layer Lower() { forward(a[n, i, j], b[i, k]) -> [n, j, k] { return solve_lower[i, j](a, b) } }
layer Upper() { forward(a[n, i, j], b[i, k]) -> [n, j, k] { return solve_upper[i, j](a, b) } }
layer Factor() { forward(a[..., i, j]) -> [..., i, j] { return cholesky[i, j](a) } }
layer Eigh() {
    forward(a[..., i, j]) -> (w[..., k = |j|], v[..., i, k]) { w, v = eigh[i, j = k](a) }
}
layer Values() {
    forward(a[..., i, j]) -> [..., j] {
        w, v = eigh[i, j](a)
        return w
    }
}
"""
LAYERS = load_text(SOURCE, "matrices.arch")


def graph(text: str, layer: str) -> Graph:
    return lower_graph(unit(text, layer))


def symmetric(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x @ x.mT + torch.eye(shape[-1], dtype=torch.float64) * shape[-1]).to(dtype)


def tensor(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def projections(v: Tensor) -> Tensor:
    """What the signs of vectors do not change."""
    return v.unsqueeze(-2) * v.unsqueeze(-3)


CASES: dict[str, tuple[Any, Any, tuple[Tensor, ...]]] = {
    "solve": (LAYERS.Solve(), lambda a, b: torch.linalg.solve(a, b), (symmetric(2, 3, 4) + 1, tensor(2, 3, 4))),
    "solve without batch": (LAYERS.Solve(), lambda a, b: torch.linalg.solve(a, b), (symmetric(4) + 1, tensor(4))),
    "solve many": (LAYERS.SolveMany(),
                   lambda a, b: torch.linalg.solve(a[:, None, None], b.movedim(0, -1)[None, ..., None])[..., 0].movedim(-1, 1),
                   (symmetric(2, 3) + 1, tensor(3, 4, 2))),
    "solve one": (LAYERS.SolveOne(), lambda a, b: torch.linalg.solve(a, b), (symmetric(3) + 1, tensor(5, 2, 3, 2))),
    "turned": (LAYERS.Turned(), lambda a, b: torch.linalg.solve(a.mT, b), (symmetric(2, 3) + tensor(2, 3, 3), tensor(2, 3))),
    "lower": (LAYERS.Lower(), lambda a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
              (symmetric(2, 3) + 1, tensor(3, 2))),
    "upper": (LAYERS.Upper(), lambda a, b: torch.linalg.solve_triangular(a.triu(), b, upper=True),
              (symmetric(2, 3) + 1, tensor(3, 2))),
    "cholesky": (LAYERS.Factor(), lambda a: torch.linalg.cholesky((a + a.mT) / 2), (symmetric(2, 2, 3),)),
    "values": (LAYERS.Values(), lambda a: torch.linalg.eigvalsh((a + a.mT) / 2), (symmetric(2, 3),)),
    "projections": (lambda a: projections(LAYERS.Eigh()(a)[1]), lambda a: projections(torch.linalg.eigh((a + a.mT) / 2)[1]),
                    (symmetric(2, 3),)),
}


@pytest.mark.parametrize("name", CASES)
def test_against_torch(name: str) -> None:
    mine, theirs, inputs = CASES[name]
    results = []
    for call in (mine, theirs):
        given = tuple(x.clone().requires_grad_() for x in inputs)
        y = call(*given)
        results.append((y, *torch.autograd.grad(y, given, torch.linspace(-1, 2, y.numel()).double().view_as(y))))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_both_orders(name: str) -> None:
    """Of every element by itself, also where that leaves the symmetric matrices."""
    mine, _, inputs = CASES[name]
    given = tuple(x.clone().requires_grad_() for x in inputs)
    assert gradcheck(mine, given) and gradgradcheck(mine, given)


@pytest.mark.parametrize(("layer", "reference"), [
    ("Solve", scipy.linalg.solve), ("Lower", lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True)),
    ("Upper", scipy.linalg.solve_triangular), ("Factor", lambda a: np.linalg.cholesky(a)),
    ("Values", scipy.linalg.eigvalsh)])
def test_the_evaluator_against_scipy(layer: str, reference: Any) -> None:
    a = (symmetric(3) + (0 if layer in ("Factor", "Values") else tensor(3, 3))).numpy()
    found = graph(SOURCE, layer)
    batch = ("Solve", "Factor", "Values")
    given = {"a": a if layer in batch else a[None], "b": tensor(3).numpy() if layer == "Solve" else tensor(3, 2).numpy()}
    given = {port.name: given[port.name] for port in found.inputs}
    result = next(iter(evaluate(found, given).outputs.values()))
    wanted = reference(*(given[name] if name == "b" else a for name in given))
    np.testing.assert_allclose(result if layer in batch else result[0], wanted, rtol=1e-12, atol=1e-12)


def test_eigenvectors_of_the_evaluator() -> None:
    a = symmetric(2, 4).numpy()
    result = evaluate(graph(SOURCE, "Eigh"), {"a": a}).outputs
    np.testing.assert_allclose(np.einsum("nik,nk,njk->nij", result["v"], result["w"], result["v"]), a, atol=1e-12)
    np.testing.assert_allclose(np.einsum("nik,nil->nkl", result["v"], result["v"]), np.broadcast_to(np.eye(4), (2, 4, 4)),
                               atol=1e-12)


@pytest.mark.parametrize("layer", ["Solve", "SolveMany", "Lower", "Factor", "Eigh", "Values"])
def test_source_round_trip_and_cost(layer: str) -> None:
    found = graph(SOURCE, layer)
    assert digest(graph(to_source(found, "Again"), "Again")) == digest(found)
    work = next(node_work(root.args[0] if root.op == "read" else root) for root in found.roots)
    assert work.flops.evaluate(dict.fromkeys(work.flops.symbols, 8)) >= 8**3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_computed_in_float32(dtype: torch.dtype) -> None:
    a, b = symmetric(2, 3, dtype=dtype), tensor(2, 3).to(dtype)
    x, factor = LAYERS.Solve()(a, b), LAYERS.Factor()(a)
    assert x.dtype == factor.dtype == dtype
    torch.testing.assert_close(x, torch.linalg.solve(a.float(), b.float()).to(dtype))
    torch.testing.assert_close(factor, torch.linalg.cholesky(a.float()).to(dtype))
    assert [part.dtype for part in LAYERS.Eigh()(a)] == [dtype, dtype]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(LAYERS.Solve()(a.float(), b.float())).all()


@pytest.mark.parametrize("size", [0, 1])
def test_empty_and_single(size: int) -> None:
    a, b = symmetric(2, size) if size else torch.zeros(2, 0, 0).double(), tensor(2, size)
    assert LAYERS.Solve()(a, b).shape == (2, size)
    assert LAYERS.Factor()(a).shape == (2, size, size)
    w, v = LAYERS.Eigh()(a)
    assert w.shape == (2, size) and v.shape == (2, size, size)
    for layer in ("Solve", "Factor", "Eigh"):
        found = graph(SOURCE, layer)
        evaluate(found, {port.name: {"a": a, "b": b}[port.name].numpy() for port in found.inputs})
    assert LAYERS.Solve()(torch.zeros(0, 3, 3).double(), torch.zeros(0, 3).double()).shape == (0, 3)


def test_singular_and_not_positive_definite() -> None:
    """torch's own error, which says what is wrong."""
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        LAYERS.Solve()(torch.zeros(3, 3), torch.ones(3))
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        LAYERS.Factor()(-torch.eye(3))
    for layer, given in (("Solve", {"a": np.zeros((3, 3)), "b": np.ones(3)}), ("Factor", {"a": -np.eye(3)})):
        with pytest.raises(ValueError, match=r"[Ss]ingular|positive definite"):
            evaluate(graph(SOURCE, layer), given)
    # A triangle says nothing, in torch as here: the zero is divided by.
    assert not torch.isfinite(LAYERS.Lower()(torch.zeros(1, 2, 2), torch.ones(2, 1))).any()
    lower = evaluate(graph(SOURCE, "Lower"), {"a": np.zeros((1, 2, 2)), "b": np.ones((2, 1))})
    assert not np.isfinite(lower.outputs["result"]).any()


def test_sides_are_checked_at_entry() -> None:
    with pytest.raises(ValueError, match="square"):
        LAYERS.Solve()(torch.zeros(3, 4), torch.ones(3))


def test_one_call_gives_values_and_vectors(tmp_path: Any) -> None:
    archc.compile(_file(tmp_path), tmp_path / "out")
    text = (tmp_path / "out" / "modules.py").read_text()
    both, values = text.split("class Eigh")[1].split("class ")[:2]
    assert both.count("_eigh(") == 1 and "_eigenvalues(" not in both
    assert values.count("_eigenvalues(") == 1 and "_eigh(" not in values  # vectors that nobody reads are not computed


def _file(folder: Any) -> Any:
    path = folder / "matrices.arch"
    path.write_text(SOURCE)
    return path


def test_under_torch_compile() -> None:
    layer = LAYERS.Eigh()
    a = symmetric(2, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(a)[0], layer(a)[0])
    solve = torch.compile(LAYERS.SolveMany(), fullgraph=True, backend="aot_eager")
    given = (symmetric(2, 3) + 1, tensor(3, 4, 2))
    torch.testing.assert_close(solve(*given), LAYERS.SolveMany()(*given))


def test_in_a_loop() -> None:
    """A factor of a state, at every step."""
    Loop = load_text("""
layer Loop() {
    forward(x[t, i]) -> [t, i] {
        axis j = |i|
        scan t {
            state s[i, j] = where(i == j, 1.0, 0.0)
            s = s + x * x[i = j]
            yield y = solve[j, i](s, x[i = j])
        }
        return y
    }
}
""", "loop.arch").Loop
    x = tensor(4, 3).requires_grad_()
    s, wanted = torch.eye(3, dtype=torch.float64), []
    for step in x:
        s = s + step[:, None] * step
        wanted.append(torch.linalg.solve(s, step))
    torch.testing.assert_close(Loop()(x), torch.stack(wanted))
    assert gradcheck(Loop(), (x,))
