/* Diffie-Hellman keys of PKCS #3, and their domain parameters.
 * Parameters that are made are RFC 7919's: a prime of one's own takes minutes and is no better.
 * Source: PKCS #11 3.2 section 6.4; RFC 7919; SP 800-56A r3 section 5.6. */
#include "crypto/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/dh.h>

#include <leasehold/pkcs11-3.h>

#define DH_BITS_MIN 2048u
#define DH_BITS_MAX 8192u
#define DH_SECRET_BITS_MIN 224u /* twice the 112 bits of strength that 2048-bit primes are good for */

typedef struct {
    BIGNUM *p;
    BIGNUM *g;
    BIGNUM *secret; /* NULL for public keys and parameters */
    BIGNUM *public; /* NULL for parameters */
    BN_CTX *ctx;
} dh;

static void dh_free(dh *d)
{
    BN_clear_free(d->p);
    BN_clear_free(d->g);
    BN_clear_free(d->secret);
    BN_clear_free(d->public);
    BN_CTX_free(d->ctx);
}

/* 1 < number < p - 1 */
static bool is_between(const BIGNUM *number, const BIGNUM *p)
{
    LH_AUTO(BN_clear_freep) BIGNUM *top = BN_dup(p);
    return top && BN_sub_word(top, 1) == 1 && BN_cmp(number, BN_value_one()) > 0 && BN_cmp(number, top) < 0;
}

static lh_err take_group(lh_crypto *c, lh_key_parts parts, dh *d)
{
    d->ctx = BN_CTX_secure_new_ex(c->libctx);
    if (!d->ctx)
        return LH_OPENSSL_FAIL("making a DH key");
    LH_TRY(lh_part_number(parts, CKA_PRIME, DH_BITS_MAX / 8, &d->p));
    LH_TRY(lh_part_number(parts, CKA_BASE, DH_BITS_MAX / 8, &d->g));
    unsigned bits = (unsigned)BN_num_bits(d->p);
    if (bits < DH_BITS_MIN || bits > DH_BITS_MAX)
        return lh_part_refuse_size(bits, "DH has 2048 to 8192");
    if (!BN_is_odd(d->p))
        return lh_part_refuse(CKA_PRIME, "it is even");
    if (!is_between(d->g, d->p))
        return lh_part_refuse(CKA_BASE, "it is more than 1 and less than the prime less 1");
    return LH_SUCCESS;
}

static lh_err make(lh_crypto *c, const dh *d, lh_key *key)
{
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_P, d->p) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_G, d->g) != 1 ||
        (d->public && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PUB_KEY, d->public) != 1) ||
        (d->secret && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d->secret) != 1))
        return LH_OPENSSL_FAIL("making a DH key");
    int selection = d->secret ? EVP_PKEY_KEYPAIR : d->public ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEY_PARAMETERS;
    LH_TRY(lh_pkey_from(c, "DH", bld, selection, &key->pkey));
    key->private_half = d->secret != NULL;
    key->bits = (unsigned)BN_num_bits(d->p);
    return LH_SUCCESS;
}

static lh_err import(lh_crypto *c, unsigned long ck_class, lh_key_parts parts, lh_key *key)
{
    LH_AUTO(dh_free) dh d = {0};
    LH_TRY(take_group(c, parts, &d));
    if (ck_class == CKO_PUBLIC_KEY)
        LH_TRY(lh_part_number(parts, CKA_VALUE, DH_BITS_MAX / 8, &d.public));
    if (ck_class == CKO_PRIVATE_KEY) {
        LH_TRY(lh_part_number(parts, CKA_VALUE, DH_BITS_MAX / 8, &d.secret));
        if (BN_cmp(d.secret, d.p) >= 0)
            return lh_part_refuse(CKA_VALUE, "it is not less than the prime");
        d.public = BN_new();
        if (!d.public || BN_mod_exp(d.public, d.g, d.secret, d.p, d.ctx) != 1)
            return LH_OPENSSL_FAIL("computing a DH public key");
    }
    if (d.public && !is_between(d.public, d.p))
        return lh_part_refuse(CKA_VALUE, "it is more than 1 and less than the prime less 1");
    return make(c, &d, key);
}

static lh_err tell(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg)
{
    LH_AUTO(dh_free) dh d = {0};
    LH_TRY(lh_pkey_number(key->pkey, OSSL_PKEY_PARAM_FFC_P, &d.p));
    LH_TRY(lh_pkey_number(key->pkey, OSSL_PKEY_PARAM_FFC_G, &d.g));
    LH_TRY(lh_part_tell_number(d.p, 0, CKA_PRIME, false, fn, arg));
    LH_TRY(lh_part_tell_number(d.g, 0, CKA_BASE, false, fn, arg));
    if (ck_class == CKO_DOMAIN_PARAMETERS) {
        const uint8_t bits[8] = {[6] = (uint8_t)(key->bits >> 8), [7] = (uint8_t)key->bits};
        return fn(arg, CKA_PRIME_BITS, LH_BYTES(bits, sizeof(bits)), false);
    }
    bool private = ck_class == CKO_PRIVATE_KEY;
    LH_TRY(
        lh_pkey_number(key->pkey, private ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_PUB_KEY, &d.secret));
    return lh_part_tell_number(d.secret, 0, CKA_VALUE, private, fn, arg);
}

static lh_err generate_parameters(lh_crypto *c, lh_key_parts parts, lh_key *key)
{
    static const struct {
        unsigned bits;
        char name[10];
    } groups[] = {{2048, "ffdhe2048"}, {3072, "ffdhe3072"}, {4096, "ffdhe4096"}, {6144, "ffdhe6144"},
        {8192, "ffdhe8192"}};
    uint64_t bits = 0;
    LH_TRY(lh_part_ulong(parts, CKA_PRIME_BITS, &bits));
    const char *name = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(groups); i++)
        if (groups[i].bits == bits)
            name = groups[i].name;
    if (!name)
        return lh_part_refuse_size(bits, "DH parameters have 2048, 3072, 4096, 6144 or 8192");
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, name, 0) != 1)
        return LH_OPENSSL_FAIL("making DH parameters");
    LH_TRY(lh_pkey_from(c, "DH", bld, EVP_PKEY_KEY_PARAMETERS, &key->pkey));
    key->bits = (unsigned)bits;
    return LH_SUCCESS;
}

static lh_err generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key *key)
{
    (void)params;
    if (row->uses & LH_USE_GENERATE)
        return generate_parameters(c, parts, key);
    LH_AUTO(dh_free) dh d = {0};
    LH_TRY(take_group(c, parts, &d));
    lh_bytes given = LH_BYTES_NONE;
    uint64_t bits = 0;
    if (lh_part_find(parts, CKA_VALUE_BITS, &given)) {
        LH_TRY(lh_part_ulong(parts, CKA_VALUE_BITS, &bits));
        if (bits < DH_SECRET_BITS_MIN || bits >= (unsigned)BN_num_bits(d.p))
            return lh_part_refuse(
                CKA_VALUE_BITS, "a private value has 224 bits or more, and less than the prime");
    }
    if (BN_check_prime(d.p, d.ctx, NULL) != 1)
        return LH_REFUSE(LH_E_INVALID, "domain-params-invalid", "CKA_PRIME is no prime");
    lh_key group = {0};
    LH_TRY(make(c, &d, &group));
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *domain = group.pkey;
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, domain, NULL);
    int len = (int)bits;
    OSSL_PARAM more[] = {
        OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_DH_PRIV_LEN, &len), OSSL_PARAM_construct_end()};
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || (bits > 0 && EVP_PKEY_CTX_set_params(ctx, more) != 1))
        return LH_OPENSSL_FAIL("generating a DH key");
    LH_TRY(lh_pkey_generate(ctx, &key->pkey));
    key->private_half = true;
    key->bits = (unsigned)BN_num_bits(d.p);
    return LH_SUCCESS;
}

const lh_key_ops lh_key_ops_dh = {LH_TYPE_DH, import, tell, generate};
