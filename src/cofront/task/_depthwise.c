// Depthwise convolution of bfloat16 tensors, channels last: forward, and the gradients of input and weights.
//
// x (n, h, w, c), y (n, oh, ow, c); weights and their gradient float32, tap-major (k*k, c); padding d*(k/2), where d is
// the dilation; c a multiple of 16. One image and 16 channels at a time: they are unpacked to float32 with their border of zeros, which stays in
// the first-level cache, and the loops over taps need no test. Compiled at first use; see depthwise.py.
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_thread_num(void) { return 0; }
#endif

typedef float v16 __attribute__((vector_size(64)));
typedef float v16u __attribute__((vector_size(64), aligned(4)));
typedef uint32_t u16 __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32), aligned(2)));

static inline v16 load(const uint16_t *p) { return (v16)(__builtin_convertvector(*(const h16 *)p, u16) << 16); }

static inline void store(uint16_t *p, v16 v) { // round to nearest even
  u16 b = (u16)v;
  *(h16 *)p = __builtin_convertvector((b + 0x7fff + ((b >> 16) & 1)) >> 16, h16);
}

// Unpack an image's 16 channels into a padded buffer: rows of `pw` vectors, element (i, j) at (pad + s*i, pad + s*j).
static void unpack(const uint16_t *x, v16 *to, int h, int w, int c, int s, int pad, int ph, int pw) {
  memset(to, 0, sizeof(v16) * ph * pw);
  for (int i = 0; i < h; i++)
    for (int j = 0; j < w; j++) to[(pad + s * i) * pw + pad + s * j] = load(x + ((int64_t)i * w + j) * c);
}

#define ROW(K) _Pragma("GCC unroll 8") for (int q = 0; q < K; q++)
#define TAPS(K) _Pragma("GCC unroll 8") for (int p = 0; p < K; p++) ROW(K)

#define DEFINE(K, D)                                                                                                   \
  static void forward##K##D(const v16 *x, const v16 *t, uint16_t *y, int pw, int c, int s, int oh, int ow) {           \
    for (int i = 0; i < oh; i++)                                                                                       \
      for (int j = 0; j < ow; j++) {                                                                                   \
        const v16 *e = x + (int64_t)i * s * pw + j * s;                                                                \
        v16 a[K] = {{0}};                                                                                              \
        TAPS(K) a[q] += e[p * D * pw + q * D] * t[p * K + q];                                                          \
        for (int q = 1; q < K; q++) a[0] += a[q];                                                                      \
        store(y + ((int64_t)i * ow + j) * c, a[0]);                                                                    \
      }                                                                                                                \
  }                                                                                                                    \
  /* g is unpacked with its stride, so every second row is zero when s = 2 and is left out */                          \
  static void input##K##D(const v16 *g, const v16 *t, uint16_t *dx, int pw, int c, int s, int h, int w) {              \
    for (int i = 0; i < h; i++)                                                                                        \
      for (int j = 0; j < w; j++) {                                                                                    \
        const v16 *e = g + (int64_t)i * pw + j;                                                                        \
        v16 a[K] = {{0}};                                                                                              \
        for (int p = 0; p < K; p++) {                                                                                  \
          if (s == 2 && ((i + p * D - K / 2 * D) & 1)) continue;                                                       \
          ROW(K) a[q] += e[p * D * pw + q * D] * t[(K - 1 - p) * K + K - 1 - q];                                       \
        }                                                                                                              \
        for (int q = 1; q < K; q++) a[0] += a[q];                                                                      \
        store(dx + ((int64_t)i * w + j) * c, a[0]);                                                                    \
      }                                                                                                                \
  }

/* every sum of the gradient of the weights is in a register of its own */
#define WEIGHTS(K, D)                                                                                                  \
  static void weights##K##D(const v16 *x, const uint16_t *g, float *dw, int pw, int c, int s, int oh, int ow) {        \
    v16 d[K * K] = {{0}};                                                                                              \
    for (int i = 0; i < oh; i++)                                                                                       \
      for (int j = 0; j < ow; j++) {                                                                                   \
        const v16 *e = x + (int64_t)i * s * pw + j * s;                                                                \
        v16 f = load(g + ((int64_t)i * ow + j) * c);                                                                   \
        TAPS(K) d[p * K + q] += f * e[p * D * pw + q * D];                                                             \
      }                                                                                                                \
    for (int i = 0; i < K * K; i++) *(v16u *)(dw + (int64_t)i * c) += d[i];                                            \
  }

/* there are too few registers: one row of taps at a time */
#define WEIGHTS_BY_ROWS(K, D)                                                                                          \
  static void weights##K##D(const v16 *x, const uint16_t *g, float *dw, int pw, int c, int s, int oh, int ow) {        \
    for (int p = 0; p < K; p++) {                                                                                      \
      v16 d[K] = {{0}};                                                                                                \
      for (int i = 0; i < oh; i++)                                                                                     \
        for (int j = 0; j < ow; j++) {                                                                                 \
          const v16 *e = x + (int64_t)(i * s + p * D) * pw + j * s;                                                    \
          v16 f = load(g + ((int64_t)i * ow + j) * c);                                                                 \
          ROW(K) d[q] += f * e[q * D];                                                                                 \
        }                                                                                                              \
      for (int q = 0; q < K; q++) *(v16u *)(dw + (int64_t)(p * K + q) * c) += d[q];                                    \
    }                                                                                                                  \
  }

DEFINE(3, 1)
DEFINE(5, 1)
DEFINE(7, 1)
DEFINE(3, 2)
DEFINE(5, 2)
WEIGHTS(3, 1)
WEIGHTS(5, 1)
WEIGHTS(3, 2)
WEIGHTS(5, 2)
WEIGHTS_BY_ROWS(7, 1)

typedef void (*Over)(const v16 *, const v16 *, uint16_t *, int, int, int, int, int);
typedef void (*Sums)(const v16 *, const uint16_t *, float *, int, int, int, int, int);

// by kernel size (3, 5, 7) and dilation (1, 2)
static const Over forward[3][2] = {{forward31, forward32}, {forward51, forward52}, {forward71, 0}};
static const Over input[3][2] = {{input31, input32}, {input51, input52}, {input71, 0}};
static const Sums weights[3][2] = {{weights31, weights32}, {weights51, weights52}, {weights71, 0}};

static void taps(const float *wt, v16 *t, int k, int c) {
  for (int i = 0; i < k * k; i++) t[i] = *(const v16u *)(wt + (int64_t)i * c);
}

// `room` holds (h + d*k)*(w + d*k)*16 floats a thread, aligned to 64 bytes.
void depthwise_forward(const uint16_t *x, const float *wt, uint16_t *y, float *room, int n, int h, int w, int c, int k,
                       int d, int s, int oh, int ow, int threads) {
  int border = d * (k / 2), ph = h + 2 * border, pw = w + 2 * border;
  Over over = forward[k / 2 - 1][d - 1];
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < n; i++)
    for (int b = 0; b < c; b += 16) {
      v16 *pad = (v16 *)room + (int64_t)omp_get_thread_num() * (h + d * k) * (w + d * k), t[49];
      taps(wt + b, t, k, c);
      unpack(x + (int64_t)i * h * w * c + b, pad, h, w, c, 1, border, ph, pw);
      over(pad, t, y + (int64_t)i * oh * ow * c + b, pw, c, s, oh, ow);
    }
}

// dw (threads, k*k, c) is added to.
void depthwise_backward(const uint16_t *x, const float *wt, const uint16_t *g, uint16_t *dx, float *dw, float *room,
                        int n, int h, int w, int c, int k, int d, int s, int oh, int ow, int threads) {
  int border = d * (k / 2), ph = h + 2 * border, pw = w + 2 * border;
  Over over = input[k / 2 - 1][d - 1];
  Sums sums = weights[k / 2 - 1][d - 1];
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < n; i++)
    for (int b = 0; b < c; b += 16) {
      int thread = omp_get_thread_num();
      v16 *pad = (v16 *)room + (int64_t)thread * (h + d * k) * (w + d * k), t[49];
      const uint16_t *gi = g + (int64_t)i * oh * ow * c + b;
      taps(wt + b, t, k, c);
      unpack(x + (int64_t)i * h * w * c + b, pad, h, w, c, 1, border, ph, pw);
      sums(pad, gi, dw + (int64_t)thread * k * k * c + b, pw, c, s, oh, ow);
      unpack(gi, pad, oh, ow, c, s, border, ph, pw);
      over(pad, t, dx + (int64_t)i * h * w * c + b, pw, c, s, h, w);
    }
}
