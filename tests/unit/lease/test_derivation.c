/* Which key a lease gives must never change: fixed vectors. docs/decisions/0004-derivation.md has the
 * encoding. */
#include "lease/derivation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Computed from docs/decisions/0004-derivation.md by another program. */
#define ED25519_VECTOR "2c31e7e2322dfee6ec780243011ab65e99e8c4381a8f5aa659f8c6ab89e2a56a"
#define P256_VECTOR                                                                                          \
    "049597c38cc777ca7f8395e6e6351ff077908812f692e8024566a36f26a7aed3b6"                                     \
    "494455c37dbd42b2bd80bd93bf12a9def166ae32d640791805c2b51c8e1e66d8"
#define KEY_ID_VECTOR "e46cd36df3400591f1f7ab1bd8dccc28"

static uint8_t vault[32];
static const uint8_t lease_id[LH_LEASE_ID_SIZE] = {0xaa, 0xbb};

static lh_derivation base(void)
{
    for (size_t i = 0; i < sizeof(vault); i++)
        vault[i] = (uint8_t)i;
    return (lh_derivation){.vault = vault,
        .role = "sign",
        .parent = "root",
        .parent_version = 1,
        .per = LH_PER_WORKLOAD,
        .workload = "spiffe://test.example/me",
        .kind = LH_KEY_ED25519};
}

static void hex_of(const lh_derivation *d, char *out)
{
    lh_buf context = LH_BUF_INIT(LH_DERIVE_CONTEXT_MAX);
    assert_true(lh_ok(lh_derivation_context(d, &context)));
    lh_hex(context.data, context.len, out);
    lh_buf_free(&context);
}

static void test_context(void **unused)
{
    (void)unused;
    char hex[2 * LH_DERIVE_CONTEXT_MAX + 1];
    lh_derivation d = base();
    hex_of(&d, hex);
    assert_string_equal(hex, "000000146c65617365686f6c642d636f6e746578742d7631"
                             "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                             "000000047369676e"
                             "00000004726f6f74"
                             "00000001"
                             "01"
                             "000000187370696666653a2f2f746573742e6578616d706c652f6d65"
                             "02");
    d.per = LH_PER_LEASE;
    d.lease_id = lease_id;
    hex_of(&d, hex);
    assert_string_equal(hex, "000000146c65617365686f6c642d636f6e746578742d7631"
                             "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                             "000000047369676e"
                             "00000004726f6f74"
                             "00000001"
                             "02"
                             "00000010aabb0000000000000000000000000000"
                             "02");
}

static void test_any_difference_is_another_context(void **unused)
{
    (void)unused;
    static char seen[16][2 * LH_DERIVE_CONTEXT_MAX + 1];
    static uint8_t other_vault[32] = {1};
    static const uint8_t other_id[LH_LEASE_ID_SIZE] = {0xaa, 0xbc};
    lh_derivation d[12];
    for (size_t i = 0; i < 12; i++)
        d[i] = base();
    d[1].vault = other_vault;
    d[2].role = "signr"; /* what moves from one field to the next … */
    d[2].parent = "oot";
    d[3].role = "sig";
    d[3].parent = "nroot";
    d[4].parent_version = 2;
    d[5].per = LH_PER_LEASE;
    d[5].lease_id = lease_id;
    d[6].per = LH_PER_LEASE;
    d[6].lease_id = other_id;
    d[7].workload = "spiffe://test.example/m";
    d[8].kind = LH_KEY_EC_P256;
    d[9].kind = LH_KEY_AES256;
    d[10].kind = LH_KEY_HMAC_SHA256;
    d[11].role = "";
    for (size_t i = 0; i < 12; i++) {
        hex_of(&d[i], seen[i]);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    }
    /* For a key per workload the lease's id says nothing, and the reverse. */
    lh_derivation with_id = base();
    with_id.lease_id = lease_id;
    hex_of(&with_id, seen[12]);
    assert_string_equal(seen[12], seen[0]);
    lh_derivation other = d[5];
    other.workload = "spiffe://test.example/other";
    hex_of(&other, seen[13]);
    assert_string_equal(seen[13], seen[5]);
}

static void public_of(lh_crypto *c, const lh_derivation *d, const lh_secret *parent, char *out)
{
    lh_key *key = NULL;
    assert_true(lh_ok(lh_derivation_key(c, d, parent, &key)));
    lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    assert_true(lh_ok(lh_key_public_point(key, &point)));
    lh_hex(point.data, point.len, out);
    lh_buf_free(&point);
    lh_key_free(key);
}

static void test_keys(void **unused)
{
    (void)unused;
    lh_crypto *c = NULL;
    assert_true(lh_ok(lh_crypto_new(&c)));
    lh_secret *parent = NULL;
    uint8_t bytes[32];
    memset(bytes, 0x42, sizeof(bytes));
    assert_true(lh_ok(lh_secret_copy(LH_BYTES(bytes, sizeof(bytes)), &parent)));
    char hex[2 * LH_KEY_POINT_MAX + 1];
    lh_derivation d = base();
    public_of(c, &d, parent, hex);
    assert_string_equal(hex, ED25519_VECTOR);
    d.kind = LH_KEY_EC_P256;
    public_of(c, &d, parent, hex);
    assert_string_equal(hex, P256_VECTOR);
    uint8_t id[LH_LEASE_ID_SIZE];
    char id_hex[2 * LH_LEASE_ID_SIZE + 1];
    d = base();
    assert_true(lh_ok(lh_derivation_key_id(c, &d, id)));
    lh_hex(id, sizeof(id), id_hex);
    assert_string_equal(id_hex, KEY_ID_VECTOR);
    d.per = LH_PER_LEASE;
    d.lease_id = lease_id;
    assert_true(lh_ok(lh_derivation_key_id(c, &d, id)));
    assert_memory_equal(id, lease_id, sizeof(id));
    lh_secret_free(parent);
    lh_crypto_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context),
        cmocka_unit_test(test_any_difference_is_another_context),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
