/* Keys in hosts' TPMs: given, approved anew, withdrawn.
 *
 * Invariants:
 *  1. An approval is signed only for a lease that is live, and lasts no longer than the lease, than the
 *     freshness of the host's last good evidence, and than LH_CUSTODY_APPROVAL_MS.
 *  2. It counts from a TPM Time that the host's attestation key has signed over a nonce of ours, and that is
 * no older than LH_CUSTODY_TIME_MS: whoever slows the TPM's clock gains no more than it slows in that time.
 *  3. Counted uses are taken from the lease, durably, before the write of the index is signed. */
#include "vault/custody.h"

#include "base/clock.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "tpm/lease_key.h"
#include "vault/host_internal.h"
#include "vault/peer_internal.h"

#include <stdio.h>
#include <time.h>

#define POLL_MS 20 /* who waits for a host looks so often */

/* --- what a host is asked ---------------------------------------------------------------------------------
 */

/* Under hosts->mutex. */
static void send_frame(lh_host_link *link, uint32_t stream, enum lh_link_type type, const void *value)
{
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LINK_FRAME_MAX);
    if (link && !link->ended && link->options.send &&
        lh_ok(lh_shape_encode(lh_link_find(type)->body, value, &body)))
        link->options.send(link->options.arg, stream, (uint8_t)type, lh_buf_bytes(&body));
}

/* Unless it is being asked already. */
static void ask(lh_host *host, bool storage, int64_t now)
{
    lh_host_custody *c = &host->custody;
    const bool waits = c->asked_ms != 0 && now - c->asked_ms < LH_CUSTODY_WAIT_MS;
    if (waits && (c->asked_storage || !storage))
        return;
    lh_random(c->nonce, sizeof(c->nonce));
    c->asked_ms = now;
    c->asked_storage = storage;
    lh_link_storage_ask frame = {.storage = storage ? 1 : 0};
    memcpy(frame.nonce, c->nonce, sizeof(frame.nonce));
    send_frame(host->link, 0, LH_LINK_STORAGE_ASK, &frame);
}

static lh_err check_answer(
    lh_host_link *link, const lh_host_custody *c, const lh_link_storage *body, lh_custody_time *ret)
{
    lh_crypto *crypto = link->hosts->vault->crypto;
    const lh_bytes ak = lh_buf_bytes(&link->enrolment->ak_public);
    if (body->reason[0])
        return LH_REFUSE(LH_E_ATTESTATION, "custody-tpm", "the host's TPM does not answer");
    if (c->asked_storage) {
        const lh_custody_statement certify = {ak, c->nonce, body->certify, body->certify_signature};
        if (body->storage_public.len > LH_CUSTODY_PUBLIC_MAX)
            return LH_REFUSE(LH_E_ATTESTATION, "storage-key-malformed", "the storage key is too long");
        LH_TRY(lh_custody_check_storage(crypto, body->storage_public, &certify));
    }
    const lh_custody_statement time = {ak, c->nonce, body->time, body->time_signature};
    return lh_custody_check_time(crypto, &time, ret);
}

/* Under hosts->mutex. */
static void take_answer(lh_host_link *link, const lh_link_storage *body)
{
    lh_host *host = link->host;
    lh_host_custody *c = &host->custody;
    if (c->asked_ms == 0)
        return; /* nobody has asked */
    lh_custody_time time;
    lh_err err = check_answer(link, c, body, &time);
    c->asked_ms = 0;
    c->answers++;
    c->failure = lh_ok(err) ? (lh_err_detail){.code = LH_OK} : *lh_err_last();
    if (!lh_ok(err)) {
        lh_host_log_refusal(link->hosts, host, c->failure.reason, c->failure.message);
        return;
    }
    if (c->asked_storage) {
        c->have_storage = true;
        c->storage_len = body->storage_public.len;
        memcpy(c->storage, body->storage_public.data, body->storage_public.len);
    }
    c->time = time;
    c->time_at_ms = lh_clock_boot_ms();
}

/* --- approving --------------------------------------------------------------------------------------------
 */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t freshness_of(const lh_rules *rules, const lh_lease_terms *t)
{
    const lh_policy_workload *w = rules->policy ? lh_policy_workload_by_id(rules->policy, t->workload) : NULL;
    return w ? w->freshness : LH_POLICY_FRESHNESS;
}

static bool is_live(lh_lease *lease, int64_t now)
{
    return lh_lease_state_of(lease) == LH_LEASE_LIVE && now < lh_lease_expires_boot_ms(lease);
}

/* How long an approval may last from now on: milliseconds. */
static int64_t approval_ms(const lh_rules *rules, const lh_host *host, lh_lease *lease, int64_t now)
{
    if (!is_live(lease, now))
        return 0;
    const int64_t evidence = host->good_ms + freshness_of(rules, lh_lease_terms_of(lease)) * 1000 - now;
    return least(least(LH_CUSTODY_APPROVAL_MS, evidence), lh_lease_expires_boot_ms(lease) - now);
}

/* The last whole second of TPM Time: a TPM allows what begins in it. 0: there is none. */
static int32_t expiration_of(const lh_host_custody *c, int64_t left_ms, int64_t now)
{
    const int64_t time = (int64_t)c->time.time_ms + (now - c->time_at_ms);
    const int64_t last = (time + left_ms) / 1000 - 1;
    return last * 1000 > time - 1000 && last > 0 && last <= INT32_MAX ? (int32_t)last : 0;
}

/* What may be approved now; it is not signed yet. */
static lh_err may_approve(
    lh_host *host, const lh_rules *rules, const lh_custody_lease *l, lh_custody_due *ret)
{
    const int64_t now = lh_clock_boot_ms();
    const int64_t left = approval_ms(rules, host, l->lease, now);
    const int32_t expiration = left > 0 ? expiration_of(&host->custody, left, now) : 0;
    if (expiration == 0)
        return LH_REFUSE(LH_E_ATTESTATION, "custody-stale",
            "the host's evidence, or the lease, is too near its end for a use to be approved; try again");
    *ret = (lh_custody_due){.host = host, .lease = l->lease, .until_ms = now + left};
    ret->approval.expiration = (uint32_t)expiration;
    memcpy(ret->approval.lease, lh_lease_terms_of(l->lease)->id, sizeof(ret->approval.lease));
    return LH_SUCCESS;
}

static lh_err sign_due(lh_hosts *hosts, lh_custody_due *due)
{
    lh_link_approval *a = &due->approval;
    return lh_custody_approve(
        hosts->vault->crypto, hosts->vault->core->approver, a->lease, (int32_t)a->expiration, a->signature);
}

static lh_err approve(
    lh_hosts *hosts, lh_host *host, const lh_rules *rules, lh_custody_lease *l, lh_link_approval *ret)
{
    lh_custody_due due;
    LH_TRY(may_approve(host, rules, l, &due));
    LH_TRY(sign_due(hosts, &due));
    l->approved_ms = due.until_ms;
    *ret = due.approval;
    return LH_SUCCESS;
}

/* It is signed later, without the lock. What does not fit is due again in the next round. */
static void put_due(lh_hosts *hosts, const lh_custody_due *due)
{
    if (hosts->due_count == hosts->due_room) {
        const size_t room = hosts->due_room ? 2 * hosts->due_room : 64;
        lh_custody_due *more = realloc(hosts->due, room * sizeof(*more));
        if (!more)
            return;
        hosts->due = more;
        hosts->due_room = room;
    }
    hosts->due[hosts->due_count] = *due;
    lh_lease_ref(due->lease);
    hosts->due_count++;
}

/* --- what is kept of a host -------------------------------------------------------------------------------
 */

static void lease_free(lh_custody_lease *l)
{
    lh_lease_unref(l->lease);
    lh_custody_package_deinit(&l->package);
    free(l);
}

void lh_custody_cut(lh_host *host)
{
    lh_host_custody *c = &host->custody;
    for (lh_custody_lease *next, *l = c->leases; l; l = next) {
        next = l->next;
        lease_free(l);
    }
    c->leases = NULL;
    c->asked_ms = c->time_at_ms = 0;
    c->have_storage = false;
    c->answers++;
    c->failure = (lh_err_detail){.code = LH_E_GONE, .reason = "stream-closed"};
}

static lh_custody_lease *find_lease(const lh_host *host, const uint8_t id[LH_LEASE_ID_SIZE])
{
    for (lh_custody_lease *l = host->custody.leases; l; l = l->next)
        if (memcmp(lh_lease_terms_of(l->lease)->id, id, LH_LEASE_ID_SIZE) == 0)
            return l;
    return NULL;
}

static void withdraw(lh_host *host, lh_custody_lease *l)
{
    lh_link_withdraw frame = {0};
    memcpy(frame.lease, lh_lease_terms_of(l->lease)->id, sizeof(frame.lease));
    snprintf(frame.reason, sizeof(frame.reason), "%s", lh_lease_reason(l->lease));
    send_frame(host->link, 0, LH_LINK_WITHDRAW, &frame);
    lease_free(l);
}

/* Unless it has ended while it was signed. Under hosts->mutex. */
static void send_due(const lh_custody_due *due)
{
    lh_custody_lease *l = find_lease(due->host, due->approval.lease);
    if (!l || !due->host->link || !is_live(l->lease, lh_clock_boot_ms()))
        return;
    l->approved_ms = due->until_ms;
    send_frame(due->host->link, 0, LH_LINK_APPROVAL, &due->approval);
}

void lh_custody_sign(lh_hosts *hosts)
{
    for (size_t i = 0; i < hosts->due_count; i++) {
        lh_custody_due *due = &hosts->due[i];
        if (lh_ok(sign_due(hosts, due))) {
            pthread_mutex_lock(&hosts->mutex);
            send_due(due);
            pthread_mutex_unlock(&hosts->mutex);
        }
        lh_lease_unref(due->lease);
    }
    hosts->due_count = 0;
}

void lh_custody_keep(lh_hosts *hosts, lh_host *host, const lh_rules *rules)
{
    lh_host_custody *c = &host->custody;
    const int64_t now = lh_clock_boot_ms();
    bool due = false;
    for (lh_custody_lease **at = &c->leases; *at;) {
        lh_custody_lease *l = *at;
        if (!host->link || lh_lease_state_of(l->lease) == LH_LEASE_ENDED) {
            *at = l->next;
            withdraw(host, l);
            continue;
        }
        at = &l->next;
        const int64_t may = approval_ms(rules, host, l->lease, now);
        const int64_t left = l->approved_ms - now;
        /* What would gain little is not signed: the lease's end, or the evidence's, is what limits it. */
        if (left >= LH_CUSTODY_RENEW_MS || left < -LH_CUSTODY_APPROVAL_MS ||
            may < left + least(2000, may / 4))
            continue;
        lh_custody_due next;
        if (c->time_at_ms == 0 || now - c->time_at_ms > LH_CUSTODY_TIME_MS)
            due = true;
        else if (lh_ok(may_approve(host, rules, l, &next)))
            put_due(hosts, &next);
    }
    if (due && host->link)
        ask(host, false, now);
}

/* --- giving -----------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_hosts *hosts;
    lh_host_stream *stream;
    lh_host *host;
    const lh_rules *rules;
    lh_lease *lease;
    const lh_policy_role *role;
    uint64_t handle;
    uint64_t request;
    uint8_t pcrs[LH_CUSTODY_PCRS][32];
} giving;

static lh_err gone(void)
{
    return LH_REFUSE(LH_E_GONE, "stream-closed", "the connection to the host has ended");
}

static bool is_open(const lh_host_stream *stream)
{
    return stream->link && stream->link->host && !atomic_load(&stream->closed);
}

/* The time is new enough. It may be of other counts than the evidence only where it is the newer one. */
static bool knows_time(const lh_host *host, int64_t now)
{
    const lh_host_custody *c = &host->custody;
    const bool same =
        c->time.reset_count == host->last.reset_count && c->time.restart_count == host->last.restart_count;
    return c->time_at_ms != 0 && now - c->time_at_ms <= LH_CUSTODY_TIME_MS / 2 &&
           (same || c->time_at_ms > host->good_ms);
}

/* The storage key is known, and the time new enough. Under hosts->mutex, which is let go of while waiting;
 * under no other lock, for a host may be silent. */
static lh_err know_host(giving *g)
{
    if (!is_open(g->stream))
        return gone();
    g->host = g->stream->link->host;
    lh_host_custody *c = &g->host->custody;
    const int64_t deadline = lh_clock_boot_ms() + LH_CUSTODY_WAIT_MS;
    unsigned failed = c->answers;
    for (;;) {
        const int64_t now = lh_clock_boot_ms();
        if (!is_open(g->stream))
            return gone();
        if (c->have_storage && knows_time(g->host, now))
            return LH_SUCCESS;
        if (c->answers != failed && c->failure.code != LH_OK)
            return LH_REFUSE(c->failure.code, c->failure.reason, "%s", c->failure.message);
        if (now >= deadline)
            return LH_REFUSE(LH_E_TIMEOUT, "custody-timeout",
                "the host has not said in time which storage key its TPM has; try again");
        failed = c->answers;
        ask(g->host, !c->have_storage, now);
        pthread_mutex_unlock(&g->hosts->mutex);
        const struct timespec moment = {0, POLL_MS * 1000000L};
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&g->hosts->mutex);
    }
}

static uint32_t free_pin(lh_host_custody *c)
{
    for (uint32_t i = 0; i < LH_LEASE_KEY_PIN_COUNT; i++) {
        const uint32_t index = LH_LEASE_KEY_PIN_BASE + c->next_pin++ % LH_LEASE_KEY_PIN_COUNT;
        bool taken = false;
        for (const lh_custody_lease *l = c->leases; l; l = l->next)
            taken = taken || l->terms.pin_index == index;
        if (!taken)
            return index;
    }
    return 0;
}

/* Under what the key is given now. Under hosts->mutex. */
static lh_err make_terms(
    giving *g, const lh_custody_lease *before, lh_custody_terms *ret, uint8_t ret_hash[32])
{
    lh_host_custody *c = &g->host->custody;
    const lh_evidence_result *last = &g->host->last;
    if (last->reset_count != c->time.reset_count || last->restart_count != c->time.restart_count)
        return LH_REFUSE(LH_E_ATTESTATION, "custody-reset",
            "the host's TPM was reset, or resumed, since its evidence; try again");
    memcpy(g->pcrs, c->pcrs, sizeof(g->pcrs));
    lh_custody_terms terms = {.pcr_mask = c->pcr_mask & ~LH_CUSTODY_PCRS_LOOSE,
        .pcrs = (const uint8_t(*)[32])g->pcrs,
        .reset_count = c->time.reset_count,
        .restart_count = c->time.restart_count};
    memcpy(terms.lease, lh_lease_terms_of(g->lease)->id, sizeof(terms.lease));
    if (lh_lease_terms_of(g->lease)->uses > 0) {
        terms.pin_index = before ? before->terms.pin_index : free_pin(c);
        if (terms.pin_index == 0)
            return LH_REFUSE(LH_E_LIMIT, "custody-indexes", "the host counts uses of too many leases");
    }
    const lh_bytes values = LH_BYTES(g->pcrs, sizeof(g->pcrs));
    LH_TRY(lh_sha256(g->hosts->vault->crypto, &values, 1, ret_hash));
    *ret = terms;
    return LH_SUCCESS;
}

static bool same_terms(const lh_custody_lease *l, const lh_custody_terms *t, const uint8_t hash[32])
{
    return l->package.public_area.len > 0 && l->terms.pcr_mask == t->pcr_mask &&
           l->terms.reset_count == t->reset_count && l->terms.restart_count == t->restart_count &&
           memcmp(l->pcrs_hash, hash, 32) == 0;
}

/* What the TPM is to do with the key: RSA's private operation is decrypting, whatever it is done for, but for
 * signatures over hashes that the TPM knows; a key that is for these alone decrypts nothing there. */
static unsigned uses_of(const lh_policy_role *role)
{
    unsigned uses = 0;
    for (size_t i = 0; i < role->allow_count; i++) {
        const lh_mechanism *row = role->allow[i];
        if (role->key == LH_KEY_RSA_2048)
            uses |= lh_mechanism_tpm_signs(row) ? LH_USE_SIGN : LH_USE_DECRYPT;
        else
            uses |= row->uses;
    }
    return uses;
}

static lh_err pack(const giving *g, lh_custody_lease *l)
{
    const lh_host_custody *c = &g->host->custody;
    const unsigned uses = uses_of(g->role);
    const lh_custody_request request = {.approver = g->hosts->vault->core->approver,
        .terms = &l->terms,
        .storage_public = LH_BYTES(c->storage, c->storage_len),
        .key = lh_lease_key(l->lease),
        .signs = (uses & LH_USE_SIGN) != 0,
        .decrypts = (uses & LH_USE_DECRYPT) != 0};
    if (!request.key)
        return LH_REFUSE(LH_E_STATE, "lease-key", "the lease has no key yet; try again");
    return lh_custody_pack(g->hosts->vault->crypto, &request, &l->package);
}

static lh_err add_lease(const giving *g, lh_custody_lease **ret)
{
    lh_custody_lease *l = calloc(1, sizeof(*l));
    if (!l)
        return LH_RAISE(LH_E_NOMEM, 0);
    l->package = LH_CUSTODY_PACKAGE_INIT;
    l->lease = lh_lease_ref(g->lease);
    l->stream = g->stream->number;
    l->next = g->host->custody.leases;
    g->host->custody.leases = l;
    *ret = l;
    return LH_SUCCESS;
}

/* Under hosts->mutex. */
static lh_err prepare(giving *g, lh_custody_lease **ret)
{
    lh_custody_lease *l = find_lease(g->host, lh_lease_terms_of(g->lease)->id);
    lh_custody_terms terms;
    uint8_t hash[32];
    LH_TRY(make_terms(g, l, &terms, hash));
    if (!l)
        LH_TRY(add_lease(g, &l));
    l->handle = g->handle;
    if (!same_terms(l, &terms, hash)) {
        l->terms = terms;
        memcpy(l->pcrs_hash, hash, sizeof(hash));
        lh_err err = pack(g, l);
        l->terms.pcrs = NULL;
        LH_TRY(err);
    }
    *ret = l;
    return LH_SUCCESS;
}

static void log_given(const giving *g, const lh_custody_lease *l)
{
    const lh_lease_terms *t = lh_lease_terms_of(l->lease);
    char mask[16];
    snprintf(mask, sizeof(mask), "0x%06x", l->terms.pcr_mask);
    lh_hosts_event(g->hosts, "lease.in-tpm",
        json_pack("{s:o, s:s, s:s, s:s, s:I, s:I}", "lease", lh_event_hex(t->id, sizeof(t->id)), "role",
            t->role, "host", g->host->name, "pcrs", mask, "reset_count", (json_int_t)l->terms.reset_count,
            "restart_count", (json_int_t)l->terms.restart_count));
}

static lh_err send_key(const giving *g, const lh_custody_lease *l, const lh_link_approval *approval)
{
    LH_AUTO(lh_buf_free) lh_buf mechanisms = LH_BUF_INIT(LH_LINK_CUSTODY_MAX);
    for (size_t i = 0; i < g->role->allow_count; i++)
        lh_put_u64(&mechanisms, g->role->allow[i]->type);
    LH_TRY(lh_buf_status(&mechanisms));
    lh_link_lease_key frame = {.request = g->request,
        .handle = g->handle,
        .kind = (uint8_t)lh_lease_terms_of(g->lease)->kind,
        .mechanisms = lh_buf_bytes(&mechanisms),
        .public_area = lh_buf_bytes(&l->package.public_area),
        .duplicate = lh_buf_bytes(&l->package.duplicate),
        .seed = lh_buf_bytes(&l->package.seed),
        .approver = lh_approver_public(g->hosts->vault->core->approver),
        .pcr_mask = l->terms.pcr_mask,
        .reset_count = l->terms.reset_count,
        .restart_count = l->terms.restart_count,
        .pin_index = l->terms.pin_index,
        .expiration = approval->expiration};
    memcpy(frame.lease, approval->lease, sizeof(frame.lease));
    memcpy(frame.signature, approval->signature, sizeof(frame.signature));
    send_frame(g->host->link, l->stream, LH_LINK_LEASE_KEY, &frame);
    return LH_SUCCESS;
}

/* Under hosts->mutex. */
static lh_err give(giving *g)
{
    const lh_host_custody *c = &g->host->custody;
    if (!is_open(g->stream) || !c->have_storage || lh_clock_boot_ms() - c->time_at_ms > LH_CUSTODY_TIME_MS)
        return gone();
    lh_custody_lease *l = NULL;
    lh_link_approval approval;
    LH_TRY(prepare(g, &l));
    LH_TRY(approve(g->hosts, g->host, g->rules, l, &approval));
    log_given(g, l);
    return send_key(g, l, &approval);
}

lh_err lh_custody_give(lh_peer *peer, uint64_t handle, const lh_grip *grip, uint64_t request)
{
    lh_vault *v = peer->vault;
    giving g = {.hosts = v->hosts,
        .stream = peer->options.remote,
        .lease = grip->lease,
        .handle = handle,
        .request = request};
    if (!g.stream || !g.lease)
        return LH_RAISE(LH_E_INTERNAL, 0);
    pthread_mutex_lock(&v->hosts->mutex);
    lh_err known = know_host(&g);
    pthread_mutex_unlock(&v->hosts->mutex);
    LH_TRY(known);
    pthread_rwlock_rdlock(&v->core_lock);
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    g.rules = rules;
    g.role = rules && rules->policy ? lh_policy_role_by_name(rules->policy, lh_lease_terms_of(g.lease)->role)
                                    : NULL;
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err) && !g.role)
        err = LH_REFUSE(LH_E_GONE, "lease-ended", "the lease's role is no more");
    if (lh_ok(err)) {
        pthread_mutex_lock(&v->hosts->mutex);
        err = give(&g);
        pthread_mutex_unlock(&v->hosts->mutex);
    }
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

/* --- counted uses -----------------------------------------------------------------------------------------
 */

/* Take some of the lease's uses; none are left where it gives 0. */
static uint32_t take_uses(lh_vault *v, lh_lease *lease)
{
    uint32_t taken = 0;
    bool reserved = false;
    const uint64_t part = lh_lease_terms_of(lease)->uses / 10 + 1;
    const uint32_t want = part < LH_CUSTODY_USES ? (uint32_t)part : LH_CUSTODY_USES;
    while (taken < want) {
        enum lh_lease_verdict verdict = lh_lease_use(lease, lh_clock_boot_ms(), true);
        if (verdict == LH_LEASE_USABLE)
            taken++;
        else if (verdict != LH_LEASE_NEEDS_USES || reserved || taken > 0 ||
                 !lh_ok(lh_vault_reserve_uses(v, lease)))
            break;
        else
            reserved = true;
    }
    return taken;
}

/* Under core_lock (read). */
static lh_err give_uses(lh_host_link *link, const lh_link_pin_ask *ask)
{
    lh_hosts *hosts = link->hosts;
    lh_vault *v = hosts->vault;
    lh_custody_pin pin = {.written = ask->written != 0, .nonce_tpm = LH_BYTES(ask->nonce, 32)};
    memcpy(pin.lease, ask->lease, sizeof(pin.lease));
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    pthread_mutex_lock(&hosts->mutex);
    lh_custody_lease *l = link->host && link->host->link == link ? find_lease(link->host, ask->lease) : NULL;
    if (l && l->terms.pin_index != 0) {
        lease = lh_lease_ref(l->lease);
        pin.index = l->terms.pin_index;
    }
    pthread_mutex_unlock(&hosts->mutex);
    lh_link_pin frame = {0};
    memcpy(frame.lease, ask->lease, sizeof(frame.lease));
    if (lease)
        frame.limit = pin.limit = take_uses(v, lease);
    if (frame.limit > 0)
        LH_TRY(lh_custody_approve_pin(v->crypto, v->core->approver, &pin, frame.signature));
    pthread_mutex_lock(&hosts->mutex);
    if (link->host && link->host->link == link)
        send_frame(link, 0, LH_LINK_PIN, &frame);
    pthread_mutex_unlock(&hosts->mutex);
    return LH_SUCCESS;
}

lh_err lh_host_link_custody(lh_host_link *link, unsigned type, const lh_link_any *body)
{
    lh_hosts *hosts = link->hosts;
    if (type != LH_LINK_STORAGE && type != LH_LINK_PIN_ASK)
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "a frame of type %u is not expected", type);
    if (type == LH_LINK_STORAGE) {
        pthread_mutex_lock(&hosts->mutex);
        if (link->host && link->host->link == link)
            take_answer(link, &body->storage);
        pthread_mutex_unlock(&hosts->mutex);
        return LH_SUCCESS;
    }
    pthread_rwlock_rdlock(&hosts->vault->core_lock);
    lh_err err = lh_vault_require_open(hosts->vault);
    if (lh_ok(err))
        err = give_uses(link, &body->pin_ask);
    pthread_rwlock_unlock(&hosts->vault->core_lock);
    return err.code == LH_E_STATE ? LH_SUCCESS : err; /* sealed meanwhile: the link ends by itself */
}
