/* A use of a lease key: its policy, run anew, and the command. By SYS: ESYS would take five times as long. */
#include "tpm/lease_key_internal.h"

#include "base/secret.h"

#define TIME_INFO_COUNTS 16u /* offset of resetCount ‖ restartCount in TPMS_TIME_INFO (Part 2, 10.11.6) */
#define BLOCK 16u

/* Where a use has come to: what a response code means depends on it. */
enum stage { STAGE_SESSION, STAGE_PCR, STAGE_COUNTS, STAGE_APPROVAL, STAGE_PIN, STAGE_COMMAND };

typedef struct {
    lh_core *core;
    TSS2_SYS_CONTEXT *sys;
    lh_tpm_key *key;
    TPM2_HANDLE handle;
    TPMI_SH_AUTH_SESSION session; /* 0: none */
    enum stage stage;
} use;

/* The command that the session authorizes; auths has it. */
typedef TSS2_RC (*command_fn)(const use *u, const TSS2L_SYS_AUTH_COMMAND *auths, void *arg);

typedef struct {
    lh_tpm_key *key;
    command_fn command;
    void *arg;
    const char *name; /* of the command */
} use_arg;

TSS2_RC lh_lease_session(TSS2_SYS_CONTEXT *sys, TPMI_SH_AUTH_SESSION *ret, TPM2B_NONCE *ret_nonce)
{
    const TPMT_SYM_DEF no_cipher = {.algorithm = TPM2_ALG_NULL};
    const TPM2B_ENCRYPTED_SECRET no_salt = {0};
    TPM2B_NONCE caller = {.size = 32};
    lh_random(caller.buffer, caller.size);
    *ret_nonce = (TPM2B_NONCE){0};
    return Tss2_Sys_StartAuthSession(sys, TPM2_RH_NULL, TPM2_RH_NULL, NULL, &caller, &no_salt, TPM2_SE_POLICY,
        &no_cipher, TPM2_ALG_SHA256, ret, ret_nonce, NULL);
}

static void put_u32(uint8_t *out, uint32_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}

static TSS2_RC show_approval(use *u, TPM2_HANDLE approver)
{
    const TPM2B_NONCE no_nonce = {0};
    const TPM2B_DIGEST no_hash = {0};
    TPM2B_NONCE ref = {.size = LH_LEASE_KEY_REF};
    memcpy(ref.buffer, u->key->lease, LH_LEASE_KEY_REF);
    pthread_mutex_lock(&u->key->mutex);
    const int32_t expiration = u->key->expiration;
    const TPMT_SIGNATURE approval = u->key->approval;
    pthread_mutex_unlock(&u->key->mutex);
    TPM2B_TIMEOUT timeout = {0};
    TPMT_TK_AUTH ticket = {0};
    return Tss2_Sys_PolicySigned(u->sys, approver, u->session, NULL, &no_nonce, &no_hash, &ref, expiration,
        &approval, &timeout, &ticket, NULL);
}

static TSS2_RC show_pin(use *u)
{
    const TSS2L_SYS_AUTH_COMMAND password = {.count = 1, .auths = {{.sessionHandle = TPM2_RS_PW}}};
    const TPM2B_NONCE none = {0};
    const TPM2B_DIGEST no_hash = {0};
    TPM2B_TIMEOUT timeout = {0};
    TPMT_TK_AUTH ticket = {0};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    return Tss2_Sys_PolicySecret(u->sys, u->key->pin_index, u->session, &password, &none, &no_hash, &none, 0,
        &timeout, &ticket, &responses);
}

static TSS2_RC satisfy(use *u, TPM2_HANDLE approver)
{
    TPM2B_NONCE nonce;
    u->stage = STAGE_SESSION;
    TSS2_RC rc = lh_lease_session(u->sys, &u->session, &nonce);
    if (rc != TSS2_RC_SUCCESS) {
        u->session = 0;
        return rc;
    }
    u->stage = STAGE_PCR;
    const TPM2B_DIGEST present = {0}; /* whatever they are now: the key's policy tells */
    TPML_PCR_SELECTION selection;
    lh_core_selection(u->key->pcr_mask, &selection);
    rc = Tss2_Sys_PolicyPCR(u->sys, u->session, NULL, &present, &selection, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    u->stage = STAGE_COUNTS;
    TPM2B_OPERAND counts = {.size = 8};
    put_u32(counts.buffer, u->key->reset_count);
    put_u32(counts.buffer + 4, u->key->restart_count);
    rc = Tss2_Sys_PolicyCounterTimer(u->sys, u->session, NULL, &counts, TIME_INFO_COUNTS, TPM2_EO_EQ, NULL);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    u->stage = STAGE_APPROVAL;
    rc = show_approval(u, approver);
    if (rc != TSS2_RC_SUCCESS || u->key->pin_index == 0)
        return rc;
    u->stage = STAGE_PIN;
    return show_pin(u);
}

static TSS2_RC attempt(use *u, TPM2_HANDLE approver, const use_arg *a)
{
    TSS2_RC rc = satisfy(u, approver);
    if (rc == TSS2_RC_SUCCESS) {
        u->stage = STAGE_COMMAND;
        /* Not continued: the TPM ends the session with a command that succeeds. */
        const TSS2L_SYS_AUTH_COMMAND auths = {.count = 1, .auths = {{.sessionHandle = u->session}}};
        rc = a->command(u, &auths, a->arg);
    }
    if (rc != TSS2_RC_SUCCESS && u->session != 0)
        (void)Tss2_Sys_FlushContext(u->sys, u->session); /* the error is the one to tell */
    u->session = 0;
    return rc;
}

static lh_err refused(TSS2_RC rc, const char *reason, const char *why)
{
    return lh_err_raise(
        LH_E_DENIED, rc, __FILE__, __LINE__, reason, "the TPM refuses the use: %s (0x%03x)", why, rc);
}

static lh_err tell(const use *u, TSS2_RC rc, const char *name)
{
    if (lh_core_is(rc, TPM2_RC_EXPIRED))
        return refused(rc, "custody-expired", "the vault's approval has run out");
    if (lh_core_is(rc, TPM2_RC_POLICY_FAIL) || lh_core_is(rc, TPM2_RC_PCR_CHANGED))
        return refused(rc, "custody-policy", "the host is no longer in the state that the key was given for");
    if (u->stage == STAGE_COUNTS && lh_core_is(rc, TPM2_RC_POLICY))
        return refused(rc, "custody-reset", "the TPM was reset, or resumed, since the key was given");
    if (u->stage == STAGE_APPROVAL && lh_core_is(rc, TPM2_RC_SIGNATURE))
        return refused(rc, "custody-approval", "the approval is not the vault's, or was altered");
    if (u->stage == STAGE_PIN &&
        (lh_core_is(rc, TPM2_RC_AUTH_UNAVAILABLE) || lh_core_is(rc, TPM2_RC_NV_UNINITIALIZED)))
        return refused(rc, "custody-uses", "all uses that were given are taken");
    static const char *const names[] = {[STAGE_SESSION] = "TPM2_StartAuthSession",
        [STAGE_PCR] = "TPM2_PolicyPCR",
        [STAGE_COUNTS] = "TPM2_PolicyCounterTimer",
        [STAGE_APPROVAL] = "TPM2_PolicySigned",
        [STAGE_PIN] = "TPM2_PolicySecret",
        [STAGE_COMMAND] = NULL};
    return lh_core_error(u->core, rc, names[u->stage] ? names[u->stage] : name);
}

static lh_err job_use(lh_core *core, void *arg)
{
    const use_arg *a = arg;
    use u = {.core = core, .key = a->key};
    LH_TRY(lh_lease_sys(core, &u.sys));
    TSS2_RC rc = TSS2_RC_SUCCESS;
    for (unsigned i = 0; i < 2; i++) {
        TPM2_HANDLE approver = 0;
        LH_TRY(lh_lease_load(core, a->key, &approver, &u.handle));
        rc = attempt(&u, approver, a);
        if (rc == TSS2_RC_SUCCESS)
            return LH_SUCCESS;
        if (!lh_lease_stale(rc))
            break;
        lh_core_leases_forget(core); /* the TPM was resumed: nothing is loaded any more */
    }
    return tell(&u, rc, a->name);
}

static lh_err run(lh_tpm_key *key, command_fn command, void *arg, const char *name)
{
    pthread_mutex_lock(&key->mutex);
    const bool approved = key->expiration != 0;
    pthread_mutex_unlock(&key->mutex);
    if (!approved)
        return LH_REFUSE(LH_E_DENIED, "custody-approval", "the vault has not approved the key's use yet");
    use_arg a = {key, command, arg, name};
    return lh_tpm_run(key->tpm, job_use, &a);
}

/* --- signatures -------------------------------------------------------------------------------------------
 */

typedef struct {
    TPM2B_DIGEST digest;
    TPMT_SIG_SCHEME scheme;
    TPMT_SIGNATURE signature;
} sign_arg;

static TSS2_RC command_sign(const use *u, const TSS2L_SYS_AUTH_COMMAND *auths, void *arg)
{
    sign_arg *a = arg;
    const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    return Tss2_Sys_Sign(
        u->sys, u->handle, auths, &a->digest, &a->scheme, &no_ticket, &a->signature, &responses);
}

static lh_err refuse_input(const char *what)
{
    return LH_REFUSE(LH_E_INVALID, "custody-input", "%s", what);
}

static lh_err put_padded(const TPM2B_ECC_PARAMETER *n, size_t size, lh_buf *ret)
{
    uint8_t *out = n->size <= size ? lh_buf_extend(ret, size) : NULL;
    if (!out)
        return n->size <= size ? lh_buf_status(ret) : LH_FAIL(LH_E_TPM, "the TPM's signature is too long");
    memset(out, 0, size);
    memcpy(out + size - n->size, n->buffer, n->size);
    return LH_SUCCESS;
}

lh_err lh_lease_key_ecdsa(lh_tpm_key *key, lh_bytes digest, lh_buf *ret)
{
    const TPMT_PUBLIC *public = &key->public_area.publicArea;
    if (public->type != TPM2_ALG_ECC)
        return refuse_input("not an EC key");
    const size_t size = public->parameters.eccDetail.curveID == TPM2_ECC_NIST_P384 ? 48 : 32;
    if (digest.len != size)
        return refuse_input("the digest has another length than the curve");
    sign_arg a = {.digest.size = (UINT16)size, .scheme.scheme = TPM2_ALG_ECDSA};
    a.scheme.details.ecdsa.hashAlg = size == 48 ? TPM2_ALG_SHA384 : TPM2_ALG_SHA256;
    memcpy(a.digest.buffer, digest.data, size);
    LH_TRY(run(key, command_sign, &a, "TPM2_Sign"));
    if (a.signature.sigAlg != TPM2_ALG_ECDSA)
        return LH_FAIL(LH_E_TPM, "the TPM's signature is not an ECDSA one");
    const size_t before = ret->len;
    lh_err err = put_padded(&a.signature.signature.ecdsa.signatureR, size, ret);
    if (lh_ok(err))
        err = put_padded(&a.signature.signature.ecdsa.signatureS, size, ret);
    if (!lh_ok(err))
        ret->len = before;
    return err;
}

static lh_err require_rsa(const lh_tpm_key *key)
{
    return key->public_area.publicArea.type == TPM2_ALG_RSA ? LH_SUCCESS : refuse_input("not an RSA key");
}

lh_err lh_lease_key_rsa_sign(lh_tpm_key *key, lh_bytes digest, lh_buf *ret)
{
    LH_TRY(require_rsa(key));
    sign_arg a = {.digest.size = (UINT16)digest.len, .scheme.scheme = TPM2_ALG_RSASSA};
    switch (digest.len) {
    case 20: a.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA1; break;
    case 32: a.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA256; break;
    case 48: a.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA384; break;
    case 64: a.scheme.details.rsassa.hashAlg = TPM2_ALG_SHA512; break;
    default: return refuse_input("a digest of a length that no hash has");
    }
    memcpy(a.digest.buffer, digest.data, digest.len);
    LH_TRY(run(key, command_sign, &a, "TPM2_Sign"));
    const TPM2B_PUBLIC_KEY_RSA *s = &a.signature.signature.rsassa.sig;
    if (a.signature.sigAlg != TPM2_ALG_RSASSA || s->size != LH_LEASE_KEY_RSA_MAX)
        return LH_FAIL(LH_E_TPM, "the TPM's signature is not one of RSA-2048");
    lh_buf_append(ret, s->buffer, s->size);
    return lh_buf_status(ret);
}

typedef struct {
    TPM2B_PUBLIC_KEY_RSA in, out;
} rsa_arg;

static TSS2_RC command_rsa(const use *u, const TSS2L_SYS_AUTH_COMMAND *auths, void *arg)
{
    rsa_arg *a = arg;
    const TPMT_RSA_DECRYPT scheme = {.scheme = TPM2_ALG_NULL};
    const TPM2B_DATA no_label = {0};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    a->out = (TPM2B_PUBLIC_KEY_RSA){0};
    return Tss2_Sys_RSA_Decrypt(u->sys, u->handle, auths, &a->in, &scheme, &no_label, &a->out, &responses);
}

lh_err lh_lease_key_rsa_raw(lh_tpm_key *key, lh_bytes data, lh_buf *ret)
{
    LH_TRY(require_rsa(key));
    if (data.len != LH_LEASE_KEY_RSA_MAX)
        return refuse_input("RSA-2048 takes 256 bytes");
    const TPM2B_PUBLIC_KEY_RSA *n = &key->public_area.publicArea.unique.rsa;
    if (n->size != data.len || memcmp(data.data, n->buffer, data.len) >= 0)
        return refuse_input("a number that is not less than the modulus");
    rsa_arg a = {.in.size = (UINT16)data.len};
    memcpy(a.in.buffer, data.data, data.len);
    lh_err err = run(key, command_rsa, &a, "TPM2_RSA_Decrypt");
    uint8_t *out = lh_ok(err) && a.out.size <= data.len ? lh_buf_extend(ret, data.len) : NULL;
    if (out) {
        memset(out, 0, data.len);
        memcpy(out + data.len - a.out.size, a.out.buffer, a.out.size);
    }
    explicit_bzero(&a, sizeof(a));
    LH_TRY(err);
    return out ? LH_SUCCESS : LH_FAIL(LH_E_NOMEM, "the result of TPM2_RSA_Decrypt");
}

/* --- HMAC -------------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_bytes data;
    TPM2B_DIGEST out;
} hmac_arg;

static TSS2_RC hmac_rest(const use *u, TPMI_DH_OBJECT sequence, hmac_arg *a)
{
    const TSS2L_SYS_AUTH_COMMAND password = {.count = 1, .auths = {{.sessionHandle = TPM2_RS_PW}}};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    TPMT_TK_HASHCHECK ticket = {0};
    TPM2B_MAX_BUFFER chunk = {0};
    size_t done = 0;
    for (; a->data.len - done > LH_LEASE_KEY_CHUNK; done += LH_LEASE_KEY_CHUNK) {
        chunk.size = LH_LEASE_KEY_CHUNK;
        memcpy(chunk.buffer, a->data.data + done, chunk.size);
        TSS2_RC rc = Tss2_Sys_SequenceUpdate(u->sys, sequence, &password, &chunk, &responses);
        if (rc != TSS2_RC_SUCCESS)
            return rc;
    }
    chunk.size = (UINT16)(a->data.len - done);
    memcpy(chunk.buffer, a->data.data + done, chunk.size);
    return Tss2_Sys_SequenceComplete(
        u->sys, sequence, &password, &chunk, TPM2_RH_NULL, &a->out, &ticket, &responses);
}

static TSS2_RC command_hmac(const use *u, const TSS2L_SYS_AUTH_COMMAND *auths, void *arg)
{
    hmac_arg *a = arg;
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    a->out = (TPM2B_DIGEST){0};
    if (a->data.len <= LH_LEASE_KEY_CHUNK) {
        TPM2B_MAX_BUFFER whole = {.size = (UINT16)a->data.len};
        if (a->data.len > 0)
            memcpy(whole.buffer, a->data.data, a->data.len);
        return Tss2_Sys_HMAC(u->sys, u->handle, auths, &whole, TPM2_ALG_NULL, &a->out, &responses);
    }
    const TPM2B_AUTH no_auth = {0};
    TPMI_DH_OBJECT sequence = 0;
    TSS2_RC rc =
        Tss2_Sys_HMAC_Start(u->sys, u->handle, auths, &no_auth, TPM2_ALG_NULL, &sequence, &responses);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = hmac_rest(u, sequence, a);
    if (rc != TSS2_RC_SUCCESS)
        (void)Tss2_Sys_FlushContext(u->sys, sequence);
    return rc;
}

lh_err lh_lease_key_hmac(lh_tpm_key *key, lh_bytes data, lh_buf *ret)
{
    if (key->public_area.publicArea.type != TPM2_ALG_KEYEDHASH)
        return refuse_input("not an HMAC key");
    hmac_arg a = {.data = data};
    LH_TRY(run(key, command_hmac, &a, "TPM2_HMAC"));
    if (a.out.size != 32)
        return LH_FAIL(LH_E_TPM, "the TPM's HMAC has %u bytes", a.out.size);
    lh_buf_append(ret, a.out.buffer, 32);
    return lh_buf_status(ret);
}

/* --- ciphers ----------------------------------------------------------------------------------------------
 */

typedef struct {
    TPMI_ALG_CIPHER_MODE mode;
    bool decrypt;
    TPM2B_IV iv;
    TPM2B_MAX_BUFFER in, out;
} cipher_arg;

static TSS2_RC command_cipher(const use *u, const TSS2L_SYS_AUTH_COMMAND *auths, void *arg)
{
    cipher_arg *a = arg;
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    TPM2B_IV next = {0};
    a->out = (TPM2B_MAX_BUFFER){0};
    TSS2_RC rc = Tss2_Sys_EncryptDecrypt2(u->sys, u->handle, auths, &a->in, a->decrypt ? TPM2_YES : TPM2_NO,
        a->mode, &a->iv, &a->out, &next, &responses);
    if (rc == TSS2_RC_SUCCESS)
        a->iv = next;
    return rc;
}

static lh_err cipher_all(lh_tpm_key *key, cipher_arg *a, lh_bytes data, lh_buf *ret)
{
    for (size_t done = 0; done < data.len; done += a->in.size) {
        const size_t left = data.len - done;
        a->in.size = (UINT16)(left < LH_LEASE_KEY_CHUNK ? left : LH_LEASE_KEY_CHUNK);
        memcpy(a->in.buffer, data.data + done, a->in.size);
        LH_TRY(run(key, command_cipher, a, "TPM2_EncryptDecrypt2"));
        if (a->out.size != a->in.size)
            return LH_FAIL(LH_E_TPM, "the TPM gives %u bytes for %u", a->out.size, a->in.size);
        lh_buf_append(ret, a->out.buffer, a->out.size);
        LH_TRY(lh_buf_status(ret));
    }
    return LH_SUCCESS;
}

lh_err lh_lease_key_cipher(
    lh_tpm_key *key, enum lh_lease_key_mode mode, bool decrypt, uint8_t iv[16], lh_bytes data, lh_buf *ret)
{
    static const TPMI_ALG_CIPHER_MODE modes[] = {[LH_LEASE_KEY_ECB] = TPM2_ALG_ECB,
        [LH_LEASE_KEY_CBC] = TPM2_ALG_CBC,
        [LH_LEASE_KEY_CTR] = TPM2_ALG_CTR,
        [LH_LEASE_KEY_CFB] = TPM2_ALG_CFB};
    if (key->public_area.publicArea.type != TPM2_ALG_SYMCIPHER)
        return refuse_input("not an AES key");
    if ((mode == LH_LEASE_KEY_ECB || mode == LH_LEASE_KEY_CBC) && data.len % BLOCK != 0)
        return refuse_input("not a whole number of blocks");
    cipher_arg a = {.mode = modes[mode], .decrypt = decrypt};
    if (mode != LH_LEASE_KEY_ECB) {
        a.iv.size = BLOCK;
        memcpy(a.iv.buffer, iv, BLOCK);
    }
    const size_t before = ret->len;
    lh_err err = cipher_all(key, &a, data, ret);
    if (lh_ok(err) && a.iv.size == BLOCK)
        memcpy(iv, a.iv.buffer, BLOCK);
    if (!lh_ok(err))
        ret->len = before;
    explicit_bzero(&a, sizeof(a));
    return err;
}
