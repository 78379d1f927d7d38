"""Lowering of sequential loops: one Python loop over the elements, the states carried in variables, what is yielded stacked.

In a module of a half type the loop computes in float32: a state that is rounded at every step would stop growing.
"""

from __future__ import annotations

from dataclasses import replace

from archc.checker.types import LEADING, Axis, flat, layout_of
from archc.codegen.torch import layout
from archc.codegen.torch.form import Assign, Dims, Do, Expr, For, walk
from archc.codegen.torch.layout import literal
from archc.codegen.torch.loop_views import Element, outward
from archc.codegen.torch.lower import Lowering, NeedsFlat, default_name
from archc.codegen.torch.prepare import prepared
from archc.ir.graph import Graph, Node, Port, Scan


def scan(low: Lowering, current: Node) -> Expr:
    """The loop as a statement; its results are kept for the `item` nodes that read them."""
    loop = current.attrs
    assert isinstance(loop, Scan)
    if low.native and loop.axis.name == LEADING:
        raise NeedsFlat
    names = _wished(low, current, loop)
    last = loop.states + loop.sequences
    wide = Wide(low, loop)
    sequences = [wide(layout.squeeze(low.as_tensor(low.value(arg)))) for arg in current.args[loop.states:last]]
    elements = [tuple(d for d in x.dims or () if d != loop.axis) for x in sequences]
    ports = _as_they_lie(loop, [*elements, *(low.value(arg).dims or () for arg in current.args[last:])])
    inner = Lowering(prepared(replace(loop.body, inputs=ports)), low.scope, low.native)
    inner.home = low.home or low.reference
    states = [_start(low, current.args[i], flat(ports[i].layout), names[i], wide) for i in range(loop.states)]
    for port, state in zip(ports, states, strict=False):
        inner.done[port.node] = state
    counter = low.scope.names.fresh(loop.axis.name) if loop.step else "_"
    if loop.step:
        inner.done[ports[-1].node] = layout.name(counter, None, "int")
    over: dict[Expr, Element] = {}
    for i in range(loop.states, last):
        x = sequences[i - loop.states]
        if x not in over:
            over[x] = Element(low.scope.names.fresh(names[i]), x, loop.axis, loop.reverse)
        inner.done[ports[i].node] = layout.name(over[x].target, elements[i - loop.states], x.dtype)
    for i in range(last, len(current.args)):
        x = wide(low.value(current.args[i]))
        inner.done[ports[i].node] = x if x.is_host or _is_view(x) else low.again(x, names[i])
    if wide.dtype:
        inner.home = str(next(state.params[0] for state in states if state.dtype == "float"))
    inner.lasting = {str(part.params[0]) for x in inner.done.values() for part in walk(x) if part.op == "name"}
    yields = [low.scope.names.fresh(f"{names[len(ports) + k]}_steps") for k in range(len(loop.body.outputs) - loop.states)]
    for text in yields:
        low.block.append(Assign((text,), Expr("name", (), ("[]",), None)))
    made = _body(inner, states, yields)
    body, kept = outward(inner.block, list(over.values()), low.bind, low.scope.names.fresh)
    counted = [(counter, _steps(low, loop))] if loop.step or not kept else []
    running = [*counted, *((element.target, element.source()) for element in kept)]
    sources = tuple(source for _, source in running)
    source = sources[0] if len(sources) == 1 else Expr("function", sources, ("zip",), None)
    low.block.append(For(tuple(target for target, _ in running), source, tuple(body)))
    stacked = [_stacked(low, current, loop, k, text, made[k], wide) for k, text in enumerate(yields)]
    low.results[current] = [*(wide.back(state) for state in states), *stacked]
    return literal(0)


def _as_they_lie(loop: Scan, orders: list[Dims]) -> tuple[Port, ...]:
    """The body's inputs, those after the states in the order of dimensions in which they are at hand."""
    found = list(loop.body.inputs)
    for place, dims in enumerate(orders, loop.states):
        order = tuple(dim for dim in dims if dim is not None)
        if frozenset(order) == found[place].type.axes:
            found[place] = replace(found[place], layout=layout_of(order))
    return tuple(found)


class Wide:
    """Values in the type in which a loop computes: float32, or the module's where that holds more. `dtype` is the variable that
    names it; "" in a loop without states of floats, and in one inside of another, where all is wide already."""

    def __init__(self, low: Lowering, loop: Scan) -> None:
        self.low, self.done, self.dtype = low, dict[Expr, Expr](), ""
        if low.home is None and any(port.type.dtype == "float" for port in loop.body.inputs[:loop.states]):
            wide = Expr("function", (layout.name(low.dtype_text), layout.name("torch.float32")), ("torch.promote_types",), None)
            self.dtype = str(low.bind(wide, "wide").params[0])

    def __call__(self, x: Expr) -> Expr:
        """A value so, with the views of it that are taken: they stay outermost, where what reads them may undo them."""
        if not self.dtype or x.is_host or x.dtype != "float":
            return x
        if x.op in VIEWS:
            return replace(x, args=(self(x.args[0]), *x.args[1:]))
        if x not in self.done:
            name = str(x.params[0]).rsplit(".", 1)[-1] if x.op == "name" else "value"
            self.done[x] = self.low.bind(Expr("to_float", (x,), (self.dtype,), x.dims, "float"), name)
        return self.done[x]

    def back(self, x: Expr) -> Expr:
        """What the loop gives, in the module's type."""
        return Expr("to_float", (x,), (self.low.dtype_text,), x.dims, "float") if self.dtype and x.dtype == "float" else x


VIEWS = frozenset({"flatten", "unflatten", "unsqueeze", "view", "transpose", "matrix_transpose", "permute", "squeeze"})


def _is_view(x: Expr) -> bool:
    """A view of a variable is written where it is read: what reads it may undo it, and what is left is taken before the loop."""
    while x.op in VIEWS:
        x = x.args[0]
    return x.op == "name"


def _wished(low: Lowering, current: Node, loop: Scan) -> list[str]:
    """Names for the body's inputs, then for what it yields, from the source where it names them."""
    notes, around = loop.body.notes.names, low.graph.notes.names
    found = []
    for i, (port, arg) in enumerate(zip(loop.body.inputs, current.args, strict=False)):
        named = next((n for n in (arg, *arg.args[:arg.op in ("read", "expand")]) if n in around), None)
        outside = (around[named] if named else default_name(arg)).rsplit(".", 1)[-1]
        if i < loop.states:
            default = notes.get(loop.body.outputs[i].node, "state")
        elif i < loop.states + loop.sequences:
            default = f"{outside}_{loop.axis.name}"
        else:
            default = outside
        found.append(notes.get(port.node, default).rsplit(".", 1)[-1])
    found += [loop.axis.name] * loop.step
    return [*found, *(notes.get(output.node, "y") for output in loop.body.outputs[loop.states:])]


def _start(low: Lowering, arg: Node, order: tuple[Axis, ...], wish: str, wide: Wide) -> Expr:
    """A state's variable with its first value: every axis of the state, in the order in which the source declares them."""
    x = spread(low, low.value(arg), order)
    made = bool(wide.dtype) and x.op == "full" and x.dtype == "float"
    x = replace(x, params=(wide.dtype, *x.params[1:])) if made else wide(x)
    target = low.scope.names.fresh(wish)
    low.block.append(Assign((target,), x))
    return layout.name(target, order, x.dtype)


def spread(low: Lowering, x: Expr, order: tuple[Axis, ...]) -> Expr:
    """A value with these axes in this order; leading dimensions first."""
    order = tuple(sorted(order, key=lambda axis: axis.name != LEADING))
    x = layout.squeeze(low.as_tensor(x))
    if x.axes == frozenset(order):
        return layout.permute(x, order)
    leads = low.native and bool(order) and order[0].name == LEADING and order[0] not in x.axes
    return layout.expand(x, order, low.size, low.lead_shape() if leads else None)


def _steps(low: Lowering, loop: Scan) -> Expr:
    count = low.size(loop.axis.size)
    if not loop.reverse:
        return Expr("function", (count,), ("range",), None)
    return Expr("function", (Expr("sub", (count, literal(1)), (), None, "int"), literal(-1), literal(-1)), ("range",), None)


def _body(inner: Lowering, states: list[Expr], yields: list[str]) -> list[Expr]:
    """One step: what is yielded is appended, then the states take their new values together. Gives the yields."""
    graph: Graph = inner.graph
    values = []
    for output in graph.outputs:
        inner.lower(output.node)
        values.append(inner.value(output.node))
    made = [inner.as_tensor(value) for value in values[len(states):]]
    made = [value.args[0] if value.op == "squeeze" and value.args[0].dims else layout.squeeze(value) for value in made]
    new = []
    for value, state in zip(values, states, strict=False):
        assert state.dims is not None
        new.append(spread(inner, value, tuple(dim for dim in state.dims if dim is not None)))
    for text, value in zip(yields, made, strict=True):
        inner.block.append(Do(Expr("function", (value,), (f"{text}.append",), None)))
    if len(new) == 1:
        inner.block.append(Assign((str(states[0].params[0]),), new[0]))
    elif new:
        inner.block.append(Assign(tuple(str(state.params[0]) for state in states), Expr("list", tuple(new), (), None)))
    return made


def _stacked(low: Lowering, current: Node, loop: Scan, k: int, text: str, element: Expr, wide: Wide) -> Expr:
    """What was yielded as one tensor, empty where there was no step."""
    assert element.dims is not None
    axis = loop.axis
    item = next((reader for reader in low.readers.get(current, ()) if reader.attrs == loop.states + k), None)
    wish = low.wish.get(item, ()) if item is not None else ()
    place = 1 if element.is_leading else 0
    if axis in wish:
        before = wish[:wish.index(axis)]
        place = max(place, sum(1 for dim in element.dims if dim in before))
    joined = element.dims[place:place + 1] == (None,)  # a dimension of size one there takes the steps
    whole = (*element.dims[:place], axis, *element.dims[place + joined:])
    at = place - len(whole) if element.is_leading else place
    steps = layout.name(f"{text}[::-1]" if loop.reverse else text)
    function = "torch.cat" if joined else "torch.stack"
    stacked = layout.squeeze(Expr("function", (steps, literal(at)), (function,), whole, element.dtype))
    dims = tuple(dim for dim in whole if dim is not None)
    shape = [Expr("star", (low.lead_shape(),)) if dim.name == LEADING and low.native else low.size(dim.size)
             for dim in dims if dim is not None]
    dtype = wide.dtype if wide.dtype and element.dtype == "float" else low.dtype_of(element.dtype)
    empty = Expr("zeros", tuple(shape), (dtype, low.device_text), dims, element.dtype)
    made = Expr("select", (layout.name(text), stacked, empty), (), dims, element.dtype)
    return low.bind(wide.back(made), text.removesuffix("_steps"))
