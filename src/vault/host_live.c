/* What is told of hosts: host.show's live part, and entries of the log, which the keeper writes. */
#include "base/clock.h"
#include "base/log_line.h"
#include "crypto/hash.h"
#include "vault/host_internal.h"

#include <stdio.h>

#define LIVE_STREAMS 256 /* told of in one reply */

void lh_host_printable(char *out, size_t size, const char *in)
{
    snprintf(out, size, "%s", in ? in : "");
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
}

/* --- entries of the log -----------------------------------------------------------------------------------
 */

void lh_hosts_event(lh_hosts *hosts, const char *name, json_t *fields_taken)
{
    if (!fields_taken || hosts->event_count == HOST_EVENTS) {
        hosts->events_lost++;
        json_decref(fields_taken);
        return;
    }
    hosts->events[hosts->event_count].name = name;
    hosts->events[hosts->event_count++].fields = fields_taken;
}

bool lh_host_tally_due(lh_host_tally *tally, uint64_t *ret_held)
{
    int64_t now = lh_clock_boot_ms();
    *ret_held = tally->held;
    if (tally->at_ms && now - tally->at_ms < HOST_EVENT_MS) {
        tally->held++;
        return false;
    }
    tally->at_ms = now;
    tally->held = 0;
    return true;
}

static void add_held(json_t *fields, uint64_t held)
{
    if (fields && held > 0)
        json_object_set_new(fields, "earlier", json_integer((json_int_t)held));
}

void lh_host_log_connected(lh_hosts *hosts, lh_host *host)
{
    uint64_t held;
    if (!lh_host_tally_due(&host->connects, &held))
        return;
    json_t *fields = json_pack("{s:s, s:s}", "host", host->name, "source", host->source);
    add_held(fields, held);
    lh_hosts_event(hosts, "host.connected", fields);
}

void lh_host_log_lost(lh_hosts *hosts, lh_host *host, const char *reason)
{
    uint64_t held;
    /* Of its own: what tells of a second agent with the host's keys is not lost among other losses. */
    bool replaced = strcmp(reason, "replaced") == 0;
    if (!lh_host_tally_due(replaced ? &host->replacements : &host->losses, &held))
        return;
    json_t *fields =
        json_pack("{s:s, s:s, s:s}", "host", host->name, "source", host->source, "reason", reason);
    add_held(fields, held);
    lh_hosts_event(hosts, "host.lost", fields);
}

void lh_host_log_refusal(lh_hosts *hosts, lh_host *host, const char *reason, const char *message)
{
    char text[256];
    uint64_t held;
    lh_host_printable(text, sizeof(text), message);
    /* A new reason is told at once where the last was told ten seconds ago or more. */
    if (strcmp(host->refused_reason, reason) != 0 &&
        lh_clock_boot_ms() - host->refusals.at_ms >= HOST_EVENT_MS / 6)
        host->refusals.at_ms = 0;
    if (!lh_host_tally_due(&host->refusals, &held))
        return;
    lh_host_printable(host->refused_reason, sizeof(host->refused_reason), reason);
    json_t *fields =
        json_pack("{s:s, s:s, s:s}", "host", host->name, "reason", host->refused_reason, "message", text);
    if (fields && host->source[0])
        json_object_set_new(fields, "source", json_string(host->source));
    add_held(fields, held);
    lh_hosts_event(hosts, "host.evidence-refused", fields);
}

static json_t *drift_line(const lh_drift_entry *entry)
{
    char kind[sizeof(entry->kind) + 1];
    char text[sizeof(entry->text) + 1];
    char bounded[sizeof(entry->text) + 1];
    snprintf(bounded, sizeof(bounded), "%.*s", (int)sizeof(entry->kind), entry->kind);
    lh_host_printable(kind, sizeof(kind), bounded);
    snprintf(bounded, sizeof(bounded), "%.*s", (int)sizeof(entry->text), entry->text);
    lh_host_printable(text, sizeof(text), bounded);
    return json_pack("{s:s, s:i, s:o, s:s}", "kind", kind, "pcr", (int)entry->pcr, "digest",
        lh_event_hex(entry->digest, sizeof(entry->digest)), "text", text);
}

static json_t *drift_list(const lh_host *host, size_t max)
{
    json_t *list = json_array();
    for (size_t i = 0; i < host->drift_count && i < max; i++)
        json_array_append_new(list, drift_line(&host->drift[i]));
    return list;
}

void lh_host_log_drift(lh_hosts *hosts, lh_host *host)
{
    uint8_t hash[32];
    uint64_t held;
    const lh_bytes entries = LH_BYTES(host->drift, host->drift_count * sizeof(*host->drift));
    if (host->drift_count == 0 || !lh_ok(lh_sha256(hosts->vault->crypto, &entries, 1, hash)) ||
        memcmp(hash, host->drift_logged, sizeof(hash)) == 0)
        return;
    if (lh_clock_boot_ms() - host->drifts.at_ms >= HOST_EVENT_MS / 6)
        host->drifts.at_ms = 0;
    if (!lh_host_tally_due(&host->drifts, &held))
        return;
    memcpy(host->drift_logged, hash, sizeof(hash));
    size_t more = host->drift_count > HOST_DRIFT_LOGGED ? host->drift_count - HOST_DRIFT_LOGGED : 0;
    json_t *fields = json_pack("{s:s, s:s, s:o, s:I}", "host", host->name, "verdict", host->verdict,
        "entries", drift_list(host, HOST_DRIFT_LOGGED), "more", (json_int_t)more);
    add_held(fields, held);
    lh_hosts_event(hosts, "host.drifted", fields);
}

void lh_hosts_write_events(lh_hosts *hosts)
{
    for (;;) {
        pthread_mutex_lock(&hosts->mutex);
        if (hosts->event_count == 0) {
            pthread_mutex_unlock(&hosts->mutex);
            return;
        }
        const char *name = hosts->events[0].name;
        json_t *fields = hosts->events[0].fields;
        hosts->event_count--;
        memmove(&hosts->events[0], &hosts->events[1], hosts->event_count * sizeof(hosts->events[0]));
        if (hosts->events_lost > 0)
            json_object_set_new(fields, "unlogged", json_integer((json_int_t)hosts->events_lost));
        hosts->events_lost = 0;
        pthread_mutex_unlock(&hosts->mutex);
        if (!lh_ok(lh_event_write(hosts->vault->core, name, fields)))
            lh_log_error(LH_LEVEL_ERROR, "%s could not be logged", name);
    }
}

/* --- host.show --------------------------------------------------------------------------------------------
 */

typedef struct {
    const char *host;
    uint64_t stream;
    size_t count;
} counting;

static bool count_one(lh_lease *lease, void *arg)
{
    counting *c = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    bool ours = c->stream ? t->stream == c->stream : t->host[0] && strcmp(t->host, c->host) == 0;
    c->count += ours && lh_lease_state_of(lease) != LH_LEASE_ENDED;
    return true;
}

static json_int_t count_leases(lh_vault *v, const char *host, uint64_t stream)
{
    counting c = {host, stream, 0};
    pthread_mutex_lock(&v->mutex);
    lh_lease_table_each(v->leases, count_one, &c);
    pthread_mutex_unlock(&v->mutex);
    return (json_int_t)c.count;
}

static json_t *stream_line(lh_vault *v, const lh_host_stream *s)
{
    char exe[256];
    char unit[sizeof(s->identity.unit)];
    lh_host_printable(exe, sizeof(exe), s->identity.exe_path);
    lh_host_printable(unit, sizeof(unit), s->identity.unit);
    return json_pack("{s:I, s:i, s:I, s:s, s:s, s:I}", "stream", (json_int_t)s->number, "pid",
        (int)s->identity.pid, "uid", (json_int_t)s->identity.uid, "exe", exe, "unit", unit, "leases",
        count_leases(v, NULL, s->instance));
}

static json_t *streams_of(lh_vault *v, const lh_host *host)
{
    json_t *list = json_array();
    size_t told = 0;
    for (const lh_host_stream *s = host->link ? host->link->streams : NULL; s && told < LIVE_STREAMS;
         s = s->next) {
        json_array_append_new(list, stream_line(v, s));
        told++;
    }
    return list;
}

static json_t *evidence_of(const lh_host *host)
{
    json_t *e = json_pack("{s:s, s:o}", "verdict", host->verdict, "at", lh_event_time(host->verdict_at));
    if (e && host->stray[0])
        json_object_set_new(e, "stray", json_string(host->stray));
    if (e && host->message[0])
        json_object_set_new(e, "message", json_string(host->message));
    if (e && host->good_at) {
        json_object_set_new(e, "good", lh_event_time(host->good_at));
        json_object_set_new(e, "age", json_integer((lh_clock_boot_ms() - host->good_ms) / 1000));
        json_object_set_new(e, "clock", json_integer((json_int_t)host->shown.clock_ms));
        json_object_set_new(e, "reset_count", json_integer(host->shown.reset_count));
        json_object_set_new(e, "restart_count", json_integer(host->shown.restart_count));
        char firmware[17];
        snprintf(firmware, sizeof(firmware), "%016llx", (unsigned long long)host->shown.firmware);
        json_object_set_new(e, "firmware", json_string(firmware));
    }
    if (e && host->link && host->leases > 0) {
        int64_t left = (host->next_ms - lh_clock_boot_ms()) / 1000;
        json_object_set_new(e, "next", lh_event_time(lh_clock_wall() + (left > 0 ? left : 0)));
    }
    return e;
}

static json_t *live_of(lh_vault *v, const lh_host *host)
{
    json_t *live = json_pack("{s:b}", "connected", host->link != NULL);
    if (!live)
        return NULL;
    if (host->since)
        json_object_set_new(live, "since", lh_event_time(host->since));
    if (host->link && host->source[0])
        json_object_set_new(live, "source", json_string(host->source));
    if (host->verdict[0])
        json_object_set_new(live, "evidence", evidence_of(host));
    json_object_set_new(live, "drift", drift_list(host, LH_DRIFT_MAX));
    json_object_set_new(live, "streams", streams_of(v, host));
    json_object_set_new(live, "leases", json_integer(count_leases(v, host->name, 0)));
    return live;
}

lh_err lh_vault_host_live(lh_vault *v, const char *name, json_t **ret)
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules)
        return lh_vault_require_open(v);
    if (!lh_state_find_host(&rules->governed, name))
        return LH_REFUSE(LH_E_NOT_FOUND, "host-unknown", "no host of this name is enrolled");
    pthread_mutex_lock(&v->hosts->mutex);
    const lh_host *host = lh_hosts_find(v->hosts, name);
    json_t *live =
        host ? live_of(v, host)
             : json_pack("{s:b, s:[], s:[], s:i}", "connected", false, "drift", "streams", "leases", 0);
    pthread_mutex_unlock(&v->hosts->mutex);
    if (!live)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = live;
    return LH_SUCCESS;
}

lh_err lh_vault_host_process(
    lh_vault *v, const char *name, pid_t pid, lh_identity *ret, char source[LH_HOST_SOURCE_SIZE])
{
    bool found = false;
    pthread_mutex_lock(&v->hosts->mutex);
    const lh_host *host = lh_hosts_find(v->hosts, name);
    const lh_host_stream *s = host && host->link ? host->link->streams : NULL;
    for (; s && !found; s = s->next) {
        found = s->identity.pid == pid;
        if (!found)
            continue;
        *ret = s->identity;
        memcpy(source, host->source, LH_HOST_SOURCE_SIZE);
    }
    pthread_mutex_unlock(&v->hosts->mutex);
    return found ? LH_SUCCESS
                 : LH_REFUSE(LH_E_NOT_FOUND, "process-unknown",
                       "no process %d of host %s is connected; `leasehold host show %s` lists those that are",
                       (int)pid, name, name);
}
