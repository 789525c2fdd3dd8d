/* AES: ECB, CBC, CBC with padding, CTR and GCM.
 * Invariant: a GCM decryption gives out nothing before its tag is verified. */
#include "crypto/operation_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#define BLOCK 16
#define GCM_AAD_MAX ((size_t)1 << 20) /* bytes */

/* What the wire makes of CK_GCM_PARAMS and CK_AES_CTR_PARAMS. */
static bool take_u32(lh_bytes *at, uint32_t *ret)
{
    if (at->len < 4)
        return false;
    const uint8_t *p = at->data;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *at = LH_BYTES(p + 4, at->len - 4);
    return true;
}

static bool take_blob(lh_bytes *at, lh_bytes *ret)
{
    uint32_t len = 0;
    if (!take_u32(at, &len) || len > at->len)
        return false;
    *ret = LH_BYTES(at->data, len);
    *at = LH_BYTES(at->data + len, at->len - len);
    return true;
}

static lh_err start(lh_op *op, lh_bytes iv)
{
    int encrypt = op->use == LH_USE_ENCRYPT;
    const EVP_CIPHER *cipher = lh_crypto_cipher(op->c, op->row->cipher);
    op->cipher = EVP_CIPHER_CTX_new();
    if (!cipher || !op->cipher || EVP_CipherInit_ex2(op->cipher, cipher, NULL, NULL, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting AES");
    if (op->row->param == LH_PARAM_GCM &&
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.len, NULL) != 1)
        return LH_OPENSSL_FAIL("setting the length of AES-GCM's IV");
    const uint8_t *key = lh_secret_bytes(op->key->secret).data;
    if (EVP_CipherInit_ex2(op->cipher, NULL, key, iv.data, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting AES");
    return LH_SUCCESS;
}

/* The counter is the low bits of the block and must not overflow into the rest (PKCS #11 2.40 section 2.8.3):
 * so many blocks are left before it would. */
static uint64_t counter_blocks(const uint8_t block[BLOCK], uint32_t bits)
{
    uint64_t high = 0;
    uint64_t low = 0;
    for (size_t i = 0; i < 8; i++) {
        high = high << 8 | block[i];
        low = low << 8 | block[8 + i];
    }
    if (bits < 64) {
        uint64_t mask = ((uint64_t)1 << bits) - 1;
        return mask - (low & mask) + 1;
    }
    uint64_t high_mask = bits == 64 ? 0 : bits == 128 ? UINT64_MAX : ((uint64_t)1 << (bits - 64)) - 1;
    /* Blocks up to the overflow: the complement, plus one; more than 64 bits of them are as good as endless.
     */
    if ((~high & high_mask) != 0 || low == 0)
        return UINT64_MAX;
    return ~low + 1;
}

static lh_err begin_ctr(lh_op *op, lh_bytes params)
{
    uint32_t bits = 0;
    if (params.len != 4 + BLOCK || !take_u32(&params, &bits) || bits < 1 || bits > 128)
        return lh_op_refuse_param(op, "it is 1 to 128 counter bits and a block of 16 bytes");
    uint64_t blocks = counter_blocks(params.data, bits);
    op->total_max = blocks > UINT64_MAX / BLOCK ? UINT64_MAX : blocks * BLOCK;
    return start(op, params);
}

static lh_err cipher_begin(lh_op *op, lh_bytes params)
{
    if (op->row->param == LH_PARAM_CTR)
        return begin_ctr(op, params);
    if (op->row->param == LH_PARAM_IV16 && params.len != BLOCK)
        return lh_op_refuse_param(op, "it is an IV of 16 bytes");
    LH_TRY(start(op, params));
    if (EVP_CIPHER_CTX_set_padding(op->cipher, op->row->padding ? 1 : 0) != 1)
        return LH_OPENSSL_FAIL("setting AES's padding");
    return LH_SUCCESS;
}

static lh_err feed(lh_op *op, lh_bytes data, lh_buf *out)
{
    size_t before = out->len;
    int len = 0;
    /* Block modes may give out what they held of an earlier part. */
    bool block_mode = op->row->param != LH_PARAM_GCM && op->row->param != LH_PARAM_CTR;
    uint8_t *to = lh_buf_extend(out, data.len + (block_mode ? BLOCK : 0));
    if (!to)
        return lh_buf_status(out);
    if (EVP_CipherUpdate(op->cipher, to, &len, data.data, (int)data.len) != 1)
        return LH_OPENSSL_FAIL("AES");
    out->len = before + (size_t)len;
    return LH_SUCCESS;
}

static lh_err cipher_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    return feed(op, data, out);
}

static lh_err cipher_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    bool decrypt = op->use == LH_USE_DECRYPT;
    bool whole_blocks = op->row->param != LH_PARAM_CTR && (decrypt || !op->row->padding);
    if (whole_blocks && (op->total % BLOCK != 0 || (op->row->padding && op->total == 0)))
        return lh_op_refuse_length(op);
    uint8_t last[BLOCK];
    int len = 0;
    if (EVP_CipherFinal_ex(op->cipher, last, &len) != 1) {
        if (!decrypt || !op->row->padding)
            return LH_OPENSSL_FAIL("AES");
        ERR_clear_error();
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
    }
    lh_buf_append(out, last, (size_t)len);
    OPENSSL_cleanse(last, sizeof(last));
    return lh_buf_status(out);
}

const lh_op_family lh_op_cipher = {cipher_begin, cipher_update, cipher_finish};

static lh_err gcm_begin(lh_op *op, lh_bytes params)
{
    lh_bytes iv = LH_BYTES_NONE;
    lh_bytes aad = LH_BYTES_NONE;
    uint32_t bits = 0;
    if (!take_blob(&params, &iv) || !take_blob(&params, &aad) || !take_u32(&params, &bits) || params.len > 0)
        return lh_op_refuse_param(op, "it is malformed");
    if (iv.len < 1 || iv.len > LH_GCM_IV_MAX)
        return lh_op_refuse_param(op, "the IV has 1 to 128 bytes, best 12");
    /* SP 800-38D section 5.2.1.2, without the short tags that it leaves to special cases. */
    if (bits < 96 || bits > 128 || bits % 8 != 0)
        return lh_op_refuse_param(op, "the tag has 96, 104, 112, 120 or 128 bits");
    if (aad.len > GCM_AAD_MAX)
        return lh_op_refuse_param(op, "too much associated data");
    op->tag_len = bits / 8;
    /* No more than can be decrypted again, which is held whole until its tag is verified. */
    op->total_max = op->use == LH_USE_ENCRYPT ? LH_OP_BUFFER_MAX - op->tag_len : LH_OP_BUFFER_MAX;
    LH_TRY(start(op, iv));
    int len = 0;
    if (aad.len > 0 && EVP_CipherUpdate(op->cipher, NULL, &len, aad.data, (int)aad.len) != 1)
        return LH_OPENSSL_FAIL("AES-GCM's associated data");
    return LH_SUCCESS;
}

static lh_err gcm_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    if (op->use == LH_USE_ENCRYPT)
        return feed(op, data, out);
    lh_buf_append(&op->held, data.data, data.len);
    return lh_buf_status(&op->held);
}

static lh_err gcm_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    uint8_t tag[BLOCK];
    int len = 0;
    if (op->use == LH_USE_ENCRYPT) {
        if (EVP_CipherFinal_ex(op->cipher, tag, &len) != 1 ||
            EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_GET_TAG, (int)op->tag_len, tag) != 1)
            return LH_OPENSSL_FAIL("AES-GCM's tag");
        lh_buf_append(out, tag, op->tag_len);
        return lh_buf_status(out);
    }
    if (op->held.len < op->tag_len)
        return lh_op_refuse_length(op);
    size_t text_len = op->held.len - op->tag_len;
    memcpy(tag, op->held.data + text_len, op->tag_len);
    if (EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag_len, tag) != 1)
        return LH_OPENSSL_FAIL("AES-GCM's tag");
    if (text_len > 0)
        LH_TRY(feed(op, LH_BYTES(op->held.data, text_len), out));
    if (EVP_CipherFinal_ex(op->cipher, tag, &len) != 1) {
        ERR_clear_error();
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not authenticate");
    }
    return LH_SUCCESS;
}

const lh_op_family lh_op_gcm = {gcm_begin, gcm_update, gcm_finish};
