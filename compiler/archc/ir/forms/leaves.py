"""Nodes without operands: a graph's inputs, constants, sizes and the index along an axis."""

from __future__ import annotations

from math import prod

from archc.checker.sizes import Size
from archc.checker.types import Axis, Type
from archc.ir.forms.base import Form, demand
from archc.ir.graph import Node, Table, dtype_of
from archc.ir.values import Run, Value


def verify_input(node: Node) -> None:
    demand(not node.args and isinstance(node.attrs, str), "an input has a name and no operands")


def evaluate_input(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    raise ValueError(f"{node.attrs} is not given")


def verify_const(node: Node) -> None:
    demand(not node.args and isinstance(node.attrs, bool | int | float), "a constant is a bool, int or float")
    assert isinstance(node.attrs, bool | int | float)
    demand(node.type == Type(dtype_of(node.attrs)), "a constant has the type of its value and no axes")


def evaluate_const(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    return Value(np.asarray(node.attrs, run.numpy_type(node.type.dtype)), ())


def verify_size(node: Node) -> None:
    demand(not node.args and isinstance(node.attrs, Size), "a size is a polynomial and has no operands")
    demand(node.type == Type("int"), "a size is an int without axes")


def evaluate_size(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    assert isinstance(node.attrs, Size)
    return Value(np.asarray(node.attrs.evaluate(run.sizes), np.int64), ())


def verify_iota(node: Node) -> None:
    demand(not node.args and isinstance(node.attrs, Axis), "iota is of one axis and has no operands")
    assert isinstance(node.attrs, Axis)
    demand(node.type == Type("int", frozenset({node.attrs})), "iota is an int along its axis")


def evaluate_iota(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    assert isinstance(node.attrs, Axis)
    axes = run.sorted({node.attrs})
    return Value(run.index(node.attrs, axes), axes)


def verify_table(node: Node) -> None:
    table = node.attrs
    demand(not node.args and isinstance(table, Table), "a table has axes and constants, and no operands")
    assert isinstance(table, Table)
    demand(node.type.dtype in ("float", "int", "bool") and node.axes == frozenset(table.axes), "a table has its axes")
    demand(len(table.axes) == len(node.axes) == len(table.shape) and prod(table.shape) * 8 == len(table.data),
           "a table has a constant for every place")


def evaluate_table(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    import numpy as np

    table = node.attrs
    assert isinstance(table, Table)
    if run.shape(table.axes) != table.shape:
        raise ValueError(f"a table of {table.shape} constants lies along axes of {run.shape(table.axes)}")
    array = np.asarray(table.values(node.type.dtype), run.numpy_type(node.type.dtype)).reshape(table.shape)
    axes = run.sorted(table.axes)
    return Value(array.transpose([table.axes.index(axis) for axis in axes]), axes)


TABLE_FORM = Form("table", verify_table, evaluate_table)
INPUT_FORM = Form("input", verify_input, evaluate_input)
CONST_FORM = Form("const", verify_const, evaluate_const)
SIZE_FORM = Form("size", verify_size, evaluate_size)
IOTA_FORM = Form("iota", verify_iota, evaluate_iota)
