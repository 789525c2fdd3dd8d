/* A lease's states, its verdicts, its uses, its record. */
#include "lease/lease.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOUR_MS 3600000

static lh_lease_terms terms_of(enum lh_lease_per per, uint64_t uses)
{
    lh_lease_terms t = {.id = {1, 2, 3},
        .role = "sign",
        .workload = "spiffe://test.example/me",
        .host = "web-1",
        .source = "192.0.2.1",
        .stream = 5,
        .parent = "root",
        .parent_version = 3,
        .per = per,
        .kind = LH_KEY_ED25519,
        .pid = 4711,
        .start_time = 99,
        .uid = 1000,
        .boot_id = {9, 9},
        .facts_hash = {7, 7, 7},
        .issued = 1767225600,
        .ttl = 600,
        .not_after = 1767225600 + 3600,
        .not_after_boot_ms = HOUR_MS,
        .uses = uses};
    return t;
}

static lh_lease *make(enum lh_lease_per per, uint64_t uses)
{
    const lh_lease_terms terms = terms_of(per, uses);
    lh_lease *lease = NULL;
    assert_true(lh_ok(lh_lease_new(&terms, NULL, &lease)));
    return lease;
}

static void test_states(void **unused)
{
    (void)unused;
    lh_lease *l = make(LH_PER_WORKLOAD, 0);
    assert_int_equal(lh_lease_state_of(l), LH_LEASE_EXPIRED); /* until it is set live */
    assert_int_equal(lh_lease_use(l, 0, true), LH_LEASE_NEEDS_RENEWAL);
    lh_lease_set_live(l, 1000);
    assert_int_equal(lh_lease_use(l, 999, true), LH_LEASE_USABLE);
    assert_int_equal(lh_lease_use(l, 1000, true), LH_LEASE_NEEDS_RENEWAL); /* before anybody swept */
    assert_int_equal(lh_lease_used(l), 1);
    lh_lease_set_expired(l);
    assert_string_equal(lh_lease_reason(l), "expired");
    assert_int_equal(lh_lease_use(l, 1, true), LH_LEASE_NEEDS_RENEWAL);
    lh_lease_set_live(l, 2000);
    assert_string_equal(lh_lease_reason(l), "");
    assert_int_equal(lh_lease_use(l, 1500, true), LH_LEASE_USABLE);
    assert_true(lh_lease_set_ended(l, "held"));
    assert_false(lh_lease_set_ended(l, "later")); /* the first end wins */
    assert_string_equal(lh_lease_reason(l), "held");
    lh_lease_set_live(l, 3000); /* nothing brings it back */
    lh_lease_set_expired(l);
    assert_int_equal(lh_lease_state_of(l), LH_LEASE_ENDED);
    assert_int_equal(lh_lease_use(l, 1500, false), LH_LEASE_OVER);
    lh_lease_unref(l);
    lh_lease_unref(NULL);
}

static void test_maximum_life(void **unused)
{
    (void)unused;
    lh_lease *l = make(LH_PER_WORKLOAD, 0);
    lh_lease_set_live(l, 2 * HOUR_MS);
    assert_int_equal(lh_lease_expires_boot_ms(l), HOUR_MS);
    assert_int_equal(lh_lease_use(l, HOUR_MS - 1, false), LH_LEASE_USABLE);
    assert_int_equal(lh_lease_use(l, HOUR_MS, false), LH_LEASE_OVER); /* not renewable any more */
    lh_lease_unref(l);
    l = make(LH_PER_LEASE, 0);
    lh_lease_set_live(l, 1000);
    assert_int_equal(lh_lease_use(l, 999, true), LH_LEASE_USABLE);
    assert_int_equal(lh_lease_use(l, 1000, true), LH_LEASE_OVER); /* its key went with it */
    lh_lease_unref(l);
}

static void test_uses(void **unused)
{
    (void)unused;
    lh_lease *l = make(LH_PER_WORKLOAD, 25);
    lh_lease_set_live(l, HOUR_MS);
    assert_int_equal(lh_lease_use(l, 0, true), LH_LEASE_NEEDS_USES);
    assert_int_equal(lh_lease_use(l, 0, false), LH_LEASE_USABLE); /* parts of an operation do not count */
    int taken = 0;
    for (;;) {
        enum lh_lease_verdict verdict = lh_lease_use(l, 0, true);
        if (verdict == LH_LEASE_SPENT)
            break;
        if (verdict == LH_LEASE_USABLE) {
            taken++;
            continue;
        }
        assert_int_equal(verdict, LH_LEASE_NEEDS_USES);
        uint64_t block = lh_lease_next_block(l);
        assert_in_range(block, 1, 2); /* a tenth */
        lh_lease_add_uses(l, block);
        assert_true(lh_lease_reserved(l) <= 25);
    }
    assert_int_equal(taken, 25);
    assert_int_equal(lh_lease_next_block(l), 0);
    lh_lease_unref(l);

    l = make(LH_PER_WORKLOAD, 1000000);
    assert_int_equal(lh_lease_next_block(l), 256); /* a crash loses no more */
    lh_lease_restore_uses(l, 999999);
    assert_int_equal(lh_lease_next_block(l), 1);
    assert_int_equal(lh_lease_used(l), 999999);
    lh_lease_unref(l);
    l = make(LH_PER_WORKLOAD, 3);
    assert_int_equal(lh_lease_next_block(l), 1);
    lh_lease_unref(l);
    l = make(LH_PER_WORKLOAD, 0);
    assert_int_equal(lh_lease_next_block(l), 0);
    lh_lease_unref(l);
}

typedef struct {
    lh_lease *lease;
    atomic_uint_fast64_t *taken;
} taker;

static void *take_all(void *arg)
{
    const taker *t = arg;
    enum lh_lease_verdict verdict;
    while ((verdict = lh_lease_use(t->lease, 0, true)) != LH_LEASE_SPENT) {
        if (verdict == LH_LEASE_USABLE)
            atomic_fetch_add(t->taken, 1);
    }
    return NULL;
}

static void test_concurrent_uses_never_exceed(void **unused)
{
    (void)unused;
    lh_lease *l = make(LH_PER_WORKLOAD, 20000);
    lh_lease_set_live(l, HOUR_MS);
    atomic_uint_fast64_t taken = 0;
    taker t = {l, &taken};
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_all, &t), 0);
    uint64_t block; /* one reserves, as under the issue lock */
    while ((block = lh_lease_next_block(l)) > 0) {
        lh_lease_add_uses(l, block);
        assert_true(atomic_load(&taken) <= lh_lease_reserved(l));
        assert_true(lh_lease_used(l) <= lh_lease_reserved(l));
    }
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(taken, 20000);
    assert_int_equal(lh_lease_used(l), 20000);
    lh_lease_unref(l);
}

static void test_renewal_is_claimed_once(void **unused)
{
    (void)unused;
    lh_lease *l = make(LH_PER_WORKLOAD, 0);
    assert_false(lh_lease_claim_renewal(l, 0)); /* not live */
    lh_lease_set_live(l, 600000);
    assert_false(lh_lease_claim_renewal(l, 399999)); /* more than a third is left */
    assert_true(lh_lease_claim_renewal(l, 400000));
    assert_false(lh_lease_claim_renewal(l, 400001));
    assert_int_equal(lh_lease_use(l, 400001, true), LH_LEASE_USABLE); /* others go on meanwhile */
    lh_lease_set_live(l, 1000000);
    assert_false(lh_lease_claim_renewal(l, 500000));
    assert_true(lh_lease_claim_renewal(l, 900000));
    lh_lease_set_live(l, HOUR_MS);
    assert_false(lh_lease_claim_renewal(l, HOUR_MS - 1)); /* nothing more to be had */
    lh_lease_set_live(l, 1000000);
    assert_false(lh_lease_claim_renewal(l, 1000000)); /* too late */
    (void)lh_lease_set_ended(l, "held");
    assert_false(lh_lease_claim_renewal(l, 900000));
    lh_lease_unref(l);
}

static void encode(lh_buf *out)
{
    lh_lease *l = make(LH_PER_LEASE, 50);
    lh_lease_restore_uses(l, 15);
    lh_lease_set_live(l, 77000);
    (void)lh_lease_set_ended(l, "peer-exit");
    const lh_lease_proof proof = {LH_BYTES_STR("evidence"), LH_BYTES_STR("facts")};
    assert_true(lh_ok(lh_lease_encode(l, &proof, out)));
    lh_lease_unref(l);
}

static void test_record(void **unused)
{
    (void)unused;
    lh_buf record = LH_BUF_INIT(65536);
    encode(&record);
    lh_lease_record r;
    assert_true(lh_ok(lh_lease_decode(lh_buf_bytes(&record), &r)));
    const lh_lease_terms want = terms_of(LH_PER_LEASE, 50);
    assert_memory_equal(r.terms.id, want.id, sizeof(want.id));
    assert_string_equal(r.terms.role, want.role);
    assert_string_equal(r.terms.workload, want.workload);
    assert_string_equal(r.terms.parent, want.parent);
    assert_int_equal(r.terms.parent_version, want.parent_version);
    assert_int_equal(r.terms.per, want.per);
    assert_int_equal(r.terms.kind, want.kind);
    assert_int_equal(r.terms.pid, want.pid);
    assert_int_equal(r.terms.start_time, want.start_time);
    assert_int_equal(r.terms.uid, want.uid);
    assert_memory_equal(r.terms.boot_id, want.boot_id, sizeof(want.boot_id));
    assert_memory_equal(r.terms.facts_hash, want.facts_hash, sizeof(want.facts_hash));
    assert_int_equal(r.terms.issued, want.issued);
    assert_int_equal(r.terms.ttl, want.ttl);
    assert_int_equal(r.terms.not_after, want.not_after);
    assert_int_equal(r.terms.not_after_boot_ms, want.not_after_boot_ms);
    assert_int_equal(r.terms.uses, want.uses);
    assert_int_equal(r.state, LH_LEASE_ENDED);
    assert_string_equal(r.reason, "peer-exit");
    assert_int_equal(r.expires_boot_ms, 77000);
    assert_int_equal(r.reserved, 15);
    assert_true(lh_bytes_equal(r.proof.evidence, LH_BYTES_STR("evidence")));
    assert_true(lh_bytes_equal(r.proof.facts, LH_BYTES_STR("facts")));
    assert_string_equal(r.terms.host, "web-1");
    assert_string_equal(r.terms.source, "192.0.2.1");
    assert_int_equal(r.terms.stream, 5);
    lh_buf_free(&record);
}

/* Format 1 ended with the evidence. */
static void test_record_of_format_1(void **unused)
{
    (void)unused;
    lh_buf record = LH_BUF_INIT(65536);
    encode(&record);
    lh_lease_record r = {.reserved = 123};
    record.data[0] = 1;
    assert_int_equal(lh_lease_decode(lh_buf_bytes(&record), &r).code, LH_E_CORRUPT);
    record.len -= 4 + strlen("facts") + 4 + strlen("web-1") + 4 + strlen("192.0.2.1") + 8;
    assert_true(lh_ok(lh_lease_decode(lh_buf_bytes(&record), &r)));
    assert_string_equal(r.terms.workload, "spiffe://test.example/me");
    assert_string_equal(r.terms.host, "");
    assert_int_equal(r.terms.stream, 0);
    assert_true(lh_bytes_equal(r.proof.evidence, LH_BYTES_STR("evidence")));
    assert_int_equal(r.proof.facts.len, 0);
    record.data[0] = 2;
    assert_int_equal(lh_lease_decode(lh_buf_bytes(&record), &r).code, LH_E_CORRUPT);
    lh_buf_free(&record);
}

static void test_record_cut_or_altered(void **unused)
{
    (void)unused;
    lh_buf record = LH_BUF_INIT(65536);
    encode(&record);
    lh_lease_record r = {.reserved = 123};
    for (size_t len = 0; len < record.len; len++) {
        uint8_t *copy = malloc(len ? len : 1); /* exactly as long, for the sanitizer */
        memcpy(copy, record.data, len);
        lh_err err = lh_lease_decode(LH_BYTES(copy, len), &r);
        assert_int_equal(err.code, LH_E_CORRUPT);
        free(copy);
    }
    assert_int_equal(r.reserved, 123); /* untouched */
    lh_buf_append(&record, "x", 1);
    assert_int_equal(lh_lease_decode(lh_buf_bytes(&record), &r).code, LH_E_CORRUPT);
    record.len--;
    /* Format, per, kind, state out of their range. */
    size_t per = 1 + 16 + 4 + 4 + 4 + 24 + 4 + 4 + 4;
    size_t state = per + 2 + 4 + 8 + 4 + 16 + 32 + 5 * 8;
    const size_t places[] = {0, per, per + 1, state};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        uint8_t was = record.data[places[i]];
        static const uint8_t bad[] = {0, 200};
        for (size_t k = 0; k < 2; k++) {
            record.data[places[i]] = bad[k];
            assert_int_equal(lh_lease_decode(lh_buf_bytes(&record), &r).code, LH_E_CORRUPT);
        }
        record.data[places[i]] = was;
    }
    assert_true(lh_ok(lh_lease_decode(lh_buf_bytes(&record), &r)));
    lh_buf_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_maximum_life),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_concurrent_uses_never_exceed),
        cmocka_unit_test(test_renewal_is_claimed_once),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_record_of_format_1),
        cmocka_unit_test(test_record_cut_or_altered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
