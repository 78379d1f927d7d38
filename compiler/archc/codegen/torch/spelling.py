"""How torch writes each operation: name -> a template and how tightly it binds. Pure data.

In a template `{0}`, `{1}` are operands, `{1*}` all operands from the first on, `{p0}` a parameter. Rows of the op table that
have no spelling here are expanded by their meaning before lowering (`EXPANDED` says which, so that none is forgotten).
"""

from __future__ import annotations

from dataclasses import dataclass

ATOM, POWER, UNARY, TIMES, PLUS, BIT_AND, BIT_OR, COMPARE, NOT, AND, OR, TERNARY = 13, 12, 11, 10, 9, 8, 6, 5, 4, 3, 2, 1


@dataclass(frozen=True)
class Spelled:
    """`broadcasts`: the operands' dimensions, aligned at the right, make up the result's."""

    template: str
    precedence: int = ATOM
    broadcasts: bool = False


def _op(template: str, precedence: int = ATOM) -> Spelled:
    return Spelled(template, precedence, broadcasts=True)


ELEMENTWISE = {
    "neg": _op("-{0}", UNARY),
    "add": _op("{0} + {1}", PLUS),
    "sub": _op("{0} - {1}", PLUS),
    "mul": _op("{0} * {1}", TIMES),
    "div": _op("{0} / {1}", TIMES),
    "pow": _op("{0} ** {1}", POWER),
    "ipow": _op("{0} ** {1}", POWER),
    "floordiv": _op("{0} // {1}", TIMES),
    "mod": _op("{0} % {1}", TIMES),
    "maximum": _op("torch.maximum({0}, {1})"),
    "minimum": _op("torch.minimum({0}, {1})"),
    "eq": _op("{0} == {1}", COMPARE),
    "ne": _op("{0} != {1}", COMPARE),
    "lt": _op("{0} < {1}", COMPARE),
    "le": _op("{0} <= {1}", COMPARE),
    "gt": _op("{0} > {1}", COMPARE),
    "ge": _op("{0} >= {1}", COMPARE),
    "and": _op("{0} & {1}", BIT_AND),
    "or": _op("{0} | {1}", BIT_OR),
    "not": _op("~{0}", UNARY),
    "where": _op("torch.where({0}, {1}, {2})"),
    "isfinite": _op("torch.isfinite({0})"),
    "isnan": _op("torch.isnan({0})"),
    "to_float": _op("{0}.to({p0})"),
    "to_int": _op("{0}.long()"),
    "bool_to_int": _op("{0}.long()"),
    "detach": _op("{0}.detach()"),
    "complex": _op("torch.complex({0}, {1})"),
    "to_complex": _op("{0}.to({p0})"),
    "real": _op("{0}.real"),
    "imag": _op("{0}.imag"),
    "conj": _op("{0}.conj()"),
    "angle": _op("{0}.angle()"),
    "abs": _op("{0}.abs()"),
    "sign": _op("{0}.sign()"),
    "floor": _op("{0}.floor()"),
    "ceil": _op("{0}.ceil()"),
    "round": _op("{0}.round()"),
    "exp": _op("torch.exp({0})"),
    "expm1": _op("torch.expm1({0})"),
    "log": _op("torch.log({0})"),
    "log1p": _op("torch.log1p({0})"),
    "sqrt": _op("torch.sqrt({0})"),
    "rsqrt": _op("torch.rsqrt({0})"),
    "sin": _op("torch.sin({0})"),
    "cos": _op("torch.cos({0})"),
    "tan": _op("torch.tan({0})"),
    "asin": _op("torch.asin({0})"),
    "acos": _op("torch.acos({0})"),
    "atan": _op("torch.atan({0})"),
    "atan2": _op("torch.atan2({0}, {1})"),
    "sinh": _op("torch.sinh({0})"),
    "cosh": _op("torch.cosh({0})"),
    "tanh": _op("torch.tanh({0})"),
    "erf": _op("torch.erf({0})"),
    "sigmoid": _op("torch.sigmoid({0})"),
    "relu": _op("F.relu({0})"),
    "silu": _op("F.silu({0})"),
    "gelu": _op("F.gelu({0})"),
    "softplus": _op("F.softplus({0}, threshold=40)"),  # linear above: exact in float64 from 37 on
    "log_sigmoid": _op("F.logsigmoid({0})"),
    # Forms that elementwise rows take for some operands.
    "square": _op("{0}.square()"),
    "floor_of_quotient": _op('torch.div({0}, {1}, rounding_mode="floor")'),  # `//` has no derivative in torch, not even zero
    "select": _op("{1} if {0} else {2}", TERNARY),
}
"""Elementwise rows on tensors, by the table's names."""

HOST = {
    "neg": _op("-{0}", UNARY),
    "add": _op("{0} + {1}", PLUS),
    "sub": _op("{0} - {1}", PLUS),
    "mul": _op("{0} * {1}", TIMES),
    "div": _op("{0} / {1}", TIMES),
    "pow": _op("{0} ** {1}", POWER),
    "ipow": _op("{0} ** {1}", POWER),
    "floordiv": _op("{0} // {1}", TIMES),
    "mod": _op("{0} % {1}", TIMES),
    "maximum": _op("max({0}, {1})"),
    "minimum": _op("min({0}, {1})"),
    "eq": _op("{0} == {1}", COMPARE),
    "ne": _op("{0} != {1}", COMPARE),
    "lt": _op("{0} < {1}", COMPARE),
    "le": _op("{0} <= {1}", COMPARE),
    "gt": _op("{0} > {1}", COMPARE),
    "ge": _op("{0} >= {1}", COMPARE),
    "and": _op("{0} and {1}", AND),
    "or": _op("{0} or {1}", OR),
    "not": _op("not {0}", NOT),
    "is_not": _op("{0} is not {1}", COMPARE),
    "where": _op("{1} if {0} else {2}", TERNARY),
    "to_float": _op("float({0})"),
    "to_int": _op("int({0})"),
    "bool_to_int": _op("int({0})"),
    "detach": _op("{0}"),
    "complex": _op("complex({0}, {1})"),
    "real": _op("{0}.real"),
    "imag": _op("{0}.imag"),
    "conj": _op("{0}.conjugate()"),
    "abs": _op("abs({0})"),
    "floor": _op("float(math.floor({0}))"),
    "ceil": _op("float(math.ceil({0}))"),
    "round": _op("float(round({0}))"),
    "exp": _op("math.exp({0})"),
    "expm1": _op("math.expm1({0})"),
    "log": _op("math.log({0})"),
    "log1p": _op("math.log1p({0})"),
    "sqrt": _op("{0} ** 0.5", POWER),
    "rsqrt": _op("{0} ** -0.5", POWER),
    "sin": _op("math.sin({0})"),
    "cos": _op("math.cos({0})"),
    "tan": _op("math.tan({0})"),
    "atan": _op("math.atan({0})"),
    "tanh": _op("math.tanh({0})"),
    "erf": _op("math.erf({0})"),
}
"""Rows on numbers of the host: sizes, constants, constructor arguments. Other rows make a tensor of the number first."""

REDUCTIONS = {
    "sum": Spelled("{0}.sum({p0}{p1})"),
    "mean": Spelled("{0}.mean({p0}{p1})"),
    "var": Spelled("{0}.var({p0}, correction=0{p1})"),
    "std": Spelled("{0}.std({p0}, correction=0{p1})"),
    "max": Spelled("{0}.amax({p0}{p1})"),  # amax shares the derivative of equal largest ones
    "min": Spelled("{0}.amin({p0}{p1})"),
    "any": Spelled("{0}.any({p0}{p1})"),
    "all": Spelled("{0}.all({p0}{p1})"),
    "prod": Spelled("{0}.prod({p0}{p1})"),
    "argmax": Spelled("{0}.argmax({p0}{p1})"),
    "logsumexp": Spelled("torch.logsumexp({0}, {p0}{p1})"),
    "softmax": Spelled("torch.softmax({0}, {p0})"),
    "log_softmax": Spelled("torch.log_softmax({0}, {p0})"),
    "cumsum": Spelled("{0}.cumsum({p0})"),
    "cumprod": Spelled("{0}.cumprod({p0})"),
    "argsort": Spelled("{0}.argsort(dim={p0}, stable=True)"),
}
"""Rows over axes: the dimensions, then `, keepdim=True` or nothing."""

MATRICES = {
    "solve": Spelled("_solve({0}, {1})"),
    "solve_lower": Spelled("_triangular({0}, {1}, upper=False)"),
    "solve_upper": Spelled("_triangular({0}, {1}, upper=True)"),
    "cholesky": Spelled("_cholesky({0})"),
    "eigenvalues": Spelled("_eigenvalues({0})"),
    "eigenvectors": Spelled("_eigh({0})"),  # gives the values too
}
"""Rows of matrices, whose rows and columns come last: helpers that also serve half types."""

STRUCTURE = {
    "as": Spelled("{0}"),  # the same value under other names of axes
    "name": Spelled("{p0}"),
    "literal": Spelled("{p0}"),
    "negative": Spelled("{p0}", UNARY),
    "size_sum": Spelled("{p0}", PLUS),
    "size_product": Spelled("{p0}", TIMES),
    "tuple": Spelled("({0*},)"),
    "list": Spelled("{0*}", TERNARY),  # several values at the right of an assignment
    "star": Spelled("*{0}"),
    "method": Spelled("{0}.{p0}({1*})"),
    "function": Spelled("{p0}({0*})"),
    "keyword": Spelled("{p0}={0}", TERNARY),
    "attribute": Spelled("{0}.{p0}"),
    "shape": Spelled("{p0}.shape"),
    "shape_at": Spelled("{p0}.shape[{p1}]"),
    "tensor": Spelled("torch.tensor({0}, dtype={p0}, device={p1})"),
    # Views.
    "view": Spelled("{0}.view({1*})"),
    "reshape": Spelled("{0}.reshape({1*})"),
    "flatten": Spelled("{0}.flatten({p0}, {p1})"),
    "unflatten": Spelled("{0}.unflatten({p0}, ({1*}))"),
    "unsqueeze": Spelled("{0}.unsqueeze({p0})"),
    "squeeze": Spelled("{0}.squeeze({p0})"),
    "transpose": Spelled("{0}.transpose({p0}, {p1})"),
    "permute": Spelled("{0}.permute({p0})"),
    "matrix_transpose": Spelled("{0}.mT"),
    "t": Spelled("{0}.t()"),
    "expand": Spelled("{0}.expand({1*})"),
    "subscript": Spelled("{0}[{p0}]"),
    "index": Spelled("{0}[{1*}]"),
    "slice": Spelled("{0}:{1}", TERNARY),
    "narrow": Spelled("{0}.narrow({p0}, {1}, {2})"),
    "unfold": Spelled("{0}.unfold({p0}, {1}, {2})"),
    "flip": Spelled("{0}.flip({p0})"),
    "diagonal": Spelled("{0}.diagonal(0, {p0}, {p1})"),
    # Products.
    "linear": Spelled("F.linear({0*})"),
    "matmul": Spelled("{0} @ {1}", TIMES),
    "einsum": Spelled("torch.einsum({p0}, {0*})"),
    "convolution": Spelled("F.{p0}({0*}{p1})"),
    "pool": Spelled("F.{p0}({0}, {p1})"),
    # Reading and writing by index.
    "pad": Spelled("F.pad({0}, ({1*}){p0})"),
    "roll": Spelled("{0}.roll({1}, {p0})"),
    "index_select": Spelled("{0}.index_select({p0}, {1})"),
    "embedding": Spelled("F.embedding({1}, {0})"),
    "take_along_dim": Spelled("{0}.take_along_dim({1}, {p0})"),
    "gather": Spelled("{0}.gather({p0}, {1})"),
    "index_put": Spelled("{0}.index_put({2}, {1}, accumulate=True)"),
    "index_add": Spelled("{0}.index_add({p0}, {2}, {1})"),
    "cat": Spelled("torch.cat(({0*}), {p0})"),
    "arange": Spelled("torch.arange({0}, device={p0})"),
    "full": Spelled("torch.full({0}, {1}, dtype={p0}, device={p1})"),
    "zeros": Spelled("torch.zeros({0*}, dtype={p0}, device={p1})"),
    "clamp": Spelled("{0}.clamp({1}, {2})"),
    # Fused.
    "dropout": Spelled("F.dropout({0}, {1}, {p0})"),
}

SPELLING: dict[str, Spelled] = STRUCTURE | REDUCTIONS | MATRICES | HOST | ELEMENTWISE

EXPANDED = frozenset({"finite_max", "positive"})
"""Rows that torch has no name for."""
