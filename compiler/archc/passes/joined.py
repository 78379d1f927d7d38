"""Which sub-layers are computed in kernels of the layer that calls them: a sum, a normalization and its activation are then one
kernel, which reads once and writes once.

Such a sub-layer is elementwise operations and reductions alone, and stands beside an operation of its caller's that a kernel may
compute, or beside another such sub-layer: what lies between the two need not be written, nor read again. Everything else stays a
call, which a library, or a kernel of the sub-layer's own, does as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from archc.ir.graph import Graph, Member, Node, topological, users
from archc.ir.module import Method, Module, Package
from archc.passes.group import FREE, kernel_operations


def members(module: Module, method: Method, modules: Mapping[str, Module]) -> frozenset[str]:
    """The sub-layers of a method, by path, that its kernels compute."""
    if method.name != "forward" or method.defaults or method.numbers or method.statics:
        return frozenset()
    found = [_beside(graph, module, modules) for graph in dict.fromkeys((method.train, method.eval))]
    return frozenset.intersection(*found)


def _beside(graph: Graph, module: Module, modules: Mapping[str, Module]) -> frozenset[str]:
    reading = users(graph.roots)
    fusable = {n for n in kernel_operations(graph) if n.op not in FREE}
    calls = [n for n in topological(graph.roots) if isinstance(n.attrs, Member)]
    paths = [_path(n) for n in calls]
    able = {n for n in calls if paths.count(_path(n)) == 1 and _in_kernels(callee(module, _path(n), modules), n)}

    def source(n: Node) -> Node:
        return n.args[0] if n.op == "item" else n

    found: set[str] = set()
    for n in able:
        around = {source(arg) for arg in n.args} | {reader for item in reading[n] for reader in reading[item]}
        if around & (fusable | able):
            found.add(_path(n))
    return frozenset(found)


def _path(n: Node) -> str:
    assert isinstance(n.attrs, Member)
    return n.attrs.path


def callee(module: Module, path: str, modules: Mapping[str, Module]) -> Module:
    """The module that a path of a layer's means."""
    name, _, place = path.partition(".")
    child = next(child for child in module.children if child.name == name)
    return modules[child.modules[int(place) if place else 0]]


def _in_kernels(found: Module, call: Node) -> bool:
    """Whether kernels compute all of a sub-layer's forward."""
    assert isinstance(call.attrs, Member)
    if call.attrs.method != "forward" or call.attrs.state or len(call.attrs.results) != 1 or not found.methods:
        return False
    forward = found.methods[0]
    if forward.name != "forward" or forward.no_grad or forward.numbers or forward.defaults:
        return False
    theirs = [port.layout for port in forward.train.inputs if port.role == "input"]
    ours = [*call.attrs.layouts, *call.attrs.results]
    pairs = zip([*theirs, *(output.layout for output in forward.train.outputs)], ours, strict=True)
    if any(len(dim) > max(1, len(here)) for there, where in pairs for dim, here in zip(there[-len(where):], where, strict=False)):
        return False  # it splits an axis of its caller's, which has it whole
    for graph in (forward.train, forward.eval):
        operations = [n for n in topological(graph.roots) if n.args and n.op != "expand"]
        sizes_only = {n for n in operations if not n.axes}
        if graph.penalties or not operations or not set(operations) - sizes_only <= kernel_operations(graph):
            return False
    return True


def called(package: Package) -> frozenset[str]:
    """The keys of modules that are called as such: those asked for, and sub-layers that no caller's kernel computes."""
    found = set(package.roots)
    for module in package:
        for method in module.methods:
            known = method.joined.members if method.joined else ()
            graphs = (method.joined.train, method.joined.eval) if method.joined else (method.train, method.eval)
            calls = {n.attrs for graph in graphs for n in topological(graph.roots) if isinstance(n.attrs, Member)}
            found |= {callee(module, call.path, package.modules).key for call in calls if call.path not in known}
    return frozenset(found)
