#include "custody/rsa_padding.h"

#include "base/secret.h"
#include "codec/bin.h"

#include <string.h>

#define PKCS1_OVERHEAD 11u

static lh_err refuse_param(const lh_mechanism *row, const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "mechanism-param", "the parameter of %s is wrong: %s", row->name, why);
}

static lh_err refuse_length(size_t len)
{
    return LH_REFUSE(LH_E_INVALID, "data-length", "RSA-2048 cannot take %zu bytes of data like that", len);
}

/* --- hashes -----------------------------------------------------------------------------------------------
 */

static lh_err digest(
    lh_crypto *c, const lh_rsa_hash *hash, const lh_bytes *parts, size_t n, uint8_t ret[LH_RSA_DIGEST_MAX])
{
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_RSA_DIGEST_MAX);
    LH_TRY(lh_op_begin(c, NULL, lh_mechanism_by_type(hash->ckm), LH_USE_DIGEST, LH_BYTES_NONE, &op));
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0)
            LH_TRY(lh_op_update(op, parts[i], &out));
    LH_TRY(lh_op_finish(op, LH_BYTES_NONE, &out));
    memcpy(ret, out.data, hash->len);
    return LH_SUCCESS;
}

/* MGF1 (B.2.1) over seed, exclusive-ored into data. */
static lh_err mask(lh_crypto *c, const lh_rsa_hash *hash, lh_bytes seed, uint8_t *data, size_t len)
{
    uint8_t block[LH_RSA_DIGEST_MAX];
    for (uint32_t i = 0; len > 0; i++) {
        const uint8_t counter[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        const lh_bytes parts[] = {seed, LH_BYTES(counter, 4)};
        LH_TRY(digest(c, hash, parts, 2, block));
        const size_t take = len < hash->len ? len : hash->len;
        for (size_t k = 0; k < take; k++)
            data[k] ^= block[k];
        data += take;
        len -= take;
    }
    explicit_bzero(block, sizeof(block));
    return LH_SUCCESS;
}

/* --- parameters -------------------------------------------------------------------------------------------
 */

static lh_err read_pss(const lh_mechanism *row, lh_bytes params, lh_rsa_padding *p)
{
    lh_reader r = lh_reader_new(params);
    p->salt = lh_read_u32(&r);
    if (!lh_ok(lh_read_done(&r, "a PSS parameter")))
        return refuse_param(row, "it is malformed");
    if (row->digest && strcmp(row->digest, p->hash->name) != 0)
        return refuse_param(row, "its hash is not this mechanism's");
    if (p->salt > LH_RSA_BLOCK - 2 - p->hash->len)
        return refuse_param(row, "hash and salt do not fit into the key");
    return LH_SUCCESS;
}

static lh_err read_oaep(lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_rsa_padding *p)
{
    lh_reader r = lh_reader_new(params);
    const lh_bytes label = lh_read_blob(&r, UINT32_MAX);
    if (!lh_ok(lh_read_done(&r, "an OAEP parameter")))
        return refuse_param(row, "it is malformed");
    return digest(c, p->hash, &label, 1, p->label_hash);
}

lh_err lh_rsa_padding_read(lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_rsa_padding *ret)
{
    lh_rsa_padding p = {0};
    const char *why = lh_rsa_take_hashes(&params, &p.hash, &p.mgf);
    if (why)
        return refuse_param(row, why);
    if (row->family == LH_FAMILY_RSA_PSS)
        LH_TRY(read_pss(row, params, &p));
    else
        LH_TRY(read_oaep(c, row, params, &p));
    *ret = p;
    return LH_SUCCESS;
}

/* --- putting on -------------------------------------------------------------------------------------------
 */

lh_err lh_rsa_pad_pkcs1(lh_bytes data, uint8_t ret[LH_RSA_BLOCK])
{
    if (data.len > LH_RSA_BLOCK - PKCS1_OVERHEAD)
        return refuse_length(data.len);
    memset(ret, 0xff, LH_RSA_BLOCK);
    ret[0] = 0;
    ret[1] = 1;
    ret[LH_RSA_BLOCK - data.len - 1] = 0;
    if (data.len > 0)
        memcpy(ret + LH_RSA_BLOCK - data.len, data.data, data.len);
    return LH_SUCCESS;
}

/* masked (zeros ‖ 01 ‖ salt) ‖ H(8 zeros ‖ digest ‖ salt) ‖ bc; the modulus has 2048 bits, so the first bit
 * is 0. */
lh_err lh_rsa_pad_pss(lh_crypto *c, const lh_rsa_padding *p, lh_bytes hashed, uint8_t ret[LH_RSA_BLOCK])
{
    static const uint8_t zeros[8];
    uint8_t salt[LH_RSA_BLOCK];
    const size_t len = p->hash->len;
    const size_t masked = LH_RSA_BLOCK - len - 1;
    if (hashed.len != len)
        return refuse_length(hashed.len);
    if (p->salt > 0)
        lh_random(salt, p->salt);
    const lh_bytes parts[] = {LH_BYTES(zeros, sizeof(zeros)), hashed, LH_BYTES(salt, p->salt)};
    uint8_t h[LH_RSA_DIGEST_MAX];
    LH_TRY(digest(c, p->hash, parts, LH_ARRAY_LEN(parts), h));
    memset(ret, 0, LH_RSA_BLOCK);
    ret[masked - p->salt - 1] = 1;
    memcpy(ret + masked - p->salt, salt, p->salt);
    memcpy(ret + masked, h, len);
    ret[LH_RSA_BLOCK - 1] = 0xbc;
    LH_TRY(mask(c, p->mgf, LH_BYTES(h, len), ret, masked));
    ret[0] &= 0x7f;
    return LH_SUCCESS;
}

/* --- taking off -------------------------------------------------------------------------------------------
 */

/* All ones where a is 0, else 0. */
static uint32_t is_zero(uint32_t a)
{
    return (uint32_t)0 - ((~a & (a - 1)) >> 31);
}

/* The message is what follows start, unless something was bad. */
static lh_err deliver(uint32_t bad, const uint8_t *block, size_t start, size_t len, lh_buf *ret)
{
    if (bad)
        return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
    lh_buf_append(ret, block + start, len - start);
    return lh_buf_status(ret);
}

/* The first place from from on that holds wanted; what is before it must be 0 where zeros is. */
static uint32_t seek(const uint8_t *block, size_t from, uint8_t wanted, bool zeros, uint32_t *bad)
{
    uint32_t found = 0, place = 0;
    for (size_t i = from; i < LH_RSA_BLOCK; i++) {
        const uint32_t here = is_zero((uint32_t)(block[i] ^ wanted)) & ~found;
        place |= here & (uint32_t)i;
        found |= here;
        *bad |= zeros ? ~found & ~is_zero(block[i]) : 0;
    }
    *bad |= ~found;
    return place;
}

lh_err lh_rsa_unpad_pkcs1(const uint8_t block[LH_RSA_BLOCK], lh_buf *ret)
{
    uint32_t bad = ~is_zero(block[0]) | ~is_zero((uint32_t)(block[1] ^ 2));
    const uint32_t end = seek(block, 2, 0, false, &bad);
    /* At least 8 bytes of padding. */
    bad |= (uint32_t)0 - ((end - (PKCS1_OVERHEAD - 1)) >> 31);
    return deliver(bad, block, end + 1, LH_RSA_BLOCK, ret);
}

static lh_err unmask(
    lh_crypto *c, const lh_rsa_padding *p, uint8_t plain[LH_RSA_BLOCK], uint32_t *bad, size_t *ret_start)
{
    const size_t len = p->hash->len;
    uint8_t *seed = plain + 1, *db = plain + 1 + len;
    const size_t db_len = LH_RSA_BLOCK - 1 - len;
    LH_TRY(mask(c, p->mgf, LH_BYTES(db, db_len), seed, len));
    LH_TRY(mask(c, p->mgf, LH_BYTES(seed, len), db, db_len));
    *bad |= ~is_zero(plain[0]);
    for (size_t i = 0; i < len; i++)
        *bad |= ~is_zero((uint32_t)(db[i] ^ p->label_hash[i]));
    *ret_start = seek(plain, 1 + 2 * len, 1, true, bad) + 1;
    return LH_SUCCESS;
}

lh_err lh_rsa_unpad_oaep(
    lh_crypto *c, const lh_rsa_padding *p, const uint8_t block[LH_RSA_BLOCK], lh_buf *ret)
{
    uint8_t plain[LH_RSA_BLOCK];
    uint32_t bad = 0;
    size_t start = 0;
    memcpy(plain, block, sizeof(plain));
    lh_err err = unmask(c, p, plain, &bad, &start);
    if (lh_ok(err))
        err = deliver(bad, plain, start, LH_RSA_BLOCK, ret);
    explicit_bzero(plain, sizeof(plain));
    return err;
}
