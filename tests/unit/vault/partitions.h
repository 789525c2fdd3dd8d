/* A vault with a standalone partition named first, and calls of applications in it. */
#ifndef LH_TEST_VAULT_PARTITIONS_H
#define LH_TEST_VAULT_PARTITIONS_H

#include "fixture.h"
#include "vault/standalone_internal.h"

/* --- calls of an application ------------------------------------------------------------------------------
 */

static const lh_bytes so_pin = {(const uint8_t *)"so-12345", 8};
static const lh_bytes pin = {(const uint8_t *)"1234", 4};

static inline lh_err slots_fn(lh_application *a, void *arg)
{
    lh_buf_clear(arg);
    return lh_application_slots(a, arg);
}

/* The slots that the peer sees, as a text: "0 1 2". */
static inline const char *slots_of(lh_peer *peer)
{
    static char text[256];
    lh_buf slots = LH_BUF_INIT(8 * LH_WIRE_SLOTS_MAX);
    assert_lh_ok(lh_peer_standalone(peer, slots_fn, &slots));
    lh_reader r = lh_reader_new(lh_buf_bytes(&slots));
    text[0] = '\0';
    while (r.left > 0)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu", text[0] ? " " : "",
            (unsigned long long)lh_read_u64(&r));
    lh_buf_free(&slots);
    return text;
}

typedef struct {
    lh_slot_request slot;
    lh_slot_info_reply info;
} info_call;

static inline lh_err info_fn(lh_application *a, void *arg)
{
    info_call *c = arg;
    return lh_application_slot_info(a, &c->slot, &c->info);
}

static inline lh_err info_of(lh_peer *peer, uint64_t slot, lh_slot_info_reply *ret)
{
    info_call c = {.slot = {slot}};
    LH_TRY(lh_peer_standalone(peer, info_fn, &c));
    *ret = c.info;
    return LH_SUCCESS;
}

static inline lh_err init_token_fn(lh_application *a, void *arg)
{
    return lh_application_init_token(a, arg);
}

static inline lh_init_token_request token_request(uint64_t slot)
{
    lh_init_token_request r = {.slot = slot, .pin = so_pin};
    memcpy(r.label, "a token                         ", sizeof(r.label));
    return r;
}

static inline lh_err init_token(lh_peer *peer, uint64_t slot)
{
    lh_init_token_request r = token_request(slot);
    return lh_peer_standalone(peer, init_token_fn, &r);
}

static inline lh_err init_pin_fn(lh_application *a, void *arg)
{
    return lh_application_init_pin(a, arg);
}

typedef struct {
    lh_login_request request;
    lh_buf ticket;
} login_call;

static inline lh_err login_fn(lh_application *a, void *arg)
{
    login_call *c = arg;
    lh_buf_clear(&c->ticket);
    return lh_application_login(a, &c->request, &c->ticket);
}

static inline lh_err login(lh_peer *peer, uint64_t slot, uint32_t user, lh_bytes with)
{
    login_call c = {.request = {.slot = slot, .user = user, .pin = with}, .ticket = LH_BUF_INIT(512)};
    lh_err err = lh_peer_standalone(peer, login_fn, &c);
    lh_buf_free(&c.ticket);
    return err;
}

static inline lh_err logout_fn(lh_application *a, void *arg)
{
    return lh_application_logout(a, arg);
}

/* Initialised, with a user PIN. */
static inline void set_up_token(lh_peer *peer, uint64_t slot)
{
    assert_lh_ok(init_token(peer, slot));
    assert_lh_ok(login(peer, slot, CKU_SO, so_pin));
    lh_init_pin_request r = {.slot = slot, .pin = pin};
    assert_lh_ok(lh_peer_standalone(peer, init_pin_fn, &r));
    lh_slot_request out = {slot};
    assert_lh_ok(lh_peer_standalone(peer, logout_fn, &out));
}

typedef struct {
    lh_generate_request request;
    lh_generate_reply reply;
} generate_call;

static inline lh_err generate_fn(lh_application *a, void *arg)
{
    generate_call *c = arg;
    return lh_application_generate(a, &c->request, &c->reply);
}

/* An AES key that stays. */
static inline uint64_t make_key(lh_peer *peer, uint64_t slot)
{
    lh_buf template = LH_BUF_INIT(1024);
    lh_wire_put_bool(&template, CKA_TOKEN, true);
    lh_wire_put_bool(&template, CKA_ENCRYPT, true);
    lh_wire_put_ulong(&template, CKA_VALUE_LEN, 32);
    generate_call c = {
        .request = {
            .slot = slot, .session = 1, .mechanism = CKM_AES_KEY_GEN, .attributes = lh_buf_bytes(&template)}};
    assert_lh_ok(lh_peer_standalone(peer, generate_fn, &c));
    lh_buf_free(&template);
    assert_true(lh_handle_is_standalone(c.reply.handle));
    return c.reply.handle;
}

static inline lh_err take_key(lh_peer *peer, uint64_t handle, lh_grip *ret)
{
    const lh_peer_use use = {
        .handle = handle, .row = lh_mechanism_by_type(CKM_AES_CBC_PAD), .use = LH_USE_ENCRYPT};
    return lh_peer_take(peer, &use, ret);
}

static inline int partitions_setup(void **unused)
{
    world_setup(unused);
    found_vault();
    govern_ok("partition.create", "{\"name\": \"first\"}");
    return 0;
}

static inline void limit_to(unsigned uid, const char *freshness)
{
    char policy[1024];
    snprintf(policy, sizeof(policy),
        "trust_domain: test.example\n"
        "workloads:\n  - { id: " ME ", attest: { uid: %u, freshness: %s } }\n"
        "partitions:\n  - { partition: first, workloads: [" ME "] }\n",
        uid, freshness);
    govern_ok("policy.apply", policy);
}

#endif
