/* For harnesses with LeakSanitizer: lets it look into libcrypto's secure heap, which is a mapping of
 * libcrypto's own. What is pointed to from there (the random generators of threads) looks leaked otherwise.
 */
#ifndef LH_FUZZ_SECURE_HEAP_H
#define LH_FUZZ_SECURE_HEAP_H

#include <openssl/crypto.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define LH_FUZZ_LEAKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LH_FUZZ_LEAKS 1
#endif
#endif

#ifdef LH_FUZZ_LEAKS
#include <sanitizer/lsan_interface.h>

static inline void secure_heap_is_seen(void)
{
    void *probe = OPENSSL_secure_malloc(16);
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    while (probe && maps && fgets(line, sizeof(line), maps)) {
        uintptr_t from = 0;
        uintptr_t to = 0;
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && (uintptr_t)probe >= from && (uintptr_t)probe < to)
            __lsan_register_root_region((void *)from, to - from);
    }
    if (maps)
        fclose(maps);
    OPENSSL_secure_free(probe);
}
#else
static inline void secure_heap_is_seen(void)
{
}
#endif

#endif
