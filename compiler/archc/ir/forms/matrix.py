"""Rows of the op table on matrices: `solve`, `cholesky`, `eigenvalues` and the like, over an axis of rows and one of columns.

What comes out has the columns' axis. `solve` and `eigenvalues` lose that of the rows; a right side has the rows and not the
columns. `cholesky` and the eigenvalues and -vectors are of a's symmetric part, so that their derivatives are true of every a.
"""

from __future__ import annotations

from typing import Any

from archc.checker.types import Axis
from archc.diagnostics.model import CompilerBug
from archc.ir.forms.base import Form, demand
from archc.ir.graph import Matrix, Node
from archc.ir.values import Run, Value
from archc.ops.table import OPS


def verify(node: Node) -> None:
    attrs = node.attrs
    demand(isinstance(attrs, Matrix), f"the attributes of {node.op} are its rows and columns")
    assert isinstance(attrs, Matrix)
    demand(len(node.args) == OPS[node.op].arity, f"{node.op} has {OPS[node.op].arity} operands")
    a, *rest = node.args
    demand(attrs.rows != attrs.columns, f"{node.op} has two axes")
    demand({attrs.rows, attrs.columns} <= a.axes, f"{node.op} goes over axes that its matrix lacks")
    demand(all(arg.type.dtype == "float" for arg in node.args), f"{node.op} takes floats")
    for b in rest:
        demand(attrs.rows in b.axes and attrs.columns not in b.axes, f"the right side of {node.op} has the rows and no columns")
    axes = frozenset().union(*(arg.axes for arg in node.args))
    lost = frozenset() if node.op in ("cholesky", "eigenvectors") else {attrs.rows}
    demand(node.type.dtype == "float" and node.axes == axes - lost, f"{node.op} is a float along [{axes - lost}]")


def evaluate(node: Node, args: tuple[Value, ...], run: Run) -> Value:
    """Raises ValueError (numpy's LinAlgError) where a matrix has no inverse or no factor, as torch does."""
    import numpy as np

    attrs = node.attrs
    assert isinstance(attrs, Matrix)
    rows, columns = attrs.rows, attrs.columns
    if run.size(rows) != run.size(columns):
        raise CompilerBug(f"{node.op} of a matrix that is {run.size(rows)} by {run.size(columns)}")
    batch = run.sorted({axis for arg in args for axis in arg.axes} - {rows, columns})
    a = run.aligned(run.spread(args[0], {rows, columns}), (*batch, rows, columns))
    if node.op.startswith("solve"):
        b = run.aligned(run.spread(args[1], {rows}), (*batch, rows))[..., None]
        found = np.linalg.solve(a, b)[..., 0] if node.op == "solve" else _substituted(a, b[..., 0], node.op == "solve_lower")
        axes: tuple[Axis, ...] = (*batch, columns)
    else:
        a = (a + np.swapaxes(a, -1, -2)) / 2
        if node.op == "cholesky":
            found, axes = np.linalg.cholesky(a), (*batch, rows, columns)
        else:
            values, vectors = np.linalg.eigh(a)
            found, axes = (values, (*batch, columns)) if node.op == "eigenvalues" else (vectors, (*batch, rows, columns))
    ordered = run.sorted(axes)
    # A dimension of 1 that only broadcast is none of the value's own.
    shape = [run.size(axis) for axis in axes]
    return Value(np.broadcast_to(found, shape).transpose([axes.index(axis) for axis in ordered]), ordered)


def _substituted(a: Any, b: Any, lower: bool) -> Any:
    """Row by row from the one with one unknown; inf or nan where the diagonal is 0, as torch has it."""
    import numpy as np

    x = np.zeros(np.broadcast_shapes(a.shape[:-1], b.shape), np.result_type(a, b))
    count = a.shape[-1]
    for row in range(count) if lower else reversed(range(count)):
        known = slice(0, row) if lower else slice(row + 1, count)
        x[..., row] = (b[..., row] - np.sum(a[..., row, known] * x[..., known], axis=-1)) / a[..., row, row]
    return x


MATRIX_FORM = Form("matrix", verify, evaluate)
