"""Turning a linear graph round: from cotangents of what it gives to cotangents of what it is linear in.

Complex cotangents are torch's: dL/d(re z) + i dL/d(im z) of a real L, so that dL is the real part of conj(cotangent) dz. What is
multiplied by w on the way forth is multiplied by conj(w) on the way back; a float that met complex numbers takes the real part.
"""

from __future__ import annotations

from collections.abc import Iterable

from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Node, topological
from archc.passes.cotangent import Cotangent, real, total
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

    def arrives(at: Node, ct: Cotangent) -> None:
        came.setdefault(at, []).append(real(ct) if at.type.dtype == "float" else ct)

    for root, ct in roots:
        if root in linear:
            arrives(root, ct)
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
            arrives(arg, part)
            if current in run.spans:
                run.spans.setdefault(part.raw, run.spans[current])
    return {seed: total(came[seed]) for seed in seeds if seed in came}


def depends(roots: Iterable[Node], on: frozenset[Node]) -> bool:
    """Whether any root depends on any of the nodes."""
    return any(current in on for current in topological(roots))
