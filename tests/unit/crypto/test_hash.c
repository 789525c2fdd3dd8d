/* Hashes, HMAC and HKDF against published vectors. */
#include "support.h"

#include "crypto/hash.h"

/* FIPS 180-4's examples: "abc" and the empty message. */
static void sha2(void **state)
{
    (void)state;
    uint8_t out[64];
    const lh_bytes abc[] = {LH_BYTES_STR("a"), LH_BYTES_NONE, LH_BYTES_STR("bc")};
    assert_ok(lh_sha256(crypto, abc, 3, out));
    assert_bytes_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_ok(lh_sha384(crypto, abc, 3, out));
    assert_bytes_hex(out, 48,
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7");
    assert_ok(lh_sha512(crypto, abc, 3, out));
    assert_bytes_hex(out, 64,
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    assert_ok(lh_sha256(crypto, NULL, 0, out));
    assert_bytes_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* FIPS 180-4's example of a million times "a", fed in pieces. */
static void sha256_in_steps(void **state)
{
    (void)state;
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = NULL;
    assert_ok(lh_sha256_ctx_new(crypto, &ctx));
    char piece[1000];
    memset(piece, 'a', sizeof(piece));
    for (size_t i = 0; i < 1000; i++)
        assert_ok(lh_sha256_ctx_update(ctx, LH_BYTES(piece, sizeof(piece))));
    assert_ok(lh_sha256_ctx_update(ctx, LH_BYTES_NONE));
    uint8_t out[32];
    assert_ok(lh_sha256_ctx_final(ctx, out));
    assert_bytes_hex(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The same state, used again and again. */
static void sha256_again(void **state)
{
    (void)state;
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = NULL;
    assert_ok(lh_sha256_ctx_new(crypto, &ctx));
    const lh_bytes abc[] = {LH_BYTES_STR("a"), LH_BYTES_NONE, LH_BYTES_STR("bc")};
    for (unsigned i = 0; i < 3; i++) {
        uint8_t out[32];
        assert_ok(lh_sha256_again(ctx, abc, 3, out));
        assert_bytes_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ok(lh_sha256_again(ctx, NULL, 0, out));
        assert_bytes_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ok(lh_sha256_again(ctx, abc, 2, out));
        assert_ok(lh_sha256_again(ctx, abc, 3, out));
        assert_bytes_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}

/* RFC 4231, test cases 1, 2 and 6 (a key longer than a block). */
static void hmac(void **state)
{
    (void)state;
    uint8_t out[32];
    lh_bytes data = LH_BYTES_STR("Hi There");
    assert_ok(lh_hmac_sha256(crypto, from_hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), &data, 1, out));
    assert_bytes_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    const lh_bytes parts[] = {LH_BYTES_STR("what do ya want "), LH_BYTES_STR("for nothing?")};
    assert_ok(lh_hmac_sha256(crypto, LH_BYTES_STR("Jefe"), parts, 2, out));
    assert_bytes_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t key[131];
    memset(key, 0xaa, sizeof(key));
    data = LH_BYTES_STR("Test Using Larger Than Block-Size Key - Hash Key First");
    assert_ok(lh_hmac_sha256(crypto, LH_BYTES(key, sizeof(key)), &data, 1, out));
    assert_bytes_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_err(lh_hmac_sha256(crypto, LH_BYTES_NONE, &data, 1, out), LH_E_INVALID);
    assert_err(lh_hmac_sha256(crypto, LH_BYTES(key, 65537), &data, 1, out), LH_E_INVALID);
}

/* RFC 5869 appendix A, test cases 1 to 3. */
static void hkdf(void **state)
{
    (void)state;
    uint8_t out[82];
    lh_bytes ikm = from_hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b");
    assert_ok(lh_hkdf_sha256(
        crypto, ikm, from_hex("000102030405060708090a0b0c"), from_hex("f0f1f2f3f4f5f6f7f8f9"), out, 42));
    assert_bytes_hex(
        out, 42, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    uint8_t run[240];
    for (size_t i = 0; i < sizeof(run); i++)
        run[i] = (uint8_t)i;
    uint8_t info[80];
    for (size_t i = 0; i < sizeof(info); i++)
        info[i] = (uint8_t)(0xb0 + i);
    assert_ok(lh_hkdf_sha256(
        crypto, LH_BYTES(run, 80), LH_BYTES(run + 0x60, 80), LH_BYTES(info, sizeof(info)), out, 82));
    assert_bytes_hex(out, 82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87");
    assert_ok(lh_hkdf_sha256(crypto, ikm, LH_BYTES_NONE, LH_BYTES_NONE, out, 42));
    assert_bytes_hex(
        out, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    assert_ok(lh_hkdf_sha256_secret(crypto, ikm, LH_BYTES_NONE, LH_BYTES_NONE, 42, &secret));
    assert_int_equal(lh_secret_len(secret), 42);
    assert_memory_equal(lh_secret_data(secret), out, 42);
}

static void hkdf_bounds(void **state)
{
    (void)state;
    static uint8_t out[LH_HKDF_MAX + 1];
    lh_bytes ikm = LH_BYTES_STR("key");
    assert_ok(lh_hkdf_sha256(crypto, ikm, LH_BYTES_NONE, LH_BYTES_NONE, out, LH_HKDF_MAX));
    assert_err(lh_hkdf_sha256(crypto, ikm, LH_BYTES_NONE, LH_BYTES_NONE, out, LH_HKDF_MAX + 1), LH_E_INVALID);
    assert_err(lh_hkdf_sha256(crypto, ikm, LH_BYTES_NONE, LH_BYTES_NONE, out, 0), LH_E_INVALID);
    assert_err(lh_hkdf_sha256(crypto, LH_BYTES_NONE, LH_BYTES_NONE, LH_BYTES_NONE, out, 32), LH_E_INVALID);
    assert_err(lh_hkdf_sha256(crypto, ikm, LH_BYTES_NONE, LH_BYTES(out, 1025), out, 32), LH_E_INVALID);
    lh_secret *secret = NULL;
    assert_err(lh_hkdf_sha256_secret(crypto, LH_BYTES_NONE, LH_BYTES_NONE, LH_BYTES_NONE, 32, &secret),
        LH_E_INVALID);
    assert_null(secret);
}

static void version(void **state)
{
    (void)state;
    assert_memory_equal(lh_crypto_version(), "OpenSSL ", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha2),
        cmocka_unit_test(sha256_in_steps),
        cmocka_unit_test(sha256_again),
        cmocka_unit_test(hmac),
        cmocka_unit_test(hkdf),
        cmocka_unit_test(hkdf_bounds),
        cmocka_unit_test(version),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
