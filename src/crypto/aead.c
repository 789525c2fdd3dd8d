/* AES-256-GCM for records and wrapped keys. */
#include "crypto/aead.h"

#include "crypto/openssl.h"

#include <openssl/crypto.h>

typedef struct {
    const uint8_t *key;
    const uint8_t *nonce;
    lh_bytes aad;
} gcm_input;

static lh_err start(lh_crypto *c, const gcm_input *in, int encrypt, EVP_CIPHER_CTX **ret)
{
    if (in->aad.len > LH_CRYPTO_CALL_MAX)
        return LH_RAISE(LH_E_LIMIT, 0);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx || EVP_CipherInit_ex2(ctx, c->cipher[LH_CIPHER_GCM], in->key, in->nonce, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting AES-GCM");
    int n = 0;
    if (in->aad.len > 0 && EVP_CipherUpdate(ctx, NULL, &n, in->aad.data, (int)in->aad.len) != 1)
        return LH_OPENSSL_FAIL("AES-GCM's associated data");
    *ret = LH_TAKE(ctx);
    return LH_SUCCESS;
}

static lh_err seal_into(EVP_CIPHER_CTX *ctx, lh_bytes plain, uint8_t *to)
{
    int n = 0;
    if (plain.len > 0 && EVP_EncryptUpdate(ctx, to, &n, plain.data, (int)plain.len) != 1)
        return LH_OPENSSL_FAIL("AES-GCM encryption");
    if (EVP_EncryptFinal_ex(ctx, to + plain.len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, LH_AEAD_TAG_SIZE, to + plain.len) != 1)
        return LH_OPENSSL_FAIL("AES-GCM's tag");
    return LH_SUCCESS;
}

static lh_err open_into(EVP_CIPHER_CTX *ctx, lh_bytes cipher, const uint8_t *tag, uint8_t *to)
{
    uint8_t expected[LH_AEAD_TAG_SIZE];
    memcpy(expected, tag, sizeof(expected));
    int n = 0;
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, LH_AEAD_TAG_SIZE, expected) != 1 ||
        (cipher.len > 0 && EVP_DecryptUpdate(ctx, to, &n, cipher.data, (int)cipher.len) != 1))
        return LH_OPENSSL_FAIL("AES-GCM decryption");
    uint8_t none[LH_AEAD_TAG_SIZE];
    if (EVP_DecryptFinal_ex(ctx, none, &n) != 1)
        return LH_FAIL(LH_E_CORRUPT, "the data does not authenticate");
    return LH_SUCCESS;
}

/* Take back what was appended after a failure, leaving no plaintext. */
static void take_back(lh_buf *out, size_t len)
{
    if (out->len > len)
        OPENSSL_cleanse(out->data + len, out->len - len);
    out->len = len;
}

lh_err lh_aead_seal(lh_crypto *c, const uint8_t key[LH_AEAD_KEY_SIZE],
    const uint8_t nonce[LH_AEAD_NONCE_SIZE], lh_bytes aad, lh_bytes plain, lh_buf *out)
{
    if (plain.len > LH_CRYPTO_CALL_MAX)
        return LH_RAISE(LH_E_LIMIT, 0);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = NULL;
    LH_TRY(start(c, &(gcm_input){key, nonce, aad}, 1, &ctx));
    size_t before = out->len;
    uint8_t *to = lh_buf_extend(out, plain.len + LH_AEAD_TAG_SIZE);
    if (!to)
        return lh_buf_status(out);
    lh_err err = seal_into(ctx, plain, to);
    if (!lh_ok(err))
        take_back(out, before);
    return err;
}

lh_err lh_aead_open(lh_crypto *c, const uint8_t key[LH_AEAD_KEY_SIZE],
    const uint8_t nonce[LH_AEAD_NONCE_SIZE], lh_bytes aad, lh_bytes sealed, lh_buf *out)
{
    if (sealed.len < LH_AEAD_TAG_SIZE)
        return LH_FAIL(LH_E_CORRUPT, "%zu bytes are too few for encrypted data", sealed.len);
    if (sealed.len > LH_CRYPTO_CALL_MAX)
        return LH_RAISE(LH_E_LIMIT, 0);
    lh_bytes cipher = LH_BYTES(sealed.data, sealed.len - LH_AEAD_TAG_SIZE);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = NULL;
    LH_TRY(start(c, &(gcm_input){key, nonce, aad}, 0, &ctx));
    LH_TRY(lh_buf_status(out));
    size_t before = out->len;
    uint8_t *to = cipher.len > 0 ? lh_buf_extend(out, cipher.len) : NULL;
    if (cipher.len > 0 && !to)
        return lh_buf_status(out);
    lh_err err = open_into(ctx, cipher, sealed.data + cipher.len, to);
    if (!lh_ok(err))
        take_back(out, before);
    return err;
}
