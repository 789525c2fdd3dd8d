/* One quote for a batch of requests. */
#include "attester/internal.h"
#include "codec/tpms.h"
#include "crypto/hash.h"

#define QUOTE_ATTEMPTS 4u /* quotes until one is over PCR values that could be read */

void lh_batch_clear(lh_batch *batch)
{
    lh_evidence_deinit(&batch->common);
    lh_merkle_tree_free(batch->tree);
    batch->tree = NULL;
}

static lh_err plant(lh_attester *attester, const request *first, lh_batch *batch)
{
    LH_TRY(lh_merkle_tree_new(attester->options.crypto, &batch->tree));
    for (const request *r = first; r; r = r->next) {
        uint8_t hash[LH_MERKLE_HASH_SIZE];
        LH_TRY(lh_evidence_leaf_hash(attester->options.crypto, &r->leaf, hash));
        LH_TRY(lh_merkle_tree_append(batch->tree, hash));
    }
    return LH_SUCCESS;
}

/* Whether the values are those that were quoted. */
static lh_err agrees(lh_crypto *c, const lh_evidence *e, bool *ret)
{
    lh_tpms_attest attest;
    lh_tpms_quote quote;
    LH_TRY(lh_tpms_attest_parse(lh_buf_bytes(&e->attest), &attest));
    if (attest.type != LH_TPMS_ST_ATTEST_QUOTE)
        return LH_FAIL(LH_E_TPM, "the TPM answered a request for a quote with something else");
    LH_TRY(lh_tpms_quote_parse(attest.attested, &quote));
    lh_bytes parts[LH_EVIDENCE_PCRS];
    size_t n = 0;
    for (unsigned pcr = 0; pcr < LH_EVIDENCE_PCRS; pcr++)
        if (e->pcr_mask >> pcr & 1u)
            parts[n++] = LH_BYTES(e->pcrs[pcr], LH_EVIDENCE_HASH);
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, parts, n, digest));
    *ret = lh_bytes_equal(quote.pcr_digest, LH_BYTES(digest, sizeof(digest)));
    return LH_SUCCESS;
}

/* A quote that takes a fifth of a second leaves time for a PCR to be extended: the values read before it are
 * compared with what it covers, and where they are not the same, those read after it. */
static lh_err quote_once(lh_attester *attester, const uint8_t *qualifying, lh_evidence *e, bool *ret_agrees)
{
    lh_tpm *tpm = attester->options.tpm;
    pthread_mutex_lock(&attester->lock);
    attester->counts.quotes++;
    pthread_mutex_unlock(&attester->lock);
    lh_buf_clear(&e->attest);
    lh_buf_clear(&e->signature);
    LH_TRY(lh_tpm_pcr_read(tpm, e->pcr_mask, e->pcrs));
    LH_TRY(lh_tpm_quote(tpm, e->pcr_mask, qualifying, &e->attest, &e->signature));
    LH_TRY(agrees(attester->options.crypto, e, ret_agrees));
    if (*ret_agrees)
        return LH_SUCCESS;
    LH_TRY(lh_tpm_pcr_read(tpm, e->pcr_mask, e->pcrs));
    return agrees(attester->options.crypto, e, ret_agrees);
}

lh_err lh_batch_quote(lh_attester *attester, const request *first, lh_batch *ret)
{
    lh_crypto *c = attester->options.crypto;
    lh_evidence *e = &ret->common;
    LH_TRY(plant(attester, first, ret));
    e->pcr_mask = first->mask;
    e->leaf_count = (uint32_t)lh_merkle_tree_size(ret->tree);
    uint8_t root[LH_MERKLE_HASH_SIZE], qualifying[LH_EVIDENCE_HASH];
    LH_TRY(lh_merkle_tree_root(ret->tree, e->leaf_count, root));
    LH_TRY(lh_evidence_qualifying(c, e->leaf_count, root, qualifying));
    LH_TRY(lh_tpm_ak_public(attester->options.tpm, &e->ak_public));
    for (unsigned attempt = 0; attempt < QUOTE_ATTEMPTS; attempt++) {
        bool agree = false;
        LH_TRY(quote_once(attester, qualifying, e, &agree));
        if (agree)
            return LH_SUCCESS;
    }
    return LH_REFUSE(
        LH_E_TPM, "attester-pcr-busy", "the PCRs change faster than they can be quoted; try again");
}

lh_err lh_batch_leaf(lh_batch *batch, const request *r, uint32_t index)
{
    lh_evidence *e = &batch->common;
    LH_TRY(lh_merkle_tree_inclusion(batch->tree, index, e->leaf_count, &e->proof));
    e->leaf_index = index;
    e->leaf = r->leaf;
    return LH_SUCCESS;
}
