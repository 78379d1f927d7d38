"""Join producers and consumers that one kernel computes together.

A group is a `call` marked `fused`: a graph of elementwise operations and reductions, with its derivative beside it. All of its
results share parallel axes, along which the kernel's work is independent; everything else happens inside, and what lies between
its operations is never written to memory.

    y = x * rsqrt(mean[c](x * x) + eps) * gamma          one group, parallel over n

Sums of products that are larger than each factor are in a group where `contractions` says that they pay. All others, reads,
draws and sub-modules end a group: a library, or a pass of its own, does them better. A loop whose steps a kernel can compute is a
group of its own, and so is a sum over windows.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from archc.checker.types import Axis, Type, layout_of
from archc.ir import build
from archc.ir.graph import Accumulate, Call, Graph, Node, Output, Port, carry, node, topological, users
from archc.ops.table import OPS
from archc.passes.base import Keeps, Pass, run
from archc.passes.contractions import Around, kernels, sides
from archc.passes.distribute import DISTRIBUTE
from archc.passes.forms.common import fresh_name
from archc.passes.gather import GATHER
from archc.passes.gradient import gradient
from archc.passes.group_loops import loops, starts
from archc.passes.hoist import HOIST
from archc.passes.outer_sums import OUTER_SUMS
from archc.passes.simplify import SIMPLIFY
from archc.passes.slices import slices, wholes
from archc.passes.stops import refusal
from archc.passes.windows import windows

LEAVES = frozenset({"const", "size", "iota"})
INNER = frozenset({"var", "std", "logsumexp", "softmax", "log_softmax"})
"""Rows whose meaning goes over their axes a second time."""

OVER_AXES = INNER | {"sum", "mean", "max", "min", "any", "all", "finite_max"}
"""Rows over axes that a kernel may compute: in any order, and with a derivative that goes over the same axes."""

FREE = frozenset({"expand", "to_float", "detach", "neg", "accumulate"})
LEAST_WORK = 2  # operations beside the free ones: fewer are not worth a kernel
TIDY = (SIMPLIFY, GATHER, SIMPLIFY, DISTRIBUTE, HOIST, OUTER_SUMS, SIMPLIFY)


@dataclass(eq=False)
class Cluster:
    """Operations of one group, in the order of the graph."""

    members: dict[Node, None] = field(default_factory=dict)
    stage: int = 0
    results: list[Node] = field(default_factory=list)
    known: frozenset[Node] = frozenset()  # what the kernel computes, or reads where it lies, wherever it needs it


# ------------------------------------------------------------------------------------------------- parallel axes
@dataclass(frozen=True)
class Split:
    """How a group's work is cut: the axes along which it is independent, and what can be computed only when all of it is done:
    reductions over parallel axes, and what follows from them."""

    parallel: frozenset[Axis]
    late: frozenset[Node]


def split(members: Iterable[Node], sinks: Iterable[Node], reading: Mapping[Node, Sequence[Node]]) -> Split | None:
    """The cut of a group with these results; None where there is none, or where a result lacks a parallel axis.

    Axes that an operation goes over and a later one has again are walked inside. So are those of a reduction that does not come
    back, if the group has no other results; otherwise its parts are added together at the end. Axes along which values are put
    together are not walked: each value is stored at its own place.
    """
    inside, sinks = dict.fromkeys(members), tuple(sinks)
    inner: set[Axis] = set()
    outer: dict[Node, list[Node]] = {}
    for current in inside:
        if current.op in OVER_AXES:
            over: frozenset[Axis] = current.attrs  # type: ignore[assignment]
            after = list(_after(current, inside, reading))
            if current.op in INNER or any(over & later.axes for later in after):
                inner |= over
            else:
                outer[current] = after
    last = {current for reduction, after in outer.items() for current in (reduction, *after)}
    early = [sink for sink in sinks if sink not in last]
    if early:
        found = max((end.axes for end in early), key=len) - inner
    else:
        found = frozenset.intersection(*(reduction.axes for reduction in outer)) - inner if outer else frozenset()
        if not found and outer:
            found = frozenset.intersection(*(reduction.args[0].axes for reduction in outer)) - inner
    late: set[Node] = set()
    for reduction, after in outer.items():
        if reduction.attrs & found:  # type: ignore[operator]
            late.update((reduction, *after))
    if _waits_for_both(inside, late, outer):
        return None
    ends = [sink for sink in sinks if sink not in late]
    ends += [current.args[0] for current in outer if current in late and current.args[0] not in late]
    found -= {at.axis for current in inside if isinstance(current.attrs, Accumulate) for at in current.attrs.at}
    return Split(found, frozenset(late)) if found and all(found <= end.axes for end in ends) else None


def _waits_for_both(inside: Iterable[Node], late: set[Node], outer: Mapping[Node, object]) -> bool:
    """Whether what is computed when all is done needs a reduction that is known at one place of the parallel axes only."""
    local: set[Node] = set()
    for current in inside:
        if current in late:
            if current not in outer and any(arg in local for arg in current.args):
                return True
        elif current.op in OVER_AXES or any(arg in local for arg in current.args):
            local.add(current)
    return False


def _after(start: Node, inside: Mapping[Node, None], reading: Mapping[Node, Sequence[Node]]) -> Iterator[Node]:
    seen: set[Node] = set()
    stack = [start]
    while stack:
        for reader in reading.get(stack.pop(), ()):
            if reader in inside and reader not in seen:
                seen.add(reader)
                stack.append(reader)
                yield reader


# ------------------------------------------------------------------------------------------------------ clusters
def clusters_of(graph: Graph) -> list[Cluster]:
    """The groups of a graph. Between two of one stage goes no edge, so that none waits for another and for itself."""
    reading = users(graph.roots)
    together = dict(wholes(graph, reading))
    fusable = _fusable(graph, reading).union(*(found.inside for found in together.values()))
    fixed = _fixed(graph)
    cut = slices(graph, fixed)
    known = fixed | cut
    home: dict[Node, Cluster] = {}
    stage: dict[Node, int] = {}
    roots = set(graph.roots)

    def sinks(members: Mapping[Node, None]) -> list[Node]:
        """What leaves for certain, or has no reader yet: who has not been looked at may still come in."""
        return [n for n in members if n in roots or not any(reader in members for reader in reading[n]) or any(
            reader not in members and (reader not in fusable or reader in stage) for reader in reading[n])]

    for current in topological(graph.roots):
        if current in known:
            continue
        args = [arg for arg in current.args if arg not in known]
        whole = {arg.args[0] for arg in current.args if arg in cut}
        stage[current] = max((stage[arg] + (arg.op != "input" and (arg not in home or arg in whole or arg in together))
                              for arg in (*args, *whole)), default=0)
        if current not in fusable:
            continue
        near = list(dict.fromkeys(home[arg] for arg in args if arg in home and home[arg].stage == stage[current]))
        members = {n: None for cluster in near for n in cluster.members} | {current: None}
        if near and split(members, sinks(members), reading) is None:
            stage[current] += 1
            near, members = [], {current: None}
        made = Cluster(members, stage[current])
        home.update(dict.fromkeys(members, made))
    found = list(dict.fromkeys(home[n] for n in topological(graph.roots) if n in home))
    found = _later(found, home, reading, roots | together.keys())
    order = {n: place for place, n in enumerate(topological(graph.roots))}
    for cluster in found:
        cluster.members = dict.fromkeys(sorted(cluster.members, key=order.__getitem__))
    return [cluster for cluster in _together(found, reading, roots) if _stands(cluster, sinks(cluster.members), known, reading)]


def _stands(cluster: Cluster, sinks: Sequence[Node], known: frozenset[Node], reading: Mapping[Node, Sequence[Node]]) -> bool:
    """Whether a group has parallel axes, and gives floats for floats that it is given."""
    cluster.known = known
    given = any(arg.type.dtype == "float" and arg.axes for arg in _outside(cluster))
    return given and all(sink.type.dtype == "float" for sink in sinks) and split(cluster.members, sinks, reading) is not None


def _typed(cluster: Cluster, fixed: frozenset[Node]) -> bool:
    """Whether a group is given a tensor of floats, whose type its kernel computes in."""
    return any(arg.type.dtype == "float" and arg not in fixed for arg in _outside(cluster))


def _later(found: list[Cluster], home: dict[Node, Cluster], reading: Mapping[Node, Sequence[Node]],
           kept: Container[Node]) -> list[Cluster]:
    """What one later group alone reads is computed there, where it can be: what params become beside the result of a library."""
    for cluster in reversed(found):
        readers = {reader: None for n in cluster.members for reader in reading[n] if reader not in cluster.members}
        into = {home.get(reader) for reader in readers}
        target = next(iter(into)) if len(into) == 1 else None
        if target is None or any(n in kept for n in cluster.members):
            continue
        members = cluster.members | target.members
        ends = [n for n in members if n in kept or any(reader not in members for reader in reading[n])]
        if split(members, ends, reading) is not None:
            target.members = members
            home.update(dict.fromkeys(cluster.members, target))
    return [cluster for cluster in found if cluster is home[next(iter(cluster.members))]]


def _together(found: list[Cluster], reading: Mapping[Node, Sequence[Node]], roots: set[Node]) -> list[Cluster]:
    """Groups of one stage that read the same large tensor read it once."""
    def sinks(members: Mapping[Node, None]) -> list[Node]:
        return [n for n in members if n in roots or any(reader not in members for reader in reading[n])]

    def sources(cluster: Cluster) -> set[Node]:
        return {arg for n in cluster.members for arg in n.args if arg not in cluster.members and arg.axes}

    kept: list[Cluster] = []
    for cluster in found:
        for other in kept:
            shared = sources(cluster) & sources(other)
            whole = max((n.axes for n in (*cluster.members, *other.members)), key=len)
            if other.stage != cluster.stage or not any(n.axes == whole for n in shared):
                continue
            members = other.members | cluster.members
            if split(members, sinks(members), reading) is not None:
                other.members = members
                break
        else:
            kept.append(cluster)
    return kept


def kernel_operations(graph: Graph) -> frozenset[Node]:
    """Operations that a kernel without contractions may compute."""
    return _fusable(graph, users(graph.roots))


def _fusable(graph: Graph, reading: Mapping[Node, Sequence[Node]]) -> frozenset[Node]:
    return _computable(graph) - set(_products(graph, reading))


def _computable(graph: Graph) -> frozenset[Node]:
    """Operations that a kernel may compute."""
    return frozenset(n for n in topological(graph.roots) if refusal(n, OVER_AXES) is None)


def _products(graph: Graph, reading: Mapping[Node, Sequence[Node]], several: bool = False) -> Iterator[Node]:
    """Sums of products that are larger than each factor, and these products: a library contracts them. `several`: only
    those that are no contraction of two factors."""
    for current in topological(graph.roots):
        if current.op not in ("sum", "mean") or not current.args[0].axes:
            continue
        chain, stack, larger = [current], [current.args[0]], False
        while stack:
            factor = stack.pop()
            if factor.op in ("mul", "div", "neg", "expand"):
                left = factor.args
                larger |= len(left) == 2 and all(arg.axes < factor.axes for arg in left)
                if len(reading[factor]) == 1:
                    chain.append(factor)
                stack.extend(left)
        if larger and not (several and sides(current)):
            yield from chain


def _fixed(graph: Graph) -> frozenset[Node]:
    """What a kernel computes for itself wherever it needs it: constants, sizes, positions, numbers of the constructor, and cheap
    functions of these."""
    told = {port.node for port in graph.inputs if port.role == "number"}
    found: set[Node] = set()
    for current in topological(graph.roots):
        row = OPS.get(current.op)
        cheap = row is not None and row.form == "elementwise" and not (row.cost.special and current.axes)
        if current.op in LEAVES or current in told or (cheap and current.args and all(arg in found for arg in current.args)):
            found.add(current)
    return frozenset(found)


# --------------------------------------------------------------------------------------------------------- calls
def group(graph: Graph) -> Graph:
    """The graph with its groups as fused calls that have a derivative."""
    return _grouped(graph, derivative=True)


def group_value(graph: Graph) -> Graph:
    """The graph with its groups as fused calls; no derivative will be asked for."""
    return _grouped(graph, derivative=False)


GROUP = Pass("group", "join what one kernel computes: elementwise operations with the reductions between them", group,
             Keeps.UP_TO_REASSOCIATION)


def _grouped(graph: Graph, derivative: bool) -> Graph:
    """The kernels with contractions first; what they leave, and what they are given, is joined after."""
    around = Around(graph, _computable(graph) - set(_products(graph, users(graph.roots), several=True)), OVER_AXES)
    fixed = _fixed(graph)
    contracting = [Cluster(members, results=results, known=fixed) for members, results in kernels(around)]
    graph = _called(graph, [cluster for cluster in contracting if _typed(cluster, fixed)], derivative)
    reading, roots, fixed = users(graph.roots), set(graph.roots), _fixed(graph)
    known = fixed | starts(graph, fixed)
    found = [c for c in clusters_of(graph) if sum(n.op not in FREE for n in c.members) >= LEAST_WORK]
    found += [Cluster(dict.fromkeys(members), known=known) for members in loops(graph, reading, OVER_AXES)]
    found += [Cluster(dict.fromkeys(w.members), known=fixed) for w in windows(graph, reading, fixed, derivative)]
    found = [cluster for cluster in found if _typed(cluster, fixed)]
    for cluster in found:
        cluster.results = [n for n in cluster.members if n.op != "scan" and (
            n in roots or any(reader not in cluster.members for reader in reading[n]))]
    return _called(graph, found, derivative)


def _called(graph: Graph, found: Sequence[Cluster], derivative: bool) -> Graph:
    home = {result: cluster for cluster in found for result in cluster.results}
    taken = {n.attrs.body.name for n in topological(graph.roots) if isinstance(n.attrs, Call)}
    new: dict[Node, Node] = {}
    stack: list[Node] = list(reversed(graph.roots))
    count = 0
    while stack:
        current = stack[-1]
        cluster = home.get(current)
        if current in new:
            stack.pop()
            continue
        needs = current.args if cluster is None else tuple(_outside(cluster))
        if missing := [arg for arg in needs if arg not in new]:
            stack.extend(reversed(missing))
            continue
        stack.pop()
        if cluster is None:
            args = tuple(new[arg] for arg in current.args)
            new[current] = current if args == current.args else node(current.op, args, current.attrs, current.type)
            continue
        count += 1
        outputs = cluster.results
        name = fresh_name(f"{graph.name}_{count}" if len(found) > 1 else graph.name, taken)
        call = fused_call(graph, name, needs, outputs, derivative)
        whole = node("call", tuple(new[arg] for arg in needs), call, Type("float"))
        for place, output in enumerate(outputs):
            new[output] = build.item(whole, place, output.type)
    return graph.with_roots((new[root] for root in graph.roots), carry(graph.notes, new))


def _outside(cluster: Cluster) -> Iterator[Node]:
    """What a group is given: tensors, and the numbers of the constructor."""
    seen: set[Node] = set(cluster.members)
    for member in cluster.members:
        stack = list(reversed(member.args))
        while stack:
            arg = stack.pop()
            if arg in cluster.known and arg.op != "input":
                stack.extend(reversed(arg.args))
            elif arg not in seen:
                seen.add(arg)
                yield arg


def fused_call(graph: Graph, name: str, needs: Sequence[Node], outputs: Sequence[Node], derivative: bool) -> Call:
    """A group as a graph of its own, with its derivative by every float tensor that it is given."""
    roles = {port.node: port.role for port in graph.inputs}
    taken: set[str] = set()
    ports, inside = [], {}
    for arg in needs:
        wish = str(arg.attrs).rsplit(".", 1)[-1] if arg.op == "input" else graph.notes.names.get(arg, "value")
        text = fresh_name(wish, taken)
        role = "number" if roles.get(arg) == "number" else "input"
        order = sorted(arg.axes, key=lambda axis: axis.name)
        port = Port(text, Type(arg.type.dtype, arg.axes), layout_of(order), role)  # type: ignore[arg-type]
        ports.append(port)
        inside[arg] = port.node
    for current in topological(outputs):
        if current not in inside:
            args = tuple(inside[arg] for arg in current.args)
            inside[current] = current if args == current.args else node(current.op, args, current.attrs, current.type)
    titles = {output.node: output.name for output in graph.outputs} | {u.node: f"new_{u.buffer}" for u in graph.updates}
    results = tuple(
        Output(fresh_name(titles.get(output) or graph.notes.names.get(output, "result"), taken), inside[output],
               layout_of(sorted(output.axes, key=lambda axis: axis.name)))
        for output in outputs)
    notes = carry(graph.notes, inside)
    body = Graph(name, tuple(ports), results, notes=notes)
    cotangents = tuple(Port(fresh_name(f"d_{output.name}", taken), Type(output.node.type.dtype, output.node.axes), output.layout)
                       for output in results)
    wrt = [port.name for port in ports if port.type.dtype == "float" and port.role == "input"] if derivative else []
    vjp = Graph(f"{name}_derivative", (*ports, *cotangents), ())
    if wrt:
        pulled = run(gradient(body, wrt), TIDY, verify=False)
        vjp = Graph(vjp.name, vjp.inputs, pulled.outputs, notes=pulled.notes)
    return Call(body, vjp, tuple(wrt), tuple(p.name for p in ports if p.name not in wrt), fused=True)
