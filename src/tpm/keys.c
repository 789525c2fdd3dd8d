/* The keys on the TPM and the sessions salted with them. Why these hierarchies: docs/decisions/0003. */
#include "tpm/core.h"

#define SRK_HANDLE 0x81000001u /* TCG Provisioning Guidance 1.0, 7.5.1 */

#define SYMMETRIC_AES128                                                                                     \
    {                                                                                                        \
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB                              \
    }
#define SYMMETRIC_NONE                                                                                       \
    {                                                                                                        \
        .algorithm = TPM2_ALG_NULL                                                                           \
    }

/* Fixed unique data, so that our primaries are ours alone and the same at each start. */
#define UNIQUE_AK                                                                                            \
    {                                                                                                        \
        .size = 32, .buffer = "leasehold-attestation-key-v1"                                                 \
    }
#define UNIQUE_CHECKPOINT                                                                                    \
    {                                                                                                        \
        .size = 32, .buffer = "leasehold-checkpoint-key-v1"                                                  \
    }

#define SIGNING_TEMPLATE(restricted_bit, unique_x)                                                           \
    {                                                                                                        \
        .publicArea = {                                                                                      \
            .type = TPM2_ALG_ECC,                                                                            \
            .nameAlg = TPM2_ALG_SHA256,                                                                      \
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |                             \
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |                 \
                                TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT | (restricted_bit),              \
            .parameters.eccDetail = {.symmetric = SYMMETRIC_NONE,                                            \
                .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},              \
                .curveID = TPM2_ECC_NIST_P256,                                                               \
                .kdf.scheme = TPM2_ALG_NULL},                                                                \
            .unique.ecc = {.x = unique_x, .y.size = 32},                                                     \
        }                                                                                                    \
    }

static const TPM2B_PUBLIC ak_template = SIGNING_TEMPLATE(TPMA_OBJECT_RESTRICTED, UNIQUE_AK);
static const TPM2B_PUBLIC checkpoint_template = SIGNING_TEMPLATE(0, UNIQUE_CHECKPOINT);

/* Provisioning Guidance 7.5.1: the storage template for P-256. */
static const TPM2B_PUBLIC srk_template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                            TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                            TPMA_OBJECT_DECRYPT,
        .parameters.eccDetail = {.symmetric = SYMMETRIC_AES128,
            .scheme.scheme = TPM2_ALG_NULL,
            .curveID = TPM2_ECC_NIST_P256,
            .kdf.scheme = TPM2_ALG_NULL},
        .unique.ecc = {.x.size = 32, .y.size = 32},
    }};

lh_err lh_core_primary(
    lh_core *core, ESYS_TR hierarchy, const TPM2B_PUBLIC *template, lh_handle *ret, TPM2B_PUBLIC **ret_public)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {0};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_CREATION_DATA *data = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_DIGEST *hash = NULL;
    LH_AUTO(lh_esys_freep) TPMT_TK_CREATION *ticket = NULL;
    ESYS_TR tr = ESYS_TR_NONE;
    lh_core_make_room(core);
    LH_TPM_TRY(core,
        Esys_CreatePrimary(core->esys, hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
            template, &outside, &pcrs, &tr, &public, &data, &hash, &ticket),
        "TPM2_CreatePrimary");
    *ret = (lh_handle){core, tr, true};
    if (ret_public)
        *ret_public = LH_TAKE(public);
    return LH_SUCCESS;
}

lh_err lh_core_name(lh_core *core, ESYS_TR tr, lh_tpm_name *ret)
{
    LH_AUTO(lh_esys_freep) TPM2B_NAME *name = NULL;
    LH_TPM_TRY(core, Esys_TR_GetName(core->esys, tr, &name), "ESYS");
    if (name->size < 3 || name->size > sizeof(ret->data))
        return LH_FAIL(LH_E_TPM, "the TPM gives a Name of %u bytes", name->size);
    ret->len = name->size;
    memcpy(ret->data, name->name, name->size);
    return LH_SUCCESS;
}

static void let_go(lh_core *core, lh_kept_key *key)
{
    lh_handle handle = {core, key->tr, true};
    lh_handle_release(&handle);
    key->tr = ESYS_TR_NONE;
}

void lh_core_make_room(lh_core *core)
{
    let_go(core, &core->ak);
    let_go(core, &core->checkpoint);
    lh_core_leases_unload(core);
}

void lh_core_forget_keys(lh_core *core)
{
    lh_core_make_room(core);
    lh_esys_freep(&core->ak.saved);
    lh_esys_freep(&core->checkpoint.saved);
    for (size_t i = 0; i < LH_CORE_EKS; i++)
        lh_esys_freep(&core->eks[i]);
    lh_core_leases_forget(core);
}

lh_err lh_core_load_saved(lh_core *core, TPMS_CONTEXT **saved, ESYS_TR *ret)
{
    TSS2_RC rc = Esys_ContextLoad(core->esys, *saved, ret);
    if (lh_core_is(rc, TPM2_RC_INTEGRITY)) {
        lh_esys_freep(saved);
        *ret = ESYS_TR_NONE;
        return LH_SUCCESS;
    }
    LH_TPM_TRY(core, rc, "TPM2_ContextLoad");
    return LH_SUCCESS;
}

static lh_err kept_key(lh_core *core, const TPM2B_PUBLIC *template, lh_kept_key *key, ESYS_TR *ret)
{
    if (key->tr == ESYS_TR_NONE && key->saved) {
        lh_core_make_room(core);
        LH_TRY(lh_core_load_saved(core, &key->saved, &key->tr));
    }
    if (key->tr == ESYS_TR_NONE) {
        LH_AUTO(lh_handle_release) lh_handle made = LH_HANDLE_NONE;
        LH_TRY(lh_core_primary(core, ESYS_TR_RH_ENDORSEMENT, template, &made, NULL));
        LH_TPM_TRY(core, Esys_ContextSave(core->esys, made.tr, &key->saved), "TPM2_ContextSave");
        key->tr = made.tr;
        made = LH_HANDLE_NONE;
    }
    *ret = key->tr;
    return LH_SUCCESS;
}

lh_err lh_core_ak(lh_core *core, ESYS_TR *ret)
{
    return kept_key(core, &ak_template, &core->ak, ret);
}

lh_err lh_core_checkpoint(lh_core *core, ESYS_TR *ret)
{
    return kept_key(core, &checkpoint_template, &core->checkpoint, ret);
}

static lh_err make_srk(lh_core *core, lh_handle *ret)
{
    LH_AUTO(lh_handle_release) lh_handle primary = LH_HANDLE_NONE;
    LH_TRY(lh_core_primary(core, ESYS_TR_RH_OWNER, &srk_template, &primary, NULL));
    ESYS_TR tr = ESYS_TR_NONE;
    LH_TPM_TRY(core,
        Esys_EvictControl(core->esys, ESYS_TR_RH_OWNER, primary.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE,
            ESYS_TR_NONE, SRK_HANDLE, &tr),
        "TPM2_EvictControl");
    *ret = (lh_handle){core, tr, false};
    return LH_SUCCESS;
}

lh_err lh_core_srk(lh_core *core, lh_handle *ret, lh_tpm_name *ret_name)
{
    /* A persistent object takes a transient one's room while it is used. */
    lh_core_make_room(core);
    LH_AUTO(lh_handle_release) lh_handle srk = {core, ESYS_TR_NONE, false};
    TSS2_RC rc =
        Esys_TR_FromTPMPublic(core->esys, SRK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &srk.tr);
    if (lh_core_is(rc, TPM2_RC_HANDLE))
        LH_TRY(make_srk(core, &srk));
    else
        LH_TPM_TRY(core, rc, "TPM2_ReadPublic of the storage root key");
    /* ESYS has compared the Name with the public area it keeps, to which sessions are salted. */
    lh_tpm_name name;
    LH_TRY(lh_core_name(core, srk.tr, &name));
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_NAME *read_name = NULL;
    LH_TPM_TRY(core,
        Esys_ReadPublic(
            core->esys, srk.tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, &read_name, NULL),
        "TPM2_ReadPublic of the storage root key");
    const TPMA_OBJECT storage = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_FIXEDTPM |
                                TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                TPMA_OBJECT_USERWITHAUTH;
    if (!lh_bytes_equal(LH_BYTES(name.data, name.len), LH_BYTES(read_name->name, read_name->size)) ||
        (public->publicArea.objectAttributes & storage) != storage ||
        (public->publicArea.objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT))
        return LH_REFUSE(LH_E_TPM, "tpm-srk-unfit",
            "the key at 0x%08x is not a storage root key made by this TPM; find out who put it there, and "
            "remove it "
            "with tpm2_evictcontrol",
            SRK_HANDLE);
    *ret = srk;
    srk = LH_HANDLE_NONE;
    *ret_name = name;
    return LH_SUCCESS;
}

lh_err lh_core_srk_pinned(lh_core *core, lh_handle *ret)
{
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    lh_tpm_name name;
    LH_TRY(lh_core_srk(core, &srk, &name));
    if (core->srk_pin.len != 0 && !lh_tpm_name_equal(&core->srk_pin, &name))
        return LH_REFUSE(LH_E_TPM, "tpm-srk-changed",
            "the TPM's storage root key is no longer the one that the vault was sealed under: the TPM was "
            "cleared, or "
            "another one answers");
    *ret = srk;
    srk = LH_HANDLE_NONE;
    return LH_SUCCESS;
}

static lh_err primary_name(lh_core *core, ESYS_TR hierarchy, const TPM2B_PUBLIC *template, lh_tpm_name *ret)
{
    LH_AUTO(lh_handle_release) lh_handle key = LH_HANDLE_NONE;
    LH_TRY(lh_core_primary(core, hierarchy, template, &key, NULL));
    return lh_core_name(core, key.tr, ret);
}

lh_err lh_core_identity(lh_core *core, lh_tpm_identity *ret)
{
    lh_tpm_identity identity = {0};
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    LH_TRY(lh_core_srk(core, &srk, &identity.srk));
    /* Not kept: a clear changes it, and another program may do that under us. */
    LH_TRY(primary_name(core, ESYS_TR_RH_OWNER, &srk_template, &identity.owner));
    if (core->ek.len == 0)
        LH_TRY(primary_name(core, ESYS_TR_RH_ENDORSEMENT, lh_core_ek_template(LH_TPM_EK_P256), &core->ek));
    identity.ek = core->ek;
    *ret = identity;
    return LH_SUCCESS;
}

lh_err lh_core_session(lh_core *core, ESYS_TR srk, TPM2_SE type, TPMA_SESSION flags, lh_handle *ret)
{
    const TPMT_SYM_DEF symmetric = SYMMETRIC_AES128;
    LH_AUTO(lh_handle_release) lh_handle session = {core, ESYS_TR_NONE, true};
    LH_TPM_TRY(core,
        Esys_StartAuthSession(core->esys, srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
            type, &symmetric, TPM2_ALG_SHA256, &session.tr),
        "TPM2_StartAuthSession");
    LH_TPM_TRY(core,
        Esys_TRSess_SetAttributes(core->esys, session.tr, flags | TPMA_SESSION_CONTINUESESSION,
            TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT | TPMA_SESSION_AUDIT),
        "ESYS");
    *ret = session;
    session = LH_HANDLE_NONE;
    return LH_SUCCESS;
}

lh_err lh_core_trial(lh_core *core, lh_handle *ret)
{
    const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    ESYS_TR tr = ESYS_TR_NONE;
    LH_TPM_TRY(core,
        Esys_StartAuthSession(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
            ESYS_TR_NONE, NULL, TPM2_SE_TRIAL, &none, TPM2_ALG_SHA256, &tr),
        "TPM2_StartAuthSession");
    *ret = (lh_handle){core, tr, true};
    return LH_SUCCESS;
}

lh_err lh_core_policy_digest(lh_core *core, ESYS_TR session, TPM2B_DIGEST *ret)
{
    LH_AUTO(lh_esys_freep) TPM2B_DIGEST *digest = NULL;
    LH_TPM_TRY(core,
        Esys_PolicyGetDigest(core->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest),
        "TPM2_PolicyGetDigest");
    *ret = *digest;
    return LH_SUCCESS;
}
