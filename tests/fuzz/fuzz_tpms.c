/* The readers of TPM structures: every span they give lies within the input. */
#include "codec/tpms.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(lh_bytes span, const uint8_t *data, size_t size)
{
    if (span.len != 0 && (span.data < data || span.data + span.len > data + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_bytes input = LH_BYTES(data, size);
    lh_tpms_attest attest;
    lh_tpms_quote quote;
    lh_tpms_public public;
    lh_tpms_signature signature;
    if (lh_ok(lh_tpms_attest_parse(input, &attest))) {
        within(attest.qualified_signer, data, size);
        within(attest.extra_data, data, size);
        within(attest.attested, data, size);
        if (lh_ok(lh_tpms_quote_parse(attest.attested, &quote)))
            within(quote.pcr_digest, data, size);
    }
    if (lh_ok(lh_tpms_quote_parse(input, &quote)) && quote.selection.count > LH_TPMS_BANKS_MAX)
        abort();
    if (lh_ok(lh_tpms_public_parse(input, &public))) {
        within(public.policy, data, size);
        within(public.x, data, size);
        within(public.y, data, size);
        within(public.modulus, data, size);
    }
    if (lh_ok(lh_tpms_signature_parse(input, &signature))) {
        within(signature.r, data, size);
        within(signature.s, data, size);
        within(signature.rsa, data, size);
    }
    return 0;
}
