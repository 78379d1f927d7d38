"""Registers of vectors, and matrix products of kernels: printed where a kernel has one."""

from __future__ import annotations

VECTORS = r"""
#if defined(__AVX512F__)
constexpr int vector_bytes = 64, most_rows = 8;
#elif defined(__AVX__)
constexpr int vector_bytes = 32, most_rows = 6;
#elif defined(__aarch64__)
constexpr int vector_bytes = 16, most_rows = 12;
#else
constexpr int vector_bytes = 16, most_rows = 6;
#endif
template <typename T> struct Lanes;
template <> struct Lanes<float> { typedef float type __attribute__((vector_size(vector_bytes), aligned(4), may_alias)); };
template <> struct Lanes<double> { typedef double type __attribute__((vector_size(vector_bytes), aligned(8), may_alias)); };
"""

MULTIPLY = r"""
// c[m, n] += sum over k of a[m, k] * b[k, n] for `rows` x `columns` vectors, which stay in registers.
template <typename T, int rows, int columns>
static inline void multiply_block(
        T* c, int64_t c_row, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t b_k, int64_t k) {
    typedef typename Lanes<T>::type V;
    constexpr int lanes = vector_bytes / sizeof(T);
    V sums[rows][columns];
    for (int m = 0; m < rows; ++m)
        for (int n = 0; n < columns; ++n) sums[m][n] = V{};
    for (int64_t at = 0; at < k; ++at, a += a_k, b += b_k) {
        V right[columns];
        for (int n = 0; n < columns; ++n) right[n] = *(const V*)(b + n * lanes);
        for (int m = 0; m < rows; ++m) {
            const T left = a[m * a_row];
            for (int n = 0; n < columns; ++n) sums[m][n] += left * right[n];
        }
    }
    for (int m = 0; m < rows; ++m)
        for (int n = 0; n < columns; ++n) *(V*)(c + m * c_row + n * lanes) += sums[m][n];
}
template <typename T, int columns>
static inline void multiply_panel(
        T* c, int64_t c_row, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t b_k, int64_t m, int64_t k) {
    int64_t at = 0;
    for (; at + most_rows <= m; at += most_rows)
        multiply_block<T, most_rows, columns>(c + at * c_row, c_row, a + at * a_row, a_row, a_k, b, b_k, k);
    for (; at + 3 <= m; at += 3) multiply_block<T, 3, columns>(c + at * c_row, c_row, a + at * a_row, a_row, a_k, b, b_k, k);
    for (; at < m; ++at) multiply_block<T, 1, columns>(c + at * c_row, c_row, a + at * a_row, a_row, a_k, b, b_k, k);
}
// c[m, n] += sum over k of a[m, k] * b[k, n]. The elements of a row of b and of c are neighbours in memory.
template <typename T>
static void multiply_add(T* __restrict c, int64_t c_row, const T* __restrict a, int64_t a_row, int64_t a_k,
        const T* __restrict b, int64_t b_k, int64_t m, int64_t n, int64_t k) {
    constexpr int lanes = vector_bytes / sizeof(T), most_k = 512;
    for (int64_t first = 0; first < k; first += most_k, a += most_k * a_k, b += most_k * b_k) {
        const int64_t depth = std::min<int64_t>(most_k, k - first);
        int64_t at = 0;
        for (; at + 2 * lanes <= n; at += 2 * lanes) multiply_panel<T, 2>(c + at, c_row, a, a_row, a_k, b + at, b_k, m, depth);
        for (; at + lanes <= n; at += lanes) multiply_panel<T, 1>(c + at, c_row, a, a_row, a_k, b + at, b_k, m, depth);
        if (at == n) continue;
        const int64_t rest = n - at;  // the last columns in a panel of their own, with zeros beside them
        T panel[most_k * lanes] = {}, sums[most_rows * lanes];
        for (int64_t row = 0; row < depth; ++row) std::copy_n(b + at + row * b_k, rest, panel + row * lanes);
        for (int64_t top = 0; top < m; top += most_rows) {
            const int64_t height = std::min<int64_t>(most_rows, m - top);
            std::fill_n(sums, most_rows * lanes, T(0));
            multiply_panel<T, 1>(sums, lanes, a + top * a_row, a_row, a_k, panel, lanes, height, depth);
            for (int64_t row = 0; row < height; ++row)
                for (int64_t n = 0; n < rest; ++n) c[(top + row) * c_row + at + n] += sums[row * lanes + n];
        }
    }
}
"""
