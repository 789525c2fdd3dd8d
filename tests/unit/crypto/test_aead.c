/* AES-256-GCM against the GCM specification's test case 16 (McGrew and Viega, the vectors behind SP 800-38D),
 * and every way to damage a sealed text. */
#include "crypto/aead.h"

#include "support.h"

static const char key_hex[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
static const char nonce_hex[] = "cafebabefacedbaddecaf888";
static const char aad_hex[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
static const char plain_hex[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                                "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
static const char sealed_hex[] = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                                 "76fc6ece0f4e1768cddf8853bb2d551b";

static void seals_and_opens(void **state)
{
    (void)state;
    const uint8_t *key = from_hex(key_hex).data;
    const uint8_t *nonce = from_hex(nonce_hex).data;
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(1024);
    lh_buf_append_str(&sealed, "head");
    assert_ok(lh_aead_seal(crypto, key, nonce, from_hex(aad_hex), from_hex(plain_hex), &sealed));
    assert_memory_equal(sealed.data, "head", 4);
    assert_bytes_hex(sealed.data + 4, sealed.len - 4, sealed_hex);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(1024);
    lh_buf_append_str(&plain, "head");
    assert_ok(lh_aead_open(crypto, key, nonce, from_hex(aad_hex), from_hex(sealed_hex), &plain));
    assert_memory_equal(plain.data, "head", 4);
    assert_bytes_hex(plain.data + 4, plain.len - 4, plain_hex);
}

static void refuses_every_changed_byte(void **state)
{
    (void)state;
    const uint8_t *key = from_hex(key_hex).data;
    const uint8_t *nonce = from_hex(nonce_hex).data;
    lh_bytes aad = from_hex(aad_hex);
    uint8_t sealed[(sizeof(sealed_hex) - 1) / 2];
    assert_ok(lh_unhex(sealed_hex, sealed, sizeof(sealed)));
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(1024);
    lh_buf_append_str(&plain, "head");
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 1;
        assert_err(
            lh_aead_open(crypto, key, nonce, aad, LH_BYTES(sealed, sizeof(sealed)), &plain), LH_E_CORRUPT);
        sealed[i] ^= 1;
        assert_int_equal(plain.len, 4);
        /* What was decrypted before the tag failed has been wiped. */
        for (size_t at = 4; at < plain.cap && at < 4 + sizeof(sealed) - 16; at++)
            assert_int_equal(plain.data[at], 0);
    }
    for (size_t len = 0; len < sizeof(sealed); len++)
        assert_err(lh_aead_open(crypto, key, nonce, aad, LH_BYTES(sealed, len), &plain), LH_E_CORRUPT);
    lh_bytes whole = LH_BYTES(sealed, sizeof(sealed));
    assert_err(
        lh_aead_open(crypto, key, nonce, LH_BYTES(aad.data, aad.len - 1), whole, &plain), LH_E_CORRUPT);
    assert_err(lh_aead_open(crypto, key, nonce, LH_BYTES_NONE, whole, &plain), LH_E_CORRUPT);
    assert_err(lh_aead_open(crypto, nonce, nonce, aad, whole, &plain), LH_E_CORRUPT);
    assert_err(lh_aead_open(crypto, key, key, aad, whole, &plain), LH_E_CORRUPT);
    assert_ok(lh_aead_open(crypto, key, nonce, aad, whole, &plain));
}

/* The GCM specification's test case 13: nothing under a zero key. */
static void empty(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(16);
    assert_ok(lh_aead_seal(crypto, zeros, zeros, LH_BYTES_NONE, LH_BYTES_NONE, &sealed));
    assert_bytes_hex(sealed.data, sealed.len, "530f8afbc74536b9a963b4f1c4cb738b");
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(16);
    assert_ok(lh_aead_open(crypto, zeros, zeros, LH_BYTES_NONE, lh_buf_bytes(&sealed), &plain));
    assert_int_equal(plain.len, 0);
}

static void no_room(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    LH_AUTO(lh_buf_free) lh_buf small = LH_BUF_INIT(31);
    assert_err(lh_aead_seal(crypto, zeros, zeros, LH_BYTES_NONE, LH_BYTES(zeros, 16), &small), LH_E_LIMIT);
    assert_int_equal(small.len, 0);
    LH_AUTO(lh_buf_free) lh_buf sealed = LH_BUF_INIT(64);
    assert_ok(lh_aead_seal(crypto, zeros, zeros, LH_BYTES_NONE, LH_BYTES(zeros, 16), &sealed));
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(15);
    assert_err(lh_aead_open(crypto, zeros, zeros, LH_BYTES_NONE, lh_buf_bytes(&sealed), &plain), LH_E_LIMIT);
    assert_int_equal(plain.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seals_and_opens),
        cmocka_unit_test(refuses_every_changed_byte),
        cmocka_unit_test(empty),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
