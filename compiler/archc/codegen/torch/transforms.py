"""Lowering of Fourier transforms to torch.fft, through a helper that also knows what nothing is transformed to."""

from __future__ import annotations

from archc.checker.types import LEADING
from archc.codegen.torch import layout
from archc.codegen.torch.form import Expr
from archc.codegen.torch.layout import literal, name
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.ir.graph import Fourier, Node


def fourier(low: Lowering, current: Node) -> Expr:
    """`_fourier(torch.fft.rfftn, x, dim=(1, 2), norm="ortho")`: the axis that changes its size comes last."""
    attrs = current.attrs
    assert isinstance(attrs, Fourier)
    if low.native and any(axis.name == LEADING for axis in attrs.axes):
        raise NeedsFlat
    x = layout.squeeze(low.as_tensor(low.value(current.args[0])))
    assert x.dims is not None
    places = [(x.position(dim), dim) for dim in x.dims if dim in attrs.over]
    dims, sizes = x.dims, [low.size(axis.size) for _, axis in places]
    if attrs.half is not None:
        time, frequency = attrs.half
        taken, made = (time, frequency) if current.op == "rfft" else (frequency, time)
        places.append((x.position(taken), taken))
        dims = tuple(made if dim == taken else dim for dim in x.dims)
        sizes.append(low.size(time.size))
    options = {"dim": Expr("tuple", tuple(literal(place) for place, _ in places)) if len(places) > 1 else literal(places[0][0])}
    if current.op == "irfft":
        options |= {"s": Expr("tuple", tuple(sizes))} if len(sizes) > 1 else {"n": sizes[0]}
    if attrs.norm != "backward":
        options["norm"] = Expr("literal", (), (f'"{attrs.norm}"',))
    torchs = f"torch.fft.{current.op}{'n' * (len(places) > 1)}"
    keywords = (Expr("keyword", (value,), (text,)) for text, value in options.items())
    return Expr("function", (name(torchs), x, *keywords), ("_fourier",), dims, current.type.dtype)
