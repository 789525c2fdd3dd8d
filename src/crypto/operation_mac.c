/* Digests and MACs: HMAC, CMAC and GMAC. Sources: FIPS 180-4, FIPS 202, FIPS 198-1, SP 800-38B, SP 800-38D.
 */
#include "crypto/operation_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdio.h>

#define GMAC_IV 12 /* bytes (PKCS #11 2.40 section 2.8.5) */

static lh_err digest_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    return lh_op_digest_start(op, op->row->digest);
}

lh_err lh_op_digest_start(lh_op *op, const char *digest)
{
    const EVP_MD *md = lh_crypto_md(op->c, digest);
    op->md = EVP_MD_CTX_new();
    if (!md || !op->md || EVP_DigestInit_ex2(op->md, md, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    return LH_SUCCESS;
}

lh_err lh_op_digest_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    if (EVP_DigestUpdate(op->md, data.data, data.len) != 1)
        return LH_OPENSSL_FAIL("hashing");
    return LH_SUCCESS;
}

static lh_err digest_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(op->md, hash, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    lh_buf_append(out, hash, len);
    return lh_buf_status(out);
}

const lh_op_family lh_op_digest = {digest_begin, lh_op_digest_update, digest_finish};

/* How many bytes of the MAC are given: all, or as many as the parameter says. */
static lh_err take_mac_len(lh_op *op, lh_bytes params)
{
    op->tag_len = op->row->max_output;
    if (op->row->param != LH_PARAM_LENGTH)
        return LH_SUCCESS;
    uint32_t len = 0;
    if (params.len != 4 || !lh_take_u32(&params, &len) || len < 1 || len > op->row->max_output)
        return lh_op_refuse_param(op, "it is the MAC's length in bytes, up to what there are");
    op->tag_len = len;
    return LH_SUCCESS;
}

static lh_err mac_start(lh_op *op, const OSSL_PARAM *params)
{
    lh_bytes key = lh_secret_bytes(op->key->secret);
    if (!op->mac || EVP_MAC_init(op->mac, key.data, key.len, params) != 1)
        return LH_OPENSSL_FAIL("starting a MAC");
    return LH_SUCCESS;
}

static lh_err hmac_begin(lh_op *op, lh_bytes params)
{
    LH_TRY(take_mac_len(op, params));
    const EVP_MAC_CTX *fresh = lh_crypto_hmac(op->c, op->row->digest);
    op->mac = fresh ? EVP_MAC_CTX_dup(fresh) : NULL;
    return mac_start(op, NULL);
}

static lh_err mac_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    if (EVP_MAC_update(op->mac, data.data, data.len) != 1)
        return LH_OPENSSL_FAIL("making a MAC");
    return LH_SUCCESS;
}

static lh_err mac_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t len = 0;
    if (EVP_MAC_final(op->mac, mac, &len, sizeof(mac)) != 1 || len < op->tag_len)
        return LH_OPENSSL_FAIL("finishing a MAC");
    lh_err err = LH_SUCCESS;
    if (op->use == LH_USE_SIGN) {
        lh_buf_append(out, mac, op->tag_len);
        err = lh_buf_status(out);
    } else {
        err = lh_op_check_signature_len(op, signature, op->tag_len);
        if (lh_ok(err) && !lh_equal_ct(mac, signature.data, op->tag_len))
            err = LH_FAIL(LH_E_SIGNATURE, "the MAC does not verify");
    }
    /* The right MAC of data whose sender did not know it is a forgery in waiting. */
    OPENSSL_cleanse(mac, sizeof(mac));
    return err;
}

const lh_op_family lh_op_hmac = {hmac_begin, mac_update, mac_finish};

/* A MAC made of a block cipher; iv is GMAC's. */
static lh_err cipher_mac_start(lh_op *op, EVP_MAC *mac, lh_bytes iv)
{
    size_t key_len = lh_secret_len(op->key->secret);
    const EVP_CIPHER *cipher = lh_crypto_cipher(op->c, op->row->cipher, key_len);
    if (!cipher)
        return LH_REFUSE(LH_E_INVALID, "key-size-range", "%s does not work with a key of %zu bytes",
            op->row->name, key_len);
    char name[32];
    snprintf(name, sizeof(name), "%s", EVP_CIPHER_get0_name(cipher));
    uint8_t copy[GMAC_IV];
    if (iv.len > 0)
        memcpy(copy, iv.data, iv.len);
    OSSL_PARAM params[3] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, name, 0),
        OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    if (iv.len > 0)
        params[1] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, copy, iv.len);
    op->mac = EVP_MAC_CTX_new(mac);
    return mac_start(op, params);
}

static lh_err cmac_begin(lh_op *op, lh_bytes params)
{
    LH_TRY(take_mac_len(op, params));
    return cipher_mac_start(op, op->c->cmac, LH_BYTES_NONE);
}

const lh_op_family lh_op_cmac = {cmac_begin, mac_update, mac_finish};

/* The IV must not repeat under one key, for which its caller answers, as in GCM. */
static lh_err gmac_begin(lh_op *op, lh_bytes params)
{
    if (params.len != GMAC_IV)
        return lh_op_refuse_param(op, "it is an IV of 12 bytes");
    op->tag_len = op->row->max_output;
    return cipher_mac_start(op, op->c->gmac, params);
}

const lh_op_family lh_op_gmac = {gmac_begin, mac_update, mac_finish};
