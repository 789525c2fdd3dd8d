/* The keeper's part: evidence of hosts that have leases is asked for anew in good time, and leases whose host
 * has shown nothing for longer than their workload's freshness end.
 *
 * A lease's time is its freshness less a part of a quarter that follows from its id, so that not all leases
 * of a host that is lost end in one moment; evidence is asked for at half of it and before, so that one
 * answer may be lost. */
#include "base/clock.h"
#include "base/log_line.h"
#include "vault/host_internal.h"

#define KEEP_MS 200
#define WAIT_MIN_MS 1000

typedef struct {
    lh_hosts *hosts;
    const lh_rules *rules;
    int64_t now;
} keeping;

static int64_t freshness_of(const lh_rules *rules, const lh_lease_terms *t)
{
    const lh_policy_workload *w = rules->policy ? lh_policy_workload_by_id(rules->policy, t->workload) : NULL;
    return w ? w->freshness : LH_POLICY_FRESHNESS;
}

static int64_t spread_ms(const lh_lease_terms *t, int64_t freshness)
{
    return freshness * 250 * (t->id[0] << 8 | t->id[1]) / 65536;
}

static const char *stale_reason(const lh_host *host)
{
    if (!host || !host->link)
        return "host-lost";
    return host->unable ? "evidence-none" : "evidence-stale";
}

/* Under hosts->mutex and the vault's. */
static bool weigh(lh_lease *lease, void *arg)
{
    const keeping *k = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!t->host[0] || lh_lease_state_of(lease) == LH_LEASE_ENDED)
        return true;
    lh_host *host = lh_hosts_find(k->hosts, t->host);
    int64_t freshness = freshness_of(k->rules, t);
    if (!host || k->now - host->good_ms >= freshness * 1000 - spread_ms(t, freshness)) {
        lh_vault_lease_end(k->hosts->vault, lease, stale_reason(host));
        return true;
    }
    host->leases++;
    if (host->freshness == 0 || freshness < host->freshness)
        host->freshness = freshness;
    return true;
}

/* Requests whose time has passed. Under hosts->mutex. */
static void expire(lh_hosts *hosts, lh_host_link *link, int64_t now)
{
    for (lh_host_request *next, *r = link->requests; r; r = next) {
        next = r->next;
        if (now < r->deadline_ms)
            continue;
        lh_host_request_take(link, r);
        lh_hosts_mark_nonce(hosts, r->nonce, NONCE_EXPIRED);
        if (r->stream == LH_HOST_STREAM_SELF && link->host) {
            link->host->asked = false;
            link->host->silent = true;
            link->host->next_ms = now;
            lh_host_log_refusal(hosts, link->host, "evidence-timeout", "the host has not answered in time");
        }
        lh_host_request_fail(r, LH_E_TIMEOUT, "evidence-timeout", "the host has not answered in time");
    }
}

/* Two fifths to a half of the freshness, by chance. */
static int64_t interval_ms(const lh_host *host)
{
    uint16_t chance;
    lh_random(&chance, sizeof(chance));
    return host->freshness * (400 + 100 * (int64_t)chance / 65536);
}

static int64_t wait_ms(const lh_host *host)
{
    int64_t quarter = host->freshness * 250;
    if (quarter < WAIT_MIN_MS)
        return WAIT_MIN_MS;
    return quarter < LH_LIMIT_EVIDENCE_MS ? quarter : LH_LIMIT_EVIDENCE_MS;
}

static void ask(const keeping *k, lh_host *host)
{
    const lh_reference *reference = lh_rules_host_reference(k->rules, host->name);
    if (!reference) {
        lh_host_end_leases(k->hosts, host, "no-reference");
        return;
    }
    lh_host_request *request = NULL;
    host->next_ms = k->now + interval_ms(host);
    if (!lh_ok(lh_host_request_new(LH_HOST_STREAM_SELF, wait_ms(host), &request)))
        return;
    host->asked = lh_ok(lh_host_ask(host->link, request, reference));
    if (!host->asked)
        lh_host_request_free(request);
}

static void keep_host(const keeping *k, lh_host *host)
{
    if (!host->link || host->asked || host->leases == 0)
        return;
    if (!host->had_leases && host->next_ms != 0)
        host->next_ms = host->good_ms + interval_ms(host);
    else if (host->next_ms > k->now + host->freshness * 500)
        host->next_ms = k->now + interval_ms(host); /* policy asks for more than it did */
    if (k->now >= host->next_ms)
        ask(k, host);
}

static void keep(const keeping *k)
{
    lh_hosts *hosts = k->hosts;
    lh_vault *v = hosts->vault;
    for (lh_host_link *l = hosts->links; l; l = l->next)
        expire(hosts, l, k->now);
    for (size_t i = 0; i < HOST_BUCKETS; i++)
        for (lh_host *h = hosts->buckets[i]; h; h = h->next) {
            h->had_leases = h->leases > 0;
            h->leases = 0;
            h->freshness = 0;
        }
    pthread_mutex_lock(&v->mutex);
    keeping weighing = *k;
    lh_lease_table_each(v->leases, weigh, &weighing);
    pthread_mutex_unlock(&v->mutex);
    for (size_t i = 0; i < HOST_BUCKETS; i++)
        for (lh_host *h = hosts->buckets[i]; h; h = h->next) {
            if (!h->link)
                lh_host_drop_logs(hosts, h);
            if (h->custody.leases)
                lh_custody_keep(hosts, h, k->rules);
            keep_host(k, h);
        }
}

/* One host whose counts are not in their record. */
static bool next_unkept(lh_hosts *hosts, lh_host_counts *ret)
{
    for (size_t i = 0; i < HOST_BUCKETS; i++)
        for (lh_host *h = hosts->buckets[i]; h; h = h->next)
            if (h->counts_unkept) {
                h->counts_unkept = false;
                *ret = h->counts;
                return true;
            }
    return false;
}

static void write_counts(lh_hosts *hosts)
{
    for (;;) {
        lh_host_counts counts;
        pthread_mutex_lock(&hosts->mutex);
        bool more = next_unkept(hosts, &counts);
        pthread_mutex_unlock(&hosts->mutex);
        if (!more)
            return;
        if (lh_ok(lh_host_counts_store(hosts->vault, &counts)))
            continue;
        lh_log_error(
            LH_LEVEL_WARNING, "what host %s's TPM counts could not be kept; it is tried again", counts.host);
        pthread_mutex_lock(&hosts->mutex);
        lh_host *host = lh_hosts_find(hosts, counts.host);
        if (host)
            host->counts_unkept = true;
        pthread_mutex_unlock(&hosts->mutex);
        return;
    }
}

void lh_hosts_keep(lh_hosts *hosts)
{
    keeping k = {hosts, NULL, lh_clock_boot_ms()};
    pthread_mutex_lock(&hosts->mutex);
    bool due = k.now - hosts->kept_ms >= KEEP_MS;
    if (due)
        hosts->kept_ms = k.now;
    pthread_mutex_unlock(&hosts->mutex);
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = due ? lh_vault_rules(hosts->vault) : NULL;
    k.rules = rules;
    if (rules) {
        pthread_mutex_lock(&hosts->mutex);
        keep(&k);
        pthread_mutex_unlock(&hosts->mutex);
        write_counts(hosts);
        lh_custody_sign(hosts);
    }
    lh_hosts_write_events(hosts);
}
