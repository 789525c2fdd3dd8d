/* RSA with a key in the TPM: what is put around its private operation, against software that does all of it.
 */
#include "../custody_fixture.h"

#include "codec/bin.h"
#include "crypto/operation.h"
#include "custody/operation.h"
#include "custody/rsa_padding.h"

static custody c;

static int setup(void **state)
{
    (void)state;
    custody_setup(&c);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    custody_teardown(&c);
    memset(&c, 0, sizeof(c));
    return 0;
}

static const lh_mechanism *row_of(const char *name)
{
    const lh_mechanism *row = lh_mechanism_by_name(name);
    assert_non_null(row);
    return row;
}

/* LH_PARAM_PSS and _OAEP. */
static void put_pss(uint32_t hash, uint32_t mgf, uint32_t salt, lh_buf *out)
{
    lh_buf_clear(out);
    lh_put_u32(out, hash);
    lh_put_u32(out, mgf);
    lh_put_u32(out, salt);
}

static void put_oaep(uint32_t hash, uint32_t mgf, const char *label, lh_buf *out)
{
    lh_buf_clear(out);
    lh_put_u32(out, hash);
    lh_put_u32(out, mgf);
    lh_put_str(out, label);
}

static lh_err by_tpm(const char *name, unsigned use, lh_bytes params, lh_bytes data, lh_buf *out)
{
    const lh_custody_begin b = {LH_KEY_RSA_2048, row_of(name), use, params};
    LH_AUTO(lh_custody_op_freep) lh_custody_op *op = NULL;
    LH_TRY(lh_custody_op_begin(c.crypto, &b, &op));
    return lh_custody_op_finish(op, c.lease, data, out);
}

static lh_err by_software(
    const char *name, unsigned use, lh_bytes params, lh_bytes data, lh_bytes signature, lh_buf *out)
{
    const lh_op_request op = {c.key, row_of(name), use, params, data, signature};
    return lh_op_once(c.crypto, &op, out);
}

/* The key on the TPM, for what is told. */
static void give(bool signs, bool decrypts)
{
    lh_key *key = custody_rsa_key(&c);
    lh_key_free(c.key);
    c.key = key;
    const lh_custody_request request = {.approver = c.approver,
        .terms = &c.terms,
        .storage_public = lh_buf_bytes(&c.storage),
        .key = key,
        .signs = signs,
        .decrypts = decrypts};
    assert_lh_ok(lh_custody_pack(c.crypto, &request, &c.package));
    custody_import(&c);
    custody_approve(&c, 60);
}

static void assert_signs(const char *name, lh_bytes params, lh_bytes data)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    assert_lh_ok(by_tpm(name, LH_USE_SIGN, params, data, &out));
    assert_int_equal(out.len, 256);
    assert_lh_ok(by_software(name, LH_USE_VERIFY, params, data, lh_buf_bytes(&out), &none));
}

static void test_signatures(void **state)
{
    (void)state;
    static uint8_t long_data[3000];
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    give(true, true);
    static const char *const pkcs[] = {"sha256-rsa-pkcs", "sha384-rsa-pkcs", "sha512-rsa-pkcs", "rsa-pkcs"};
    for (size_t i = 0; i < LH_ARRAY_LEN(pkcs); i++)
        assert_signs(pkcs[i], LH_BYTES_NONE, LH_BYTES_STR("text"));
    assert_signs("sha256-rsa-pkcs", LH_BYTES_NONE, LH_BYTES(long_data, sizeof(long_data)));
    assert_signs("rsa-pkcs", LH_BYTES_NONE, LH_BYTES(long_data, 245));
    /* Every length of salt there is room for; another hash for the mask. */
    const uint32_t salts[] = {0, 32, 222};
    for (size_t i = 0; i < LH_ARRAY_LEN(salts); i++) {
        put_pss(CKM_SHA256, CKG_MGF1_SHA256, salts[i], &params);
        assert_signs("sha256-rsa-pss", lh_buf_bytes(&params), LH_BYTES_STR("text"));
    }
    put_pss(CKM_SHA512, CKG_MGF1_SHA256, 64, &params);
    assert_signs("sha512-rsa-pss", lh_buf_bytes(&params), LH_BYTES_STR("text"));
    put_pss(CKM_SHA384, CKG_MGF1_SHA384, 48, &params);
    assert_signs("rsa-pss", lh_buf_bytes(&params), LH_BYTES(custody_digest, 48));
}

static void test_signatures_refused(void **state)
{
    (void)state;
    static uint8_t data[300];
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    give(true, true);
    assert_lh_refused(by_tpm("rsa-pkcs", LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES(data, 246), &out), LH_E_INVALID,
        "data-length");
    put_pss(CKM_SHA256, CKG_MGF1_SHA256, 32, &params);
    assert_lh_refused(by_tpm("rsa-pss", LH_USE_SIGN, lh_buf_bytes(&params), LH_BYTES(data, 31), &out),
        LH_E_INVALID, "data-length");
    assert_lh_refused(by_tpm("sha384-rsa-pss", LH_USE_SIGN, lh_buf_bytes(&params), LH_BYTES(data, 31), &out),
        LH_E_INVALID, "mechanism-param");
    lh_put_u8(&params, 0);
    assert_lh_refused(by_tpm("rsa-pss", LH_USE_SIGN, lh_buf_bytes(&params), LH_BYTES(data, 32), &out),
        LH_E_INVALID, "mechanism-param");
    const uint32_t bad[][3] = {{CKM_SHA256, CKG_MGF1_SHA256, 223}, {CKM_MD5, CKG_MGF1_SHA256, 0},
        {CKM_SHA256, 99, 0}, {CKM_SHA256, CKG_MGF1_SHA256, UINT32_MAX}};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        put_pss(bad[i][0], bad[i][1], bad[i][2], &params);
        assert_lh_refused(by_tpm("rsa-pss", LH_USE_SIGN, lh_buf_bytes(&params), LH_BYTES(data, 32), &out),
            LH_E_INVALID, "mechanism-param");
    }
    assert_lh_refused(by_tpm("sha256-rsa-pkcs", LH_USE_SIGN, lh_buf_bytes(&params), LH_BYTES_NONE, &out),
        LH_E_INVALID, "mechanism-param");
    assert_lh_refused(by_tpm("rsa-oaep", LH_USE_ENCRYPT, LH_BYTES_NONE, LH_BYTES(data, 3), &out),
        LH_E_INVALID, "mechanism-use");
    assert_lh_refused(by_tpm("rsa-x509", LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES(data, 3), &out),
        LH_E_UNSUPPORTED, "custody-mechanism");
    assert_int_equal(out.len, 0);
}

static void assert_decrypts(const char *name, lh_bytes params, lh_bytes plain)
{
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    assert_lh_ok(by_software(name, LH_USE_ENCRYPT, params, plain, LH_BYTES_NONE, &sealed));
    assert_lh_ok(by_tpm(name, LH_USE_DECRYPT, params, lh_buf_bytes(&sealed), &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), plain));
    out.len = 0;
    sealed.data[255] ^= 1;
    assert_lh_refused(
        by_tpm(name, LH_USE_DECRYPT, params, lh_buf_bytes(&sealed), &out), LH_E_CORRUPT, "decrypt");
    memset(sealed.data, 0xff, 256); /* more than the modulus */
    assert_lh_refused(
        by_tpm(name, LH_USE_DECRYPT, params, lh_buf_bytes(&sealed), &out), LH_E_CORRUPT, "decrypt");
    assert_lh_refused(
        by_tpm(name, LH_USE_DECRYPT, params, LH_BYTES(sealed.data, 255), &out), LH_E_INVALID, "data-length");
    assert_int_equal(out.len, 0);
}

static void test_decryption(void **state)
{
    (void)state;
    static uint8_t data[256];
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf other = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    give(false, true);
    assert_decrypts("rsa-pkcs", LH_BYTES_NONE, LH_BYTES_STR("a secret"));
    assert_decrypts("rsa-pkcs", LH_BYTES_NONE, LH_BYTES(data, 245));
    put_oaep(CKM_SHA256, CKG_MGF1_SHA256, "", &params);
    assert_decrypts("rsa-oaep", lh_buf_bytes(&params), LH_BYTES_STR("a secret"));
    assert_decrypts("rsa-oaep", lh_buf_bytes(&params), LH_BYTES(data, 190));
    assert_decrypts("rsa-oaep", lh_buf_bytes(&params), LH_BYTES_NONE);
    put_oaep(CKM_SHA512, CKG_MGF1_SHA1, "label", &params);
    assert_decrypts("rsa-oaep", lh_buf_bytes(&params), LH_BYTES_STR("a secret"));
    /* Another label, another hash: the message is not told. */
    assert_lh_ok(by_software(
        "rsa-oaep", LH_USE_ENCRYPT, lh_buf_bytes(&params), LH_BYTES_STR("a secret"), LH_BYTES_NONE, &sealed));
    put_oaep(CKM_SHA512, CKG_MGF1_SHA1, "babel", &other);
    assert_lh_refused(by_tpm("rsa-oaep", LH_USE_DECRYPT, lh_buf_bytes(&other), lh_buf_bytes(&sealed), &out),
        LH_E_CORRUPT, "decrypt");
    put_oaep(CKM_SHA512, CKG_MGF1_SHA512, "label", &other);
    assert_lh_refused(by_tpm("rsa-oaep", LH_USE_DECRYPT, lh_buf_bytes(&other), lh_buf_bytes(&sealed), &out),
        LH_E_CORRUPT, "decrypt");
    other.len--;
    assert_lh_refused(by_tpm("rsa-oaep", LH_USE_DECRYPT, lh_buf_bytes(&other), lh_buf_bytes(&sealed), &out),
        LH_E_INVALID, "mechanism-param");
}

/* A key that only signs hashes decrypts nothing, whatever is asked of the TPM. */
static void test_only_signs(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    give(true, false);
    assert_signs("sha256-rsa-pkcs", LH_BYTES_NONE, LH_BYTES_STR("text"));
    assert_lh_ok(by_software(
        "rsa-pkcs", LH_USE_ENCRYPT, LH_BYTES_NONE, LH_BYTES_STR("a secret"), LH_BYTES_NONE, &sealed));
    assert_true(!lh_ok(by_tpm("rsa-pkcs", LH_USE_DECRYPT, LH_BYTES_NONE, lh_buf_bytes(&sealed), &out)));
    assert_true(!lh_ok(by_tpm("rsa-pkcs", LH_USE_SIGN, LH_BYTES_NONE, LH_BYTES_STR("text"), &out)));
    assert_int_equal(out.len, 0);
}

/* --- paddings by themselves -------------------------------------------------------------------------------
 */

static void test_bad_pkcs1(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    uint8_t good[256];
    memset(good, 0x5a, sizeof(good));
    good[0] = 0;
    good[1] = 2;
    good[10] = 0; /* after 8 bytes, the least */
    assert_lh_ok(lh_rsa_unpad_pkcs1(good, &out));
    assert_int_equal(out.len, 245);
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 1}, {0, 0x80}, {1, 1}, {1, 0x82}, {9, 0}, {2, 0}, {10, 1}};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        uint8_t block[256];
        memcpy(block, good, sizeof(block));
        block[bad[i].at] = bad[i].value;
        out.len = 0;
        assert_lh_refused(lh_rsa_unpad_pkcs1(block, &out), LH_E_CORRUPT, "decrypt");
        assert_int_equal(out.len, 0);
    }
    good[10] = 1;
    good[255] = 0; /* an empty message */
    assert_lh_ok(lh_rsa_unpad_pkcs1(good, &out));
    assert_int_equal(out.len, 0);
}

static void test_bad_oaep(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf block = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    lh_rsa_padding p;
    c.key = custody_rsa_key(&c);
    put_oaep(CKM_SHA256, CKG_MGF1_SHA256, "", &params);
    assert_lh_ok(lh_rsa_padding_read(c.crypto, row_of("rsa-oaep"), lh_buf_bytes(&params), &p));
    assert_lh_ok(by_software(
        "rsa-oaep", LH_USE_ENCRYPT, lh_buf_bytes(&params), LH_BYTES_STR("text"), LH_BYTES_NONE, &sealed));
    assert_lh_ok(
        by_software("rsa-x509", LH_USE_DECRYPT, LH_BYTES_NONE, lh_buf_bytes(&sealed), LH_BYTES_NONE, &block));
    assert_lh_ok(lh_rsa_unpad_oaep(c.crypto, &p, block.data, &out));
    assert_true(lh_bytes_equal(lh_buf_bytes(&out), LH_BYTES_STR("text")));
    /* The first byte, the seed, the label's hash, the zeros, the 1: each of them. */
    const size_t places[] = {0, 1, 33, 64, 65, 250, 251};
    for (size_t i = 0; i < LH_ARRAY_LEN(places); i++) {
        out.len = 0;
        block.data[places[i]] ^= 0x80;
        assert_lh_refused(lh_rsa_unpad_oaep(c.crypto, &p, block.data, &out), LH_E_CORRUPT, "decrypt");
        block.data[places[i]] ^= 0x80;
        assert_int_equal(out.len, 0);
    }
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_signatures), CASE(test_signatures_refused),
        CASE(test_decryption), CASE(test_only_signs), CASE(test_bad_pkcs1), CASE(test_bad_oaep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
