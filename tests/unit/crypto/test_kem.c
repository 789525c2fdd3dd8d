/* Encapsulation: over every curve and, where libcrypto has it, ML-KEM; what is refused. */
#include "crypto/kem.h"

#include "crypto/kdf.h"
#include "symmetric.h"

static lh_bytes params_of(lh_buf *buf, uint32_t ckd, lh_bytes point)
{
    lh_buf_clear(buf);
    put_u32(buf, ckd);
    put_blob(buf, LH_BYTES_NONE);
    put_blob(buf, point);
    return lh_buf_bytes(buf);
}

static lh_key *generate(unsigned long mechanism, unsigned long attribute, lh_bytes value)
{
    const lh_key_part part = {attribute, value};
    lh_key *key = NULL;
    assert_ok(lh_key_generate(
        crypto, lh_mechanism_by_type(mechanism), LH_BYTES_NONE, (lh_key_parts){&part, 1}, &key));
    return key;
}

static void ecdh(void **state)
{
    (void)state;
    static const struct {
        unsigned long mechanism;
        const char *curve;
        size_t point;
        size_t secret;
    } cases[] = {
        {CKM_EC_KEY_PAIR_GEN, "06082a8648ce3d030107", 65, 32},
        {CKM_EC_KEY_PAIR_GEN, "06052b81040022", 97, 48},
        {CKM_EC_KEY_PAIR_GEN, "06052b81040023", 133, 66},
        {CKM_EC_KEY_PAIR_GEN, "06052b8104000a", 65, 32},
        {CKM_EC_MONTGOMERY_KEY_PAIR_GEN, "06032b656e", 32, 32},
        {CKM_EC_MONTGOMERY_KEY_PAIR_GEN, "06032b656f", 56, 56},
    };
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(256);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases) * 2; i++) {
        size_t at = i / 2;
        bool hashed = i % 2 == 1;
        LH_AUTO(lh_key_freep)
        lh_key *key = generate(cases[at].mechanism, CKA_EC_PARAMS, from_hex(cases[at].curve));
        lh_bytes p = params_of(&params, hashed ? CKD_SHA384_KDF : CKD_NULL, LH_BYTES_NONE);
        LH_AUTO(lh_buf_free) lh_buf ciphertext = LH_BUF_INIT(256);
        LH_AUTO(lh_secret_freep) lh_secret *sent = NULL;
        LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
        assert_ok(lh_key_encapsulate(crypto, row("ecdh"), p, key, &ciphertext, &sent));
        assert_int_equal(ciphertext.len, cases[at].point);
        assert_int_equal(lh_secret_len(sent), hashed ? 48 : cases[at].secret);
        assert_ok(lh_key_decapsulate(crypto, row("ecdh"), p, key, lh_buf_bytes(&ciphertext), &got));
        assert_true(lh_secret_equal(sent, got));
        lh_secret *none = NULL;
        for (size_t len = 0; len < ciphertext.len; len++)
            if (len != (ciphertext.len + 1) / 2)
                assert_err(
                    lh_key_decapsulate(crypto, row("ecdh"), p, key, LH_BYTES(ciphertext.data, len), &none),
                    LH_E_INVALID);
        p = params_of(&params, CKD_NULL, lh_buf_bytes(&ciphertext));
        assert_refused(lh_key_encapsulate(crypto, row("ecdh"), p, key, &ciphertext, &none), LH_E_INVALID,
            "mechanism-param");
        assert_null(none);
    }
}

static void refused(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *aes = key_hex(CKK_AES, "000102030405060708090a0b0c0d0e0f");
    LH_AUTO(lh_key_freep)
    lh_key *ed = generate(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKA_EC_PARAMS, from_hex("06032b6570"));
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(256);
    lh_secret *none = NULL;
    lh_bytes p = params_of(&params, CKD_NULL, LH_BYTES_NONE);
    assert_refused(lh_key_encapsulate(crypto, row("ecdh"), p, aes, &out, &none), LH_E_INVALID, "key-type");
    assert_refused(lh_key_encapsulate(crypto, row("ecdh"), p, ed, &out, &none), LH_E_INVALID, "key-type");
    assert_refused(
        lh_key_encapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, aes, &out, &none), LH_E_INVALID, "key-type");
    assert_refused(
        lh_key_encapsulate(crypto, row("hkdf"), p, aes, &out, &none), LH_E_INVALID, "mechanism-use");
    assert_int_equal(out.len, 0);
}

/* Where this libcrypto has none, its rows are not offered; ci/pq-test runs it against one that has. */
static void ml_kem(void **state)
{
    (void)state;
    if (!lh_crypto_offers(crypto, row("ml-kem")))
        skip();
    static const size_t lens[] = {768, 1088, 1568};
    for (uint8_t set = 1; set <= 3; set++) {
        const uint8_t number[8] = {[7] = set};
        LH_AUTO(lh_key_freep)
        lh_key *key = generate(CKM_ML_KEM_KEY_PAIR_GEN, CKA_PARAMETER_SET, LH_BYTES(number, 8));
        LH_AUTO(lh_buf_free) lh_buf ciphertext = LH_BUF_INIT(LH_KEM_CIPHERTEXT_MAX);
        LH_AUTO(lh_secret_freep) lh_secret *sent = NULL;
        LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
        LH_AUTO(lh_secret_freep) lh_secret *other = NULL;
        assert_ok(lh_key_encapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, key, &ciphertext, &sent));
        assert_int_equal(ciphertext.len, lens[set - 1]);
        assert_int_equal(lh_secret_len(sent), 32);
        assert_ok(
            lh_key_decapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, key, lh_buf_bytes(&ciphertext), &got));
        assert_true(lh_secret_equal(sent, got));
        ciphertext.data[0] ^= 1;
        assert_ok(
            lh_key_decapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, key, lh_buf_bytes(&ciphertext), &other));
        assert_false(lh_secret_equal(sent, other));
        lh_secret *none = NULL;
        ciphertext.len--;
        assert_refused(
            lh_key_decapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, key, lh_buf_bytes(&ciphertext), &none),
            LH_E_CORRUPT, "decrypt");
        assert_refused(lh_key_decapsulate(crypto, row("ml-kem"), LH_BYTES_NONE, key, LH_BYTES_NONE, &none),
            LH_E_INVALID, "ciphertext-length");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ecdh),
        cmocka_unit_test(refused),
        cmocka_unit_test(ml_kem),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
