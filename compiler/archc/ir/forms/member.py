"""`member`: a method of a sub-module called as a module. It is for printing; evaluation wants it inlined."""

from __future__ import annotations

from archc.checker.types import LEADING, flat
from archc.diagnostics.model import CompilerBug
from archc.ir.forms.base import Form, demand
from archc.ir.graph import Member, Node
from archc.ir.values import Run, Value


def verify(node: Node) -> None:
    attrs = node.attrs
    demand(isinstance(attrs, Member), "the attributes of member are a Member")
    assert isinstance(attrs, Member)
    demand(len(node.args) == len(attrs.layouts), f"{attrs.path}.{attrs.method} has {len(attrs.layouts)} operands")
    demand(len(attrs.types) == len(attrs.results), f"{attrs.path}.{attrs.method} has a type and a layout for each result")
    for arg, layout in zip(node.args, attrs.layouts, strict=True):
        demand(arg.axes <= frozenset(flat(layout)),
               f"{attrs.path}.{attrs.method} is given more axes than its layout holds: {arg.type}")
    for type_, layout in zip(attrs.types, attrs.results, strict=True):
        demand(type_.axes == frozenset(flat(layout)), f"a result of {attrs.path}.{attrs.method} has the axes of its layout")
        inner = [axis for dim in layout[1:] for axis in dim if axis.name == LEADING]
        demand(not inner, "`...` comes first in a layout")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    raise CompilerBug("sub-modules are inlined before a graph is evaluated")


MEMBER_FORM = Form("member", verify, evaluate)
