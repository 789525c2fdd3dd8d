/* Reading and telling the parts of keys. */
#include "crypto/key_internal.h"
#include "p11/attribute.h"

#include <openssl/err.h>

static const char *name_of(unsigned long type)
{
    const lh_attribute_row *row = lh_attribute_row_by_type(type);
    return row ? row->name : "an attribute";
}

lh_err lh_part_refuse(unsigned long type, const char *why)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "%s: %s", name_of(type), why);
}

lh_err lh_part_refuse_size(unsigned long long bits, const char *what)
{
    return LH_REFUSE(LH_E_INVALID, "key-size-range", "a key of %llu bits: %s", bits, what);
}

bool lh_part_find(lh_key_parts parts, unsigned long type, lh_bytes *ret)
{
    for (size_t i = 0; i < parts.count; i++)
        if (parts.parts[i].type == type) {
            *ret = parts.parts[i].value;
            return true;
        }
    return false;
}

lh_err lh_part_need(lh_key_parts parts, unsigned long type, lh_bytes *ret)
{
    if (lh_part_find(parts, type, ret))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s is missing", name_of(type));
}

lh_err lh_part_ulong(lh_key_parts parts, unsigned long type, uint64_t *ret)
{
    lh_bytes value = LH_BYTES_NONE;
    LH_TRY(lh_part_need(parts, type, &value));
    if (value.len != 8)
        return lh_part_refuse(type, "not a number");
    uint64_t number = 0;
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | value.data[i];
    *ret = number;
    return LH_SUCCESS;
}

lh_err lh_part_number(lh_key_parts parts, unsigned long type, size_t max_bytes, BIGNUM **ret)
{
    lh_bytes value = LH_BYTES_NONE;
    LH_TRY(lh_part_need(parts, type, &value));
    while (value.len > 0 && value.data[0] == 0)
        value = LH_BYTES(value.data + 1, value.len - 1);
    if (value.len == 0)
        return lh_part_refuse(type, "it is zero");
    if (value.len > max_bytes)
        return lh_part_refuse(type, "it is too long");
    LH_AUTO(BN_clear_freep) BIGNUM *number = BN_secure_new();
    if (!number || !BN_bin2bn(value.data, (int)value.len, number))
        return LH_OPENSSL_FAIL("reading a number");
    BN_set_flags(number, BN_FLG_CONSTTIME);
    *ret = LH_TAKE(number);
    return LH_SUCCESS;
}

lh_err lh_part_tell_number(
    const BIGNUM *number, size_t len, unsigned long type, bool secret, lh_key_part_fn fn, void *arg)
{
    size_t size = len > 0 ? len : (size_t)BN_num_bytes(number);
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(size);
    uint8_t *to = lh_buf_extend(&value, size);
    if (!to)
        return lh_buf_status(&value);
    if (BN_bn2binpad(number, to, (int)size) != (int)size)
        return LH_OPENSSL_FAIL("writing a number");
    return fn(arg, type, lh_buf_bytes(&value), secret);
}

lh_err lh_pkey_from(lh_crypto *c, const char *type, OSSL_PARAM_BLD *bld, int selection, EVP_PKEY **ret)
{
    LH_AUTO(OSSL_PARAM_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1)
        return LH_OPENSSL_FAIL("making a key");
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    if (EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1) {
        ERR_clear_error();
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "these parts are no %s key", type);
    }
    *ret = LH_TAKE(pkey);
    return LH_SUCCESS;
}

lh_err lh_pkey_number(const EVP_PKEY *pkey, const char *name, BIGNUM **ret)
{
    LH_AUTO(BN_clear_freep) BIGNUM *number = BN_secure_new();
    if (!number || EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
        return LH_OPENSSL_FAIL("reading a key's number");
    *ret = LH_TAKE(number);
    return LH_SUCCESS;
}

lh_err lh_pkey_generate(EVP_PKEY_CTX *ctx, EVP_PKEY **ret)
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    if (EVP_PKEY_generate(ctx, &pkey) != 1)
        return LH_OPENSSL_FAIL("generating a key");
    *ret = LH_TAKE(pkey);
    return LH_SUCCESS;
}
