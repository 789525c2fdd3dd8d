/* Lease keys on swtpm: what works while the vault approves, and how the TPM itself refuses what follows. */
#include "../custody_fixture.h"

#include "crypto/operation.h"
#include "tpm/lease_key_internal.h"

static custody c;

static int setup(void **state)
{
    (void)state;
    custody_setup(&c);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    custody_teardown(&c);
    return 0;
}

static lh_err verify(unsigned long mechanism, lh_bytes data, lh_bytes signature)
{
    const lh_op_request op = {.key = c.key,
        .row = lh_mechanism_by_type(mechanism),
        .use = LH_USE_VERIFY,
        .data = data,
        .signature = signature};
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(16);
    return lh_op_once(c.crypto, &op, &none);
}

/* --- it works ------------------------------------------------------------------------------------------- */

static void test_ecdsa(void **state)
{
    (void)state;
    const struct {
        enum lh_key_kind kind;
        size_t size;
    } kinds[] = {{LH_KEY_EC_P256, 32}, {LH_KEY_EC_P384, 48}};
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        custody_pack(&c, custody_key(&c, kinds[i].kind));
        custody_import(&c);
        custody_approve(&c, 60);
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
        const lh_bytes digest = LH_BYTES(custody_digest, kinds[i].size);
        for (unsigned k = 0; k < 3; k++) {
            lh_buf_clear(&out);
            assert_lh_ok(lh_lease_key_ecdsa(c.lease, digest, &out));
            assert_lh_ok(verify(CKM_ECDSA, digest, lh_buf_bytes(&out)));
        }
        assert_lh_refused(
            lh_lease_key_ecdsa(c.lease, LH_BYTES(custody_digest, 20), &out), LH_E_INVALID, "custody-input");
        assert_lh_refused(lh_lease_key_hmac(c.lease, digest, &out), LH_E_INVALID, "custody-input");
    }
}

static void test_rsa(void **state)
{
    (void)state;
    custody_pack(&c, custody_rsa_key(&c));
    custody_import(&c);
    custody_approve(&c, 60);
    const struct {
        unsigned long mechanism, digest;
        size_t size;
    } rows[] = {{CKM_SHA256_RSA_PKCS, CKM_SHA256, 32}, {CKM_SHA384_RSA_PKCS, CKM_SHA384, 48},
        {CKM_SHA512_RSA_PKCS, CKM_SHA512, 64}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        LH_AUTO(lh_buf_free) lh_buf digest = LH_BUF_INIT(64);
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
        const lh_op_request hash = {
            .row = lh_mechanism_by_type(rows[i].digest), .use = LH_USE_DIGEST, .data = LH_BYTES_STR("text")};
        assert_lh_ok(lh_op_once(c.crypto, &hash, &digest));
        assert_lh_ok(lh_lease_key_rsa_sign(c.lease, lh_buf_bytes(&digest), &out));
        assert_lh_ok(verify(rows[i].mechanism, LH_BYTES_STR("text"), lh_buf_bytes(&out)));
    }
    /* The private operation undoes the public one. */
    uint8_t plain[256] = {0};
    memset(plain + 1, 0x5a, 255);
    LH_AUTO(lh_buf_free) lh_buf cipher = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(256);
    const lh_op_request raw = {.key = c.key,
        .row = lh_mechanism_by_type(CKM_RSA_X_509),
        .use = LH_USE_ENCRYPT,
        .data = LH_BYTES(plain, 256)};
    assert_lh_ok(lh_op_once(c.crypto, &raw, &cipher));
    assert_lh_ok(lh_lease_key_rsa_raw(c.lease, lh_buf_bytes(&cipher), &back));
    assert_int_equal(back.len, 256);
    assert_memory_equal(back.data, plain, 256);
}

static void test_hmac(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_HMAC_SHA256));
    custody_import(&c);
    custody_approve(&c, 60);
    static uint8_t data[5000];
    const size_t sizes[] = {0, 1, 1024, 1025, 2048, 5000};
    for (size_t i = 0; i < LH_ARRAY_LEN(sizes); i++) {
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
        assert_lh_ok(lh_lease_key_hmac(c.lease, LH_BYTES(data, sizes[i]), &out));
        assert_lh_ok(verify(CKM_SHA256_HMAC, LH_BYTES(data, sizes[i]), lh_buf_bytes(&out)));
    }
}

static void aes_by_software(unsigned long mechanism, lh_bytes params, lh_bytes data, lh_buf *ret)
{
    const lh_op_request op = {.key = c.key,
        .row = lh_mechanism_by_type(mechanism),
        .use = LH_USE_ENCRYPT,
        .params = params,
        .data = data};
    assert_lh_ok(lh_op_once(c.crypto, &op, ret));
}

static void try_aes(void)
{
    static uint8_t data[3072];
    static const uint8_t iv[16] = "initialisation .";
    uint8_t ctr_params[20] = {0, 0, 0, 128};
    memcpy(ctr_params + 4, iv, 16);
    const struct {
        enum lh_lease_key_mode mode;
        unsigned long mechanism;
        lh_bytes params;
        size_t len;
    } modes[] = {{LH_LEASE_KEY_ECB, CKM_AES_ECB, LH_BYTES_NONE, 3072},
        {LH_LEASE_KEY_CBC, CKM_AES_CBC, LH_BYTES(iv, 16), 3072},
        {LH_LEASE_KEY_CTR, CKM_AES_CTR, LH_BYTES(ctr_params, 20), 2999}};
    for (size_t i = 0; i < LH_ARRAY_LEN(modes); i++) {
        LH_AUTO(lh_buf_free) lh_buf want = LH_BUF_INIT(4096);
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
        LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(4096);
        const lh_bytes plain = LH_BYTES(data, modes[i].len);
        aes_by_software(modes[i].mechanism, modes[i].params, plain, &want);
        uint8_t at[16];
        memcpy(at, iv, 16);
        assert_lh_ok(lh_lease_key_cipher(c.lease, modes[i].mode, false, at, plain, &out));
        assert_true(lh_bytes_equal(lh_buf_bytes(&out), lh_buf_bytes(&want)));
        memcpy(at, iv, 16);
        assert_lh_ok(lh_lease_key_cipher(c.lease, modes[i].mode, true, at, lh_buf_bytes(&out), &back));
        assert_true(lh_bytes_equal(lh_buf_bytes(&back), plain));
    }
}

static void test_aes(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_AES256));
    custody_import(&c);
    custody_approve(&c, 60);
    try_aes();
    static const uint8_t bytes[16] = "128 bits of key.";
    const lh_key_part part = {CKA_VALUE, LH_BYTES(bytes, 16)};
    lh_key *key = NULL;
    assert_lh_ok(lh_key_import(c.crypto, CKK_AES, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key));
    custody_pack(&c, key);
    custody_import(&c);
    custody_approve(&c, 60);
    try_aes();
}

/* Quotes, other lease keys and seals take the room, and give it back. */
static void test_room(void **state)
{
    (void)state;
    custody_ec(&c, 60);
    lh_tpm_key *first = c.lease;
    c.lease = NULL;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P384));
    custody_import(&c);
    custody_approve(&c, 60);
    lh_tpm_key *second = c.lease;
    static const uint8_t nonce[32];
    for (unsigned i = 0; i < 3; i++) {
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(8192);
        c.lease = first;
        assert_lh_ok(custody_sign(&c));
        assert_lh_ok(lh_tpm_quote(c.tpm, CUSTODY_MASK, nonce, &out, &out));
        assert_lh_ok(lh_lease_key_ecdsa(second, LH_BYTES(custody_digest, 48), &out));
        uint8_t r[32], s[32];
        assert_lh_ok(lh_tpm_checkpoint_sign(c.tpm, custody_digest, r, s));
    }
    lh_lease_key_free(second);
}

/* --- the TPM refuses ------------------------------------------------------------------------------------ */

static void test_never_approved(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    custody_import(&c);
    assert_lh_refused(custody_sign(&c), LH_E_DENIED, "custody-approval");
}

/* Revocation is no more than this: the vault does not approve again. */
static void test_expiry(void **state)
{
    (void)state;
    custody_ec(&c, 1);
    assert_lh_ok(custody_sign(&c));
    custody_outlast(&c, c.lease->expiration);
    assert_tpm_refused(custody_sign(&c), "custody-expired", TPM2_RC_EXPIRED);
    /* A later approval renews the same key, which is not imported again. */
    custody_approve(&c, 60);
    assert_lh_ok(custody_sign(&c));
}

static void test_altered(void **state)
{
    (void)state;
    custody_ec(&c, 1);
    uint8_t signature[64];
    const int32_t expiration = custody_approve(&c, 60);
    assert_lh_ok(lh_custody_approve(c.crypto, c.approver, c.terms.lease, expiration, signature));
    assert_lh_ok(lh_lease_key_approve(c.lease, expiration + 3600, signature));
    assert_tpm_refused(custody_sign(&c), "custody-approval", TPM2_RC_SIGNATURE);
    /* Another lease's approval, and another vault's. */
    uint8_t other[16] = {1};
    assert_lh_ok(lh_custody_approve(c.crypto, c.approver, other, expiration, signature));
    assert_lh_ok(lh_lease_key_approve(c.lease, expiration, signature));
    assert_tpm_refused(custody_sign(&c), "custody-approval", TPM2_RC_SIGNATURE);
    LH_AUTO(lh_secret_freep) lh_secret *root = custody_secret("another root");
    LH_AUTO(lh_approver_freep) lh_approver *approver = NULL;
    assert_lh_ok(lh_approver_new(c.crypto, root, &approver));
    assert_lh_ok(lh_custody_approve(c.crypto, approver, c.terms.lease, expiration, signature));
    assert_lh_ok(lh_lease_key_approve(c.lease, expiration, signature));
    assert_tpm_refused(custody_sign(&c), "custody-approval", TPM2_RC_SIGNATURE);
    /* With that vault's key shown as the approver, the approval is good and the policy is not. */
    lh_lease_key_package package = custody_package_of(&c);
    package.approver = lh_approver_public(approver);
    lh_tpm_key *key = NULL;
    assert_lh_ok(lh_lease_key_import(c.tpm, &package, &key));
    assert_lh_ok(lh_lease_key_approve(key, expiration, signature));
    lh_lease_key_free(c.lease);
    c.lease = key;
    assert_tpm_refused(custody_sign(&c), "custody-policy", TPM2_RC_POLICY_FAIL);
}

static void test_extend(void **state)
{
    (void)state;
    custody_ec(&c, 60);
    assert_lh_ok(custody_sign(&c));
    assert_lh_ok(lh_tpm_pcr_extend(c.tpm, 23, custody_digest)); /* not of the mask */
    assert_lh_ok(custody_sign(&c));
    assert_lh_ok(lh_tpm_pcr_extend(c.tpm, 10, custody_digest));
    assert_tpm_refused(custody_sign(&c), "custody-policy", TPM2_RC_POLICY_FAIL);
    /* A package for the new values is another matter, which the vault decides. */
    custody_look(&c);
    custody_ec(&c, 60);
    assert_lh_ok(custody_sign(&c));
}

static void restart(const char *flags)
{
    lh_tpm_close(c.tpm);
    c.tpm = NULL;
    swtpm_kill(&c.s);
    swtpm_run_as(&c.s, flags);
    c.tpm = swtpm_open(&c.s);
    c.lease->tpm = c.tpm;
}

/* Time begins anew at a reset: an approval that is absolute would be good again. */
static void test_reset(void **state)
{
    (void)state;
    custody_ec(&c, 3600);
    assert_lh_ok(custody_sign(&c));
    restart("not-need-init,startup-clear");
    assert_int_equal(custody_time(&c).reset_count, c.terms.reset_count + 1);
    assert_tpm_refused(custody_sign(&c), "custody-reset", TPM2_RC_POLICY);
    /* Nor where the agent says what the count is now. */
    c.lease->reset_count++;
    assert_tpm_refused(custody_sign(&c), "custody-policy", TPM2_RC_POLICY_FAIL);
}

static void shut_down(ESYS_CONTEXT *esys)
{
    assert_int_equal(
        Esys_Shutdown(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_SU_STATE), TSS2_RC_SUCCESS);
}

static void test_resume(void **state)
{
    (void)state;
    custody_ec(&c, 3600);
    assert_lh_ok(custody_sign(&c));
    lh_tpm_close(c.tpm);
    c.tpm = NULL;
    swtpm_raw(&c.s, shut_down);
    swtpm_kill(&c.s);
    swtpm_run_as(&c.s, "not-need-init,startup-state");
    c.lease->tpm = c.tpm = swtpm_open(&c.s);
    const lh_custody_time time = custody_time(&c);
    assert_int_equal(time.reset_count, c.terms.reset_count);
    assert_int_equal(time.restart_count, c.terms.restart_count + 1);
    assert_tpm_refused(custody_sign(&c), "custody-reset", TPM2_RC_POLICY);
}

/* TPM2_Clear sets resetCount back; but the storage key is gone with it. */
static void test_clear(void **state)
{
    (void)state;
    custody_ec(&c, 3600);
    lh_tpm_close(c.tpm);
    swtpm_raw(&c.s, raw_clear);
    c.lease->tpm = c.tpm = swtpm_open(&c.s);
    lh_err err = custody_sign(&c);
    assert_int_equal(err.code, LH_E_CORRUPT); /* TPM2_Load: integrity */
    assert_int_equal(rc_base(lh_err_last()->foreign), rc_base(TPM2_RC_INTEGRITY));
    const lh_lease_key_package package = custody_package_of(&c);
    lh_tpm_key *key = NULL;
    assert_lh_refused(lh_lease_key_import(c.tpm, &package, &key), LH_E_CORRUPT, "custody-import");
    assert_null(key);
}

static void test_other_tpm(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    swtpm other;
    swtpm_start(&other);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&other);
    const lh_lease_key_package package = custody_package_of(&c);
    lh_tpm_key *key = NULL;
    assert_lh_refused(lh_lease_key_import(tpm, &package, &key), LH_E_CORRUPT, "custody-import");
    assert_null(key);
    lh_tpm_close(LH_TAKE(tpm));
    swtpm_stop(&other);
}

/* A key that was changed on its way: another policy, or other uses, under the same secret. */
static void test_altered_package(void **state)
{
    (void)state;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    for (size_t at = 0; at < c.package.public_area.len; at += 7) {
        c.package.public_area.data[at] ^= 1;
        const lh_lease_key_package package = custody_package_of(&c);
        lh_tpm_key *key = NULL;
        assert_false(lh_ok(lh_lease_key_import(c.tpm, &package, &key)));
        assert_null(key);
        c.package.public_area.data[at] ^= 1;
    }
    custody_import(&c);
}

/* --- hoarded sessions ----------------------------------------------------------------------------------- */

typedef struct {
    TPMS_CONTEXT saved;
    int32_t expiration;
    TSS2_RC rc;
} hoard;

/* A session that has met the whole policy, put by. */
static lh_err job_hoard(lh_core *core, void *arg)
{
    hoard *h = arg;
    TSS2_SYS_CONTEXT *sys = NULL;
    TPM2_HANDLE approver, key;
    LH_TRY(lh_lease_sys(core, &sys));
    LH_TRY(lh_lease_load(core, c.lease, &approver, &key));
    TPMI_SH_AUTH_SESSION session;
    TPM2B_NONCE nonce;
    assert_int_equal(lh_lease_session(sys, &session, &nonce), 0);
    TPML_PCR_SELECTION selection;
    lh_core_selection(CUSTODY_MASK, &selection);
    const TPM2B_DIGEST none = {0};
    assert_int_equal(Tss2_Sys_PolicyPCR(sys, session, NULL, &none, &selection, NULL), 0);
    TPM2B_OPERAND counts = {.size = 8};
    counts.buffer[3] = (uint8_t)c.terms.reset_count;
    counts.buffer[7] = (uint8_t)c.terms.restart_count;
    assert_int_equal(Tss2_Sys_PolicyCounterTimer(sys, session, NULL, &counts, 16, TPM2_EO_EQ, NULL), 0);
    const TPM2B_NONCE no_nonce = {0};
    TPM2B_NONCE ref = {.size = 16};
    memcpy(ref.buffer, c.terms.lease, 16);
    TPM2B_TIMEOUT timeout = {0};
    TPMT_TK_AUTH ticket = {0};
    assert_int_equal(Tss2_Sys_PolicySigned(sys, approver, session, NULL, &no_nonce, &none, &ref,
                         c.lease->expiration, &c.lease->approval, &timeout, &ticket, NULL),
        0);
    assert_int_equal(Tss2_Sys_ContextSave(sys, session, &h->saved), 0);
    return LH_SUCCESS;
}

static lh_err job_spend(lh_core *core, void *arg)
{
    hoard *h = arg;
    TSS2_SYS_CONTEXT *sys = NULL;
    TPM2_HANDLE approver, key;
    LH_TRY(lh_lease_sys(core, &sys));
    LH_TRY(lh_lease_load(core, c.lease, &approver, &key));
    TPMI_SH_AUTH_SESSION session;
    assert_int_equal(Tss2_Sys_ContextLoad(sys, &h->saved, &session), 0);
    const TSS2L_SYS_AUTH_COMMAND auths = {.count = 1, .auths = {{.sessionHandle = session}}};
    TPM2B_DIGEST digest = {.size = 32};
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256};
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_SIGNATURE signature = {0};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    h->rc = Tss2_Sys_Sign(sys, key, &auths, &digest, &scheme, &ticket, &signature, &responses);
    if (h->rc != 0)
        (void)Tss2_Sys_FlushContext(sys, session);
    return LH_SUCCESS;
}

static void test_hoarded(void **state)
{
    (void)state;
    custody_ec(&c, 1);
    hoard early = {0}, late = {0}, drifted = {0};
    assert_lh_ok(lh_tpm_run(c.tpm, job_hoard, &early));
    assert_lh_ok(lh_tpm_run(c.tpm, job_hoard, &late));
    assert_lh_ok(lh_tpm_run(c.tpm, job_spend, &early));
    assert_int_equal(early.rc, 0);
    custody_outlast(&c, c.lease->expiration);
    assert_lh_ok(lh_tpm_run(c.tpm, job_spend, &late));
    assert_int_equal(rc_base(late.rc), rc_base(TPM2_RC_EXPIRED));
    custody_approve(&c, 60);
    assert_lh_ok(lh_tpm_run(c.tpm, job_hoard, &drifted));
    assert_lh_ok(lh_tpm_pcr_extend(c.tpm, 10, custody_digest));
    assert_lh_ok(lh_tpm_run(c.tpm, job_spend, &drifted));
    assert_int_equal(rc_base(drifted.rc), rc_base(TPM2_RC_PCR_CHANGED));
}

/* --- counted uses --------------------------------------------------------------------------------------- */

static void give(uint32_t limit, bool written, uint8_t ret_signature[64])
{
    uint8_t nonce[32];
    assert_lh_ok(lh_lease_key_pin_begin(c.lease, nonce));
    lh_custody_pin pin = {
        .index = c.terms.pin_index, .limit = limit, .written = written, .nonce_tpm = LH_BYTES(nonce, 32)};
    memcpy(pin.lease, c.terms.lease, sizeof(pin.lease));
    assert_lh_ok(lh_custody_approve_pin(c.crypto, c.approver, &pin, ret_signature));
    assert_lh_ok(lh_lease_key_pin_finish(c.lease, limit, ret_signature));
}

static void test_counted(void **state)
{
    (void)state;
    uint8_t old[64], signature[64], nonce[32];
    c.terms.pin_index = LH_LEASE_KEY_PIN_BASE + 7;
    custody_ec(&c, 60);
    /* Defined and never written: nothing is given yet. */
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    give(3, false, old);
    for (unsigned i = 0; i < 3; i++)
        assert_lh_ok(custody_sign(&c));
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    /* The old write, shown again; and one for more uses than were given. */
    assert_lh_ok(lh_lease_key_pin_begin(c.lease, nonce));
    assert_tpm_refused(lh_lease_key_pin_finish(c.lease, 3, old), "custody-approval", TPM2_RC_SIGNATURE);
    assert_lh_ok(lh_lease_key_pin_begin(c.lease, nonce));
    lh_custody_pin pin = {
        .index = c.terms.pin_index, .limit = 2, .written = true, .nonce_tpm = LH_BYTES(nonce, 32)};
    memcpy(pin.lease, c.terms.lease, sizeof(pin.lease));
    assert_lh_ok(lh_custody_approve_pin(c.crypto, c.approver, &pin, signature));
    assert_tpm_refused(
        lh_lease_key_pin_finish(c.lease, 1000, signature), "custody-approval", TPM2_RC_SIGNATURE);
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    /* Given by the vault, two more. */
    give(2, true, signature);
    assert_lh_ok(custody_sign(&c));
    assert_lh_ok(custody_sign(&c));
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    assert_lh_refused(lh_lease_key_pin_finish(c.lease, 2, signature), LH_E_STATE, "custody-session");
}

/* The index removed and defined anew, as the host's owner can: never written, it authorizes nothing, and the
 * old write does not fit. */
static lh_err job_redefine(lh_core *core, void *arg)
{
    (void)arg;
    lh_lease_pin_undefine(core, c.lease);
    return lh_lease_pin_define(core, c.lease);
}

static void test_redefined(void **state)
{
    (void)state;
    uint8_t old[64], nonce[32];
    c.terms.pin_index = LH_LEASE_KEY_PIN_BASE;
    custody_ec(&c, 60);
    give(1, false, old);
    assert_lh_ok(custody_sign(&c));
    assert_lh_ok(lh_tpm_run(c.tpm, job_redefine, NULL));
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    assert_lh_ok(lh_lease_key_pin_begin(c.lease, nonce));
    assert_tpm_refused(lh_lease_key_pin_finish(c.lease, 1, old), "custody-approval", TPM2_RC_SIGNATURE);
}

/* An approval of uses does not serve as one of a write. */
static lh_err job_write_by_approval(lh_core *core, void *arg)
{
    TSS2_RC *ret = arg;
    TSS2_SYS_CONTEXT *sys = NULL;
    TPM2_HANDLE approver, key;
    LH_TRY(lh_lease_sys(core, &sys));
    LH_TRY(lh_lease_load(core, c.lease, &approver, &key));
    TPMI_SH_AUTH_SESSION session;
    TPM2B_NONCE nonce, ref = {.size = 16};
    assert_int_equal(lh_lease_session(sys, &session, &nonce), 0);
    const TPM2B_NONCE no_nonce = {0};
    const TPM2B_DIGEST none = {0};
    memcpy(ref.buffer, c.terms.lease, 16);
    TPM2B_TIMEOUT timeout = {0};
    TPMT_TK_AUTH ticket = {0};
    assert_int_equal(Tss2_Sys_PolicySigned(sys, approver, session, NULL, &no_nonce, &none, &ref,
                         c.lease->expiration, &c.lease->approval, &timeout, &ticket, NULL),
        0);
    TPM2B_MAX_NV_BUFFER data = {.size = 8, .buffer = {0, 0, 0, 0, 0, 0, 1, 0}};
    const TSS2L_SYS_AUTH_COMMAND auths = {.count = 1, .auths = {{.sessionHandle = session}}};
    TSS2L_SYS_AUTH_RESPONSE responses = {0};
    *ret = Tss2_Sys_NV_Write(sys, c.terms.pin_index, c.terms.pin_index, &auths, &data, 0, &responses);
    if (*ret != 0)
        (void)Tss2_Sys_FlushContext(sys, session);
    return LH_SUCCESS;
}

static void test_write_by_approval(void **state)
{
    (void)state;
    c.terms.pin_index = LH_LEASE_KEY_PIN_BASE;
    custody_ec(&c, 60);
    TSS2_RC rc = 0;
    assert_lh_ok(lh_tpm_run(c.tpm, job_write_by_approval, &rc));
    assert_int_equal(rc_base(rc), rc_base(TPM2_RC_POLICY_FAIL));
}

/* A lease that ended without us has left its index; ours goes with the key. */
static lh_err job_count_indexes(lh_core *core, void *arg)
{
    TPMI_YES_NO more;
    LH_AUTO(lh_esys_freep) TPMS_CAPABILITY_DATA *data = NULL;
    LH_TPM_TRY(core,
        Esys_GetCapability(core->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
            LH_LEASE_KEY_PIN_BASE, 1, &more, &data),
        "TPM2_GetCapability");
    const TPML_HANDLE *handles = &data->data.handles;
    *(bool *)arg = handles->count > 0 && handles->handle[0] == LH_LEASE_KEY_PIN_BASE;
    return LH_SUCCESS;
}

static void test_index_left(void **state)
{
    (void)state;
    uint8_t signature[64];
    bool there = false;
    c.terms.pin_index = LH_LEASE_KEY_PIN_BASE;
    custody_ec(&c, 60);
    give(5, false, signature);
    lh_tpm_key *left = c.lease;
    c.lease = NULL;
    c.terms.lease[0] ^= 1;
    custody_ec(&c, 60);
    assert_tpm_refused(custody_sign(&c), "custody-uses", TPM2_RC_AUTH_UNAVAILABLE);
    left->pin_index = 0;
    lh_lease_key_free(left);
    assert_lh_ok(lh_tpm_run(c.tpm, job_count_indexes, &there));
    assert_true(there);
    lh_lease_key_free(c.lease);
    c.lease = NULL;
    assert_lh_ok(lh_tpm_run(c.tpm, job_count_indexes, &there));
    assert_false(there);
    c.terms.pin_index = 0x01800001;
    custody_pack(&c, custody_key(&c, LH_KEY_EC_P256));
    const lh_lease_key_package package = custody_package_of(&c);
    lh_tpm_key *key = NULL;
    assert_lh_refused(lh_lease_key_import(c.tpm, &package, &key), LH_E_INVALID, "custody-format");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_ecdsa), CASE(test_rsa), CASE(test_hmac), CASE(test_aes),
        CASE(test_room), CASE(test_never_approved), CASE(test_expiry), CASE(test_altered), CASE(test_extend),
        CASE(test_reset), CASE(test_resume), CASE(test_clear), CASE(test_other_tpm),
        CASE(test_altered_package), CASE(test_hoarded), CASE(test_counted), CASE(test_redefined),
        CASE(test_write_by_approval), CASE(test_index_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
