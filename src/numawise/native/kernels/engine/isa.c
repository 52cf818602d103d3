/* Which instruction sets this machine has, asked when it is needed and not when the library is built. */
#include "engine.h"

static const char *const NAMES[NUMAWISE_ISAS] = {
    [NUMAWISE_PORTABLE] = "portable",
    [NUMAWISE_NEON] = "neon",
    [NUMAWISE_AVX2] = "avx2",
    [NUMAWISE_AVX512] = "avx512",
};

/* NULL past the last. */
const char *numawise_isa_name(uint32_t isa)
{
    return isa < NUMAWISE_ISAS ? NAMES[isa] : NULL;
}

/* Whether the CPU has it and the system saves its registers. */
int numawise_isa_here(uint32_t isa)
{
    switch (isa) {
    case NUMAWISE_PORTABLE:
        return 1;
#if defined(__x86_64__)
    case NUMAWISE_AVX2:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case NUMAWISE_AVX512:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    case NUMAWISE_NEON: /* part of the base architecture */
        return 1;
#endif
    default:
        return 0;
    }
}

numawise_pass *numawise_pass_for(const struct numawise_kernel *kernel, uint32_t isa)
{
    if (isa >= NUMAWISE_ISAS) {
        return NULL;
    }
    for (uint32_t i = isa + 1; i-- > 0;) {
        if (kernel->passes[i] != NULL) {
            return kernel->passes[i];
        }
    }
    return NULL;
}
