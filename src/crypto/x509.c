#include "crypto/x509.h"

#include "crypto/openssl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <stdio.h>

LH_DEFINE_FREEP(X509, X509_free)
LH_DEFINE_FREEP(BIO, BIO_vfree)

static void free_der(unsigned char **der)
{
    OPENSSL_free(*der);
}

void lh_x509_clear(lh_x509 *certificate)
{
    lh_buf_free(&certificate->subject);
    lh_buf_free(&certificate->issuer);
    lh_buf_free(&certificate->serial);
    lh_buf_free(&certificate->spki);
    *certificate = (lh_x509){0};
}

static lh_err malformed(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_INVALID, "certificate-format", "this is not one X.509 certificate in DER");
}

/* Append what an i2d function gave; length <= 0 means that it failed. */
static lh_err take_der(unsigned char *der_taken, int length, lh_buf *out)
{
    LH_AUTO(free_der) unsigned char *der = der_taken;
    if (length <= 0 || length > LH_X509_PART_MAX)
        return malformed();
    lh_buf_append(out, der, (size_t)length);
    return lh_buf_status(out);
}

static int64_t time_of(const ASN1_TIME *time, int64_t otherwise)
{
    struct tm parts = {0};
    if (!time || ASN1_TIME_to_tm(time, &parts) != 1)
        return otherwise;
    return timegm(&parts);
}

/* A name as people read it. What would not be printable ASCII is escaped by XN_FLAG_RFC2253. */
static lh_err name_text(const X509_NAME *name, char *out, size_t size)
{
    LH_AUTO(BIO_vfreep) BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (!bio)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
        return malformed();
    long length = BIO_get_mem_data(bio, &text);
    snprintf(out, size, "%.*s", length < (long)size ? (int)length : (int)size - 1, length > 0 ? text : "");
    return LH_SUCCESS;
}

static lh_err read_names(const X509 *x, lh_x509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    const X509_NAME *issuer = X509_get_issuer_name(x);
    unsigned char *der = NULL;
    int length = i2d_X509_NAME(subject, &der);
    LH_TRY(take_der(der, length, &certificate->subject));
    der = NULL;
    length = i2d_X509_NAME(issuer, &der);
    LH_TRY(take_der(der, length, &certificate->issuer));
    LH_TRY(name_text(subject, certificate->subject_text, sizeof certificate->subject_text));
    return name_text(issuer, certificate->issuer_text, sizeof certificate->issuer_text);
}

static lh_err read_key(X509 *x, lh_x509 *certificate)
{
    unsigned char *der = NULL;
    int length = i2d_ASN1_INTEGER(X509_get0_serialNumber(x), &der);
    LH_TRY(take_der(der, length, &certificate->serial));
    der = NULL;
    length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    return take_der(der, length, &certificate->spki);
}

static lh_err sha1(lh_crypto *c, lh_bytes data, uint8_t out[20])
{
    size_t len = 0;
    if (EVP_Q_digest(c->libctx, "SHA1", NULL, data.data, data.len, out, &len) != 1 || len != 20)
        return LH_OPENSSL_FAIL("SHA-1");
    return LH_SUCCESS;
}

static lh_err read_digests(lh_crypto *c, lh_bytes der, lh_x509 *certificate)
{
    uint8_t digest[20];
    LH_TRY(sha1(c, der, digest));
    memcpy(certificate->check_value, digest, sizeof certificate->check_value);
    return sha1(c, lh_buf_bytes(&certificate->spki), certificate->spki_sha1);
}

lh_err lh_x509_parse(lh_crypto *c, lh_bytes der, lh_x509 *ret)
{
    LH_AUTO(lh_x509_clear)
    lh_x509 certificate = {
        .subject = LH_BUF_INIT(LH_X509_PART_MAX),
        .issuer = LH_BUF_INIT(LH_X509_PART_MAX),
        .serial = LH_BUF_INIT(LH_X509_PART_MAX),
        .spki = LH_BUF_INIT(LH_X509_PART_MAX),
    };
    LH_AUTO(X509_freep) X509 *x = X509_new_ex(c->libctx, NULL);
    if (!x)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (der.len == 0 || der.len > LONG_MAX)
        return malformed();
    const unsigned char *at = der.data;
    /* d2i frees *a and sets it to NULL where it fails. */
    if (!d2i_X509(&x, &at, (long)der.len) || at != der.data + der.len)
        return malformed();
    LH_TRY(read_names(x, &certificate));
    LH_TRY(read_key(x, &certificate));
    LH_TRY(read_digests(c, der, &certificate));
    certificate.not_before = time_of(X509_get0_notBefore(x), INT64_MIN);
    certificate.not_after = time_of(X509_get0_notAfter(x), INT64_MAX);
    certificate.is_ca = X509_check_ca(x) == 1;
    ERR_clear_error();
    *ret = certificate;
    certificate = (lh_x509){0};
    return LH_SUCCESS;
}
