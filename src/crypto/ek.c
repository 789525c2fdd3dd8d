/* Certificates of endorsement keys. */
#include "base/limits.h"
#include "crypto/ek_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define EKU_EK_CERTIFICATE "2.23.133.8.1" /* tcg-kp-EKCertificate: EK Credential Profile, 3.2.16 */
#define AT_TPM_MANUFACTURER                                                                                  \
    "2.23.133.2.1"       /* tcg-at-tpmManufacturer: 3.2.9, in a subject alternative name                     \
                          */
#define SECURITY_LEVEL 2 /* SSL_CTX_set_security_level(3): no SHA-1, RSA from 2048 bits */
#define CHAIN_DEPTH 8

LH_DEFINE_FREEP(X509, X509_free)
LH_DEFINE_FREEP(X509_STORE_CTX, X509_STORE_CTX_free)
LH_DEFINE_FREEP(BIO, BIO_vfree)
LH_DEFINE_FREEP(ASN1_OBJECT, ASN1_OBJECT_free)
LH_DEFINE_FREEP(GENERAL_NAMES, GENERAL_NAMES_free)
LH_DEFINE_FREEP(EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free)

struct lh_ek_authorities {
    lh_crypto *crypto;
    X509_STORE *store;
    size_t count;
};

static void free_stack(STACK_OF(X509) * *stack)
{
    sk_X509_pop_free(*stack, X509_free);
}

void lh_ek_authorities_free(lh_ek_authorities *authorities)
{
    if (!authorities)
        return;
    X509_STORE_free(authorities->store);
    free(authorities);
}

lh_err lh_ek_authorities_new(lh_crypto *c, lh_ek_authorities **ret)
{
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *a = calloc(1, sizeof *a);
    if (!a)
        return LH_RAISE(LH_E_NOMEM, 0);
    a->crypto = c;
    a->store = X509_STORE_new();
    if (!a->store)
        return LH_RAISE(LH_E_NOMEM, 0);
    X509_VERIFY_PARAM *param = X509_STORE_get0_param(a->store);
    /* An intermediate authority that was configured is trusted as such. */
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_auth_level(param, SECURITY_LEVEL);
    X509_VERIFY_PARAM_set_depth(param, CHAIN_DEPTH);
    *ret = LH_TAKE(a);
    return LH_SUCCESS;
}

static lh_err add_one(lh_ek_authorities *a, X509 *x)
{
    if (X509_check_ca(x) != 1) {
        ERR_clear_error();
        return LH_REFUSE(LH_E_INVALID, "ek-authority",
            "a certificate among those of TPM manufacturers is not an authority's (its basic constraints)");
    }
    if (a->count == LH_LIMIT_EK_AUTHORITIES)
        return LH_REFUSE(LH_E_LIMIT, "ek-authority", "more than %d certificates of TPM manufacturers",
            LH_LIMIT_EK_AUTHORITIES);
    if (X509_STORE_add_cert(a->store, x) != 1) /* one that is there already is no error */
        return LH_OPENSSL_FAIL("keeping a certificate");
    a->count++;
    return LH_SUCCESS;
}

lh_err lh_ek_authorities_add(lh_ek_authorities *a, lh_bytes pem)
{
    size_t before = a->count;
    if (pem.len > LH_LIMIT_EK_AUTHORITY_BYTES)
        return LH_REFUSE(LH_E_LIMIT, "ek-authority", "more than %d bytes of TPM manufacturers' certificates",
            LH_LIMIT_EK_AUTHORITY_BYTES);
    if (pem.len == 0)
        return LH_REFUSE(LH_E_INVALID, "ek-authority", "there is no certificate in PEM in it");
    LH_AUTO(BIO_vfreep) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    if (!bio)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (;;) {
        LH_AUTO(X509_freep) X509 *x = X509_new_ex(a->crypto->libctx, NULL);
        if (!x)
            return LH_RAISE(LH_E_NOMEM, 0);
        if (!PEM_read_bio_X509(bio, &x, NULL, NULL))
            break;
        LH_TRY(add_one(a, x));
    }
    unsigned long why = ERR_peek_last_error();
    ERR_clear_error();
    if (ERR_GET_LIB(why) != ERR_LIB_PEM || ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
        return LH_REFUSE(
            LH_E_INVALID, "ek-authority", "certificate %zu does not parse", a->count - before + 1);
    if (a->count == before)
        return LH_REFUSE(LH_E_INVALID, "ek-authority", "there is no certificate in PEM in it");
    return LH_SUCCESS;
}

size_t lh_ek_authorities_count(const lh_ek_authorities *authorities)
{
    return authorities->count;
}

static lh_err parse(lh_crypto *c, lh_bytes der, X509 **ret)
{
    const unsigned char *at = der.data;
    LH_AUTO(X509_freep) X509 *x = X509_new_ex(c->libctx, NULL);
    if (!x)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (der.len == 0 || der.len > LH_LIMIT_CERTIFICATE || !d2i_X509(&x, &at, (long)der.len) ||
        at != der.data + der.len) {
        ERR_clear_error();
        return LH_REFUSE(LH_E_INVALID, "certificate-format", "this is not one X.509 certificate in DER");
    }
    *ret = LH_TAKE(x);
    return LH_SUCCESS;
}

static lh_err refuse_chain(X509_STORE_CTX *ctx)
{
    int error = X509_STORE_CTX_get_error(ctx);
    bool time = error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID;
    int depth = X509_STORE_CTX_get_error_depth(ctx);
    ERR_clear_error();
    if (error == X509_V_ERR_OUT_OF_MEM)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_REFUSE(LH_E_DENIED, time ? "ek-certificate-expired" : "ek-certificate-untrusted",
        "the endorsement key's certificate %s (certificate %d of its chain: %s)",
        time ? "is not valid at this time" : "does not lead to a configured TPM manufacturer", depth + 1,
        X509_verify_cert_error_string(error));
}

static lh_err verify(const lh_ek_authorities *a, X509 *leaf, STACK_OF(X509) * others, int64_t now)
{
    LH_AUTO(X509_STORE_CTX_freep)
    X509_STORE_CTX *ctx = X509_STORE_CTX_new_ex(a->crypto->libctx, NULL);
    if (!ctx || X509_STORE_CTX_init(ctx, a->store, leaf, others) != 1)
        return LH_OPENSSL_FAIL("preparing the check of a certificate");
    X509_STORE_CTX_set_time(ctx, 0, (time_t)now);
    return X509_verify_cert(ctx) == 1 ? LH_SUCCESS : refuse_chain(ctx);
}

/* 3.2.13: an RSA key encrypts keys, an ECC one agrees on them; and it is not an authority's. */
static lh_err check_usage(X509 *leaf, enum lh_ek_kind kind)
{
    uint32_t want = lh_ek_group(kind) ? X509v3_KU_KEY_AGREEMENT : X509v3_KU_KEY_ENCIPHERMENT;
    if (X509_check_ca(leaf) != 0)
        return LH_REFUSE(LH_E_DENIED, "ek-certificate-usage", "the certificate is an authority's, no TPM's");
    if (!(X509_get_extension_flags(leaf) & EXFLAG_KUSAGE) || !(X509_get_key_usage(leaf) & want))
        return LH_REFUSE(LH_E_DENIED, "ek-certificate-usage",
            "the certificate's key usage does not have %s, which an %s endorsement key is for",
            lh_ek_group(kind) ? "key agreement" : "key encipherment", lh_ek_kind_name(kind));
    return LH_SUCCESS;
}

static bool has_usage(const EXTENDED_KEY_USAGE *usages, const ASN1_OBJECT *wanted)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(usages); i++)
        if (OBJ_cmp(sk_ASN1_OBJECT_value(usages, i), wanted) == 0)
            return true;
    return false;
}

/* Whether a directory name among the alternative ones names the TPM's manufacturer. */
static bool names_manufacturer(const GENERAL_NAMES *names, const ASN1_OBJECT *wanted)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DIRNAME && X509_NAME_get_index_by_OBJ(name->d.directoryName, wanted, -1) >= 0)
            return true;
    }
    return false;
}

/* 3.2.16: where there is an extended key usage, it has the one for endorsement keys. Older certificates have
 * none: they tell by the TPM's attributes in the subject alternative name, 3.2.9. */
static lh_err check_tpm(X509 *leaf)
{
    int critical = -1;
    LH_AUTO(ASN1_OBJECT_freep) ASN1_OBJECT *ek = OBJ_txt2obj(EKU_EK_CERTIFICATE, 1);
    LH_AUTO(ASN1_OBJECT_freep) ASN1_OBJECT *manufacturer = OBJ_txt2obj(AT_TPM_MANUFACTURER, 1);
    if (!ek || !manufacturer)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_AUTO(EXTENDED_KEY_USAGE_freep)
    EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(leaf, NID_ext_key_usage, &critical, NULL);
    bool told = usages ? has_usage(usages, ek) : critical == -1;
    if (told && !usages) {
        LH_AUTO(GENERAL_NAMES_freep)
        GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
        told = names && names_manufacturer(names, manufacturer);
    }
    ERR_clear_error();
    return told ? LH_SUCCESS
                : LH_REFUSE(LH_E_DENIED, "ek-certificate-not-tpm",
                      "nothing in the certificate says that its key is a TPM's endorsement key");
}

static lh_err check_leaf(X509 *leaf, const lh_ek *ek)
{
    const EVP_PKEY *certified = X509_get0_pubkey(leaf);
    bool same = certified && EVP_PKEY_eq(certified, ek->pkey) == 1;
    ERR_clear_error();
    if (!same)
        return LH_REFUSE(
            LH_E_DENIED, "ek-certificate-key", "the certificate is for another key than the endorsement key");
    LH_TRY(check_usage(leaf, ek->kind));
    return check_tpm(leaf);
}

lh_err lh_ek_certificate_check(
    const lh_ek_authorities *a, const lh_bytes *chain, size_t n, lh_bytes ek_public, int64_t now)
{
    LH_AUTO(lh_ek_clear) lh_ek ek = {0};
    LH_AUTO(X509_freep) X509 *leaf = NULL;
    LH_AUTO(free_stack) STACK_OF(X509) *others = sk_X509_new_null();
    if (!others)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (n == 0 || n > LH_LIMIT_EK_CERTIFICATES)
        return LH_FAIL(LH_E_INVALID, "a chain of %zu certificates", n);
    LH_TRY(lh_ek_read(a->crypto, ek_public, &ek));
    LH_TRY(parse(a->crypto, chain[0], &leaf));
    for (size_t i = 1; i < n; i++) {
        LH_AUTO(X509_freep) X509 *x = NULL;
        LH_TRY(parse(a->crypto, chain[i], &x));
        if (sk_X509_push(others, x) <= 0)
            return LH_RAISE(LH_E_NOMEM, 0);
        x = NULL; /* the stack's now */
    }
    LH_TRY(verify(a, leaf, others, now));
    return check_leaf(leaf, &ek);
}
