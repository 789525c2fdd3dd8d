/* Applications side by side: logins, what each sees, what survives, what is refused, keys in use. */
#include "fixture.h"

/* --- slots and logins --- */

static void test_slots_and_info(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf slots = LH_BUF_INIT(1024);
    lh_slot_info_reply info;
    assert_lh_ok(lh_application_slots(a, &slots));
    assert_int_equal(slots.len, 24);
    assert_lh_ok(lh_application_slot_info(a, &(lh_slot_request){1}, &info));
    assert_memory_equal(info.label, "my token                        ", 32);
    assert_int_equal(
        info.flags, LH_TOKEN_FLAG_INITIALIZED | LH_TOKEN_FLAG_LOGIN_REQUIRED | LH_TOKEN_FLAG_USER_PIN);
    assert_refusal(lh_application_slot_info(a, &(lh_slot_request){9}, &info), "slot-id-invalid");
    lh_application_free(a);
}

static bool sees_two(void *arg, uint64_t number)
{
    (void)arg;
    return number == 2;
}

static void test_partition_that_is_not_for_this_process(void **state)
{
    struct token *t = *state;
    uint32_t other = 2000;
    lh_application_options options = {.uid = 1000, .pid = 5, .may_see = sees_two};
    lh_application *a = NULL;
    lh_application *b = application(t, 6);
    lh_slot_info_reply info;
    assert_lh_ok(lh_application_new(t->p, &options, &a));
    uint64_t handle = create_data(b, 1, "public", true, false);
    assert_refusal(lh_application_slot_info(a, &(lh_slot_request){1}, &info), "slot-id-invalid");
    assert_refusal(try_login(a, 1, CKU_USER, "1234"), "slot-id-invalid");
    assert_refusal(lh_application_destroy(a, &(lh_handle_request){handle}), "object-handle-invalid");
    assert_lh_ok(lh_application_slot_info(a, &(lh_slot_request){2}, &info));
    t->specs[1].users = &other;
    t->specs[1].n_users = 1;
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
    assert_refusal(lh_application_slot_info(a, &(lh_slot_request){2}, &info), "slot-id-invalid");
    lh_application_free(a);
    lh_application_free(b);
}

static void test_login_rules(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    assert_int_equal(lh_application_user(a, 1), UINT32_MAX);
    assert_refusal(try_login(a, 1, 7, "1234"), "user-type-invalid");
    assert_refusal(try_login(a, 1, CKU_USER, "4321"), "pin-incorrect");
    assert_refusal(lh_application_logout(a, &(lh_slot_request){1}), "user-not-logged-in");
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_int_equal(lh_application_user(a, 1), CKU_USER);
    assert_int_equal(lh_application_user(a, 2), UINT32_MAX);
    assert_refusal(try_login(a, 1, CKU_USER, "1234"), "user-already-logged-in");
    assert_refusal(try_login(a, 1, CKU_SO, "so-pin"), "user-another-already-logged-in");
    assert_refusal(lh_application_init_pin(a, &(lh_init_pin_request){.slot = 1, .pin = LH_BYTES_STR("5678")}),
        "user-not-logged-in");
    assert_lh_ok(lh_application_logout(a, &(lh_slot_request){1}));
    assert_lh_ok(try_login(a, 1, CKU_SO, "so-pin"));
    lh_application_free(a);
}

static void test_quorum_is_the_so(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf verifier = LH_BUF_INIT(256);
    t->specs[0].quorum_so = true;
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
    assert_refusal(try_login(a, 1, CKU_SO, "so-pin"), "partition-quorum");
    assert_refusal(try_init(a, 1, "so-pin", "x"), "partition-quorum");
    assert_lh_ok(lh_pin_verifier_new(t->p, LH_BYTES_STR("quorum"), &verifier));
    assert_lh_ok(lh_partitions_set_user_pin(t->p, 1, lh_buf_bytes(&verifier)));
    assert_refusal(try_login(a, 1, CKU_USER, "1234"), "pin-incorrect");
    assert_lh_ok(try_login(a, 1, CKU_USER, "quorum"));
    assert_refusal(lh_partitions_set_user_pin(t->p, 1, LH_BYTES_STR("junk")), "pin-verifier");
    lh_application_free(a);
}

static void test_ticket_is_of_this_process_and_pin(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf ticket = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    uint32_t user = 99;
    assert_lh_ok(lh_application_login(
        a, &(lh_login_request){.slot = 1, .user = CKU_USER, .pin = LH_BYTES_STR("1234")}, &ticket));
    lh_application_free(a);
    token_reopen(t); /* as when the daemon is restarted */
    lh_resume_request r = {1, lh_buf_bytes(&ticket)};
    a = application(t, 10);
    lh_application *other = application(t, 11);
    assert_refusal(lh_application_resume(other, &r, &user), "user-not-logged-in");
    assert_refusal(lh_application_resume(a, &(lh_resume_request){2, r.ticket}, &user), "user-not-logged-in");
    assert_int_equal(lh_application_user(a, 1), UINT32_MAX);
    assert_lh_ok(lh_application_resume(a, &r, &user));
    assert_int_equal(user, CKU_USER);
    assert_int_equal(lh_application_user(a, 1), CKU_USER);
    lh_set_pin_request change = {1, LH_BYTES_STR("1234"), LH_BYTES_STR("567890")};
    assert_lh_ok(lh_application_set_pin(other, &change)); /* in a public session: the user's */
    assert_int_equal(lh_application_user(a, 1), UINT32_MAX);
    assert_refusal(lh_application_resume(a, &r, &user), "user-not-logged-in");
    lh_application_free(a);
    lh_application_free(other);
}

static void test_whoever_changes_the_pin_stays_logged_in(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_refusal(
        lh_application_set_pin(a, &(lh_set_pin_request){1, LH_BYTES_STR("1234"), LH_BYTES_STR("1")}),
        "pin-len-range");
    assert_refusal(
        lh_application_set_pin(a, &(lh_set_pin_request){1, LH_BYTES_STR("0000"), LH_BYTES_STR("55555")}),
        "pin-incorrect");
    assert_lh_ok(
        lh_application_set_pin(a, &(lh_set_pin_request){1, LH_BYTES_STR("1234"), LH_BYTES_STR("55555")}));
    assert_int_equal(lh_application_user(a, 1), CKU_USER);
    lh_application_free(a);
}

static void test_names_are_logged(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf ticket = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    lh_login_request r = {
        .slot = 1, .user = CKU_USER, .pin = LH_BYTES_STR("1234"), .name = LH_BYTES_STR("a\nb")};
    assert_refusal(lh_application_login(a, &r, &ticket), "arguments-bad");
    r.name = LH_BYTES_STR("alice");
    assert_lh_ok(lh_application_login(a, &r, &ticket));
    assert_int_equal(t->events[LH_EVENT_LOGIN], 1);
    lh_application_free(a);
}

/* --- initialising --- */

static void test_init_token_destroys_everything(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    assert_lh_ok(try_login(b, 1, CKU_USER, "1234"));
    uint64_t handle = create_data(b, 1, "one", true, true);
    uint64_t kept = create_data(b, 2, "two", true, false);
    assert_refusal(try_init(a, 1, "wrong", "again"), "pin-incorrect");
    assert_int_equal(search_label(b, 1, "one"), 1);
    assert_lh_ok(try_init(a, 1, "so-pin", "again"));
    assert_int_equal(lh_application_user(b, 1), UINT32_MAX);
    assert_int_equal(search_label(b, 1, "one"), 0);
    assert_int_equal(search_label(b, 2, "two"), 1);
    assert_refusal(lh_application_destroy(b, &(lh_handle_request){handle}), "object-handle-invalid");
    assert_refusal(try_login(b, 1, CKU_USER, "1234"), "user-pin-not-initialized");
    assert_int_equal(lh_record_count(t->f.records, LH_RECORD_OBJECT), 1);
    assert_lh_ok(lh_application_destroy(b, &(lh_handle_request){kept}));
    assert_lh_ok(try_login(a, 1, CKU_SO, "so-pin"));
    lh_application_free(a);
    lh_application_free(b);
}

static void test_blank_one_is_always_there(void **state)
{
    struct token *t = *state;
    lh_partition_description d;
    lh_application *a = NULL;
    t->options.blank = true;
    token_reopen(t);
    a = application(t, 10);
    assert_lh_ok(lh_partitions_describe(t->p, 3, &d));
    assert_true(d.blank && !d.initialized);
    assert_refusal(try_login(a, 3, CKU_SO, "1234"), "token-not-initialized");
    assert_refusal(try_init(a, 3, "123", "short"), "pin-len-range");
    assert_lh_ok(try_init(a, 3, "any pin", "third"));
    assert_lh_ok(lh_partitions_describe(t->p, 3, &d));
    assert_true(!d.blank && d.initialized);
    assert_lh_ok(lh_partitions_describe(t->p, 4, &d));
    assert_true(d.blank);
    uint8_t id[LH_PARTITION_ID_SIZE];
    assert_lh_ok(lh_partitions_describe(t->p, 3, &d));
    memcpy(id, d.id, sizeof(id));
    lh_application_free(a);
    token_spec(t, 3); /* the configuration takes its number */
    token_reopen(t);
    assert_lh_ok(lh_partitions_describe(t->p, 3, &d));
    assert_string_equal(d.name, "partition-3");
    assert_lh_ok(lh_partitions_describe(t->p, 5, &d));
    assert_memory_equal(d.id, id, sizeof(id));
    assert_string_equal(d.label, "third");
}

static void test_partition_that_is_gone(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    uint64_t handle = create_data(a, 2, "two", true, false);
    t->n_specs = 1;
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
    assert_refusal(lh_application_destroy(a, &(lh_handle_request){handle}), "object-handle-invalid");
    assert_refusal(try_login(a, 2, CKU_USER, "1234"), "slot-id-invalid");
    assert_int_equal(lh_record_count(t->f.records, LH_RECORD_OBJECT), 0);
    assert_int_equal(lh_record_count(t->f.records, LH_RECORD_PARTITION), 1);
    lh_application_free(a);
    token_reopen(t);
}

/* --- objects --- */

static void test_nothing_of_one_partition_shows_in_another(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    uint64_t private = create_data(a, 1, "mine", true, true);
    uint64_t session = create_data(a, 1, "mine", false, true);
    assert_int_equal(search_label(a, 1, "mine"), 2);
    assert_int_equal(search_label(a, 2, "mine"), 0);
    lh_application *b = application(t, 11);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    assert_lh_ok(try_login(b, 2, CKU_USER, "1234")); /* of the other partition: no help */
    assert_int_equal(search_label(b, 1, "mine"), 0);
    assert_refusal(read_one(b, private, CKA_LABEL, &out), "object-handle-invalid");
    assert_refusal(read_one(b, session, CKA_LABEL, &out), "object-handle-invalid");
    assert_refusal(lh_application_destroy(b, &(lh_handle_request){private}), "object-handle-invalid");
    assert_lh_ok(try_login(b, 1, CKU_USER, "1234"));
    assert_lh_ok(read_one(b, private, CKA_LABEL, &out));
    assert_int_equal(search_label(b, 1, "mine"), 1); /* the other's session object is its own */
    lh_application_free(a);
    lh_application_free(b);
}

static void test_so_does_not_see_private_objects(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    (void)create_data(a, 1, "mine", true, true);
    (void)create_data(a, 1, "mine", true, false);
    assert_lh_ok(try_login(b, 1, CKU_SO, "so-pin"));
    assert_int_equal(search_label(b, 1, "mine"), 1);
    lh_application_free(a);
    lh_application_free(b);
}

static void test_objects_survive_and_keep_their_handles(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(256);
    uint64_t found = 0;
    uint64_t handle = create_data(a, 1, "kept", true, false);
    (void)create_data(a, 1, "lost", false, false);
    assert_int_equal(handle >> 61, 2); /* bit 62, not bit 61 */
    lh_application_free(a);
    token_reopen(t);
    a = application(t, 10);
    lh_wire_put_attribute(&template, CKA_LABEL, 0, LH_BYTES_STR("kept"));
    lh_wire_put_attribute(&template, CKA_VALUE, 0, LH_BYTES_STR("some data")); /* not in the index */
    assert_int_equal(search(a, 1, &template, &found), 1);
    assert_int_equal(found, handle);
    assert_int_equal(search_label(a, 1, "lost"), 0);
    lh_wire_put_attribute(&template, CKA_APPLICATION, 0, LH_BYTES_STR("another"));
    assert_int_equal(search(a, 1, &template, NULL), 0);
    lh_application_free(a);
}

static void test_changes_reach_searches(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf label = LH_BUF_INIT(256);
    lh_wire_put_attribute(&label, CKA_LABEL, 0, LH_BYTES_STR("new"));
    for (int token = 0; token < 2; token++) {
        uint64_t handle = create_data(a, 1, "old", token, false);
        assert_lh_ok(
            lh_application_set_attributes(a, &(lh_set_attributes_request){handle, lh_buf_bytes(&label)}));
        assert_int_equal(search_label(a, 1, "old"), 0);
        assert_int_equal(search_label(a, 1, "new"), 1);
        assert_lh_ok(lh_application_destroy(a, &(lh_handle_request){handle}));
        assert_int_equal(search_label(a, 1, "new"), 0);
    }
    lh_application_free(a);
}

static void test_session_objects_end_with_session_login_and_limits(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    (void)create_data(a, 1, "private", false, true);
    (void)create_data(a, 1, "public", false, false);
    assert_lh_ok(lh_application_logout(a, &(lh_slot_request){1}));
    assert_int_equal(search_label(a, 1, "public"), 1);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_int_equal(search_label(a, 1, "private"), 0); /* destroyed, not hidden */
    lh_application_session_end(a, &(lh_session_request){2});
    assert_int_equal(search_label(a, 1, "public"), 1);
    lh_application_session_end(a, &(lh_session_request){1});
    assert_int_equal(search_label(a, 1, "public"), 0);
    put_data(&template, "many", false, false);
    for (unsigned i = 0; i < LH_LIMIT_SESSION_OBJECTS; i++)
        assert_lh_ok(try_create(a, 1, &template, &handle));
    assert_refusal(try_create(a, 1, &template, &handle), "host-memory");
    assert_int_equal(search_label(a, 1, "many"), LH_LIMIT_SESSION_OBJECTS); /* over two pages */
    lh_application *b = application(t, 11);
    assert_refusal(
        try_create(b, 1, &template, &handle), "host-memory"); /* of one user, however many processes */
    lh_application_free(a);
    assert_lh_ok(try_create(b, 1, &template, &handle));
    lh_application_free(b);
}

static void test_profiles(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    assert_int_equal(search(a, 1, &template, NULL), 0);
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_PROFILE);
    assert_true(search(a, 1, &template, &handle) >= 1);
    assert_lh_ok(read_one(a, handle, CKA_PROFILE_ID, &out));
    assert_refusal(lh_application_destroy(a, &(lh_handle_request){handle}), "action-prohibited");
    lh_application_free(a);
}

/* --- keys --- */

static lh_err generate_aes(lh_application *a, bool token, uint64_t uses, bool sign_each, uint64_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_generate_reply reply;
    (void)sign_each;
    lh_wire_put_bool(&template, CKA_TOKEN, token);
    lh_wire_put_ulong(&template, CKA_VALUE_LEN, 32);
    lh_wire_put_bool(&template, CKA_ENCRYPT, true);
    if (uses)
        lh_wire_put_ulong(&template, CKA_LEASEHOLD_USES, uses);
    LH_TRY(lh_application_generate(a,
        &(lh_generate_request){
            .slot = 1, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(&template)},
        &reply));
    *ret = reply.handle;
    return LH_SUCCESS;
}

static lh_err use_key(lh_application *a, uint64_t handle, const char *mechanism, unsigned use)
{
    lh_key_grip grip;
    bool wait = true;
    lh_key_use what = {handle, lh_mechanism_by_name(mechanism), use, true};
    assert_non_null(what.row);
    lh_err err = lh_application_acquire(a, &what, &wait, &grip);
    if (lh_ok(err)) {
        assert_non_null(grip.key);
        lh_key_grip_release(&grip);
    }
    assert_false(wait);
    return err;
}

static void test_key_is_generated_and_used(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_key_grip grip;
    bool wait = false;
    uint64_t handle = 0;
    assert_refusal(generate_aes(a, true, 0, false, &handle), "user-not-logged-in");
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(generate_aes(a, true, 0, false, &handle));
    assert_int_equal(t->events[LH_EVENT_KEY_GENERATED], 1);
    lh_key_use use = {handle, lh_mechanism_by_name("aes-gcm"), LH_USE_ENCRYPT, false};
    assert_lh_ok(lh_application_acquire(a, &use, &wait, &grip));
    assert_true(wait && !grip.key); /* not in memory yet */
    use.may_wait = true;
    assert_lh_ok(lh_application_acquire(a, &use, &wait, &grip));
    lh_key_grip_release(&grip);
    use.may_wait = false;
    assert_lh_ok(lh_application_acquire(a, &use, &wait, &grip));
    assert_true(!wait && grip.key);
    assert_lh_ok(lh_application_destroy(a, &(lh_handle_request){handle}));
    lh_key_grip_release(&grip); /* good until here */
    assert_refusal(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT), "key-handle-invalid");
    assert_int_equal(t->events[LH_EVENT_KEY_DESTROYED], 1);
    lh_application_free(a);
}

static void test_key_of_another_login_state(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    lh_application *b = application(t, 11);
    uint64_t handle = 0;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(generate_aes(a, true, 0, false, &handle));
    assert_lh_ok(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT)); /* in memory now */
    assert_refusal(use_key(b, handle, "aes-gcm", LH_USE_ENCRYPT), "key-handle-invalid");
    assert_lh_ok(lh_application_logout(a, &(lh_slot_request){1}));
    assert_refusal(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT), "key-handle-invalid");
    lh_application_free(a);
    lh_application_free(b);
}

static void test_uses_are_counted_across_restarts(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    uint64_t handle = 0;
    uint64_t session = 0;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(generate_aes(a, true, 3, false, &handle));
    assert_lh_ok(generate_aes(a, false, 2, false, &session));
    assert_lh_ok(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT));
    for (int i = 0; i < 2; i++)
        assert_lh_ok(use_key(a, session, "aes-gcm", LH_USE_ENCRYPT));
    assert_refusal(use_key(a, session, "aes-gcm", LH_USE_ENCRYPT), "action-prohibited");
    lh_application_free(a);
    token_reopen(t);
    a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT));
    assert_lh_ok(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT));
    assert_refusal(use_key(a, handle, "aes-gcm", LH_USE_ENCRYPT), "action-prohibited");
    lh_application_free(a);
}

static void test_pair_is_made_whole_or_not_at_all(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(512);
    LH_AUTO(lh_buf_free) lh_buf private = LH_BUF_INIT(512);
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    lh_generate_reply reply;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    lh_wire_put_attribute(&public, CKA_EC_PARAMS, 0, LH_BYTES(p256, sizeof(p256)));
    lh_wire_put_bool(&public, CKA_TOKEN, true);
    lh_wire_put_bool(&private, CKA_TOKEN, true);
    lh_generate_request r = {.slot = 1,
        .session = 1,
        .mechanism = CKM_EC_KEY_PAIR_GEN,
        .attributes = lh_buf_bytes(&public),
        .private_attributes = lh_buf_bytes(&private),
        .pair = 1};
    t->event_fails = LH_E_FULL;
    assert_lh_code(lh_application_generate(a, &r, &reply), LH_E_FULL);
    t->event_fails = LH_OK;
    assert_int_equal(lh_record_count(t->f.records, LH_RECORD_OBJECT), 0);
    assert_lh_ok(lh_application_generate(a, &r, &reply));
    assert_int_equal(lh_record_count(t->f.records, LH_RECORD_OBJECT), 2);
    assert_lh_ok(use_key(a, reply.private_handle, "ecdsa", LH_USE_SIGN));
    assert_lh_ok(use_key(a, reply.handle, "ecdsa", LH_USE_VERIFY));
    assert_false(lh_ok(use_key(a, reply.handle, "ecdsa", LH_USE_SIGN)));
    lh_application_free(a);
}

static void test_always_authenticate_is_one_operation(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf public = LH_BUF_INIT(512);
    LH_AUTO(lh_buf_free) lh_buf private = LH_BUF_INIT(512);
    LH_AUTO(lh_buf_free) lh_buf ticket = LH_BUF_INIT(512);
    static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    lh_generate_reply reply;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    lh_wire_put_attribute(&public, CKA_EC_PARAMS, 0, LH_BYTES(p256, sizeof(p256)));
    lh_wire_put_bool(&private, CKA_ALWAYS_AUTHENTICATE, true);
    lh_generate_request r = {.slot = 1,
        .session = 1,
        .mechanism = CKM_EC_KEY_PAIR_GEN,
        .attributes = lh_buf_bytes(&public),
        .private_attributes = lh_buf_bytes(&private),
        .pair = 1};
    assert_lh_ok(lh_application_generate(a, &r, &reply));
    assert_refusal(use_key(a, reply.private_handle, "ecdsa", LH_USE_SIGN), "user-not-logged-in");
    lh_login_request login = {
        .slot = 1, .user = CKU_CONTEXT_SPECIFIC, .pin = LH_BYTES_STR("0000"), .handle = reply.private_handle};
    assert_refusal(lh_application_login(a, &login, &ticket), "pin-incorrect");
    assert_refusal(use_key(a, reply.private_handle, "ecdsa", LH_USE_SIGN), "user-not-logged-in");
    login.pin = LH_BYTES_STR("1234");
    assert_lh_ok(lh_application_login(a, &login, &ticket));
    assert_int_equal(ticket.len, 0);
    assert_lh_ok(use_key(a, reply.private_handle, "ecdsa", LH_USE_SIGN));
    assert_refusal(use_key(a, reply.private_handle, "ecdsa", LH_USE_SIGN), "user-not-logged-in");
    login.handle = reply.handle;
    assert_refusal(lh_application_login(a, &login, &ticket), "operation-not-initialized");
    lh_application_free(a);
}

/* --- the disk --- */

static void test_object_that_was_tampered_with(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf row = LH_BUF_INIT(LH_LIMIT_RECORD);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    int64_t version = 0;
    uint64_t handle = create_data(a, 1, "one", true, false);
    (void)create_data(a, 2, "two", true, false);
    assert_lh_ok(lh_record_ids(t->f.records, LH_RECORD_OBJECT, &ids, &count));
    assert_int_equal(count, 2);
    read_row(t->f.dir, LH_RECORD_OBJECT, ids[1], &row, &version); /* another partition's in its place */
    write_row(t->f.dir, LH_RECORD_OBJECT, ids[0], lh_buf_bytes(&row), version);
    assert_lh_code(read_one(a, handle, CKA_LABEL, &out), LH_E_CORRUPT);
    lh_application_free(a);
    lh_partitions_free(t->p);
    t->p = NULL;
    fixture_close(&t->f);
    assert_lh_code(fixture_open(&t->f), LH_E_CORRUPT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slots_and_info),
        TEST(test_partition_that_is_not_for_this_process),
        TEST(test_login_rules),
        TEST(test_quorum_is_the_so),
        TEST(test_ticket_is_of_this_process_and_pin),
        TEST(test_whoever_changes_the_pin_stays_logged_in),
        TEST(test_names_are_logged),
        TEST(test_init_token_destroys_everything),
        TEST(test_blank_one_is_always_there),
        TEST(test_partition_that_is_gone),
        TEST(test_nothing_of_one_partition_shows_in_another),
        TEST(test_so_does_not_see_private_objects),
        TEST(test_objects_survive_and_keep_their_handles),
        TEST(test_changes_reach_searches),
        TEST(test_session_objects_end_with_session_login_and_limits),
        TEST(test_profiles),
        TEST(test_key_is_generated_and_used),
        TEST(test_key_of_another_login_state),
        TEST(test_uses_are_counted_across_restarts),
        TEST(test_pair_is_made_whole_or_not_at_all),
        TEST(test_always_authenticate_is_one_operation),
        TEST(test_object_that_was_tampered_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
