/* The TPM thread and its calls, on a swtpm of our own. */
#include "../tpm_fixture.h"

#include "codec/tpms.h"

static swtpm tpm_process;

static int setup(void **state)
{
    (void)state;
    swtpm_start(&tpm_process);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    swtpm_stop(&tpm_process);
    return 0;
}

static void test_info(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    lh_tpm_facts facts;
    assert_lh_ok(lh_tpm_info(tpm, &facts));
    assert_string_equal(facts.manufacturer, "IBM ");
    assert_string_equal(facts.vendor, "SW   TPM");
    assert_true(facts.is_software);
    assert_true(facts.firmware != 0);
}

static void test_open_nothing(void **state)
{
    (void)state;
    lh_tpm *tpm = NULL;
    assert_lh_refused(lh_tpm_open("swtpm:path=/nonexistent/sock", &tpm), LH_E_TPM, "tpm-gone");
    assert_null(tpm);
    assert_lh_refused(lh_tpm_open("nosuchtcti:", &tpm), LH_E_TPM, "tpm-gone");
}

static void test_pcr(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    uint8_t before[LH_TPM_PCRS][32], after[LH_TPM_PCRS][32];
    uint8_t digest[32] = {1};
    assert_lh_ok(lh_tpm_pcr_read(tpm, LH_TPM_PCR_MASK_ALL, before));
    assert_lh_ok(lh_tpm_pcr_extend(tpm, 11, digest));
    assert_lh_ok(lh_tpm_pcr_read(tpm, LH_TPM_PCR_MASK_ALL, after));
    for (unsigned i = 0; i < LH_TPM_PCRS; i++)
        assert_int_equal(memcmp(before[i], after[i], 32) != 0, i == 11);
    uint8_t one[LH_TPM_PCRS][32];
    assert_lh_ok(lh_tpm_pcr_read(tpm, 1u << 11, one));
    assert_memory_equal(one[11], after[11], 32);
    assert_int_equal(lh_tpm_pcr_read(tpm, 0, one).code, LH_E_INVALID);
    assert_int_equal(lh_tpm_pcr_read(tpm, 1u << 24, one).code, LH_E_INVALID);
    assert_int_equal(lh_tpm_pcr_extend(tpm, 24, digest).code, LH_E_INVALID);
}

static void test_quote(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(1024);
    uint8_t qualifying[32] = "qualifying data of this quote..";
    assert_lh_ok(lh_tpm_quote(tpm, 0x8f, qualifying, &attest, &signature));
    assert_lh_ok(lh_tpm_ak_public(tpm, &public));
    lh_tpms_attest a;
    lh_tpms_quote q;
    lh_tpms_signature s;
    lh_tpms_public p;
    assert_lh_ok(lh_tpms_attest_parse(lh_buf_bytes(&attest), &a));
    assert_lh_ok(lh_tpms_quote_parse(a.attested, &q));
    assert_lh_ok(lh_tpms_signature_parse(lh_buf_bytes(&signature), &s));
    assert_lh_ok(lh_tpms_public_parse(lh_buf_bytes(&public), &p));
    assert_int_equal(a.magic, LH_TPMS_GENERATED);
    assert_int_equal(a.type, LH_TPMS_ST_ATTEST_QUOTE);
    assert_true(lh_bytes_equal(a.extra_data, LH_BYTES(qualifying, 32)));
    assert_int_equal(q.selection.count, 1);
    assert_int_equal(q.selection.banks[0].mask, 0x8f);
    assert_int_equal(q.pcr_digest.len, 32);
    assert_int_equal(s.scheme, LH_TPMS_ALG_ECDSA);
    assert_true(p.attributes & LH_TPMS_ATTR_RESTRICTED);
    assert_true(p.attributes & LH_TPMS_ATTR_SIGN);
    assert_false(p.attributes & LH_TPMS_ATTR_DECRYPT);
    assert_int_equal(lh_tpm_quote(tpm, 0, qualifying, &attest, &signature).code, LH_E_INVALID);
    /* A buffer that is too small: neither is touched. */
    LH_AUTO(lh_buf_free) lh_buf fits = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf small = LH_BUF_INIT(8);
    assert_int_equal(lh_tpm_quote(tpm, 1, qualifying, &fits, &small).code, LH_E_LIMIT);
    assert_int_equal(fits.len, 0);
}

/* Keys are the same at the next start, also after a reset; and the two are different. */
static void test_keys_stable(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf first = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf checkpoint = LH_BUF_INIT(1024);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    assert_lh_ok(lh_tpm_ak_public(tpm, &first));
    lh_tpm_close(LH_TAKE(tpm));
    swtpm_kill(&tpm_process);
    swtpm_run(&tpm_process);
    tpm = swtpm_open(&tpm_process);
    assert_lh_ok(lh_tpm_ak_public(tpm, &second));
    assert_true(lh_bytes_equal(lh_buf_bytes(&first), lh_buf_bytes(&second)));
    assert_lh_ok(lh_tpm_checkpoint_public(tpm, &checkpoint));
    assert_false(lh_bytes_equal(lh_buf_bytes(&first), lh_buf_bytes(&checkpoint)));
    lh_tpms_public p;
    assert_lh_ok(lh_tpms_public_parse(lh_buf_bytes(&checkpoint), &p));
    assert_false(p.attributes & LH_TPMS_ATTR_RESTRICTED);
    uint8_t digest[32] = {7}, r[32], s[32];
    assert_lh_ok(lh_tpm_checkpoint_sign(tpm, digest, r, s));
}

/* A dead TPM is an error; a new one on the same path is used by itself. */
static void test_gone_and_back(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_buf_free) lh_buf a = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf b = LH_BUF_INIT(1024);
    uint8_t digest[32] = {7}, r[32], s[32];
    assert_lh_ok(lh_tpm_ak_public(tpm, &a));
    assert_lh_ok(lh_tpm_checkpoint_sign(tpm, digest, r, s));
    swtpm_kill(&tpm_process);
    assert_lh_refused(lh_tpm_checkpoint_sign(tpm, digest, r, s), LH_E_TPM, "tpm-gone");
    assert_lh_refused(lh_tpm_ak_public(tpm, &b), LH_E_TPM, "tpm-gone");
    swtpm_run(&tpm_process);
    lh_err err = {LH_E_TPM};
    for (int i = 0; i < 100 && !lh_ok(err); i++) {
        err = lh_tpm_ak_public(tpm, &b);
        swtpm_sleep_ms(10);
    }
    assert_lh_ok(err);
    assert_true(lh_bytes_equal(lh_buf_bytes(&a), lh_buf_bytes(&b)));
    assert_lh_ok(lh_tpm_checkpoint_sign(tpm, digest, r, s));
}

/* Left behind by a crashed owner: three objects fill the simulator. */
static void raw_leave_objects(ESYS_CONTEXT *esys)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_PUBLIC template = {.publicArea = {.type = TPM2_ALG_ECC,
                                 .nameAlg = TPM2_ALG_SHA256,
                                 .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                     TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                                     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT,
                                 .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                     .scheme = {.scheme = TPM2_ALG_NULL},
                                     .curveID = TPM2_ECC_NIST_P256,
                                     .kdf.scheme = TPM2_ALG_NULL}}};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    ESYS_TR tr;
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                &sensitive, &template, &outside, &pcrs, &tr, NULL, NULL, NULL, NULL),
            0);
}

static void test_leftovers_flushed(void **state)
{
    (void)state;
    lh_tpm_close(swtpm_open(&tpm_process));
    swtpm_raw(&tpm_process, raw_leave_objects);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_buf_free) lh_buf a = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_ak_public(tpm, &a));
}

static void test_anchor(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_secret_freep) lh_secret *auth = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *other = NULL;
    LH_AUTO(lh_buf_free) lh_buf got = LH_BUF_INIT(256);
    assert_lh_ok(lh_secret_random(32, &auth));
    assert_lh_ok(lh_secret_random(32, &other));
    uint32_t index, next;
    assert_lh_ok(lh_tpm_anchor_find_free(tpm, &index));
    assert_int_equal(index, LH_TPM_ANCHOR_BASE);
    assert_lh_refused(lh_tpm_anchor_read(tpm, index, &got), LH_E_NOT_FOUND, "anchor-missing");
    assert_lh_refused(
        lh_tpm_anchor_write(tpm, index, auth, LH_BYTES_STR("x")), LH_E_NOT_FOUND, "anchor-missing");
    assert_lh_ok(lh_tpm_anchor_define(tpm, index, auth));
    assert_lh_refused(lh_tpm_anchor_define(tpm, index, auth), LH_E_EXISTS, "anchor-exists");
    assert_lh_refused(lh_tpm_anchor_read(tpm, index, &got), LH_E_STATE, "anchor-unwritten");
    assert_lh_ok(lh_tpm_anchor_find_free(tpm, &next));
    assert_int_equal(next, index + 1);
    uint8_t data[LH_TPM_ANCHOR_MAX + 1];
    memset(data, 0x5a, sizeof(data));
    assert_lh_ok(lh_tpm_anchor_write(tpm, index, auth, LH_BYTES(data, LH_TPM_ANCHOR_MAX)));
    assert_lh_ok(lh_tpm_anchor_read(tpm, index, &got));
    assert_true(lh_bytes_equal(lh_buf_bytes(&got), LH_BYTES(data, LH_TPM_ANCHOR_MAX)));
    assert_int_equal(lh_tpm_anchor_write(tpm, index, auth, LH_BYTES(data, sizeof(data))).code, LH_E_INVALID);
    assert_int_equal(lh_tpm_anchor_write(tpm, index, auth, LH_BYTES_NONE).code, LH_E_INVALID);
    assert_int_equal(lh_tpm_anchor_define(tpm, 0x01c00002, auth).code, LH_E_INVALID);
    /* Wrong authorization, many times: refused, no lockout, content unchanged. */
    for (int i = 0; i < 40; i++)
        assert_lh_refused(
            lh_tpm_anchor_write(tpm, index, other, LH_BYTES_STR("x")), LH_E_DENIED, "anchor-auth");
    assert_lh_ok(lh_tpm_anchor_write(tpm, index, auth, LH_BYTES_STR("short")));
    lh_tpm_close(LH_TAKE(tpm));
    swtpm_kill(&tpm_process);
    swtpm_run(&tpm_process);
    tpm = swtpm_open(&tpm_process);
    lh_buf_clear(&got);
    assert_lh_ok(lh_tpm_anchor_read(tpm, index, &got));
    assert_true(lh_bytes_equal(lh_buf_bytes(&got), LH_BYTES_STR("short")));
    assert_lh_ok(lh_tpm_anchor_undefine(tpm, index));
    assert_lh_refused(lh_tpm_anchor_undefine(tpm, index), LH_E_NOT_FOUND, "anchor-missing");
}

static void raw_define_foreign(ESYS_CONTEXT *esys)
{
    TPM2B_AUTH auth = {0};
    TPM2B_NV_PUBLIC public = {.nvPublic = {.nvIndex = LH_TPM_ANCHOR_BASE,
                                  .nameAlg = TPM2_ALG_SHA256,
                                  .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_OWNERREAD,
                                  .dataSize = 130}};
    ESYS_TR nv;
    assert_int_equal(Esys_NV_DefineSpace(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                         &auth, &public, &nv),
        0);
}

static void test_anchor_foreign(void **state)
{
    (void)state;
    lh_tpm_close(swtpm_open(&tpm_process));
    swtpm_raw(&tpm_process, raw_define_foreign);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_buf_free) lh_buf got = LH_BUF_INIT(256);
    assert_lh_refused(lh_tpm_anchor_read(tpm, LH_TPM_ANCHOR_BASE, &got), LH_E_CORRUPT, "anchor-foreign");
}

static void raw_set_owner_auth(ESYS_CONTEXT *esys)
{
    TPM2B_AUTH auth = {.size = 5, .buffer = "owner"};
    assert_int_equal(
        Esys_HierarchyChangeAuth(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &auth),
        0);
}

static void test_owner_auth(void **state)
{
    (void)state;
    lh_tpm_close(swtpm_open(&tpm_process));
    swtpm_raw(&tpm_process, raw_set_owner_auth);
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    LH_AUTO(lh_secret_freep) lh_secret *owner = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *auth = NULL;
    assert_lh_ok(lh_secret_copy(LH_BYTES_STR("owner"), &owner));
    assert_lh_ok(lh_secret_random(32, &auth));
    lh_tpm_identity id;
    assert_int_equal(lh_tpm_identify(tpm, &id).code, LH_E_DENIED);
    assert_lh_ok(lh_tpm_set_owner_auth(tpm, owner));
    assert_lh_ok(lh_tpm_identify(tpm, &id));
    assert_true(lh_tpm_name_equal(&id.srk, &id.owner));
    assert_false(lh_tpm_name_equal(&id.srk, &id.ek));
    assert_lh_ok(lh_tpm_anchor_define(tpm, LH_TPM_ANCHOR_BASE, auth));
}

typedef struct {
    lh_tpm *tpm;
    int failures;
} worker;

static void *worker_main(void *arg)
{
    worker *w = arg;
    for (int i = 0; i < 10; i++) {
        uint8_t digest[32] = {(uint8_t)i}, r[32], s[32], pcrs[LH_TPM_PCRS][32];
        lh_tpm_facts facts;
        if (!lh_ok(lh_tpm_checkpoint_sign(w->tpm, digest, r, s)) ||
            !lh_ok(lh_tpm_pcr_read(w->tpm, 0xff, pcrs)) || !lh_ok(lh_tpm_info(w->tpm, &facts)))
            w->failures++;
        /* An error's detail belongs to the thread that it is answered on. */
        if (lh_tpm_pcr_read(w->tpm, 0, pcrs).code != LH_E_INVALID || lh_err_last()->code != LH_E_INVALID ||
            lh_err_last()->message[0] == '\0')
            w->failures++;
    }
    return NULL;
}

static void test_eight_threads(void **state)
{
    (void)state;
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = swtpm_open(&tpm_process);
    pthread_t threads[8];
    worker workers[8];
    for (int i = 0; i < 8; i++) {
        workers[i] = (worker){tpm, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, worker_main, &workers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failures, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_info, setup, teardown),
        cmocka_unit_test(test_open_nothing),
        cmocka_unit_test_setup_teardown(test_pcr, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_stable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_and_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leftovers_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anchor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anchor_foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner_auth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eight_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
