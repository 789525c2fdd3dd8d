/* Sealing under the storage root key, bound to PCR values.
 *
 * Invariants:
 *   1. The secret crosses the bus only as a parameter encrypted in a session salted with the SRK.
 *   2. When unsealing, nothing is encrypted to an SRK whose Name is not the sealed one.
 *   3. Of the secret no copy stays behind: ours are wiped, ESYS's and SYS's are overwritten by a later
 * command. */
#include "tpm/core.h"

#include <tss2/tss2_mu.h>

#define SEAL_ATTEMPTS 4u /* while PCRs change under us */

typedef struct {
    const lh_secret *secret;
    uint32_t mask;
    lh_tpm_sealed *sealed;
} seal_arg;

typedef struct {
    const lh_tpm_sealed *sealed;
    lh_secret **secret;
} unseal_arg;

static lh_err policy_pcr(lh_core *core, ESYS_TR session, uint32_t mask)
{
    const TPM2B_DIGEST present = {.size = 0}; /* the TPM takes the values as they are */
    TPML_PCR_SELECTION selection;
    lh_core_selection(mask, &selection);
    LH_TPM_TRY(core,
        Esys_PolicyPCR(core->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &present, &selection),
        "TPM2_PolicyPCR");
    return LH_SUCCESS;
}

/* The policy digest for the present PCR values, and those values: read before and after, so that both are of
 * one moment. */
static lh_err present_policy(
    lh_core *core, uint32_t mask, uint8_t values[LH_TPM_PCRS][32], TPM2B_DIGEST *ret_policy)
{
    for (unsigned attempt = 0; attempt < SEAL_ATTEMPTS; attempt++) {
        uint8_t after[LH_TPM_PCRS][32];
        uint32_t counter_before, counter_after;
        LH_TRY(lh_core_pcr_read(core, mask, values, &counter_before));
        LH_AUTO(lh_handle_release) lh_handle trial = LH_HANDLE_NONE;
        LH_TRY(lh_core_trial(core, &trial));
        LH_TRY(policy_pcr(core, trial.tr, mask));
        LH_TRY(lh_core_policy_digest(core, trial.tr, ret_policy));
        LH_TRY(lh_core_pcr_read(core, mask, after, &counter_after));
        if (counter_before == counter_after && memcmp(values, after, sizeof(after)) == 0)
            return LH_SUCCESS;
    }
    return LH_REFUSE(
        LH_E_TPM, "tpm-pcr-busy", "the PCRs change faster than they can be sealed to; try again");
}

/* Part 3, TPM2_Create; without userWithAuth the policy alone opens it. */
static lh_err create_object(lh_core *core, ESYS_TR srk, const TPM2B_SENSITIVE_CREATE *sensitive,
    const TPM2B_DIGEST *policy, lh_tpm_sealed *out)
{
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA,
            .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    template.publicArea.authPolicy = *policy;
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_TRY(lh_core_session(core, srk, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &session));
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    LH_AUTO(lh_esys_freep) TPM2B_PRIVATE *private = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_CREATION_DATA *data = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_DIGEST *hash = NULL;
    LH_AUTO(lh_esys_freep) TPMT_TK_CREATION *ticket = NULL;
    LH_TPM_TRY(core,
        Esys_Create(core->esys, srk, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, sensitive, &template, &outside,
            &pcrs, &private, &public, &data, &hash, &ticket),
        "TPM2_Create");
    size_t private_len = 0, public_len = 0;
    LH_TPM_TRY(core,
        Tss2_MU_TPM2B_PRIVATE_Marshal(private, out->private_part, sizeof(out->private_part), &private_len),
        "TPM2B_PRIVATE");
    LH_TPM_TRY(core,
        Tss2_MU_TPM2B_PUBLIC_Marshal(public, out->public_part, sizeof(out->public_part), &public_len),
        "TPM2B_PUBLIC");
    out->private_len = (uint16_t)private_len;
    out->public_len = (uint16_t)public_len;
    return LH_SUCCESS;
}

static lh_err create_sealed(
    lh_core *core, ESYS_TR srk, const lh_secret *secret, const TPM2B_DIGEST *policy, lh_tpm_sealed *out)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    sensitive.sensitive.data.size = (UINT16)lh_secret_len(secret);
    memcpy(sensitive.sensitive.data.buffer, lh_secret_bytes(secret).data, lh_secret_len(secret));
    lh_err err = create_object(core, srk, &sensitive, policy, out);
    explicit_bzero(sensitive.sensitive.data.buffer, sizeof(sensitive.sensitive.data.buffer));
    if (!lh_ok(err))
        return err;
    /* ESYS keeps a copy of the last Create's sensitive area: one of zeros takes its place. */
    lh_tpm_sealed unused;
    return create_object(core, srk, &sensitive, policy, &unused);
}

static lh_err job_seal(lh_core *core, void *arg)
{
    const seal_arg *a = arg;
    LH_TRY(lh_core_mask_check(a->mask));
    lh_tpm_sealed sealed = {.pcr_mask = a->mask};
    LH_TRY(lh_core_identity(core, &sealed.tpm));
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    lh_tpm_name name;
    LH_TRY(lh_core_srk(core, &srk, &name));
    if (!lh_tpm_name_equal(&name, &sealed.tpm.srk))
        return LH_REFUSE(
            LH_E_TPM, "tpm-srk-changed", "the TPM's storage root key changes while it is being used");
    TPM2B_DIGEST policy;
    LH_TRY(present_policy(core, a->mask, sealed.pcrs, &policy));
    LH_TRY(create_sealed(core, srk.tr, a->secret, &policy, &sealed));
    core->srk_pin = name;
    *a->sealed = sealed;
    return LH_SUCCESS;
}

lh_err lh_tpm_seal(lh_tpm *tpm, const lh_secret *secret, uint32_t pcr_mask, lh_tpm_sealed *ret)
{
    if (lh_secret_len(secret) > LH_TPM_SECRET_MAX)
        return LH_FAIL(LH_E_INVALID, "a TPM seals at most %u bytes", LH_TPM_SECRET_MAX);
    seal_arg arg = {secret, pcr_mask, ret};
    return lh_tpm_run(tpm, job_seal, &arg);
}

/* Why is the SRK another? The endorsement key tells another TPM, our owner primary a cleared one. */
static lh_err wrong_srk(lh_core *core, const lh_tpm_sealed *sealed)
{
    lh_tpm_identity now;
    LH_TRY(lh_core_identity(core, &now));
    if (!lh_tpm_name_equal(&now.ek, &sealed->tpm.ek))
        return LH_REFUSE(LH_E_SEAL_OTHER_TPM, "seal-other-tpm",
            "this is not the TPM that the seal was made by (its endorsement key is another); start the vault "
            "on its "
            "own host, or recover it here with recovery shares");
    if (!lh_tpm_name_equal(&now.owner, &sealed->tpm.owner))
        return LH_REFUSE(LH_E_SEAL_CLEARED, "seal-tpm-cleared",
            "the TPM was cleared since the seal was made, which destroys every seal; recover the vault with "
            "recovery "
            "shares, and find out who cleared the TPM");
    return LH_REFUSE(LH_E_TPM, "seal-srk-replaced",
        "the key at 0x81000001 is not the storage root key that the seal was made under, though the TPM was "
        "not "
        "cleared; nothing was sent to it: find out who replaced it, remove it with tpm2_evictcontrol and "
        "start again");
}

static lh_err load_sealed(lh_core *core, ESYS_TR srk, const lh_tpm_sealed *sealed, lh_handle *ret)
{
    TPM2B_PRIVATE private = {0};
    TPM2B_PUBLIC public = {0};
    size_t at = 0, end = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed->private_part, sealed->private_len, &at, &private);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->public_part, sealed->public_len, &end, &public);
    if (rc != TSS2_RC_SUCCESS || at != sealed->private_len || end != sealed->public_len)
        return LH_REFUSE(
            LH_E_CORRUPT, "seal-damaged", "the sealed object does not parse: the seal is damaged");
    ESYS_TR tr = ESYS_TR_NONE;
    rc = Esys_Load(core->esys, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, &tr);
    lh_err err = rc == TSS2_RC_SUCCESS ? LH_SUCCESS : lh_core_error(core, rc, "TPM2_Load");
    if (!lh_ok(err) && !core->broken && err.code != LH_E_TPM_LOCKOUT && err.code != LH_E_NOMEM &&
        !lh_core_is(rc, TPM2_RC_OBJECT_MEMORY) && !lh_core_is(rc, TPM2_RC_MEMORY)) {
        /* The SRK is the right one, so a refusal to load is damage to what we load. */
        return lh_err_raise(LH_E_CORRUPT, rc, __FILE__, __LINE__, "seal-damaged",
            "the TPM refuses the sealed object (0x%03x): the seal is damaged; put the store back from a "
            "backup",
            rc);
    }
    LH_TRY(err);
    *ret = (lh_handle){core, tr, true};
    return LH_SUCCESS;
}

static lh_err open_sealed(lh_core *core, ESYS_TR srk, const lh_tpm_sealed *sealed, lh_secret **ret)
{
    LH_AUTO(lh_handle_release) lh_handle object = LH_HANDLE_NONE;
    LH_TRY(load_sealed(core, srk, sealed, &object));
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_TRY(lh_core_session(core, srk, TPM2_SE_POLICY, TPMA_SESSION_ENCRYPT, &session));
    LH_TRY(policy_pcr(core, session.tr, sealed->pcr_mask));
    LH_AUTO(lh_esys_freep) TPM2B_SENSITIVE_DATA *data = NULL; /* wiped when freed */
    TSS2_RC rc = Esys_Unseal(core->esys, object.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    if (rc != TSS2_RC_SUCCESS) {
        lh_err err = lh_core_error(core, rc, "TPM2_Unseal");
        if (err.code != LH_E_SEAL_POLICY)
            return err;
        return lh_err_raise(LH_E_SEAL_POLICY, rc, __FILE__, __LINE__, "seal-pcr-changed",
            "the platform is not in the state that the vault was sealed to");
    }
    LH_TRY(lh_secret_copy(LH_BYTES(data->buffer, data->size), ret));
    /* The response buffer within SYS still has it: a longer response takes its place. */
    LH_AUTO(lh_esys_freep) TPM2B_DIGEST *random = NULL;
    for (unsigned i = 0; i < 1 + data->size / 48u; i++) {
        TSS2_RC filler = Esys_GetRandom(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, 48, &random);
        lh_esys_freep(&random);
        if (filler != TSS2_RC_SUCCESS)
            break; /* the secret is out; the connection's end frees the buffer */
    }
    return LH_SUCCESS;
}

static lh_err job_unseal(lh_core *core, void *arg)
{
    const unseal_arg *a = arg;
    LH_TRY(lh_core_mask_check(a->sealed->pcr_mask));
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    lh_tpm_name name;
    LH_TRY(lh_core_srk(core, &srk, &name));
    if (!lh_tpm_name_equal(&name, &a->sealed->tpm.srk))
        return wrong_srk(core, a->sealed);
    LH_TRY(open_sealed(core, srk.tr, a->sealed, a->secret));
    core->srk_pin = name;
    return LH_SUCCESS;
}

lh_err lh_tpm_unseal(lh_tpm *tpm, const lh_tpm_sealed *sealed, lh_secret **ret)
{
    unseal_arg arg = {sealed, ret};
    return lh_tpm_run(tpm, job_unseal, &arg);
}

static lh_err job_identify(lh_core *core, void *arg)
{
    return lh_core_identity(core, arg);
}

lh_err lh_tpm_identify(lh_tpm *tpm, lh_tpm_identity *ret)
{
    return lh_tpm_run(tpm, job_identify, ret);
}
