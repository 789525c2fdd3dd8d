/* Signatures of the log and of TPM keys. The RSA key and its signatures over "sample" were made with Python's
 * cryptography package, the private key thrown away. */
#include "crypto/sign.h"

#include "crypto/hash.h"
#include "support.h"

static const char modulus_hex[] =
    "b17edb06e58207ef8c9397d354c89dad90c7c3504a6ba4a86074b38b1e4a5f891505b389846d9b70de4a9047ef9342f2"
    "ed3f8b21f2e9f9b8835bee2879f7274ca46151c85ec984a09156d564045da5bd787985bf553869ba23e4689fc70506ca"
    "4caa47af388a7cf136bc635dfff324b9e9e966e4492d64cdb8e78bdcdbcb7b187144571df0353d647fbc5e23860d4021"
    "8e7e0bfd27b69ef9ca74ca1bf40c1c71a37d80bb725950b495170f7e55805a0b1cbf75ff030012cc8141a76e0d9d2b1b"
    "cfbae50502adc687db23fb7f0ec60d50a0a04a9c8f4b1745eaa0758393c3f10d90706003e1dcf7977d010a48121ccfec"
    "81d59c92224c860094ab01053a0f0205";
static const char pkcs1_sha256[] =
    "9fefc90128b90c265987d859fafebebf829c833247fd43f03788e2e70e8a7b258a46ce7dcabebd8d86bfec81bd42ddf0"
    "15d59b3200adc6d1c3a10186c4887b483e2bd6be90c6cfe8b5ac1d26df56b56b99a5840d56cd692a8d442e2dd8fc424b"
    "a983914721861ea2804416b3c53731dd6475859df873521b42e5235d37e6401a46c284315f569d50ffdb9df8820a39ae"
    "bbc2cbbacbc30eaeb927f9abe7da85c800b153361aca1a45795de2fa62ebded74dff5afe1224d1eb4b24ad878185cd80"
    "7a3f8b3797deea9184990581155077d6dc55e92dfc8d3b3def60749e3b384a96b860dcc133d60a99a458d3884e3c3766"
    "f097d006d483b144a3d1f8bdcb43b00c";
static const char pkcs1_sha384[] =
    "3bd65bae47103fe36b4a6bd5321c689cb0be0285e77510c4d37a61502197f250303cfd0c1d41172112afd7646152d60f"
    "bc487053a357e7b45c4d0de287f18e1c3662eabc38a545624c716a902602e84a6e4aa76a61ebe6fc3b74c06098099fd6"
    "dec8fdb5daad29fb502c51a0877a752dd174b41375f7105666a12bed3f050d7537e2073399a1e863d7be542a568042be"
    "82799ad5e8c44c11c3817fe315059516bbeef01e117b3eef95e036899637707728dc9b35f107b33546c5fd7f3b230e54"
    "25122b5180b7f5e99bdc770d7e95af4f0675e204de42e1866aa103009cc2d4c1a6ec828f85b99d114388f03bacbe2d11"
    "f868054e9533a8c2beb2615518b7a5e8";
static const char pss_salt32[] =
    "8db895a0e2b1743ad41e88319e9cd40addabb694b1a9c2f297c829d7288fb4d3274ea107bc464e02d00baf5548037828"
    "8465c38cbf0fb08fdb3cda56cc1f841355a9a291f021fe6d4a19de41ee202f2bf93e32e199118f0b8baf3d9261ac23b2"
    "9c5ed2a971942e62e7dad0e6ff0c5da91996b9b5e5630a82e53c07b6a2be88d3e28914605fb6ea6b365703e668d48bed"
    "29054795bcef7cb691c03dfbfbe937738d360a021aba44205b3e77c03c91f5553ee4bb4f470367ed7ec2d4661e7a54c9"
    "0904a383d4120b792e2e8cfee84cb79d978ccd9a06e22056f9d4143db33cac31cec566aced1ea7563dcee965d1667de8"
    "c482eec4ca1abdf4f40070e211487e47";
static const char pss_salt222[] =
    "62dc34bbcf93cda0badd1cfd68e6b748e444d089e98aea489561347f43a68b527d2c146089b09cc0e87fdd964cf91a0f"
    "6a8980aadb9ff6b51b8060805891c50eac31195dca30bc19c4967fefe64778f7973b5be5e9933a0b5e607ab9f9b8c6f3"
    "22f5328acd34feac11e1e855480f91a7405177b1a73ce77c76189ec8548b5fd188b41de8c5af8bbeb9d84bb01ab4f443"
    "fa43b26771ce4c7c5c4023d10416b1f80a702a872faebf582dcfc4f627f865460716e0906d7139884a8619d38103acec"
    "3f30baa13417db5c5e5c6a76fa192c60f1a90997d392ef25d9a30e1596f8da3e31631fe564a32aecfb57fa116b48d911"
    "89fcb77523f68f51319e52b1d39acfcb";
static const char weak_modulus_hex[] =
    "f9a5c12588b063fa070dd0e8fe4811158687b12d613e3ee96f24865b415aadde9f4a85efde1cba2f8fdcca598f1bc46f"
    "3f3c4d5c79890d0e3555037aa589e47d49730b1de1e7d8e7b6235be1fec5e7d902dd302c5e1364a9382b13072fd6f524"
    "c0fd5c6ef59869c0cc210b66d9c977465b2add7e08811748cff95a9b5538665f";

static void digest_of_sample(size_t size, uint8_t out[64])
{
    lh_bytes sample = LH_BYTES_STR("sample");
    assert_ok(size == 32   ? lh_sha256(crypto, &sample, 1, out)
              : size == 48 ? lh_sha384(crypto, &sample, 1, out)
                           : lh_sha512(crypto, &sample, 1, out));
}

/* RFC 8032 section 7.1, TEST 3. */
static void ed25519(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep)
    lh_secret *seed = secret_hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    uint8_t key[32];
    uint8_t signature[64];
    assert_ok(lh_ed25519_public(crypto, seed, key));
    assert_bytes_hex(key, 32, "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    lh_bytes data = from_hex("af82");
    assert_ok(lh_ed25519_sign(crypto, seed, data, signature));
    assert_bytes_hex(signature, 64,
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
    assert_ok(lh_ed25519_verify(crypto, key, data, signature));
    for (size_t i = 0; i < 64; i++) {
        signature[i] ^= 1;
        assert_err(lh_ed25519_verify(crypto, key, data, signature), LH_E_SIGNATURE);
        signature[i] ^= 1;
    }
    assert_err(lh_ed25519_verify(crypto, key, LH_BYTES(data.data, 1), signature), LH_E_SIGNATURE);
    key[0] ^= 1;
    assert_err(lh_ed25519_verify(crypto, key, data, signature), LH_E_SIGNATURE);
    lh_secret_truncate(seed, 31);
    assert_refused(lh_ed25519_public(crypto, seed, key), LH_E_INVALID, "key-material");
    assert_refused(lh_ed25519_sign(crypto, seed, data, signature), LH_E_INVALID, "key-material");
}

/* RFC 6979 appendix A.2.5. */
static const char point_hex[] = "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                                "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
static const char signature_hex[] = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                                    "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";

static void p256(void **state)
{
    (void)state;
    lh_bytes want = from_hex(point_hex);
    uint8_t point[65];
    assert_ok(lh_p256_point(LH_BYTES(want.data + 1, 32), LH_BYTES(want.data + 33, 32), point));
    assert_memory_equal(point, want.data, 65);
    lh_bytes rs = from_hex(signature_hex);
    uint8_t signature[64];
    assert_ok(lh_p256_signature(LH_BYTES(rs.data, 32), LH_BYTES(rs.data + 32, 32), signature));
    uint8_t digest[64];
    digest_of_sample(32, digest);
    lh_bytes d = LH_BYTES(digest, 32);
    assert_ok(lh_p256_verify(crypto, point, d, signature));
    for (size_t i = 0; i < 64; i++) {
        signature[i] ^= 1;
        assert_err(lh_p256_verify(crypto, point, d, signature), LH_E_SIGNATURE);
        signature[i] ^= 1;
    }
    digest[31] ^= 1;
    assert_err(lh_p256_verify(crypto, point, d, signature), LH_E_SIGNATURE);
    assert_err(lh_p256_verify(crypto, point, LH_BYTES_NONE, signature), LH_E_INVALID);
    point[64] ^= 1;
    assert_refused(lh_p256_verify(crypto, point, d, signature), LH_E_INVALID, "key-public");
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(128);
    assert_refused(lh_p256_spki(crypto, point, &out), LH_E_INVALID, "key-public");
    /* Numbers that a TPM gives without leading zeros, and ones that are too long. */
    const uint8_t one = 1;
    assert_ok(lh_p256_signature(LH_BYTES(&one, 1), LH_BYTES_NONE, signature));
    assert_int_equal(signature[31], 1);
    assert_int_equal(signature[63], 0);
    assert_err(lh_p256_signature(LH_BYTES(want.data, 33), LH_BYTES(&one, 1), signature), LH_E_SIGNATURE);
    assert_refused(
        lh_p256_point(LH_BYTES(want.data, 33), LH_BYTES(&one, 1), point), LH_E_INVALID, "key-public");
}

static void p256_der(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        const char *der;
    } good[] = {
        {signature_hex, "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                        "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
        {"0000000000000000000000000000000000000000000000000000000000000001"
         "0000000000000000000000000000000000000000000000000000000000000080",
            "300702010102020080"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(good); i++) {
        LH_AUTO(lh_buf_free) lh_buf der = LH_BUF_INIT(LH_P256_DER_MAX);
        assert_ok(lh_p256_signature_to_der(from_hex(good[i].raw).data, &der));
        assert_bytes_hex(der.data, der.len, good[i].der);
        uint8_t raw[64];
        assert_ok(lh_p256_signature_from_der(lh_buf_bytes(&der), raw));
        assert_bytes_hex(raw, 64, good[i].raw);
        for (size_t len = 0; len < der.len; len++)
            assert_err(lh_p256_signature_from_der(LH_BYTES(der.data, len), raw), LH_E_SIGNATURE);
    }
    static const char *const bad[] = {
        "", "30", "310602010102010200", /* not a SEQUENCE */
        "3006020101020102aa",           /* bytes left over */
        "3007020101020102aa",           /* within it */
        "30810602010102010200",         /* a longer form of the length */
        "300702010102020002",           /* a needless zero */
        "3006020101020180",             /* negative */
        "3005020002020102",             /* an empty INTEGER */
        "3006030101020102",             /* not an INTEGER */
        "3080020101020102",             /* indefinite length */
        "3026022101ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff020101", /* 33 bytes */
    };
    uint8_t raw[64];
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++)
        assert_err(lh_p256_signature_from_der(from_hex(bad[i]), raw), LH_E_SIGNATURE);
}

static void rsa(void **state)
{
    (void)state;
    static const struct {
        const char *signature;
        enum lh_rsa_scheme scheme;
        size_t digest;
    } cases[] = {{pkcs1_sha256, LH_RSA_PKCS1, 32}, {pkcs1_sha384, LH_RSA_PKCS1, 48},
        {pss_salt32, LH_RSA_PSS, 32}, {pss_salt222, LH_RSA_PSS, 32}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_rsa_public key = {.modulus = from_hex(modulus_hex)};
        uint8_t digest[64];
        digest_of_sample(cases[i].digest, digest);
        lh_bytes d = LH_BYTES(digest, cases[i].digest);
        uint8_t signature[256];
        assert_ok(lh_unhex(cases[i].signature, signature, 256));
        lh_bytes s = LH_BYTES(signature, 256);
        assert_ok(lh_rsa_verify(crypto, &key, cases[i].scheme, d, s));
        key.exponent = 65537;
        assert_ok(lh_rsa_verify(crypto, &key, cases[i].scheme, d, s));
        key.exponent = 65539;
        assert_err(lh_rsa_verify(crypto, &key, cases[i].scheme, d, s), LH_E_SIGNATURE);
        key.exponent = 0;
        enum lh_rsa_scheme other = cases[i].scheme == LH_RSA_PSS ? LH_RSA_PKCS1 : LH_RSA_PSS;
        assert_err(lh_rsa_verify(crypto, &key, other, d, s), LH_E_SIGNATURE);
        assert_err(lh_rsa_verify(crypto, &key, cases[i].scheme, d, LH_BYTES(signature, 255)), LH_E_SIGNATURE);
        for (size_t at = 0; at < 256; at += 17) {
            signature[at] ^= 1;
            assert_err(lh_rsa_verify(crypto, &key, cases[i].scheme, d, s), LH_E_SIGNATURE);
            signature[at] ^= 1;
        }
        digest[0] ^= 1;
        assert_err(lh_rsa_verify(crypto, &key, cases[i].scheme, d, s), LH_E_SIGNATURE);
    }
}

static void rsa_refused(void **state)
{
    (void)state;
    uint8_t digest[64];
    digest_of_sample(32, digest);
    lh_bytes d = LH_BYTES(digest, 32);
    lh_rsa_public key = {.modulus = from_hex(modulus_hex)};
    lh_bytes s = from_hex(pkcs1_sha256);
    assert_err(lh_rsa_verify(crypto, &key, LH_RSA_PKCS1, LH_BYTES(digest, 20), s), LH_E_INVALID);
    static const uint32_t exponents[] = {1, 3, 65535, 65538};
    for (size_t i = 0; i < LH_ARRAY_LEN(exponents); i++) {
        key.exponent = exponents[i];
        assert_refused(lh_rsa_verify(crypto, &key, LH_RSA_PKCS1, d, s), LH_E_INVALID, "key-public");
    }
    key.exponent = 0;
    uint8_t even[256];
    memcpy(even, key.modulus.data, 256);
    even[255] ^= 1;
    key.modulus = LH_BYTES(even, 256);
    assert_refused(lh_rsa_verify(crypto, &key, LH_RSA_PKCS1, d, s), LH_E_INVALID, "key-public");
    key.modulus = from_hex(weak_modulus_hex);
    assert_refused(
        lh_rsa_verify(crypto, &key, LH_RSA_PKCS1, d, LH_BYTES(s.data, 128)), LH_E_INVALID, "key-public");
    static uint8_t huge[1025];
    memset(huge, 0xff, sizeof(huge));
    key.modulus = LH_BYTES(huge, sizeof(huge));
    assert_refused(lh_rsa_verify(crypto, &key, LH_RSA_PKCS1, d, s), LH_E_INVALID, "key-public");
}

/* RFC 6979 A.2.6, "sample" with SHA-384; numbers that are altered, too long, or no point. */
static void p384(void **state)
{
    (void)state;
    uint8_t x[48], y[48], r[48], s[48], digest[48];
    memcpy(x,
        from_hex("ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a25451548"
                 "0bc13")
            .data,
        48);
    memcpy(y,
        from_hex("8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd25332"
                 "64720")
            .data,
        48);
    memcpy(r,
        from_hex("94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80f"
                 "abe46")
            .data,
        48);
    memcpy(s,
        from_hex("99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a386"
                 "28ac8")
            .data,
        48);
    const lh_bytes sample = LH_BYTES_STR("sample"), hash = LH_BYTES(digest, 48);
    assert_ok(lh_sha384(crypto, &sample, 1, digest));
    assert_ok(
        lh_p384_verify(crypto, LH_BYTES(x, 48), LH_BYTES(y, 48), hash, LH_BYTES(r, 48), LH_BYTES(s, 48)));
    uint8_t *const each[] = {digest, r, s};
    for (size_t i = 0; i < 3; i++) {
        each[i][47] ^= 1;
        assert_err(
            lh_p384_verify(crypto, LH_BYTES(x, 48), LH_BYTES(y, 48), hash, LH_BYTES(r, 48), LH_BYTES(s, 48)),
            LH_E_SIGNATURE);
        each[i][47] ^= 1;
    }
    uint8_t long_s[49] = {0};
    memcpy(long_s + 1, s, 48);
    assert_err(
        lh_p384_verify(crypto, LH_BYTES(x, 48), LH_BYTES(y, 48), hash, LH_BYTES(r, 48), LH_BYTES(long_s, 49)),
        LH_E_SIGNATURE);
    assert_err(
        lh_p384_verify(crypto, LH_BYTES(x, 48), LH_BYTES(long_s, 49), hash, LH_BYTES(r, 48), LH_BYTES(s, 48)),
        LH_E_INVALID);
    assert_err(lh_p384_verify(crypto, LH_BYTES_NONE, LH_BYTES(y, 48), hash, LH_BYTES(r, 48), LH_BYTES(s, 48)),
        LH_E_INVALID);
    assert_err(lh_p384_verify(
                   crypto, LH_BYTES(x, 48), LH_BYTES(y, 48), LH_BYTES_NONE, LH_BYTES(r, 48), LH_BYTES(s, 48)),
        LH_E_INVALID);
    y[0] ^= 1; /* not on the curve */
    assert_err(
        lh_p384_verify(crypto, LH_BYTES(x, 48), LH_BYTES(y, 48), hash, LH_BYTES(r, 48), LH_BYTES(s, 48)),
        LH_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ed25519),
        cmocka_unit_test(p256),
        cmocka_unit_test(p256_der),
        cmocka_unit_test(p384),
        cmocka_unit_test(rsa),
        cmocka_unit_test(rsa_refused),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
