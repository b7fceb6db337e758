#include "index/kernels.h"

#include <stdatomic.h>
#include <string.h>

static _Atomic(const struct kernels *) chosen;

static bool machine_has(const struct kernels *k)
{
#if defined(__x86_64__)
    if (k == &kernels_avx512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni");
    if (k == &kernels_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return k == &kernels_scalar;
}

/* Best first. */
static const struct kernels *const sets[] = {
#if defined(__x86_64__)
    &kernels_avx512,
    &kernels_avx2,
#endif
    &kernels_scalar,
};

const struct kernels *kernels_get(void)
{
    const struct kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);

    if (k != NULL)
        return k;
    /* Threads that race here come to the same answer. */
    for (size_t i = 0; i < COUNT_OF(sets) && k == NULL; i++)
        if (machine_has(sets[i]))
            k = sets[i];
    atomic_store_explicit(&chosen, k, memory_order_release);
    return k;
}

bool kernels_choose(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        if (strcmp(sets[i]->name, name) != 0 || !machine_has(sets[i]))
            continue;
        atomic_store_explicit(&chosen, sets[i], memory_order_release);
        return true;
    }
    return false;
}
