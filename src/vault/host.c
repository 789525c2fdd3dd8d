/* The registry of hosts, and links: from a channel that has come up to its end. */
#include "base/clock.h"
#include "crypto/credential.h"
#include "crypto/hash.h"
#include "vault/fileset.h"
#include "vault/host_internal.h"

#include <stdio.h>

static const char activate_label[] = "leasehold-activate-v1";

/* --- the registry -----------------------------------------------------------------------------------------
 */

lh_err lh_hosts_new(lh_vault *v, lh_hosts **ret)
{
    LH_AUTO(lh_hosts_freep) lh_hosts *hosts = calloc(1, sizeof(*hosts));
    if (!hosts)
        return LH_RAISE(LH_E_NOMEM, 0);
    hosts->vault = v;
    hosts->pending_max = LH_LIMIT_IMA_PENDING_ALL;
    pthread_mutex_init(&hosts->mutex, NULL);
    hosts->nonces = calloc(HOST_NONCES, sizeof(*hosts->nonces));
    if (!hosts->nonces)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = LH_TAKE(hosts);
    return LH_SUCCESS;
}

static void host_free(lh_host *host)
{
    lh_host_verifier_free(host->verifier);
    lh_custody_cut(host);
    pthread_mutex_destroy(&host->appraising);
    free(host->drift);
    free(host);
}

void lh_hosts_free(lh_hosts *hosts)
{
    if (!hosts)
        return;
    for (size_t i = 0; i < HOST_BUCKETS; i++)
        for (lh_host *next, *h = hosts->buckets[i]; h; h = next) {
            next = h->next;
            host_free(h);
        }
    for (size_t i = 0; i < HOST_REASONS; i++)
        free(hosts->reasons[i]);
    for (size_t i = 0; i < hosts->event_count; i++)
        json_decref(hosts->events[i].fields);
    free(hosts->nonces);
    free(hosts->due);
    pthread_mutex_destroy(&hosts->mutex);
    free(hosts);
}

static size_t bucket_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    return hash & (HOST_BUCKETS - 1);
}

lh_host *lh_hosts_find(const lh_hosts *hosts, const char *name)
{
    for (lh_host *h = hosts->buckets[bucket_of(name)]; h; h = h->next)
        if (strcmp(h->name, name) == 0)
            return h;
    return NULL;
}

/* There are no more of them than names that were ever enrolled. */
static lh_err host_of(lh_hosts *hosts, const char *name, lh_host **ret)
{
    *ret = lh_hosts_find(hosts, name);
    if (*ret)
        return LH_SUCCESS;
    lh_host *host = calloc(1, sizeof(*host));
    if (!host)
        return LH_RAISE(LH_E_NOMEM, 0);
    snprintf(host->name, sizeof(host->name), "%s", name);
    pthread_mutex_init(&host->appraising, NULL);
    host->next_ms = -1;
    host->next = hosts->buckets[bucket_of(name)];
    hosts->buckets[bucket_of(name)] = host;
    *ret = host;
    return LH_SUCCESS;
}

const char *lh_hosts_reason(lh_hosts *hosts, const char *reason)
{
    char token[HOST_REASON_SIZE];
    snprintf(token, sizeof(token), "%s", reason[0] ? reason : "evidence-refused");
    for (size_t i = 0; i < HOST_REASONS; i++) {
        if (!hosts->reasons[i])
            hosts->reasons[i] = strdup(token);
        if (hosts->reasons[i] && strcmp(hosts->reasons[i], token) == 0)
            return hosts->reasons[i];
    }
    return "evidence-refused";
}

const char *lh_vault_reason(lh_vault *v, const char *reason)
{
    pthread_mutex_lock(&v->hosts->mutex);
    const char *kept = lh_hosts_reason(v->hosts, reason);
    pthread_mutex_unlock(&v->hosts->mutex);
    return kept;
}

/* --- the life of a link -----------------------------------------------------------------------------------
 */

static void link_free(lh_host_link *link)
{
    lh_secret_free(link->secret);
    lh_host_enrolment_unref(link->enrolment);
    free(link);
}

static lh_err unknown(void)
{
    return LH_REFUSE(LH_E_DENIED, "host-unknown",
        "no host is enrolled with this channel key; enrol it with `leasehold host enrol NAME --identity "
        "FILE`");
}

/* The challenge that ACTIVATE carries. */
static lh_err challenge(lh_host_link *link, lh_buf *ret_id_object, lh_buf *ret_encrypted_secret)
{
    lh_crypto *c = link->hosts->vault->crypto;
    uint8_t name[34];
    LH_TRY(lh_credential_name(c, lh_buf_bytes(&link->enrolment->ak_public), name));
    LH_TRY(lh_secret_random(LH_CREDENTIAL_SECRET_MAX, &link->secret));
    return lh_credential_make(c, lh_buf_bytes(&link->enrolment->ek_public), LH_BYTES(name, sizeof(name)),
        link->secret, ret_id_object, ret_encrypted_secret);
}

static lh_err admit(lh_hosts *hosts, lh_host_link *link)
{
    size_t waiting = 0;
    for (const lh_host_link *l = hosts->links; l; l = l->next)
        waiting += !l->host && strcmp(l->name, link->name) == 0;
    if (hosts->link_count >= LH_LIMIT_HOST_LINKS || waiting >= LH_LIMIT_HOST_LINKS_WAITING)
        return LH_REFUSE(
            LH_E_LIMIT, "host-links", "too many channels of host %s are open; try again", link->name);
    link->next = hosts->links;
    hosts->links = link;
    hosts->link_count++;
    return LH_SUCCESS;
}

lh_err lh_host_link_new(lh_vault *v, const lh_host_link_options *options, lh_buf *ret_id_object,
    lh_buf *ret_encrypted_secret, lh_host_link **ret)
{
    LH_TRY(lh_vault_require_open(v));
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules)
        return lh_vault_require_open(v);
    const lh_state_host *enrolled = lh_state_find_host_by_channel(&rules->governed, options->channel_key);
    if (!enrolled)
        return unknown();
    lh_host_link *link = calloc(1, sizeof(*link));
    if (!link)
        return LH_RAISE(LH_E_NOMEM, 0);
    link->options = *options;
    link->hosts = v->hosts;
    link->version = enrolled->version;
    link->enrolment = lh_host_enrolment_ref(enrolled->enrolment);
    snprintf(link->name, sizeof(link->name), "%s", enrolled->name);
    lh_host_printable(link->options.source, sizeof(link->options.source), options->source);
    lh_err err = challenge(link, ret_id_object, ret_encrypted_secret);
    if (lh_ok(err)) {
        pthread_mutex_lock(&v->hosts->mutex);
        err = admit(v->hosts, link);
        pthread_mutex_unlock(&v->hosts->mutex);
    }
    if (!lh_ok(err)) {
        link_free(link);
        return err;
    }
    *ret = link;
    return LH_SUCCESS;
}

const char *lh_host_link_name(const lh_host_link *link)
{
    return link->name;
}

void lh_host_link_end(lh_host_link *link, const char *reason, const char *message)
{
    if (link->ended)
        return;
    link->ended = true;
    link->options.end(link->options.arg, reason, message);
}

/* Nothing comes through this link any more. Leases stay: freshness decides on them. Under hosts->mutex. */
static void cut(lh_host_link *link, const char *reason, const char *message)
{
    while (link->streams)
        lh_host_stream_cut(link->streams);
    lh_host_fail_requests(link, reason, message);
    if (link->host && link->host->link == link) {
        lh_custody_cut(link->host);
        link->host->link = NULL;
    }
}

/* Its logs are read from the beginning. Under appraising. */
static void begin_logs(lh_host *host)
{
    atomic_store(&host->ima_offset, 0);
    atomic_store(&host->wants_events, true);
    atomic_store(&host->reset_wanted, false);
}

/* The verifier speaks of one enrolment: another TPM's begins anew. The logs are each link's own: the host may
 * have been restarted since the last one, and its log be shorter than what was read of the one before. Under
 * appraising. */
static lh_err fit_verifier(
    lh_hosts *hosts, lh_host *host, const lh_host_link *link, const lh_host_counts *kept)
{
    if (host->verifier && atomic_load(&host->version) == link->version) {
        lh_host_verifier_reset(host->verifier);
        begin_logs(host);
        return LH_SUCCESS;
    }
    lh_host_verifier *verifier = NULL;
    LH_TRY(
        lh_host_verifier_new(hosts->vault->crypto, lh_filesets_digests(hosts->vault->filesets), &verifier));
    lh_host_verifier_free(host->verifier);
    host->verifier = verifier;
    atomic_store(&host->version, link->version);
    host->have_last = kept->version == link->version;
    host->last = (lh_evidence_result){
        .reset_count = kept->reset_count, .restart_count = kept->restart_count, .firmware = kept->firmware};
    begin_logs(host);
    return LH_SUCCESS;
}

/* What was accepted of this host before the vault was started. ret: version 0 where nothing was. */
static lh_err recall_counts(lh_vault *v, const lh_host_link *link, lh_host_counts *ret)
{
    *ret = (lh_host_counts){.version = 0};
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = v->core && v->core->chain ? lh_host_counts_load(v, link->name, link->version, ret)
                                           : lh_vault_require_open(v);
    pthread_rwlock_unlock(&v->core_lock);
    return err.code == LH_E_NOT_FOUND ? LH_SUCCESS : err;
}

static bool still_enrolled(lh_vault *v, const lh_host_link *link)
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const lh_state_host *enrolled = rules ? lh_state_find_host(&rules->governed, link->name) : NULL;
    return enrolled && enrolled->version == link->version;
}

/* From now on it is the host's link. Under hosts->mutex. */
static void enter(lh_hosts *hosts, lh_host *host, lh_host_link *link)
{
    lh_host_link *old = host->link;
    if (old) {
        cut(old, "host-replaced", "the host has connected anew");
        lh_host_log_lost(hosts, host, "replaced");
        lh_host_link_end(old, "host-replaced", "The host has connected anew.");
    }
    /* What ran over older links cannot come back: it opens new streams. */
    lh_host_end_leases(hosts, host, "host-lost");
    host->link = link;
    link->host = host;
    host->since = lh_clock_wall();
    host->asked = false;
    host->silent = host->unable = false;
    host->next_ms = -1;
    memcpy(host->source, link->options.source, sizeof(host->source));
    lh_host_log_connected(hosts, host);
}

lh_err lh_host_link_activate(lh_host_link *link, const uint8_t answer[LH_HOST_ACTIVATE_SIZE])
{
    lh_hosts *hosts = link->hosts;
    lh_vault *v = hosts->vault;
    pthread_mutex_lock(&hosts->mutex);
    bool twice = link->answered;
    link->answered = true;
    LH_AUTO(lh_secret_freep) lh_secret *secret = LH_TAKE(link->secret);
    pthread_mutex_unlock(&hosts->mutex);
    if (twice || !secret)
        return LH_REFUSE(LH_E_ATTESTATION, "activate-twice", "the challenge has been answered before");
    uint8_t wanted[32];
    const lh_bytes parts[] = {
        LH_BYTES_STR(activate_label), LH_BYTES(link->options.exporter, sizeof(link->options.exporter))};
    LH_TRY(lh_hmac_sha256(v->crypto, lh_secret_bytes(secret), parts, LH_ARRAY_LEN(parts), wanted));
    if (!lh_equal_ct(wanted, answer, sizeof(wanted)))
        return LH_REFUSE(LH_E_ATTESTATION, "activate-wrong",
            "host %s has not shown that its enrolled TPM is behind this channel", link->name);
    LH_TRY(lh_vault_require_open(v));
    lh_host_counts kept;
    LH_TRY(recall_counts(v, link, &kept));
    lh_host *host = NULL;
    pthread_mutex_lock(&hosts->mutex);
    lh_err err = host_of(hosts, link->name, &host);
    pthread_mutex_unlock(&hosts->mutex);
    LH_TRY(err);
    pthread_mutex_lock(&host->appraising);
    err = fit_verifier(hosts, host, link, &kept);
    pthread_mutex_lock(&hosts->mutex);
    /* Asked under the lock that lh_hosts_rules_changed takes after the rules have changed. */
    if (lh_ok(err) && (link->ended || !still_enrolled(v, link)))
        err = unknown();
    if (lh_ok(err))
        enter(hosts, host, link);
    pthread_mutex_unlock(&hosts->mutex);
    pthread_mutex_unlock(&host->appraising);
    return err;
}

/* Under hosts->mutex. */
static void lose(lh_host_link *link)
{
    lh_host *host = link->host && link->host->link == link ? link->host : NULL;
    cut(link, "host-lost", "the channel to the host was lost");
    link->ended = true;
    if (!host)
        return;
    host->since = lh_clock_wall();
    lh_host_log_lost(link->hosts, host, "channel");
}

void lh_host_link_lost(lh_host_link *link)
{
    pthread_mutex_lock(&link->hosts->mutex);
    lose(link);
    pthread_mutex_unlock(&link->hosts->mutex);
}

void lh_host_link_closed(lh_host_link *link)
{
    if (!link)
        return;
    lh_hosts *hosts = link->hosts;
    pthread_mutex_lock(&hosts->mutex);
    lose(link);
    for (lh_host_link **at = &hosts->links; *at; at = &(*at)->next)
        if (*at == link) {
            *at = link->next;
            hosts->link_count--;
            break;
        }
    pthread_mutex_unlock(&hosts->mutex);
    link_free(link);
}

/* --- when the vault changes -------------------------------------------------------------------------------
 */

void lh_hosts_shut(lh_hosts *hosts)
{
    if (!hosts)
        return;
    pthread_mutex_lock(&hosts->mutex);
    for (lh_host_link *l = hosts->links; l; l = l->next) {
        cut(l, "vault-sealed", "the vault was sealed");
        lh_host_link_end(l, "vault-sealed", "The vault is not open.");
    }
    pthread_mutex_unlock(&hosts->mutex);
}

static void apply_rules(lh_hosts *hosts, lh_host *host, const lh_rules *rules)
{
    const lh_state_host *enrolled = lh_state_find_host(&rules->governed, host->name);
    if (!enrolled)
        lh_host_end_leases(hosts, host, "host-retired");
    else if (atomic_load(&host->version) && enrolled->version != atomic_load(&host->version))
        lh_host_end_leases(hosts, host, "host-changed");
    /* What was measured before has to be weighed by the values in force now. */
    atomic_store(&host->reset_wanted, true);
    atomic_store(&host->ima_offset, 0);
    atomic_store(&host->wants_events, true);
    host->next_ms = 0;
}

void lh_hosts_rules_changed(lh_hosts *hosts, const lh_rules *rules, bool references_changed)
{
    if (!hosts)
        return;
    pthread_mutex_lock(&hosts->mutex);
    for (lh_host_link *l = hosts->links; l; l = l->next) {
        const lh_state_host *enrolled = lh_state_find_host(&rules->governed, l->name);
        if (enrolled && enrolled->version == l->version)
            continue;
        cut(l, "host-retired", "the host's enrolment has changed");
        lh_host_link_end(l, "host-unknown", "The host's enrolment has changed.");
    }
    for (size_t i = 0; i < HOST_BUCKETS; i++)
        for (lh_host *h = hosts->buckets[i]; h; h = h->next) {
            const lh_state_host *enrolled = lh_state_find_host(&rules->governed, h->name);
            if (references_changed || !enrolled || enrolled->version != atomic_load(&h->version))
                apply_rules(hosts, h, rules);
        }
    pthread_mutex_unlock(&hosts->mutex);
}
