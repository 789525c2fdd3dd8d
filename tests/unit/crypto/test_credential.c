/* MakeCredential in software: its shapes, and what is refused. That a TPM opens what is made, and what it
 * refuses, is tested in tests/unit/tpm/test_activate.c. */
#include "../ek_fixture.h"

#include "crypto/credential.h"
#include "crypto/ek.h"
#include "crypto/hash.h"

static lh_crypto *crypto;
static lh_secret *secret;
static uint8_t name[34] = {0x00, 0x0b, 1};

static int setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) && lh_ok(lh_secret_random(32, &secret)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lh_secret_free(secret);
    lh_crypto_free(crypto);
    return 0;
}

static size_t number_at(const lh_buf *buf, size_t at)
{
    return (size_t)buf->data[at] << 8 | buf->data[at + 1];
}

static void shapes(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        size_t digest;
        size_t encrypted;
    } kinds[] = {{"rsa", 32, 2 + 256}, {"P-256", 32, 2 + 2 * 34}, {"P-384", 48, 2 + 2 * 50}};
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        EVP_PKEY *key = ek_key(kinds[i].key);
        lh_buf ek = ek_public_of(key);
        lh_buf id[2] = {LH_BUF_INIT(512), LH_BUF_INIT(512)};
        lh_buf encrypted[2] = {LH_BUF_INIT(1024), LH_BUF_INIT(1024)};
        for (size_t j = 0; j < 2; j++) {
            assert_true(lh_ok(lh_credential_make(
                crypto, lh_buf_bytes(&ek), LH_BYTES(name, sizeof name), secret, &id[j], &encrypted[j])));
            assert_int_equal(id[j].len, 2 + 2 + kinds[i].digest + 2 + 32);
            assert_int_equal(number_at(&id[j], 0), id[j].len - 2);
            assert_int_equal(number_at(&id[j], 2), kinds[i].digest);
            assert_int_equal(encrypted[j].len, kinds[i].encrypted);
            assert_int_equal(number_at(&encrypted[j], 0), encrypted[j].len - 2);
            assert_null(memmem(id[j].data, id[j].len, lh_secret_bytes(secret).data, 32));
        }
        assert_false(lh_bytes_equal(lh_buf_bytes(&id[0]), lh_buf_bytes(&id[1])));
        assert_false(lh_bytes_equal(lh_buf_bytes(&encrypted[0]), lh_buf_bytes(&encrypted[1])));
        for (size_t j = 0; j < 2; j++) {
            lh_buf_free(&id[j]);
            lh_buf_free(&encrypted[j]);
        }
        lh_buf_free(&ek);
        EVP_PKEY_free(key);
    }
}

static void refusals(void **state)
{
    (void)state;
    EVP_PKEY *key = ek_key("P-256");
    lh_buf ek = ek_public_of(key);
    lh_buf id = LH_BUF_INIT(512), encrypted = LH_BUF_INIT(512), small = LH_BUF_INIT(10);
    lh_secret *longer = NULL;
    const uint8_t long_name[67] = {0};
    const lh_bytes good = LH_BYTES(name, sizeof name);
    assert_true(lh_ok(lh_secret_random(33, &longer)));
#define MAKE(e, n, s, i, x) lh_credential_make(crypto, e, n, s, i, x).code
    const lh_bytes public = lh_buf_bytes(&ek);
    assert_int_equal(MAKE(public, good, longer, &id, &encrypted), LH_E_INVALID);
    assert_int_equal(MAKE(public, LH_BYTES(name, 2), secret, &id, &encrypted), LH_E_INVALID);
    assert_int_equal(MAKE(public, LH_BYTES(long_name, 67), secret, &id, &encrypted), LH_E_INVALID);
    assert_int_equal(MAKE(LH_BYTES_NONE, good, secret, &id, &encrypted), LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "ek-format");
    assert_int_equal(MAKE(public, good, secret, &small, &encrypted), LH_E_LIMIT);
    assert_int_equal(MAKE(public, good, secret, &id, &small), LH_E_LIMIT);
    ek.data[ek.len - 1] ^= 1;
    assert_int_equal(MAKE(public, good, secret, &id, &encrypted), LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "key-public");
    ek.data[5] ^= 1; /* restricted no more */
    assert_int_equal(MAKE(public, good, secret, &id, &encrypted), LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "ek-attributes");
    assert_int_equal(id.len + encrypted.len + small.len, 0);
    lh_secret_free(longer);
    lh_buf_free(&ek);
    EVP_PKEY_free(key);
}

static void a_name_is_a_digest(void **state)
{
    (void)state;
    uint8_t made[34], digest[32];
    const lh_bytes public = LH_BYTES_STR("a public area");
    assert_true(lh_ok(lh_credential_name(crypto, public, made)));
    assert_true(lh_ok(lh_sha256(crypto, &public, 1, digest)));
    assert_memory_equal(made, ((uint8_t[]){0x00, 0x0b}), 2);
    assert_memory_equal(made + 2, digest, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_name_is_a_digest),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
