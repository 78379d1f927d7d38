"""Functions of the C library that loops call with whole vectors: those of Sleef (Shibata & Petrogalli 2020), at most 1 ulp, which
torch's own library holds. GCC calls a function that is declared so under the name that the vector ABI gives it; each is defined
here, and where torch's library has none it does one element after the other.
"""

from __future__ import annotations

import re

HEAD = r"""
#if defined(__AVX2__) && defined(__linux__) && !defined(__clang__)
#define VECTORS
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
template <typename T, int64_t lanes> struct Wide { typedef T type __attribute__((vector_size(lanes * sizeof(T)))); };
static void* in_torch(const char* name) {
    static void* const library = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
    return library ? dlsym(library, name) : nullptr;
}
template <typename V, typename F, typename... Vs> static V each(F function, const Vs&... x) {
    V y;
    for (size_t lane = 0; lane < sizeof(V) / sizeof(y[0]); ++lane) y[lane] = function(x[lane]...);
    return y;
}
template <typename To, typename From> static To resized(const From& x) {
    To y = {};
    std::memcpy(&y, &x, std::min(sizeof x, sizeof y));
    return y;
}
#define HIDDEN extern "C" __attribute__((visibility("hidden")))
#define VECTOR_1(T, lanes, vector, function, sleef) \
    static const auto function##_##lanes = (Wide<T, lanes>::type (*)(Wide<T, lanes>::type))in_torch(sleef); \
    HIDDEN Wide<T, lanes>::type vector##v_##function(Wide<T, lanes>::type x) { \
        return function##_##lanes ? function##_##lanes(x) : each<decltype(x)>([](T a) { return function(a); }, x); \
    }
#define VECTOR_2(T, lanes, vector, function, sleef) \
    static const auto function##_##lanes = \
        (Wide<T, lanes>::type (*)(Wide<T, lanes>::type, Wide<T, lanes>::type))in_torch(sleef); \
    HIDDEN Wide<T, lanes>::type vector##vv_##function(Wide<T, lanes>::type x, Wide<T, lanes>::type y) { \
        return function##_##lanes ? function##_##lanes(x, y) : each<decltype(x)>([](T a, T b) { return function(a, b); }, x, y); \
    }
#define HALF_1(T, lanes, half, vector, narrow, function) \
    HIDDEN Wide<T, half>::type narrow##v_##function(Wide<T, half>::type x) { \
        return resized<decltype(x)>(vector##v_##function(resized<Wide<T, lanes>::type>(x))); \
    }
#define HALF_2(T, lanes, half, vector, narrow, function) \
    HIDDEN Wide<T, half>::type narrow##vv_##function(Wide<T, half>::type x, Wide<T, half>::type y) { \
        return resized<decltype(x)>(vector##vv_##function( \
            resized<Wide<T, lanes>::type>(x), resized<Wide<T, lanes>::type>(y))); \
    }
#endif
"""

BOTH = {"sine_of": "sin", "cosine_of": "cos", "std::asin": "asin", "std::acos": "acos", "std::atan": "atan",
        "std::atan2": "atan2", "power": "pow"}
FLOAT = {"std::tan": "tan"}  # that of doubles is 14 ulp off at subnormal numbers
DOUBLE = {"exponential": "exp", "logistic": "exp", "logarithm": "log", "hyperbolic_tangent": "tanh", "error_function": "erf",
          "exponential_less_1": "expm1", "logarithm_of_1_plus": "log1p"}
"""What a kernel calls, and the function behind it; for floats some are polynomials of the prelude."""
RENAMED = {name: call for call, name in BOTH.items() if name in ("sin", "cos")}
"""Called by a name of ours: of the sine and the cosine of one value GCC makes one call, for which it has no vectors."""


def vectors(text: str) -> str:
    """What must stand before a text of kernels for its functions to be called with vectors."""
    called = set(re.findall(r"(?:std::)?\w+(?=\()", text))
    doubles = sorted({name for call, name in (BOTH | DOUBLE).items() if call in called})
    floats = sorted({name for call, name in (BOTH | FLOAT).items() if call in called})
    if not doubles and not floats:
        return ""
    lines = [line for name in floats for line in _declared(name, "float", f"{name}f", f"{name}f", 8)]
    lines += [line for name in doubles for line in _declared(name, "double", name, f"{name}d", 4)]
    return "\n".join([HEAD.rstrip(), "#ifdef VECTORS", *lines, "#endif", ""])


def _declared(name: str, dtype: str, function: str, sleef: str, lanes: int) -> list[str]:
    count = 2 if name in ("pow", "atan2") else 1
    called = f'{dtype} {RENAMED[name]}' if name in RENAMED else f'extern "C" {dtype} {function}'
    label = f' __asm__("{function}")' if name in RENAMED else ""
    return ["#pragma omp declare simd notinbranch",
            f'{called}({", ".join([dtype] * count)}) noexcept{label};',
            f'VECTOR_{count}({dtype}, {lanes}, _ZGVdN{lanes}, {function}, "Sleef_{sleef}{lanes}_u10")',
            f"HALF_{count}({dtype}, {lanes}, {lanes // 2}, _ZGVdN{lanes}, _ZGVbN{lanes // 2}, {function})",
            "#ifdef __AVX512F__",
            f'VECTOR_{count}({dtype}, {2 * lanes}, _ZGVeN{2 * lanes}, {function}, "Sleef_{sleef}{2 * lanes}_u10")',
            "#endif"]
