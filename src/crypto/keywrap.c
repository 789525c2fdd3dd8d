/* RFC 3394 and RFC 5649 by OpenSSL's ciphers; RSA-AES (PKCS #11 3.0 section 2.1.21); PKCS#8. */
#include "crypto/keywrap.h"

#include "crypto/key_internal.h"
#include "crypto/openssl.h"
#include "crypto/operation.h"
#include "crypto/param.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#define SEMIBLOCK 8
#define WRAP_MORE 16 /* bytes that a wrapping adds, at most */

LH_DEFINE_FREEP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)

static bool is_kwp(const lh_mechanism *row)
{
    return strcmp(row->cipher, "WRAP-PAD") == 0;
}

static lh_err refuse_length(const lh_mechanism *row, size_t len)
{
    return LH_REFUSE(LH_E_INVALID, "data-length", "%s cannot take %zu bytes of data", row->name, len);
}

static lh_err refuse_data(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not authenticate");
}

/* Appends at most data.len + WRAP_MORE bytes, nothing on error. */
static lh_err run(
    const EVP_CIPHER *cipher, lh_bytes iv, lh_bytes kek, lh_bytes data, bool encrypt, lh_buf *out)
{
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return LH_OPENSSL_FAIL("starting a key wrap");
    EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    const uint8_t *other_iv = iv.len > 0 ? iv.data : NULL;
    if (EVP_CipherInit_ex2(ctx, cipher, kek.data, other_iv, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a key wrap");
    size_t before = out->len;
    uint8_t *to = lh_buf_extend(out, data.len + WRAP_MORE);
    if (!to)
        return lh_buf_status(out);
    int len = 0;
    bool done = EVP_CipherUpdate(ctx, to, &len, data.data, (int)data.len) == 1 && len > 0;
    size_t kept = done ? (size_t)len : 0;
    OPENSSL_cleanse(to + kept, data.len + WRAP_MORE - kept);
    out->len = before + kept;
    if (done)
        return LH_SUCCESS;
    return encrypt ? LH_OPENSSL_FAIL("wrapping") : refuse_data();
}

static lh_err find_cipher(
    lh_crypto *c, const lh_mechanism *row, lh_bytes iv, lh_bytes kek, const EVP_CIPHER **ret)
{
    *ret = lh_crypto_cipher(c, row->cipher, kek.len);
    if (!*ret)
        return LH_REFUSE(
            LH_E_INVALID, "key-size-range", "%s does not work with a key of %zu bytes", row->name, kek.len);
    size_t want = is_kwp(row) ? 4 : SEMIBLOCK;
    if (iv.len != 0 && iv.len != want)
        return LH_REFUSE(LH_E_INVALID, "mechanism-param",
            "the parameter of %s is wrong: it is empty, or an IV of %zu bytes", row->name, want);
    return LH_SUCCESS;
}

lh_err lh_keywrap_seal(
    lh_crypto *c, const lh_mechanism *row, lh_bytes iv, lh_bytes kek, lh_bytes data, lh_buf *out)
{
    const EVP_CIPHER *cipher = NULL;
    LH_TRY(find_cipher(c, row, iv, kek, &cipher));
    if (data.len == 0 || data.len > LH_KEYWRAP_MAX)
        return refuse_length(row, data.len);
    if (is_kwp(row))
        return run(cipher, iv, kek, data, true, out);
    LH_AUTO(lh_buf_free) lh_buf padded = LH_BUF_INIT(LH_KEYWRAP_MAX + SEMIBLOCK);
    if (row->padding) {
        uint8_t pad = (uint8_t)(SEMIBLOCK - data.len % SEMIBLOCK);
        lh_buf_append(&padded, data.data, data.len);
        for (uint8_t i = 0; i < pad; i++)
            lh_buf_append(&padded, &pad, 1);
        LH_TRY(lh_buf_status(&padded));
        data = lh_buf_bytes(&padded);
    }
    if (data.len % SEMIBLOCK != 0 || data.len < 2 * SEMIBLOCK)
        return refuse_length(row, data.len);
    return run(cipher, iv, kek, data, true, out);
}

lh_err lh_keywrap_open(
    lh_crypto *c, const lh_mechanism *row, lh_bytes iv, lh_bytes kek, lh_bytes data, lh_buf *out)
{
    const EVP_CIPHER *cipher = NULL;
    LH_TRY(find_cipher(c, row, iv, kek, &cipher));
    size_t least = is_kwp(row) ? 2 * SEMIBLOCK : 3 * SEMIBLOCK;
    if (data.len % SEMIBLOCK != 0 || data.len < least || data.len > LH_KEYWRAP_MAX + WRAP_MORE)
        return refuse_length(row, data.len);
    size_t before = out->len;
    LH_TRY(run(cipher, iv, kek, data, false, out));
    if (!row->padding)
        return LH_SUCCESS;
    /* What is here has authenticated: only its maker can have padded it wrongly. */
    uint8_t pad = out->data[out->len - 1];
    bool good = pad >= 1 && pad <= SEMIBLOCK;
    for (size_t i = 1; good && i <= pad; i++)
        good = out->data[out->len - i] == pad;
    size_t kept = good ? out->len - pad : before;
    OPENSSL_cleanse(out->data + kept, out->len - kept);
    out->len = kept;
    return good ? LH_SUCCESS : refuse_data();
}

static lh_err put_pkcs8(const lh_key *key, lh_buf *out)
{
    if (!key->private_half)
        return LH_REFUSE(LH_E_DENIED, "key-not-wrappable", "a public key is not wrapped");
    LH_AUTO(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
    uint8_t *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    if (len <= 0)
        return LH_OPENSSL_FAIL("writing a PKCS#8 key");
    lh_buf_append(out, der, (size_t)len);
    OPENSSL_clear_free(der, (size_t)len);
    return lh_buf_status(out);
}

/* Bytes of the blocks that a cipher takes only whole; 1 for others. */
static size_t whole_block(const lh_mechanism *row)
{
    if (row->family != LH_FAMILY_CIPHER || row->padding)
        return 1;
    if (strcmp(row->cipher, "CBC") == 0 || strcmp(row->cipher, "ECB") == 0)
        return 16;
    return row->keys == LH_TYPE_DES3 ? 8 : 1;
}

/* ECB and CBC take whole blocks: a value is filled up with zeros (PKCS #11 2.40 sections 2.8.2 and 2.8.3). */
static lh_err fill_up(const lh_mechanism *row, const lh_key *key, lh_buf *material)
{
    size_t block = whole_block(row);
    if (material->len % block == 0)
        return LH_SUCCESS;
    if (key->pkey)
        return LH_REFUSE(LH_E_DENIED, "key-not-wrappable", "%s does not wrap private keys", row->name);
    static const uint8_t zeros[16];
    lh_buf_append(material, zeros, block - material->len % block);
    return lh_buf_status(material);
}

/* The AES key's size off the front of params; the rest are OAEP's. */
static lh_err take_rsa_aes(lh_bytes *params, size_t *ret_len)
{
    uint32_t bits = 0;
    if (!lh_take_u32(params, &bits) || (bits != 128 && bits != 192 && bits != 256))
        return LH_REFUSE(LH_E_INVALID, "mechanism-param", "the AES key has 128, 192 or 256 bits");
    *ret_len = bits / 8;
    return LH_SUCCESS;
}

/* A fresh AES key under RSA-OAEP, then the key under that by RFC 5649. */
static lh_err rsa_aes_wrap(
    lh_crypto *c, lh_bytes params, const lh_key *wrapping, lh_bytes material, lh_buf *out)
{
    size_t len = 0;
    LH_TRY(take_rsa_aes(&params, &len));
    LH_AUTO(lh_secret_freep) lh_secret *aes = NULL;
    LH_TRY(lh_secret_random(len, &aes));
    lh_op_request request = {.key = wrapping,
        .row = lh_mechanism_by_type(CKM_RSA_PKCS_OAEP),
        .use = LH_USE_ENCRYPT,
        .params = params,
        .data = lh_secret_bytes(aes)};
    LH_TRY(lh_op_once(c, &request, out));
    const lh_mechanism *kwp = lh_mechanism_by_type(CKM_AES_KEY_WRAP_KWP);
    return lh_keywrap_seal(c, kwp, LH_BYTES_NONE, lh_secret_bytes(aes), material, out);
}

lh_err lh_key_wrap(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *wrapping,
    const lh_key *key, lh_buf *out)
{
    if (!(row->uses & LH_USE_WRAP))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s wraps no keys", row->name);
    if (!lh_mechanism_fits_type(row, wrapping->ck_type))
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s does not wrap with a key of this type", row->name);
    LH_AUTO(lh_buf_free) lh_buf material = LH_BUF_INIT(LH_KEYWRAP_MAX);
    if (key->pkey)
        LH_TRY(put_pkcs8(key, &material));
    else
        lh_buf_append(&material, lh_secret_bytes(key->secret).data, lh_secret_len(key->secret));
    LH_TRY(lh_buf_status(&material));
    LH_TRY(fill_up(row, key, &material));
    lh_bytes bytes = lh_buf_bytes(&material);
    size_t before = out->len;
    lh_err err = LH_SUCCESS;
    if (row->param == LH_PARAM_RSA_AES_WRAP) {
        err = rsa_aes_wrap(c, params, wrapping, bytes, out);
    } else if (row->family == LH_FAMILY_KEYWRAP) {
        err = lh_keywrap_seal(c, row, params, lh_secret_bytes(wrapping->secret), bytes, out);
    } else {
        lh_op_request request = {
            .key = wrapping, .row = row, .use = LH_USE_ENCRYPT, .params = params, .data = bytes};
        err = lh_op_once(c, &request, out);
    }
    if (lh_ok(err))
        return err;
    out->len = before;
    /* What the caller gave was a key: that it has a wrong length means that it cannot be wrapped so. */
    if (err.code == LH_E_INVALID && strcmp(lh_err_last()->reason, "data-length") == 0)
        return LH_REFUSE(
            LH_E_DENIED, "key-not-wrappable", "%s cannot take a key of %zu bytes", row->name, bytes.len);
    return err;
}

static lh_err rsa_aes_unwrap(
    lh_crypto *c, lh_bytes params, const lh_key *wrapping, lh_bytes wrapped, lh_buf *out)
{
    size_t len = 0;
    LH_TRY(take_rsa_aes(&params, &len));
    size_t modulus = (lh_key_bits(wrapping) + 7) / 8;
    if (wrapped.len <= modulus)
        return LH_REFUSE(LH_E_INVALID, "data-length", "%zu bytes are no wrapped key", wrapped.len);
    LH_AUTO(lh_buf_free) lh_buf aes = LH_BUF_INIT(modulus);
    lh_op_request request = {.key = wrapping,
        .row = lh_mechanism_by_type(CKM_RSA_PKCS_OAEP),
        .use = LH_USE_DECRYPT,
        .params = params,
        .data = LH_BYTES(wrapped.data, modulus)};
    LH_TRY(lh_op_once(c, &request, &aes));
    if (aes.len != len)
        return refuse_data();
    const lh_mechanism *kwp = lh_mechanism_by_type(CKM_AES_KEY_WRAP_KWP);
    lh_bytes rest = LH_BYTES(wrapped.data + modulus, wrapped.len - modulus);
    return lh_keywrap_open(c, kwp, LH_BYTES_NONE, lh_buf_bytes(&aes), rest, out);
}

static lh_err open_wrapped(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *wrapping,
    lh_bytes wrapped, lh_buf *out)
{
    if (row->param == LH_PARAM_RSA_AES_WRAP)
        return rsa_aes_unwrap(c, params, wrapping, wrapped, out);
    if (row->family == LH_FAMILY_KEYWRAP)
        return lh_keywrap_open(c, row, params, lh_secret_bytes(wrapping->secret), wrapped, out);
    lh_op_request request = {
        .key = wrapping, .row = row, .use = LH_USE_DECRYPT, .params = params, .data = wrapped};
    return lh_op_once(c, &request, out);
}

static lh_err refuse_wrapped(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_CORRUPT, "wrapped-key-invalid", "this is no wrapped key of that type");
}

/* The value, cut to value_len; what is beyond it are the zeros that filled the last block up. */
static lh_err import_value(
    lh_crypto *c, lh_bytes value, unsigned long ck_type, size_t value_len, lh_key **ret)
{
    if (value_len > value.len)
        return refuse_wrapped();
    if (value_len > 0)
        value.len = value_len;
    lh_key_part part = {CKA_VALUE, value};
    lh_key_parts parts = {&part, 1};
    lh_err err = lh_key_import(c, ck_type, CKO_SECRET_KEY, parts, ret);
    return err.code == LH_E_INVALID ? refuse_wrapped() : err;
}

static lh_err import_pkcs8(lh_crypto *c, lh_bytes der, unsigned long ck_type, lh_key **ret)
{
    const uint8_t *at = der.data;
    LH_AUTO(PKCS8_PRIV_KEY_INFO_freep)
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    if (!info || at != der.data + der.len)
        return refuse_wrapped();
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = EVP_PKCS82PKEY_ex(info, c->libctx, NULL);
    if (!pkey)
        return refuse_wrapped();
    lh_err err = lh_key_adopt(c, ck_type, pkey, ret);
    return err.code == LH_E_INVALID ? refuse_wrapped() : err;
}

lh_err lh_key_unwrap(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *wrapping,
    lh_bytes wrapped, unsigned long ck_class, unsigned long ck_type, size_t value_len, lh_key **ret)
{
    if (!(row->uses & LH_USE_UNWRAP))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s unwraps no keys", row->name);
    if (!lh_mechanism_fits_type(row, wrapping->ck_type))
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s does not unwrap with a key of this type", row->name);
    LH_AUTO(lh_buf_free) lh_buf material = LH_BUF_INIT(LH_KEYWRAP_MAX + WRAP_MORE);
    lh_err err = open_wrapped(c, row, params, wrapping, wrapped, &material);
    if (err.code == LH_E_CORRUPT)
        return refuse_wrapped();
    if (err.code == LH_E_INVALID && strcmp(lh_err_last()->reason, "data-length") == 0)
        return LH_REFUSE(
            LH_E_INVALID, "wrapped-key-len-range", "%s does not unwrap %zu bytes", row->name, wrapped.len);
    LH_TRY(err);
    if (ck_class == CKO_PRIVATE_KEY)
        return import_pkcs8(c, lh_buf_bytes(&material), ck_type, ret);
    return import_value(c, lh_buf_bytes(&material), ck_type, value_len, ret);
}
