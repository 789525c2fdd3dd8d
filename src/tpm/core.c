/* The connection to the TPM, and the one place where its response codes are translated. */
#include "tpm/core.h"

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include <malloc.h>

#define HANDLES_AT_ONCE 64u
/* Part 2, 7.2: the first handle of a range. (tpm2-tss's own macros shift into the sign bit.) */
#define FIRST_TRANSIENT 0x80000000u
#define FIRST_LOADED_SESSION 0x02000000u
#define FIRST_SAVED_SESSION 0x03000000u

static const char *text_of(TSS2_RC rc)
{
    return Tss2_RC_Decode(rc);
}

/* Codes of format one carry the number of the handle, session or parameter in other bits: Part 2, 6.6.2. */
static TSS2_RC base_code(TSS2_RC rc)
{
    TSS2_RC code = rc & 0xfffu;
    return (code & TPM2_RC_FMT1) ? (code & 0x0bfu) : code;
}

bool lh_core_is(TSS2_RC rc, TSS2_RC code)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    return (layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER) && base_code(rc) == code;
}

static lh_err chip_error(lh_core *core, TSS2_RC rc, const char *what)
{
    TSS2_RC code = base_code(rc);
    enum lh_code lh = LH_E_TPM;
    const char *reason = "tpm-error";
    if (code == TPM2_RC_LOCKOUT) {
        return lh_err_raise(LH_E_TPM_LOCKOUT, rc, __FILE__, __LINE__, "tpm-lockout",
            "%s: the TPM is in dictionary-attack lockout; wait for its recovery time, or reset it with the "
            "lockout "
            "authorization (tpm2_dictionarylockout --clear-lockout)",
            what);
    }
    if (code == TPM2_RC_POLICY_FAIL || code == TPM2_RC_PCR_CHANGED)
        lh = LH_E_SEAL_POLICY, reason = "tpm-policy";
    else if (code == TPM2_RC_AUTH_FAIL || code == TPM2_RC_BAD_AUTH)
        lh = LH_E_DENIED, reason = "tpm-auth";
    else if (code == TPM2_RC_INTEGRITY)
        lh = LH_E_CORRUPT, reason = "tpm-integrity";
    else if (code == TPM2_RC_HANDLE)
        lh = LH_E_NOT_FOUND, reason = "tpm-handle";
    else if (code == TPM2_RC_NV_DEFINED)
        lh = LH_E_EXISTS, reason = "tpm-nv-defined";
    else if (code == TPM2_RC_NV_UNINITIALIZED)
        lh = LH_E_STATE, reason = "tpm-nv-unwritten";
    else if (code == TPM2_RC_NV_SPACE)
        lh = LH_E_FULL, reason = "tpm-nv-space";
    else if (code == TPM2_RC_INITIALIZE || code == TPM2_RC_REBOOT || code == TPM2_RC_FAILURE ||
             (code >= TPM2_RC_REFERENCE_H0 && code <= TPM2_RC_REFERENCE_S6)) {
        /* It was reset, or lost what we had loaded: start anew at the next call. */
        core->broken = true;
        reason = "tpm-gone";
    }
    return lh_err_raise(
        lh, rc, __FILE__, __LINE__, reason, "%s: the TPM answers %s (0x%03x)", what, text_of(rc), rc);
}

lh_err lh_core_error(lh_core *core, TSS2_RC rc, const char *what)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    if (layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER || layer == TSS2_RESMGR_RC_LAYER)
        return chip_error(core, rc, what);
    if (rc == TSS2_ESYS_RC_MEMORY || rc == TSS2_TCTI_RC_MEMORY)
        return LH_RAISE(LH_E_NOMEM, rc);
    /* After any other failure within the library its state is not known: connect anew. */
    core->broken = true;
    if (rc == TSS2_ESYS_RC_RSP_AUTH_FAILED || rc == TSS2_ESYS_RC_MALFORMED_RESPONSE) {
        return lh_err_raise(LH_E_TPM, rc, __FILE__, __LINE__, "tpm-response",
            "%s: the TPM's answer does not authenticate; something between us and the TPM altered it", what);
    }
    return lh_err_raise(LH_E_TPM, rc, __FILE__, __LINE__, "tpm-gone",
        "%s: the TPM at %s does not answer: %s; it is tried again at the next call", what, core->tcti_name,
        text_of(rc));
}

void lh_handle_release(lh_handle *handle)
{
    if (!handle->core || !handle->core->esys || handle->tr == ESYS_TR_NONE)
        return;
    TSS2_RC rc = TSS2_RC_SUCCESS;
    if (handle->transient && !handle->core->broken)
        rc = Esys_FlushContext(handle->core->esys, handle->tr);
    if (!handle->transient || rc != TSS2_RC_SUCCESS)
        (void)Esys_TR_Close(handle->core->esys, &handle->tr);
    *handle = LH_HANDLE_NONE;
}

void lh_esys_freep(void *p)
{
    void **memory = p;
    if (*memory)
        explicit_bzero(*memory, malloc_usable_size(*memory));
    free(*memory);
    *memory = NULL;
}

/* Flush what an earlier owner of a simulator left in one range of handles. */
static lh_err flush_range(lh_core *core, TPM2_HANDLE first)
{
    TPMI_YES_NO more = TPM2_NO;
    LH_AUTO(lh_esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    LH_TPM_TRY(core,
        Esys_GetCapability(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first,
            HANDLES_AT_ONCE, &more, &data),
        "TPM2_GetCapability");
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TPM_TRY(core, Esys_GetSysContext(core->esys, &sys), "ESYS");
    for (UINT32 i = 0; i < data->data.handles.count && i < TPM2_MAX_CAP_HANDLES; i++)
        LH_TPM_TRY(core, Tss2_Sys_FlushContext(sys, data->data.handles.handle[i]), "TPM2_FlushContext");
    return LH_SUCCESS;
}

/* A TPM that no firmware has started says so: start it. */
static lh_err start_up(lh_core *core)
{
    TPMI_YES_NO more = TPM2_NO;
    LH_AUTO(lh_esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = Esys_GetCapability(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
        TPM2_CAP_TPM_PROPERTIES, TPM2_PT_MANUFACTURER, 1, &more, &data);
    if (lh_core_is(rc, TPM2_RC_INITIALIZE))
        rc = Esys_Startup(core->esys, TPM2_SU_CLEAR);
    LH_TPM_TRY(core, rc, "TPM2_GetCapability");
    return LH_SUCCESS;
}

static lh_err prepare(lh_core *core)
{
    LH_TRY(start_up(core));
    if (core->simulator) {
        LH_TRY(flush_range(core, FIRST_TRANSIENT));
        LH_TRY(flush_range(core, FIRST_LOADED_SESSION));
        LH_TRY(flush_range(core, FIRST_SAVED_SESSION));
    }
    if (core->owner_auth) {
        TPM2B_AUTH auth = {.size = (UINT16)lh_secret_len(core->owner_auth)};
        memcpy(auth.buffer, lh_secret_bytes(core->owner_auth).data, auth.size);
        TSS2_RC rc = Esys_TR_SetAuth(core->esys, ESYS_TR_RH_OWNER, &auth);
        explicit_bzero(&auth, sizeof(auth));
        LH_TPM_TRY(core, rc, "ESYS");
    }
    return LH_SUCCESS;
}

lh_err lh_core_connect(lh_core *core)
{
    if (core->esys)
        return LH_SUCCESS;
    core->broken = false;
    core->ak = core->checkpoint = (lh_kept_key){ESYS_TR_NONE, NULL};
    memset(core->eks, 0, sizeof core->eks);
    core->ek.len = 0;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(core->tcti_name, &core->tcti);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Initialize(&core->esys, core->tcti, NULL);
    if (rc != TSS2_RC_SUCCESS) {
        lh_core_disconnect(core);
        return lh_err_raise(LH_E_TPM, rc, __FILE__, __LINE__, "tpm-gone",
            "cannot open the TPM \"%s\": %s; is it there, and may we use it (group tss)?", core->tcti_name,
            text_of(rc));
    }
    lh_err err = prepare(core);
    if (!lh_ok(err))
        lh_core_disconnect(core);
    return err;
}

void lh_core_disconnect(lh_core *core)
{
    lh_core_forget_keys(core);
    if (core->esys)
        Esys_Finalize(&core->esys);
    if (core->tcti)
        Tss2_TctiLdr_Finalize(&core->tcti);
    core->esys = NULL;
    core->tcti = NULL;
    core->broken = false;
}
