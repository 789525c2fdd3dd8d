#include "../record/fixture.h"

#include "codec/bin.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "log/log.h"

#include <pthread.h>

#define ORIGIN "leasehold/0123456789abcdef0123456789abcdef"

struct log_fixture {
    struct fixture f;
    lh_log *log;
    lh_secret *seed;
    uint8_t public_key[LH_ED25519_PUBLIC_SIZE];
};

static int set_up(void **state)
{
    struct log_fixture *l = calloc(1, sizeof(*l));
    fixture_init(&l->f);
    assert_lh_ok(lh_secret_random(32, &l->seed));
    assert_lh_ok(lh_ed25519_public(l->f.crypto, l->seed, l->public_key));
    assert_lh_ok(lh_log_open(l->f.records, l->f.crypto, &l->log));
    *state = l;
    return 0;
}

static int tear_down(void **state)
{
    struct log_fixture *l = *state;
    lh_log_free(l->log);
    lh_secret_free(l->seed);
    fixture_deinit(&l->f);
    free(l);
    return 0;
}

static void close_log(struct log_fixture *l)
{
    lh_log_free(l->log);
    l->log = NULL;
    fixture_close(&l->f);
}

static void reopen(struct log_fixture *l)
{
    close_log(l);
    assert_lh_ok(fixture_open(&l->f));
    assert_lh_ok(lh_log_open(l->f.records, l->f.crypto, &l->log));
}

struct append {
    lh_log *log;
    const char *entries[4];
    lh_err then;
    uint64_t index; /* of the last */
    lh_merkle_head pending;
};

static lh_err append_all(lh_record_txn *txn, void *arg)
{
    struct append *a = arg;
    for (size_t i = 0; i < 4 && a->entries[i]; i++)
        LH_TRY(lh_log_append(a->log, txn, LH_BYTES_STR(a->entries[i]), &a->index));
    LH_TRY(lh_log_pending_head(a->log, &a->pending));
    return lh_ok(a->then) ? LH_SUCCESS : LH_FAIL(a->then.code, "told to");
}

static lh_err append(struct log_fixture *l, const char *entry)
{
    struct append a = {.log = l->log, .entries = {entry}};
    return lh_records_write(l->f.records, append_all, &a);
}

static void append_many(struct log_fixture *l, int n)
{
    for (int i = 0; i < n; i++) {
        char entry[64];
        snprintf(entry, sizeof(entry), "{\"event\":\"test\",\"n\":%d}", i);
        assert_lh_ok(append(l, entry));
    }
}

static void assert_entry(struct log_fixture *l, uint64_t index, const char *expected)
{
    LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(LH_LIMIT_LOG_ENTRY);
    assert_lh_ok(lh_log_get(l->log, index, NULL, &entry));
    assert_string_equal(lh_buf_cstr(&entry), expected);
}

static void test_empty(void **state)
{
    struct log_fixture *l = *state;
    lh_merkle_head head;
    uint8_t nothing[32];
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(100);
    assert_int_equal(lh_log_size(l->log), 0);
    assert_lh_ok(lh_log_head(l->log, &head));
    assert_lh_ok(lh_sha256(l->f.crypto, NULL, 0, nothing));
    assert_memory_equal(head.root, nothing, 32); /* RFC 9162 2.1.1 */
    assert_lh_code(lh_log_get(l->log, 0, NULL, &out), LH_E_NOT_FOUND);
    assert_lh_code(lh_log_checkpoint_latest(l->log, NULL, &out), LH_E_NOT_FOUND);
    assert_lh_ok(lh_log_verify(l->log, NULL, NULL));
    reopen(l);
    assert_int_equal(lh_log_size(l->log), 0);
}

static void test_append_and_read(void **state)
{
    struct log_fixture *l = *state;
    struct append a = {.log = l->log, .entries = {"{\"a\":1}", "{\"b\":2}", "{\"c\":3}"}};
    lh_merkle_head head;
    assert_lh_ok(lh_records_write(l->f.records, append_all, &a));
    assert_int_equal(a.index, 2);
    assert_int_equal(lh_log_size(l->log), 3);
    assert_lh_ok(lh_log_head(l->log, &head));
    assert_int_equal(a.pending.size, 3);
    assert_memory_equal(a.pending.root, head.root, 32);
    assert_entry(l, 1, "{\"b\":2}");
    reopen(l);
    lh_merkle_head again;
    assert_lh_ok(lh_log_head(l->log, &again));
    assert_memory_equal(&again, &head, sizeof(head));
    assert_lh_ok(append(l, "{\"d\":4}"));
    assert_entry(l, 3, "{\"d\":4}");
    assert_lh_ok(lh_log_root(l->log, 3, again.root));
    assert_memory_equal(again.root, head.root, 32);
    assert_lh_code(lh_log_root(l->log, 5, again.root), LH_E_INVALID);
}

/* The root from salts and entries alone, as somebody with the entries would make it. */
static void test_leaf_is_as_specified(void **state)
{
    struct log_fixture *l = *state;
    uint8_t salts[2][LH_LOG_SALT_SIZE];
    uint8_t leaves[2][32];
    uint8_t expected[32];
    uint8_t root[32];
    static const char *const entries[] = {"one", "two"};
    for (size_t i = 0; i < 2; i++) {
        LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(100);
        assert_lh_ok(append(l, entries[i]));
        assert_lh_ok(lh_log_get(l->log, i, salts[i], &entry));
        lh_bytes parts[] = {LH_BYTES("\x00", 1), LH_BYTES(salts[i], 32), lh_buf_bytes(&entry)};
        assert_lh_ok(lh_sha256(l->f.crypto, parts, 3, leaves[i]));
    }
    assert_memory_not_equal(salts[0], salts[1], LH_LOG_SALT_SIZE);
    lh_bytes nodes[] = {LH_BYTES("\x01", 1), LH_BYTES(leaves[0], 32), LH_BYTES(leaves[1], 32)};
    assert_lh_ok(lh_sha256(l->f.crypto, nodes, 3, expected));
    assert_lh_ok(lh_log_root(l->log, 2, root));
    assert_memory_equal(root, expected, 32);
    lh_merkle_proof proof;
    lh_merkle_head old_head = {.size = 1};
    lh_merkle_head new_head = {.size = 2};
    assert_lh_ok(lh_log_root(l->log, 1, old_head.root));
    memcpy(new_head.root, root, 32);
    assert_lh_ok(lh_log_inclusion(l->log, 1, 2, &proof));
    assert_lh_ok(lh_merkle_verify_inclusion(l->f.crypto, leaves[1], 1, 2, &proof, root));
    assert_lh_ok(lh_log_consistency(l->log, 1, 2, &proof));
    assert_lh_ok(lh_merkle_verify_consistency(l->f.crypto, &old_head, &new_head, &proof));
    assert_lh_code(lh_log_inclusion(l->log, 1, 3, &proof), LH_E_INVALID);
    assert_lh_code(lh_log_consistency(l->log, 1, 3, &proof), LH_E_INVALID);
}

static void test_limits(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_freep) char *large = malloc(LH_LIMIT_LOG_ENTRY + 2);
    memset(large, 'x', LH_LIMIT_LOG_ENTRY + 1);
    large[LH_LIMIT_LOG_ENTRY + 1] = '\0';
    assert_lh_code(append(l, large), LH_E_LIMIT);
    assert_reason("log-entry-size");
    assert_lh_code(append(l, ""), LH_E_INVALID);
    large[LH_LIMIT_LOG_ENTRY] = '\0';
    assert_lh_ok(append(l, large));
    assert_int_equal(lh_log_size(l->log), 1);
    reopen(l);
    assert_entry(l, 0, large);
}

/* --- rolled back --- */

static lh_err refuse_commit(lh_record_txn *txn, void *arg)
{
    (void)txn;
    return *(bool *)arg ? LH_FAIL(LH_E_STORE, "no commit") : LH_SUCCESS;
}

static void test_undone_with_its_transaction(void **state)
{
    struct log_fixture *l = *state;
    lh_merkle_head before;
    lh_merkle_head after;
    append_many(l, 3);
    assert_lh_ok(lh_log_head(l->log, &before));
    struct append bad = {.log = l->log, .entries = {"x", "y"}, .then = {LH_E_DENIED}};
    assert_lh_code(lh_records_write(l->f.records, append_all, &bad), LH_E_DENIED);
    assert_int_equal(bad.pending.size, 5);
    assert_lh_ok(lh_log_head(l->log, &after));
    assert_memory_equal(&after, &before, sizeof(after));
    bool refuse = true;
    lh_record_listener listener = {.before_commit = refuse_commit, .arg = &refuse};
    assert_lh_ok(lh_records_add_listener(l->f.records, &listener));
    assert_lh_code(append(l, "z"), LH_E_STORE);
    assert_lh_ok(lh_log_head(l->log, &after));
    assert_memory_equal(&after, &before, sizeof(after));
    refuse = false;
    assert_lh_ok(append(l, "next"));
    assert_entry(l, 3, "next");
    assert_lh_ok(lh_log_verify(l->log, NULL, NULL));
    lh_records_remove_listener(l->f.records, &refuse);
    assert_lh_ok(lh_log_head(l->log, &before));
    reopen(l);
    assert_lh_ok(lh_log_head(l->log, &after));
    assert_memory_equal(&after, &before, sizeof(after));
}

#define THREADS 6
#define ROUNDS 25

struct writer {
    struct log_fixture *l;
    int n;
    pthread_t thread;
    int wrong;
};

/* Some fail, in groups with others that do not. */
static void *append_some(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%d of %d", i, w->n);
        struct append a = {.log = w->l->log, .entries = {text, text}};
        a.then.code = i % 4 == 3 ? LH_E_DENIED : LH_OK;
        lh_err err = lh_records_write(w->l->f.records, append_all, &a);
        w->wrong += err.code != a.then.code;
        lh_merkle_head head;
        w->wrong += !lh_ok(lh_log_head(w->l->log, &head));
        if (lh_ok(err)) {
            LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(100);
            w->wrong += head.size <= a.index;
            w->wrong += !lh_ok(lh_log_get(w->l->log, a.index, NULL, &entry));
            w->wrong += entry.len != strlen(text) || memcmp(entry.data, text, entry.len) != 0;
        }
    }
    return NULL;
}

static void test_many_at_once(void **state)
{
    struct log_fixture *l = *state;
    struct writer writers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.l = l, .n = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, append_some, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].wrong, 0);
    }
    assert_int_equal(lh_log_size(l->log), THREADS * (ROUNDS - ROUNDS / 4) * 2);
    assert_lh_ok(lh_log_verify(l->log, NULL, NULL));
    reopen(l);
    assert_int_equal(lh_log_size(l->log), THREADS * (ROUNDS - ROUNDS / 4) * 2);
}

static lh_err count_entry(const lh_log_entry *entry, void *arg)
{
    uint64_t *next = arg;
    assert_int_equal(entry->index, *next);
    (*next)++;
    return entry->index == 7 ? LH_RAISE(LH_E_GONE, 0) : LH_SUCCESS;
}

static void test_each(void **state)
{
    struct log_fixture *l = *state;
    uint64_t next = 2;
    append_many(l, 6);
    assert_lh_ok(lh_log_each(l->log, 2, count_entry, &next));
    assert_int_equal(next, 6);
    append_many(l, 4);
    assert_lh_code(lh_log_each(l->log, 6, count_entry, &next), LH_E_GONE);
    next = 50;
    assert_lh_ok(lh_log_each(l->log, 50, count_entry, &next));
}

/* --- checkpoints --- */

static lh_err sign_ed25519(void *arg, lh_bytes input, uint8_t out[64])
{
    struct log_fixture *l = arg;
    return lh_ed25519_sign(l->f.crypto, l->seed, input, out);
}

static lh_err sign_never(void *arg, lh_bytes input, uint8_t out[64])
{
    (void)arg;
    (void)input;
    (void)out;
    return LH_FAIL(LH_E_TPM, "the chip is gone");
}

static lh_err checkpoint(struct log_fixture *l, const char *extension, lh_buf *note)
{
    lh_note_signer signer = {
        .key = {ORIGIN, LH_NOTE_ED25519, LH_BYTES(l->public_key, 32)}, .sign = sign_ed25519, .arg = l};
    lh_log_checkpoint_request request = {ORIGIN, extension, &signer, 1};
    return lh_log_checkpoint(l->log, &request, note);
}

static void test_checkpoint(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    LH_AUTO(lh_buf_free) lh_buf latest = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    lh_checkpoint_note parsed;
    lh_note_key key = {ORIGIN, LH_NOTE_ED25519, LH_BYTES(l->public_key, 32)};
    uint8_t root[32];
    uint64_t size = 0;
    bool contains = false;
    assert_lh_code(checkpoint(l, NULL, &note), LH_E_STATE);
    append_many(l, 5);
    assert_lh_code(checkpoint(l, "two\nlines", &note), LH_E_INVALID);
    assert_lh_ok(checkpoint(l, "anchor 1", &note));
    assert_lh_ok(lh_checkpoint_parse(lh_buf_bytes(&note), &parsed));
    assert_lh_ok(lh_checkpoint_verify(l->f.crypto, &parsed, &key));
    assert_int_equal(parsed.checkpoint.size, 5);
    assert_memory_equal(parsed.checkpoint.extension.data, "anchor 1\n", 9);
    assert_lh_ok(lh_log_root(l->log, 5, root));
    assert_memory_equal(parsed.checkpoint.root, root, 32);
    append_many(l, 3);
    lh_buf_clear(&note);
    assert_lh_ok(checkpoint(l, NULL, &note));
    lh_buf_clear(&note);
    assert_lh_ok(checkpoint(l, "again, of that size", &note));
    for (int i = 0; i < 2; i++) {
        lh_buf_clear(&latest);
        assert_lh_ok(lh_log_checkpoint_latest(l->log, &size, &latest));
        assert_int_equal(size, 8);
        assert_true(lh_bytes_equal(lh_buf_bytes(&latest), lh_buf_bytes(&note)));
        assert_int_equal(lh_record_count(l->f.records, LH_RECORD_CHECKPOINT), 2);
        assert_lh_ok(lh_log_verify(l->log, NULL, NULL));
        reopen(l);
    }
    lh_merkle_head head = {.size = 5};
    memcpy(head.root, root, 32);
    assert_lh_ok(lh_log_contains(l->log, &head, &contains));
    assert_true(contains);
    head.size = 4;
    assert_lh_ok(lh_log_contains(l->log, &head, &contains));
    assert_false(contains);
    head.size = 9;
    assert_lh_ok(lh_log_contains(l->log, &head, &contains));
    assert_false(contains);
}

static void test_signer_fails(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    lh_note_signer signer = {
        .key = {ORIGIN, LH_NOTE_ED25519, LH_BYTES(l->public_key, 32)}, .sign = sign_never};
    lh_log_checkpoint_request request = {ORIGIN, NULL, &signer, 1};
    append_many(l, 1);
    assert_lh_code(lh_log_checkpoint(l->log, &request, &note), LH_E_TPM);
    assert_int_equal(note.len, 0);
    assert_int_equal(lh_record_count(l->f.records, LH_RECORD_CHECKPOINT), 0);
}

/* --- tampering that gets past the records (a bug, or somebody with the keys) --- */

struct report {
    int count;
    char text[1024];
};

static void take_fault(const lh_log_fault *fault, void *arg)
{
    struct report *r = arg;
    size_t at = strlen(r->text);
    r->count++;
    snprintf(r->text + at, sizeof(r->text) - at, "%d:%llu %s\n", fault->kind,
        (unsigned long long)fault->number, fault->message);
}

static void encode_entry(const char *entry, lh_buf *out)
{
    uint8_t salt[LH_LOG_SALT_SIZE] = {1};
    lh_put_u8(out, 1);
    lh_put_raw(out, salt, sizeof(salt));
    lh_put_blob(out, LH_BYTES_STR(entry));
}

struct raw_put {
    enum lh_record_kind kind;
    uint64_t number;
    lh_bytes plain;
};

static lh_err put_raw(lh_record_txn *txn, void *arg)
{
    const struct raw_put *p = arg;
    lh_record_id id = number(p->number);
    return p->plain.data ? lh_txn_put(txn, p->kind, &id, p->plain) : lh_txn_delete(txn, p->kind, &id);
}

static void rewrite(struct log_fixture *l, enum lh_record_kind kind, uint64_t n, lh_bytes plain)
{
    struct raw_put p = {kind, n, plain};
    assert_lh_ok(lh_records_write(l->f.records, put_raw, &p));
}

static void test_rewritten_entry(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(1000);
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    struct report r = {.count = 0};
    append_many(l, 6);
    assert_lh_ok(checkpoint(l, NULL, &note));
    encode_entry("{\"event\":\"nothing happened\"}", &plain);
    rewrite(l, LH_RECORD_LOG, 3, lh_buf_bytes(&plain));
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_reason("log-entry");
    assert_int_equal(r.count, 1);
    assert_non_null(strstr(r.text, "10:3 log entry 3:"));
    close_log(l);
    assert_lh_ok(fixture_open(&l->f)); /* the records are whole … */
    assert_lh_code(lh_log_open(l->f.records, l->f.crypto, &l->log), LH_E_CORRUPT);
    assert_reason("log-checkpoint"); /* … but not what the checkpoint was made of */
    assert_message_has("checkpoint 6");
}

static void test_malformed_entry(void **state)
{
    struct log_fixture *l = *state;
    struct report r = {.count = 0};
    append_many(l, 3);
    rewrite(l, LH_RECORD_LOG, 1, LH_BYTES("\x02junk", 5));
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_non_null(strstr(r.text, "log entry 1:"));
    close_log(l);
    assert_lh_ok(fixture_open(&l->f));
    assert_lh_code(lh_log_open(l->f.records, l->f.crypto, &l->log), LH_E_CORRUPT);
    assert_message_has("log entry 1:");
}

static void test_gap(void **state)
{
    struct log_fixture *l = *state;
    struct report r = {.count = 0};
    append_many(l, 5);
    rewrite(l, LH_RECORD_LOG, 2, LH_BYTES_NONE);
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_reason("log-gap");
    assert_non_null(strstr(r.text, "log entry 2: it is missing"));
    close_log(l);
    assert_lh_ok(fixture_open(&l->f));
    assert_lh_code(lh_log_open(l->f.records, l->f.crypto, &l->log), LH_E_CORRUPT);
    assert_reason("log-gap");
    assert_message_has("log entry 2:");
}

static void test_tail_cut_off(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    append_many(l, 3);
    assert_lh_ok(checkpoint(l, NULL, &note));
    rewrite(l, LH_RECORD_LOG, 2, LH_BYTES_NONE);
    close_log(l);
    assert_lh_ok(fixture_open(&l->f));
    assert_lh_code(lh_log_open(l->f.records, l->f.crypto, &l->log), LH_E_CORRUPT);
    assert_reason("log-checkpoint");
}

static void test_bad_checkpoints(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    struct report r = {.count = 0};
    append_many(l, 4);
    assert_lh_ok(checkpoint(l, NULL, &note));
    append_many(l, 1);
    rewrite(l, LH_RECORD_CHECKPOINT, 2, LH_BYTES("junk", 4));
    rewrite(l, LH_RECORD_CHECKPOINT, 3, lh_buf_bytes(&note)); /* of size 4 */
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_message_has("(And 1 more.)");
    assert_int_equal(r.count, 2);
    assert_non_null(strstr(r.text, "11:2 checkpoint 2:"));
    assert_non_null(strstr(r.text, "11:3 checkpoint 3:"));
}

/* In the file, while the vault runs: the records notice, and the entry is named. */
static void test_flipped_byte_in_the_file(void **state)
{
    struct log_fixture *l = *state;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(4096);
    struct report r = {.count = 0};
    int64_t version = 0;
    append_many(l, 20);
    read_row(l->f.dir, LH_RECORD_LOG, number(17), &blob, &version);
    blob.data[blob.len - 20] ^= 1;
    write_row(l->f.dir, LH_RECORD_LOG, number(17), lh_buf_bytes(&blob), version);
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_message_has("log entry 17:");
    assert_int_equal(r.count, 1);
    remove_row(l->f.dir, LH_RECORD_LOG, number(18));
    r = (struct report){.count = 0};
    assert_lh_code(lh_log_verify(l->log, take_fault, &r), LH_E_CORRUPT);
    assert_int_equal(r.count, 2);
    assert_non_null(strstr(r.text, "log entry 18:"));
    close_log(l);
    assert_lh_code(fixture_open(&l->f), LH_E_CORRUPT);
    assert_message_has("log entry 17:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_leaf_is_as_specified, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_undone_with_its_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_checkpoint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_signer_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rewritten_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_malformed_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tail_cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_checkpoints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flipped_byte_in_the_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
