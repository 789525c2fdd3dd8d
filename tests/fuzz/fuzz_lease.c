/* Lease records: whatever decodes encodes to the same bytes again, where its state can be rebuilt. */
#include "lease/lease.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_lease_record r;
    if (!lh_ok(lh_lease_decode(LH_BYTES(data, size), &r)))
        return 0;
    if (strlen(r.terms.role) > LH_LIMIT_NAME || strlen(r.terms.workload) > LH_LIMIT_SPIFFE_ID ||
        r.proof.evidence.len > size || r.proof.facts.len > size || r.state < LH_LEASE_LIVE ||
        r.state > LH_LEASE_ENDED)
        abort();
    lh_lease *lease = NULL;
    if (!lh_ok(lh_lease_new(&r.terms, NULL, &lease)))
        return 0;
    lh_lease_restore_uses(lease, r.reserved);
    lh_lease_set_live(lease, r.expires_boot_ms);
    if (r.state == LH_LEASE_ENDED)
        (void)lh_lease_set_ended(lease, r.reason);
    lh_buf again = LH_BUF_INIT(1u << 20);
    lh_lease_record second;
    if (!lh_ok(lh_lease_encode(lease, &r.proof, &again)) ||
        !lh_ok(lh_lease_decode(lh_buf_bytes(&again), &second)) ||
        memcmp(&second.terms, &r.terms, sizeof(r.terms)) != 0 || second.reserved != r.reserved ||
        !lh_bytes_equal(second.proof.evidence, r.proof.evidence) ||
        !lh_bytes_equal(second.proof.facts, r.proof.facts))
        abort();
    lh_buf_free(&again);
    lh_lease_unref(lease);
    return 0;
}
