"""What every file of kernels begins with: mathematics that compilers vectorise, without branches and tables.

Relaxed, and where: sums are added up in the order of the lanes. Everything else is as precise as stated beside it, and right at
infinities, nan and subnormal numbers.
"""

from __future__ import annotations

import re

from archc.codegen.cpp.multiply import MULTIPLY, VECTORS
from archc.codegen.cpp.vectors import HEAD
from archc.codegen.cpp.windows_prelude import WINDOWS

PRELUDE = r"""
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <type_traits>

// Without `new`, so that nothing of a C++ library is linked.
template <typename T> struct Memory {
    T* start;
    explicit Memory(int64_t count) : start(static_cast<T*>(std::malloc(count * sizeof(T)))) {}
    Memory(int64_t count, T value) : Memory(count) { std::fill_n(start, count, value); }
    Memory(const Memory&) = delete;
    ~Memory() { std::free(start); }
    T* data() const { return start; }
};

static inline int32_t bits_of(float x) { int32_t bits; std::memcpy(&bits, &x, 4); return bits; }
static inline float of_bits(int32_t bits) { float x; std::memcpy(&x, &bits, 4); return x; }

// What tensors hold. Half types are computed with in float, and rounded to the nearest, to even.
typedef float float32;
typedef double float64;
struct bfloat16 {
    uint16_t bits;
    operator float() const { return of_bits(int32_t(uint32_t(bits) << 16)); }
    void operator=(float x) {
        const uint32_t wide = uint32_t(bits_of(x)), rounded = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
        bits = uint16_t(x != x ? 0x7fc0 : rounded);
    }
};
#if defined(__clang__) && defined(__F16C__)
struct float16 { // converted by instructions, where the compiler has them for vectors
    _Float16 half;
    operator float() const { return float(half); }
    void operator=(float x) { half = _Float16(x); }
};
#else
struct float16 {
    uint16_t bits;
    operator float() const {
        const int32_t wide = int32_t(uint32_t(int32_t(int16_t(bits))) << 13) & int32_t(0x8fffe000);
        const float x = of_bits(wide) * 5.192296858534828e33f; // 2^112 between the two biases
        return of_bits((wide & 0x0f800000) == 0x0f800000 ? wide | 0x7f800000 : bits_of(x));
    }
    void operator=(float x) {
        const int32_t wide = bits_of(x), size = wide & 0x7fffffff, most = size < 0x47800000 ? size : 0x47800000;
        const int32_t normal = (most - 0x38000000 + 0xfff + ((most >> 13) & 1)) >> 13;
        const int32_t tiny = bits_of(of_bits(size) + 0.5f) - 0x3f000000; // the sum rounds at the last place of a subnormal
        const int32_t half = size < 0x38800000 ? tiny : normal;
        bits = uint16_t((x != x ? 0x7e00 : half) | ((wide >> 16) & 0x8000));
    }
};
#endif
// The functions that others call, for each type; a build may be for one.
#ifndef EACH_TYPE
#define EACH_TYPE(ENTRY) ENTRY(float, float32) ENTRY(double, float64) ENTRY(float, bfloat16) ENTRY(float, float16)
#endif

// A tensor as T: itself, or where it is of a half type a copy. What goes out is rounded in the end.
template <typename T, typename Stored> struct Widened {
    Memory<T> copy;
    Widened(const Stored* x, int64_t count, int threads) : copy(count) {
        T* const into = copy.data();
        #pragma omp parallel for simd num_threads(threads) if (threads > 1 && count > 32768)
        for (int64_t at = 0; at < count; ++at) into[at] = x[at];
    }
    const T* data() const { return copy.data(); }
};
template <typename T, typename Stored> struct Rounded {
    Memory<T> copy;
    Stored* const y;
    const int64_t count;
    const int threads;
    Rounded(Stored* y, int64_t count, int threads) : copy(count), y(y), count(count), threads(threads) {}
    T* data() const { return copy.data(); }
    ~Rounded() {
        const T* const from = copy.data();
        #pragma omp parallel for simd num_threads(threads) if (threads > 1 && count > 32768)
        for (int64_t at = 0; at < count; ++at) y[at] = from[at];
    }
};
template <typename T> struct Widened<T, T> {
    const T* const x;
    Widened(const T* x, int64_t, int) : x(x) {}
    const T* data() const { return x; }
};
template <typename T> struct Rounded<T, T> {
    T* const y;
    Rounded(T* y, int64_t, int) : y(y) {}
    T* data() const { return y; }
};

template <typename T> constexpr T infinity() { return std::numeric_limits<T>::infinity(); }
template <> constexpr int64_t infinity<int64_t>() { return std::numeric_limits<int64_t>::max(); }
template <typename T> constexpr T not_a_number() { return std::numeric_limits<T>::quiet_NaN(); }
template <typename T> static inline bool is_finite(T x) { return x - x == T(0); }
template <typename T> static inline T absolute(T x) { return x < T(0) ? -x : x; }
template <> inline float absolute<float>(float x) { return std::fabs(x); }
template <> inline double absolute<double>(double x) { return std::fabs(x); }
template <typename T> static inline T sign_of(T x) { return T(x > T(0)) - T(x < T(0)); }
// nan wins
template <typename T> static inline T larger(T x, T y) { return x > y || x != x ? x : y; }
template <typename T> static inline T smaller(T x, T y) { return x < y || x != x ? x : y; }
#pragma omp declare reduction(max_of : float, double, int64_t : omp_out = larger(omp_out, omp_in)) \
    initializer(omp_priv = omp_orig)
#pragma omp declare reduction(min_of : float, double, int64_t : omp_out = smaller(omp_out, omp_in)) \
    initializer(omp_priv = omp_orig)
// Steps of a loop, so many at a time: each lane adds up for itself, in the same order with any instructions.
#define INLINED __attribute__((always_inline))
template <int64_t lanes, typename Step> static inline INLINED void in_lanes(int64_t count, Step step) {
    int64_t at = 0;
    for (; at + lanes <= count; at += lanes) {
        #pragma omp simd
        for (int64_t lane = 0; lane < lanes; ++lane) step(at + lane, lane);
    }
    const int64_t left = count - at;
    #pragma omp simd
    for (int64_t lane = 0; lane < left; ++lane) step(at + lane, lane);
}
// The first `count` lanes together.
template <typename T, size_t lanes, typename Join>
static inline INLINED T joined(const T (&part)[lanes], int64_t count, T neutral, Join join) {
    T found[lanes];
    #pragma omp simd
    for (size_t lane = 0; lane < lanes; ++lane) found[lane] = int64_t(lane) < count ? part[lane] : neutral;
    #pragma GCC unroll 8
    for (size_t half = lanes / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; ++lane) found[lane] = join(found[lane], found[lane + half]);
    return found[0];
}
template <typename T, size_t lanes> static inline T sum_of(const T (&part)[lanes], int64_t count = lanes) {
    return joined(part, count, T(0), [](T x, T y) { return x + y; });
}
template <typename T, size_t lanes> static inline T max_of(const T (&part)[lanes], int64_t count = lanes) {
    return joined(part, count, -infinity<T>(), larger<T>);
}
template <typename T, size_t lanes> static inline T min_of(const T (&part)[lanes], int64_t count = lanes) {
    return joined(part, count, infinity<T>(), smaller<T>);
}
template <size_t lanes> static inline bool any_of(const bool (&part)[lanes], int64_t count = lanes) {
    return joined(part, count, false, [](bool x, bool y) { return x | y; });
}
template <size_t lanes> static inline bool all_of(const bool (&part)[lanes], int64_t count = lanes) {
    return joined(part, count, true, [](bool x, bool y) { return x & y; });
}
static inline int64_t floor_divide(int64_t x, int64_t y) { return x / y - ((x % y != 0) & ((x < 0) != (y < 0))); }
template <typename T> static inline T floor_divide(T x, T y) { return std::floor(x / y); }
static inline int64_t modulo(int64_t x, int64_t y) { return x - floor_divide(x, y) * y; }
template <typename T> static inline T modulo(T x, T y) { T r = std::fmod(x, y); return r != 0 && (r < 0) != (y < 0) ? r + y : r; }
template <typename T> static inline T whole_power(T x, int64_t n) {
    T result = T(1);
    for (; n > 0; n >>= 1, x *= x) if (n & 1) result *= x;
    return result;
}

// 2^n for n in [-126, 127] from a float that ends in n: adding ROUND, 1.5 * 2^23, rounds to a whole number in the last bits.
constexpr float ROUND = 12582912.0f, LOG_2_E = 1.44269504088896341f;
static inline float two_to(int32_t n) { return of_bits(int32_t(uint32_t(n) << 23)); }
// x - n log 2 where n is the nearest whole number to x / log 2, and e to such a rest
static inline float rest_of(float x, float n) { return (x - n * 0.693359375f) + n * 2.12194440e-4f; }
static inline float of_rest(float r) {
    float p = 1.38145406e-3f;
    p = p * r + 8.36874545e-3f;
    p = p * r + 4.16683890e-2f;
    p = p * r + 1.66665211e-1f;
    p = p * r + 4.99999940e-1f;
    return p * (r * r) + r + 1.0f;
}

// e to the x. Float: x = n log 2 + r with |r| <= log(2) / 2, a polynomial of degree 6 in r, at most 1 ulp. 2^n is two factors,
// as n may be 128 or -150; beyond these the last product is infinity or 0.
static inline double exponential(double x) { return std::exp(x); }
static inline float exponential(float x) {
    float c = x < -104.0f ? -104.0f : x;
    c = c > 89.0f ? 89.0f : c;
    const float shifted = c * LOG_2_E + (ROUND + 254.0f);
    const float r = rest_of(c, shifted - (ROUND + 254.0f));
    const int32_t n = bits_of(shifted) & 511, half = n >> 1;
    return of_rest(r) * two_to(half) * two_to(n - half);
}
// The same for x in [-87, 88].
static inline float exponential_near(float x) {
    const float shifted = x * LOG_2_E + (ROUND + 127.0f);
    return of_rest(rest_of(x, shifted - (ROUND + 127.0f))) * two_to(bits_of(shifted));
}
// 1 / (1 + exp(-x)). Float: 2^-32 / (2^-32 + 2^-32 exp(-x)), as exp(-x) may be 2^150; a polynomial of degree 5; at most 4 ulp.
static inline double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }
static inline float logistic(float x) {
    const float small = 1.0f / 4294967296.0f;
    float c = x < -104.0f ? -104.0f : x;
    c = c > 65.0f ? 65.0f : c;
    const float shifted = (ROUND + 95.0f) - c * LOG_2_E;
    const float r = rest_of(-c, shifted - (ROUND + 95.0f));
    float p = 8.29027221e-3f;
    p = p * r + 4.18981612e-2f;
    p = p * r + 1.66676387e-1f;
    p = p * r + 4.99991477e-1f;
    p = p * r + 9.99999702e-1f;
    p = p * r + 1.0f;
    return small / (p * two_to(bits_of(shifted)) + small);
}

// Natural logarithm. Float: x = 2^n m with m in [sqrt(1/2), sqrt(2)), a polynomial of degree 9 in m - 1, at most 1 ulp.
static inline double logarithm(double x) { return std::log(x); }
static inline float logarithm(float x) {
    const bool tiny = x < 1.17549435e-38f;
    const float scaled = tiny ? x * 8388608.0f : x;
    int32_t bits;
    std::memcpy(&bits, &scaled, 4);
    int32_t n = ((bits >> 23) & 255) - 126 - (tiny ? 23 : 0);
    const int32_t mantissa = (bits & 0x007fffff) | 0x3f000000;
    float m;
    std::memcpy(&m, &mantissa, 4);
    const bool below = m < 0.707106781186547524f;
    m = below ? m + m - 1.0f : m - 1.0f;
    const float e = float(n - (below ? 1 : 0));
    const float z = m * m;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float result = (m * z * p - 2.12194440e-4f * e - 0.5f * z) + m + 0.693359375f * e;
    result = x == std::numeric_limits<float>::infinity() ? x : result;
    result = x == 0.0f ? -std::numeric_limits<float>::infinity() : result;
    return x < 0.0f || x != x ? std::numeric_limits<float>::quiet_NaN() : result;
}
static inline double power(double x, double y) { return std::pow(x, y); }
static inline float power(float x, float y) { return std::pow(x, y); }

// Float: an odd rational function where |x| < 0.625, else by the exponential; at most 2 ulp.
static inline double hyperbolic_tangent(double x) { return std::tanh(x); }
static inline float hyperbolic_tangent(float x) {
    const float a = std::fabs(x);
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float small = p * z * x + x;
    const float c = a > 20.0f ? 20.0f : a;
    const float large = 1.0f - 2.0f / (exponential_near(c + c) + 1.0f);
    const float result = a < 0.625f ? small : (x < 0.0f ? -large : large);
    return x != x ? x : result;
}

// Error function. Float: x + x p(x^2) where |x| < 0.93, else 1 - exp(q(|x|)); at most 2 ulp.
static inline double error_function(double x) { return std::erf(x); }
static inline float error_function(float x) {
    const float a = std::fabs(x), s = x * x;
    float q = -1.72853470e-5f * a + 3.83197126e-4f;
    q = q * s + (-3.88396438e-3f * a + 2.42546219e-2f);
    q = q * a - 1.06777847e-1f;
    q = q * a - 6.34846687e-1f;
    q = q * a - 1.28717512e-1f;
    const float large = 1.0f - exponential(q * a - a);
    float p = -5.96761703e-4f;
    p = p * s + 4.99119423e-3f;
    p = p * s - 2.67681349e-2f;
    p = p * s + 1.12819925e-1f;
    p = p * s - 3.76125336e-1f;
    p = p * s + 1.28379166e-1f;
    const float small = p * x + x;
    const float tail = x < 0.0f ? -1.0f : 1.0f;
    const float outer = a > 4.0f ? tail : (x < 0.0f ? -large : large);
    return x != x ? x : (a > 0.927734375f ? outer : small);
}

// exp(x) - 1. Float: a polynomial where |x| < 0.35, else by the exponential; at most 4 ulp.
static inline double exponential_less_1(double x) { return std::expm1(x); }
static inline float exponential_less_1(float x) {
    float p = 1.98412698e-4f;
    p = p * x + 1.38888889e-3f;
    p = p * x + 8.33333333e-3f;
    p = p * x + 4.16666667e-2f;
    p = p * x + 1.66666667e-1f;
    p = p * x + 0.5f;
    const float small = p * x * x + x;
    return std::fabs(x) < 0.35f ? small : exponential(x) - 1.0f;
}

// log(1 + x). Float: the logarithm of the rounded sum, and what the rounding took; at most 2 ulp.
static inline double logarithm_of_1_plus(double x) { return std::log1p(x); }
static inline float logarithm_of_1_plus(float x) {
    const float u = 1.0f + x;
    const float rest = (x - (u - 1.0f)) / u;
    const float result = logarithm(u) + (is_finite(rest) ? rest : 0.0f);
    return x == 0.0f ? x : result;
}
#ifndef VECTORS
template <typename T> static inline T sine_of(T x) { return std::sin(x); }
template <typename T> static inline T cosine_of(T x) { return std::cos(x); }
#endif
static inline double inverse_root(double x) { return 1.0 / std::sqrt(x); }
static inline float inverse_root(float x) { return 1.0f / std::sqrt(x); }
"""

KEYWORDS = (
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char16_t", "char32_t", "class", "compl", "const", "const_cast", "constexpr", "continue", "decltype", "default", "delete",
    "do", "double", "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto",
    "if", "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "return", "short", "signed", "sizeof", "static",
    "static_assert", "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef",
    "typeid", "typename", "union", "unsigned", "using", "virtual", "void", "volatile", "wchar_t", "while", "xor", "xor_eq",
    "std", "main", "int64_t", "int32_t",
)

DEFINED = r"(?:(?:inline|static|constexpr|struct)(?: \S+)? (?=\w+(?:\(| \{))|#define )(\w+)"
RESERVED = (*KEYWORDS, *dict.fromkeys(re.findall(DEFINED, HEAD + PRELUDE + VECTORS + MULTIPLY + WINDOWS)),
            "float32", "float64", "vector_bytes", "most_rows", "Lanes", "Border", "FILL", "EDGE", "REFLECT", "WRAP", "lanes_of",
            "along",
            *(f"{what}_{where}" for what in ("batch", "channel", "filter") for where in "xyw"))
"""Words of C++, and what the prelude defines: nothing in a kernel has such a name."""
