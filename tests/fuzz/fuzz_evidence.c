/* Evidence: what decodes encodes to the same bytes, and its appraisal survives anything. */
#include "verify/evidence.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void appraise(const lh_evidence *evidence)
{
    static lh_crypto *crypto; /* made once: it costs more than the appraisal */
    if (!crypto && !lh_ok(lh_crypto_new(&crypto)))
        abort();
    lh_evidence_expectation want = {.ak_public = lh_buf_bytes(&evidence->ak_public),
        .leaf = evidence->leaf,
        .pcr_mask = evidence->pcr_mask ? evidence->pcr_mask : 1};
    lh_evidence_result result;
    LH_IGNORE(lh_evidence_verify(crypto, evidence, &want, &result)); /* most inputs are refused */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_evidence evidence;
    lh_evidence_init(&evidence);
    if (lh_ok(lh_evidence_decode(LH_BYTES(data, size), &evidence))) {
        LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
        if (!lh_ok(lh_evidence_encode(&evidence, &again)) ||
            !lh_bytes_equal(lh_buf_bytes(&again), LH_BYTES(data, size)))
            abort();
        appraise(&evidence);
    }
    lh_evidence_deinit(&evidence);
    return 0;
}
