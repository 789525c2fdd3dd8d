/* What users hold: each a part, other hosts together a part, so that there is room for all. */
#include "base/limits.h"
#include "serve/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const lh_users_work works[] = {{1, 1, false}};

static void assert_full(lh_users *users, lh_account account, const char *reason)
{
    assert_int_equal(lh_users_charge(users, account).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, reason);
}

static void one_user(void **state)
{
    (void)state;
    lh_users *users = NULL;
    assert_true(lh_ok(lh_users_new(works, 1, &users)));
    for (int i = 0; i < LH_LIMIT_USER_CONNECTIONS; i++)
        assert_true(lh_ok(lh_users_charge(users, 1000)));
    assert_full(users, 1000, "user-connections");
    assert_true(lh_ok(lh_users_charge(users, 1001)));
    lh_users_discharge(users, 1000);
    assert_true(lh_ok(lh_users_charge(users, 1000)));
    lh_users_free(users);
}

/* However many hosts there are, and whatever they do, processes of this one can connect. */
static void all_hosts(void **state)
{
    (void)state;
    lh_users *users = NULL;
    assert_true(lh_ok(lh_users_new(works, 1, &users)));
    for (unsigned i = 0; i < LH_LIMIT_HOSTS_CONNECTIONS; i++)
        assert_true(lh_ok(lh_users_charge(users, LH_ACCOUNT_HOST | i % 8)));
    assert_full(users, LH_ACCOUNT_HOST | 9, "connections");
    for (unsigned i = 0; i < LH_LIMIT_CONNECTIONS - LH_LIMIT_HOSTS_CONNECTIONS; i++)
        assert_true(lh_ok(lh_users_charge(users, 1000 + i % 8)));
    assert_full(users, 0, "connections");
    lh_users_discharge(users, LH_ACCOUNT_HOST | 3);
    assert_true(lh_ok(lh_users_charge(users, LH_ACCOUNT_HOST | 9)));
    lh_users_discharge(users, LH_ACCOUNT_HOST | 9);
    lh_users_discharge(users, 1000);
    assert_true(lh_ok(lh_users_charge(users, LH_ACCOUNT_HOST | 9)));
    assert_full(users, LH_ACCOUNT_HOST | 9, "connections");
    lh_users_free(users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_user), cmocka_unit_test(all_hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
