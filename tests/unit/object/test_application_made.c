/* Keys made by mechanisms whose parameters say more than a few bytes: wrapping with additional data, several
 * keys of one derivation, keys of passwords; and keys whose dates are not today. */
#include "fixture.h"

static void put_open_secret(lh_buf *out, uint64_t len)
{
    lh_wire_put_ulong(out, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(out, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
    lh_wire_put_bool(out, CKA_SENSITIVE, false);
    lh_wire_put_bool(out, CKA_EXTRACTABLE, true);
    if (len > 0)
        lh_wire_put_ulong(out, CKA_VALUE_LEN, len);
}

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

static uint64_t import_secret(
    lh_application *a, unsigned long type, const unsigned long *roles, size_t n, const char *end_date)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    uint64_t handle = 0;
    lh_wire_put_ulong(&template, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_ulong(&template, CKA_KEY_TYPE, type);
    lh_wire_put_bool(&template, CKA_SENSITIVE, false);
    lh_wire_put_bool(&template, CKA_EXTRACTABLE, true);
    for (size_t i = 0; i < n; i++)
        lh_wire_put_bool(&template, (uint32_t)roles[i], true);
    if (end_date)
        lh_wire_put_attribute(&template, (uint32_t)roles[n], 0, LH_BYTES_STR(end_date));
    lh_wire_put_attribute(&template, CKA_VALUE, 0, LH_BYTES_STR("0123456789abcdefghijklmnopqrstuv"));
    assert_lh_ok(try_create(a, 1, &template, &handle));
    return handle;
}

static const unsigned long wrapping_roles[] = {CKA_WRAP, CKA_UNWRAP};

static lh_err unwrap_ccm(
    lh_application *a, uint64_t key, const lh_buf *wrapped, const lh_buf *params, lh_bytes aad)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_handle_reply reply;
    put_open_secret(&template, 0);
    LH_TRY(lh_application_unwrap(a,
        &(lh_unwrap_request){.slot = 1,
            .session = 1,
            .mechanism = CKM_AES_CCM,
            .params = lh_buf_bytes(params),
            .unwrapping = key,
            .wrapped = lh_buf_bytes(wrapped),
            .aad = aad,
            .attributes = lh_buf_bytes(&template)},
        &reply));
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(64);
    value_of(a, reply.handle, &value);
    assert_true(lh_bytes_equal(lh_buf_bytes(&value), LH_BYTES_STR("0123456789abcdefghijklmnopqrstuv")));
    return LH_SUCCESS;
}

static void put_ccm(lh_buf *out, uint64_t data_len, lh_bytes aad)
{
    lh_put_u64(out, data_len);
    lh_put_blob(out, LH_BYTES_STR("twelve bytes"));
    lh_put_blob(out, aad);
    lh_put_u32(out, 16);
}

static void test_wrapping_with_additional_data(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf said_there = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(LH_WIRE_WRAPPED_MAX);
    const lh_bytes aad = LH_BYTES_STR("for this alone");
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    uint64_t wrapping = import_secret(a, CKK_AES, wrapping_roles, 2, NULL);
    uint64_t key = import_secret(a, CKK_GENERIC_SECRET, NULL, 0, NULL);
    put_ccm(&params, 32, LH_BYTES_NONE);
    put_ccm(&said_there, 32, aad);
    lh_wrap_request w = {.mechanism = CKM_AES_CCM,
        .params = lh_buf_bytes(&params),
        .wrapping = wrapping,
        .key = key,
        .aad = aad};
    assert_lh_ok(lh_application_wrap(a, &w, &wrapped));
    assert_int_equal(wrapped.len, 32 + 16);
    assert_lh_ok(unwrap_ccm(a, wrapping, &wrapped, &params, aad));
    assert_lh_ok(
        unwrap_ccm(a, wrapping, &wrapped, &said_there, LH_BYTES_NONE)); /* the same, said elsewhere */
    assert_refusal(unwrap_ccm(a, wrapping, &wrapped, &said_there, aad), "mechanism-param-invalid");
    assert_false(lh_ok(unwrap_ccm(a, wrapping, &wrapped, &params, LH_BYTES_STR("for that"))));
    assert_false(lh_ok(unwrap_ccm(a, wrapping, &wrapped, &params, LH_BYTES_NONE)));
    w.params = LH_BYTES(params.data, 10); /* cut off */
    assert_refusal(lh_application_wrap(a, &w, &wrapped), "mechanism-param-invalid");
    lh_application_free(a);
}

static lh_err stretch(lh_application *a, uint64_t iterations, lh_buf *ret_value)
{
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(256);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    lh_generate_reply reply;
    lh_put_u32(&params, CKP_PKCS5_PBKD2_HMAC_SHA256);
    lh_put_u64(&params, iterations);
    lh_put_blob(&params, LH_BYTES_STR("salt"));
    lh_put_blob(&params, LH_BYTES_STR("password"));
    put_open_secret(&template, 32);
    LH_TRY(lh_application_generate(a,
        &(lh_generate_request){.slot = 1,
            .session = 1,
            .mechanism = CKM_PKCS5_PBKD2,
            .params = lh_buf_bytes(&params),
            .attributes = lh_buf_bytes(&template)},
        &reply));
    value_of(a, reply.handle, ret_value);
    return LH_SUCCESS;
}

/* What `openssl kdf -keylen 32 -kdfopt digest:SHA2-256 -kdfopt pass:password -kdfopt salt:salt -kdfopt
 * iter:4096 PBKDF2` says. */
static void test_key_of_a_password(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(64);
    uint8_t expected[32];
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(lh_unhex("c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a", expected, 32));
    assert_lh_ok(stretch(a, 4096, &value));
    assert_true(lh_bytes_equal(lh_buf_bytes(&value), LH_BYTES(expected, 32)));
    assert_false(lh_ok(stretch(a, 0, &value)));
    assert_false(lh_ok(stretch(a, LH_LIMIT_PBKDF2_ITERATIONS + 1, &value)));
    lh_application_free(a);
}

static void put_field(lh_buf *out, uint32_t type, const char *hex)
{
    uint8_t bytes[16];
    assert_lh_ok(lh_unhex(hex, bytes, strlen(hex) / 2));
    lh_put_u32(out, type);
    lh_put_blob(out, LH_BYTES(bytes, strlen(hex) / 2));
}

/* Counter mode over HMAC-SHA-256, a counter of 32 bits and a label; further keys of 32 bytes each. */
static lh_err derive(lh_application *a, uint64_t base, uint64_t len, uint32_t further, lh_buf *ret_handles)
{
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(4096);
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(512);
    LH_AUTO(lh_buf_free) lh_buf another = LH_BUF_INIT(512);
    put_open_secret(&template, len);
    put_open_secret(&another, 32);
    lh_put_u32(&params, CKM_SHA256_HMAC);
    lh_put_u32(&params, 2);
    put_field(&params, 1, "0000000020");
    put_field(&params, 4, "6c6162656c");
    lh_put_blob(&params, LH_BYTES_NONE);
    lh_put_u32(&params, further);
    for (uint32_t i = 0; i < further; i++)
        lh_put_blob(&params, lh_buf_bytes(&another));
    lh_buf_clear(ret_handles);
    return lh_application_derive(a,
        &(lh_derive_request){.slot = 1,
            .session = 1,
            .mechanism = CKM_SP800_108_COUNTER_KDF,
            .params = lh_buf_bytes(&params),
            .base = base,
            .attributes = lh_buf_bytes(&template)},
        ret_handles);
}

/* Three keys at once are the three parts of one that is as long. */
static void test_several_keys_of_one_derivation(void **state)
{
    struct token *t = *state;
    lh_application *a = application(t, 10);
    static const unsigned long roles[] = {CKA_DERIVE};
    LH_AUTO(lh_buf_free) lh_buf handles = LH_BUF_INIT(8 * LH_WIRE_DERIVED_MAX);
    LH_AUTO(lh_buf_free) lh_buf together = LH_BUF_INIT(96);
    LH_AUTO(lh_buf_free) lh_buf whole = LH_BUF_INIT(96);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    uint64_t base = import_secret(a, CKK_GENERIC_SECRET, roles, 1, NULL);
    assert_lh_ok(derive(a, base, 32, 2, &handles));
    assert_int_equal(handles.len, 3 * 8);
    lh_reader reader = lh_reader_new(lh_buf_bytes(&handles));
    for (int i = 0; i < 3; i++)
        value_of(a, lh_read_u64(&reader), &together);
    assert_lh_ok(derive(a, base, 96, 0, &handles));
    assert_int_equal(handles.len, 8);
    reader = lh_reader_new(lh_buf_bytes(&handles));
    value_of(a, lh_read_u64(&reader), &whole);
    assert_int_equal(together.len, 96);
    assert_true(lh_bytes_equal(lh_buf_bytes(&together), lh_buf_bytes(&whole)));
    assert_false(lh_ok(derive(a, base, 32, LH_WIRE_DERIVED_MAX, &handles)));
    lh_application_free(a);
}

static lh_err use_today(lh_application *a, uint64_t key)
{
    bool wait = false;
    lh_key_grip grip;
    const lh_key_use use = {key, lh_mechanism_by_name("aes-cbc"), LH_USE_ENCRYPT, true};
    lh_err err = lh_application_acquire(a, &use, &wait, &grip);
    lh_key_grip_release(&grip);
    return err;
}

static void test_dates(void **state)
{
    struct token *t = *state;
    static const unsigned long starts[] = {CKA_ENCRYPT, CKA_START_DATE};
    static const unsigned long ends[] = {CKA_ENCRYPT, CKA_END_DATE};
    lh_application *a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_lh_ok(use_today(a, import_secret(a, CKK_AES, starts, 1, "20200101")));
    assert_refusal(use_today(a, import_secret(a, CKK_AES, starts, 1, "21000101")), "action-prohibited");
    assert_lh_ok(use_today(a, import_secret(a, CKK_AES, ends, 1, "21000101")));
    assert_refusal(use_today(a, import_secret(a, CKK_AES, ends, 1, "20200101")), "action-prohibited");
    lh_application_free(a);
    t->options.wall_floor = INT64_C(4102531200); /* 2100-01-02, whatever the clock says */
    token_reopen(t);
    a = application(t, 10);
    assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
    assert_refusal(use_today(a, import_secret(a, CKK_AES, ends, 1, "21000101")), "action-prohibited");
    assert_lh_ok(use_today(a, import_secret(a, CKK_AES, ends, 1, "21000102")));
    lh_application_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wrapping_with_additional_data),
        TEST(test_key_of_a_password),
        TEST(test_several_keys_of_one_derivation),
        TEST(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
