/* Key agreement: ECDH over the curves that OpenSSL has, X25519, X448, and Diffie-Hellman as in PKCS #3.
 * Peers' public values are checked (on the curve, in range, not of small order): a bad one would tell bits of
 * the private key. */
#include "crypto/kdf_internal.h"

#include "base/limits.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/dh.h>
#include <openssl/err.h>

#define PEER_MAX 2048 /* bytes of a public value */

/* CKD_: X9.63 hashes Z ‖ counter ‖ shared, SP 800-56C (one step) counter ‖ Z ‖ shared. */
static const struct {
    unsigned long ckd;
    const char *md;
    bool sp800;
} kdfs[] = {
    {CKD_SHA1_KDF, "SHA1", false},
    {CKD_SHA224_KDF, "SHA2-224", false},
    {CKD_SHA256_KDF, "SHA2-256", false},
    {CKD_SHA384_KDF, "SHA2-384", false},
    {CKD_SHA512_KDF, "SHA2-512", false},
    {CKD_SHA3_224_KDF, "SHA3-224", false},
    {CKD_SHA3_256_KDF, "SHA3-256", false},
    {CKD_SHA3_384_KDF, "SHA3-384", false},
    {CKD_SHA3_512_KDF, "SHA3-512", false},
    {CKD_SHA1_KDF_SP800, "SHA1", true},
    {CKD_SHA224_KDF_SP800, "SHA2-224", true},
    {CKD_SHA256_KDF_SP800, "SHA2-256", true},
    {CKD_SHA384_KDF_SP800, "SHA2-384", true},
    {CKD_SHA512_KDF_SP800, "SHA2-512", true},
    {CKD_SHA3_224_KDF_SP800, "SHA3-224", true},
    {CKD_SHA3_256_KDF_SP800, "SHA3-256", true},
    {CKD_SHA3_384_KDF_SP800, "SHA3-384", true},
    {CKD_SHA3_512_KDF_SP800, "SHA3-512", true},
};

static lh_err refuse_peer(const lh_derivation *d)
{
    ERR_clear_error();
    return lh_kdf_refuse_param(d, "the peer's public value is no good");
}

/* The secret that base's private half and peer agree on. */
static lh_err agree(const lh_derivation *d, EVP_PKEY *peer, lh_secret **ret)
{
    LH_AUTO(EVP_PKEY_CTX_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(d->c->libctx, d->base->pkey, NULL);
    if (!ctx || EVP_PKEY_derive_init(ctx) != 1)
        return LH_OPENSSL_FAIL("starting a key agreement");
    /* As long as the prime, as PKCS #3 has it. */
    if (d->base->ck_type == CKK_DH && EVP_PKEY_CTX_set_dh_pad(ctx, 1) != 1)
        return LH_OPENSSL_FAIL("starting a key agreement");
    if (d->row->type == CKM_ECDH1_COFACTOR_DERIVE && d->base->ck_type == CKK_EC) {
        int cofactor = 1;
        const OSSL_PARAM params[] = {
            OSSL_PARAM_construct_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, &cofactor),
            OSSL_PARAM_construct_end()};
        if (EVP_PKEY_CTX_set_params(ctx, params) != 1)
            return LH_OPENSSL_FAIL("starting a key agreement");
    }
    if (EVP_PKEY_derive_set_peer_ex(ctx, peer, 1) != 1)
        return refuse_peer(d);
    size_t len = 0;
    if (EVP_PKEY_derive(ctx, NULL, &len) != 1 || len == 0 || len > LH_SECRET_MAX)
        return LH_OPENSSL_FAIL("a key agreement");
    LH_AUTO(lh_secret_freep) lh_secret *z = NULL;
    LH_TRY(lh_secret_new(len, &z));
    /* X25519 and X448 notice points of small order only here. */
    if (EVP_PKEY_derive(ctx, lh_secret_data(z), &len) != 1)
        return refuse_peer(d);
    lh_secret_truncate(z, len);
    *ret = LH_TAKE(z);
    return LH_SUCCESS;
}

/* Inside of a DER OCTET STRING that is nothing else. */
static bool unwrap_octets(lh_bytes der, lh_bytes *ret)
{
    if (der.len < 2 || der.data[0] != 0x04)
        return false;
    size_t head = 2;
    size_t len = der.data[1];
    if (len == 0x81 && der.len >= 3) {
        len = der.data[2];
        head = 3;
    } else if (len >= 0x80) {
        return false;
    }
    if (der.len - head != len)
        return false;
    *ret = LH_BYTES(der.data + head, len);
    return true;
}

static EVP_PKEY *peer_from(const EVP_PKEY *like, lh_bytes point)
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *peer = EVP_PKEY_new();
    if (!peer || point.len == 0 || EVP_PKEY_copy_parameters(peer, like) != 1 ||
        EVP_PKEY_set1_encoded_public_key(peer, point.data, point.len) != 1)
        return NULL;
    return LH_TAKE(peer);
}

static EVP_PKEY *ec_peer(const lh_derivation *d, lh_bytes point)
{
    if (d->base->ck_type != CKK_EC_MONTGOMERY)
        return peer_from(d->base->pkey, point);
    bool x448 = EVP_PKEY_is_a(d->base->pkey, "X448");
    return EVP_PKEY_new_raw_public_key_ex(
        d->c->libctx, x448 ? "X448" : "X25519", NULL, point.data, point.len);
}

/* A raw point may begin with 04 as a DER OCTET STRING does: of the two readings only one has the length of
 * this curve's points. */
static lh_err take_peer(const lh_derivation *d, lh_bytes point, EVP_PKEY **ret)
{
    if (point.len == 0 || point.len > PEER_MAX)
        return lh_kdf_refuse_param(d, "it has no public point, or too long a one");
    lh_bytes inner = LH_BYTES_NONE;
    EVP_PKEY *peer = ec_peer(d, point);
    if (!peer && unwrap_octets(point, &inner))
        peer = ec_peer(d, inner);
    if (!peer)
        return refuse_peer(d);
    ERR_clear_error();
    *ret = peer;
    return LH_SUCCESS;
}

static lh_err expand(const lh_derivation *d, size_t kdf, lh_bytes shared, lh_bytes z, lh_secret **ret)
{
    if (d->len == 0)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_VALUE_LEN", d->row->name);
    if (d->len > LH_LIMIT_SECRET_VALUE)
        return LH_REFUSE(LH_E_INVALID, "key-size-range", "a key of %zu bytes", d->len);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(d->len, &value));
    uint8_t block[EVP_MAX_MD_SIZE];
    lh_err err = LH_SUCCESS;
    for (size_t done = 0, i = 1; lh_ok(err) && done < d->len; i++) {
        const uint8_t be[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        lh_bytes counter = LH_BYTES(be, 4);
        const lh_bytes parts[] = {kdfs[kdf].sp800 ? counter : z, kdfs[kdf].sp800 ? z : counter, shared};
        size_t len = 0;
        err = lh_kdf_hash(d->c, kdfs[kdf].md, parts, LH_ARRAY_LEN(parts), block, &len);
        size_t take = d->len - done < len ? d->len - done : len;
        memcpy(lh_secret_data(value) + done, block, take);
        done += take;
    }
    OPENSSL_cleanse(block, sizeof(block));
    LH_TRY(err);
    *ret = LH_TAKE(value);
    return LH_SUCCESS;
}

lh_err lh_kdf_ecdh(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes at = d->params;
    uint32_t ckd = 0;
    lh_bytes shared = LH_BYTES_NONE;
    lh_bytes point = LH_BYTES_NONE;
    if (!lh_take_u32(&at, &ckd) || !lh_take_blob(&at, &shared) || !lh_take_blob(&at, &point) || at.len > 0)
        return lh_kdf_refuse_param(d, "it is malformed");
    size_t kdf = 0;
    while (kdf < LH_ARRAY_LEN(kdfs) && kdfs[kdf].ckd != ckd)
        kdf++;
    if (kdf == LH_ARRAY_LEN(kdfs) && ckd != CKD_NULL)
        return lh_kdf_refuse_param(d, "an unknown key derivation function");
    if (shared.len > LH_LIMIT_DERIVE_DATA || (ckd == CKD_NULL && shared.len > 0))
        return lh_kdf_refuse_param(d, "shared data that does not belong there, or too much of it");
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *peer = NULL;
    LH_TRY(take_peer(d, point, &peer));
    LH_AUTO(lh_secret_freep) lh_secret *z = NULL;
    LH_TRY(agree(d, peer, &z));
    /* "The truncation removes bytes from the leading end" (PKCS #11 3.0 section 2.3.17). */
    if (ckd == CKD_NULL)
        return lh_kdf_cut(d, true, &z, ret);
    return expand(d, kdf, shared, lh_secret_bytes(z), ret);
}

lh_err lh_kdf_dh(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes y = d->params;
    while (y.len > 0 && y.data[0] == 0)
        y = LH_BYTES(y.data + 1, y.len - 1);
    size_t prime = (size_t)EVP_PKEY_get_size(d->base->pkey);
    if (y.len == 0 || y.len > prime || prime > PEER_MAX)
        return refuse_peer(d);
    uint8_t padded[PEER_MAX] = {0};
    memcpy(padded + prime - y.len, y.data, y.len);
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *peer = peer_from(d->base->pkey, LH_BYTES(padded, prime));
    if (!peer)
        return refuse_peer(d);
    LH_AUTO(lh_secret_freep) lh_secret *z = NULL;
    LH_TRY(agree(d, peer, &z));
    return lh_kdf_cut(d, true, &z, ret);
}

size_t lh_kdf_agreed_hash_len(lh_crypto *c, unsigned long ckd)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(kdfs); i++)
        if (kdfs[i].ckd == ckd)
            return lh_kdf_hash_len(c, kdfs[i].md);
    return 0;
}

size_t lh_kdf_agreed_len(const lh_mechanism *row, lh_bytes params, const lh_key *base)
{
    uint32_t ckd = CKD_NULL;
    if (row->param == LH_PARAM_ECDH && (!lh_take_u32(&params, &ckd) || ckd != CKD_NULL))
        return 0;
    return base && base->pkey ? (lh_key_bits(base) + 7) / 8 : 0;
}
