/* Diffie-Hellman keys: parts, groups, refusals. */
#include "pair_fixture.h"

static exported group; /* CKA_PRIME, CKA_BASE and CKA_PRIME_BITS of ffdhe2048 */

static int group_setup(void **state)
{
    if (crypto_setup(state) != 0)
        return -1;
    LH_AUTO(lh_key_freep)
    lh_key *domain = generate_parts("dh-parameters", &(lh_key_part){CKA_PRIME_BITS, ulong_of(2048)}, 1, NULL);
    assert_false(lh_key_has_private(domain));
    return lh_ok(lh_key_export(domain, CKO_DOMAIN_PARAMETERS, keep_part, &group)) ? 0 : -1;
}

/* RFC 7919 appendix A.1: the prime begins and ends with 64 ones; the generator is 2. */
static void parameters(void **state)
{
    (void)state;
    lh_bytes prime = part_of(&group, CKA_PRIME);
    assert_int_equal(prime.len, 256);
    assert_bytes_hex(prime.data, 16, "ffffffffffffffffadf85458a2bb4a9a");
    assert_bytes_hex(prime.data + 240, 16, "886b423861285c97ffffffffffffffff");
    assert_bytes_hex(part_of(&group, CKA_BASE).data, part_of(&group, CKA_BASE).len, "02");
    assert_bytes_hex(part_of(&group, CKA_PRIME_BITS).data, 8, "0000000000000800");
    const unsigned bits[] = {3072, 4096, 6144, 8192};
    for (size_t i = 0; i < LH_ARRAY_LEN(bits); i++) {
        LH_AUTO(lh_key_freep)
        lh_key *key =
            generate_parts("dh-parameters", &(lh_key_part){CKA_PRIME_BITS, ulong_of(bits[i])}, 1, NULL);
        assert_int_equal(lh_key_bits(key), bits[i]);
    }
    generate_parts("dh-parameters", &(lh_key_part){CKA_PRIME_BITS, ulong_of(1024)}, 1, "key-size-range");
    generate_parts("dh-parameters", &(lh_key_part){CKA_PRIME_BITS, ulong_of(2049)}, 1, "key-size-range");
    generate_parts("dh-parameters", NULL, 0, "template-incomplete");
}

static void pairs(void **state)
{
    (void)state;
    lh_key_part parts[] = {{CKA_PRIME, part_of(&group, CKA_PRIME)}, {CKA_BASE, part_of(&group, CKA_BASE)},
        {CKA_VALUE_BITS, ulong_of(256)}};
    for (size_t count = 2; count <= 3; count++) {
        LH_AUTO(lh_key_freep) lh_key *key = generate_parts("dh-keygen", parts, count, NULL);
        LH_AUTO(lh_key_freep) lh_key *private = NULL;
        LH_AUTO(lh_key_freep) lh_key *public = NULL;
        export_and_import(key, &private, &public);
        static exported all;
        all.count = 0;
        assert_ok(lh_key_export(key, CKO_PRIVATE_KEY, keep_part, &all));
        if (count == 3)
            assert_true(part_of(&all, CKA_VALUE).len <= 32);
        /* The public half that was computed from the private value is the one that was made with it. */
        static exported made;
        static exported computed;
        made.count = computed.count = 0;
        assert_ok(lh_key_export(key, CKO_PUBLIC_KEY, keep_part, &made));
        assert_ok(lh_key_export(private, CKO_PUBLIC_KEY, keep_part, &computed));
        assert_true(lh_bytes_equal(part_of(&made, CKA_VALUE), part_of(&computed, CKA_VALUE)));
    }
    parts[2].value = ulong_of(223);
    generate_parts("dh-keygen", parts, 3, "attribute-value-invalid");
    parts[2].value = ulong_of(2048);
    generate_parts("dh-keygen", parts, 3, "attribute-value-invalid");
    generate_parts("dh-keygen", parts, 1, "template-incomplete");
    static uint8_t composite[256];
    memcpy(composite, parts[0].value.data, 256);
    composite[255] ^= 2; /* odd, but divisible: no prime */
    parts[0].value = LH_BYTES(composite, 256);
    generate_parts("dh-keygen", parts, 2, "domain-params-invalid");
}

static void wrong_parts(void **state)
{
    (void)state;
    const lh_key_part p = {CKA_PRIME, part_of(&group, CKA_PRIME)};
    const lh_key_part g = {CKA_BASE, part_of(&group, CKA_BASE)};
    const char *invalid = "attribute-value-invalid";
    static uint8_t less[256];
    memcpy(less, p.value.data, 256);
    less[255] -= 1; /* p - 1: even, and of order 2 */
    import_refused(CKK_DH, CKO_PUBLIC_KEY, invalid, p, g, {CKA_VALUE, hex_of("01")});
    import_refused(CKK_DH, CKO_PUBLIC_KEY, invalid, p, g, {CKA_VALUE, hex_of("00")});
    import_refused(CKK_DH, CKO_PUBLIC_KEY, invalid, p, g, {CKA_VALUE, LH_BYTES(less, 256)});
    import_refused(CKK_DH, CKO_PUBLIC_KEY, invalid, p, g, {CKA_VALUE, p.value});
    import_refused(CKK_DH, CKO_PRIVATE_KEY, invalid, p, g, {CKA_VALUE, p.value});
    import_refused(CKK_DH, CKO_PRIVATE_KEY, invalid, p, {CKA_BASE, hex_of("01")}, {CKA_VALUE, hex_of("05")});
    import_refused(
        CKK_DH, CKO_PRIVATE_KEY, invalid, {CKA_PRIME, LH_BYTES(less, 256)}, g, {CKA_VALUE, hex_of("05")});
    import_refused(CKK_DH, CKO_PRIVATE_KEY, "template-incomplete", p, g);
    import_refused(CKK_DH, CKO_PRIVATE_KEY, "template-incomplete", p, {CKA_VALUE, hex_of("05")});
    import_refused(CKK_DH, CKO_PUBLIC_KEY, "key-size-range", {CKA_PRIME, LH_BYTES(p.value.data, 128)}, g,
        {CKA_VALUE, g.value});
}

static void every_row(void **state)
{
    (void)state;
    size_t count = 0;
    (void)lh_mechanism_asymmetric(&count);
    for (size_t i = 0; i < count; i++) {
        const lh_mechanism *at = lh_mechanism_at(i);
        if ((at->keys & LH_TYPE_DH) != 0 && at->family == LH_FAMILY_PAIRGEN)
            assert_true(tried[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),
        cmocka_unit_test(pairs),
        cmocka_unit_test(wrong_parts),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, group_setup, crypto_teardown);
}
