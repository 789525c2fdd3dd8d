/* The index against a plain list: random adding, changing, removing and searching; order, pages, cost. */
#include "fixture.h"

#include "object/index.h"

#include <time.h>

#define OBJECTS 400

static lh_attributes *object(unsigned label, unsigned id, bool private)
{
    lh_attributes *set = NULL;
    assert_lh_ok(lh_attributes_new(&set));
    assert_lh_ok(lh_attributes_set_ulong(set, CKA_CLASS, label % 2 ? CKO_DATA : CKO_SECRET_KEY));
    assert_lh_ok(lh_attributes_set(set, CKA_LABEL, LH_BYTES(&label, sizeof(label))));
    assert_lh_ok(lh_attributes_set(set, CKA_ID, LH_BYTES(&id, sizeof(id))));
    assert_lh_ok(lh_attributes_set_bool(set, CKA_PRIVATE, private));
    assert_lh_ok(lh_attributes_set_bool(set, CKA_SIGN, id % 2));
    return set;
}

static void add(lh_index *index, uint64_t handle, uint64_t order, const lh_attributes *set)
{
    lh_index_entry *entry = NULL;
    lh_index_facts facts = {.handle = handle, .order = order, .size = 10};
    assert_lh_ok(lh_index_entry_new(index, set, &facts, &entry));
    assert_lh_ok(lh_index_add(index, entry));
}

struct model {
    bool there;
    unsigned label, id;
    bool private;
};

static void compare(lh_index *index, const struct model *model, unsigned label, unsigned id, bool sign)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_AUTO(lh_index_query_freep) lh_index_query *query = NULL;
    lh_index_facts facts[7];
    bool private = id % 3 == 0;
    lh_index_page page = {.private = private, .max = LH_ARRAY_LEN(facts), .ret = facts};
    assert_lh_ok(lh_attributes_new(&template));
    assert_lh_ok(lh_attributes_set(template, CKA_LABEL, LH_BYTES(&label, sizeof(label))));
    if (id % 2)
        assert_lh_ok(lh_attributes_set(template, CKA_ID, LH_BYTES(&id, sizeof(id))));
    if (sign)
        assert_lh_ok(lh_attributes_set_bool(template, CKA_SIGN, true));
    assert_lh_ok(lh_index_query_new(index, template, &query));
    assert_false(lh_index_query_is_partial(query));
    unsigned at = 0;
    for (size_t count; (count = lh_index_search(index, query, &page)) > 0;
         page.after = facts[count - 1].order)
        for (size_t i = 0; i < count; i++, at++) {
            const struct model *m;
            for (;; at++) {
                assert_true(at < OBJECTS);
                m = &model[at];
                if (m->there && m->label == label && (!(id % 2) || m->id == id) && (!sign || m->id % 2) &&
                    (private || !m->private))
                    break;
            }
            assert_int_equal(facts[i].handle, at + 1);
        }
    for (; at < OBJECTS; at++)
        assert_false(model[at].there && model[at].label == label && (!(id % 2) || model[at].id == id) &&
                     (!sign || model[at].id % 2) && (private || !model[at].private));
}

static void test_against_a_plain_list(void **state)
{
    static struct model model[OBJECTS];
    lh_index *index = NULL;
    (void)state;
    srandom(7);
    assert_lh_ok(lh_index_new(&index));
    for (unsigned step = 0; step < 6000; step++) {
        unsigned i = (unsigned)random() % OBJECTS;
        if (random() % 3) {
            model[i] = (struct model){true, (unsigned)random() % 8, (unsigned)random() % 8, random() % 2};
            LH_AUTO(lh_attributes_freep)
            lh_attributes *set = object(model[i].label, model[i].id, model[i].private);
            add(index, i + 1, i + 1, set);
        } else {
            assert_int_equal(lh_index_remove(index, i + 1), model[i].there);
            model[i].there = false;
        }
        if (step % 20 == 0)
            compare(index, model, (unsigned)random() % 8, (unsigned)random() % 8, random() % 2);
    }
    lh_index_sums sums = lh_index_sums_of(index);
    uint64_t there = 0;
    uint64_t private = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        there += model[i].there;
        private += model[i].there && model[i].private;
    }
    assert_int_equal(sums.objects, there);
    assert_int_equal(sums.private_bytes, private * 10);
    lh_index_clear(index);
    assert_int_equal(lh_index_sums_of(index).objects, 0);
    lh_index_free(index);
}

/* Not a time that must hold: it is told. */
static void test_cost_of_many(void **state)
{
    (void)state;
    for (unsigned many = 10; many <= 100000; many *= 10000) {
        lh_index *index = NULL;
        struct timespec begin, end;
        lh_index_facts facts;
        assert_lh_ok(lh_index_new(&index));
        for (unsigned i = 0; i < many; i++) {
            LH_AUTO(lh_attributes_freep) lh_attributes *set = object(i, i, false);
            add(index, i + 1, i + 1, set);
        }
        LH_AUTO(lh_attributes_freep) lh_attributes *template = object(many / 2, many / 2, false);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int i = 0; i < 1000; i++) {
            LH_AUTO(lh_index_query_freep) lh_index_query *query = NULL;
            lh_index_page page = {.max = 1, .ret = &facts};
            assert_lh_ok(lh_index_query_new(index, template, &query));
            assert_int_equal(lh_index_search(index, query, &page), 1);
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        print_message("%u objects: %ld ns a search, %zu bytes an object\n", many,
            ((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec) / 1000,
            lh_index_memory(index) / many);
        lh_index_free(index);
    }
}

static void test_template_that_the_index_does_not_know(void **state)
{
    lh_index *index = NULL;
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_AUTO(lh_index_query_freep) lh_index_query *query = NULL;
    (void)state;
    assert_lh_ok(lh_index_new(&index));
    assert_lh_ok(lh_attributes_new(&template));
    assert_lh_ok(lh_attributes_set(template, CKA_VALUE, LH_BYTES_STR("x")));
    assert_lh_ok(lh_index_query_new(index, template, &query));
    assert_true(lh_index_query_is_partial(query));
    lh_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_plain_list),
        cmocka_unit_test(test_cost_of_many),
        cmocka_unit_test(test_template_that_the_index_does_not_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
