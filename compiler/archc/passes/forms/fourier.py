"""Fourier transforms are linear; the transpose of one is the transform back, divided where this one is not.

    fft, "backward"  <->  ifft, "forward"       both plain sums
    rfft             <->  irfft, with half of what stands for two frequencies, since irfft counts it twice
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.ir import build
from archc.ir.forms.fourier import counted
from archc.ir.graph import Fourier, Node
from archc.passes.cotangent import Cotangent, times
from archc.passes.forms.common import Parts, Run

BACK = {"fft": "ifft", "ifft": "fft", "rfft": "irfft", "irfft": "rfft"}
SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    moved, attrs = tangents[0], node.attrs
    assert isinstance(attrs, Fourier)
    return None if moved is None else build.fourier(node.op, moved, attrs.over, attrs.half, attrs.norm)


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    attrs = node.attrs
    assert isinstance(attrs, Fourier)
    value = ct.value
    if node.op == "rfft":
        assert attrs.half is not None
        value = times(build.expand(value, attrs.half[1:]), counted(*attrs.half, 0.5))
    back = build.fourier(BACK[node.op], value, attrs.over, attrs.half, SWAPPED[attrs.norm])
    if node.op == "irfft":
        assert attrs.half is not None
        back = times(back, counted(*attrs.half, 2.0))
    yield node.args[0], Cotangent(back)
