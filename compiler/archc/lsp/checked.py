"""Checking a file again after an edit: only the declarations that changed, or that name one that did.

What was found in the others is moved to where they stand now. `archc check` would say the same of the whole file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from archc.checker.frame import Frame
from archc.checker.program import Declared, Program, SourceFile, check_program
from archc.checker.values import Value
from archc.diagnostics.model import Place, Problem, Problems
from archc.diagnostics.warning_codes import UNUSED_PARAM
from archc.syntax import tree
from archc.syntax.tree import Span


@dataclass(frozen=True)
class Known:
    """What an expression was found to be, and the frame whose names it sees."""

    span: Span
    value: Value
    frame: Frame
    inlined: bool  # as some call has it; else as its declaration by itself has it


@dataclass
class Checked:
    """What a declaration was found to be while it, all that it names, and the imports were as in `key`."""

    key: tuple[object, ...]
    starts: dict[str, Span]  # where the declarations that `key` is made of stood
    problems: list[Problem]
    known: list[Known] = field(default_factory=list)


def check(
    program: Program, before: Mapping[str, Checked], problems: Problems, known: dict[tuple[int, int], Known]
) -> dict[str, Checked]:
    """Fill `problems` and `known` for the root file; gives what to remember for the next time."""
    root = program.root
    texts = {name: root.text[d.node.span.start : d.node.span.end] for name, d in root.own.items()}
    named = {name: mentioned(d.node) & texts.keys() for name, d in root.own.items()}
    imports = tuple(declared for name, declared in root.scope.items() if name not in root.own)
    after: dict[str, Checked] = {}
    for name, declared in root.own.items():
        needed = sorted(reachable(name, named))
        key = (*((n, texts[n]) for n in needed), *map(id, imports))
        starts = {n: root.own[n].node.span for n in needed}
        old = before.get(name)
        if old is not None and old.key == key:
            after[name] = moved(old, starts)
        else:
            after[name] = check_one(program, declared, key, starts)
    found = [problem for checked in after.values() for problem in checked.problems]
    wrong = any(problem.kind.severity == "error" for problem in found)
    for problem in found:
        if not (wrong and problem.kind is UNUSED_PARAM):
            problems.add(problem.kind, problem.at, problem.also, **problem.facts)
    for checked in after.values():
        for item in checked.known:
            place = (item.span.start, item.span.end)
            if place not in known or (known[place].inlined and not item.inlined):
                known[place] = item
    return after


def check_one(program: Program, declared: Declared, key: tuple[object, ...], starts: dict[str, Span]) -> Checked:
    """One declaration by itself."""
    root = program.root
    alone = SourceFile(root.path, root.module, root.text, root.tree, {declared.name: declared}, root.scope)
    checked = Checked(key, starts, [])
    places: dict[tuple[int, int], int] = {}

    def record(expr: tree.Expr, value: Value, frame: Frame) -> None:
        if expr.span.file != root.path:
            return
        place, inlined = (expr.span.start, expr.span.end), bool(frame.context.calls or frame.path)
        at = places.get(place)
        if at is None:
            places[place] = len(checked.known)
            checked.known.append(Known(expr.span, value, frame, inlined))
        elif checked.known[at].inlined and not inlined:
            checked.known[at] = Known(expr.span, value, frame, inlined)

    found = Problems()
    check_program(replace(program, root=alone, record=record), found)
    checked.problems = found.found
    return checked


def moved(checked: Checked, starts: dict[str, Span]) -> Checked:
    """What was found, where the declarations stand now."""
    shifts = [(old, starts[name]) for name, old in checked.starts.items()]
    if all(old == new for old, new in shifts):
        return checked

    def shift(place: Place) -> Place:
        for old, new in shifts:
            if isinstance(place, Span) and place.file == old.file and old.start <= place.start <= old.end:
                if old.start == new.start and old.line == new.line:
                    return place
                lines, offset = new.line - old.line, new.start - old.start
                return Span(place.file, place.line + lines, place.column, place.end_line + lines, place.end_column,
                            place.start + offset, place.end + offset)  # fmt: skip
        return place

    problems = [
        Problem(p.kind, shift(p.at) if p.at else None, p.facts, [(shift(place), text) for place, text in p.also])
        for p in checked.problems
    ]
    known = [Known(shift(k.span), k.value, k.frame, k.inlined) for k in checked.known]  # type: ignore[arg-type]
    return Checked(checked.key, starts, problems, known)


def mentioned(node: object) -> set[str]:
    """Every name that stands in a declaration."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, (tree.Name, tree.Ident)):
            found.add(current.name)
        else:
            stack.extend(tree.children(current))
    return found


def reachable(name: str, named: Mapping[str, Iterable[str]]) -> set[str]:
    found, stack = {name}, [name]
    while stack:
        for other in named[stack.pop()]:
            if other not in found:
                found.add(other)
                stack.append(other)
    return found
