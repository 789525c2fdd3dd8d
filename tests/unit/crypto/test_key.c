/* Keys: what is accepted as one, and the public halves. */
#include "crypto/key.h"

#include "support.h"

/* RFC 6979 appendix A.2.5. */
static const char scalar_hex[] = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
static const char point_hex[] = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                                "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";

static void public_halves(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *scalar = secret_hex(scalar_hex);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    assert_ok(lh_key_new(crypto, LH_KEY_EC_P256, scalar, &key));
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    assert_ok(lh_key_public_point(key, &out));
    assert_bytes_hex(out.data, out.len, point_hex);
    lh_buf_clear(&out);
    /* RFC 5480: ecPublicKey, prime256v1, BIT STRING of the point. */
    assert_ok(lh_key_public_spki(key, &out));
    char want[256] = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
    strcat(want, point_hex);
    assert_bytes_hex(out.data, out.len, want);
    /* RFC 8410 section 4 with the key of RFC 8032's TEST 1. */
    LH_AUTO(lh_secret_freep)
    lh_secret *seed = secret_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    LH_AUTO(lh_key_freep) lh_key *ed = NULL;
    assert_ok(lh_key_new(crypto, LH_KEY_ED25519, seed, &ed));
    lh_buf_clear(&out);
    assert_ok(lh_key_public_spki(ed, &out));
    assert_bytes_hex(out.data, out.len,
        "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

/* SEC 2: the scalars 1 and n-1 have the base point's x; 0 and n are none. */
static void scalar_range(void **state)
{
    (void)state;
    static const char *const good[] = {"0000000000000000000000000000000000000000000000000000000000000001",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"};
    static const char *const bad[] = {"0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "01"};
    for (size_t i = 0; i < LH_ARRAY_LEN(good); i++) {
        LH_AUTO(lh_secret_freep) lh_secret *scalar = secret_hex(good[i]);
        LH_AUTO(lh_key_freep) lh_key *key = NULL;
        assert_ok(lh_key_new(crypto, LH_KEY_EC_P256, scalar, &key));
        LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(65);
        assert_ok(lh_key_public_point(key, &point));
        assert_bytes_hex(
            point.data + 1, 32, "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
    }
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        LH_AUTO(lh_secret_freep) lh_secret *scalar = secret_hex(bad[i]);
        lh_key *key = NULL;
        assert_refused(lh_key_new(crypto, LH_KEY_EC_P256, scalar, &key), LH_E_INVALID, "key-material");
        assert_null(key);
    }
}

static void material_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *shorter = secret_hex("00112233");
    LH_AUTO(lh_secret_freep) lh_secret *whole = secret_hex(scalar_hex);
    lh_key *key = NULL;
    for (int kind = LH_KEY_EC_P256; kind < LH_KEY_KIND_COUNT; kind++)
        assert_refused(
            lh_key_new(crypto, (enum lh_key_kind)kind, shorter, &key), LH_E_INVALID, "key-material");
    assert_refused(lh_key_new(crypto, LH_KEY_NONE, whole, &key), LH_E_INVALID, "key-type");
    assert_refused(lh_key_new(crypto, LH_KEY_KIND_COUNT, whole, &key), LH_E_INVALID, "key-type");
    assert_null(key);
}

/* RSA keys come back from their primes, and from their modulus what verifies. */
static void made(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *primes = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *others = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_AUTO(lh_key_freep) lh_key *again = NULL;
    LH_AUTO(lh_key_freep) lh_key *public = NULL;
    lh_key *none = NULL;
    assert_refused(lh_key_make_material(crypto, LH_KEY_EC_P256, &primes), LH_E_INVALID, "key-type");
    assert_refused(lh_key_make_material(crypto, LH_KEY_KIND_COUNT, &primes), LH_E_INVALID, "key-type");
    assert_ok(lh_key_make_material(crypto, LH_KEY_RSA_2048, &primes));
    assert_ok(lh_key_make_material(crypto, LH_KEY_RSA_2048, &others));
    assert_int_equal(lh_secret_len(primes), 256);
    assert_false(lh_secret_equal(primes, others));
    assert_ok(lh_key_new(crypto, LH_KEY_RSA_2048, primes, &key));
    assert_ok(lh_key_new(crypto, LH_KEY_RSA_2048, primes, &again));
    assert_int_equal(lh_key_bits(key), 2048);
    assert_true(lh_key_has_private(key));
    LH_AUTO(lh_buf_free) lh_buf modulus = LH_BUF_INIT(LH_KEY_PUBLIC_MAX);
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf same = LH_BUF_INIT(1024);
    assert_ok(lh_key_public_point(key, &modulus));
    assert_int_equal(modulus.len, 256);
    assert_ok(lh_key_new_public(crypto, LH_KEY_RSA_2048, lh_buf_bytes(&modulus), &public));
    assert_false(lh_key_has_private(public));
    assert_ok(lh_key_public_spki(again, &spki));
    assert_ok(lh_key_public_spki(public, &same));
    assert_true(lh_bytes_equal(lh_buf_bytes(&spki), lh_buf_bytes(&same)));
    /* A prime that is 0, or even, is none. */
    assert_refused(lh_key_new(crypto, LH_KEY_RSA_3072, primes, &none), LH_E_INVALID, "key-material");
    lh_secret_data(others)[127] ^= 1;
    assert_refused(lh_key_new(crypto, LH_KEY_RSA_2048, others, &none), LH_E_INVALID, "key-material");
    memset(lh_secret_data(others), 0, 128);
    assert_refused(lh_key_new(crypto, LH_KEY_RSA_2048, others, &none), LH_E_INVALID, "key-material");
    lh_secret_data(others)[127] = 3; /* too short a modulus */
    assert_refused(lh_key_new(crypto, LH_KEY_RSA_2048, others, &none), LH_E_INVALID, "key-material");
    memcpy(lh_secret_data(others), lh_secret_data(others) + 128, 128); /* one prime twice */
    assert_refused(lh_key_new(crypto, LH_KEY_RSA_2048, others, &none), LH_E_INVALID, "key-material");
    modulus.data[255] ^= 1;
    assert_refused(lh_key_new_public(crypto, LH_KEY_RSA_2048, lh_buf_bytes(&modulus), &none), LH_E_INVALID,
        "key-public");
    modulus.data[255] ^= 1;
    modulus.data[0] = 0;
    assert_refused(lh_key_new_public(crypto, LH_KEY_RSA_2048, lh_buf_bytes(&modulus), &none), LH_E_INVALID,
        "key-public");
    assert_refused(lh_key_new_public(crypto, LH_KEY_RSA_2048, LH_BYTES(modulus.data + 1, 255), &none),
        LH_E_INVALID, "key-public");
    assert_null(none);
}

static void bad_points(void **state)
{
    (void)state;
    uint8_t point[65];
    lh_key *key = NULL;
    for (size_t i = 0; i < 65; i++) {
        memcpy(point, from_hex(point_hex).data, 65);
        point[i] ^= 1; /* changes the form or leaves the curve */
        assert_refused(
            lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, 65), &key), LH_E_INVALID, "key-public");
    }
    memcpy(point, from_hex(point_hex).data, 65);
    point[0] = 0x07; /* the hybrid form of an odd y: the same point, another encoding */
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, 65), &key), LH_E_INVALID, "key-public");
    memset(point, 0, 65); /* the point at infinity, padded */
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, 65), &key), LH_E_INVALID, "key-public");
    point[0] = 4; /* (0, 0) */
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, 65), &key), LH_E_INVALID, "key-public");
    /* x = p, the field's size. */
    memcpy(point + 1, from_hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff").data, 32);
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, 65), &key), LH_E_INVALID, "key-public");
    memcpy(point, from_hex(point_hex).data, 65);
    for (size_t len = 0; len < 65; len++)
        assert_refused(lh_key_new_public(crypto, LH_KEY_EC_P256, LH_BYTES(point, len), &key), LH_E_INVALID,
            "key-public");
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_ED25519, LH_BYTES(point, 31), &key), LH_E_INVALID, "key-public");
    assert_refused(
        lh_key_new_public(crypto, LH_KEY_AES256, LH_BYTES(point, 32), &key), LH_E_INVALID, "key-type");
    assert_null(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_halves),
        cmocka_unit_test(scalar_range),
        cmocka_unit_test(material_refused),
        cmocka_unit_test(made),
        cmocka_unit_test(bad_points),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
