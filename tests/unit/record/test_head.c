/* Kinds of records that came later: stores of before open and take them, an older version takes the store for
 * as long as there are none, and a kind that is not known is a newer version's. */
#include "fixture.h"

#include "codec/bin.h"
#include "record/head.h"

#include <sys/stat.h>

/* data/kinds-2-to-13.db: written by the code that knew kinds 2 to 13 only, under a root key of 32 bytes 0x42:
 * configuration 3, policy, settings, lease 07. */
static void test_store_of_before_opens_and_takes_new_kinds(void **state)
{
    struct fixture f = {.dir = ""};
    uint8_t key[32];
    char command[512];
    (void)state;
    memset(key, 0x42, sizeof(key));
    make_dir(f.dir);
    snprintf(command, sizeof(command),
        "mkdir -p %s && chmod 700 %s && cp " SOURCE_DIR
        "/tests/unit/record/data/kinds-2-to-13.db %s/vault.db && chmod 600 %s/vault.db",
        f.dir, f.dir, f.dir, f.dir);
    assert_int_equal(system(command), 0);
    assert_lh_ok(lh_crypto_new(&f.crypto));
    assert_lh_ok(lh_secret_copy(LH_BYTES(key, sizeof(key)), &f.root));
    assert_lh_ok(fixture_open(&f));
    assert_text(f.records, LH_RECORD_CONFIG, number(3), "configuration three");
    assert_text(f.records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "a policy");
    assert_int_equal(lh_record_count(f.records, LH_RECORD_OBJECT), 0);
    assert_lh_ok(put(f.records, LH_RECORD_PARTITION, opaque(1), "a partition"));
    assert_lh_ok(put(f.records, LH_RECORD_OBJECT, opaque(1), "an object"));
    fixture_reopen(&f);
    assert_text(f.records, LH_RECORD_PARTITION, opaque(1), "a partition");
    assert_text(f.records, LH_RECORD_OBJECT, opaque(1), "an object");
    assert_text(f.records, LH_RECORD_SETTINGS, LH_RECORD_ID_ZERO, "settings");
    fixture_deinit(&f);
}

static void element(lh_head_element *ret, enum lh_record_kind kind)
{
    *ret = (lh_head_element){.place = {.kind = kind, .version = 1}, .tag = 5};
    ret->sum[31] = 9;
}

static void test_later_kinds_have_a_cell_while_there_are_any(void **state)
{
    lh_head head = {.sequence = 1};
    lh_head back;
    lh_head_element one;
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(LH_HEAD_MAX);
    LH_AUTO(lh_buf_free) lh_buf some = LH_BUF_INIT(LH_HEAD_MAX);
    LH_AUTO(lh_buf_free) lh_buf gone = LH_BUF_INIT(LH_HEAD_MAX);
    (void)state;
    lh_head_encode(&head, &none);
    assert_int_equal(none.data[1 + 8 + 8 + 1], 12); /* kinds 2 to 13, as the first version wrote */
    element(&one, LH_RECORD_OBJECT);
    lh_head_add(&head, &one);
    lh_head_encode(&head, &some);
    assert_int_equal(some.data[1 + 8 + 8 + 1], 13);
    assert_lh_ok(lh_head_decode(lh_buf_bytes(&some), &back));
    assert_memory_equal(&back, &head, sizeof(head));
    lh_head_remove(&head, &one);
    lh_head_encode(&head, &gone);
    assert_true(lh_bytes_equal(lh_buf_bytes(&none), lh_buf_bytes(&gone)));
}

static void test_unknown_kind_is_newer(void **state)
{
    lh_head head = {.sequence = 1};
    lh_head back;
    lh_head_element one;
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(LH_HEAD_MAX);
    (void)state;
    element(&one, LH_RECORD_OBJECT);
    lh_head_add(&head, &one);
    lh_head_encode(&head, &buf);
    size_t cell = 2 + 8 + 32 + 32 + 8 + 8;
    buf.data[buf.len - cell] = 0x7f;
    assert_lh_code(lh_head_decode(lh_buf_bytes(&buf), &back), LH_E_UNSUPPORTED);
    assert_string_equal(lh_err_last()->reason, "record-newer");
    buf.data[buf.len - cell] = 0;
    buf.data[buf.len - cell + 1] = LH_RECORD_HEAD; /* out of order */
    assert_lh_code(lh_head_decode(lh_buf_bytes(&buf), &back), LH_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_of_before_opens_and_takes_new_kinds),
        cmocka_unit_test(test_later_kinds_have_a_cell_while_there_are_any),
        cmocka_unit_test(test_unknown_kind_is_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
