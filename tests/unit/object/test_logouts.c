/* Logouts: what was ended stays ended, however many follow. */
#include "fixture.h"

#include "object/logouts.h"

static void test_bounded_and_never_forgiving(void **state)
{
    (void)state;
    lh_logouts *logouts = NULL;
    assert_lh_ok(lh_logouts_new(&logouts));
    lh_login_id first = lh_logouts_new_login(logouts);
    lh_login_id second = lh_logouts_new_login(logouts);
    lh_login_id earlier = {.run = first.run + 1, .number = 1};
    lh_login_id other = {.run = first.run + 1, .number = 2};
    assert_false(lh_logouts_has(logouts, first));
    assert_false(lh_logouts_has(logouts, earlier));
    lh_logouts_add(logouts, earlier);
    lh_logouts_add(logouts, second);
    lh_logouts_add(logouts, second);
    assert_int_equal(lh_logouts_count(logouts), 2);
    assert_true(lh_logouts_has(logouts, earlier));
    assert_true(lh_logouts_has(logouts, second));
    assert_false(lh_logouts_has(logouts, first));
    assert_false(lh_logouts_has(logouts, other));
    /* As many as are kept, and all go on to be known. */
    for (size_t i = 2; i < LH_LIMIT_LOGOUTS; i++)
        lh_logouts_add(logouts, lh_logouts_new_login(logouts));
    assert_false(lh_logouts_has(logouts, first));
    assert_false(lh_logouts_has(logouts, other));
    /* The oldest is forgotten: all that may be it are ended, and no newer ones. */
    lh_login_id live = lh_logouts_new_login(logouts);
    lh_logouts_add(logouts, lh_logouts_new_login(logouts));
    assert_true(lh_logouts_has(logouts, earlier));
    assert_true(lh_logouts_has(logouts, other));
    assert_false(lh_logouts_has(logouts, first));
    lh_logouts_add(logouts, lh_logouts_new_login(logouts));
    assert_true(lh_logouts_has(logouts, second));
    assert_true(lh_logouts_has(logouts, first));
    assert_false(lh_logouts_has(logouts, live));
    lh_logouts_free(logouts);
    lh_logouts_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounded_and_never_forgiving)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
