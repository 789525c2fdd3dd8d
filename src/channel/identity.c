/* Invariants:
 *  1. What TLS says of the other side's certificate does not count: check_peer alone decides, and looks at
 *     the key.
 *  2. A key has one hash: that of the SubjectPublicKeyInfo that we encode, from its point on P-256. */
#include "channel/identity.h"

#include "channel/internal.h"
#include "crypto/hash.h"
#include "crypto/key.h"
#include "crypto/sign.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>

#define KEY_TRIES 8             /* random bytes are no scalar of P-256 once in 2^32 times */
#define CERTIFICATE_MAX 4096    /* bytes of the other side's certificates */
#define CERTIFICATE_SECONDS 60L /* nobody looks at its validity; it has to have one */

LH_DEFINE_FREEP(EVP_PKEY, EVP_PKEY_free)
LH_DEFINE_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
LH_DEFINE_FREEP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
LH_DEFINE_FREEP(OSSL_PARAM, OSSL_PARAM_free)
LH_DEFINE_FREEP(BIGNUM, BN_clear_free)
LH_DEFINE_FREEP(X509, X509_free)
LH_DEFINE_FREEP(EVP_MD, EVP_MD_free)

lh_err lh_channel_raise(const char *file, int line, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    lh_err err = lh_err_raise(
        LH_E_CRYPTO, (int64_t)code, file, line, NULL, "%s failed: %s", what, text ? text : "no reason given");
    ERR_clear_error();
    return err;
}

/* --- keys -------------------------------------------------------------------------------------------------
 */

static lh_err hash_of_point(lh_crypto *c, const uint8_t point[LH_P256_POINT_SIZE], uint8_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(256);
    LH_TRY(lh_p256_spki(c, point, &spki));
    LH_TRY(lh_buf_status(&spki));
    const lh_bytes part = lh_buf_bytes(&spki);
    return lh_sha256(c, &part, 1, ret);
}

static lh_err point_of_key(lh_crypto *c, const lh_secret *key, lh_buf *ret_point)
{
    LH_AUTO(lh_key_freep) lh_key *pair = NULL;
    LH_TRY(lh_key_new(c, LH_KEY_EC_P256, key, &pair));
    LH_TRY(lh_key_public_point(pair, ret_point));
    LH_TRY(lh_buf_status(ret_point));
    return ret_point->len == LH_P256_POINT_SIZE ? LH_SUCCESS : LH_RAISE(LH_E_INTERNAL, 0);
}

lh_err lh_channel_key_generate(lh_crypto *c, lh_secret **ret)
{
    for (int i = 0; i < KEY_TRIES; i++) {
        LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
        LH_TRY(lh_secret_random(LH_CHANNEL_KEY, &key));
        LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_P256_POINT_SIZE);
        lh_err err = point_of_key(c, key, &point);
        if (err.code == LH_E_INVALID)
            continue;
        LH_TRY(err);
        *ret = LH_TAKE(key);
        return LH_SUCCESS;
    }
    return LH_FAIL(LH_E_CRYPTO, "random bytes make no key on P-256");
}

lh_err lh_channel_key_hash(lh_crypto *c, const lh_secret *key, uint8_t ret[LH_CHANNEL_HASH])
{
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_P256_POINT_SIZE);
    LH_TRY(point_of_key(c, key, &point));
    return hash_of_point(c, point.data, ret);
}

static lh_err make_pkey(lh_crypto *c, const lh_secret *key, lh_bytes point, EVP_PKEY **ret)
{
    LH_AUTO(BN_clear_freep) BIGNUM *scalar = BN_secure_new();
    if (!scalar || !BN_bin2bn(lh_secret_bytes(key).data, (int)LH_CHANNEL_KEY, scalar))
        return LH_TLS_FAIL("BN_bin2bn");
    BN_set_flags(scalar, BN_FLG_CONSTTIME);
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (!build ||
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1)
        return LH_TLS_FAIL("OSSL_PARAM_BLD");
    LH_AUTO(OSSL_PARAM_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    LH_AUTO(EVP_PKEY_CTX_freep)
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lh_crypto_library(c), "EC", NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, ret, EVP_PKEY_KEYPAIR, params) != 1)
        return LH_TLS_FAIL("EVP_PKEY_fromdata");
    return LH_SUCCESS;
}

/* --- the certificate --------------------------------------------------------------------------------------
 */

static lh_err make_certificate(lh_crypto *c, EVP_PKEY *pkey, X509 **ret)
{
    LH_AUTO(X509_freep) X509 *x509 = X509_new_ex(lh_crypto_library(c), NULL);
    LH_AUTO(EVP_MD_freep) EVP_MD *sha256 = EVP_MD_fetch(lh_crypto_library(c), "SHA256", NULL);
    if (!x509 || !sha256)
        return LH_TLS_FAIL("X509_new");
    X509_NAME *name = X509_get_subject_name(x509);
    if (X509_set_version(x509, X509_VERSION_3) != 1 ||
        ASN1_INTEGER_set(X509_get_serialNumber(x509), 1) != 1 ||
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"leasehold", -1, -1, 0) !=
            1 ||
        X509_set_issuer_name(x509, name) != 1 || !X509_gmtime_adj(X509_getm_notBefore(x509), 0) ||
        !X509_gmtime_adj(X509_getm_notAfter(x509), CERTIFICATE_SECONDS) || X509_set_pubkey(x509, pkey) != 1 ||
        X509_sign(x509, pkey, sha256) == 0)
        return LH_TLS_FAIL("making a certificate");
    *ret = LH_TAKE(x509);
    return LH_SUCCESS;
}

static bool point_of_certificate(X509 *x509, uint8_t point[LH_P256_POINT_SIZE])
{
    EVP_PKEY *pkey = X509_get0_pubkey(x509);
    char group[64];
    size_t len = 0;
    return pkey && EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0 &&
           EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point, LH_P256_POINT_SIZE, &len) ==
               1 &&
           len == LH_P256_POINT_SIZE && point[0] == 4 && X509_verify(x509, pkey) == 1;
}

/* Is the other side's key one that we can know it by, and the one that is expected? */
static int check_peer(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *x509 = X509_STORE_CTX_get0_cert(store);
    lh_channel_check *check = ssl ? SSL_get_app_data(ssl) : NULL;
    uint8_t point[LH_P256_POINT_SIZE];
    uint8_t hash[LH_CHANNEL_HASH];
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    if (!check || !x509)
        return 0;
    check->refusal = "channel-peer";
    if (!point_of_certificate(x509, point) || !lh_ok(hash_of_point(check->crypto, point, hash)))
        return 0;
    if (check->pinned && memcmp(hash, check->pin, sizeof(hash)) != 0) {
        check->refusal = "channel-pin";
        return 0;
    }
    memcpy(check->peer, hash, sizeof(hash));
    check->refusal = NULL;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* --- identity ---------------------------------------------------------------------------------------------
 */

static lh_err make_ctx(lh_crypto *c, SSL_CTX **ret)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(lh_crypto_library(c), NULL, TLS_method());
    if (!ctx)
        return LH_TLS_FAIL("SSL_CTX_new");
    *ret = ctx;
    char groups[] = "X25519:P-256"; /* macros that cast to char * take these */
    char signatures[] = "ecdsa_secp256r1_sha256";
    SSL_CTX_set_security_level(ctx, 2);
    SSL_CTX_set_options(
        ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CLEANSE_PLAINTEXT);
    SSL_CTX_set_mode(
        ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, CERTIFICATE_MAX);
    SSL_CTX_set_quiet_shutdown(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, check_peer, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1 || SSL_CTX_set_recv_max_early_data(ctx, 0) != 1 ||
        SSL_CTX_set_ciphersuites(
            ctx, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(ctx, groups) != 1 || SSL_CTX_set1_sigalgs_list(ctx, signatures) != 1 ||
        SSL_CTX_set1_client_sigalgs_list(ctx, signatures) != 1)
        return LH_TLS_FAIL("setting up TLS");
    return LH_SUCCESS;
}

lh_err lh_channel_identity_new(lh_crypto *c, const lh_secret *key, lh_channel_identity **ret)
{
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_P256_POINT_SIZE);
    LH_TRY(point_of_key(c, key, &point));
    LH_AUTO(lh_channel_identity_freep) lh_channel_identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return LH_RAISE(LH_E_NOMEM, 0);
    identity->crypto = c;
    LH_TRY(hash_of_point(c, point.data, identity->hash));
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_AUTO(X509_freep) X509 *x509 = NULL;
    LH_TRY(make_pkey(c, key, lh_buf_bytes(&point), &pkey));
    LH_TRY(make_certificate(c, pkey, &x509));
    LH_TRY(make_ctx(c, &identity->ctx));
    if (SSL_CTX_use_certificate(identity->ctx, x509) != 1 || SSL_CTX_use_PrivateKey(identity->ctx, pkey) != 1)
        return LH_TLS_FAIL("SSL_CTX_use_PrivateKey");
    *ret = LH_TAKE(identity);
    return LH_SUCCESS;
}

void lh_channel_identity_free(lh_channel_identity *identity)
{
    if (!identity)
        return;
    SSL_CTX_free(identity->ctx);
    free(identity);
}

const uint8_t *lh_channel_identity_hash(const lh_channel_identity *identity)
{
    return identity->hash;
}
