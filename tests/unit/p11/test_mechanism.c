/* The rows agree with each other and with PKCS #11's numbers. */
#include "p11/mechanism.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ALL_USES = LH_USE_SIGN | LH_USE_VERIFY | LH_USE_ENCRYPT | LH_USE_DECRYPT | LH_USE_DIGEST };

static void rows_are_whole(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_table(&count);
    assert_int_equal(count, 15);
    for (size_t i = 0; i < count; i++) {
        const lh_mechanism *row = &rows[i];
        assert_ptr_equal(lh_mechanism_by_type(row->type), row); /* no type and no name stands twice */
        assert_ptr_equal(lh_mechanism_by_name(row->name), row);
        assert_true(row->uses != 0 && (row->uses & ~(unsigned)ALL_USES) == 0);
        assert_true((row->key == LH_KEY_NONE) == (row->uses == LH_USE_DIGEST));
        assert_true((row->cipher != NULL) == ((row->uses & LH_USE_ENCRYPT) != 0));
        assert_true(row->cipher || row->param == LH_PARAM_NONE);
        assert_true(!row->padding || row->cipher);
        assert_true(row->min_key <= row->max_key);
        const lh_key_row *key = lh_key_row_by_kind(row->key);
        assert_true((key == NULL) == (row->key == LH_KEY_NONE));
        if (key)
            assert_int_equal(row->max_key, key->pair ? key->bits : key->secret_len);
    }
    assert_null(lh_mechanism_by_type(CKM_RSA_PKCS));
    assert_null(lh_mechanism_by_type(CKM_ECDSA_SHA1));
    assert_null(lh_mechanism_by_name("ecdsa-sha1"));
    assert_null(lh_mechanism_by_name(""));
}

/* Numbers as the specification prints them (PKCS #11 2.40 and 3.0 headers), not as a header here has them. */
static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned long type;
    } cases[] = {{"ecdsa", 0x1041}, {"ecdsa-sha256", 0x1044}, {"ecdsa-sha384", 0x1045},
        {"ecdsa-sha512", 0x1046}, {"eddsa", 0x1057}, {"aes-ecb", 0x1081}, {"aes-cbc", 0x1082},
        {"aes-cbc-pad", 0x1085}, {"aes-ctr", 0x1086}, {"aes-gcm", 0x1087}, {"hmac-sha256", 0x251},
        {"sha1", 0x220}, {"sha256", 0x250}, {"sha384", 0x260}, {"sha512", 0x270}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        const lh_mechanism *row = lh_mechanism_by_name(cases[i].name);
        assert_non_null(row);
        assert_int_equal(row->type, cases[i].type);
    }
    assert_int_equal(CKK_EC_EDWARDS, 0x40);
    assert_int_equal(CKM_EC_EDWARDS_KEY_PAIR_GEN, 0x1055);
}

static void key_rows(void **state)
{
    (void)state;
    static const struct {
        enum lh_key_kind kind;
        const char *name;
        unsigned long ck_type;
        bool pair;
    } cases[] = {{LH_KEY_EC_P256, "ec-p256", 3, true}, {LH_KEY_ED25519, "ed25519", 0x40, true},
        {LH_KEY_AES256, "aes-256", 0x1f, false}, {LH_KEY_HMAC_SHA256, "hmac-sha256", 0x10, false}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        const lh_key_row *row = lh_key_row_by_kind(cases[i].kind);
        assert_non_null(row);
        assert_ptr_equal(lh_key_row_by_name(cases[i].name), row);
        assert_int_equal(row->ck_type, cases[i].ck_type);
        assert_int_equal(row->pair, cases[i].pair);
        assert_int_equal(row->secret_len, cases[i].pair ? 0 : 32);
        assert_true((row->ec_params != NULL) == cases[i].pair);
        if (row->ec_params)
            assert_int_equal(row->ec_params[1] + 2, row->ec_params_len);
    }
    assert_null(lh_key_row_by_kind(LH_KEY_NONE));
    assert_null(lh_key_row_by_kind(LH_KEY_KIND_COUNT));
    assert_null(lh_key_row_by_name("rsa"));
}

static void output_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned use;
        size_t input;
        size_t want;
    } cases[] = {
        {"ecdsa-sha256", LH_USE_SIGN, 1000, 64},
        {"ecdsa-sha256", LH_USE_VERIFY, 1000, 0},
        {"ecdsa-sha256", LH_USE_ENCRYPT, 1000, 0},
        {"hmac-sha256", LH_USE_SIGN, 0, 32},
        {"sha512", LH_USE_DIGEST, 7, 64},
        {"aes-cbc", LH_USE_ENCRYPT, 32, 32},
        {"aes-cbc-pad", LH_USE_ENCRYPT, 32, 48},
        {"aes-cbc-pad", LH_USE_DECRYPT, 48, 48},
        {"aes-gcm", LH_USE_ENCRYPT, 5, 21},
        {"aes-gcm", LH_USE_DECRYPT, 21, 21},
        {"aes-gcm", LH_USE_ENCRYPT, SIZE_MAX, SIZE_MAX},
        {"aes-gcm", LH_USE_ENCRYPT, SIZE_MAX - 15, SIZE_MAX},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++)
        assert_int_equal(
            lh_mechanism_output_len(lh_mechanism_by_name(cases[i].name), cases[i].use, cases[i].input),
            cases[i].want);
}

static void in_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned use;
        bool want;
    } cases[] = {
        {"ecdsa", LH_USE_SIGN, false},
        {"eddsa", LH_USE_VERIFY, false},
        {"ecdsa-sha256", LH_USE_SIGN, true},
        {"sha256", LH_USE_DIGEST, true},
        {"aes-cbc-pad", LH_USE_DECRYPT, true},
        {"aes-gcm", LH_USE_ENCRYPT, true},
        {"aes-gcm", LH_USE_DECRYPT, false},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++)
        assert_int_equal(
            lh_mechanism_in_parts(lh_mechanism_by_name(cases[i].name), cases[i].use), cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(numbers),
        cmocka_unit_test(key_rows),
        cmocka_unit_test(output_lengths),
        cmocka_unit_test(in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
