/* Sets of files: who may upload one, what is kept, what comes into force, what is dropped. */
#include "fixture.h"

#include "codec/base64.h"
#include "crypto/hash.h"
#include "vault/fileset.h"

#define ROOT                                                                                                 \
    "references:\n  this-host:\n    pcrs: {7: %s}\n    files: [\"sha256:%s\"]\nself:\n  reference: "         \
    "this-host\n"

static lh_buf set_text; /* of many lines: several records */
static char set_hash[65];

static void hash_hex(lh_bytes text, char out[65])
{
    uint8_t hash[32];
    assert_lh_ok(lh_sha256(w.vault->crypto, &text, 1, hash));
    lh_hex(hash, 32, out);
}

static void make_set(size_t lines)
{
    lh_buf_clear(&set_text);
    for (size_t i = 0; i < lines; i++)
        lh_buf_printf(&set_text, "%064zx  /usr/bin/program-%zu\n", i, i);
    assert_lh_ok(lh_buf_status(&set_text));
    hash_hex(lh_buf_bytes(&set_text), set_hash);
}

static json_t *part(const char *hash, size_t size, size_t offset, lh_bytes bytes)
{
    lh_buf base64 = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_base64_encode(bytes, &base64);
    json_t *request =
        json_pack("{s:s, s:s, s:I, s:I, s:s%}", "call", "reference.upload", "files", hash, "size",
            (json_int_t)size, "offset", (json_int_t)offset, "data", (const char *)base64.data, base64.len);
    lh_buf_free(&base64);
    return request;
}

static void upload(void)
{
    for (size_t at = 0; at < set_text.len;) {
        size_t len = set_text.len - at < LH_FILESET_UPLOAD_PART ? set_text.len - at : LH_FILESET_UPLOAD_PART;
        json_t *reply = ask_ok(part(set_hash, set_text.len, at, LH_BYTES(set_text.data + at, len)));
        at += len;
        assert_int_equal(json_is_true(json_object_get(reply, "complete")), at == set_text.len);
        json_decref(reply);
    }
}

static void name_set(void)
{
    uint8_t pcrs[32][32];
    lh_tpm *tpm = NULL;
    assert_lh_ok(lh_vault_tpm(w.vault, &tpm));
    assert_lh_ok(lh_tpm_pcr_read(tpm, 1u << 7, pcrs));
    char value[72] = "sha256:";
    lh_hex(pcrs[7], 32, value + 7);
    char document[512];
    (void)snprintf(document, sizeof(document), ROOT, value, set_hash);
    govern_ok("reference.set", document);
}

static bool complete(void)
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(w.vault);
    return lh_reference_is_complete(lh_references_self(rules->values), NULL);
}

static size_t count_sets(void)
{
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "reference.list"));
    size_t count = json_array_size(json_object_get(reply, "sets"));
    json_decref(reply);
    return count;
}

static uint64_t count_parts(void)
{
    return lh_record_count(w.vault->core->records, LH_RECORD_FILES);
}

static void test_nobody_uploads_what_nothing_names(void **unused)
{
    (void)unused;
    make_set(3);
    ask_refused(part(set_hash, set_text.len, 0, lh_buf_bytes(&set_text)), "fileset-unnamed");
    assert_int_equal(count_sets(), 0);
}

static void test_upload_comes_into_force_and_stays(void **unused)
{
    (void)unused;
    make_set(8000); /* about 700 KB: three records */
    name_set();
    assert_false(complete());
    upload();
    assert_true(complete());
    assert_int_equal(count_sets(), 1);
    assert_int_equal(count_parts(), 3);
    assert_int_equal(count_events("reference.uploaded"), 1);
    for (int i = 0; i < 2; i++) {
        close_vault();
        open_vault();
        assert_true(complete());
    }
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(w.vault);
    const uint8_t first[32] = {0};
    const uint8_t unknown[32] = {1};
    const lh_reference *self = lh_references_self(rules->values);
    assert_int_equal(lh_reference_file(self, first, "/anywhere"), LH_FILE_KNOWN);
    assert_int_equal(lh_reference_file(self, unknown, "/usr/bin/program-0"), LH_FILE_UNKNOWN);
}

static void test_wrong_uploads_change_nothing(void **unused)
{
    (void)unused;
    make_set(2000);
    name_set();
    lh_bytes all = lh_buf_bytes(&set_text);
    lh_bytes half = LH_BYTES(all.data, 1000);
    ask_refused(part(set_hash, all.len, 10, half), "fileset-part"); /* not the beginning */
    json_decref(ask_ok(part(set_hash, all.len, 0, half)));
    ask_refused(part(set_hash, all.len, 0 + 999, half), "fileset-part");
    ask_refused(part(set_hash, all.len + 1, 1000, half), "fileset-part"); /* another size */
    json_decref(ask_ok(part(set_hash, 2000, 0, half)));
    ask_refused(part(set_hash, 2000, 1000, LH_BYTES(all.data, 2000)), "fileset-part"); /* too much */
    ask_refused(part(set_hash, 1000, 0, half), "fileset-format");                      /* cut in a line */
    json_decref(ask_ok(part(set_hash, 2 * all.len, 0, half)));
    assert_int_equal(count_sets(), 0);
    assert_int_equal(count_parts(), 0);
    /* Another set than the one named. */
    char named[65];
    memcpy(named, set_hash, sizeof(named));
    make_set(5);
    ask_refused(part(named, set_text.len, 0, lh_buf_bytes(&set_text)), "fileset-hash");
    assert_false(complete());
}

static void test_unnamed_sets_are_dropped(void **unused)
{
    (void)unused;
    make_set(4000);
    name_set();
    upload();
    assert_lh_ok(lh_filesets_prune(w.vault));
    assert_int_equal(count_sets(), 1);
    set_references(); /* without files */
    assert_lh_ok(lh_filesets_prune(w.vault));
    assert_int_equal(count_sets(), 0);
    assert_int_equal(count_parts(), 0);
}

static int setup(void **state)
{
    set_text = LH_BUF_INIT(LH_LIMIT_FILESET);
    (void)world_setup(state);
    found_vault();
    set_references();
    return 0;
}

static int teardown(void **state)
{
    lh_buf_free(&set_text);
    return world_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_uploads_what_nothing_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload_comes_into_force_and_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_uploads_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unnamed_sets_are_dropped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
