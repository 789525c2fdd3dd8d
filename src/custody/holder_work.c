/* What the holder does on its thread: carries out requests with the keys it has. */
#include "custody/holder_internal.h"

#include "base/log_line.h"

/* A request at work. */
typedef struct {
    lh_holder *h;
    lh_holder_stream *stream;
    lh_bytes message;
    lh_message_header header;
    lh_any_request body;
    lh_holder_key *key;
    bool given; /* the vault gave the key for this very request */
    lh_buf output;
} request;

/* --- answers ----------------------------------------------------------------------------------------------
 */

static void reply_error(const request *r, lh_err err, const lh_err_detail *detail)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (lh_ok(lh_call_error(r->header.call, r->header.id, err, detail, &message)))
        r->h->options.reply(r->h->options.arg, r->stream->number, lh_buf_bytes(&message));
}

static void reply(const request *r, const void *value)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_err err = lh_call_reply((enum lh_call)r->header.call, r->header.id, value, &message);
    if (!lh_ok(err)) {
        const lh_err_detail detail = *lh_err_last();
        reply_error(r, err, &detail);
        return;
    }
    r->h->options.reply(r->h->options.arg, r->stream->number, lh_buf_bytes(&message));
}

static void reply_output(const request *r)
{
    const lh_output_reply value = {lh_buf_bytes(&r->output)};
    reply(r, &value);
}

/* --- keys -------------------------------------------------------------------------------------------------
 */

void lh_holder_key_free(lh_holder_key *k)
{
    lh_lease_key_free(k->key);
    lh_buf_free(&k->public_area);
    lh_buf_free(&k->waits);
    free(k);
}

static void op_free(lh_holder_op *o)
{
    lh_custody_op_free(o->op);
    free(o);
}

/* The next request for its handle goes to the vault. */
void lh_holder_drop(lh_holder *h, lh_holder_key *k)
{
    pthread_mutex_lock(&h->mutex);
    k->dropped = true;
    pthread_mutex_unlock(&h->mutex);
}

/* Take a key out of its stream's list and free it. */
void lh_holder_discard(lh_holder *h, lh_holder_stream *s, lh_holder_key *k)
{
    pthread_mutex_lock(&h->mutex);
    for (lh_holder_key **at = &s->keys; *at; at = &(*at)->next)
        if (*at == k) {
            *at = k->next;
            break;
        }
    pthread_mutex_unlock(&h->mutex);
    lh_holder_key_free(k);
}

void lh_holder_discard_dropped(lh_holder *h, lh_holder_stream *s)
{
    for (lh_holder_key *next, *k = s->keys; k; k = next) {
        next = k->next;
        if (k->dropped && k->waits.len == 0)
            lh_holder_discard(h, s, k);
    }
}

static void stream_free(lh_holder_stream *s)
{
    for (lh_holder_op *next, *o = s->operations; o; o = next) {
        next = o->next;
        op_free(o);
    }
    for (lh_holder_key *next, *k = s->keys; k; k = next) {
        next = k->next;
        lh_holder_key_free(k);
    }
    lh_buf_free(&s->asked);
    free(s);
}

static void drop_stream(lh_holder *h, uint32_t number)
{
    pthread_mutex_lock(&h->mutex);
    lh_holder_stream **at = &h->streams;
    while (*at && (*at)->number != number)
        at = &(*at)->next;
    lh_holder_stream *s = *at;
    if (s)
        *at = s->next;
    pthread_mutex_unlock(&h->mutex);
    if (s)
        stream_free(s);
}

void lh_holder_drop_streams(lh_holder *h)
{
    pthread_mutex_lock(&h->mutex);
    lh_holder_stream *all = h->streams;
    h->streams = NULL;
    pthread_mutex_unlock(&h->mutex);
    for (lh_holder_stream *next, *s = all; s; s = next) {
        next = s->next;
        stream_free(s);
    }
}

/* --- carrying out -----------------------------------------------------------------------------------------
 */

static lh_err find_row(const lh_holder_key *k, uint64_t type, const lh_mechanism **ret)
{
    for (size_t i = 0; i < k->mechanism_count; i++)
        if (k->mechanisms[i] == type && (*ret = lh_mechanism_by_type((unsigned long)type)) != NULL)
            return LH_SUCCESS;
    return LH_REFUSE(LH_E_DENIED, "mechanism", "the role of this key does not allow mechanism 0x%llx",
        (unsigned long long)type);
}

static lh_err begin(const request *r, uint64_t type, unsigned use, lh_bytes params, lh_custody_op **ret)
{
    lh_custody_begin b = {.kind = r->key->kind, .use = use, .params = params};
    LH_TRY(find_row(r->key, type, &b.row));
    return lh_custody_op_begin(r->h->options.crypto, &b, ret);
}

static lh_err operate(request *r)
{
    const lh_operate_request *o = &r->body.operate;
    LH_AUTO(lh_custody_op_freep) lh_custody_op *op = NULL;
    LH_TRY(begin(r, o->mechanism, lh_call_find(r->header.call)->use, o->params, &op));
    LH_TRY(lh_custody_op_finish(op, r->key->key, o->data, &r->output));
    reply_output(r);
    return LH_SUCCESS;
}

static lh_err op_begin(request *r)
{
    const lh_op_begin_request *b = &r->body.op_begin;
    lh_holder_stream *s = r->stream;
    if (s->operation_count >= LH_HOLDER_OPERATIONS)
        return LH_REFUSE(LH_E_LIMIT, "operations", "this connection has %u operations under way already",
            LH_HOLDER_OPERATIONS);
    const lh_mechanism *row = NULL;
    LH_TRY(find_row(r->key, b->mechanism, &row));
    if (!lh_mechanism_in_parts(row, b->use))
        return LH_REFUSE(
            LH_E_INVALID, "mechanism-use", "mechanism %s takes that in one part only", row->name);
    lh_holder_op *o = calloc(1, sizeof(*o));
    if (!o)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_err err = begin(r, b->mechanism, b->use, b->params, &o->op);
    if (!lh_ok(err)) {
        free(o);
        return err;
    }
    o->number = LH_HOLDER_OPERATION | ++r->h->next_operation;
    o->handle = b->handle;
    o->next = s->operations;
    s->operations = o;
    s->operation_count++;
    const lh_op_begin_reply value = {.operation = o->number};
    reply(r, &value);
    return LH_SUCCESS;
}

static void drop_op(lh_holder_stream *s, uint64_t number)
{
    for (lh_holder_op **at = &s->operations; *at; at = &(*at)->next) {
        lh_holder_op *o = *at;
        if (o->number != number)
            continue;
        *at = o->next;
        s->operation_count--;
        op_free(o);
        return;
    }
}

static lh_holder_op *find_op(const lh_holder_stream *s, uint64_t number)
{
    for (lh_holder_op *o = s->operations; o; o = o->next)
        if (o->number == number)
            return o;
    return NULL;
}

/* Where the TPM refuses the uses are asked for and it is tried again; anything else ends the operation. */
static lh_err op_continue(request *r)
{
    const bool last = r->header.call == LH_CALL_OP_FINISH;
    const uint64_t number = last ? r->body.op_finish.operation : r->body.op_update.operation;
    lh_holder_op *o = find_op(r->stream, number);
    if (!o)
        return LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "there is no such operation on this connection");
    r->key = lh_holder_find_key(r->stream, o->handle);
    lh_err err;
    if (!r->key)
        err = LH_REFUSE(
            LH_E_DENIED, "lease-expired", "the lease ran out in the middle of the operation; begin it again");
    else if (last)
        err = lh_custody_op_finish(o->op, r->key->key, r->body.op_finish.data, &r->output);
    else
        err = lh_custody_op_update(o->op, r->key->key, r->body.op_update.data, &r->output);
    if (err.code == LH_E_DENIED && strcmp(lh_err_last()->reason, "custody-uses") == 0)
        return err;
    if (!lh_ok(err) || last) {
        const lh_err_detail detail = *lh_err_last();
        drop_op(r->stream, number);
        if (!lh_ok(err))
            return lh_err_raise(
                err.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
    }
    reply_output(r);
    return LH_SUCCESS;
}

static lh_err op_cancel(request *r)
{
    drop_op(r->stream, r->body.op_cancel.operation);
    reply(r, NULL);
    return LH_SUCCESS;
}

static lh_err carry_out(request *r)
{
    switch (r->header.call) {
    case LH_CALL_OP_BEGIN: return op_begin(r);
    case LH_CALL_OP_UPDATE:
    case LH_CALL_OP_FINISH: return op_continue(r);
    case LH_CALL_OP_CANCEL: return op_cancel(r);
    default: return operate(r);
    }
}

/* --- refusals ---------------------------------------------------------------------------------------------
 */

/* More uses are asked for; the request waits for them. */
static lh_err ask_uses(request *r)
{
    lh_holder_key *k = r->key;
    lh_link_pin_ask ask = {.written = k->pin_written};
    LH_TRY(lh_lease_key_pin_begin(k->key, ask.nonce));
    memcpy(ask.lease, k->lease, sizeof(ask.lease));
    lh_buf_clear(&k->waits);
    lh_buf_append(&k->waits, r->message.data, r->message.len);
    LH_TRY(lh_buf_status(&k->waits));
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(256);
    LH_TRY(lh_shape_encode(lh_link_find(LH_LINK_PIN_ASK)->body, &ask, &body));
    k->pin_asked = true;
    r->h->options.send(r->h->options.arg, 0, LH_LINK_PIN_ASK, lh_buf_bytes(&body));
    return LH_SUCCESS;
}

static bool in_parts(const request *r)
{
    return r->header.call == LH_CALL_OP_UPDATE || r->header.call == LH_CALL_OP_FINISH;
}

/* The vault is asked: it gives another key for the same request, or refuses. */
static void relay(request *r)
{
    lh_holder_drop(r->h, r->key);
    pthread_mutex_lock(&r->h->mutex);
    lh_buf_clear(&r->stream->asked);
    lh_buf_append(&r->stream->asked, r->message.data, r->message.len);
    pthread_mutex_unlock(&r->h->mutex);
    r->h->options.relay(r->h->options.arg, r->stream->number, r->message);
}

static void settle(request *r, lh_err err)
{
    if (lh_ok(err))
        return;
    const lh_err_detail detail = *lh_err_last();
    const bool refused = strncmp(detail.reason, "custody-", 8) == 0 &&
                         (detail.foreign != 0 || strcmp(detail.reason, "custody-approval") == 0);
    if (r->key && strcmp(detail.reason, "custody-uses") == 0) {
        if (lh_ok(ask_uses(r)))
            return;
        const lh_err_detail why = *lh_err_last();
        reply_error(r, (lh_err){why.code}, &why);
        return;
    }
    const bool tpm = err.code == LH_E_TPM || err.code == LH_E_CORRUPT || err.code == LH_E_NOT_FOUND;
    if (r->key && (refused || (tpm && detail.foreign != 0))) {
        if (!r->given && !in_parts(r)) {
            relay(r);
            return;
        }
        lh_holder_drop(r->h, r->key);
    }
    reply_error(r, err, &detail);
}

static bool parse(request *r)
{
    lh_bytes body;
    return lh_ok(lh_message_decode(r->message, &r->header, &body)) &&
           lh_ok(lh_call_decode(&r->header, body, LH_KIND_TOKEN, LH_WIRE_VERSION_MAX, &r->body));
}

void lh_holder_serve(lh_holder *h, lh_holder_stream *s, lh_bytes message, bool given)
{
    request r = {
        .h = h, .stream = s, .message = message, .given = given, .output = LH_BUF_INIT(LH_WIRE_OUTPUT_MAX)};
    if (!parse(&r))
        return; /* it was parsed when it came */
    const bool begins = r.header.call != LH_CALL_OP_UPDATE && r.header.call != LH_CALL_OP_FINISH &&
                        r.header.call != LH_CALL_OP_CANCEL;
    if (begins) {
        const uint64_t handle =
            r.header.call == LH_CALL_OP_BEGIN ? r.body.op_begin.handle : r.body.operate.handle;
        r.key = lh_holder_find_key(s, handle);
        if (!r.key) {
            /* Dropped between the request's coming and its turn. */
            h->options.relay(h->options.arg, s->number, message);
            return;
        }
    }
    settle(&r, carry_out(&r));
    lh_buf_free(&r.output);
}

static void serve_request(lh_holder *h, const lh_holder_job *job)
{
    lh_holder_stream *s = lh_holder_find_stream(h, job->stream);
    if (s)
        lh_holder_serve(h, s, lh_buf_bytes(&job->bytes), false);
    if (s)
        lh_holder_discard_dropped(h, s);
}

void lh_holder_fail(
    lh_holder *h, lh_holder_stream *s, lh_bytes message, lh_err err, const lh_err_detail *detail)
{
    request r = {.h = h, .stream = s, .message = message};
    if (message.len == 0 || !parse(&r))
        return;
    if (in_parts(&r))
        drop_op(
            s, r.header.call == LH_CALL_OP_FINISH ? r.body.op_finish.operation : r.body.op_update.operation);
    reply_error(&r, err, detail);
}

void lh_holder_carry_out(lh_holder *h, lh_holder_job *job)
{
    lh_err err = LH_SUCCESS;
    switch (job->work) {
    case LH_HOLDER_REQUEST: serve_request(h, job); break;
    case LH_HOLDER_FRAME: err = lh_holder_take_frame(h, job); break;
    case LH_HOLDER_STREAM_END: drop_stream(h, job->stream); break;
    case LH_HOLDER_LINK_END: lh_holder_drop_streams(h); break;
    }
    if (!lh_ok(err))
        lh_log_line(
            LH_LEVEL_WARNING, "what the vault sent of a key for this host's TPM: %s", lh_err_last()->message);
}
