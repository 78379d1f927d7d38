"""Reading rule files. A rule is one line, in expressions of the language:

    rule sum_of_scaled:  sum[k](a * x) => a * sum[k](x)   when k not in axes(a)     # reassociates

The comment is the promise (see `archc.passes.base.Keeps`). In brackets stand names of sets of axes. Conditions, joined by `and`:

    k not in axes(a)      a has none of the axes          k in axes(a)   it has all of them
    axes(a) < axes(b)     a has fewer axes than b, all of them b's
    const(a)              a is a constant                 int(a), float(a), bool(a), complex(a)   the dtype
    a != 0                a is known never to be zero
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from archc.checker.types import Axis
from archc.diagnostics.model import CompilerBug
from archc.ir.graph import Node
from archc.ops.table import LANGUAGE_NAMES, OPS
from archc.rules.keeps import Keeps
from archc.rules.pattern import Any, Binding, Condition, Literal, Operation, Pattern, sets_of_axes, values
from archc.syntax import tree
from archc.syntax.parse import parse_expression

FILES = ("algebra", "functions", "choices", "reductions", "complex")
_LINE = re.compile(r"rule\s+(?P<name>\w+):\s*(?P<left>.+?)\s*=>\s*(?P<right>.+?)"
                   r"(\s+when\s+(?P<when>.+?))?\s*#\s*(?P<keeps>.+?)\s*$")
_BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "^": "pow", "==": "eq", "!=": "ne",
           "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "and": "and", "or": "or"}


@dataclass(frozen=True)
class Rule:
    name: str
    left: Operation
    right: Pattern
    conditions: tuple[tuple[str, Condition], ...]  # as written, and what decides it
    keeps: Keeps
    text: str

    def holds(self, bound: Binding) -> bool:
        return all(condition(bound) for _, condition in self.conditions)


@cache
def rules() -> tuple[Rule, ...]:
    """All rules of the files that ship with the compiler, in order."""
    folder = files("archc.rules")
    found = [rule for name in FILES for rule in read((folder / f"{name}.rules").read_text("utf-8"))]
    if len({rule.name for rule in found}) != len(found):
        raise CompilerBug("two rules have one name")
    return tuple(found)


def read(text: str) -> list[Rule]:
    """The rules of a file, in order. Raises ValueError for a line that is none."""
    lines = (line.strip() for line in text.splitlines())
    return [read_rule(line) for line in lines if line and not line.startswith("#")]


def read_rule(line: str) -> Rule:
    found = _LINE.match(line)
    if not found:
        raise ValueError(f"this is no rule: {line}")
    left, right = _pattern(parse_expression(found["left"])), _pattern(parse_expression(found["right"]))
    if not isinstance(left, Operation):
        raise ValueError(f"the left side of a rule is an operation: {line}")
    unbound = (values(right) - values(left)) | (sets_of_axes(right) - sets_of_axes(left))
    if unbound:
        raise ValueError(f"the right side names what the left does not: {', '.join(sorted(unbound))}")
    if sets_of_axes(left) & values(left):
        raise ValueError(f"one name is a value and a set of axes: {line}")
    parts = re.split(r"\s+and\s+", found["when"]) if found["when"] else []
    return Rule(found["name"], left, right, tuple((part, _condition(part)) for part in parts), Keeps(found["keeps"]), line)


# ------------------------------------------------------------------------------------------------- expressions to patterns
def _pattern(expression: tree.Expr) -> Pattern:
    if isinstance(expression, tree.Number | tree.Bool):
        return Literal(expression.value)
    if isinstance(expression, tree.Name):
        return Any(expression.name)
    if isinstance(expression, tree.Unary):
        operand = _pattern(expression.operand)
        if expression.op == "-" and isinstance(operand, Literal):
            return Literal(-operand.value)
        return Operation("neg" if expression.op == "-" else "not", (operand,))
    if isinstance(expression, tree.Binary):
        left, right = _pattern(expression.left), _pattern(expression.right)
        whole = expression.op == "^" and isinstance(right, Literal) and isinstance(right.value, int)
        return Operation("ipow" if whole else _BINARY[expression.op], (left, right))
    if isinstance(expression, tree.Call):
        args = tuple(_pattern(argument.value) for argument in expression.arguments)
        callee = expression.callee
        if isinstance(callee, tree.Bracketed) and isinstance(callee.base, tree.Name):
            over = tuple(item.axis.name for item in callee.items)
            name = callee.base.name
            return Operation(name if name == "expand" else LANGUAGE_NAMES[name, True], args, over)
        if isinstance(callee, tree.Name):
            name = callee.name
            return Operation(LANGUAGE_NAMES.get((name, False), name if name in OPS else ""), args)
    raise ValueError(f"a rule cannot say {type(expression).__name__}")


# ------------------------------------------------------------------------------------------------- conditions
def _condition(text: str) -> Condition:
    for shape, make in _CONDITIONS:
        if found := re.fullmatch(shape, text):
            return make(*found.groups())
    raise ValueError(f"there is no condition '{text}'")


def _node(bound: Binding, name: str) -> Node:
    return bound[name]  # type: ignore[return-value]


def _axes(bound: Binding, name: str) -> frozenset[Axis]:
    return bound[name]  # type: ignore[return-value]


def _dtype(kind: str, name: str) -> Condition:
    return lambda bound: _node(bound, name).type.dtype == kind


_CONDITIONS: tuple[tuple[str, Callable[..., Condition]], ...] = (
    (r"(\w+) not in axes\((\w+)\)", lambda k, a: lambda bound: _node(bound, a).axes.isdisjoint(_axes(bound, k))),
    (r"(\w+) in axes\((\w+)\)", lambda k, a: lambda bound: _node(bound, a).axes >= _axes(bound, k)),
    (r"axes\((\w+)\) < axes\((\w+)\)", lambda a, b: lambda bound: _node(bound, a).axes < _node(bound, b).axes),
    (r"const\((\w+)\)", lambda a: lambda bound: _node(bound, a).op == "const"),
    (r"(int|float|bool|complex)\((\w+)\)", _dtype),
    (r"(\w+) != 0", lambda a: lambda bound: never_zero(_node(bound, a))),
)


def never_zero(node: Node) -> bool:
    """Whether a value is known to be other than zero, whatever the inputs."""
    if node.op == "const":
        return bool(node.attrs) and node.attrs == node.attrs
    if node.op in ("neg", "to_float", "expand", "detach"):
        return never_zero(node.args[0])
    return node.op == "positive"
