/* Invariant: the seed and all that follows from it live in locked memory, and are wiped. */
#include "crypto/credential.h"

#include "codec/bin.h"
#include "crypto/ek_internal.h"
#include "crypto/hash.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <stdio.h>

#define LABEL "IDENTITY" /* with the NUL behind it: Part 1, B.10.4 and C.6.4 */
#define NAME_MAX_BYTES 66u
#define DIGEST_MAX_BYTES 48u
#define FIELD_MAX_BYTES 48u
#define RSA_MAX_BYTES 512u
#define AES_BLOCK 16u

LH_DEFINE_FREEP(EVP_CIPHER, EVP_CIPHER_free)

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static const char *md_of(const lh_ek *ek)
{
    return ek->sha384 ? "SHA2-384" : "SHA2-256";
}

static size_t digest_of(const lh_ek *ek)
{
    return ek->sha384 ? LH_SHA384_SIZE : LH_SHA256_SIZE;
}

/* HMAC of parts by the Name's hash, digest_of bytes. */
static lh_err hmac(lh_crypto *c, const lh_ek *ek, lh_bytes key, const lh_bytes *parts, size_t n, uint8_t *out)
{
    size_t len = 0;
    const EVP_MAC_CTX *blank = lh_crypto_hmac(c, md_of(ek));
    LH_AUTO(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = blank ? EVP_MAC_CTX_dup(blank) : NULL;
    if (!ctx || EVP_MAC_init(ctx, key.data, key.len, NULL) != 1)
        return LH_OPENSSL_FAIL("starting an HMAC");
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].data, parts[i].len) != 1)
            return LH_OPENSSL_FAIL("HMAC");
    if (EVP_MAC_final(ctx, out, &len, digest_of(ek)) != 1 || len != digest_of(ek))
        return LH_OPENSSL_FAIL("finishing an HMAC");
    return LH_SUCCESS;
}

/* KDFa (Part 1, 11.4.10.2), of which one block is always enough here: bits is at most the hash's. */
static lh_err kdf_a(
    lh_crypto *c, const lh_ek *ek, const lh_secret *seed, const char *label, lh_bytes context, lh_secret *out)
{
    uint8_t counter[4] = {0, 0, 0, 1};
    size_t bits = 8 * lh_secret_len(out);
    uint8_t length[4] = {0, 0, (uint8_t)(bits >> 8), (uint8_t)bits};
    LH_AUTO(lh_secret_freep) lh_secret *block = NULL;
    LH_TRY(lh_secret_new(digest_of(ek), &block));
    if (lh_secret_len(out) > lh_secret_len(block))
        return LH_FAIL(LH_E_INTERNAL, "a derivation of more than a block");
    const lh_bytes parts[] = {
        LH_BYTES(counter, 4), LH_BYTES(label, strlen(label) + 1), context, LH_BYTES(length, 4)};
    LH_TRY(hmac(c, ek, lh_secret_bytes(seed), parts, LH_ARRAY_LEN(parts), lh_secret_data(block)));
    memcpy(lh_secret_data(out), lh_secret_data(block), lh_secret_len(out));
    return LH_SUCCESS;
}

/* KDFe (Part 1, 11.4.10.3), one block. */
static lh_err kdf_e(
    lh_crypto *c, const lh_ek *ek, const lh_secret *z, const uint8_t *ephemeral_x, lh_secret *ret_seed)
{
    uint8_t counter[4] = {0, 0, 0, 1};
    const lh_bytes parts[] = {LH_BYTES(counter, 4), lh_secret_bytes(z), LH_BYTES(LABEL, sizeof LABEL),
        LH_BYTES(ephemeral_x, ek->field), LH_BYTES(ek->x, ek->field)};
    return ek->sha384 ? lh_sha384(c, parts, LH_ARRAY_LEN(parts), lh_secret_data(ret_seed))
                      : lh_sha256(c, parts, LH_ARRAY_LEN(parts), lh_secret_data(ret_seed));
}

static lh_err coordinate(const EVP_PKEY *pkey, const char *which, uint8_t *out, size_t size)
{
    LH_AUTO(BN_clear_freep) BIGNUM *bn = NULL;
    if (EVP_PKEY_get_bn_param(pkey, which, &bn) != 1 || BN_bn2binpad(bn, out, (int)size) != (int)size)
        return LH_OPENSSL_FAIL("an ephemeral key's point");
    return LH_SUCCESS;
}

static lh_err agree(lh_crypto *c, EVP_PKEY *own, EVP_PKEY *peer, lh_secret *z)
{
    size_t len = lh_secret_len(z);
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, own, NULL);
    if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
        EVP_PKEY_derive(ctx, lh_secret_data(z), &len) != 1 || len != lh_secret_len(z))
        return LH_OPENSSL_FAIL("ECDH");
    return LH_SUCCESS;
}

/* Part 1, C.6.4: the seed by one-pass ECDH; the ephemeral point as a TPMS_ECC_POINT. */
static lh_err share_ecc(lh_crypto *c, const lh_ek *ek, lh_secret *seed, lh_buf *out)
{
    uint8_t x[FIELD_MAX_BYTES];
    uint8_t y[FIELD_MAX_BYTES];
    LH_AUTO(lh_secret_freep) lh_secret *z = NULL;
    LH_AUTO(EVP_PKEY_freep)
    EVP_PKEY *ephemeral = EVP_PKEY_Q_keygen(c->libctx, NULL, "EC", lh_ek_group(ek->kind));
    if (!ephemeral)
        return LH_OPENSSL_FAIL("making an ephemeral key");
    LH_TRY(coordinate(ephemeral, OSSL_PKEY_PARAM_EC_PUB_X, x, ek->field));
    LH_TRY(coordinate(ephemeral, OSSL_PKEY_PARAM_EC_PUB_Y, y, ek->field));
    LH_TRY(lh_secret_new(ek->field, &z));
    LH_TRY(agree(c, ephemeral, ek->pkey, z));
    LH_TRY(kdf_e(c, ek, z, x, seed));
    lh_put_u16(out, (uint16_t)(2 * (2 + ek->field)));
    lh_put_u16(out, (uint16_t)ek->field);
    lh_put_raw(out, x, ek->field);
    lh_put_u16(out, (uint16_t)ek->field);
    lh_put_raw(out, y, ek->field);
    return lh_buf_status(out);
}

/* Part 1, B.10.4: a random seed by OAEP with the Name's hash. */
static lh_err share_rsa(lh_crypto *c, const lh_ek *ek, lh_secret *seed, lh_buf *out)
{
    uint8_t encrypted[RSA_MAX_BYTES];
    size_t len = sizeof encrypted;
    char label[] = LABEL;
    char mode[] = OSSL_PKEY_RSA_PAD_MODE_OAEP;
    char md[16];
    LH_AUTO(lh_secret_freep) lh_secret *random = NULL;
    LH_TRY(lh_secret_random(lh_secret_len(seed), &random));
    memcpy(lh_secret_data(seed), lh_secret_data(random), lh_secret_len(seed));
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, ek->pkey, NULL);
    snprintf(md, sizeof md, "%s", md_of(ek));
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, mode, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, md, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, md, 0),
        OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, label, sizeof label),
        OSSL_PARAM_construct_end(),
    };
    if (!ctx || EVP_PKEY_encrypt_init_ex(ctx, params) != 1 ||
        EVP_PKEY_encrypt(ctx, encrypted, &len, lh_secret_data(seed), lh_secret_len(seed)) != 1)
        return LH_OPENSSL_FAIL("OAEP");
    lh_put_u16(out, (uint16_t)len);
    lh_put_raw(out, encrypted, len);
    return lh_buf_status(out);
}

/* AES-CFB with an IV of zeros (Part 1, 24.4), of a TPM2B with its length. */
static lh_err encrypt(lh_crypto *c, const lh_ek *ek, const lh_secret *key, lh_bytes plain, uint8_t *out)
{
    const uint8_t iv[AES_BLOCK] = {0};
    int len = 0;
    LH_AUTO(EVP_CIPHER_freep)
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(c->libctx, ek->aes_bits == 256 ? "AES-256-CFB" : "AES-128-CFB", NULL);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!cipher || !ctx || EVP_EncryptInit_ex2(ctx, cipher, lh_secret_bytes(key).data, iv, NULL) != 1 ||
        EVP_EncryptUpdate(ctx, out, &len, plain.data, (int)plain.len) != 1 || len != (int)plain.len)
        return LH_OPENSSL_FAIL("AES-CFB");
    return LH_SUCCESS;
}

/* Part 1, 24.4 and 24.5: the secret encrypted, and an HMAC over it and the Name. */
static lh_err protect(
    lh_crypto *c, const lh_ek *ek, const lh_secret *seed, lh_bytes name, const lh_secret *secret, lh_buf *out)
{
    uint8_t encrypted[2 + LH_CREDENTIAL_SECRET_MAX];
    uint8_t mac[DIGEST_MAX_BYTES];
    size_t digest = digest_of(ek);
    size_t len = 2 + lh_secret_len(secret);
    LH_AUTO(lh_secret_freep) lh_secret *sym_key = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *mac_key = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *plain = NULL;
    LH_TRY(lh_secret_new(ek->aes_bits / 8, &sym_key));
    LH_TRY(lh_secret_new(digest, &mac_key));
    LH_TRY(lh_secret_new(len, &plain));
    lh_secret_data(plain)[1] = (uint8_t)lh_secret_len(secret);
    memcpy(lh_secret_data(plain) + 2, lh_secret_bytes(secret).data, lh_secret_len(secret));
    LH_TRY(kdf_a(c, ek, seed, "STORAGE", name, sym_key));
    LH_TRY(kdf_a(c, ek, seed, "INTEGRITY", LH_BYTES_NONE, mac_key));
    LH_TRY(encrypt(c, ek, sym_key, lh_secret_bytes(plain), encrypted));
    const lh_bytes parts[] = {LH_BYTES(encrypted, len), name};
    LH_TRY(hmac(c, ek, lh_secret_bytes(mac_key), parts, 2, mac));
    lh_put_u16(out, (uint16_t)(2 + digest + len));
    lh_put_u16(out, (uint16_t)digest);
    lh_put_raw(out, mac, digest);
    lh_put_raw(out, encrypted, len);
    return lh_buf_status(out);
}

lh_err lh_credential_make(lh_crypto *c, lh_bytes ek_public, lh_bytes ak_name, const lh_secret *secret,
    lh_buf *ret_id_object, lh_buf *ret_encrypted_secret)
{
    LH_AUTO(lh_ek_clear) lh_ek ek = {0};
    LH_AUTO(lh_secret_freep) lh_secret *seed = NULL;
    LH_AUTO(free_buf) lh_buf id_object = LH_BUF_INIT(LH_CREDENTIAL_ID_OBJECT_MAX);
    LH_AUTO(free_buf) lh_buf encrypted = LH_BUF_INIT(LH_CREDENTIAL_ENCRYPTED_MAX);
    if (lh_secret_len(secret) > LH_CREDENTIAL_SECRET_MAX || ak_name.len < 3 || ak_name.len > NAME_MAX_BYTES)
        return LH_FAIL(
            LH_E_INVALID, "a credential of %zu bytes for a Name of %zu", lh_secret_len(secret), ak_name.len);
    LH_TRY(lh_ek_read(c, ek_public, &ek));
    LH_TRY(lh_secret_new(digest_of(&ek), &seed));
    LH_TRY(lh_ek_group(ek.kind) ? share_ecc(c, &ek, seed, &encrypted) : share_rsa(c, &ek, seed, &encrypted));
    LH_TRY(protect(c, &ek, seed, ak_name, secret, &id_object));
    if (ret_id_object->max - ret_id_object->len < id_object.len ||
        ret_encrypted_secret->max - ret_encrypted_secret->len < encrypted.len)
        return LH_RAISE(LH_E_LIMIT, 0);
    lh_buf_append(ret_id_object, id_object.data, id_object.len);
    lh_buf_append(ret_encrypted_secret, encrypted.data, encrypted.len);
    LH_TRY(lh_buf_status(ret_id_object));
    return lh_buf_status(ret_encrypted_secret);
}

lh_err lh_credential_name(lh_crypto *c, lh_bytes public, uint8_t ret[34])
{
    ret[0] = 0x00; /* TPM_ALG_SHA256: Part 2, 6.3 */
    ret[1] = 0x0b;
    return lh_sha256(c, &public, 1, ret + 2);
}
