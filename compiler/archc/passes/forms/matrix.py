"""Operations on matrices. Solving is linear in the right side; a change of the matrix is a change of the right side.

Source: Giles, An extended collection of matrix derivative results for forward and reverse mode AD, 2008, sections 2.2.3, 3.1;
Murray, Differentiation of the Cholesky decomposition, 2016, equation 8. With a's symmetric part moving by S:
    solve          A dx = db - dA x
    cholesky       dL = L phi(L^-1 S L^-T), where phi keeps the lower triangle and half of the diagonal
    eigenvalues    dw_j = v_j' S v_j
    eigenvectors   dV = V G, G_kj = (V' S V)_kj / (w_j - w_k), 0 where k = j: infinite where two eigenvalues are equal
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from archc.ir import build
from archc.ir.graph import Matrix, Node
from archc.passes.cotangent import Cotangent, sum_over
from archc.passes.forms.common import ZERO, NotLinear, Parts, Run, plus

_TURNED = {"solve": "solve", "solve_lower": "solve_upper", "solve_upper": "solve_lower"}


def tangent(node: Node, tangents: Sequence[Node | None], run: Run) -> Node | None:
    assert isinstance(node.attrs, Matrix)
    if node.op in _TURNED:
        return _solve(node, node.attrs, tangents)
    if tangents[0] is None:
        return None
    moved = build.expand(tangents[0], {node.attrs.rows, node.attrs.columns})
    return (_cholesky if node.op == "cholesky" else _eigen)(node, node.attrs, moved, run)


def _solve(node: Node, at: Matrix, tangents: Sequence[Node | None]) -> Node | None:
    moved, right = tangents
    if moved is not None:
        beyond = build.apply("gt" if node.op == "solve_lower" else "lt", build.iota(at.columns), build.iota(at.rows))
        if node.op != "solve":
            moved = build.apply("where", beyond, ZERO, moved)
        pushed = build.apply("neg", build.reduce("sum", _product(moved, node), {at.columns}))
        right = plus((right, pushed))
    return None if right is None else build.matrix(node.op, at.rows, at.columns, node.args[0], right)


def _cholesky(node: Node, at: Matrix, moved: Node, run: Run) -> Node:
    i, j = at.rows, at.columns
    i2, j2 = run.twin(i), run.twin(j)
    left = build.matrix("solve_lower", i, j, node, _symmetric(moved, at, run))  # L^-1 S, [j, i2]
    both = build.matrix("solve_lower", i2, j2, build.rename(node, {i: i2, j: j2}), left)  # L^-1 S L^-T, [j, j2]
    row, column = build.iota(j), build.iota(j2)
    half = build.apply("where", build.apply("eq", row, column), build.const(0.5), build.const(1.0))
    phi = build.apply("where", build.apply("ge", row, column), _product(both, half), ZERO)
    return build.rename(build.reduce("sum", _product(phi, node), {j}), {j2: j})


def _eigen(node: Node, at: Matrix, moved: Node, run: Run) -> Node:
    i, j = at.rows, at.columns
    i2, j2 = run.twin(i), run.twin(j)
    values, vectors = (build.matrix(op, i, j, node.args[0]) for op in ("eigenvalues", "eigenvectors"))
    turned = build.reduce("sum", _product(_symmetric(moved, at, run), build.rename(vectors, {i: i2})), {i2})  # S V, [i, j]
    if node.op == "eigenvalues":
        return build.reduce("sum", _product(turned, vectors), {i})
    others = build.rename(vectors, {j: j2})
    inside = build.reduce("sum", _product(turned, others), {i})  # V' S V, [j2, j]
    same = build.apply("eq", build.iota(j), build.iota(j2))
    apart = build.apply("sub", values, build.rename(values, {j: j2}))
    share = build.apply("div", inside, build.apply("where", same, build.const(1.0), apart))
    return build.reduce("sum", _product(build.apply("where", same, ZERO, share), others), {j2})


def _symmetric(moved: Node, at: Matrix, run: Run) -> Node:
    """The symmetric part, with a twin of the rows for its columns."""
    twin = run.twin(at.rows)
    turned = build.rename(moved, {at.rows: twin, at.columns: at.rows})
    return _product(build.apply("add", build.rename(moved, {at.columns: twin}), turned), build.const(0.5))


def _product(x: Node, y: Node) -> Node:
    return build.apply("mul", x, y)


def transpose(node: Node, linear: Callable[[Node], bool], ct: Cotangent, run: Run) -> Parts:
    """Of a solve, by its right side: a solve with the matrix turned round, its rows being the columns."""
    at = node.attrs
    assert isinstance(at, Matrix)
    if node.op not in _TURNED or linear(node.args[0]):
        raise NotLinear(node)
    a, b = node.args
    back = build.matrix(_TURNED[node.op], at.columns, at.rows, a, ct.value)
    yield b, sum_over(Cotangent(back), (node.axes - {at.columns}) - b.axes)
