/* One quote for many: who shares one, who does not, and what becomes of everybody when something fails. */
#include "fixture.h"

#include "base/limits.h"

static void test_lone_request_at_once(void **state)
{
    fixture *f = *state;
    lh_evidence e;
    lh_evidence_init(&e);
    const lh_evidence_leaf leaf = leaf_of(7);
    assert_lh_ok(lh_attester_quote(f->attester, MASK, &leaf, &e));
    assert_int_equal(e.leaf_count, 1);
    assert_int_equal(e.leaf_index, 0);
    assert_int_equal(e.proof.count, 0);
    assert_int_equal(e.pcr_mask, MASK);
    assert_lh_ok(verify(f, MASK, &leaf, &e));
    const lh_evidence_leaf other = leaf_of(8);
    assert_lh_refused(verify(f, MASK, &other, &e), LH_E_ATTESTATION, "evidence-nonce");
    lh_buf encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    assert_lh_ok(lh_evidence_encode(&e, &encoded));
    lh_buf_free(&encoded);
    lh_evidence_deinit(&e);
    assert_int_equal(atomic_load(&f->quotes), 1);
    lh_evidence_init(&e);
    assert_int_equal(lh_attester_quote(f->attester, 0, &leaf, &e).code, LH_E_INVALID);
    assert_int_equal(lh_attester_quote(f->attester, 1u << 24, &leaf, &e).code, LH_E_INVALID);
    assert_int_equal(e.attest.len, 0);
    lh_evidence_deinit(&e);
}

/* Requests of 200 threads: each gets a proof of its own, and few quotes are taken for all. */
typedef struct {
    fixture *f;
    uint32_t number;
    lh_err err, verified;
} caller;

static void *caller_main(void *arg)
{
    caller *c = arg;
    lh_evidence e;
    lh_evidence_init(&e);
    const lh_evidence_leaf leaf = leaf_of(c->number);
    c->err = lh_attester_quote(c->f->attester, MASK, &leaf, &e);
    c->verified = lh_ok(c->err) ? verify(c->f, MASK, &leaf, &e) : c->err;
    lh_evidence_deinit(&e);
    return NULL;
}

static void test_200_callers_few_quotes(void **state)
{
    fixture *f = *state;
    atomic_store(&f->quote_ms, 200);
    static caller callers[200];
    pthread_t threads[200];
    for (uint32_t i = 0; i < 200; i++) {
        callers[i] = (caller){.f = f, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, caller_main, &callers[i]), 0);
    }
    for (size_t i = 0; i < 200; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].err.code, LH_OK);
        assert_int_equal(callers[i].verified.code, LH_OK);
    }
    /* As many as it takes to start the threads: one and one more where nothing else runs. */
    assert_in_range(atomic_load(&f->quotes), 2, 10);
    lh_attester_counts counts;
    lh_attester_count(f->attester, &counts);
    assert_int_equal(counts.leaves, 200);
    assert_int_equal(counts.quotes, atomic_load(&f->quotes));
}

/* What comes while a quote is under way is under the next one, up to its limit, in order. */
#define CROWD (LH_EVIDENCE_LEAVES_MAX + 100)

static void test_limit_of_a_batch(void **state)
{
    fixture *f = *state;
    asked first;
    asked *crowd = calloc(CROWD, sizeof(*crowd));
    assert_non_null(crowd);
    occupy(f, &first);
    for (uint32_t i = 0; i < CROWD; i++)
        ask(f, &crowd[i], MASK, i);
    release(f);
    wait_answers(&first, 1);
    wait_answers(crowd, CROWD);
    assert_int_equal(first.leaf_count, 1);
    for (uint32_t i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i].code, LH_OK);
        assert_int_equal(crowd[i].refused, LH_OK);
        assert_int_equal(crowd[i].leaf_count, i < LH_EVIDENCE_LEAVES_MAX ? LH_EVIDENCE_LEAVES_MAX : 100u);
        assert_int_equal(crowd[i].leaf_index, i % LH_EVIDENCE_LEAVES_MAX);
    }
    assert_int_equal(atomic_load(&f->quotes), 3);
    lh_attester_counts counts;
    lh_attester_count(f->attester, &counts);
    assert_int_equal(counts.quotes, 3);
    assert_int_equal(counts.leaves, CROWD + 1);
    assert_int_equal(counts.largest, LH_EVIDENCE_LEAVES_MAX);
    free(crowd);
}

static void test_masks_do_not_mix(void **state)
{
    fixture *f = *state;
    asked first, a[20];
    occupy(f, &first);
    for (uint32_t i = 0; i < 20; i++)
        ask(f, &a[i], i % 2 ? OTHER_MASK : MASK, i);
    release(f);
    wait_answers(&first, 1);
    wait_answers(a, 20);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(a[i].code, LH_OK);
        assert_int_equal(a[i].refused, LH_OK);
        assert_int_equal(a[i].leaf_count, 10);
        assert_int_equal(a[i].leaf_index, i / 2);
        assert_memory_equal(a[i].quote, a[i % 2].quote, 32);
    }
    assert_memory_not_equal(a[0].quote, a[1].quote, 32);
    assert_int_equal(atomic_load(&f->quotes), 3);
}

/* Masks take turns: one whose requests keep coming does not keep the others waiting. */
static void test_masks_take_turns(void **state)
{
    fixture *f = *state;
    asked first, a[2];
    occupy(f, &first);
    ask(f, &a[0], OTHER_MASK, 0);
    ask(f, &a[1], MASK, 1);
    atomic_store(&f->quote_ms, 100);
    release(f);
    for (int k = 0; k < 5000 && atomic_load(&a[0].answers) == 0; k++)
        swtpm_sleep_ms(1);
    assert_int_equal(atomic_load(&a[1].answers), 0);
    wait_answers(&first, 1);
    wait_answers(a, 2);
    assert_int_equal(a[1].refused, LH_OK);
}

static void test_tpm_error_reaches_all(void **state)
{
    fixture *f = *state;
    asked first, a[50], next;
    occupy(f, &first);
    for (uint32_t i = 0; i < 50; i++)
        ask(f, &a[i], MASK, i);
    atomic_store(&f->fail, 2);
    release(f);
    wait_answers(&first, 1);
    wait_answers(a, 50);
    assert_int_equal(first.code, LH_OK);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(a[i].code, LH_E_TPM);
        assert_string_equal(a[i].reason, a[0].reason);
        assert_string_not_equal(a[i].reason, "another"); /* what the answer before it raised */
    }
    ask(f, &next, MASK, 1); /* it goes on */
    wait_answers(&next, 1);
    assert_int_equal(next.code, LH_OK);
    assert_int_equal(next.refused, LH_OK);
    lh_evidence e;
    lh_evidence_init(&e);
    const lh_evidence_leaf leaf = leaf_of(1);
    atomic_store(&f->fail, 4);
    assert_int_equal(lh_attester_quote(f->attester, MASK, &leaf, &e).code, LH_E_TPM);
    assert_true(lh_err_last()->foreign == 0x101); /* TPM_RC_FAILURE, on the caller's thread */
    assert_int_equal(e.attest.len, 0);
    lh_evidence_deinit(&e);
}

static void test_pcr_extended_in_between(void **state)
{
    fixture *f = *state;
    lh_evidence e;
    lh_evidence_init(&e);
    const lh_evidence_leaf leaf = leaf_of(1);
    atomic_store(&f->extend_read, 1);
    assert_lh_ok(lh_attester_quote(f->attester, MASK, &leaf, &e));
    assert_lh_ok(verify(f, MASK, &leaf, &e));
    assert_int_equal(atomic_load(&f->quotes), 1); /* the values read after it are those that it covers */
    lh_evidence_deinit(&e);
    lh_evidence_init(&e);
    atomic_store(&f->extend_read, 1); /* and once more before they are read again */
    atomic_store(&f->extend_quote, 1);
    assert_lh_ok(lh_attester_quote(f->attester, MASK, &leaf, &e));
    assert_lh_ok(verify(f, MASK, &leaf, &e));
    assert_int_equal(atomic_load(&f->quotes), 3);
    lh_evidence_deinit(&e);
    lh_evidence_init(&e);
    atomic_store(&f->extend_read, 1000); /* all the time */
    atomic_store(&f->extend_quote, 1000);
    assert_lh_refused(lh_attester_quote(f->attester, MASK, &leaf, &e), LH_E_TPM, "attester-pcr-busy");
    assert_int_equal(atomic_load(&f->quotes), 3 + 4); /* an end to trying */
    assert_int_equal(e.attest.len, 0);
    lh_evidence_deinit(&e);
}

static void nobody(void *arg, lh_err err, const lh_evidence *evidence)
{
    (void)err;
    (void)evidence;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void *free_main(void *arg)
{
    lh_attester_free(arg);
    return NULL;
}

/* Free it while a quote is under way. */
static void stop_while_held(fixture *f)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_main, f->attester), 0);
    const lh_evidence_leaf leaf = leaf_of(1);
    atomic_int ignored = 0;
    lh_err err = LH_SUCCESS;
    for (int i = 0; i < 5000 && err.code != LH_E_STATE; i++) { /* it is stopping once it takes no more */
        err = lh_attester_submit(f->attester, MASK, &leaf, nobody, &ignored);
        swtpm_sleep_ms(1);
    }
    assert_int_equal(err.code, LH_E_STATE);
    release(f);
    pthread_join(thread, NULL);
    f->attester = NULL;
}

/* Callers that have lost interest do not exist for the attester: every request is answered once, also where
 * it is freed. */
static void test_freed_while_they_wait(void **state)
{
    fixture *f = *state;
    asked first, a[20];
    occupy(f, &first);
    for (uint32_t i = 0; i < 20; i++)
        ask(f, &a[i], MASK, i);
    atomic_store(&f->quote_ms, 100); /* the next one's, if there were one */
    stop_while_held(f);
    assert_int_equal(atomic_load(&first.answers), 1);
    assert_int_equal(first.code, LH_OK);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(atomic_load(&a[i].answers), 1);
        assert_int_equal(a[i].code, LH_E_STATE);
        assert_string_equal(a[i].reason, "attester-stopped");
    }
}

static void test_limit_of_the_queue(void **state)
{
    fixture *f = *state;
    asked first;
    atomic_int answers = 0;
    occupy(f, &first);
    const lh_evidence_leaf leaf = leaf_of(1);
    for (uint32_t i = 0; i < LH_LIMIT_ATTESTER_WAITING; i++)
        assert_lh_ok(lh_attester_submit(f->attester, MASK, &leaf, nobody, &answers));
    assert_lh_refused(
        lh_attester_submit(f->attester, MASK, &leaf, nobody, &answers), LH_E_LIMIT, "attester-busy");
    lh_evidence e;
    lh_evidence_init(&e);
    assert_lh_refused(lh_attester_quote(f->attester, MASK, &leaf, &e), LH_E_LIMIT, "attester-busy");
    lh_evidence_deinit(&e);
    stop_while_held(f);
    assert_int_equal(atomic_load(&answers), LH_LIMIT_ATTESTER_WAITING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lone_request_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_200_callers_few_quotes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_masks_do_not_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_masks_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tpm_error_reaches_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pcr_extended_in_between, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_while_they_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_of_the_queue, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
