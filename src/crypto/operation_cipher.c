/* Ciphers that authenticate nothing: AES in ECB, CBC, CBC with padding, CTR and XTS; triple DES and RC4 for
 * old data. Sources: SP 800-38A and 38E; PKCS #11 3.0 (Current Mechanisms) sections 2.11 and 2.12. */
#include "crypto/operation_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#define BLOCK 16

lh_err lh_op_cipher_start(lh_op *op, lh_bytes iv)
{
    int encrypt = op->use == LH_USE_ENCRYPT;
    lh_bytes key = lh_secret_bytes(op->key->secret);
    const EVP_CIPHER *cipher = lh_crypto_cipher(op->c, op->row->cipher, key.len);
    if (!cipher)
        return LH_REFUSE(LH_E_INVALID, "key-size-range", "%s does not work with a key of %zu bytes",
            op->row->name, key.len);
    op->cipher = EVP_CIPHER_CTX_new();
    if (!op->cipher || EVP_CipherInit_ex2(op->cipher, cipher, NULL, NULL, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a cipher");
    bool settable_key = EVP_CIPHER_get_key_length(cipher) != (int)key.len;
    if (settable_key && EVP_CIPHER_CTX_set_key_length(op->cipher, (int)key.len) != 1)
        return LH_OPENSSL_FAIL("setting the length of a cipher's key");
    bool settable_iv = iv.len > 0 && EVP_CIPHER_get_iv_length(cipher) != (int)iv.len;
    if (settable_iv && EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.len, NULL) != 1)
        return LH_OPENSSL_FAIL("setting the length of a cipher's IV");
    if (EVP_CipherInit_ex2(op->cipher, NULL, key.data, iv.data, encrypt, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a cipher");
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
    if (params.len != 4 + BLOCK || !lh_take_u32(&params, &bits) || bits < 1 || bits > 128)
        return lh_op_refuse_param(op, "it is 1 to 128 counter bits and a block of 16 bytes");
    uint64_t blocks = counter_blocks(params.data, bits);
    op->total_max = blocks > UINT64_MAX / BLOCK ? UINT64_MAX : blocks * BLOCK;
    return lh_op_cipher_start(op, params);
}

static lh_err cipher_begin(lh_op *op, lh_bytes params)
{
    if (op->row->param == LH_PARAM_CTR)
        return begin_ctr(op, params);
    if (strcmp(op->row->cipher, "XTS") == 0) {
        op->family = &lh_op_xts;
        return op->family->begin(op, params);
    }
    if (op->row->param == LH_PARAM_IV16 && params.len != 16)
        return lh_op_refuse_param(op, "it is an IV of 16 bytes");
    if (op->row->param == LH_PARAM_IV8 && params.len != 8)
        return lh_op_refuse_param(op, "it is an IV of 8 bytes");
    LH_TRY(lh_op_cipher_start(op, params));
    op->block = (size_t)EVP_CIPHER_CTX_get_block_size(op->cipher);
    if (op->block > 1 && EVP_CIPHER_CTX_set_padding(op->cipher, op->row->padding ? 1 : 0) != 1)
        return LH_OPENSSL_FAIL("setting a cipher's padding");
    return LH_SUCCESS;
}

lh_err lh_op_cipher_feed(lh_op *op, lh_bytes data, lh_buf *out)
{
    size_t before = out->len;
    int len = 0;
    /* Block modes may give out what they held of an earlier part. */
    uint8_t *to = lh_buf_extend(out, data.len + (op->block > 1 ? op->block : 0));
    if (!to)
        return lh_buf_status(out);
    if (EVP_CipherUpdate(op->cipher, to, &len, data.data, (int)data.len) != 1)
        return LH_OPENSSL_FAIL("a cipher");
    out->len = before + (size_t)len;
    return LH_SUCCESS;
}

static lh_err cipher_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    bool decrypt = op->use == LH_USE_DECRYPT;
    bool whole_blocks = op->block > 1 && (decrypt || !op->row->padding);
    if (whole_blocks && (op->total % op->block != 0 || (op->row->padding && op->total == 0)))
        return lh_op_refuse_length(op);
    uint8_t last[EVP_MAX_BLOCK_LENGTH];
    int len = 0;
    if (EVP_CipherFinal_ex(op->cipher, last, &len) != 1) {
        if (!decrypt || !op->row->padding)
            return LH_OPENSSL_FAIL("a cipher");
        ERR_clear_error();
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
    }
    lh_buf_append(out, last, (size_t)len);
    OPENSSL_cleanse(last, sizeof(last));
    return lh_buf_status(out);
}

const lh_op_family lh_op_cipher = {cipher_begin, lh_op_cipher_feed, cipher_finish};

/* XTS: one data unit, whose last two blocks belong together: it is held until it is whole. */
static lh_err xts_begin(lh_op *op, lh_bytes params)
{
    if (params.len != BLOCK)
        return lh_op_refuse_param(op, "it is a tweak of 16 bytes");
    lh_bytes key = lh_secret_bytes(op->key->secret);
    if (key.len % 2 == 0 && lh_equal_ct(key.data, key.data + key.len / 2, key.len / 2))
        return LH_REFUSE(LH_E_INVALID, "key-inconsistent", "the two halves of an XTS key are the same");
    op->total_max = LH_OP_BUFFER_MAX;
    return lh_op_cipher_start(op, params);
}

static lh_err xts_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    if (op->held.len < BLOCK)
        return lh_op_refuse_length(op);
    return lh_op_cipher_feed(op, lh_buf_bytes(&op->held), out);
}

const lh_op_family lh_op_xts = {xts_begin, lh_op_hold, xts_finish};
