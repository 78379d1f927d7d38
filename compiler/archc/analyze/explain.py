"""The report of `archc explain`: figures of every layer of a tree, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Union

from archc.analyze import saved, symbolic
from archc.analyze.figures import Figures, Layer, Report
from archc.checker.sizes import Size

Number = Union[int, str]
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Row:
    """One layer with its sub-layers. Numbers are ints, or polynomials as text where a size is open."""

    path: str
    kind: str
    depth: int
    calls: Number
    params: Number
    param_bytes: Number
    flops: Number
    products: Number
    backward_products: Number
    special: Number
    activations: Number
    moved: Number
    least: Number
    saved: Number | None


@dataclass(frozen=True)
class Param:
    """A param or buffer, with its dimensions."""

    name: str
    kind: str
    dims: tuple[str, ...]
    sizes: tuple[Number, ...]
    count: Number
    bytes: Number


@dataclass(frozen=True)
class Explained:
    """What the command prints. `saved_unknown` says in a sentence why torch could not be asked, where it could not."""

    layer: str
    sizes: Mapping[str, int]
    open: tuple[str, ...]
    quotients: Mapping[str, str]
    inputs: Mapping[str, tuple[Number, ...]]
    rows: tuple[Row, ...]
    params: tuple[Param, ...]
    saved_inputs: Number | None
    saved_unknown: str | None
    gradients: Mapping[str, Number] | None  # of all of them: flops, products, special, least


def explained(report: Report, keep: Callable[[Mapping[str, int]], list[saved.Kept]], gradients: Figures | None) -> Explained:
    """The report with what autograd keeps. `keep` asks torch for that, at numbers for the symbols that are open."""
    unknown: str | None = None
    kept: list[symbolic.KeptSize] | None = None
    try:
        if report.loops:
            wanted = " ".join(f"{name}=..." for name in report.loops)
            raise saved.Unknown(f"a loop keeps something at every step: give --size {wanted}")
        if report.open:
            kept = symbolic.kept(keep, report.open, report.sizes.quotients)
        else:
            kept = [symbolic.KeptSize(k.path, Size.of(k.bytes), k.is_input) for k in keep({})]
    except saved.Unknown as error:
        unknown = str(error)
    tidy = report.sizes.tidy
    inputs = number(tidy(sum((k.bytes for k in kept if k.is_input), Size.of(0)))) if kept is not None else None
    rows = tuple(_row(layer, report, kept) for layer in report.layer.walk())
    params = tuple(
        Param(f"{layer.path}.{t.name}".lstrip("."), t.kind, tuple(name for name, _ in t.dims),
              tuple(number(s) for _, s in t.dims), number(tidy(t.count)), number(tidy(t.count * FLOAT_BYTES)))
        for layer in report.layer.walk() for t in layer.tensors)
    quotients = {name: f"{symbolic.symbol_text(whole)} / {symbolic.symbol_text(part)}"
                 for name, (whole, part) in report.sizes.quotients.items()}
    given = {report.sizes.rows if name == "..." else name: value for name, value in report.given.items()}
    return Explained(report.layer.kind, given, report.open, quotients,
                     {name: tuple(number(tidy(s)) for s in shape) for name, shape in report.inputs.items()},
                     rows, params, inputs, unknown, None if gradients is None else {
                         "flops": number(gradients.work.flops), "products": number(gradients.products),
                         "special": number(gradients.work.special), "least": number(gradients.least)})


def _row(layer: Layer, report: Report, kept: Sequence[symbolic.KeptSize] | None) -> Row:
    tidy, total = report.sizes.tidy, layer.total
    own = [] if kept is None else [k for k in kept if _below(k.path, layer.path)]

    def n(size: Size) -> Number:
        return number(tidy(size))

    return Row(
        path=layer.path, kind=layer.kind, depth=layer.path.count(".") + 1 - _list_items(layer.path) if layer.path else 0,
        calls=n(layer.calls), params=n(total.params), param_bytes=n(total.params * FLOAT_BYTES), flops=n(total.work.flops),
        products=n(total.products), backward_products=n(total.backward_products), special=n(total.work.special),
        activations=n(total.activations), moved=n(total.work.read + total.work.written), least=n(total.least),
        saved=n(sum((k.bytes for k in own), Size.of(0))) if kept is not None else None)


def _below(path: str, layer: str) -> bool:
    return not layer or path == layer or path.startswith(f"{layer}.")


def _list_items(path: str) -> int:
    """`blocks.0` is one level, not two."""
    return sum(part.isdigit() for part in path.split("."))


def number(size: Size) -> Number:
    return size.constant if size.constant is not None else symbolic.symbol_text(size)


def down_to(found: Explained, depth: int) -> Explained:
    """Without the layers, and their params, that lie deeper than this; those above hold their figures."""
    rows = tuple(row for row in found.rows if row.depth <= depth)
    paths = {row.path for row in rows}
    return replace(found, rows=rows, params=tuple(p for p in found.params if p.name.rpartition(".")[0] in paths))


def as_json(found: Explained) -> dict[str, Any]:
    """The report for tools: `layers` in the order of the tree, `params` by tensor."""
    return {
        "layer": found.layer, "sizes": dict(found.sizes), "open": list(found.open), "quotients": dict(found.quotients),
        "inputs": {name: list(shape) for name, shape in found.inputs.items()},
        "layers": [{**vars(row)} for row in found.rows],
        "params": [{"name": p.name, "kind": p.kind, "axes": list(p.dims), "sizes": list(p.sizes), "count": p.count,
                    "bytes": p.bytes} for p in found.params],
        "saved_inputs": found.saved_inputs, "saved_unknown": found.saved_unknown, "gradients": found.gradients,
    }
