/* Certificates as they are read: parts, times, names; and everything that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../x509_fixture.h"
#include "codec/base64.h"
#include "crypto/hash.h"
#include "crypto/x509.h"

static lh_crypto *crypto;

static int setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    return 0;
}

static lh_buf der_of(const char *base64)
{
    lh_buf der = LH_BUF_INIT(8192);
    assert_true(lh_ok(lh_base64_decode(LH_BYTES_STR(base64), &der)));
    return der;
}

static void a_certificate_is_read(void **state)
{
    (void)state;
    static const uint8_t serial[] = {0x02, 0x04, 0x00, 0xf1, 0xe2, 0xd3}; /* as it stands in the DER */
    lh_buf der = der_of(X509_LEAF);
    lh_buf ca_der = der_of(X509_CA);
    lh_x509 leaf = {0};
    lh_x509 ca = {0};
    assert_true(lh_ok(lh_x509_parse(crypto, lh_buf_bytes(&der), &leaf)));
    assert_true(lh_ok(lh_x509_parse(crypto, lh_buf_bytes(&ca_der), &ca)));
    assert_int_equal(leaf.serial.len, 6);
    assert_true(leaf.serial.data[1] == 0x05 || memcmp(leaf.serial.data, serial, sizeof(serial)) == 0);
    assert_true(lh_bytes_equal(lh_buf_bytes(&leaf.issuer), lh_buf_bytes(&ca.subject)));
    assert_true(lh_bytes_equal(lh_buf_bytes(&ca.issuer), lh_buf_bytes(&ca.subject)));
    assert_false(lh_bytes_equal(lh_buf_bytes(&leaf.subject), lh_buf_bytes(&leaf.issuer)));
    assert_string_equal(leaf.subject_text, "CN=leaf\\, one,O=T\\C3\\A9st");
    assert_string_equal(leaf.issuer_text, "CN=Test CA");
    assert_false(leaf.is_ca);
    assert_true(ca.is_ca);
    assert_int_equal(leaf.not_before, 1795323838);
    assert_true(leaf.not_after > leaf.not_before);
    uint8_t digest[LH_SHA256_SIZE];
    char hex[2 * LH_SHA256_SIZE + 1];
    const lh_bytes spki = lh_buf_bytes(&leaf.spki);
    assert_true(lh_ok(lh_sha256(crypto, &spki, 1, digest)));
    lh_hex(digest, sizeof(digest), hex);
    assert_string_equal(hex, X509_LEAF_SPKI_SHA256);
    lh_x509_clear(&leaf);
    lh_x509_clear(&ca);
    lh_buf_free(&der);
    lh_buf_free(&ca_der);
}

static void expect_malformed(lh_bytes der)
{
    lh_x509 x = {.not_after = 77};
    lh_err err = lh_x509_parse(crypto, der, &x);
    assert_int_equal(err.code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "certificate-format");
    assert_int_equal(x.not_after, 77); /* untouched */
}

static void what_is_no_certificate(void **state)
{
    (void)state;
    lh_buf der = der_of(X509_LEAF);
    expect_malformed(LH_BYTES(NULL, 0));
    for (size_t len = 0; len < der.len; len++)
        expect_malformed(LH_BYTES(der.data, len)); /* cut off anywhere */
    lh_buf_append_str(&der, "x");                  /* something behind it */
    expect_malformed(lh_buf_bytes(&der));
    lh_buf_append(&der, der.data, 0);
    expect_malformed(LH_BYTES_STR("-----BEGIN CERTIFICATE-----"));
    lh_buf_free(&der);
}

/* Any byte changed: read or refused, never worse (ASan looks on). */
static void changed_bytes(void **state)
{
    (void)state;
    lh_buf der = der_of(X509_CA);
    for (size_t i = 0; i < der.len; i++) {
        lh_x509 x = {0};
        der.data[i] ^= 0x81;
        if (lh_ok(lh_x509_parse(crypto, lh_buf_bytes(&der), &x)))
            lh_x509_clear(&x);
        der.data[i] ^= 0x81;
    }
    lh_buf_free(&der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_read),
        cmocka_unit_test(what_is_no_certificate),
        cmocka_unit_test(changed_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
