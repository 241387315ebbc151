/* Batch normalisation, an optional shortcut, and ReLU in two passes over bfloat16 rows.
 *
 * x is rows x C in memory, which is what a channels-last image batch is. Sums are float32 within a
 * block of rows and float64 across blocks; blocks go to threads in a fixed order, so the same
 * number of threads gives the same bits.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define LANES 16

/* Compilers do not vectorise a row of 16 channels by themselves: they unroll it. */
typedef uint16_t bf16;
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));

static inline words load_words(const bf16 *from) {
    halves loaded;
    memcpy(&loaded, from, sizeof loaded);
    return __builtin_convertvector(loaded, words);
}

static inline floats load(const bf16 *from) { return (floats)(load_words(from) << 16); }

/* dy where the output was positive, else 0. */
static inline floats load_passed(const bf16 *dy, const bf16 *y) {
    return (floats)((load_words(dy) << 16) & (words)(load_words(y) != 0));
}

/* Round to nearest, ties to even. */
static inline void store(bf16 *to, floats values) {
    words bits = (words)values;
    halves rounded = __builtin_convertvector((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, halves);
    memcpy(to, &rounded, sizeof rounded);
}

static inline floats positive(floats values) { return (floats)((words)values & (words)(values > 0)); }

static inline int64_t last_row(int64_t block, int64_t rows) {
    return (block + 1) * BLOCK < rows ? (block + 1) * BLOCK : rows;
}

#define DEFINE(C)                                                                                  \
    static void add_up_##C(const double *blocks, int64_t count, double *first, double *second) {   \
        memset(first, 0, C * sizeof *first);                                                       \
        memset(second, 0, C * sizeof *second);                                                     \
        for (int64_t k = 0; k < count; k++)                                                        \
            for (int c = 0; c < C; c++) {                                                          \
                first[c] += blocks[k * 2 * C + c];                                                 \
                second[c] += blocks[k * 2 * C + C + c];                                            \
            }                                                                                      \
    }                                                                                              \
                                                                                                   \
    static void keep_##C(double *block, const floats *first, const floats *second) {               \
        for (int c = 0; c < C; c++) {                                                              \
            block[c] = first[c / LANES][c % LANES];                                                \
            block[C + c] = second[c / LANES][c % LANES];                                           \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static int forward_##C(const bf16 *x, const bf16 *shortcut, const float *weight,               \
                           const float *bias, double eps, bf16 *y, float *mean, float *variance,   \
                           float *inverse_std, int64_t rows, int threads) {                        \
        enum { L = C / LANES };                                                                    \
        int64_t count = (rows + BLOCK - 1) / BLOCK;                                                \
        double *blocks = malloc(count * 2 * C * sizeof *blocks);                                   \
        if (!blocks) return 1;                                                                     \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++) {                                                      \
            floats sum[L] = {{0}}, squares[L] = {{0}};                                             \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int l = 0; l < L; l++) {                                                      \
                    floats v = load(x + r * C + l * LANES);                                        \
                    sum[l] += v;                                                                   \
                    squares[l] += v * v;                                                           \
                }                                                                                  \
            keep_##C(blocks + k * 2 * C, sum, squares);                                            \
        }                                                                                          \
        double sum[C], squares[C];                                                                 \
        add_up_##C(blocks, count, sum, squares);                                                   \
        free(blocks);                                                                              \
        floats scale[L], shift[L];                                                                 \
        for (int c = 0; c < C; c++) {                                                              \
            double m = sum[c] / rows, v = squares[c] / rows - m * m;                               \
            v = v > 0 ? v : 0;                                                                     \
            mean[c] = (float)m;                                                                    \
            variance[c] = (float)v;                                                                \
            inverse_std[c] = (float)(1 / sqrt(v + eps));                                           \
            scale[c / LANES][c % LANES] = inverse_std[c] * weight[c];                              \
            shift[c / LANES][c % LANES] = bias[c] - mean[c] * inverse_std[c] * weight[c];          \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++)                                                        \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int l = 0; l < L; l++) {                                                      \
                    int64_t at = r * C + l * LANES;                                                \
                    floats v = load(x + at) * scale[l] + shift[l];                                 \
                    if (shortcut) v += load(shortcut + at);                                        \
                    store(y + at, positive(v));                                                    \
                }                                                                                  \
        return 0;                                                                                  \
    }                                                                                              \
                                                                                                   \
    static int backward_##C(const bf16 *dy, const bf16 *y, const bf16 *x, const float *weight,     \
                            const float *mean, const float *inverse_std, bf16 *dx,                 \
                            bf16 *dshortcut, float *dweight, float *dbias, int64_t rows,           \
                            int threads) {                                                         \
        enum { L = C / LANES };                                                                    \
        int64_t count = (rows + BLOCK - 1) / BLOCK;                                                \
        double *blocks = malloc(count * 2 * C * sizeof *blocks);                                   \
        if (!blocks) return 1;                                                                     \
        floats centre[L];                                                                          \
        memcpy(centre, mean, sizeof centre);                                                       \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++) {                                                      \
            floats sum[L] = {{0}}, product[L] = {{0}};                                             \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int l = 0; l < L; l++) {                                                      \
                    int64_t at = r * C + l * LANES;                                                \
                    floats g = load_passed(dy + at, y + at);                                       \
                    sum[l] += g;                                                                   \
                    product[l] += g * (load(x + at) - centre[l]);                                  \
                }                                                                                  \
            keep_##C(blocks + k * 2 * C, sum, product);                                            \
        }                                                                                          \
        double sum[C], product[C];                                                                 \
        add_up_##C(blocks, count, sum, product);                                                   \
        free(blocks);                                                                              \
        floats of_dy[L], of_x[L], constant[L];                                                     \
        for (int c = 0; c < C; c++) {                                                              \
            double s = inverse_std[c], slope = -weight[c] * s * s * s * product[c] / rows;         \
            dbias[c] = (float)sum[c];                                                              \
            dweight[c] = (float)(product[c] * s);                                                  \
            of_dy[c / LANES][c % LANES] = (float)(weight[c] * s);                                  \
            of_x[c / LANES][c % LANES] = (float)slope;                                             \
            constant[c / LANES][c % LANES] =                                                       \
                (float)(-weight[c] * s * sum[c] / rows - slope * mean[c]);                         \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++)                                                        \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int l = 0; l < L; l++) {                                                      \
                    int64_t at = r * C + l * LANES;                                                \
                    floats g = load_passed(dy + at, y + at);                                       \
                    if (dshortcut) store(dshortcut + at, g);                                       \
                    store(dx + at, of_dy[l] * g + of_x[l] * load(x + at) + constant[l]);           \
                }                                                                                  \
        return 0;                                                                                  \
    }

DEFINE(16)
DEFINE(32)
DEFINE(48)
DEFINE(64)

/* 0: done; 1: no memory; 2: no such number of channels. */
int batch_norm_relu_forward(const bf16 *x, const bf16 *shortcut, const float *weight,
                            const float *bias, double eps, bf16 *y, float *mean, float *variance,
                            float *inverse_std, int64_t rows, int channels, int threads) {
#define CALL(C)                                                                                    \
    if (channels == C)                                                                             \
        return forward_##C(x, shortcut, weight, bias, eps, y, mean, variance, inverse_std, rows,   \
                           threads);
    CALL(16)
    CALL(32)
    CALL(48)
    CALL(64)
#undef CALL
    return 2;
}

int batch_norm_relu_backward(const bf16 *dy, const bf16 *y, const bf16 *x, const float *weight,
                             const float *mean, const float *inverse_std, bf16 *dx,
                             bf16 *dshortcut, float *dweight, float *dbias, int64_t rows,
                             int channels, int threads) {
#define CALL(C)                                                                                    \
    if (channels == C)                                                                             \
        return backward_##C(dy, y, x, weight, mean, inverse_std, dx, dshortcut, dweight, dbias,    \
                            rows, threads);
    CALL(16)
    CALL(32)
    CALL(48)
    CALL(64)
#undef CALL
    return 2;
}
