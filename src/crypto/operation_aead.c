/* Authenticated encryption: AES-GCM, AES-CCM, ChaCha20-Poly1305.
 * Sources: SP 800-38D, SP 800-38C, RFC 8439; PKCS #11 3.0 (Current Mechanisms) sections 2.13 and 2.60.
 *
 * Invariants:
 *   1. A decryption gives out nothing before its tag is verified.
 *   2. An IV that the token makes is made for encryption only, and no two of one process are the same. */
#include "crypto/operation_internal.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/err.h>

#define TAG_MAX 16
#define AAD_MAX ((size_t)1 << 20) /* bytes */
#define IV_FREE_MIN 64            /* bits of an IV that the token makes which it may choose */

typedef struct {
    lh_bytes iv;
    lh_bytes aad;
    uint32_t tag_bits;
    uint64_t data_len; /* CCM */
    bool make;         /* the token makes the IV: */
    uint8_t generator; /* CKG_ */
    uint32_t fixed;    /* bits of iv that stay as they are, from the left */
} aead_params;

static bool take_params(const lh_mechanism *row, lh_bytes at, aead_params *ret)
{
    bool ccm = row->param == LH_PARAM_CCM;
    uint32_t tag = TAG_MAX;
    if ((ccm && !lh_take_u64(&at, &ret->data_len)) || !lh_take_blob(&at, &ret->iv) ||
        !lh_take_blob(&at, &ret->aad))
        return false;
    if (row->param != LH_PARAM_CHACHA20_POLY1305 && !lh_take_u32(&at, &tag))
        return false;
    if (tag > 128)
        return false;
    ret->tag_bits = row->param == LH_PARAM_GCM ? tag : tag * 8;
    if (at.len == 5 && row->param != LH_PARAM_CHACHA20_POLY1305) {
        ret->generator = at.data[0];
        at = LH_BYTES(at.data + 1, 4);
        ret->make = ret->generator != CKG_NO_GENERATE;
        return lh_take_u32(&at, &ret->fixed);
    }
    return at.len == 0;
}

static lh_err check_params(const lh_op *op, const aead_params *p)
{
    if (p->aad.len > AAD_MAX)
        return lh_op_refuse_param(op, "too much associated data");
    if (op->row->param == LH_PARAM_GCM) {
        if (p->iv.len < 1 || p->iv.len > LH_GCM_IV_MAX)
            return lh_op_refuse_param(op, "the IV has 1 to 128 bytes, best 12");
        /* SP 800-38D section 5.2.1.2, without the short tags that it leaves to special cases: they give the
         * authentication key away. */
        if (p->tag_bits < 96 || p->tag_bits > 128 || p->tag_bits % 8 != 0)
            return lh_op_refuse_param(op, "the tag has 96, 104, 112, 120 or 128 bits");
    } else if (op->row->param == LH_PARAM_CCM) {
        if (p->iv.len < 7 || p->iv.len > 13)
            return lh_op_refuse_param(op, "the nonce has 7 to 13 bytes");
        if (p->tag_bits < 32 || p->tag_bits > 128 || p->tag_bits % 16 != 0)
            return lh_op_refuse_param(op, "the MAC has 4, 6, 8, 10, 12, 14 or 16 bytes");
        /* The length is written in what the nonce leaves of 15 bytes. */
        if (p->iv.len == 13 && p->data_len > 65535)
            return lh_op_refuse_param(op, "a nonce of 13 bytes leaves room for 65535 bytes of data");
    } else if (p->iv.len != 12) {
        return lh_op_refuse_param(op, "the nonce has 12 bytes");
    }
    return LH_SUCCESS;
}

/* SP 800-38D section 8.2: a counter of 64 bits behind the fixed part, or random bits. The counter begins with
 * the time in nanoseconds, so that it does not begin again when the process does. */
static lh_err make_iv(lh_op *op, const aead_params *p)
{
    size_t bits = op->iv_size * 8;
    if (op->use != LH_USE_ENCRYPT || p->fixed > bits || bits - p->fixed < IV_FREE_MIN)
        return lh_op_refuse_param(
            op, "the token makes IVs for encryption only, with 64 bits or more of its own");
    bool count =
        p->generator == CKG_GENERATE_COUNTER || (p->generator == CKG_GENERATE && bits - p->fixed < 96);
    if (!count && p->generator != CKG_GENERATE && p->generator != CKG_GENERATE_RANDOM)
        return lh_op_refuse_param(op, "an unknown way to make an IV");
    uint8_t made[LH_GCM_IV_MAX] = {0};
    if (count) {
        uint64_t n = ++op->c->iv_counter;
        for (size_t i = 0; i < 8; i++)
            made[op->iv_size - 1 - i] = (uint8_t)(n >> 8 * i);
    } else {
        lh_random(made, op->iv_size);
    }
    for (size_t i = 0; i < op->iv_size; i++) {
        size_t kept = p->fixed <= 8 * i ? 0 : p->fixed - 8 * i;
        uint8_t mask = (uint8_t)(kept >= 8 ? 0 : 0xff >> kept); /* of the bits that are made */
        op->iv[i] = (uint8_t)((op->iv[i] & ~mask) | (made[i] & mask));
    }
    op->iv_due = true;
    return LH_SUCCESS;
}

static lh_err aead_begin(lh_op *op, lh_bytes params)
{
    aead_params p = {0};
    if (!take_params(op->row, params, &p))
        return lh_op_refuse_param(op, "it is malformed");
    LH_TRY(check_params(op, &p));
    op->tag_len = p.tag_bits / 8;
    op->iv_size = p.iv.len;
    memcpy(op->iv, p.iv.data, p.iv.len);
    if (p.make)
        LH_TRY(make_iv(op, &p));
    /* No more than can be decrypted again, which is held whole until its tag is verified. */
    op->total_max = op->use == LH_USE_ENCRYPT ? LH_OP_BUFFER_MAX - op->tag_len : LH_OP_BUFFER_MAX;
    if (op->row->param == LH_PARAM_CCM) {
        op->data_len = p.data_len;
        op->aad = LH_BUF_INIT(AAD_MAX);
        lh_buf_append(&op->aad, p.aad.data, p.aad.len);
        return lh_buf_status(&op->aad);
    }
    LH_TRY(lh_op_cipher_start(op, LH_BYTES(op->iv, op->iv_size)));
    int len = 0;
    if (p.aad.len > 0 && EVP_CipherUpdate(op->cipher, NULL, &len, p.aad.data, (int)p.aad.len) != 1)
        return LH_OPENSSL_FAIL("taking associated data");
    return LH_SUCCESS;
}

/* The IV that the token made comes first. */
static void put_iv(lh_op *op, lh_buf *out)
{
    if (op->iv_due)
        lh_buf_append(out, op->iv, op->iv_size);
    op->iv_due = false;
}

static lh_err aead_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    if (op->use == LH_USE_DECRYPT || op->row->param == LH_PARAM_CCM)
        return lh_op_hold(op, data, out);
    put_iv(op, out);
    return lh_op_cipher_feed(op, data, out);
}

static lh_err finish_encrypt(lh_op *op, lh_buf *out)
{
    uint8_t tag[TAG_MAX];
    int len = 0;
    put_iv(op, out);
    if (EVP_CipherFinal_ex(op->cipher, tag, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_GET_TAG, (int)op->tag_len, tag) != 1)
        return LH_OPENSSL_FAIL("making a tag");
    lh_buf_append(out, tag, op->tag_len);
    return lh_buf_status(out);
}

static lh_err refuse_tag(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not authenticate");
}

static lh_err finish_decrypt(lh_op *op, lh_bytes text, uint8_t *tag, lh_buf *out)
{
    int len = 0;
    uint8_t none[TAG_MAX];
    if (EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag_len, tag) != 1)
        return LH_OPENSSL_FAIL("setting a tag");
    if (text.len > 0)
        LH_TRY(lh_op_cipher_feed(op, text, out));
    return EVP_CipherFinal_ex(op->cipher, none, &len) == 1 ? LH_SUCCESS : refuse_tag();
}

/* CCM wants to know all lengths first, and does all its work in one call. */
static lh_err finish_ccm(lh_op *op, lh_bytes text, uint8_t *tag, lh_buf *out)
{
    bool encrypt = op->use == LH_USE_ENCRYPT;
    lh_bytes key = lh_secret_bytes(op->key->secret);
    const EVP_CIPHER *cipher = lh_crypto_cipher(op->c, op->row->cipher, key.len);
    op->cipher = EVP_CIPHER_CTX_new();
    int len = 0;
    if (!cipher || !op->cipher || EVP_CipherInit_ex2(op->cipher, cipher, NULL, NULL, encrypt, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_IVLEN, (int)op->iv_size, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(op->cipher, EVP_CTRL_AEAD_SET_TAG, (int)op->tag_len, encrypt ? NULL : tag) != 1 ||
        EVP_CipherInit_ex2(op->cipher, NULL, key.data, op->iv, encrypt, NULL) != 1 ||
        EVP_CipherUpdate(op->cipher, NULL, &len, NULL, (int)text.len) != 1)
        return LH_OPENSSL_FAIL("starting AES-CCM");
    if (op->aad.len > 0 && EVP_CipherUpdate(op->cipher, NULL, &len, op->aad.data, (int)op->aad.len) != 1)
        return LH_OPENSSL_FAIL("taking associated data");
    if (encrypt)
        put_iv(op, out);
    uint8_t *to = lh_buf_extend(out, text.len);
    if (!to)
        return lh_buf_status(out);
    /* An empty text goes through as well: that is where its tag is made or verified. */
    uint8_t nothing = 0;
    if (EVP_CipherUpdate(op->cipher, to, &len, text.len > 0 ? text.data : &nothing, (int)text.len) != 1)
        return encrypt ? LH_OPENSSL_FAIL("AES-CCM") : refuse_tag();
    return encrypt ? finish_encrypt(op, out) : LH_SUCCESS;
}

static lh_err aead_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    bool ccm = op->row->param == LH_PARAM_CCM;
    if (op->use == LH_USE_ENCRYPT) {
        if (ccm && op->held.len != op->data_len)
            return lh_op_refuse_length(op);
        return ccm ? finish_ccm(op, lh_buf_bytes(&op->held), NULL, out) : finish_encrypt(op, out);
    }
    if (op->held.len < op->tag_len)
        return lh_op_refuse_length(op);
    size_t text_len = op->held.len - op->tag_len;
    /* Callers count the MAC in or leave it out. */
    if (ccm && op->data_len != text_len && op->data_len != op->held.len)
        return lh_op_refuse_length(op);
    uint8_t tag[TAG_MAX];
    memcpy(tag, op->held.data + text_len, op->tag_len);
    lh_bytes text = LH_BYTES(op->held.data, text_len);
    return ccm ? finish_ccm(op, text, tag, out) : finish_decrypt(op, text, tag, out);
}

const lh_op_family lh_op_aead = {aead_begin, aead_update, aead_finish};
