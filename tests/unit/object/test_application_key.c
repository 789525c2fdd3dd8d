/* Keys made of other keys: copied, wrapped, unwrapped, derived; nothing across partitions. */
#include "fixture.h"

static uint64_t aes(lh_application *a, uint64_t slot, const unsigned long *flags, size_t n)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_generate_reply reply;
    lh_wire_put_ulong(&template, CKA_VALUE_LEN, 32);
    for (size_t i = 0; i < n; i++)
        lh_wire_put_bool(&template, (uint32_t)flags[i], flags[i] != CKA_SENSITIVE);
    assert_lh_ok(lh_application_generate(a,
        &(lh_generate_request){
            .slot = slot, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(&template)},
        &reply));
    return reply.handle;
}

/* CKA_SENSITIVE stands for false here. */
static const unsigned long open_key[] = {CKA_EXTRACTABLE, CKA_SENSITIVE, CKA_SIGN, CKA_DERIVE};
static const unsigned long wrapper[] = {CKA_WRAP, CKA_UNWRAP};

static void value_of(lh_application *a, uint64_t handle, lh_buf *ret)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    lh_wire_attribute attribute;
    assert_lh_ok(read_one(a, handle, CKA_VALUE, &out));
    lh_reader reader = lh_reader_new(lh_buf_bytes(&out));
    assert_true(lh_wire_next_attribute(&reader, &attribute));
    assert_int_equal(attribute.flags, 0);
    lh_buf_append(ret, attribute.value.data, attribute.value.len);
}

static void put_secret(lh_buf *out, bool token)
{
    lh_wire_put_ulong(out, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(out, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    lh_wire_put_bool(out, CKA_TOKEN, token);
    lh_wire_put_bool(out, CKA_SENSITIVE, false);
    lh_wire_put_bool(out, CKA_EXTRACTABLE, true);
}

static void test_wrap_and_unwrap(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(LH_WIRE_WRAPPED_MAX);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    LH_AUTO(lh_buf_free) lh_buf before = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf after = LH_BUF_INIT(64);
    lh_handle_reply reply;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(try_login(a, 2, CKU_USER, "1234"));
    uint64_t key = aes(a, 1, open_key, 4);
    uint64_t wrapping = aes(a, 1, wrapper, 2);
    uint64_t elsewhere = aes(a, 2, open_key, 4);
    lh_wrap_request w = {.mechanism = CKM_AES_KEY_WRAP, .wrapping = wrapping, .key = key};
    assert_lh_ok(lh_application_wrap(a, &w, &wrapped));
    assert_int_equal(wrapped.len, 40);
    w.key = elsewhere;
    assert_refusal(lh_application_wrap(a, &w, &wrapped), "key-handle-invalid");
    w = (lh_wrap_request){.mechanism = CKM_AES_KEY_WRAP, .wrapping = wrapping, .key = wrapping};
    assert_refusal(lh_application_wrap(a, &w, &wrapped), "key-unextractable");
    w = (lh_wrap_request){
        .mechanism = CKM_AES_KEY_WRAP, .wrapping = wrapping, .key = key, .aad = LH_BYTES("x", 1)};
    assert_refusal(lh_application_wrap(a, &w, &wrapped), "mechanism-param-invalid");
    put_secret(&template, true);
    lh_unwrap_request u = {.slot = 1,
        .session = 1,
        .mechanism = CKM_AES_KEY_WRAP,
        .unwrapping = wrapping,
        .wrapped = lh_buf_bytes(&wrapped),
        .attributes = lh_buf_bytes(&template)};
    assert_lh_ok(lh_application_unwrap(a, &u, &reply));
    value_of(a, key, &before);
    value_of(a, reply.handle, &after);
    assert_true(lh_bytes_equal(lh_buf_bytes(&before), lh_buf_bytes(&after)));
    assert_int_equal(t->events[LH_EVENT_KEY_UNWRAPPED], 1);
    u.slot = 2;
    assert_refusal(lh_application_unwrap(a, &u, &reply), "key-handle-invalid");
    wrapped.data[3] ^= 1;
    u.slot = 1;
    assert_false(lh_ok(lh_application_unwrap(a, &u, &reply)));
    lh_application_free(a);
}

static lh_err concatenate(lh_application *a, uint64_t slot, uint64_t base, uint64_t other, lh_buf *ret)
{
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(8);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_put_u64(&params, other);
    put_secret(&template, false);
    return lh_application_derive(a,
        &(lh_derive_request){.slot = slot,
            .session = 1,
            .mechanism = CKM_CONCATENATE_BASE_AND_KEY,
            .params = lh_buf_bytes(&params),
            .base = base,
            .attributes = lh_buf_bytes(&template)},
        ret);
}

static void test_derive_of_two_keys(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf handles = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf joined = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf expected = LH_BUF_INIT(256);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(try_login(a, 2, CKU_USER, "1234"));
    uint64_t one = aes(a, 1, open_key, 4);
    uint64_t two = aes(a, 1, open_key, 4);
    uint64_t three = aes(a, 2, open_key, 4);
    uint64_t stiff = aes(a, 1, open_key, 3); /* without CKA_DERIVE */
    assert_lh_ok(concatenate(a, 1, one, two, &handles));
    lh_reader reader = lh_reader_new(lh_buf_bytes(&handles));
    value_of(a, lh_read_u64(&reader), &joined);
    value_of(a, one, &expected);
    value_of(a, two, &expected);
    assert_true(lh_bytes_equal(lh_buf_bytes(&joined), lh_buf_bytes(&expected)));
    assert_refusal(concatenate(a, 1, one, three, &handles), "key-handle-invalid");
    assert_refusal(concatenate(a, 2, one, two, &handles), "key-handle-invalid");
    assert_refusal(concatenate(a, 1, one, stiff, &handles), "key-function-not-permitted");
    lh_application_free(a);
}

static void test_copy_session_to_token(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf before = LH_BUF_INIT(64);
    LH_AUTO(lh_buf_free) lh_buf after = LH_BUF_INIT(64);
    lh_handle_reply reply;
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    uint64_t key = aes(a, 1, open_key, 4);
    value_of(a, key, &before);
    lh_wire_put_bool(&template, CKA_TOKEN, true);
    assert_lh_ok(lh_application_copy(a, &(lh_copy_request){key, 1, lh_buf_bytes(&template)}, &reply));
    lh_application_free(a);
    token_reopen(t);
    a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    value_of(a, reply.handle, &after);
    assert_true(lh_bytes_equal(lh_buf_bytes(&before), lh_buf_bytes(&after)));
    lh_application_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wrap_and_unwrap),
        TEST(test_derive_of_two_keys),
        TEST(test_copy_session_to_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
