/* Keys from raw bytes, and their public halves. */
#include "crypto/key.h"

#include "crypto/openssl.h"

#include <openssl/ec.h>
#include <openssl/obj_mac.h>

LH_DEFINE_FREEP(EC_GROUP, EC_GROUP_free)
LH_DEFINE_FREEP(EC_POINT, EC_POINT_free)

static lh_err refuse_material(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "key-material", "not a key of this kind: %s", why);
}

static lh_err p256_new(lh_crypto *c, lh_bytes material, lh_key *key)
{
    LH_AUTO(EC_GROUP_freep)
    EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(c->libctx, NULL, NID_X9_62_prime256v1);
    LH_AUTO(BN_CTX_freep) BN_CTX *ctx = BN_CTX_secure_new_ex(c->libctx);
    LH_AUTO(BN_clear_freep) BIGNUM *scalar = BN_secure_new();
    if (!group || !ctx || !scalar || !BN_bin2bn(material.data, (int)material.len, scalar))
        return LH_OPENSSL_FAIL("reading an EC scalar");
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0)
        return refuse_material("a scalar that is zero or not below the order of P-256");
    LH_AUTO(EC_POINT_freep) EC_POINT *point = EC_POINT_new(group);
    if (!point || EC_POINT_mul(group, point, scalar, NULL, NULL, ctx) != 1)
        return LH_OPENSSL_FAIL("computing a public key");
    key->point_len =
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, key->point, sizeof(key->point), ctx);
    if (key->point_len != LH_KEY_POINT_MAX)
        return LH_OPENSSL_FAIL("encoding a public key");
    return lh_pkey_ec(c, "P-256", LH_BYTES(key->point, key->point_len), scalar, &key->pkey);
}

static lh_err ed25519_new(lh_crypto *c, lh_bytes material, lh_key *key)
{
    key->pkey = EVP_PKEY_new_raw_private_key_ex(c->libctx, "ED25519", NULL, material.data, material.len);
    key->point_len = 32;
    if (!key->pkey || EVP_PKEY_get_raw_public_key(key->pkey, key->point, &key->point_len) != 1)
        return LH_OPENSSL_FAIL("making an Ed25519 key");
    return LH_SUCCESS;
}

lh_err lh_key_new(lh_crypto *c, enum lh_key_kind kind, const lh_secret *material, lh_key **ret)
{
    lh_bytes bytes = lh_secret_bytes(material);
    if (bytes.len != LH_KEY_SECRET_SIZE)
        return refuse_material("it has 32 bytes");
    LH_AUTO(lh_key_freep) lh_key *key = calloc(1, sizeof(*key));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    const lh_key_row *row = lh_key_row_by_kind(kind);
    if (!row)
        return LH_REFUSE(LH_E_INVALID, "key-type", "there is no key of kind %d", (int)kind);
    key->kind = kind;
    key->ck_type = row->ck_type;
    key->private_half = true;
    switch (kind) {
    case LH_KEY_EC_P256: LH_TRY(p256_new(c, bytes, key)); break;
    case LH_KEY_ED25519: LH_TRY(ed25519_new(c, bytes, key)); break;
    case LH_KEY_AES256:
    case LH_KEY_HMAC_SHA256: LH_TRY(lh_secret_copy(bytes, &key->secret)); break;
    case LH_KEY_NONE:
    case LH_KEY_KIND_COUNT:
    default: return LH_REFUSE(LH_E_INVALID, "key-type", "there is no key of kind %d", (int)kind);
    }
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

lh_err lh_key_new_public(lh_crypto *c, enum lh_key_kind kind, lh_bytes point, lh_key **ret)
{
    const lh_key_row *row = lh_key_row_by_kind(kind);
    if (!row || !row->pair)
        return LH_REFUSE(LH_E_INVALID, "key-type", "a key of kind %d has no public half", (int)kind);
    size_t want = kind == LH_KEY_EC_P256 ? 65 : 32;
    if (point.len != want)
        return LH_REFUSE(
            LH_E_INVALID, "key-public", "a public key of %zu bytes: %s has %zu", point.len, row->name, want);
    LH_AUTO(lh_key_freep) lh_key *key = calloc(1, sizeof(*key));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    key->kind = kind;
    key->ck_type = row->ck_type;
    key->point_len = point.len;
    memcpy(key->point, point.data, point.len);
    if (kind == LH_KEY_EC_P256)
        LH_TRY(lh_pkey_ec(c, "P-256", point, NULL, &key->pkey));
    else
        LH_TRY(lh_pkey_ed25519_public(c, point, &key->pkey));
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

void lh_key_free(lh_key *key)
{
    if (!key)
        return;
    lh_secret_free(key->secret);
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum lh_key_kind lh_key_kind(const lh_key *key)
{
    return key->kind;
}

static lh_err need_pair(const lh_key *key)
{
    if (!key->pkey)
        return LH_REFUSE(LH_E_INVALID, "key-type", "a symmetric key has no public half");
    return LH_SUCCESS;
}

lh_err lh_key_public_spki(const lh_key *key, lh_buf *out)
{
    LH_TRY(need_pair(key));
    return lh_pkey_spki(key->pkey, out);
}

lh_err lh_key_public_point(const lh_key *key, lh_buf *out)
{
    LH_TRY(need_pair(key));
    lh_buf_append(out, key->point, key->point_len);
    return lh_buf_status(out);
}
