/* An attester on a swtpm behind a bus where quotes take a while, and can be counted and spoiled. */
#ifndef LH_TESTS_ATTESTER_FIXTURE_H
#define LH_TESTS_ATTESTER_FIXTURE_H

#include "../tpm_fixture.h"

#include "attester/attester.h"

#include <stdatomic.h>

#define CC_QUOTE 0x158u /* TPM 2.0 Library Part 2, 6.5.2 */
#define CC_PCR_READ 0x17eu

#define MASK 0x81u
#define OTHER_MASK 0x400u

typedef struct {
    swtpm process;
    bus *bus;
    lh_tpm *tpm;
    lh_crypto *crypto;
    lh_attester *attester;
    lh_buf ak_public;
    atomic_int quote_ms;     /* what a quote takes */
    atomic_int quotes;       /* begun or done, as the bus saw them */
    atomic_bool hold;        /* the quote under way waits until this is false */
    atomic_int fail;         /* the quote of this number (from 1) answers TPM_RC_FAILURE */
    atomic_int extend_read;  /* a PCR is extended after each of so many of the next readings of PCRs */
    atomic_int extend_quote; /* and after each of so many of the next quotes */
} fixture;

/* TPM2_PCR_Extend(7) with an empty password, by somebody else on the bus. */
static inline void extend_on_bus(const bus *b)
{
    uint8_t command[65] = {0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 7, 0, 0, 0, 9, 0x40, 0, 0, 9,
        0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x0b, 0x55};
    uint8_t answer[64];
    assert_int_equal(write(b->upstream, command, sizeof(command)), sizeof(command));
    ssize_t n = read(b->upstream, answer, sizeof(answer));
    assert_true(n >= 10);
    assert_memory_equal(answer + 6, "\0\0\0\0", 4);
}

static inline void on_response(uint32_t command, uint8_t *response, size_t *len, void *arg)
{
    fixture *f = arg;
    atomic_int *extend = command == CC_PCR_READ ? &f->extend_read
                         : command == CC_QUOTE  ? &f->extend_quote
                                                : NULL;
    if (extend && atomic_load(extend) > 0) {
        atomic_fetch_sub(extend, 1);
        extend_on_bus(f->bus);
    }
    if (command != CC_QUOTE)
        return;
    int number = atomic_fetch_add(&f->quotes, 1) + 1;
    swtpm_sleep_ms(atomic_load(&f->quote_ms));
    while (atomic_load(&f->hold))
        swtpm_sleep_ms(1);
    if (atomic_load(&f->fail) == number) {
        static const uint8_t failure[] = {0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 1};
        memcpy(response, failure, sizeof(failure));
        *len = sizeof(failure);
    }
}

static inline int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    swtpm_start(&f->process);
    lh_tpm_close(swtpm_open(&f->process)); /* it listens */
    f->bus = bus_start(&f->process);
    f->bus->alter = on_response;
    f->bus->arg = f;
    assert_lh_ok(lh_tpm_open(f->bus->tcti, &f->tpm));
    assert_lh_ok(lh_crypto_new(&f->crypto));
    f->ak_public = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    assert_lh_ok(lh_tpm_ak_public(f->tpm, &f->ak_public));
    const lh_attester_options options = {f->tpm, f->crypto, -1, -1};
    assert_lh_ok(lh_attester_new(&options, &f->attester));
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture *f = *state;
    lh_attester_free(f->attester);
    lh_tpm_close(f->tpm);
    bus_stop(f->bus);
    swtpm_stop(&f->process);
    lh_buf_free(&f->ak_public);
    lh_crypto_free(f->crypto);
    free(f);
    return 0;
}

/* Verify as anybody can who has the AK and gave the nonce. */
static inline lh_err verify(fixture *f, uint32_t mask, const lh_evidence_leaf *leaf, const lh_evidence *e)
{
    const lh_evidence_expectation want = {
        .ak_public = lh_buf_bytes(&f->ak_public), .leaf = *leaf, .pcr_mask = mask};
    lh_evidence_result result;
    return lh_evidence_verify(f->crypto, e, &want, &result);
}

static inline lh_evidence_leaf leaf_of(uint32_t i)
{
    lh_evidence_leaf leaf = {.facts = {1}, .channel = {2}, .ephemeral = {3}};
    memcpy(leaf.nonce, &i, sizeof(i));
    return leaf;
}

/* --- many requests -------------------------------------------------------------------------------------- */

typedef struct {
    fixture *f;
    uint32_t mask;
    lh_evidence_leaf leaf;
    atomic_int answers;
    enum lh_code code;    /* of the answer */
    enum lh_code refused; /* what its verification said */
    char reason[64];
    uint32_t leaf_count, leaf_index;
    uint8_t quote[32]; /* tells one quote from another: the end of its signature */
} asked;

static inline void on_answer(void *arg, lh_err err, const lh_evidence *e)
{
    asked *a = arg;
    a->code = err.code;
    if (lh_ok(err)) {
        a->refused = verify(a->f, a->mask, &a->leaf, e).code;
        a->leaf_count = e->leaf_count;
        a->leaf_index = e->leaf_index;
        memcpy(a->quote, e->signature.data + e->signature.len - 32, 32);
    } else {
        snprintf(a->reason, sizeof(a->reason), "%s", lh_err_last()->reason);
        LH_IGNORE(LH_REFUSE(LH_E_INTERNAL, "another", "raised by an answer"));
    }
    atomic_fetch_add(&a->answers, 1);
}

static inline void ask(fixture *f, asked *a, uint32_t mask, uint32_t number)
{
    *a = (asked){.f = f, .mask = mask, .leaf = leaf_of(number)};
    assert_lh_ok(lh_attester_submit(f->attester, mask, &a->leaf, on_answer, a));
}

static inline void wait_answers(asked *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 10000 && atomic_load(&a[i].answers) == 0; k++)
            swtpm_sleep_ms(2);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(atomic_load(&a[i].answers), 1);
}

/* One request whose quote is under way until release: whatever is asked meanwhile is under the next ones. */
static inline void occupy(fixture *f, asked *first)
{
    atomic_store(&f->hold, true);
    int before = atomic_load(&f->quotes);
    ask(f, first, MASK, 1000000);
    for (int k = 0; k < 5000 && atomic_load(&f->quotes) == before; k++)
        swtpm_sleep_ms(1);
    assert_int_equal(atomic_load(&f->quotes), before + 1);
}

static inline void release(fixture *f)
{
    atomic_store(&f->hold, false);
}

#endif
