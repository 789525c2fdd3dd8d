/* The seal blob's reader: whatever it accepts makes sense. */
#include "seal/seal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_seal_facts facts;
    if (!lh_ok(lh_seal_describe(LH_BYTES(data, size), &facts)))
        return 0;
    if (facts.pcr_mask == 0 || facts.pcr_mask > LH_TPM_PCR_MASK_ALL || facts.tpm.srk.len > LH_TPM_NAME_MAX ||
        facts.tpm.owner.len > LH_TPM_NAME_MAX || facts.tpm.ek.len > LH_TPM_NAME_MAX)
        abort();
    return 0;
}
