"""How problems are shown."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import archc
from archc.diagnostics import codes, syntax_codes
from archc.diagnostics.model import ArchError, Kind, Problem, Problems
from archc.diagnostics.render import FIELD, concise, json_object, missing_facts, spoken, terminal, texts
from archc.syntax.tree import Span

KIND = Kind(
    "wrong",
    "Something is wrong",
    "wrong '{name}'",
    here="here",
    note="{name} among {names}",
    hint="{way_out}",
    near=("name", "names"),
)
FACTS = {"name": "chanels", "names": ["channels", "n"], "way_out": ""}


def span(text: str, part: str, file: str = "a.arch", after: int = 0) -> Span:
    start = text.index(part, after)
    end = start + len(part)
    line, end_line = text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 1
    column = start - text.rfind("\n", 0, start)
    return Span(file, line, column, end_line, end - text.rfind("\n", 0, end), start, end)


def shown(text: str, part: str, also: tuple[tuple[Span, str], ...] = (), width: int = 80) -> list[str]:
    lines = terminal(Problem(KIND, span(text, part), FACTS, also), {"a.arch": text}, width=width).split("\n")
    assert lines[0] == "error[wrong]: wrong 'chanels'"
    assert lines[-1].strip() == "= hint: did you mean 'channels'?"
    assert lines[-2].strip() == "= note: chanels among channels and n"
    return lines[1:-2]


def test_a_place_on_one_line() -> None:
    assert shown("fn f(x) {\n    y = chanels + 1\n}\n", "chanels") == [
        " --> a.arch:2:9",
        "  |",
        "2 |     y = chanels + 1",
        "  |         ^^^^^^^ here",
    ]


def test_two_labels_on_one_line_and_one_above() -> None:
    text = "layer A(c: axis) {\n    a = 1\n    b = 2\n    y = one + two\n}\n"
    also = ((span(text, "one"), "one"), (span(text, "c: axis"), "declared"))
    assert shown(text, "two", also) == [
        " --> a.arch:4:15",
        "  |",
        "1 | layer A(c: axis) {",
        "  |         ------- declared",
        "...",
        "4 |     y = one + two",
        "  |         ---   ^^^ here",
        "  |         one",
    ]


def test_the_primary_label_stands_out_where_labels_overlap() -> None:
    text = "y = f(x)\n"
    assert shown(text, "x", ((span(text, "f(x)"), "in this call"),))[-2:] == ["  |     --^- in this call", "  |       here"]


def test_a_place_over_several_lines() -> None:
    text = "y = f(\n    a,\n    b,\n    c\n) + 1\n"
    assert shown(text, "f(\n    a,\n    b,\n    c\n)") == [
        " --> a.arch:1:5",
        "  |",
        "1 | y = f(",
        "  |     ^^",
        "...",
        "5 | ) + 1",
        "  | ^ here",
    ]


def test_tabs_wide_and_combining_characters_keep_carets_in_place() -> None:
    assert shown("\ty = chanels", "chanels")[-2:] == ["1 |     y = chanels", "  |         ^^^^^^^ here"]
    assert shown('s = "数字" + chanels', "chanels")[-2:] == ['1 | s = "数字" + chanels', "  |              ^^^^^^^ here"]
    assert shown('s = "e\u0301" + chanels', "chanels")[-2:] == ['1 | s = "e\u0301" + chanels', "  |           ^^^^^^^ here"]


def test_what_acts_on_a_terminal_is_made_visible() -> None:
    lines = shown('s = "\x1b[2J\u202e" + chanels', "chanels")
    assert lines[-2] == '1 | s = "\ufffd[2J\ufffd" + chanels'
    assert lines[-1].index("^") == lines[-2].index("chanels")
    problem = Problem(KIND, None, FACTS | {"name": "\x1b[31m"})
    assert "\x1b" not in terminal(problem, {}) + concise(problem) + texts(problem).note


def test_long_lines_are_cut_around_the_place() -> None:
    text = "y = " + "a + " * 100 + "chanels" + " + b" * 100
    lines = shown(text, "chanels", width=60)
    assert all(len(line) <= 66 for line in lines), "only the label may stand out"
    assert lines[-2].startswith("1 | …") and lines[-2].endswith("…") and "chanels" in lines[-2]
    assert lines[-1].index("^") == lines[-2].index("chanels")


def test_places_outside_of_the_text_and_texts_that_are_not_there() -> None:
    at = Span("a.arch", 99, 5, 99, 8, 0, 0)
    assert "a.arch:99:5" in terminal(Problem(KIND, at, FACTS), {"a.arch": "x"})
    assert "a.arch:99:5" in terminal(Problem(KIND, at, FACTS), {})
    past = Span("a.arch", 1, 50, 1, 60, 0, 0)
    assert "^ here" in terminal(Problem(KIND, past, FACTS), {"a.arch": "x = 1"})
    assert terminal(Problem(KIND, None, FACTS), {}).split("\n")[0] == "error[wrong]: wrong 'chanels'"


def test_a_label_in_another_file() -> None:
    also = ((span("fn g(x) { }", "g", "lib/b.arch"), "declared here"),)
    lines = terminal(Problem(KIND, span("y = g", "g"), FACTS, also), {"a.arch": "y = g", "lib/b.arch": "fn g(x) { }"}).split("\n")
    assert lines[1:9] == [
        " --> a.arch:1:5", "  |", "1 | y = g", "  |     ^ here",
        " ::: lib/b.arch:1:4", "  |", "1 | fn g(x) { }", "  |    - declared here",
    ]  # fmt: skip


def test_colour_adds_nothing_but_colour() -> None:
    import re

    problem = Problem(KIND, span("y = chanels", "chanels"), FACTS)
    coloured = terminal(problem, {"a.arch": "y = chanels"}, color=True)
    assert "\x1b[1;31m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == terminal(problem, {"a.arch": "y = chanels"})


def test_concise() -> None:
    problem = Problem(KIND, span("y = chanels", "chanels"), FACTS)
    assert concise(problem) == "a.arch:1:5: error[wrong]: wrong 'chanels'; did you mean 'channels'?"
    assert concise(Problem(KIND, None, {})) == "error[wrong]: wrong '<name>'"


def test_json() -> None:
    text = "y = chanels"
    problem = Problem(KIND, span(text, "chanels"), FACTS, ((span(text, "y"), "given to"),))
    assert json.loads(json.dumps(json_object(problem))) == {
        "severity": "error", "code": "wrong", "file": "a.arch", "line": 1, "column": 5, "end_line": 1, "end_column": 12,
        "message": "wrong 'chanels'", "label": "here", "note": "chanels among channels and n", "hint": "did you mean 'channels'?",
        "labels": [{"file": "a.arch", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "text": "given to"}],
    }  # fmt: skip
    assert json_object(Problem(KIND, None, FACTS))["line"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (["a"], "a"),
        (("a", "b"), "a and b"),
        (["c", "a", "b"], "c, a and b"),
        ({"b", "a"}, "a and b"),
        ([], "nothing"),
        (3, "3"),
    ],
)
def test_facts_in_a_sentence(value: object, text: str) -> None:
    assert spoken(value) == text


def test_a_missing_fact_shows_its_name_and_is_found_by_tests() -> None:
    problem = Problem(KIND, None, {"name": "x"})
    assert texts(problem).note == "x among <names>"
    assert missing_facts(problem) == ["names", "way_out"]


def test_braces_that_are_no_fact_stand_for_themselves() -> None:
    kind = Kind("k", "", "write '{ return ... }' or {} or {x y}")
    assert texts(Problem(kind, None)).title == kind.title


def test_an_error_prints_as_its_rendering() -> None:
    problem = Problem(KIND, span("y = chanels", "chanels"), FACTS)
    assert str(ArchError([problem, problem], {"a.arch": "y = chanels"})).count("1 | y = chanels") == 2


def test_problems_are_sorted_by_place_errors_first_and_never_twice() -> None:
    problems, warning = Problems(), Kind("w", "", "w", severity="warning")
    for part, kind in (("c", KIND), ("a", warning), ("a", KIND), ("c", KIND), ("b", KIND)):
        problems.add(kind, span("a b c", part), **FACTS)
    assert [(p.at.column, p.kind.code) for p in problems.sorted() if p.at] == [(1, "wrong"), (1, "w"), (3, "wrong"), (5, "wrong")]


# ------------------------------------------------------------------------------------------- the facts of every call
def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(Path(archc.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.name}:{node.lineno}", node


def kind_of(node: ast.expr) -> Kind | None:
    """The kind that an argument names: `codes.X` or `X`."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    kind = getattr(codes, name, None) or getattr(syntax_codes, name, None)
    return kind if isinstance(kind, Kind) else None


def test_every_report_brings_the_facts_that_its_sentences_need() -> None:
    seen = 0
    for where, call in calls():
        kind = kind_of(call.args[0]) if call.args else None
        names = {keyword.arg for keyword in call.keywords}
        if kind is None or None in names or not isinstance(call.func, ast.Attribute | ast.Name):
            continue
        function = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
        if function not in ("add", "fail", "warn", "report"):
            continue
        needed = {*FIELD.findall(f"{kind.title} {kind.here} {kind.note} {kind.hint}"), *(kind.near or ())}
        assert needed <= names, f"{where}: {kind.code} lacks {sorted(needed - names)}"
        seen += 1
    assert seen > 50


def test_every_kind_is_reported_somewhere() -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in Path(archc.__file__).parent.rglob("*.py")
        if path.name not in ("codes.py", "syntax_codes.py")
    )
    unused = [name for name, kind in (vars(codes) | vars(syntax_codes)).items() if isinstance(kind, Kind) and name not in text]
    assert unused == []


@pytest.mark.parametrize("kind", codes.KINDS.values(), ids=lambda kind: kind.code)
def test_the_sentences_of_a_kind_read_alike(kind: Kind) -> None:
    assert kind.summary and not kind.summary.endswith(".")
    for text in (kind.title, kind.here, kind.note, kind.hint):
        assert not text.endswith(".") or text.endswith("..."), "no full stop at the end"
        assert text[:1] in ("", "'", "{", "|", "/", "-") or text[0].islower() or text.startswith("0"), (
            "a sentence goes on from its label"
        )
        assert "\n" not in text and "  " not in text
