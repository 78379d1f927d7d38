"""Statements to Python text. Blind: what to write where is decided in `lower`; here are templates, brackets and indents."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator
from functools import cache

from archc.codegen.torch.form import Assign, Branch, Do, Expr, For, Function, NoGrad, Param, Raise, Return, Statement
from archc.codegen.torch.spelling import ATOM, COMPARE, HOST, POWER, SPELLING, TERNARY, Spelled

WIDTH = 120
_HOLE = re.compile(r"\{(p?)(\d+)(\*?)\}")


def expression(expr: Expr, least: int = 0) -> str:
    """The text, in brackets if it binds less tightly than `least`."""
    if expr.op == "as":
        return expression(expr.args[0], least)
    spelled = HOST[expr.op] if expr.is_host and expr.op in HOST else SPELLING[expr.op]
    pieces = []
    for literal, is_param, index, rest, context in _holes(spelled):
        pieces.append(literal)
        if index is None:
            continue
        if is_param:
            pieces.append(parameter(expr.params[index]))
        elif rest:
            pieces.append(", ".join(expression(arg, context) for arg in expr.args[index:]))
        else:
            pieces.append(expression(expr.args[index], context))
    text = "".join(pieces)
    if expr.op == "tuple" and len(expr.args) != 1:
        text = text[:-2] + ")" if expr.args else "()"
    return f"({text})" if spelled.precedence < least else text


@cache
def _holes(spelled: Spelled) -> list[tuple[str, bool, int | None, bool, int]]:
    """The template in pieces: text before a hole, what fills it, and how tightly an operand must bind there."""
    found: list[tuple[str, bool, int | None, bool, int]] = []
    end = 0
    template = spelled.template
    operands = 0
    for match in _HOLE.finditer(template):
        literal, end_of = template[end:match.start()], match.end()
        following = template[end_of:end_of + 1]
        if following in (".", "["):
            context = ATOM
        elif spelled.precedence in (ATOM, TERNARY) and template[:1] != "*":
            context = 0 if spelled.precedence == ATOM else TERNARY + 1
        else:
            strict = operands > 0 or spelled.precedence in (COMPARE, POWER)
            context = spelled.precedence + strict
        if not match[1]:
            operands += 1
        found.append((literal, bool(match[1]), int(match[2]), bool(match[3]), context))
        end = end_of
    found.append((template[end:], False, None, False, 0))
    return found


def parameter(value: Param) -> str:
    """Texts as they are; a tuple in round brackets; numbers so that they read back the same."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return f"({', '.join(map(parameter, value))}{',' * (len(value) == 1)})"
    return literal(value) if isinstance(value, (bool, int, float)) else str(value)


def literal(value: bool | int | float) -> str:
    """A number as Python writes it, infinities and nan included."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return "math.nan" if value != value else "math.inf" if value > 0 else "-math.inf"
    return repr(value)


def function(fn: Function, indent: str = "") -> list[str]:
    """A whole function, as lines."""
    arguments = [name + (f": {kind}" if kind else "") + (f" = {default}" if default is not None and kind else
                                                        f"={default}" if default is not None else "")
                 for name, kind, default in fn.arguments]
    result = f" -> {fn.result}" if fn.result else ""
    head = f"{indent}def {fn.name}({', '.join(arguments)}){result}:"
    lines = [f"{indent}{decorator}" for decorator in fn.decorators]
    if len(head) > WIDTH:
        together = f"{indent}    {', '.join(arguments)}"
        inside = [together] if len(together) <= WIDTH else [f"{indent}    {argument}," for argument in arguments]
        lines += [f"{indent}def {fn.name}(", *inside, f"{indent}){result}:"]
    else:
        lines.append(head)
    inner = indent + "    "
    if fn.doc:
        lines += docstring(fn.doc, inner)
    body = list(block(fn.body, inner))
    return lines + (body or ([] if fn.doc else [f"{inner}pass"]))


def docstring(doc: str, indent: str) -> list[str]:
    doc = doc.strip().replace("\\", "\\\\").replace('"""', "'''")
    lines = _refilled(doc.split("\n"), WIDTH - len(indent))
    if len(lines) == 1 and len(lines[0]) + len(indent) + 6 <= WIDTH:
        return [f'{indent}"""{lines[0]}{" " * lines[0].endswith(chr(34))}"""']
    return [f'{indent}"""{lines[0]}', *((indent + line).rstrip() for line in lines[1:]), f'{indent}"""']


def _refilled(lines: list[str], width: int) -> list[str]:
    """Paragraphs with a line that is too long, filled anew; the others as they are. The first line has quotes before it."""
    found: list[str] = []
    for filled, group in itertools.groupby(lines, key=bool):
        part = list(group)
        if filled and (max(map(len, part)) > width or (not found and len(part[0]) > width - 3)):
            part = textwrap.wrap(" ".join(line.strip() for line in part), width - 3)
        found += part
    return found


def block(body: tuple[Statement, ...], indent: str) -> Iterator[str]:
    """Statements, one a line."""
    for statement in body:
        if isinstance(statement, Assign):
            yield from _wrapped(f"{indent}{', '.join(statement.targets)} = ", expression(statement.value), statement.comment)
        elif isinstance(statement, Do):
            yield from fit(indent, expression(statement.value), "", indent)
        elif isinstance(statement, Return):
            yield from _wrapped(f"{indent}return ", ", ".join(map(expression, statement.values)))
        elif isinstance(statement, Raise):
            yield f"{indent}if {expression(statement.condition)}:"
            yield from _raise(statement, indent + "    ")
        elif isinstance(statement, Branch):
            yield f"{indent}if {expression(statement.condition)}:"
            yield from block(statement.then, indent + "    ")
            if statement.otherwise:
                yield f"{indent}else:"
                yield from block(statement.otherwise, indent + "    ")
        elif isinstance(statement, For):
            yield from fit(f"{indent}for {', '.join(statement.targets)} in ", expression(statement.source), ":", indent)
            yield from block(statement.body, indent + "    ")
        elif isinstance(statement, NoGrad):
            yield f"{indent}with torch.no_grad():"
            yield from block(statement.body, indent + "    ")


def _raise(statement: Raise, indent: str) -> Iterator[str]:
    text = statement.message
    if statement.values:
        for value in statement.values:
            text = text.replace("{}", "{" + expression(value).replace("{", "{{") + "}", 1)
        text = 'f"' + text.replace("\\", "\\\\").replace('"', "'") + '"'
    else:
        text = '"' + text.replace("{{", "{").replace("}}", "}").replace("\\", "\\\\").replace('"', "'") + '"'
    line = f"{indent}raise {statement.error}({text})"
    if len(line) <= WIDTH:
        yield line
    else:
        yield f"{indent}raise {statement.error}("
        yield f"{indent}    {text}"
        yield f"{indent})"


def _wrapped(head: str, value: str, comment: str = "") -> Iterator[str]:
    """`head value`, on several lines where one is too long: what stands in the last brackets, else what operators join."""
    tail = f"  # {comment}" if comment else ""
    if len(head) + len(value) + len(tail) <= WIDTH:
        yield head + value + tail
        return
    indent = " " * (len(head) - len(head.lstrip()))
    if tail:
        yield f"{indent}# {comment}"
    yield from fit(head, value, "", indent)


def fit(head: str, value: str, tail: str, indent: str) -> list[str]:
    """Lines for `head value tail`, indented; inner lines are four further in."""
    if len(head) + len(value) + len(tail) <= WIDTH:
        return [head + value + tail]
    inner = indent + "    "
    joints = _joints(value)
    if not joints and (bracket := _last_bracket(value)) is not None:
        start, end = bracket
        opened, body, closed = value[:start + 1], value[start + 1:end], value[end:]
        if len(head) + len(opened) <= WIDTH and body:
            parts = _parts(body)
            if len(inner) + len(body) <= WIDTH:
                lines = [f"{inner}{body}"]
            elif len(parts) == 1:
                lines = fit(inner, parts[0], "," * body.endswith(","), inner)
            else:
                lines = [line for part in parts for line in fit(inner, part, ",", inner)]
            return [head + opened, *lines, f"{indent}{closed}{tail}"]
    if not joints:
        return [head + value + tail]
    lines = []
    for part in _cut(value, joints, min(WIDTH - 20, WIDTH - len(inner))):
        lines += fit(inner, part, "", inner)
    if head.strip() == "" and not tail:
        return lines
    if head.strip() == "":
        lines[-1] += tail
        return lines
    return [f"{head}(", *lines, f"{indent}){tail}"]


def _depths(value: str) -> Iterator[tuple[int, str, int]]:
    """Every character outside of strings with its place and depth of brackets."""
    depth, quote = 0, ""
    for at, char in enumerate(value):
        if quote:
            quote = "" if char == quote else quote
            continue
        if char in "\"'":
            quote = char
        depth -= char in ")]}"
        yield at, char, depth
        depth += char in "([{"


_JOINTS = ((" if ", " else "), (" | ",), (" & ",), (" + ", " - "), (" * ", " / ", " @ ", " % "))


def _joints(value: str) -> list[int]:
    """Where the loosest operators outside of brackets stand."""
    outer = [at for at, char, depth in _depths(value) if depth == 0 and char == " "]
    for operators in _JOINTS:
        found = [at for at in outer if any(value.startswith(operator, at) for operator in operators)]
        if found:
            return found
    return []


def _cut(value: str, joints: list[int], room: int) -> list[str]:
    """The value cut before each operator, neighbours together on a line where they fit into the room."""
    cuts = [0, *joints, len(value)]
    parts = [value[a:b].strip() for a, b in itertools.pairwise(cuts)]
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 1 + len(part) <= room:
            lines[-1] += " " + part
        else:
            lines.append(part)
    return lines


def _last_bracket(value: str) -> tuple[int, int] | None:
    """The largest pair of brackets at depth 0, by the length of what it holds."""
    best: tuple[int, int] | None = None
    start = -1
    for at, char, depth in _depths(value):
        if depth == 0 and char in "([{":
            start = at
        elif depth == 0 and char in ")]}" and (best is None or at - start > best[1] - best[0]):
            best = (start, at)
    return best


def _parts(body: str) -> list[str]:
    """The arguments inside brackets."""
    cuts = [-1, *(at for at, char, depth in _depths(body) if depth == 0 and char == ","), len(body)]
    return [part for a, b in itertools.pairwise(cuts) if (part := body[a + 1:b].strip())]
