/* TPM2_ActivateCredential: that this TPM has both the endorsement key that a credential was made for and the
 * attestation key that it names. */
#include "tpm/core.h"

#include <tss2/tss2_mu.h>

typedef struct {
    uint16_t kind;
    TPM2B_ID_OBJECT id_object;
    TPM2B_ENCRYPTED_SECRET encrypted;
    lh_secret **secret;
} activate_arg;

/* PolicyA of the templates: PolicySecret of the endorsement hierarchy, whose authorization value is empty. */
static lh_err open_session(lh_core *core, lh_handle *ret)
{
    const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    LH_AUTO(lh_handle_release) lh_handle session = {core, ESYS_TR_NONE, true};
    LH_AUTO(lh_esys_freep) TPM2B_TIMEOUT *timeout = NULL;
    LH_AUTO(lh_esys_freep) TPMT_TK_AUTH *ticket = NULL;
    LH_TPM_TRY(core,
        Esys_StartAuthSession(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
            ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, &session.tr),
        "TPM2_StartAuthSession");
    LH_TPM_TRY(core,
        Esys_PolicySecret(core->esys, ESYS_TR_RH_ENDORSEMENT, session.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
            ESYS_TR_NONE, NULL, NULL, NULL, 0, &timeout, &ticket),
        "TPM2_PolicySecret");
    *ret = session;
    session = LH_HANDLE_NONE;
    return LH_SUCCESS;
}

/* A credential for another key, or an altered one, comes to one of these: Part 3, 12.5. libtpms says
 * "failure" of an OAEP that does not decode, and works on: a TPM that has failed says so of everything. */
static bool is_refusal(lh_core *core, TSS2_RC rc)
{
    static const TSS2_RC codes[] = {
        TPM2_RC_INTEGRITY, TPM2_RC_VALUE, TPM2_RC_SIZE, TPM2_RC_ECC_POINT, TPM2_RC_INSUFFICIENT, TPM2_RC_KEY};
    LH_AUTO(lh_esys_freep) TPMS_TIME_INFO *time = NULL;
    for (size_t i = 0; i < LH_ARRAY_LEN(codes); i++)
        if (lh_core_is(rc, codes[i]))
            return true;
    return lh_core_is(rc, TPM2_RC_FAILURE) &&
           Esys_ReadClock(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &time) == TSS2_RC_SUCCESS;
}

static lh_err job_activate(lh_core *core, void *arg)
{
    const activate_arg *a = arg;
    ESYS_TR ak;
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_AUTO(lh_handle_release) lh_handle ek = LH_HANDLE_NONE;
    const TPM2B_PUBLIC *template = lh_core_ek_template(a->kind);
    LH_TRY(lh_core_ek(core, a->kind, &ek));
    LH_TRY(lh_core_ak(core, &ak));
    bool by_policy = !(template->publicArea.objectAttributes & TPMA_OBJECT_USERWITHAUTH);
    if (by_policy)
        LH_TRY(open_session(core, &session));
    LH_AUTO(lh_esys_freep) TPM2B_DIGEST *secret = NULL; /* wiped when freed */
    TSS2_RC rc = Esys_ActivateCredential(core->esys, ak, ek.tr, ESYS_TR_PASSWORD,
        by_policy ? session.tr : ESYS_TR_PASSWORD, ESYS_TR_NONE, &a->id_object, &a->encrypted, &secret);
    if (is_refusal(core, rc))
        return lh_err_raise(LH_E_ATTESTATION, rc, __FILE__, __LINE__, "activate-refused",
            "the TPM refuses the credential (0x%03x): it was made for another TPM or another attestation "
            "key, "
            "or was altered on the way",
            rc);
    LH_TPM_TRY(core, rc, "TPM2_ActivateCredential");
    if (secret->size == 0)
        return LH_REFUSE(LH_E_ATTESTATION, "activate-refused", "the credential holds no secret");
    return lh_secret_copy(LH_BYTES(secret->buffer, secret->size), a->secret);
}

lh_err lh_tpm_activate(
    lh_tpm *tpm, uint16_t kind, lh_bytes id_object, lh_bytes encrypted_secret, lh_secret **ret)
{
    activate_arg arg = {.kind = kind, .secret = ret};
    size_t at = 0, end = 0;
    TSS2_RC rc = id_object.len && encrypted_secret.len ? TSS2_RC_SUCCESS : TSS2_MU_RC_BAD_SIZE;
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(id_object.data, id_object.len, &at, &arg.id_object);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(
            encrypted_secret.data, encrypted_secret.len, &end, &arg.encrypted);
    if (rc != TSS2_RC_SUCCESS || at != id_object.len || end != encrypted_secret.len)
        return LH_REFUSE(LH_E_INVALID, "activate-format", "this is not a credential as a TPM takes it");
    return lh_tpm_run(tpm, job_activate, &arg);
}
