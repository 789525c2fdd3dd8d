/* Keys on elliptic curves: NIST's and secp256k1, Edwards and Montgomery ones.
 * Source: PKCS #11 3.2 section 6.3; SEC 1 section 2.3; RFC 7748, RFC 8032. */
#include "crypto/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>

#include <leasehold/pkcs11-3.h>

static lh_err find_curve(lh_key_parts parts, lh_key *key)
{
    lh_bytes params = LH_BYTES_NONE;
    LH_TRY(lh_part_need(parts, CKA_EC_PARAMS, &params));
    key->curve = lh_curve_by_params(key->ck_type, params);
    if (!key->curve)
        return LH_REFUSE(LH_E_INVALID, "curve-not-supported",
            "CKA_EC_PARAMS names no curve that is offered for keys of this type");
    key->bits = key->curve->bits;
    return LH_SUCCESS;
}

/* CKA_EC_POINT: raw, or in a DER OCTET STRING, or (RFC 5480's form, for curves with no prefix byte) BIT
 * STRING. The lengths tell which. */
static lh_err take_point(const lh_curve *curve, lh_bytes value, lh_bytes *ret)
{
    size_t want = curve->point_len;
    size_t head = want < 0x80 ? 2 : 3;
    const uint8_t *p = value.data;
    if (value.len == head + want && p[0] == 0x04 && (head == 2 || p[1] == 0x81) && p[head - 1] == want) {
        value = LH_BYTES(p + head, want);
    } else if (curve->ck_type != CKK_EC && value.len == want + 3 && p[0] == 0x03 && p[1] == want + 1 &&
               p[2] == 0) {
        value = LH_BYTES(p + 3, want);
    }
    /* Compressed and hybrid forms would be second encodings of one key. */
    if (value.len != want || (curve->ck_type == CKK_EC && value.data[0] != 0x04))
        return lh_part_refuse(CKA_EC_POINT, "not an uncompressed point of that curve");
    *ret = value;
    return LH_SUCCESS;
}

/* The public point of a scalar on a NIST curve or secp256k1. */
static lh_err compute_point(lh_crypto *c, const lh_curve *curve, const BIGNUM *scalar, uint8_t *out)
{
    int nid = EC_curve_nist2nid(curve->name);
    if (nid == NID_undef)
        nid = OBJ_sn2nid(curve->name);
    LH_AUTO(EC_GROUP_freep) EC_GROUP *group = EC_GROUP_new_by_curve_name_ex(c->libctx, NULL, nid);
    LH_AUTO(BN_CTX_freep) BN_CTX *ctx = BN_CTX_secure_new_ex(c->libctx);
    if (!group || !ctx)
        return LH_OPENSSL_FAIL("computing a public key");
    if (BN_is_zero(scalar) || BN_cmp(scalar, EC_GROUP_get0_order(group)) >= 0)
        return lh_part_refuse(CKA_VALUE, "a scalar that is zero or not below the order of the curve");
    LH_AUTO(EC_POINT_freep) EC_POINT *point = EC_POINT_new(group);
    if (!point || EC_POINT_mul(group, point, scalar, NULL, NULL, ctx) != 1 ||
        EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, curve->point_len, ctx) !=
            curve->point_len)
        return LH_OPENSSL_FAIL("computing a public key");
    return LH_SUCCESS;
}

lh_err lh_key_ec_fill(lh_crypto *c, const lh_curve *curve, const BIGNUM *scalar, lh_bytes point, lh_key *key)
{
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    uint8_t computed[LH_KEY_POINT_MAX];
    if (scalar) {
        LH_TRY(compute_point(c, curve, scalar, computed));
        if (point.len > 0 && !lh_bytes_equal(point, LH_BYTES(computed, curve->point_len)))
            return lh_part_refuse(CKA_EC_POINT, "not the point of this private key");
        point = LH_BYTES(computed, curve->point_len);
    }
    if (!bld || OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) != 1 ||
        (scalar && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1))
        return LH_OPENSSL_FAIL("making an EC key");
    /* Checks that the point is on the curve; the cofactor of these curves is 1, so that is all there is to
     * check. */
    LH_TRY(lh_pkey_from(c, "EC", bld, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, &key->pkey));
    memcpy(key->point, point.data, point.len);
    key->point_len = point.len;
    return LH_SUCCESS;
}

static lh_err read_point(lh_key *key)
{
    key->point_len = sizeof(key->point);
    if (EVP_PKEY_get_octet_string_param(
            key->pkey, OSSL_PKEY_PARAM_PUB_KEY, key->point, sizeof(key->point), &key->point_len) != 1 ||
        key->point_len != key->curve->point_len)
        return LH_OPENSSL_FAIL("reading a public key");
    return LH_SUCCESS;
}

static lh_err import_raw(
    lh_crypto *c, const lh_curve *curve, lh_bytes value, lh_bytes point, bool private, lh_key *key)
{
    if (private && value.len != curve->scalar_len)
        return lh_part_refuse(CKA_VALUE, "a private key of another length than this curve's");
    key->pkey = private ? EVP_PKEY_new_raw_private_key_ex(c->libctx, curve->name, NULL, value.data, value.len)
                        : EVP_PKEY_new_raw_public_key_ex(c->libctx, curve->name, NULL, point.data, point.len);
    if (!key->pkey)
        return LH_OPENSSL_FAIL("making a key");
    LH_TRY(read_point(key));
    if (point.len > 0 && !lh_bytes_equal(point, LH_BYTES(key->point, key->point_len)))
        return lh_part_refuse(CKA_EC_POINT, "not the point of this private key");
    return LH_SUCCESS;
}

static lh_err import(lh_crypto *c, unsigned long ck_class, lh_key_parts parts, lh_key *key)
{
    bool private = ck_class == CKO_PRIVATE_KEY;
    LH_TRY(find_curve(parts, key));
    lh_bytes given = LH_BYTES_NONE;
    lh_bytes point = LH_BYTES_NONE;
    lh_bytes value = LH_BYTES_NONE;
    if (private)
        LH_TRY(lh_part_need(parts, CKA_VALUE, &value));
    else
        LH_TRY(lh_part_need(parts, CKA_EC_POINT, &given));
    if (lh_part_find(parts, CKA_EC_POINT, &given) && (given.len > 0 || !private))
        LH_TRY(take_point(key->curve, given, &point));
    key->private_half = private;
    if (key->ck_type != CKK_EC)
        return import_raw(c, key->curve, value, point, private, key);
    LH_AUTO(BN_clear_freep) BIGNUM *scalar = NULL;
    if (private)
        LH_TRY(lh_part_number(parts, CKA_VALUE, key->curve->scalar_len, &scalar));
    return lh_key_ec_fill(c, key->curve, scalar, point, key);
}

static lh_err tell_point(const lh_key *key, lh_key_part_fn fn, void *arg)
{
    uint8_t der[3 + LH_KEY_POINT_MAX] = {0x04, 0x81};
    size_t head = key->point_len < 0x80 ? 2 : 3;
    der[head - 1] = (uint8_t)key->point_len;
    memcpy(der + head, key->point, key->point_len);
    return fn(arg, CKA_EC_POINT, LH_BYTES(der, head + key->point_len), false);
}

static lh_err tell(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg)
{
    LH_TRY(fn(arg, CKA_EC_PARAMS, key->curve->oid, false));
    if (ck_class != CKO_PRIVATE_KEY)
        return tell_point(key, fn, arg);
    if (key->ck_type == CKK_EC) {
        LH_AUTO(BN_clear_freep) BIGNUM *scalar = NULL;
        LH_TRY(lh_pkey_number(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar));
        return lh_part_tell_number(scalar, key->curve->scalar_len, CKA_VALUE, true, fn, arg);
    }
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(key->curve->scalar_len);
    uint8_t *to = lh_buf_extend(&value, key->curve->scalar_len);
    size_t len = 0;
    if (!to)
        return lh_buf_status(&value);
    /* Not EVP_PKEY_get_raw_private_key, which in OpenSSL 3.0 leaves a copy in ordinary memory. */
    if (EVP_PKEY_get_octet_string_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, to, value.len, &len) != 1 ||
        len != value.len)
        return LH_OPENSSL_FAIL("reading a private key");
    return fn(arg, CKA_VALUE, lh_buf_bytes(&value), true);
}

static lh_err generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key *key)
{
    (void)row;
    (void)params;
    LH_TRY(find_curve(parts, key));
    bool named = key->ck_type == CKK_EC;
    LH_AUTO(EVP_PKEY_CTX_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, named ? "EC" : key->curve->name, NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 ||
        (named && EVP_PKEY_CTX_set_group_name(ctx, key->curve->name) != 1))
        return LH_OPENSSL_FAIL("generating a key");
    LH_TRY(lh_pkey_generate(ctx, &key->pkey));
    key->private_half = true;
    return read_point(key);
}

const lh_key_ops lh_key_ops_ec = {LH_TYPE_EC | LH_TYPE_EDWARDS | LH_TYPE_MONTGOMERY, import, tell, generate};
