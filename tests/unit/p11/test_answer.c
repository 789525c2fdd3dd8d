/* Reasons and return values stand for each other. */
#include "p11/answer.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Numbers as the specification prints them (3.2 section 5.1), not as a header here has them. */
static void known(void **state)
{
    (void)state;
    static const struct {
        const char *reason;
        unsigned long rv;
    } cases[] = {{"attribute-read-only", 0x10}, {"attribute-value-invalid", 0x13}, {"pin-locked", 0xa4},
        {"user-not-logged-in", 0x101}, {"key-function-not-permitted", 0x68}, {"template-incomplete", 0xd0},
        {"template-inconsistent", 0xd1}, {"curve-not-supported", 0x140}, {"key-size-range", 0x62},
        {"domain-params-invalid", 0x130}, {"data-invalid", 0x20}, {"aead-decrypt-failed", 0x42},
        {"unwrapping-key-handle-invalid", 0xf0}, {"wrapped-key-invalid", 0x110},
        {"token-resource-exceeded", 0x201}, {"pending", 0x204}, {"token-not-initialized", 0x208},
        {"parameter-set-not-supported", 0x209}, {"key-type", 0x63}, {"mechanism-use", 0x70},
        {"mechanism-param", 0x71}, {"data-length", 0x21}, {"signature-length", 0xc1}, {"decrypt", 0x40}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++)
        assert_int_equal(lh_answer_rv(cases[i].reason), cases[i].rv);
}

static void unknown(void **state)
{
    (void)state;
    static const char *const reasons[] = {
        NULL, "", "ok", "lease-ended", "ATTRIBUTE-READ-ONLY", "vendor-defined"};
    for (size_t i = 0; i < LH_ARRAY_LEN(reasons); i++)
        assert_int_equal(lh_answer_rv(reasons[i]), 0);
    assert_null(lh_answer_reason(0));
    assert_null(lh_answer_reason(0x80000000UL));
}

/* Every return value up to the newest: its reason is a name in lower case with dashes, and leads back to it.
 */
static void both_ways(void **state)
{
    (void)state;
    size_t found = 0;
    for (unsigned long rv = 1; rv < 0x300; rv++) {
        const char *reason = lh_answer_reason(rv);
        if (!reason)
            continue;
        found++;
        assert_int_equal(lh_answer_rv(reason), rv);
        assert_int_equal(strspn(reason, "abcdefghijklmnopqrstuvwxyz-"), strlen(reason));
    }
    assert_true(found >= 100);
    assert_string_equal(lh_answer_reason(CKR_KEY_TYPE_INCONSISTENT), "key-type-inconsistent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known), cmocka_unit_test(unknown), cmocka_unit_test(both_ways)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
