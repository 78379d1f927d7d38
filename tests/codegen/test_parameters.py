"""Parameters of methods, tables, tied and computed params, documentation comments: against plain torch."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest
import torch
from torch import Tensor, nn

import archc
from archc.api import load_text
from archc.ir.digest import digest
from archc.ir.evaluate import evaluate
from archc.ir.lower import lower_graph, lower_package
from archc.ir.text import parse, write
from archc.ir.verify import verify
from tests.checker.programs import codes, unit

METHODS = """
# A layer
# of two lines.
layer Scale(i: axis) {
    param w[i] = 2
    # Goes forward.
    forward(x[n, i], heat: float = 1.0) -> like x { return x * w / heat }
    # Multiplies by a number.
    fn scaled(x[n, i], by: float, flag: bool = true, static mode: "add" | "mul" = "mul") -> like x {
        y = where(flag, x * by, x)
        if mode == "mul" { z = y * w } else { z = y + w }
        return z
    }
    fn take(k: int, x[n, i]) -> [n, j = k] { return x[i = j] }
    fn lag(x[n, i], steps: int = 1) -> like x { return x[n = n - steps else 0] }
    fn outer(x[n, i], m: axis) -> [n, m] { return sum[i](x) * (m + 1) }
    fn power(x[n, i], static k: int) -> like x { return x^k }
    fn both(x[n, i]) -> like x { return power(x, k=2) + power(x, k=3) + scaled(x, 2) }
}

layer Around(i: axis) {
    inner = Scale(i=i)
    forward(x[n, i]) -> like x { return inner(x, heat=0.5) + inner(x) + inner.scaled(x, 3.0, mode="add") }
}
"""
LAYERS = load_text(METHODS, "methods.arch")


def test_numbers_of_methods() -> None:
    layer, x = LAYERS.Scale(i=3), torch.randn(4, 3)
    torch.testing.assert_close(layer(x), 2 * x)
    torch.testing.assert_close(layer(x, 4.0), x / 2)
    torch.testing.assert_close(layer.scaled(x, 3.0), 6 * x)
    torch.testing.assert_close(layer.scaled(x, by=3.0, flag=False), 2 * x)
    torch.testing.assert_close(layer.take(2, x), x[:, :2])
    assert layer.take(0, x).shape == (4, 0)
    torch.testing.assert_close(layer.lag(x), torch.cat([torch.zeros(1, 3), x[:-1]]))
    torch.testing.assert_close(layer.lag(x, steps=0), x)
    torch.testing.assert_close(layer.outer(x, 2), x.sum(1, keepdim=True) * torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(layer.both(x), x**2 + x**3 + 4 * x)
    torch.testing.assert_close(LAYERS.Around(i=3)(x), 4 * x + 2 * x + 3 * x + 2)


def test_signatures() -> None:
    signature = inspect.signature(LAYERS.Scale.scaled)
    assert list(signature.parameters) == ["self", "x", "by", "flag", "mode"]
    assert signature.parameters["flag"].default is True and signature.parameters["mode"].default == "mul"
    assert list(inspect.signature(LAYERS.Scale.take).parameters) == ["self", "k", "x"]
    assert not hasattr(LAYERS.Scale, "power")  # without a default there is no one choice to compile


def test_what_methods_refuse() -> None:
    layer, x = LAYERS.Scale(i=3), torch.randn(4, 3)
    with pytest.raises(ValueError, match="k is -1, and a size is at least 0"):
        layer.take(-1, x)
    with pytest.raises(ValueError, match="axis i of size i is indexed from 0 to k - 1"):
        layer.take(5, x)
    with pytest.raises(ValueError, match="scaled was compiled for mode = mul, not add"):
        layer.scaled(x, 1.0, mode="add")


def test_the_evaluator_takes_them_too() -> None:
    graph = lower_graph(unit(METHODS, "Scale"), "lag")
    assert "steps" in graph.numbers
    x = torch.randn(4, 3).double().numpy()
    (y,) = evaluate(graph, {"x": x}, {"steps": 2}).outputs.values()
    assert (y[2:] == x[:2]).all() and (y[:2] == 0).all()


def test_comments_become_docstrings() -> None:
    assert inspect.getdoc(LAYERS.Scale) == "A layer\nof two lines.\n\nx[n, i] -> [n, i]"
    assert inspect.getdoc(LAYERS.Scale.forward) == "Goes forward.\n\nx[n, i] -> [n, i]"
    assert inspect.getdoc(LAYERS.Scale.scaled) == "Multiplies by a number.\n\nx[n, i] -> [n, i]"


# ------------------------------------------------------------------------------------------------------ choices
def test_texts_and_choices(tmp_path: object) -> None:
    text = """
layer Pad(static border: border = "edge", static how: "sum" | "mean" = "sum", static name: str = "plain") {
    forward(x[n, t]) -> [n, t] {
        axis p = 3
        if how == "sum" { y = sum[p](x[t = t + p - 1 by border]) } else { y = mean[p](x[t = t + p - 1 by border]) }
        if name == "double" { z = 2 * y } else { z = y }
        return z
    }
}
"""
    x = torch.randn(2, 5)
    for border, mode in (("edge", "replicate"), ("reflect", "reflect"), ("wrap", "circular"), ("zero", "constant")):
        padded = nn.functional.pad(x[None], (1, 1), mode=mode)[0]
        wanted = padded.unfold(1, 3, 1).mean(-1) * 2
        layer = load_text(text, "pad.arch", border=border, how="mean", name="double").Pad()
        torch.testing.assert_close(layer(x), wanted)
    with pytest.raises(archc.UserError, match='one of "sum", "mean"'):
        load_text(text, "pad.arch", how="median").Pad()
    with pytest.raises(ValueError, match="was compiled for how = sum, not mean"):
        load_text(text, "pad.arch").Pad(how="mean")


# ------------------------------------------------------------------------------------------------------- tables
TABLES = """
layer Tables(c: axis) {
    buffer stencil[p=3, q=3] = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]
    buffer order[m=4, two=2]: int = [[0, 0], [0, 1], [1, 0], [1, 1]]
    buffer keep[two=2]: bool = [true, false]
    buffer far[one=1] = [inf]
    param start[c] = [0.5, -1.5, 0.1]
    forward(x[h, w, c]) -> like x {
        around = sum[p, q](stencil * x[h = h + p - 1 else 0, w = w + q - 1 else 0])
        return around * start + sum[m, two](where(keep, order, 2 * order)) + sum[one](where(far > 3, 1.0, 0.0))
    }
}
"""


def test_tables_of_constants() -> None:
    torch.manual_seed(0)
    layer = load_text(TABLES, "tables.arch").Tables(c=3)
    stencil = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert torch.equal(layer.stencil, stencil) and layer.far.item() == float("inf")
    assert torch.equal(layer.order, torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])) and layer.keep.tolist() == [True, False]
    assert torch.equal(layer.start.detach(), torch.tensor([0.5, -1.5, 0.1])) and layer.start.requires_grad
    x = torch.randn(4, 5, 3)
    around = nn.functional.conv2d(x.permute(2, 0, 1)[:, None], stencil[None, None], padding=1)[:, 0].permute(1, 2, 0)
    torch.testing.assert_close(layer(x).detach(), around * torch.tensor([0.5, -1.5, 0.1]) + 2 + 2 * 2 + 1)
    assert load_text(TABLES, "t.arch").Tables(c=3, dtype=torch.float64).start[2] == 0.1
    with pytest.raises(ValueError, match="size"):
        load_text(TABLES, "tables.arch").Tables(c=4)


def test_tables_as_graphs() -> None:
    (module,) = lower_package([unit(TABLES)], "tables.arch").modules.values()
    seen = set()
    for stored in module.stored:
        assert stored.value is not None
        verify(stored.value)
        assert parse(write(stored.value)) == stored.value
        seen.add(digest(stored.value))
    assert len(seen) == len(module.stored)
    turned = unit(TABLES.replace("[[0, 0], [0, 1]", "[[0, 0], [1, 1]"))
    other = next(iter(lower_package([turned], "tables.arch").modules.values())).stored[1].value
    assert other is not None and digest(other) not in seen


@pytest.mark.parametrize(("table", "code"), [
    ("[1, [2]]", "table-shape"), ("[[1], [2]]", "table-shape"), ("[]", "size-mismatch"), ("[1, 2, 3]", "size-mismatch"),
    ("[true, 1]", "result-dtype"), ("[1, |a|]", None), ("[1, n]", "not-static"), ('["x", 1]', "not-static")])
def test_tables_that_are_wrong(table: str, code: str | None) -> None:
    found = codes(f"layer L(n: int) {{ buffer b[a=2] = {table}\n forward(x[a=2]) -> [a=2] {{ return x * b }} }}")
    assert found == ([code] if code else [])


# -------------------------------------------------------------------------------------------------- tied params
TIED = """
layer Tied(v: axis, c: axis) {
    param table[v, c] = normal(1)
    head = table
    forward(token[n]: int) -> [n, v] {
        return sum[c](table[v = token] * head)
    }
}

# The weights of a part come from outside: one param, read by both.
layer Shared(v: axis, c: axis) {
    param table[v, c] = normal(1)
    project = Project(i=c, o=v)
    forward(token[n]: int) -> [n, v] { return project[o = v](table[v = token]) with { weight: table } }
}

layer Project(i: axis, o: axis) {
    param weight[o, i] = normal(1)
    forward(x[n, i]) -> [n, o] { return sum[i](weight * x) }
}
"""


@pytest.mark.parametrize("name", ["Tied", "Shared"])
def test_tied_params(name: str) -> None:
    layer = getattr(load_text(TIED, "tied.arch"), name)(v=5, c=3)
    token = torch.tensor([0, 3, 3])
    table = layer.table.detach().clone().requires_grad_()
    wanted = table[token] @ table.T
    found = layer(token)
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(wanted)
    (theirs,) = torch.autograd.grad(wanted, table, weight)
    (found * weight).sum().backward()
    torch.testing.assert_close(layer.table.grad, theirs)
    assert len(list(layer.parameters())) == 1


def test_two_names_of_one_param() -> None:
    layer = load_text(TIED.split("# The weights")[0], "tied.arch").Tied(v=5, c=3)
    assert layer.head is layer.table
    assert list(layer.state_dict()) == ["table", "head"]
    for other in (copy.deepcopy(layer), layer.double(), layer.to(torch.float32)):
        assert other.head is other.table
    torch.optim.SGD(layer.parameters(), lr=0.1).zero_grad()
    layer(torch.tensor([1])).sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    assert torch.equal(layer.head, layer.table)
    other = load_text(TIED.split("# The weights")[0], "tied.arch").Tied(v=5, c=3)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.head, layer.head)


def test_a_second_name_of_what_comes_from_outside() -> None:
    source = TIED.split("# The weights")[0] + """
layer Outer(v: axis, c: axis) {
    param w[v, c] = normal(1)
    inner = Tied(v=v, c=c)
    forward(token[n]: int) -> [n, v] { return inner(token) with { table: w } }
}
"""
    layer = load_text(source, "outer.arch").Outer(v=4, c=2)
    assert list(layer.state_dict()) == ["w"]
    torch.testing.assert_close(layer(torch.tensor([1, 2])), layer.w[[1, 2]] @ layer.w.T)


def test_a_second_name_is_that_of_a_param() -> None:
    """A buffer is replaced when a module moves, so that two names of one would part."""
    assert codes("layer L() { buffer a[] = 1\n b = a\n forward(x[n]) -> [n] { return x * b } }") == ["value-in-layer"]
    assert codes("layer L() { param a[] = 1\n b = 2 * a\n forward(x[n]) -> [n] { return x * a } }") == ["value-in-layer"]


# ------------------------------------------------------------------------------------------------ computed params
def test_weight_normalisation_against_torch() -> None:
    """Params computed from others (Salimans, Kingma, arXiv 1602.07868)."""
    source = """
layer Normed(i: axis, o: axis) {
    param v[o, i] = kaiming_uniform[i](sqrt(5))
    param g[o] = sqrt(sum[i](v^2))
    fn weight() -> [o, i] { return g * v / sqrt(sum[i](v^2)) }
    forward(x[n, i]) -> [n, o] { return sum[i](weight() * x) }
}
"""
    layer = load_text(source, "normed.arch").Normed(i=4, o=3)
    peer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3, bias=False), dim=0)
    peer.parametrizations.weight.original0.data = layer.g.detach()[:, None].clone()
    peer.parametrizations.weight.original1.data = layer.v.detach().clone()
    torch.testing.assert_close(layer.weight(), peer.weight)
    torch.testing.assert_close(layer.weight().detach(), layer.v.detach())  # it starts as v
    x = torch.randn(5, 4)
    results: list[tuple[Tensor, ...]] = []
    for module, params in ((layer, (layer.g, layer.v)), (peer, tuple(peer.parameters()))):
        y = module(x)
        results.append((y, *(grad.flatten() for grad in torch.autograd.grad((y**2).sum(), params))))
    torch.testing.assert_close(results[0], results[1])


def test_pickling_keeps_the_tie(tmp_path: object) -> None:
    import pathlib

    folder = pathlib.Path(str(tmp_path))
    (folder / "tied.arch").write_text(TIED.split("# The weights")[0])
    layer = archc.load(folder / "tied.arch").Tied(v=4, c=2)
    other = pickle.loads(pickle.dumps(layer))
    assert other.head is other.table
