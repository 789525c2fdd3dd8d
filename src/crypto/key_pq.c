/* ML-KEM, ML-DSA and SLH-DSA keys, where libcrypto has them (3.5 and newer): reached by name, so that this
 * compiles with any.
 * Source: PKCS #11 3.2 sections 6.66 to 6.68; FIPS 203, 204, 205. */
#include "crypto/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <leasehold/pkcs11-3.h>

#define PQ_VALUE_MAX 8192u /* bytes: more than the longest, ML-DSA-87's private key of 4896 */
#define PARAM_SEED "seed"  /* a name that older headers lack */

static const struct {
    unsigned long ck_type;
    unsigned set; /* CKP_ */
    const char *name;
} sets[] = {
    {CKK_ML_KEM, CKP_ML_KEM_512, "ML-KEM-512"},
    {CKK_ML_KEM, CKP_ML_KEM_768, "ML-KEM-768"},
    {CKK_ML_KEM, CKP_ML_KEM_1024, "ML-KEM-1024"},
    {CKK_ML_DSA, CKP_ML_DSA_44, "ML-DSA-44"},
    {CKK_ML_DSA, CKP_ML_DSA_65, "ML-DSA-65"},
    {CKK_ML_DSA, CKP_ML_DSA_87, "ML-DSA-87"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_128S, "SLH-DSA-SHA2-128s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_128S, "SLH-DSA-SHAKE-128s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_128F, "SLH-DSA-SHA2-128f"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_128F, "SLH-DSA-SHAKE-128f"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_192S, "SLH-DSA-SHA2-192s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_192S, "SLH-DSA-SHAKE-192s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_192F, "SLH-DSA-SHA2-192f"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_192F, "SLH-DSA-SHAKE-192f"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_256S, "SLH-DSA-SHA2-256s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_256S, "SLH-DSA-SHAKE-256s"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHA2_256F, "SLH-DSA-SHA2-256f"},
    {CKK_SLH_DSA, CKP_SLH_DSA_SHAKE_256F, "SLH-DSA-SHAKE-256f"},
};

static lh_err find_set(lh_key_parts parts, lh_key *key, const char **ret)
{
    uint64_t set = 0;
    LH_TRY(lh_part_ulong(parts, CKA_PARAMETER_SET, &set));
    for (size_t i = 0; i < LH_ARRAY_LEN(sets); i++)
        if (sets[i].ck_type == key->ck_type && sets[i].set == set) {
            key->parameter_set = sets[i].set;
            *ret = sets[i].name;
            return LH_SUCCESS;
        }
    return LH_REFUSE(LH_E_INVALID, "parameter-set-not-supported",
        "CKA_PARAMETER_SET %llu is none of this type's", (unsigned long long)set);
}

lh_err lh_key_pq_describe(lh_key *key)
{
    if ((lh_key_type_of(key->ck_type) & lh_key_ops_pq.types) == 0)
        return LH_SUCCESS;
    for (size_t i = 0; i < LH_ARRAY_LEN(sets); i++)
        if (sets[i].ck_type == key->ck_type && EVP_PKEY_is_a(key->pkey, sets[i].name)) {
            key->parameter_set = sets[i].set;
            return LH_SUCCESS;
        }
    return LH_REFUSE(LH_E_INVALID, "key-type", "a key of another type");
}

/* The builder keeps in secure memory only what is in secure memory already. */
static lh_err from_octets(
    lh_crypto *c, const char *name, const char *field, lh_bytes value, bool private, lh_key *key)
{
    if (value.len == 0 || value.len > PQ_VALUE_MAX)
        return lh_part_refuse(CKA_VALUE, "of no length that such a key has");
    uint8_t *copy = OPENSSL_secure_malloc(value.len);
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    lh_err err = LH_SUCCESS;
    if (copy)
        memcpy(copy, value.data, value.len);
    if (!copy || !bld || OSSL_PARAM_BLD_push_octet_string(bld, field, copy, value.len) != 1)
        err = LH_OPENSSL_FAIL("making a key");
    if (lh_ok(err))
        err = lh_pkey_from(c, name, bld, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, &key->pkey);
    OPENSSL_secure_clear_free(copy, value.len);
    key->private_half = private;
    return err;
}

static lh_err import(lh_crypto *c, unsigned long ck_class, lh_key_parts parts, lh_key *key)
{
    const char *name = NULL;
    LH_TRY(find_set(parts, key, &name));
    bool private = ck_class == CKO_PRIVATE_KEY;
    lh_bytes value = LH_BYTES_NONE;
    if (private && lh_part_find(parts, CKA_SEED, &value) && value.len > 0)
        return from_octets(c, name, PARAM_SEED, value, true, key);
    LH_TRY(lh_part_need(parts, CKA_VALUE, &value));
    return from_octets(
        c, name, private ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_PUB_KEY, value, private, key);
}

static lh_err tell_octets(
    const lh_key *key, const char *field, unsigned long type, bool needed, lh_key_part_fn fn, void *arg)
{
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(PQ_VALUE_MAX);
    uint8_t *to = lh_buf_extend(&value, PQ_VALUE_MAX);
    size_t len = 0;
    if (!to)
        return lh_buf_status(&value);
    if (EVP_PKEY_get_octet_string_param(key->pkey, field, to, PQ_VALUE_MAX, &len) != 1) {
        if (needed)
            return LH_OPENSSL_FAIL("reading a key");
        ERR_clear_error();
        return LH_SUCCESS;
    }
    return fn(arg, type, LH_BYTES(to, len), strcmp(field, OSSL_PKEY_PARAM_PUB_KEY) != 0);
}

static lh_err tell(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg)
{
    const uint8_t set[8] = {[7] = (uint8_t)key->parameter_set};
    LH_TRY(fn(arg, CKA_PARAMETER_SET, LH_BYTES(set, sizeof(set)), false));
    if (ck_class != CKO_PRIVATE_KEY)
        return tell_octets(key, OSSL_PKEY_PARAM_PUB_KEY, CKA_VALUE, true, fn, arg);
    LH_TRY(tell_octets(key, OSSL_PKEY_PARAM_PRIV_KEY, CKA_VALUE, true, fn, arg));
    return tell_octets(key, PARAM_SEED, CKA_SEED, false, fn, arg);
}

static lh_err generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key *key)
{
    (void)row;
    (void)params;
    const char *name = NULL;
    LH_TRY(find_set(parts, key, &name));
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, name, NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1)
        return LH_OPENSSL_FAIL("generating a key");
    key->private_half = true;
    return lh_pkey_generate(ctx, &key->pkey);
}

const lh_key_ops lh_key_ops_pq = {LH_TYPE_ML_KEM | LH_TYPE_ML_DSA | LH_TYPE_SLH_DSA, import, tell, generate};
