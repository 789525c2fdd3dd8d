/* The anchor: an NV index that anyone may read and only the holder of its authorization may write.
 *
 * Content: u16 length ‖ data ‖ zeros, always written whole by one TPM2_NV_Write, so that an interrupted write
 * leaves the old content or the new. Reading goes through a salted policy session, so that the answer is
 * authenticated by the TPM. */
#include "tpm/core.h"

#define ANCHOR_SIZE (2u + LH_TPM_ANCHOR_MAX)
#define ANCHOR_AUTH_MIN 16u
#define ANCHOR_AUTH_MAX 32u
#define ANCHOR_ATTRIBUTES                                                                                    \
    (TPMA_NV_AUTHWRITE | TPMA_NV_POLICYREAD | TPMA_NV_NO_DA |                                                \
        ((TPMA_NV)TPM2_NT_ORDINARY << TPMA_NV_TPM2_NT_SHIFT))

typedef struct {
    uint32_t index;
    const lh_secret *auth;
    lh_bytes data;
    lh_buf *out;
    uint32_t *free_index;
} anchor_arg;

static lh_err missing(uint32_t index)
{
    return LH_REFUSE(LH_E_NOT_FOUND, "anchor-missing",
        "the TPM has no NV index 0x%08x: the anchor was removed or the TPM was cleared", index);
}

static lh_err open_index(lh_core *core, uint32_t index, lh_handle *ret)
{
    ESYS_TR tr = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_FromTPMPublic(core->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tr);
    if (lh_core_is(rc, TPM2_RC_HANDLE))
        return missing(index);
    LH_TPM_TRY(core, rc, "TPM2_NV_ReadPublic");
    *ret = (lh_handle){core, tr, false};
    return LH_SUCCESS;
}

/* A policy that anyone can satisfy, and that allows nothing but reading. */
static lh_err read_policy(lh_core *core, ESYS_TR session)
{
    LH_TPM_TRY(core,
        Esys_PolicyCommandCode(
            core->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CC_NV_Read),
        "TPM2_PolicyCommandCode");
    return LH_SUCCESS;
}

static lh_err read_policy_digest(lh_core *core, TPM2B_DIGEST *ret)
{
    LH_AUTO(lh_handle_release) lh_handle trial = LH_HANDLE_NONE;
    LH_TRY(lh_core_trial(core, &trial));
    LH_TRY(read_policy(core, trial.tr));
    return lh_core_policy_digest(core, trial.tr, ret);
}

/* Was this index made by job_define? */
static lh_err check_index(lh_core *core, const lh_handle *nv, uint32_t index)
{
    LH_AUTO(lh_esys_freep) TPM2B_NV_PUBLIC *public = NULL;
    LH_AUTO(lh_esys_freep) TPM2B_NAME *name = NULL;
    LH_TPM_TRY(core,
        Esys_NV_ReadPublic(core->esys, nv->tr, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, &name),
        "TPM2_NV_ReadPublic");
    TPM2B_DIGEST policy;
    LH_TRY(read_policy_digest(core, &policy));
    const TPMS_NV_PUBLIC *p = &public->nvPublic;
    if ((p->attributes & ~(TPMA_NV)TPMA_NV_WRITTEN) != ANCHOR_ATTRIBUTES || p->dataSize != ANCHOR_SIZE ||
        !lh_bytes_equal(
            LH_BYTES(p->authPolicy.buffer, p->authPolicy.size), LH_BYTES(policy.buffer, policy.size)))
        return LH_REFUSE(LH_E_CORRUPT, "anchor-foreign",
            "NV index 0x%08x is not an anchor of ours: somebody has put another one in its place", index);
    return LH_SUCCESS;
}

static void take_auth(const lh_secret *auth, TPM2B_AUTH *out)
{
    *out = (TPM2B_AUTH){.size = (UINT16)lh_secret_len(auth)};
    memcpy(out->buffer, lh_secret_bytes(auth).data, out->size);
}

static lh_err define(lh_core *core, uint32_t index, const TPM2B_AUTH *auth)
{
    TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = index,
                                  .nameAlg = TPM2_ALG_SHA256,
                                  .attributes = ANCHOR_ATTRIBUTES,
                                  .dataSize = ANCHOR_SIZE}};
    LH_TRY(read_policy_digest(core, &public.nvPublic.authPolicy));
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_TRY(lh_core_srk_pinned(core, &srk));
    LH_TRY(lh_core_session(core, srk.tr, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT, &session));
    LH_AUTO(lh_handle_release) lh_handle nv = {core, ESYS_TR_NONE, false};
    TSS2_RC rc = Esys_NV_DefineSpace(
        core->esys, ESYS_TR_RH_OWNER, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, auth, &public, &nv.tr);
    if (lh_core_is(rc, TPM2_RC_NV_DEFINED))
        return LH_REFUSE(LH_E_EXISTS, "anchor-exists", "NV index 0x%08x is taken already", index);
    LH_TPM_TRY(core, rc, "TPM2_NV_DefineSpace");
    return LH_SUCCESS;
}

static lh_err job_define(lh_core *core, void *arg)
{
    const anchor_arg *a = arg;
    TPM2B_AUTH auth;
    take_auth(a->auth, &auth);
    lh_err err = define(core, a->index, &auth);
    explicit_bzero(&auth, sizeof(auth));
    return err;
}

static lh_err check_args(uint32_t index, const lh_secret *auth)
{
    /* The owner's range: TCG Registry of Reserved TPM 2.0 Handles, 2.2.2. */
    if (index < 0x01800000u || index > 0x01bfffffu)
        return LH_FAIL(LH_E_INVALID, "NV index 0x%08x is not in the owner's range", index);
    if (auth && (lh_secret_len(auth) < ANCHOR_AUTH_MIN || lh_secret_len(auth) > ANCHOR_AUTH_MAX))
        return LH_FAIL(LH_E_INVALID, "an anchor's authorization has 16 to 32 bytes");
    return LH_SUCCESS;
}

lh_err lh_tpm_anchor_define(lh_tpm *tpm, uint32_t index, const lh_secret *auth)
{
    LH_TRY(check_args(index, auth));
    anchor_arg arg = {.index = index, .auth = auth};
    return lh_tpm_run(tpm, job_define, &arg);
}

static lh_err job_write(lh_core *core, void *arg)
{
    const anchor_arg *a = arg;
    LH_AUTO(lh_handle_release) lh_handle nv = LH_HANDLE_NONE;
    LH_TRY(open_index(core, a->index, &nv));
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_TRY(lh_core_srk_pinned(core, &srk));
    LH_TRY(lh_core_session(core, srk.tr, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT, &session));
    TPM2B_AUTH auth;
    take_auth(a->auth, &auth);
    TSS2_RC rc = Esys_TR_SetAuth(core->esys, nv.tr, &auth);
    explicit_bzero(&auth, sizeof(auth));
    LH_TPM_TRY(core, rc, "ESYS");
    TPM2B_MAX_NV_BUFFER buffer = {.size = ANCHOR_SIZE};
    buffer.buffer[1] = (uint8_t)a->data.len;
    memcpy(buffer.buffer + 2, a->data.data, a->data.len);
    rc = Esys_NV_Write(core->esys, nv.tr, nv.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &buffer, 0);
    (void)Esys_TR_SetAuth(core->esys, nv.tr, &auth); /* zeros over ESYS's copy */
    if (lh_core_is(rc, TPM2_RC_AUTH_FAIL) || lh_core_is(rc, TPM2_RC_BAD_AUTH))
        return LH_REFUSE(LH_E_DENIED, "anchor-auth",
            "the TPM refuses to write NV index 0x%08x: it was made anew by somebody else", a->index);
    LH_TPM_TRY(core, rc, "TPM2_NV_Write");
    return LH_SUCCESS;
}

lh_err lh_tpm_anchor_write(lh_tpm *tpm, uint32_t index, const lh_secret *auth, lh_bytes data)
{
    LH_TRY(check_args(index, auth));
    if (data.len < 1 || data.len > LH_TPM_ANCHOR_MAX)
        return LH_FAIL(LH_E_INVALID, "an anchor holds 1 to %u bytes", LH_TPM_ANCHOR_MAX);
    anchor_arg arg = {.index = index, .auth = auth, .data = data};
    return lh_tpm_run(tpm, job_write, &arg);
}

static lh_err job_read(lh_core *core, void *arg)
{
    const anchor_arg *a = arg;
    LH_AUTO(lh_handle_release) lh_handle nv = LH_HANDLE_NONE;
    LH_TRY(open_index(core, a->index, &nv));
    LH_TRY(check_index(core, &nv, a->index));
    LH_AUTO(lh_handle_release) lh_handle srk = LH_HANDLE_NONE;
    LH_AUTO(lh_handle_release) lh_handle session = LH_HANDLE_NONE;
    LH_TRY(lh_core_srk_pinned(core, &srk));
    LH_TRY(lh_core_session(core, srk.tr, TPM2_SE_POLICY, 0, &session));
    LH_TRY(read_policy(core, session.tr));
    LH_AUTO(lh_esys_freep) TPM2B_MAX_NV_BUFFER *buffer = NULL;
    TSS2_RC rc = Esys_NV_Read(
        core->esys, nv.tr, nv.tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, ANCHOR_SIZE, 0, &buffer);
    if (lh_core_is(rc, TPM2_RC_NV_UNINITIALIZED))
        return LH_REFUSE(
            LH_E_STATE, "anchor-unwritten", "NV index 0x%08x was defined but never written", a->index);
    LH_TPM_TRY(core, rc, "TPM2_NV_Read");
    size_t len = buffer->size == ANCHOR_SIZE ? (size_t)buffer->buffer[0] << 8 | buffer->buffer[1] : 0;
    if (len < 1 || len > LH_TPM_ANCHOR_MAX)
        return LH_REFUSE(LH_E_CORRUPT, "anchor-foreign", "NV index 0x%08x holds no anchor of ours", a->index);
    lh_buf_append(a->out, buffer->buffer + 2, len);
    return lh_buf_status(a->out);
}

lh_err lh_tpm_anchor_read(lh_tpm *tpm, uint32_t index, lh_buf *ret)
{
    LH_TRY(check_args(index, NULL));
    anchor_arg arg = {.index = index, .out = ret};
    return lh_tpm_run(tpm, job_read, &arg);
}

static lh_err job_undefine(lh_core *core, void *arg)
{
    const anchor_arg *a = arg;
    LH_AUTO(lh_handle_release) lh_handle nv = LH_HANDLE_NONE;
    LH_TRY(open_index(core, a->index, &nv));
    LH_TPM_TRY(core,
        Esys_NV_UndefineSpace(
            core->esys, ESYS_TR_RH_OWNER, nv.tr, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE),
        "TPM2_NV_UndefineSpace");
    nv = LH_HANDLE_NONE; /* ESYS has let go of it */
    return LH_SUCCESS;
}

lh_err lh_tpm_anchor_undefine(lh_tpm *tpm, uint32_t index)
{
    LH_TRY(check_args(index, NULL));
    anchor_arg arg = {.index = index};
    return lh_tpm_run(tpm, job_undefine, &arg);
}

static lh_err job_find_free(lh_core *core, void *arg)
{
    const anchor_arg *a = arg;
    TPMI_YES_NO more = TPM2_NO;
    LH_AUTO(lh_esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    LH_TPM_TRY(core,
        Esys_GetCapability(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
            LH_TPM_ANCHOR_BASE, LH_TPM_ANCHOR_COUNT, &more, &data),
        "TPM2_GetCapability");
    /* The list is in rising order: Part 3, TPM2_GetCapability. */
    uint32_t candidate = LH_TPM_ANCHOR_BASE;
    for (UINT32 i = 0; i < data->data.handles.count && i < TPM2_MAX_CAP_HANDLES; i++)
        if (data->data.handles.handle[i] == candidate)
            candidate++;
    if (candidate >= LH_TPM_ANCHOR_BASE + LH_TPM_ANCHOR_COUNT)
        return LH_REFUSE(
            LH_E_LIMIT, "anchor-none-free", "the TPM has %u anchors already", LH_TPM_ANCHOR_COUNT);
    *a->free_index = candidate;
    return LH_SUCCESS;
}

lh_err lh_tpm_anchor_find_free(lh_tpm *tpm, uint32_t *ret_index)
{
    anchor_arg arg = {.free_index = ret_index};
    return lh_tpm_run(tpm, job_find_free, &arg);
}
