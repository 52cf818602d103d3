/*
 * One loop, compiled for each instruction set.
 *
 * In the body given to NUMAWISE_PASS, `vec` is a vector of unsigned 64-bit words as wide as that set's registers, and
 * `reals` one of doubles (GCC's vector extension: + and * work, at any address). LANES is how many a vector holds.
 * The arguments of numawise_pass are in scope by their names.
 *
 * Stores around the caches (non-temporal), where NUMAWISE_HAS_STREAM is defined:
 *   NUMAWISE_STREAM_LINE(at, vectors)    one cache line, on its 64-byte boundary
 *   numawise_stream_word(at, word)       8 bytes at any address
 *   numawise_stream_fence()              at the end of each pass: such stores are ordered with nothing else, and a pass
 *                                        would end before its last bytes are out
 */
#ifndef NUMAWISE_VECTOR_H
#define NUMAWISE_VECTOR_H

#define NUMAWISE_INLINE static inline __attribute__((always_inline, unused))
#define NUMAWISE_VECTOR(name, type, width) typedef type __attribute__((vector_size(width), aligned(1), may_alias)) name

NUMAWISE_VECTOR(numawise_vec16, uint64_t, 16);
NUMAWISE_VECTOR(numawise_reals16, double, 16);

#define NUMAWISE_BODY(isa, width, ...)                                                        \
    static uint64_t pass_##isa(void *const *buffers, size_t elements, uint64_t carry)         \
    {                                                                                         \
        typedef numawise_vec##width vec __attribute__((unused));                              \
        typedef numawise_reals##width reals __attribute__((unused));                          \
        enum { LANES = width / 8 };                                                           \
        __VA_ARGS__                                                                           \
    }

#if defined(__x86_64__)

#include <immintrin.h>
#define NUMAWISE_AVX2_TARGET __attribute__((target("avx2,fma")))
#define NUMAWISE_AVX512_TARGET __attribute__((target("avx512f")))
NUMAWISE_VECTOR(numawise_vec32, uint64_t, 32);
NUMAWISE_VECTOR(numawise_reals32, double, 32);
NUMAWISE_VECTOR(numawise_vec64, uint64_t, 64);
NUMAWISE_VECTOR(numawise_reals64, double, 64);

#define NUMAWISE_PASS(...)                                                                    \
    NUMAWISE_BODY(portable, 16, __VA_ARGS__)                                                  \
    NUMAWISE_AVX2_TARGET NUMAWISE_BODY(avx2, 32, __VA_ARGS__)                                 \
    NUMAWISE_AVX512_TARGET NUMAWISE_BODY(avx512, 64, __VA_ARGS__)
#define NUMAWISE_PASSES                                                                       \
    {[NUMAWISE_PORTABLE] = pass_portable, [NUMAWISE_AVX2] = pass_avx2, [NUMAWISE_AVX512] = pass_avx512}

#define NUMAWISE_HAS_STREAM
NUMAWISE_INLINE void numawise_stream_word(void *at, uint64_t word)
{
    /* Not the intrinsic, which may assume that the word is aligned. */
    __asm__ volatile("movnti %1, %0" : "=m"(*(numawise_word *)at) : "r"(word));
}
NUMAWISE_INLINE void numawise_stream_line16(void *at, const numawise_vec16 *vectors)
{
    for (int i = 0; i < 4; i++) {
        _mm_stream_si128((__m128i *)at + i, (__m128i)vectors[i]);
    }
}
NUMAWISE_AVX2_TARGET NUMAWISE_INLINE void numawise_stream_line32(void *at, const numawise_vec32 *vectors)
{
    for (int i = 0; i < 2; i++) {
        _mm256_stream_si256((__m256i *)at + i, (__m256i)vectors[i]);
    }
}
NUMAWISE_AVX512_TARGET NUMAWISE_INLINE void numawise_stream_line64(void *at, const numawise_vec64 *vectors)
{
    _mm512_stream_si512((__m512i *)at, (__m512i)vectors[0]);
}
/* With a wall behind each line: a compiler that mixes the stores of several would leave them in parts for longer. */
#define NUMAWISE_STREAM_LINE(at, vectors)                                                     \
    do {                                                                                      \
        _Generic((vectors)[0], numawise_vec16: numawise_stream_line16,                        \
                 numawise_vec32: numawise_stream_line32, numawise_vec64: numawise_stream_line64)(at, vectors); \
        __asm__ volatile("" ::: "memory");                                                    \
    } while (0)
NUMAWISE_INLINE void numawise_stream_fence(void)
{
    _mm_sfence();
}

#else /* 16 bytes, which any compiler breaks down to what the machine has: on aarch64, to NEON's registers */

#define NUMAWISE_PASS(...) NUMAWISE_BODY(portable, 16, __VA_ARGS__)
#if defined(__aarch64__)

#define NUMAWISE_PASSES {[NUMAWISE_PORTABLE] = pass_portable, [NUMAWISE_NEON] = pass_portable}
#define NUMAWISE_HAS_STREAM
NUMAWISE_INLINE void numawise_stream_word(void *at, uint64_t word)
{
    *(numawise_word *)at = word; /* there is no such store of one word: only of pairs */
}
NUMAWISE_INLINE void numawise_stream_line16(void *at, const numawise_vec16 *vectors)
{
    __asm__ volatile("stnp %q1, %q2, [%0]\n\tstnp %q3, %q4, [%0, 32]"
                     :
                     : "r"(at), "w"(vectors[0]), "w"(vectors[1]), "w"(vectors[2]), "w"(vectors[3])
                     : "memory");
}
#define NUMAWISE_STREAM_LINE(at, vectors) numawise_stream_line16(at, vectors)
NUMAWISE_INLINE void numawise_stream_fence(void)
{
    __asm__ volatile("dmb ishst" ::: "memory");
}

#else
#define NUMAWISE_PASSES {[NUMAWISE_PORTABLE] = pass_portable}
#endif
#endif
#endif
