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

typedef uint16_t bf16;

static inline float widen_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float widen(bf16 value) { return widen_bits((uint32_t)value << 16); }

/* dy where the output was positive, else 0; without a branch, so that it vectorises. */
static inline float passed(bf16 dy, bf16 y) {
    return widen_bits(((uint32_t)dy << 16) & -(uint32_t)(y != 0));
}

/* Round to nearest, ties to even. */
static inline bf16 narrow(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bf16)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

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
    static int forward_##C(const bf16 *x, const bf16 *shortcut, const float *weight,               \
                           const float *bias, double eps, bf16 *y, float *mean, float *variance,   \
                           float *inverse_std, int64_t rows, int threads) {                        \
        int64_t count = (rows + BLOCK - 1) / BLOCK;                                                \
        double *blocks = malloc(count * 2 * C * sizeof *blocks);                                   \
        if (!blocks) return 1;                                                                     \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++) {                                                      \
            float sum[C] = {0}, squares[C] = {0};                                                  \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int c = 0; c < C; c++) {                                                      \
                    float v = widen(x[r * C + c]);                                                 \
                    sum[c] += v;                                                                   \
                    squares[c] += v * v;                                                           \
                }                                                                                  \
            for (int c = 0; c < C; c++) {                                                          \
                blocks[k * 2 * C + c] = sum[c];                                                    \
                blocks[k * 2 * C + C + c] = squares[c];                                            \
            }                                                                                      \
        }                                                                                          \
        double sum[C], squares[C];                                                                 \
        add_up_##C(blocks, count, sum, squares);                                                   \
        free(blocks);                                                                              \
        float scale[C], shift[C];                                                                  \
        for (int c = 0; c < C; c++) {                                                              \
            double m = sum[c] / rows, v = squares[c] / rows - m * m;                               \
            v = v > 0 ? v : 0;                                                                     \
            mean[c] = (float)m;                                                                    \
            variance[c] = (float)v;                                                                \
            inverse_std[c] = (float)(1 / sqrt(v + eps));                                           \
            scale[c] = inverse_std[c] * weight[c];                                                 \
            shift[c] = bias[c] - mean[c] * scale[c];                                               \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++)                                                        \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++) {                              \
                const bf16 *restrict in = x + r * C;                                               \
                bf16 *restrict out = y + r * C;                                                    \
                if (shortcut) {                                                                    \
                    const bf16 *restrict added = shortcut + r * C;                                 \
                    for (int c = 0; c < C; c++) {                                                  \
                        float v = widen(in[c]) * scale[c] + shift[c] + widen(added[c]);            \
                        out[c] = narrow(v > 0 ? v : 0);                                            \
                    }                                                                              \
                } else {                                                                           \
                    for (int c = 0; c < C; c++) {                                                  \
                        float v = widen(in[c]) * scale[c] + shift[c];                              \
                        out[c] = narrow(v > 0 ? v : 0);                                            \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        return 0;                                                                                  \
    }                                                                                              \
                                                                                                   \
    static int backward_##C(const bf16 *dy, const bf16 *y, const bf16 *x, const float *weight,     \
                            const float *mean, const float *inverse_std, bf16 *dx,                 \
                            bf16 *dshortcut, float *dweight, float *dbias, int64_t rows,           \
                            int threads) {                                                         \
        int64_t count = (rows + BLOCK - 1) / BLOCK;                                                \
        double *blocks = malloc(count * 2 * C * sizeof *blocks);                                   \
        if (!blocks) return 1;                                                                     \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++) {                                                      \
            float sum[C] = {0}, product[C] = {0};                                                  \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++)                                \
                for (int c = 0; c < C; c++) {                                                      \
                    float g = passed(dy[r * C + c], y[r * C + c]);                                 \
                    sum[c] += g;                                                                   \
                    product[c] += g * (widen(x[r * C + c]) - mean[c]);                             \
                }                                                                                  \
            for (int c = 0; c < C; c++) {                                                          \
                blocks[k * 2 * C + c] = sum[c];                                                    \
                blocks[k * 2 * C + C + c] = product[c];                                            \
            }                                                                                      \
        }                                                                                          \
        double sum[C], product[C];                                                                 \
        add_up_##C(blocks, count, sum, product);                                                   \
        free(blocks);                                                                              \
        float of_dy[C], of_x[C], constant[C];                                                      \
        for (int c = 0; c < C; c++) {                                                              \
            double s = inverse_std[c], slope = -weight[c] * s * s * s * product[c] / rows;         \
            dbias[c] = (float)sum[c];                                                              \
            dweight[c] = (float)(product[c] * s);                                                  \
            of_dy[c] = (float)(weight[c] * s);                                                     \
            of_x[c] = (float)slope;                                                                \
            constant[c] = (float)(-weight[c] * s * sum[c] / rows - slope * mean[c]);               \
        }                                                                                          \
        _Pragma("omp parallel for num_threads(threads) schedule(static)")                          \
        for (int64_t k = 0; k < count; k++)                                                        \
            for (int64_t r = k * BLOCK; r < last_row(k, rows); r++) {                              \
                const bf16 *restrict g_in = dy + r * C, *restrict out = y + r * C;                 \
                const bf16 *restrict in = x + r * C;                                               \
                bf16 *restrict to = dx + r * C;                                                    \
                if (dshortcut) {                                                                   \
                    bf16 *restrict side = dshortcut + r * C;                                       \
                    for (int c = 0; c < C; c++) {                                                  \
                        float g = passed(g_in[c], out[c]);                                         \
                        side[c] = narrow(g);                                                       \
                        to[c] = narrow(of_dy[c] * g + of_x[c] * widen(in[c]) + constant[c]);       \
                    }                                                                              \
                } else {                                                                           \
                    for (int c = 0; c < C; c++) {                                                  \
                        float g = passed(g_in[c], out[c]);                                         \
                        to[c] = narrow(of_dy[c] * g + of_x[c] * widen(in[c]) + constant[c]);       \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
        return 0;                                                                                  \
    }

DEFINE(16)
DEFINE(32)
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
    CALL(64)
#undef CALL
    return 2;
}
