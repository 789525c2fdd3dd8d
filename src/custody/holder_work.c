/* What the holder does on its thread: carries out requests with the keys it has, and takes what the vault
 * sends. */
#include "custody/holder_internal.h"

#include "base/log_line.h"

#include <stdio.h>

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

static void key_free(lh_holder_key *k)
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
static void drop(lh_holder *h, lh_holder_key *k)
{
    pthread_mutex_lock(&h->mutex);
    k->dropped = true;
    pthread_mutex_unlock(&h->mutex);
}

/* Take a key out of its stream's list and free it. */
static void discard(lh_holder *h, lh_holder_stream *s, lh_holder_key *k)
{
    pthread_mutex_lock(&h->mutex);
    for (lh_holder_key **at = &s->keys; *at; at = &(*at)->next)
        if (*at == k) {
            *at = k->next;
            break;
        }
    pthread_mutex_unlock(&h->mutex);
    key_free(k);
}

static void discard_dropped(lh_holder *h, lh_holder_stream *s)
{
    for (lh_holder_key *next, *k = s->keys; k; k = next) {
        next = k->next;
        if (k->dropped && k->waits.len == 0)
            discard(h, s, k);
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
        key_free(k);
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

static lh_holder_key *key_of_lease(
    lh_holder *h, const uint8_t lease[LH_LEASE_KEY_REF], lh_holder_stream **ret)
{
    for (lh_holder_stream *s = h->streams; s; s = s->next)
        for (lh_holder_key *k = s->keys; k; k = k->next)
            if (!k->dropped && memcmp(k->lease, lease, LH_LEASE_KEY_REF) == 0) {
                *ret = s;
                return k;
            }
    return NULL;
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
    drop(r->h, r->key);
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
        drop(r->h, r->key);
    }
    reply_error(r, err, &detail);
}

static bool parse(request *r)
{
    lh_bytes body;
    return lh_ok(lh_message_decode(r->message, &r->header, &body)) &&
           lh_ok(lh_call_decode(&r->header, body, LH_KIND_TOKEN, LH_WIRE_VERSION_MAX, &r->body));
}

static void serve(lh_holder *h, lh_holder_stream *s, lh_bytes message, bool given)
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
        serve(h, s, lh_buf_bytes(&job->bytes), false);
    if (s)
        discard_dropped(h, s);
}

/* --- what the vault sends ---------------------------------------------------------------------------------
 */

static lh_err answer_storage(lh_holder *h, const lh_link_storage_ask *ask)
{
    lh_buf parts[5];
    for (size_t i = 0; i < LH_ARRAY_LEN(parts); i++)
        parts[i] = LH_BUF_INIT(LH_LINK_CUSTODY_MAX);
    lh_err err = LH_SUCCESS;
    if (ask->storage)
        err = lh_tpm_storage_certify(h->options.tpm, ask->nonce, &parts[0], &parts[1], &parts[2]);
    if (lh_ok(err))
        err = lh_tpm_get_time(h->options.tpm, ask->nonce, &parts[3], &parts[4]);
    lh_link_storage answer = {0};
    if (lh_ok(err)) {
        answer.storage_public = lh_buf_bytes(&parts[0]);
        answer.certify = lh_buf_bytes(&parts[1]);
        answer.certify_signature = lh_buf_bytes(&parts[2]);
        answer.time = lh_buf_bytes(&parts[3]);
        answer.time_signature = lh_buf_bytes(&parts[4]);
    } else {
        const lh_err_detail *d = lh_err_last();
        lh_log_line(LH_LEVEL_WARNING, "the TPM does not say what the vault asks of it: %s", d->message);
        snprintf(answer.reason, sizeof(answer.reason), "%s", d->reason[0] ? d->reason : "tpm-error");
    }
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LINK_FRAME_MAX);
    err = lh_shape_encode(lh_link_find(LH_LINK_STORAGE)->body, &answer, &body);
    if (lh_ok(err))
        h->options.send(h->options.arg, 0, LH_LINK_STORAGE, lh_buf_bytes(&body));
    for (size_t i = 0; i < LH_ARRAY_LEN(parts); i++)
        lh_buf_free(&parts[i]);
    return err;
}

static lh_err import(lh_holder *h, const lh_link_lease_key *f, lh_holder_key *k)
{
    lh_lease_key_package package = {.public_area = f->public_area,
        .duplicate = f->duplicate,
        .seed = f->seed,
        .approver = f->approver,
        .pcr_mask = f->pcr_mask,
        .reset_count = f->reset_count,
        .restart_count = f->restart_count,
        .pin_index = f->pin_index};
    memcpy(package.lease, f->lease, sizeof(package.lease));
    lh_buf_append(&k->public_area, f->public_area.data, f->public_area.len);
    LH_TRY(lh_buf_status(&k->public_area));
    return lh_lease_key_import(h->options.tpm, &package, &k->key);
}

static lh_err make_key(lh_holder *h, lh_holder_stream *s, const lh_link_lease_key *f, lh_holder_key **ret)
{
    lh_holder_key *k = calloc(1, sizeof(*k));
    if (!k)
        return LH_RAISE(LH_E_NOMEM, 0);
    k->handle = f->handle;
    k->kind = (enum lh_key_kind)f->kind;
    k->counted = f->pin_index != 0;
    k->public_area = LH_BUF_INIT(LH_LEASE_KEY_PUBLIC_MAX);
    k->waits = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    memcpy(k->lease, f->lease, sizeof(k->lease));
    lh_err err = import(h, f, k);
    if (!lh_ok(err)) {
        const lh_err_detail d = *lh_err_last();
        key_free(k);
        return lh_err_raise(err.code, d.foreign, d.file, d.line, d.reason, "%s", d.message);
    }
    pthread_mutex_lock(&h->mutex);
    k->next = s->keys;
    s->keys = k;
    pthread_mutex_unlock(&h->mutex);
    *ret = k;
    return LH_SUCCESS;
}

static void take_mechanisms(lh_holder_key *k, lh_bytes mechanisms)
{
    lh_reader r = lh_reader_new(mechanisms);
    k->mechanism_count = 0;
    while (r.left >= 8 && k->mechanism_count < LH_HOLDER_MECHANISMS)
        k->mechanisms[k->mechanism_count++] = lh_read_u64(&r);
}

/* The same lease's key, if it is the same; otherwise it gives way. */
static lh_holder_key *same_key(lh_holder *h, lh_holder_stream *s, const lh_link_lease_key *f)
{
    for (lh_holder_key *next, *k = s->keys; k; k = next) {
        next = k->next;
        if (k->handle != f->handle && memcmp(k->lease, f->lease, sizeof(k->lease)) != 0)
            continue;
        if (k->handle == f->handle && memcmp(k->lease, f->lease, sizeof(k->lease)) == 0 &&
            lh_bytes_equal(lh_buf_bytes(&k->public_area), f->public_area)) {
            pthread_mutex_lock(&h->mutex);
            k->dropped = false;
            pthread_mutex_unlock(&h->mutex);
            return k;
        }
        discard(h, s, k);
    }
    return NULL;
}

static lh_err install(lh_holder *h, lh_holder_stream *s, const lh_link_lease_key *f)
{
    if (!lh_key_row_by_kind((enum lh_key_kind)f->kind) || f->expiration > INT32_MAX || f->expiration == 0)
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "the vault's lease_key makes no sense");
    lh_holder_key *k = same_key(h, s, f);
    if (!k)
        LH_TRY(make_key(h, s, f, &k));
    take_mechanisms(k, f->mechanisms);
    return lh_lease_key_approve(k->key, (int32_t)f->expiration, f->signature);
}

/* The request that was relayed, if that is the one: it is taken out. Empty: it is not. */
static lh_err take_asked(lh_holder *h, lh_holder_stream *s, uint64_t id, lh_buf *ret)
{
    pthread_mutex_lock(&h->mutex);
    lh_buf_append(ret, s->asked.data, s->asked.len);
    request r = {.message = lh_buf_bytes(ret)};
    if (ret->len > 0 && parse(&r) && r.header.id == id)
        lh_buf_clear(&s->asked);
    else
        lh_buf_clear(ret);
    pthread_mutex_unlock(&h->mutex);
    return lh_buf_status(ret);
}

static lh_err take_lease_key(lh_holder *h, uint32_t number, const lh_link_lease_key *f)
{
    LH_AUTO(lh_buf_free) lh_buf asked = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    pthread_mutex_lock(&h->mutex);
    lh_holder_stream *s = lh_holder_find_stream(h, number);
    pthread_mutex_unlock(&h->mutex);
    if (!s)
        return LH_SUCCESS; /* closed meanwhile */
    LH_TRY(take_asked(h, s, f->request, &asked));
    if (asked.len == 0)
        return LH_REFUSE(
            LH_E_PROTOCOL, "link-protocol", "the vault gave a key for a request that was not made");
    lh_err err = install(h, s, f);
    if (lh_ok(err)) {
        serve(h, s, lh_buf_bytes(&asked), true);
    } else {
        const lh_err_detail detail = *lh_err_last();
        request r = {.h = h, .stream = s, .message = lh_buf_bytes(&asked)};
        (void)parse(&r); /* as before */
        reply_error(&r, err, &detail);
    }
    discard_dropped(h, s);
    return LH_SUCCESS;
}

static lh_err take_approval(lh_holder *h, const lh_link_approval *f)
{
    lh_holder_stream *s = NULL;
    lh_holder_key *k = key_of_lease(h, f->lease, &s);
    if (!k || f->expiration == 0 || f->expiration > INT32_MAX)
        return LH_SUCCESS;
    return lh_lease_key_approve(k->key, (int32_t)f->expiration, f->signature);
}

/* The request that waits for uses gets none. */
static void fail_waiting(
    lh_holder *h, lh_holder_stream *s, lh_holder_key *k, lh_err err, const lh_err_detail *detail)
{
    request r = {.h = h, .stream = s, .message = lh_buf_bytes(&k->waits), .key = k};
    if (k->waits.len > 0 && parse(&r)) {
        if (in_parts(&r))
            drop_op(s,
                r.header.call == LH_CALL_OP_FINISH ? r.body.op_finish.operation : r.body.op_update.operation);
        reply_error(&r, err, detail);
    }
    lh_buf_clear(&k->waits);
}

static lh_err take_withdraw(lh_holder *h, const lh_link_withdraw *f)
{
    lh_holder_stream *s = NULL;
    lh_holder_key *k = key_of_lease(h, f->lease, &s);
    if (!k)
        return LH_SUCCESS;
    lh_err err = LH_REFUSE(LH_E_GONE, "lease-ended", "the lease ended: %.63s", f->reason);
    const lh_err_detail detail = *lh_err_last();
    fail_waiting(h, s, k, err, &detail);
    drop(h, k);
    discard_dropped(h, s);
    return LH_SUCCESS;
}

static lh_err take_pin(lh_holder *h, const lh_link_pin *f)
{
    lh_holder_stream *s = NULL;
    lh_holder_key *k = key_of_lease(h, f->lease, &s);
    if (!k || !k->pin_asked)
        return LH_SUCCESS;
    k->pin_asked = false;
    lh_err err = f->limit > 0 ? lh_lease_key_pin_finish(k->key, f->limit, f->signature)
                              : LH_REFUSE(LH_E_DENIED, "lease-spent",
                                    "all uses that the lease allows have been taken; a new one may be had "
                                    "when it has run out");
    if (!lh_ok(err)) {
        const lh_err_detail detail = *lh_err_last();
        fail_waiting(h, s, k, err, &detail);
        return LH_SUCCESS;
    }
    k->pin_written = true;
    lh_buf message = k->waits;
    k->waits = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (message.len > 0)
        serve(h, s, lh_buf_bytes(&message), false);
    lh_buf_free(&message);
    discard_dropped(h, s);
    return LH_SUCCESS;
}

static lh_err take_frame(lh_holder *h, const lh_holder_job *job)
{
    lh_link_any any;
    const lh_link_frame frame = {lh_link_find(job->type), job->stream, lh_buf_bytes(&job->bytes)};
    LH_TRY(lh_link_decode_body(&frame, &any));
    switch (job->type) {
    case LH_LINK_STORAGE_ASK: return answer_storage(h, &any.storage_ask);
    case LH_LINK_LEASE_KEY: return take_lease_key(h, job->stream, &any.lease_key);
    case LH_LINK_APPROVAL: return take_approval(h, &any.approval);
    case LH_LINK_WITHDRAW: return take_withdraw(h, &any.withdraw);
    case LH_LINK_PIN: return take_pin(h, &any.pin);
    default: return LH_SUCCESS;
    }
}

void lh_holder_carry_out(lh_holder *h, lh_holder_job *job)
{
    lh_err err = LH_SUCCESS;
    switch (job->work) {
    case LH_HOLDER_REQUEST: serve_request(h, job); break;
    case LH_HOLDER_FRAME: err = take_frame(h, job); break;
    case LH_HOLDER_STREAM_END: drop_stream(h, job->stream); break;
    case LH_HOLDER_LINK_END: lh_holder_drop_streams(h); break;
    }
    if (!lh_ok(err))
        lh_log_line(
            LH_LEVEL_WARNING, "what the vault sent of a key for this host's TPM: %s", lh_err_last()->message);
}
