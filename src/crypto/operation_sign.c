/* ECDSA, EdDSA and the post-quantum signatures. */
#include "crypto/eddsa.h"
#include "crypto/operation_internal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>

#include <leasehold/pkcs11-3.h>

#define RAW_ECDSA_MAX 64        /* bytes of a hash that raw ECDSA takes, or as many as the order has */
#define ECDSA_DER_MAX 144       /* bytes of a DER signature over P-521 */
#define PQ_SIGNATURE_MAX 65536u /* bytes: more than SLH-DSA's longest, 49856 */

LH_DEFINE_FREEP(ECDSA_SIG, ECDSA_SIG_free)

static lh_err ecdsa_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    if (op->row->digest)
        return lh_op_digest_start(op, op->row->digest);
    size_t order = op->key->curve->scalar_len;
    op->total_max = order > RAW_ECDSA_MAX ? order : RAW_ECDSA_MAX;
    return LH_SUCCESS;
}

static lh_err ecdsa_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    return op->row->digest ? lh_op_digest_update(op, data, out) : lh_op_hold(op, data, out);
}

/* r ‖ s, each as long as the order. */
static lh_err ecdsa_sign(lh_op *op, lh_bytes input, lh_buf *out)
{
    uint8_t der[ECDSA_DER_MAX];
    size_t len = sizeof(der);
    LH_AUTO(EVP_PKEY_CTX_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(op->c->libctx, op->key->pkey, NULL);
    if (!ctx || EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_sign(ctx, der, &len, input.data, input.len) != 1)
        return LH_OPENSSL_FAIL("an ECDSA signature");
    const uint8_t *at = der;
    LH_AUTO(ECDSA_SIG_freep) ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)len);
    int half = (int)op->key->curve->scalar_len;
    uint8_t *to = lh_buf_extend(out, 2 * (size_t)half);
    if (!to)
        return lh_buf_status(out);
    if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature), to, half) != half ||
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), to + half, half) != half)
        return LH_OPENSSL_FAIL("an ECDSA signature");
    return LH_SUCCESS;
}

static lh_err ecdsa_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (op->row->digest && EVP_DigestFinal_ex(op->md, hash, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    /* OpenSSL cuts a hash longer than the curve's order to its leftmost bits, as PKCS #11 has it. */
    lh_bytes input = op->row->digest ? LH_BYTES(hash, len) : lh_buf_bytes(&op->held);
    if (input.len == 0)
        return lh_op_refuse_length(op);
    if (op->use == LH_USE_SIGN)
        return ecdsa_sign(op, input, out);
    size_t half = op->key->curve->scalar_len;
    LH_TRY(lh_op_check_signature_len(op, signature, 2 * half));
    return lh_pkey_ecdsa_verify(
        op->c, op->key->pkey, input, LH_BYTES(signature.data, half), LH_BYTES(signature.data + half, half));
}

const lh_op_family lh_op_ecdsa = {ecdsa_begin, ecdsa_update, ecdsa_finish};

/* Whether this libcrypto can be told such a parameter of a signature: one that cannot would pass over it and
 * make another kind of signature. */
static bool can_set(EVP_PKEY_CTX *ctx, const char *name)
{
    const OSSL_PARAM *settable = EVP_PKEY_CTX_settable_params(ctx);
    return settable && OSSL_PARAM_locate_const(settable, name);
}

/* Ed25519 and Ed448 with a context, or of a hash (RFC 8032 sections 5.1 and 5.2). */
static lh_err eddsa_set(lh_op *op, EVP_PKEY_CTX *ctx)
{
    char plain[] = "Ed448";
    char context[] = "Ed25519ctx";
    char hashed25519[] = "Ed25519ph";
    char hashed448[] = "Ed448ph";
    bool is_448 = op->key->bits == 448;
    char *instance = op->prehash ? (is_448 ? hashed448 : hashed25519) : (is_448 ? plain : context);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("instance", instance, 0),
        OSSL_PARAM_construct_octet_string("context-string", op->context, op->context_len),
        OSSL_PARAM_construct_end()};
    if (EVP_PKEY_CTX_set_params(ctx, params) != 1)
        return LH_OPENSSL_FAIL("starting an EdDSA signature");
    return LH_SUCCESS;
}

static lh_err take_context(lh_op *op, lh_bytes *params)
{
    lh_bytes context = LH_BYTES_NONE;
    if (!lh_take_blob(params, &context) || params->len > 0)
        return lh_op_refuse_param(op, "it is malformed");
    if (context.len > sizeof(op->context))
        return lh_op_refuse_param(op, "the context has 0 to 255 bytes");
    if (context.len > 0)
        memcpy(op->context, context.data, context.len);
    op->context_len = context.len;
    return LH_SUCCESS;
}

/* Sign or verify the whole at once. */
static lh_err whole_begin(lh_op *op)
{
    op->md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    int done = !op->md ? 0
               : op->use == LH_USE_SIGN
                   ? EVP_DigestSignInit_ex(op->md, &ctx, NULL, op->c->libctx, NULL, op->key->pkey, NULL)
                   : EVP_DigestVerifyInit_ex(op->md, &ctx, NULL, op->c->libctx, NULL, op->key->pkey, NULL);
    if (done != 1)
        return LH_OPENSSL_FAIL("starting a signature");
    op->md_ctx = ctx;
    return LH_SUCCESS;
}

static lh_err eddsa_begin(lh_op *op, lh_bytes params)
{
    bool given = params.len > 0;
    uint8_t prehash = 0;
    if (given) {
        if (!lh_take_u8(&params, &prehash) || prehash > 1)
            return lh_op_refuse_param(op, "it is malformed");
        op->prehash = prehash == 1;
        LH_TRY(take_context(op, &params));
    }
    /* A parameter without hash and context is taken for none: RFC 8032 section 5.1 wants no Ed25519ctx of an
     * empty context, though PKCS #11's table of schemes (3.0 section 2.3.14) would have it. */
    bool plain = !op->prehash && op->context_len == 0;
    op->edwards = !plain && !op->c->eddsa_forms;
    if (op->edwards && !op->c->edwards)
        return lh_op_refuse_param(
            op, "neither libcrypto nor libgcrypt has EdDSA of a hash or with a context");
    if (op->edwards)
        return LH_SUCCESS;
    LH_TRY(whole_begin(op));
    return plain ? LH_SUCCESS : eddsa_set(op, op->md_ctx);
}

static lh_err whole_finish(lh_op *op, size_t max, lh_bytes signature, lh_buf *out)
{
    static const uint8_t nothing;
    lh_bytes data = lh_buf_bytes(&op->held);
    const uint8_t *at = data.len > 0 ? data.data : &nothing;
    if (op->use == LH_USE_VERIFY) {
        if (EVP_DigestVerify(op->md, signature.data, signature.len, at, data.len) == 1)
            return LH_SUCCESS;
        ERR_clear_error();
        return LH_FAIL(LH_E_SIGNATURE, "the signature does not verify");
    }
    size_t before = out->len;
    size_t len = max;
    uint8_t *to = lh_buf_extend(out, len);
    if (!to)
        return lh_buf_status(out);
    if (EVP_DigestSign(op->md, to, &len, at, data.len) != 1)
        return LH_OPENSSL_FAIL("a signature");
    out->len = before + len;
    return LH_SUCCESS;
}

static lh_err eddsa_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    size_t len = op->key->curve->signature_len;
    if (op->use == LH_USE_VERIFY)
        LH_TRY(lh_op_check_signature_len(op, signature, len));
    if (!op->edwards)
        return whole_finish(op, len, signature, out);
    const lh_eddsa_form form = {op->prehash, LH_BYTES(op->context, op->context_len)};
    if (op->use == LH_USE_VERIFY)
        return lh_eddsa_verify(op->c, op->key, form, lh_buf_bytes(&op->held), signature.data);
    uint8_t *to = lh_buf_extend(out, len);
    return to ? lh_eddsa_sign(op->c, op->key, form, lh_buf_bytes(&op->held), to) : lh_buf_status(out);
}

const lh_op_family lh_op_eddsa = {eddsa_begin, lh_op_hold, eddsa_finish};

/* ML-DSA and SLH-DSA, of the message itself; names of parameters that older headers lack. */
static lh_err pq_begin(lh_op *op, lh_bytes params)
{
    uint32_t hedge = CKH_HEDGE_PREFERRED;
    bool given = params.len > 0;
    if (given) {
        if (!lh_take_u32(&params, &hedge) || hedge > CKH_DETERMINISTIC_REQUIRED)
            return lh_op_refuse_param(op, "it is malformed");
        LH_TRY(take_context(op, &params));
    }
    LH_TRY(whole_begin(op));
    int deterministic = 1;
    OSSL_PARAM set[3] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};
    size_t count = 0;
    if (op->context_len > 0)
        set[count++] = OSSL_PARAM_construct_octet_string("context-string", op->context, op->context_len);
    if (hedge == CKH_DETERMINISTIC_REQUIRED && op->use == LH_USE_SIGN)
        set[count++] = OSSL_PARAM_construct_int("deterministic", &deterministic);
    for (size_t i = 0; i < count; i++)
        if (!can_set(op->md_ctx, set[i].key))
            return lh_op_refuse_param(op, "this libcrypto cannot do that");
    if (count > 0 && EVP_PKEY_CTX_set_params(op->md_ctx, set) != 1)
        return LH_OPENSSL_FAIL("starting a signature");
    return LH_SUCCESS;
}

static lh_err pq_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    int size = EVP_PKEY_get_size(op->key->pkey);
    if (size <= 0 || (unsigned)size > PQ_SIGNATURE_MAX)
        return LH_OPENSSL_FAIL("a signature's length");
    if (op->use == LH_USE_VERIFY)
        LH_TRY(lh_op_check_signature_len(op, signature, (size_t)size));
    return whole_finish(op, (size_t)size, signature, out);
}

const lh_op_family lh_op_pq_sign = {pq_begin, lh_op_hold, pq_finish};
