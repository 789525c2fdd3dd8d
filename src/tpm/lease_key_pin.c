/* Counted uses: an NT_PIN_PASS index, whose authorization succeeds pinLimit times. It is written only with
 * the vault's signature over that write in that very session, so that nothing old sets the count back; who
 * removes it and defines it anew has an index that was never written, which authorizes nothing. */
#include "tpm/lease_key_internal.h"

#include <tss2/tss2_mu.h>

#define PIN_SIZE 8u /* pinCount ‖ pinLimit */
#define CC_NV_WRITE 0x00000137u

lh_err lh_lease_hash(lh_core *core, lh_bytes data, uint8_t ret[32])
{
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    TPM2B_MAX_BUFFER in = {.size = (UINT16)data.len};
    if (data.len > sizeof(in.buffer))
        return LH_FAIL(LH_E_INVALID, "%zu bytes to hash", data.len);
    memcpy(in.buffer, data.data, data.len);
    TPM2B_DIGEST out = {0};
    TPMT_TK_HASHCHECK ticket = {0};
    LH_TPM_TRY(
        core, Tss2_Sys_Hash(sys, NULL, &in, TPM2_ALG_SHA256, TPM2_RH_NULL, &out, &ticket, NULL), "TPM2_Hash");
    if (out.size != 32)
        return LH_FAIL(LH_E_TPM, "the TPM's digest has %u bytes", out.size);
    memcpy(ret, out.buffer, 32);
    return LH_SUCCESS;
}

static void put_u32(uint8_t *out, uint32_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}

static void pin_ref(const lh_tpm_key *key, TPM2B_NONCE *ret)
{
    *ret = (TPM2B_NONCE){.size = LH_LEASE_KEY_PIN_REF};
    memcpy(ret->buffer, key->lease, LH_LEASE_KEY_REF);
    memcpy(ret->buffer + LH_LEASE_KEY_REF, "pin", 3);
}

/* PolicySigned of the approver with that policyRef, from nothing: what lh_custody_pin_policy computes. */
static lh_err write_policy(lh_core *core, const lh_tpm_key *key, TPM2B_DIGEST *ret)
{
    uint8_t bytes[32 + 4 + LH_TPM_NAME_MAX] = {0};
    put_u32(bytes + 32, TPM2_CC_PolicySigned);
    memcpy(bytes + 36, key->approver_name.data, key->approver_name.len);
    uint8_t digest[32 + LH_LEASE_KEY_PIN_REF];
    LH_TRY(lh_lease_hash(core, LH_BYTES(bytes, 36 + key->approver_name.len), digest));
    TPM2B_NONCE ref;
    pin_ref(key, &ref);
    memcpy(digest + 32, ref.buffer, ref.size);
    *ret = (TPM2B_DIGEST){.size = 32};
    return lh_lease_hash(core, LH_BYTES(digest, sizeof(digest)), ret->buffer);
}

void lh_lease_pin_undefine(lh_core *core, const lh_tpm_key *key)
{
    TSS2_SYS_CONTEXT *sys = NULL;
    if (!lh_ok(lh_lease_sys(core, &sys)))
        return;
    TSS2L_SYS_AUTH_COMMAND auths = lh_lease_owner_auth(core);
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    (void)Tss2_Sys_NV_UndefineSpace(sys, TPM2_RH_OWNER, key->pin_index, &auths, &responses);
    explicit_bzero(&auths, sizeof(auths));
}

lh_err lh_lease_pin_define(lh_core *core, const lh_tpm_key *key)
{
    if (key->pin_index < LH_LEASE_KEY_PIN_BASE ||
        key->pin_index >= LH_LEASE_KEY_PIN_BASE + LH_LEASE_KEY_PIN_COUNT)
        return LH_REFUSE(
            LH_E_INVALID, "custody-format", "0x%08x is no index for counting uses", key->pin_index);
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = key->pin_index,
                                  .nameAlg = TPM2_ALG_SHA256,
                                  .attributes = (TPMA_NV)(TPM2_NT_PIN_PASS << TPMA_NV_TPM2_NT_SHIFT) |
                                                TPMA_NV_POLICYWRITE | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA,
                                  .dataSize = PIN_SIZE}};
    LH_TRY(write_policy(core, key, &public.nvPublic.authPolicy));
    const TPM2B_AUTH no_auth = {0};
    TSS2_RC rc = TSS2_RC_SUCCESS;
    for (unsigned i = 0; i < 2; i++) {
        TSS2L_SYS_AUTH_COMMAND auths = lh_lease_owner_auth(core);
        TSS2L_SYS_AUTH_RESPONSE responses = {0};
        rc = Tss2_Sys_NV_DefineSpace(sys, TPM2_RH_OWNER, &auths, &no_auth, &public, &responses);
        explicit_bzero(&auths, sizeof(auths));
        if (!lh_core_is(rc, TPM2_RC_NV_DEFINED))
            break;
        lh_lease_pin_undefine(core, key); /* a lease's that ended without us */
    }
    LH_TPM_TRY(core, rc, "TPM2_NV_DefineSpace");
    return LH_SUCCESS;
}

/* --- giving uses ------------------------------------------------------------------------------------------
 */

static void drop_session(lh_core *core, TSS2_SYS_CONTEXT *sys, lh_tpm_key *key)
{
    if (key->pin_session && key->pin_session_on == core->leases.connection)
        (void)Tss2_Sys_FlushContext(sys, key->pin_session->savedHandle);
    lh_esys_freep(&key->pin_session);
}

/* The session is parked: a TPM has room for three. */
static lh_err job_begin(lh_core *core, void *arg)
{
    lh_tpm_key *key = arg;
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    drop_session(core, sys, key);
    TPMI_SH_AUTH_SESSION session = 0;
    LH_TPM_TRY(core, lh_lease_session(sys, &session, &key->pin_nonce), "TPM2_StartAuthSession");
    TPMS_CONTEXT *saved = calloc(1, sizeof(*saved));
    TSS2_RC rc = saved ? Tss2_Sys_ContextSave(sys, session, saved) : TSS2_RC_SUCCESS;
    if (!saved || rc != TSS2_RC_SUCCESS) {
        free(saved);
        (void)Tss2_Sys_FlushContext(sys, session);
        LH_TPM_TRY(core, rc, "TPM2_ContextSave");
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    key->pin_session = saved;
    key->pin_session_on = core->leases.connection;
    return LH_SUCCESS;
}

lh_err lh_lease_key_pin_begin(lh_tpm_key *key, uint8_t ret_nonce[32])
{
    if (key->pin_index == 0)
        return LH_FAIL(LH_E_INVALID, "the key's uses are not counted");
    LH_TRY(lh_tpm_run(key->tpm, job_begin, key));
    if (key->pin_nonce.size != 32)
        return LH_FAIL(LH_E_TPM, "the TPM's nonce has %u bytes", key->pin_nonce.size);
    memcpy(ret_nonce, key->pin_nonce.buffer, 32);
    return LH_SUCCESS;
}

typedef struct {
    lh_tpm_key *key;
    uint32_t limit;
    TPMT_SIGNATURE signature;
} finish_arg;

/* cpHash of the write: command ‖ Name ‖ Name ‖ parameters (Part 1, 16.7). */
static lh_err write_hash(lh_core *core, TSS2_SYS_CONTEXT *sys, const finish_arg *a, TPM2B_DIGEST *ret)
{
    TPM2B_NV_PUBLIC public = {0};
    TPM2B_NAME name = {0};
    LH_TPM_TRY(core, Tss2_Sys_NV_ReadPublic(sys, a->key->pin_index, NULL, &public, &name, NULL),
        "TPM2_NV_ReadPublic");
    if (name.size > LH_TPM_NAME_MAX)
        return LH_FAIL(LH_E_TPM, "a Name of %u bytes", name.size);
    uint8_t bytes[4 + 2 * LH_TPM_NAME_MAX + 2 + PIN_SIZE + 2] = {0};
    put_u32(bytes, CC_NV_WRITE);
    size_t at = 4;
    for (unsigned i = 0; i < 2; i++, at += name.size)
        memcpy(bytes + at, name.name, name.size);
    bytes[at + 1] = PIN_SIZE;
    put_u32(bytes + at + 2 + 4, a->limit);
    *ret = (TPM2B_DIGEST){.size = 32};
    return lh_lease_hash(core, LH_BYTES(bytes, at + 2 + PIN_SIZE + 2), ret->buffer);
}

static TSS2_RC write_limit(TSS2_SYS_CONTEXT *sys, TPM2_HANDLE approver, TPMI_SH_AUTH_SESSION session,
    const finish_arg *a, const TPM2B_DIGEST *hash)
{
    TPM2B_NONCE ref;
    pin_ref(a->key, &ref);
    TPM2B_TIMEOUT timeout = {0};
    TPMT_TK_AUTH ticket = {0};
    TSS2_RC rc = Tss2_Sys_PolicySigned(sys, approver, session, NULL, &a->key->pin_nonce, hash, &ref, 0,
        &a->signature, &timeout, &ticket, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    TPM2B_MAX_NV_BUFFER data = {.size = PIN_SIZE};
    put_u32(data.buffer + 4, a->limit);
    const TSS2L_SYS_AUTH_COMMAND auths = {.count = 1, .auths = {{.sessionHandle = session}}};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    return Tss2_Sys_NV_Write(sys, a->key->pin_index, a->key->pin_index, &auths, &data, 0, &responses);
}

static lh_err job_finish(lh_core *core, void *arg)
{
    finish_arg *a = arg;
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    if (!a->key->pin_session || a->key->pin_session_on != core->leases.connection)
        return LH_REFUSE(LH_E_STATE, "custody-session", "no session waits for that signature");
    TPM2B_DIGEST hash;
    LH_TRY(write_hash(core, sys, a, &hash));
    TPM2_HANDLE approver = 0, handle = 0;
    LH_TRY(lh_lease_load(core, a->key, &approver, &handle));
    TPMI_SH_AUTH_SESSION session = 0;
    TSS2_RC rc = Tss2_Sys_ContextLoad(sys, a->key->pin_session, &session);
    if (rc == TSS2_RC_SUCCESS) {
        rc = write_limit(sys, approver, session, a, &hash);
        if (rc != TSS2_RC_SUCCESS)
            (void)Tss2_Sys_FlushContext(sys, session);
    }
    lh_esys_freep(&a->key->pin_session);
    if (lh_core_is(rc, TPM2_RC_SIGNATURE) || lh_core_is(rc, TPM2_RC_NONCE))
        return lh_err_raise(LH_E_DENIED, rc, __FILE__, __LINE__, "custody-approval",
            "the TPM refuses to set the count: the signature is not the vault's over this write (0x%03x)",
            rc);
    LH_TPM_TRY(core, rc, "TPM2_NV_Write");
    return LH_SUCCESS;
}

lh_err lh_lease_key_pin_finish(lh_tpm_key *key, uint32_t limit, const uint8_t signature[64])
{
    finish_arg a = {.key = key, .limit = limit};
    lh_lease_signature(signature, &a.signature);
    return lh_tpm_run(key->tpm, job_finish, &a);
}
