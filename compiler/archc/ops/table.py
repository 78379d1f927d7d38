"""The one table of operations: what each is, its derivative, what it costs.

Everything else asks here: the checker for names and dtypes, autodiff for derivatives, the evaluator and the targets for the
meaning where they have no spelling of their own. Adding an operation is adding a row.

Texts are expressions of the language. In an elementwise row the operands are `x`, `y`, `z` and the result is `out`; `grad` has
the partial derivative for each operand (an absent one is zero). In a row over axes the operand is `x`, the axes are `k`, and
`jvp` gives the derivative along `dx`. A row with a `value` is defined by it, and may leave its derivative to it. `grad` holds for
complex operands too where the row is holomorphic; where it is not, `jvp` has what it is linear in, the real and imaginary part.
Rows of matrices go over two axes in order, rows and columns; their derivatives need twins of both, so they are code:
`archc.passes.forms.matrix`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DType = Literal["float", "int", "bool", "complex"]  # "float" is the module's own float: float32, float64, bfloat16 ...
Form = Literal["elementwise", "reduce", "normalise", "matrix", "transform"]


@dataclass(frozen=True)
class Cost:
    """Per element of the widest operand: additions and multiplications; calls of the special-function unit.
    Of a row of matrices: per element of the operands and row."""

    flops: int = 1
    special: int = 0


@dataclass(frozen=True)
class Op:
    """One row. `dtypes`: one letter an operand and one for the result: f float, i int, b bool, n number (int or float; the
    result is float if any operand is), z number or complex, v float or complex, c complex, a anything (the result of z, v and a
    is the widest of the operands), r the real type that the operand's size has. A float may meet a complex without conversion.

    `form`: elementwise; reduce, which takes the axes away; normalise, which keeps them; matrix, see `archc.ir.forms.matrix`;
    transform, see `archc.ir.forms.fourier`.
    `language`: the name in `.arch` where it differs; "" if the operation has a symbol or cannot be written.
    `one_axis`: it goes along exactly one axis, because its order counts.
    `domain`: where the derivative row holds and random tests may draw from.
    """

    name: str
    form: Form
    dtypes: str
    summary: str
    language: str | None = None
    value: str | None = None
    grad: Mapping[str, str] = field(default_factory=dict)
    jvp: str | None = None
    cost: Cost = Cost()
    domain: tuple[float, float] = (-10.0, 10.0)
    commutes: bool = False
    one_axis: bool = False

    @property
    def arity(self) -> int:
        return len(self.dtypes) - 1

    def result(self, args: tuple[DType, ...]) -> DType:
        """The dtype of the result for dtypes of the operands."""
        letter = self.dtypes[-1]
        if letter == "n":
            return "float" if "float" in args else "int"
        if letter in "azv":
            values = args[1:] if self.name == "where" else args
            return next(dtype for dtype in WIDEST if dtype in values)
        if letter == "r":
            return "float" if args[0] == "complex" else args[0]
        return {"f": "float", "i": "int", "b": "bool", "c": "complex"}[letter]  # type: ignore[return-value]

    def accepts(self, place: int, dtype: DType) -> bool:
        """Whether an operand may have a dtype, without conversion."""
        return dtype in ACCEPTED[self.dtypes[place]]


WIDEST: tuple[DType, ...] = ("complex", "float", "int", "bool")
ACCEPTED: Mapping[str, tuple[DType, ...]] = {
    "f": ("float",), "i": ("int",), "b": ("bool",), "n": ("float", "int"), "z": ("complex", "float", "int"),
    "v": ("complex", "float"), "c": ("complex",), "a": WIDEST}
"""The dtypes that each letter stands for."""
SMOOTH: frozenset[DType] = frozenset({"float", "complex"})
"""The dtypes of values that have a derivative."""

OPS: dict[str, Op] = {}


def op(name: str, form: Form, dtypes: str, summary: str, **more: object) -> None:
    if name in OPS:
        raise ValueError(f"two rows are named {name}")
    OPS[name] = Op(name, form, dtypes, summary, **more)  # type: ignore[arg-type]


def elementwise(name: str, dtypes: str, summary: str, **more: object) -> None:
    op(name, "elementwise", dtypes, summary, **more)


POSITIVE = (1e-3, 10.0)
UNIT = (-0.999, 0.999)

# Arithmetic. `neg`, `add` ... are written with symbols, so they have no name in the language.
elementwise("neg", "zz", "-x", language="", grad={"x": "-1"})
elementwise("add", "zzz", "x + y", language="", grad={"x": "1", "y": "1"}, commutes=True)
elementwise("sub", "zzz", "x - y", language="", grad={"x": "1", "y": "-1"})
elementwise("mul", "zzz", "x * y", language="", grad={"x": "y", "y": "x"}, commutes=True)
elementwise("div", "vvv", "x / y", language="", grad={"x": "1 / y", "y": "-out / y"}, cost=Cost(1, 1))
elementwise("pow", "fff", "x ^ y, real: nan where x < 0 and y is not whole", language="", domain=POSITIVE, cost=Cost(2, 2),
            grad={"x": "y * x ^ (y - 1)", "y": "where(x == 0, 0, out * log(where(x == 0, 1, x)))"})
elementwise("ipow", "ziz", "x to a whole power of 0 or more", language="",
            grad={"x": "float(y) * x ^ max(y - 1, 0)"}, cost=Cost(2, 0))
elementwise("floordiv", "nnn", "x // y, rounded down", language="")
elementwise("mod", "nnn", "x % y, with the sign of y", language="", grad={"x": "1", "y": "-float(x // y)"})
elementwise("maximum", "nnn", "the larger; where equal, each has half of the derivative", language="max", commutes=True,
            grad={"x": "where(x == y, 0.5, where(x > y, 1, 0))", "y": "where(x == y, 0.5, where(y > x, 1, 0))"})
elementwise("minimum", "nnn", "the smaller; where equal, each has half of the derivative", language="min", commutes=True,
            grad={"x": "where(x == y, 0.5, where(x < y, 1, 0))", "y": "where(x == y, 0.5, where(y < x, 1, 0))"})

# Comparison, logic, choice.
elementwise("eq", "zzb", "x == y", language="", commutes=True)
elementwise("ne", "zzb", "x != y", language="", commutes=True)
elementwise("lt", "nnb", "x < y", language="")
elementwise("le", "nnb", "x <= y", language="")
elementwise("gt", "nnb", "x > y", language="")
elementwise("ge", "nnb", "x >= y", language="")
elementwise("and", "bbb", "both", language="", commutes=True)
elementwise("or", "bbb", "either", language="", commutes=True)
elementwise("not", "bb", "the other", language="")
elementwise("where", "baaa", "y where x holds, else z; the other branch's derivative is never touched", cost=Cost(1))
elementwise("isfinite", "fb", "neither infinite nor nan")
elementwise("isnan", "fb", "not a number")

# Conversion.
elementwise("to_float", "nf", "an int as a float; a float stays", language="float", grad={"x": "1"})
elementwise("to_int", "ni", "rounded towards zero", language="int")
elementwise("bool_to_int", "bi", "1 where true, 0 where false", language="count")
elementwise("detach", "zz", "the value, without a derivative")

# Rounding and sign.
elementwise("abs", "zr", "absolute value; derivative 0 at 0", grad={"x": "sign(x)"}, jvp="real(conj(x) * dx) / positive(out)")
elementwise("sign", "nn", "-1, 0 or 1")
elementwise("floor", "ff", "rounded down")
elementwise("ceil", "ff", "rounded up")
elementwise("round", "ff", "rounded to nearest, ties to even")

# Exponentials, powers and trigonometry.
elementwise("exp", "vv", "e to the x", grad={"x": "out"}, cost=Cost(0, 1))
elementwise("expm1", "ff", "exp(x) - 1 without cancellation", grad={"x": "out + 1"}, cost=Cost(1, 1))
elementwise("log", "ff", "natural logarithm", grad={"x": "1 / x"}, domain=POSITIVE, cost=Cost(0, 1))
elementwise("log1p", "ff", "log(1 + x) without cancellation", grad={"x": "1 / (1 + x)"}, domain=(-0.99, 10.0), cost=Cost(1, 1))
elementwise("sqrt", "ff", "square root", grad={"x": "0.5 / out"}, domain=POSITIVE, cost=Cost(0, 1))
elementwise("rsqrt", "ff", "1 / sqrt(x)", grad={"x": "-0.5 * out / x"}, domain=POSITIVE, cost=Cost(0, 1))
elementwise("sin", "ff", "sine", grad={"x": "cos(x)"}, cost=Cost(0, 1))
elementwise("cos", "ff", "cosine", grad={"x": "-sin(x)"}, cost=Cost(0, 1))
elementwise("tan", "ff", "tangent", grad={"x": "1 + out * out"}, domain=(-1.5, 1.5), cost=Cost(0, 1))
elementwise("asin", "ff", "arc sine", grad={"x": "rsqrt(1 - x * x)"}, domain=UNIT, cost=Cost(0, 1))
elementwise("acos", "ff", "arc cosine", grad={"x": "-rsqrt(1 - x * x)"}, domain=UNIT, cost=Cost(0, 1))
elementwise("atan", "ff", "arc tangent", grad={"x": "1 / (1 + x * x)"}, cost=Cost(0, 1))
elementwise("atan2", "fff", "the angle between -pi and pi of the point (y, x); derivative 0 at (0, 0)", cost=Cost(1, 1),
            grad={"x": "y / positive(x * x + y * y)", "y": "-x / positive(x * x + y * y)"})
elementwise("sinh", "ff", "hyperbolic sine", grad={"x": "cosh(x)"}, cost=Cost(2, 1))
elementwise("cosh", "ff", "hyperbolic cosine", grad={"x": "sinh(x)"}, cost=Cost(2, 1))
elementwise("tanh", "ff", "hyperbolic tangent", grad={"x": "1 - out * out"}, cost=Cost(2, 1))
elementwise("erf", "ff", "error function", grad={"x": "1.1283791670955126 * exp(-x * x)"}, cost=Cost(2, 1))
elementwise("sigmoid", "ff", "1 / (1 + exp(-x))", grad={"x": "out * (1 - out)"}, cost=Cost(2, 1))

# Defined by others; targets that have them spell them.
elementwise("relu", "ff", "max(x, 0), with derivative 0 at 0", value="where(x > 0, x, 0)", grad={"x": "where(x > 0, 1, 0)"})
elementwise("silu", "ff", "x * sigmoid(x)", value="x * sigmoid(x)", cost=Cost(3, 1))
elementwise("gelu", "ff", "x times the normal distribution function", cost=Cost(5, 1),
            value="0.5 * x * (1 + erf(x * 0.7071067811865476))")
elementwise("softplus", "ff", "log(1 + exp(x)) without overflow", value="relu(x) + log1p(exp(-abs(x)))", grad={"x": "sigmoid(x)"},
            cost=Cost(4, 2))
elementwise("log_sigmoid", "ff", "log(sigmoid(x)) without overflow", value="-softplus(-x)", grad={"x": "sigmoid(-x)"},
            cost=Cost(4, 2))

# Over axes: these take the axes away.
op("sum", "reduce", "zz", "sum; 0 over nothing", jvp="sum[k](dx)")
op("prod", "reduce", "nn", "product; 1 over nothing", value=None)  # its derivative needs a second index: ir/forms/reduce.py
op("max", "reduce", "nn", "largest; equal largest ones share the derivative; an error over nothing",
   jvp="sum[k](where(x == out, dx, 0)) / float(sum[k](count(x == out)))")
op("min", "reduce", "nn", "smallest; equal smallest ones share the derivative; an error over nothing",
   jvp="sum[k](where(x == out, dx, 0)) / float(sum[k](count(x == out)))")
op("any", "reduce", "bb", "true if any is; false over nothing")
op("all", "reduce", "bb", "true if all are; true over nothing")
op("argmax", "reduce", "ni", "index of the largest along one axis; the first where several are equal", one_axis=True)
op("mean", "reduce", "vv", "arithmetic mean; nan over nothing", value="sum[k](x) / |k|", jvp="mean[k](dx)")
op("var", "reduce", "ff", "variance, divided by the number of elements, in two passes", value="mean[k]((x - mean[k](x)) ^ 2)",
   jvp="2 * mean[k]((x - mean[k](x)) * dx)", cost=Cost(3))
op("std", "reduce", "ff", "square root of the variance; derivative 0 where all are equal", value="sqrt(var[k](x))", cost=Cost(3),
   jvp="mean[k]((x - mean[k](x)) * dx) / positive(out)")
op("logsumexp", "reduce", "ff", "log of the sum of exponentials; -inf where all are -inf", cost=Cost(3, 1),
   value="log(sum[k](exp(x - finite_max[k](x)))) + finite_max[k](x)", jvp="sum[k](softmax[k](x) * dx)")
op("finite_max", "reduce", "ff", "largest, or 0 where it is infinite: a shift that never makes nan; no derivative", language="",
   value="detach(where(isfinite(max[k](x)), max[k](x), 0))")

# Over axes: these keep them.
op("softmax", "normalise", "ff", "exp(x) divided by its sum; 0 in a row where every x is -inf", cost=Cost(4, 1),
   value="exp(x - finite_max[k](x)) / positive(sum[k](exp(x - finite_max[k](x))))",
   jvp="out * (dx - sum[k](out * dx))")
elementwise("positive", "ff", "x, or 1 where x is 0: a divisor that never makes nan", language="", value="where(x == 0, 1, x)",
            grad={"x": "1"})
op("log_softmax", "normalise", "ff", "log of softmax without underflow", cost=Cost(4, 1),
   value="x - logsumexp[k](x)", jvp="dx - sum[k](softmax[k](x) * dx)")

op("cumsum", "normalise", "zz", "running sum along one axis, the element itself included", jvp="cumsum[k](dx)", one_axis=True)
op("cumprod", "normalise", "nn", "running product along one axis, the element itself included", one_axis=True)  # see `prod`
op("argsort", "normalise", "ni", "the indices that put one axis in rising order; equal ones keep their order", one_axis=True)

# Of matrices: rows and columns are two axes, all others are a batch. `solve` gives the columns' axis in place of the rows'.
op("solve", "matrix", "fff", "x with sum[j](a * x) == b; an error where a is singular", cost=Cost(1))
op("solve_lower", "matrix", "fff", "solve with the lower triangle of a alone", cost=Cost(1))
op("solve_upper", "matrix", "fff", "solve with the upper triangle of a alone", cost=Cost(1))
op("cholesky", "matrix", "ff", "lower triangle with sum[j](l * l[i = k]) == a, of a's symmetric part; an error where a is not "
   "positive definite", cost=Cost(1))
op("eigenvalues", "matrix", "ff", "eigenvalues of a's symmetric part, rising along the columns' axis", cost=Cost(2))
op("eigenvectors", "matrix", "ff", "their vectors of length 1, one for each column; each has the sign that the library gives it",
   cost=Cost(9))

# Complex numbers: pairs of floats. Their derivatives are linear over the reals.
elementwise("complex", "ffc", "x + y i")
elementwise("real", "vf", "the real part")
elementwise("imag", "vf", "the imaginary part; 0 of a float")
elementwise("conj", "vv", "the conjugate: x - y i of x + y i")
elementwise("angle", "vf", "the argument, between -pi and pi; derivative 0 at 0", cost=Cost(1, 1),
            jvp="imag(conj(x) * dx) / positive(real(x) * real(x) + imag(x) * imag(x))")

# Discrete Fourier transforms: sums over an axis of waves times its elements; ir/forms/fourier.py says them as sums.
op("fft", "transform", "vc", "sum over t of x exp(-2 pi i k t / |t|), for every k below |t|", cost=Cost(5))
op("ifft", "transform", "vc", "sum over k of x exp(2 pi i k t / |k|), divided by |k|", cost=Cost(5))
op("rfft", "transform", "fc", "fft of floats, for the frequencies up to |t| // 2", cost=Cost(5))
op("irfft", "transform", "vf", "inverse of rfft: floats, from the frequencies up to |t| // 2", cost=Cost(5))

LANGUAGE_NAMES: dict[tuple[str, bool], str] = {
    (row.language or name, row.form != "elementwise"): name for name, row in OPS.items() if row.language != ""
}
"""(name in the language, whether axes stand in brackets) -> row: `max(x, y)` and `max[k](x)` are two rows."""
