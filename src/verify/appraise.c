/* The appraisal of evidence: from the key, to what it signed, to what that says. */
#include "base/secret.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "verify/evidence.h"

/* A digest by SHA-256 or SHA-384. */
typedef struct {
    uint8_t bytes[LH_SHA384_SIZE];
    size_t len;
} hashed;

#define REFUSE(reason, ...) LH_REFUSE(LH_E_ATTESTATION, (reason), __VA_ARGS__)

/* A part's parser error, told as a refusal of evidence. */
static lh_err refuse_part(lh_err err, const char *part)
{
    if (err.code == LH_E_UNSUPPORTED)
        return REFUSE(
            "evidence-scheme", "the %s is of a kind that is not allowed: %s", part, lh_err_last()->message);
    return REFUSE("evidence-format", "the %s is malformed", part);
}

static lh_err check_key(const lh_tpms_public *ak)
{
    const uint32_t need = LH_TPMS_ATTR_FIXED_TPM | LH_TPMS_ATTR_FIXED_PARENT | LH_TPMS_ATTR_SENSITIVE_ORIGIN |
                          LH_TPMS_ATTR_RESTRICTED | LH_TPMS_ATTR_SIGN;
    if ((ak->attributes & need) != need || (ak->attributes & LH_TPMS_ATTR_DECRYPT))
        return REFUSE("evidence-ak-attributes",
            "the attestation key's attributes 0x%08x are not those of a restricted signing key made in its "
            "TPM",
            ak->attributes);
    bool ecc = ak->type == LH_TPMS_ALG_ECC;
    bool scheme = ecc ? ak->scheme == LH_TPMS_ALG_ECDSA
                      : ak->scheme == LH_TPMS_ALG_RSASSA || ak->scheme == LH_TPMS_ALG_RSAPSS;
    uint16_t hash = ecc && ak->curve == LH_TPMS_CURVE_P384 ? LH_TPMS_ALG_SHA384 : LH_TPMS_ALG_SHA256;
    bool name = ak->name_alg == LH_TPMS_ALG_SHA256 || ak->name_alg == LH_TPMS_ALG_SHA384;
    if (!scheme || ak->scheme_hash != hash || !name)
        return REFUSE("evidence-scheme",
            "the attestation key's scheme 0x%04x with hash 0x%04x (Name hash 0x%04x) is not allowed",
            ak->scheme, ak->scheme_hash, ak->name_alg);
    return LH_SUCCESS;
}

/* alg: LH_TPMS_ALG_SHA256 or _SHA384. */
static lh_err hash_by(lh_crypto *c, uint16_t alg, const lh_bytes *parts, size_t n, hashed *ret)
{
    bool longer = alg == LH_TPMS_ALG_SHA384;
    ret->len = longer ? LH_SHA384_SIZE : LH_SHA256_SIZE;
    return longer ? lh_sha384(c, parts, n, ret->bytes) : lh_sha256(c, parts, n, ret->bytes);
}

static lh_err verify_ecc(
    lh_crypto *c, const lh_tpms_public *ak, const lh_tpms_signature *signature, lh_bytes digest)
{
    if (ak->curve == LH_TPMS_CURVE_P384)
        return lh_p384_verify(c, ak->x, ak->y, digest, signature->r, signature->s);
    uint8_t point[LH_P256_POINT_SIZE], raw[LH_P256_SIGNATURE_SIZE];
    LH_TRY(lh_p256_point(ak->x, ak->y, point));
    LH_TRY(lh_p256_signature(signature->r, signature->s, raw));
    return lh_p256_verify(c, point, digest, raw);
}

static lh_err check_signature(
    lh_crypto *c, const lh_tpms_public *ak, const lh_tpms_signature *signature, lh_bytes signed_bytes)
{
    if (signature->scheme != ak->scheme || signature->hash != ak->scheme_hash)
        return REFUSE("evidence-scheme",
            "the signature's scheme 0x%04x/0x%04x is not the key's 0x%04x/0x%04x", signature->scheme,
            signature->hash, ak->scheme, ak->scheme_hash);
    hashed digest;
    LH_TRY(hash_by(c, ak->scheme_hash, &signed_bytes, 1, &digest));
    lh_err err;
    if (ak->type == LH_TPMS_ALG_ECC) {
        err = verify_ecc(c, ak, signature, LH_BYTES(digest.bytes, digest.len));
    } else {
        const lh_rsa_public key = {ak->modulus, ak->exponent};
        err = lh_rsa_verify(c, &key, ak->scheme == LH_TPMS_ALG_RSAPSS ? LH_RSA_PSS : LH_RSA_PKCS1,
            LH_BYTES(digest.bytes, digest.len), signature->rsa);
    }
    if (err.code == LH_E_SIGNATURE || err.code == LH_E_INVALID)
        return REFUSE("evidence-signature", "the quote's signature does not verify with the attestation key");
    return err;
}

/* The qualified Name of a primary is name_alg ‖ H(hierarchy handle ‖ Name): Part 1, 16.4. */
static lh_err check_hierarchy(
    lh_crypto *c, lh_bytes ak_public, const lh_tpms_public *ak, const lh_tpms_attest *attest)
{
    const uint8_t alg[2] = {(uint8_t)(ak->name_alg >> 8), (uint8_t)ak->name_alg};
    const uint8_t endorsement[4] = {0x40, 0x00, 0x00, 0x0b}; /* TPM_RH_ENDORSEMENT */
    hashed name, qualified;
    LH_TRY(hash_by(c, ak->name_alg, &ak_public, 1, &name));
    const lh_bytes parts[] = {
        LH_BYTES(endorsement, 4), LH_BYTES(alg, sizeof(alg)), LH_BYTES(name.bytes, name.len)};
    LH_TRY(hash_by(c, ak->name_alg, parts, LH_ARRAY_LEN(parts), &qualified));
    lh_bytes signer = attest->qualified_signer;
    if (signer.len != sizeof(alg) + qualified.len || memcmp(signer.data, alg, sizeof(alg)) != 0 ||
        memcmp(signer.data + sizeof(alg), qualified.bytes, qualified.len) != 0)
        return REFUSE(
            "evidence-hierarchy", "the attestation key is not a primary key of the endorsement hierarchy");
    return LH_SUCCESS;
}

static lh_err check_leaf(const lh_evidence_leaf *have, const lh_evidence_leaf *want)
{
    if (!lh_equal_ct(have->nonce, want->nonce, LH_EVIDENCE_HASH))
        return REFUSE("evidence-nonce", "the evidence answers another nonce than the one given out");
    if (!lh_equal_ct(have->facts, want->facts, LH_EVIDENCE_HASH))
        return REFUSE("evidence-facts", "the evidence is for other workload facts");
    if (!lh_equal_ct(have->channel, want->channel, LH_EVIDENCE_HASH))
        return REFUSE("evidence-channel", "the evidence is for another connection");
    if (!lh_equal_ct(have->ephemeral, want->ephemeral, LH_EVIDENCE_HASH))
        return REFUSE("evidence-ephemeral", "the evidence is for another ephemeral key");
    return LH_SUCCESS;
}

/* The root that leaf and proof lead to: RFC 9162, 2.1.3.2. The signed qualifying data says whether it is the
 * one. */
static lh_err root_of(lh_crypto *c, const lh_evidence *e, uint8_t ret[LH_EVIDENCE_HASH])
{
    if (e->leaf_count < 1 || e->leaf_count > LH_EVIDENCE_LEAVES_MAX || e->leaf_index >= e->leaf_count ||
        e->proof.count > LH_EVIDENCE_PROOF_MAX)
        return REFUSE("evidence-proof", "leaf %u of %u with %zu proof hashes cannot be", e->leaf_index,
            e->leaf_count, e->proof.count);
    uint32_t at = e->leaf_index, last = e->leaf_count - 1;
    LH_TRY(lh_evidence_leaf_hash(c, &e->leaf, ret));
    for (size_t i = 0; i < e->proof.count; i++) {
        if (last == 0)
            return REFUSE(
                "evidence-proof", "the inclusion proof is too long for a tree of %u", e->leaf_count);
        if ((at & 1u) || at == last) {
            LH_TRY(lh_merkle_node(c, e->proof.hash[i], ret, ret));
            for (; !(at & 1u) && at != 0; last >>= 1)
                at >>= 1;
        } else {
            LH_TRY(lh_merkle_node(c, ret, e->proof.hash[i], ret));
        }
        at >>= 1;
        last >>= 1;
    }
    if (last != 0)
        return REFUSE("evidence-proof", "the inclusion proof is too short for a tree of %u", e->leaf_count);
    return LH_SUCCESS;
}

static lh_err check_tree(lh_crypto *c, const lh_evidence *e, const lh_tpms_attest *attest)
{
    uint8_t root[LH_EVIDENCE_HASH], qualifying[LH_EVIDENCE_HASH];
    LH_TRY(root_of(c, e, root));
    LH_TRY(lh_evidence_qualifying(c, e->leaf_count, root, qualifying));
    if (!lh_bytes_equal(attest->extra_data, LH_BYTES(qualifying, sizeof(qualifying))))
        return REFUSE("evidence-qualifying", "the quote was made over other data than this request's");
    return LH_SUCCESS;
}

/* The selection inside the signed quote is the only one believed, and must be exactly what was asked. */
static lh_err check_selection(const lh_tpms_quote *quote, const lh_evidence *e, uint32_t mask)
{
    const lh_tpms_selection *s = &quote->selection;
    if (s->count != 1 || s->banks[0].hash != LH_TPMS_ALG_SHA256 || s->banks[0].select_size != 3 ||
        s->banks[0].mask != mask)
        return REFUSE("evidence-selection",
            "the quote covers %u bank(s), the first 0x%04x with PCR mask 0x%06x; asked was SHA-256 with "
            "0x%06x",
            s->count, s->count ? s->banks[0].hash : 0u, s->count ? s->banks[0].mask : 0u, mask);
    if (e->pcr_mask != mask)
        return REFUSE(
            "evidence-selection", "values of PCR mask 0x%06x are sent; asked was 0x%06x", e->pcr_mask, mask);
    return LH_SUCCESS;
}

static lh_err check_reference(const lh_evidence *e, const lh_evidence_reference *reference)
{
    for (size_t i = 0; i < reference->count; i++)
        if (memcmp(reference->digests[i], e->pcrs[reference->pcr], LH_EVIDENCE_HASH) == 0)
            return LH_SUCCESS;
    char hex[2 * LH_EVIDENCE_HASH + 1];
    lh_hex(e->pcrs[reference->pcr], LH_EVIDENCE_HASH, hex);
    return REFUSE(
        "evidence-pcr", "PCR %u is sha256:%s, which the reference values do not allow", reference->pcr, hex);
}

/* A quote's digest over the values is by the hash of the key's scheme: Part 3, TPM2_Quote. */
static lh_err check_values(lh_crypto *c, uint16_t hash, const lh_tpms_quote *quote, const lh_evidence *e,
    const lh_evidence_expectation *x)
{
    lh_bytes parts[LH_EVIDENCE_PCRS];
    size_t n = 0;
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS; i++)
        if (e->pcr_mask >> i & 1u)
            parts[n++] = LH_BYTES(e->pcrs[i], LH_EVIDENCE_HASH);
    hashed digest;
    LH_TRY(hash_by(c, hash, parts, n, &digest));
    if (!lh_bytes_equal(quote->pcr_digest, LH_BYTES(digest.bytes, digest.len)))
        return REFUSE("evidence-pcr-digest", "the PCR values sent are not those that were quoted");
    for (size_t i = 0; i < x->n_references; i++)
        LH_TRY(check_reference(e, &x->references[i]));
    return LH_SUCCESS;
}

static lh_err check_age(const lh_evidence_expectation *x)
{
    if (x->max_age_ms == 0)
        return LH_SUCCESS;
    int64_t age;
    if (__builtin_sub_overflow(x->now_ms, x->nonce_issued_ms, &age) || age < 0 || age > x->max_age_ms)
        return REFUSE("evidence-age",
            "the nonce was not issued within the last %lld ms; ask for a new one and answer it at once",
            (long long)x->max_age_ms);
    return LH_SUCCESS;
}

/* resetCount rises at a reset, which sets restartCount to 0; restartCount rises at a resume. */
static lh_err check_counts(const lh_tpms_attest *attest, const lh_evidence_expectation *x)
{
    if (!x->have_last)
        return LH_SUCCESS;
    if (attest->reset_count < x->last_reset_count ||
        (attest->reset_count == x->last_reset_count && attest->restart_count < x->last_restart_count))
        return REFUSE("evidence-reset",
            "the TPM's reset and restart counts went from %u, %u back to %u, %u: it was cleared, or is "
            "another",
            x->last_reset_count, x->last_restart_count, attest->reset_count, attest->restart_count);
    if (attest->safe && attest->clock < x->last_clock_ms)
        return REFUSE("evidence-clock",
            "the TPM's Clock went from %llu ms back to %llu ms: it is a copy, or was put back to an older "
            "state",
            (unsigned long long)x->last_clock_ms, (unsigned long long)attest->clock);
    if (attest->firmware != x->last_firmware)
        return REFUSE("evidence-firmware", "the TPM's firmware changed from %016llx to %016llx",
            (unsigned long long)x->last_firmware, (unsigned long long)attest->firmware);
    return LH_SUCCESS;
}

/* Key and signature: after this, the attest structure is the TPM's own word. */
static lh_err check_signed(lh_crypto *c, const lh_evidence *e, const lh_evidence_expectation *x,
    lh_tpms_public *ret_ak, lh_tpms_attest *ret_attest)
{
    lh_bytes ak_bytes = lh_buf_bytes(&e->ak_public);
    if (!lh_bytes_equal(ak_bytes, x->ak_public))
        return REFUSE("evidence-ak", "the evidence is by another attestation key than the enrolled one");
    lh_tpms_signature signature;
    lh_err err = lh_tpms_public_parse(ak_bytes, ret_ak);
    if (!lh_ok(err))
        return refuse_part(err, "attestation key");
    LH_TRY(check_key(ret_ak));
    err = lh_tpms_signature_parse(lh_buf_bytes(&e->signature), &signature);
    if (!lh_ok(err))
        return refuse_part(err, "signature");
    LH_TRY(check_signature(c, ret_ak, &signature, lh_buf_bytes(&e->attest)));
    err = lh_tpms_attest_parse(lh_buf_bytes(&e->attest), ret_attest);
    if (!lh_ok(err))
        return refuse_part(err, "attestation");
    return LH_SUCCESS;
}

static lh_err check_quote(lh_crypto *c, const lh_evidence *e, const lh_evidence_expectation *x,
    const lh_tpms_public *ak, const lh_tpms_attest *attest)
{
    if (attest->magic != LH_TPMS_GENERATED)
        return REFUSE(
            "evidence-magic", "what was signed was not made by a TPM (magic 0x%08x)", attest->magic);
    if (attest->type != LH_TPMS_ST_ATTEST_QUOTE)
        return REFUSE(
            "evidence-type", "what was signed is an attestation of type 0x%04x, not a quote", attest->type);
    lh_tpms_quote quote;
    lh_err err = lh_tpms_quote_parse(attest->attested, &quote);
    if (!lh_ok(err))
        return refuse_part(err, "quote");
    LH_TRY(check_hierarchy(c, lh_buf_bytes(&e->ak_public), ak, attest));
    LH_TRY(check_leaf(&e->leaf, &x->leaf));
    LH_TRY(check_tree(c, e, attest));
    LH_TRY(check_age(x));
    LH_TRY(check_selection(&quote, e, x->pcr_mask));
    LH_TRY(check_values(c, ak->scheme_hash, &quote, e, x));
    return check_counts(attest, x);
}

lh_err lh_evidence_verify(lh_crypto *c, const lh_evidence *evidence,
    const lh_evidence_expectation *expectation, lh_evidence_result *ret)
{
    const lh_evidence_expectation *x = expectation;
    bool sound = x->pcr_mask != 0 && (x->pcr_mask >> LH_EVIDENCE_PCRS) == 0 && x->max_age_ms >= 0;
    for (size_t i = 0; i < x->n_references; i++)
        sound =
            sound && x->references[i].pcr < LH_EVIDENCE_PCRS && (x->pcr_mask >> x->references[i].pcr & 1u);
    if (!sound)
        return LH_FAIL(LH_E_INVALID, "PCR mask 0x%06x does not cover what is to be appraised", x->pcr_mask);
    lh_tpms_public ak;
    lh_tpms_attest attest;
    LH_TRY(check_signed(c, evidence, x, &ak, &attest));
    LH_TRY(check_quote(c, evidence, x, &ak, &attest));
    *ret = (lh_evidence_result){.clock_ms = attest.clock,
        .reset_count = attest.reset_count,
        .restart_count = attest.restart_count,
        .clock_safe = attest.safe,
        .restarted = x->have_last && (attest.reset_count != x->last_reset_count ||
                                         attest.restart_count != x->last_restart_count),
        .firmware = attest.firmware};
    return LH_SUCCESS;
}
