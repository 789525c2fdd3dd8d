/* Operations that were begun: what ends the right to a key ends them, at their next part. And logouts, which
 * end a login on every connection of the process and its ticket. */
#include "fixture.h"

#include "object/partition_internal.h"

typedef struct {
    lh_key_grip grip;
    lh_key_tenure tenure;
} begun;

static uint64_t make_key(lh_application *a, bool token, bool private)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_generate_reply reply;
    lh_wire_put_bool(&template, CKA_TOKEN, token);
    lh_wire_put_bool(&template, CKA_PRIVATE, private);
    lh_wire_put_bool(&template, CKA_ENCRYPT, true);
    lh_wire_put_bool(&template, CKA_DECRYPT, true);
    lh_wire_put_ulong(&template, CKA_VALUE_LEN, 32);
    assert_lh_ok(lh_application_generate(a,
        &(lh_generate_request){
            .slot = 1, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(&template)},
        &reply));
    return reply.handle;
}

static begun begin_use(lh_application *a, uint64_t handle)
{
    begun b;
    bool wait = false;
    const lh_key_use use = {handle, lh_mechanism_by_name("aes-cbc-pad"), LH_USE_ENCRYPT, true};
    assert_non_null(use.row);
    assert_lh_ok(lh_application_acquire(a, &use, &wait, &b.grip));
    lh_application_tenure(a, &use, &b.tenure);
    return b;
}

static lh_err check(lh_application *a, const begun *b)
{
    return lh_application_check(a, &b->tenure, &b->grip);
}

static lh_application *logged_in(struct token *t, pid_t pid)
{
    lh_application *a = application(t, pid);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    return a;
}

static lh_err set_attribute(lh_application *a, uint64_t handle, uint32_t type, const void *value, size_t len)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(256);
    lh_wire_put_attribute(&template, type, 0, LH_BYTES((const uint8_t *)value, len));
    return lh_application_set_attributes(
        a, &(lh_set_attributes_request){.handle = handle, .attributes = lh_buf_bytes(&template)});
}

static lh_err logout(lh_application *a)
{
    return lh_application_logout(a, &(lh_slot_request){1});
}

static void test_destroyed_by_another(void **state)
{
    struct token *t = *state;
    lh_application *a = logged_in(t, 10);
    lh_application *b = logged_in(t, 11);
    begun kept = begin_use(a, make_key(a, true, true));
    begun one = begin_use(a, make_key(a, true, true));
    begun session = begin_use(a, make_key(a, false, false));
    assert_lh_ok(check(a, &one));
    assert_lh_ok(check(a, &session));
    assert_lh_ok(lh_application_destroy(b, &(lh_handle_request){one.tenure.handle}));
    assert_refusal(check(a, &one), "key-handle-invalid");
    assert_lh_ok(lh_application_destroy(a, &(lh_handle_request){session.tenure.handle}));
    assert_refusal(check(a, &session), "key-handle-invalid");
    assert_lh_ok(check(a, &kept));
    lh_key_grip_release(&one.grip);
    lh_key_grip_release(&session.grip);
    lh_key_grip_release(&kept.grip);
    lh_application_free(a);
    lh_application_free(b);
}

static void test_pin_set_anew(void **state)
{
    struct token *t = *state;
    lh_application *so = application(t, 12);
    lh_application *a = logged_in(t, 10);
    begun private = begin_use(a, make_key(a, true, true));
    begun public = begin_use(a, make_key(a, true, false));
    begun session = begin_use(a, make_key(a, false, true));
    assert_lh_ok(try_login(so, 1, CKU_SO, "so-pin"));
    assert_lh_ok(lh_application_init_pin(so, &(lh_init_pin_request){.slot = 1, .pin = LH_BYTES_STR("5678")}));
    assert_refusal(check(a, &private), "user-not-logged-in");
    assert_refusal(check(a, &session), "user-not-logged-in");
    assert_lh_ok(check(a, &public)); /* anybody's */
    assert_lh_ok(try_login(a, 1, CKU_USER, "5678"));
    assert_refusal(check(a, &private), "user-not-logged-in"); /* another login's */
    lh_key_grip_release(&private.grip);
    private = begin_use(a, private.tenure.handle);
    /* Whoever changes it stays logged in, and goes on. */
    assert_lh_ok(
        lh_application_set_pin(a, &(lh_set_pin_request){1, LH_BYTES_STR("5678"), LH_BYTES_STR("9999")}));
    assert_lh_ok(check(a, &private));
    lh_key_grip_release(&private.grip);
    lh_key_grip_release(&public.grip);
    lh_key_grip_release(&session.grip);
    lh_application_free(a);
    lh_application_free(so);
}

static void test_logout_ends_what_was_begun(void **state)
{
    struct token *t = *state;
    lh_application *a = logged_in(t, 10);
    begun private = begin_use(a, make_key(a, true, true));
    begun public = begin_use(a, make_key(a, true, false));
    assert_lh_ok(logout(a));
    assert_refusal(check(a, &private), "user-not-logged-in");
    assert_lh_ok(check(a, &public));
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_refusal(check(a, &private), "user-not-logged-in");
    lh_key_grip_release(&private.grip);
    lh_key_grip_release(&public.grip);
    lh_application_free(a);
}

static void test_initialised_by_another(void **state)
{
    struct token *t = *state;
    lh_application *a = logged_in(t, 10);
    lh_application *b = application(t, 11);
    begun token = begin_use(a, make_key(a, true, false));
    begun session = begin_use(a, make_key(a, false, false));
    assert_lh_ok(try_init(b, 1, "so-pin", "again"));
    assert_refusal(check(a, &token), "key-handle-invalid");
    assert_refusal(check(a, &session), "key-handle-invalid");
    lh_key_grip_release(&token.grip);
    lh_key_grip_release(&session.grip);
    lh_application_free(a);
    lh_application_free(b);
}

static void test_changed_meanwhile(void **state)
{
    struct token *t = *state;
    lh_application *a = logged_in(t, 10);
    lh_application *b = logged_in(t, 11);
    const uint8_t no = 0;
    begun use = begin_use(a, make_key(a, true, true));
    assert_lh_ok(set_attribute(b, use.tenure.handle, CKA_LABEL, "new", 3)); /* no matter */
    assert_lh_ok(check(a, &use));
    assert_lh_ok(set_attribute(b, use.tenure.handle, CKA_END_DATE, "20200101", 8));
    assert_refusal(check(a, &use), "key-function-not-permitted");
    lh_key_grip_release(&use.grip);
    use = begin_use(a, make_key(a, true, true));
    lh_key_cache_drop_slot(t->p->cache, 1); /* not in the cache any more when it is changed */
    assert_lh_ok(set_attribute(b, use.tenure.handle, CKA_ENCRYPT, &no, 1));
    assert_refusal(check(a, &use), "key-function-not-permitted");
    lh_key_grip_release(&use.grip);
    use = begin_use(a, make_key(a, false, true));
    assert_lh_ok(set_attribute(a, use.tenure.handle, CKA_LABEL, "new", 3));
    assert_lh_ok(check(a, &use));
    assert_lh_ok(set_attribute(a, use.tenure.handle, CKA_ENCRYPT, &no, 1));
    assert_refusal(check(a, &use), "key-function-not-permitted");
    lh_key_grip_release(&use.grip);
    lh_application_free(a);
    lh_application_free(b);
}

static void test_date_passes_meanwhile(void **state)
{
    struct token *t = *state;
    lh_application *a = logged_in(t, 10);
    uint64_t handle = make_key(a, true, true);
    assert_lh_ok(set_attribute(a, handle, CKA_END_DATE, "20991231", 8));
    begun use = begin_use(a, handle);
    assert_lh_ok(check(a, &use));
    atomic_store(&t->p->wall_seen, INT64_C(4102531200)); /* 2100-01-02 */
    assert_refusal(check(a, &use), "action-prohibited");
    lh_key_grip_release(&use.grip);
    lh_application_free(a);
}

static void test_taken_from_the_user_meanwhile(void **state)
{
    struct token *t = *state;
    static const uint32_t others[] = {4711};
    lh_application *a = logged_in(t, 10);
    begun use = begin_use(a, make_key(a, true, true));
    begun public = begin_use(a, make_key(a, true, false));
    begun session = begin_use(a, make_key(a, false, false));
    t->specs[0].users = others;
    t->specs[0].n_users = 1;
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
    assert_refusal(check(a, &use), "slot-id-invalid");
    assert_refusal(check(a, &public), "slot-id-invalid");
    t->specs[0].n_users = 0;
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
    assert_lh_ok(check(a, &use));
    /* The partition goes altogether. */
    assert_lh_ok(lh_partitions_sync(t->p, &t->specs[1], 1));
    assert_refusal(check(a, &use), "key-handle-invalid");
    assert_refusal(check(a, &session), "slot-id-invalid");
    lh_key_grip_release(&use.grip);
    lh_key_grip_release(&public.grip);
    lh_key_grip_release(&session.grip);
    lh_application_free(a);
}

/* --- logouts and tickets --- */

static lh_application *login_with_ticket(struct token *t, lh_buf *ret_ticket)
{
    lh_application *a = application(t, 10);
    lh_buf_clear(ret_ticket);
    assert_lh_ok(lh_application_login(
        a, &(lh_login_request){.slot = 1, .user = CKU_USER, .pin = LH_BYTES_STR("1234")}, ret_ticket));
    return a;
}

static lh_err resume(lh_application *a, const lh_buf *ticket)
{
    uint32_t user = 99;
    return lh_application_resume(a, &(lh_resume_request){1, lh_buf_bytes(ticket)}, &user);
}

static void test_logout_ends_tickets(void **state)
{
    struct token *t = *state;
    LH_AUTO(lh_buf_free) lh_buf first = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    lh_application *a = login_with_ticket(t, &first);
    assert_lh_ok(logout(a));
    lh_application_free(a);
    a = login_with_ticket(t, &second);
    lh_application_free(a); /* the connection is lost: that is no logout */
    lh_application *b = application(t, 10);
    assert_refusal(resume(b, &first), "user-not-logged-in");
    assert_int_equal(lh_application_user(b, 1), UINT32_MAX);
    assert_lh_ok(resume(b, &second));
    assert_lh_ok(logout(b)); /* of what was resumed, too */
    assert_refusal(resume(b, &second), "user-not-logged-in");
    lh_application_free(b);
    /* And after a restart, for a login of before. */
    a = login_with_ticket(t, &second);
    lh_application_free(a);
    token_reopen(t);
    a = application(t, 10);
    assert_lh_ok(resume(a, &second));
    assert_lh_ok(logout(a));
    assert_refusal(resume(a, &second), "user-not-logged-in");
    lh_application_free(a);
}

static void test_logout_ends_every_connection(void **state)
{
    struct token *t = *state;
    LH_AUTO(lh_buf_free) lh_buf ticket = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    lh_application *a = login_with_ticket(t, &ticket);
    lh_application *b = application(t, 10);
    lh_application *other = logged_in(t, 11);
    assert_lh_ok(resume(b, &ticket));
    begun use = begin_use(b, make_key(b, true, true));
    assert_lh_ok(logout(a));
    assert_int_equal(lh_application_user(b, 1), UINT32_MAX);
    assert_refusal(check(b, &use), "user-not-logged-in");
    assert_int_equal(lh_application_user(other, 1), CKU_USER);
    assert_lh_ok(try_login(b, 1, CKU_USER, "1234"));
    assert_int_equal(lh_application_user(b, 1), CKU_USER);
    lh_key_grip_release(&use.grip);
    lh_application_free(a);
    lh_application_free(b);
    lh_application_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_destroyed_by_another),
        TEST(test_pin_set_anew),
        TEST(test_logout_ends_what_was_begun),
        TEST(test_initialised_by_another),
        TEST(test_changed_meanwhile),
        TEST(test_date_passes_meanwhile),
        TEST(test_taken_from_the_user_meanwhile),
        TEST(test_logout_ends_tickets),
        TEST(test_logout_ends_every_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
