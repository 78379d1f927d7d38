"""Lowering of random draws, sub-modules and functions with a derivative of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archc.checker.types import LEADING, Axis, Layout, flat, layout_of
from archc.codegen.torch import layout, names
from archc.codegen.torch.form import Assign, Dims, Expr
from archc.codegen.torch.layout import literal
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.ir.graph import Call, Member, Node, Output, Random, Read, Scan, topological


def random(low: Lowering, current: Node) -> Expr:
    """A fresh draw for every element, as torch's generator gives them in memory order."""
    attrs = current.attrs
    assert isinstance(attrs, Random)
    args = [low.value(arg) for arg in current.args]
    order = attrs.axes
    wish = low.wish.get(current, ())
    if attrs.kind in ("uniform", "normal", "bernoulli", "trunc_normal") and frozenset(wish) == current.axes:
        order = wish  # every element is drawn alike, so that any order will do
    order = tuple(sorted(order, key=lambda axis: axis.name != LEADING))
    if low.scope.constructing and all(arg.is_host for arg in args):
        return draw(attrs.kind, _made(low, "torch.empty", order), args, order)
    return _fresh(low, attrs.kind, args, order)


def _by(low: Lowering) -> list[Expr]:
    """The generator that the caller may have given; None is torch's own."""
    return [Expr("keyword", (layout.name("generator"),), ("generator",))] if low.scope.generator else []


def draw(kind: str, into: Expr, args: list[Expr], order: Dims) -> Expr:
    """Fills a tensor in place: the calls of torch.nn.init, so that a seed gives the familiar numbers."""
    if kind in ("uniform", "normal", "bernoulli"):
        return Expr("method", (into, *args), (f"{kind}_",), order, "float")
    return Expr("function", (into, *args), (f"nn.init.{kind}_",), order, "float")


def _shape(low: Lowering, order: tuple[Axis, ...]) -> tuple[Expr, ...]:
    def one(axis: Axis) -> Expr:
        return Expr("star", (low.lead_shape(),)) if axis.name == LEADING and low.native else low.size(axis.size)

    return tuple(map(one, order))


def _made(low: Lowering, function: str, order: tuple[Axis, ...], *more: Expr) -> Expr:
    keywords = [Expr("keyword", (layout.name(value),), (text,))
                for text, value in (("dtype", low.dtype_text), ("device", low.device_text))]
    shape = _shape(low, order) or (Expr("tuple"),)
    return Expr("function", (*shape, *keywords, *more), (function,), order, "float")


def _fresh(low: Lowering, kind: str, args: list[Expr], order: tuple[Axis, ...]) -> Expr:
    """Out of place, which is what `vmap` can draw apart: of a standard draw, scaled; of probabilities, one for each element."""
    if kind == "bernoulli":
        lead = low.lead_shape() if low.native and order and order[0].name == LEADING else None
        p = args[0] if not args[0].is_host else Expr(
            "full", (Expr("tuple", _shape(low, order)), args[0]), (low.dtype_text, low.device_text), order, "float")
        p = layout.expand(layout.align(p, order), order, low.size, lead)
        return Expr("function", (p, *_by(low)), ("torch.bernoulli",), order, "float")
    if kind not in ("uniform", "normal"):
        raise AssertionError(f"{kind} is drawn for params")
    unit = _made(low, "torch.rand" if kind == "uniform" else "torch.randn", order, *_by(low))
    location, scale = (layout.align(arg, order) for arg in args)
    if kind == "uniform":
        scale = _difference(scale, location)
    if scale.params != (1.0,):
        unit = Expr("mul", (scale, unit), (), order, "float")
    return unit if location.params == (0.0,) else Expr("add", (location, unit), (), order, "float")


def _difference(x: Expr, y: Expr) -> Expr:
    from archc.codegen.torch.elementwise import broadcast

    if x.op in ("literal", "negative") and y.op in ("literal", "negative"):
        return literal(float(x.params[0]) - float(y.params[0]))  # type: ignore[arg-type]
    return Expr("sub", (x, y), (), None if x.is_host and y.is_host else broadcast((x, y)), "float")


def dropout(low: Lowering, current: Node) -> Expr:
    x, p = (low.value(arg) for arg in current.args)
    x = layout.squeeze(low.as_tensor(x))
    training = low.scope.training
    if low.scope.generator is not None:
        mode = layout.name(training) if training else literal(True)
        return Expr("function", (x, p, mode, layout.name("generator")), ("_dropout",), x.dims, "float")
    return Expr("dropout", (x, p), (training or "True",), x.dims, "float")


# ------------------------------------------------------------------------------------------------ sub-modules
def member(low: Lowering, current: Node) -> Expr:
    """`y = self.norm(x)`; several results are unpacked."""
    attrs = current.attrs
    assert isinstance(attrs, Member)
    args = tuple(memory(low, low.value(arg), where) for arg, where in zip(current.args, attrs.layouts, strict=True))
    args += (layout.name(low.scope.states[attrs.state]),) if attrs.state else ()
    args += tuple(_by(low)) if (attrs.path, attrs.method) in low.scope.drawing else ()
    text = names.path(attrs.path) + ("" if attrs.method == "forward" else f".{names.attribute(attrs.method)}")
    wish = attrs.path.split(".")[-1]
    results = [Expr("function", args, (text,), layout.entry_dims(where), type_.dtype)
               for where, type_ in zip(attrs.results, attrs.types, strict=True)]
    return _results(low, current, results, names.python_name(wish if not wish.isdigit() else attrs.path.split(".")[-2]),
                    attrs.state)


def _results(low: Lowering, current: Node, results: list[Expr], wish: str, state: str = "", named: Sequence[str] = ()) -> Expr:
    """The results of a call, unpacked where there are several; `state` is given last, and kept under its name."""
    if len(results) == 1 and not state:
        low.results[current] = results
    else:
        wishes = named or ([f"{wish}_{i}" for i in range(len(results))] if len(results) > 1 else [f"{wish}_result"])
        targets = tuple(low.scope.names.fresh(text) for text in wishes)
        if state:
            targets = (*targets, low.scope.names.fresh(low.scope.states[state]))
            low.scope.states[state] = targets[-1]
        low.block.append(Assign(targets, results[0]))
        low.results[current] = [layout.name(t, r.dims, r.dtype) for t, r in zip(targets, results, strict=False)]
    return results[0]


def memory(low: Lowering, x: Expr, where: Layout) -> Expr:
    """A value as another function takes it."""
    leads = bool(where) and [axis.name for axis in where[0]] == [LEADING]
    x = low.as_tensor(x)
    return layout.to_memory(x, where, low.size, low.lead_shape() if leads and low.native and not x.is_leading else None)


def item(low: Lowering, current: Node) -> Expr:
    source = current.args[0]
    assert isinstance(current.attrs, int)
    x = low.results[source][current.attrs]
    attrs = source.attrs
    if isinstance(attrs, Scan):
        return x
    if isinstance(attrs, Member):
        where = attrs.results[current.attrs]
    else:
        assert isinstance(attrs, Call)
        where = low.calls[source].body.outputs[current.attrs].layout
    x = layout.split_dims(x, where, low.size, low.infer)
    return layout.squeeze(x) if x.dims and None in x.dims else x


def call(low: Lowering, current: Node) -> Expr:
    """`y = _Binary.apply(x, n)`: the tensors, then the sizes that its text mentions, then the generator that it draws by."""
    attrs = current.attrs
    assert isinstance(attrs, Call)
    attrs = _relaid(attrs, [low.value(arg) for arg in current.args])
    layouts = (*(port.layout for port in attrs.body.inputs), *(output.layout for output in attrs.body.outputs))
    leads = any(axis.name == LEADING for where in layouts for axis in flat(where))
    if attrs.fused and leads and low.native:
        raise NeedsFlat
    function = low.scope.functions(attrs, low.native)
    pairs = list(zip(current.args, attrs.body.inputs, strict=False))
    pairs.sort(key=lambda pair: attrs.fused and pair[1].role == "number")  # a group takes its tensors first
    args = [low.value(arg) if port.role == "number" else memory(low, low.value(arg), port.layout) for arg, port in pairs]
    args += [layout.name(low.scope.inputs[port]) for port in function.ports]
    args += [Expr("name", (), (low.symbol(symbol),), None, "int") for symbol in function.symbols]
    args += [layout.name(low.scope.generator or "None")] if function.draws else []
    text = function.name if attrs.fused else f"{function.name}.apply"
    results = [
        Expr("function", tuple(args), (text,), layout.entry_dims(output.layout), output.node.type.dtype)
        for output in attrs.body.outputs
    ]
    low.calls[current] = attrs
    named = [output.name for output in attrs.body.outputs] if attrs.fused else ()
    return _results(low, current, results, names.python_name(attrs.body.name), named=named)


def _with_places(order: tuple[Axis, ...], call: Call) -> list[Axis]:
    """Axes in order, behind each one those by which the call reads along it: a result lies like what it is read from."""
    behind: dict[Axis, list[Axis]] = {axis: [axis] for axis in order}
    for current in topological(call.body.roots):
        if isinstance(current.attrs, Read):
            for at, index in zip(current.attrs.at, current.args[1:], strict=False):
                if at.axis in behind:
                    behind[at.axis] += sorted(index.axes - {*order, *behind[at.axis]}, key=lambda axis: axis.name)
    return [axis for axes in behind.values() for axis in axes]


def _relaid(call: Call, args: list[Expr]) -> Call:
    """The call with its inputs and results in the order of dimensions in which the arguments lie."""
    graphs = (call.body, call.vjp)
    layouts = [port.layout for graph in graphs for port in graph.inputs]
    layouts += [output.layout for graph in graphs for output in graph.outputs]
    if any(len(dim) != 1 for where in layouts for dim in where):
        return call
    orders = [tuple(dim for dim in arg.dims or () if dim is not None) for arg in args]
    whole = layout.merge([_with_places(order, call) for order in orders])
    own = {port.name: layout_of(order) for port, order in zip(call.body.inputs, orders, strict=False)
           if frozenset(order) == port.type.axes}

    def result(output: Output) -> Layout:
        axes = flat(output.layout)
        return layout_of(sorted(axes, key=lambda axis: whole.index(axis) if axis in whole else len(whole) + axes.index(axis)))

    outputs = tuple(replace(output, layout=result(output)) for output in call.body.outputs)
    taken = tuple(replace(port, layout=own.get(port.name, port.layout)) for port in call.body.inputs)
    body = replace(call.body, inputs=taken, outputs=outputs)
    known = {port.name for port in call.body.inputs}
    given = iter(outputs)
    inputs = []
    for port in call.vjp.inputs:
        if port.role == "input" and port.name not in known:
            inputs.append(replace(port, layout=next(given).layout))
        else:
            inputs.append(replace(port, layout=own.get(port.name, port.layout)))
    pulls = tuple(replace(output, layout=own.get(text, output.layout))
                  for output, text in zip(call.vjp.outputs, call.wrt, strict=True))
    return replace(call, body=body, vjp=replace(call.vjp, inputs=tuple(inputs), outputs=pulls))


