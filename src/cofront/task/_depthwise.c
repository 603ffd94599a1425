// Depthwise convolution of bfloat16 tensors, channels last: forward, and the gradients of input and weights.
//
// x (n, h, w, c), y (n, oh, ow, c); weights and their gradient float32, tap-major (k*k, c); padding k/2; c a multiple
// of 16. One image and 16 channels at a time: they are unpacked to float32 with their border of zeros, which stays in
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

// Unpack an image's 16 channels into a padded buffer: rows of `pw` vectors, element (i, j) at (k/2 + s*i, k/2 + s*j).
static void unpack(const uint16_t *x, v16 *to, int h, int w, int c, int s, int k, int ph, int pw) {
  memset(to, 0, sizeof(v16) * ph * pw);
  for (int i = 0; i < h; i++)
    for (int j = 0; j < w; j++) to[(k / 2 + s * i) * pw + k / 2 + s * j] = load(x + ((int64_t)i * w + j) * c);
}

#define TAPS(K) _Pragma("GCC unroll 8") for (int p = 0; p < K; p++) _Pragma("GCC unroll 8") for (int q = 0; q < K; q++)

#define DEFINE(K)                                                                                                     \
  static void forward##K(const v16 *x, const v16 *t, uint16_t *y, int pw, int c, int s, int oh, int ow) {              \
    for (int i = 0; i < oh; i++)                                                                                       \
      for (int j = 0; j < ow; j++) {                                                                                   \
        const v16 *e = x + (int64_t)i * s * pw + j * s;                                                                \
        v16 a[K] = {{0}};                                                                                              \
        TAPS(K) a[q] += e[p * pw + q] * t[p * K + q];                                                                  \
        for (int q = 1; q < K; q++) a[0] += a[q];                                                                      \
        store(y + ((int64_t)i * ow + j) * c, a[0]);                                                                    \
      }                                                                                                                \
  }                                                                                                                    \
  static void weights##K(const v16 *x, const uint16_t *g, float *dw, int pw, int c, int s, int oh, int ow) {           \
    v16 d[K * K] = {{0}};                                                                                              \
    for (int i = 0; i < oh; i++)                                                                                       \
      for (int j = 0; j < ow; j++) {                                                                                   \
        const v16 *e = x + (int64_t)i * s * pw + j * s;                                                                \
        v16 f = load(g + ((int64_t)i * ow + j) * c);                                                                   \
        TAPS(K) d[p * K + q] += f * e[p * pw + q];                                                                     \
      }                                                                                                                \
    for (int i = 0; i < K * K; i++) *(v16u *)(dw + (int64_t)i * c) += d[i];                                            \
  }                                                                                                                    \
  /* g is unpacked with its stride, so every second row is zero when s = 2 and is left out */                          \
  static void input##K(const v16 *g, const v16 *t, uint16_t *dx, int pw, int c, int s, int h, int w) {                 \
    for (int i = 0; i < h; i++)                                                                                        \
      for (int j = 0; j < w; j++) {                                                                                    \
        const v16 *e = g + (int64_t)i * pw + j;                                                                        \
        v16 a[K] = {{0}};                                                                                              \
        for (int p = 0; p < K; p++) {                                                                                  \
          if (s == 2 && ((i + p - K / 2) & 1)) continue;                                                               \
          _Pragma("GCC unroll 8") for (int q = 0; q < K; q++) a[q] += e[p * pw + q] * t[(K - 1 - p) * K + K - 1 - q];  \
        }                                                                                                              \
        for (int q = 1; q < K; q++) a[0] += a[q];                                                                      \
        store(dx + ((int64_t)i * w + j) * c, a[0]);                                                                    \
      }                                                                                                                \
  }

DEFINE(3)
DEFINE(5)

static void taps(const float *wt, v16 *t, int k, int c) {
  for (int i = 0; i < k * k; i++) t[i] = *(const v16u *)(wt + (int64_t)i * c);
}

// `room` holds (h + k)*(w + k)*16 floats a thread, aligned to 64 bytes.
void depthwise_forward(const uint16_t *x, const float *wt, uint16_t *y, float *room, int n, int h, int w, int c, int k,
                       int s, int oh, int ow, int threads) {
  int pw = w + k - 1;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < n; i++)
    for (int b = 0; b < c; b += 16) {
      v16 *pad = (v16 *)room + (int64_t)omp_get_thread_num() * (h + k) * (w + k), t[25];
      taps(wt + b, t, k, c);
      unpack(x + (int64_t)i * h * w * c + b, pad, h, w, c, 1, k, h + k - 1, pw);
      uint16_t *to = y + (int64_t)i * oh * ow * c + b;
      if (k == 3) forward3(pad, t, to, pw, c, s, oh, ow); else forward5(pad, t, to, pw, c, s, oh, ow);
    }
}

// dw (threads, k*k, c) is added to.
void depthwise_backward(const uint16_t *x, const float *wt, const uint16_t *g, uint16_t *dx, float *dw, float *room,
                        int n, int h, int w, int c, int k, int s, int oh, int ow, int threads) {
  int pw = w + k - 1;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int i = 0; i < n; i++)
    for (int b = 0; b < c; b += 16) {
      v16 *pad = (v16 *)room + (int64_t)omp_get_thread_num() * (h + k) * (w + k), t[25];
      float *d = dw + (int64_t)omp_get_thread_num() * k * k * c + b;
      const uint16_t *gi = g + (int64_t)i * oh * ow * c + b;
      uint16_t *to = dx + (int64_t)i * h * w * c + b;
      taps(wt + b, t, k, c);
      unpack(x + (int64_t)i * h * w * c + b, pad, h, w, c, 1, k, h + k - 1, pw);
      if (k == 3) weights3(pad, gi, d, pw, c, s, oh, ow); else weights5(pad, gi, d, pw, c, s, oh, ow);
      unpack(gi, pad, oh, ow, c, s, k, h + k - 1, pw);
      if (k == 3) input3(pad, t, to, pw, c, s, h, w); else input5(pad, t, to, pw, c, s, h, w);
    }
}
