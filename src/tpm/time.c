/* What the TPM's clocks say, unsigned and signed. */
#include "tpm/core.h"

#include <tss2/tss2_mu.h>

static lh_err job_time(lh_core *core, void *arg)
{
    lh_tpm_times *ret = arg;
    LH_AUTO(lh_esys_freep) TPMS_TIME_INFO *time = NULL;
    LH_TPM_TRY(
        core, Esys_ReadClock(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &time), "TPM2_ReadClock");
    *ret = (lh_tpm_times){
        .time_ms = time->time,
        .clock_ms = time->clockInfo.clock,
        .reset_count = time->clockInfo.resetCount,
        .restart_count = time->clockInfo.restartCount,
        .safe = time->clockInfo.safe == TPM2_YES,
    };
    return LH_SUCCESS;
}

lh_err lh_tpm_time(lh_tpm *tpm, lh_tpm_times *ret)
{
    return lh_tpm_run(tpm, job_time, ret);
}

typedef struct {
    const uint8_t *qualifying;
    lh_buf *attest;
    lh_buf *signature;
} get_time_arg;

static lh_err job_get_time(lh_core *core, void *arg)
{
    const get_time_arg *a = arg;
    ESYS_TR ak;
    LH_TRY(lh_core_ak(core, &ak));
    TPM2B_DATA qualifying = {.size = 32};
    memcpy(qualifying.buffer, a->qualifying, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    LH_AUTO(lh_esys_freep) TPM2B_ATTEST *attest = NULL;
    LH_AUTO(lh_esys_freep) TPMT_SIGNATURE *signature = NULL;
    LH_TPM_TRY(core,
        Esys_GetTime(core->esys, ESYS_TR_RH_ENDORSEMENT, ak, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE,
            &qualifying, &scheme, &attest, &signature),
        "TPM2_GetTime");
    uint8_t bytes[sizeof(TPMT_SIGNATURE)];
    size_t len = 0;
    LH_TPM_TRY(core, Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof bytes, &len), "TPMT_SIGNATURE");
    return lh_core_append_pair(
        a->attest, LH_BYTES(attest->attestationData, attest->size), a->signature, LH_BYTES(bytes, len));
}

lh_err lh_tpm_get_time(lh_tpm *tpm, const uint8_t qualifying[32], lh_buf *ret_attest, lh_buf *ret_signature)
{
    get_time_arg arg = {qualifying, ret_attest, ret_signature};
    return lh_tpm_run(tpm, job_get_time, &arg);
}
