/* Wrapping keys that become guardians when they first wrap a sensitive key: durably, before anything is given
 * out, and never beside a free copy. */
#include "fixture.h"

#include <pthread.h>

typedef struct {
    uint32_t type;
    bool value;
} flag;

static uint64_t aes(lh_application *a, const flag *flags, size_t n)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_generate_reply reply;
    lh_wire_put_ulong(&template, CKA_VALUE_LEN, 32);
    for (size_t i = 0; i < n; i++)
        lh_wire_put_bool(&template, flags[i].type, flags[i].value);
    assert_lh_ok(lh_application_generate(a,
        &(lh_generate_request){
            .slot = 1, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(&template)},
        &reply));
    return reply.handle;
}

static uint64_t wrapping_key(lh_application *a, bool token)
{
    const flag flags[] = {{CKA_TOKEN, token}, {CKA_WRAP, true}, {CKA_UNWRAP, true}, {CKA_SENSITIVE, true},
        {CKA_EXTRACTABLE, false}, {CKA_ENCRYPT, false}, {CKA_DECRYPT, false}};
    return aes(a, flags, LH_ARRAY_LEN(flags));
}

static uint64_t sensitive_key(lh_application *a)
{
    const flag flags[] = {{CKA_SENSITIVE, true}, {CKA_EXTRACTABLE, true}};
    return aes(a, flags, LH_ARRAY_LEN(flags));
}

static uint64_t readable_key(lh_application *a)
{
    const flag flags[] = {{CKA_SENSITIVE, false}, {CKA_EXTRACTABLE, true}};
    return aes(a, flags, LH_ARRAY_LEN(flags));
}

static const uint8_t iv[16];

static lh_bytes params_of(uint64_t mechanism)
{
    return mechanism == CKM_AES_CBC_PAD || mechanism == CKM_AES_CBC ? LH_BYTES(iv, 16) : LH_BYTES_NONE;
}

static lh_err wrap(lh_application *a, uint64_t mechanism, uint64_t wrapping, uint64_t key, lh_buf *ret)
{
    lh_wrap_request w = {
        .mechanism = mechanism, .params = params_of(mechanism), .wrapping = wrapping, .key = key};
    return lh_application_wrap(a, &w, ret);
}

/* sensitive: what the template says; 2: nothing. */
static lh_err unwrap(lh_application *a, uint64_t mechanism, uint64_t unwrapping, const lh_buf *wrapped,
    int sensitive, uint64_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_handle_reply reply;
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, CKK_AES);
    lh_wire_put_bool(&template, CKA_EXTRACTABLE, true);
    if (sensitive != 2)
        lh_wire_put_bool(&template, CKA_SENSITIVE, sensitive != 0);
    LH_TRY(lh_application_unwrap(a,
        &(lh_unwrap_request){.slot = 1,
            .session = 1,
            .mechanism = mechanism,
            .params = params_of(mechanism),
            .unwrapping = unwrapping,
            .wrapped = lh_buf_bytes(wrapped),
            .attributes = lh_buf_bytes(&template)},
        &reply));
    *ret = reply.handle;
    return LH_SUCCESS;
}

static lh_err copy(lh_application *a, uint64_t key, bool token, uint64_t *ret)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(64);
    lh_handle_reply reply;
    lh_wire_put_bool(&template, CKA_TOKEN, token);
    LH_TRY(lh_application_copy(a, &(lh_copy_request){key, 1, lh_buf_bytes(&template)}, &reply));
    *ret = reply.handle;
    return LH_SUCCESS;
}

/* Flags of one attribute's answer, and how long its value is. */
static uint8_t flags_of(lh_application *a, uint64_t handle, uint32_t type, size_t *ret_len)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    lh_wire_attribute attribute;
    assert_lh_ok(read_one(a, handle, type, &out));
    lh_reader reader = lh_reader_new(lh_buf_bytes(&out));
    assert_true(lh_wire_next_attribute(&reader, &attribute));
    *ret_len = attribute.value.len;
    return attribute.flags;
}

static bool is_confined(lh_application *a, uint64_t handle)
{
    size_t len = 0;
    return flags_of(a, handle, CKA_ALLOWED_MECHANISMS, &len) == 0 && len == 3 * 8; /* KW, KW_PAD, KWP */
}

static void assert_closed(lh_application *a, uint64_t wrapping, const lh_buf *wrapped)
{
    uint64_t key = 0;
    size_t len = 0;
    assert_true(is_confined(a, wrapping));
    assert_refusal(unwrap(a, CKM_AES_KEY_WRAP, wrapping, wrapped, 0, &key), "template-inconsistent");
    assert_refusal(unwrap(a, CKM_AES_CBC_PAD, wrapping, wrapped, 2, &key), "mechanism-invalid");
    assert_refusal(unwrap(a, CKM_AES_CBC, wrapping, wrapped, 0, &key), "mechanism-invalid");
    assert_refusal(unwrap(a, CKM_AES_GCM, wrapping, wrapped, 0, &key), "mechanism-invalid");
    assert_lh_ok(unwrap(a, CKM_AES_KEY_WRAP, wrapping, wrapped, 2, &key));
    assert_int_equal(flags_of(a, key, CKA_VALUE, &len), LH_ATTRIBUTE_SENSITIVE);
}

static lh_application *user(struct token *t, pid_t pid)
{
    lh_application *a = application(t, pid);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    return a;
}

#define WRAPPED(name) LH_AUTO(lh_buf_free) lh_buf name = LH_BUF_INIT(LH_WIRE_WRAPPED_MAX)

static void test_first_wrap_closes(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    WRAPPED(by_cbc);
    WRAPPED(wrapped);
    uint64_t back = 0;
    size_t len = 0;
    uint64_t wrapping = wrapping_key(a, true);
    uint64_t readable = readable_key(a);
    uint64_t secret = sensitive_key(a);
    /* before: any mechanism, as the template says */
    assert_lh_ok(wrap(a, CKM_AES_CBC_PAD, wrapping, readable, &by_cbc));
    assert_lh_ok(unwrap(a, CKM_AES_CBC_PAD, wrapping, &by_cbc, 0, &back));
    assert_int_equal(flags_of(a, back, CKA_VALUE, &len), 0);
    /* what is refused does not close */
    assert_refusal(wrap(a, CKM_AES_CBC_PAD, wrapping, secret, &wrapped), "key-not-wrappable");
    assert_refusal(wrap(a, CKM_AES_KEY_WRAP, wrapping, wrapping, &wrapped), "key-unextractable");
    assert_false(is_confined(a, wrapping));
    assert_int_equal(wrapped.len, 0);
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, secret, &wrapped));
    assert_closed(a, wrapping, &wrapped);
    lh_application_free(a);
    token_reopen(t);
    a = user(t, 11);
    assert_closed(a, wrapping, &wrapped);
    assert_refusal(unwrap(a, CKM_AES_CBC_PAD, wrapping, &by_cbc, 0, &back), "mechanism-invalid");
    by_cbc.len = 0;
    readable = readable_key(a);
    assert_refusal(wrap(a, CKM_AES_CBC_PAD, wrapping, readable, &by_cbc), "mechanism-invalid");
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP_KWP, wrapping, readable, &by_cbc));
    lh_application_free(a);
}

static void test_session_objects(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    WRAPPED(wrapped);
    WRAPPED(none);
    uint64_t made = 0;
    uint64_t wrapping = wrapping_key(a, false);
    uint64_t secret = sensitive_key(a);
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, secret, &wrapped));
    assert_closed(a, wrapping, &wrapped);
    assert_lh_ok(copy(a, wrapping, true, &made));
    assert_closed(a, made, &wrapped);
    uint64_t copied = wrapping_key(a, false);
    assert_lh_ok(copy(a, copied, true, &made));
    assert_refusal(wrap(a, CKM_AES_KEY_WRAP, copied, secret, &none), "key-not-wrappable");
    assert_refusal(wrap(a, CKM_AES_KEY_WRAP, made, secret, &none), "key-not-wrappable");
    lh_application_free(a);
}

/* Where the key is closed and its process dies before it has the result. */
static void test_closed_without_output(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    LH_AUTO(lh_buf_free) lh_buf none = LH_BUF_INIT(1);
    WRAPPED(wrapped);
    uint64_t wrapping = wrapping_key(a, true);
    assert_false(lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, sensitive_key(a), &none)));
    lh_application_free(a);
    token_reopen(t);
    a = user(t, 11);
    assert_true(is_confined(a, wrapping));
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, sensitive_key(a), &wrapped));
    assert_closed(a, wrapping, &wrapped);
    lh_application_free(a);
}

/* A copy from before, token or session object, in this process or another. */
static void test_copied_before(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    lh_application *b = user(t, 11);
    WRAPPED(wrapped);
    for (int token = 0; token < 2; token++) {
        uint64_t made = 0;
        uint64_t again = 0;
        uint64_t wrapping = wrapping_key(a, true);
        uint64_t secret = sensitive_key(a);
        assert_lh_ok(copy(b, wrapping, token, &made));
        assert_refusal(wrap(a, CKM_AES_KEY_WRAP, wrapping, secret, &wrapped), "key-not-wrappable");
        assert_lh_ok(copy(b, made, true, &again));
        assert_refusal(wrap(a, CKM_AES_KEY_WRAP, again, secret, &wrapped), "key-not-wrappable");
        assert_lh_ok(copy(b, wrapping, token, &again)); /* once more is nothing new */
        assert_lh_ok(wrap(a, CKM_AES_CBC_PAD, wrapping, readable_key(a), &wrapped));
        wrapped.len = 0;
    }
    lh_application_free(a);
    lh_application_free(b);
}

static void test_copied_after(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    lh_application *b = user(t, 11);
    WRAPPED(wrapped);
    uint64_t made = 0;
    uint64_t wrapping = wrapping_key(a, true);
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, sensitive_key(a), &wrapped));
    for (int token = 0; token < 2; token++) {
        assert_lh_ok(copy(b, wrapping, token, &made));
        assert_closed(b, made, &wrapped);
    }
    lh_application_free(a);
    lh_application_free(b);
}

/* The mark and the copy are one transaction. */
static void test_copy_that_fails(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    WRAPPED(wrapped);
    uint64_t made = 0;
    uint64_t wrapping = wrapping_key(a, true);
    uint64_t secret = sensitive_key(a);
    t->event_fails = LH_E_STORE;
    assert_false(lh_ok(copy(a, wrapping, true, &made)));
    t->event_fails = LH_OK;
    assert_lh_ok(wrap(a, CKM_AES_KEY_WRAP, wrapping, secret, &wrapped));
    assert_closed(a, wrapping, &wrapped);
    lh_application_free(a);
}

/* --- one copies while another wraps --- */

#define ROUNDS 40

struct copier {
    lh_application *a;
    uint64_t key;
    bool token;
    pthread_barrier_t *start;
    lh_err err;
    uint64_t made;
};

static void *copy_at_once(void *arg)
{
    struct copier *c = arg;
    pthread_barrier_wait(c->start);
    c->err = copy(c->a, c->key, c->token, &c->made);
    return NULL;
}

static void test_race(void **state)
{
    struct token *t = *state;
    lh_application *a = user(t, 10);
    struct copier c = {.a = user(t, 11)};
    pthread_barrier_t start;
    unsigned wraps = 0;
    pthread_barrier_init(&start, NULL, 2);
    c.start = &start;
    uint64_t secret = sensitive_key(a);
    for (int i = 0; i < ROUNDS; i++) {
        WRAPPED(wrapped);
        pthread_t thread;
        c.key = wrapping_key(a, true);
        c.token = i % 2;
        assert_int_equal(pthread_create(&thread, NULL, copy_at_once, &c), 0);
        pthread_barrier_wait(&start);
        lh_err err = wrap(a, CKM_AES_KEY_WRAP, c.key, secret, &wrapped);
        pthread_join(thread, NULL);
        assert_lh_ok(c.err);
        assert_int_equal(lh_ok(err), is_confined(c.a, c.made));
        assert_int_equal(lh_ok(err), wrapped.len > 0);
        if (lh_ok(err))
            assert_closed(c.a, c.made, &wrapped);
        wraps += lh_ok(err) ? 1 : 0;
    }
    print_message("%u of %u wrapped first\n", wraps, ROUNDS);
    pthread_barrier_destroy(&start);
    lh_application_free(a);
    lh_application_free(c.a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_wrap_closes),
        TEST(test_session_objects),
        TEST(test_closed_without_output),
        TEST(test_copied_before),
        TEST(test_copied_after),
        TEST(test_copy_that_fails),
        TEST(test_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
