/* Carries out requests. What can be done at once is done on the worker's loop; what waits is handed to the
 * pool, which prepares it, and the request is then carried out again from the beginning. */
#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/connection_internal.h"

#include <sys/random.h>

#define ATTEMPTS 4 /* how often a request may ask to be prepared before it is given up */

/* --- replies ----------------------------------------------------------------------------------------------
 */

static void reply(lh_connection *c, const void *value)
{
    const lh_message_header *h = &c->request.header;
    lh_err err = lh_call_reply((enum lh_call)h->call, h->id, value, &c->outgoing);
    if (!lh_ok(err))
        err = lh_call_error(h->call, h->id, err, lh_err_last(), &c->outgoing);
    if (lh_ok(err))
        lh_connection_flush(c);
    else
        lh_connection_shut(c);
}

static void reply_error(lh_connection *c, lh_err err, const lh_err_detail *detail)
{
    const lh_message_header *h = &c->request.header;
    lh_log_line(
        LH_LEVEL_DEBUG, "pid %d: %s: %s", (int)c->options.pid, lh_code_name(err.code), detail->message);
    if (lh_ok(lh_call_error(h->call, h->id, err, detail, &c->outgoing)))
        lh_connection_flush(c);
    else
        lh_connection_shut(c);
}

static void reply_output(lh_connection *c, lh_err err, const lh_buf *output)
{
    if (!lh_ok(err)) {
        reply_error(c, err, lh_err_last());
        return;
    }
    const lh_output_reply value = {lh_buf_bytes(output)};
    reply(c, &value);
}

/* --- the pool ---------------------------------------------------------------------------------------------
 */

typedef void (*job_fn)(lh_connection *c);

typedef struct {
    lh_connection *connection;
    job_fn work; /* on a thread of the pool; sets request.result */
    job_fn done; /* on the loop, while the connection is open */
    enum lh_work kind;
} job;

static void finish(void *arg)
{
    job *j = arg;
    lh_connection *c = j->connection;
    c->request.busy = false;
    if (c->open)
        j->done(c);
    lh_connection_unref(c);
    free(j);
}

static void run(void *arg)
{
    job *j = arg;
    lh_connection *c = j->connection;
    j->work(c);
    if (!lh_ok(c->request.result))
        c->request.detail = *lh_err_last();
    lh_server_done(c->server, c->options.uid, j->kind);
    lh_loop_post(c->loop, finish, j);
}

static void suspend(lh_connection *c, job_fn work, job_fn done)
{
    job *j = malloc(sizeof(*j));
    if (!j) {
        reply_error(c, LH_RAISE(LH_E_NOMEM, 0), lh_err_last());
        return;
    }
    *j = (job){
        lh_connection_ref(c), work, done, c->options.kind == LH_KIND_ADMIN ? LH_WORK_ADMIN : LH_WORK_LEASES};
    c->request.busy = true;
    lh_err err = lh_server_submit(c->server, c->options.uid, j->kind, run, j);
    if (lh_ok(err))
        return;
    c->request.busy = false;
    lh_connection_unref(c);
    free(j);
    reply_error(c, err, lh_err_last());
}

static void prepare_work(lh_connection *c)
{
    c->request.result = lh_peer_prepare(c->peer, &c->request.use);
}

static void renew_work(lh_connection *c)
{
    lh_peer_renew(c->peer, &c->request.use);
    c->request.result = LH_SUCCESS;
}

static void again(lh_connection *c)
{
    if (lh_ok(c->request.result))
        lh_dispatch(c);
    else
        reply_error(c, c->request.result, &c->request.detail);
}

/* --- keys and mechanisms -----------------------------------------------------------------------------------
 */

enum outcome { GOT, WAITS, REFUSED };

/* The right to use the object, now or after the pool has prepared it; an error has been answered. */
static enum outcome get_grip(lh_connection *c, const lh_peer_use *use, lh_grip *ret)
{
    enum lh_step step;
    lh_err err = lh_peer_acquire(c->peer, use, &step, ret);
    if (lh_ok(err) && step == LH_STEP_READY)
        return GOT;
    if (lh_ok(err) && ++c->request.attempts > ATTEMPTS)
        err = LH_REFUSE(LH_E_LIMIT, "busy", "the lease ends faster than it can be used; try again");
    if (!lh_ok(err)) {
        reply_error(c, err, lh_err_last());
        return REFUSED;
    }
    c->request.use = *use;
    suspend(c, step == LH_STEP_RENEW ? renew_work : prepare_work, again);
    return WAITS;
}

static lh_err find_mechanism(uint64_t type, unsigned use, const lh_mechanism **ret)
{
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)type);
    if (!row)
        return LH_REFUSE(
            LH_E_UNSUPPORTED, "mechanism", "mechanism 0x%llx is not offered", (unsigned long long)type);
    if (!(row->uses & use))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "mechanism %s cannot be used like that", row->name);
    *ret = row;
    return LH_SUCCESS;
}

/* One-shot: sign, verify, encrypt, decrypt, digest. */
static void operate(lh_connection *c, unsigned use)
{
    const lh_operate_request *r = &c->request.body.operate;
    const lh_mechanism *row = NULL;
    lh_err err = find_mechanism(r->mechanism, use, &row);
    if (!lh_ok(err)) {
        reply_error(c, err, lh_err_last());
        return;
    }
    lh_grip grip = {0};
    const lh_peer_use wanted = {.handle = r->handle, .row = row, .use = use};
    if (use != LH_USE_DIGEST && get_grip(c, &wanted, &grip) != GOT)
        return;
    const lh_op_request op = {.key = grip.key,
        .row = row,
        .use = use,
        .params = r->params,
        .data = r->data,
        .signature = r->signature};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_WIRE_OUTPUT_MAX);
    err = lh_op_once(lh_vault_crypto(lh_server_vault(c->server)), &op, &output);
    lh_grip_release(&grip);
    reply_output(c, err, &output);
}

/* --- operations in parts -----------------------------------------------------------------------------------
 */

static void operation_free(operation *o)
{
    lh_op_free(o->op);
    lh_grip_release(&o->grip);
    free(o);
}

void lh_dispatch_free_operations(lh_connection *c)
{
    for (operation *next, *o = c->operations; o; o = next) {
        next = o->next;
        operation_free(o);
    }
    c->operations = NULL;
    c->operation_count = 0;
}

static operation *find_operation(lh_connection *c, uint64_t id)
{
    for (operation *o = c->operations; o; o = o->next)
        if (o->id == id)
            return o;
    reply_error(c, LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "there is no such operation on this connection"),
        lh_err_last());
    return NULL;
}

static void drop_operation(lh_connection *c, uint64_t id)
{
    for (operation **at = &c->operations; *at; at = &(*at)->next) {
        operation *o = *at;
        if (o->id != id)
            continue;
        *at = o->next;
        c->operation_count--;
        operation_free(o);
        return;
    }
}

static lh_err begin_operation(
    lh_connection *c, const lh_mechanism *row, unsigned use, lh_grip *grip_taken, uint64_t *ret_id)
{
    if (c->operation_count >= LH_LIMIT_OPERATIONS)
        return LH_REFUSE(LH_E_LIMIT, "operations", "this connection has %d operations under way already",
            LH_LIMIT_OPERATIONS);
    operation *o = calloc(1, sizeof(*o));
    if (!o)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_err err = lh_op_begin(lh_vault_crypto(lh_server_vault(c->server)), grip_taken->key, row, use,
        c->request.body.op_begin.params, &o->op);
    if (!lh_ok(err)) {
        free(o);
        return err;
    }
    o->grip = *grip_taken;
    *grip_taken = (lh_grip){0};
    o->use = use;
    o->id = ++c->next_operation;
    o->next = c->operations;
    c->operations = o;
    c->operation_count++;
    *ret_id = o->id;
    return LH_SUCCESS;
}

static void op_begin(lh_connection *c)
{
    const lh_op_begin_request *r = &c->request.body.op_begin;
    const lh_mechanism *row = NULL;
    lh_err err = find_mechanism(r->mechanism, r->use, &row);
    if (lh_ok(err) && !lh_mechanism_in_parts(row, r->use))
        err = LH_REFUSE(LH_E_INVALID, "mechanism-use", "mechanism %s takes that in one part only", row->name);
    if (!lh_ok(err)) {
        reply_error(c, err, lh_err_last());
        return;
    }
    lh_grip grip = {0};
    const lh_peer_use wanted = {.handle = r->handle, .row = row, .use = r->use};
    if (r->use != LH_USE_DIGEST && get_grip(c, &wanted, &grip) != GOT)
        return;
    lh_op_begin_reply value = {0};
    err = begin_operation(c, row, r->use, &grip, &value.operation);
    lh_grip_release(&grip);
    if (lh_ok(err))
        reply(c, &value);
    else
        reply_error(c, err, lh_err_last());
}

static void op_update(lh_connection *c)
{
    const lh_op_update_request *r = &c->request.body.op_update;
    operation *o = find_operation(c, r->operation);
    if (!o)
        return;
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_WIRE_OUTPUT_MAX);
    lh_err err = lh_grip_check(&o->grip);
    if (lh_ok(err))
        err = lh_op_update(o->op, r->data, &output);
    if (!lh_ok(err)) {
        lh_err_detail detail = *lh_err_last();
        drop_operation(c, r->operation);
        reply_error(c, err, &detail);
        return;
    }
    reply_output(c, err, &output);
}

static void op_finish(lh_connection *c)
{
    const lh_op_finish_request *r = &c->request.body.op_finish;
    operation *o = find_operation(c, r->operation);
    if (!o)
        return;
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_WIRE_OUTPUT_MAX);
    lh_err err = lh_grip_check(&o->grip);
    if (lh_ok(err) && r->data.len > 0)
        err = lh_op_update(o->op, r->data, &output);
    if (lh_ok(err))
        err = lh_op_finish(o->op, r->signature, &output);
    lh_err_detail detail = *lh_err_last();
    drop_operation(c, r->operation);
    if (lh_ok(err))
        reply_output(c, err, &output);
    else
        reply_error(c, err, &detail);
}

/* --- the rest ----------------------------------------------------------------------------------------------
 */

static void find_work(lh_connection *c)
{
    lh_buf_clear(&c->request.reply);
    c->request.result = lh_peer_find(c->peer, &c->request.body.find, &c->request.reply, &c->request.cursor);
}

static void find_done(lh_connection *c)
{
    if (!lh_ok(c->request.result)) {
        reply_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_find_reply value = {c->request.cursor, lh_buf_bytes(&c->request.reply)};
    reply(c, &value);
}

static void attributes_work(lh_connection *c)
{
    lh_buf_clear(&c->request.reply);
    c->request.result = lh_peer_attributes(c->peer, &c->request.body.attributes, &c->request.reply);
}

static void attributes_done(lh_connection *c)
{
    if (!lh_ok(c->request.result)) {
        reply_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_attributes_reply value = {lh_buf_bytes(&c->request.reply)};
    reply(c, &value);
}

static void admin_work(lh_connection *c)
{
    lh_buf_clear(&c->request.reply);
    /* Here, since the user's groups may have to be asked for over a network. */
    const lh_admin_caller caller = {
        c->options.uid, c->options.pid, lh_server_is_admin(c->server, c->options.uid, c->options.gid)};
    c->request.result =
        lh_vault_admin(lh_server_vault(c->server), &caller, c->request.body.admin.json, &c->request.reply);
}

static void admin_done(lh_connection *c)
{
    if (!lh_ok(c->request.result)) {
        reply_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_admin_message value = {lh_buf_bytes(&c->request.reply)};
    reply(c, &value);
}

static void token_info(lh_connection *c)
{
    lh_token_info_reply value;
    lh_vault_token_info(lh_server_vault(c->server), &value);
    reply(c, &value);
}

static void random_bytes(lh_connection *c)
{
    uint32_t len = c->request.body.random.len;
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_LIMIT_RANDOM);
    lh_err err = LH_SUCCESS;
    uint8_t *at = len > 0 ? lh_buf_extend(&output, len) : NULL;
    if (at)
        lh_random(at, len);
    else
        err = LH_FAIL(LH_E_LIMIT, "random bytes come 1 to %d at a time", LH_LIMIT_RANDOM);
    reply_output(c, err, &output);
}

void lh_dispatch(lh_connection *c)
{
    lh_buf_clear(&c->outgoing);
    switch ((enum lh_call)c->request.header.call) {
    case LH_CALL_TOKEN_INFO: token_info(c); return;
    case LH_CALL_FIND: suspend(c, find_work, find_done); return;
    case LH_CALL_ATTRIBUTES: suspend(c, attributes_work, attributes_done); return;
    case LH_CALL_SIGN: operate(c, LH_USE_SIGN); return;
    case LH_CALL_VERIFY: operate(c, LH_USE_VERIFY); return;
    case LH_CALL_ENCRYPT: operate(c, LH_USE_ENCRYPT); return;
    case LH_CALL_DECRYPT: operate(c, LH_USE_DECRYPT); return;
    case LH_CALL_DIGEST: operate(c, LH_USE_DIGEST); return;
    case LH_CALL_OP_BEGIN: op_begin(c); return;
    case LH_CALL_OP_UPDATE: op_update(c); return;
    case LH_CALL_OP_FINISH: op_finish(c); return;
    case LH_CALL_OP_CANCEL:
        drop_operation(c, c->request.body.op_cancel.operation);
        reply(c, NULL);
        return;
    case LH_CALL_RANDOM: random_bytes(c); return;
    case LH_CALL_SEED:
        reply(c, NULL);
        return; /* our generator is the kernel's; it needs no seed of a client's */
    case LH_CALL_ADMIN: suspend(c, admin_work, admin_done); return;
    case LH_CALL_HELLO:
    case LH_CALL_CHALLENGE:
    case LH_CALL_ANSWER:
    case LH_CALL_SLOTS:
    case LH_CALL_SLOT_INFO:
    case LH_CALL_MECHANISMS:
    case LH_CALL_INIT_TOKEN:
    case LH_CALL_INIT_PIN:
    case LH_CALL_SET_PIN:
    case LH_CALL_LOGIN:
    case LH_CALL_RESUME:
    case LH_CALL_LOGOUT:
    case LH_CALL_SESSION_END:
    case LH_CALL_SEARCH:
    case LH_CALL_CREATE:
    case LH_CALL_COPY:
    case LH_CALL_DESTROY:
    case LH_CALL_SET_ATTRIBUTES:
    case LH_CALL_OBJECT_SIZE:
    case LH_CALL_GENERATE:
    case LH_CALL_WRAP:
    case LH_CALL_UNWRAP:
    case LH_CALL_DERIVE:
    case LH_CALL_ENCAPSULATE:
    case LH_CALL_DECAPSULATE:
    case LH_CALL_OP_DIGEST_KEY:
    case LH_CALL_SIGN_RECOVER:
    case LH_CALL_VERIFY_RECOVER:
    case LH_CALL_PENDING: break;
    }
    reply_error(
        c, LH_REFUSE(LH_E_PROTOCOL, "unexpected-call", "this call is not expected here"), lh_err_last());
}
