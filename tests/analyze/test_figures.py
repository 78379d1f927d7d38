"""The figures of `archc explain` against counters of their own: the emitted module, torch's flop counter, counts by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archc import api, loaded
from archc.analyze import binding, figures, saved, symbolic
from archc.analyze.figures import Report
from archc.checker.sizes import Size
from archc.checker.types import dim_size
from archc.ir import entry
from archc.syntax import tree
from tests.example_lines import EXAMPLES, Example


class Case:
    """An example line of a library file: the layer, its module, inputs and report."""

    def __init__(self, example: Example) -> None:
        self.example, layer = example, example.layer
        self.program = api.open_program(example.source)
        node = next(declared.node for declared in self.program.layers if declared.name == layer)
        assert isinstance(node, tree.Layer)
        shaping = {p.name.name for p in node.parameters if p.static or p.kind.name not in api.RUN_TIME}
        static = {k: v for k, v in example.arguments.items() if k in shaping}
        self.arguments = {k: v for k, v in example.arguments.items() if k not in shaping}
        self.shapes = [shape for shape, _ in example.shapes]
        self.package = api.simplified(api.package(self.program, [layer], static))
        self.key = self.package.roots[0]
        self.graph = self.package.modules[self.key].methods[0].train
        self.ports = [port for port in self.graph.inputs if port.role == "input"]
        self.kind: Any = getattr(loaded.Namespace(self.program, f"figures{layer}", static), layer)

    @staticmethod
    def of(layer: str, written: str) -> Case:
        return made(next(e for e in EXAMPLES if e.layer == layer and e.written == written))

    def report(self, **more: int) -> Report:
        given = {k: v for k, v in self.arguments.items() if isinstance(v, int)}
        numbers = {n.name: n.default for n in self.package.modules[self.key].numbers if isinstance(n.default, int)} | given
        for port, shape in zip(self.ports, self.shapes, strict=True):
            layout = port.layout
            if entry.has_leading(layout):
                cut = len(shape) - (len(layout) - 1)
                given["..."] = int(torch.Size(shape[:cut]).numel())
                layout, shape = layout[1:], shape[cut:]
            for dim, size in zip(layout, shape, strict=True):
                for symbol in dim_size(dim).symbols - numbers.keys():
                    factor = dim_size(dim) // Size.symbol(symbol)  # every open dimension is a multiple of one symbol
                    given.setdefault(symbol, size // factor.evaluate(numbers))
        return figures.analyse(self.package, self.key, {**given, **more})

    def kept(self, device: str) -> list[saved.Kept]:
        shapes = dict(zip([p.name for p in self.ports], self.shapes, strict=True))
        return saved.kept(lambda where: self.kind(**self.arguments, device=where), shapes,
                          {p.name: p.type.dtype for p in self.ports}, device=device)


def counter() -> FlopCounterMode:
    """torch's, which leaves out products with a vector unless it is told of them, and takes complex numbers for real ones."""
    def product(a: Any, b: Any, **_: Any) -> int:
        return int((8 if a.is_complex() else 2) * a.numel() * b.shape[-1])

    product._get_raw = True  # type: ignore[attr-defined]
    return FlopCounterMode(display=False, custom_mapping={
        torch.ops.aten.mv: lambda a, b, **_: 2 * a[0] * a[1], torch.ops.aten.bmm: product, torch.ops.aten.mm: product})


@pytest.fixture(params=EXAMPLES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return made(request.param)


@cache
def made(example: Example) -> Case:
    return Case(example)


def test_figures_equal_independent_counters(case: Case) -> None:
    report = case.report()
    assert report.open == ()
    total = report.layer.total
    module = case.kind(**case.arguments)
    assert total.params.constant == sum(p.numel() for p in module.parameters())
    names = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert names == {f"{layer.path}.{t.name}".lstrip("."): tuple(s.constant for _, s in t.dims)
                     for layer in report.layer.walk() for t in layer.tensors if t.kind == "param"}
    inputs = case.example.inputs(requires_grad=True)
    with counter() as forward:
        result = module(*inputs)
    assert total.products.constant == forward.get_total_flops()
    with counter() as backward:
        result.sum().backward()
    if "Depthwise" not in case.kind.__name__:  # torch's counter forgets the groups in a convolution's backward
        outer = forward.get_flop_counts()["Global"].get(torch.ops.aten.mv, 0)  # which torch makes by elementwise products
        assert total.backward_products.constant == backward.get_total_flops() + outer
    elements = result.numel()
    assert report.layer.own.activations.constant == elements
    assert total.least.constant is not None and total.work.read.constant is not None and total.work.written.constant is not None
    assert total.least.constant <= total.work.read.constant + total.work.written.constant


def test_saved_tensors_are_those_of_a_real_call(case: Case) -> None:
    """The report asks tensors without elements; here real ones are counted, by the address of their storage."""
    module = case.kind(**case.arguments)
    stored = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    found: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        alive.append(tensor)
        if tensor.untyped_storage().data_ptr() not in stored:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(*case.example.inputs(requires_grad=True))
    assert sum(k.bytes for k in case.kept("meta")) == sum(found.values())
    paths = {name for name, _ in module.named_modules()}
    assert all(k.path in paths for k in case.kept("meta"))


def test_polynomials_give_the_numbers(case: Case) -> None:
    """What stays open is a polynomial whose value at the sizes is what the sizes give."""
    closed = case.report()
    given = {n.name: 0 for n in case.package.modules[case.key].numbers if n.default is None and n.kind in ("axis", "int")}
    fixed = {k: v for k, v in case.arguments.items() if isinstance(v, int) and k not in given}
    report = figures.analyse(case.package, case.key, fixed)
    values = {("rows" if name == "..." else name): size for name, size in closed.given.items()}
    for name, (whole, part) in report.sizes.quotients.items():
        values[name] = whole.evaluate(values) // part.evaluate(values)
    here, there = report.layer.total, closed.layer.total
    for one, other in ((here.params, there.params), (here.work.flops, there.work.flops), (here.work.read, there.work.read),
                       (here.products, there.products), (here.least, there.least), (here.activations, there.activations)):
        assert one.evaluate(values) == other.constant


def test_an_rms_norm_by_hand() -> None:
    case = Case.of("RMSNorm", "c=8")
    report = figures.analyse(case.package, case.key, {})
    work = report.layer.total.work
    # x*x, the sum, x*r, *gamma: four for each element; + eps one a row, and one root a row
    assert (str(work.flops), str(work.special)) == ("4*c*rows + rows", "rows")
    # x*x reads x twice and writes; mean reads; x*r reads x and writes; *gamma reads and writes: 8 times x; the rest a row
    assert str(report.layer.total.least) == "8*c*rows + 4*c"
    assert str(work.read + work.written) == "32*c*rows + 4*c + 24*rows"


@pytest.mark.parametrize("layer", ["Linear", "MLP", "GatedMLP"])
def test_gradients_cost_what_torch_counts(layer: str) -> None:
    """The derived graph has the products of the backward pass, and those of the forward pass that it needs."""
    from archc import pipelines
    from archc.passes import base

    case = made(next(example for example in EXAMPLES if example.layer == layer))
    report = case.report()
    found = figures.gradients(base.run(api.graph("std.linear", layer), pipelines.TRAINING), report)
    module = case.kind(**case.arguments)
    with counter() as counted:
        module(*case.example.inputs(requires_grad=True)).sum().backward()
    last = (report.layer.children or [report.layer])[-1].total
    assert found.products.constant is not None and last.products.constant is not None
    assert found.products.constant == counted.get_total_flops() - last.products.constant  # the last product is the value alone
    assert found.work.flops.constant is not None and found.work.flops.constant > found.products.constant


def test_gradients_of_a_loop() -> None:
    """The loop's product is done again in the backward loop, and each step has one for the state before it, the first too."""
    from archc import pipelines
    from archc.passes import base

    i, h, n, t = 3, 4, 2, 5
    case = Case.of("LSTM", f"i={i}, h={h}")
    found = figures.gradients(base.run(api.graph("std.recurrent", "LSTM"), pipelines.TRAINING), case.report())
    with FlopCounterMode(display=False) as counter:
        case.kind(**case.arguments)(torch.randn(n, t, i, requires_grad=True)).sum().backward()
    step = 2 * n * 4 * h * h
    assert found.products.constant == counter.get_total_flops() + t * step + step


def test_saved_as_polynomials() -> None:
    case = Case.of("Linear", "i=8, o=3")
    report = figures.analyse(case.package, case.key, {})

    def probe(sizes: Any) -> list[saved.Kept]:
        return saved.kept(lambda where: case.kind(i=sizes["i"], o=sizes["o"], device=where), {"x": (sizes["rows"], sizes["i"])},
                          {"x": "float"})

    found = symbolic.kept(probe, report.open, report.sizes.quotients)
    assert [(str(k.bytes), k.is_input) for k in found] == [("4*i*rows", True)]
    with pytest.raises(saved.Unknown):  # a sum is no product
        symbolic.kept(lambda sizes: [saved.Kept("", (), sizes["i"] + 1, False)], report.open, {})


@pytest.mark.parametrize(("count", "expected"), [
    (lambda c, t: 4 * c * t, "4*c*t"), (lambda c, t: c // 8 * t * t, "d*t*t"), (lambda c, t: c // 16, "j"),
    (lambda c, t: 5, "5"), (lambda c, t: 0, "0"),
])
def test_what_divides_a_symbol_is_kept_apart(count: Any, expected: str) -> None:
    c, d = Size.symbol("c"), Size.symbol("d")
    quotients = {"d": (c, Size.of(8)), "j": (d, Size.of(2))}
    (found,) = symbolic.kept(lambda sizes: [saved.Kept("", (), count(sizes["c"], sizes["t"]), False)], ["c", "t"], quotients)
    assert str(found.bytes) == expected


def test_sizes_that_do_not_fit() -> None:
    case = Case.of("SelfAttention", "c=8, heads=2")
    with pytest.raises(binding.Unfit, match="c is 9, which heads = 4 does not divide"):
        figures.analyse(case.package, case.key, {"c": 9})
