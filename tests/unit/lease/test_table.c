#include "lease/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static lh_lease *make(int32_t pid, uint64_t start, const char *role, uint8_t id)
{
    lh_lease_terms t = {.id = {id}, .per = LH_PER_WORKLOAD, .pid = pid, .start_time = start};
    strcpy(t.role, role);
    lh_lease *lease = NULL;
    assert_true(lh_ok(lh_lease_new(&t, NULL, &lease)));
    return lease;
}

static bool count_one(lh_lease *lease, void *arg)
{
    (void)lease;
    return ++*(int *)arg < 2;
}

static void test_find(void **unused)
{
    (void)unused;
    lh_lease_table *table = NULL;
    assert_true(lh_ok(lh_lease_table_new(&table)));
    lh_lease *a = make(100, 1, "sign", 1), *b = make(100 + 1024, 1, "sign", 2), *c = make(100, 2, "sign", 3),
             *d = make(100, 1, "other", 4), *newer = make(100, 1, "sign", 5);
    lh_lease *all[] = {a, b, c, d};
    for (size_t i = 0; i < 4; i++)
        assert_true(lh_ok(lh_lease_table_add(table, all[i])));
    assert_int_equal(lh_lease_table_count(table), 4);
    for (size_t i = 0; i < 4; i++) {
        const lh_lease_terms *t = lh_lease_terms_of(all[i]);
        assert_ptr_equal(lh_lease_table_by_id(table, t->id), all[i]);
        assert_ptr_equal(lh_lease_table_by_holder(table, t->pid, t->start_time, t->role), all[i]);
    }
    assert_null(lh_lease_table_by_id(table, lh_lease_terms_of(newer)->id));
    assert_null(lh_lease_table_by_holder(table, 100, 3, "sign")); /* the pid, but another process */
    assert_null(lh_lease_table_by_holder(table, 101, 1, "sign"));
    assert_null(lh_lease_table_by_holder(table, -1, 1, "sign"));
    assert_true(lh_ok(lh_lease_table_add(table, newer)));
    assert_ptr_equal(lh_lease_table_by_holder(table, 100, 1, "sign"), newer);
    lh_lease_table_remove(table, newer);
    lh_lease_table_remove(table, newer); /* is not there any more */
    assert_ptr_equal(lh_lease_table_by_holder(table, 100, 1, "sign"), a);
    lh_lease_table_remove(table, a);
    assert_null(lh_lease_table_by_holder(table, 100, 1, "sign"));
    assert_int_equal(lh_lease_table_count(table), 3);
    int visited = 0;
    lh_lease_table_each(table, count_one, &visited);
    assert_int_equal(visited, 2); /* false stops it */
    lh_lease_table_free(table);
    /* References of our own outlive the table. */
    assert_int_equal(lh_lease_terms_of(b)->pid, 100 + 1024);
    for (size_t i = 0; i < 4; i++)
        lh_lease_unref(all[i]);
    lh_lease_unref(newer);
    lh_lease_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
