/* The rows agree with each other and with PKCS #11's numbers. */
#include "p11/mechanism.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ALL_USES = (1 << 14) - 1 };

static void rows_are_whole(void **state)
{
    (void)state;
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++) {
        assert_ptr_equal(lh_mechanism_by_type(row->type), row); /* no type and no name stands twice */
        assert_ptr_equal(lh_mechanism_by_name(row->name), row);
        assert_true(row->uses != 0 && (row->uses & ~(unsigned)ALL_USES) == 0);
        assert_true((row->keys == 0) == (row->uses == LH_USE_DIGEST));
        assert_true(!row->padding || row->cipher);
        assert_true(row->min_key <= row->max_key);
        assert_true(!row->legacy || row->standalone);
    }
    assert_true(lh_mechanism_count() > 60);
    assert_null(lh_mechanism_by_type(0x80000000UL));
    assert_null(lh_mechanism_by_name(""));
}

/* lh_mechanism_by_type searches by halves. */
static void rows_ascend(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_asymmetric(&count);
    for (size_t i = 1; i < count; i++)
        assert_true(rows[i - 1].type < rows[i].type);
    rows = lh_mechanism_symmetric(&count);
    for (size_t i = 1; i < count; i++)
        assert_true(rows[i - 1].type < rows[i].type);
}

static void leased(void **state)
{
    (void)state;
    static const char *const names[] = {"ecdsa", "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512", "eddsa",
        "aes-ecb", "aes-cbc", "aes-cbc-pad", "aes-ctr", "aes-gcm", "hmac-sha256", "sha1", "sha256", "sha384",
        "sha512"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++)
        assert_true(lh_mechanism_is_leased(lh_mechanism_by_name(names[i])));
    lh_mechanism row = *lh_mechanism_by_name("ecdsa");
    const lh_key_row *p256 = lh_key_row_by_name("ec-p256");
    assert_true(lh_mechanism_fits_kind(&row, p256));
    assert_false(lh_mechanism_fits_kind(&row, lh_key_row_by_name("aes-256")));
    assert_false(lh_mechanism_fits_kind(&row, NULL));
    row.standalone = true;
    assert_false(lh_mechanism_fits_kind(&row, p256));
    row.standalone = false;
    row.legacy = true;
    assert_false(lh_mechanism_fits_kind(&row, p256));
    row.legacy = false;
    row.min_key = 257;
    assert_false(lh_mechanism_fits_kind(&row, p256));
    row = *lh_mechanism_by_name("sha1");
    row.legacy = true;
    assert_false(lh_mechanism_is_leased(&row));
}

static void types(void **state)
{
    (void)state;
    assert_int_equal(lh_key_type_of(CKK_RSA), LH_TYPE_RSA);
    assert_int_equal(lh_key_type_of(0x4b), LH_TYPE_SLH_DSA);
    assert_int_equal(lh_key_type_of(CKK_DSA), 0);
    const lh_mechanism *ecdsa = lh_mechanism_by_name("ecdsa");
    assert_true(lh_mechanism_fits_type(ecdsa, CKK_EC));
    assert_false(lh_mechanism_fits_type(ecdsa, CKK_EC_EDWARDS));
    assert_false(lh_mechanism_fits_type(ecdsa, CKK_DSA));
    lh_mechanism hmac = *lh_mechanism_by_name("hmac-sha256");
    hmac.keys |= LH_TYPE_HMAC;
    assert_true(lh_mechanism_fits_type(&hmac, CKK_SHA256_HMAC));
    assert_false(lh_mechanism_fits_type(&hmac, CKK_SHA384_HMAC)); /* another digest's */
    assert_true(lh_mechanism_fits_type(&hmac, CKK_GENERIC_SECRET));
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
        {LH_KEY_EC_P384, "ec-p384", 3, true}, {LH_KEY_EC_P521, "ec-p521", 3, true},
        {LH_KEY_AES256, "aes-256", 0x1f, false}, {LH_KEY_HMAC_SHA256, "hmac-sha256", 0x10, false},
        {LH_KEY_RSA_2048, "rsa-2048", 0, true}, {LH_KEY_RSA_3072, "rsa-3072", 0, true}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        const lh_key_row *row = lh_key_row_by_kind(cases[i].kind);
        assert_non_null(row);
        assert_ptr_equal(lh_key_row_by_name(cases[i].name), row);
        assert_int_equal(row->ck_type, cases[i].ck_type);
        assert_int_equal(row->pair, cases[i].pair);
        assert_int_equal(row->secret_len, cases[i].pair ? 0 : 32);
        assert_int_equal(row->made, cases[i].ck_type == CKK_RSA);
        assert_true((row->ec_params != NULL) == (cases[i].pair && !row->made));
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
        unsigned bits;
        size_t input;
        size_t want;
    } cases[] = {
        {"ecdsa-sha256", LH_USE_SIGN, 256, 1000, 64},
        {"ecdsa-sha256", LH_USE_VERIFY, 256, 1000, 0},
        {"ecdsa-sha256", LH_USE_ENCRYPT, 256, 1000, 0},
        {"hmac-sha256", LH_USE_SIGN, 0, 0, 32},
        {"sha512", LH_USE_DIGEST, 0, 7, 64},
        {"aes-cbc", LH_USE_ENCRYPT, 0, 32, 32},
        {"aes-cbc-pad", LH_USE_ENCRYPT, 0, 32, 48},
        {"aes-cbc-pad", LH_USE_DECRYPT, 0, 48, 48},
        {"aes-gcm", LH_USE_ENCRYPT, 0, 5, 21},
        {"aes-gcm", LH_USE_DECRYPT, 0, 21, 21},
        {"aes-gcm", LH_USE_ENCRYPT, 0, SIZE_MAX, SIZE_MAX},
        {"aes-gcm", LH_USE_ENCRYPT, 0, SIZE_MAX - 15, SIZE_MAX},
        {"ecdsa", LH_USE_SIGN, 0, 32, 132},
        {"ecdsa", LH_USE_SIGN, 384, 32, 96},
        {"ecdsa", LH_USE_SIGN, 521, 32, 132},
        {"eddsa", LH_USE_SIGN, 255, 32, 64},
        {"eddsa", LH_USE_SIGN, 448, 32, 114},
        {"eddsa", LH_USE_SIGN, 0, 32, 114},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++)
        assert_int_equal(lh_mechanism_output_len(lh_mechanism_by_name(cases[i].name), cases[i].use,
                             cases[i].bits, cases[i].input),
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
        cmocka_unit_test(rows_ascend),
        cmocka_unit_test(leased),
        cmocka_unit_test(types),
        cmocka_unit_test(numbers),
        cmocka_unit_test(key_rows),
        cmocka_unit_test(output_lengths),
        cmocka_unit_test(in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
