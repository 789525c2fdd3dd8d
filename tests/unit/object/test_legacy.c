/* What is for old data only: legacy mechanisms and short RSA keys, with and without a policy that allows
 * them. */
#include "fixture.h"

#include "../crypto/rsa_vectors.h"
#include "crypto/operation.h"

static struct {
    const char *names[4]; /* mechanisms that "policy" allows in partition 1 */
} policy;

static bool allowed(void *arg, uint64_t number, const lh_mechanism *row)
{
    (void)arg;
    for (size_t i = 0; number == 1 && i < LH_ARRAY_LEN(policy.names) && policy.names[i]; i++)
        if (strcmp(policy.names[i], row->name) == 0)
            return true;
    return false;
}

static lh_application *enter(struct token *t)
{
    const lh_application_options options = {
        .uid = 1000, .pid = 5, .start_time = 77, .legacy_allowed = allowed};
    lh_application *a = NULL;
    assert_lh_ok(lh_application_new(t->p, &options, &a));
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(try_login(a, 2, CKU_USER, "1234"));
    return a;
}

static void put_hex(lh_buf *out, uint32_t type, const char *hex)
{
    uint8_t bytes[1024];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof(bytes));
    assert_lh_ok(lh_unhex(hex, bytes, len));
    lh_wire_put_attribute(out, type, 0, LH_BYTES(bytes, len));
}

static uint64_t import_public(lh_application *a, uint64_t slot, const char *modulus)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_PUBLIC_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_RSA);
    lh_wire_put_bool(&template, CKA_VERIFY, true);
    lh_wire_put_bool(&template, CKA_ENCRYPT, true);
    lh_wire_put_bool(&template, CKA_WRAP, true);
    put_hex(&template, CKA_MODULUS, modulus);
    put_hex(&template, CKA_PUBLIC_EXPONENT, "010001");
    assert_lh_ok(try_create(a, slot, &template, &handle));
    return handle;
}

static uint64_t import_private(lh_application *a, uint64_t slot)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_PRIVATE_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_RSA);
    lh_wire_put_bool(&template, CKA_SIGN, true);
    put_hex(&template, CKA_MODULUS, rsa2048_n);
    put_hex(&template, CKA_PUBLIC_EXPONENT, "010001");
    put_hex(&template, CKA_PRIVATE_EXPONENT, rsa2048_d);
    put_hex(&template, CKA_PRIME_1, rsa2048_p);
    put_hex(&template, CKA_PRIME_2, rsa2048_q);
    assert_lh_ok(try_create(a, slot, &template, &handle));
    return handle;
}

static uint64_t import_des3(lh_application *a, uint64_t slot)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_DES3);
    static const unsigned long roles[] = {CKA_ENCRYPT, CKA_DECRYPT};
    for (size_t i = 0; i < LH_ARRAY_LEN(roles); i++)
        lh_wire_put_bool(&template, (uint32_t)roles[i], true);
    put_hex(&template, CKA_VALUE, "0123456789abcdef23456789abcdef01456789abcdef0123");
    assert_lh_ok(try_create(a, slot, &template, &handle));
    return handle;
}

static lh_err try_use(lh_application *a, uint64_t handle, const char *mechanism, unsigned use)
{
    bool wait = false;
    lh_key_grip grip;
    const lh_key_use wanted = {handle, lh_mechanism_by_name(mechanism), use, true};
    assert_non_null(wanted.row);
    lh_err err = lh_application_acquire(a, &wanted, &wait, &grip);
    lh_key_grip_release(&grip);
    return err;
}

/* Its number in the slot's list, with what is said about it; 0: it is not there. */
static uint64_t listed(lh_application *a, uint64_t slot, uint64_t type)
{
    LH_AUTO(lh_buf_free) lh_buf types = LH_BUF_INIT(8 * LH_WIRE_MECHANISMS_MAX);
    assert_lh_ok(lh_application_mechanisms(a, &(lh_slot_request){slot}, &types));
    lh_reader r = lh_reader_new(lh_buf_bytes(&types));
    while (r.left > 0) {
        uint64_t found = lh_read_u64(&r);
        if ((found & ~LH_WIRE_MECHANISM_OLD_DATA) == type)
            return found;
    }
    return 0;
}

static void test_nothing_without_policy(void **state)
{
    struct token *t = *state;
    memset(&policy, 0, sizeof(policy));
    lh_application *a = enter(t);
    uint64_t public = import_public(a, 1, rsa2048_n);
    uint64_t short_one = import_public(a, 1, rsa1024_n);
    uint64_t des3 = import_des3(a, 1);
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
        if (row->legacy)
            assert_int_equal(listed(a, 1, row->type), 0);
    assert_refusal(try_use(a, public, "md5-rsa-pkcs", LH_USE_VERIFY), "mechanism-invalid");
    assert_refusal(try_use(a, import_private(a, 1), "md5-rsa-pkcs", LH_USE_SIGN), "mechanism-invalid");
    assert_refusal(try_use(a, des3, "des3-cbc", LH_USE_DECRYPT), "mechanism-invalid");
    assert_refusal(try_use(a, des3, "des3-ecb", LH_USE_UNWRAP), "mechanism-invalid");
    assert_refusal(try_use(a, des3, "des3-cbc-pad", LH_USE_ENCRYPT), "mechanism-invalid");
    assert_refusal(try_use(a, short_one, "sha256-rsa-pkcs", LH_USE_VERIFY), "key-size-range");
    assert_refusal(try_use(a, short_one, "rsa-oaep", LH_USE_ENCRYPT), "key-size-range");
    assert_refusal(try_use(a, short_one, "rsa-aes-key-wrap", LH_USE_WRAP), "key-size-range");
    assert_lh_ok(try_use(a, public, "sha256-rsa-pkcs", LH_USE_VERIFY));
    lh_application_free(a);
}

static void test_old_data_where_policy_says(void **state)
{
    struct token *t = *state;
    policy.names[0] = "md5-rsa-pkcs";
    policy.names[1] = "sha256-rsa-pkcs";
    policy.names[2] = "des3-cbc";
    policy.names[3] = "rsa-pkcs";
    lh_application *a = enter(t);
    uint64_t public = import_public(a, 1, rsa2048_n);
    uint64_t short_one = import_public(a, 1, rsa1024_n);
    uint64_t private = import_private(a, 1);
    uint64_t des3 = import_des3(a, 1);
    assert_int_equal(listed(a, 1, CKM_MD5_RSA_PKCS), CKM_MD5_RSA_PKCS | LH_WIRE_MECHANISM_OLD_DATA);
    assert_int_equal(
        listed(a, 1, CKM_SHA256_RSA_PKCS), CKM_SHA256_RSA_PKCS); /* new data, too, with longer keys */
    assert_int_equal(listed(a, 1, CKM_DES3_ECB), 0);
    assert_int_equal(listed(a, 2, CKM_MD5_RSA_PKCS), 0); /* said of another partition */
    assert_lh_ok(try_use(a, public, "md5-rsa-pkcs", LH_USE_VERIFY));
    assert_refusal(try_use(a, private, "md5-rsa-pkcs", LH_USE_SIGN), "mechanism-invalid");
    assert_lh_ok(try_use(a, des3, "des3-cbc", LH_USE_DECRYPT));
    assert_refusal(try_use(a, des3, "des3-cbc", LH_USE_ENCRYPT), "mechanism-invalid");
    assert_refusal(try_use(a, des3, "des3-cbc", LH_USE_WRAP), "mechanism-invalid");
    assert_lh_ok(try_use(a, short_one, "sha256-rsa-pkcs", LH_USE_VERIFY));
    assert_refusal(try_use(a, short_one, "sha384-rsa-pkcs", LH_USE_VERIFY), "key-size-range");
    assert_refusal(try_use(a, short_one, "rsa-pkcs", LH_USE_ENCRYPT), "key-size-range");
    assert_refusal(try_use(a, short_one, "rsa-pkcs", LH_USE_WRAP), "key-size-range");
    assert_refusal(
        try_use(a, import_public(a, 2, rsa1024_n), "sha256-rsa-pkcs", LH_USE_VERIFY), "key-size-range");
    lh_application_free(a);
}

static lh_err generate_rsa(lh_application *a, uint64_t bits, lh_generate_reply *ret)
{
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(512);
    lh_wire_put_ulong(&public, CKA_MODULUS_BITS, bits);
    return lh_application_generate(a,
        &(lh_generate_request){.slot = 1,
            .session = 1,
            .mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN,
            .attributes = lh_buf_bytes(&public),
            .pair = 1},
        ret);
}

static void test_no_new_short_keys(void **state)
{
    struct token *t = *state;
    lh_generate_reply reply;
    policy.names[0] = "rsa-pkcs";
    lh_application *a = enter(t);
    static const uint64_t wrong[] = {0, 512, 1024, 2047, 8193, 16384, UINT64_MAX};
    for (size_t i = 0; i < LH_ARRAY_LEN(wrong); i++)
        assert_refusal(generate_rsa(a, wrong[i], &reply), "key-size-range");
    assert_lh_ok(generate_rsa(a, 2056, &reply));
    lh_application_free(a);
}

static void test_development_allows_all(void **state)
{
    struct token *t = *state;
    memset(&policy, 0, sizeof(policy));
    t->options.legacy = true;
    token_reopen(t);
    lh_application *a = enter(t);
    assert_int_equal(listed(a, 1, CKM_MD5_RSA_PKCS), CKM_MD5_RSA_PKCS);
    assert_lh_ok(try_use(a, import_private(a, 1), "md5-rsa-pkcs", LH_USE_SIGN));
    assert_lh_ok(try_use(a, import_des3(a, 1), "des3-cbc-pad", LH_USE_ENCRYPT));
    assert_lh_ok(try_use(a, import_public(a, 1, rsa1024_n), "rsa-oaep", LH_USE_ENCRYPT));
    lh_application_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_without_policy, token_set_up, token_tear_down),
        cmocka_unit_test_setup_teardown(test_old_data_where_policy_says, token_set_up, token_tear_down),
        cmocka_unit_test_setup_teardown(test_no_new_short_keys, token_set_up, token_tear_down),
        cmocka_unit_test_setup_teardown(test_development_allows_all, token_set_up, token_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
