"""Turning a linear graph round: from cotangents of what it gives to cotangents of what it is linear in."""

from __future__ import annotations

from collections.abc import Iterable

from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Node, topological
from archc.passes.cotangent import Cotangent, total
from archc.passes.forms import SEVERAL, form_of
from archc.passes.forms.common import Run


def transpose(roots: Iterable[tuple[Node, Cotangent]], seeds: Iterable[Node], run: Run) -> dict[Node, Cotangent]:
    """The cotangent of every seed that a root depends on. Raises NotLinear if a root is not linear in the seeds."""
    roots = tuple(roots)
    order = tuple(topological(root for root, _ in roots))
    seeds = frozenset(seeds)
    linear = set(seeds)
    for current in order:
        if any(arg in linear for arg in current.args):
            linear.add(current)
    came: dict[Node, list[Cotangent]] = {}
    for root, ct in roots:
        if root in linear:
            came.setdefault(root, []).append(ct)
    items: dict[Node, dict[int, Cotangent]] = {}
    for current in reversed(order):
        if current in seeds or current not in linear:
            continue
        if current in items:
            parts = SEVERAL[current.op].pulled(current, linear.__contains__, items.pop(current), run)
        elif current in came:
            ct = total(came.pop(current))
            run.pulls(current, ct.raw)
            if current.op == "item" and current.args[0].op in SEVERAL:
                items.setdefault(current.args[0], {})[current.attrs] = ct  # type: ignore[index]
                continue
            form = form_of(current.op)
            if form is None:
                raise CompilerBug(f"'{current.op}' cannot be transposed")
            parts = form.transpose(current, linear.__contains__, ct, run)
        else:
            continue
        for arg, part in parts:
            came.setdefault(arg, []).append(part)
            if current in run.spans:
                run.spans.setdefault(part.raw, run.spans[current])
    return {seed: total(came[seed]) for seed in seeds if seed in came}


def depends(roots: Iterable[Node], on: frozenset[Node]) -> bool:
    """Whether any root depends on any of the nodes."""
    return any(current in on for current in topological(roots))
