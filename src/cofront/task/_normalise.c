// Batch normalisation with ReLU, and the activation quantiser, on bfloat16 matrices (m, c), c a multiple of 16.
//
// PyTorch does these in many passes, each of which converts to float32 and back; here every tensor is read as rarely
// as the arithmetic allows. Compiled at first use; see native.py.
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
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32), aligned(2)));

enum { ROWS = 64, CHANNELS = 2048 };

static inline v16 load(const uint16_t *p) { return (v16)(__builtin_convertvector(*(const h16 *)p, u16) << 16); }

static inline void store(uint16_t *p, v16 v) { // round to nearest even
  u16 b = (u16)v;
  *(h16 *)p = __builtin_convertvector((b + 0x7fff + ((b >> 16) & 1)) >> 16, h16);
}

static inline v16 keep(v16 v, i16 mask) { return (v16)((i16)v & mask); }

static inline v16 at(const float *p) { return *(const v16u *)p; }

// What a ReLU with upper end `cap` lets through.
static inline i16 between(v16 v, float cap) { return (v > 0) & (v < cap - (v16){0}); }

// sums (threads, 2, c): sum of x and of x^2; ROWS rows at a time, so that few numbers are added to large ones.
void norm_stats(const uint16_t *x, float *sums, int64_t m, int c, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t r0 = 0; r0 < m; r0 += ROWS) {
    float *to = sums + (int64_t)omp_get_thread_num() * 2 * c;
    int64_t r1 = r0 + ROWS < m ? r0 + ROWS : m;
    for (int b = 0; b < c; b += 16) {
      v16 s = {0}, q = {0};
      for (int64_t r = r0; r < r1; r++) {
        v16 e = load(x + r * c + b);
        s += e;
        q += e * e;
      }
      *(v16u *)(to + b) += s;
      *(v16u *)(to + c + b) += q;
    }
  }
}

// y = x * scale + shift, then ReLU with upper end `cap` if asked
void norm_apply(const uint16_t *x, const float *scale, const float *shift, uint16_t *y, int64_t m, int c, int relu,
                float cap, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t r = 0; r < m; r++)
    for (int b = 0; b < c; b += 16) {
      v16 v = load(x + r * c + b) * at(scale + b) + at(shift + b);
      if (relu) {
        // what is no number stays none: a training must see it
        i16 above = v >= cap - (v16){0};
        v = keep(v, (~above & (v > 0)) | (v != v)) + keep(cap - (v16){0}, above);
      }
      store(y + r * c + b, v);
    }
}

// sums (threads, 2, c): of g' and g' * x, where g' is g behind the ReLU
void norm_grad_sums(const uint16_t *x, const uint16_t *g, const float *scale, const float *shift, float *sums,
                    int64_t m, int c, int relu, float cap, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t r0 = 0; r0 < m; r0 += ROWS) {
    float *to = sums + (int64_t)omp_get_thread_num() * 2 * c;
    int64_t r1 = r0 + ROWS < m ? r0 + ROWS : m;
    for (int b = 0; b < c; b += 16) {
      v16 s = {0}, q = {0}, w = at(scale + b), h = at(shift + b);
      for (int64_t r = r0; r < r1; r++) {
        v16 e = load(x + r * c + b), f = load(g + r * c + b);
        if (relu) f = keep(f, between(e * w + h, cap));
        s += f;
        q += f * e;
      }
      *(v16u *)(to + b) += s;
      *(v16u *)(to + c + b) += q;
    }
  }
}

// dx = k0 * g' + k1 * x + k2 with k (3, c)
void norm_grad_apply(const uint16_t *x, const uint16_t *g, const float *scale, const float *shift, const float *k,
                     uint16_t *dx, int64_t m, int c, int relu, float cap, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t r = 0; r < m; r++)
    for (int b = 0; b < c; b += 16) {
      v16 e = load(x + r * c + b), f = load(g + r * c + b);
      if (relu) f = keep(f, between(e * at(scale + b) + at(shift + b), cap));
      store(dx + r * c + b, at(k + b) * f + at(k + c + b) * e + at(k + 2 * c + b));
    }
}

// y = scale * clamp(round(x / scale), low, high) on n values, n a multiple of 16
void quant_apply(const uint16_t *x, uint16_t *y, int64_t n, float scale, float low, float high, int threads) {
  const float magic = 12582912.0f; // 1.5 * 2^23: adding and taking it away rounds to an integer
  float inverse = 1 / scale;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n / 16; i++) {
    v16 v = load(x + 16 * i) * inverse, lo = low - (v16){0}, hi = high - (v16){0};
    v = (v16)(((i16)v & (v > lo)) | ((i16)lo & ~(v > lo)));
    v = (v16)(((i16)v & (v < hi)) | ((i16)hi & ~(v < hi)));
    v = (v + magic) - magic;
    store(y + 16 * i, v * scale);
  }
}

// dx = g where x is within half a step of the range
void quant_grad(const uint16_t *x, const uint16_t *g, uint16_t *dx, int64_t n, float least, float most, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n / 16; i++) {
    v16 v = load(x + 16 * i);
    store(dx + 16 * i, keep(load(g + 16 * i), (v >= least) & (v <= most)));
  }
}
