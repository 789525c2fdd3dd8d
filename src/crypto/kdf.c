/* Which derivation is whose; HKDF, PBKDF2 and the small constructions. */
#include "crypto/kdf_internal.h"

#include "base/limits.h"
#include "crypto/key_secret.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <stdio.h>

LH_DEFINE_FREEP(EVP_KDF, EVP_KDF_free)
LH_DEFINE_FREEP(EVP_KDF_CTX, EVP_KDF_CTX_free)

#define HKDF_SALT_NULL 1u /* CKF_HKDF_SALT_… */
#define HKDF_SALT_DATA 2u
#define HKDF_SALT_KEY 4u

lh_err lh_kdf_refuse_param(const lh_derivation *d, const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "mechanism-param", "the parameter of %s is wrong: %s", d->row->name, why);
}

static lh_err refuse_len(const lh_derivation *d, size_t have)
{
    return LH_REFUSE(
        LH_E_INVALID, "key-size-range", "%s has %zu bytes to give, not %zu", d->row->name, have, d->len);
}

lh_err lh_kdf_cut(const lh_derivation *d, bool last_ones, lh_secret **value, lh_secret **ret)
{
    size_t have = lh_secret_len(*value);
    size_t want = d->len > 0 ? d->len : have;
    if (want > have || want > LH_LIMIT_SECRET_VALUE)
        return refuse_len(d, have);
    uint8_t *data = lh_secret_data(*value);
    if (last_ones)
        memmove(data, data + have - want, want);
    lh_secret_truncate(*value, want);
    *ret = LH_TAKE(*value);
    return LH_SUCCESS;
}

lh_err lh_kdf_hmac(lh_crypto *c, const char *md, lh_bytes key, const lh_bytes *parts, size_t n, uint8_t *out)
{
    const EVP_MAC_CTX *fresh = lh_crypto_hmac(c, md);
    LH_AUTO(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = fresh ? EVP_MAC_CTX_dup(fresh) : NULL;
    static const uint8_t none;
    if (!ctx || EVP_MAC_init(ctx, key.len > 0 ? key.data : &none, key.len, NULL) != 1)
        return LH_OPENSSL_FAIL("starting an HMAC");
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].data, parts[i].len) != 1)
            return LH_OPENSSL_FAIL("HMAC");
    size_t len = 0;
    if (EVP_MAC_final(ctx, out, &len, EVP_MAX_MD_SIZE) != 1)
        return LH_OPENSSL_FAIL("finishing an HMAC");
    return LH_SUCCESS;
}

lh_err lh_kdf_hash(
    lh_crypto *c, const char *md, const lh_bytes *parts, size_t n, uint8_t *out, size_t *ret_len)
{
    const EVP_MD *algorithm = lh_crypto_md(c, md);
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!algorithm || !ctx || EVP_DigestInit_ex2(ctx, algorithm, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0 && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) != 1)
            return LH_OPENSSL_FAIL("hashing");
    unsigned len = 0;
    if (EVP_DigestFinal_ex(ctx, out, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    if (ret_len)
        *ret_len = len;
    return LH_SUCCESS;
}

size_t lh_kdf_hash_len(lh_crypto *c, const char *md)
{
    const EVP_MD *algorithm = lh_crypto_md(c, md);
    return algorithm ? (size_t)EVP_MD_get_size(algorithm) : 0;
}

/* first ‖ second, cut. */
static lh_err join(const lh_derivation *d, lh_bytes first, lh_bytes second, lh_secret **ret)
{
    if (first.len + second.len == 0 || first.len + second.len > LH_SECRET_MAX)
        return refuse_len(d, 0);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(first.len + second.len, &value));
    if (first.len > 0)
        memcpy(lh_secret_data(value), first.data, first.len);
    if (second.len > 0)
        memcpy(lh_secret_data(value) + first.len, second.data, second.len);
    return lh_kdf_cut(d, false, &value, ret);
}

static lh_err concatenate(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes base = lh_secret_bytes(d->base->secret);
    if (d->row->type == CKM_CONCATENATE_BASE_AND_DATA)
        return join(d, base, d->params, ret);
    if (d->row->type == CKM_CONCATENATE_DATA_AND_BASE)
        return join(d, d->params, base, ret);
    if (d->params.len != 8)
        return lh_kdf_refuse_param(d, "it is the handle of a key");
    if (d->n_others != 1 || !d->others[0]->secret)
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s joins two secret keys", d->row->name);
    return join(d, base, lh_secret_bytes(d->others[0]->secret), ret);
}

/* As much as the shorter of both has. */
static lh_err xor_data(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes base = lh_secret_bytes(d->base->secret);
    size_t len = base.len < d->params.len ? base.len : d->params.len;
    if (len == 0)
        return lh_kdf_refuse_param(d, "there is no data");
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_copy(LH_BYTES(base.data, len), &value));
    for (size_t i = 0; i < len; i++)
        lh_secret_data(value)[i] ^= d->params.data[i];
    return lh_kdf_cut(d, false, &value, ret);
}

/* From that bit on (0 is the first byte's highest), and round from the end to the beginning. */
static lh_err extract_bits(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes base = lh_secret_bytes(d->base->secret);
    lh_bytes at = d->params;
    uint32_t first = 0;
    if (at.len != 4 || !lh_take_u32(&at, &first) || first >= base.len * 8)
        return lh_kdf_refuse_param(d, "it is the number of a bit of the key");
    if (d->len == 0)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_VALUE_LEN", d->row->name);
    if (d->len > base.len)
        return refuse_len(d, base.len);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(d->len, &value));
    size_t shift = first % 8;
    for (size_t i = 0; i < d->len; i++) {
        unsigned high = base.data[(first / 8 + i) % base.len];
        unsigned low = base.data[(first / 8 + i + 1) % base.len];
        lh_secret_data(value)[i] = (uint8_t)((high << 8 | low) >> (8 - shift));
    }
    *ret = LH_TAKE(value);
    return LH_SUCCESS;
}

static lh_err hash_key(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes base = lh_secret_bytes(d->base->secret);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(EVP_MAX_MD_SIZE, &value));
    size_t len = 0;
    LH_TRY(lh_kdf_hash(d->c, d->row->digest, &base, 1, lh_secret_data(value), &len));
    lh_secret_truncate(value, len);
    return lh_kdf_cut(d, false, &value, ret);
}

/* AES in ECB or CBC over whole blocks of the caller's. */
static lh_err encrypt_data(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes data = d->params;
    lh_bytes iv = LH_BYTES_NONE;
    if (d->row->param == LH_PARAM_IV16_DATA) {
        if (data.len < 16)
            return lh_kdf_refuse_param(d, "it is an IV of 16 bytes and data");
        iv = LH_BYTES(data.data, 16);
        lh_bytes rest = LH_BYTES(data.data + 16, data.len - 16);
        if (!lh_take_blob(&rest, &data) || rest.len > 0)
            return lh_kdf_refuse_param(d, "it is malformed");
    }
    if (data.len == 0 || data.len % 16 != 0 || data.len > LH_SECRET_MAX)
        return lh_kdf_refuse_param(d, "the data is whole blocks of 16 bytes");
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(data.len, &value));
    lh_bytes key = lh_secret_bytes(d->base->secret);
    const EVP_CIPHER *cipher = lh_crypto_cipher(d->c, d->row->cipher, key.len);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    if (!cipher || !ctx || EVP_EncryptInit_ex2(ctx, cipher, key.data, iv.data, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(ctx, 0) != 1 ||
        EVP_EncryptUpdate(ctx, lh_secret_data(value), &len, data.data, (int)data.len) != 1)
        return LH_OPENSSL_FAIL("encrypting data");
    return lh_kdf_cut(d, false, &value, ret);
}

typedef struct {
    const char *md;
    size_t md_len;
    bool extract;
    bool expand;
    lh_bytes salt;
    lh_bytes info;
} hkdf_params;

static lh_err take_hkdf(const lh_derivation *d, hkdf_params *ret)
{
    lh_bytes at = d->params;
    uint8_t extract = 0;
    uint8_t expand = 0;
    uint32_t hash = 0;
    uint32_t salt_type = 0;
    uint64_t salt_key = 0;
    if (!lh_take_u8(&at, &extract) || !lh_take_u8(&at, &expand) || !lh_take_u32(&at, &hash) ||
        !lh_take_u32(&at, &salt_type) || !lh_take_blob(&at, &ret->salt) || !lh_take_u64(&at, &salt_key) ||
        !lh_take_blob(&at, &ret->info) || at.len > 0)
        return lh_kdf_refuse_param(d, "it is malformed");
    const lh_mechanism *digest = lh_mechanism_by_type(hash);
    if (!digest || digest->family != LH_FAMILY_DIGEST)
        return lh_kdf_refuse_param(d, "an unknown hash");
    ret->md = digest->digest;
    ret->md_len = digest->max_output;
    ret->extract = extract != 0;
    ret->expand = expand != 0;
    if (!ret->extract && !ret->expand)
        return lh_kdf_refuse_param(d, "neither extract nor expand");
    if (ret->salt.len > LH_LIMIT_DERIVE_DATA || ret->info.len > LH_LIMIT_DERIVE_DATA)
        return lh_kdf_refuse_param(d, "too much salt or info");
    if (!ret->extract || salt_type == HKDF_SALT_NULL) {
        ret->salt = LH_BYTES_NONE;
    } else if (salt_type == HKDF_SALT_KEY) {
        if (d->n_others != 1 || !d->others[0]->secret)
            return LH_REFUSE(LH_E_INVALID, "key-type", "the salt of %s is a secret key", d->row->name);
        ret->salt = lh_secret_bytes(d->others[0]->secret);
    } else if (salt_type != HKDF_SALT_DATA) {
        return lh_kdf_refuse_param(d, "an unknown kind of salt");
    }
    return LH_SUCCESS;
}

/* RFC 5869 section 2.3, into value. */
static lh_err hkdf_expand(lh_crypto *c, const hkdf_params *p, lh_bytes prk, lh_secret *value)
{
    uint8_t block[EVP_MAX_MD_SIZE];
    size_t have = 0;
    lh_err err = LH_SUCCESS;
    for (size_t done = 0, i = 1; lh_ok(err) && done < lh_secret_len(value); i++) {
        uint8_t counter = (uint8_t)i;
        const lh_bytes parts[] = {LH_BYTES(block, have), p->info, LH_BYTES(&counter, 1)};
        err = lh_kdf_hmac(c, p->md, prk, parts, LH_ARRAY_LEN(parts), block);
        have = p->md_len;
        size_t take = lh_secret_len(value) - done < have ? lh_secret_len(value) - done : have;
        if (lh_ok(err))
            memcpy(lh_secret_data(value) + done, block, take);
        done += take;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return err;
}

static lh_err hkdf(const lh_derivation *d, lh_secret **ret)
{
    hkdf_params p = {0};
    LH_TRY(take_hkdf(d, &p));
    lh_bytes prk = lh_secret_bytes(d->base->secret);
    LH_AUTO(lh_secret_freep) lh_secret *extracted = NULL;
    if (p.extract) {
        /* No salt is as many zeros as the hash is long, which HMAC makes of an empty key by itself. */
        LH_TRY(lh_secret_new(EVP_MAX_MD_SIZE, &extracted));
        LH_TRY(lh_kdf_hmac(d->c, p.md, p.salt, &prk, 1, lh_secret_data(extracted)));
        lh_secret_truncate(extracted, p.md_len);
        prk = lh_secret_bytes(extracted);
    }
    if (!p.expand)
        return lh_kdf_cut(d, false, &extracted, ret);
    if (d->len == 0)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_VALUE_LEN", d->row->name);
    if (d->len > 255 * p.md_len || d->len > LH_LIMIT_SECRET_VALUE)
        return refuse_len(d, 255 * p.md_len);
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(d->len, &value));
    LH_TRY(hkdf_expand(d->c, &p, prk, value));
    *ret = LH_TAKE(value);
    return LH_SUCCESS;
}

/* CKP_PKCS5_PBKD2_HMAC_…, in the order of their numbers. */
static const char *const pbkdf2_hashes[] = {NULL, "SHA1", NULL /* GOST */, "SHA2-224", "SHA2-256", "SHA2-384",
    "SHA2-512", "SHA2-512/224", "SHA2-512/256"};

static lh_err pbkdf2(const lh_derivation *d, lh_secret **ret)
{
    lh_bytes at = d->params;
    uint32_t prf = 0;
    uint64_t iterations = 0;
    lh_bytes salt = LH_BYTES_NONE;
    lh_bytes password = LH_BYTES_NONE;
    if (!lh_take_u32(&at, &prf) || !lh_take_u64(&at, &iterations) || !lh_take_blob(&at, &salt) ||
        !lh_take_blob(&at, &password) || at.len > 0)
        return lh_kdf_refuse_param(d, "it is malformed");
    if (prf >= LH_ARRAY_LEN(pbkdf2_hashes) || !pbkdf2_hashes[prf])
        return lh_kdf_refuse_param(d, "an unknown pseudorandom function");
    if (iterations < 1 || iterations > LH_LIMIT_PBKDF2_ITERATIONS)
        return lh_kdf_refuse_param(d, "1 to 10,000,000 iterations");
    if (salt.len > LH_LIMIT_DERIVE_DATA || password.len > LH_LIMIT_DERIVE_DATA)
        return lh_kdf_refuse_param(d, "too much salt or password");
    if (d->len == 0)
        return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_VALUE_LEN", d->row->name);
    if (d->len > LH_LIMIT_SECRET_VALUE)
        return refuse_len(d, LH_LIMIT_SECRET_VALUE);
    LH_AUTO(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(d->c->libctx, "PBKDF2", NULL);
    LH_AUTO(EVP_KDF_CTX_freep) EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    if (!ctx)
        return LH_OPENSSL_FAIL("PBKDF2");
    char md[32];
    snprintf(md, sizeof(md), "%s", pbkdf2_hashes[prf]);
    int lax = 1; /* RFC 8018 alone, without the least lengths of SP 800-132 */
    uint8_t none = 0;
    /* OpenSSL only reads them. */
    void *secret = password.len > 0 ? (void *)(uintptr_t)password.data : &none;
    void *grain = salt.len > 0 ? (void *)(uintptr_t)salt.data : &none;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, secret, password.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, grain, salt.len),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_ITER, &iterations),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &lax), OSSL_PARAM_construct_end()};
    LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
    LH_TRY(lh_secret_new(d->len, &value));
    if (EVP_KDF_derive(ctx, lh_secret_data(value), d->len, params) != 1)
        return LH_OPENSSL_FAIL("PBKDF2");
    *ret = LH_TAKE(value);
    return LH_SUCCESS;
}

typedef lh_err (*derive_fn)(const lh_derivation *d, lh_secret **ret);

static derive_fn find(const lh_mechanism *row)
{
    switch (row->type) {
    case CKM_CONCATENATE_BASE_AND_KEY:
    case CKM_CONCATENATE_BASE_AND_DATA:
    case CKM_CONCATENATE_DATA_AND_BASE: return concatenate;
    case CKM_XOR_BASE_AND_DATA: return xor_data;
    case CKM_EXTRACT_KEY_FROM_KEY: return extract_bits;
    case CKM_AES_ECB_ENCRYPT_DATA:
    case CKM_AES_CBC_ENCRYPT_DATA: return encrypt_data;
    case CKM_HKDF_DERIVE:
    case CKM_HKDF_DATA: return hkdf;
    case CKM_PKCS5_PBKD2: return pbkdf2;
    case CKM_ECDH1_DERIVE:
    case CKM_ECDH1_COFACTOR_DERIVE: return lh_kdf_ecdh;
    case CKM_DH_PKCS_DERIVE: return lh_kdf_dh;
    default: return row->family == LH_FAMILY_DERIVE && row->digest ? hash_key : NULL;
    }
}

static lh_err check(const lh_derivation *d)
{
    if (!(d->row->uses & (LH_USE_DERIVE | LH_USE_GENERATE)))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s derives no keys", d->row->name);
    if (d->row->type == CKM_PKCS5_PBKD2)
        return LH_SUCCESS;
    if (!d->base || !lh_mechanism_fits_type(d->row, d->base->ck_type) ||
        (d->base->pkey ? !d->base->private_half : !d->base->secret))
        return LH_REFUSE(
            LH_E_INVALID, "key-type", "%s does not derive from a key of this type", d->row->name);
    if (d->row->param == LH_PARAM_NONE && d->params.len > 0)
        return lh_kdf_refuse_param(d, "it takes none");
    return LH_SUCCESS;
}

lh_err lh_key_derive_value(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *base,
    const lh_key *const *others, size_t n_others, size_t value_len, lh_secret **ret)
{
    if (row->param == LH_PARAM_SP800_108)
        return lh_key_derive_several(c, row, params, base, others, n_others, &value_len, 1, ret);
    lh_derivation d = {c, row, params, base, others, n_others, value_len};
    LH_TRY(check(&d));
    derive_fn fn = find(row);
    if (!fn)
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s derives no value", row->name);
    return fn(&d, ret);
}

lh_err lh_key_derive_several(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *base,
    const lh_key *const *others, size_t n_others, const size_t *lens, size_t count, lh_secret **ret)
{
    lh_derivation d = {c, row, params, base, others, n_others, 0};
    LH_TRY(check(&d));
    if (row->param != LH_PARAM_SP800_108 || count < 1 || count > LH_DERIVED_MAX)
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s does not derive %zu keys", row->name, count);
    for (size_t i = 0; i < count; i++) {
        d.len = lens[i];
        if (lens[i] == 0)
            return LH_REFUSE(LH_E_INVALID, "template-incomplete", "%s needs CKA_VALUE_LEN", row->name);
        if (lens[i] > LH_LIMIT_SECRET_VALUE)
            return refuse_len(&d, LH_LIMIT_SECRET_VALUE);
    }
    return lh_kdf_sp800_108(&d, lens, count, ret);
}

static size_t own_len(const lh_mechanism *row, lh_bytes params, const lh_key *base)
{
    size_t base_len = base && base->secret ? lh_secret_len(base->secret) : 0;
    switch (row->type) {
    case CKM_CONCATENATE_BASE_AND_DATA:
    case CKM_CONCATENATE_DATA_AND_BASE: return base_len + params.len;
    case CKM_XOR_BASE_AND_DATA: return base_len < params.len ? base_len : params.len;
    case CKM_AES_ECB_ENCRYPT_DATA: return params.len;
    case CKM_AES_CBC_ENCRYPT_DATA: return params.len < 20 ? 0 : params.len - 20;
    case CKM_HKDF_DERIVE:
    case CKM_HKDF_DATA:
    case CKM_CONCATENATE_BASE_AND_KEY:
    case CKM_EXTRACT_KEY_FROM_KEY: return 0;
    case CKM_ECDH1_DERIVE:
    case CKM_ECDH1_COFACTOR_DERIVE:
    case CKM_DH_PKCS_DERIVE: return lh_kdf_agreed_len(row, params, base);
    default: return row->family == LH_FAMILY_DERIVE && row->digest ? row->max_output : 0;
    }
}

size_t lh_key_derive_default_len(
    const lh_mechanism *row, lh_bytes params, const lh_key *base, unsigned long ck_type)
{
    size_t fixed = lh_key_secret_fixed_len(ck_type);
    return fixed > 0 ? fixed : own_len(row, params, base);
}

lh_err lh_param_handles(const lh_mechanism *row, lh_bytes params, uint64_t *ret, size_t *ret_count)
{
    lh_derivation d = {.row = row, .params = params};
    *ret_count = 0;
    if (row->param == LH_PARAM_SP800_108)
        return lh_kdf_sp800_108_handles(params, ret, ret_count);
    if (row->param == LH_PARAM_KEY) {
        if (params.len != 8 || !lh_take_u64(&params, ret))
            return lh_kdf_refuse_param(&d, "it is the handle of a key");
        *ret_count = 1;
        return LH_SUCCESS;
    }
    if (row->param != LH_PARAM_HKDF)
        return LH_SUCCESS;
    uint8_t flag = 0;
    uint32_t hash = 0;
    uint32_t salt_type = 0;
    lh_bytes salt = LH_BYTES_NONE;
    uint8_t extract = 0;
    if (!lh_take_u8(&params, &extract) || !lh_take_u8(&params, &flag) || !lh_take_u32(&params, &hash) ||
        !lh_take_u32(&params, &salt_type) || !lh_take_blob(&params, &salt) || !lh_take_u64(&params, ret))
        return lh_kdf_refuse_param(&d, "it is malformed");
    *ret_count = extract != 0 && salt_type == HKDF_SALT_KEY ? 1 : 0;
    return LH_SUCCESS;
}

lh_err lh_param_templates(const lh_mechanism *row, lh_bytes params, lh_bytes *ret, size_t *ret_count)
{
    *ret_count = 0;
    if (row->param != LH_PARAM_SP800_108)
        return LH_SUCCESS;
    return lh_kdf_sp800_108_templates(params, row->type == CKM_SP800_108_FEEDBACK_KDF, ret, ret_count);
}
