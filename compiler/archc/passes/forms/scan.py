"""Loops. A loop's tangent is a loop, and so is its transpose, which runs the other way.

    s = next(s, x, c),  y = give(s, x, c)        over x[t], from a start, with constants c

Before a derivative is taken, `saving` lets the loop also yield the states that each of its steps started with. Its tangent

    ts = d next(ts, tx, tc),  ty = d give(ts, tx, tc)

carries the tangents of the states alone: the saved states enter as sequences like x, and what else a step needs of the value it
computes again from these, with the same draws. Transposed, the cotangents of y enter as sequences and the one of the last state
is where it starts; the one of the start is its last state, those of x are yielded, and those of c are summed up in states of
their own. A cotangent that counts only where a condition holds takes its condition along in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Union

from archc.checker.types import Axis, Type
from archc.ir import build
from archc.ir.graph import Graph, Node, Port, Scan, inside, topological
from archc.passes.cotangent import Cotangent, sum_over
from archc.passes.forms.common import ZERO, NotLinear, Parts, Run, fresh_name
from archc.passes.loops import Loop, State, items, port

FALSE = build.const(False)


def saving(node: Node) -> Node:
    """The loop with each of its states, as a step starts with it, among its yields. Its other results keep their numbers."""
    loop = Loop.of(node)
    missing = [state.port.node for state in loop.states if state.port.node not in loop.yields]
    loop.yields += missing
    return loop.node() if missing else node


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    """The loop that carries the tangents; those of its single results are put into `run.results`."""
    from archc.passes import linearise  # which calls this module

    scan: Scan = node.attrs  # type: ignore[assignment]
    primal, ports = Loop.of(node), scan.body.inputs
    taken = {port.name for port in ports}
    called = _names(node, run)
    made = {of: port(fresh_name(f"t_{called.get(of, of.name)}", taken), of.type) for of in ports}
    seeds: dict[Node, Node] = {}
    loop = Loop(primal.axis, primal.reverse, step=primal.step)
    for place, (of, moved) in enumerate(zip(ports, tangents, strict=False)):
        if moved is None:
            continue
        sequence = scan.states <= place < scan.states + scan.sequences and primal.axis in moved.axes
        if place >= scan.states:  # what lacks axes of its operand enters without them
            made[of] = port(made[of].name, Type(of.type.dtype, moved.axes - {primal.axis} if sequence else moved.axes))
            (loop.sequences if sequence else loop.constants).append((made[of], moved))
        seeds[of.node] = made[of].node
    while True:  # a state moves if what it is after a step does
        body = linearise.ready(scan.body, seeds)
        inner = Run(body, run)
        moved_of = linearise.tangents((output.node for output in body.outputs), seeds, inner)
        results = [moved_of[output.node] for output in body.outputs]
        further = {of.node: made[of].node for of, after in zip(ports, results[: scan.states], strict=False) if after is not None}
        if further.keys() <= seeds.keys():
            break
        seeds |= further
    moves = [state.port.node in seeds for state in primal.states] + [y is not None for y in results[scan.states :]]
    for state, moved, after in zip(primal.states, tangents, results, strict=False):
        saved = items(node)[scan.states + primal.yields.index(state.port.node)]
        run.names.setdefault(saved, f"{called.get(state.port, state.port.name)}_saved")
        loop.sequences.append((state.port, saved))
        if state.port.node in seeds:
            loop.states.append(State(made[state.port], build.expand(moved or ZERO, state.port.type.axes), after or ZERO))
    loop.sequences += primal.sequences
    loop.constants += primal.constants
    loop.yields = [given for given in results[scan.states :] if given is not None]
    loop.notes = inner.notes
    if not any(moves):
        return None
    found = loop.without_unused().node()
    given = iter(items(found))
    run.results[node] = tuple(next(given) if moving else None for moving in moves)
    if node in run.spans:
        run.spans[found] = run.spans[node]
    return found


def _names(node: Node, run: Run) -> dict[Port, str]:
    """What the source calls the inputs of a loop's body: its states by themselves, its operands outside."""
    scan: Scan = node.attrs  # type: ignore[assignment]
    inside, found = scan.body.notes.names, {}
    for of, arg in zip(scan.body.inputs, node.args, strict=False):
        name = inside.get(of.node) or run.names.get(arg) or (arg.attrs if isinstance(arg.attrs, str) else "")
        if name:
            found[of] = name.rsplit(".", 1)[-1]
    return found


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    """Of what has several results `pulled` answers for all of its items together."""
    raise NotLinear(node)


# ------------------------------------------------------------------------------------------------- the transpose
Place = Union[State, int]  # of a result: a last state, or which yield


class _Turned:
    """The loop in the other direction while it is put together, and what its results are cotangents of."""

    def __init__(self, forward: Loop) -> None:
        self.loop = Loop(forward.axis, not forward.reverse, step=forward.step)
        self.answers: list[tuple[Node, Place, Place | None, dict[Axis, Axis]]] = []
        self._taken = {of.name for of, _ in (*forward.sequences, *forward.constants)} | {"step"}
        self._taken |= {state.port.name for state in forward.states}

    def name(self, of: str) -> str:
        return fresh_name("d_" + of.removeprefix("t_"), self._taken)

    def entering(self, of: str, ct: Cotangent) -> Cotangent:
        """The cotangent of a yield, in the body."""
        mask = None if ct.mask is None else self._operand(f"{of}_counts", ct.mask)
        return Cotangent(self._operand(of, ct.value), mask, clean=True)

    def _operand(self, of: str, arg: Node) -> Node:
        """What enters, step by step if it differs from step to step."""
        made = port(self.name(of), Type(arg.type.dtype, arg.axes - {self.loop.axis}))
        (self.loop.sequences if self.loop.axis in arg.axes else self.loop.constants).append((made, arg))
        return made.node

    def state(self, of: str, type_: Type, start: Node | None) -> State:
        zero = FALSE if type_.dtype == "bool" else ZERO
        return State(port(self.name(of), type_), build.expand(start or zero, type_.axes))

    def carried(self, arg: Node, value: State, mask: State | None, back: dict[Axis, Axis]) -> None:
        self.loop.states += [value] if mask is None else [value, mask]
        self.answers.append((arg, value, mask, back))

    def yielded(self, arg: Node, ct: Cotangent) -> None:
        first = len(self.loop.yields)
        self.loop.yields += [ct.value] if ct.mask is None else [ct.value, ct.mask]
        self.answers.append((arg, first, None if ct.mask is None else first + 1, {}))


def pulled(current: Node, linear: Callable[[Node], bool], cts: Mapping[int, Cotangent], run: Run) -> Parts:
    """The transpose of a loop that is linear in its states and in some operands."""
    from archc.passes.transpose import transpose as turn  # which calls this module

    scan: Scan = current.attrs  # type: ignore[assignment]
    forward, inner = Loop.of(current), Run(scan.body, run)
    operands = [*forward.sequences, *forward.constants]
    for of, arg in operands:
        inner.facts.know(of.node, run.facts.of(arg))
    seeds = [*(state.port.node for state in forward.states), *(of.node for of, arg in operands if linear(arg))]
    turned = _Turned(forward)
    moved = items(current)[scan.states :]
    roots = [(given, turned.entering(run.called(moved[k]) or f"y{k}", cts[scan.states + k]))
             for k, given in enumerate(forward.yields) if scan.states + k in cts]
    lasts = [cts.get(k) for k in range(scan.states)]
    values = [turned.state(state.port.name, state.port.type, last.value if last else None)
              for state, last in zip(forward.states, lasts, strict=True)]
    # A cotangent counts under a condition if it does so at the end and after every step; one that never came counts nowhere.
    choices = any(ct.mask is not None for ct in cts.values()) or _chooses(scan.body)
    masks = [turned.state(f"{state.port.name}_counts", Type("bool", state.port.type.axes), last.mask if last else None)
             if choices and (last is None or last.mask is not None) else None
             for state, last in zip(forward.states, lasts, strict=True)]
    while True:
        came = [(state.after, sum_over(Cotangent(value.port.node, mask.port.node if mask else None, clean=True),
                                       state.port.type.axes - state.after.axes))
                for state, value, mask in zip(forward.states, values, masks, strict=True) if state.after is not None]
        pulls = turn((*came, *roots), seeds, inner)
        back = [pulls.get(state.port.node) for state in forward.states]
        everywhere = [mask is not None and pull is not None and pull.mask is None for mask, pull in zip(masks, back, strict=True)]
        if not any(everywhere):
            break
        masks = [None if bare else mask for mask, bare in zip(masks, everywhere, strict=True)]
    for state, value, mask, pull in zip(forward.states, values, masks, back, strict=True):
        value.after = pull.value if pull else ZERO
        if mask is not None:
            mask.after = pull.mask if pull else FALSE
        turned.carried(state.start, value, mask, {})
    for of, arg in forward.sequences:
        if of.node in pulls:
            turned.yielded(arg, pulls[of.node])
        elif not linear(arg):
            turned.loop.sequences.append((of, arg))
    for of, arg in forward.constants:
        if of.node in pulls:
            _summed(turned, of.name, arg, pulls[of.node], run)
        elif not linear(arg):
            turned.loop.constants.append((of, arg))
    turned.loop.notes = inner.notes
    found = turned.loop.without_unused().node()
    if current in run.spans:
        run.spans[found] = run.spans[current]
    results = items(found)

    def result(place: Place) -> Node:
        return results[turned.loop.states.index(place) if isinstance(place, State) else len(turned.loop.states) + place]

    for arg, value_at, mask_at, names in turned.answers:
        if linear(arg):
            counts = None if mask_at is None else build.rename(result(mask_at), names)
            yield arg, Cotangent(build.rename(result(value_at), names), counts, clean=True)


def _summed(turned: _Turned, of: str, arg: Node, ct: Cotangent, run: Run) -> None:
    """A state that sums the cotangents of a constant over the steps. It may not have the loop's axis, so that of a constant which
    has it is summed under another name."""
    names = {axis: run.twin(axis) for axis in arg.axes & {turned.loop.axis}}
    axes = frozenset(names.get(axis, axis) for axis in arg.axes)
    value = turned.state(of, Type(arg.type.dtype, axes), None)
    value.after = build.apply("add", value.port.node, build.rename(ct.value, names))
    mask = None if ct.mask is None else turned.state(f"{of}_counts", Type("bool", axes), None)
    if mask is not None and ct.mask is not None:
        mask.after = build.apply("or", mask.port.node, build.rename(ct.mask, names))
    turned.carried(arg, value, mask, {new: old for old, new in names.items()})


def _chooses(graph: Graph) -> bool:
    """Whether anything in a graph is chosen by a condition."""
    nodes = list(topological(graph.roots))
    return any(current.op == "where" for current in nodes) or any(
        _chooses(inner) for inner in dict.fromkeys(inner for current in nodes for inner in inside(current)))
