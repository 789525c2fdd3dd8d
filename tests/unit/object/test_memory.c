/* More keys than locked memory holds: token keys come and go, session keys are refused when there is no more.
 */
#include "fixture.h"

#include "../crypto/rsa_vectors.h"

#include <sys/resource.h>

#define TOKEN_KEYS 3000
#define SESSION_KEYS 100 /* of each process */
#define PROCESSES 5
#define LOCKED (4u << 20) /* a quarter of it for private halves: some thousand of them */

static void put_hex(lh_buf *out, uint32_t type, const char *hex)
{
    uint8_t bytes[1024];
    size_t len = strlen(hex) / 2;
    assert_true(len <= sizeof(bytes));
    assert_lh_ok(lh_unhex(hex, bytes, len));
    lh_wire_put_attribute(out, type, 0, LH_BYTES(bytes, len));
}

static lh_err try_import(lh_application *a, bool token, unsigned number, uint64_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(8192);
    char label[32];
    snprintf(label, sizeof(label), "key %u", number);
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_PRIVATE_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_RSA);
    lh_wire_put_bool(&template, CKA_TOKEN, token);
    lh_wire_put_bool(&template, CKA_SIGN, true);
    lh_wire_put_attribute(&template, CKA_LABEL, 0, LH_BYTES_STR(label));
    put_hex(&template, CKA_MODULUS, rsa2048_n);
    put_hex(&template, CKA_PUBLIC_EXPONENT, "010001");
    put_hex(&template, CKA_PRIVATE_EXPONENT, rsa2048_d);
    put_hex(&template, CKA_PRIME_1, rsa2048_p);
    put_hex(&template, CKA_PRIME_2, rsa2048_q);
    put_hex(&template, CKA_EXPONENT_1, rsa2048_dp);
    put_hex(&template, CKA_EXPONENT_2, rsa2048_dq);
    put_hex(&template, CKA_COEFFICIENT, rsa2048_qi);
    return try_create(a, 1, &template, ret);
}

static lh_err try_sign(lh_application *a, uint64_t handle)
{
    bool wait = false;
    lh_key_grip grip;
    const lh_key_use use = {handle, lh_mechanism_by_name("sha256-rsa-pkcs"), LH_USE_SIGN, true};
    lh_err err = lh_application_acquire(a, &use, &wait, &grip);
    assert_true(!lh_ok(err) || lh_key_bits(grip.key) == 2048);
    lh_key_grip_release(&grip);
    return err;
}

static void test_many_token_keys(void **state)
{
    struct token *t = *state;
    static uint64_t keys[TOKEN_KEYS];
    lh_application *others[PROCESSES];
    uint64_t handle = 0;
    lh_application *a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    for (unsigned i = 0; i < TOKEN_KEYS; i++) {
        assert_lh_ok(try_import(a, true, i, &keys[i]));
        if (i % 3 == 0)
            assert_lh_ok(try_sign(a, keys[i]));
    }
    for (unsigned i = 0; i < PROCESSES; i++) { /* which share the memory with the others */
        others[i] = application(t, (pid_t)(20 + i));
        assert_lh_ok(try_login(others[i], 1, CKU_USER, "1234"));
        for (unsigned k = 0; k < SESSION_KEYS; k++) {
            assert_lh_ok(try_import(others[i], false, k, &handle));
            assert_lh_ok(try_sign(others[i], handle));
        }
    }
    for (unsigned i = 0; i < TOKEN_KEYS; i++)
        assert_lh_ok(try_sign(a, keys[i]));
    for (unsigned i = 0; i < PROCESSES; i++)
        lh_application_free(others[i]);
    lh_application_free(a);
}

static void test_session_keys_to_the_end(void **state)
{
    struct token *t = *state;
    uint64_t handle = 0;
    uint64_t kept = 0;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(try_login(b, 1, CKU_USER, "1234"));
    assert_lh_ok(try_import(b, true, 0, &kept));
    assert_lh_ok(try_sign(b, kept));
    lh_err err = LH_SUCCESS;
    unsigned made = 0;
    for (; lh_ok(err) && made < 4000; made++) {
        err = try_import(a, false, made, &handle);
        if (lh_ok(err))
            err = try_sign(a, handle);
    }
    assert_true(made > 500 && made < 4000);
    assert_refusal(err, "device-memory");
    assert_refusal(try_sign(b, kept), "device-memory");
    lh_application_free(a);
    assert_lh_ok(try_sign(b, kept));
    assert_lh_ok(try_import(b, false, 1, &handle));
    assert_lh_ok(try_sign(b, handle));
    lh_application_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_token_keys, token_set_up, token_tear_down),
        cmocka_unit_test_setup_teardown(test_session_keys_to_the_end, token_set_up, token_tear_down),
    };
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_max < LOCKED)
        return 77;
    limit.rlim_cur = LOCKED;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
