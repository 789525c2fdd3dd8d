/* Every mechanism with any parameter and any data. Input: u32 CKM_ ‖ u8 key ‖ u16 length of the parameter,
 * the parameter, then data. Whatever comes, it ends in a result or a refusal: never in a fault of OpenSSL's
 * that an outsider can cause, and never with half a result. */
#include "crypto/kdf.h"
#include "crypto/kem.h"
#include "crypto/keywrap.h"
#include "crypto/operation.h"

#include <leasehold/pkcs11-3.h>
#include <stdlib.h>

enum { KEYS = 16 };

static lh_crypto *crypto;
static lh_key *keys[KEYS];
static size_t n_keys;

/* Freed at the end: what OpenSSL keeps in its secure heap looks leaked to a sanitizer, which cannot see
 * there. */
static void stop(void)
{
    while (n_keys > 0)
        lh_key_free(keys[--n_keys]);
    lh_crypto_free(crypto);
}

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void add_secret(unsigned long ck_type, size_t len)
{
    uint8_t value[64];
    for (size_t i = 0; i < len; i++)
        value[i] = (uint8_t)(i * 7 + 1);
    const lh_key_part part = {CKA_VALUE, LH_BYTES(value, len)};
    require(lh_ok(lh_key_import(crypto, ck_type, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &keys[n_keys++])));
}

static void add_pair(unsigned long mechanism, unsigned long attribute, lh_bytes value)
{
    const lh_key_part part = {attribute, value};
    require(lh_ok(lh_key_generate(
        crypto, lh_mechanism_by_type(mechanism), LH_BYTES_NONE, (lh_key_parts){&part, 1}, &keys[n_keys++])));
}

static void start(void)
{
    if (crypto)
        return;
    require(lh_ok(lh_crypto_new(&crypto)) && atexit(stop) == 0);
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    static const uint8_t x25519[] = {0x06, 0x03, 0x2b, 0x65, 0x6e};
    static const uint8_t ed25519[] = {0x06, 0x03, 0x2b, 0x65, 0x70};
    static const uint8_t bits[8] = {0, 0, 0, 0, 0, 0, 8, 0};
    add_secret(CKK_AES, 16);
    add_secret(CKK_AES, 24);
    add_secret(CKK_AES, 32);
    add_secret(CKK_AES_XTS, 32);
    add_secret(CKK_AES_XTS, 64);
    add_secret(CKK_GENERIC_SECRET, 20);
    add_secret(CKK_SHA256_HMAC, 1);
    add_secret(CKK_HKDF, 64);
    add_secret(CKK_CHACHA20, 32);
    add_secret(CKK_DES3, 24);
    add_secret(CKK_RC4, 5);
    add_pair(CKM_EC_KEY_PAIR_GEN, CKA_EC_PARAMS, LH_BYTES(p256, sizeof(p256)));
    add_pair(CKM_EC_MONTGOMERY_KEY_PAIR_GEN, CKA_EC_PARAMS, LH_BYTES(x25519, sizeof(x25519)));
    add_pair(CKM_EC_EDWARDS_KEY_PAIR_GEN, CKA_EC_PARAMS, LH_BYTES(ed25519, sizeof(ed25519)));
    add_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, CKA_MODULUS_BITS, LH_BYTES(bits, sizeof(bits)));
}

static bool refusal_or_success(lh_err err)
{
    return err.code != LH_E_CRYPTO && err.code != LH_E_INTERNAL;
}

static void settle(lh_err err, lh_buf *out)
{
    require(refusal_or_success(err));
    require(lh_ok(err) || out->len == 0);
    lh_buf_clear(out);
}

/* Data of two kinds of use: a signature's is the first half. */
static void operate(const lh_mechanism *row, const lh_key *key, unsigned use, lh_bytes params, lh_bytes data)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(262144);
    lh_op_request request = {
        .key = row->keys ? key : NULL, .row = row, .use = use, .params = params, .data = data};
    if (use == LH_USE_VERIFY) {
        request.signature = LH_BYTES(data.data, data.len / 2);
        request.data = LH_BYTES(data.data + data.len / 2, data.len - data.len / 2);
    }
    settle(lh_op_once(crypto, &request, &out), &out);
}

static bool slow(const lh_mechanism *row, lh_bytes params)
{
    static const uint8_t zeros[6];
    return row->type == CKM_PKCS5_PBKD2 &&
           (params.len < 12 || memcmp(params.data + 4, zeros, sizeof(zeros)) != 0);
}

static void derive(const lh_mechanism *row, const lh_key *key, lh_bytes params, lh_bytes data)
{
    uint64_t handles[LH_PARAM_HANDLES_MAX];
    lh_bytes templates[LH_DERIVED_MAX];
    size_t n = 0;
    size_t n_templates = 0;
    require(refusal_or_success(lh_param_templates(row, params, templates, &n_templates)));
    if (!lh_ok(lh_param_handles(row, params, handles, &n)) || slow(row, params))
        return;
    require(n <= LH_PARAM_HANDLES_MAX && n_templates < LH_DERIVED_MAX);
    const lh_key *others[LH_PARAM_HANDLES_MAX] = {keys[0], keys[5], keys[7], keys[11]};
    size_t len = data.len > 1 ? (size_t)data.data[0] << 8 | data.data[1] : data.len;
    (void)lh_key_derive_default_len(row, params, key, CKK_GENERIC_SECRET);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    lh_err err = lh_key_derive_value(crypto, row, params, key, others, n, len, &value);
    require(refusal_or_success(err) && lh_ok(err) == (value != NULL));
    require(!value || len == 0 || lh_secret_len(value) == len);
}

static void wrap(const lh_mechanism *row, const lh_key *key, lh_bytes params, lh_bytes data)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(262144);
    for (size_t i = 0; i < n_keys; i += 5)
        settle(lh_key_wrap(crypto, row, params, key, keys[i], &out), &out);
    static const unsigned long types[] = {CKK_AES, CKK_GENERIC_SECRET, CKK_EC, CKK_RSA};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        unsigned long ck_class = i < 2 ? CKO_SECRET_KEY : CKO_PRIVATE_KEY;
        LH_AUTO(lh_key_freep) lh_key *made = NULL;
        lh_err err = lh_key_unwrap(crypto, row, params, key, data, ck_class, types[i], 0, &made);
        require(refusal_or_success(err) && lh_ok(err) == (made != NULL));
    }
}

static void encapsulate(const lh_mechanism *row, const lh_key *key, lh_bytes params, lh_bytes data)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(262144);
    LH_AUTO(lh_secret_freep) lh_secret *sent = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    settle(lh_key_encapsulate(crypto, row, params, key, &out, &sent), &out);
    require(refusal_or_success(lh_key_decapsulate(crypto, row, params, key, data, &got)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    if (size < 7)
        return 0;
    uint32_t type = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
    const lh_mechanism *row = lh_mechanism_by_type(type);
    if (!row)
        row = lh_mechanism_at(type % lh_mechanism_count());
    if (!lh_crypto_offers(crypto, row))
        return 0;
    /* A key that the row takes, where there is one. */
    const lh_key *key = keys[data[4] % n_keys];
    for (size_t i = 0; i < n_keys && !lh_mechanism_fits_type(row, lh_key_ck_type(key)); i++)
        key = keys[(data[4] + i) % n_keys];
    size_t params_len = (size_t)data[5] << 8 | data[6];
    if (params_len > size - 7)
        params_len = size - 7;
    lh_bytes params = LH_BYTES(data + 7, params_len);
    lh_bytes rest = LH_BYTES(data + 7 + params_len, size - 7 - params_len);
    static const unsigned uses[] = {LH_USE_SIGN, LH_USE_VERIFY, LH_USE_ENCRYPT, LH_USE_DECRYPT, LH_USE_DIGEST,
        LH_USE_SIGN_RECOVER, LH_USE_VERIFY_RECOVER};
    for (size_t i = 0; i < LH_ARRAY_LEN(uses); i++)
        if (row->uses & uses[i])
            operate(row, key, uses[i], params, rest);
    if ((row->uses & LH_USE_DERIVE) || row->type == CKM_PKCS5_PBKD2)
        derive(row, key, params, rest);
    if (row->uses & (LH_USE_WRAP | LH_USE_UNWRAP))
        wrap(row, key, params, rest);
    if (row->uses & (LH_USE_ENCAPSULATE | LH_USE_DECAPSULATE))
        encapsulate(row, key, params, rest);
    return 0;
}
