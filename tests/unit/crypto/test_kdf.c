/* Derivations: vectors of every row, several keys at once, peers and parameters that are refused, passwords.
 */
#include "crypto/kdf.h"

#include "base/limits.h"
#include "symmetric.h"
#include "vectors_kdf.h"

static void derivations(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(derive_vectors); i++) {
        const lh_mechanism *r = row(derive_vectors[i].row);
        LH_AUTO(lh_key_freep) lh_key *base = key_hex(derive_vectors[i].ck_type, derive_vectors[i].base);
        LH_AUTO(lh_key_freep) lh_key *other = NULL;
        bool two = derive_vectors[i].other[0] != '\0';
        if (two)
            other = key_hex(CKK_GENERIC_SECRET, derive_vectors[i].other);
        const lh_key *others[] = {other};
        lh_bytes params = from_hex(derive_vectors[i].params);
        uint64_t handles[LH_PARAM_HANDLES_MAX];
        size_t n = 9;
        assert_ok(lh_param_handles(r, params, handles, &n));
        assert_int_equal(n, two ? 1 : 0);
        size_t len = derive_vectors[i].len;
        LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
        lh_err err = lh_key_derive_value(crypto, r, params, base, others, two ? 1 : 0, len, &value);
        if (!lh_ok(err))
            fail_msg("%s (%zu): %s", r->name, i, lh_err_last()->message);
        lh_bytes bytes = lh_secret_bytes(value);
        assert_bytes_hex(bytes.data, bytes.len, derive_vectors[i].want);
        size_t natural = lh_key_derive_default_len(r, params, base, CKK_GENERIC_SECRET);
        assert_true(len != 0 || natural == 0 || natural == bytes.len);
        assert_int_equal(lh_key_derive_default_len(r, params, base, CKK_CHACHA20), 32);
    }
}

static lh_key *pair_of(unsigned long ck_type, const char *curve, const char *scalar)
{
    const lh_key_part parts[] = {{CKA_EC_PARAMS, from_hex(curve)}, {CKA_VALUE, from_hex(scalar)}};
    lh_key *key = NULL;
    assert_ok(lh_key_import(crypto, ck_type, CKO_PRIVATE_KEY, (lh_key_parts){parts, 2}, &key));
    return key;
}

static lh_bytes ecdh_params(lh_buf *buf, uint32_t ckd, lh_bytes shared, lh_bytes point)
{
    lh_buf_clear(buf);
    put_u32(buf, ckd);
    put_blob(buf, shared);
    put_blob(buf, point);
    return lh_buf_bytes(buf);
}

static void agreements(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(agree_vectors); i++) {
        const lh_mechanism *r = row(agree_vectors[i].row);
        LH_AUTO(lh_key_freep)
        lh_key *base = pair_of(agree_vectors[i].ck_type, agree_vectors[i].curve, agree_vectors[i].scalar);
        LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(1024);
        lh_bytes params = ecdh_params(
            &buf, agree_vectors[i].ckd, from_hex(agree_vectors[i].shared), from_hex(agree_vectors[i].peer));
        LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
        lh_err err = lh_key_derive_value(crypto, r, params, base, NULL, 0, agree_vectors[i].len, &value);
        if (!lh_ok(err))
            fail_msg("%s (%zu): %s", r->name, i, lh_err_last()->message);
        lh_bytes bytes = lh_secret_bytes(value);
        assert_bytes_hex(bytes.data, bytes.len, agree_vectors[i].want);
        if (agree_vectors[i].len == 0)
            assert_int_equal(lh_key_derive_default_len(r, params, base, CKK_GENERIC_SECRET), bytes.len);
    }
}

static void refuse(const char *name, lh_bytes params, const lh_key *base, size_t len, const char *reason)
{
    lh_secret *value = NULL;
    lh_err err = lh_key_derive_value(crypto, row(name), params, base, NULL, 0, len, &value);
    assert_int_equal(err.code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, reason);
    assert_null(value);
}

/* Points off the curve, at infinity, of another curve, of small order; malformed parameters. */
static void bad_peers(void **state)
{
    (void)state;
    const char *scalar = agree_vectors[0].scalar;
    LH_AUTO(lh_key_freep) lh_key *p256 = pair_of(CKK_EC, "06082a8648ce3d030107", scalar);
    LH_AUTO(lh_key_freep) lh_key *x25519 = pair_of(CKK_EC_MONTGOMERY, "06032b656e", scalar);
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(4096);
    uint8_t point[65];
    assert_ok(lh_unhex(agree_vectors[0].peer, point, sizeof(point)));
    point[64] ^= 1;
    lh_bytes off = LH_BYTES(point, sizeof(point));
    refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, off), p256, 0, "mechanism-param");
    point[64] ^= 1;
    static const uint8_t infinity[1];
    refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, LH_BYTES(infinity, 1)), p256, 0,
        "mechanism-param");
    for (size_t len = 0; len < sizeof(point); len++)
        if (len != 33) /* 04 is no compressed point's head, but let the length be */
            refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, LH_BYTES(point, len)), p256, 0,
                "mechanism-param");
    static const uint8_t small[][32] = {{0}, {1}};
    for (size_t i = 0; i < LH_ARRAY_LEN(small); i++)
        refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, LH_BYTES(small[i], 32)), x25519, 0,
            "mechanism-param");
    lh_bytes good = LH_BYTES(point, sizeof(point));
    refuse("ecdh", ecdh_params(&buf, 3, LH_BYTES_NONE, good), p256, 32, "mechanism-param");
    refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_STR("x"), good), p256, 32, "mechanism-param");
    refuse("ecdh", ecdh_params(&buf, CKD_SHA256_KDF, LH_BYTES_NONE, good), p256, 0, "template-incomplete");
    refuse("ecdh", ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, good), p256, 33, "key-size-range");
    lh_bytes whole = ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, good);
    for (size_t len = 0; len < whole.len; len++)
        refuse("ecdh", LH_BYTES(whole.data, len), p256, 0, "mechanism-param");
    lh_buf_append(&buf, "x", 1);
    refuse("ecdh", lh_buf_bytes(&buf), p256, 0, "mechanism-param");
    refuse("hkdf", LH_BYTES_NONE, p256, 0, "key-type");
}

/* A prime of 1536 bits is too short for us, so RFC 3526's of 2048 bits, generator 2. */
static const char modp_2048[] =
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f"
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b"
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510"
    "15728e5a8aacaa68ffffffffffffffff";

/* With the exponents 2 and 3 the secret is 2^6, as long as the prime. */
static void diffie_hellman(void **state)
{
    (void)state;
    uint8_t prime[256];
    assert_ok(lh_unhex(modp_2048, prime, sizeof(prime)));
    static const uint8_t two[] = {2};
    uint8_t exponent[32] = {[31] = 2};
    const lh_key_part parts[] = {{CKA_PRIME, LH_BYTES(prime, sizeof(prime))}, {CKA_BASE, LH_BYTES(two, 1)},
        {CKA_VALUE, LH_BYTES(exponent, sizeof(exponent))}};
    LH_AUTO(lh_key_freep) lh_key *base = NULL;
    assert_ok(lh_key_import(crypto, CKK_DH, CKO_PRIVATE_KEY, (lh_key_parts){parts, 3}, &base));
    static const uint8_t eight[] = {0, 8};
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    lh_bytes peer = LH_BYTES(eight, 2);
    assert_ok(lh_key_derive_value(crypto, row("dh"), peer, base, NULL, 0, 0, &value));
    assert_int_equal(lh_secret_len(value), 256);
    for (size_t i = 0; i < 256; i++)
        assert_int_equal(lh_secret_bytes(value).data[i], i == 255 ? 64 : 0);
    LH_AUTO(lh_secret_freep) lh_secret *last = NULL;
    assert_ok(lh_key_derive_value(crypto, row("dh"), peer, base, NULL, 0, 16, &last));
    assert_int_equal(lh_secret_len(last), 16);
    assert_int_equal(lh_secret_bytes(last).data[15], 64);
    assert_int_equal(lh_key_derive_default_len(row("dh"), peer, base, CKK_GENERIC_SECRET), 256);
    /* 0, 1, p - 1, p and more */
    uint8_t bad[257] = {0};
    refuse("dh", LH_BYTES_NONE, base, 0, "mechanism-param");
    refuse("dh", LH_BYTES(bad, 1), base, 0, "mechanism-param");
    bad[0] = 1;
    refuse("dh", LH_BYTES(bad, 1), base, 0, "mechanism-param");
    refuse("dh", LH_BYTES(bad, 257), base, 0, "mechanism-param");
    refuse("dh", LH_BYTES(prime, 256), base, 0, "mechanism-param");
    prime[255]--;
    refuse("dh", LH_BYTES(prime, 256), base, 0, "mechanism-param");
}

static lh_bytes pbkdf2_params(
    lh_buf *buf, uint32_t prf, uint64_t iterations, const char *salt, const char *password)
{
    lh_buf_clear(buf);
    put_u32(buf, prf);
    put_u64(buf, iterations);
    put_blob(buf, LH_BYTES_STR(salt));
    put_blob(buf, LH_BYTES_STR(password));
    return lh_buf_bytes(buf);
}

static void passwords(void **state)
{
    (void)state;
    static const struct {
        uint32_t prf;
        uint64_t iterations;
        const char *password;
        const char *salt;
        const char *want;
    } cases[] = {
        /* RFC 6070 */
        {1, 1, "password", "salt", "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
        {1, 4096, "password", "salt", "4b007901b765489abead49d926f721d065a429c1"},
        {1, 4096, "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt",
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
        /* RFC 7914 section 11 */
        {4, 1, "passwd", "salt",
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"},
        /* Python's hashlib */
        {3, 2, "", "", "91565d346d1c1fe2036dd195f5e601d254b96f6f9c7b61e3"},
        {5, 2, "p", "", "40562f8d45c1dedc5b40f09c1f6d60de1ad27ceb1127b414"},
        {6, 2, "", "s", "e1fddab2500c11324f4060c27162dc34115aab7941c4fb2e"},
        {7, 2, "p", "s", "cc69191b8129012e352be445a57b08a62fcd779fb05d87b3"},
        {8, 2, "p", "s", "e00539fd760940064d6c0253214338a2232fc778b4e7d875"},
    };
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(256);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_bytes params =
            pbkdf2_params(&buf, cases[i].prf, cases[i].iterations, cases[i].salt, cases[i].password);
        LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
        size_t len = strlen(cases[i].want) / 2;
        assert_ok(lh_key_derive_value(crypto, row("pbkdf2"), params, NULL, NULL, 0, len, &value));
        lh_bytes bytes = lh_secret_bytes(value);
        assert_bytes_hex(bytes.data, bytes.len, cases[i].want);
    }
    refuse("pbkdf2", pbkdf2_params(&buf, 0, 1, "", ""), NULL, 16, "mechanism-param");
    refuse("pbkdf2", pbkdf2_params(&buf, 2, 1, "", ""), NULL, 16, "mechanism-param");
    refuse("pbkdf2", pbkdf2_params(&buf, 9, 1, "", ""), NULL, 16, "mechanism-param");
    refuse("pbkdf2", pbkdf2_params(&buf, 4, 0, "", ""), NULL, 16, "mechanism-param");
    uint64_t most = LH_LIMIT_PBKDF2_ITERATIONS;
    refuse("pbkdf2", pbkdf2_params(&buf, 4, most + 1, "", ""), NULL, 16, "mechanism-param");
    refuse("pbkdf2", pbkdf2_params(&buf, 4, UINT64_MAX, "", ""), NULL, 16, "mechanism-param");
    refuse("pbkdf2", pbkdf2_params(&buf, 4, 1, "", ""), NULL, 0, "template-incomplete");
    refuse("pbkdf2", pbkdf2_params(&buf, 4, 1, "", ""), NULL, LH_LIMIT_SECRET_VALUE + 1, "key-size-range");
    lh_bytes whole = pbkdf2_params(&buf, 4, 1, "salt", "");
    for (size_t len = 0; len < whole.len; len++)
        refuse("pbkdf2", LH_BYTES(whole.data, len), NULL, 16, "mechanism-param");
}

static void put_field(lh_buf *buf, uint32_t type, const char *hex)
{
    put_u32(buf, type);
    put_blob(buf, from_hex(hex));
}

/* HMAC-SHA-256 (0x251), a counter of 32 bits, a label, and the length of all keys or segments. */
static lh_bytes counter_params(lh_buf *buf, bool segments, size_t keys)
{
    lh_buf_clear(buf);
    put_u32(buf, CKM_SHA256_HMAC);
    put_u32(buf, 3);
    put_field(buf, 1, "0000000020");
    put_field(buf, 4, "6c6162656c");
    put_field(buf, 3, segments ? "000000020000000020" : "000000010000000020");
    put_u32(buf, 0);
    put_u32(buf, keys);
    for (size_t i = 0; i < keys; i++)
        put_blob(buf, LH_BYTES_STR("template"));
    return lh_buf_bytes(buf);
}

/* Three keys at once are pieces of one stream, each from a block's beginning on. */
static void several(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *base = key_hex(CKK_GENERIC_SECRET, "000102030405060708090a0b0c0d0e0f");
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(1024);
    lh_bytes params = counter_params(&buf, true, 2);
    lh_bytes templates[LH_DERIVED_MAX];
    size_t n = 0;
    assert_ok(lh_param_templates(row("sp800-108-counter"), params, templates, &n));
    assert_int_equal(n, 2);
    assert_true(lh_bytes_equal(templates[1], LH_BYTES_STR("template")));
    static const size_t lens[] = {16, 33, 5};
    lh_secret *made[3] = {NULL};
    assert_ok(lh_key_derive_several(crypto, row("sp800-108-counter"), params, base, NULL, 0, lens, 3, made));
    LH_AUTO(lh_secret_freep) lh_secret *stream = NULL;
    assert_ok(lh_key_derive_value(crypto, row("sp800-108-counter"), params, base, NULL, 0, 128, &stream));
    static const size_t at[] = {0, 32, 96};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lh_secret_len(made[i]), lens[i]);
        assert_memory_equal(lh_secret_bytes(made[i]).data, lh_secret_bytes(stream).data + at[i], lens[i]);
        lh_secret_free(made[i]);
    }
    lh_secret *none[1] = {NULL};
    static const size_t zero[] = {0};
    assert_refused(
        lh_key_derive_several(crypto, row("sp800-108-counter"), params, base, NULL, 0, zero, 1, none),
        LH_E_INVALID, "template-incomplete");
    assert_refused(
        lh_key_derive_several(crypto, row("sp800-108-counter"), params, base, NULL, 0, lens, 0, none),
        LH_E_INVALID, "mechanism-use");
    assert_refused(lh_key_derive_several(crypto, row("sp800-108-counter"), params, base, NULL, 0, lens,
                       LH_DERIVED_MAX + 1, none),
        LH_E_INVALID, "mechanism-use");
    params = counter_params(&buf, false, LH_DERIVED_MAX);
    assert_refused(
        lh_param_templates(row("sp800-108-counter"), params, templates, &n), LH_E_INVALID, "mechanism-param");
}

static void sp800_108_refused(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        uint32_t prf;
        uint32_t types[3];
        const char *values[3];
        size_t len;
    } cases[] = {
        {"sp800-108-counter", CKM_SHA256_HMAC, {4}, {"61"}, 16}, /* no counter */
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 1}, {"0000000020", "0000000020"}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1}, {""}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1}, {"0000000000"}, 16}, /* no width */
        {"sp800-108-counter", CKM_SHA256_HMAC, {1}, {"0000000028"}, 16}, /* 40 bits */
        {"sp800-108-counter", CKM_SHA256_HMAC, {1}, {"0000000007"}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1}, {"0200000008"}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 2}, {"0000000020", "0000000020"}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 9}, {"0000000020", ""}, 16},
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 4}, {"0000000020", ""}, 16},                 /* no bytes */
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 5}, {"0000000020", "0000000000000001"}, 16}, /* no key */
        {"sp800-108-counter", CKM_SHA256_HMAC, {1, 3}, {"0000000020", "000000030000000020"}, 16},
        {"sp800-108-counter", CKM_SHA256, {1}, {"0000000020"}, 16},
        {"sp800-108-counter", CKM_AES_CMAC_GENERAL, {1}, {"0000000020"}, 16},
        {"sp800-108-counter", CKM_AES_GCM, {1}, {"0000000020"}, 16},
        {"sp800-108-feedback", CKM_SHA256_HMAC, {1}, {"0000000020"}, 16},
        {"sp800-108-double-pipeline", CKM_SHA256_HMAC, {2}, {"0000000020"}, 16},
    };
    LH_AUTO(lh_key_freep) lh_key *base = key_hex(CKK_GENERIC_SECRET, "000102030405060708090a0b0c0d0e0f");
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(1024);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_buf_clear(&buf);
        put_u32(&buf, cases[i].prf);
        uint32_t n = 0;
        while (n < 3 && cases[i].values[n])
            n++;
        put_u32(&buf, n);
        for (uint32_t j = 0; j < n; j++)
            put_field(&buf, cases[i].types[j], cases[i].values[j]);
        put_u32(&buf, 0);
        put_u32(&buf, 0);
        refuse(cases[i].row, lh_buf_bytes(&buf), base, cases[i].len, "mechanism-param");
    }
    lh_bytes whole = counter_params(&buf, false, 1);
    for (size_t len = 0; len < whole.len; len++)
        refuse("sp800-108-counter", LH_BYTES(whole.data, len), base, 16, "mechanism-param");
    /* One byte counts to 255. */
    lh_buf_clear(&buf);
    put_u32(&buf, CKM_SHA_1_HMAC);
    put_u32(&buf, 1);
    put_field(&buf, 1, "0000000008");
    put_u32(&buf, 0);
    put_u32(&buf, 0);
    lh_secret *made[LH_DERIVED_MAX] = {NULL};
    const size_t lens[] = {2048, 2048, 900, 104};
    assert_refused(lh_key_derive_several(
                       crypto, row("sp800-108-counter"), lh_buf_bytes(&buf), base, NULL, 0, lens, 4, made),
        LH_E_INVALID, "mechanism-param");
}

static void misuse(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *base = key_hex(CKK_GENERIC_SECRET, "0001020304050607");
    static const uint8_t handle[8];
    refuse("concatenate-base-and-key", LH_BYTES(handle, 8), base, 0, "key-type");
    refuse("concatenate-base-and-key", LH_BYTES(handle, 7), base, 0, "mechanism-param");
    refuse("concatenate-base-and-data", LH_BYTES(handle, 8), base, 17, "key-size-range");
    refuse("xor-base-and-data", LH_BYTES_NONE, base, 0, "mechanism-param");
    refuse("xor-base-and-data", LH_BYTES(handle, 8), base, 9, "key-size-range");
    refuse("sha256-key-derivation", LH_BYTES(handle, 1), base, 0, "mechanism-param");
    refuse("sha256-key-derivation", LH_BYTES_NONE, base, 33, "key-size-range");
    static const uint8_t bit[2][4] = {{0, 0, 0, 63}, {0, 0, 0, 64}};
    refuse("extract-key-from-key", LH_BYTES(bit[1], 4), base, 1, "mechanism-param");
    refuse("extract-key-from-key", LH_BYTES(bit[0], 4), base, 0, "template-incomplete");
    refuse("extract-key-from-key", LH_BYTES(bit[0], 4), base, 9, "key-size-range");
    refuse("extract-key-from-key", LH_BYTES(bit[0], 3), base, 1, "mechanism-param");
    refuse("aes-ecb", LH_BYTES_NONE, base, 1, "mechanism-use");
    refuse("pub-key-from-priv-key", LH_BYTES_NONE, base, 1, "key-type");
    LH_AUTO(lh_key_freep) lh_key *aes = key_hex(CKK_AES, "000102030405060708090a0b0c0d0e0f");
    static const uint8_t zeros[64];
    for (size_t len = 0; len < 36; len++)
        if (len % 16 != 0 || len == 0)
            refuse("aes-ecb-encrypt-data", LH_BYTES(zeros, len), aes, 0, "mechanism-param");
    refuse("aes-cbc-encrypt-data", LH_BYTES(zeros, 15), aes, 0, "mechanism-param");
    refuse("aes-cbc-encrypt-data", LH_BYTES(zeros, 20), aes, 0, "mechanism-param");
    refuse("aes-cbc-encrypt-data", LH_BYTES(zeros, 36), aes, 0, "mechanism-param");
    LH_AUTO(lh_key_freep) lh_key *public_half = NULL;
    const lh_key_part parts[] = {
        {CKA_EC_PARAMS, from_hex("06082a8648ce3d030107")}, {CKA_EC_POINT, from_hex(agree_vectors[0].peer)}};
    assert_ok(lh_key_import(crypto, CKK_EC, CKO_PUBLIC_KEY, (lh_key_parts){parts, 2}, &public_half));
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(256);
    lh_bytes good = ecdh_params(&buf, CKD_NULL, LH_BYTES_NONE, from_hex(agree_vectors[0].peer));
    refuse("ecdh", good, public_half, 0, "key-type");
    refuse("ecdh", good, base, 0, "key-type");
    refuse("ecdh", good, NULL, 0, "key-type");
}

static lh_bytes hkdf_params(lh_buf *buf, unsigned extract, unsigned expand, uint32_t hash, uint32_t salt_type)
{
    lh_buf_clear(buf);
    put_u8(buf, extract);
    put_u8(buf, expand);
    put_u32(buf, hash);
    put_u32(buf, salt_type);
    put_blob(buf, LH_BYTES_NONE);
    put_u64(buf, 1);
    put_blob(buf, LH_BYTES_NONE);
    return lh_buf_bytes(buf);
}

static void hkdf_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *base = key_hex(CKK_HKDF, "0001020304050607");
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(256);
    refuse("hkdf", hkdf_params(&buf, 0, 0, CKM_SHA256, 1), base, 16, "mechanism-param");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256_HMAC, 1), base, 16, "mechanism-param");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_MD5, 1), base, 16, "mechanism-param");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256, 0), base, 16, "mechanism-param");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256, 8), base, 16, "mechanism-param");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256, 4), base, 16, "key-type"); /* the salt's key */
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256, 1), base, 0, "template-incomplete");
    refuse("hkdf", hkdf_params(&buf, 1, 0, CKM_SHA256, 1), base, 33, "key-size-range");
    refuse("hkdf", hkdf_params(&buf, 1, 1, CKM_SHA256, 1), base, LH_LIMIT_SECRET_VALUE + 1, "key-size-range");
    lh_bytes whole = hkdf_params(&buf, 1, 1, CKM_SHA256, 1);
    for (size_t len = 0; len < whole.len; len++)
        refuse("hkdf", LH_BYTES(whole.data, len), base, 16, "mechanism-param");
}

/* Every row that derives stands in a vector or a test above. */
static void every_row(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_symmetric(&count);
    for (size_t i = 0; i < count; i++) {
        bool found = rows[i].family != LH_FAMILY_DERIVE || rows[i].type == CKM_DH_PKCS_DERIVE ||
                     rows[i].type == CKM_PUB_KEY_FROM_PRIV_KEY;
        for (size_t j = 0; j < LH_ARRAY_LEN(derive_vectors) && !found; j++)
            found = strcmp(derive_vectors[j].row, rows[i].name) == 0;
        for (size_t j = 0; j < LH_ARRAY_LEN(agree_vectors) && !found; j++)
            found = strcmp(agree_vectors[j].row, rows[i].name) == 0;
        if (!found)
            fail_msg("no vector of %s", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivations),
        cmocka_unit_test(agreements),
        cmocka_unit_test(bad_peers),
        cmocka_unit_test(diffie_hellman),
        cmocka_unit_test(passwords),
        cmocka_unit_test(several),
        cmocka_unit_test(sp800_108_refused),
        cmocka_unit_test(misuse),
        cmocka_unit_test(hkdf_refused),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
