/* The vault's own host: while leases of its processes live, its TPM is quoted anew within their freshness,
 * and they end where its state is no longer what the reference values allow.
 *
 * The keeper asks and appraises; it never waits for the TPM. The attester's thread only leaves its answer
 * here. */
#include "base/clock.h"
#include "base/log_line.h"
#include "crypto/hash.h"
#include "vault/internal.h"

#include <stdio.h>

#define KEEP_MS 200
#define RETRY_MS 2000

static const char channel_label[] = "leasehold-channel-self-v1";

struct lh_self_watch {
    lh_vault *vault;
    pthread_mutex_t mutex; /* after no other; before none */
    enum { WATCH_IDLE, WATCH_ASKED, WATCH_ANSWERED } state;
    lh_err err;
    char why[512];
    lh_buf evidence; /* encoded */
    /* The keeper's alone. */
    lh_evidence_leaf leaf;
    uint32_t mask;
    int64_t asked_ms;
    int64_t kept_ms;
    int64_t next_ms;
    uint64_t generation; /* of the rules last appraised against */
    bool had_leases;
    bool have_last;
    lh_evidence_result last;
};

lh_err lh_self_watch_new(lh_vault *v, lh_self_watch **ret)
{
    lh_self_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return LH_RAISE(LH_E_NOMEM, 0);
    w->vault = v;
    w->evidence = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    pthread_mutex_init(&w->mutex, NULL);
    *ret = w;
    return LH_SUCCESS;
}

void lh_self_watch_free(lh_self_watch *w)
{
    if (!w)
        return;
    lh_buf_free(&w->evidence);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

/* --- leases -----------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_vault *vault;
    const lh_rules *rules;
    int64_t now;
    size_t count;
    int64_t freshness;  /* the smallest, seconds */
    const char *reason; /* end them all; NULL: those whose evidence is too old */
} weighing;

static bool weigh(lh_lease *lease, void *arg)
{
    weighing *w = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (t->host[0] || lh_lease_state_of(lease) == LH_LEASE_ENDED)
        return true;
    const lh_policy_workload *workload =
        w->rules->policy ? lh_policy_workload_by_id(w->rules->policy, t->workload) : NULL;
    int64_t freshness = workload ? workload->freshness : LH_POLICY_FRESHNESS;
    bool stale = w->now - w->vault->self_good_ms >= freshness * 1000;
    if (w->reason || stale) {
        lh_vault_lease_end(w->vault, lease, w->reason ? w->reason : "evidence-stale");
        return true;
    }
    w->count++;
    if (w->freshness == 0 || freshness < w->freshness)
        w->freshness = freshness;
    return true;
}

static void weigh_all(lh_vault *v, weighing *w)
{
    pthread_mutex_lock(&v->mutex);
    if (w->reason) /* before it looks for them: what is on its way on evidence of before comes too late */
        atomic_fetch_add(&v->self_epoch, 1);
    lh_lease_table_each(v->leases, weigh, w);
    pthread_mutex_unlock(&v->mutex);
}

/* --- the quote --------------------------------------------------------------------------------------------
 */

static void on_quote(void *arg, lh_err err, const lh_evidence *evidence)
{
    lh_self_watch *w = arg;
    pthread_mutex_lock(&w->mutex);
    w->state = WATCH_ANSWERED;
    w->err = err;
    lh_buf_clear(&w->evidence);
    if (lh_ok(err))
        w->err = lh_evidence_encode(evidence, &w->evidence);
    snprintf(w->why, sizeof(w->why), "%s", lh_ok(w->err) ? "" : lh_err_last()->message);
    pthread_mutex_unlock(&w->mutex);
}

static lh_err ask(lh_self_watch *w, const lh_rules *rules)
{
    lh_vault *v = w->vault;
    const lh_bytes channel = LH_BYTES_STR(channel_label);
    lh_tpm *tpm = NULL;
    LH_TRY(lh_self_check(v, rules));
    lh_random(w->leaf.nonce, sizeof(w->leaf.nonce));
    LH_TRY(lh_sha256(v->crypto, NULL, 0, w->leaf.facts));
    LH_TRY(lh_sha256(v->crypto, NULL, 0, w->leaf.ephemeral));
    LH_TRY(lh_sha256(v->crypto, &channel, 1, w->leaf.channel));
    LH_TRY(lh_vault_tpm(v, &tpm));
    w->mask = lh_reference_quote_mask(lh_references_self(rules->values));
    w->asked_ms = lh_clock_boot_ms();
    pthread_mutex_lock(&w->mutex);
    w->state = WATCH_ASKED;
    pthread_mutex_unlock(&w->mutex);
    lh_err err = lh_attester_submit(v->attester, w->mask, &w->leaf, on_quote, w);
    if (!lh_ok(err)) {
        pthread_mutex_lock(&w->mutex);
        w->state = WATCH_IDLE;
        pthread_mutex_unlock(&w->mutex);
    }
    return err;
}

/* What came: LH_E_ATTESTATION where the host is not what it should be. */
static lh_err appraise(lh_self_watch *w, const lh_rules *rules, const char **ret_anew)
{
    lh_vault *v = w->vault;
    lh_evidence evidence;
    lh_evidence_init(&evidence);
    lh_err err = lh_evidence_decode(lh_buf_bytes(&w->evidence), &evidence);
    const lh_self_expectation how = {&w->leaf, w->asked_ms, rules};
    lh_evidence_result result;
    if (lh_ok(err))
        err = lh_self_appraise(v, &how, &evidence, &result);
    lh_evidence_deinit(&evidence);
    LH_TRY(err);
    if (w->have_last && result.reset_count != w->last.reset_count)
        *ret_anew = "reboot";
    else if (w->have_last && result.restart_count != w->last.restart_count)
        *ret_anew = "resumed";
    w->have_last = true;
    w->last = result;
    return LH_SUCCESS;
}

/* It says nothing about now, so that another is due. */
static bool is_overtaken(lh_err err)
{
    return err.code == LH_E_ATTESTATION && strcmp(lh_err_last()->reason, "evidence-overtaken") == 0;
}

/* Why every lease of this host ends now (a static token), or NULL. */
static const char *verdict_of(lh_vault *v, lh_err err)
{
    if (err.code != LH_E_ATTESTATION || is_overtaken(err))
        return NULL;
    lh_log_error(LH_LEVEL_WARNING, "this host is not what the reference values allow: its leases end");
    return lh_vault_reason(v, lh_err_last()->reason);
}

/* reason NULL: none ends. */
static void end_all(lh_self_watch *w, const lh_rules *rules, const char *reason)
{
    weighing all = {.vault = w->vault, .rules = rules, .now = lh_clock_boot_ms(), .reason = reason};
    if (reason)
        weigh_all(w->vault, &all);
}

/* Where an answer has come: what it means. */
static void take_answer(lh_self_watch *w, const lh_rules *rules, const lh_reference *reference)
{
    lh_vault *v = w->vault;
    pthread_mutex_lock(&w->mutex);
    bool answered = w->state == WATCH_ANSWERED;
    lh_err err = w->err;
    if (answered)
        w->state = WATCH_IDLE;
    pthread_mutex_unlock(&w->mutex);
    if (!answered)
        return;
    const char *anew = NULL;
    if (lh_ok(err) && reference && lh_reference_quote_mask(reference) == w->mask)
        err = appraise(w, rules, &anew);
    else
        w->next_ms = lh_clock_boot_ms() + RETRY_MS;
    if (is_overtaken(err))
        w->next_ms = lh_clock_boot_ms();
    end_all(w, rules, anew ? anew : verdict_of(v, err));
}

void lh_self_watch_keep(lh_self_watch *w)
{
    lh_vault *v = w->vault;
    weighing now = {.vault = v, .now = lh_clock_boot_ms()};
    if (now.now - w->kept_ms < KEEP_MS)
        return;
    w->kept_ms = now.now;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules)
        return;
    const lh_reference *reference = rules->values ? lh_references_self(rules->values) : NULL;
    take_answer(w, rules, reference);
    now.rules = rules;
    weigh_all(v, &now);
    bool changed = w->generation != rules->generation;
    w->generation = rules->generation;
    if (now.count > 0 && (!w->had_leases || w->next_ms > now.now + now.freshness * 500))
        w->next_ms = now.now + now.freshness * 450;
    if (changed || atomic_exchange(&v->self_doubted, false))
        w->next_ms = now.now;
    w->had_leases = now.count > 0;
    pthread_mutex_lock(&w->mutex);
    bool idle = w->state == WATCH_IDLE;
    pthread_mutex_unlock(&w->mutex);
    if (now.count == 0 || !idle || now.now < w->next_ms || !reference)
        return;
    w->next_ms = now.now + now.freshness * 450;
    lh_err err = ask(w, rules);
    if (lh_ok(err))
        return;
    w->next_ms = now.now + RETRY_MS;
    end_all(w, rules, verdict_of(v, err));
}
