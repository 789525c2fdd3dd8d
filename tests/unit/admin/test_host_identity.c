/* Identity documents of hosts: read, or refused for a reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "admin/host_identity.h"

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CHANNEL "\"channel_key\": \"sha256:" HEX64 "\""

static lh_err parse(const char *json, lh_host_document *ret)
{
    return lh_host_document_parse(LH_BYTES_STR(json), ret);
}

static void a_document_is_read(void **state)
{
    (void)state;
    lh_host_document d = {0};
    assert_true(lh_ok(parse(
        "{\"ek\": \"AQID\", \"ek_certificates\": [\"MAA=\", \"MAE=\"], \"ak\": \"BA==\", " CHANNEL "}\n",
        &d)));
    assert_int_equal(d.ek.len, 3);
    assert_int_equal(d.ak.len, 1);
    assert_int_equal(d.n_certificates, 2);
    assert_int_equal(d.certificates[1].data[1], 1);
    assert_int_equal(d.channel_key[31], 0xff);
    lh_host_document_clear(&d);
    assert_true(
        lh_ok(parse("{\"ek\": \"AQID\", \"ek_certificates\": [], \"ak\": \"BA==\", " CHANNEL "}", &d)));
    assert_int_equal(d.n_certificates, 0);
    lh_host_document_clear(&d);
    lh_host_document_clear(&d);
}

static void what_is_none_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *reason;
    } cases[] = {
        {"", "identity-format"},
        {"[]", "identity-format"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": [], \"ak\": \"BA==\", \"ak\": \"BA==\", " CHANNEL "}",
            "identity-format"},
        {"{\"ek\": \"AQI\", \"ek_certificates\": [], \"ak\": \"BA==\", " CHANNEL "}", "identity-format"},
        {"{\"ek\": \"\", \"ek_certificates\": [], \"ak\": \"BA==\", " CHANNEL "}", "identity-format"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": [\"*\"], \"ak\": \"BA==\", " CHANNEL "}",
            "identity-format"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": [], \"ak\": \"BA==\", \"channel_key\": \"" HEX64 "\"}",
            "identity-format"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": [], \"ak\": \"BA==\", \"channel_key\": \"sha256:00\"}",
            "identity-format"},
        {"{\"ek\": \"AQID\", \"ak\": \"BA==\", " CHANNEL "}", "admin-field-missing"},
        {"{\"ek\": 7, \"ek_certificates\": [], \"ak\": \"BA==\", " CHANNEL "}", "admin-field-type"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": [], \"ak\": \"BA==\", \"more\": 1, " CHANNEL "}",
            "admin-field-unknown"},
        {"{\"ek\": \"AQID\", \"ek_certificates\": "
         "[\"MAA=\",\"MAA=\",\"MAA=\",\"MAA=\",\"MAA=\",\"MAA=\",\"MAA="
         "\",\"MAA=\",\"MAA=\"], \"ak\": \"BA==\", " CHANNEL "}",
            "admin-field-limit"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_host_document d = {0};
        lh_err err = parse(cases[i].json, &d);
        if (lh_ok(err) || strcmp(lh_err_last()->reason, cases[i].reason) != 0)
            fail_msg("case %zu: [%s] %s", i, lh_err_last()->reason, lh_err_last()->message);
    }
    static char spaces[LH_LIMIT_HOST_IDENTITY + 2];
    lh_host_document d = {0};
    memset(spaces, ' ', sizeof spaces - 1);
    assert_int_equal(parse(spaces, &d).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "identity-size");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_read),
        cmocka_unit_test(what_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
