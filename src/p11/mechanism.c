/* The rows. Numbers and names of PKCS#11 only; src/crypto carries them out. Sources: PKCS #11 Current
 * Mechanisms Specification 2.40 and 3.0; for what CK_MECHANISM_INFO counts, each mechanism's own section. */
#include "p11/mechanism.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>
#include <string.h>

/* OBJECT IDENTIFIER 1.2.840.10045.3.1.7, prime256v1 (RFC 5480 section 2.1.1.1). */
static const uint8_t params_p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
/* PrintableString "edwards25519", the curveName choice of PKCS #11 3.0 section 2.3.3. */
static const uint8_t params_ed25519[] = {
    0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

static const lh_key_row key_rows[] = {
    {.kind = LH_KEY_EC_P256,
        .name = "ec-p256",
        .ck_type = CKK_EC,
        .pair = true,
        .bits = 256,
        .ec_params = params_p256,
        .ec_params_len = sizeof(params_p256)},
    {.kind = LH_KEY_ED25519,
        .name = "ed25519",
        .ck_type = CKK_EC_EDWARDS,
        .pair = true,
        .bits = 255,
        .ec_params = params_ed25519,
        .ec_params_len = sizeof(params_ed25519)},
    {.kind = LH_KEY_AES256, .name = "aes-256", .ck_type = CKK_AES, .bits = 256, .secret_len = 32},
    {.kind = LH_KEY_HMAC_SHA256,
        .name = "hmac-sha256",
        .ck_type = CKK_GENERIC_SECRET,
        .bits = 256,
        .secret_len = 32},
};

enum { SIGN_VERIFY = LH_USE_SIGN | LH_USE_VERIFY, ENCRYPT_DECRYPT = LH_USE_ENCRYPT | LH_USE_DECRYPT };

/* min_key and max_key: bits of the curve's field for EC, bytes for symmetric keys, 0 for digests. */
static const lh_mechanism mechanism_rows[] = {
    {.type = CKM_ECDSA,
        .name = "ecdsa",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_EC_P256,
        .min_key = 256,
        .max_key = 256,
        .max_output = 64},
    {.type = CKM_ECDSA_SHA256,
        .name = "ecdsa-sha256",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_EC_P256,
        .digest = "SHA2-256",
        .multipart = true,
        .min_key = 256,
        .max_key = 256,
        .max_output = 64},
    {.type = CKM_ECDSA_SHA384,
        .name = "ecdsa-sha384",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_EC_P256,
        .digest = "SHA2-384",
        .multipart = true,
        .min_key = 256,
        .max_key = 256,
        .max_output = 64},
    {.type = CKM_ECDSA_SHA512,
        .name = "ecdsa-sha512",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_EC_P256,
        .digest = "SHA2-512",
        .multipart = true,
        .min_key = 256,
        .max_key = 256,
        .max_output = 64},
    {.type = CKM_EDDSA,
        .name = "eddsa",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_ED25519,
        .min_key = 255,
        .max_key = 255,
        .max_output = 64},
    {.type = CKM_AES_ECB,
        .name = "aes-ecb",
        .uses = ENCRYPT_DECRYPT,
        .key = LH_KEY_AES256,
        .cipher = "AES-256-ECB",
        .multipart = true,
        .min_key = 32,
        .max_key = 32},
    {.type = CKM_AES_CBC,
        .name = "aes-cbc",
        .uses = ENCRYPT_DECRYPT,
        .key = LH_KEY_AES256,
        .param = LH_PARAM_IV16,
        .cipher = "AES-256-CBC",
        .multipart = true,
        .min_key = 32,
        .max_key = 32},
    {.type = CKM_AES_CBC_PAD,
        .name = "aes-cbc-pad",
        .uses = ENCRYPT_DECRYPT,
        .key = LH_KEY_AES256,
        .param = LH_PARAM_IV16,
        .cipher = "AES-256-CBC",
        .padding = true,
        .multipart = true,
        .min_key = 32,
        .max_key = 32,
        .max_output = 16},
    {.type = CKM_AES_CTR,
        .name = "aes-ctr",
        .uses = ENCRYPT_DECRYPT,
        .key = LH_KEY_AES256,
        .param = LH_PARAM_CTR,
        .cipher = "AES-256-CTR",
        .multipart = true,
        .min_key = 32,
        .max_key = 32},
    {.type = CKM_AES_GCM,
        .name = "aes-gcm",
        .uses = ENCRYPT_DECRYPT,
        .key = LH_KEY_AES256,
        .param = LH_PARAM_GCM,
        .cipher = "AES-256-GCM",
        .multipart = true,
        .min_key = 32,
        .max_key = 32,
        .max_output = 16},
    {.type = CKM_SHA256_HMAC,
        .name = "hmac-sha256",
        .uses = SIGN_VERIFY,
        .key = LH_KEY_HMAC_SHA256,
        .digest = "SHA2-256",
        .multipart = true,
        .min_key = 32,
        .max_key = 32,
        .max_output = 32},
    {.type = CKM_SHA_1,
        .name = "sha1",
        .uses = LH_USE_DIGEST,
        .digest = "SHA1",
        .multipart = true,
        .max_output = 20},
    {.type = CKM_SHA256,
        .name = "sha256",
        .uses = LH_USE_DIGEST,
        .digest = "SHA2-256",
        .multipart = true,
        .max_output = 32},
    {.type = CKM_SHA384,
        .name = "sha384",
        .uses = LH_USE_DIGEST,
        .digest = "SHA2-384",
        .multipart = true,
        .max_output = 48},
    {.type = CKM_SHA512,
        .name = "sha512",
        .uses = LH_USE_DIGEST,
        .digest = "SHA2-512",
        .multipart = true,
        .max_output = 64},
};

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

const lh_mechanism *lh_mechanism_by_type(unsigned long type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(mechanism_rows); i++)
        if (mechanism_rows[i].type == type)
            return &mechanism_rows[i];
    return NULL;
}

const lh_mechanism *lh_mechanism_by_name(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(mechanism_rows); i++)
        if (strcmp(mechanism_rows[i].name, name) == 0)
            return &mechanism_rows[i];
    return NULL;
}

const lh_mechanism *lh_mechanism_table(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(mechanism_rows);
    return mechanism_rows;
}

bool lh_mechanism_in_parts(const lh_mechanism *row, unsigned use)
{
    return row->multipart && !(row->param == LH_PARAM_GCM && use == LH_USE_DECRYPT);
}

size_t lh_mechanism_output_len(const lh_mechanism *row, unsigned use, size_t input_len)
{
    if ((row->uses & use) == 0)
        return 0;
    if (use == LH_USE_SIGN || use == LH_USE_DIGEST)
        return row->max_output;
    if (use == LH_USE_DECRYPT)
        return input_len;
    if (use == LH_USE_ENCRYPT)
        return input_len > SIZE_MAX - row->max_output ? SIZE_MAX : input_len + row->max_output;
    return 0;
}
