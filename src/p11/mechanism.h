/* One row per mechanism, one row per kind of key. Data only: mechanism lists, key checks, parameter decoding,
 * dispatch in src/crypto, policy's names and the documentation all follow from these rows. To add a
 * mechanism, add its row in mechanism.c (and a test of it in tests/unit/crypto/test_operation.c). */
#ifndef LH_P11_MECHANISM_H
#define LH_P11_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of keys that a role may derive. The values are on the wire and on disk: append only. */
enum lh_key_kind {
    LH_KEY_NONE = 0,
    LH_KEY_EC_P256 = 1,
    LH_KEY_ED25519 = 2,
    LH_KEY_AES256 = 3,
    LH_KEY_HMAC_SHA256 = 4, /* a 32-byte CKK_GENERIC_SECRET */
    LH_KEY_KIND_COUNT
};

typedef struct {
    enum lh_key_kind kind;
    const char *name;      /* in policy: "ec-p256" */
    unsigned long ck_type; /* CKK_… */
    bool pair;             /* has a public half */
    unsigned bits;         /* as CK_MECHANISM_INFO counts them for its mechanisms: bits for EC and RSA … */
    size_t secret_len;     /* bytes of a symmetric key; 0 for pairs */
    const uint8_t *ec_params; /* DER of CKA_EC_PARAMS; NULL where none */
    size_t ec_params_len;
} lh_key_row;

/* NULL where there is none. */
const lh_key_row *lh_key_row_by_kind(enum lh_key_kind kind);
const lh_key_row *lh_key_row_by_name(const char *name);

/* What a mechanism can be used for: bits. */
enum { LH_USE_SIGN = 1, LH_USE_VERIFY = 2, LH_USE_ENCRYPT = 4, LH_USE_DECRYPT = 8, LH_USE_DIGEST = 16 };

#define LH_GCM_IV_MAX 128u /* bytes that OpenSSL takes */
/* Bytes of data, a GCM ciphertext's tag included, that an operation takes which is not fed in parts: as much
 * as one message carries (LH_WIRE_DATA_MAX). */
#define LH_MECHANISM_WHOLE_MAX 122880u

enum lh_param {
    LH_PARAM_NONE, /* must be empty */
    LH_PARAM_IV16, /* 16 bytes */
    LH_PARAM_GCM, /* CK_GCM_PARAMS, encoded on the wire as blob iv (1..LH_GCM_IV_MAX bytes) ‖ blob aad ‖ u32
                     tag bits */
    LH_PARAM_CTR, /* CK_AES_CTR_PARAMS: u32 counter bits ‖ 16 bytes */
};

enum lh_cost { LH_COST_FAST, LH_COST_SLOW };

typedef struct {
    unsigned long type;   /* CKM_… */
    const char *name;     /* in policy and documents: "ecdsa-sha256" */
    unsigned uses;        /* LH_USE_… bits */
    enum lh_key_kind key; /* LH_KEY_NONE for digests */
    enum lh_param param;
    const char *digest; /* OpenSSL's name of the hash, or NULL */
    const char *cipher; /* OpenSSL's name of the cipher, or NULL */
    bool padding;       /* the cipher pads its last block (PKCS#7) */
    bool multipart;     /* may be fed in parts; see lh_mechanism_in_parts */
    unsigned min_key;   /* as CK_MECHANISM_INFO gives them */
    unsigned max_key;
    size_t max_output; /* signature or digest length in bytes; for ciphers what a result may exceed its input
                          by */
    enum lh_cost cost;
} lh_mechanism;

const lh_mechanism *lh_mechanism_by_type(unsigned long type);
const lh_mechanism *lh_mechanism_by_name(const char *name);
/* Every row; ret_count is set. */
const lh_mechanism *lh_mechanism_table(size_t *ret_count);
/* Whether one use (a single LH_USE_ bit) of the row may be fed in parts: not where all the data would have to
 * be held until the end, as by GCM's decryption. */
bool lh_mechanism_in_parts(const lh_mechanism *row, unsigned use);
/* The most bytes that one use (a single LH_USE_ bit) of the row gives for input_len bytes in all, whatever
 * its parameter: what a PKCS#11 length query is answered with. 0 for LH_USE_VERIFY. Saturates at SIZE_MAX. */
size_t lh_mechanism_output_len(const lh_mechanism *row, unsigned use, size_t input_len);

#endif
