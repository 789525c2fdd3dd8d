/* What a host's attestation key says of its storage key and of its time. */
#include "custody/package.h"

#include "codec/bin.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "crypto/sign.h"

/* Part 2, 6.9 (TPM_ST). */
#define ST_ATTEST_CERTIFY 0x8017u
#define ST_ATTEST_TIME 0x8019u
#define NAME_SIZE 34u
#define NAME_MAX 66u

/* The reasons of one kind of statement. */
typedef struct {
    uint16_t type;
    const char *malformed, *signature, *wrong_type, *nonce;
} kind;

static const kind kind_storage = {ST_ATTEST_CERTIFY, "storage-key-malformed", "storage-key-signature",
    "storage-key-type", "storage-key-nonce"};
static const kind kind_time = {ST_ATTEST_TIME, "time-malformed", "time-signature", "time-type", "time-nonce"};

#define REFUSE(reason, ...) LH_REFUSE(LH_E_ATTESTATION, (reason), __VA_ARGS__)

static lh_err verify(lh_crypto *c, const lh_tpms_public *ak, const lh_tpms_signature *s, lh_bytes attest)
{
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, &attest, 1, digest));
    if (s->scheme != ak->scheme || s->hash != ak->scheme_hash || s->hash != LH_TPMS_ALG_SHA256)
        return LH_FAIL(LH_E_SIGNATURE, "another scheme than the attestation key's");
    if (ak->type == LH_TPMS_ALG_ECC) {
        uint8_t point[LH_P256_POINT_SIZE], raw[LH_P256_SIGNATURE_SIZE];
        LH_TRY(lh_p256_point(ak->x, ak->y, point));
        LH_TRY(lh_p256_signature(s->r, s->s, raw));
        return lh_p256_verify(c, point, LH_BYTES(digest, sizeof(digest)), raw);
    }
    const lh_rsa_public key = {ak->modulus, ak->exponent};
    return lh_rsa_verify(c, &key, ak->scheme == LH_TPMS_ALG_RSAPSS ? LH_RSA_PSS : LH_RSA_PKCS1,
        LH_BYTES(digest, sizeof(digest)), s->rsa);
}

/* Signed by the attestation key, of that kind, for that nonce. */
static lh_err check(lh_crypto *c, const kind *k, const lh_custody_statement *statement, lh_tpms_attest *ret)
{
    lh_tpms_public ak;
    LH_TRY(lh_tpms_public_parse(statement->ak_public, &ak)); /* enrolled: a fault where it does not parse */
    lh_tpms_signature signature;
    lh_tpms_attest attest;
    if (!lh_ok(lh_tpms_attest_parse(statement->attest, &attest)) ||
        !lh_ok(lh_tpms_signature_parse(statement->signature, &signature)))
        return REFUSE(k->malformed, "the statement, or its signature, is malformed");
    lh_err err = verify(c, &ak, &signature, statement->attest);
    if (err.code == LH_E_SIGNATURE || err.code == LH_E_INVALID)
        return REFUSE(k->signature, "the statement is not signed by the host's attestation key");
    LH_TRY(err);
    if (attest.magic != LH_TPMS_GENERATED || attest.type != k->type)
        return REFUSE(
            k->wrong_type, "a statement of type 0x%04x, where 0x%04x was asked for", attest.type, k->type);
    if (!lh_bytes_equal(attest.extra_data, LH_BYTES(statement->nonce, 32)))
        return REFUSE(k->nonce, "the statement is not for the nonce that was asked with");
    *ret = attest;
    return LH_SUCCESS;
}

static lh_bytes read_name(lh_reader *r)
{
    const size_t size = lh_read_u16(r);
    if (size > NAME_MAX) {
        r->bad = true;
        return LH_BYTES_NONE;
    }
    return lh_read_raw(r, size);
}

static lh_err check_parent(const lh_tpms_public *parent)
{
    const uint32_t need = LH_TPMS_ATTR_FIXED_TPM | LH_TPMS_ATTR_FIXED_PARENT | LH_TPMS_ATTR_SENSITIVE_ORIGIN |
                          LH_TPMS_ATTR_RESTRICTED | LH_TPMS_ATTR_DECRYPT;
    if ((parent->attributes & need) != need || (parent->attributes & LH_TPMS_ATTR_SIGN))
        return REFUSE("storage-key-attributes",
            "the key's attributes 0x%08x are not those of a storage key made in its TPM and fixed to it",
            parent->attributes);
    if (parent->type != LH_TPMS_ALG_ECC || parent->curve != LH_TPMS_CURVE_P256 ||
        parent->name_alg != LH_TPMS_ALG_SHA256 || parent->symmetric != LH_TPMS_ALG_AES)
        return REFUSE("storage-key-algorithm", "the storage key is not one of P-256, SHA-256 and AES");
    return LH_SUCCESS;
}

/* TPMT_SYM_DEF_OBJECT follows type, nameAlg, attributes and the policy: AES, 128 bits, CFB. */
static bool is_aes_128_cfb(lh_bytes storage_public, const lh_tpms_public *parent)
{
    static const uint8_t want[] = {0x00, 0x06, 0x00, 0x80, 0x00, 0x43};
    const size_t at = 2 + 2 + 4 + 2 + parent->policy.len;
    return storage_public.len >= at + sizeof(want) &&
           memcmp(storage_public.data + at, want, sizeof(want)) == 0;
}

lh_err lh_custody_check_storage(lh_crypto *c, lh_bytes storage_public, const lh_custody_statement *statement)
{
    lh_tpms_attest attest;
    LH_TRY(check(c, &kind_storage, statement, &attest));
    lh_tpms_public parent;
    if (!lh_ok(lh_tpms_public_parse(storage_public, &parent)))
        return REFUSE("storage-key-malformed", "the storage key's public area is malformed");
    /* TPMS_CERTIFY_INFO (Part 2, 10.12.3): Name, qualified Name. */
    lh_reader r = lh_reader_new(attest.attested);
    lh_bytes certified = read_name(&r);
    (void)read_name(&r);
    if (!lh_ok(lh_read_done(&r, "TPMS_CERTIFY_INFO")))
        return REFUSE("storage-key-malformed", "the statement is malformed");
    uint8_t name[NAME_SIZE] = {LH_TPMS_ALG_SHA256 >> 8, LH_TPMS_ALG_SHA256 & 0xff};
    LH_TRY(lh_sha256(c, &storage_public, 1, name + 2));
    if (!lh_bytes_equal(certified, LH_BYTES(name, sizeof(name))))
        return REFUSE("storage-key-certify", "another object than that key is certified");
    LH_TRY(check_parent(&parent));
    if (!is_aes_128_cfb(storage_public, &parent))
        return REFUSE("storage-key-algorithm", "the storage key's cipher is not AES-128 in CFB mode");
    return LH_SUCCESS;
}

lh_err lh_custody_check_time(lh_crypto *c, const lh_custody_statement *statement, lh_custody_time *ret)
{
    lh_tpms_attest attest;
    LH_TRY(check(c, &kind_time, statement, &attest));
    /* TPMS_TIME_ATTEST_INFO (Part 2, 10.12.7): time, clock information, firmware. */
    lh_reader r = lh_reader_new(attest.attested);
    lh_custody_time time = {.time_ms = lh_read_u64(&r)};
    (void)lh_read_u64(&r); /* clock */
    time.reset_count = lh_read_u32(&r);
    time.restart_count = lh_read_u32(&r);
    (void)lh_read_u8(&r); /* safe */
    time.firmware = lh_read_u64(&r);
    if (!lh_ok(lh_read_done(&r, "TPMS_TIME_ATTEST_INFO")))
        return REFUSE(kind_time.malformed, "the statement is malformed");
    *ret = time;
    return LH_SUCCESS;
}
