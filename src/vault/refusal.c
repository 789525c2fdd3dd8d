/* Refusals: remembered for `leasehold explain`, and charged to who causes them. One log entry tells of the
 * first refusal of a user, role and reason; what follows within a minute is counted and told in one entry at
 * its end, so that nobody floods the log. Users of another host are one: that host says who they are, and
 * could say another each time. */
#include "base/clock.h"
#include "base/log_line.h"
#include "vault/internal.h"

#include <stdio.h>

#define WINDOW_MS 60000

static lh_refusal *find(lh_vault *v, const lh_refusal_facts *f, int64_t now)
{
    for (size_t i = 0; i < REFUSALS; i++) {
        lh_refusal *r = &v->refusals[i];
        if (r->count > 0 && (f->host || r->uid == f->uid) && strcmp(r->host, f->host ? f->host : "") == 0 &&
            now - r->window_ms < WINDOW_MS && strcmp(r->role, f->role) == 0 &&
            strcmp(r->reason, f->reason) == 0)
            return r;
    }
    return NULL;
}

static json_t *fields_of(const lh_refusal *r, uint64_t count)
{
    json_t *fields = json_pack("{s:s, s:s, s:s, s:i, s:I, s:s, s:I}", "role", r->role, "reason", r->reason,
        "rule", r->rule, "pid", (int)r->pid, "uid", (json_int_t)r->uid, "exe", r->exe, "count",
        (json_int_t)count);
    if (fields && r->host[0])
        json_object_set_new(fields, "host", json_string(r->host));
    return fields;
}

/* JSON is UTF-8, and paths need not be. */
static void copy_printable(char *out, size_t size, const char *in)
{
    snprintf(out, size, "%s", in);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
            *c = '?';
}

static lh_refusal *remember(lh_vault *v, const lh_refusal_facts *f, int64_t now)
{
    lh_refusal *r = &v->refusals[v->refusal_next];
    v->refusal_next = (v->refusal_next + 1) % REFUSALS;
    free(r->text);
    *r = (lh_refusal){.at = lh_clock_wall(), .pid = f->pid, .uid = f->uid, .count = 1, .window_ms = now};
    copy_printable(r->exe, sizeof(r->exe), f->identity ? f->identity->exe_path : "");
    copy_printable(r->host, sizeof(r->host), f->host ? f->host : "");
    copy_printable(r->role, sizeof(r->role), f->role);
    copy_printable(r->reason, sizeof(r->reason), f->reason);
    copy_printable(r->rule, sizeof(r->rule), f->rule ? f->rule : "");
    r->text = strdup(f->text ? f->text : "");
    return r;
}

void lh_vault_refuse(lh_vault *v, const lh_refusal_facts *facts)
{
    int64_t now = lh_clock_boot_ms();
    json_t *fields = NULL;
    pthread_mutex_lock(&v->mutex);
    lh_refusal *r = find(v, facts, now);
    if (r) {
        r->count++;
        r->unlogged++;
        r->pid = facts->pid;
        r->uid = facts->uid;
    } else {
        r = &v->refusals[v->refusal_next];
        json_t *late = r->unlogged > 0 ? fields_of(r, r->unlogged) : NULL;
        fields = fields_of(remember(v, facts, now), 1);
        if (late) {
            /* Its place is needed before its minute is over: both are told in one entry. */
            (void)json_object_set_new(fields, "earlier", late); /* takes late, also where it fails */
        }
    }
    pthread_mutex_unlock(&v->mutex);
    if (fields && v->core && !lh_ok(lh_event_write(v->core, "lease.refused", fields)))
        lh_log_error(LH_LEVEL_ERROR, "a refusal could not be logged");
}

void lh_vault_refusals_flush(lh_vault *v, bool all)
{
    int64_t now = lh_clock_boot_ms();
    for (size_t i = 0; i < REFUSALS; i++) {
        json_t *fields = NULL;
        uint64_t count = 0;
        pthread_mutex_lock(&v->mutex);
        lh_refusal *r = &v->refusals[i];
        if (r->unlogged > 0 && (all || now - r->window_ms >= WINDOW_MS)) {
            count = r->unlogged;
            fields = fields_of(r, count);
            r->unlogged = 0;
        }
        pthread_mutex_unlock(&v->mutex);
        if (fields && !lh_ok(lh_event_write(v->core, "lease.refused", fields)))
            lh_log_error(LH_LEVEL_ERROR, "%llu refusals could not be logged", (unsigned long long)count);
    }
}

void lh_vault_refusals_free(lh_vault *v)
{
    for (size_t i = 0; i < REFUSALS; i++) {
        free(v->refusals[i].text);
        v->refusals[i].text = NULL;
    }
}
