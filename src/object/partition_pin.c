/* PINs: checking, counting and changing them. The count rises on the disk before a PIN is looked at, so that
 * neither a crash nor a full disk gives free guesses. */
#include "object/partition_internal.h"

#include "base/clock.h"
#include "crypto/hash.h"

#define WRONG_EVENT_MS 60000

static lh_pin *pin_of(lh_partition_record *record, enum lh_pin_user user)
{
    return user == LH_PIN_OF_SO ? &record->so : &record->user;
}

static const char *user_name(enum lh_pin_user user)
{
    return user == LH_PIN_OF_SO ? "so" : "user";
}

/* --- what is known of the right PIN --- */

static lh_err tag_of(
    lh_partitions *p, const lh_partition *partition, lh_bytes pin, uint8_t ret[LH_SHA256_SIZE])
{
    lh_bytes parts[] = {LH_BYTES(partition->id, sizeof(partition->id)), pin};
    return lh_hmac_sha256(p->options.crypto, lh_secret_bytes(p->known_key), parts, 2, ret);
}

static void forget(lh_partition *partition, enum lh_pin_user user)
{
    explicit_bzero(&partition->known[user], sizeof(partition->known[user]));
}

static void remember(
    lh_partitions *p, lh_partition *partition, enum lh_pin_user user, uint64_t generation, lh_bytes pin)
{
    lh_known_pin known = {.set = true, .generation = generation};
    if (lh_ok(tag_of(p, partition, pin, known.tag)))
        partition->known[user] = known;
}

/* --- transactions --- */

struct attempt {
    lh_partitions *p;
    lh_partition *partition;
    enum lh_pin_user user;
    lh_asker asker;
    bool wrong;                 /* known to be, before it is counted */
    bool log_wrong;             /* an entry is due */
    lh_partition_record record; /* as it is afterwards */
};

static lh_err refuse_locked(const lh_pin_view *view)
{
    if (view->locked)
        return LH_REFUSE(
            LH_E_DENIED, "pin-locked", "the PIN is locked: too many wrong ones. It must be set anew");
    return LH_REFUSE(LH_E_DENIED, "pin-locked", "too many wrong PINs: the next try is taken in %lld seconds",
        (long long)((view->wait_ms + 999) / 1000));
}

static lh_err check_state(const lh_partitions *p, lh_partition_record *record, enum lh_pin_user user)
{
    const lh_pin *pin = pin_of(record, user);
    if (!record->initialized)
        return LH_REFUSE(LH_E_STATE, "token-not-initialized", "this partition has not been initialised");
    if (!pin->set && user == LH_PIN_OF_USER)
        return LH_REFUSE(LH_E_STATE, "user-pin-not-initialized", "the partition's user PIN has not been set");
    if (!pin->set)
        return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "this partition has no SO PIN");
    lh_pin_view view = lh_pin_look(pin, p->options.boot_id, lh_clock_boot_ms());
    return view.locked || view.wait_ms > 0 ? refuse_locked(&view) : LH_SUCCESS;
}

static lh_err log_wrong(struct attempt *a, lh_record_txn *txn)
{
    lh_partition_event event = {.kind = LH_EVENT_PIN_WRONG,
        .user = user_name(a->user),
        .pid = a->asker.pid,
        .uid = a->asker.uid,
        .count = a->partition->wrong[a->user]};
    LH_TRY(lh_partition_event_in(a->p, txn, &a->record, &event));
    if (pin_of(&a->record, a->user)->failures < LH_PIN_FINAL_FAILURES)
        return LH_SUCCESS;
    event.kind = LH_EVENT_PIN_LOCKED;
    event.count = LH_PIN_FINAL_FAILURES;
    return lh_partition_event_in(a->p, txn, &a->record, &event);
}

static lh_err count_try(lh_record_txn *txn, void *arg)
{
    struct attempt *a = arg;
    LH_TRY(lh_partition_get_in(txn, a->partition, &a->record));
    LH_TRY(check_state(a->p, &a->record, a->user)); /* another may have counted meanwhile */
    lh_pin_count(pin_of(&a->record, a->user), a->p->options.boot_id, lh_clock_boot_ms());
    LH_TRY(lh_partition_put_in(a->p, txn, a->partition, &a->record));
    return a->wrong && a->log_wrong ? log_wrong(a, txn) : LH_SUCCESS;
}

static lh_err end_right(lh_record_txn *txn, void *arg)
{
    struct attempt *a = arg;
    uint64_t generation = pin_of(&a->record, a->user)->generation;
    LH_TRY(lh_partition_get_in(txn, a->partition, &a->record));
    lh_pin *pin = pin_of(&a->record, a->user);
    if (pin->generation != generation || !pin->set)
        return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "the PIN has just been changed");
    lh_pin_succeed(pin);
    return lh_partition_put_in(a->p, txn, a->partition, &a->record);
}

static lh_err end_wrong(lh_record_txn *txn, void *arg)
{
    return log_wrong(arg, txn);
}

/* --- checking --- */

static lh_err refuse_wrong(void)
{
    return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "the PIN is wrong");
}

/* One more wrong one: is an entry of the log due? */
static bool note_wrong(struct attempt *a, bool last)
{
    lh_partition *partition = a->partition;
    int64_t now = lh_clock_boot_ms();
    int64_t logged = partition->wrong_logged_ms[a->user];
    partition->wrong[a->user]++;
    return last || logged == 0 || now - logged >= WRONG_EVENT_MS;
}

static void wrong_was_logged(struct attempt *a)
{
    a->partition->wrong[a->user] = 0;
    a->partition->wrong_logged_ms[a->user] = lh_clock_boot_ms();
}

/* The right PIN of this generation is known. */
static lh_err check_known(struct attempt *a, bool right)
{
    lh_records *records = a->p->options.records;
    if (right)
        return pin_of(&a->record, a->user)->failures == 0 ? LH_SUCCESS
                                                          : lh_records_write(records, end_right, a);
    a->wrong = true;
    a->log_wrong = note_wrong(a, pin_of(&a->record, a->user)->failures + 1 >= LH_PIN_FINAL_FAILURES);
    lh_err err = lh_records_write(records, count_try, a);
    if (!lh_ok(err)) {
        forget(a->partition, a->user); /* not counted: the next one is, before it is looked at */
        return err;
    }
    if (a->log_wrong)
        wrong_was_logged(a);
    return refuse_wrong();
}

static lh_err check_unknown(struct attempt *a, lh_bytes pin)
{
    lh_records *records = a->p->options.records;
    bool right = false;
    LH_TRY(lh_records_write(records, count_try, a));
    lh_pin tried = *pin_of(&a->record, a->user);
    LH_TRY(lh_pin_verifier_check(a->p->options.crypto, a->p->pepper, &tried.verifier, pin, &right));
    if (right) {
        LH_TRY(lh_records_write(records, end_right, a));
        remember(a->p, a->partition, a->user, tried.generation, pin);
        return LH_SUCCESS;
    }
    if (note_wrong(a, tried.failures >= LH_PIN_FINAL_FAILURES)) {
        LH_TRY(lh_records_write(records, end_wrong, a));
        wrong_was_logged(a);
    }
    return refuse_wrong();
}

static lh_err check_pin(struct attempt *a, lh_bytes pin)
{
    uint8_t tag[LH_SHA256_SIZE];
    const lh_known_pin *known = &a->partition->known[a->user];
    lh_partition_look(a->p, a->partition, &a->record);
    LH_TRY(check_state(a->p, &a->record, a->user));
    if (!known->set || known->generation != pin_of(&a->record, a->user)->generation)
        return check_unknown(a, pin);
    LH_TRY(tag_of(a->p, a->partition, pin, tag));
    return check_known(a, lh_equal_ct(tag, known->tag, sizeof(tag)));
}

lh_err lh_partition_check_pin(lh_partitions *p, lh_partition *partition, enum lh_pin_user user, lh_bytes pin,
    lh_asker asker, lh_partition_record *ret)
{
    struct attempt a = {.p = p, .partition = partition, .user = user, .asker = asker};
    /* A PIN of another length is wrong, and counts: the bounds hold for setting one. */
    if (pin.len > LH_PIN_MAX)
        return LH_REFUSE(LH_E_INVALID, "pin-len-range", "a PIN has at most %u bytes", LH_PIN_MAX);
    pthread_mutex_lock(&partition->pin_lock);
    lh_err err = check_pin(&a, pin);
    pthread_mutex_unlock(&partition->pin_lock);
    LH_TRY(err);
    *ret = a.record;
    return LH_SUCCESS;
}

/* --- changing --- */

struct change {
    lh_partitions *p;
    const lh_pin_change *what;
    const lh_pin_verifier *verifier;
    lh_partition_record record;
};

static lh_err change_pin(lh_record_txn *txn, void *arg)
{
    struct change *c = arg;
    const lh_pin_change *what = c->what;
    LH_TRY(lh_partition_get_in(txn, what->partition, &c->record));
    if (what->expected && (c->record.token_generation != what->expected->token_generation ||
                              c->record.so.generation != what->expected->so.generation ||
                              c->record.user.generation != what->expected->user.generation))
        return LH_REFUSE(LH_E_STATE, "user-not-logged-in", "the partition or its PIN has just been changed");
    if (!c->record.initialized)
        return LH_REFUSE(LH_E_STATE, "token-not-initialized", "this partition has not been initialised");
    lh_pin_set(pin_of(&c->record, what->user), c->verifier);
    LH_TRY(lh_partition_put_in(c->p, txn, what->partition, &c->record));
    lh_partition_event event = {
        .kind = what->event, .user = user_name(what->user), .pid = what->asker.pid, .uid = what->asker.uid};
    return lh_partition_event_in(c->p, txn, &c->record, &event);
}

lh_err lh_partition_change_pin(
    lh_partitions *p, const lh_pin_change *change, lh_bytes pin, lh_partition_record *ret)
{
    lh_pin_verifier verifier;
    LH_TRY(lh_pin_check_length(pin));
    LH_TRY(lh_pin_verifier_make(p->options.crypto, p->pepper, pin, &verifier));
    struct change c = {.p = p, .what = change, .verifier = &verifier};
    LH_TRY(lh_records_write(p->options.records, change_pin, &c));
    *ret = c.record;
    return LH_SUCCESS;
}

/* --- what a quorum decided --- */

lh_err lh_pin_verifier_new(lh_partitions *p, lh_bytes pin, lh_buf *ret_verifier)
{
    lh_pin_verifier verifier;
    LH_TRY(lh_pin_check_length(pin));
    LH_TRY(lh_pin_verifier_make(p->options.crypto, p->pepper, pin, &verifier));
    lh_pin_verifier_put(&verifier, ret_verifier);
    return lh_buf_status(ret_verifier);
}

static lh_err set_user_pin_in(lh_partitions *p, lh_record_txn *txn, uint64_t number, lh_bytes verifier)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    lh_pin_verifier decoded;
    LH_TRY(lh_pin_verifier_decode(verifier, &decoded));
    LH_TRY(lh_partitions_find(p, number, &partition));
    lh_pin_change what = {.partition = partition, .user = LH_PIN_OF_USER, .event = LH_EVENT_PIN_SET};
    struct change c = {.p = p, .what = &what, .verifier = &decoded};
    lh_err err = change_pin(txn, &c);
    return err.code == LH_E_NOT_FOUND /* the blank one */
               ? LH_REFUSE(LH_E_STATE, "token-not-initialized", "this partition has not been initialised")
               : err;
}

static lh_err initialize_in(
    lh_partitions *p, lh_record_txn *txn, uint64_t number, const char *label, lh_bytes so_pin_verifier)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    uint8_t padded[LH_PARTITION_LABEL_SIZE];
    lh_pin_verifier decoded;
    size_t len = strlen(label);
    if (len > sizeof(padded))
        return LH_REFUSE(LH_E_INVALID, "partition-label", "a label has at most %zu bytes", sizeof(padded));
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, label, len);
    if (so_pin_verifier.len > 0)
        LH_TRY(lh_pin_verifier_decode(so_pin_verifier, &decoded));
    LH_TRY(lh_partitions_find(p, number, &partition));
    lh_token_init init = {
        .partition = partition, .label = padded, .verifier = so_pin_verifier.len > 0 ? &decoded : NULL};
    return lh_token_init_in(p, txn, &init);
}

struct decided {
    lh_partitions *p;
    uint64_t number;
    const char *label;
    lh_bytes verifier;
};

static lh_err initialize(lh_record_txn *txn, void *arg)
{
    const struct decided *d = arg;
    return initialize_in(d->p, txn, d->number, d->label, d->verifier);
}

lh_err lh_partitions_initialize(
    lh_partitions *p, uint64_t number, const char *label, lh_bytes so_pin_verifier)
{
    struct decided d = {p, number, label, so_pin_verifier};
    LH_TRY(lh_records_write(p->options.records, initialize, &d));
    return lh_partitions_refresh(p);
}

static lh_err set_user_pin(lh_record_txn *txn, void *arg)
{
    const struct decided *d = arg;
    return set_user_pin_in(d->p, txn, d->number, d->verifier);
}

lh_err lh_partitions_set_user_pin(lh_partitions *p, uint64_t number, lh_bytes verifier)
{
    struct decided d = {p, number, "", verifier};
    return lh_records_write(p->options.records, set_user_pin, &d);
}
