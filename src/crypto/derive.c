/* SP 800-108r1 section 4.1, counter mode: K(i) = HMAC(parent, [i]32 ‖ label ‖ 0x00 ‖ kind ‖ context ‖ [L]32).
 * Invariant: these bytes never change; another derivation gets another label. */
#include "crypto/derive.h"

#include "crypto/hash.h"
#include "crypto/openssl.h"

#include <openssl/crypto.h>

#define DERIVE_LEN_MAX 1024

static const char label[] = "leasehold-derive-v1";

/* For scalars: how many bytes are derived, more than the 64 bits beyond the order that FIPS 186-5 A.2.1 asks
 * for; and the order less one (SP 800-186 section 3.2.1). */
static const struct {
    enum lh_key_kind kind;
    size_t len;
    const char *order_less_one;
} scalars[] = {
    {LH_KEY_EC_P256, 48, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550"},
    {LH_KEY_EC_P384, 64,
        "ffffffffffffffffffffffffffffffffffffffffffffffff"
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52972"},
    {LH_KEY_EC_P521, 82,
        "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa"
        "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386408"},
};

static void put_u32(uint8_t out[4], size_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}

/* kind: one byte in front of the context, so that raw secrets and the kinds of keys never share bytes. */
static lh_err derive(lh_crypto *c, const lh_secret *parent, uint8_t kind, lh_bytes context, lh_secret *out)
{
    lh_bytes key = lh_secret_bytes(parent);
    if (key.len < LH_DERIVE_PARENT_MIN)
        return LH_FAIL(
            LH_E_INVALID, "a parent secret of %zu bytes: it has at least %d", key.len, LH_DERIVE_PARENT_MIN);
    if (context.len == 0 || context.len > LH_DERIVE_CONTEXT_MAX)
        return LH_FAIL(LH_E_INVALID, "a derivation context of %zu bytes: it has 1 to %d", context.len,
            LH_DERIVE_CONTEXT_MAX);
    size_t len = lh_secret_len(out);
    uint8_t bits[4];
    put_u32(bits, len * 8);
    uint8_t block[LH_SHA256_SIZE];
    lh_err err = LH_SUCCESS;
    for (size_t i = 1, done = 0; done < len; i++) {
        uint8_t counter[4];
        put_u32(counter, i);
        /* sizeof(label) takes in its NUL: the 0x00 that separates label and context. */
        const lh_bytes parts[] = {LH_BYTES(counter, 4), LH_BYTES(label, sizeof(label)), LH_BYTES(&kind, 1),
            context, LH_BYTES(bits, 4)};
        err = lh_hmac_sha256(c, key, parts, LH_ARRAY_LEN(parts), block);
        if (!lh_ok(err))
            break;
        size_t take = len - done < sizeof(block) ? len - done : sizeof(block);
        memcpy(lh_secret_data(out) + done, block, take);
        done += take;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return err;
}

lh_err lh_derive(lh_crypto *c, const lh_secret *parent, lh_bytes context, size_t len, lh_secret **ret)
{
    if (len == 0 || len > DERIVE_LEN_MAX)
        return LH_FAIL(LH_E_INVALID, "%zu bytes to derive: it gives 1 to %d", len, DERIVE_LEN_MAX);
    LH_AUTO(lh_secret_freep) lh_secret *out = NULL;
    LH_TRY(lh_secret_new(len, &out));
    LH_TRY(derive(c, parent, LH_KEY_NONE, context, out));
    *ret = LH_TAKE(out);
    return LH_SUCCESS;
}

/* FIPS 186-5 A.2.1: d = (bits mod (n - 1)) + 1. */
static lh_err extra_random_bits(
    lh_crypto *c, const lh_secret *bits, const char *less_one, lh_secret *ret_scalar)
{
    LH_AUTO(BN_CTX_freep) BN_CTX *ctx = BN_CTX_secure_new_ex(c->libctx);
    LH_AUTO(BN_clear_freep) BIGNUM *number = BN_secure_new();
    LH_AUTO(BN_clear_freep) BIGNUM *scalar = BN_secure_new();
    LH_AUTO(BN_clear_freep) BIGNUM *order_less_one = NULL;
    lh_bytes bytes = lh_secret_bytes(bits);
    if (!ctx || !number || !scalar || !BN_hex2bn(&order_less_one, less_one) ||
        !BN_bin2bn(bytes.data, (int)bytes.len, number))
        return LH_OPENSSL_FAIL("reading an EC scalar");
    BN_set_flags(number, BN_FLG_CONSTTIME);
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    if (BN_mod(scalar, number, order_less_one, ctx) != 1 || BN_add_word(scalar, 1) != 1 ||
        BN_bn2binpad(scalar, lh_secret_data(ret_scalar), (int)lh_secret_len(ret_scalar)) < 0)
        return LH_OPENSSL_FAIL("deriving an EC scalar");
    return LH_SUCCESS;
}

lh_err lh_derive_material(
    lh_crypto *c, const lh_secret *parent, lh_bytes context, enum lh_key_kind kind, lh_secret **ret)
{
    const lh_key_row *row = lh_key_row_by_kind(kind);
    if (!row)
        return LH_REFUSE(LH_E_INVALID, "key-type", "there is no key of kind %d", (int)kind);
    if (row->made)
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s keys are made, not derived", row->name);
    LH_AUTO(lh_secret_freep) lh_secret *material = NULL;
    LH_TRY(lh_secret_new(lh_key_row_material_len(row), &material));
    for (size_t i = 0; i < LH_ARRAY_LEN(scalars); i++) {
        if (scalars[i].kind != kind)
            continue;
        LH_AUTO(lh_secret_freep) lh_secret *bits = NULL;
        LH_TRY(lh_secret_new(scalars[i].len, &bits));
        LH_TRY(derive(c, parent, (uint8_t)kind, context, bits));
        LH_TRY(extra_random_bits(c, bits, scalars[i].order_less_one, material));
        *ret = LH_TAKE(material);
        return LH_SUCCESS;
    }
    LH_TRY(derive(c, parent, (uint8_t)kind, context, material));
    *ret = LH_TAKE(material);
    return LH_SUCCESS;
}

lh_err lh_key_derive(
    lh_crypto *c, const lh_secret *parent, lh_bytes context, enum lh_key_kind kind, lh_key **ret)
{
    LH_AUTO(lh_secret_freep) lh_secret *material = NULL;
    LH_TRY(lh_derive_material(c, parent, context, kind, &material));
    return lh_key_new(c, kind, material, ret);
}
