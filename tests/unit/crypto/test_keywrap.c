/* Keys out and in again under every row that wraps: what comes back, what is refused, and that whatever is
 * wrong with a wrapped key is refused in one way. Also how secret keys are made, and their check values. */
#include "crypto/keywrap.h"

#include "crypto/operation.h"
#include "symmetric.h"

static const uint8_t bytes[64] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

/* Good parameters of each row that wraps. */
static lh_bytes good_params(const lh_mechanism *r, lh_buf *buf, size_t data_len)
{
    lh_buf_clear(buf);
    if (r->param == LH_PARAM_CCM)
        put_u64(buf, data_len);
    if (r->param == LH_PARAM_IV16 || r->param == LH_PARAM_IV8)
        lh_buf_append(buf, bytes, r->param == LH_PARAM_IV16 ? 16 : 8);
    if (r->param == LH_PARAM_CTR) {
        put_u32(buf, 128);
        lh_buf_append(buf, bytes, 16);
    }
    if (r->family == LH_FAMILY_AEAD) {
        put_blob(buf, LH_BYTES(bytes, 12));
        put_blob(buf, LH_BYTES_STR("aad"));
    }
    if (r->param == LH_PARAM_GCM || r->param == LH_PARAM_CCM)
        put_u32(buf, r->param == LH_PARAM_GCM ? 128 : 16);
    return lh_buf_bytes(buf);
}

static lh_err collect(void *arg, unsigned long type, lh_bytes value, bool secret)
{
    (void)secret;
    lh_buf *out = arg;
    put_u64(out, type);
    put_blob(out, value);
    return lh_buf_status(out);
}

static void assert_same(const lh_key *a, const lh_key *b, unsigned long ck_class)
{
    LH_AUTO(lh_buf_free) lh_buf left = LH_BUF_INIT(65536);
    LH_AUTO(lh_buf_free) lh_buf right = LH_BUF_INIT(65536);
    assert_ok(lh_key_export(a, ck_class, collect, &left));
    assert_ok(lh_key_export(b, ck_class, collect, &right));
    assert_true(lh_bytes_equal(lh_buf_bytes(&left), lh_buf_bytes(&right)));
}

static lh_key *p256(void)
{
    static const char oid[] = "06082a8648ce3d030107";
    const lh_key_part parts[] = {{CKA_EC_PARAMS, from_hex(oid)}, {CKA_VALUE, LH_BYTES(bytes, 32)}};
    lh_key *key = NULL;
    assert_ok(lh_key_import(crypto, CKK_EC, CKO_PRIVATE_KEY, (lh_key_parts){parts, 2}, &key));
    return key;
}

/* A key that the row wraps with. */
static lh_key *wrapping_key(const lh_mechanism *r)
{
    if (r->keys & LH_TYPE_AES)
        return key_of(CKK_AES, LH_BYTES(bytes, 24));
    return r->keys & LH_TYPE_CHACHA20 ? key_of(CKK_CHACHA20, LH_BYTES(bytes, 32))
                                      : key_of(CKK_DES3, LH_BYTES(bytes, 24));
}

/* The lengths of a CCM parameter do not fit before it is known what is wrapped: a PKCS#8 P-256 key has 138
 * bytes. */
static void round_trip(const lh_mechanism *r, const lh_key *key, unsigned long ck_class, size_t len)
{
    LH_AUTO(lh_key_freep) lh_key *wrapping = wrapping_key(r);
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(4096);
    lh_bytes params = good_params(r, &buf, len);
    lh_err err = lh_key_wrap(crypto, r, params, wrapping, key, &wrapped);
    if (!lh_ok(err))
        fail_msg("%s: %s", r->name, lh_err_last()->message);
    LH_AUTO(lh_key_freep) lh_key *back = NULL;
    size_t value_len = ck_class == CKO_SECRET_KEY ? len : 0;
    err = lh_key_unwrap(
        crypto, r, params, wrapping, lh_buf_bytes(&wrapped), ck_class, lh_key_ck_type(key), value_len, &back);
    if (!lh_ok(err))
        fail_msg("%s: %s", r->name, lh_err_last()->message);
    assert_same(key, back, ck_class);
}

static bool is_symmetric_wrap(const lh_mechanism *r)
{
    return (r->uses & LH_USE_WRAP) && !(r->keys & LH_TYPE_RSA);
}

static void every_row(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_symmetric(&count);
    LH_AUTO(lh_key_freep) lh_key *pair = p256();
    size_t tried = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_symmetric_wrap(&rows[i]))
            continue;
        static const size_t lens[] = {16, 24, 20, 1, 64};
        for (size_t j = 0; j < LH_ARRAY_LEN(lens); j++) {
            LH_AUTO(lh_key_freep) lh_key *key = key_of(CKK_GENERIC_SECRET, LH_BYTES(bytes, lens[j]));
            bool kw = rows[i].type == CKM_AES_KEY_WRAP;
            bool short_pkcs7 = rows[i].type == CKM_AES_KEY_WRAP_PKCS7 && lens[j] < 8;
            if (!(kw && (lens[j] < 16 || lens[j] % 8 != 0)) && !short_pkcs7)
                round_trip(&rows[i], key, CKO_SECRET_KEY, lens[j]);
        }
        bool whole = rows[i].padding || rows[i].family == LH_FAMILY_AEAD || rows[i].type == CKM_AES_CTR ||
                     strcmp(rows[i].cipher ? rows[i].cipher : "", "WRAP-PAD") == 0;
        if (whole)
            round_trip(&rows[i], pair, CKO_PRIVATE_KEY, 138);
        tried++;
    }
    assert_int_equal(tried, 14);
}

/* Each byte changed, each length less: one refusal. CBC notices only its padding and the key's own structure.
 */
static void tampered(void **state)
{
    (void)state;
    static const char *const names[] = {"aes-key-wrap", "aes-key-wrap-kwp", "aes-key-wrap-pkcs7", "aes-gcm"};
    LH_AUTO(lh_key_freep) lh_key *kek = key_of(CKK_AES, LH_BYTES(bytes, 32));
    LH_AUTO(lh_key_freep) lh_key *key = key_of(CKK_AES, LH_BYTES(bytes, 16));
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(256);
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        const lh_mechanism *r = row(names[i]);
        LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(4096);
        lh_bytes params = good_params(r, &buf, 16);
        assert_ok(lh_key_wrap(crypto, r, params, kek, key, &wrapped));
        lh_key *back = NULL;
        for (size_t at = 0; at < wrapped.len; at++) {
            wrapped.data[at] ^= 0x40;
            assert_refused(lh_key_unwrap(crypto, r, params, kek, lh_buf_bytes(&wrapped), CKO_SECRET_KEY,
                               CKK_AES, 0, &back),
                LH_E_CORRUPT, "wrapped-key-invalid");
            wrapped.data[at] ^= 0x40;
        }
        for (size_t len = 0; len < wrapped.len; len++) {
            lh_err err = lh_key_unwrap(
                crypto, r, params, kek, LH_BYTES(wrapped.data, len), CKO_SECRET_KEY, CKK_AES, 0, &back);
            assert_true(err.code == LH_E_CORRUPT || err.code == LH_E_INVALID);
            const char *reason = lh_err_last()->reason;
            assert_true(
                strcmp(reason, "wrapped-key-invalid") == 0 || strcmp(reason, "wrapped-key-len-range") == 0);
        }
        /* It is no key of that type; nor is it that long. */
        assert_refused(
            lh_key_unwrap(crypto, r, params, kek, lh_buf_bytes(&wrapped), CKO_SECRET_KEY, CKK_DES3, 0, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
        assert_refused(
            lh_key_unwrap(crypto, r, params, kek, lh_buf_bytes(&wrapped), CKO_SECRET_KEY, CKK_AES, 24, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
        assert_refused(
            lh_key_unwrap(crypto, r, params, kek, lh_buf_bytes(&wrapped), CKO_PRIVATE_KEY, CKK_EC, 0, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
        assert_null(back);
    }
}

/* Padding that is wrong, and padding that is right around what is no key, look the same. */
static void no_padding_oracle(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *kek = key_of(CKK_AES, LH_BYTES(bytes, 16));
    const lh_mechanism *r = row("aes-cbc-pad");
    uint8_t wrapped[48];
    for (unsigned i = 0; i < 512; i++) {
        memset(wrapped, (int)(i & 0xff), sizeof(wrapped));
        wrapped[0] = (uint8_t)(i >> 8);
        lh_key *back = NULL;
        assert_refused(lh_key_unwrap(crypto, r, LH_BYTES(bytes, 16), kek, LH_BYTES(wrapped, sizeof(wrapped)),
                           CKO_PRIVATE_KEY, CKK_EC, 0, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
    }
}

static void refused(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *kek = key_of(CKK_AES, LH_BYTES(bytes, 16));
    LH_AUTO(lh_key_freep) lh_key *odd = key_of(CKK_GENERIC_SECRET, LH_BYTES(bytes, 17));
    LH_AUTO(lh_key_freep) lh_key *pair = p256();
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    assert_refused(lh_key_wrap(crypto, row("aes-key-wrap"), LH_BYTES_NONE, kek, odd, &out), LH_E_DENIED,
        "key-not-wrappable");
    assert_refused(lh_key_wrap(crypto, row("aes-cbc"), LH_BYTES(bytes, 16), kek, pair, &out), LH_E_DENIED,
        "key-not-wrappable");
    assert_refused(
        lh_key_wrap(crypto, row("aes-key-wrap"), LH_BYTES_NONE, odd, kek, &out), LH_E_INVALID, "key-type");
    assert_refused(
        lh_key_wrap(crypto, row("sha256"), LH_BYTES_NONE, kek, odd, &out), LH_E_INVALID, "mechanism-use");
    assert_refused(lh_key_wrap(crypto, row("aes-key-wrap-kwp"), LH_BYTES(bytes, 8), kek, odd, &out),
        LH_E_INVALID, "mechanism-param");
    assert_refused(lh_key_wrap(crypto, row("aes-key-wrap"), LH_BYTES(bytes, 4), kek, kek, &out), LH_E_INVALID,
        "mechanism-param");
    const lh_key_part parts[] = {{CKA_EC_PARAMS, from_hex("06082a8648ce3d030107")},
        {CKA_EC_POINT, from_hex("04515c3d6eb9e396b904d3feca7f54fdcd0cc1e997bf375dca515ad0a6c3b4035f"
                                "4536be3a50f318fbf9a5475902a221502bef0d57e08c53b2cc0a56f17d9f9354")}};
    LH_AUTO(lh_key_freep) lh_key *public_half = NULL;
    assert_ok(lh_key_import(crypto, CKK_EC, CKO_PUBLIC_KEY, (lh_key_parts){parts, 2}, &public_half));
    assert_refused(lh_key_wrap(crypto, row("aes-key-wrap-kwp"), LH_BYTES_NONE, kek, public_half, &out),
        LH_E_DENIED, "key-not-wrappable");
    assert_int_equal(out.len, 0);
    lh_key *back = NULL;
    assert_refused(lh_key_unwrap(crypto, row("sha256"), LH_BYTES_NONE, kek, LH_BYTES(bytes, 24),
                       CKO_SECRET_KEY, CKK_AES, 0, &back),
        LH_E_INVALID, "mechanism-use");
    assert_refused(lh_key_unwrap(crypto, row("aes-key-wrap"), LH_BYTES_NONE, odd, LH_BYTES(bytes, 24),
                       CKO_SECRET_KEY, CKK_AES, 0, &back),
        LH_E_INVALID, "key-type");
}

/* With another IV than the RFC's, it comes apart with that one only. */
static void other_iv(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *kek = key_of(CKK_AES, LH_BYTES(bytes, 16));
    static const char *const names[] = {"aes-key-wrap", "aes-key-wrap-kwp"};
    for (size_t i = 0; i < 2; i++) {
        LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(4096);
        lh_bytes iv = LH_BYTES(bytes, i == 0 ? 8 : 4);
        assert_ok(lh_key_wrap(crypto, row(names[i]), iv, kek, kek, &wrapped));
        LH_AUTO(lh_key_freep) lh_key *back = NULL;
        assert_refused(lh_key_unwrap(crypto, row(names[i]), LH_BYTES_NONE, kek, lh_buf_bytes(&wrapped),
                           CKO_SECRET_KEY, CKK_AES, 0, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
        assert_ok(lh_key_unwrap(
            crypto, row(names[i]), iv, kek, lh_buf_bytes(&wrapped), CKO_SECRET_KEY, CKK_AES, 0, &back));
        assert_same(kek, back, CKO_SECRET_KEY);
    }
}

/* What authenticates, but was wrapped by somebody who pads wrongly or adds bytes. */
static void wrongly_made(void **state)
{
    (void)state;
    static const uint8_t pads[][3] = {{8, 8, 0}, {8, 8, 9}, {1, 2, 3}, {8, 7, 8}, {3, 3, 200}};
    LH_AUTO(lh_key_freep) lh_key *kek = key_of(CKK_AES, LH_BYTES(bytes, 16));
    for (size_t i = 0; i < LH_ARRAY_LEN(pads); i++) {
        uint8_t value[24] = {0};
        memcpy(value + 21, pads[i], 3);
        LH_AUTO(lh_key_freep) lh_key *key = key_of(CKK_GENERIC_SECRET, LH_BYTES(value, sizeof(value)));
        LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(64);
        assert_ok(lh_key_wrap(crypto, row("aes-key-wrap"), LH_BYTES_NONE, kek, key, &wrapped));
        lh_key *back = NULL;
        assert_refused(lh_key_unwrap(crypto, row("aes-key-wrap-pkcs7"), LH_BYTES_NONE, kek,
                           lh_buf_bytes(&wrapped), CKO_SECRET_KEY, CKK_GENERIC_SECRET, 0, &back),
            LH_E_CORRUPT, "wrapped-key-invalid");
    }
    const lh_mechanism *kwp = row("aes-key-wrap-kwp");
    LH_AUTO(lh_key_freep) lh_key *pair = p256();
    LH_AUTO(lh_key_freep) lh_key *der = NULL;
    LH_AUTO(lh_key_freep) lh_key *good = NULL;
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf pkcs8 = LH_BUF_INIT(1024);
    assert_ok(lh_key_wrap(crypto, kwp, LH_BYTES_NONE, kek, pair, &wrapped));
    assert_ok(lh_key_unwrap(crypto, kwp, LH_BYTES_NONE, kek, lh_buf_bytes(&wrapped), CKO_SECRET_KEY,
        CKK_GENERIC_SECRET, 0, &der));
    assert_ok(lh_key_export(der, CKO_SECRET_KEY, collect, &pkcs8));
    size_t len = lh_key_bits(der) / 8;
    for (size_t more = 0; more < 2; more++) {
        LH_AUTO(lh_key_freep)
        lh_key *longer = key_of(CKK_GENERIC_SECRET, LH_BYTES(pkcs8.data + 12, len + more));
        lh_buf_clear(&wrapped);
        assert_ok(lh_key_wrap(crypto, kwp, LH_BYTES_NONE, kek, longer, &wrapped));
        lh_err err = lh_key_unwrap(
            crypto, kwp, LH_BYTES_NONE, kek, lh_buf_bytes(&wrapped), CKO_PRIVATE_KEY, CKK_EC, 0, &good);
        assert_int_equal(err.code, more == 0 ? LH_OK : LH_E_CORRUPT);
    }
}

static lh_key *rsa_pair(void)
{
    static const uint8_t bits[8] = {0, 0, 0, 0, 0, 0, 8, 0};
    const lh_key_part part = {CKA_MODULUS_BITS, LH_BYTES(bits, 8)};
    lh_key *key = NULL;
    assert_ok(lh_key_generate(crypto, lh_mechanism_by_type(CKM_RSA_PKCS_KEY_PAIR_GEN), LH_BYTES_NONE,
        (lh_key_parts){&part, 1}, &key));
    return key;
}

static void under_rsa(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *rsa = rsa_pair();
    LH_AUTO(lh_key_freep) lh_key *pair = p256();
    LH_AUTO(lh_key_freep) lh_key *secret = key_of(CKK_AES, LH_BYTES(bytes, 32));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    static const uint32_t sizes[] = {128, 192, 256};
    for (size_t i = 0; i < 3; i++) {
        lh_buf_clear(&params);
        put_u32(&params, sizes[i]);
        put_u32(&params, CKM_SHA256);
        put_u32(&params, 2); /* CKG_MGF1_SHA256 */
        put_blob(&params, LH_BYTES_STR("label"));
        const lh_key *const keys[] = {pair, secret, rsa};
        for (size_t j = 0; j < 3; j++) {
            LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(8192);
            const lh_mechanism *r = row("rsa-aes-key-wrap");
            lh_bytes p = lh_buf_bytes(&params);
            assert_ok(lh_key_wrap(crypto, r, p, rsa, keys[j], &wrapped));
            unsigned long ck_class = j == 1 ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
            LH_AUTO(lh_key_freep) lh_key *back = NULL;
            assert_ok(lh_key_unwrap(
                crypto, r, p, rsa, lh_buf_bytes(&wrapped), ck_class, lh_key_ck_type(keys[j]), 0, &back));
            assert_same(keys[j], back, ck_class);
            lh_key *none = NULL;
            /* The AES key inside has another size than was said. */
            params.data[3] ^= 0x40;
            lh_err err = lh_key_unwrap(
                crypto, r, p, rsa, lh_buf_bytes(&wrapped), ck_class, lh_key_ck_type(keys[j]), 0, &none);
            assert_int_equal(err.code, i < 2 ? LH_E_CORRUPT : LH_E_INVALID);
            params.data[3] ^= 0x40;
            for (size_t at = 0; at < wrapped.len; at += 37) {
                wrapped.data[at] ^= 1;
                assert_refused(lh_key_unwrap(crypto, r, p, rsa, lh_buf_bytes(&wrapped), ck_class,
                                   lh_key_ck_type(keys[j]), 0, &none),
                    LH_E_CORRUPT, "wrapped-key-invalid");
                wrapped.data[at] ^= 1;
            }
            assert_refused(lh_key_unwrap(crypto, r, p, rsa, LH_BYTES(wrapped.data, 256), ck_class,
                               lh_key_ck_type(keys[j]), 0, &none),
                LH_E_INVALID, "wrapped-key-len-range");
        }
    }
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(8192);
    params.data[3] ^= 1;
    assert_refused(lh_key_wrap(crypto, row("rsa-aes-key-wrap"), lh_buf_bytes(&params), rsa, secret, &out),
        LH_E_INVALID, "mechanism-param");
    assert_int_equal(out.len, 0);
}

static void lengths(void **state)
{
    (void)state;
    static const uint8_t big[2049] = {1};
    static const struct {
        unsigned long ck_type;
        size_t good[3];
    } cases[] = {{CKK_AES, {16, 24, 32}}, {CKK_AES_XTS, {32, 64}}, {CKK_CHACHA20, {32}}, {CKK_DES3, {24}}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        for (size_t len = 0; len < 70; len++) {
            bool good =
                len > 0 && (len == cases[i].good[0] || len == cases[i].good[1] || len == cases[i].good[2]);
            lh_key_part part = {CKA_VALUE, LH_BYTES(big, len)};
            lh_key *key = NULL;
            lh_err err =
                lh_key_import(crypto, cases[i].ck_type, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key);
            assert_int_equal(err.code, good ? LH_OK : LH_E_INVALID);
            if (!good)
                assert_string_equal(lh_err_last()->reason, "key-size-range");
            lh_key_free(key);
        }
    }
    static const struct {
        unsigned long ck_type;
        size_t most;
    } free_lengths[] = {
        {CKK_GENERIC_SECRET, 2048}, {CKK_SHA256_HMAC, 2048}, {CKK_HKDF, 2048}, {CKK_RC4, 256}};
    for (size_t i = 0; i < LH_ARRAY_LEN(free_lengths); i++) {
        lh_key *key = NULL;
        lh_key_part part = {CKA_VALUE, LH_BYTES(big, free_lengths[i].most + 1)};
        lh_key_parts parts = {&part, 1};
        unsigned long type = free_lengths[i].ck_type;
        assert_refused(
            lh_key_import(crypto, type, CKO_SECRET_KEY, parts, &key), LH_E_INVALID, "key-size-range");
        part.value.len--;
        assert_ok(lh_key_import(crypto, type, CKO_SECRET_KEY, parts, &key));
        lh_key_free(key);
        key = NULL;
        part.value.len = 0;
        assert_refused(
            lh_key_import(crypto, type, CKO_SECRET_KEY, parts, &key), LH_E_INVALID, "key-size-range");
        parts.count = 0;
        assert_refused(
            lh_key_import(crypto, type, CKO_SECRET_KEY, parts, &key), LH_E_INVALID, "template-incomplete");
    }
    lh_key *key = NULL;
    lh_key_part part = {CKA_VALUE, LH_BYTES(big, 16)};
    assert_refused(lh_key_import(crypto, CKK_RSA, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key),
        LH_E_INVALID, "key-type");
    uint8_t twice[32] = {1, [16] = 1};
    part.value = LH_BYTES(twice, 32);
    assert_refused(lh_key_import(crypto, CKK_AES_XTS, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key),
        LH_E_INVALID, "attribute-value-invalid");
}

static lh_err generate(const lh_mechanism *r, size_t value_len, lh_key **ret)
{
    const uint8_t len[8] = {[6] = (uint8_t)(value_len >> 8), [7] = (uint8_t)value_len};
    const lh_key_part part = {CKA_VALUE_LEN, LH_BYTES(len, 8)};
    return lh_key_generate(crypto, r, LH_BYTES_NONE, (lh_key_parts){&part, value_len > 0 ? 1 : 0}, ret);
}

/* Every row that generates: its own length, its least and most, and never the same key twice. */
static void generation(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_symmetric(&count);
    for (size_t i = 0; i < count; i++) {
        const lh_mechanism *r = &rows[i];
        if (r->family != LH_FAMILY_KEYGEN || r->param == LH_PARAM_PBKD2)
            continue;
        LH_AUTO(lh_key_freep) lh_key *a = NULL;
        LH_AUTO(lh_key_freep) lh_key *b = NULL;
        LH_AUTO(lh_key_freep) lh_key *c = NULL;
        assert_ok(generate(r, r->min_key, &a));
        assert_ok(generate(r, r->max_key, &b));
        assert_int_equal(lh_key_bits(a), r->min_key * 8);
        assert_int_equal(lh_key_bits(b), r->max_key * 8);
        assert_true(lh_mechanism_fits_type(r, lh_key_ck_type(a)));
        LH_AUTO(lh_buf_free) lh_buf left = LH_BUF_INIT(8192);
        LH_AUTO(lh_buf_free) lh_buf right = LH_BUF_INIT(8192);
        assert_ok(generate(r, r->min_key, &c));
        assert_ok(lh_key_export(a, CKO_SECRET_KEY, collect, &left));
        assert_ok(lh_key_export(c, CKO_SECRET_KEY, collect, &right));
        assert_false(lh_bytes_equal(lh_buf_bytes(&left), lh_buf_bytes(&right)));
        lh_key *none = NULL;
        assert_refused(generate(r, r->min_key - 1, &none), LH_E_INVALID, "key-size-range");
        assert_refused(generate(r, r->max_key + 1, &none), LH_E_INVALID, "key-size-range");
        bool known = r->min_key == r->max_key || r->digest;
        lh_err err = generate(r, 0, &none);
        assert_int_equal(err.code, known ? LH_OK : LH_E_INVALID);
        if (known)
            assert_int_equal(lh_key_bits(none), (r->digest ? r->max_output : r->min_key) * 8);
        lh_key_free(none);
    }
    lh_key *none = NULL;
    const lh_key_part part = {CKA_VALUE_LEN, LH_BYTES(bytes, 4)};
    assert_refused(
        lh_key_generate(crypto, row("aes-key-gen"), LH_BYTES_NONE, (lh_key_parts){&part, 1}, &none),
        LH_E_INVALID, "attribute-value-invalid");
    assert_refused(
        lh_key_generate(crypto, row("aes-key-gen"), LH_BYTES(bytes, 1), (lh_key_parts){NULL, 0}, &none),
        LH_E_INVALID, "template-incomplete");
}

/* A key from a password, of the type that the template says. */
static void from_password(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    put_u32(&params, 4);
    put_u64(&params, 2);
    put_blob(&params, LH_BYTES_STR("salt"));
    put_blob(&params, LH_BYTES_STR("password"));
    static const uint8_t aes[8] = {[7] = CKK_AES};
    static const uint8_t sixteen[8] = {[7] = 16};
    const lh_key_part parts[] = {{CKA_KEY_TYPE, LH_BYTES(aes, 8)}, {CKA_VALUE_LEN, LH_BYTES(sixteen, 8)}};
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    assert_ok(lh_key_generate(crypto, row("pbkdf2"), lh_buf_bytes(&params), (lh_key_parts){parts, 2}, &key));
    assert_int_equal(lh_key_ck_type(key), CKK_AES);
    /* Python: hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2, 16) */
    LH_AUTO(lh_key_freep) lh_key *want = key_hex(CKK_AES, "ae4d0c95af6b46d32d0adff928f06dd0");
    assert_same(key, want, CKO_SECRET_KEY);
}

/* AES: FIPS 197's empty block under zeros; the others from Python. */
static void check_values(void **state)
{
    (void)state;
    static const uint8_t zeros[24];
    static const struct {
        unsigned long ck_type;
        size_t len;
        const char *want;
    } cases[] = {{CKK_AES, 16, "66e94b"}, {CKK_DES3, 24, "8ca64d"}, {CKK_GENERIC_SECRET, 3, "29e2dc"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        LH_AUTO(lh_key_freep) lh_key *key = key_of(cases[i].ck_type, LH_BYTES(zeros, cases[i].len));
        uint8_t value[3];
        assert_ok(lh_key_check_value(crypto, key, value));
        assert_bytes_hex(value, 3, cases[i].want);
    }
    LH_AUTO(lh_key_freep) lh_key *pair = p256();
    uint8_t value[3];
    assert_refused(lh_key_check_value(crypto, pair, value), LH_E_INVALID, "key-type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(tampered),
        cmocka_unit_test(no_padding_oracle),
        cmocka_unit_test(refused),
        cmocka_unit_test(other_iv),
        cmocka_unit_test(wrongly_made),
        cmocka_unit_test(under_rsa),
        cmocka_unit_test(lengths),
        cmocka_unit_test(generation),
        cmocka_unit_test(from_password),
        cmocka_unit_test(check_values),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
