/* For tests of which each has a store of its own, open in a directory that goes with it. */
#ifndef LH_TESTS_STORE_OPENED_H
#define LH_TESTS_STORE_OPENED_H

#include "fixture.h"

struct fixture {
    char dir[64];
    lh_store *store;
};

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    make_dir(f->dir);
    assert_lh_ok(lh_store_open(f->dir, NULL, &f->store));
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    lh_store_free(f->store);
    remove_dir(f->dir);
    free(f);
    return 0;
}

static inline void reopen(struct fixture *f)
{
    lh_store_free(f->store);
    f->store = NULL;
    assert_lh_ok(lh_store_open(f->dir, NULL, &f->store));
}

#endif
