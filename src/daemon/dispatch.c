/* Carries out requests. What can be done at once is done on the worker's loop; what waits is handed to the
 * pool, which prepares it, and the request is then carried out again from the beginning. */
#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/connection_internal.h"
#include "vault/custody.h"

#include <p11-kit/pkcs11.h>

#include <sys/random.h>

#define LONG_KEY_BITS 4096 /* private keys of more bits than this are not used on a worker */
#define ATTEMPTS 4         /* how often a request may ask to be prepared before it is given up */

/* --- replies ----------------------------------------------------------------------------------------------
 */

/* What was asked carried a PIN or a key: it is no longer needed. */
static void wipe_secret(lh_connection *c)
{
    const lh_call_row *row = lh_call_find(c->request.header.call);
    if (row && row->secret && c->request.message.data)
        explicit_bzero(c->request.message.data, c->request.message.len);
}

void lh_dispatch_reply(lh_connection *c, const void *value)
{
    const lh_message_header *h = &c->request.header;
    wipe_secret(c);
    lh_err err = lh_call_reply((enum lh_call)h->call, h->id, value, &c->outgoing);
    if (!lh_ok(err))
        err = lh_call_error(h->call, h->id, err, lh_err_last(), &c->outgoing);
    if (lh_ok(err))
        lh_connection_flush(c);
    else
        lh_connection_shut(c);
}

void lh_dispatch_error(lh_connection *c, lh_err err, const lh_err_detail *detail)
{
    const lh_message_header *h = &c->request.header;
    wipe_secret(c);
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
        lh_dispatch_error(c, err, lh_err_last());
        return;
    }
    const lh_output_reply value = {lh_buf_bytes(output)};
    lh_dispatch_reply(c, &value);
}

/* --- the pool ---------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_connection *connection;
    lh_dispatch_fn work; /* on a thread of the pool; sets request.result */
    lh_dispatch_fn done; /* on the loop, while the connection is open */
    enum lh_work kind;
} job;

static void finish(void *arg)
{
    job *j = arg;
    lh_connection *c = j->connection;
    c->request.busy = false;
    if (atomic_load(&c->voided))
        lh_dispatch_drop_voided(c);
    if (c->open)
        j->done(c);
    lh_connection_unref(c);
    free(j);
}

static void run(void *arg)
{
    job *j = arg;
    lh_connection *c = j->connection;
    if (atomic_load(&c->gone)) /* while it waited for its turn */
        c->request.result = LH_REFUSE(LH_E_GONE, "peer-gone", "the process has closed its connection");
    else
        j->work(c);
    if (!lh_ok(c->request.result))
        c->request.detail = *lh_err_last();
    lh_server_done(c->server, c->options.account, j->kind);
    lh_loop_post(c->loop, finish, j);
}

void lh_dispatch_suspend(lh_connection *c, enum lh_work kind, lh_dispatch_fn work, lh_dispatch_fn done)
{
    if (kind == LH_WORK_LEASES && c->options.remote)
        kind = LH_WORK_REMOTE;
    job *j = malloc(sizeof(*j));
    if (!j) {
        lh_dispatch_error(c, LH_RAISE(LH_E_NOMEM, 0), lh_err_last());
        return;
    }
    *j = (job){lh_connection_ref(c), work, done, kind};
    c->request.busy = true;
    lh_err err = lh_server_submit(c->server, c->options.account, j->kind, run, j);
    if (lh_ok(err))
        return;
    c->request.busy = false;
    lh_connection_unref(c);
    free(j);
    lh_dispatch_error(c, err, lh_err_last());
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

static void take_work(lh_connection *c)
{
    c->request.result = lh_peer_take(c->peer, &c->request.use, &c->request.grip);
}

static void again(lh_connection *c)
{
    if (lh_ok(c->request.result))
        lh_dispatch(c);
    else
        lh_dispatch_error(c, c->request.result, &c->request.detail);
}

/* --- keys and mechanisms -----------------------------------------------------------------------------------
 */

enum outcome { GOT, WAITS, REFUSED };

/* The right to use the object, now or after the pool has prepared it; an error has been answered. */
static enum outcome get_grip(lh_connection *c, const lh_peer_use *use, lh_grip *ret)
{
    if (c->request.grip.key && c->request.use.handle == use->handle && c->request.use.row == use->row) {
        *ret = c->request.grip;
        c->request.grip = (lh_grip){0};
        return GOT;
    }
    enum lh_step step;
    lh_err err = lh_peer_acquire(c->peer, use, &step, ret);
    if (lh_ok(err) && step == LH_STEP_READY)
        return GOT;
    if (lh_ok(err) && ++c->request.attempts > ATTEMPTS)
        err = LH_REFUSE(LH_E_LIMIT, "busy", "the lease ends faster than it can be used; try again");
    if (!lh_ok(err)) {
        lh_dispatch_error(c, err, lh_err_last());
        return REFUSED;
    }
    c->request.use = *use;
    if (lh_handle_is_standalone(use->handle))
        lh_dispatch_suspend(c, LH_WORK_PARTITIONS, take_work, again);
    else
        lh_dispatch_suspend(c, LH_WORK_LEASES, step == LH_STEP_RENEW ? renew_work : prepare_work, again);
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

static lh_op_request op_request(lh_connection *c, const lh_mechanism *row, unsigned use, const lh_key *key)
{
    const lh_operate_request *r = &c->request.body.operate;
    return (lh_op_request){
        .key = key, .row = row, .use = use, .params = r->params, .data = r->data, .signature = r->signature};
}

static unsigned use_of(const lh_connection *c)
{
    return lh_call_find(c->request.header.call)->use;
}

static void operate_work(lh_connection *c)
{
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)c->request.body.operate.mechanism);
    const lh_op_request op = op_request(c, row, use_of(c), c->request.grip.key);
    lh_buf_clear(&c->request.reply);
    c->request.result = lh_op_once(lh_vault_crypto(lh_server_vault(c->server)), &op, &c->request.reply);
}

static void operate_done(lh_connection *c)
{
    /* It may have taken long: what ended meanwhile gives nothing any more. */
    if (lh_ok(c->request.result)) {
        c->request.result = lh_grip_check(&c->request.grip);
        c->request.detail = *lh_err_last();
    }
    lh_grip_release(&c->request.grip);
    if (lh_ok(c->request.result))
        reply_output(c, c->request.result, &c->request.reply);
    else
        lh_dispatch_error(c, c->request.result, &c->request.detail);
}

/* A digest by a mechanism of which only old data is made takes no key that could forbid it. */
static lh_err check_digest(lh_connection *c, const lh_mechanism *row, unsigned use)
{
    if (use != LH_USE_DIGEST || !row->legacy || lh_vault_allows_legacy(lh_server_vault(c->server)))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_UNSUPPORTED, "mechanism-invalid", "mechanism %s is not offered", row->name);
}

/* Computing that is too long for a worker, and where it belongs. */
static bool takes_long(const lh_mechanism *row, unsigned use, const lh_grip *grip, enum lh_work *ret_kind)
{
    const unsigned private_uses = LH_USE_SIGN | LH_USE_DECRYPT | LH_USE_SIGN_RECOVER;
    *ret_kind = row->cost == LH_COST_SLOW ? LH_WORK_SLOW : LH_WORK_PARTITIONS;
    return row->cost == LH_COST_SLOW ||
           (grip->resident && (use & private_uses) && lh_key_bits(grip->key) > LONG_KEY_BITS);
}

static void give_work(lh_connection *c)
{
    c->request.result =
        lh_custody_give(c->peer, c->request.use.handle, &c->request.grip, c->request.header.id);
}

/* The host's agent answers the request; the next one may come. */
static void give_done(lh_connection *c)
{
    lh_grip_release(&c->request.grip);
    if (!lh_ok(c->request.result))
        lh_dispatch_error(c, c->request.result, &c->request.detail);
}

/* A key that is used in the TPM of the peer's host. */
static void give_key(lh_connection *c, const lh_peer_use *use, lh_grip *grip_taken)
{
    c->request.use = *use;
    c->request.grip = *grip_taken;
    *grip_taken = (lh_grip){0};
    lh_dispatch_suspend(c, LH_WORK_LEASES, give_work, give_done);
}

/* One-shot: sign, verify, encrypt, decrypt, digest, and with recovery. */
static void operate(lh_connection *c)
{
    const lh_operate_request *r = &c->request.body.operate;
    const unsigned use = use_of(c);
    const lh_mechanism *row = NULL;
    lh_err err = find_mechanism(r->mechanism, use, &row);
    if (lh_ok(err))
        err = check_digest(c, row, use);
    if (!lh_ok(err)) {
        lh_dispatch_error(c, err, lh_err_last());
        return;
    }
    lh_grip grip = {0};
    const lh_peer_use wanted = {.handle = r->handle, .row = row, .use = use};
    if (use != LH_USE_DIGEST && get_grip(c, &wanted, &grip) != GOT)
        return;
    if (grip.in_tpm) {
        give_key(c, &wanted, &grip);
        return;
    }
    enum lh_work kind;
    if (use != LH_USE_DIGEST && takes_long(row, use, &grip, &kind)) {
        c->request.grip = grip;
        lh_dispatch_suspend(c, kind, operate_work, operate_done);
        return;
    }
    const lh_op_request op = op_request(c, row, use, grip.key);
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_WIRE_OUTPUT_MAX);
    err = lh_op_once(lh_vault_crypto(lh_server_vault(c->server)), &op, &output);
    lh_err_detail detail = *lh_err_last();
    lh_grip_release(&grip);
    if (lh_ok(err))
        reply_output(c, err, &output);
    else
        lh_dispatch_error(c, err, &detail);
}

/* --- operations in parts -----------------------------------------------------------------------------------
 */

static void operation_free(lh_connection *c, operation *o)
{
    lh_server_discharge_operation(c->server, c->options.account);
    lh_op_free(o->op);
    lh_grip_release(&o->grip);
    free(o);
}

void lh_dispatch_free_operations(lh_connection *c)
{
    for (operation *next, *o = c->operations; o; o = next) {
        next = o->next;
        operation_free(c, o);
    }
    c->operations = NULL;
    c->operation_count = 0;
}

void lh_dispatch_drop_voided(lh_connection *c)
{
    atomic_store(&c->voided, false);
    for (operation **at = &c->operations; *at;) {
        operation *o = *at;
        if (!o->grip.resident || lh_ok(lh_grip_check(&o->grip))) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        c->operation_count--;
        operation_free(c, o);
    }
}

static operation *find_operation(lh_connection *c, uint64_t id)
{
    for (operation *o = c->operations; o; o = o->next)
        if (o->id == id)
            return o;
    lh_dispatch_error(c,
        LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "there is no such operation on this connection"),
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
        operation_free(c, o);
        return;
    }
}

static lh_err begin_operation(
    lh_connection *c, const lh_mechanism *row, unsigned use, lh_grip *grip_taken, uint64_t *ret_id)
{
    if (c->operation_count >= LH_LIMIT_OPERATIONS)
        return LH_REFUSE(LH_E_LIMIT, "operations", "this connection has %d operations under way already",
            LH_LIMIT_OPERATIONS);
    LH_TRY(lh_server_charge_operation(c->server, c->options.account));
    operation *o = calloc(1, sizeof(*o));
    if (!o) {
        lh_server_discharge_operation(c->server, c->options.account);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    lh_err err = lh_op_begin(lh_vault_crypto(lh_server_vault(c->server)), grip_taken->key, row, use,
        c->request.body.op_begin.params, &o->op);
    if (!lh_ok(err)) {
        lh_server_discharge_operation(c->server, c->options.account);
        free(o);
        return err;
    }
    o->row = row;
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
    if (lh_ok(err))
        err = check_digest(c, row, r->use);
    if (!lh_ok(err)) {
        lh_dispatch_error(c, err, lh_err_last());
        return;
    }
    lh_grip grip = {0};
    const lh_peer_use wanted = {.handle = r->handle, .row = row, .use = r->use};
    if (r->use != LH_USE_DIGEST && get_grip(c, &wanted, &grip) != GOT)
        return;
    if (grip.in_tpm) {
        give_key(c, &wanted, &grip);
        return;
    }
    lh_op_begin_reply value = {0};
    err = begin_operation(c, row, r->use, &grip, &value.operation);
    const lh_err_detail detail = *lh_err_last();
    lh_grip_release(&grip);
    if (lh_ok(err))
        lh_dispatch_reply(c, &value);
    else
        lh_dispatch_error(c, err, &detail);
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
        lh_dispatch_error(c, err, &detail);
        return;
    }
    reply_output(c, err, &output);
}

/* The last part and the end; out: request.reply. */
static lh_err end_operation(lh_connection *c, operation *o)
{
    const lh_op_finish_request *r = &c->request.body.op_finish;
    lh_buf_clear(&c->request.reply);
    LH_TRY(lh_grip_check(&o->grip));
    if (r->data.len > 0)
        LH_TRY(lh_op_update(o->op, r->data, &c->request.reply));
    return lh_op_finish(o->op, r->signature, &c->request.reply);
}

static void op_finish_work(lh_connection *c)
{
    c->request.result = end_operation(c, c->request.operation);
}

static void op_finish_done(lh_connection *c)
{
    drop_operation(c, c->request.body.op_finish.operation);
    if (lh_ok(c->request.result))
        reply_output(c, c->request.result, &c->request.reply);
    else
        lh_dispatch_error(c, c->request.result, &c->request.detail);
}

/* It may have taken long: what ended meanwhile gives nothing any more. */
static void op_finish_later(lh_connection *c)
{
    if (lh_ok(c->request.result)) {
        c->request.result = lh_grip_check(&c->request.operation->grip);
        c->request.detail = *lh_err_last();
    }
    op_finish_done(c);
}

static void op_finish(lh_connection *c)
{
    operation *o = find_operation(c, c->request.body.op_finish.operation);
    if (!o)
        return;
    enum lh_work kind;
    c->request.operation = o;
    if (takes_long(o->row, o->use, &o->grip, &kind)) {
        lh_dispatch_suspend(c, kind, op_finish_work, op_finish_later);
        return;
    }
    op_finish_work(c);
    if (!lh_ok(c->request.result))
        c->request.detail = *lh_err_last();
    op_finish_done(c);
}

static lh_err take_value(void *arg, unsigned long type, lh_bytes value, bool secret)
{
    operation *o = arg;
    LH_AUTO(lh_buf_free) lh_buf nothing = LH_BUF_INIT(1);
    return type == CKA_VALUE && secret ? lh_op_update(o->op, value, &nothing) : LH_SUCCESS;
}

/* A digest takes in the value of a secret key. */
static void op_digest_key(lh_connection *c)
{
    const lh_op_digest_key_request *r = &c->request.body.op_digest_key;
    operation *o = find_operation(c, r->operation);
    if (!o)
        return;
    if (o->use != LH_USE_DIGEST || !lh_handle_is_standalone(r->handle)) {
        lh_dispatch_error(c,
            LH_REFUSE(LH_E_INVALID, "key-indigestible", "a leased key's value goes into no digest"),
            lh_err_last());
        return;
    }
    lh_grip grip = {0};
    const lh_peer_use wanted = {.handle = r->handle, .row = o->row, .use = LH_USE_DIGEST};
    if (get_grip(c, &wanted, &grip) != GOT)
        return;
    lh_err err = lh_key_export(grip.key, CKO_SECRET_KEY, take_value, o);
    const lh_err_detail detail = *lh_err_last();
    lh_grip_release(&grip);
    if (lh_ok(err))
        lh_dispatch_reply(c, NULL);
    else
        lh_dispatch_error(c, err, &detail);
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
        lh_dispatch_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_find_reply value = {c->request.cursor, lh_buf_bytes(&c->request.reply)};
    lh_dispatch_reply(c, &value);
}

static void attributes_work(lh_connection *c)
{
    lh_buf_clear(&c->request.reply);
    c->request.result = lh_peer_attributes(c->peer, &c->request.body.attributes, &c->request.reply);
}

static void attributes_done(lh_connection *c)
{
    if (!lh_ok(c->request.result)) {
        lh_dispatch_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_attributes_reply value = {lh_buf_bytes(&c->request.reply)};
    lh_dispatch_reply(c, &value);
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
        lh_dispatch_error(c, c->request.result, &c->request.detail);
        return;
    }
    const lh_admin_message value = {lh_buf_bytes(&c->request.reply)};
    lh_dispatch_reply(c, &value);
}

static void token_info(lh_connection *c)
{
    lh_token_info_reply value;
    lh_vault_token_info(lh_server_vault(c->server), &value);
    lh_dispatch_reply(c, &value);
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
    if (lh_dispatch_partition(c))
        return;
    switch (c->request.header.call) {
    case LH_CALL_TOKEN_INFO: token_info(c); return;
    case LH_CALL_FIND: lh_dispatch_suspend(c, LH_WORK_LEASES, find_work, find_done); return;
    case LH_CALL_ATTRIBUTES: lh_dispatch_suspend(c, LH_WORK_LEASES, attributes_work, attributes_done); return;
    case LH_CALL_SIGN:
    case LH_CALL_VERIFY:
    case LH_CALL_ENCRYPT:
    case LH_CALL_DECRYPT:
    case LH_CALL_DIGEST:
    case LH_CALL_SIGN_RECOVER:
    case LH_CALL_VERIFY_RECOVER: operate(c); return;
    case LH_CALL_OP_BEGIN: op_begin(c); return;
    case LH_CALL_OP_UPDATE: op_update(c); return;
    case LH_CALL_OP_FINISH: op_finish(c); return;
    case LH_CALL_OP_CANCEL:
        drop_operation(c, c->request.body.op_cancel.operation);
        lh_dispatch_reply(c, NULL);
        return;
    case LH_CALL_RANDOM: random_bytes(c); return;
    case LH_CALL_SEED:
        lh_dispatch_reply(c, NULL);
        return; /* our generator is the kernel's; it needs no seed of a client's */
    case LH_CALL_ADMIN: lh_dispatch_suspend(c, LH_WORK_ADMIN, admin_work, admin_done); return;
    case LH_CALL_OP_DIGEST_KEY: op_digest_key(c); return;
    default: break;
    }
    lh_dispatch_error(
        c, LH_REFUSE(LH_E_PROTOCOL, "unexpected-call", "this call is not expected here"), lh_err_last());
}
