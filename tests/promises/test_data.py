"""A file is data: no code of its author's runs, what it asks for is bounded; names that other languages reserve are names."""

from __future__ import annotations

import ast
import keyword
from pathlib import Path

import pytest
import torch

import archc
from archc import api
from archc.limits import LIMITS
from tests.promises.programs import codes

ROOT = Path(__file__).resolve().parents[2]

HOSTILE = [
    "__import__('os').system('touch {mark}')", 'exec("open(\'{mark}\', \'w\')")', "open(\"{mark}\", \"w\")",
    "x.__class__.__base__", "eval(\"open('{mark}', 'w')\")", "`touch {mark}`", "{{__import__(\"os\")}}", "x; import os",
]  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_checking_compiling_and_loading_run_no_code_of_the_author(attack: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    written = attack.format(mark=mark)
    stored = f"layer A(c: axis) {{\n    param w[c] = {written}\n    forward(x[c]) -> [c] {{ return x }}\n}}\n"
    for text in (f"fn f(x) {{ return {written} }}\n", stored):
        assert codes(text)
        with pytest.raises(Exception, match="error"):
            api.load_text(text, "a.arch")
    assert not mark.exists()


@pytest.mark.parametrize("inside", ['"', '\\"\\"\\"', "\\\\", "'''", "{x}", "%s", "\\n"])
def test_texts_and_comments_stay_texts_in_what_is_written(inside: str, tmp_path: Path) -> None:
    """A comment becomes a docstring, a string a message: neither can end where Python would go on reading code."""
    mark = tmp_path / "mark"
    comment = f'# """ + str(open("{mark}", "w")) + """ {inside} \\\\'
    text = f"{comment}\nlayer A(c: axis) {{\n    forward(x[n, c]) -> like x {{ return 2 * x }}\n}}\n"
    module = api.load_text(text, "a.arch").A
    assert torch.equal(module(c=2)(torch.ones(1, 2)), torch.full((1, 2), 2.0)) and not mark.exists()
    code = api.emitted(api.open_text(text, "a.arch"), ["A"], {})["modules.py"]
    names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    assert "open" not in names and "str" not in {n.func.id for n in ast.walk(ast.parse(code))
                                                 if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}  # fmt: skip


def test_the_front_end_evaluates_nothing() -> None:
    """From text to package no Python is run that was made of the file's text."""
    for folder in ("diagnostics", "syntax", "checker", "ir", "rules", "passes", "ops", "codegen"):
        for path in (ROOT / "compiler" / "archc" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
                assert called not in ("eval", "exec", "compile", "__import__"), path


@pytest.mark.parametrize("text, limit", [
    ("fn f(x) { return " + "(" * 400 + "x" + ")" * 400 + " }", "nesting"),
    ("layer A(c: axis) {\n    inner = repeat 100000 { A(c=c) }\n    forward(x[c]) -> [c] { return x }\n}\n", ""),
    ("fn f(x, static n: int = 5) { if n > 0 { return f(x, n=n) } else { return x } }", ""),
    ("fn f(x) { return " + "a" * 2000 + " }", "name"),
])  # fmt: skip
def test_a_file_that_asks_for_more_is_refused_with_that_limit(text: str, limit: str) -> None:
    found = api.check(text)
    assert found and found[0].severity == "error"
    if limit:
        assert found[0].code == "limit" and str(LIMITS[limit].value) in found[0].message


OURS = {"and", "or", "not", "if", "else", "for", "return", "with", "import", "True", "False", "None", "in", "is"}
CPP = {"int32_t", "double", "template", "namespace", "new", "delete", "operator", "this"}
SQL = {"select", "table", "where_", "from_", "order", "group", "union"}
RESERVED = sorted({*keyword.kwlist, *keyword.softkwlist, *CPP, *SQL, "self", "torch", "F", "nn", "math", "print"} - OURS)


@pytest.mark.compiler
@pytest.mark.parametrize("word", ["In", "Class", "Is", "Match"])
def test_a_layer_with_kernels_may_be_called_as_a_keyword(word: str, tmp_path: Path) -> None:
    forward = "forward(x[n]) -> like x { return exp(-x^2) + 1 }"
    (tmp_path / "a.arch").write_text(f"layer {word}() {{\n    {forward}\n}}\n")
    x = torch.linspace(-1, 1, 300)
    torch.testing.assert_close(getattr(archc.load(tmp_path / "a.arch", backend="cpp"), word)()(x), torch.exp(-(x**2)) + 1)


@pytest.mark.parametrize("word", RESERVED)
def test_identifiers_that_are_keywords_elsewhere_work(word: str) -> None:
    """As an axis, a param, an input and a value; the state_dict has the source's name."""
    text = f"layer A({word}_: axis) {{\n    param {word}[{word}_] = 2\n"
    text += f"    forward(x[n, {word}_]) -> like x {{ return x * {word} }}\n}}\n"
    module = api.load_text(text, "a.arch").A(3)
    assert torch.equal(module(torch.ones(2, 3)), torch.full((2, 3), 2.0)) and list(module.state_dict()) == [word]
    as_input = f"layer B() {{\n    forward({word}[n]) -> [n] {{\n        y = 3 * {word}\n        return y\n    }}\n}}\n"
    assert torch.equal(api.load_text(as_input, "b.arch").B()(torch.ones(2)), torch.full((2,), 3.0))
