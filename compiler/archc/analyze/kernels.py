"""The kernels of a layer on the C++ target, as data: what each reads, computes, saves and recomputes, and what bounds it.

- read: bytes of the inputs, each as often as a sweep of the kernel goes over it; once where what one place of the parallel axes
  needs stays in the cache. least: each input read once, each result written once.
- flops, special: as `archc.ir.cost` counts them, of the operations that the kernel computes.
- saved: bytes of inputs that the backward kernels use; recomputed: operations of the forward that they do again.
- time: the longest of three: bytes, arithmetic and special functions at the machine's rates. share: what the least bytes would
  take, as a share of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archc.analyze.machine import HERE, Machine
from archc.checker.sizes import product
from archc.checker.types import flat
from archc.codegen.cpp.form import Expr, Kernel
from archc.codegen.cpp.lower import lower
from archc.ir.cost import NOTHING, graph_work, least_traffic, size_in_bytes
from archc.ir.graph import Call, Graph, Node, Scan, topological
from archc.passes.group import FREE, OVER_AXES, group_value
from archc.passes.narrow import narrowings
from archc.passes.scan_class import classify
from archc.passes.stops import stops


@dataclass(frozen=True)
class Row:
    """One kernel at given sizes. Bytes are of float32."""

    name: str
    of: str  # forward, or backward of that kernel
    lines: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    read: int
    written: int
    least: int
    flops: int
    special: int
    saved: int
    recomputed: tuple[str, ...]
    narrowed: tuple[str, ...]
    scans: tuple[str, ...]
    bound: str
    microseconds: float
    share: float
    stops: tuple[str, ...]


def kernels(grouped: Graph, sizes: Mapping[str, int], machine: Machine = HERE) -> list[Row]:
    """The kernels of a grouped graph, each followed by those of its derivative. `sizes` has a number for each symbol."""
    found = []
    around = _around(grouped)
    for n in topological(grouped.roots):
        if not (isinstance(n.attrs, Call) and n.attrs.fused):
            continue
        call = n.attrs
        backward = group_value(call.vjp) if call.wrt else None
        used = {m.attrs for m in topological(call.vjp.roots) if m.op == "input"}
        kept = (port for port in call.body.inputs if port.name in used and port.role == "input")
        saved = sum((size_in_bytes(port.type) for port in kept), NOTHING)
        found.append(_row(call.body, "forward", saved.evaluate(sizes), (), around.get(n, ()), sizes, machine))
        if backward is None:
            continue
        behind = _around(backward)
        for m in topological(backward.roots):
            if isinstance(m.attrs, Call) and m.attrs.fused:
                again = _again(m.attrs.body, call.body)
                found.append(_row(m.attrs.body, f"backward of {call.body.name}", 0, again, behind.get(m, ()), sizes, machine))
    return found


def _row(body: Graph, of: str, saved: int, again: tuple[str, ...], around: tuple[str, ...], sizes: Mapping[str, int],
         machine: Machine) -> Row:
    orders = {port.name: flat(port.layout) for port in body.inputs} | {o.name: flat(o.layout) for o in body.outputs}
    kernel = lower(body, "kernel", orders)
    work, least = graph_work(body).evaluate(sizes), least_traffic(body).evaluate(sizes)
    times = _times(kernel, body, sizes, machine)
    read = sum(size_in_bytes(port.type).evaluate(sizes) * times.get(place, 1) for place, port in enumerate(
        port for port in body.inputs if port.role == "input"))
    seconds = {"bytes": (read + least["written"]) / machine.bytes_per_second,
               "arithmetic": work["flops"] / machine.flops_per_second,
               "special functions": work["special"] / machine.specials_per_second}
    bound = max(seconds, key=seconds.__getitem__)
    fewest = (least["read"] + least["written"]) / machine.bytes_per_second
    words = {m: text for m, text in body.notes.names.items() if "." not in text}
    return Row(
        body.name, of, _lines(body), tuple(p.name for p in body.inputs if p.role == "input"),
        tuple(o.name for o in body.outputs), read, least["written"], least["read"] + least["written"], work["flops"],
        work["special"], saved, again,
        tuple(dict.fromkeys(f"{n.reduction.op}: {n.text(words)}" for n in narrowings(body))),
        tuple(_scan_text(m, m.attrs) for m in topological(body.roots) if isinstance(m.attrs, Scan)),
        bound, 1e6 * seconds[bound], fewest / seconds[bound] if seconds[bound] else 1.0, around)


def _times(kernel: Kernel, body: Graph, sizes: Mapping[str, int], machine: Machine) -> dict[int, int]:
    """How often each input, by its place, comes from memory: once, unless the sweeps of one place do not fit in the cache."""
    places = product(size for _, size in kernel.parallel).evaluate(sizes) or 1
    inputs = [port for port in body.inputs if port.role == "input"]
    near = sum(size_in_bytes(port.type).evaluate(sizes) for port in inputs) / places
    if near <= machine.cache:
        return {}
    sweeps = [frozenset(_arrays(statement)) for statement in kernel.body]
    return {place: max(1, sum(array.name in arrays for arrays in sweeps)) for place, array in enumerate(kernel.inputs)}


def _arrays(part: Any) -> Iterator[str]:
    """The arrays that a part of a kernel loads from."""
    if isinstance(part, Expr) and part.op == "load":
        yield str(part.value)
    if isinstance(part, tuple):
        for element in part:
            yield from _arrays(element)
    elif dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            yield from _arrays(getattr(part, field.name))


def _again(body: Graph, forward: Graph) -> tuple[str, ...]:
    """Operations of the forward that a backward kernel does again, by their names or what they are."""
    known = {n for n in topological(forward.roots) if n.args and n.op not in FREE}
    return tuple(dict.fromkeys(forward.notes.names.get(n, n.op) for n in topological(body.roots) if n in known))


def _around(graph: Graph) -> dict[Node, tuple[str, ...]]:
    found: dict[Node, list[str]] = {}
    for stop in stops(graph, OVER_AXES):
        span = graph.notes.spans.get(stop.node)
        name = graph.notes.names.get(stop.node)
        where = f" at {_file(span.file)}:{span.line}" if span is not None else ""
        named = f" ({name})" if name else ""
        found.setdefault(stop.kernel, []).append(f"{'before' if stop.gives else 'after'}: {stop.why}{named}{where}")
    return {kernel: tuple(dict.fromkeys(texts)) for kernel, texts in found.items()}


def _scan_text(n: Node, scan: Scan) -> str:
    found = classify(scan)
    span = scan.body.notes.spans.get(found.decided_by) if found.decided_by is not None else None
    return f"along {scan.axis.name}: class ({found.letter}), {found.reason}" + (
        f" at {_file(span.file)}:{span.line}" if span is not None else "")


def _lines(body: Graph) -> tuple[str, ...]:
    """`norm.arch:12-15`, one text a file."""
    by_file: dict[str, set[int]] = {}
    for n in topological(body.roots):
        for span in filter(None, (body.notes.spans.get(n),)):
            by_file.setdefault(_file(span.file), set()).add(span.line)
    return tuple(f"{file}:{min(lines)}" + (f"-{max(lines)}" if len(lines) > 1 else "") for file, lines in by_file.items())


def _file(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]
