"""From a sum over windows to its kernel: one call of the printed file's `window_sums` or `window_weights`, with what these need
to know of where each axis lies."""

from __future__ import annotations

from collections.abc import Iterable

from archc.checker.sizes import Size, product
from archc.checker.types import Axis, flat
from archc.codegen.cpp.form import Kernel, Strided, Sums, Window, verify
from archc.codegen.cpp.lower import ALONE, USED, arrays_of, symbols_of
from archc.codegen.torch.names import Names
from archc.ir.graph import Graph
from archc.passes.windows import MOST, Along, Windows

BORDERS = {"fill": "FILL", "trust": "FILL", "edge": "EDGE", "reflect": "REFLECT", "wrap": "WRAP"}
ONE = Size.of(1)


def lower(graph: Graph, found: Windows, name: str, doc: str) -> Kernel:
    """The kernel of a graph whose one result is this sum."""
    (output,) = graph.outputs
    ports = {port.node: port for port in graph.inputs}
    x, other = ports[found.x], ports[found.other]
    in_x, in_other, in_result = (_strides(flat(layout)) for layout in (x.layout, other.layout, output.layout))
    in_y, in_weights = (in_other, in_result) if found.weights else (in_result, in_other)
    order = flat(x.layout)
    along = sorted(found.along, key=lambda a: order.index(a.axis))

    def strided(axes: Iterable[Axis], first: dict[Axis, Size], second: dict[Axis, Size]) -> tuple[Strided, Strided]:
        laid = sorted(axes, key=lambda axis: (order.index(axis) if axis in order else len(order), axis.name))
        return tuple((axis.size, first[axis]) for axis in laid), tuple((axis.size, second[axis]) for axis in laid)

    def window(a: Along) -> Window:
        taps, tap_stride = (a.tap.size, in_weights[a.tap]) if a.tap else (ONE, ONE)
        return Window(a.axis.size, a.place.size, taps, in_x[a.axis], in_y[a.place], tap_stride, a.step, a.dilation, a.offset,
                      a.divide, BORDERS[a.border])

    batch, channels = strided(found.batch, in_x, in_y), strided(found.channels, in_x, in_weights)
    filters = strided(found.filters, in_weights, in_y)
    sums = Sums(x.name, other.name, output.name, found.weights, batch, channels, filters, tuple(map(window, along)))
    inputs, outputs = arrays_of(graph)
    names = Names([name, *(array.name for array in (*inputs, *outputs)), *USED])
    work = product(axis.size for axis in found.root.args[0].axes)
    most = None if found.work.constant is not None else (found.work, MOST)
    made = Kernel(name, doc, inputs, outputs, symbols_of(graph, names), (), (), None, (), work, ALONE, before=(sums,), most=most)
    verify(made)
    return made


def _strides(order: tuple[Axis, ...]) -> dict[Axis, Size]:
    """How far apart neighbours along each axis lie."""
    found: dict[Axis, Size] = {}
    stride = ONE
    for axis in reversed(order):
        found[axis] = stride
        stride = stride * axis.size
    return found
