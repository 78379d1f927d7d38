"""Steps of an emitted class: a method that takes one element and the states, and the named tuple that holds the states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archc.checker.sizes import Size
from archc.checker.types import LEADING, flat
from archc.codegen.torch import entry, names
from archc.codegen.torch.form import Assign, Branch, Expr, Function, Raise, Return, Statement
from archc.codegen.torch.layout import name
from archc.codegen.torch.lower import Lowering, Scope
from archc.codegen.torch.methods import Registry, checks, draws, modes, native_first, shape, signature, sizes
from archc.codegen.torch.names import Names
from archc.codegen.torch.prepare import prepared
from archc.codegen.torch.scans import spread
from archc.diagnostics.codes import NO_STEP
from archc.ir.graph import Graph, Port
from archc.ir.module import Method, Step

Drawing = frozenset[tuple[str, str]]


def field(text: str) -> str:
    """A field of a named tuple: those may not begin with an underscore, nor be called as what every tuple has."""
    found = names.python_name(text)
    return f"{found.lstrip('_')}_" if found.startswith("_") or found in ("count", "index") else found


def state_class(found: Method, title: str, owner: str, fields: Mapping[str, str]) -> list[str]:
    """The class of the states of a step. `fields` has the classes of the states of sub-modules."""
    step = found.step
    assert step is not None
    ports = {port.name: port for port in found.eval.inputs}
    lines = [f"class {title}(NamedTuple):", f'    """What {owner}.{found.name} has of the elements of {step.axis} so far."""', ""]
    lines += [f"    {field(text)}: Tensor  # {shape(ports[text].layout)}" for text in step.states]
    return [*lines, *(f"    {field(text)}: {fields[text]}" for text in step.fields)]


def step_method(found: Method, title: str, owner: str, numbers: Mapping[str, str], known: Sequence[str],
                registry: Registry, drawing: Drawing) -> Function:
    """The method. `title` is the class of its states, empty where it has none; `drawing` as of `methods.method`."""
    assert found.step is not None
    if found.step.refused:
        return _refused(found, found.step, owner)
    train, other, by_mode = modes(found)
    start = prepared(found.step.start)
    graphs = (train, other, start)
    return native_first(lambda native: _step(found, graphs, by_mode, title, owner, numbers, known, registry, drawing, native))


def _refused(found: Method, step: Step, owner: str) -> Function:
    message = NO_STEP.title.format(what=owner, axis=step.axis, why=step.refused).replace("{", "{{").replace("}", "}}")
    arguments = (("self", "", None), ("*inputs", "Any", None))
    return Function("step", arguments, "Any", (Raise(name("True"), "NotImplementedError", message),),
                    doc=f"{owner} has no step.")


def _step(found: Method, graphs: tuple[Graph, Graph, Graph], by_mode: str | None, title: str, owner: str,
          numbers: Mapping[str, str], known: Sequence[str], registry: Registry, drawing: Drawing, native: bool) -> Function:
    train, other, start = graphs
    step = found.step
    assert step is not None
    ports = {port.name: port for graph in graphs for port in graph.inputs}
    inputs = [port for port in train.inputs if port.role == "input" and port.name not in step.states]
    written = {text: names.argument(text) for text in (*(port.name for port in inputs), *(n.name for n in found.numbers))}
    unique = Names(written.values())
    state = unique.fresh("state")
    held = {text: unique.fresh(field(text)) for text in (*step.states, *step.fields)}
    paths = {text: names.path(text) for text in ports if text not in written and text not in held}
    generator = "generator" if draws(found.train, drawing) or draws(found.eval, drawing) else None
    scope = Scope({**written, **held, **paths}, {**numbers, **sizes(found)}, unique, registry, by_mode, generator=generator,
                  drawing=drawing)
    bodies = []
    for graph in [train] if train is other else [train, other]:
        scope.names = unique.branch()
        bodies.append(_body(graph, scope, native, step, held, title))
    scope.names = unique.branch()
    opening = _opening(start, scope, native, step, held, state) if held else []
    without = [replace(graph, inputs=tuple(p for p in graph.inputs if p.name not in step.states)) for graph in (train, other)]
    head = [*checks(found), *entry.statements(Lowering(start, scope, native), without if train is not other else without[:1],
                                              known, found.defaults, sizes(found))]
    if step.eval_only:
        head.insert(0, Raise(name("self.training"), "RuntimeError",
                             f"{owner}.{found.name} does what {owner} does in eval mode; call eval() first"))
    body = bodies[0] if len(bodies) == 1 else [Branch(name("self.training"), tuple(bodies[0])), *bodies[1]]
    arguments = signature(found, inputs)
    if held:
        arguments.append((state, f"{title} | None", "None"))
    if generator:
        arguments += [("*", "", None), ("generator", "torch.Generator | None", "None")]
    results = ["Tensor"] * (len(train.outputs) - len(step.states)) + [title] * bool(held)
    result = results[0] if len(results) == 1 else f"tuple[{', '.join(results)}]"
    return Function(found.name, tuple(arguments), result, (*head, *opening, *body), doc=_doc(inputs, train, step, bool(held)))


def _doc(inputs: Sequence[Port], graph: Graph, step: Step, held: bool) -> str:
    taken = ", ".join(f"{port.name}{shape(port.layout)}" for port in inputs)
    outputs = graph.outputs[:len(graph.outputs) - len(step.states)]
    given = ", ".join((output.name if len(outputs) > 1 else "") + shape(output.layout) for output in outputs)
    what = f"One element of {step.axis}" + (": the states after it come last, and are None before the first." if held else ".")
    return f"{what}\n\n{taken} -> {given}"


def _opening(start: Graph, scope: Scope, native: bool, step: Step, held: Mapping[str, str], state: str) -> list[Statement]:
    """The states as variables: those before the first step, or those given."""
    low = Lowering(start, scope, native)
    for output in start.outputs:
        low.lower(output.node)
        low.block.append(Assign((held[output.name],), spread(low, low.value(output.node), flat(output.layout))))
    first = [*low.block, *(Assign((held[text],), name("None")) for text in step.fields)]
    given: list[Statement]
    if len(held) == 1:
        given = [Assign((target,), name(f"{state}.{field(text)}")) for text, target in held.items()]
    else:
        given = [Assign(tuple(held.values()), name(state))]
    for output in start.outputs:
        if not native and output.layout and output.layout[0][0].name == LEADING:
            given.append(_flat(low, held[output.name], len(output.layout) - 1))
    return [Branch(Expr("name", (), (f"{state} is None",), None, "bool"), tuple(first), tuple(given))]


def _flat(low: Lowering, text: str, rank: int) -> Statement:
    """A state with its leading dimensions made one, as the inputs have them."""
    shape_ = Expr("shape", (), (text,), None, "int")
    rest = [Expr("star", (Expr("subscript", (shape_,), (f"-{rank}:",)),))] if rank else []
    return Assign((text,), Expr("reshape", (name(text, ()), low.size(Size.symbol(LEADING)), *rest), (), ()))


def _body(graph: Graph, scope: Scope, native: bool, step: Step, held: Mapping[str, str], title: str) -> list[Statement]:
    scope.states = {text: held[text] for text in step.fields}
    low = Lowering(graph, scope, native)
    results = list(low.outputs())
    count = len(results) - len(step.states)
    if held:
        after = (*results[count:], *(name(scope.states[text]) for text in step.fields))
        results = [*results[:count], Expr("function", after, (title,), None)]
    return [*low.block, Return(tuple(results))]

