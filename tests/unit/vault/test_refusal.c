/* Refusals are remembered for explain, and cost the log two entries a minute, however many there are. */
#include "fixture.h"

static void refuse_at(const char *host, const char *role, uid_t uid, const char *exe)
{
    static lh_identity identity;
    snprintf(identity.exe_path, sizeof(identity.exe_path), "%s", exe);
    const lh_refusal_facts facts = {
        &identity, 4711, uid, role, "no-grant", "grants[0]", "There is no grant for this role.", host};
    pthread_rwlock_rdlock(&w.vault->core_lock);
    lh_vault_refuse(w.vault, &facts);
    pthread_rwlock_unlock(&w.vault->core_lock);
}

static void refuse(const char *role, uid_t uid, const char *exe)
{
    refuse_at(NULL, role, uid, exe);
}

static void flush_all(void)
{
    pthread_rwlock_rdlock(&w.vault->core_lock);
    lh_vault_refusals_flush(w.vault, true);
    pthread_rwlock_unlock(&w.vault->core_lock);
}

static void forget(void)
{
    lh_vault_keeper_stop(w.vault); /* it looks at them, too */
    lh_vault_refusals_free(w.vault);
    memset(w.vault->refusals, 0, sizeof(w.vault->refusals));
    w.vault->refusal_next = 0;
}

static void test_thousand_make_two_entries(void **unused)
{
    (void)unused;
    forget();
    int before = count_events("lease.refused");
    for (int i = 0; i < 1000; i++)
        refuse("sign", 1000, "/usr/bin/app");
    assert_int_equal(count_events("lease.refused"), before + 1);
    flush_all();
    assert_int_equal(count_events("lease.refused"), before + 2);
    flush_all(); /* nothing more to tell */
    assert_int_equal(count_events("lease.refused"), before + 2);
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "log.show"));
    const json_t *entries = json_object_get(reply, "entries");
    const char *last = text_of(json_array_get(entries, json_array_size(entries) - 1), "entry");
    assert_non_null(strstr(last, "\"count\":999"));
    json_decref(reply);
}

static void test_users_and_roles_apart(void **unused)
{
    (void)unused;
    forget();
    int before = count_events("lease.refused");
    refuse("sign", 1000, "/usr/bin/app");
    refuse("sign", 1001, "/usr/bin/app");
    refuse("other", 1000, "/usr/bin/app");
    assert_int_equal(count_events("lease.refused"), before + 3);
}

/* A host says which user a process is: by another at each refusal it neither floods the log nor drives out
 * what is remembered of others. */
static void test_users_of_a_host_are_one(void **unused)
{
    (void)unused;
    forget();
    int before = count_events("lease.refused");
    refuse("sign", 1000, "/usr/bin/app");
    for (uid_t uid = 0; uid < 2 * REFUSALS; uid++)
        refuse_at("web-1", "sign", uid, "/usr/bin/app");
    refuse_at("web-2", "sign", 1000, "/usr/bin/app");
    assert_int_equal(count_events("lease.refused"), before + 3);
    refuse("sign", 1000, "/usr/bin/app");
    assert_int_equal(count_events("lease.refused"), before + 3);
}

/* More kinds of refusals than are kept: what is dropped has been told. */
static void test_more_than_are_kept(void **unused)
{
    (void)unused;
    forget();
    refuse("first", 1000, "/usr/bin/app");
    refuse("first", 1000, "/usr/bin/app");
    refuse("first", 1000, "/usr/bin/app");
    for (int i = 0; i < REFUSALS; i++) {
        char role[32];
        snprintf(role, sizeof(role), "role-%d", i);
        refuse(role, 1000, "/usr/bin/app");
    }
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "log.show"));
    json_int_t size = json_integer_value(json_object_get(reply, "size"));
    json_decref(reply);
    bool told = false;
    for (json_int_t at = 0; at < size; at += 100) {
        reply = ask_ok(json_pack("{s:s, s:I, s:i}", "call", "log.show", "from", at, "count", 100));
        const json_t *entries = json_object_get(reply, "entries");
        for (size_t i = 0; i < json_array_size(entries); i++) {
            const char *entry = text_of(json_array_get(entries, i), "entry");
            told = told || (strstr(entry, "\"earlier\":{\"count\":2") && strstr(entry, "\"role\":\"first\""));
        }
        json_decref(reply);
    }
    assert_true(told);
}

static void test_own_refusals_only(void **unused)
{
    (void)unused;
    forget();
    refuse("sign", 1000, "/tmp/\xff\xfe\x1b[2J");
    refuse("sign", 1001, "/usr/bin/app");
    const lh_admin_caller caller = {1000, 1, false};
    lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_vault_admin(w.vault, &caller, LH_BYTES_STR("{\"call\":\"refusals\"}"), &out));
    json_t *reply = json_loadb((const char *)out.data, out.len, 0, NULL);
    const json_t *list = json_object_get(reply, "refusals");
    assert_int_equal(json_array_size(list), 1); /* told, whatever its path is made of */
    assert_string_equal(text_of(json_array_get(list, 0), "exe"), "/tmp/???[2J");
    json_decref(reply);
    lh_buf_free(&out);
    assert_lh_ok(lh_vault_admin(w.vault, &caller, LH_BYTES_STR("{\"call\":\"leases\"}"), &out));
    assert_non_null(strstr(lh_buf_cstr(&out), "not-admin"));
    lh_buf_free(&out);
    reply = ask_ok(json_pack("{s:s}", "call", "refusals"));
    assert_int_equal(json_array_size(json_object_get(reply, "refusals")), 2);
    json_decref(reply);
}

static int setup(void **unused)
{
    world_setup(unused);
    found_vault();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand_make_two_entries),
        cmocka_unit_test(test_users_and_roles_apart),
        cmocka_unit_test(test_users_of_a_host_are_one),
        cmocka_unit_test(test_more_than_are_kept),
        cmocka_unit_test(test_own_refusals_only),
    };
    return cmocka_run_group_tests(tests, setup, world_teardown);
}
