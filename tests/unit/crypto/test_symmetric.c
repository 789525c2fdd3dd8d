/* Digests, MACs, ciphers and AEADs of secret keys: vectors in both directions and in parts, edges, refusals,
 * IVs that the token makes. */
#include "crypto/operation.h"

#include "symmetric.h"
#include "vectors_symmetric.h"

static void once(lh_op_request request, const char *want)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    lh_err err = lh_op_once(crypto, &request, &out);
    if (!lh_ok(err))
        fail_msg("%s: %s", request.row->name, lh_err_last()->message);
    assert_bytes_hex(out.data, out.len, want);
    assert_true(out.len <= lh_mechanism_output_len(request.row, request.use, 0, request.data.len));
}

static void in_parts(lh_op_request request, size_t step, const char *want)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    assert_ok(lh_op_begin(crypto, request.key, request.row, request.use, request.params, &op));
    for (size_t at = 0; at < request.data.len; at += step) {
        size_t len = request.data.len - at < step ? request.data.len - at : step;
        assert_ok(lh_op_update(op, LH_BYTES(request.data.data + at, len), &out));
    }
    assert_ok(lh_op_finish(op, request.signature, &out));
    assert_bytes_hex(out.data, out.len, want);
}

static void ways(lh_op_request request, const char *want)
{
    once(request, want);
    for (size_t step = 1; request.row->multipart && step < 34; step += 5)
        in_parts(request, step, want);
}

static void ciphers(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(cipher_vectors); i++) {
        const vector *v = &cipher_vectors[i];
        LH_AUTO(lh_key_freep) lh_key *key = key_hex(v->ck_type, v->key);
        lh_op_request request = {.key = key, .row = row(v->row), .params = from_hex(v->params)};
        request.use = LH_USE_ENCRYPT;
        request.data = from_hex(v->data);
        ways(request, v->want);
        request.use = LH_USE_DECRYPT;
        request.data = from_hex(v->want);
        ways(request, v->data);
    }
}

/* Of whatever authenticates, every changed byte is noticed, in one way, and nothing comes out. */
static void tampered(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(cipher_vectors); i++) {
        const vector *v = &cipher_vectors[i];
        lh_op_request request = {.row = row(v->row), .use = LH_USE_DECRYPT, .params = from_hex(v->params)};
        if (request.row->family != LH_FAMILY_AEAD && request.row->family != LH_FAMILY_KEYWRAP)
            continue;
        LH_AUTO(lh_key_freep) lh_key *key = key_hex(v->ck_type, v->key);
        request.key = key;
        uint8_t sealed[256];
        size_t len = strlen(v->want) / 2;
        assert_ok(lh_unhex(v->want, sealed, len));
        request.data = LH_BYTES(sealed, len);
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
        for (size_t at = 0; at < len; at++) {
            sealed[at] ^= 0x10;
            assert_refused(lh_op_once(crypto, &request, &out), LH_E_CORRUPT, "decrypt");
            assert_int_equal(out.len, 0);
            sealed[at] ^= 0x10;
        }
        for (request.data.len = 0; request.data.len < len; request.data.len++) {
            lh_err err = lh_op_once(crypto, &request, &out);
            assert_true(err.code == LH_E_CORRUPT || err.code == LH_E_INVALID);
            assert_int_equal(out.len, 0);
        }
    }
}

static void macs(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(mac_vectors); i++) {
        const vector *v = &mac_vectors[i];
        LH_AUTO(lh_key_freep) lh_key *key = key_hex(v->ck_type, v->key);
        lh_op_request request = {.key = key, .row = row(v->row), .params = from_hex(v->params)};
        request.use = LH_USE_SIGN;
        request.data = from_hex(v->data);
        ways(request, v->want);
        request.use = LH_USE_VERIFY;
        uint8_t mac[65] = {0};
        size_t len = strlen(v->want) / 2;
        assert_ok(lh_unhex(v->want, mac, len));
        request.signature = LH_BYTES(mac, len);
        ways(request, "");
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
        for (size_t at = 0; at < len; at++) {
            mac[at] ^= 1;
            assert_err(lh_op_once(crypto, &request, &out), LH_E_SIGNATURE);
            mac[at] ^= 1;
        }
        for (request.signature.len = 0; request.signature.len <= sizeof(mac); request.signature.len++)
            if (request.signature.len != len)
                assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "signature-length");
    }
}

static void digests(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(digest_vectors); i++) {
        lh_op_request request = {.row = row(digest_vectors[i].row), .use = LH_USE_DIGEST};
        request.data = from_hex(digest_vectors[i].data);
        ways(request, digest_vectors[i].want);
    }
}

/* Every row of these families stands in some vector: a row whose names OpenSSL does not know is found. */
static void every_row(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_symmetric(&count);
    for (size_t i = 0; i < count; i++) {
        bool found = rows[i].family > LH_FAMILY_KEYWRAP || rows[i].type == CKM_RC4 ||
                     rows[i].param == LH_PARAM_RSA_AES_WRAP;
        for (size_t j = 0; j < LH_ARRAY_LEN(cipher_vectors) && !found; j++)
            found = strcmp(cipher_vectors[j].row, rows[i].name) == 0;
        for (size_t j = 0; j < LH_ARRAY_LEN(mac_vectors) && !found; j++)
            found = strcmp(mac_vectors[j].row, rows[i].name) == 0;
        for (size_t j = 0; j < LH_ARRAY_LEN(digest_vectors) && !found; j++)
            found = strcmp(digest_vectors[j].row, rows[i].name) == 0;
        if (!found)
            fail_msg("no vector of %s", rows[i].name);
    }
}

/* RFC 6229's key of 40 bits; only where the legacy provider is there. */
static void rc4(void **state)
{
    (void)state;
    LH_AUTO(lh_key_freep) lh_key *key = key_hex(CKK_RC4, "0102030405");
    static const uint8_t zeros[16];
    lh_op_request request = {
        .key = key, .row = row("rc4"), .use = LH_USE_DECRYPT, .data = LH_BYTES(zeros, sizeof(zeros))};
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    if (!lh_crypto_offers(crypto, request.row)) {
        assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "key-size-range");
        skip();
    }
    ways(request, "b2396305f03dc027ccc3524a0a1118a8");
    request.use = LH_USE_ENCRYPT;
    assert_refused(lh_op_once(crypto, &request, &out), LH_E_INVALID, "mechanism-use");
}

static void refuse_param(const lh_key *key, const char *name, lh_bytes params)
{
    lh_op *op = NULL;
    unsigned use = row(name)->uses & (LH_USE_ENCRYPT | LH_USE_SIGN);
    assert_refused(lh_op_begin(crypto, key, row(name), use, params, &op), LH_E_INVALID, "mechanism-param");
    assert_null(op);
}

static void params_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[64];
    LH_AUTO(lh_key_freep) lh_key *aes = key_of(CKK_AES, LH_BYTES(zeros, 16));
    LH_AUTO(lh_key_freep) lh_key *mac = key_of(CKK_GENERIC_SECRET, LH_BYTES(zeros, 16));
    LH_AUTO(lh_key_freep) lh_key *chacha = key_of(CKK_CHACHA20, LH_BYTES(zeros, 32));
    LH_AUTO(lh_key_freep) lh_key *des = key_of(CKK_DES3, LH_BYTES(zeros, 24));
    for (size_t len = 0; len < 20; len++) {
        if (len != 12)
            refuse_param(aes, "aes-gmac", LH_BYTES(zeros, len));
        if (len != 8)
            refuse_param(des, "des3-cbc", LH_BYTES(zeros, len));
        refuse_param(aes, "aes-cmac-general", LH_BYTES(zeros, len)); /* no bytes of MAC */
    }
    static const uint8_t lengths[][4] = {{0, 0, 0, 33}, {0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 1}};
    for (size_t i = 0; i < LH_ARRAY_LEN(lengths); i++)
        refuse_param(mac, "hmac-sha256-general", LH_BYTES(lengths[i], 4));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(4096);
    static const struct {
        uint64_t data;
        size_t nonce;
        uint32_t mac;
    } ccm[] = {{0, 6, 16}, {0, 14, 16}, {0, 12, 0}, {0, 12, 2}, {0, 12, 5}, {0, 12, 17}, {0, 12, 18},
        {65536, 13, 16}, {0, 12, 0x20000010}};
    for (size_t i = 0; i < LH_ARRAY_LEN(ccm); i++) {
        lh_buf_clear(&params);
        put_u64(&params, ccm[i].data);
        put_blob(&params, LH_BYTES(zeros, ccm[i].nonce));
        put_blob(&params, LH_BYTES_NONE);
        put_u32(&params, ccm[i].mac);
        refuse_param(aes, "aes-ccm", lh_buf_bytes(&params));
    }
    for (size_t len = 0; len < 32; len++) {
        lh_buf_clear(&params);
        put_blob(&params, LH_BYTES(zeros, len));
        put_blob(&params, LH_BYTES_NONE);
        if (len != 12)
            refuse_param(chacha, "chacha20-poly1305", lh_buf_bytes(&params));
        refuse_param(chacha, "chacha20-poly1305", LH_BYTES(params.data, params.len - 1));
    }
    put_u8(&params, 0);
    refuse_param(chacha, "chacha20-poly1305", lh_buf_bytes(&params));
}

static void lengths_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[64] = {[0] = 1};
    LH_AUTO(lh_key_freep) lh_key *aes = key_of(CKK_AES, LH_BYTES(bytes, 16));
    LH_AUTO(lh_key_freep) lh_key *xts = key_of(CKK_AES_XTS, LH_BYTES(bytes, 32));
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    for (size_t len = 0; len < 40; len++) {
        lh_op_request request = {.key = xts, .row = row("aes-xts"), .data = LH_BYTES(bytes, len)};
        request.params = LH_BYTES(bytes, 16);
        request.use = LH_USE_ENCRYPT;
        lh_err err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len < 16 ? LH_E_INVALID : LH_OK);
        request.key = aes;
        request.params = LH_BYTES_NONE;
        request.row = row("aes-key-wrap");
        err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len < 16 || len % 8 != 0 ? LH_E_INVALID : LH_OK);
        request.use = LH_USE_DECRYPT;
        err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len < 24 || len % 8 != 0 ? LH_E_INVALID : LH_E_CORRUPT);
        request.row = row("aes-key-wrap-kwp");
        err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len < 16 || len % 8 != 0 ? LH_E_INVALID : LH_E_CORRUPT);
        request.use = LH_USE_ENCRYPT;
        err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len == 0 ? LH_E_INVALID : LH_OK);
        lh_buf_clear(&out);
    }
    /* CCM says beforehand how much comes, and keeps to it. */
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(64);
    put_u64(&params, 17);
    put_blob(&params, LH_BYTES(bytes, 12));
    put_blob(&params, LH_BYTES_NONE);
    put_u32(&params, 16);
    for (size_t len = 0; len < 40; len++) {
        lh_op_request request = {.key = aes, .row = row("aes-ccm"), .use = LH_USE_ENCRYPT};
        request.params = lh_buf_bytes(&params);
        request.data = LH_BYTES(bytes, len);
        lh_err err = lh_op_once(crypto, &request, &out);
        assert_int_equal(err.code, len == 17 ? LH_OK : LH_E_INVALID);
    }
}

/* Keys of a type that the row takes, of a length that it does not; of HMAC, another digest's. */
static void keys_refused(void **state)
{
    (void)state;
    static const uint8_t bytes[64] = {[0] = 1};
    lh_op *op = NULL;
    LH_AUTO(lh_key_freep) lh_key *other = key_of(CKK_SHA384_HMAC, LH_BYTES(bytes, 48));
    assert_refused(lh_op_begin(crypto, other, row("hmac-sha256"), LH_USE_SIGN, LH_BYTES_NONE, &op),
        LH_E_INVALID, "key-type");
    LH_AUTO(lh_key_freep) lh_key *generic = key_of(CKK_GENERIC_SECRET, LH_BYTES(bytes, 16));
    assert_refused(lh_op_begin(crypto, generic, row("aes-ecb"), LH_USE_ENCRYPT, LH_BYTES_NONE, &op),
        LH_E_INVALID, "key-type");
}

static lh_bytes gcm_made(lh_buf *params, size_t iv_len, unsigned generator, uint32_t fixed)
{
    static const uint8_t ones[LH_GCM_IV_MAX] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    lh_buf_clear(params);
    put_blob(params, LH_BYTES(ones, iv_len));
    put_blob(params, LH_BYTES_STR("aad"));
    put_u32(params, 128);
    put_u8(params, generator);
    put_u32(params, fixed);
    return lh_buf_bytes(params);
}

/* What comes out begins with the IV, under which the rest decrypts; its fixed bits stay. */
static void made_ivs(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    LH_AUTO(lh_key_freep) lh_key *key = key_of(CKK_AES, LH_BYTES(zeros, 32));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(512);
    static const unsigned generators[] = {CKG_GENERATE, CKG_GENERATE_COUNTER, CKG_GENERATE_RANDOM};
    for (size_t i = 0; i < 3 * 33; i++) {
        uint32_t fixed = (uint32_t)(i / 3);
        lh_op_request request = {.key = key, .row = row("aes-gcm"), .use = LH_USE_ENCRYPT};
        request.params = gcm_made(&params, 12, generators[i % 3], fixed);
        request.data = LH_BYTES_STR("text");
        uint8_t last[12] = {0};
        for (int twice = 0; twice < 2; twice++) {
            LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
            request.use = LH_USE_ENCRYPT;
            request.params = gcm_made(&params, 12, generators[i % 3], fixed);
            request.data = LH_BYTES_STR("text");
            assert_ok(lh_op_once(crypto, &request, &out));
            assert_int_equal(out.len, 12 + 4 + 16);
            for (uint32_t bit = 0; bit < fixed; bit++)
                assert_true(out.data[bit / 8] >> (7 - bit % 8) & 1);
            assert_memory_not_equal(out.data, last, 12);
            memcpy(last, out.data, 12);
            lh_buf_clear(&params);
            put_blob(&params, LH_BYTES(last, 12));
            put_blob(&params, LH_BYTES_STR("aad"));
            put_u32(&params, 128);
            request.params = lh_buf_bytes(&params);
            request.use = LH_USE_DECRYPT;
            request.data = LH_BYTES(out.data + 12, out.len - 12);
            LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(64);
            assert_ok(lh_op_once(crypto, &request, &back));
            assert_memory_equal(back.data, "text", 4);
        }
    }
    refuse_param(key, "aes-gcm", gcm_made(&params, 12, CKG_GENERATE, 33)); /* 63 bits are left */
    refuse_param(key, "aes-gcm", gcm_made(&params, 7, CKG_GENERATE, 0));
    refuse_param(key, "aes-gcm", gcm_made(&params, 12, CKG_GENERATE, 0xffffffff));
    refuse_param(key, "aes-gcm", gcm_made(&params, 12, 4, 0));
    lh_op *op = NULL;
    assert_refused(
        lh_op_begin(crypto, key, row("aes-gcm"), LH_USE_DECRYPT, gcm_made(&params, 12, CKG_GENERATE, 0), &op),
        LH_E_INVALID, "mechanism-param");
}

/* CCM's, whose output is made in one piece. */
static void made_iv_ccm(void **state)
{
    (void)state;
    static const uint8_t zeros[32];
    LH_AUTO(lh_key_freep) lh_key *key = key_of(CKK_AES, LH_BYTES(zeros, 16));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(512);
    put_u64(&params, 4);
    put_blob(&params, LH_BYTES(zeros, 13));
    put_blob(&params, LH_BYTES_NONE);
    put_u32(&params, 8);
    put_u8(&params, CKG_GENERATE_RANDOM);
    put_u32(&params, 16);
    lh_op_request request = {.key = key, .row = row("aes-ccm"), .use = LH_USE_ENCRYPT};
    request.params = lh_buf_bytes(&params);
    request.data = LH_BYTES_STR("text");
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    assert_ok(lh_op_once(crypto, &request, &out));
    assert_int_equal(out.len, 13 + 4 + 8);
    assert_memory_equal(out.data, zeros, 2);
    assert_memory_not_equal(out.data + 2, zeros, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ciphers),
        cmocka_unit_test(tampered),
        cmocka_unit_test(macs),
        cmocka_unit_test(digests),
        cmocka_unit_test(every_row),
        cmocka_unit_test(rc4),
        cmocka_unit_test(params_refused),
        cmocka_unit_test(lengths_refused),
        cmocka_unit_test(keys_refused),
        cmocka_unit_test(made_ivs),
        cmocka_unit_test(made_iv_ccm),
    };
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
