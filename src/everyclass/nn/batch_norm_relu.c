/* Batch normalisation, an optional shortcut, and ReLU in two passes over float32 or bfloat16 rows.
 *
 * x is rows x C in memory, which is what a channels-last image batch is. Sums are float32 within a
 * block of rows and float64 across blocks, of differences from the first row, so that a mean far
 * from zero costs no digits. A first row far from all others costs some: 1,000 standard deviations
 * away, the variance is right to 1 %. Another origin would change the bits of every training. Blocks
 * go to threads in a fixed order, so the same number of threads gives the same bits.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512 /* rows */
#define LANES 8
#define MOST 8 /* vectors in a row of 64 channels */

/* Compilers do not vectorise a row of 16 channels by themselves: they unroll it. */
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef float floats __attribute__((vector_size(4 * LANES)));

/* A function with constants for channels and bytes, so that its rows stay in registers. */
#define INLINE static inline __attribute__((always_inline))
#define OF_TYPE(function, C, ...)                                                                  \
    case C:                                                                                        \
        if (bytes == 2)                                                                            \
            function(C, 2, __VA_ARGS__);                                                           \
        else                                                                                       \
            function(C, 4, __VA_ARGS__);                                                           \
        break;
#define SPECIALISED(function, ...)                                                                 \
    switch (channels) {                                                                            \
        OF_TYPE(function, 16, __VA_ARGS__)                                                         \
        OF_TYPE(function, 24, __VA_ARGS__)                                                         \
        OF_TYPE(function, 32, __VA_ARGS__)                                                         \
        OF_TYPE(function, 48, __VA_ARGS__)                                                         \
        OF_TYPE(function, 64, __VA_ARGS__)                                                         \
    }

/* Values `at` to `at` + LANES of an array of float32 (4 bytes) or bfloat16 (2 bytes). */
INLINE floats load(const int bytes, const void *array, int64_t at) {
    if (bytes == 4) {
        floats loaded;
        memcpy(&loaded, (const float *)array + at, sizeof loaded);
        return loaded;
    }
    halves loaded;
    memcpy(&loaded, (const uint16_t *)array + at, sizeof loaded);
    return (floats)(__builtin_convertvector(loaded, words) << 16);
}

/* bfloat16 is rounded to nearest, ties to even. */
INLINE void store(const int bytes, void *array, int64_t at, floats values) {
    if (bytes == 4) {
        memcpy((float *)array + at, &values, sizeof values);
        return;
    }
    words bits = (words)values;
    halves rounded = __builtin_convertvector((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, halves);
    memcpy((uint16_t *)array + at, &rounded, sizeof rounded);
}

/* Values where the output was positive (or no number, which has to be seen), else 0. */
INLINE floats passed(floats values, floats output) {
    return (floats)((words)values & ~(words)(output <= 0));
}

typedef struct {
    int64_t first, last;
} rows_of;

static rows_of rows_of_block(int64_t block, int64_t rows) {
    rows_of r = {block * BLOCK, (block + 1) * BLOCK < rows ? (block + 1) * BLOCK : rows};
    return r;
}

/* Two sums of a block, channel by channel. */
INLINE void keep(const int C, double *sums, const floats *first, const floats *second) {
    for (int c = 0; c < C; c++) {
        sums[c] = first[c / LANES][c % LANES];
        sums[C + c] = second[c / LANES][c % LANES];
    }
}

static void add_up(int channels, const double *sums, int64_t blocks, double *first, double *second) {
    memset(first, 0, channels * sizeof *first);
    memset(second, 0, channels * sizeof *second);
    for (int64_t k = 0; k < blocks; k++, sums += 2 * channels)
        for (int c = 0; c < channels; c++) {
            first[c] += sums[c];
            second[c] += sums[channels + c];
        }
}

/* Of x - origin and of its square. */
INLINE void sum_up_block(const int C, const int bytes, rows_of r, const void *x,
                         const float *origin, double *sums) {
    floats sum[MOST] = {{0}}, squares[MOST] = {{0}};
    for (int64_t row = r.first; row < r.last; row++)
        for (int l = 0; l < C / LANES; l++) {
            floats v = load(bytes, x, row * C + l * LANES) - load(4, origin, l * LANES);
            sum[l] += v;
            squares[l] += v * v;
        }
    keep(C, sums, sum, squares);
}

INLINE void forward_block(const int C, const int bytes, rows_of r, const void *x,
                          const void *shortcut, const float *scale, const float *shift, void *y) {
    floats slope[MOST], constant[MOST];
    for (int l = 0; l < C / LANES; l++) {
        slope[l] = load(4, scale, l * LANES);
        constant[l] = load(4, shift, l * LANES);
    }
    for (int64_t row = r.first; row < r.last; row++)
        for (int l = 0; l < C / LANES; l++) {
            int64_t at = row * C + l * LANES;
            floats v = load(bytes, x, at) * slope[l] + constant[l];
            if (shortcut) v += load(bytes, shortcut, at);
            store(bytes, y, at, passed(v, v));
        }
}

/* Of the gradient that passes, and of its product with x - mean. */
INLINE void sum_up_gradient(const int C, const int bytes, rows_of r, const void *dy, const void *y,
                            const void *x, const float *mean, double *sums) {
    floats sum[MOST] = {{0}}, product[MOST] = {{0}};
    for (int64_t row = r.first; row < r.last; row++)
        for (int l = 0; l < C / LANES; l++) {
            int64_t at = row * C + l * LANES;
            floats g = passed(load(bytes, dy, at), load(bytes, y, at));
            sum[l] += g;
            product[l] += g * (load(bytes, x, at) - load(4, mean, l * LANES));
        }
    keep(C, sums, sum, product);
}

INLINE void backward_block(const int C, const int bytes, rows_of r, const void *dy, const void *y,
                           const void *x, const float *of_dy, const float *of_x,
                           const float *constant, void *dx, void *dshortcut) {
    for (int64_t row = r.first; row < r.last; row++)
        for (int l = 0; l < C / LANES; l++) {
            int64_t at = row * C + l * LANES;
            floats g = passed(load(bytes, dy, at), load(bytes, y, at));
            if (dshortcut) store(bytes, dshortcut, at, g);
            store(bytes, dx, at,
                  load(4, of_dy, l * LANES) * g + load(4, of_x, l * LANES) * load(bytes, x, at) +
                      load(4, constant, l * LANES));
        }
}

#define MOST_CHANNELS (MOST * LANES)

static double *room_for_sums(int64_t blocks, int channels) {
    return malloc(blocks * 2 * channels * sizeof(double));
}

/* y = relu(scale * x + shift + shortcut), channel by channel; 0: done. */
int batch_norm_relu_apply(const void *x, const void *shortcut, const float *scale,
                          const float *shift, void *y, int64_t rows, int64_t channels,
                          int64_t bytes, int64_t threads) {
    int64_t blocks = (rows + BLOCK - 1) / BLOCK;
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (int64_t k = 0; k < blocks; k++)
        SPECIALISED(forward_block, rows_of_block(k, rows), x, shortcut, scale, shift, y)
    return 0;
}

/* y = relu(batch_norm(x) + shortcut); 0: done, 1: no memory. */
int batch_norm_relu_forward(const void *x, const void *shortcut, const float *weight,
                            const float *bias, double eps, void *y, float *mean, float *variance,
                            float *inverse_std, int64_t rows,
                            int64_t channels, int64_t bytes, int64_t threads) {
    int64_t blocks = (rows + BLOCK - 1) / BLOCK;
    double *sums = room_for_sums(blocks, channels), sum[MOST_CHANNELS], squares[MOST_CHANNELS];
    float origin[MOST_CHANNELS], scale[MOST_CHANNELS], shift[MOST_CHANNELS];
    if (!sums) return 1;
    for (int c = 0; c < channels; c += LANES) store(4, origin, c, load(bytes, x, c));
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (int64_t k = 0; k < blocks; k++)
        SPECIALISED(sum_up_block, rows_of_block(k, rows), x, origin, sums + k * 2 * channels)
    add_up(channels, sums, blocks, sum, squares);
    free(sums);
    for (int c = 0; c < channels; c++) {
        double m = sum[c] / rows, v = squares[c] / rows - m * m;
        if (v < 0) v = 0; /* by rounding; NaN stays */
        mean[c] = (float)(origin[c] + m);
        variance[c] = (float)v;
        inverse_std[c] = (float)(1 / sqrt(v + eps));
        scale[c] = inverse_std[c] * weight[c];
        shift[c] = bias[c] - mean[c] * scale[c];
    }
    return batch_norm_relu_apply(x, shortcut, scale, shift, y, rows, channels, bytes, threads);
}

int batch_norm_relu_backward(const void *dy, const void *y, const void *x, const float *weight,
                             const float *mean, const float *inverse_std, void *dx,
                             void *dshortcut, float *dweight, float *dbias, int64_t rows,
                             int64_t channels, int64_t bytes, int64_t threads) {
    int64_t blocks = (rows + BLOCK - 1) / BLOCK;
    double *sums = room_for_sums(blocks, channels), sum[MOST_CHANNELS], product[MOST_CHANNELS];
    float of_dy[MOST_CHANNELS], of_x[MOST_CHANNELS], constant[MOST_CHANNELS];
    if (!sums) return 1;
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (int64_t k = 0; k < blocks; k++)
        SPECIALISED(sum_up_gradient, rows_of_block(k, rows), dy, y, x, mean,
                    sums + k * 2 * channels)
    add_up(channels, sums, blocks, sum, product);
    free(sums);
    for (int c = 0; c < channels; c++) {
        double s = inverse_std[c], slope = -weight[c] * s * s * s * product[c] / rows;
        dbias[c] = (float)sum[c];
        dweight[c] = (float)(product[c] * s);
        of_dy[c] = (float)(weight[c] * s);
        of_x[c] = (float)slope;
        constant[c] = (float)(-weight[c] * s * sum[c] / rows - slope * mean[c]);
    }
    _Pragma("omp parallel for num_threads(threads) schedule(static)")
    for (int64_t k = 0; k < blocks; k++)
        SPECIALISED(backward_block, rows_of_block(k, rows), dy, y, x, of_dy, of_x, constant, dx,
                    dshortcut)
    return 0;
}
