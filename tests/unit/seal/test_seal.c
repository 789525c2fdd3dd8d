/* The TPM seal, on swtpms of our own: what opens it, what does not, and what crosses the bus. */
#include "../tpm_fixture.h"

#include "base/limits.h"
#include "seal/seal.h"

#define MASK ((1u << 0) | (1u << 7) | (1u << 11))

typedef struct {
    swtpm process;
    lh_tpm *tpm;
    lh_secret *root;
    lh_buf blob;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->blob = LH_BUF_INIT(LH_LIMIT_SEAL);
    swtpm_start(&f->process);
    f->tpm = swtpm_open(&f->process);
    assert_lh_ok(lh_secret_random(32, &f->root));
    assert_lh_ok(lh_seal_create(f->tpm, f->root, MASK, &f->blob));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_tpm_close(f->tpm);
    lh_secret_free(f->root);
    lh_buf_free(&f->blob);
    swtpm_stop(&f->process);
    free(f);
    return 0;
}

static void assert_opens(fixture *f)
{
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    assert_lh_ok(lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got));
    assert_true(lh_secret_equal(got, f->root));
}

static void restart(fixture *f)
{
    lh_tpm_close(LH_TAKE(f->tpm));
    swtpm_kill(&f->process);
    swtpm_run(&f->process);
    f->tpm = swtpm_open(&f->process);
}

static void test_opens(void **state)
{
    fixture *f = *state;
    assert_opens(f);
    assert_opens(f);
    restart(f);
    assert_opens(f);
    lh_seal_facts facts;
    assert_lh_ok(lh_seal_describe(lh_buf_bytes(&f->blob), &facts));
    lh_tpm_identity id;
    assert_lh_ok(lh_tpm_identify(f->tpm, &id));
    assert_int_equal(facts.pcr_mask, MASK);
    assert_true(lh_tpm_name_equal(&facts.tpm.srk, &id.srk));
    assert_true(lh_tpm_name_equal(&facts.tpm.ek, &id.ek));
}

static void test_sizes(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *big = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *bigger = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_LIMIT_SEAL);
    assert_lh_ok(lh_secret_random(LH_TPM_SECRET_MAX, &big));
    assert_lh_ok(lh_secret_random(LH_TPM_SECRET_MAX + 1, &bigger));
    assert_int_equal(lh_seal_create(f->tpm, bigger, MASK, &blob).code, LH_E_INVALID);
    assert_int_equal(lh_seal_create(f->tpm, big, 0, &blob).code, LH_E_INVALID);
    assert_int_equal(blob.len, 0);
    assert_lh_ok(lh_seal_create(f->tpm, big, LH_TPM_PCR_MASK_ALL, &blob));
    assert_lh_ok(lh_seal_open(f->tpm, lh_buf_bytes(&blob), &got));
    assert_true(lh_secret_equal(got, big));
}

static void test_pcr_changed(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    uint8_t digest[32] = {1};
    assert_lh_ok(lh_tpm_pcr_extend(f->tpm, 8, digest)); /* not sealed to */
    assert_opens(f);
    assert_lh_ok(lh_tpm_pcr_extend(f->tpm, 7, digest));
    assert_lh_refused(
        lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got), LH_E_SEAL_POLICY, "seal-pcr-changed");
    assert_non_null(strstr(lh_err_last()->message, ": PCR 7 changed"));
    assert_lh_ok(lh_tpm_pcr_extend(f->tpm, 11, digest));
    assert_lh_refused(
        lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got), LH_E_SEAL_POLICY, "seal-pcr-changed");
    assert_non_null(strstr(lh_err_last()->message, ": PCR 7, PCR 11 changed"));
    assert_null(got);
    restart(f); /* PCRs are back */
    assert_opens(f);
}

static void test_cleared(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    lh_tpm_close(LH_TAKE(f->tpm));
    swtpm_raw(&f->process, raw_clear);
    f->tpm = swtpm_open(&f->process);
    assert_lh_refused(
        lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got), LH_E_SEAL_CLEARED, "seal-tpm-cleared");
    assert_null(got);
    /* A new seal can be made there. */
    lh_buf_clear(&f->blob);
    assert_lh_ok(lh_seal_create(f->tpm, f->root, MASK, &f->blob));
    assert_opens(f);
}

static void test_other_tpm(void **state)
{
    fixture *f = *state;
    swtpm other;
    swtpm_start(&other);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&other);
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    assert_lh_refused(lh_seal_open(tpm, lh_buf_bytes(&f->blob), &got), LH_E_SEAL_OTHER_TPM, "seal-other-tpm");
    assert_null(got);
    lh_tpm_close(LH_TAKE(tpm));
    swtpm_stop(&other);
}

/* Every byte flipped, every length cut: an error, never the key. */
static void test_damaged(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    for (size_t i = 0; i < f->blob.len; i++) {
        f->blob.data[i] ^= 0x41;
        lh_err err = lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got);
        f->blob.data[i] ^= 0x41;
        if (lh_ok(err))
            fail_msg("byte %zu flipped, and the seal opens", i);
        assert_null(got);
        assert_true(err.code == LH_E_CORRUPT || err.code == LH_E_UNSUPPORTED ||
                    err.code == LH_E_SEAL_POLICY || err.code == LH_E_SEAL_OTHER_TPM ||
                    err.code == LH_E_SEAL_CLEARED || err.code == LH_E_TPM);
        assert_true(lh_err_last()->message[0] != '\0');
    }
    for (size_t n = 0; n < f->blob.len; n++)
        assert_lh_refused(
            lh_seal_open(f->tpm, LH_BYTES(f->blob.data, n), &got), LH_E_CORRUPT, "seal-damaged");
    f->blob.data[6] = 2;
    assert_lh_refused(lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got), LH_E_UNSUPPORTED, "seal-version");
    f->blob.data[6] = 1;
    assert_opens(f);
}

/* A plain session shows the secret on the bus: the control, without which the next test would prove nothing.
 */
static void seal_plainly(ESYS_CONTEXT *esys, lh_bytes secret)
{
    ESYS_TR srk;
    assert_int_equal(
        Esys_TR_FromTPMPublic(esys, 0x81000001, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &srk), 0);
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = (UINT16)secret.len};
    memcpy(sensitive.sensitive.data.buffer, secret.data, secret.len);
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_USERWITHAUTH,
            .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    assert_int_equal(Esys_Create(esys, srk, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                         &template, &outside, &pcrs, &private, &public, NULL, NULL, NULL),
        0);
    Esys_Free(private);
    Esys_Free(public);
}

static void test_bus_is_blind(void **state)
{
    fixture *f = *state;
    lh_tpm_close(LH_TAKE(f->tpm));
    bus *b = bus_start(&f->process);
    lh_tpm *tpm = NULL;
    assert_lh_ok(lh_tpm_open(b->tcti, &tpm));
    LH_AUTO(lh_secret_freep) lh_secret *root = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *auth = NULL;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_LIMIT_SEAL);
    assert_lh_ok(lh_secret_random(32, &root));
    assert_lh_ok(lh_secret_random(32, &auth));
    assert_lh_ok(lh_seal_create(tpm, root, MASK, &blob));
    assert_lh_ok(lh_seal_open(tpm, lh_buf_bytes(&blob), &got));
    assert_true(lh_secret_equal(got, root));
    assert_lh_ok(lh_tpm_anchor_define(tpm, LH_TPM_ANCHOR_BASE, auth));
    assert_lh_ok(lh_tpm_anchor_write(tpm, LH_TPM_ANCHOR_BASE, auth, LH_BYTES_STR("anchored")));
    lh_tpm_close(tpm);
    assert_true(b->n_commands > 1000 && b->n_responses > 1000);
    assert_true(b->n_commands < sizeof(b->commands) && b->n_responses < sizeof(b->responses));
    /* Any eight bytes of the secrets would do for an eavesdropper. */
    for (size_t i = 0; i + 8 <= 32; i++) {
        assert_false(bus_saw(b, LH_BYTES(lh_secret_data(root) + i, 8)));
        assert_false(bus_saw(b, LH_BYTES(lh_secret_data(auth) + i, 8)));
    }
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(b->tcti, &tcti), 0);
    assert_int_equal(Esys_Initialize(&esys, tcti, NULL), 0);
    seal_plainly(esys, lh_secret_bytes(root));
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
    assert_true(bus_saw(b, lh_secret_bytes(root)));
    bus_stop(b);
}

/* Another storage key at the SRK's place, made by the same TPM. */
static void raw_replace_srk(ESYS_CONTEXT *esys)
{
    ESYS_TR old, gone, made, kept;
    assert_int_equal(
        Esys_TR_FromTPMPublic(esys, 0x81000001, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &old), 0);
    assert_int_equal(Esys_EvictControl(esys, ESYS_TR_RH_OWNER, old, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                         ESYS_TR_NONE, 0x81000001, &gone),
        0);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                         .keyBits.aes = 128,
                                         .mode.aes = TPM2_ALG_CFB},
                .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P256,
                .kdf.scheme = TPM2_ALG_NULL},
            .unique.ecc.x = {.size = 32, .buffer = "another"}}};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    assert_int_equal(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                         &sensitive, &template, &outside, &pcrs, &made, NULL, NULL, NULL, NULL),
        0);
    assert_int_equal(Esys_EvictControl(esys, ESYS_TR_RH_OWNER, made, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                         ESYS_TR_NONE, 0x81000001, &kept),
        0);
    Esys_FlushContext(esys, made);
}

static bool saw_command(const bus *b, uint32_t code)
{
    for (size_t i = 0; i + 10 <= b->n_commands;) {
        const uint8_t *c = b->commands + i;
        size_t len = (size_t)c[2] << 24 | (size_t)c[3] << 16 | (size_t)c[4] << 8 | c[5];
        uint32_t cc = (uint32_t)c[6] << 24 | (uint32_t)c[7] << 16 | (uint32_t)c[8] << 8 | c[9];
        if (cc == code)
            return true;
        assert_true(len >= 10);
        i += len;
    }
    return false;
}

static void test_srk_replaced(void **state)
{
    fixture *f = *state;
    lh_tpm_close(LH_TAKE(f->tpm));
    swtpm_raw(&f->process, raw_replace_srk);
    bus *b = bus_start(&f->process);
    assert_lh_ok(lh_tpm_open(b->tcti, &f->tpm));
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    assert_lh_refused(lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got), LH_E_TPM, "seal-srk-replaced");
    assert_null(got);
    lh_tpm_close(LH_TAKE(f->tpm));
    /* No salt was encrypted to it and nothing loaded under it. */
    assert_true(saw_command(b, TPM2_CC_ReadPublic));
    assert_false(saw_command(b, TPM2_CC_StartAuthSession));
    assert_false(saw_command(b, TPM2_CC_Load));
    assert_false(saw_command(b, TPM2_CC_Unseal));
    bus_stop(b);
    f->tpm = swtpm_open(&f->process);
}

/* The persistent SRK was removed (not cleared): the same key is made again and the seal opens. */
static void raw_evict_srk(ESYS_CONTEXT *esys)
{
    ESYS_TR old, gone;
    assert_int_equal(
        Esys_TR_FromTPMPublic(esys, 0x81000001, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &old), 0);
    assert_int_equal(Esys_EvictControl(esys, ESYS_TR_RH_OWNER, old, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                         ESYS_TR_NONE, 0x81000001, &gone),
        0);
}

static void test_srk_made_again(void **state)
{
    fixture *f = *state;
    lh_tpm_close(LH_TAKE(f->tpm));
    swtpm_raw(&f->process, raw_evict_srk);
    f->tpm = swtpm_open(&f->process);
    assert_opens(f);
}

/* An interposer that gives another public area under the pinned Name is found out: the first coordinate's
 * last bytes are altered in every answer to TPM2_ReadPublic. */
static void lie(uint32_t command, uint8_t *response, size_t *len, void *arg)
{
    int *lies = arg;
    /* header 10 ‖ TPM2B size 2 ‖ type 2 ‖ nameAlg 2 ‖ attributes 4 ‖ policy 2 ‖ AES 6 ‖ scheme 2 ‖ curve 2 ‖
     * kdf 2 ‖ x size 2 ‖ x */
    if (command == TPM2_CC_ReadPublic && *len > 100) {
        response[36 + 20] ^= 1;
        (*lies)++;
    }
}

static void test_srk_lie(void **state)
{
    fixture *f = *state;
    lh_tpm_close(LH_TAKE(f->tpm));
    bus *b = bus_start(&f->process);
    int lies = 0;
    b->alter = lie;
    b->arg = &lies;
    assert_lh_ok(lh_tpm_open(b->tcti, &f->tpm));
    LH_AUTO(lh_secret_freep) lh_secret *got = NULL;
    lh_err err = lh_seal_open(f->tpm, lh_buf_bytes(&f->blob), &got);
    assert_int_equal(err.code, LH_E_TPM);
    assert_true(lies > 0);
    assert_null(got);
    lh_tpm_close(LH_TAKE(f->tpm));
    assert_false(saw_command(b, TPM2_CC_StartAuthSession));
    assert_false(saw_command(b, TPM2_CC_Unseal));
    bus_stop(b);
    f->tpm = swtpm_open(&f->process);
}

/* After a seal was opened, an anchor session is not salted with another SRK either. */
static void test_pin_holds(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *auth = NULL;
    assert_lh_ok(lh_secret_random(32, &auth));
    assert_opens(f);
    swtpm_raw(&f->process, raw_replace_srk); /* swtpm takes one command at a time from anyone */
    assert_lh_refused(lh_tpm_anchor_define(f->tpm, LH_TPM_ANCHOR_BASE, auth), LH_E_TPM, "tpm-srk-changed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pcr_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cleared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_tpm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bus_is_blind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_srk_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_srk_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_srk_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pin_holds, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
