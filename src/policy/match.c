/* Which workloads a process is. */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

lh_policy_step *lh_policy_trace_add(
    lh_policy_trace *trace, bool ok, lh_place place, const char *subject, const char *condition)
{
    if (trace == NULL)
        return NULL;
    if (trace->count >= LH_POLICY_STEPS_MAX) {
        trace->dropped++;
        return NULL;
    }
    lh_policy_step *step = &trace->steps[trace->count++];
    *step = (lh_policy_step){.ok = ok, .place = place};
    (void)snprintf(step->subject, sizeof(step->subject), "%s", subject);
    (void)snprintf(step->condition, sizeof(step->condition), "%s", condition);
    return step;
}

typedef struct {
    const lh_policy_workload *workload;
    const lh_policy_facts *facts;
    lh_policy_trace *trace;
} check;

static void note(const check *c, bool ok, const char *condition, const char *wanted, const char *found)
{
    if (c->trace == NULL)
        return;
    char subject[sizeof(((lh_policy_step *)NULL)->subject)];
    (void)snprintf(subject, sizeof(subject), "workload %s", c->workload->id);
    lh_policy_step *step = lh_policy_trace_add(c->trace, ok, c->workload->place, subject, condition);
    if (step == NULL)
        return;
    (void)snprintf(step->wanted, sizeof(step->wanted), "%s", wanted);
    (void)snprintf(step->found, sizeof(step->found), "%s", found);
}

static bool same_text(const char *wanted, const char *found)
{
    return found != NULL && strcmp(wanted, found) == 0;
}

/* On another host a name is another uid: the host says whose uid it is. */
static bool check_remote_user(const check *c)
{
    const lh_policy_workload *workload = c->workload;
    bool ok =
        workload->user != NULL ? same_text(workload->user, c->facts->user) : workload->uid == c->facts->uid;
    if (c->trace != NULL) {
        char wanted[32];
        char found[128];
        (void)snprintf(wanted, sizeof(wanted), "%" PRIu32, workload->uid);
        (void)snprintf(found, sizeof(found), "%" PRIu32 " (%s)", c->facts->uid,
            c->facts->user != NULL ? c->facts->user : "no name there");
        note(c, ok, workload->user != NULL ? "user" : "uid", workload->user != NULL ? workload->user : wanted,
            found);
    }
    return ok;
}

static bool check_user(const check *c)
{
    const lh_policy_workload *workload = c->workload;
    if (workload->user == NULL && !workload->has_uid)
        return true;
    if (c->facts->remote)
        return check_remote_user(c);
    bool ok = workload->has_uid && workload->uid == c->facts->uid;
    if (c->trace != NULL) {
        char wanted[128];
        char found[128];
        if (workload->user == NULL)
            (void)snprintf(wanted, sizeof(wanted), "%" PRIu32, workload->uid);
        else if (workload->has_uid)
            (void)snprintf(wanted, sizeof(wanted), "%s (uid %" PRIu32 ")", workload->user, workload->uid);
        else
            (void)snprintf(wanted, sizeof(wanted), "%s (no user of this host)", workload->user);
        (void)snprintf(found, sizeof(found), "%" PRIu32 "%s%s%s", c->facts->uid,
            c->facts->user != NULL ? " (" : "", c->facts->user != NULL ? c->facts->user : "",
            c->facts->user != NULL ? ")" : "");
        note(c, ok, workload->user != NULL ? "user" : "uid", wanted, found);
    }
    return ok;
}

static bool check_unit(const check *c)
{
    if (c->workload->unit == NULL)
        return true;
    bool ok = same_text(c->workload->unit, c->facts->unit);
    note(c, ok, "unit", c->workload->unit, c->facts->unit != NULL ? c->facts->unit : "no system unit");
    return ok;
}

static bool check_lsm(const check *c)
{
    if (c->workload->lsm == NULL)
        return true;
    bool ok = same_text(c->workload->lsm, c->facts->lsm);
    note(c, ok, "lsm", c->workload->lsm, c->facts->lsm != NULL ? c->facts->lsm : "no label");
    return ok;
}

/* A path says something only where nobody but root can put a file there; a digest beside it makes up for
 * that. */
static bool check_exe(const check *c)
{
    if (c->workload->exe == NULL)
        return true;
    bool same = same_text(c->workload->exe, c->facts->exe);
    bool ok = same && (c->facts->exe_trusted_path || c->workload->exe_sha256_count > 0);
    const char *found = c->facts->exe != NULL ? c->facts->exe : "not known";
    if (same && !ok)
        found = "the same path, but others than root can write there: give exe_sha256";
    note(c, ok, "exe", c->workload->exe, found);
    return ok;
}

static bool check_digest(const check *c)
{
    const lh_policy_workload *workload = c->workload;
    if (workload->exe_sha256_count == 0)
        return true;
    bool ok = false;
    for (size_t i = 0; i < workload->exe_sha256_count && !ok && c->facts->exe_counts; i++)
        ok = memcmp(workload->exe_sha256[i], c->facts->exe_sha256, 32) == 0;
    if (c->trace != NULL) {
        char wanted[128] = "sha256:";
        char found[128] = "sha256:";
        lh_hex(workload->exe_sha256[0], 32, wanted + strlen(wanted));
        if (workload->exe_sha256_count > 1)
            (void)snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), " or %zu others",
                workload->exe_sha256_count - 1);
        lh_hex(c->facts->exe_sha256, 32, found + strlen(found));
        note(c, ok, "exe_sha256", wanted, c->facts->exe_counts ? found : "no digest that counts");
    }
    return ok;
}

static bool check_verity(const check *c)
{
    const lh_policy_workload *workload = c->workload;
    if (workload->exe_fsverity_count == 0)
        return true;
    bool ok = false;
    for (size_t i = 0; i < workload->exe_fsverity_count && !ok && c->facts->exe_has_verity; i++)
        ok = memcmp(workload->exe_fsverity[i], c->facts->exe_verity, 32) == 0;
    if (c->trace != NULL) {
        char wanted[128] = "sha256:";
        char found[128] = "sha256:";
        lh_hex(workload->exe_fsverity[0], 32, wanted + strlen(wanted));
        if (workload->exe_fsverity_count > 1)
            (void)snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), " or %zu others",
                workload->exe_fsverity_count - 1);
        lh_hex(c->facts->exe_verity, 32, found + strlen(found));
        note(c, ok, "exe_fsverity", wanted, c->facts->exe_has_verity ? found : "no fs-verity digest");
    }
    return ok;
}

/* One line of the pod's labels. */
static bool has_label(const char *labels, const lh_policy_label *wanted)
{
    size_t name = strlen(wanted->name);
    size_t value = strlen(wanted->value);
    for (const char *line = labels; line != NULL && line[0] != '\0';) {
        size_t len = strcspn(line, "\n");
        if (len == name + 1 + value && memcmp(line, wanted->name, name) == 0 && line[name] == '=' &&
            memcmp(line + name + 1, wanted->value, value) == 0)
            return true;
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    return false;
}

static bool check_text(const check *c, const char *condition, const char *wanted, const char *found)
{
    if (wanted == NULL)
        return true;
    bool ok = same_text(wanted, found);
    note(c, ok, condition, wanted, found != NULL ? found : "none");
    return ok;
}

static bool check_container(const check *c)
{
    const lh_policy_workload *workload = c->workload;
    if (!workload->has_container)
        return true;
    bool ok = check_text(c, "container.runtime", workload->container_runtime, c->facts->container_runtime);
    ok = check_text(c, "container.id", workload->container_id, c->facts->container_id) && ok;
    ok = check_text(c, "container.pod", workload->pod, c->facts->pod) && ok;
    for (size_t i = 0; i < workload->pod_label_count; i++) {
        const lh_policy_label *wanted = &workload->pod_labels[i];
        bool has = has_label(c->facts->pod_labels, wanted);
        ok = ok && has;
        if (c->trace == NULL)
            continue;
        char text[2 * LH_LIMIT_NAME + 8];
        (void)snprintf(text, sizeof(text), "%s: %s", wanted->name, wanted->value);
        note(c, has, "container.labels", text, has ? "it has it" : "no such label");
    }
    return ok;
}

static bool in_network(const lh_policy_source *network, const uint8_t address[16], bool is_v6)
{
    if (network->any || network->local || network->is_v6 != is_v6)
        return false;
    size_t whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return memcmp(network->address, address, whole) == 0 &&
           (rest == 0 || ((network->address[whole] ^ address[whole]) & mask) == 0);
}

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT, as connections are told of. */
static bool parse_source(const char *source, uint8_t address[16], bool *ret_v6)
{
    char text[INET6_ADDRSTRLEN];
    const bool bracketed = source[0] == '[';
    const char *first = strchr(source, ':');
    *ret_v6 = bracketed || (first != NULL && strchr(first + 1, ':') != NULL);
    const char *from = source + (bracketed ? 1 : 0);
    size_t len = bracketed ? strcspn(from, "]") : *ret_v6 ? strlen(from) : strcspn(from, ":");
    if (len >= sizeof(text))
        return false;
    memcpy(text, from, len);
    text[len] = '\0';
    return inet_pton(*ret_v6 ? AF_INET6 : AF_INET, text, address) == 1;
}

/* A source without an address (a unix socket, a device) is in no network. */
static bool is_from(const lh_policy_workload *workload, const lh_policy_facts *facts)
{
    uint8_t address[16] = {0};
    bool v6 = false;
    bool known = facts->source != NULL && parse_source(facts->source, address, &v6);
    for (size_t i = 0; i < workload->source_count; i++) {
        const lh_policy_source *source = &workload->sources[i];
        if (source->any)
            return true;
        if (source->local ? !facts->remote : facts->remote && known && in_network(source, address, v6))
            return true;
    }
    return false;
}

/* What says nothing of hosts was written for the vault's own: enrolling one gives it nothing. */
static bool check_unnamed_host(const check *c)
{
    bool ok = !c->facts->remote;
    if (!ok)
        note(c, ok, "source", "the vault's own host, since neither host nor source names another",
            c->facts->host != NULL ? c->facts->host : "another host");
    return ok;
}

static bool check_source(const check *c)
{
    if (c->workload->source_count == 0)
        return c->workload->host_count > 0 || check_unnamed_host(c);
    bool ok = is_from(c->workload, c->facts);
    note(c, ok, "source", "one of those named",
        !c->facts->remote          ? "this host"
        : c->facts->source == NULL ? "a host without a network address"
                                   : c->facts->source);
    return ok;
}

static bool check_host(const check *c)
{
    bool all = true;
    for (size_t i = 0; i < c->workload->host_count && (all || c->trace != NULL); i++) {
        const lh_policy_label *wanted = &c->workload->host[i];
        const char *found = NULL;
        for (size_t j = 0; j < c->facts->host_label_count; j++) {
            if (strcmp(c->facts->host_labels[j].name, wanted->name) == 0)
                found = c->facts->host_labels[j].value;
        }
        bool ok = same_text(wanted->value, found);
        all = all && ok;
        if (c->trace != NULL) {
            char text[2 * LH_LIMIT_NAME + 8];
            (void)snprintf(text, sizeof(text), "%s: %s", wanted->name, wanted->value);
            note(c, ok, "host", text, found != NULL ? found : "no such label");
        }
    }
    return all;
}

bool lh_policy_workload_holds(
    const lh_policy_workload *workload, const lh_policy_facts *facts, lh_policy_trace *trace)
{
    static bool (*const checks[])(const check *) = {check_user, check_unit, check_lsm, check_container,
        check_exe, check_digest, check_verity, check_source, check_host};
    const check c = {workload, facts, trace};
    bool all = true;
    for (size_t i = 0; i < LH_ARRAY_LEN(checks) && (all || trace != NULL); i++)
        all = checks[i](&c) && all;
    return all;
}

/* The first entry that is not smaller than the one looked for. */
static size_t first_uid(const lh_policy_index *index, uint32_t uid)
{
    size_t low = 0;
    size_t high = index->uid_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->by_uid[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t first_digest(const lh_policy_index *index, const uint8_t digest[32])
{
    size_t low = 0;
    size_t high = index->digest_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(index->by_digest[middle].digest, digest, 32) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int compare_indices(const void *left, const void *right)
{
    size_t a = *(const size_t *)left;
    size_t b = *(const size_t *)right;
    return a < b ? -1 : a > b;
}

/* The index knows uids of this host only. */
static lh_err matching_remote(
    const lh_policy *policy, const lh_policy_facts *facts, size_t **ret, size_t *ret_count)
{
    size_t *found = calloc(policy->workload_count + 1, sizeof(*found));
    if (found == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    size_t count = 0;
    for (size_t i = 0; i < policy->workload_count; i++)
        if (lh_policy_workload_holds(&policy->workloads[i], facts, NULL))
            found[count++] = i;
    *ret = found;
    *ret_count = count;
    return LH_SUCCESS;
}

lh_err lh_policy_matching(
    const lh_policy *policy, const lh_policy_facts *facts, size_t **ret, size_t *ret_count)
{
    if (facts->remote)
        return matching_remote(policy, facts, ret, ret_count);
    const lh_policy_index *index = &policy->index;
    size_t uid_from = first_uid(index, facts->uid);
    size_t uid_to = uid_from;
    while (uid_to < index->uid_count && index->by_uid[uid_to].uid == facts->uid)
        uid_to++;
    size_t digest_from = first_digest(index, facts->exe_sha256);
    size_t digest_to = digest_from;
    while (facts->exe_counts && digest_to < index->digest_count &&
           memcmp(index->by_digest[digest_to].digest, facts->exe_sha256, 32) == 0)
        digest_to++;
    size_t room = (uid_to - uid_from) + (digest_to - digest_from) + index->other_count;
    size_t *found = calloc(room + 1, sizeof(*found));
    if (found == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    size_t count = 0;
    for (size_t i = 0; i < room; i++) {
        size_t workload = 0;
        if (i < uid_to - uid_from)
            workload = index->by_uid[uid_from + i].workload;
        else if (i < (uid_to - uid_from) + (digest_to - digest_from))
            workload = index->by_digest[digest_from + i - (uid_to - uid_from)].workload;
        else
            workload = index->others[i - (uid_to - uid_from) - (digest_to - digest_from)];
        if (lh_policy_workload_holds(&policy->workloads[workload], facts, NULL))
            found[count++] = workload;
    }
    qsort(found, count, sizeof(*found), compare_indices);
    *ret = found;
    *ret_count = count;
    return LH_SUCCESS;
}

/* Which uid a name is there is not known here: one by number is its own only where none goes by name. */
static bool remote_uid_is_own(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts)
{
    if (facts->uid == 0 || (workload->user == NULL && !workload->has_uid))
        return false;
    for (size_t i = 0; i < policy->workload_count; i++) {
        const lh_policy_workload *other = &policy->workloads[i];
        if (other == workload)
            continue;
        bool by_name = other->user != NULL;
        if (workload->user != NULL ? by_name && strcmp(other->user, workload->user) == 0 : by_name)
            return false;
        if (!by_name && other->has_uid && other->uid == facts->uid)
            return false;
    }
    return true;
}

bool lh_policy_uid_is_own(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts)
{
    if (facts->remote)
        return remote_uid_is_own(policy, workload, facts);
    if (!workload->has_uid || workload->uid == 0)
        return false;
    size_t at = first_uid(&policy->index, workload->uid);
    return at + 1 >= policy->index.uid_count || policy->index.by_uid[at + 1].uid != workload->uid;
}

lh_err lh_policy_match(
    const lh_policy *policy, const lh_policy_facts *facts, lh_policy_match_fn fn, void *arg)
{
    if (!facts->userns_same || facts->traced)
        return LH_SUCCESS;
    LH_AUTO(lh_freep) size_t *found = NULL;
    size_t count = 0;
    LH_TRY(lh_policy_matching(policy, facts, &found, &count));
    for (size_t i = 0; i < count; i++) {
        if (!fn(&policy->workloads[found[i]], arg))
            break;
    }
    return LH_SUCCESS;
}

lh_err lh_policy_visible(
    const lh_policy *policy, const lh_policy_facts *facts, lh_policy_visit_fn fn, void *arg)
{
    if (!facts->userns_same || facts->traced)
        return LH_SUCCESS;
    LH_AUTO(lh_freep) size_t *found = NULL;
    size_t count = 0;
    LH_TRY(lh_policy_matching(policy, facts, &found, &count));
    /* For each role the first grant in document order, as evaluate has it: index + 1, 0 where there is none.
     */
    LH_AUTO(lh_freep) size_t *grant_of = calloc(policy->role_count + 1, sizeof(*grant_of));
    if (grant_of == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < count; i++) {
        const lh_policy_workload *workload = &policy->workloads[found[i]];
        for (size_t j = 0; j < workload->grant_count; j++) {
            size_t grant = workload->grants[j];
            size_t *slot = &grant_of[policy->grants[grant].role];
            if (*slot == 0 || grant + 1 < *slot)
                *slot = grant + 1;
        }
    }
    for (size_t role = 0; role < policy->role_count; role++) {
        if (grant_of[role] == 0)
            continue;
        const lh_policy_grant *grant = &policy->grants[grant_of[role] - 1];
        if (!fn(&policy->roles[role], &policy->workloads[grant->workload], arg))
            break;
    }
    return LH_SUCCESS;
}
