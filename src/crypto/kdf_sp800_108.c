/* SP 800-108r1: counter, feedback and double pipeline, with the fields that PKCS #11 3.0 section 2.43 lets a
 * caller put into each round in any order. Built of HMAC and CMAC, since OpenSSL's own has a fixed order. */
#include "crypto/kdf_internal.h"

#include "base/limits.h"

#include <leasehold/pkcs11-3.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <stdio.h>

enum { FIELD_ITERATION = 1, FIELD_COUNTER, FIELD_DKM_LENGTH, FIELD_BYTES, FIELD_KEY };
enum { LENGTH_OF_KEYS = 1, LENGTH_OF_SEGMENTS };

typedef struct {
    uint32_t type;
    bool little;     /* little-endian */
    uint32_t width;  /* bytes of a number */
    uint32_t method; /* FIELD_DKM_LENGTH */
    lh_bytes bytes;  /* FIELD_BYTES; FIELD_KEY: its value */
} field;

typedef struct {
    EVP_MAC_CTX *prf; /* keyed, to be copied */
    size_t block;     /* bytes that it gives */
    size_t n_fields;
    field fields[LH_LIMIT_DERIVE_FIELDS];
    lh_bytes iv; /* feedback */
    size_t keys_bits;
    size_t segments_bits;
} job;

static bool split(lh_bytes params, uint32_t *prf, lh_bytes *fields, uint32_t *n_fields, lh_bytes *rest)
{
    lh_bytes at = params;
    if (!lh_take_u32(&at, prf) || !lh_take_u32(&at, n_fields) || *n_fields > LH_LIMIT_DERIVE_FIELDS)
        return false;
    *fields = at;
    for (uint32_t i = 0; i < *n_fields; i++) {
        uint32_t type = 0;
        lh_bytes value = LH_BYTES_NONE;
        if (!lh_take_u32(&at, &type) || !lh_take_blob(&at, &value))
            return false;
    }
    *rest = at;
    return true;
}

static lh_err refuse_shape(void)
{
    return LH_REFUSE(
        LH_E_INVALID, "mechanism-param", "the parameter of an SP 800-108 derivation is malformed");
}

lh_err lh_kdf_sp800_108_handles(lh_bytes params, uint64_t *ret, size_t *ret_count)
{
    uint32_t prf = 0;
    uint32_t n = 0;
    lh_bytes at = LH_BYTES_NONE;
    lh_bytes rest = LH_BYTES_NONE;
    if (!split(params, &prf, &at, &n, &rest))
        return refuse_shape();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t type = 0;
        lh_bytes value = LH_BYTES_NONE;
        if (!lh_take_u32(&at, &type) || !lh_take_blob(&at, &value))
            return refuse_shape();
        if (type != FIELD_KEY)
            continue;
        if (*ret_count == LH_PARAM_HANDLES_MAX || value.len != 8 || !lh_take_u64(&value, &ret[*ret_count]))
            return refuse_shape();
        ++*ret_count;
    }
    return LH_SUCCESS;
}

lh_err lh_kdf_sp800_108_templates(lh_bytes params, bool feedback, lh_bytes *ret, size_t *ret_count)
{
    uint32_t prf = 0;
    uint32_t n = 0;
    lh_bytes fields = LH_BYTES_NONE;
    lh_bytes at = LH_BYTES_NONE;
    lh_bytes iv = LH_BYTES_NONE;
    uint32_t keys = 0;
    if (!split(params, &prf, &fields, &n, &at) || !lh_take_blob(&at, &iv) || !lh_take_u32(&at, &keys) ||
        keys > LH_DERIVED_MAX - 1 || (iv.len > 0 && !feedback))
        return refuse_shape();
    for (uint32_t i = 0; i < keys; i++)
        if (!lh_take_blob(&at, &ret[i]))
            return refuse_shape();
    if (at.len > 0)
        return refuse_shape();
    *ret_count = keys;
    return LH_SUCCESS;
}

/* u8 little-endian ‖ u32 bits, whole bytes up to max of them. */
static bool take_number(lh_bytes *at, uint32_t max, field *f)
{
    uint8_t little = 0;
    uint32_t bits = 0;
    if (!lh_take_u8(at, &little) || little > 1 || !lh_take_u32(at, &bits) || bits == 0 || bits % 8 != 0 ||
        bits / 8 > max)
        return false;
    f->little = little == 1;
    f->width = bits / 8;
    return true;
}

static bool take_field(const lh_derivation *d, uint32_t type, lh_bytes value, size_t *next_key, field *f)
{
    bool counter_mode = d->row->type == CKM_SP800_108_COUNTER_KDF;
    f->type = type;
    switch (type) {
    case FIELD_ITERATION:
        if (!counter_mode)
            return value.len == 0;
        return take_number(&value, 4, f) && value.len == 0;
    case FIELD_COUNTER: return !counter_mode && take_number(&value, 4, f) && value.len == 0;
    case FIELD_DKM_LENGTH:
        return lh_take_u32(&value, &f->method) &&
               (f->method == LENGTH_OF_KEYS || f->method == LENGTH_OF_SEGMENTS) &&
               take_number(&value, 8, f) && value.len == 0;
    case FIELD_BYTES: f->bytes = value; return value.len > 0 && value.len <= LH_LIMIT_DERIVE_DATA;
    case FIELD_KEY:
        if (value.len != 8 || *next_key >= d->n_others || !d->others[*next_key]->secret)
            return false;
        f->bytes = lh_secret_bytes(d->others[(*next_key)++]->secret);
        return true;
    default: return false;
    }
}

static lh_err take_fields(const lh_derivation *d, lh_bytes at, uint32_t n, job *j)
{
    size_t next_key = 0;
    size_t count[FIELD_KEY + 1] = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t type = 0;
        lh_bytes value = LH_BYTES_NONE;
        if (!lh_take_u32(&at, &type) || !lh_take_blob(&at, &value) ||
            !take_field(d, type, value, &next_key, &j->fields[i]))
            return lh_kdf_refuse_param(d, "a field that is unknown, malformed or not of this mode");
        count[type]++;
    }
    j->n_fields = n;
    /* Without it every round would be the same (counter), or forget the one before. */
    if (count[FIELD_ITERATION] != 1 || count[FIELD_COUNTER] > 1 || count[FIELD_DKM_LENGTH] > 1)
        return lh_kdf_refuse_param(d, "one iteration variable, and at most one counter and length");
    return LH_SUCCESS;
}

/* The MAC that the PRF is, keyed by base. */
static lh_err start_prf(const lh_derivation *d, uint32_t prf, job *j)
{
    const lh_mechanism *mac = lh_mechanism_by_type(prf);
    lh_bytes key = lh_secret_bytes(d->base->secret);
    if (mac && mac->family == LH_FAMILY_HMAC && mac->param == LH_PARAM_NONE) {
        const EVP_MAC_CTX *fresh = lh_crypto_hmac(d->c, mac->digest);
        j->prf = fresh ? EVP_MAC_CTX_dup(fresh) : NULL;
        j->block = mac->max_output;
        if (!j->prf || EVP_MAC_init(j->prf, key.data, key.len, NULL) != 1)
            return LH_OPENSSL_FAIL("starting an HMAC");
        return LH_SUCCESS;
    }
    if (!mac || mac->family != LH_FAMILY_CMAC || mac->param != LH_PARAM_NONE)
        return lh_kdf_refuse_param(d, "its pseudorandom function is an HMAC or CMAC");
    const EVP_CIPHER *cipher = lh_crypto_cipher(d->c, mac->cipher, key.len);
    if (!cipher)
        return LH_REFUSE(LH_E_INVALID, "key-size-range", "%s has no keys of %zu bytes", mac->name, key.len);
    char name[32];
    snprintf(name, sizeof(name), "%s", EVP_CIPHER_get0_name(cipher));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, name, 0), OSSL_PARAM_construct_end()};
    j->prf = EVP_MAC_CTX_new(d->c->cmac);
    j->block = mac->max_output;
    if (!j->prf || EVP_MAC_init(j->prf, key.data, key.len, params) != 1)
        return LH_OPENSSL_FAIL("starting a CMAC");
    return LH_SUCCESS;
}

static bool put_number(EVP_MAC_CTX *ctx, const field *f, uint64_t n)
{
    uint8_t bytes[8];
    for (uint32_t i = 0; i < f->width; i++)
        bytes[f->little ? i : f->width - 1 - i] = (uint8_t)(n >> 8 * i);
    return EVP_MAC_update(ctx, bytes, f->width) == 1;
}

/* One field of round n; previous is what stands for the iteration variable outside counter mode. */
static bool put_field(EVP_MAC_CTX *ctx, const job *j, const field *f, uint64_t n, lh_bytes previous)
{
    lh_bytes bytes = f->bytes;
    if (f->type == FIELD_DKM_LENGTH)
        return put_number(ctx, f, f->method == LENGTH_OF_KEYS ? j->keys_bits : j->segments_bits);
    if (f->width > 0)
        return put_number(ctx, f, n);
    if (f->type == FIELD_ITERATION)
        bytes = previous;
    return bytes.len == 0 || EVP_MAC_update(ctx, bytes.data, bytes.len) == 1;
}

/* PRF over all fields, or (alone) over previous only or, where there is none, over the fixed fields: so the
 * second pipeline's A(i) is made. */
static lh_err round_of(const job *j, uint64_t n, lh_bytes previous, bool alone, uint8_t *out)
{
    LH_AUTO(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(j->prf);
    bool good = ctx != NULL;
    if (good && alone && previous.len > 0)
        good = EVP_MAC_update(ctx, previous.data, previous.len) == 1;
    for (size_t i = 0; good && i < j->n_fields && !(alone && previous.len > 0); i++) {
        bool varies = j->fields[i].type == FIELD_ITERATION || j->fields[i].type == FIELD_COUNTER;
        if (!alone || !varies)
            good = put_field(ctx, j, &j->fields[i], n, previous);
    }
    size_t len = 0;
    if (!good || EVP_MAC_final(ctx, out, &len, EVP_MAX_MD_SIZE) != 1 || len != j->block)
        return LH_OPENSSL_FAIL("a round of an SP 800-108 derivation");
    return LH_SUCCESS;
}

/* All rounds, into dkm. */
static lh_err run(const lh_derivation *d, const job *j, lh_secret *dkm)
{
    uint8_t a[EVP_MAX_MD_SIZE];
    uint8_t k[EVP_MAX_MD_SIZE];
    lh_bytes previous = j->iv;
    lh_bytes pipe = LH_BYTES_NONE;
    lh_err err = LH_SUCCESS;
    uint8_t *to = lh_secret_data(dkm);
    for (size_t i = 1; lh_ok(err) && i * j->block <= lh_secret_len(dkm); i++) {
        if (d->row->type == CKM_SP800_108_DOUBLE_PIPELINE_KDF) {
            err = round_of(j, i, pipe, true, a);
            pipe = previous = LH_BYTES(a, j->block);
        }
        if (lh_ok(err))
            err = round_of(j, i, previous, false, k);
        memcpy(to + (i - 1) * j->block, k, j->block);
        if (d->row->type == CKM_SP800_108_FEEDBACK_KDF)
            previous = LH_BYTES(k, j->block);
    }
    OPENSSL_cleanse(a, sizeof(a));
    OPENSSL_cleanse(k, sizeof(k));
    return err;
}

/* The counter must not begin again. */
static bool counters_suffice(const job *j, size_t rounds)
{
    for (size_t i = 0; i < j->n_fields; i++) {
        const field *f = &j->fields[i];
        bool counts = f->type == FIELD_COUNTER || f->type == FIELD_ITERATION;
        if (counts && f->width > 0 && f->width < 4 && rounds >> 8 * f->width != 0)
            return false;
    }
    return true;
}

static lh_err cut_keys(const job *j, const lh_secret *dkm, const size_t *lens, size_t count, lh_secret **ret)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        lh_err err = lh_secret_copy(LH_BYTES(lh_secret_bytes(dkm).data + at, lens[i]), &ret[i]);
        while (!lh_ok(err) && i > 0) {
            lh_secret_free(ret[--i]);
            ret[i] = NULL;
        }
        LH_TRY(err);
        at += (lens[i] + j->block - 1) / j->block * j->block;
    }
    return LH_SUCCESS;
}

static lh_err derive(const lh_derivation *d, job *j, const size_t *lens, size_t count, lh_secret **ret)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        j->keys_bits += lens[i] * 8;
        total += (lens[i] + j->block - 1) / j->block * j->block;
    }
    j->segments_bits = total * 8;
    if (total > LH_SECRET_MAX)
        return LH_REFUSE(LH_E_INVALID, "key-size-range", "%zu bytes of keys at once", total);
    if (!counters_suffice(j, total / j->block))
        return lh_kdf_refuse_param(d, "its counter is too narrow for so long a key");
    LH_AUTO(lh_secret_freep) lh_secret *dkm = NULL;
    LH_TRY(lh_secret_new(total, &dkm));
    LH_TRY(run(d, j, dkm));
    lh_secret *made[LH_DERIVED_MAX] = {NULL};
    LH_TRY(cut_keys(j, dkm, lens, count, made));
    memcpy(ret, made, count * sizeof(made[0]));
    return LH_SUCCESS;
}

lh_err lh_kdf_sp800_108(const lh_derivation *d, const size_t *lens, size_t count, lh_secret **ret)
{
    job j = {0};
    uint32_t prf = 0;
    uint32_t n = 0;
    lh_bytes fields = LH_BYTES_NONE;
    lh_bytes rest = LH_BYTES_NONE;
    lh_bytes templates[LH_DERIVED_MAX];
    size_t n_templates = 0;
    bool feedback = d->row->type == CKM_SP800_108_FEEDBACK_KDF;
    LH_TRY(lh_kdf_sp800_108_templates(d->params, feedback, templates, &n_templates));
    if (!split(d->params, &prf, &fields, &n, &rest) || !lh_take_blob(&rest, &j.iv))
        return refuse_shape();
    LH_TRY(take_fields(d, fields, n, &j));
    lh_err err = start_prf(d, prf, &j);
    if (lh_ok(err))
        err = derive(d, &j, lens, count, ret);
    EVP_MAC_CTX_free(j.prf);
    return err;
}
