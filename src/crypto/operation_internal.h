/* For this folder only: an operation's insides, and the families of mechanisms that carry it out. */
#ifndef LH_CRYPTO_OPERATION_INTERNAL_H
#define LH_CRYPTO_OPERATION_INTERNAL_H

#include "crypto/openssl.h"
#include "crypto/operation.h"
#include "crypto/param.h"

/* How one family of mechanisms works. data of update is never empty. */
typedef struct {
    lh_err (*begin)(lh_op *op, lh_bytes params);
    lh_err (*update)(lh_op *op, lh_bytes data, lh_buf *out);
    lh_err (*finish)(lh_op *op, lh_bytes signature, lh_buf *out);
} lh_op_family;

enum lh_op_state { LH_OP_FRESH, LH_OP_FED, LH_OP_ENDED };

struct lh_op {
    lh_crypto *c;
    const lh_key *key; /* borrowed */
    const lh_mechanism *row;
    unsigned use;
    const lh_op_family *family;
    enum lh_op_state state;
    uint64_t total;     /* bytes fed */
    uint64_t total_max; /* bytes that may be fed */
    size_t tag_len;     /* AEAD, MACs: bytes that are given out */
    size_t block;       /* ciphers: bytes of a block, 1 for those that have none */
    uint64_t data_len;  /* CCM: bytes announced */
    size_t iv_size;     /* AEAD */
    uint8_t iv[LH_GCM_IV_MAX];
    bool iv_due; /* the token made the IV, which comes out first */
    lh_buf aad;  /* CCM */
    EVP_MD_CTX *md;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *cipher;
    EVP_PKEY_CTX *pkey;   /* RSA: set up by begin */
    EVP_PKEY_CTX *md_ctx; /* md's own, where it signs */
    bool prehash;         /* EdDSA of a hash */
    bool edwards;         /* EdDSA by eddsa.h */
    size_t context_len;   /* EdDSA, ML-DSA, SLH-DSA */
    uint8_t context[LH_SIGN_CONTEXT_MAX];
    lh_buf held; /* what is held back until the end */
};

extern const lh_op_family lh_op_digest;
extern const lh_op_family lh_op_hmac;
extern const lh_op_family lh_op_cmac;
extern const lh_op_family lh_op_gmac;
extern const lh_op_family lh_op_ecdsa;
extern const lh_op_family lh_op_eddsa;
extern const lh_op_family lh_op_pq_sign;
extern const lh_op_family lh_op_rsa_pkcs1;
extern const lh_op_family lh_op_rsa_pss;
extern const lh_op_family lh_op_rsa_oaep;
extern const lh_op_family lh_op_rsa_raw;
extern const lh_op_family lh_op_cipher;
extern const lh_op_family lh_op_xts; /* lh_op_cipher's begin chooses it */
extern const lh_op_family lh_op_aead;
extern const lh_op_family lh_op_keywrap;

/* An update that keeps data in op->held until the end. */
lh_err lh_op_hold(lh_op *op, lh_bytes data, lh_buf *out);
/* Begin to hash with the digest of that name, and go on: for signatures over a hash. */
lh_err lh_op_digest_start(lh_op *op, const char *digest);
lh_err lh_op_digest_update(lh_op *op, lh_bytes data, lh_buf *out);
/* Begin the row's cipher, by the length of op's key; feed it. */
lh_err lh_op_cipher_start(lh_op *op, lh_bytes iv);
lh_err lh_op_cipher_feed(lh_op *op, lh_bytes data, lh_buf *out);

/* The refusals of operation.h. */
lh_err lh_op_refuse_param(const lh_op *op, const char *why);
lh_err lh_op_refuse_length(const lh_op *op);
/* A signature of another length than want bytes. */
lh_err lh_op_check_signature_len(const lh_op *op, lh_bytes signature, size_t want);

#endif
