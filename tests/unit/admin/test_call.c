/* Admin calls: what is taken, what is refused and why, and that errors survive the trip. */
#include "admin/call.h"
#include "base/limits.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>

static void expect_request(const char *json, enum lh_code code, const char *reason)
{
    const lh_admin_call *call = NULL;
    json_t *request = NULL;
    lh_err err = lh_admin_parse(LH_BYTES_STR(json), &call, &request);
    if (err.code != code || (code != LH_OK && strcmp(lh_err_last()->reason, reason) != 0))
        print_error("%s: %s\n", json, lh_err_last()->message);
    assert_int_equal(err.code, code);
    if (code != LH_OK) {
        assert_string_equal(lh_err_last()->reason, reason);
        assert_null(call);
        assert_null(request);
    }
    json_decref(request);
}

static void test_good_requests(void **state)
{
    (void)state;
    const lh_admin_call *call = NULL;
    json_t *request = NULL;
    const char *init = "{\"call\":\"init\",\"officers\":[{\"name\":\"ada\",\"keys\":[\"ssh-ed25519 AAAA\"]}],"
                       "\"threshold\":2,\"seal_pcrs\":[0,7,23]}";
    assert_true(lh_ok(lh_admin_parse(LH_BYTES_STR(init), &call, &request)));
    assert_string_equal(call->name, "init");
    assert_int_equal(call->who, LH_ADMIN_ADMIN);
    assert_int_equal(json_integer_value(json_object_get(request, "threshold")), 2);
    assert_string_equal(json_string_value(json_object_get(request, "call")), "init");
    json_decref(request);
    expect_request("{\"call\":\"status\"}", LH_OK, "");
    expect_request("{\"call\":\"proposals\"}", LH_OK, "");
    expect_request("{\"call\":\"proposals\",\"all\":true}", LH_OK, "");
    expect_request("{\"call\":\"propose\",\"operation\":\"policy.apply\",\"params\":\"a\\nb\\n\","
                   "\"requester\":\"ada\",\"reason\":\"\"}",
        LH_OK, "");
    /* Brackets inside strings are no depth. */
    expect_request("{\"call\":\"explain\",\"role\":\"[[[[[[[[[[[[[[[[\\\"[[[[\"}", LH_OK, "");
}

static void test_not_a_document(void **state)
{
    (void)state;
    expect_request("", LH_E_INVALID, "admin-json");
    expect_request("[]", LH_E_INVALID, "admin-json");
    expect_request("\"status\"", LH_E_INVALID, "admin-json");
    expect_request("{\"call\":\"status\"} x", LH_E_INVALID, "admin-json");
    expect_request("{\"call\":\"status\",\"call\":\"status\"}", LH_E_INVALID, "admin-json");
    expect_request("{\"call\":\"status\\u0000\"}", LH_E_INVALID, "admin-json");
    expect_request("{\"call\":\"\xff\"}", LH_E_INVALID, "admin-json");
    expect_request("{}", LH_E_INVALID, "admin-call");
    expect_request("{\"call\":7}", LH_E_INVALID, "admin-call");
    expect_request("{\"call\":\"nothing\"}", LH_E_INVALID, "admin-call");
    expect_request("{\"call\":\"status\",\"x\":[[[[[[[[]]]]]]]]}", LH_E_LIMIT, "admin-depth");
    expect_request("{\"call\":\"status\",\"x\":[[[[[[[]]]]]]]}", LH_E_INVALID, "admin-field-unknown");
}

static void test_size_limit(void **state)
{
    (void)state;
    size_t len = LH_LIMIT_MESSAGE + 1;
    char *big = malloc(len);
    assert_non_null(big);
    memset(big, ' ', len);
    memcpy(big, "{\"call\":\"status\"}", 17);
    const lh_admin_call *call = NULL;
    json_t *request = NULL;
    assert_int_equal(lh_admin_parse(LH_BYTES(big, len), &call, &request).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "admin-size");
    assert_true(lh_ok(lh_admin_parse(LH_BYTES(big, len - 1), &call, &request)));
    json_decref(request);
    free(big);
}

static void test_fields(void **state)
{
    (void)state;
    expect_request("{\"call\":\"status\",\"all\":true}", LH_E_INVALID, "admin-field-unknown");
    expect_request("{\"call\":\"proposals\",\"all\":1}", LH_E_INVALID, "admin-field-type");
    expect_request("{\"call\":\"proposal.show\"}", LH_E_INVALID, "admin-field-missing");
    expect_request("{\"call\":\"proposal.show\",\"id\":null}", LH_E_INVALID, "admin-field-type");
    expect_request("{\"call\":\"proposal.show\",\"id\":\"00\"}", LH_E_INVALID, "admin-field-value");
    expect_request("{\"call\":\"proposal.show\",\"id\":\"00112233445566778899AABBCCDDEEFF\"}", LH_E_INVALID,
        "admin-field-value");
    expect_request("{\"call\":\"explain\",\"role\":\"a\\nb\"}", LH_E_INVALID, "admin-field-value");
    expect_request("{\"call\":\"explain\",\"role\":\"a\",\"pid\":-1}", LH_E_INVALID, "admin-field-value");
    expect_request(
        "{\"call\":\"explain\",\"role\":\"a\",\"pid\":2147483648}", LH_E_INVALID, "admin-field-value");
    expect_request("{\"call\":\"explain\",\"role\":\"a\",\"pid\":1.5}", LH_E_INVALID, "admin-field-type");
    expect_request("{\"call\":\"references.template\",\"pcrs\":[24]}", LH_E_INVALID, "admin-field-value");
    expect_request("{\"call\":\"references.template\",\"pcrs\":7}", LH_E_INVALID, "admin-field-type");
    expect_request(
        "{\"call\":\"references.template\",\"pcrs\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,"
        "19,20,21,22,23,0]}",
        LH_E_LIMIT, "admin-field-limit");
}

static void test_nested_fields(void **state)
{
    (void)state;
    expect_request("{\"call\":\"init\",\"threshold\":2,\"officers\":{}}", LH_E_INVALID, "admin-field-type");
    expect_request(
        "{\"call\":\"init\",\"threshold\":2,\"officers\":[\"ada\"]}", LH_E_INVALID, "admin-field-type");
    expect_request("{\"call\":\"init\",\"threshold\":2,\"officers\":[{\"name\":\"ada\"}]}", LH_E_INVALID,
        "admin-field-missing");
    expect_request(
        "{\"call\":\"init\",\"threshold\":2,\"officers\":[{\"name\":\"ada\",\"keys\":[],\"admin\":1}]}",
        LH_E_INVALID, "admin-field-unknown");
    expect_request("{\"call\":\"init\",\"threshold\":2,\"officers\":[{\"name\":\"ada\",\"keys\":[3]}]}",
        LH_E_INVALID, "admin-field-type");
    assert_non_null(strstr(lh_err_last()->message, "officers[0].keys[0]"));
    char keys[256] = "";
    for (int i = 0; i < LH_LIMIT_OFFICER_KEYS + 1; i++)
        strcat(keys, i == 0 ? "\"k\"" : ",\"k\"");
    char json[512];
    (void)snprintf(json, sizeof json,
        "{\"call\":\"init\",\"threshold\":2,\"officers\":[{\"name\":\"a\",\"keys\":[%s]}]}", keys);
    expect_request(json, LH_E_LIMIT, "admin-field-limit");
}

static void test_long_string(void **state)
{
    (void)state;
    char json[512];
    (void)snprintf(json, sizeof json, "{\"call\":\"explain\",\"role\":\"%0*d\"}", LH_LIMIT_NAME, 0);
    expect_request(json, LH_OK, "");
    (void)snprintf(json, sizeof json, "{\"call\":\"explain\",\"role\":\"%0*d\"}", LH_LIMIT_NAME + 1, 0);
    expect_request(json, LH_E_LIMIT, "admin-field-limit");
}

static void test_reply_ok(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_true(lh_ok(lh_admin_reply_ok(json_pack("{s:s}", "note", "n"), &out)));
    json_t *reply = NULL;
    const lh_admin_call *call = lh_admin_call_find("log.checkpoint");
    assert_true(lh_ok(lh_admin_parse_reply(lh_buf_bytes(&out), call, &reply)));
    assert_string_equal(json_string_value(json_object_get(reply, "note")), "n");
    json_decref(reply);
    lh_buf_clear(&out);
    assert_true(lh_ok(lh_admin_reply_ok(NULL, &out)));
    assert_string_equal(lh_buf_cstr(&out), "{\"ok\":true}");
    /* The shape of a reply is checked, too. */
    reply = NULL;
    assert_int_equal(lh_admin_parse_reply(lh_buf_bytes(&out), call, &reply).code, LH_E_PROTOCOL);
    assert_null(reply);
    /* A newer daemon may say more. */
    reply = NULL;
    lh_bytes more = LH_BYTES_STR("{\"ok\":true,\"note\":\"n\",\"new\":[1]}");
    assert_true(lh_ok(lh_admin_parse_reply(more, call, &reply)));
    json_decref(reply);
}

static void test_reply_ceiling(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(10);
    assert_int_equal(lh_admin_reply_ok(json_pack("{s:s}", "note", "n"), &out).code, LH_E_LIMIT);
}

static void test_every_error_survives(void **state)
{
    (void)state;
    const lh_admin_call *call = lh_admin_call_find("status");
    for (int code = LH_OK + 1; code < LH_CODE_COUNT; code++) {
        lh_err_detail detail = {
            .code = (enum lh_code)code, .reason = "a-reason", .message = "A \"sentence\"."};
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
        assert_true(lh_ok(lh_admin_reply_error(&detail, &out)));
        json_t *reply = NULL;
        assert_int_equal(lh_admin_parse_reply(lh_buf_bytes(&out), call, &reply).code, code);
        assert_string_equal(lh_err_last()->reason, "a-reason");
        assert_string_equal(lh_err_last()->message, "A \"sentence\".");
        assert_null(reply);
    }
}

static void test_error_without_words(void **state)
{
    (void)state;
    lh_err_detail detail = {.code = LH_E_FULL};
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_true(lh_ok(lh_admin_reply_error(&detail, &out)));
    json_t *reply = NULL;
    assert_int_equal(
        lh_admin_parse_reply(lh_buf_bytes(&out), lh_admin_call_find("status"), &reply).code, LH_E_FULL);
    assert_string_equal(lh_err_last()->message, lh_code_text(LH_E_FULL));
    /* Bytes that are no UTF-8 are shown, not lost. */
    lh_err_detail bytes = {.code = LH_E_IO, .message = "file \xff\n"};
    lh_buf_clear(&out);
    assert_true(lh_ok(lh_admin_reply_error(&bytes, &out)));
    assert_non_null(strstr(lh_buf_cstr(&out), "file ??"));
}

static void test_bad_replies(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "[]", "{}", "{\"ok\":1}", "{\"ok\":false}",
        "{\"ok\":false,\"error\":1}", "{\"ok\":false,\"error\":{\"code\":\"denied\",\"reason\":\"x\"}}",
        "{\"ok\":true,\"state\":3}",
        "{\"ok\":false,\"error\":{\"code\":\"ok\",\"reason\":\"x\",\"message\":\"y\"}}"};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        json_t *reply = NULL;
        lh_err err = lh_admin_parse_reply(LH_BYTES_STR(bad[i]), lh_admin_call_find("status"), &reply);
        assert_int_equal(err.code, LH_E_PROTOCOL);
        assert_null(reply);
    }
}

/* Every row is well formed: unique name, lists ended, limits that can be met. */
static void check_row_fields(const lh_admin_field *fields, int depth)
{
    assert_true(depth < LH_ADMIN_DEPTH);
    for (const lh_admin_field *field = fields; field->name != NULL; field++) {
        assert_true(field->type == LH_ADMIN_BOOL || field->type == LH_ADMIN_OBJECT || field->max > 0);
        for (const lh_admin_field *other = fields; other != field; other++)
            assert_string_not_equal(other->name, field->name);
        if (field->type == LH_ADMIN_LIST)
            assert_non_null(field->of);
        if (field->of != NULL)
            check_row_fields(field->of, depth + 1);
    }
}

static void test_table(void **state)
{
    (void)state;
    size_t count = 0;
    const lh_admin_call *calls = lh_admin_calls(&count);
    assert_true(count >= 25);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(lh_admin_call_find(calls[i].name), &calls[i]);
        check_row_fields(calls[i].request, 1);
        check_row_fields(calls[i].reply, 1);
        for (const lh_admin_field *field = calls[i].request; field->name != NULL; field++)
            assert_string_not_equal(field->name, "call");
    }
    assert_null(lh_admin_call_find(""));
}

/* docs/admin.md has a section for every call, with a row for every field, and none besides. */
static size_t check_documented(
    const char *section, const char *end, const lh_admin_field *fields, const char *way, const char *prefix)
{
    size_t rows = 0;
    for (const lh_admin_field *field = fields; field->name != NULL; field++) {
        char name[160];
        char row[256];
        (void)snprintf(
            name, sizeof name, "%s%s%s", prefix, field->name, field->type == LH_ADMIN_LIST ? "[]" : "");
        (void)snprintf(row, sizeof row, "\n| %s | `%s` | %s |", way, name, field->required ? "yes" : "");
        const char *found = strstr(section, row);
        if (found == NULL || found > end)
            print_error("docs/admin.md lacks the row%s\n", row);
        assert_true(found != NULL && found < end);
        rows++;
        (void)strcat(name, ".");
        if (field->of != NULL)
            rows += check_documented(section, end, field->of, way, name);
    }
    return rows;
}

static void test_documented(void **state)
{
    (void)state;
    static char text[131072];
    FILE *file = fopen(SOURCE_DIR "/docs/admin.md", "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    assert_true(len < sizeof text - 1);
    size_t count = 0;
    const lh_admin_call *calls = lh_admin_calls(&count);
    size_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        char heading[64];
        (void)snprintf(heading, sizeof heading, "\n## %s\n", calls[i].name);
        const char *section = strstr(text, heading);
        if (section == NULL)
            print_error("docs/admin.md lacks %s\n", calls[i].name);
        assert_non_null(section);
        const char *end = strstr(section + 1, "\n## ");
        end = end == NULL ? text + len : end;
        const char *who =
            strstr(section, calls[i].who == LH_ADMIN_ANYONE ? "Who: everybody." : "Who: admins.");
        assert_true(who != NULL && who < end);
        rows += check_documented(section, end, calls[i].request, "request", "");
        rows += check_documented(section, end, calls[i].reply, "reply", "");
    }
    for (const char *at = text; (at = strstr(at, "\n| re")) != NULL; at++)
        rows--;
    assert_int_equal(rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_requests),
        cmocka_unit_test(test_not_a_document),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_nested_fields),
        cmocka_unit_test(test_long_string),
        cmocka_unit_test(test_reply_ok),
        cmocka_unit_test(test_reply_ceiling),
        cmocka_unit_test(test_every_error_survives),
        cmocka_unit_test(test_error_without_words),
        cmocka_unit_test(test_bad_replies),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
