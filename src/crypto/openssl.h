/* For this folder only: the context's insides and how OpenSSL's failures become ours. */
#ifndef LH_CRYPTO_OPENSSL_H
#define LH_CRYPTO_OPENSSL_H

#include "base/secret.h"
#include "crypto/crypto.h"
#include "crypto/key.h"
#include "p11/curve.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <pthread.h>

LH_DEFINE_FREEP(OSSL_LIB_CTX, OSSL_LIB_CTX_free)
LH_DEFINE_FREEP(EVP_MD_CTX, EVP_MD_CTX_free)
LH_DEFINE_FREEP(EVP_MAC_CTX, EVP_MAC_CTX_free)
LH_DEFINE_FREEP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
LH_DEFINE_FREEP(EVP_PKEY, EVP_PKEY_free)
LH_DEFINE_FREEP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
LH_DEFINE_FREEP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)
LH_DEFINE_FREEP(OSSL_PARAM, OSSL_PARAM_free)
LH_DEFINE_FREEP(BIGNUM, BN_clear_free)
LH_DEFINE_FREEP(BN_CTX, BN_CTX_free)

/* Bytes given to OpenSSL in one call, whose lengths are int in places. */
#define LH_CRYPTO_CALL_MAX ((size_t)1 << 30)

enum {
    LH_MD_SHA1,
    LH_MD_SHA256,
    LH_MD_SHA384,
    LH_MD_SHA512,
    LH_MD_SHA224,
    LH_MD_SHA512_224,
    LH_MD_SHA512_256,
    LH_MD_SHA3_224,
    LH_MD_SHA3_256,
    LH_MD_SHA3_384,
    LH_MD_SHA3_512,
    LH_MD_MD5, /* for old signatures */
    LH_MD_COUNT
};
enum { LH_CIPHER_GCM /* AES-256 */, LH_CIPHER_COUNT = 27 };

struct lh_crypto {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *provider;
    OSSL_PROVIDER *legacy; /* NULL where there is none */
    EVP_MD *md[LH_MD_COUNT];
    EVP_MD *shake256;
    EVP_CIPHER *cipher[LH_CIPHER_COUNT]; /* NULL: one of the legacy provider, which is not there */
    EVP_MAC *hmac;
    EVP_MAC *cmac;
    EVP_MAC *gmac;
    EVP_MAC_CTX *hmac_of[LH_MD_COUNT]; /* without a key: copied for each use, never changed */
    bool eddsa_forms;                  /* libcrypto has EdDSA with contexts and of hashes */
    bool edwards;                      /* or else edwards.h has the points for it */
    size_t heap;                       /* bytes of OpenSSL's secure heap */
    pthread_mutex_t spare_lock;
    lh_crypto_spare_fn spare;
    void *spare_arg;
    /* The last invocation field that a token's IV was made with (operation_aead.c). */
    _Atomic uint64_t iv_counter;
};

struct lh_key {
    enum lh_key_kind kind;  /* LH_KEY_NONE but for leased keys */
    unsigned long ck_type;  /* CKK_… */
    lh_secret *secret;      /* symmetric keys: their bytes. NULL for pairs, whose secret is in pkey. */
    EVP_PKEY *pkey;         /* pairs */
    bool private_half;      /* pairs: can sign */
    unsigned bits;          /* of an RSA modulus, a field, a DH prime */
    unsigned parameter_set; /* CKP_ of ML-DSA, SLH-DSA and ML-KEM */
    const lh_curve *curve;  /* of CKK_EC, CKK_EC_EDWARDS and CKK_EC_MONTGOMERY */
    size_t point_len;
    uint8_t point[LH_KEY_POINT_MAX];
};

/* Before a private key is made. LH_E_LIMIT "device-memory". */
LH_MUST lh_err lh_crypto_make_room(lh_crypto *c);

/* The fetched algorithm of that name (as the rows of src/p11 spell it); NULL where there is none. */
const EVP_MD *lh_crypto_md(const lh_crypto *c, const char *name);
/* The cipher of that name that takes keys of key_len bytes: "ECB", "GCM" … are AES's modes, whose keys have
 * 16, 24 or 32 bytes (XTS: 32 or 64, both of its keys). NULL where there is none. */
const EVP_CIPHER *lh_crypto_cipher(const lh_crypto *c, const char *name, size_t key_len);
/* An HMAC with that hash that lacks only its key: to be copied (EVP_MAC_CTX_dup), never changed. */
const EVP_MAC_CTX *lh_crypto_hmac(const lh_crypto *c, const char *md);

/* LH_E_CRYPTO with OpenSSL's last error; empties its queue. */
lh_err lh_openssl_raise(const char *file, int line, const char *what);
#define LH_OPENSSL_FAIL(what) lh_openssl_raise(__FILE__, __LINE__, (what))

/* An EVP_PKEY from a P-256 or P-384 point (SEC 1, uncompressed), or a private scalar with its point.
 * LH_E_INVALID where OpenSSL does not take them, such as a point off the curve. */
LH_MUST lh_err lh_pkey_ec(
    lh_crypto *c, const char *group, lh_bytes point, const BIGNUM *scalar, EVP_PKEY **ret);
LH_MUST lh_err lh_pkey_rsa(lh_crypto *c, lh_bytes modulus, uint32_t exponent, EVP_PKEY **ret);
LH_MUST lh_err lh_pkey_ed25519_public(lh_crypto *c, lh_bytes point, EVP_PKEY **ret);
LH_MUST lh_err lh_pkey_spki(EVP_PKEY *pkey, lh_buf *out);

/* What every Ed25519 call here comes down to. */
LH_MUST lh_err lh_pkey_ed25519_sign(lh_crypto *c, EVP_PKEY *pkey, lh_bytes data, uint8_t out[64]);
/* LH_E_SIGNATURE where it does not verify. */
LH_MUST lh_err lh_pkey_ed25519_verify(lh_crypto *c, EVP_PKEY *pkey, lh_bytes data, lh_bytes signature);
/* r and s big-endian, of any curve's length up to 66 bytes. LH_E_SIGNATURE where it does not verify. */
LH_MUST lh_err lh_pkey_ecdsa_verify(lh_crypto *c, EVP_PKEY *pkey, lh_bytes digest, lh_bytes r, lh_bytes s);

/* Append a DER ECDSA-Sig-Value. r, s: big-endian, at most 66 bytes. */
void lh_ecdsa_der_put(lh_bytes r, lh_bytes s, lh_buf *out);

#endif
