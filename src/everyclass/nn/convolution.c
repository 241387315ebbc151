/* 3 x 3 convolutions, stride 1, one pixel of padding, by Winograd's F(4 x 4, 3 x 3) in float32.
 *
 * A tile of 4 x 4 outputs needs 36 products per pair of channels, not 144 (Lavin and Gray 2016,
 * points 0, 1, -1, 2, -2, infinity): Y = A' [(G g G') * (B' d B)] A. Images are rows of pixels with
 * channels last. Blocks of tiles go to threads in a fixed order, so the same number of threads
 * gives the same bits.
 */
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define TILES 48 /* of a block: transformed, they stay in the second cache */
/* From one of the 36 products to the next: a line more, or all would fall into the same few sets. */
#define PLANE(channels) (TILES * (channels) + 16)

typedef float floats __attribute__((vector_size(4 * LANES)));

static const float zeros[64] = {0}; /* a pixel outside the image, of the most channels */

static inline floats load(const float *from) {
    floats loaded;
    memcpy(&loaded, from, sizeof loaded);
    return loaded;
}

static inline void store(float *to, floats values) { memcpy(to, &values, sizeof values); }

typedef struct {
    int64_t tiles;
    int height, width, down, across; /* of an image in pixels and in tiles */
} shape;

static shape shape_of(int64_t images, int height, int width) {
    shape s = {images * (height / 4) * (width / 4), height, width, height / 4, width / 4};
    return s;
}

/* B' d for six vectors in a row or column. */
static inline void to_six_of_input(const floats d[6], floats t[6]) {
    floats a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = d[3] - d[1];
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + 2 * e;
    t[4] = c - 2 * e;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

/* A y: the transpose of what makes outputs. */
static inline void to_six_of_output(const floats y[4], floats z[6]) {
    floats even = y[0] + y[2], odd = y[1] + y[3];
    floats even2 = y[0] + 4 * y[2], odd2 = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = even + odd;
    z[2] = even - odd;
    z[3] = even2 + odd2;
    z[4] = even2 - odd2;
    z[5] = y[3];
}

/* A' m. */
static inline void to_four(const floats m[6], floats y[4]) {
    floats s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    y[0] = m[0] + s + s2;
    y[1] = d + 2 * d2;
    y[2] = s + 4 * s2;
    y[3] = d + 8 * d2 + m[5];
}

/* G g. */
static inline void to_six_of_kernel(const floats g[3], floats u[6]) {
    floats a = (g[0] + g[2]) * (-1.0f / 6), b = g[1] * (-1.0f / 6);
    floats c = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), e = g[1] * (1.0f / 12);
    u[0] = g[0] * 0.25f;
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + e;
    u[4] = c - e;
    u[5] = g[2];
}

/* G' u. */
static inline void to_three(const floats u[6], floats g[3]) {
    floats s = u[1] + u[2], d = u[1] - u[2], s2 = u[3] + u[4], d2 = u[3] - u[4];
    g[0] = u[0] * 0.25f - s * (1.0f / 6) + s2 * (1.0f / 24);
    g[1] = d * (-1.0f / 6) + d2 * (1.0f / 12);
    g[2] = (s2 - s) * (1.0f / 6) + u[5];
}

/* kernel[3][3][in][out] to u[36][in][out]. */
static void transform_kernel(const float *kernel, float *u, int64_t pairs) {
    for (int64_t p = 0; p < pairs; p += LANES) {
        floats half[6][3];
        for (int j = 0; j < 3; j++) {
            floats g[3], t[6];
            for (int i = 0; i < 3; i++) g[i] = load(kernel + (i * 3 + j) * pairs + p);
            to_six_of_kernel(g, t);
            for (int i = 0; i < 6; i++) half[i][j] = t[i];
        }
        for (int i = 0; i < 6; i++) {
            floats t[6];
            to_six_of_kernel(half[i], t);
            for (int j = 0; j < 6; j++) store(u + (i * 6 + j) * pairs + p, t[j]);
        }
    }
}

/* u[36][in][out] to kernel[3][3][in][out]. */
static void transform_kernel_back(const float *u, float *kernel, int64_t pairs) {
    for (int64_t p = 0; p < pairs; p += LANES) {
        floats half[3][6];
        for (int j = 0; j < 6; j++) {
            floats t[6], g[3];
            for (int i = 0; i < 6; i++) t[i] = load(u + (i * 6 + j) * pairs + p);
            to_three(t, g);
            for (int i = 0; i < 3; i++) half[i][j] = g[i];
        }
        for (int i = 0; i < 3; i++) {
            floats g[3];
            to_three(half[i], g);
            for (int j = 0; j < 3; j++) store(kernel + (i * 3 + j) * pairs + p, g[j]);
        }
    }
}

/* The tiles from `first` on, each with a margin of a pixel, to v[36][TILES][channels]. */
static void transform_input(const float *x, float *v, shape s, int64_t first, int channels) {
    for (int t = 0; t < TILES; t++) {
        int64_t tile = first + t;
        const float *pixels[36];
        if (tile < s.tiles) {
            int column = tile % s.across * 4 - 1, row = tile / s.across % s.down * 4 - 1;
            int64_t image = tile / s.across / s.down;
            const float *corner =
                x + ((image * s.height + row) * s.width + column) * (int64_t)channels;
            int within[6];
            for (int j = 0; j < 6; j++) within[j] = column + j >= 0 && column + j < s.width;
            for (int i = 0; i < 6; i++) {
                int inside = row + i >= 0 && row + i < s.height;
                for (int j = 0; j < 6; j++)
                    pixels[i * 6 + j] =
                        inside & within[j] ? corner + (i * s.width + j) * channels : zeros;
            }
        } else {
            for (int k = 0; k < 36; k++) pixels[k] = zeros;
        }
        for (int c = 0; c < channels; c += LANES) {
            floats half[6][6];
            for (int j = 0; j < 6; j++) {
                floats d[6], b[6];
                for (int i = 0; i < 6; i++) d[i] = load(pixels[i * 6 + j] + c);
                to_six_of_input(d, b);
                for (int i = 0; i < 6; i++) half[i][j] = b[i];
            }
            for (int i = 0; i < 6; i++) {
                floats b[6];
                to_six_of_input(half[i], b);
                for (int j = 0; j < 6; j++)
                    store(v + (i * 6 + j) * PLANE(channels) + t * channels + c, b[j]);
            }
        }
    }
}

/* m[36][TILES][channels] to the tiles of y from `first` on. */
static void transform_output(const float *m, float *y, shape s, int64_t first, int channels) {
    for (int t = 0; t < TILES && first + t < s.tiles; t++) {
        int64_t tile = first + t, image = tile / s.across / s.down;
        int column = tile % s.across * 4, row = tile / s.across % s.down * 4;
        float *corner = y + ((image * s.height + row) * s.width + column) * channels;
        for (int c = 0; c < channels; c += LANES) {
            floats half[4][6];
            for (int j = 0; j < 6; j++) {
                floats d[6], a[4];
                for (int i = 0; i < 6; i++)
                    d[i] = load(m + (i * 6 + j) * PLANE(channels) + t * channels + c);
                to_four(d, a);
                for (int i = 0; i < 4; i++) half[i][j] = a[i];
            }
            for (int i = 0; i < 4; i++) {
                floats a[4];
                to_four(half[i], a);
                for (int j = 0; j < 4; j++) store(corner + (i * s.width + j) * channels + c, a[j]);
            }
        }
    }
}

/* The tiles of dy from `first` on to z[36][TILES][channels]. */
static void transform_output_back(const float *dy, float *z, shape s, int64_t first, int channels) {
    for (int t = 0; t < TILES; t++) {
        int64_t tile = first + t, image = tile / s.across / s.down;
        int column = tile % s.across * 4, row = tile / s.across % s.down * 4;
        const float *corner = dy + ((image * s.height + row) * s.width + column) * channels;
        for (int c = 0; c < channels; c += LANES) {
            floats half[6][4];
            for (int j = 0; j < 4; j++) {
                floats d[4], a[6];
                for (int i = 0; i < 4; i++)
                    d[i] = tile < s.tiles ? load(corner + (i * s.width + j) * channels + c)
                                          : (floats){0};
                to_six_of_output(d, a);
                for (int i = 0; i < 6; i++) half[i][j] = a[i];
            }
            for (int i = 0; i < 6; i++) {
                floats a[6];
                to_six_of_output(half[i], a);
                for (int j = 0; j < 6; j++)
                    store(z + (i * 6 + j) * PLANE(channels) + t * channels + c, a[j]);
            }
        }
    }
}

/* ROWS x (WIDE vectors) of a product stay in registers. */
#define DEFINE(ROWS, BACK, WIDE)                                                                   \
    /* m[TILES][out] = v[TILES][in] u[in][out] */                                                  \
    static void multiply_##WIDE(const float *v, const float *u, float *m, int in, int out) {       \
        for (int o = 0; o < out; o += WIDE * LANES)                                                \
            for (int t = 0; t < TILES; t += ROWS) {                                                \
                floats sum[ROWS][WIDE] = {{{0}}};                                                  \
                for (int k = 0; k < in; k++) {                                                     \
                    floats right[WIDE];                                                            \
                    for (int w = 0; w < WIDE; w++) right[w] = load(u + k * out + o + w * LANES);   \
                    for (int r = 0; r < ROWS; r++)                                                 \
                        for (int w = 0; w < WIDE; w++) sum[r][w] += v[(t + r) * in + k] * right[w];\
                }                                                                                  \
                for (int r = 0; r < ROWS; r++)                                                     \
                    for (int w = 0; w < WIDE; w++)                                                 \
                        store(m + (t + r) * out + o + w * LANES, sum[r][w]);                       \
            }                                                                                      \
    }                                                                                              \
    /* u[in][out] += v[TILES][in]' z[TILES][out] */                                                \
    static void accumulate_##WIDE(const float *v, const float *z, float *u, int in, int out) {     \
        for (int o = 0; o < out; o += WIDE * LANES)                                                \
            for (int k = 0; k < in; k += BACK) {                                                   \
                floats sum[BACK][WIDE];                                                            \
                for (int r = 0; r < BACK; r++)                                                     \
                    for (int w = 0; w < WIDE; w++)                                                 \
                        sum[r][w] = load(u + (k + r) * out + o + w * LANES);                       \
                for (int t = 0; t < TILES; t++) {                                                  \
                    floats right[WIDE];                                                            \
                    for (int w = 0; w < WIDE; w++) right[w] = load(z + t * out + o + w * LANES);   \
                    for (int r = 0; r < BACK; r++)                                                 \
                        for (int w = 0; w < WIDE; w++) sum[r][w] += v[t * in + k + r] * right[w];  \
                }                                                                                  \
                for (int r = 0; r < BACK; r++)                                                     \
                    for (int w = 0; w < WIDE; w++)                                                 \
                        store(u + (k + r) * out + o + w * LANES, sum[r][w]);                       \
            }                                                                                      \
    }

DEFINE(6, 4, 2)
DEFINE(4, 4, 3)

static float *aligned(int64_t count) {
    void *place = NULL;
    return posix_memalign(&place, 64, count * sizeof(float)) ? NULL : place;
}

/* y = x * kernel[3][3][in][out]; 0: done, 1: no memory. */
int convolution_forward(const float *x, const float *kernel, float *y, int64_t images,
                        int64_t height, int64_t width, int64_t in, int64_t out, int64_t threads) {
    shape s = shape_of(images, height, width);
    int64_t pairs = (int64_t)in * out, scratch = 36 * (int64_t)(PLANE(in) + PLANE(out));
    float *u = aligned(36 * pairs + threads * scratch);
    if (!u) return 1;
    transform_kernel(kernel, u, pairs);
    int64_t blocks = (s.tiles + TILES - 1) / TILES;
    _Pragma("omp parallel num_threads(threads)")
    {
        int thread = omp_get_thread_num();
        float *v = u + 36 * pairs + thread * scratch, *m = v + 36 * (int64_t)PLANE(in);
        _Pragma("omp for schedule(static)")
        for (int64_t b = 0; b < blocks; b++) {
            transform_input(x, v, s, b * TILES, in);
            for (int k = 0; k < 36; k++)
                (out % 16 ? multiply_3 : multiply_2)(v + k * PLANE(in), u + k * pairs,
                                                     m + k * PLANE(out), in, out);
            transform_output(m, y, s, b * TILES, out);
        }
    }
    free(u);
    return 0;
}

/* The gradient of kernel[3][3][in][out]. */
int convolution_backward_kernel(const float *x, const float *dy, float *dkernel, int64_t images,
                                int64_t height, int64_t width, int64_t in, int64_t out,
                                int64_t threads) {
    shape s = shape_of(images, height, width);
    int64_t pairs = (int64_t)in * out, scratch = 36 * (PLANE(in) + PLANE(out) + pairs);
    float *all = aligned(threads * scratch);
    if (!all) return 1;
    int64_t blocks = (s.tiles + TILES - 1) / TILES, started = 1;
    _Pragma("omp parallel num_threads(threads)")
    {
        int thread = omp_get_thread_num();
        if (thread == 0) started = omp_get_num_threads(); /* which may be fewer than asked for */
        float *u = all + thread * scratch, *v = u + 36 * pairs;
        float *z = v + 36 * (int64_t)PLANE(in);
        memset(u, 0, 36 * pairs * sizeof *u);
        _Pragma("omp for schedule(static)")
        for (int64_t b = 0; b < blocks; b++) {
            transform_input(x, v, s, b * TILES, in);
            transform_output_back(dy, z, s, b * TILES, out);
            for (int k = 0; k < 36; k++)
                (out % 16 ? accumulate_3 : accumulate_2)(v + k * PLANE(in), z + k * PLANE(out),
                                                         u + k * pairs, in, out);
        }
    }
    for (int64_t t = 1; t < started; t++)
        for (int64_t p = 0; p < 36 * pairs; p++) all[p] += all[t * scratch + p];
    transform_kernel_back(all, dkernel, pairs);
    free(all);
    return 0;
}
