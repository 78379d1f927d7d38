"""Every row of the op table can be written, and no name of nn.Module is given away."""

from __future__ import annotations

import pytest
from torch import nn

from archc.codegen.torch import names
from archc.codegen.torch.form import Assign, Expr, Function, Malformed, Return, text, verify
from archc.codegen.torch.layout import name
from archc.codegen.torch.print import expression
from archc.codegen.torch.spelling import ELEMENTWISE, EXPANDED, HOST, MATRICES, REDUCTIONS
from archc.ir import build
from archc.ops.table import OPS
from tests.codegen.builders import axes, graph, port
from tests.codegen.harness import callable_of


@pytest.mark.parametrize("row", OPS.values(), ids=lambda row: row.name)
def test_every_row_is_spelled_or_expands_by_its_meaning(row: object) -> None:
    op = row.name  # type: ignore[attr-defined]
    if OPS[op].form == "transform":
        return  # tests/codegen/test_complex.py
    assert (op in EXPANDED) != (op in ELEMENTWISE or op in REDUCTIONS or op in MATRICES)
    assert op not in EXPANDED or OPS[op].value is not None


def test_numbers_of_the_host_are_rows() -> None:
    assert set(HOST) - {"is_not"} <= set(OPS)


@pytest.mark.parametrize("op", [row.name for row in OPS.values() if row.form in ("reduce", "normalise")])
def test_every_row_over_axes_is_written(op: str) -> None:
    n, k = axes("n k")
    x = port("x", n, k, dtype="bool" if OPS[op].dtypes[0] == "b" else "float")
    value = build.reduce(op, x.node, {k})
    _, code = callable_of(graph([x], value, *([n, k] if k in value.axes else [n])))
    assert "return" in code


def test_module_attributes_are_known() -> None:
    missing = {text for text in dir(nn.Module) if not text.startswith("_")} - names.MODULE_ATTRIBUTES
    assert not missing


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("class", "class_"),
        ("training", "training_"),
        ("forward", "forward_"),
        ("type", "type_"),
        ("gamma", "gamma"),
        ("lambda", "lambda_"), ("lambda_", "lambda__"), ("type_", "type__"),
        ("double", "double_"),
        ("__init__", "__init___"),
    ],
)
def test_names_that_python_or_modules_own(text: str, wanted: str) -> None:
    assert names.attribute(text) == wanted


def test_brackets_only_where_needed() -> None:
    a, b, c = (name(text) for text in "abc")
    two = Expr("add", (a, b))
    assert expression(Expr("mul", (two, c))) == "(a + b) * c"
    assert expression(Expr("add", (two, c))) == "a + b + c"
    assert expression(Expr("sub", (c, two))) == "c - (a + b)"
    assert expression(Expr("div", (a, Expr("mul", (b, c))))) == "a / (b * c)"
    assert expression(Expr("neg", (Expr("neg", (a,)),))) in ("--a", "-(-a)")
    assert expression(Expr("pow", (Expr("neg", (a,)), b))) == "(-a) ** b"
    assert expression(Expr("pow", (Expr("pow", (a, b)), c))) == "(a ** b) ** c"


def test_the_form_is_verified() -> None:
    n, k = axes("n k")
    x, y = Expr("name", (), ("x",), (n, k)), Expr("name", (), ("y",), (n,))
    arguments = (("x", "Tensor", None), ("y", "Tensor", None))
    good = Function(
        "f", arguments, "Tensor", (Assign(("z",), Expr("mul", (x, x), (), (n, k))), Return((Expr("name", (), ("z",), (n, k)),)))
    )
    verify(good)
    assert "z: float[n, k] = mul(x, x)" in text(good)
    for wrong in (
        Expr("mul", (x, y), (), (n, k)),
        Expr("mul", (x, Expr("name", (), ("w",), (n, k))), (), (n, k)),
        Expr("frobnicate", (x,), (), (n, k)),
    ):
        with pytest.raises(Malformed):
            verify(Function("f", arguments, "Tensor", (Return((wrong,)),)))
