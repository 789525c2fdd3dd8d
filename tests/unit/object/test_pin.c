/* PINs: verifiers, delays, and that wrong ones are counted on the disk before they are looked at. */
#include "fixture.h"

#include "base/clock.h"
#include "object/partition_internal.h"

static const uint8_t boot[16] = {1};
static const uint8_t other_boot[16] = {2};

static void test_verifier_takes_its_pin_only(void **state)
{
    lh_crypto *crypto = NULL;
    lh_secret *pepper = NULL;
    lh_secret *other = NULL;
    lh_pin_verifier verifier;
    lh_pin_verifier again;
    bool right = false;
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_PIN_VERIFIER_MAX);
    (void)state;
    assert_lh_ok(lh_crypto_new(&crypto));
    assert_lh_ok(lh_secret_random(32, &pepper));
    assert_lh_ok(lh_secret_random(32, &other));
    assert_lh_ok(lh_pin_verifier_make(crypto, pepper, LH_BYTES_STR("1234"), &verifier));
    assert_lh_ok(lh_pin_verifier_check(crypto, pepper, &verifier, LH_BYTES_STR("1234"), &right));
    assert_true(right);
    assert_lh_ok(lh_pin_verifier_check(crypto, pepper, &verifier, LH_BYTES_STR("1235"), &right));
    assert_false(right);
    assert_lh_ok(lh_pin_verifier_check(crypto, other, &verifier, LH_BYTES_STR("1234"), &right));
    assert_false(right); /* of another vault */
    lh_pin_verifier_put(&verifier, &bytes);
    assert_lh_ok(lh_pin_verifier_decode(lh_buf_bytes(&bytes), &again));
    assert_memory_equal(&again, &verifier, sizeof(again));
    bytes.data[0] = 30; /* a terabyte of memory */
    assert_refusal(lh_pin_verifier_decode(lh_buf_bytes(&bytes), &again), "pin-verifier");
    lh_secret_free(pepper);
    lh_secret_free(other);
    lh_crypto_free(crypto);
}

static void test_lengths(void **state)
{
    uint8_t bytes[256] = {0};
    (void)state;
    assert_refusal(lh_pin_check_length(LH_BYTES(bytes, 3)), "pin-len-range");
    assert_lh_ok(lh_pin_check_length(LH_BYTES(bytes, 4)));
    assert_lh_ok(lh_pin_check_length(LH_BYTES(bytes, 255)));
    assert_refusal(lh_pin_check_length(LH_BYTES(bytes, 256)), "pin-len-range");
}

static void test_delays(void **state)
{
    lh_pin pin = {.set = true};
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        lh_pin_count(&pin, boot, 1000);
    lh_pin_view view = lh_pin_look(&pin, boot, 1000);
    assert_true(view.wait_ms == 0 && view.count_low && !view.locked);
    lh_pin_count(&pin, boot, 1000);
    assert_int_equal(lh_pin_look(&pin, boot, 1000).wait_ms, 1000);
    assert_int_equal(lh_pin_look(&pin, boot, 1600).wait_ms, 400);
    assert_int_equal(lh_pin_look(&pin, boot, 2000).wait_ms, 0);
    assert_int_equal(lh_pin_look(&pin, boot, 10).wait_ms, 1000);       /* a clock that went back */
    assert_int_equal(lh_pin_look(&pin, other_boot, 300).wait_ms, 700); /* anew with the boot */
    assert_int_equal(lh_pin_delay_ms(6), 2000);
    assert_int_equal(lh_pin_delay_ms(19), LH_PIN_DELAY_MAX_MS);
    for (unsigned i = 5; i < LH_PIN_FINAL_FAILURES - 1; i++)
        lh_pin_count(&pin, boot, 1000);
    assert_true(lh_pin_look(&pin, boot, 1000).final_try);
    lh_pin_count(&pin, boot, 1000);
    view = lh_pin_look(&pin, boot, INT64_MAX / 2);
    assert_true(view.locked && !view.final_try);
    lh_pin_succeed(&pin);
    assert_false(lh_pin_look(&pin, boot, 0).count_low);
}

/* --- in a partition --- */

static unsigned failures(struct token *t)
{
    lh_partition_description d;
    assert_lh_ok(lh_partitions_describe(t->p, 1, &d));
    return d.user.failures;
}

static void test_wrong_ones_slow_down_in_every_process_and_after_restart(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    lh_slot_info_reply info;
    for (int i = 0; i < 5; i++)
        assert_refusal(try_login(i % 2 ? a : b, 1, CKU_USER, "0000"), "pin-incorrect");
    assert_refusal(try_login(b, 1, CKU_USER, "1234"), "pin-locked"); /* the right one too */
    assert_lh_ok(lh_application_slot_info(a, &(lh_slot_request){1}, &info));
    assert_true((info.flags & LH_TOKEN_FLAG_USER_COUNT_LOW) && (info.flags & LH_TOKEN_FLAG_USER_LOCKED));
    assert_int_equal(failures(t), 5);
    lh_application_free(a);
    lh_application_free(b);
    token_reopen(t);
    assert_int_equal(failures(t), 5);
    a = application(t, 10);
    assert_refusal(try_login(a, 1, CKU_USER, "1234"), "pin-locked");
    usleep(1100000);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_int_equal(failures(t), 0);
    assert_int_equal(t->events[LH_EVENT_PIN_WRONG], 1); /* one entry a minute */
    lh_application_free(a);
}

static void test_right_one_known_in_memory_counts_as_much(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234")); /* known from here on */
    for (unsigned i = 0; i < 4; i++) {
        assert_refusal(try_login(b, 1, CKU_USER, "0000"), "pin-incorrect");
        assert_int_equal(failures(t), i + 1);
    }
    assert_lh_ok(try_login(b, 1, CKU_USER, "1234"));
    assert_int_equal(failures(t), 0);
    lh_application_free(a);
    lh_application_free(b);
}

static lh_err set_failures(lh_record_txn *txn, void *arg)
{
    struct token *t = arg;
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    lh_partition_record record;
    LH_TRY(lh_partitions_find(t->p, 1, &partition));
    LH_TRY(lh_partition_get_in(txn, partition, &record));
    record.user.failures = LH_PIN_FINAL_FAILURES - 1;
    memset(record.user.failed_boot, 0xff, 16); /* long over */
    return lh_partition_put_in(t->p, txn, partition, &record);
}

static void test_last_one_locks_until_the_so_sets_it(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    assert_lh_ok(lh_records_write(t->f.records, set_failures, t));
    if (lh_clock_boot_ms() < LH_PIN_DELAY_MAX_MS)
        assert_refusal(try_login(a, 1, CKU_USER, "0000"), "pin-locked"); /* this machine has just booted */
    else
        assert_refusal(try_login(a, 1, CKU_USER, "0000"), "pin-incorrect");
    if (lh_clock_boot_ms() >= LH_PIN_DELAY_MAX_MS) {
        assert_int_equal(t->events[LH_EVENT_PIN_LOCKED], 1);
        assert_refusal(try_login(a, 1, CKU_USER, "1234"), "pin-locked");
    }
    assert_lh_ok(try_login(a, 1, CKU_SO, "so-pin"));
    assert_lh_ok(
        lh_application_init_pin(a, &(lh_init_pin_request){.slot = 1, .pin = LH_BYTES_STR("new pin")}));
    assert_lh_ok(lh_application_logout(a, &(lh_slot_request){1}));
    assert_lh_ok(try_login(a, 1, CKU_USER, "new pin"));
    lh_application_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verifier_takes_its_pin_only),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_delays),
        TEST(test_wrong_ones_slow_down_in_every_process_and_after_restart),
        TEST(test_right_one_known_in_memory_counts_as_much),
        TEST(test_last_one_locks_until_the_so_sets_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
