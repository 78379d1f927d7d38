"""Lowering of operations on matrices: rows and columns last, all else a batch; what only a right side has becomes its columns."""

from __future__ import annotations

from archc.checker.sizes import product
from archc.checker.types import LEADING, Axis
from archc.codegen.torch import layout
from archc.codegen.torch.form import Assign, Expr
from archc.codegen.torch.lower import Lowering, NeedsFlat
from archc.ir import build
from archc.ir.graph import Matrix, Node

_TOGETHER = {"eigenvalues": "eigenvectors", "eigenvectors": "eigenvalues"}


def matrix(low: Lowering, current: Node) -> Expr:
    at = current.attrs
    assert isinstance(at, Matrix)
    if current in low.results:
        return low.results[current][0]
    a = layout.squeeze(low.as_tensor(low.value(current.args[0])))
    batch = tuple(dim for dim in a.dims or () if dim is not None and dim not in (at.rows, at.columns))
    a = layout.permute(a, (*batch, at.rows, at.columns))
    if len(current.args) == 2:
        return _solve(low, current, at, a, batch)
    if current.op == "cholesky":
        return Expr("cholesky", (a,), (), a.dims)
    other = build.matrix(_TOGETHER[current.op], at.rows, at.columns, *current.args)
    if current.op == "eigenvalues" and other not in low.readers[current.args[0]]:
        return Expr("eigenvalues", (a,), (), (*batch, at.columns))
    names = {op: low.scope.names.fresh(low.graph.notes.names.get(build.matrix(op, at.rows, at.columns, *current.args), op))
             for op in ("eigenvalues", "eigenvectors")}
    low.block.append(Assign(tuple(names.values()), Expr("eigenvectors", (a,), (), a.dims)))
    both = {"eigenvalues": (*batch, at.columns), "eigenvectors": (*batch, at.rows, at.columns)}
    low.results[other] = [layout.name(names[other.op], both[other.op])]
    return layout.name(names[current.op], both[current.op])


def _solve(low: Lowering, current: Node, at: Matrix, a: Expr, batch: tuple[Axis, ...]) -> Expr:
    """One factorization serves all columns of a right side."""
    b = layout.squeeze(low.as_tensor(low.value(current.args[1])))
    columns = [dim for dim in b.dims or () if dim is not None and dim not in (*batch, at.rows)]
    leads = [any(axis.name == LEADING for axis in axes) for axes in (batch, b.axes)]
    if low.native and leads[0] != leads[1]:
        raise NeedsFlat  # torch would take a right side with fewer dimensions for vectors
    shared = [axis for axis in batch if axis in b.axes]
    b = layout.permute(b, (*shared, at.rows, *columns))
    whole: Axis | None = columns[0] if columns else None
    if len(columns) > 1:
        whole = Axis("*".join(map(str, columns)), product(axis.size for axis in columns))
        b = layout.flatten(b, columns, whole)
    b = layout.insert(b, (*(axis if axis in b.axes else None for axis in batch), at.rows, whole))
    x = Expr(current.op, (a, b), (), (*batch, at.columns, whole))
    if whole is not None and len(columns) > 1:
        return layout.unflatten(x, whole, columns, low.size, lambda _: False)
    return layout.squeeze(x)
