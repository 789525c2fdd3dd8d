#include "base/err.h"
#include "base/macro.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void names_are_complete(void **state)
{
    (void)state;
    for (int code = 0; code < LH_CODE_COUNT; code++) {
        assert_string_not_equal(lh_code_name((enum lh_code)code), "unknown");
        assert_non_null(lh_code_text((enum lh_code)code));
        for (int other = 0; other < code; other++)
            assert_string_not_equal(lh_code_name((enum lh_code)code), lh_code_name((enum lh_code)other));
    }
    assert_string_equal(lh_code_name(LH_CODE_COUNT), "unknown");
    assert_string_equal(lh_code_text((enum lh_code)9999), "unknown error");
}

static lh_err fails(void)
{
    return LH_REFUSE(LH_E_DENIED, "some-reason", "refused %s", "this");
}

static lh_err hands_up(bool *ret_reached)
{
    LH_TRY(fails());
    *ret_reached = true;
    return LH_SUCCESS;
}

static void detail_is_kept_and_handed_up(void **state)
{
    (void)state;
    bool reached = false;
    lh_err err = hands_up(&reached);
    assert_false(lh_ok(err));
    assert_false(reached);
    assert_int_equal(err.code, LH_E_DENIED);
    const lh_err_detail *detail = lh_err_last();
    assert_int_equal(detail->code, LH_E_DENIED);
    assert_string_equal(detail->reason, "some-reason");
    assert_string_equal(detail->message, "refused this");
    assert_non_null(strstr(detail->file, "test_err.c"));
    assert_true(detail->line > 0);
}

static void detail_of_the_last_only(void **state)
{
    (void)state;
    LH_IGNORE(fails());
    LH_IGNORE(LH_RAISE(LH_E_IO, 5));
    assert_string_equal(lh_err_last()->reason, "");
    assert_string_equal(lh_err_last()->message, "");
    assert_int_equal(lh_err_last()->foreign, 5);
}

static void detail_may_be_built_from_itself(void **state)
{
    (void)state;
    LH_IGNORE(fails());
    LH_IGNORE(LH_FAIL(LH_E_STATE, "outer: %s", lh_err_last()->message));
    assert_string_equal(lh_err_last()->message, "outer: refused this");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    LH_IGNORE(LH_REFUSE(LH_E_LIMIT, text, "%s", text));
    assert_int_equal(strlen(lh_err_last()->message), sizeof(lh_err_last()->message) - 1);
    assert_int_equal(strlen(lh_err_last()->reason), sizeof(lh_err_last()->reason) - 1);
}

static void *other_thread(void *arg)
{
    (void)arg;
    LH_IGNORE(LH_FAIL(LH_E_TPM, "of the other thread"));
    return NULL;
}

static void detail_is_a_threads_own(void **state)
{
    (void)state;
    LH_IGNORE(fails());
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, NULL);
    assert_string_equal(lh_err_last()->message, "refused this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_complete),
        cmocka_unit_test(detail_is_kept_and_handed_up),
        cmocka_unit_test(detail_of_the_last_only),
        cmocka_unit_test(detail_may_be_built_from_itself),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(detail_is_a_threads_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
