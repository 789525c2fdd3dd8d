/* Somebody who can read and write the file: whatever they do to a row is refused and named, while the vault
 * runs and when it is opened. */
#include "fixture.h"

#define BLOB_MAX (LH_LIMIT_RECORD + 1024)

struct report {
    int count;
    char text[2048];
};

static void take_fault(const lh_record_fault *fault, void *arg)
{
    struct report *r = arg;
    r->count++;
    assert_true(fault->code == LH_E_CORRUPT || fault->code == LH_E_ROLLBACK);
    size_t at = strlen(r->text);
    snprintf(r->text + at, sizeof(r->text) - at, "[%s] %s\n", fault->reason, fault->message);
}

static int set_up(void **state)
{
    fixture_set_up(state);
    struct fixture *f = *state;
    assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "policy 1"));
    for (uint64_t i = 0; i < 5; i++)
        assert_lh_ok(put(f->records, LH_RECORD_CONFIG, number(i), "configuration"));
    for (uint8_t i = 1; i < 5; i++)
        assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(i), "lease"));
    return 0;
}

/* Reading that record now, verifying now, and opening again: each refuses and names it. */
static void assert_refused(struct fixture *f, enum lh_record_kind kind, lh_record_id id, const char *name,
    const char *get_reason, const char *open_reason)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    struct report r = {.count = 0};
    lh_err err = lh_record_get(f->records, kind, &id, &plain);
    assert_true(err.code == LH_E_CORRUPT || err.code == LH_E_ROLLBACK);
    assert_reason(get_reason);
    assert_message_has(name);
    assert_int_equal(plain.len, 0);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_message_has(name);
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.text, name));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has(name);
    assert_reason(open_reason);
}

static void test_untouched_is_well(void **state)
{
    struct fixture *f = *state;
    struct report r = {.count = 0};
    assert_lh_ok(lh_records_verify(f->records, take_fault, &r));
    assert_int_equal(r.count, 0);
    fixture_reopen(f);
}

static void test_older_version_put_back(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf old = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, opaque(2), &old, &version);
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(2), "revoked"));
    write_row(f->dir, LH_RECORD_LEASE, opaque(2), lh_buf_bytes(&old), version);
    assert_refused(f, LH_RECORD_LEASE, opaque(2), "lease 02bbcc", "record-older", "record-replaced");
}

static void test_older_version_put_back_while_closed(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf old = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, &old, &version);
    assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "policy 2"));
    fixture_close(f);
    write_row(f->dir, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, lh_buf_bytes(&old), version);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-replaced");
    assert_message_has("policy:");
}

static void test_deleted_record_put_back(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf old = LH_BUF_INIT(BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    struct report r = {.count = 0};
    lh_record_id id = opaque(3);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, id, &old, &version);
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, id, NULL));
    write_row(f->dir, LH_RECORD_LEASE, id, lh_buf_bytes(&old), version);
    assert_lh_code(lh_record_get(f->records, LH_RECORD_LEASE, &id, &plain), LH_E_NOT_FOUND);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_non_null(strstr(r.text, "[record-extra] lease 03bbcc"));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-extra");
    assert_message_has("lease 03bbcc");
}

static void test_copied_over_another(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf other = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, opaque(1), &other, &version);
    write_row(f->dir, LH_RECORD_LEASE, opaque(2), lh_buf_bytes(&other), version);
    assert_refused(f, LH_RECORD_LEASE, opaque(2), "lease 02bbcc", "record-altered", "record-altered");
}

static void test_copied_over_another_kind(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf other = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_CONFIG, LH_RECORD_ID_ZERO, &other, &version);
    write_row(f->dir, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, lh_buf_bytes(&other), version);
    assert_refused(f, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "policy:", "record-altered", "record-altered");
}

static void test_swapped(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf one = LH_BUF_INIT(BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf two = LH_BUF_INIT(BLOB_MAX);
    struct report r = {.count = 0};
    int64_t version_one = 0;
    int64_t version_two = 0;
    read_row(f->dir, LH_RECORD_CONFIG, number(1), &one, &version_one);
    read_row(f->dir, LH_RECORD_CONFIG, number(2), &two, &version_two);
    write_row(f->dir, LH_RECORD_CONFIG, number(1), lh_buf_bytes(&two), version_two);
    write_row(f->dir, LH_RECORD_CONFIG, number(2), lh_buf_bytes(&one), version_one);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_message_has("(And 1 more.)");
    assert_int_equal(r.count, 2);
    assert_non_null(strstr(r.text, "configuration 1:"));
    assert_non_null(strstr(r.text, "configuration 2:"));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("configuration 1:");
    assert_message_has("(And 1 more.)");
}

static void test_deleted_row(void **state)
{
    struct fixture *f = *state;
    remove_row(f->dir, LH_RECORD_CONFIG, number(3));
    assert_refused(f, LH_RECORD_CONFIG, number(3), "configuration 3:", "record-missing", "record-missing");
}

static void test_two_deleted_rows(void **state)
{
    struct fixture *f = *state;
    fixture_close(f);
    remove_row(f->dir, LH_RECORD_LEASE, opaque(1));
    remove_row(f->dir, LH_RECORD_LEASE, opaque(2));
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-missing");
    assert_message_has("lease: there are 2 records of this kind where 4 were written");
}

static void test_moved_row(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf row = LH_BUF_INIT(BLOB_MAX);
    struct report r = {.count = 0};
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, opaque(1), &row, &version);
    remove_row(f->dir, LH_RECORD_LEASE, opaque(1));
    write_row(f->dir, LH_RECORD_LEASE, opaque(0x77), lh_buf_bytes(&row), version);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_non_null(strstr(r.text, "[record-missing] lease 01bbcc"));
    assert_non_null(strstr(r.text, "[record-extra] lease 77bbcc"));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("lease");
}

static void test_inserted_row(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    struct report r = {.count = 0};
    lh_record_id id = opaque(0x55);
    write_row(f->dir, LH_RECORD_HOLD, id, LH_BYTES("forged", 6), 1);
    write_row(f->dir, 4711, id, LH_BYTES("forged", 6), 1);
    assert_lh_code(lh_record_get(f->records, LH_RECORD_HOLD, &id, &plain), LH_E_NOT_FOUND);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_int_equal(r.count, 2);
    assert_non_null(strstr(r.text, "[record-extra] hold 55bbcc"));
    assert_non_null(strstr(r.text, "no record"));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("hold 55bbcc");
}

static void test_second_head(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf head = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, &head, &version);
    fixture_close(f);
    write_row(f->dir, LH_RECORD_HEAD, number(1), lh_buf_bytes(&head), version);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("there is only one");
}

static void test_head_put_back_or_gone(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf old = LH_BUF_INIT(BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf now = LH_BUF_INIT(BLOB_MAX);
    struct report r = {.count = 0};
    int64_t old_version = 0;
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, &old, &old_version);
    assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "policy 2"));
    read_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, &now, &version);
    write_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, lh_buf_bytes(&old), old_version);
    assert_lh_code(lh_records_verify(f->records, take_fault, &r), LH_E_CORRUPT);
    assert_non_null(strstr(r.text, "[record-older] head:"));
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT); /* newer records than it tells of */
    assert_message_has("policy:");
    remove_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-missing");
    assert_message_has("head:");
    write_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, LH_BYTES(now.data, now.len - 1), version);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-altered");
    assert_message_has("head:");
    write_row(f->dir, LH_RECORD_HEAD, LH_RECORD_ID_ZERO, lh_buf_bytes(&now), version);
    assert_lh_ok(fixture_open(f));
}

/* Every byte of a blob, each flipped in turn, running and at opening. */
static void test_every_byte_of_a_blob(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    lh_record_id id = opaque(4);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, id, &blob, &version);
    assert_true(blob.len > 80);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 0x01;
        write_row(f->dir, LH_RECORD_LEASE, id, lh_buf_bytes(&blob), version);
        assert_lh_code(lh_record_get(f->records, LH_RECORD_LEASE, &id, &plain), LH_E_CORRUPT);
        assert_reason("record-altered");
        assert_message_has("lease 04bbcc");
        blob.data[i] ^= 0x01;
    }
    fixture_close(f);
    for (size_t i = 0; i < blob.len; i++) {
        blob.data[i] ^= 0x80;
        write_row(f->dir, LH_RECORD_LEASE, id, lh_buf_bytes(&blob), version);
        assert_lh_code(fixture_open(f), LH_E_CORRUPT);
        assert_reason("record-altered");
        assert_message_has("lease 04bbcc");
        blob.data[i] ^= 0x80;
    }
    write_row(f->dir, LH_RECORD_LEASE, id, lh_buf_bytes(&blob), version);
    assert_lh_ok(fixture_open(f));
}

static void test_lengths_and_versions(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    LH_AUTO(lh_freep) uint8_t *huge = calloc(1, LH_LIMIT_RECORD + 4096);
    lh_record_id id = opaque(4);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, id, &blob, &version);
    for (size_t len = 0; len < blob.len; len += 7) {
        write_row(f->dir, LH_RECORD_LEASE, id, LH_BYTES(blob.data, len), version);
        assert_lh_code(lh_record_get(f->records, LH_RECORD_LEASE, &id, &plain), LH_E_CORRUPT);
    }
    write_row(f->dir, LH_RECORD_LEASE, id, LH_BYTES(huge, LH_LIMIT_RECORD + 4096), version);
    assert_lh_code(lh_record_get(f->records, LH_RECORD_LEASE, &id, &plain), LH_E_CORRUPT);
    assert_message_has("lease 04bbcc");
    assert_lh_code(lh_records_verify(f->records, NULL, NULL), LH_E_CORRUPT);
    write_row(f->dir, LH_RECORD_LEASE, id, lh_buf_bytes(&blob), version + 1); /* the row's column alone */
    assert_lh_code(lh_record_get(f->records, LH_RECORD_LEASE, &id, &plain), LH_E_CORRUPT);
    fixture_close(f);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("lease 04bbcc");
    write_row(f->dir, LH_RECORD_LEASE, id, LH_BYTES(huge, LH_LIMIT_RECORD + 4096), version);
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_message_has("lease 04bbcc");
}

/* What is replaced or deleted is checked first: a tampered record is not silently healed. */
static void test_writes_notice_too(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(BLOB_MAX);
    int64_t version = 0;
    read_row(f->dir, LH_RECORD_LEASE, opaque(1), &blob, &version);
    write_row(f->dir, LH_RECORD_LEASE, opaque(1), LH_BYTES("x", 1), version);
    assert_lh_code(put(f->records, LH_RECORD_LEASE, opaque(1), "new"), LH_E_CORRUPT);
    assert_lh_code(put(f->records, LH_RECORD_LEASE, opaque(1), NULL), LH_E_CORRUPT);
    assert_message_has("lease 01bbcc");
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(9), "others go on"));
    write_row(f->dir, LH_RECORD_LEASE, opaque(1), lh_buf_bytes(&blob), version);
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), "new"));
}

static lh_err no_more(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    (void)plain;
    (void)arg;
    return LH_SUCCESS;
}

static void test_each_notices(void **state)
{
    struct fixture *f = *state;
    remove_row(f->dir, LH_RECORD_CONFIG, number(2));
    assert_lh_code(lh_record_each(f->records, LH_RECORD_CONFIG, no_more, NULL), LH_E_CORRUPT);
    assert_message_has("configuration 2");
}

/* A byte of the database file itself, anywhere in its pages of records: never opened as if nothing were, or
 * everything is as it was (a byte that SQLite does not use). */
static void test_bytes_of_the_file(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct report r = {.count = 0};
    int refused = 0;
    snprintf(path, sizeof(path), "%s/vault.db", f->dir);
    fixture_close(f);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    for (long at = 0; at < size; at += 61) {
        file = fopen(path, "r+");
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 0x20, file);
        fclose(file);
        lh_store *store = NULL;
        lh_records *records = NULL;
        lh_err err = lh_store_open(f->dir, NULL, &store);
        if (lh_ok(err))
            err = lh_records_open(store, f->crypto, f->root, &records);
        if (lh_ok(err))
            assert_lh_ok(lh_records_verify(records, take_fault, &r));
        else
            assert_true(strlen(lh_err_last()->message) > 10);
        refused += lh_ok(err) ? 0 : 1;
        lh_records_free(records);
        lh_store_free(store);
        file = fopen(path, "r+");
        fseek(file, at, SEEK_SET);
        fputc(byte, file);
        fclose(file);
    }
    assert_int_equal(r.count, 0);
    assert_true(refused > 20);
    assert_lh_ok(fixture_open(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_untouched_is_well, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_older_version_put_back, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_older_version_put_back_while_closed, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_deleted_record_put_back, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_copied_over_another, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_copied_over_another_kind, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_swapped, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_deleted_row, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_two_deleted_rows, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_moved_row, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_inserted_row, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_second_head, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_head_put_back_or_gone, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_every_byte_of_a_blob, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_lengths_and_versions, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_writes_notice_too, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_each_notices, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_of_the_file, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
