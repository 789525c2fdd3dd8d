/* Leased keys' kinds, and what is asked of mechanisms' rows. */
#include "p11/mechanism.h"

#include "base/macro.h"
#include "p11/curve.h"

#include <leasehold/pkcs11-3.h>
#include <string.h>

/* OBJECT IDENTIFIER 1.2.840.10045.3.1.7, prime256v1 (RFC 5480 section 2.1.1.1). */
static const uint8_t params_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
/* 1.3.132.0.34 and .35, secp384r1 and secp521r1 (ibidem). */
static const uint8_t params_p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t params_p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
/* PrintableString "edwards25519", the curveName choice of PKCS #11 3.0 section 2.3.3. */
static const uint8_t params_ed25519[] = {
    0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

static const lh_key_row key_rows[] = {
    {.kind = LH_KEY_EC_P256,
        .name = "ec-p256",
        .ck_type = CKK_EC,
        .type = LH_TYPE_EC,
        .pair = true,
        .bits = 256,
        .ec_params = params_p256,
        .ec_params_len = sizeof(params_p256)},
    {.kind = LH_KEY_EC_P384,
        .name = "ec-p384",
        .ck_type = CKK_EC,
        .type = LH_TYPE_EC,
        .pair = true,
        .bits = 384,
        .ec_params = params_p384,
        .ec_params_len = sizeof(params_p384)},
    {.kind = LH_KEY_EC_P521,
        .name = "ec-p521",
        .ck_type = CKK_EC,
        .type = LH_TYPE_EC,
        .pair = true,
        .bits = 521,
        .ec_params = params_p521,
        .ec_params_len = sizeof(params_p521)},
    {.kind = LH_KEY_ED25519,
        .name = "ed25519",
        .ck_type = CKK_EC_EDWARDS,
        .type = LH_TYPE_EDWARDS,
        .pair = true,
        .bits = 255,
        .ec_params = params_ed25519,
        .ec_params_len = sizeof(params_ed25519)},
    {.kind = LH_KEY_AES256,
        .name = "aes-256",
        .ck_type = CKK_AES,
        .type = LH_TYPE_AES,
        .bits = 256,
        .secret_len = 32},
    {.kind = LH_KEY_HMAC_SHA256,
        .name = "hmac-sha256",
        .ck_type = CKK_GENERIC_SECRET,
        .type = LH_TYPE_GENERIC,
        .bits = 256,
        .secret_len = 32},
    {.kind = LH_KEY_RSA_2048,
        .name = "rsa-2048",
        .ck_type = CKK_RSA,
        .type = LH_TYPE_RSA,
        .pair = true,
        .made = true,
        .bits = 2048},
    {.kind = LH_KEY_RSA_3072,
        .name = "rsa-3072",
        .ck_type = CKK_RSA,
        .type = LH_TYPE_RSA,
        .pair = true,
        .made = true,
        .bits = 3072},
};

/* CKK_ to bit; of an HMAC type also its digest, as the rows spell it. */
static const struct {
    unsigned long ck_type;
    uint32_t bit;
    const char *digest;
} types[] = {
    {CKK_RSA, LH_TYPE_RSA, NULL},
    {CKK_DH, LH_TYPE_DH, NULL},
    {CKK_EC, LH_TYPE_EC, NULL},
    {CKK_GENERIC_SECRET, LH_TYPE_GENERIC, NULL},
    {CKK_RC4, LH_TYPE_RC4, NULL},
    {CKK_DES3, LH_TYPE_DES3, NULL},
    {CKK_AES, LH_TYPE_AES, NULL},
    {CKK_SHA_1_HMAC, LH_TYPE_HMAC, "SHA1"},
    {CKK_SHA224_HMAC, LH_TYPE_HMAC, "SHA2-224"},
    {CKK_SHA256_HMAC, LH_TYPE_HMAC, "SHA2-256"},
    {CKK_SHA384_HMAC, LH_TYPE_HMAC, "SHA2-384"},
    {CKK_SHA512_HMAC, LH_TYPE_HMAC, "SHA2-512"},
    {CKK_SHA512_224_HMAC, LH_TYPE_HMAC, "SHA2-512/224"},
    {CKK_SHA512_256_HMAC, LH_TYPE_HMAC, "SHA2-512/256"},
    {CKK_SHA3_224_HMAC, LH_TYPE_HMAC, "SHA3-224"},
    {CKK_SHA3_256_HMAC, LH_TYPE_HMAC, "SHA3-256"},
    {CKK_SHA3_384_HMAC, LH_TYPE_HMAC, "SHA3-384"},
    {CKK_SHA3_512_HMAC, LH_TYPE_HMAC, "SHA3-512"},
    {CKK_CHACHA20, LH_TYPE_CHACHA20, NULL},
    {CKK_AES_XTS, LH_TYPE_AES_XTS, NULL},
    {CKK_EC_EDWARDS, LH_TYPE_EDWARDS, NULL},
    {CKK_EC_MONTGOMERY, LH_TYPE_MONTGOMERY, NULL},
    {CKK_HKDF, LH_TYPE_HKDF, NULL},
    {CKK_ML_KEM, LH_TYPE_ML_KEM, NULL},
    {CKK_ML_DSA, LH_TYPE_ML_DSA, NULL},
    {CKK_SLH_DSA, LH_TYPE_SLH_DSA, NULL},
};

uint32_t lh_key_type_of(unsigned long ck_type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if (types[i].ck_type == ck_type)
            return types[i].bit;
    return 0;
}

const lh_key_row *lh_key_row_by_kind(enum lh_key_kind kind)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(key_rows); i++)
        if (key_rows[i].kind == kind)
            return &key_rows[i];
    return NULL;
}

const lh_key_row *lh_key_row_by_name(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(key_rows); i++)
        if (strcmp(key_rows[i].name, name) == 0)
            return &key_rows[i];
    return NULL;
}

size_t lh_key_row_material_len(const lh_key_row *row)
{
    if (!row->pair)
        return row->secret_len;
    if (row->ck_type == CKK_RSA)
        return row->bits / 8;
    const lh_curve *curve = lh_curve_by_params(row->ck_type, LH_BYTES(row->ec_params, row->ec_params_len));
    return curve ? curve->scalar_len : 0;
}

static const lh_mechanism *search(const lh_mechanism *rows, size_t count, unsigned long type)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (rows[middle].type == type)
            return &rows[middle];
        if (rows[middle].type < type)
            low = middle + 1;
        else
            count = middle;
    }
    return NULL;
}

const lh_mechanism *lh_mechanism_by_type(unsigned long type)
{
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_asymmetric(&count);
    const lh_mechanism *row = search(rows, count, type);
    if (row)
        return row;
    rows = lh_mechanism_symmetric(&count);
    return search(rows, count, type);
}

const lh_mechanism *lh_mechanism_by_name(const char *name)
{
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

size_t lh_mechanism_count(void)
{
    size_t asymmetric = 0;
    size_t symmetric = 0;
    (void)lh_mechanism_asymmetric(&asymmetric);
    (void)lh_mechanism_symmetric(&symmetric);
    return asymmetric + symmetric;
}

const lh_mechanism *lh_mechanism_at(size_t index)
{
    size_t count = 0;
    const lh_mechanism *rows = lh_mechanism_asymmetric(&count);
    if (index < count)
        return &rows[index];
    index -= count;
    rows = lh_mechanism_symmetric(&count);
    return index < count ? &rows[index] : NULL;
}

bool lh_mechanism_fits_kind(const lh_mechanism *row, const lh_key_row *key)
{
    if (!key || row->standalone || row->legacy || (row->keys & key->type) == 0)
        return false;
    unsigned size = key->pair ? key->bits : (unsigned)key->secret_len;
    return row->min_key <= size && size <= row->max_key;
}

bool lh_mechanism_is_leased(const lh_mechanism *row)
{
    if (row->uses == LH_USE_DIGEST)
        return !row->standalone && !row->legacy;
    for (size_t i = 0; i < LH_ARRAY_LEN(key_rows); i++)
        if (lh_mechanism_fits_kind(row, &key_rows[i]))
            return true;
    return false;
}

static bool is_rsa(const lh_mechanism *row)
{
    return row->family == LH_FAMILY_RSA_PKCS1 || row->family == LH_FAMILY_RSA_PSS ||
           row->family == LH_FAMILY_RSA_OAEP || row->family == LH_FAMILY_RSA_RAW;
}

bool lh_key_kind_in_tpm(enum lh_key_kind kind)
{
    return kind == LH_KEY_EC_P256 || kind == LH_KEY_EC_P384 || kind == LH_KEY_AES256 ||
           kind == LH_KEY_HMAC_SHA256 || kind == LH_KEY_RSA_2048;
}

bool lh_mechanism_tpm_signs(const lh_mechanism *row)
{
    return row->family == LH_FAMILY_RSA_PKCS1 && row->digest &&
           (strcmp(row->digest, "SHA2-256") == 0 || strcmp(row->digest, "SHA2-384") == 0 ||
               strcmp(row->digest, "SHA2-512") == 0);
}

/* ECDSA over any digest; HMAC with the hash that the key is of; of ciphers what TPM2_EncryptDecrypt2 has; of
 * RSA everything leased. */
bool lh_mechanism_in_tpm(const lh_mechanism *row, enum lh_key_kind kind)
{
    if (!lh_key_kind_in_tpm(kind) || !lh_mechanism_fits_kind(row, lh_key_row_by_kind(kind)))
        return false;
    if (kind == LH_KEY_HMAC_SHA256)
        return row->type == CKM_SHA256_HMAC;
    if (kind == LH_KEY_AES256)
        return row->family == LH_FAMILY_CIPHER &&
               (strcmp(row->cipher, "ECB") == 0 || strcmp(row->cipher, "CBC") == 0 ||
                   strcmp(row->cipher, "CTR") == 0);
    return row->family == LH_FAMILY_ECDSA || is_rsa(row);
}

bool lh_mechanism_fits_type(const lh_mechanism *row, unsigned long ck_type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        if (types[i].ck_type != ck_type)
            continue;
        return (row->keys & types[i].bit) != 0 &&
               (!types[i].digest || !row->digest || strcmp(types[i].digest, row->digest) == 0);
    }
    return false;
}

bool lh_mechanism_in_parts(const lh_mechanism *row, unsigned use)
{
    enum { IN_PARTS = LH_USE_SIGN | LH_USE_VERIFY | LH_USE_ENCRYPT | LH_USE_DECRYPT | LH_USE_DIGEST };
    return row->multipart && (use & IN_PARTS) != 0 &&
           !(row->family == LH_FAMILY_AEAD && use == LH_USE_DECRYPT);
}

bool lh_mechanism_needs_legacy(const lh_mechanism *row, unsigned key_bits)
{
    return row->legacy || ((is_rsa(row) || row->param == LH_PARAM_RSA_AES_WRAP) && key_bits < row->min_key);
}

bool lh_mechanism_is_for_old_data(unsigned use)
{
    return (use & LH_USES_OF_OLD_DATA) != 0;
}

static size_t signature_len(const lh_mechanism *row, unsigned key_bits)
{
    if (key_bits > 0 && is_rsa(row))
        return (key_bits + 7) / 8;
    if (key_bits > 0 && row->family == LH_FAMILY_ECDSA)
        return 2 * (((size_t)key_bits + 7) / 8);
    if (key_bits > 0 && row->family == LH_FAMILY_EDDSA)
        return key_bits <= 256 ? 64 : 114;
    return row->max_output;
}

size_t lh_mechanism_output_len(const lh_mechanism *row, unsigned use, unsigned key_bits, size_t input_len)
{
    if ((row->uses & use) == 0)
        return 0;
    if (use == LH_USE_SIGN || use == LH_USE_DIGEST || use == LH_USE_SIGN_RECOVER)
        return signature_len(row, key_bits);
    if (is_rsa(row) && (use & (LH_USE_ENCRYPT | LH_USE_DECRYPT | LH_USE_VERIFY_RECOVER)) != 0)
        return signature_len(row, key_bits);
    if (use == LH_USE_DECRYPT)
        return input_len;
    if (use == LH_USE_ENCRYPT)
        return input_len > SIZE_MAX - row->max_output ? SIZE_MAX : input_len + row->max_output;
    return 0;
}
