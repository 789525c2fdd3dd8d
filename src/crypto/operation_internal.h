/* For this folder only: an operation's insides, and the families of mechanisms that carry it out. */
#ifndef LH_CRYPTO_OPERATION_INTERNAL_H
#define LH_CRYPTO_OPERATION_INTERNAL_H

#include "crypto/openssl.h"
#include "crypto/operation.h"

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
    size_t tag_len;     /* GCM */
    EVP_MD_CTX *md;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *cipher;
    lh_buf held; /* what is held back until the end */
};

extern const lh_op_family lh_op_digest;
extern const lh_op_family lh_op_hmac;
extern const lh_op_family lh_op_ecdsa;
extern const lh_op_family lh_op_eddsa;
extern const lh_op_family lh_op_cipher;
extern const lh_op_family lh_op_gcm;

/* The refusals of operation.h. */
lh_err lh_op_refuse_param(const lh_op *op, const char *why);
lh_err lh_op_refuse_length(const lh_op *op);
/* A signature of another length than want bytes. */
lh_err lh_op_check_signature_len(const lh_op *op, lh_bytes signature, size_t want);

#endif
