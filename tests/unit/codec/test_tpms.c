/* The readers of TPM structures, on what a TPM wrote (the seeds of the fuzz harness). */
#include "codec/tpms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

typedef struct {
    uint8_t data[1024];
    size_t len;
} seed;

static seed load(const char *name)
{
    char path[512];
    seed s = {.len = 0};
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/tpms/%s", SOURCE_DIR, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    s.len = fread(s.data, 1, sizeof(s.data), file);
    fclose(file);
    return s;
}

static lh_err parse_attest(lh_bytes b)
{
    lh_tpms_attest attest;
    lh_tpms_quote quote;
    LH_TRY(lh_tpms_attest_parse(b, &attest));
    return lh_tpms_quote_parse(attest.attested, &quote);
}

static lh_err parse_public(lh_bytes b)
{
    lh_tpms_public public;
    return lh_tpms_public_parse(b, &public);
}

static lh_err parse_signature(lh_bytes b)
{
    lh_tpms_signature signature;
    return lh_tpms_signature_parse(b, &signature);
}

/* Whole: accepted. Cut anywhere, or with a byte more: LH_E_CORRUPT. */
static void check_lengths(const char *name, lh_err (*parse)(lh_bytes))
{
    seed s = load(name);
    assert_int_equal(parse(LH_BYTES(s.data, s.len)).code, LH_OK);
    for (size_t n = 0; n < s.len; n++)
        assert_int_equal(parse(LH_BYTES(s.data, n)).code, LH_E_CORRUPT);
    assert_int_equal(parse(LH_BYTES(s.data, s.len + 1)).code, LH_E_CORRUPT);
}

static void test_lengths(void **state)
{
    (void)state;
    check_lengths("attest-0", parse_attest);
    check_lengths("attest-two-banks", parse_attest);
    check_lengths("public-ak", parse_public);
    check_lengths("public-rsa", parse_public);
    check_lengths("signature-ecdsa-0", parse_signature);
    check_lengths("signature-rsassa", parse_signature);
}

static void test_quote(void **state)
{
    (void)state;
    seed s = load("attest-two-banks");
    lh_tpms_attest attest;
    lh_tpms_quote quote;
    assert_int_equal(lh_tpms_attest_parse(LH_BYTES(s.data, s.len), &attest).code, LH_OK);
    assert_int_equal(attest.magic, LH_TPMS_GENERATED);
    assert_int_equal(attest.type, LH_TPMS_ST_ATTEST_QUOTE);
    assert_int_equal(attest.qualified_signer.len, 34);
    assert_true(lh_bytes_equal(attest.extra_data, LH_BYTES("\x00\x11", 2)));
    assert_int_equal(lh_tpms_quote_parse(attest.attested, &quote).code, LH_OK);
    assert_int_equal(quote.selection.count, 2);
    assert_int_equal(quote.selection.banks[0].hash, LH_TPMS_ALG_SHA1);
    assert_int_equal(quote.selection.banks[0].mask, 0x01);
    assert_int_equal(quote.selection.banks[1].hash, LH_TPMS_ALG_SHA256);
    assert_int_equal(quote.selection.banks[1].mask, 0x81);
    assert_int_equal(quote.selection.banks[1].select_size, 3);
}

static void test_quote_bounds(void **state)
{
    (void)state;
    lh_tpms_quote quote;
    static const uint8_t nine_banks[4] = {0, 0, 0, 9};
    static const uint8_t wide[] = {0, 0, 0, 1, 0, 0x0b, 5, 1, 2, 3, 4, 5, 0, 0};
    static const uint8_t none[] = {0, 0, 0, 1, 0, 0x0b, 0, 0, 0};
    static const uint8_t long_digest[] = {0, 0, 0, 0, 0, 65};
    static const uint8_t four[] = {0, 0, 0, 1, 0, 0x0b, 4, 1, 0, 0, 0x80, 0, 0};
    assert_int_equal(lh_tpms_quote_parse(LH_BYTES(nine_banks, 4), &quote).code, LH_E_CORRUPT);
    assert_int_equal(lh_tpms_quote_parse(LH_BYTES(wide, sizeof(wide)), &quote).code, LH_E_CORRUPT);
    assert_int_equal(lh_tpms_quote_parse(LH_BYTES(none, sizeof(none)), &quote).code, LH_E_CORRUPT);
    assert_int_equal(
        lh_tpms_quote_parse(LH_BYTES(long_digest, sizeof(long_digest)), &quote).code, LH_E_CORRUPT);
    assert_int_equal(lh_tpms_quote_parse(LH_BYTES(four, sizeof(four)), &quote).code, LH_OK);
    assert_int_equal(quote.selection.banks[0].mask, 0x80000001u);
}

static void test_safe_is_a_boolean(void **state)
{
    (void)state;
    seed s = load("attest-0");
    lh_tpms_attest attest;
    /* magic ‖ type ‖ signer ‖ extra data (32 bytes) ‖ clock ‖ counts ‖ safe */
    size_t at = 6 + 36 + 34 + 8 + 8;
    assert_true(s.data[at] <= 1);
    s.data[at] = 2;
    assert_int_equal(lh_tpms_attest_parse(LH_BYTES(s.data, s.len), &attest).code, LH_E_CORRUPT);
}

static void test_public(void **state)
{
    (void)state;
    lh_tpms_public p;
    seed s = load("public-ak");
    assert_int_equal(lh_tpms_public_parse(LH_BYTES(s.data, s.len), &p).code, LH_OK);
    assert_int_equal(p.type, LH_TPMS_ALG_ECC);
    assert_int_equal(p.scheme, LH_TPMS_ALG_ECDSA);
    assert_int_equal(p.scheme_hash, LH_TPMS_ALG_SHA256);
    assert_int_equal(p.curve, LH_TPMS_CURVE_P256);
    assert_int_equal(p.x.len, 32);
    s = load("public-rsa");
    assert_int_equal(lh_tpms_public_parse(LH_BYTES(s.data, s.len), &p).code, LH_OK);
    assert_int_equal(p.type, LH_TPMS_ALG_RSA);
    assert_int_equal(p.scheme, LH_TPMS_ALG_RSASSA);
    assert_int_equal(p.exponent, 65537);
    assert_int_equal(p.modulus.len, 256);
}

/* At each place that names an algorithm, one that is not known. */
static void test_unsupported(void **state)
{
    (void)state;
    static const size_t places[] = {
        1 /* type */, 11 /* symmetric */, 13 /* scheme */, 17 /* curve */, 19 /* kdf */};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        seed s = load("public-ak");
        s.data[places[i]] = 0x77;
        assert_int_equal(parse_public(LH_BYTES(s.data, s.len)).code, LH_E_UNSUPPORTED);
    }
    seed s = load("public-rsa");
    s.data[16] = 4; /* 1024 bits */
    assert_int_equal(parse_public(LH_BYTES(s.data, s.len)).code, LH_E_UNSUPPORTED);
    s = load("signature-ecdsa-0");
    s.data[1] = 0x05; /* HMAC */
    assert_int_equal(parse_signature(LH_BYTES(s.data, s.len)).code, LH_E_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_quote_bounds),
        cmocka_unit_test(test_safe_is_a_boolean),
        cmocka_unit_test(test_public),
        cmocka_unit_test(test_unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
