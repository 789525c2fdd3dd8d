/* Prints the mechanisms' rows, fields separated by tabs: what ci/mechanisms makes docs/mechanisms.md from. */
#include "p11/mechanism.h"

#include "base/macro.h"

#include <stdio.h>

static void print_bits(unsigned long bits, const char *const *names, size_t count)
{
    const char *between = "";
    for (size_t i = 0; i < count; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        (void)printf("%s%s", between, names[i]);
        between = ", ";
    }
    (void)putchar('\t');
}

int main(void)
{
    static const char *const uses[] = {"sign", "verify", "encrypt", "decrypt", "digest", "generate",
        "generate pair", "wrap", "unwrap", "derive", "encapsulate", "decapsulate", "sign-recover",
        "verify-recover"};
    static const char *const keys[] = {"RSA", "EC", "EC_EDWARDS", "EC_MONTGOMERY", "DH", "AES", "CHACHA20",
        "GENERIC_SECRET", "…_HMAC", "HKDF", "AES_XTS", "DES3", "RC4", "ML_KEM", "ML_DSA", "SLH_DSA"};
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++) {
        (void)printf("%lu\t%s\t", row->type, row->name);
        print_bits(row->uses, uses, LH_ARRAY_LEN(uses));
        print_bits(row->keys, keys, LH_ARRAY_LEN(keys));
        (void)printf("%u\t%u\t%d\t%d\t%d\t%s\t%d\t%d\t%d\t%s\n", row->min_key, row->max_key, (int)row->param,
            row->multipart, row->message, row->cost == LH_COST_SLOW ? "slow" : "",
            lh_mechanism_is_leased(row), row->legacy, row->standalone, row->needs ? row->needs : "");
    }
    return 0;
}
