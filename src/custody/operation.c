/* Operations with a lease key. Signatures: the data is hashed here, and the TPM signs the digest. HMAC: the
 * data is held, and goes to the TPM at the end. Ciphers: whole blocks go to the TPM as they come. */
#include "custody/operation.h"

#include "base/secret.h"
#include "custody/rsa_padding.h"

#define BLOCK 16u

struct lh_custody_op {
    lh_crypto *c;
    enum lh_key_kind kind;
    const lh_mechanism *row;
    unsigned use;
    lh_op *hash; /* signatures over a digest */
    bool hashed; /* held is that digest */
    lh_buf held; /* data to sign or to authenticate; of ciphers what is not a whole block yet */
    uint8_t iv[BLOCK];
    uint64_t left;          /* bytes that may still come: a counter must not run over */
    bool fed;               /* data of the last part has been taken in, and the TPM refused */
    lh_rsa_padding padding; /* PSS, OAEP */
};

/* ECB, CBC and CTR: what TPM2_EncryptDecrypt2 does. */
static bool cipher_mode(const lh_mechanism *row, enum lh_lease_key_mode *ret)
{
    static const struct {
        const char *cipher;
        enum lh_lease_key_mode mode;
    } modes[] = {{"ECB", LH_LEASE_KEY_ECB}, {"CBC", LH_LEASE_KEY_CBC}, {"CTR", LH_LEASE_KEY_CTR}};
    for (size_t i = 0; row->cipher && i < LH_ARRAY_LEN(modes); i++)
        if (strcmp(row->cipher, modes[i].cipher) == 0) {
            *ret = modes[i].mode;
            return true;
        }
    return false;
}

static lh_err refuse_param(const lh_mechanism *row, const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "mechanism-param", "the parameter of %s is wrong: %s", row->name, why);
}

static lh_err refuse_length(const lh_mechanism *row)
{
    return LH_REFUSE(LH_E_INVALID, "data-length", "%s cannot take so many bytes of data", row->name);
}

__extension__ typedef unsigned __int128 uint128;

/* The counter is the low bits of the block and must not overflow into the rest (PKCS #11 2.40, 2.8.3). */
static uint64_t bytes_of_counter(const uint8_t block[BLOCK], uint32_t bits)
{
    uint128 value = 0;
    for (size_t i = 0; i < BLOCK; i++)
        value = value << 8 | block[i];
    const uint128 mask = bits == 128 ? ~(uint128)0 : ((uint128)1 << bits) - 1;
    const uint128 more = mask - (value & mask); /* blocks after this one */
    return more >= UINT64_MAX / BLOCK ? UINT64_MAX : ((uint64_t)more + 1) * BLOCK;
}

static lh_err begin_cipher(lh_custody_op *op, lh_bytes params)
{
    if (op->row->param == LH_PARAM_NONE)
        return params.len == 0 ? LH_SUCCESS : refuse_param(op->row, "it takes none");
    if (op->row->param == LH_PARAM_IV16) {
        if (params.len != BLOCK)
            return refuse_param(op->row, "it is an IV of 16 bytes");
        memcpy(op->iv, params.data, BLOCK);
        return LH_SUCCESS;
    }
    const uint8_t *p = params.data;
    const uint32_t bits = params.len == 4 + BLOCK ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
                                                        (uint32_t)p[2] << 8 | (uint32_t)p[3]
                                                  : 0;
    if (bits < 1 || bits > 128)
        return refuse_param(op->row, "it is 1 to 128 counter bits and a block of 16 bytes");
    memcpy(op->iv, p + 4, BLOCK);
    op->left = bytes_of_counter(op->iv, bits);
    return LH_SUCCESS;
}

/* The digest's own row, by OpenSSL's name of it. */
static const lh_mechanism *digest_row(const char *digest)
{
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
        if (row->family == LH_FAMILY_DIGEST && row->digest && strcmp(row->digest, digest) == 0)
            return row;
    return NULL;
}

static bool is_rsa(const lh_custody_op *op)
{
    return op->kind == LH_KEY_RSA_2048;
}

static lh_err begin(lh_custody_op *op, lh_bytes params)
{
    op->left = UINT64_MAX;
    if (op->row->family == LH_FAMILY_CIPHER)
        return begin_cipher(op, params);
    if (op->row->param == LH_PARAM_PSS || op->row->param == LH_PARAM_OAEP)
        LH_TRY(lh_rsa_padding_read(op->c, op->row, params, &op->padding));
    else if (params.len != 0)
        return refuse_param(op->row, "it takes none");
    if ((op->row->family == LH_FAMILY_ECDSA || is_rsa(op)) && op->row->digest) {
        const lh_mechanism *row = digest_row(op->row->digest);
        if (!row)
            return LH_RAISE(LH_E_INTERNAL, op->row->type);
        return lh_op_begin(op->c, NULL, row, LH_USE_DIGEST, LH_BYTES_NONE, &op->hash);
    }
    return LH_SUCCESS;
}

lh_err lh_custody_op_begin(lh_crypto *c, const lh_custody_begin *b, lh_custody_op **ret)
{
    if (!lh_mechanism_in_tpm(b->row, b->kind))
        return LH_REFUSE(LH_E_UNSUPPORTED, "custody-mechanism", "a TPM cannot do %s with a key of that kind",
            b->row->name);
    const unsigned uses = b->row->family == LH_FAMILY_CIPHER ? LH_USE_ENCRYPT | LH_USE_DECRYPT
                          : b->kind == LH_KEY_RSA_2048       ? LH_USE_SIGN | LH_USE_DECRYPT
                                                             : LH_USE_SIGN;
    if (!(uses & b->use) || !(b->row->uses & b->use))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s cannot be used like that here", b->row->name);
    LH_AUTO(lh_custody_op_freep) lh_custody_op *op = calloc(1, sizeof(*op));
    if (!op)
        return LH_RAISE(LH_E_NOMEM, 0);
    op->c = c;
    op->kind = b->kind;
    op->row = b->row;
    op->use = b->use;
    op->held = LH_BUF_INIT(LH_OP_BUFFER_MAX + 2 * BLOCK);
    LH_TRY(begin(op, b->params));
    *ret = LH_TAKE(op);
    return LH_SUCCESS;
}

void lh_custody_op_free(lh_custody_op *op)
{
    if (!op)
        return;
    lh_op_free(op->hash);
    lh_buf_free(&op->held);
    explicit_bzero(op->iv, sizeof(op->iv));
    free(op);
}

/* --- ciphers ----------------------------------------------------------------------------------------------
 */

/* The first len of what is held go through the TPM; the rest stays. */
static lh_err through(lh_custody_op *op, lh_tpm_key *key, size_t len, lh_buf *out)
{
    enum lh_lease_key_mode mode = LH_LEASE_KEY_ECB;
    (void)cipher_mode(op->row, &mode);
    if (len == 0)
        return LH_SUCCESS;
    LH_TRY(
        lh_lease_key_cipher(key, mode, op->use == LH_USE_DECRYPT, op->iv, LH_BYTES(op->held.data, len), out));
    memmove(op->held.data, op->held.data + len, op->held.len - len);
    op->held.len -= len;
    return LH_SUCCESS;
}

static lh_err hold(lh_custody_op *op, lh_bytes data)
{
    if (data.len == 0)
        return LH_SUCCESS;
    if (data.len > op->left || op->held.len + data.len > LH_OP_BUFFER_MAX)
        return refuse_length(op->row);
    op->left -= op->left == UINT64_MAX ? 0 : data.len;
    lh_buf_append(&op->held, data.data, data.len);
    return lh_buf_status(&op->held);
}

static void pad(lh_custody_op *op)
{
    const size_t n = BLOCK - op->held.len % BLOCK;
    uint8_t *at = lh_buf_extend(&op->held, n);
    if (at)
        memset(at, (int)n, n);
}

/* Take PKCS #7 padding off what has come out from before on. */
static lh_err unpad(size_t before, lh_buf *out)
{
    const size_t len = out->len - before;
    const uint8_t n = len > 0 ? out->data[out->len - 1] : 0;
    unsigned bad = (unsigned)(len < BLOCK || n == 0 || n > BLOCK);
    for (size_t i = 0; i < BLOCK && i < len; i++)
        bad |= (unsigned)(i < n) & (unsigned)(out->data[out->len - 1 - i] != n);
    if (bad) {
        out->len = before;
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
    }
    out->len -= n;
    return LH_SUCCESS;
}

static lh_err finish_cipher(lh_custody_op *op, lh_tpm_key *key, lh_buf *out)
{
    const bool decrypts = op->use == LH_USE_DECRYPT;
    const size_t before = out->len;
    if (strcmp(op->row->cipher, "CTR") != 0) {
        if (op->row->padding && !decrypts && !op->hashed) {
            pad(op);
            op->hashed = true; /* once, however often it is tried */
        }
        LH_TRY(lh_buf_status(&op->held));
        if (op->held.len % BLOCK != 0 || (op->row->padding && op->held.len == 0))
            return refuse_length(op->row);
    }
    LH_TRY(through(op, key, op->held.len, out));
    return op->row->padding && decrypts ? unpad(before, out) : LH_SUCCESS;
}

/* --- signatures -------------------------------------------------------------------------------------------
 */

/* The bits that ECDSA takes of a digest, at the length that the TPM wants for the curve: cut on the right, as
 * FIPS 186-5 section 6.4.1 does, or led by zeros, which is the same number. */
static lh_err sign_digest(lh_custody_op *op, lh_tpm_key *key, lh_bytes digest, lh_buf *out)
{
    const size_t size = op->kind == LH_KEY_EC_P384 ? 48 : 32;
    uint8_t fitted[48] = {0};
    if (digest.len >= size)
        memcpy(fitted, digest.data, size);
    else if (digest.len > 0)
        memcpy(fitted + size - digest.len, digest.data, digest.len);
    return lh_lease_key_ecdsa(key, LH_BYTES(fitted, size), out);
}

/* The private operation over a padded block. A number that is not below the modulus does not decrypt. */
static lh_err rsa_decrypt(lh_custody_op *op, lh_tpm_key *key, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf block = LH_BUF_INIT(LH_RSA_BLOCK);
    if (op->held.len != LH_RSA_BLOCK)
        return refuse_length(op->row);
    lh_err err = lh_lease_key_rsa_raw(key, lh_buf_bytes(&op->held), &block);
    if (err.code == LH_E_INVALID)
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
    LH_TRY(err);
    return op->row->family == LH_FAMILY_RSA_OAEP ? lh_rsa_unpad_oaep(op->c, &op->padding, block.data, out)
                                                 : lh_rsa_unpad_pkcs1(block.data, out);
}

static lh_err finish_rsa(lh_custody_op *op, lh_tpm_key *key, lh_buf *out)
{
    if (op->use == LH_USE_DECRYPT)
        return rsa_decrypt(op, key, out);
    if (lh_mechanism_tpm_signs(op->row))
        return lh_lease_key_rsa_sign(key, lh_buf_bytes(&op->held), out);
    uint8_t block[LH_RSA_BLOCK];
    const lh_bytes held = lh_buf_bytes(&op->held);
    if (op->row->family == LH_FAMILY_RSA_PSS)
        LH_TRY(lh_rsa_pad_pss(op->c, &op->padding, held, block));
    else
        LH_TRY(lh_rsa_pad_pkcs1(held, block));
    return lh_lease_key_rsa_raw(key, LH_BYTES(block, sizeof(block)), out);
}

static lh_err finish_sign(lh_custody_op *op, lh_tpm_key *key, lh_buf *out)
{
    if (op->hash && !op->hashed) {
        LH_TRY(lh_op_finish(op->hash, LH_BYTES_NONE, &op->held));
        op->hashed = true;
    }
    if (is_rsa(op))
        return finish_rsa(op, key, out);
    if (op->row->family == LH_FAMILY_HMAC)
        return lh_lease_key_hmac(key, lh_buf_bytes(&op->held), out);
    if (op->held.len < 1 || op->held.len > 64)
        return refuse_length(op->row);
    return sign_digest(op, key, lh_buf_bytes(&op->held), out);
}

static lh_err take(lh_custody_op *op, lh_bytes data)
{
    if (!op->hash)
        return hold(op, data);
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    return data.len > 0 ? lh_op_update(op->hash, data, &none) : LH_SUCCESS;
}

lh_err lh_custody_op_update(lh_custody_op *op, lh_tpm_key *key, lh_bytes data, lh_buf *out)
{
    if (!op->fed)
        LH_TRY(take(op, data));
    op->fed = true;
    if (op->row->family == LH_FAMILY_CIPHER) {
        /* Of padded data the last block is told apart at the end only. */
        const bool keeps = op->row->padding && op->use == LH_USE_DECRYPT && op->held.len > 0;
        const size_t whole = (op->held.len - (keeps ? 1 : 0)) / BLOCK * BLOCK;
        LH_TRY(through(op, key, whole, out));
    }
    op->fed = false;
    return LH_SUCCESS;
}

lh_err lh_custody_op_finish(lh_custody_op *op, lh_tpm_key *key, lh_bytes data, lh_buf *out)
{
    if (!op->fed)
        LH_TRY(take(op, data));
    op->fed = true;
    return op->row->family == LH_FAMILY_CIPHER ? finish_cipher(op, key, out) : finish_sign(op, key, out);
}
