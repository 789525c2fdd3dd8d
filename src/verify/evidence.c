/* Evidence: hashes and encoding. The appraisal is in appraise.c. */
#include "verify/evidence.h"

#include "codec/bin.h"
#include "crypto/hash.h"

#define LABEL "leasehold-evidence-v1"
#define VERSION 1u

void lh_evidence_init(lh_evidence *evidence)
{
    *evidence = (lh_evidence){.attest = LH_BUF_INIT(LH_EVIDENCE_PART_MAX),
        .signature = LH_BUF_INIT(LH_EVIDENCE_PART_MAX),
        .ak_public = LH_BUF_INIT(LH_EVIDENCE_PART_MAX)};
}

void lh_evidence_deinit(lh_evidence *evidence)
{
    lh_buf_free(&evidence->attest);
    lh_buf_free(&evidence->signature);
    lh_buf_free(&evidence->ak_public);
}

lh_err lh_evidence_leaf_hash(lh_crypto *c, const lh_evidence_leaf *leaf, uint8_t ret[LH_EVIDENCE_HASH])
{
    const lh_bytes parts[] = {LH_BYTES(leaf->nonce, LH_EVIDENCE_HASH),
        LH_BYTES(leaf->facts, LH_EVIDENCE_HASH), LH_BYTES(leaf->channel, LH_EVIDENCE_HASH),
        LH_BYTES(leaf->ephemeral, LH_EVIDENCE_HASH)};
    return lh_merkle_leaf(c, parts, LH_ARRAY_LEN(parts), ret);
}

lh_err lh_evidence_qualifying(
    lh_crypto *c, uint32_t n, const uint8_t root[LH_EVIDENCE_HASH], uint8_t ret[LH_EVIDENCE_HASH])
{
    if (n < 1 || n > LH_EVIDENCE_LEAVES_MAX)
        return LH_FAIL(LH_E_INVALID, "a quote speaks for 1 to %u requests", LH_EVIDENCE_LEAVES_MAX);
    const uint8_t count[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    const lh_bytes parts[] = {LH_BYTES_STR(LABEL), LH_BYTES(count, 4), LH_BYTES(root, LH_EVIDENCE_HASH)};
    return lh_sha256(c, parts, LH_ARRAY_LEN(parts), ret);
}

lh_err lh_evidence_qualifying_one(lh_crypto *c, const lh_evidence_leaf *leaf, uint8_t ret[LH_EVIDENCE_HASH])
{
    uint8_t root[LH_EVIDENCE_HASH]; /* of a tree of one leaf: the leaf's hash */
    LH_TRY(lh_evidence_leaf_hash(c, leaf, root));
    return lh_evidence_qualifying(c, 1, root, ret);
}

lh_err lh_evidence_encode(const lh_evidence *evidence, lh_buf *ret)
{
    if (evidence->proof.count > LH_EVIDENCE_PROOF_MAX || (evidence->pcr_mask >> LH_EVIDENCE_PCRS) != 0)
        return LH_FAIL(LH_E_INVALID, "evidence with %zu proof hashes and PCR mask 0x%x cannot be encoded",
            evidence->proof.count, evidence->pcr_mask);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    lh_put_u8(&out, VERSION);
    lh_put_blob(&out, lh_buf_bytes(&evidence->attest));
    lh_put_blob(&out, lh_buf_bytes(&evidence->signature));
    lh_put_blob(&out, lh_buf_bytes(&evidence->ak_public));
    lh_put_u32(&out, evidence->leaf_count);
    lh_put_u32(&out, evidence->leaf_index);
    lh_put_raw(&out, evidence->leaf.nonce, LH_EVIDENCE_HASH);
    lh_put_raw(&out, evidence->leaf.facts, LH_EVIDENCE_HASH);
    lh_put_raw(&out, evidence->leaf.channel, LH_EVIDENCE_HASH);
    lh_put_raw(&out, evidence->leaf.ephemeral, LH_EVIDENCE_HASH);
    lh_put_u8(&out, (uint8_t)evidence->proof.count);
    for (size_t i = 0; i < evidence->proof.count; i++)
        lh_put_raw(&out, evidence->proof.hash[i], LH_EVIDENCE_HASH);
    lh_put_u32(&out, evidence->pcr_mask);
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS; i++)
        if (evidence->pcr_mask >> i & 1u)
            lh_put_raw(&out, evidence->pcrs[i], LH_EVIDENCE_HASH);
    LH_TRY(lh_buf_status(&out));
    lh_buf_append(ret, out.data, out.len);
    return lh_buf_status(ret);
}

static void take_part(lh_reader *r, lh_buf *out)
{
    lh_bytes part = lh_read_blob(r, LH_EVIDENCE_PART_MAX);
    lh_buf_append(out, part.data, part.len);
}

static void read_all(lh_reader *r, lh_evidence *e)
{
    take_part(r, &e->attest);
    take_part(r, &e->signature);
    take_part(r, &e->ak_public);
    e->leaf_count = lh_read_u32(r);
    e->leaf_index = lh_read_u32(r);
    lh_read_into(r, e->leaf.nonce, LH_EVIDENCE_HASH);
    lh_read_into(r, e->leaf.facts, LH_EVIDENCE_HASH);
    lh_read_into(r, e->leaf.channel, LH_EVIDENCE_HASH);
    lh_read_into(r, e->leaf.ephemeral, LH_EVIDENCE_HASH);
    e->proof.count = lh_read_u8(r);
    if (e->proof.count > LH_EVIDENCE_PROOF_MAX || e->leaf_count < 1 ||
        e->leaf_count > LH_EVIDENCE_LEAVES_MAX || e->leaf_index >= e->leaf_count)
        r->bad = true;
    for (size_t i = 0; i < e->proof.count && !r->bad; i++)
        lh_read_into(r, e->proof.hash[i], LH_EVIDENCE_HASH);
    e->pcr_mask = lh_read_u32(r);
    if ((e->pcr_mask >> LH_EVIDENCE_PCRS) != 0)
        r->bad = true;
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS && !r->bad; i++)
        if (e->pcr_mask >> i & 1u)
            lh_read_into(r, e->pcrs[i], LH_EVIDENCE_HASH);
}

lh_err lh_evidence_decode(lh_bytes bytes, lh_evidence *ret)
{
    lh_evidence_deinit(ret);
    lh_evidence_init(ret);
    lh_reader r = lh_reader_new(bytes);
    uint8_t version = lh_read_u8(&r);
    if (r.bad || version == 0)
        return LH_REFUSE(LH_E_CORRUPT, "evidence-format", "the evidence is malformed");
    if (version != VERSION)
        return LH_REFUSE(LH_E_UNSUPPORTED, "evidence-version",
            "the evidence is of version %u, which this program does not know", version);
    read_all(&r, ret);
    if (r.bad || r.left != 0) {
        lh_evidence_deinit(ret);
        lh_evidence_init(ret);
        return LH_REFUSE(LH_E_CORRUPT, "evidence-format", "the evidence is malformed");
    }
    if (ret->attest.status != LH_OK || ret->signature.status != LH_OK || ret->ak_public.status != LH_OK) {
        lh_evidence_deinit(ret);
        lh_evidence_init(ret);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}
