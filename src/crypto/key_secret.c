/* Secret keys: their lengths, from values, from random bytes, from passwords; check values. */
#include "crypto/key_secret.h"

#include "base/limits.h"
#include "crypto/kdf.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/crypto.h>

#define GENERATED_MIN 16 /* bytes of a key that is made here */

/* Types of one length, or of a few; 0 ends the list. All others have 1 to LH_LIMIT_SECRET_VALUE bytes. */
static const struct {
    unsigned long ck_type;
    size_t lengths[4];
} sizes[] = {
    {CKK_AES, {16, 24, 32}},
    {CKK_AES_XTS, {32, 64}},
    {CKK_CHACHA20, {32}},
    {CKK_DES3, {24}},
};

static bool is_secret_type(unsigned long ck_type)
{
    return (lh_key_type_of(ck_type) & (LH_TYPE_AES | LH_TYPE_CHACHA20 | LH_TYPE_GENERIC | LH_TYPE_HMAC |
                                          LH_TYPE_HKDF | LH_TYPE_AES_XTS | LH_TYPE_DES3 | LH_TYPE_RC4)) != 0;
}

static lh_err refuse_size(unsigned long ck_type, size_t len)
{
    return LH_REFUSE(
        LH_E_INVALID, "key-size-range", "a key of type 0x%lx does not have %zu bytes", ck_type, len);
}

lh_err lh_key_secret_check_len(unsigned long ck_type, size_t len)
{
    if (!is_secret_type(ck_type))
        return LH_REFUSE(LH_E_INVALID, "key-type", "there are no secret keys of type 0x%lx", ck_type);
    for (size_t i = 0; i < LH_ARRAY_LEN(sizes); i++) {
        if (sizes[i].ck_type != ck_type)
            continue;
        for (size_t j = 0; sizes[i].lengths[j] != 0; j++)
            if (sizes[i].lengths[j] == len)
                return LH_SUCCESS;
        return refuse_size(ck_type, len);
    }
    bool fits = len >= 1 && len <= (ck_type == CKK_RC4 ? 256 : LH_LIMIT_SECRET_VALUE);
    return fits ? LH_SUCCESS : refuse_size(ck_type, len);
}

size_t lh_key_secret_fixed_len(unsigned long ck_type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(sizes); i++)
        if (sizes[i].ck_type == ck_type)
            return sizes[i].lengths[1] == 0 ? sizes[i].lengths[0] : 0;
    return 0;
}

lh_err lh_key_secret_take(unsigned long ck_type, lh_secret **value, lh_key **ret)
{
    LH_TRY(lh_key_secret_check_len(ck_type, lh_secret_len(*value)));
    lh_bytes bytes = lh_secret_bytes(*value);
    /* SP 800-38E: the two keys of XTS are to differ. */
    if (ck_type == CKK_AES_XTS && lh_equal_ct(bytes.data, bytes.data + bytes.len / 2, bytes.len / 2))
        return LH_REFUSE(
            LH_E_INVALID, "attribute-value-invalid", "the two halves of an XTS key are the same");
    lh_key *key = calloc(1, sizeof(*key));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    key->ck_type = ck_type;
    key->secret = LH_TAKE(*value);
    *ret = key;
    return LH_SUCCESS;
}

static bool find_part(lh_key_parts parts, unsigned long type, lh_bytes *ret)
{
    for (size_t i = 0; i < parts.count; i++) {
        if (parts.parts[i].type != type)
            continue;
        *ret = parts.parts[i].value;
        return true;
    }
    return false;
}

/* A CK_ULONG; fallback where there is none. */
static lh_err take_ulong(lh_key_parts parts, unsigned long type, uint64_t fallback, uint64_t *ret)
{
    lh_bytes value = LH_BYTES_NONE;
    *ret = fallback;
    if (!find_part(parts, type, &value))
        return LH_SUCCESS;
    if (value.len != 8)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "attribute 0x%lx is no number", type);
    *ret = 0;
    for (size_t i = 0; i < 8; i++)
        *ret = *ret << 8 | value.data[i];
    return LH_SUCCESS;
}

lh_err lh_key_secret_import(unsigned long ck_type, lh_key_parts parts, lh_key **ret)
{
    lh_bytes value = LH_BYTES_NONE;
    if (!find_part(parts, CKA_VALUE, &value))
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "CKA_VALUE is missing");
    LH_TRY(lh_key_secret_check_len(ck_type, value.len));
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_secret_copy(value, &secret));
    return lh_key_secret_take(ck_type, &secret, ret);
}

/* The first type that the row makes: the one that it is named after. */
static unsigned long made_type(const lh_mechanism *row)
{
    static const unsigned long candidates[] = {CKK_AES, CKK_AES_XTS, CKK_CHACHA20, CKK_GENERIC_SECRET,
        CKK_HKDF, CKK_DES3, CKK_SHA_1_HMAC, CKK_SHA224_HMAC, CKK_SHA256_HMAC, CKK_SHA384_HMAC,
        CKK_SHA512_HMAC, CKK_SHA512_224_HMAC, CKK_SHA512_256_HMAC, CKK_SHA3_224_HMAC, CKK_SHA3_256_HMAC,
        CKK_SHA3_384_HMAC, CKK_SHA3_512_HMAC};
    if (row->param == LH_PARAM_PBKD2)
        return CKK_GENERIC_SECRET;
    for (size_t i = 0; i < LH_ARRAY_LEN(candidates); i++)
        if (lh_mechanism_fits_type(row, candidates[i]))
            return candidates[i];
    return CKK_GENERIC_SECRET;
}

lh_err lh_key_secret_generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key **ret)
{
    uint64_t ck_type = 0;
    LH_TRY(take_ulong(parts, CKA_KEY_TYPE, made_type(row), &ck_type));
    if (row->family != LH_FAMILY_KEYGEN || !lh_mechanism_fits_type(row, (unsigned long)ck_type))
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s does not make keys of that type", row->name);
    size_t fixed = lh_key_secret_fixed_len((unsigned long)ck_type);
    /* Keys of an HMAC are as long as its digest where nothing else is said. */
    bool digest_long = fixed == 0 && lh_key_type_of((unsigned long)ck_type) == LH_TYPE_HMAC && row->digest;
    uint64_t len = 0;
    LH_TRY(take_ulong(parts, CKA_VALUE_LEN, digest_long ? row->max_output : fixed, &len));
    if (len == 0)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "CKA_VALUE_LEN is missing");
    if (len > LH_LIMIT_SECRET_VALUE || len < GENERATED_MIN)
        return refuse_size((unsigned long)ck_type, (size_t)len);
    LH_TRY(lh_key_secret_check_len((unsigned long)ck_type, (size_t)len));
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    if (row->param == LH_PARAM_PBKD2)
        LH_TRY(lh_key_derive_value(c, row, params, NULL, NULL, 0, (size_t)len, &secret));
    else if (params.len > 0)
        return LH_REFUSE(LH_E_INVALID, "mechanism-param", "%s takes no parameter", row->name);
    else
        LH_TRY(lh_secret_random((size_t)len, &secret));
    return lh_key_secret_take((unsigned long)ck_type, &secret, ret);
}

static lh_err encrypt_zeros(lh_crypto *c, const char *mode, size_t block, lh_bytes key, uint8_t out[32])
{
    static const uint8_t zeros[16];
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = lh_crypto_cipher(c, mode, key.len);
    int len = 0;
    if (!ctx || !cipher || EVP_EncryptInit_ex2(ctx, cipher, key.data, NULL, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, out, &len, zeros, (int)block) != 1)
        return LH_OPENSSL_FAIL("making a key's check value");
    return LH_SUCCESS;
}

lh_err lh_key_check_value(lh_crypto *c, const lh_key *key, uint8_t ret[3])
{
    if (!key->secret)
        return LH_REFUSE(LH_E_INVALID, "key-type", "a pair has no check value");
    lh_bytes value = lh_secret_bytes(key->secret);
    uint8_t out[EVP_MAX_MD_SIZE] = {0};
    if (key->ck_type == CKK_AES)
        LH_TRY(encrypt_zeros(c, "ECB", 16, value, out));
    else if (key->ck_type == CKK_DES3)
        LH_TRY(encrypt_zeros(c, "DES-EDE3-ECB", 8, value, out));
    else if (EVP_Digest(value.data, value.len, out, NULL, c->md[LH_MD_SHA1], NULL) != 1)
        return LH_OPENSSL_FAIL("making a key's check value");
    memcpy(ret, out, 3);
    OPENSSL_cleanse(out, sizeof(out));
    return LH_SUCCESS;
}
