/*
 * What people write by hand to measure memory, for benchmarks/kernels.py to set numawise's kernels against: STREAM's
 * loops with OpenMP, libc's memcpy, a plain sum, and a plain pointer chase. Built as they are usually built
 * (-O3 -march=native -fopenmp) into a library, so that they run on the very pages that numawise's kernels ran on.
 * Each returns the seconds that `passes` passes over the arrays took.
 */
#define _POSIX_C_SOURCE 200809L
#ifdef __AVX__
#include <immintrin.h>
#endif
#include <omp.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The sum and the chase end here, or the compiler would drop them. */
double peer_result;
void *peer_end;

double peer_copy(double *restrict b, const double *restrict a, size_t n, int threads, int passes)
{
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i++) {
            b[i] = a[i];
        }
    }
    return now() - start;
}

double peer_triad(double *restrict c, const double *restrict a, const double *restrict b, size_t n, int threads,
                  int passes)
{
    const double scalar = 3.0;
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i++) {
            c[i] = a[i] + scalar * b[i];
        }
    }
    return now() - start;
}

/* The same with non-temporal stores, a line a turn, as a compiler told to use them makes it; -1 where there is no AVX. */
double peer_copy_nt(double *restrict b, const double *restrict a, size_t n, int threads, int passes)
{
#ifdef __AVX__
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
#pragma omp parallel num_threads(threads)
        {
#pragma omp for schedule(static) nowait
            for (size_t i = 0; i < n / 8; i++) {
                const __m256d low = _mm256_load_pd(a + 8 * i), high = _mm256_load_pd(a + 8 * i + 4);
                _mm256_stream_pd(b + 8 * i, low);
                _mm256_stream_pd(b + 8 * i + 4, high);
            }
            _mm_sfence();
        }
    }
    return now() - start;
#else
    return -1;
#endif
}

double peer_triad_nt(double *restrict c, const double *restrict a, const double *restrict b, size_t n, int threads,
                     int passes)
{
#ifdef __AVX__
    const __m256d scalar = _mm256_set1_pd(3.0);
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
#pragma omp parallel num_threads(threads)
        {
#pragma omp for schedule(static) nowait
            for (size_t i = 0; i < n / 8; i++) {
                const __m256d low = scalar * _mm256_load_pd(b + 8 * i) + _mm256_load_pd(a + 8 * i);
                const __m256d high = scalar * _mm256_load_pd(b + 8 * i + 4) + _mm256_load_pd(a + 8 * i + 4);
                _mm256_stream_pd(c + 8 * i, low);
                _mm256_stream_pd(c + 8 * i + 4, high);
            }
            _mm_sfence();
        }
    }
    return now() - start;
#else
    return -1;
#endif
}

double peer_sum(const long *a, size_t n, int threads, int passes)
{
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
        long sum = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < n; i++) {
            sum += a[i];
        }
        peer_result += (double)sum;
    }
    return now() - start;
}

double peer_memcpy(double *b, const double *a, size_t n, int threads, int passes)
{
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
#pragma omp parallel num_threads(threads)
        {
            const size_t share = n / (size_t)threads, mine = share * (size_t)omp_get_thread_num();
            memcpy(b + mine, a + mine, share * sizeof *a);
        }
    }
    return now() - start;
}

double peer_chase(void **ring, size_t steps, int passes)
{
    void **at = ring;
    const double start = now();
    for (int pass = 0; pass < passes; pass++) {
        for (size_t step = 0; step < steps; step++) {
            at = *at;
        }
    }
    peer_end = at;
    return now() - start;
}
