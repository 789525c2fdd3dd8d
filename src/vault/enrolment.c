/* Enrolment of hosts: whether a TPM's manufacturer vouches for the endorsement key. */
#include "crypto/ek.h"
#include "vault/partition_internal.h"

lh_err lh_enrolment_authorities(lh_vault *v)
{
    LH_AUTO(lh_ek_authorities_freep) lh_ek_authorities *authorities = NULL;
    if (v->options.ek_authorities.len == 0)
        return LH_SUCCESS;
    LH_TRY(lh_ek_authorities_new(v->crypto, &authorities));
    LH_TRY(lh_ek_authorities_add(authorities, v->options.ek_authorities));
    v->options.ek_authorities = LH_BYTES_NONE;
    v->ek_authorities = LH_TAKE(authorities);
    return LH_SUCCESS;
}

lh_err lh_enrolment_judge(lh_vault *v, const lh_params *params, int64_t now)
{
    lh_bytes chain[LH_LIMIT_EK_CERTIFICATES];
    const lh_host_enrolment *host = params->enrolment;
    if (params->operation->kind != LH_OPERATION_HOST_ENROL || host->pinned)
        return LH_SUCCESS;
    if (!v->ek_authorities)
        return LH_REFUSE(LH_E_DENIED, "ek-certificate-untrusted",
            "no certificates of TPM manufacturers are configured (ek_authorities), so none vouches for a "
            "key; "
            "officers may pin it instead");
    for (size_t i = 0; i < host->certificate_count; i++)
        chain[i] = lh_buf_bytes(&host->certificates[i]);
    return lh_ek_certificate_check(
        v->ek_authorities, chain, host->certificate_count, lh_buf_bytes(&host->ek_public), now);
}
