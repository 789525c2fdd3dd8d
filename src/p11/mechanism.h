/* One row per mechanism, one row per kind of leased key. Data only: mechanism lists, key checks, parameter
 * decoding, dispatch in src/crypto, policy's names and the documentation all follow from these rows. To add a
 * mechanism, add its row in mechanism_asymmetric.c or mechanism_symmetric.c, in the order of the numbers (and
 * a test of it in tests/unit/crypto). */
#ifndef LH_P11_MECHANISM_H
#define LH_P11_MECHANISM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of keys (CKK_), as bits in a row's keys. In memory only: neither on the wire nor on disk. */
enum lh_key_type {
    LH_TYPE_RSA = 1u << 0,
    LH_TYPE_EC = 1u << 1,
    LH_TYPE_EDWARDS = 1u << 2,
    LH_TYPE_MONTGOMERY = 1u << 3,
    LH_TYPE_DH = 1u << 4,
    LH_TYPE_AES = 1u << 5,
    LH_TYPE_CHACHA20 = 1u << 6,
    LH_TYPE_GENERIC = 1u << 7, /* CKK_GENERIC_SECRET */
    LH_TYPE_HMAC = 1u << 8,    /* CKK_SHA_1_HMAC, CKK_SHA256_HMAC …: rows of that digest take them too */
    LH_TYPE_HKDF = 1u << 9,
    LH_TYPE_AES_XTS = 1u << 10,
    LH_TYPE_DES3 = 1u << 11,
    LH_TYPE_RC4 = 1u << 12,
    LH_TYPE_ML_KEM = 1u << 13,
    LH_TYPE_ML_DSA = 1u << 14,
    LH_TYPE_SLH_DSA = 1u << 15,
};
/* CKK_… to its bit; 0 where there is none. */
uint32_t lh_key_type_of(unsigned long ck_type);

/* Kinds of keys that a role may have. The values are on the wire and on disk: append only. */
enum lh_key_kind {
    LH_KEY_NONE = 0,
    LH_KEY_EC_P256 = 1,
    LH_KEY_ED25519 = 2,
    LH_KEY_AES256 = 3,
    LH_KEY_HMAC_SHA256 = 4, /* a 32-byte CKK_GENERIC_SECRET */
    LH_KEY_EC_P384 = 5,
    LH_KEY_EC_P521 = 6,
    LH_KEY_RSA_2048 = 7,
    LH_KEY_RSA_3072 = 8,
    LH_KEY_KIND_COUNT
};

typedef struct {
    enum lh_key_kind kind;
    const char *name;      /* in policy: "ec-p256" */
    unsigned long ck_type; /* CKK_… */
    uint32_t type;         /* its LH_TYPE_ bit */
    bool pair;             /* has a public half */
    bool made;             /* cannot be derived from a secret: made once, and kept */
    unsigned bits;         /* as CK_MECHANISM_INFO counts them for its mechanisms: bits for EC and RSA … */
    size_t secret_len;     /* bytes of a symmetric key; 0 for pairs */
    const uint8_t *ec_params; /* DER of CKA_EC_PARAMS; NULL where none */
    size_t ec_params_len;
} lh_key_row;

/* NULL where there is none. */
const lh_key_row *lh_key_row_by_kind(enum lh_key_kind kind);
const lh_key_row *lh_key_row_by_name(const char *name);
/* Bytes of the raw secret that such a key is made from: the symmetric key, the seed, the scalar; of RSA both
 * primes, of half of the modulus' bits each. */
size_t lh_key_row_material_len(const lh_key_row *row);

/* What a mechanism can be used for: bits. */
enum {
    LH_USE_SIGN = 1,
    LH_USE_VERIFY = 2,
    LH_USE_ENCRYPT = 4,
    LH_USE_DECRYPT = 8,
    LH_USE_DIGEST = 16,
    LH_USE_GENERATE = 32,
    LH_USE_GENERATE_PAIR = 64,
    LH_USE_WRAP = 128,
    LH_USE_UNWRAP = 256,
    LH_USE_DERIVE = 512,
    LH_USE_ENCAPSULATE = 1024,
    LH_USE_DECAPSULATE = 2048,
    LH_USE_SIGN_RECOVER = 4096,
    LH_USE_VERIFY_RECOVER = 8192,
};
/* What is done with old data: the only uses of a legacy mechanism outside of development. */
#define LH_USES_OF_OLD_DATA (LH_USE_VERIFY | LH_USE_DECRYPT | LH_USE_UNWRAP | LH_USE_VERIFY_RECOVER)

/* How src/crypto carries a row out. */
enum lh_family {
    LH_FAMILY_DIGEST,
    LH_FAMILY_HMAC,
    LH_FAMILY_CMAC,
    LH_FAMILY_GMAC,
    LH_FAMILY_CIPHER, /* without authentication: ECB, CBC, CTR, XTS, stream ciphers */
    LH_FAMILY_AEAD,   /* GCM, CCM, ChaCha20-Poly1305 */
    LH_FAMILY_KEYWRAP,
    LH_FAMILY_KEYGEN, /* secret keys, from random bytes or a password */
    LH_FAMILY_DERIVE,
    LH_FAMILY_KEM,
    LH_FAMILY_PAIRGEN,   /* key pairs and domain parameters */
    LH_FAMILY_RSA_PKCS1, /* PKCS #1 v1.5: with a digest signatures, without one everything */
    LH_FAMILY_RSA_PSS,
    LH_FAMILY_RSA_OAEP,
    LH_FAMILY_RSA_RAW,
    LH_FAMILY_ECDSA,
    LH_FAMILY_EDDSA,
    LH_FAMILY_PQ_SIGN, /* ML-DSA, SLH-DSA */
};

#define LH_GCM_IV_MAX 128u /* bytes that OpenSSL takes */
/* Bytes of data, a GCM ciphertext's tag included, that an operation takes which is not fed in parts: as much
 * as one message carries (LH_WIRE_DATA_MAX). */
#define LH_MECHANISM_WHOLE_MAX 122880u
#define LH_SIGN_CONTEXT_MAX 255u /* bytes of the context of EdDSA, ML-DSA and SLH-DSA */

/* Shapes of parameters, each with its encoding on the wire: token/params.c encodes, src/crypto decodes.
 * Numbers are big-endian; a blob is u32 length ‖ bytes; CKM_, CKG_ and CKD_ numbers go as u32. */
enum lh_param {
    LH_PARAM_NONE, /* must be empty */
    LH_PARAM_IV16, /* 16 bytes */
    LH_PARAM_GCM, /* CK_GCM_PARAMS, encoded on the wire as blob iv (1..LH_GCM_IV_MAX bytes) ‖ blob aad ‖ u32
                     tag bits. CK_GCM_MESSAGE_PARAMS the same, and where the token is to make the IV, which it
                     does for encryption only, also ‖ u8 CKG_GENERATE, _COUNTER or _RANDOM ‖ u32 fixed bits:
                     iv has the length of what is made, whose first bits, so many, stay as they are; at least
                     64 are not fixed. What comes out is then iv ‖ ciphertext ‖ tag (in parts: iv first). */
    LH_PARAM_CTR, /* CK_AES_CTR_PARAMS: u32 counter bits ‖ 16 bytes */

    LH_PARAM_PSS, /* CK_RSA_PKCS_PSS_PARAMS: u32 hash (CKM_SHA256 …) ‖ u32 mgf (CKG_) ‖ u32 bytes of salt */
    LH_PARAM_OAEP, /* CK_RSA_PKCS_OAEP_PARAMS: u32 hash (CKM_) ‖ u32 mgf (CKG_) ‖ blob label (pSourceData;
                      the source is 0 with no data, or CKZ_DATA_SPECIFIED) */
    LH_PARAM_EDDSA, /* empty, or CK_EDDSA_PARAMS: u8 phFlag (0, 1) ‖ blob context (0..LH_SIGN_CONTEXT_MAX) */
    LH_PARAM_SIGN_CONTEXT,      /* empty, or CK_SIGN_ADDITIONAL_CONTEXT: u32 CKH_ hedging ‖ blob context
                                   (0..LH_SIGN_CONTEXT_MAX) */
    LH_PARAM_HASH_SIGN_CONTEXT, /* CK_HASH_SIGN_ADDITIONAL_CONTEXT: u32 CKH_ hedging ‖ blob context ‖ u32 hash
                                   (CKM_) */

    LH_PARAM_IV8,         /* 8 bytes */
    LH_PARAM_IV_OPTIONAL, /* empty, or the IV of the AES key wraps: 8 bytes, KWP 4 */
    LH_PARAM_LENGTH,      /* CK_MAC_GENERAL_PARAMS: u32 bytes of the result */
    LH_PARAM_BIT_INDEX,   /* CK_EXTRACT_PARAMS: u32 */
    LH_PARAM_BYTES,       /* as it is: GMAC's IV, DH's public value */
    LH_PARAM_STRING,      /* CK_KEY_DERIVATION_STRING_DATA: its bytes */
    LH_PARAM_KEY,         /* CK_OBJECT_HANDLE: u64 */
    LH_PARAM_CCM, /* CK_CCM_PARAMS: u64 bytes of data ‖ blob nonce ‖ blob aad ‖ u32 bytes of MAC; of messages
                     also ‖ u8 CKG_ ‖ u32 fixed bits, as in LH_PARAM_GCM */
    LH_PARAM_CHACHA20_POLY1305, /* CK_SALSA20_CHACHA20_POLY1305_PARAMS: blob nonce ‖ blob aad */
    LH_PARAM_CHACHA20,  /* CK_CHACHA20_PARAMS: u32 counter bits ‖ blob counter, as given ‖ blob nonce */
    LH_PARAM_IV16_DATA, /* CK_AES_CBC_ENCRYPT_DATA_PARAMS: 16 bytes ‖ blob data */
    LH_PARAM_ECDH, /* CK_ECDH1_DERIVE_PARAMS: u32 CKD_ ‖ blob shared data ‖ blob public point, raw or DER */
    LH_PARAM_HKDF, /* CK_HKDF_PARAMS: u8 extract ‖ u8 expand ‖ u32 hash (CKM_) ‖ u32 CKF_HKDF_SALT_… ‖ blob
                      salt ‖ u64 salt key ‖ blob info */
    LH_PARAM_SP800_108, /* CK_SP800_108_(FEEDBACK_)KDF_PARAMS: u32 prf (CKM_) ‖ u32 fields ‖ each u32
                           CK_SP800_108_… ‖ blob value (its encoding: crypto/kdf.h) ‖ blob iv
                           ‖ u32 further keys ‖ each blob of wire attributes */
    LH_PARAM_PBKD2, /* CK_PKCS5_PBKD2_PARAMS(2): u32 CKP_ prf ‖ u64 iterations ‖ blob salt ‖ blob password */
    LH_PARAM_RSA_AES_WRAP, /* CK_RSA_AES_KEY_WRAP_PARAMS: u32 AES bits ‖ then as LH_PARAM_OAEP */
};

enum lh_cost { LH_COST_FAST, LH_COST_SLOW };

typedef struct {
    unsigned long type; /* CKM_… */
    const char *name;   /* in policy and documents: "ecdsa-sha256" */
    unsigned uses;      /* LH_USE_… bits */
    uint32_t keys;      /* LH_TYPE_… bits; 0 for digests; for generation what is made */
    enum lh_family family;
    enum lh_param param;
    const char *digest; /* OpenSSL's name of the hash, or NULL */
    const char *cipher; /* OpenSSL's name of the cipher or algorithm, or NULL */
    const char *needs; /* an algorithm (OpenSSL's name) that not every libcrypto >= 3.0 has, or NULL. Where it
                          is not there the row is not offered: lh_crypto_offers (crypto/key.h) */
    bool padding;      /* the cipher pads its last block (PKCS#7) */
    bool multipart;    /* may be fed in parts; see lh_mechanism_in_parts */
    bool message;      /* also through the message-based functions of 3.0 */
    bool legacy; /* refused unless the partition's policy allows it, and then for verifying, decrypting and
                    unwrapping only */
    bool standalone;  /* only in standalone partitions: a role's policy cannot name it */
    unsigned min_key; /* as CK_MECHANISM_INFO gives them: bits for RSA, EC, DH; bytes for symmetric keys */
    unsigned max_key;
    size_t max_output; /* signature or digest length in bytes, of the longest key; for ciphers what a result
                          may exceed its input by */
    enum lh_cost cost;
} lh_mechanism;

/* NULL where there is none. By type takes a few comparisons, by name many. */
const lh_mechanism *lh_mechanism_by_type(unsigned long type);
const lh_mechanism *lh_mechanism_by_name(const char *name);
/* Every row: 0 to lh_mechanism_count() - 1; NULL beyond. */
size_t lh_mechanism_count(void);
const lh_mechanism *lh_mechanism_at(size_t index);

/* Whether the row works with leased keys of that kind: for policy, lease and leased objects. */
bool lh_mechanism_fits_kind(const lh_mechanism *row, const lh_key_row *key);
/* Whether the leased partition offers it: a digest, or for some kind of leased key. */
bool lh_mechanism_is_leased(const lh_mechanism *row);
/* Whether a TPM holds leased keys of that kind, and does the row's uses with them (roles with custody tpm).
 */
bool lh_key_kind_in_tpm(enum lh_key_kind kind);
bool lh_mechanism_in_tpm(const lh_mechanism *row, enum lh_key_kind kind);
/* Of RSA rows that a TPM does: whether it only signs, by TPM2_Sign, a hash that it knows. For the others it
 * lends its private operation, and what is around it is software. */
bool lh_mechanism_tpm_signs(const lh_mechanism *row);
/* Whether it works with keys of a CKK_ type. Of the HMAC types, only with the row's own digest. */
bool lh_mechanism_fits_type(const lh_mechanism *row, unsigned long ck_type);

/* Whether that use of a key is one of those for old data, which a partition's policy has to allow: the row is
 * legacy, or an RSA modulus of key_bits is shorter than the row's; key_bits 0: of some key. Such use, where
 * allowed, is for verifying, decrypting and unwrapping only: lh_mechanism_is_for_old_data tells whether one
 * of the uses (LH_USE_ bits) is that. */
bool lh_mechanism_needs_legacy(const lh_mechanism *row, unsigned key_bits);
bool lh_mechanism_is_for_old_data(unsigned use);

/* Whether one use (a single LH_USE_ bit) of the row may be fed in parts: not where all the data would have to
 * be held until the end, as by GCM's decryption, nor with the uses that are done at once. */
bool lh_mechanism_in_parts(const lh_mechanism *row, unsigned use);
/* The most bytes that one use (a single LH_USE_ bit) of the row gives for input_len bytes in all, whatever
 * its parameter: what a PKCS#11 length query is answered with. key_bits: the bits of an RSA modulus, of an
 * elliptic curve's field (p11/curve.h), else 0; 0 for those too, where they are not known: the longest.
 * Exact for signatures with key_bits, and for digests. 0 for LH_USE_VERIFY. Saturates at SIZE_MAX. */
size_t lh_mechanism_output_len(const lh_mechanism *row, unsigned use, unsigned key_bits, size_t input_len);

/* For mechanism.c: the rows of a file, in ascending order of type. */
const lh_mechanism *lh_mechanism_asymmetric(size_t *ret_count);
const lh_mechanism *lh_mechanism_symmetric(size_t *ret_count);

#endif
