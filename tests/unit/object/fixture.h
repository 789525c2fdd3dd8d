/* For tests on standalone partitions: a store, its partitions, an initialised token with SO PIN "so-pin" and
 * user PIN "1234", applications, templates in one line. */
#ifndef LH_TESTS_OBJECT_FIXTURE_H
#define LH_TESTS_OBJECT_FIXTURE_H

#include "../record/fixture.h"

#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"
#include "object/application.h"

#include <p11-kit/pkcs11.h>

struct token {
    struct fixture f;
    lh_partitions *p;
    lh_partitions_options options;
    lh_partition_spec specs[4];
    size_t n_specs;
    unsigned events[32]; /* by kind */
    enum lh_code event_fails;
};

static inline lh_err note_event(void *arg, lh_record_txn *txn, const lh_partition_event *event)
{
    struct token *t = arg;
    (void)txn;
    assert_non_null(event->name);
    assert_non_null(event->label);
    if (t->event_fails)
        return LH_RAISE(t->event_fails, 0);
    t->events[event->kind]++;
    return LH_SUCCESS;
}

static inline void token_open(struct token *t)
{
    t->options.records = t->f.records;
    t->options.crypto = t->f.crypto;
    t->options.root = t->f.root;
    t->options.event = note_event;
    t->options.event_arg = t;
    assert_lh_ok(lh_partitions_open(&t->options, &t->p));
    assert_lh_ok(lh_partitions_sync(t->p, t->specs, t->n_specs));
}

static inline void token_reopen(struct token *t)
{
    lh_partitions_free(t->p);
    fixture_reopen(&t->f);
    token_open(t);
}

static inline void token_spec(struct token *t, uint64_t number)
{
    lh_partition_spec *spec = &t->specs[t->n_specs++];
    *spec = (lh_partition_spec){.number = number};
    memset(spec->id, (int)(0x10 + number), sizeof(spec->id));
    snprintf(spec->name, sizeof(spec->name), "partition-%u", (unsigned)number);
}

static inline lh_application *application(struct token *t, pid_t pid)
{
    lh_application_options options = {.uid = 1000, .pid = pid, .start_time = 77};
    lh_application *a = NULL;
    assert_lh_ok(lh_application_new(t->p, &options, &a));
    return a;
}

static inline lh_err try_login(lh_application *a, uint64_t slot, uint32_t user, const char *pin)
{
    LH_AUTO(lh_buf_free) lh_buf ticket = LH_BUF_INIT(LH_WIRE_TICKET_MAX);
    return lh_application_login(
        a, &(lh_login_request){.slot = slot, .user = user, .pin = LH_BYTES_STR(pin)}, &ticket);
}

static inline lh_err try_init(lh_application *a, uint64_t slot, const char *pin, const char *label)
{
    lh_init_token_request r = {.slot = slot, .pin = LH_BYTES_STR(pin)};
    memset(r.label, ' ', sizeof(r.label));
    memcpy(r.label, label, strlen(label));
    return lh_application_init_token(a, &r);
}

static inline void make_token(struct token *t, uint64_t slot)
{
    lh_application *a = application(t, 1);
    assert_lh_ok(try_init(a, slot, "so-pin", "my token"));
    assert_lh_ok(try_login(a, slot, CKU_SO, "so-pin"));
    assert_lh_ok(
        lh_application_init_pin(a, &(lh_init_pin_request){.slot = slot, .pin = LH_BYTES_STR("1234")}));
    lh_application_free(a);
}

static inline int token_set_up(void **state)
{
    struct token *t = calloc(1, sizeof(*t));
    fixture_init(&t->f);
    token_spec(t, 1);
    token_spec(t, 2);
    token_open(t);
    make_token(t, 1);
    make_token(t, 2);
    *state = t;
    return 0;
}

static inline int token_tear_down(void **state)
{
    struct token *t = *state;
    lh_partitions_free(t->p);
    fixture_deinit(&t->f);
    free(t);
    return 0;
}

static inline void assert_refusal(lh_err err, const char *reason)
{
    assert_false(lh_ok(err));
    assert_string_equal(lh_err_last()->reason, reason);
}

/* A CKO_DATA object as a template. */
static inline void put_data(lh_buf *out, const char *label, bool token, bool private)
{
    lh_wire_put_ulong(out, CKA_CLASS, CKO_DATA);
    lh_wire_put_bool(out, CKA_TOKEN, token);
    lh_wire_put_bool(out, CKA_PRIVATE, private);
    lh_wire_put_attribute(out, CKA_LABEL, 0, LH_BYTES_STR(label));
    lh_wire_put_attribute(out, CKA_VALUE, 0, LH_BYTES_STR("some data"));
}

static inline lh_err try_create(lh_application *a, uint64_t slot, const lh_buf *template, uint64_t *ret)
{
    lh_handle_reply reply;
    LH_TRY(lh_application_create(
        a, &(lh_create_request){.slot = slot, .session = 1, .attributes = lh_buf_bytes(template)}, &reply));
    *ret = reply.handle;
    return LH_SUCCESS;
}

static inline uint64_t create_data(
    lh_application *a, uint64_t slot, const char *label, bool token, bool private)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
    uint64_t handle = 0;
    put_data(&template, label, token, private);
    assert_lh_ok(try_create(a, slot, &template, &handle));
    return handle;
}

/* How many objects a template finds, over all pages; the first handle. */
static inline size_t search(lh_application *a, uint64_t slot, const lh_buf *template, uint64_t *ret_first)
{
    uint64_t cursor = 0;
    size_t found = 0;
    do {
        LH_AUTO(lh_buf_free) lh_buf handles = LH_BUF_INIT(8 * (LH_WIRE_SEARCH_MAX + 8));
        lh_search_request r = {.slot = slot, .cursor = cursor, .attributes = lh_buf_bytes(template)};
        assert_lh_ok(lh_application_search(a, &r, &cursor, &handles));
        lh_reader reader = lh_reader_new(lh_buf_bytes(&handles));
        for (; reader.left > 0; found++) {
            uint64_t handle = lh_read_u64(&reader);
            if (found == 0 && ret_first)
                *ret_first = handle;
        }
    } while (cursor != 0);
    return found;
}

static inline size_t search_label(lh_application *a, uint64_t slot, const char *label)
{
    LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(256);
    lh_wire_put_attribute(&template, CKA_LABEL, 0, LH_BYTES_STR(label));
    return search(a, slot, &template, NULL);
}

static inline lh_err read_one(lh_application *a, uint64_t handle, uint32_t type, lh_buf *ret)
{
    LH_AUTO(lh_buf_free) lh_buf types = LH_BUF_INIT(16);
    lh_put_u32(&types, type);
    return lh_application_attributes(
        a, &(lh_attributes_request){.handle = handle, .types = lh_buf_bytes(&types)}, ret);
}

#endif
