/* Endorsement keys and certificates of them, made by libcrypto for tests. */
#ifndef TESTS_UNIT_EK_FIXTURE_H
#define TESTS_UNIT_EK_FIXTURE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "codec/bin.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define EK_NOW 1795000000 /* wall seconds at which certificates are valid unless they say otherwise */
#define EK_ATTRIBUTES 0x000300b2u
#define EK_EKU "2.23.133.8.1"

/* What is particular about a certificate; zeros and NULL are those of a good endorsement key's. */
typedef struct {
    const char *name;       /* the subject's CN; NULL: an empty subject */
    const char *basic;      /* basicConstraints; NULL: CA:FALSE */
    const char *usage;      /* keyUsage; NULL: by the key; "": none */
    const char *extended;   /* extendedKeyUsage; NULL: tcg-kp-EKCertificate; "": none */
    const char *constraint; /* nameConstraints; NULL: none */
    bool no_manufacturer;   /* no TPM attributes in the alternative name */
    bool unknown;           /* a critical extension that nobody knows */
    bool sha1;
    int64_t from, until; /* seconds from EK_NOW; 0, 0: a day before, a day after */
} ek_spec;

static inline EVP_PKEY *ek_key(const char *kind)
{
    EVP_PKEY *key = strcmp(kind, "rsa") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                                             : EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
    assert_non_null(key);
    return key;
}

static inline void ek_add(X509 *x, int nid, const char *value)
{
    if (!value || !value[0])
        return;
    CONF *conf = NCONF_new(NULL); /* what "dirName:dn" means in a name constraint */
    BIO *bio = BIO_new_mem_buf("[dn]\nO = Other\n", -1);
    X509V3_CTX ctx = {0};
    assert_int_equal(NCONF_load_bio(conf, bio, NULL), 1);
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_nconf(&ctx, conf);
    X509_EXTENSION *e = X509V3_EXT_nconf_nid(conf, &ctx, nid, value);
    BIO_free(bio);
    NCONF_free(conf);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* Critical, as where the subject is empty. */
static inline void ek_add_manufacturer(X509 *x)
{
    X509_NAME *name = X509_NAME_new();
    GENERAL_NAME *general = GENERAL_NAME_new();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    ASN1_OBJECT *type = OBJ_txt2obj("2.23.133.2.1", 1);
    assert_int_equal(
        X509_NAME_add_entry_by_OBJ(name, type, MBSTRING_ASC, (const unsigned char *)"id:49465800", -1, -1, 0),
        1);
    GENERAL_NAME_set0_value(general, GEN_DIRNAME, name);
    sk_GENERAL_NAME_push(names, general);
    assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 1, X509V3_ADD_APPEND), 1);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    ASN1_OBJECT_free(type);
}

static inline void ek_add_unknown(X509 *x)
{
    ASN1_OBJECT *type = OBJ_txt2obj("1.2.3.4.5.6", 1);
    ASN1_OCTET_STRING *content = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(content, (const unsigned char *)"\x05\x00", 2);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, type, 1, content);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(content);
    ASN1_OBJECT_free(type);
}

static inline void ek_add_extensions(X509 *x, EVP_PKEY *key, const ek_spec *spec)
{
    bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    bool ca = spec->basic && strncmp(spec->basic, "critical,CA:TRUE", 16) == 0;
    ek_add(x, NID_basic_constraints, spec->basic ? spec->basic : "critical,CA:FALSE");
    ek_add(x, NID_key_usage,
        spec->usage ? spec->usage
        : rsa       ? "critical,keyEncipherment"
                    : "critical,keyAgreement");
    ek_add(x, NID_ext_key_usage, spec->extended ? spec->extended : ca ? "" : EK_EKU);
    ek_add(x, NID_name_constraints, spec->constraint);
    if (!ca && !spec->no_manufacturer)
        ek_add_manufacturer(x);
    if (spec->unknown)
        ek_add_unknown(x);
}

/* issuer NULL: signed by itself. */
static inline X509 *ek_certificate(
    EVP_PKEY *key, const ek_spec *spec, const X509 *issuer, EVP_PKEY *issuer_key)
{
    static long serial;
    X509 *x = X509_new();
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    bool usual = spec->from == 0 && spec->until == 0;
    ASN1_TIME_set(X509_getm_notBefore(x), EK_NOW + (usual ? -86400 : spec->from));
    ASN1_TIME_set(X509_getm_notAfter(x), EK_NOW + (usual ? 86400 : spec->until));
    X509_NAME *name = X509_NAME_new();
    if (spec->name)
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)spec->name, -1, -1, 0);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name);
    X509_NAME_free(name);
    X509_set_pubkey(x, key);
    ek_add_extensions(x, key, spec);
    assert_true(X509_sign(x, issuer ? issuer_key : key, spec->sha1 ? EVP_sha1() : EVP_sha256()) > 0);
    return x;
}

static inline lh_buf ek_der(X509 *x)
{
    lh_buf out = LH_BUF_INIT(8192);
    unsigned char *der = NULL;
    int len = i2d_X509(x, &der);
    assert_true(len > 0);
    lh_buf_append(&out, der, (size_t)len);
    OPENSSL_free(der);
    return out;
}

static inline lh_buf ek_pem(X509 *x)
{
    lh_buf out = LH_BUF_INIT(16384);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    assert_int_equal(PEM_write_bio_X509(bio, x), 1);
    long len = BIO_get_mem_data(bio, &text);
    lh_buf_append(&out, text, (size_t)len);
    BIO_free(bio);
    return out;
}

static inline void ek_put_coordinate(lh_buf *out, EVP_PKEY *key, const char *which, size_t size)
{
    uint8_t bytes[64];
    BIGNUM *bn = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, which, &bn), 1);
    assert_int_equal(BN_bn2binpad(bn, bytes, (int)size), (int)size);
    BN_free(bn);
    lh_put_u16(out, (uint16_t)size);
    lh_put_raw(out, bytes, size);
}

/* The TPMT_PUBLIC of an endorsement key by the templates L-1, L-2 and H-3. */
static inline lh_buf ek_public_of(EVP_PKEY *key)
{
    lh_buf out = LH_BUF_INIT(1024);
    uint8_t policy[48] = {1};
    bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
    bool p384 = !rsa && EVP_PKEY_get_bits(key) == 384;
    lh_put_u16(&out, rsa ? 0x0001 : 0x0023);
    lh_put_u16(&out, p384 ? 0x000c : 0x000b);
    lh_put_u32(&out, EK_ATTRIBUTES | (p384 ? 0x40u : 0));
    lh_put_u16(&out, p384 ? 48 : 32);
    lh_put_raw(&out, policy, p384 ? 48 : 32);
    lh_put_u16(&out, 0x0006);
    lh_put_u16(&out, p384 ? 256 : 128);
    lh_put_u16(&out, 0x0043);
    lh_put_u16(&out, 0x0010);
    if (rsa) {
        uint8_t modulus[256];
        BIGNUM *n = NULL;
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n);
        BN_bn2binpad(n, modulus, sizeof modulus);
        BN_free(n);
        lh_put_u16(&out, 2048);
        lh_put_u32(&out, 0);
        lh_put_u16(&out, sizeof modulus);
        lh_put_raw(&out, modulus, sizeof modulus);
        return out;
    }
    lh_put_u16(&out, p384 ? 4 : 3);
    lh_put_u16(&out, 0x0010);
    ek_put_coordinate(&out, key, OSSL_PKEY_PARAM_EC_PUB_X, p384 ? 48 : 32);
    ek_put_coordinate(&out, key, OSSL_PKEY_PARAM_EC_PUB_Y, p384 ? 48 : 32);
    return out;
}

#endif
