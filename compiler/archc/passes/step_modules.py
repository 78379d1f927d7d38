"""Steps of modules: every layer that scans an axis of its inputs gets a method that takes one element after the other, and the
sub-modules that such a step goes through get theirs. A step of a module calls the steps of its sub-modules, whose states are part
of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from archc.checker.types import LEADING, Axis, flat
from archc.diagnostics.model import UserError
from archc.ir.graph import Graph, Member, topological
from archc.ir.module import Method, Module, Package, Step
from archc.passes.step import Stepped, scanned, stepped
from archc.passes.step_states import Callee, Callees, refused


def with_steps(package: Package) -> Package:
    """The package with a method `step` for each module that has one; those of two axes are called `step_<axis>`. A layer that was
    asked for and scans, but cannot be stepped through, has a method that says why."""
    steps = _Steps(package)
    for key in package.modules:
        steps.public(key)
    modules = {key: replace(module, methods=(*module.methods, *steps.methods(key))) for key, module in package.modules.items()}
    return replace(package, modules=modules)


@dataclass(frozen=True)
class _Made:
    method: Method
    has_state: bool


class _Steps:
    def __init__(self, package: Package) -> None:
        self.package = package
        self.made: dict[tuple[str, str], _Made | UserError] = {}
        self.titles: dict[tuple[str, str], str] = {}
        self.axes: dict[str, tuple[Axis, ...]] = {}  # of each module: those of its inputs that it scans
        self.refusals: dict[str, Method] = {}

    def methods(self, key: str) -> Iterable[Method]:
        """The steps that a module has, in the order in which they were asked for."""
        yield from (made.method for (owner, _), made in self.made.items() if owner == key and isinstance(made, _Made))
        if key in self.refusals:
            yield self.refusals[key]

    # -- which ------------------------------------------------------------------------------------------------------
    def public(self, key: str) -> None:
        """The steps that a layer offers to everybody."""
        module = self.package.modules[key]
        axes = self.scans(key)
        if not axes or "step" in _taken(module):
            return
        found = {axis: self.step(key, axis.name) for axis in axes}
        good = [axis for axis, made in found.items() if isinstance(made, _Made)]
        if not good and key in self.package.roots:
            (problem, *_), = (made.problems for made in list(found.values())[:1])  # type: ignore[union-attr]
            self.refusals[key] = _refusal(module.methods[0], axes[0], str(problem.facts["why"]))
        if len(good) > 1:
            for axis in good:
                made = self.made[key, axis.name]
                assert isinstance(made, _Made)
                named = replace(made.method, name=f"step_{axis.name}")
                self.made[key, axis.name] = replace(made, method=named)

    def scans(self, key: str) -> tuple[Axis, ...]:
        """The axes of a module's inputs that it, or a sub-module that it calls, scans."""
        if key not in self.axes:
            self.axes[key] = ()
            module = self.package.modules[key]
            if module.methods and module.methods[0].name == "forward":
                graph = module.methods[0].eval
                calls = [n.attrs for n in topological(graph.roots) if isinstance(n.attrs, Member)]
                inner = [axis for call in calls for axis in self._below(module, call)]
                own = [axis for port in graph.inputs if port.role == "input" for axis in flat(port.layout)]
                self.axes[key] = tuple(a for a in dict.fromkeys(own) if a.name != LEADING and a in (*scanned(graph), *inner))
        return self.axes[key]

    def _below(self, module: Module, call: Member) -> Iterable[Axis]:
        """The caller's axes that a sub-module scans."""
        if call.method != "forward":
            return
        key = _child(module, call.path)
        names = {axis.name for axis in self.scans(key)}
        ports = [port for port in self.package.modules[key].methods[0].eval.inputs if port.role == "input"]
        for layout, port in zip(call.layouts, ports, strict=False):
            for mine, theirs in zip(reversed(layout), reversed(port.layout), strict=False):
                if len(theirs) == 1 and theirs[0].name in names:
                    yield from mine

    # -- making -----------------------------------------------------------------------------------------------------
    def step(self, key: str, axis: str) -> _Made | UserError:
        """The step of a module along one of its axes, or why there is none."""
        if (key, axis) not in self.made:
            try:
                self.made[key, axis] = self._made(key, axis)
            except UserError as error:
                self.made[key, axis] = error
        return self.made[key, axis]

    def _made(self, key: str, name: str) -> _Made:
        module = self.package.modules[key]
        forward = module.methods[0]
        axis = next(a for port in forward.eval.inputs for a in flat(port.layout) if a.name == name)
        if "step" in _taken(module):
            raise refused(forward.eval, name, f"{module.name} has something of its own called 'step'")
        found = stepped(forward.eval, axis, self._callees(module, "eval"))
        train: Stepped | None = found
        if forward.train is not forward.eval:
            try:
                train = stepped(forward.train, axis, self._callees(module, "train"))
            except UserError:
                train = None
            if train is not None and _states(train) != _states(found):
                train = None
        others = [owner for owner, _ in self.made if owner == key]
        title = f"step_{name}" if others else "step"
        step = Step(name, found.states, found.fields, found.start, eval_only=train is None)
        method = Method(title, "", train.graph if train else found.graph, found.graph, forward.defaults, step=step,
                        numbers=forward.numbers, statics=forward.statics, signature=forward.signature)
        return _Made(method, bool(found.states or found.fields))

    def _callees(self, module: Module, mode: str) -> Callees:
        def callee(call: Member, axis: Axis) -> Callee:
            key = _child(module, call.path)
            inner = self.package.modules[key]
            found = next(m for m in inner.methods if m.name == call.method)
            graph = found.train if mode == "train" else found.eval
            ports = [port for port in graph.inputs if port.role == "input"]
            axes = {a for layout, port in zip(call.layouts, ports, strict=False) if axis in flat(layout)
                    for a in [_same_place(axis, layout, port.layout)]}
            if len(axes) > 1 or None in axes:
                raise refused(graph, axis.name, f"it takes {axis.name} as several of its axes, or as part of one")
            (theirs,) = axes
            assert theirs is not None
            if theirs.name == LEADING:
                self._pointwise(graph, theirs, inner, mode)
                return Callee(call.method, False)
            if call.method != "forward":
                raise refused(graph, axis.name, f"only `forward` of a sub-layer is stepped through, not '{call.method}'")
            made = self.step(key, theirs.name)
            if isinstance(made, UserError):
                raise made
            return Callee(made.method.name, made.has_state)

        return callee

    def _pointwise(self, graph: Graph, axis: Axis, module: Module, mode: str) -> None:
        """Raises UserError where a sub-module does not treat its leading dimensions one by one."""
        found = stepped(graph, axis, self._callees(module, mode))
        if found.states or found.fields:
            raise refused(graph, axis.name, "it remembers something along its leading dimensions")


def _states(step: Stepped) -> tuple[object, ...]:
    return step.states, step.fields, step.start.outputs


def _taken(module: Module) -> set[str]:
    return {method.name for method in module.methods} | {s.name for s in module.stored} | {c.name for c in module.children}


def _child(module: Module, path: str) -> str:
    name, _, place = path.partition(".")
    child = next(child for child in module.children if child.name == name)
    return child.modules[int(place) if place else 0]


def _same_place(axis: Axis, layout: tuple[tuple[Axis, ...], ...], theirs: tuple[tuple[Axis, ...], ...]) -> Axis | None:
    """The callee's axis that a dimension of an argument is: from the end, what is left over being its leading dimensions."""
    place = next(i for i, dim in enumerate(layout) if axis in dim)
    back = place - len(layout)
    leads = bool(theirs) and [a.name for a in theirs[0]] == [LEADING]
    if leads and back < 1 - len(theirs):
        return theirs[0][0]
    found = theirs[back]
    return found[0] if len(found) == 1 and len(layout[place]) == 1 else None


def _refusal(forward: Method, axis: Axis, why: str) -> Method:
    step = Step(axis.name, (), (), forward.eval, refused=why)
    return Method("step", "", forward.eval, forward.eval, forward.defaults, step=step)
