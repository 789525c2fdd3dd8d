/* RSA: every row of it, against the openssl command's results; import, export, generation; refusals. */
#include "pair_fixture.h"
#include "rsa_vectors.h"

static lh_key *key2048;

static int keys_setup(void **state)
{
    if (crypto_setup(state) != 0)
        return -1;
    key2048 = import_ok(CKK_RSA, CKO_PRIVATE_KEY, {CKA_MODULUS, hex_of(rsa2048_n)},
        {CKA_PUBLIC_EXPONENT, hex_of("010001")}, {CKA_PRIVATE_EXPONENT, hex_of(rsa2048_d)},
        {CKA_PRIME_1, hex_of(rsa2048_p)}, {CKA_PRIME_2, hex_of(rsa2048_q)},
        {CKA_EXPONENT_1, hex_of(rsa2048_dp)}, {CKA_EXPONENT_2, hex_of(rsa2048_dq)},
        {CKA_COEFFICIENT, hex_of(rsa2048_qi)});
    return 0;
}

static int keys_teardown(void **state)
{
    lh_key_free(key2048);
    return crypto_teardown(state);
}

static const struct {
    const char *name;
    unsigned long ckm;
    unsigned long ckg;
    size_t len;
} hashes[] = {{"sha1", CKM_SHA_1, CKG_MGF1_SHA1, 20}, {"sha224", CKM_SHA224, CKG_MGF1_SHA224, 28},
    {"sha256", CKM_SHA256, CKG_MGF1_SHA256, 32}, {"sha384", CKM_SHA384, CKG_MGF1_SHA384, 48},
    {"sha512", CKM_SHA512, CKG_MGF1_SHA512, 64}, {"sha3-224", CKM_SHA3_224, CKG_MGF1_SHA3_224, 28},
    {"sha3-256", CKM_SHA3_256, CKG_MGF1_SHA3_256, 32}, {"sha3-384", CKM_SHA3_384, CKG_MGF1_SHA3_384, 48},
    {"sha3-512", CKM_SHA3_512, CKG_MGF1_SHA3_512, 64}};

static size_t hash_of(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(hashes); i++)
        if (strcmp(hashes[i].name, name) == 0)
            return i;
    fail_msg("no hash %s", name);
    return 0;
}

static lh_bytes pss_params(size_t hash, size_t mgf, size_t salt)
{
    static lh_buf buf;
    lh_buf_free(&buf);
    buf = LH_BUF_INIT(64);
    put_u32(&buf, hashes[hash].ckm);
    put_u32(&buf, hashes[mgf].ckg);
    put_u32(&buf, salt);
    return lh_buf_bytes(&buf);
}

static lh_bytes oaep_params(size_t hash, size_t mgf, const char *label)
{
    static lh_buf buf;
    lh_buf_free(&buf);
    buf = LH_BUF_INIT(64);
    put_u32(&buf, hashes[hash].ckm);
    put_u32(&buf, hashes[mgf].ckg);
    put_blob(&buf, LH_BYTES_STR(label));
    return lh_buf_bytes(&buf);
}

static const char *name_of(const char *hash, const char *rest)
{
    static char names[2][32];
    static size_t next;
    char *name = names[next++ % 2];
    (void)snprintf(name, sizeof(names[0]), "%s-rsa-%s", hash, rest);
    return name;
}

/* PKCS #1 v1.5 with a hash has but one signature. */
static void signatures_of_hashes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(rsa_signatures); i++) {
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
        tool pkcs1 = {key2048, name_of(rsa_signatures[i].hash, "pkcs"), LH_BYTES_NONE};
        assert_ok(use(pkcs1, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        assert_bytes_hex(made.data, made.len, rsa_signatures[i].pkcs1);
        sign_and_verify(pkcs1, MESSAGE);
        size_t hash = hash_of(rsa_signatures[i].hash);
        tool pss = {
            key2048, name_of(rsa_signatures[i].hash, "pss"), pss_params(hash, hash, hashes[hash].len)};
        verify_strictly(pss, MESSAGE, hex_of(rsa_signatures[i].pss));
        sign_and_verify(pss, MESSAGE);
    }
    tool md5 = {key2048, "md5-rsa-pkcs", LH_BYTES_NONE};
    verify_strictly(md5, MESSAGE, hex_of(rsa_md5_pkcs1));
    assert_true(row("md5-rsa-pkcs")->legacy);
}

static void pss_of_a_hash(void **state)
{
    (void)state;
    static const uint8_t hash[64] = {1, 2, 3};
    for (size_t i = 0; i < LH_ARRAY_LEN(hashes); i++)
        sign_and_verify((tool){key2048, "rsa-pss", pss_params(i, (i + 1) % LH_ARRAY_LEN(hashes), i)},
            LH_BYTES(hash, hashes[i].len));
    verify_strictly((tool){key2048, "sha256-rsa-pss", pss_params(hash_of("sha256"), hash_of("sha1"), 13)},
        MESSAGE, hex_of(rsa_pss_mixed));
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    tool pss = {key2048, "rsa-pss", pss_params(2, 2, 32)};
    assert_refused(
        use(pss, LH_USE_SIGN, LH_BYTES(hash, 31), LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
    assert_refused(
        use(pss, LH_USE_SIGN, LH_BYTES(hash, 33), LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
    /* Another salt length than was signed with. */
    pss.name = "sha256-rsa-pss";
    pss.params = pss_params(2, 2, 31);
    assert_err(use(pss, LH_USE_VERIFY, MESSAGE, hex_of(rsa_signatures[2].pss), &made), LH_E_SIGNATURE);
}

static void wrong_params(void **state)
{
    (void)state;
    const struct {
        const char *name;
        unsigned use;
        lh_bytes params;
    } cases[] = {{"sha256-rsa-pss", LH_USE_SIGN, pss_params(1, 1, 20)},
        {"sha256-rsa-pss", LH_USE_SIGN, LH_BYTES_NONE}, {"sha256-rsa-pkcs", LH_USE_SIGN, hex_of("00")},
        {"rsa-pss", LH_USE_SIGN, hex_of("0000025000000002000000")},
        {"rsa-pss", LH_USE_SIGN, hex_of("000002500000000200000020ff")},
        {"rsa-pss", LH_USE_SIGN, hex_of("00000251000000020000000020")},
        {"rsa-pss", LH_USE_SIGN, hex_of("000002500000000a00000020")},
        {"rsa-pss", LH_USE_SIGN, hex_of("0000025000000002000000df")}, /* 223 + 32 + 2 > 256 */
        {"rsa-pss", LH_USE_VERIFY, hex_of("0000025000000002ffffffff")},
        {"rsa-oaep", LH_USE_ENCRYPT, hex_of("00000250000000020000000161")}, /* is right: see below */
        {"rsa-oaep", LH_USE_ENCRYPT, hex_of("000002500000000200000002")},
        {"rsa-oaep", LH_USE_DECRYPT, hex_of("0000025000000002")},
        {"rsa-oaep", LH_USE_DECRYPT, LH_BYTES_NONE}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_op *op = NULL;
        lh_bytes params = i == 0 ? pss_params(1, 1, 20) : cases[i].params;
        lh_err err = lh_op_begin(crypto, key2048, row(cases[i].name), cases[i].use, params, &op);
        if (i == 9) {
            assert_ok(err);
            lh_op_free(op);
            continue;
        }
        assert_int_equal(err.code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, "mechanism-param");
    }
    /* The longest salt that fits. */
    sign_and_verify((tool){key2048, "sha256-rsa-pss", pss_params(2, 2, 222)}, MESSAGE);
}

static void pkcs1_without_hash(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    tool t = {key2048, "rsa-pkcs", LH_BYTES_NONE};
    for (int recover = 0; recover < 2; recover++) {
        assert_ok(use(t, recover ? LH_USE_SIGN_RECOVER : LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        assert_bytes_hex(made.data, made.len, rsa_pkcs1_raw_signature);
    }
    verify_strictly(t, MESSAGE, hex_of(rsa_pkcs1_raw_signature));
    assert_ok(use(t, LH_USE_VERIFY_RECOVER, hex_of(rsa_pkcs1_raw_signature), LH_BYTES_NONE, &made));
    assert_true(lh_bytes_equal(lh_buf_bytes(&made), MESSAGE));
    assert_err(
        use(t, LH_USE_VERIFY_RECOVER, hex_of(rsa_raw_signature), LH_BYTES_NONE, &made), LH_E_SIGNATURE);
    assert_refused(
        use(t, LH_USE_VERIFY_RECOVER, MESSAGE, LH_BYTES_NONE, &made), LH_E_INVALID, "signature-length");

    assert_ok(use(t, LH_USE_DECRYPT, hex_of(rsa_pkcs1_ciphertext), LH_BYTES_NONE, &made));
    assert_true(lh_bytes_equal(lh_buf_bytes(&made), MESSAGE));
    static const uint8_t long_data[247] = {1};
    for (size_t len = 0; len <= 245; len += 49) {
        LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(1024);
        assert_ok(use(t, LH_USE_ENCRYPT, LH_BYTES(long_data, len), LH_BYTES_NONE, &made));
        assert_int_equal(made.len, 256);
        assert_ok(use(t, LH_USE_DECRYPT, lh_buf_bytes(&made), LH_BYTES_NONE, &back));
        assert_true(lh_bytes_equal(lh_buf_bytes(&back), LH_BYTES(long_data, len)));
    }
    const unsigned uses[] = {LH_USE_SIGN, LH_USE_SIGN_RECOVER, LH_USE_ENCRYPT};
    for (size_t i = 0; i < LH_ARRAY_LEN(uses); i++)
        assert_refused(
            use(t, uses[i], LH_BYTES(long_data, 246), LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
    sign_and_verify(t, LH_BYTES(long_data, 245));
}

static void raw(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    tool t = {key2048, "rsa-x509", LH_BYTES_NONE};
    for (int recover = 0; recover < 2; recover++) {
        assert_ok(use(t, recover ? LH_USE_SIGN_RECOVER : LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        assert_bytes_hex(made.data, made.len, rsa_raw_signature);
    }
    verify_strictly(t, MESSAGE, hex_of(rsa_raw_signature));
    assert_ok(use(t, LH_USE_VERIFY_RECOVER, hex_of(rsa_raw_signature), LH_BYTES_NONE, &made));
    assert_int_equal(made.len, 256);
    assert_memory_equal(made.data + 256 - MESSAGE.len, MESSAGE.data, MESSAGE.len);
    assert_ok(use(t, LH_USE_ENCRYPT, MESSAGE, LH_BYTES_NONE, &made));
    assert_bytes_hex(made.data, made.len, rsa_raw_ciphertext);
    assert_ok(use(t, LH_USE_DECRYPT, hex_of(rsa_raw_ciphertext), LH_BYTES_NONE, &made));
    assert_int_equal(made.len, 256);
    assert_memory_equal(made.data + 256 - MESSAGE.len, MESSAGE.data, MESSAGE.len);
    assert_refused(use(t, LH_USE_DECRYPT, MESSAGE, LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
    const unsigned uses[] = {LH_USE_SIGN, LH_USE_SIGN_RECOVER, LH_USE_ENCRYPT, LH_USE_DECRYPT};
    for (size_t i = 0; i < LH_ARRAY_LEN(uses); i++)
        assert_refused(
            use(t, uses[i], hex_of(rsa2048_n), LH_BYTES_NONE, &made), LH_E_INVALID, "data-invalid");
    static const uint8_t long_data[257];
    assert_refused(
        use(t, LH_USE_SIGN, LH_BYTES(long_data, 257), LH_BYTES_NONE, &made), LH_E_INVALID, "data-length");
}

static void oaep(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(1024);
    for (size_t i = 0; i < LH_ARRAY_LEN(rsa_oaep); i++) {
        size_t hash = hash_of(rsa_oaep[i].hash);
        size_t mgf = hash_of(rsa_oaep[i].mgf);
        const char *label = rsa_oaep[i].is_labelled ? "label" : "";
        tool t = {key2048, "rsa-oaep", oaep_params(hash, mgf, label)};
        assert_ok(use(t, LH_USE_DECRYPT, hex_of(rsa_oaep[i].ciphertext), LH_BYTES_NONE, &made));
        assert_true(lh_bytes_equal(lh_buf_bytes(&made), MESSAGE));
        static const uint8_t data[256] = {7};
        size_t max = 256 - 2 * hashes[hash].len - 2;
        assert_ok(use(t, LH_USE_ENCRYPT, LH_BYTES(data, max), LH_BYTES_NONE, &made));
        assert_ok(use(t, LH_USE_DECRYPT, lh_buf_bytes(&made), LH_BYTES_NONE, &back));
        assert_true(lh_bytes_equal(lh_buf_bytes(&back), LH_BYTES(data, max)));
        assert_refused(use(t, LH_USE_ENCRYPT, LH_BYTES(data, max + 1), LH_BYTES_NONE, &made), LH_E_INVALID,
            "data-length");
        t.params = oaep_params(hash, mgf, "other");
        assert_refused(use(t, LH_USE_DECRYPT, hex_of(rsa_oaep[i].ciphertext), LH_BYTES_NONE, &made),
            LH_E_CORRUPT, "decrypt");
    }
}

/* Whatever is wrong inside a ciphertext, the answer has the same code, reason and words. */
static void decryption_fails_in_one_way(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    char first[512] = "";
    const char *const wrong[] = {rsa_raw_signature, rsa_raw_ciphertext, rsa_pkcs1_raw_signature, rsa2048_n};
    for (size_t i = 0; i < LH_ARRAY_LEN(wrong); i++) {
        tool t = {key2048, "rsa-oaep", oaep_params(2, 2, "")};
        assert_refused(
            use(t, LH_USE_DECRYPT, hex_of(wrong[i]), LH_BYTES_NONE, &made), LH_E_CORRUPT, "decrypt");
        if (i == 0)
            (void)snprintf(first, sizeof(first), "%s", lh_err_last()->message);
        assert_string_equal(lh_err_last()->message, first);
        assert_int_equal(lh_err_last()->foreign, 0);
        t = (tool){key2048, "rsa-pkcs", LH_BYTES_NONE};
        lh_err err = use(t, LH_USE_DECRYPT, hex_of(wrong[i]), LH_BYTES_NONE, &made);
        if (lh_ok(err)) /* a libcrypto that answers with made-up data */
            continue;
        assert_int_equal(err.code, LH_E_CORRUPT);
        assert_string_equal(lh_err_last()->message, first);
        assert_int_equal(made.len, 0);
    }
}

static void private_keys_need_few_parts(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    const lh_key_part n = {CKA_MODULUS, hex_of(rsa2048_n)};
    const lh_key_part e = {CKA_PUBLIC_EXPONENT, hex_of("010001")};
    const lh_key_part d = {CKA_PRIVATE_EXPONENT, hex_of(rsa2048_d)};
    const lh_key_part p = {CKA_PRIME_1, hex_of(rsa2048_p)};
    const lh_key_part q = {CKA_PRIME_2, hex_of(rsa2048_q)};
    lh_key *keys[] = {import_ok(CKK_RSA, CKO_PRIVATE_KEY, n, e, d), import_ok(CKK_RSA, CKO_PRIVATE_KEY, n, d),
        import_ok(CKK_RSA, CKO_PRIVATE_KEY, n, e, d, p), import_ok(CKK_RSA, CKO_PRIVATE_KEY, n, d, p, q),
        import_ok(CKK_RSA, CKO_PRIVATE_KEY, n, e, d, q, {CKA_PRIME_1, LH_BYTES_NONE})};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++) {
        assert_int_equal(lh_key_bits(keys[i]), 2048);
        tool t = {keys[i], "sha256-rsa-pkcs", LH_BYTES_NONE};
        assert_ok(use(t, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        assert_bytes_hex(made.data, made.len, rsa_signatures[2].pkcs1);
        static exported all;
        all.count = 0;
        assert_ok(lh_key_export(keys[i], CKO_PRIVATE_KEY, keep_part, &all));
        assert_int_equal(all.count, 9); /* every part, and CKA_PUBLIC_KEY_INFO */
        lh_key_free(keys[i]);
    }
}

static void wrong_parts(void **state)
{
    (void)state;
    const lh_key_part n = {CKA_MODULUS, hex_of(rsa2048_n)};
    const lh_key_part e = {CKA_PUBLIC_EXPONENT, hex_of("010001")};
    const lh_key_part d = {CKA_PRIVATE_EXPONENT, hex_of(rsa2048_d)};
    const lh_key_part p = {CKA_PRIME_1, hex_of(rsa2048_p)};
    const lh_key_part q = {CKA_PRIME_2, hex_of(rsa2048_q)};
    const lh_key_part dq = {CKA_EXPONENT_1, hex_of(rsa2048_dq)};
    const lh_key_part qi = {CKA_COEFFICIENT, hex_of(rsa2048_dp)};
    const char *invalid = "attribute-value-invalid";
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, "template-incomplete", n);
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, "template-incomplete", e);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, "template-incomplete", n, e);
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("010000")});
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("01")});
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("00")});
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("010000000000000001")});
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, {CKA_MODULUS, LH_BYTES_NONE}, e);
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, "key-size-range", {CKA_MODULUS, hex_of("c1")}, e);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("03")}, d, p, q);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, {CKA_PUBLIC_EXPONENT, hex_of("03")}, d);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, d, p, {CKA_PRIME_2, hex_of(rsa2048_p)});
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, d, {CKA_PRIME_1, hex_of("01")},
        {CKA_PRIME_2, hex_of(rsa2048_n)});
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, d, p, q, dq);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, d, p, q, qi);
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, {CKA_PRIVATE_EXPONENT, hex_of(rsa2048_dp)});
    import_refused(CKK_RSA, CKO_PRIVATE_KEY, invalid, n, e, {CKA_PRIVATE_EXPONENT, hex_of(rsa2048_n)}, p, q);
    static const uint8_t long_number[1025] = {1};
    import_refused(CKK_RSA, CKO_PUBLIC_KEY, invalid, {CKA_MODULUS, LH_BYTES(long_number, 1025)}, e);
    import_refused(CKK_RSA, CKO_SECRET_KEY, "key-type", n, e);
    import_refused(CKK_RSA, CKO_CERTIFICATE, "key-type", n, e);
    import_refused(CKK_DSA, CKO_PUBLIC_KEY, "key-type", n, e);
}

/* Short keys are for old data: verified with, where a partition's policy allows it. */
static void short_keys(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep)
    lh_key *key = import_ok(
        CKK_RSA, CKO_PUBLIC_KEY, {CKA_MODULUS, hex_of(rsa1024_n)}, {CKA_PUBLIC_EXPONENT, hex_of("010001")});
    verify_strictly((tool){key, "sha256-rsa-pkcs", LH_BYTES_NONE}, MESSAGE, hex_of(rsa1024_sha256_pkcs1));
    assert_true(lh_mechanism_needs_legacy(row("sha256-rsa-pkcs"), lh_key_bits(key)));
    assert_false(lh_mechanism_needs_legacy(row("sha256-rsa-pkcs"), 2048));
    assert_true(lh_mechanism_needs_legacy(row("md5-rsa-pkcs"), 4096));
    assert_false(lh_mechanism_needs_legacy(row("ecdsa"), 256));
    assert_true(lh_mechanism_is_for_old_data(LH_USE_VERIFY) && lh_mechanism_is_for_old_data(LH_USE_UNWRAP));
    assert_false(lh_mechanism_is_for_old_data(LH_USE_SIGN) || lh_mechanism_is_for_old_data(LH_USE_ENCRYPT));
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
    assert_refused(
        use((tool){key, "sha256-rsa-pkcs", LH_BYTES_NONE}, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made),
        LH_E_INVALID, "key-type"); /* no private half */
    assert_refused(use((tool){key, "rsa-pkcs", LH_BYTES_NONE}, LH_USE_DECRYPT, MESSAGE, LH_BYTES_NONE, &made),
        LH_E_INVALID, "key-type");
    /* SHA-512's PSS does not fit into it with a salt of 64 bytes: 1024 bits are 128 bytes. */
    lh_op *op = NULL;
    assert_refused(lh_op_begin(crypto, key, row("sha512-rsa-pss"), LH_USE_VERIFY, pss_params(4, 4, 64), &op),
        LH_E_INVALID, "mechanism-param");
}

static void generation(void **state)
{
    (void)state;
    const unsigned sizes[] = {2048, 3072, 4096};
    for (size_t i = 0; i < LH_ARRAY_LEN(sizes); i++) {
        const lh_key_part parts[] = {
            {CKA_MODULUS_BITS, ulong_of(sizes[i])}, {CKA_PUBLIC_EXPONENT, hex_of("010001")}};
        LH_AUTO(lh_key_freep) lh_key *key = generate_parts("rsa-keygen", parts, i == 0 ? 1 : 2, NULL);
        LH_AUTO(lh_key_freep) lh_key *private = NULL;
        LH_AUTO(lh_key_freep) lh_key *public = NULL;
        assert_int_equal(lh_key_bits(key), sizes[i]);
        export_and_import(key, &private, &public);
        LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(1024);
        assert_ok(use(
            (tool){key, "sha256-rsa-pss", pss_params(2, 2, 32)}, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        verify_strictly((tool){public, "sha256-rsa-pss", pss_params(2, 2, 32)}, MESSAGE, lh_buf_bytes(&made));
        assert_ok(use((tool){public, "rsa-oaep", oaep_params(2, 2, "")}, LH_USE_ENCRYPT, MESSAGE,
            LH_BYTES_NONE, &made));
        LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(1024);
        assert_ok(use((tool){private, "rsa-oaep", oaep_params(2, 2, "")}, LH_USE_DECRYPT, lh_buf_bytes(&made),
            LH_BYTES_NONE, &back));
        assert_true(lh_bytes_equal(lh_buf_bytes(&back), MESSAGE));
    }
    generate_parts("rsa-keygen", &(lh_key_part){CKA_MODULUS_BITS, ulong_of(1024)}, 1, "key-size-range");
    generate_parts("rsa-keygen", &(lh_key_part){CKA_MODULUS_BITS, ulong_of(8193)}, 1, "key-size-range");
    generate_parts(
        "rsa-keygen", &(lh_key_part){CKA_MODULUS_BITS, hex_of("0800")}, 1, "attribute-value-invalid");
    generate_parts("rsa-keygen", NULL, 0, "template-incomplete");
    const lh_key_part even[] = {{CKA_MODULUS_BITS, ulong_of(2048)}, {CKA_PUBLIC_EXPONENT, hex_of("010000")}};
    generate_parts("rsa-keygen", even, 2, "attribute-value-invalid");
    lh_key *key = NULL;
    assert_refused(lh_key_generate(crypto, row("rsa-keygen"), hex_of("00"), (lh_key_parts){even, 1}, &key),
        LH_E_INVALID, "mechanism-param");
    assert_refused(lh_key_generate(crypto, row("rsa-pss"), LH_BYTES_NONE, (lh_key_parts){even, 1}, &key),
        LH_E_INVALID, "mechanism-use");
}

static void every_row(void **state)
{
    (void)state;
    assert_all_tried(LH_TYPE_RSA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_of_hashes),
        cmocka_unit_test(pss_of_a_hash),
        cmocka_unit_test(wrong_params),
        cmocka_unit_test(pkcs1_without_hash),
        cmocka_unit_test(raw),
        cmocka_unit_test(oaep),
        cmocka_unit_test(decryption_fails_in_one_way),
        cmocka_unit_test(private_keys_need_few_parts),
        cmocka_unit_test(wrong_parts),
        cmocka_unit_test(short_keys),
        cmocka_unit_test(generation),
        cmocka_unit_test(every_row),
    };
    return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
