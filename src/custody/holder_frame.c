/* What the vault sends of keys: taken on the holder's thread. */
#include "custody/holder_internal.h"

#include "base/log_line.h"

#include <stdio.h>

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
        lh_holder_key_free(k);
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
        lh_holder_discard(h, s, k);
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
    if (!k) /* for compilers that do not see that a success has made one */
        return LH_RAISE(LH_E_INTERNAL, 0);
    take_mechanisms(k, f->mechanisms);
    return lh_lease_key_approve(k->key, (int32_t)f->expiration, f->signature);
}

/* The request that was relayed, if that is the one: it is taken out. Empty: it is not. */
static lh_err take_asked(lh_holder *h, lh_holder_stream *s, uint64_t id, lh_buf *ret)
{
    pthread_mutex_lock(&h->mutex);
    lh_buf_append(ret, s->asked.data, s->asked.len);
    lh_message_header header;
    lh_bytes body;
    if (ret->len > 0 && lh_ok(lh_message_decode(lh_buf_bytes(ret), &header, &body)) && header.id == id)
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
        lh_holder_serve(h, s, lh_buf_bytes(&asked), true);
    } else {
        const lh_err_detail detail = *lh_err_last();
        lh_holder_fail(h, s, lh_buf_bytes(&asked), err, &detail);
    }
    lh_holder_discard_dropped(h, s);
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
    lh_holder_fail(h, s, lh_buf_bytes(&k->waits), err, detail);
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
    lh_holder_drop(h, k);
    lh_holder_discard_dropped(h, s);
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
        lh_holder_serve(h, s, lh_buf_bytes(&message), false);
    lh_buf_free(&message);
    lh_holder_discard_dropped(h, s);
    return LH_SUCCESS;
}

lh_err lh_holder_take_frame(lh_holder *h, const lh_holder_job *job)
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
