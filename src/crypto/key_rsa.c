/* RSA keys. Whatever parts a private key comes with, it is kept with all of them.
 * Source: PKCS #11 3.2 section 6.1.2 and 6.1.3; RFC 8017; SP 800-56B r2 appendix C for the primes. */
#include "crypto/key_internal.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>

#include <leasehold/pkcs11-3.h>

#define RSA_BITS_MIN                                                                                         \
    1024u /* what old data was signed and encrypted with; making new keys needs the row's                    \
           */
#define RSA_BITS_MAX 8192u
#define RSA_BYTES (RSA_BITS_MAX / 8)
#define EXPONENT_BYTES 8 /* OpenSSL takes no longer ones of public keys of more than 3072 bits */
#define FACTOR_TRIES 100 /* each fails with a chance of one half at most */

enum { N, E, D, P, Q, DP, DQ, QI, COUNT };

typedef struct {
    BIGNUM *part[COUNT]; /* NULL: not given */
    BN_CTX *ctx;
} rsa;

static const struct {
    unsigned long type;
    const char *name; /* OpenSSL's */
} fields[COUNT] = {
    {CKA_MODULUS, OSSL_PKEY_PARAM_RSA_N},
    {CKA_PUBLIC_EXPONENT, OSSL_PKEY_PARAM_RSA_E},
    {CKA_PRIVATE_EXPONENT, OSSL_PKEY_PARAM_RSA_D},
    {CKA_PRIME_1, OSSL_PKEY_PARAM_RSA_FACTOR1},
    {CKA_PRIME_2, OSSL_PKEY_PARAM_RSA_FACTOR2},
    {CKA_EXPONENT_1, OSSL_PKEY_PARAM_RSA_EXPONENT1},
    {CKA_EXPONENT_2, OSSL_PKEY_PARAM_RSA_EXPONENT2},
    {CKA_COEFFICIENT, OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
};

static void rsa_free(rsa *r)
{
    for (size_t i = 0; i < COUNT; i++)
        BN_clear_free(r->part[i]);
    BN_CTX_free(r->ctx);
}

/* A number that BN_secure_new cannot make is a fault. */
static lh_err new_number(BIGNUM **ret)
{
    *ret = BN_secure_new();
    if (!*ret)
        return LH_OPENSSL_FAIL("making a number");
    BN_set_flags(*ret, BN_FLG_CONSTTIME);
    return LH_SUCCESS;
}

static lh_err refuse_parts(const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "these are no parts of one RSA key: %s", why);
}

static lh_err check_public(const rsa *r)
{
    unsigned bits = (unsigned)BN_num_bits(r->part[N]);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return lh_part_refuse_size(bits, "RSA has 1024 to 8192");
    if (!BN_is_odd(r->part[N]))
        return lh_part_refuse(CKA_MODULUS, "it is even");
    if (!BN_is_odd(r->part[E]) || BN_is_one(r->part[E]))
        return lh_part_refuse(CKA_PUBLIC_EXPONENT, "it is odd, and 3 or more");
    return LH_SUCCESS;
}

/* g^(e*d - 1) is 1, and of the square roots of 1 on the way there every second one tells the primes apart:
 * one attempt. *ret_found is left where this g does not. */
static lh_err try_factor(rsa *r, const BIGNUM *odd, int halvings, const BIGNUM *g, bool *ret_found)
{
    LH_AUTO(BN_clear_freep) BIGNUM *y = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *x = NULL;
    LH_TRY(new_number(&y));
    LH_TRY(new_number(&x));
    const BIGNUM *n = r->part[N];
    if (BN_mod_exp(y, g, odd, n, r->ctx) != 1)
        return LH_OPENSSL_FAIL("factoring a modulus");
    for (int i = 0; i < halvings; i++) {
        if (BN_mod_sqr(x, y, n, r->ctx) != 1 || BN_add_word(y, 1) != 1)
            return LH_OPENSSL_FAIL("factoring a modulus");
        bool minus_one = BN_cmp(y, n) == 0;
        if (BN_sub_word(y, 1) != 1)
            return LH_OPENSSL_FAIL("factoring a modulus");
        if (BN_is_one(y) || minus_one)
            return LH_SUCCESS;
        if (BN_is_one(x)) {
            LH_TRY(new_number(&r->part[P]));
            LH_TRY(new_number(&r->part[Q]));
            if (BN_sub_word(y, 1) != 1 || BN_gcd(r->part[P], y, n, r->ctx) != 1 ||
                BN_div(r->part[Q], NULL, n, r->part[P], r->ctx) != 1)
                return LH_OPENSSL_FAIL("factoring a modulus");
            *ret_found = true;
            return LH_SUCCESS;
        }
        if (!BN_copy(y, x))
            return LH_OPENSSL_FAIL("factoring a modulus");
    }
    return LH_SUCCESS;
}

/* The primes from n, e and d. */
static lh_err find_primes(rsa *r)
{
    LH_AUTO(BN_clear_freep) BIGNUM *odd = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *g = NULL;
    LH_TRY(new_number(&odd));
    LH_TRY(new_number(&g));
    if (BN_mul(odd, r->part[E], r->part[D], r->ctx) != 1 || BN_sub_word(odd, 1) != 1)
        return LH_OPENSSL_FAIL("factoring a modulus");
    if (BN_is_zero(odd) || BN_is_odd(odd))
        return refuse_parts("the exponents do not belong together");
    int halvings = 0;
    while (!BN_is_bit_set(odd, halvings))
        halvings++;
    if (BN_rshift(odd, odd, halvings) != 1)
        return LH_OPENSSL_FAIL("factoring a modulus");
    bool found = false;
    for (unsigned long base = 2; !found && base < 2 + FACTOR_TRIES; base++) {
        if (BN_set_word(g, base) != 1)
            return LH_OPENSSL_FAIL("factoring a modulus");
        LH_TRY(try_factor(r, odd, halvings, g, &found));
    }
    return found ? LH_SUCCESS : refuse_parts("modulus and exponents do not belong together");
}

/* p * q = n, with both more than 1 and odd. */
static lh_err check_primes(const rsa *r)
{
    LH_AUTO(BN_clear_freep) BIGNUM *product = NULL;
    LH_TRY(new_number(&product));
    if (BN_mul(product, r->part[P], r->part[Q], r->ctx) != 1)
        return LH_OPENSSL_FAIL("checking an RSA key");
    if (BN_cmp(product, r->part[N]) != 0 || BN_is_one(r->part[P]) || BN_is_one(r->part[Q]) ||
        BN_cmp(r->part[P], r->part[Q]) == 0)
        return refuse_parts("the primes do not make the modulus");
    return LH_SUCCESS;
}

/* For one prime: e * d = 1 modulo prime - 1; exponent, where given, is d modulo that, else it is computed. */
static lh_err check_exponent(const rsa *r, const BIGNUM *prime, BIGNUM **exponent)
{
    LH_AUTO(BN_clear_freep) BIGNUM *less = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *x = NULL;
    LH_TRY(new_number(&less));
    LH_TRY(new_number(&x));
    if (!BN_copy(less, prime) || BN_sub_word(less, 1) != 1 ||
        BN_mod_mul(x, r->part[E], r->part[D], less, r->ctx) != 1)
        return LH_OPENSSL_FAIL("checking an RSA key");
    if (!BN_is_one(x))
        return refuse_parts("the exponents do not belong to the primes");
    if (BN_mod(x, r->part[D], less, r->ctx) != 1)
        return LH_OPENSSL_FAIL("checking an RSA key");
    if (*exponent && BN_cmp(x, *exponent) != 0)
        return refuse_parts("an exponent of the Chinese remainder theorem is wrong");
    BN_clear_free(*exponent);
    *exponent = LH_TAKE(x);
    return LH_SUCCESS;
}

static lh_err check_coefficient(rsa *r)
{
    LH_AUTO(BN_clear_freep) BIGNUM *inverse = NULL;
    LH_TRY(new_number(&inverse));
    if (!BN_mod_inverse(inverse, r->part[Q], r->part[P], r->ctx))
        return refuse_parts("the primes have a factor in common");
    if (r->part[QI] && BN_cmp(inverse, r->part[QI]) != 0)
        return refuse_parts("the coefficient is wrong");
    BN_clear_free(r->part[QI]);
    r->part[QI] = LH_TAKE(inverse);
    return LH_SUCCESS;
}

/* Where only one of the primes, or none of the exponents, was given: the missing one. */
static lh_err complete(rsa *r)
{
    if (!r->part[E]) {
        /* Not needed for a private key by PKCS #11, and nearly always this. If it is not, the checks tell. */
        LH_TRY(new_number(&r->part[E]));
        if (BN_set_word(r->part[E], RSA_F4) != 1)
            return LH_OPENSSL_FAIL("making an RSA key");
    }
    LH_TRY(check_public(r));
    if (BN_cmp(r->part[D], r->part[N]) >= 0)
        return lh_part_refuse(CKA_PRIVATE_EXPONENT, "it is not below the modulus");
    if (!r->part[P] || !r->part[Q]) {
        for (size_t i = P; i < COUNT; i++) {
            BN_clear_free(r->part[i]);
            r->part[i] = NULL;
        }
        LH_TRY(find_primes(r));
    }
    LH_TRY(check_primes(r));
    LH_TRY(check_exponent(r, r->part[P], &r->part[DP]));
    LH_TRY(check_exponent(r, r->part[Q], &r->part[DQ]));
    return check_coefficient(r);
}

/* OpenSSL 3.0 keeps the parts that it was given one by one in ordinary memory, and those that it has read as
 * DER in its secure heap: the same key, read. */
static lh_err move_to_secure(lh_crypto *c, EVP_PKEY **key)
{
    unsigned char *der = NULL;
    int len = i2d_PrivateKey(*key, &der);
    if (len <= 0)
        return LH_OPENSSL_FAIL("making an RSA key");
    const unsigned char *at = der;
    EVP_PKEY *read = d2i_PrivateKey_ex(EVP_PKEY_RSA, NULL, &at, len, c->libctx, NULL);
    OPENSSL_clear_free(der, (size_t)len);
    if (!read)
        return LH_OPENSSL_FAIL("making an RSA key");
    EVP_PKEY_free(*key);
    *key = read;
    return LH_SUCCESS;
}

static lh_err make(lh_crypto *c, const rsa *r, bool private, lh_key *key)
{
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld)
        return LH_OPENSSL_FAIL("making an RSA key");
    for (size_t i = 0; i < (private ? COUNT : D); i++)
        if (OSSL_PARAM_BLD_push_BN(bld, fields[i].name, r->part[i]) != 1)
            return LH_OPENSSL_FAIL("making an RSA key");
    LH_TRY(lh_pkey_from(c, "RSA", bld, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, &key->pkey));
    key->private_half = private;
    if (private)
        LH_TRY(move_to_secure(c, &key->pkey));
    key->bits = (unsigned)BN_num_bits(r->part[N]);
    return LH_SUCCESS;
}

static lh_err import(lh_crypto *c, unsigned long ck_class, lh_key_parts parts, lh_key *key)
{
    bool private = ck_class == CKO_PRIVATE_KEY;
    LH_AUTO(rsa_free) rsa r = {.ctx = BN_CTX_secure_new_ex(c->libctx)};
    if (!r.ctx)
        return LH_OPENSSL_FAIL("making an RSA key");
    for (size_t i = 0; i < (private ? COUNT : D); i++) {
        lh_bytes value = LH_BYTES_NONE;
        bool needed = i == N || (i == E && !private) || i == D;
        if (!needed && (!lh_part_find(parts, fields[i].type, &value) || value.len == 0))
            continue;
        LH_TRY(lh_part_number(parts, fields[i].type, i == E ? EXPONENT_BYTES : RSA_BYTES, &r.part[i]));
    }
    LH_TRY(private ? complete(&r) : check_public(&r));
    return make(c, &r, private, key);
}

static lh_err tell(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg)
{
    bool private = ck_class == CKO_PRIVATE_KEY;
    for (size_t i = 0; i < (private ? COUNT : D); i++) {
        LH_AUTO(BN_clear_freep) BIGNUM *number = NULL;
        LH_TRY(lh_pkey_number(key->pkey, fields[i].name, &number));
        LH_TRY(lh_part_tell_number(number, 0, fields[i].type, i >= D, fn, arg));
    }
    if (private)
        return LH_SUCCESS;
    const uint8_t bits[8] = {[6] = (uint8_t)(key->bits >> 8), [7] = (uint8_t)key->bits};
    return fn(arg, CKA_MODULUS_BITS, LH_BYTES(bits, sizeof(bits)), false);
}

static lh_err generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key *key)
{
    (void)params;
    uint64_t bits = 0;
    LH_TRY(lh_part_ulong(parts, CKA_MODULUS_BITS, &bits));
    if (bits < row->min_key || bits > row->max_key)
        return lh_part_refuse_size(bits, "RSA keys of 2048 to 8192 bits are made");
    lh_bytes given = LH_BYTES_NONE;
    LH_AUTO(BN_clear_freep) BIGNUM *exponent = NULL;
    if (lh_part_find(parts, CKA_PUBLIC_EXPONENT, &given) && given.len > 0) {
        LH_TRY(lh_part_number(parts, CKA_PUBLIC_EXPONENT, EXPONENT_BYTES, &exponent));
    } else {
        LH_TRY(new_number(&exponent));
        if (BN_set_word(exponent, RSA_F4) != 1)
            return LH_OPENSSL_FAIL("making an RSA key");
    }
    if (!BN_is_odd(exponent) || BN_is_one(exponent))
        return lh_part_refuse(CKA_PUBLIC_EXPONENT, "it is odd, and 3 or more");
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, "RSA", NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) != 1 ||
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, exponent) != 1)
        return LH_OPENSSL_FAIL("generating an RSA key");
    LH_TRY(lh_pkey_generate(ctx, &key->pkey));
    key->private_half = true;
    key->bits = (unsigned)bits;
    return LH_SUCCESS;
}

/* --- leased keys -------------------------------------------------------------------------------------------
 */

static lh_err read_number(lh_bytes bytes, BIGNUM **ret)
{
    LH_TRY(new_number(ret));
    return BN_bin2bn(bytes.data, (int)bytes.len, *ret) ? LH_SUCCESS : LH_OPENSSL_FAIL("reading an RSA key");
}

/* n = p * q, d = e^-1 modulo lcm(p - 1, q - 1) (SP 800-56B r2, 6.2.1). */
static lh_err exponents_of(rsa *r)
{
    LH_AUTO(BN_clear_freep) BIGNUM *p = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *q = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *gcd = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *product = NULL;
    LH_TRY(new_number(&p));
    LH_TRY(new_number(&q));
    LH_TRY(new_number(&gcd));
    LH_TRY(new_number(&product));
    LH_TRY(new_number(&r->part[N]));
    LH_TRY(new_number(&r->part[E]));
    LH_TRY(new_number(&r->part[D]));
    if (BN_set_word(r->part[E], RSA_F4) != 1 || BN_mul(r->part[N], r->part[P], r->part[Q], r->ctx) != 1 ||
        !BN_copy(p, r->part[P]) || BN_sub_word(p, 1) != 1 || !BN_copy(q, r->part[Q]) ||
        BN_sub_word(q, 1) != 1 || BN_gcd(gcd, p, q, r->ctx) != 1 || BN_mul(product, p, q, r->ctx) != 1 ||
        BN_div(product, NULL, product, gcd, r->ctx) != 1)
        return LH_OPENSSL_FAIL("making an RSA key");
    if (!BN_mod_inverse(r->part[D], r->part[E], product, r->ctx))
        return refuse_parts("the primes do not go with 65537");
    return LH_SUCCESS;
}

lh_err lh_key_rsa_fill(lh_crypto *c, lh_bytes primes, lh_key *key)
{
    const unsigned bits = key->bits;
    const size_t half = primes.len / 2;
    LH_AUTO(rsa_free) rsa r = {.ctx = BN_CTX_secure_new_ex(c->libctx)};
    if (!r.ctx)
        return LH_OPENSSL_FAIL("making an RSA key");
    LH_TRY(read_number(LH_BYTES(primes.data, half), &r.part[P]));
    LH_TRY(read_number(LH_BYTES(primes.data + half, half), &r.part[Q]));
    if (!BN_is_odd(r.part[P]) || !BN_is_odd(r.part[Q]) || BN_is_one(r.part[P]) || BN_is_one(r.part[Q]))
        return refuse_parts("a prime is odd, and more than 1");
    LH_TRY(exponents_of(&r));
    LH_TRY(complete(&r));
    LH_TRY(make(c, &r, true, key));
    return key->bits == bits ? LH_SUCCESS : refuse_parts("the modulus has another length");
}

lh_err lh_key_rsa_fill_public(lh_crypto *c, lh_bytes modulus, lh_key *key)
{
    const unsigned bits = key->bits;
    LH_AUTO(rsa_free) rsa r = {.ctx = NULL};
    LH_TRY(read_number(modulus, &r.part[N]));
    LH_TRY(new_number(&r.part[E]));
    if (BN_set_word(r.part[E], RSA_F4) != 1)
        return LH_OPENSSL_FAIL("making an RSA key");
    LH_TRY(check_public(&r));
    LH_TRY(make(c, &r, false, key));
    return key->bits == bits ? LH_SUCCESS : refuse_parts("the modulus has another length");
}

lh_err lh_key_rsa_modulus(const lh_key *key, lh_buf *out)
{
    LH_AUTO(BN_clear_freep) BIGNUM *number = NULL;
    LH_TRY(lh_pkey_number(key->pkey, fields[N].name, &number));
    const size_t len = (key->bits + 7) / 8;
    uint8_t *to = lh_buf_extend(out, len);
    if (to && BN_bn2binpad(number, to, (int)len) < 0)
        return LH_OPENSSL_FAIL("telling a modulus");
    return lh_buf_status(out);
}

lh_err lh_key_rsa_make(lh_crypto *c, unsigned bits, lh_secret *ret_primes)
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, "RSA", NULL);
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) != 1)
        return LH_OPENSSL_FAIL("generating an RSA key"); /* its exponent is 65537 */
    LH_TRY(lh_pkey_generate(ctx, &pkey));
    const size_t half = lh_secret_len(ret_primes) / 2;
    for (size_t i = 0; i < 2; i++) {
        LH_AUTO(BN_clear_freep) BIGNUM *prime = NULL;
        LH_TRY(lh_pkey_number(pkey, fields[P + i].name, &prime));
        if (BN_bn2binpad(prime, lh_secret_data(ret_primes) + i * half, (int)half) < 0)
            return LH_OPENSSL_FAIL("generating an RSA key");
    }
    return LH_SUCCESS;
}

const lh_key_ops lh_key_ops_rsa = {LH_TYPE_RSA, import, tell, generate};
