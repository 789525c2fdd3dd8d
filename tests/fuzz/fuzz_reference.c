/* Reference values: any bytes give a document or problems; what parses can be looked up. */
#include "verify/reference.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    lh_err err = lh_references_parse((lh_bytes){data, size}, "fuzz.yaml", &references, &problems);
    if (lh_ok(err) != (references != NULL) || lh_ok(err) != (problems.errors == 0))
        abort();
    const lh_reference *self = references != NULL ? lh_references_self(references) : NULL;
    for (unsigned pcr = 0; self != NULL && pcr < LH_REFERENCE_PCRS; pcr++) {
        size_t count = 0;
        const uint8_t(*values)[32] = lh_reference_values(self, pcr, &count);
        if ((count > 0) != ((lh_reference_mask(self) >> pcr & 1) == 1))
            abort();
        for (size_t i = 0; i < count; i++) {
            if (!lh_reference_allows(self, pcr, values[i]))
                abort();
        }
    }
    lh_problems_clear(&problems);
    return 0;
}
