/* Secrets: the seed, what it is hashed to and the nonce lie in lh_secret; their numbers in OpenSSL's secure
 * heap, computed with in constant time; the nonce in libgcrypt's locked memory while it is multiplied by. */
#include "crypto/eddsa.h"

#include "crypto/edwards.h"

#include <openssl/core_names.h>

#define PREHASH_SIZE 64u /* bytes that Ed25519ph and Ed448ph sign */

/* One signature or verification. */
typedef struct {
    lh_crypto *c;
    const lh_curve *curve;
    lh_eddsa_form form;
    bool is_448;
    size_t len;       /* bytes of a point, of a number modulo the order, and half of a hash */
    lh_bytes message; /* or its hash */
    uint8_t hashed[PREHASH_SIZE];
    uint8_t public_key[LH_EDWARDS_POINT_MAX];
    BN_CTX *bn;
    BIGNUM *order;
} eddsa_job;

static void job_clear(eddsa_job *job)
{
    BN_free(job->order);
    BN_CTX_free(job->bn);
}

static lh_err hash(const eddsa_job *job, const lh_bytes *parts, size_t count, uint8_t *out, size_t len)
{
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *md = EVP_MD_CTX_new(); /* wiped when freed */
    int done = md && EVP_DigestInit_ex2(md, job->is_448 ? job->c->shake256 : job->c->md[LH_MD_SHA512], NULL);
    for (size_t i = 0; done == 1 && i < count; i++)
        done = parts[i].len == 0 || EVP_DigestUpdate(md, parts[i].data, parts[i].len);
    if (done == 1)
        done = job->is_448 ? EVP_DigestFinalXOF(md, out, len) : EVP_DigestFinal_ex(md, out, NULL);
    return done == 1 ? LH_SUCCESS : LH_OPENSSL_FAIL("hashing");
}

/* H(dom ‖ a ‖ b ‖ message): 2 * job->len bytes. */
static lh_err hash_message(const eddsa_job *job, lh_bytes a, lh_bytes b, uint8_t *out)
{
    const uint8_t flags[2] = {job->form.prehash, (uint8_t)job->form.context.len};
    bool dom = job->is_448 || job->form.prehash || job->form.context.len > 0;
    const lh_bytes parts[] = {LH_BYTES_STR(job->is_448 ? "SigEd448" : "SigEd25519 no Ed25519 collisions"),
        LH_BYTES(flags, 2), job->form.context, a, b, job->message};
    size_t skipped = dom ? 0 : 3;
    return hash(job, parts + skipped, LH_ARRAY_LEN(parts) - skipped, out, 2 * job->len);
}

static lh_err job_init(eddsa_job *job, lh_crypto *c, const lh_key *key, lh_eddsa_form form, lh_bytes message)
{
    *job = (eddsa_job){.c = c,
        .curve = key->curve,
        .form = form,
        .is_448 = key->curve->bits == 448,
        .len = key->curve->point_len,
        .message = message};
    /* RFC 8032 sections 5.1 and 5.2: L. */
    const char *order = job->is_448 ? "3fffffffffffffffffffffffffffffffffffffffffffffffffffffff"
                                      "7cca23e9c44edb49aed63690216cc2728dc58f552378c292ab5844f3"
                                    : "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";
    job->bn = BN_CTX_secure_new_ex(c->libctx);
    if (!job->bn || BN_hex2bn(&job->order, order) == 0)
        return LH_OPENSSL_FAIL("starting a signature");
    size_t len = job->len;
    if (len > LH_EDWARDS_POINT_MAX || EVP_PKEY_get_raw_public_key(key->pkey, job->public_key, &len) != 1 ||
        len != job->len)
        return LH_OPENSSL_FAIL("reading a public key");
    if (!form.prehash)
        return LH_SUCCESS;
    LH_TRY(hash(job, &message, 1, job->hashed, PREHASH_SIZE));
    job->message = LH_BYTES(job->hashed, PREHASH_SIZE);
    return LH_SUCCESS;
}

/* A little-endian number, in secure memory. */
static lh_err number(const uint8_t *data, size_t len, BIGNUM **ret)
{
    BIGNUM *made = BN_secure_new();
    if (!made || !BN_lebin2bn(data, (int)len, made)) {
        BN_clear_free(made);
        return LH_OPENSSL_FAIL("reading a number");
    }
    BN_set_flags(made, BN_FLG_CONSTTIME);
    *ret = made;
    return LH_SUCCESS;
}

/* H(dom ‖ a ‖ b ‖ message) modulo the order. */
static lh_err hash_number(const eddsa_job *job, lh_bytes a, lh_bytes b, BIGNUM **ret)
{
    LH_AUTO(lh_secret_freep) lh_secret *digest = NULL;
    LH_TRY(lh_secret_new(2 * job->len, &digest));
    LH_TRY(hash_message(job, a, b, lh_secret_data(digest)));
    LH_AUTO(BN_clear_freep) BIGNUM *made = NULL;
    LH_TRY(number(lh_secret_data(digest), 2 * job->len, &made));
    if (BN_nnmod(made, made, job->order, job->bn) != 1)
        return LH_OPENSSL_FAIL("computing a signature");
    *ret = LH_TAKE(made);
    return LH_SUCCESS;
}

/* What the seed is hashed to: the private scalar, cleared and set as the curve wants, and the prefix. */
static lh_err expand(const eddsa_job *job, const lh_key *key, lh_secret **ret)
{
    LH_AUTO(lh_secret_freep) lh_secret *seed = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *made = NULL;
    LH_TRY(lh_secret_new(job->len, &seed));
    LH_TRY(lh_secret_new(2 * job->len, &made));
    size_t len = 0;
    /* Not EVP_PKEY_get_raw_private_key, which in OpenSSL 3.0 leaves a copy in ordinary memory. */
    if (EVP_PKEY_get_octet_string_param(
            key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, lh_secret_data(seed), job->len, &len) != 1 ||
        len != job->len)
        return LH_OPENSSL_FAIL("reading a private key");
    const lh_bytes part = lh_secret_bytes(seed);
    uint8_t *at = lh_secret_data(made);
    LH_TRY(hash(job, &part, 1, at, 2 * job->len));
    if (job->is_448) {
        at[0] &= 0xfc;
        at[55] |= 0x80;
        at[56] = 0;
    } else {
        at[0] &= 0xf8;
        at[31] = (at[31] & 0x7f) | 0x40;
    }
    *ret = LH_TAKE(made);
    return LH_SUCCESS;
}

/* The nonce times the base point. */
static lh_err commit(const eddsa_job *job, const BIGNUM *nonce, uint8_t *out)
{
    LH_AUTO(lh_secret_freep) lh_secret *scalar = NULL;
    LH_TRY(lh_secret_new(job->len, &scalar));
    if (BN_bn2binpad(nonce, lh_secret_data(scalar), (int)job->len) != (int)job->len)
        return LH_OPENSSL_FAIL("computing a signature");
    return lh_edwards_mul_base(job->curve, lh_secret_bytes(scalar), out);
}

/* nonce + challenge * the private scalar, little-endian. */
static lh_err respond(
    const eddsa_job *job, const lh_secret *expanded, const BIGNUM *nonce, BIGNUM *challenge, uint8_t *out)
{
    LH_AUTO(BN_clear_freep) BIGNUM *scalar = NULL;
    LH_TRY(number(lh_secret_bytes(expanded).data, job->len, &scalar));
    if (BN_mod_mul(scalar, challenge, scalar, job->order, job->bn) != 1 ||
        BN_mod_add(scalar, scalar, nonce, job->order, job->bn) != 1 ||
        BN_bn2lebinpad(scalar, out, (int)job->len) != (int)job->len)
        return LH_OPENSSL_FAIL("computing a signature");
    return LH_SUCCESS;
}

lh_err lh_eddsa_sign(lh_crypto *c, const lh_key *key, lh_eddsa_form form, lh_bytes message, uint8_t *out)
{
    LH_AUTO(job_clear) eddsa_job job = {0};
    LH_TRY(job_init(&job, c, key, form, message));
    LH_AUTO(lh_secret_freep) lh_secret *expanded = NULL;
    LH_TRY(expand(&job, key, &expanded));
    LH_AUTO(BN_clear_freep) BIGNUM *nonce = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *challenge = NULL;
    lh_bytes prefix = LH_BYTES(lh_secret_bytes(expanded).data + job.len, job.len);
    LH_TRY(hash_number(&job, prefix, LH_BYTES_NONE, &nonce));
    LH_TRY(commit(&job, nonce, out));
    LH_TRY(hash_number(&job, LH_BYTES(out, job.len), LH_BYTES(job.public_key, job.len), &challenge));
    return respond(&job, expanded, nonce, challenge, out + job.len);
}

lh_err lh_eddsa_verify(
    lh_crypto *c, const lh_key *key, lh_eddsa_form form, lh_bytes message, const uint8_t *signature)
{
    LH_AUTO(job_clear) eddsa_job job = {0};
    LH_TRY(job_init(&job, c, key, form, message));
    LH_AUTO(BN_clear_freep) BIGNUM *s = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *challenge = NULL;
    LH_TRY(number(signature + job.len, job.len, &s));
    if (BN_ucmp(s, job.order) >= 0)
        return LH_FAIL(LH_E_SIGNATURE, "the signature's second half is not less than the order");
    LH_TRY(hash_number(&job, LH_BYTES(signature, job.len), LH_BYTES(job.public_key, job.len), &challenge));
    uint8_t s_bytes[LH_EDWARDS_POINT_MAX];
    uint8_t k_bytes[LH_EDWARDS_POINT_MAX];
    if (BN_bn2binpad(s, s_bytes, (int)job.len) < 0 || BN_bn2binpad(challenge, k_bytes, (int)job.len) < 0)
        return LH_OPENSSL_FAIL("verifying a signature");
    uint8_t point[LH_EDWARDS_POINT_MAX];
    LH_TRY(lh_edwards_subtract(c, job.curve, LH_BYTES(s_bytes, job.len), LH_BYTES(k_bytes, job.len),
        LH_BYTES(job.public_key, job.len), point));
    if (memcmp(point, signature, job.len) != 0)
        return LH_FAIL(LH_E_SIGNATURE, "the signature does not verify");
    return LH_SUCCESS;
}
