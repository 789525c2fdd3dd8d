/* The storage key, and lease keys from import to release.
 *
 * Invariants:
 *  1. Either the attestation and checkpoint keys are loaded, or an approver and a lease key: a TPM has room
 * for three objects, and an HMAC sequence is one.
 *  2. What was saved on an earlier connection is not loaded on this one: the TPM may have been reset. */
#include "tpm/lease_key_internal.h"

#include <tss2/tss2_mu.h>

#include <stdatomic.h>

#define NULL_SYMMETRIC                                                                                       \
    {                                                                                                        \
        .algorithm = TPM2_ALG_NULL                                                                           \
    }

static const TPM2B_PUBLIC storage_template = {
    .publicArea = {.type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                            TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED |
                            TPMA_OBJECT_DECRYPT,
        .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                     .keyBits.aes = 128,
                                     .mode.aes = TPM2_ALG_CFB},
            .scheme.scheme = TPM2_ALG_NULL,
            .curveID = TPM2_ECC_NIST_P256,
            .kdf.scheme = TPM2_ALG_NULL},
        .unique.ecc = {.x = {.size = 32, .buffer = "leasehold-storage-key-v1"}, .y.size = 32}}};

static const TSS2L_SYS_AUTH_COMMAND empty_password = {.count = 1, .auths = {{.sessionHandle = TPM2_RS_PW}}};

lh_err lh_lease_sys(lh_core *core, TSS2_SYS_CONTEXT **ret)
{
    LH_TPM_TRY(core, Esys_GetSysContext(core->esys, ret), "ESYS");
    return LH_SUCCESS;
}

bool lh_lease_stale(TSS2_RC rc)
{
    if (lh_core_is(rc, TPM2_RC_HANDLE))
        return true;
    for (TSS2_RC code = TPM2_RC_REFERENCE_H0; code <= TPM2_RC_REFERENCE_H6; code++)
        if (lh_core_is(rc, code))
            return true;
    return false;
}

TSS2L_SYS_AUTH_COMMAND lh_lease_owner_auth(const lh_core *core)
{
    TSS2L_SYS_AUTH_COMMAND auths = empty_password;
    if (core->owner_auth && lh_secret_len(core->owner_auth) <= sizeof(auths.auths[0].hmac.buffer)) {
        auths.auths[0].hmac.size = (UINT16)lh_secret_len(core->owner_auth);
        memcpy(auths.auths[0].hmac.buffer, lh_secret_bytes(core->owner_auth).data, auths.auths[0].hmac.size);
    }
    return auths;
}

/* --- what is loaded ---------------------------------------------------------------------------------------
 */

static void flush(lh_core *core, TPM2_HANDLE *handle)
{
    TSS2_SYS_CONTEXT *sys = NULL;
    if (*handle != 0 && core->esys && !core->broken && Esys_GetSysContext(core->esys, &sys) == 0)
        (void)Tss2_Sys_FlushContext(sys, *handle); /* what cannot be flushed is not there */
    *handle = 0;
}

void lh_core_leases_unload(lh_core *core)
{
    flush(core, &core->leases.approver);
    flush(core, &core->leases.key);
}

void lh_core_leases_forget(lh_core *core)
{
    lh_core_leases *l = &core->leases;
    l->approver = l->key = 0;
    lh_esys_freep(&l->approver_saved);
    lh_esys_freep(&l->storage);
    l->connection++;
}

static lh_err save(lh_core *core, TSS2_SYS_CONTEXT *sys, TPM2_HANDLE handle, TPMS_CONTEXT **ret)
{
    TPMS_CONTEXT *context = calloc(1, sizeof(*context));
    if (!context)
        return LH_RAISE(LH_E_NOMEM, 0);
    TSS2_RC rc = Tss2_Sys_ContextSave(sys, handle, context);
    if (rc != TSS2_RC_SUCCESS) {
        free(context);
        return lh_core_error(core, rc, "TPM2_ContextSave");
    }
    lh_esys_freep(ret);
    *ret = context;
    return LH_SUCCESS;
}

/* A handle of SYS that flushes itself. */
typedef struct {
    lh_core *core;
    TPM2_HANDLE handle;
} sys_handle;

static void sys_handle_release(sys_handle *h)
{
    flush(h->core, &h->handle);
}

static lh_err make_storage(lh_core *core, TSS2_SYS_CONTEXT *sys, TPM2_HANDLE *ret)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {.size = sizeof(TPM2B_AUTH) + sizeof(TPM2B_SENSITIVE_DATA)};
    const TPM2B_DATA outside = {0};
    const TPML_PCR_SELECTION pcrs = {0};
    TSS2L_SYS_AUTH_COMMAND auths = lh_lease_owner_auth(core);
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    TPM2B_PUBLIC public = {0};
    TPM2B_CREATION_DATA data = {0};
    TPM2B_DIGEST hash = {0};
    TPMT_TK_CREATION ticket = {0};
    TPM2B_NAME name = {0};
    TSS2_RC rc = Tss2_Sys_CreatePrimary(sys, TPM2_RH_OWNER, &auths, &sensitive, &storage_template, &outside,
        &pcrs, ret, &public, &data, &hash, &ticket, &name, &responses);
    explicit_bzero(&auths, sizeof(auths));
    LH_TPM_TRY(core, rc, "TPM2_CreatePrimary of the storage key");
    return LH_SUCCESS;
}

static lh_err load_storage(lh_core *core, TSS2_SYS_CONTEXT *sys, sys_handle *ret)
{
    lh_core_make_room(core);
    if (core->leases.storage &&
        Tss2_Sys_ContextLoad(sys, core->leases.storage, &ret->handle) == TSS2_RC_SUCCESS)
        return LH_SUCCESS;
    /* A context outlives neither a reset nor a clear. */
    ret->handle = 0;
    LH_TRY(make_storage(core, sys, &ret->handle));
    return save(core, sys, ret->handle, &core->leases.storage);
}

static lh_err load_approver(lh_core *core, TSS2_SYS_CONTEXT *sys, const lh_tpm_key *key)
{
    lh_core_leases *l = &core->leases;
    TPM2B_NAME name = {0};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    LH_TPM_TRY(core,
        Tss2_Sys_LoadExternal(
            sys, NULL, NULL, &key->approver, TPM2_RH_OWNER, &l->approver, &name, &responses),
        "TPM2_LoadExternal of the vault's approval key");
    l->approver_of.len = name.size <= sizeof(l->approver_of.data) ? name.size : 0;
    memcpy(l->approver_of.data, name.name, l->approver_of.len);
    return save(core, sys, l->approver, &l->approver_saved);
}

static lh_err load_imported(lh_core *core, TSS2_SYS_CONTEXT *sys, lh_tpm_key *key)
{
    LH_AUTO(sys_handle_release) sys_handle storage = {core, 0};
    LH_TRY(load_storage(core, sys, &storage));
    TPM2B_NAME name = {0};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    LH_TPM_TRY(core,
        Tss2_Sys_Load(sys, storage.handle, &empty_password, &key->private_area, &key->public_area,
            &core->leases.key, &name, &responses),
        "TPM2_Load of a lease key");
    core->leases.key_of = key->serial;
    LH_TRY(save(core, sys, core->leases.key, &key->saved));
    key->saved_on = core->leases.connection;
    return LH_SUCCESS;
}

static lh_err load_key(lh_core *core, TSS2_SYS_CONTEXT *sys, lh_tpm_key *key)
{
    lh_core_leases *l = &core->leases;
    l->key_of = key->serial;
    if (key->saved && key->saved_on == l->connection &&
        Tss2_Sys_ContextLoad(sys, key->saved, &l->key) == TSS2_RC_SUCCESS)
        return LH_SUCCESS;
    l->key = 0;
    return load_imported(core, sys, key);
}

static lh_err reload_approver(lh_core *core, TSS2_SYS_CONTEXT *sys, const lh_tpm_key *key)
{
    lh_core_leases *l = &core->leases;
    if (l->approver_saved && lh_tpm_name_equal(&l->approver_of, &key->approver_name) &&
        Tss2_Sys_ContextLoad(sys, l->approver_saved, &l->approver) == TSS2_RC_SUCCESS)
        return LH_SUCCESS;
    l->approver = 0;
    return load_approver(core, sys, key);
}

lh_err lh_lease_load(lh_core *core, lh_tpm_key *key, TPM2_HANDLE *ret_approver, TPM2_HANDLE *ret_key)
{
    lh_core_leases *l = &core->leases;
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    if (l->key != 0 && l->key_of != key->serial)
        flush(core, &l->key);
    if (l->approver != 0 && !lh_tpm_name_equal(&l->approver_of, &key->approver_name))
        flush(core, &l->approver);
    if (l->key == 0 && l->approver == 0)
        lh_core_make_room(core);
    /* First the key: loading it for the first time on this connection takes the room of the approver. */
    if (l->key == 0)
        LH_TRY(load_key(core, sys, key));
    if (l->approver == 0)
        LH_TRY(reload_approver(core, sys, key));
    *ret_approver = l->approver;
    *ret_key = l->key;
    return LH_SUCCESS;
}

/* --- the storage key, certified ---------------------------------------------------------------------------
 */

typedef struct {
    const uint8_t *nonce;
    lh_buf *public_area, *attest, *signature;
} certify_arg;

static lh_err job_certify(lh_core *core, void *arg)
{
    const certify_arg *a = arg;
    LH_AUTO(lh_handle_release) lh_handle storage = LH_HANDLE_NONE;
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_TRY(lh_core_primary(core, ESYS_TR_RH_OWNER, &storage_template, &storage, &public));
    ESYS_TR ak;
    LH_TRY(lh_core_ak(core, &ak));
    TPM2B_DATA qualifying = {.size = 32};
    memcpy(qualifying.buffer, a->nonce, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    LH_AUTO(lh_esys_freep) TPM2B_ATTEST *attest = NULL;
    LH_AUTO(lh_esys_freep) TPMT_SIGNATURE *signature = NULL;
    LH_TPM_TRY(core,
        Esys_Certify(core->esys, storage.tr, ak, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE,
            &qualifying, &scheme, &attest, &signature),
        "TPM2_Certify");
    uint8_t bytes[sizeof(TPMT_PUBLIC) + sizeof(TPMT_SIGNATURE)];
    size_t public_len = 0, end = 0;
    LH_TPM_TRY(core, Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, bytes, sizeof(bytes), &public_len),
        "TPMT_PUBLIC");
    end = public_len;
    LH_TPM_TRY(core, Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &end), "TPMT_SIGNATURE");
    lh_buf_append(a->public_area, bytes, public_len);
    lh_buf_append(a->attest, attest->attestationData, attest->size);
    lh_buf_append(a->signature, bytes + public_len, end - public_len);
    LH_TRY(lh_buf_status(a->public_area));
    LH_TRY(lh_buf_status(a->attest));
    return lh_buf_status(a->signature);
}

lh_err lh_tpm_storage_certify(
    lh_tpm *tpm, const uint8_t nonce[32], lh_buf *ret_public, lh_buf *ret_attest, lh_buf *ret_signature)
{
    certify_arg arg = {nonce, ret_public, ret_attest, ret_signature};
    return lh_tpm_run(tpm, job_certify, &arg);
}

/* --- import -----------------------------------------------------------------------------------------------
 */

static lh_err refuse_format(void)
{
    return LH_REFUSE(LH_E_CORRUPT, "custody-format", "what the vault sent is not a wrapped key");
}

static lh_err read_public(lh_bytes bytes, TPM2B_PUBLIC *ret)
{
    size_t offset = 0;
    if (bytes.len > LH_LEASE_KEY_PUBLIC_MAX || bytes.len == 0 ||
        Tss2_MU_TPMT_PUBLIC_Unmarshal(bytes.data, bytes.len, &offset, &ret->publicArea) != TSS2_RC_SUCCESS ||
        offset != bytes.len)
        return refuse_format();
    return LH_SUCCESS;
}

typedef struct {
    lh_tpm_key *key;
    TPM2B_PRIVATE duplicate;
    TPM2B_ENCRYPTED_SECRET seed;
} import_arg;

static lh_err read_package(const lh_lease_key_package *package, import_arg *a)
{
    lh_tpm_key *key = a->key;
    LH_TRY(read_public(package->public_area, &key->public_area));
    LH_TRY(read_public(package->approver, &key->approver));
    size_t at = 0, seed_at = 0;
    if (package->duplicate.len > LH_LEASE_KEY_DUPLICATE_MAX || package->duplicate.len == 0 ||
        package->seed.len > LH_LEASE_KEY_SEED_MAX || package->seed.len == 0 ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(
            package->duplicate.data, package->duplicate.len, &at, &a->duplicate) != TSS2_RC_SUCCESS ||
        at != package->duplicate.len ||
        Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(package->seed.data, package->seed.len, &seed_at, &a->seed) !=
            TSS2_RC_SUCCESS ||
        seed_at != package->seed.len || (package->pcr_mask & ~LH_TPM_PCR_MASK_ALL) != 0 ||
        package->pcr_mask == 0)
        return refuse_format();
    memcpy(key->lease, package->lease, sizeof(key->lease));
    key->pcr_mask = package->pcr_mask;
    key->reset_count = package->reset_count;
    key->restart_count = package->restart_count;
    key->pin_index = package->pin_index;
    return LH_SUCCESS;
}

static lh_err job_import(lh_core *core, void *arg)
{
    import_arg *a = arg;
    lh_tpm_key *key = a->key;
    TSS2_SYS_CONTEXT *sys = NULL;
    LH_TRY(lh_lease_sys(core, &sys));
    {
        LH_AUTO(sys_handle_release) sys_handle storage = {core, 0};
        LH_TRY(load_storage(core, sys, &storage));
        const TPMT_SYM_DEF_OBJECT no_inner_wrap = NULL_SYMMETRIC;
        const TPM2B_DATA no_key = {0};
        TSS2L_SYS_AUTH_RESPONSE responses = {0};
        TSS2_RC rc = Tss2_Sys_Import(sys, storage.handle, &empty_password, &no_key, &key->public_area,
            &a->duplicate, &a->seed, &no_inner_wrap, &key->private_area, &responses);
        /* Wrapped for another key, the seed is another point, or garbles: the TPM names various reasons. */
        if (lh_core_is(rc, TPM2_RC_INTEGRITY) || lh_core_is(rc, TPM2_RC_ECC_POINT) ||
            lh_core_is(rc, TPM2_RC_VALUE))
            return lh_err_raise(LH_E_CORRUPT, rc, __FILE__, __LINE__, "custody-import",
                "TPM2_Import: the key is not wrapped for this TPM's storage key, or is damaged (0x%03x)", rc);
        LH_TPM_TRY(core, rc, "TPM2_Import");
    }
    TPM2_HANDLE approver = 0, handle = 0;
    LH_TRY(lh_lease_load(core, key, &approver, &handle));
    return key->pin_index != 0 ? lh_lease_pin_define(core, key) : LH_SUCCESS;
}

/* The Name of the approver, so that keys of one vault share what is loaded. */
static lh_err job_approver_name(lh_core *core, void *arg)
{
    lh_tpm_key *key = arg;
    uint8_t bytes[sizeof(TPMT_PUBLIC)];
    size_t len = 0;
    LH_TPM_TRY(core, Tss2_MU_TPMT_PUBLIC_Marshal(&key->approver.publicArea, bytes, sizeof(bytes), &len),
        "TPMT_PUBLIC");
    key->approver_name = (lh_tpm_name){.len = 34, .data = {TPM2_ALG_SHA256 >> 8, TPM2_ALG_SHA256 & 0xff}};
    return lh_lease_hash(core, LH_BYTES(bytes, len), key->approver_name.data + 2);
}

lh_err lh_lease_key_import(lh_tpm *tpm, const lh_lease_key_package *package, lh_tpm_key **ret)
{
    static atomic_uint_fast64_t serials;
    lh_tpm_key *key = calloc(1, sizeof(*key));
    if (!key)
        return LH_RAISE(LH_E_NOMEM, 0);
    key->tpm = tpm;
    key->serial = atomic_fetch_add(&serials, 1) + 1;
    pthread_mutex_init(&key->mutex, NULL);
    import_arg arg = {.key = key};
    lh_err err = read_package(package, &arg);
    if (lh_ok(err))
        err = lh_tpm_run(tpm, job_approver_name, key);
    if (lh_ok(err))
        err = lh_tpm_run(tpm, job_import, &arg);
    if (!lh_ok(err)) {
        const lh_err_detail detail = *lh_err_last();
        key->pin_index = 0; /* nothing of it is there, or it is another's */
        lh_lease_key_free(key);
        return lh_err_raise(
            err.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
    }
    *ret = key;
    return LH_SUCCESS;
}

static lh_err job_free(lh_core *core, void *arg)
{
    lh_tpm_key *key = arg;
    if (core->leases.key_of == key->serial)
        flush(core, &core->leases.key);
    if (key->pin_index != 0)
        lh_lease_pin_undefine(core, key);
    return LH_SUCCESS;
}

void lh_lease_key_free(lh_tpm_key *key)
{
    if (!key)
        return;
    /* Where the TPM is gone, so is what was loaded. */
    LH_IGNORE(lh_tpm_run(key->tpm, job_free, key));
    lh_esys_freep(&key->saved);
    lh_esys_freep(&key->pin_session);
    pthread_mutex_destroy(&key->mutex);
    free(key);
}

/* --- approval ---------------------------------------------------------------------------------------------
 */

void lh_lease_signature(const uint8_t signature[64], TPMT_SIGNATURE *ret)
{
    *ret = (TPMT_SIGNATURE){.sigAlg = TPM2_ALG_ECDSA};
    TPMS_SIGNATURE_ECDSA *ecdsa = &ret->signature.ecdsa;
    ecdsa->hash = TPM2_ALG_SHA256;
    ecdsa->signatureR.size = ecdsa->signatureS.size = 32;
    memcpy(ecdsa->signatureR.buffer, signature, 32);
    memcpy(ecdsa->signatureS.buffer, signature + 32, 32);
}

lh_err lh_lease_key_approve(lh_tpm_key *key, int32_t expiration, const uint8_t signature[64])
{
    if (expiration <= 0)
        return LH_FAIL(LH_E_INVALID, "an approval until %d", (int)expiration);
    pthread_mutex_lock(&key->mutex);
    key->expiration = expiration;
    lh_lease_signature(signature, &key->approval);
    pthread_mutex_unlock(&key->mutex);
    return LH_SUCCESS;
}
