/* Slots, PINs and logins of one process. */
#include "object/application_internal.h"

#include "base/clock.h"
#include "codec/utf8.h"
#include "object/ticket.h"

#include <p11-kit/pkcs11.h>

/* What pools are sized by. There are pools that open 1024 sessions whatever they need, one per user of a
 * library (Go's crypto11): several must fit into one process. They are the module's own, and cost the daemon
 * nothing. */
#define SESSIONS_MAX 4096

bool lh_handle_is_standalone(uint64_t handle)
{
    return (handle & LH_HANDLE_STANDALONE) != 0;
}

lh_err lh_application_new(
    lh_partitions *partitions, const lh_application_options *options, lh_application **ret)
{
    LH_AUTO(lh_application_freep) lh_application *a = calloc(1, sizeof(*a));
    if (!a)
        return LH_RAISE(LH_E_NOMEM, 0);
    a->p = partitions;
    a->options = *options;
    LH_TRY(lh_index_new(&a->session_index));
    *ret = LH_TAKE(a);
    return LH_SUCCESS;
}

static void forget_login(lh_application *a, size_t i)
{
    lh_login *login = &a->logins[i];
    lh_partition_record record;
    lh_partition_look(a->p, login->partition, &record);
    if (atomic_fetch_sub(&login->partition->logins, 1) == 1) /* the last one of that partition */
        lh_key_cache_drop_slot(a->p->cache, record.number);
    lh_partition_unref(login->partition);
    *login = a->logins[--a->n_logins];
}

void lh_application_free(lh_application *a)
{
    if (!a)
        return;
    if (a->session_index)
        lh_session_objects_drop(a, UINT64_MAX, NULL, false);
    while (a->n_logins > 0)
        forget_login(a, a->n_logins - 1);
    lh_index_free(a->session_index);
    free(a->logins);
    free(a);
}

lh_asker lh_application_asker(const lh_application *a)
{
    return (lh_asker){.pid = (int32_t)a->options.pid, .uid = (uint32_t)a->options.uid};
}

/* --- places --- */

void lh_place_leave(lh_place *place)
{
    lh_partition_unref(place->partition);
    place->partition = NULL;
}

static bool is_current(const lh_login *login, const lh_partition_record *record)
{
    const lh_pin *pin = login->user == CKU_SO ? &record->so : &record->user;
    return login->token_generation == record->token_generation && login->pin_generation == pin->generation;
}

/* By a logout on another connection of the same process. */
static bool is_ended(lh_application *a, lh_login *login)
{
    const uint64_t seen = lh_logouts_count(a->p->logouts);
    if (login->logouts_seen == seen)
        return false;
    if (lh_logouts_has(a->p->logouts, login->id))
        return true;
    login->logouts_seen = seen;
    return false;
}

const lh_login *lh_application_login_in(
    lh_application *a, const lh_partition *partition, const lh_partition_record *record)
{
    for (size_t i = 0; i < a->n_logins; i++)
        if (a->logins[i].partition == partition && is_current(&a->logins[i], record) &&
            !is_ended(a, &a->logins[i]))
            return &a->logins[i];
    return NULL;
}

static enum lh_rules_user user_in(lh_application *a, const lh_place *place)
{
    const lh_login *login = lh_application_login_in(a, place->partition, &place->record);
    if (!login)
        return LH_RULES_PUBLIC;
    return login->user == CKU_SO ? LH_RULES_SO : LH_RULES_USER;
}

lh_err lh_application_enter(lh_application *a, uint64_t slot, lh_place *ret)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    LH_TRY(lh_partitions_find(a->p, slot, &partition));
    if (!lh_partition_allows_uid(a->p, partition, (uint32_t)a->options.uid) ||
        (a->options.may_see && !a->options.may_see(a->options.arg, slot)))
        return LH_REFUSE(
            LH_E_NOT_FOUND, "slot-id-invalid", "there is no partition %llu", (unsigned long long)slot);
    lh_place place = {.partition = partition};
    lh_partition_look(a->p, partition, &place.record);
    place.user = user_in(a, &place);
    *ret = place;
    (void)LH_TAKE(partition);
    return LH_SUCCESS;
}

lh_err lh_application_enter_token(lh_application *a, uint64_t slot, lh_place *ret)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    LH_TRY(lh_application_enter(a, slot, &place));
    if (!place.record.initialized)
        return LH_REFUSE(LH_E_STATE, "token-not-initialized", "this partition has not been initialised");
    *ret = place;
    place.partition = NULL;
    return LH_SUCCESS;
}

uint32_t lh_application_user(lh_application *a, uint64_t slot)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    if (!lh_ok(lh_application_enter(a, slot, &place)) || place.user == LH_RULES_PUBLIC)
        return UINT32_MAX;
    return (uint32_t)(place.user == LH_RULES_SO ? CKU_SO : CKU_USER);
}

/* --- slots --- */

lh_err lh_application_slots(lh_application *a, lh_buf *ret_slots)
{
    LH_AUTO(lh_freep) uint64_t *numbers = NULL;
    size_t count = 0;
    LH_TRY(lh_partitions_numbers(a->p, &numbers, &count));
    if (!a->p->options.standalone_first)
        lh_put_u64(ret_slots, LH_SLOT_LEASED);
    for (size_t i = 0; i < count; i++) {
        LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
        if (lh_ok(lh_application_enter(a, numbers[i], &place)))
            lh_put_u64(ret_slots, numbers[i]);
    }
    if (a->p->options.standalone_first)
        lh_put_u64(ret_slots, LH_SLOT_LEASED);
    return lh_buf_status(ret_slots);
}

static uint32_t pin_flags(const lh_pin_view *view, uint32_t low, uint32_t final, uint32_t locked)
{
    return (view->count_low ? low : 0) | (view->final_try ? final : 0) |
           (view->locked || view->wait_ms > 0 ? locked : 0);
}

lh_err lh_application_slot_info(lh_application *a, const lh_slot_request *r, lh_slot_info_reply *ret)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    char serial[LH_PARTITION_SERIAL_SIZE + 1];
    LH_TRY(lh_application_enter(a, r->slot, &place));
    const lh_partition_record *record = &place.record;
    int64_t now = lh_clock_boot_ms();
    lh_pin_view so = lh_pin_look(&record->so, a->p->options.boot_id, now);
    lh_pin_view user = lh_pin_look(&record->user, a->p->options.boot_id, now);
    lh_slot_info_reply info = {
        .state = LH_TOKEN_OPEN, .pin_min = LH_PIN_MIN, .pin_max = LH_PIN_MAX, .sessions_max = SESSIONS_MAX};
    pthread_rwlock_rdlock(&a->p->lock);
    lh_index_sums sums = lh_index_sums_of(place.partition->index);
    bool quorum_so = place.partition->quorum_so;
    pthread_rwlock_unlock(&a->p->lock);
    info.public_memory = sums.public_bytes;
    info.private_memory = sums.private_bytes;
    info.flags =
        pin_flags(
            &user, LH_TOKEN_FLAG_USER_COUNT_LOW, LH_TOKEN_FLAG_USER_FINAL_TRY, LH_TOKEN_FLAG_USER_LOCKED) |
        pin_flags(&so, LH_TOKEN_FLAG_SO_COUNT_LOW, LH_TOKEN_FLAG_SO_FINAL_TRY, LH_TOKEN_FLAG_SO_LOCKED);
    info.flags |= record->initialized ? LH_TOKEN_FLAG_INITIALIZED : 0;
    info.flags |= LH_TOKEN_FLAG_LOGIN_REQUIRED;
    info.flags |= record->user.set ? LH_TOKEN_FLAG_USER_PIN : 0;
    info.flags |= quorum_so ? LH_TOKEN_FLAG_QUORUM_SO : 0;
    memcpy(info.label, record->label, sizeof(info.label));
    lh_hex(place.partition->id, LH_PARTITION_SERIAL_SIZE / 2, serial);
    memcpy(info.serial, serial, sizeof(info.serial));
    *ret = info;
    return LH_SUCCESS;
}

/* --- PINs --- */

static lh_err refuse_quorum(lh_application *a, const lh_place *place)
{
    pthread_rwlock_rdlock(&a->p->lock);
    bool quorum_so = place->partition->quorum_so;
    pthread_rwlock_unlock(&a->p->lock);
    return quorum_so
               ? LH_REFUSE(LH_E_QUORUM, "partition-quorum",
                     "what this partition's security officer does takes a quorum of the vault's officers")
               : LH_SUCCESS;
}

struct init {
    lh_partitions *p;
    lh_token_init what;
    const lh_partition_record *expected;
};

static lh_err init_token(lh_record_txn *txn, void *arg)
{
    struct init *init = arg;
    lh_partition_record record;
    lh_err err = lh_partition_get_in(txn, init->what.partition, &record);
    if (err.code == LH_E_NOT_FOUND) /* blank */
        return lh_token_init_in(init->p, txn, &init->what);
    LH_TRY(err);
    if (record.initialized != init->expected->initialized ||
        record.token_generation != init->expected->token_generation ||
        record.so.generation != init->expected->so.generation)
        return LH_REFUSE(LH_E_DENIED, "pin-incorrect", "the partition has just been initialised by another");
    return lh_token_init_in(init->p, txn, &init->what);
}

lh_err lh_application_init_token(lh_application *a, const lh_init_token_request *r)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    lh_pin_verifier verifier;
    lh_partition_record expected;
    LH_TRY(lh_application_enter(a, r->slot, &place));
    LH_TRY(refuse_quorum(a, &place));
    struct init init = {.p = a->p,
        .what = {.partition = place.partition, .label = r->label, .asker = lh_application_asker(a)},
        .expected = &expected};
    if (place.record.initialized) {
        LH_TRY(
            lh_partition_check_pin(a->p, place.partition, LH_PIN_OF_SO, r->pin, init.what.asker, &expected));
    } else {
        LH_TRY(lh_pin_check_length(r->pin));
        LH_TRY(lh_pin_verifier_make(a->p->options.crypto, a->p->pepper, r->pin, &verifier));
        expected = place.record;
        init.what.verifier = &verifier;
    }
    LH_TRY(lh_records_write(a->p->options.records, init_token, &init));
    lh_session_objects_drop(a, UINT64_MAX, place.partition, false);
    return lh_partitions_refresh(a->p);
}

lh_err lh_application_init_pin(lh_application *a, const lh_init_pin_request *r)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    lh_partition_record now;
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(lh_pin_check_length(r->pin));
    LH_TRY(refuse_quorum(a, &place));
    if (place.user != LH_RULES_SO)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the security officer must be logged in");
    lh_pin_change change = {.partition = place.partition,
        .user = LH_PIN_OF_USER,
        .event = LH_EVENT_PIN_SET,
        .asker = lh_application_asker(a),
        .expected = &place.record};
    return lh_partition_change_pin(a->p, &change, r->pin, &now);
}

lh_err lh_application_set_pin(lh_application *a, const lh_set_pin_request *r)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    lh_partition_record checked;
    lh_partition_record now;
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(lh_pin_check_length(r->new_pin));
    enum lh_pin_user user = place.user == LH_RULES_SO ? LH_PIN_OF_SO : LH_PIN_OF_USER;
    if (user == LH_PIN_OF_SO)
        LH_TRY(refuse_quorum(a, &place));
    lh_asker asker = lh_application_asker(a);
    LH_TRY(lh_partition_check_pin(a->p, place.partition, user, r->old_pin, asker, &checked));
    lh_pin_change change = {.partition = place.partition,
        .user = user,
        .event = LH_EVENT_PIN_CHANGED,
        .asker = asker,
        .expected = &checked};
    LH_TRY(lh_partition_change_pin(a->p, &change, r->new_pin, &now));
    for (size_t i = 0; i < a->n_logins; i++) /* whoever changes it stays logged in */
        if (a->logins[i].partition == place.partition && is_current(&a->logins[i], &checked))
            a->logins[i].pin_generation = (a->logins[i].user == CKU_SO ? &now.so : &now.user)->generation;
    return LH_SUCCESS;
}

/* --- logins --- */

static void forget_logins_of(lh_application *a, const lh_partition *partition)
{
    for (size_t i = a->n_logins; i-- > 0;)
        if (a->logins[i].partition == partition)
            forget_login(a, i);
}

/* By a ticket, which has user and id; record: what it was allowed by. */
static lh_err add_login(
    lh_application *a, const lh_place *place, const lh_partition_record *record, const lh_ticket *ticket)
{
    const uint32_t user = ticket->user;
    forget_logins_of(a, place->partition); /* a void one */
    lh_login *logins = realloc(a->logins, (a->n_logins + 1) * sizeof(*logins));
    if (!logins)
        return LH_RAISE(LH_E_NOMEM, 0);
    a->logins = logins;
    a->logins[a->n_logins++] = (lh_login){.partition = lh_partition_ref(place->partition),
        .user = user,
        .token_generation = record->token_generation,
        .pin_generation = (user == CKU_SO ? &record->so : &record->user)->generation,
        .id = ticket->login,
        .logouts_seen = UINT64_MAX};
    atomic_fetch_add(&place->partition->logins, 1);
    return LH_SUCCESS;
}

static void fill_ticket(const lh_application *a, const lh_place *place, uint32_t user, lh_ticket *ret)
{
    const lh_partition_record *record = &place->record;
    lh_ticket ticket = {.partition = record->number,
        .token_generation = record->token_generation,
        .pin_generation = (user == CKU_SO ? &record->so : &record->user)->generation,
        .user = user,
        .pid = (uint32_t)a->options.pid,
        .start_time = a->options.start_time,
        .uid = (uint32_t)a->options.uid};
    memcpy(ticket.partition_id, place->partition->id, sizeof(ticket.partition_id));
    memcpy(ticket.boot_id, a->p->options.boot_id, sizeof(ticket.boot_id));
    *ret = ticket;
}

struct named {
    lh_application *a;
    const lh_place *place;
    const char *who;
    uint32_t user;
};

static lh_err log_named(lh_record_txn *txn, void *arg)
{
    const struct named *named = arg;
    lh_asker asker = lh_application_asker(named->a);
    lh_partition_event event = {.kind = LH_EVENT_LOGIN,
        .user = named->user == CKU_SO ? "so" : "user",
        .who = named->who,
        .pid = asker.pid,
        .uid = asker.uid};
    return lh_partition_event_in(named->a->p, txn, &named->place->record, &event);
}

static lh_err check_name(lh_bytes name, char ret[LH_WIRE_USER_NAME_MAX + 1])
{
    if (name.len > LH_WIRE_USER_NAME_MAX || (name.len > 0 && !lh_utf8_is_label(name, LH_WIRE_USER_NAME_MAX)))
        return LH_REFUSE(LH_E_INVALID, "arguments-bad", "the user's name is not one line of readable text");
    memcpy(ret, name.len > 0 ? (const char *)name.data : "", name.len);
    ret[name.len] = '\0';
    return LH_SUCCESS;
}

/* One operation with a key that asks for its PIN each time. */
static lh_err login_context(lh_application *a, const lh_login_request *r, lh_place *place)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    lh_find find = {
        .handle = r->handle, .may_wait = true, .keep = true, .missing = "operation-not-initialized"};
    lh_partition_record record;
    a->context_handle = 0;
    if (place->user != LH_RULES_USER)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the user must be logged in");
    LH_TRY(lh_application_find(a, &find, NULL, &found));
    if (found.place.partition != place->partition || !lh_rules_asks_login(lh_live_attributes(found.live)))
        return LH_REFUSE(LH_E_STATE, "operation-not-initialized", "this key asks for no login of its own");
    LH_TRY(lh_partition_check_pin(
        a->p, place->partition, LH_PIN_OF_USER, r->pin, lh_application_asker(a), &record));
    a->context_handle = r->handle;
    return LH_SUCCESS;
}

static lh_err check_login(lh_application *a, const lh_login_request *r, const lh_place *place)
{
    if (r->user != CKU_SO && r->user != CKU_USER)
        return LH_REFUSE(LH_E_INVALID, "user-type-invalid", "no such type of user");
    if (place->user != LH_RULES_PUBLIC)
        return (place->user == LH_RULES_SO) == (r->user == CKU_SO)
                   ? LH_REFUSE(LH_E_STATE, "user-already-logged-in", "already logged in")
                   : LH_REFUSE(LH_E_STATE, "user-another-already-logged-in", "the other user is logged in");
    return r->user == CKU_SO ? refuse_quorum(a, place) : LH_SUCCESS;
}

lh_err lh_application_login(lh_application *a, const lh_login_request *r, lh_buf *ret_ticket)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    char who[LH_WIRE_USER_NAME_MAX + 1];
    lh_partition_record record;
    lh_ticket ticket;
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(check_name(r->name, who));
    if (r->user == CKU_CONTEXT_SPECIFIC)
        return login_context(a, r, &place);
    LH_TRY(check_login(a, r, &place));
    LH_TRY(lh_partition_check_pin(a->p, place.partition, r->user == CKU_SO ? LH_PIN_OF_SO : LH_PIN_OF_USER,
        r->pin, lh_application_asker(a), &record));
    place.record = record;
    fill_ticket(a, &place, r->user, &ticket);
    ticket.login = lh_logouts_new_login(a->p->logouts);
    LH_TRY(
        lh_ticket_seal(a->p->options.crypto, a->p->ticket_key, a->p->options.vault_id, &ticket, ret_ticket));
    struct named named = {a, &place, who, r->user};
    if (who[0])
        LH_TRY(lh_records_write(a->p->options.records, log_named, &named));
    return add_login(a, &place, &record, &ticket);
}

lh_err lh_application_resume(lh_application *a, const lh_resume_request *r, uint32_t *ret_user)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    lh_ticket ticket;
    lh_ticket expected;
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(
        lh_ticket_open(a->p->options.crypto, a->p->ticket_key, a->p->options.vault_id, r->ticket, &ticket));
    fill_ticket(a, &place, ticket.user, &expected);
    expected.partition = ticket.partition; /* its number may change, its id never does */
    if ((ticket.user != CKU_SO && ticket.user != CKU_USER) || ticket.pid != expected.pid ||
        ticket.uid != expected.uid || ticket.start_time != expected.start_time ||
        ticket.token_generation != expected.token_generation ||
        ticket.pin_generation != expected.pin_generation ||
        memcmp(ticket.partition_id, expected.partition_id, sizeof(ticket.partition_id)) != 0 ||
        memcmp(ticket.boot_id, expected.boot_id, sizeof(ticket.boot_id)) != 0 ||
        lh_logouts_has(a->p->logouts, ticket.login))
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "this login cannot be resumed: log in again");
    if (ticket.user == CKU_SO)
        LH_TRY(refuse_quorum(a, &place));
    LH_TRY(add_login(a, &place, &place.record, &ticket));
    *ret_user = ticket.user;
    return LH_SUCCESS;
}

lh_err lh_application_logout(lh_application *a, const lh_slot_request *r)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    LH_TRY(lh_application_enter(a, r->slot, &place));
    a->context_handle = 0;
    for (size_t i = 0; i < a->n_logins; i++)
        if (a->logins[i].partition == place.partition)
            lh_logouts_add(a->p->logouts, a->logins[i].id);
    forget_logins_of(a, place.partition);
    lh_session_objects_drop(a, UINT64_MAX, place.partition, true);
    if (place.user == LH_RULES_PUBLIC)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "nobody is logged in");
    return LH_SUCCESS;
}
