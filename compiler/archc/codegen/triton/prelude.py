"""What every file of Triton kernels begins with: mathematics that `tl` lacks, without libdevice.

Bounds hold for the functions as written, under the interpreter; on a chip `tl.exp`, `tl.log` and division are those of the chip,
which are good to about 2 ulp (exp: and |x| / 4 ulp more).
"""

from __future__ import annotations

import re

PRELUDE = r'''
# -- nan wins
@triton.jit
def larger(x, y):
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def smaller(x, y):
    return tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def largest(x, dim: tl.constexpr):
    found = tl.max(x, dim, keep_dims=True)
    if x.dtype.is_floating():
        found = tl.where(tl.max((x != x).to(tl.int32), dim, keep_dims=True) != 0, float("nan"), found)
    return found


@triton.jit
def smallest(x, dim: tl.constexpr):
    found = tl.min(x, dim, keep_dims=True)
    if x.dtype.is_floating():
        found = tl.where(tl.max((x != x).to(tl.int32), dim, keep_dims=True) != 0, float("nan"), found)
    return found


@triton.jit
def any_of(x, dim: tl.constexpr):
    return tl.max(x.to(tl.int32), dim, keep_dims=True) != 0


@triton.jit
def all_of(x, dim: tl.constexpr):
    return tl.min(x.to(tl.int32), dim, keep_dims=True) != 0


@triton.jit
def is_finite(x):
    return x - x == 0


@triton.jit
def sign_of(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@triton.jit
def floor_divide(x, y):
    if x.dtype.is_floating():
        result = tl.floor(x / y)
    else:
        quotient = x // y  # towards zero
        rest = x - quotient * y
        result = quotient - ((rest != 0) & ((rest < 0) != (y < 0))).to(x.dtype)
    return result


@triton.jit
def modulo(x, y):
    return x - floor_divide(x, y) * y


@triton.jit
def half_to_even(x):
    below = tl.floor(x)
    rest = x - below
    odd = below - 2 * tl.floor(below * 0.5) != 0
    return tl.where((rest > 0.5) | ((rest == 0.5) & odd), below + 1, below)


@triton.jit
def whole_power(x, n):
    result = x * 0 + 1
    for bit in tl.static_range(31):
        result = tl.where((n >> bit) & 1 != 0, result * x, result)
        x = x * x
    return result


# e^(y log |x|): relative error at most 2 + |y log x| ulp.
@triton.jit
def power(x, y):
    whole = tl.floor(y) == y
    odd = whole & (y - 2 * tl.floor(y * 0.5) != 0)
    size = tl.exp(y * tl.log(tl.abs(x)))
    size = tl.where((x == 0) | (x - x != 0), tl.where(y > 0, tl.abs(x), 1 / tl.abs(x)), size)  # 0, inf and nan
    result = tl.where(x < 0, tl.where(whole, tl.where(odd, -size, size), float("nan")), size)
    return tl.where((y == 0) | (x == 1), 1.0, tl.where(y != y, y, result))


# 1 / (1 + e^-x): at most 4 ulp.
@triton.jit
def logistic(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0, e, 1.0) / (1 + e)


# Rational where |x| < 0.625 (Moshier, Cephes), else by the exponential; at most 3 ulp.
@triton.jit
def hyperbolic_tangent(x):
    z = x * x
    p = (-0.964399179425052238628 * z - 99.2877231001918586564) * z - 1614.68768441708447952
    q = ((z + 112.811678491632931402) * z + 2235.48839060100448583) * z + 4844.06305325125486048
    a = tl.abs(x)
    large = 1 - 2 / (tl.exp(a + a) + 1)
    return tl.where(a < 0.625, x + x * z * (p / q), tl.where(x < 0, -large, large))


# Rational where |x| < 0.5 (Cephes), else by the exponential; at most 4 ulp.
@triton.jit
def exp_less_1(x):
    z = x * x
    p = x * ((1.2617719307481059087798e-4 * z + 3.0299440770744196129956e-2) * z + 9.9999999999999999991025e-1)
    q = (((3.0019850513866445504159e-6 * z + 2.5244834034968410419224e-3) * z + 2.2726554820815502876593e-1) * z
         + 2.0000000000000000000897)
    return tl.where(tl.abs(x) < 0.5, 2 * (p / (q - p)), tl.exp(x) - 1)


# The logarithm of the rounded sum, and what the rounding took; at most 4 ulp.
@triton.jit
def log_of_1_plus(x):
    u = 1 + x
    rest = (x - (u - 1)) / u
    return tl.where(x == 0, x, tl.log(u) + tl.where(rest - rest == 0, rest, 0.0))


@triton.jit
def hyperbolic_sine(x):
    a = exp_less_1(tl.abs(x))
    half = 0.5 * (a + a / (a + 1))
    half = tl.where(a - a == 0, half, a)
    return tl.where(x < 0, -half, half)


@triton.jit
def hyperbolic_cosine(x):
    e = tl.exp(tl.abs(x))
    return 0.5 * e + 0.5 / e


# Sine and cosine of what x lies above a multiple of pi / 2, which is taken away in three parts: for |x| up to 1e5 (in float64
# 1e9) at most 2e-7 (2e-16 |x|) away. tl.sin would keep a table in local memory, as its reduction holds for every x.
@triton.jit
def quarters(x):
    n = half_to_even(x * 0.636619772367581343)
    if x.dtype == tl.float64:
        r = ((x - n * 1.57079632673412561417) - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21
    else:
        r = ((x - n * 1.5703125) - n * 4.837512969970703125e-4) - n * 7.54978995489188216e-8
    return n, r


@triton.jit
def sine_here(r):
    z = r * r
    if r.dtype == tl.float64:
        p = (((((1.58962301576546568060e-10 * z - 2.50507477628578072866e-8) * z + 2.75573136213857245213e-6) * z
               - 1.98412698295895385996e-4) * z + 8.33333333332211858878e-3) * z - 1.66666666666666307295e-1)
    else:
        p = ((2.718311493989822e-6 * z - 1.9839334836096632e-4) * z + 8.333293858894632e-3) * z - 1.6666666641626524e-1
    return r + r * z * p


@triton.jit
def cosine_here(r):
    z = r * r
    if r.dtype == tl.float64:
        p = (((((-1.13585365213876817300e-11 * z + 2.08757008419747316778e-9) * z - 2.75573141792967388112e-7) * z
               + 2.48015872888517045348e-5) * z - 1.38888888888730564116e-3) * z + 4.16666666666665929218e-2)
    else:
        p = (2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2
    return 1 - 0.5 * z + z * z * p


@triton.jit
def turned(n, s, c):
    """The sine of n quarters more."""
    quarter = n - 4 * tl.floor(n * 0.25)
    found = tl.where((quarter == 1) | (quarter == 3), c, s)
    return tl.where(quarter >= 2, -found, found)


@triton.jit
def sine(x):
    n, r = quarters(x)
    return turned(n, sine_here(r), cosine_here(r))


@triton.jit
def cosine(x):
    n, r = quarters(x)
    return turned(n + 1, sine_here(r), cosine_here(r))


@triton.jit
def tangent(x):
    n, r = quarters(x)
    s, c = sine_here(r), cosine_here(r)
    odd = n - 2 * tl.floor(n * 0.5) != 0
    return tl.where(odd, -c, s) / tl.where(odd, s, c)


# Cephes: x, (x - 1) / (x + 1) or -1 / x, then a rational function; at most 4 ulp.
@triton.jit
def arc_tangent(x):
    a = tl.abs(x)
    far, near = a > 2.414213562373095, a <= 0.66
    t = tl.where(far, -1 / a, tl.where(near, a, (a - 1) / (a + 1)))
    start = tl.where(far, a * 0 + 1.57079632679489661923, tl.where(near, a * 0, a * 0 + 0.78539816339744830962))
    start = tl.where(a - a == 0, start, t * 0 + 1.57079632679489661923)
    z = t * t
    p = ((((-0.8750608600031904122785 * z - 16.15753718733365076637) * z - 75.00855792314704667340) * z
          - 122.8866684490136173410) * z - 64.85021904942025371773)
    q = ((((z + 24.85846490142306297962) * z + 165.0270098316988542046) * z + 432.8810604912902668951) * z
         + 485.3903996359136964868) * z + 194.5506571482613964425
    found = start + (t * z * (p / q) + t)
    return tl.where(x < 0, -found, found)


@triton.jit
def arc_sine(x):
    return 2 * arc_tangent(x / (1 + tl.sqrt((1 - x) * (1 + x))))


@triton.jit
def arc_cosine(x):
    return 2 * arc_tangent(tl.sqrt((1 - x) / (1 + x)))


@triton.jit
def angle_of(y, x):
    pi = 3.14159265358979323846
    found = arc_tangent(y / x)
    found = tl.where(x < 0, tl.where(y < 0, found - pi, found + pi), found)
    upright = tl.where(y > 0, x * 0 + 0.5 * pi, tl.where(y < 0, x * 0 - 0.5 * pi, y))
    return tl.where(x == 0, upright, found)
'''

KEYWORDS = (
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else",
    "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise",
    "return", "try", "while", "with", "yield", "float", "range", "min", "max", "int",
)

RESERVED = (*KEYWORDS, *re.findall(r"^def (\w+)", PRELUDE, re.MULTILINE))
"""Words of Python, and what the prelude defines: nothing in a kernel has such a name."""
