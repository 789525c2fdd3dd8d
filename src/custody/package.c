/* What a host's TPM imports, and the policy under which it uses it.
 *
 * Invariants:
 *  1. A policyRef of an approval is a lease id; that of a write of the counting index is another
 *     (pin_ref): neither signature serves for the other.
 *  2. The approver signs a write of the counting index only bound to a nonceTPM and to its parameters. */
#include "custody/package.h"

#include "codec/bin.h"
#include "codec/tpms.h"
#include "crypto/derive.h"
#include "crypto/duplicate.h"
#include "crypto/hash.h"
#include "crypto/operation.h"

#include <leasehold/pkcs11-3.h>

/* Part 2, 6.3 (TPM_ALG_ID), 6.4 (TPM_ECC_CURVE), 6.5.2 (TPM_CC). */
#define ALG_HMAC 0x0005u
#define ALG_KEYEDHASH 0x0008u
#define ALG_SYMCIPHER 0x0025u
#define CURVE_P384 0x0004u
#define CC_NV_WRITE 0x00000137u
#define CC_POLICY_SECRET 0x00000151u
#define CC_POLICY_SIGNED 0x00000160u
#define CC_POLICY_COUNTER_TIMER 0x0000016du
#define CC_POLICY_PCR 0x0000017fu
/* Part 2, 8.3 (TPMA_OBJECT), 6.8 (TPM_EO). */
#define ATTR_USER_WITH_AUTH 0x00000040u
#define ATTR_ADMIN_WITH_POLICY 0x00000080u
#define ATTR_NO_DA 0x00000400u
#define EO_EQ 0x0000u
#define TIME_INFO_COUNTS 16u /* offset of resetCount ‖ restartCount in TPMS_TIME_INFO (Part 2, 10.11.6) */
/* Part 2, 13.4 (TPMA_NV): TPM_NT_PIN_PASS, POLICYWRITE, AUTHREAD, NO_DA; and WRITTEN. */
#define NV_PIN_PASS 0x02040098u
#define NV_WRITTEN 0x20000000u
#define NV_PIN_SIZE 8u
#define NAME_SIZE 34u

struct lh_approver {
    lh_key *key;
    size_t public_len;
    uint8_t public_area[128];
    uint8_t name[NAME_SIZE];
};

static void put_tpm2b(lh_buf *out, lh_bytes bytes)
{
    lh_put_u16(out, (uint16_t)bytes.len);
    lh_put_raw(out, bytes.data, bytes.len);
}

static lh_err name_of(lh_crypto *c, lh_bytes public_area, uint8_t ret[NAME_SIZE])
{
    ret[0] = LH_TPMS_ALG_SHA256 >> 8;
    ret[1] = LH_TPMS_ALG_SHA256 & 0xff;
    return lh_sha256(c, &public_area, 1, ret + 2);
}

/* --- the approver -----------------------------------------------------------------------------------------
 */

static void put_approver_public(const uint8_t point[65], lh_buf *out)
{
    lh_put_u16(out, LH_TPMS_ALG_ECC);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u32(out, LH_TPMS_ATTR_SIGN | ATTR_USER_WITH_AUTH);
    put_tpm2b(out, LH_BYTES_NONE);
    lh_put_u16(out, LH_TPMS_ALG_NULL); /* symmetric */
    lh_put_u16(out, LH_TPMS_ALG_ECDSA);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u16(out, LH_TPMS_CURVE_P256);
    lh_put_u16(out, LH_TPMS_ALG_NULL); /* kdf */
    put_tpm2b(out, LH_BYTES(point + 1, 32));
    put_tpm2b(out, LH_BYTES(point + 33, 32));
}

lh_err lh_approver_new(lh_crypto *c, const lh_secret *root, lh_approver **ret)
{
    LH_AUTO(lh_approver_freep) lh_approver *a = calloc(1, sizeof(*a));
    if (!a)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_AUTO(lh_secret_freep) lh_secret *parent = NULL;
    const lh_bytes label = LH_BYTES_STR("leasehold-approval-p256-v1");
    LH_TRY(lh_hkdf_sha256_secret(c, lh_secret_bytes(root), LH_BYTES_NONE, label, 32, &parent));
    LH_TRY(lh_key_derive(c, parent, label, LH_KEY_EC_P256, &a->key));
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(65);
    LH_TRY(lh_key_public_point(a->key, &point));
    LH_AUTO(lh_buf_free) lh_buf public_area = LH_BUF_INIT(sizeof(a->public_area));
    put_approver_public(point.data, &public_area);
    LH_TRY(lh_buf_status(&public_area));
    memcpy(a->public_area, public_area.data, public_area.len);
    a->public_len = public_area.len;
    LH_TRY(name_of(c, lh_buf_bytes(&public_area), a->name));
    *ret = LH_TAKE(a);
    return LH_SUCCESS;
}

void lh_approver_free(lh_approver *approver)
{
    if (!approver)
        return;
    lh_key_free(approver->key);
    free(approver);
}

lh_bytes lh_approver_public(const lh_approver *approver)
{
    return LH_BYTES(approver->public_area, approver->public_len);
}

lh_bytes lh_approver_name(const lh_approver *approver)
{
    return LH_BYTES(approver->name, NAME_SIZE);
}

/* --- policies ---------------------------------------------------------------------------------------------
 */

/* digest = H(digest ‖ command ‖ a ‖ b). */
static lh_err extend(lh_crypto *c, uint8_t digest[32], uint32_t command, lh_bytes a, lh_bytes b)
{
    const uint8_t code[4] = {
        (uint8_t)(command >> 24), (uint8_t)(command >> 16), (uint8_t)(command >> 8), (uint8_t)command};
    const lh_bytes parts[] = {LH_BYTES(digest, 32), LH_BYTES(code, 4), a, b};
    uint8_t out[32];
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), out));
    memcpy(digest, out, 32);
    return LH_SUCCESS;
}

/* PolicyUpdate (Part 3, 23.2.3): the authority's Name, then its policyRef. */
static lh_err extend_authority(
    lh_crypto *c, uint8_t digest[32], uint32_t command, lh_bytes name, lh_bytes ref)
{
    LH_TRY(extend(c, digest, command, name, LH_BYTES_NONE));
    const lh_bytes parts[] = {LH_BYTES(digest, 32), ref};
    uint8_t out[32];
    LH_TRY(lh_sha256(c, parts, 2, out));
    memcpy(digest, out, 32);
    return LH_SUCCESS;
}

static lh_err extend_pcrs(lh_crypto *c, uint8_t digest[32], const lh_custody_terms *terms)
{
    lh_bytes values[LH_CUSTODY_PCRS];
    size_t n = 0;
    for (unsigned i = 0; i < LH_CUSTODY_PCRS; i++)
        if (terms->pcr_mask >> i & 1u)
            values[n++] = LH_BYTES(terms->pcrs[i], 32);
    uint8_t pcr_digest[32];
    LH_TRY(lh_sha256(c, values, n, pcr_digest));
    const uint8_t selection[] = {0, 0, 0, 1, LH_TPMS_ALG_SHA256 >> 8, LH_TPMS_ALG_SHA256 & 0xff, 3,
        (uint8_t)terms->pcr_mask, (uint8_t)(terms->pcr_mask >> 8), (uint8_t)(terms->pcr_mask >> 16)};
    return extend(c, digest, CC_POLICY_PCR, LH_BYTES(selection, sizeof(selection)), LH_BYTES(pcr_digest, 32));
}

static lh_err extend_counts(lh_crypto *c, uint8_t digest[32], const lh_custody_terms *terms)
{
    LH_AUTO(lh_buf_free) lh_buf args = LH_BUF_INIT(16);
    lh_put_u32(&args, terms->reset_count);
    lh_put_u32(&args, terms->restart_count);
    lh_put_u16(&args, TIME_INFO_COUNTS);
    lh_put_u16(&args, EO_EQ);
    LH_TRY(lh_buf_status(&args));
    uint8_t hash[32];
    const lh_bytes part = lh_buf_bytes(&args);
    LH_TRY(lh_sha256(c, &part, 1, hash));
    return extend(c, digest, CC_POLICY_COUNTER_TIMER, LH_BYTES(hash, 32), LH_BYTES_NONE);
}

lh_err lh_custody_policy(
    lh_crypto *c, const lh_approver *approver, const lh_custody_terms *terms, uint8_t ret[32])
{
    const uint32_t all = (1u << LH_CUSTODY_PCRS) - 1;
    if (terms->pcr_mask == 0 || (terms->pcr_mask & (LH_CUSTODY_PCRS_LOOSE | ~all)) != 0)
        return LH_REFUSE(LH_E_INVALID, "custody-pcrs",
            "PCR mask 0x%06x binds a key to nothing: PCRs that cannot be reset are needed", terms->pcr_mask);
    uint8_t digest[32] = {0};
    LH_TRY(extend_pcrs(c, digest, terms));
    LH_TRY(extend_counts(c, digest, terms));
    LH_TRY(extend_authority(
        c, digest, CC_POLICY_SIGNED, lh_approver_name(approver), LH_BYTES(terms->lease, LH_CUSTODY_REF)));
    if (terms->pin_index != 0) {
        uint8_t pin_policy[32], name[NAME_SIZE];
        LH_TRY(lh_custody_pin_policy(c, approver, terms->lease, pin_policy));
        LH_TRY(lh_custody_pin_name(c, terms->pin_index, pin_policy, true, name));
        LH_TRY(extend_authority(c, digest, CC_POLICY_SECRET, LH_BYTES(name, NAME_SIZE), LH_BYTES_NONE));
    }
    memcpy(ret, digest, 32);
    return LH_SUCCESS;
}

static void pin_ref(const uint8_t lease[LH_CUSTODY_REF], uint8_t ret[LH_CUSTODY_PIN_REF])
{
    memcpy(ret, lease, LH_CUSTODY_REF);
    memcpy(ret + LH_CUSTODY_REF, "pin", 3);
}

lh_err lh_custody_pin_policy(
    lh_crypto *c, const lh_approver *approver, const uint8_t lease[LH_CUSTODY_REF], uint8_t ret[32])
{
    uint8_t ref[LH_CUSTODY_PIN_REF], digest[32] = {0};
    pin_ref(lease, ref);
    LH_TRY(extend_authority(
        c, digest, CC_POLICY_SIGNED, lh_approver_name(approver), LH_BYTES(ref, sizeof(ref))));
    memcpy(ret, digest, 32);
    return LH_SUCCESS;
}

lh_err lh_custody_pin_name(
    lh_crypto *c, uint32_t index, const uint8_t policy[32], bool written, uint8_t ret[NAME_SIZE])
{
    LH_AUTO(lh_buf_free) lh_buf public_area = LH_BUF_INIT(64);
    lh_put_u32(&public_area, index);
    lh_put_u16(&public_area, LH_TPMS_ALG_SHA256);
    lh_put_u32(&public_area, NV_PIN_PASS | (written ? NV_WRITTEN : 0));
    put_tpm2b(&public_area, LH_BYTES(policy, 32));
    lh_put_u16(&public_area, NV_PIN_SIZE);
    LH_TRY(lh_buf_status(&public_area));
    return name_of(c, lh_buf_bytes(&public_area), ret);
}

/* --- the key ----------------------------------------------------------------------------------------------
 */

/* The parts that make up a TPM's public and sensitive areas. */
typedef struct {
    lh_secret *secret; /* scalar, prime, or the key itself */
    lh_buf modulus;
} parts;

static void parts_deinit(parts *p)
{
    lh_secret_free(p->secret);
    lh_buf_free(&p->modulus);
}

static lh_err take_part(void *arg, unsigned long type, lh_bytes value, bool secret)
{
    parts *p = arg;
    (void)secret;
    if (type == CKA_MODULUS) {
        lh_buf_append(&p->modulus, value.data, value.len);
        return lh_buf_status(&p->modulus);
    }
    bool rsa = p->modulus.max > 0;
    if (type == (rsa ? CKA_PRIME_1 : CKA_VALUE) && !p->secret)
        return lh_secret_copy(value, &p->secret);
    return LH_SUCCESS;
}

static lh_err refuse_key(void)
{
    return LH_REFUSE(LH_E_UNSUPPORTED, "custody-key",
        "a TPM holds keys of EC P-256 and P-384, RSA-2048, AES-128 and AES-256, and HMAC-SHA-256 only");
}

/* Of symmetric keys: unique = H(seed ‖ key) (Part 1, 27.5.3.3). */
static lh_err put_unique(lh_crypto *c, const lh_secret *seed, const lh_secret *key, lh_buf *out)
{
    const lh_bytes hashed[] = {lh_secret_bytes(seed), lh_secret_bytes(key)};
    uint8_t unique[32];
    LH_TRY(lh_sha256(c, hashed, 2, unique));
    put_tpm2b(out, LH_BYTES(unique, 32));
    return LH_SUCCESS;
}

typedef struct {
    uint16_t type;
    uint32_t attributes;
    const uint8_t *policy;
    const lh_secret *seed;
} shape;

static void put_begin(const shape *s, lh_buf *out)
{
    lh_put_u16(out, s->type);
    lh_put_u16(out, LH_TPMS_ALG_SHA256);
    lh_put_u32(out, s->attributes);
    put_tpm2b(out, LH_BYTES(s->policy, 32));
}

static lh_err put_ec(const lh_key *key, lh_buf *out)
{
    const size_t size = lh_key_bits(key) / 8;
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    LH_TRY(lh_key_public_point(key, &point));
    if (point.len != 1 + 2 * size)
        return refuse_key();
    lh_put_u16(out, LH_TPMS_ALG_NULL); /* symmetric */
    lh_put_u16(out, LH_TPMS_ALG_NULL); /* scheme: said at each use */
    lh_put_u16(out, size == 32 ? LH_TPMS_CURVE_P256 : CURVE_P384);
    lh_put_u16(out, LH_TPMS_ALG_NULL); /* kdf */
    put_tpm2b(out, LH_BYTES(point.data + 1, size));
    put_tpm2b(out, LH_BYTES(point.data + 1 + size, size));
    return LH_SUCCESS;
}

static lh_err put_public(lh_crypto *c, const lh_key *key, const parts *p, const shape *s, lh_buf *out)
{
    put_begin(s, out);
    if (s->type == LH_TPMS_ALG_ECC) {
        LH_TRY(put_ec(key, out));
    } else if (s->type == LH_TPMS_ALG_RSA) {
        lh_put_u16(out, LH_TPMS_ALG_NULL); /* symmetric */
        lh_put_u16(out, LH_TPMS_ALG_NULL); /* scheme */
        lh_put_u16(out, 2048);
        lh_put_u32(out, 0); /* 65537 */
        put_tpm2b(out, lh_buf_bytes(&p->modulus));
    } else if (s->type == ALG_SYMCIPHER) {
        lh_put_u16(out, LH_TPMS_ALG_AES);
        lh_put_u16(out, (uint16_t)(lh_secret_len(p->secret) * 8));
        lh_put_u16(out, LH_TPMS_ALG_NULL); /* mode: said at each use */
        LH_TRY(put_unique(c, s->seed, p->secret, out));
    } else {
        lh_put_u16(out, ALG_HMAC);
        lh_put_u16(out, LH_TPMS_ALG_SHA256);
        LH_TRY(put_unique(c, s->seed, p->secret, out));
    }
    return lh_buf_status(out);
}

/* TPM2B_SENSITIVE: without an authorization value. */
static lh_err make_sensitive(const shape *s, const lh_secret *secret, lh_secret **ret)
{
    const size_t seed_len = s->seed ? lh_secret_len(s->seed) : 0;
    const size_t len = 2 + 2 + 2 + seed_len + 2 + lh_secret_len(secret);
    LH_AUTO(lh_secret_freep) lh_secret *out = NULL;
    LH_TRY(lh_secret_new(2 + len, &out));
    uint8_t *at = lh_secret_data(out);
    const uint16_t head[] = {(uint16_t)len, s->type, 0, (uint16_t)seed_len};
    for (size_t i = 0; i < LH_ARRAY_LEN(head); i++) {
        *at++ = (uint8_t)(head[i] >> 8);
        *at++ = (uint8_t)head[i];
    }
    if (seed_len > 0)
        memcpy(at, lh_secret_bytes(s->seed).data, seed_len);
    at += seed_len;
    *at++ = (uint8_t)(lh_secret_len(secret) >> 8);
    *at++ = (uint8_t)lh_secret_len(secret);
    memcpy(at, lh_secret_bytes(secret).data, lh_secret_len(secret));
    *ret = LH_TAKE(out);
    return LH_SUCCESS;
}

/* Which object the key becomes; its secret parts are taken out. */
static lh_err classify(const lh_custody_request *r, parts *p, shape *s)
{
    const unsigned bits = lh_key_bits(r->key);
    const unsigned long type = lh_key_ck_type(r->key);
    uint32_t uses = LH_TPMS_ATTR_SIGN;
    if (type == CKK_EC && (bits == 256 || bits == 384)) {
        s->type = LH_TPMS_ALG_ECC;
    } else if (type == CKK_RSA && bits == 2048) {
        s->type = LH_TPMS_ALG_RSA;
        p->modulus.max = 256;
        uses = (r->signs ? LH_TPMS_ATTR_SIGN : 0) | (r->decrypts ? LH_TPMS_ATTR_DECRYPT : 0);
    } else if (type == CKK_AES && (bits == 128 || bits == 256)) {
        s->type = ALG_SYMCIPHER;
        uses = LH_TPMS_ATTR_SIGN | LH_TPMS_ATTR_DECRYPT; /* sign is encrypt */
    } else if (type == CKK_GENERIC_SECRET && bits == 256) {
        s->type = ALG_KEYEDHASH;
    } else {
        return refuse_key();
    }
    s->attributes = ATTR_ADMIN_WITH_POLICY | ATTR_NO_DA | uses;
    const bool pair = type == CKK_EC || type == CKK_RSA;
    LH_TRY(lh_key_export(r->key, pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY, take_part, p));
    if (!p->secret || uses == 0 || (type == CKK_RSA && p->modulus.len != 256))
        return refuse_key();
    return LH_SUCCESS;
}

static lh_err storage_point(lh_bytes storage_public, uint8_t ret[65])
{
    lh_tpms_public parent;
    LH_TRY(lh_tpms_public_parse(storage_public, &parent));
    if (parent.type != LH_TPMS_ALG_ECC || parent.x.len > 32 || parent.y.len > 32)
        return LH_FAIL(LH_E_INVALID, "the storage key is not one of P-256");
    memset(ret, 0, 65);
    ret[0] = 0x04;
    memcpy(ret + 33 - parent.x.len, parent.x.data, parent.x.len);
    memcpy(ret + 65 - parent.y.len, parent.y.data, parent.y.len);
    return LH_SUCCESS;
}

static lh_err pack(lh_crypto *c, const lh_custody_request *request, lh_custody_package *ret)
{
    LH_AUTO(parts_deinit) parts p = {0};
    LH_AUTO(lh_secret_freep) lh_secret *seed = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *sensitive = NULL;
    uint8_t policy[32], parent[65], name[NAME_SIZE];
    shape s = {.policy = policy};
    LH_TRY(lh_custody_policy(c, request->approver, request->terms, policy));
    LH_TRY(storage_point(request->storage_public, parent));
    LH_TRY(classify(request, &p, &s));
    if (s.type == ALG_SYMCIPHER || s.type == ALG_KEYEDHASH) {
        LH_TRY(lh_secret_random(32, &seed));
        s.seed = seed;
    }
    LH_TRY(put_public(c, request->key, &p, &s, &ret->public_area));
    LH_TRY(name_of(c, lh_buf_bytes(&ret->public_area), name));
    LH_TRY(make_sensitive(&s, p.secret, &sensitive));
    return lh_duplicate_wrap(c, parent, LH_BYTES(name, NAME_SIZE), sensitive, &ret->duplicate, &ret->seed);
}

lh_err lh_custody_pack(lh_crypto *c, const lh_custody_request *request, lh_custody_package *ret)
{
    lh_buf_clear(&ret->public_area);
    lh_buf_clear(&ret->duplicate);
    lh_buf_clear(&ret->seed);
    lh_err err = pack(c, request, ret);
    if (!lh_ok(err)) {
        lh_buf_clear(&ret->public_area);
        lh_buf_clear(&ret->duplicate);
        lh_buf_clear(&ret->seed);
    }
    return err;
}

void lh_custody_package_deinit(lh_custody_package *package)
{
    lh_buf_free(&package->public_area);
    lh_buf_free(&package->duplicate);
    lh_buf_free(&package->seed);
}

/* --- approvals --------------------------------------------------------------------------------------------
 */

/* Sign aHash = H(nonceTPM ‖ expiration ‖ cpHashA ‖ policyRef) (Part 3, 23.3). */
static lh_err sign(lh_crypto *c, const lh_approver *approver, const lh_bytes hashed[4], uint8_t ret[64])
{
    uint8_t digest[32];
    LH_TRY(lh_sha256(c, hashed, 4, digest));
    const lh_op_request op = {.key = approver->key,
        .row = lh_mechanism_by_type(CKM_ECDSA),
        .use = LH_USE_SIGN,
        .data = LH_BYTES(digest, 32)};
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(64);
    LH_TRY(lh_op_once(c, &op, &signature));
    if (signature.len != 64)
        return LH_FAIL(LH_E_CRYPTO, "an approval of %zu bytes", signature.len);
    memcpy(ret, signature.data, 64);
    return LH_SUCCESS;
}

lh_err lh_custody_approve(lh_crypto *c, const lh_approver *approver, const uint8_t lease[LH_CUSTODY_REF],
    int32_t expiration, uint8_t ret[64])
{
    /* 0 would be for ever; less than 0 asks for a ticket. */
    if (expiration <= 0)
        return LH_FAIL(LH_E_INVALID, "an approval until %d", (int)expiration);
    const uint32_t e = (uint32_t)expiration;
    const uint8_t bytes[4] = {(uint8_t)(e >> 24), (uint8_t)(e >> 16), (uint8_t)(e >> 8), (uint8_t)e};
    const lh_bytes hashed[4] = {
        LH_BYTES_NONE, LH_BYTES(bytes, 4), LH_BYTES_NONE, LH_BYTES(lease, LH_CUSTODY_REF)};
    return sign(c, approver, hashed, ret);
}

/* cpHash of TPM2_NV_Write: command ‖ Name of the authorization ‖ Name of the index ‖ parameters. */
static lh_err write_hash(lh_crypto *c, const uint8_t name[NAME_SIZE], uint32_t limit, uint8_t ret[32])
{
    LH_AUTO(lh_buf_free) lh_buf command = LH_BUF_INIT(128);
    lh_put_u32(&command, CC_NV_WRITE);
    lh_put_raw(&command, name, NAME_SIZE);
    lh_put_raw(&command, name, NAME_SIZE);
    lh_put_u16(&command, NV_PIN_SIZE);
    lh_put_u32(&command, 0); /* pinCount */
    lh_put_u32(&command, limit);
    lh_put_u16(&command, 0); /* offset */
    LH_TRY(lh_buf_status(&command));
    const lh_bytes part = lh_buf_bytes(&command);
    return lh_sha256(c, &part, 1, ret);
}

lh_err lh_custody_approve_pin(
    lh_crypto *c, const lh_approver *approver, const lh_custody_pin *pin, uint8_t ret[64])
{
    if (pin->nonce_tpm.len < 16 || pin->nonce_tpm.len > 32)
        return LH_FAIL(LH_E_INVALID, "a nonceTPM of %zu bytes", pin->nonce_tpm.len);
    uint8_t policy[32], name[NAME_SIZE], hash[32], ref[LH_CUSTODY_PIN_REF];
    static const uint8_t expiration[4];
    LH_TRY(lh_custody_pin_policy(c, approver, pin->lease, policy));
    LH_TRY(lh_custody_pin_name(c, pin->index, policy, pin->written, name));
    LH_TRY(write_hash(c, name, pin->limit, hash));
    pin_ref(pin->lease, ref);
    const lh_bytes hashed[4] = {
        pin->nonce_tpm, LH_BYTES(expiration, 4), LH_BYTES(hash, 32), LH_BYTES(ref, sizeof(ref))};
    return sign(c, approver, hashed, ret);
}
