/* The calls of version 2: what applications do in standalone partitions. Each is carried out as a whole on a
 * thread that may wait, by the application that stands for the connection's process (vault/standalone.h). */
#include "daemon/connection_internal.h"

/* What a row's fn gets. It sets request.value, whose spans borrow from request.reply. */
typedef struct {
    enum lh_call call;
    enum lh_work work; /* where its mechanism is not slow */
    lh_standalone_fn fn;
} partition_row;

/* --- slots ------------------------------------------------------------------------------------------------
 */

static lh_err slots(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_slots(a, &q->reply));
    q->value.slots.slots = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

static lh_err slot_info(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_slot_info(a, &q->body.slot, &q->value.slot_info);
}

static lh_err mechanisms(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_mechanisms(a, &q->body.slot, &q->reply));
    q->value.mechanisms.types = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

/* --- PINs and logins --------------------------------------------------------------------------------------
 */

static lh_err init_token(lh_application *a, void *arg)
{
    return lh_application_init_token(a, &((lh_connection *)arg)->request.body.init_token);
}

static lh_err init_pin(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    q->value.init_pin.pending = 0;
    return lh_application_init_pin(a, &q->body.init_pin);
}

static lh_err set_pin(lh_application *a, void *arg)
{
    return lh_application_set_pin(a, &((lh_connection *)arg)->request.body.set_pin);
}

static lh_err login(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_login(a, &q->body.login, &q->reply));
    q->value.login.ticket = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

static lh_err resume(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_resume(a, &q->body.resume, &q->value.resume.user);
}

static lh_err logout(lh_application *a, void *arg)
{
    return lh_application_logout(a, &((lh_connection *)arg)->request.body.slot);
}

/* --- objects ----------------------------------------------------------------------------------------------
 */

static lh_err session_end(lh_application *a, void *arg)
{
    lh_application_session_end(a, &((lh_connection *)arg)->request.body.session);
    return LH_SUCCESS;
}

static lh_err search(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    uint64_t cursor = 0;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_search(a, &q->body.search, &cursor, &q->reply));
    q->value.search = (lh_search_reply){cursor, lh_buf_bytes(&q->reply)};
    return LH_SUCCESS;
}

static lh_err attributes(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_attributes(a, &q->body.attributes, &q->reply));
    q->value.attributes.attributes = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

static lh_err object_size(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_object_size(a, &q->body.handle, &q->value.object_size);
}

static lh_err create(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_create(a, &q->body.create, &q->value.handle);
}

static lh_err copy(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_copy(a, &q->body.copy, &q->value.handle);
}

static lh_err destroy(lh_application *a, void *arg)
{
    return lh_application_destroy(a, &((lh_connection *)arg)->request.body.handle);
}

static lh_err set_attributes(lh_application *a, void *arg)
{
    return lh_application_set_attributes(a, &((lh_connection *)arg)->request.body.set_attributes);
}

/* --- keys -------------------------------------------------------------------------------------------------
 */

static void undo(lh_application *a, uint64_t handle)
{
    const lh_handle_request r = {handle};
    if (handle != 0)
        LH_IGNORE(lh_application_destroy(a, &r)); /* one that says it is not to be destroyed stays */
}

static lh_err generate(lh_application *a, void *arg)
{
    lh_connection *c = arg;
    request *q = &c->request;
    lh_generate_reply made = {0};
    LH_TRY(lh_application_generate(a, &q->body.generate, &made));
    q->value.generate = made;
    if (!atomic_load(&c->gone))
        return LH_SUCCESS;
    /* It may have taken minutes; nobody learns of these keys any more. */
    undo(a, made.handle);
    undo(a, made.private_handle);
    return LH_REFUSE(LH_E_GONE, "peer-gone", "the process has closed its connection");
}

static lh_err wrap(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_wrap(a, &q->body.wrap, &q->reply));
    q->value.wrap.wrapped = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

static lh_err unwrap(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_unwrap(a, &q->body.unwrap, &q->value.handle);
}

static lh_err derive(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_derive(a, &q->body.derive, &q->reply));
    q->value.derive.handles = lh_buf_bytes(&q->reply);
    return LH_SUCCESS;
}

static lh_err encapsulate(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    uint64_t handle = 0;
    lh_buf_clear(&q->reply);
    LH_TRY(lh_application_encapsulate(a, &q->body.encapsulate, &handle, &q->reply));
    q->value.encapsulate = (lh_encapsulate_reply){handle, lh_buf_bytes(&q->reply)};
    return LH_SUCCESS;
}

static lh_err decapsulate(lh_application *a, void *arg)
{
    request *q = &((lh_connection *)arg)->request;
    return lh_application_decapsulate(a, &q->body.decapsulate, &q->value.handle);
}

/* --- the table --------------------------------------------------------------------------------------------
 */

static const partition_row rows[] = {
    {LH_CALL_SLOTS, LH_WORK_PARTITIONS, slots},
    {LH_CALL_SLOT_INFO, LH_WORK_PARTITIONS, slot_info},
    {LH_CALL_MECHANISMS, LH_WORK_PARTITIONS, mechanisms},
    {LH_CALL_INIT_TOKEN, LH_WORK_PINS, init_token},
    {LH_CALL_INIT_PIN, LH_WORK_PINS, init_pin},
    {LH_CALL_SET_PIN, LH_WORK_PINS, set_pin},
    {LH_CALL_LOGIN, LH_WORK_PINS, login},
    {LH_CALL_RESUME, LH_WORK_PARTITIONS, resume},
    {LH_CALL_LOGOUT, LH_WORK_PARTITIONS, logout},
    {LH_CALL_SESSION_END, LH_WORK_PARTITIONS, session_end},
    {LH_CALL_SEARCH, LH_WORK_PARTITIONS, search},
    {LH_CALL_ATTRIBUTES, LH_WORK_PARTITIONS, attributes},
    {LH_CALL_CREATE, LH_WORK_PARTITIONS, create},
    {LH_CALL_COPY, LH_WORK_PARTITIONS, copy},
    {LH_CALL_DESTROY, LH_WORK_PARTITIONS, destroy},
    {LH_CALL_SET_ATTRIBUTES, LH_WORK_PARTITIONS, set_attributes},
    {LH_CALL_OBJECT_SIZE, LH_WORK_PARTITIONS, object_size},
    {LH_CALL_GENERATE, LH_WORK_PARTITIONS, generate},
    {LH_CALL_WRAP, LH_WORK_PARTITIONS, wrap},
    {LH_CALL_UNWRAP, LH_WORK_PARTITIONS, unwrap},
    {LH_CALL_DERIVE, LH_WORK_PARTITIONS, derive},
    {LH_CALL_ENCAPSULATE, LH_WORK_PARTITIONS, encapsulate},
    {LH_CALL_DECAPSULATE, LH_WORK_PARTITIONS, decapsulate},
};

static const partition_row *find_row(unsigned call)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if ((unsigned)rows[i].call == call)
            return &rows[i];
    return NULL;
}

/* --- carrying out -----------------------------------------------------------------------------------------
 */

/* What a quorum has to allow is proposed. */
static lh_err propose(lh_connection *c)
{
    request *q = &c->request;
    if (q->header.call == LH_CALL_INIT_TOKEN)
        return lh_peer_propose_initialize(c->peer, &q->body.init_token);
    if (q->body.init_pin.async)
        return lh_peer_propose_pin(c->peer, &q->body.init_pin, &q->value.init_pin.pending);
    return LH_REFUSE(LH_E_QUORUM, "action-prohibited",
        "setting this partition's user PIN takes a quorum of officers: ask for it in an asynchronous "
        "session, "
        "which makes the proposal");
}

static void work(lh_connection *c)
{
    request *q = &c->request;
    const partition_row *row = find_row(q->header.call);
    memset(&q->value, 0, sizeof(q->value));
    q->result = row ? lh_peer_standalone(c->peer, row->fn, c) : LH_RAISE(LH_E_INTERNAL, q->header.call);
    if (q->result.code == LH_E_QUORUM &&
        (q->header.call == LH_CALL_INIT_TOKEN || q->header.call == LH_CALL_INIT_PIN))
        q->result = propose(c);
    if (q->result.code != LH_E_STATE || q->header.call != LH_CALL_SLOTS)
        return;
    /* While the vault is not open there is the leased one alone, whose state says why. */
    lh_buf_clear(&q->reply);
    lh_put_u64(&q->reply, LH_SLOT_LEASED);
    q->value.slots.slots = lh_buf_bytes(&q->reply);
    q->result = lh_buf_status(&q->reply);
}

static void done(lh_connection *c)
{
    if (lh_ok(c->request.result))
        lh_dispatch_reply(c, &c->request.value);
    else
        lh_dispatch_error(c, c->request.result, &c->request.detail);
    lh_buf_clear(&c->request.reply);
}

static void pending_work(lh_connection *c)
{
    enum lh_pending_state state = LH_PENDING_WAITS;
    c->request.result = lh_peer_pending(c->peer, &c->request.body.pending, &state);
    c->request.value.pending.state = (uint8_t)state;
}

/* Of the calls with a mechanism, its number. */
static bool mechanism_of(const request *q, uint64_t *ret)
{
    switch (q->header.call) {
    case LH_CALL_GENERATE: *ret = q->body.generate.mechanism; return true;
    case LH_CALL_WRAP: *ret = q->body.wrap.mechanism; return true;
    case LH_CALL_UNWRAP: *ret = q->body.unwrap.mechanism; return true;
    case LH_CALL_DERIVE: *ret = q->body.derive.mechanism; return true;
    case LH_CALL_ENCAPSULATE: *ret = q->body.encapsulate.mechanism; return true;
    case LH_CALL_DECAPSULATE: *ret = q->body.decapsulate.mechanism; return true;
    default: return false;
    }
}

static enum lh_work work_of(const request *q, const partition_row *row)
{
    uint64_t type = 0;
    if (!mechanism_of(q, &type))
        return row->work;
    const lh_mechanism *mechanism = lh_mechanism_by_type((unsigned long)type);
    return mechanism && mechanism->cost == LH_COST_SLOW ? LH_WORK_SLOW : row->work;
}

static void leased_mechanisms(lh_connection *c)
{
    lh_buf_clear(&c->request.reply);
    lh_err err = lh_vault_leased_mechanisms(lh_server_vault(c->server), &c->request.reply);
    const lh_mechanisms_reply value = {lh_buf_bytes(&c->request.reply)};
    if (lh_ok(err))
        lh_dispatch_reply(c, &value);
    else
        lh_dispatch_error(c, err, lh_err_last());
}

static void leased_slot_info(lh_connection *c)
{
    lh_slot_info_reply value;
    lh_vault_leased_slot_info(lh_server_vault(c->server), &value);
    lh_dispatch_reply(c, &value);
}

bool lh_dispatch_partition(lh_connection *c)
{
    const request *q = &c->request;
    const unsigned call = q->header.call;
    if (call == LH_CALL_ATTRIBUTES && !lh_handle_is_standalone(q->body.attributes.handle))
        return false;
    if (call == LH_CALL_PENDING) {
        lh_dispatch_suspend(c, LH_WORK_PARTITIONS, pending_work, done);
        return true;
    }
    const partition_row *row = find_row(call);
    if (!row)
        return false;
    if (call == LH_CALL_SLOT_INFO && q->body.slot.slot == LH_SLOT_LEASED)
        leased_slot_info(c);
    else if (call == LH_CALL_MECHANISMS && q->body.slot.slot == LH_SLOT_LEASED)
        leased_mechanisms(c);
    else
        lh_dispatch_suspend(c, work_of(q, row), work, done);
    return true;
}
