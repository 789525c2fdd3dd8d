/* A snapshot of what decisions depend on: policy, reference values, holds and parents of one configuration
 * state. Whoever decides takes a reference and is not disturbed by a change; the change then ends what the
 * new rules do not allow. */
#include "base/log_line.h"
#include "vault/fileset.h"

#include <pwd.h>
#include <unistd.h>

static char *copy_or_null(const char *s)
{
    return s[0] ? strdup(s) : NULL;
}

static lh_err copy_holds(const lh_state *state, lh_rules *rules)
{
    rules->holds = calloc(state->n_holds + 1, sizeof(*rules->holds));
    if (!rules->holds)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < state->n_holds; i++) {
        const lh_state_hold *from = &state->holds[i];
        const lh_selector *s = &from->selector;
        /* A hold on one lease stops nothing that could be issued anew. */
        if (s->has_lease && !s->workload[0] && !s->role[0] && !s->host[0])
            continue;
        lh_policy_hold *to = &rules->holds[rules->hold_count++];
        char id[2 * LH_GOVERNED_ID_SIZE + 1];
        lh_hex(from->id, LH_GOVERNED_ID_SIZE, id);
        to->id = strdup(id);
        to->workload = copy_or_null(s->workload);
        to->role = copy_or_null(s->role);
        to->host = copy_or_null(s->host);
        if (!to->id || (s->workload[0] && !to->workload) || (s->role[0] && !to->role) ||
            (s->host[0] && !to->host))
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}

static bool resolve_user(const char *user, uint32_t *ret_uid, void *arg)
{
    (void)arg;
    char buffer[16384];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwnam_r(user, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return false;
    *ret_uid = found->pw_uid;
    return true;
}

static lh_err parse_documents(const lh_state *state, lh_rules *rules)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = LH_SUCCESS;
    if (state->policy.version > 0) {
        err = lh_policy_parse(lh_buf_bytes(&state->policy.bytes), "policy", &rules->policy, &problems);
        if (lh_ok(err))
            err = lh_policy_resolve(rules->policy, resolve_user, NULL, NULL);
    }
    if (lh_ok(err) && state->references.version > 0)
        err = lh_references_parse(
            lh_buf_bytes(&state->references.bytes), "references", &rules->values, &problems);
    lh_problems_clear(&problems);
    return err;
}

static lh_err copy_parents(const lh_state *state, lh_rules *rules)
{
    rules->parents = calloc(state->n_parents + 1, sizeof(*rules->parents));
    if (!rules->parents)
        return LH_RAISE(LH_E_NOMEM, 0);
    rules->parent_count = state->n_parents;
    for (size_t i = 0; i < state->n_parents; i++)
        rules->parents[i] = state->parents[i];
    return LH_SUCCESS;
}

static lh_err copy_labels(lh_rules *rules)
{
    if (!rules->values)
        return LH_SUCCESS;
    const lh_reference_label *labels = lh_references_self_labels(rules->values, &rules->label_count);
    rules->labels = calloc(rules->label_count + 1, sizeof(*rules->labels));
    if (!rules->labels)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < rules->label_count; i++)
        rules->labels[i] = (lh_policy_label){labels[i].name, labels[i].value};
    return LH_SUCCESS;
}

/* The labels of enrolled hosts as policy reads them; what they point to is the enrolments'. */
static lh_err copy_host_labels(lh_rules *rules)
{
    const lh_state *governed = &rules->governed;
    rules->host_labels = calloc(governed->n_hosts + 1, sizeof(*rules->host_labels));
    if (!rules->host_labels)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < governed->n_hosts; i++) {
        const lh_host_enrolment *host = governed->hosts[i].enrolment;
        lh_policy_label *labels = calloc(host->n_labels + 1, sizeof(*labels));
        if (!labels)
            return LH_RAISE(LH_E_NOMEM, 0);
        for (size_t k = 0; k < host->n_labels; k++)
            labels[k] = (lh_policy_label){host->labels[k].name, host->labels[k].value};
        rules->host_labels[i] = labels;
    }
    return LH_SUCCESS;
}

lh_err lh_rules_new(const lh_chain *chain, lh_rules **ret)
{
    const lh_state *state = lh_chain_state(chain);
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&rules->references, 1);
    LH_TRY(parse_documents(state, rules));
    LH_TRY(copy_labels(rules));
    LH_TRY(copy_holds(state, rules));
    LH_TRY(copy_parents(state, rules));
    LH_TRY(lh_state_partitions_copy(state, &rules->governed));
    LH_TRY(lh_state_certificates_copy(state, &rules->governed));
    LH_TRY(lh_state_hosts_copy(state, &rules->governed));
    LH_TRY(copy_host_labels(rules));
    rules->references_version = state->references.version;
    *ret = LH_TAKE(rules);
    return LH_SUCCESS;
}

static void free_const(const char *s)
{
    union {
        const char *in;
        char *out;
    } u = {s};
    free(u.out);
}

void lh_rules_unref(lh_rules *rules)
{
    if (!rules || atomic_fetch_sub(&rules->references, 1) != 1)
        return;
    for (size_t i = 0; i < rules->hold_count; i++) {
        free_const(rules->holds[i].id);
        free_const(rules->holds[i].workload);
        free_const(rules->holds[i].role);
        free_const(rules->holds[i].host);
    }
    free(rules->holds);
    for (size_t i = 0; rules->host_labels && i < rules->governed.n_hosts; i++)
        free(rules->host_labels[i]);
    free(rules->host_labels);
    free(rules->labels);
    free(rules->parents);
    lh_state_clear(&rules->governed);
    lh_policy_free(rules->policy);
    lh_references_free(rules->values);
    free(rules);
}

lh_rules *lh_vault_rules(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    lh_rules *rules = v->rules;
    if (rules)
        atomic_fetch_add(&rules->references, 1);
    pthread_mutex_unlock(&v->mutex);
    return rules;
}

const lh_state_parent *lh_rules_parent(const lh_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->parent_count; i++)
        if (strcmp(rules->parents[i].name, name) == 0)
            return &rules->parents[i];
    return NULL;
}

void lh_rules_facts(const lh_rules *rules, const lh_identity *identity, lh_policy_facts *ret)
{
    bool ours = identity->flags & LH_IDENTITY_EXE_PATH_OURS;
    *ret = (lh_policy_facts){
        .uid = identity->uid,
        .exe = ours && identity->exe_path[0] ? identity->exe_path : NULL,
        .exe_counts = lh_identity_exe_counts(identity),
        .exe_trusted_path = identity->flags & LH_IDENTITY_EXE_PATH_TRUSTED,
        .unit = identity->unit[0] ? identity->unit : NULL,
        .user = identity->user[0] ? identity->user : NULL,
        .exe_has_verity = identity->flags & LH_IDENTITY_EXE_VERITY,
        .container_id = identity->container_id[0] ? identity->container_id : NULL,
        .pod = identity->pod[0] ? identity->pod : NULL,
        .pod_labels = identity->pod_labels[0] ? identity->pod_labels : NULL,
        .lsm = (identity->flags & LH_IDENTITY_LSM_CONFINED) && identity->lsm_label[0] ? identity->lsm_label
                                                                                      : NULL,
        .userns_same = !(identity->flags & LH_IDENTITY_OTHER_USER_NS),
        .traced = identity->tracer_pid != 0,
        .host = "self",
        .assurance = "self",
        .host_labels = rules->labels,
        .host_label_count = rules->label_count,
        .holds = rules->holds,
        .hold_count = rules->hold_count,
    };
    if (identity->container_runtime != LH_CONTAINER_NONE)
        ret->container_runtime = lh_container_runtime_name(identity->container_runtime);
    memcpy(ret->exe_sha256, identity->exe_sha256, sizeof(ret->exe_sha256));
    memcpy(ret->exe_verity, identity->exe_verity, sizeof(ret->exe_verity));
}

bool lh_rules_host_facts(
    const lh_rules *rules, const char *host, const lh_identity *identity, lh_policy_facts *ret)
{
    const lh_state_host *enrolled = lh_state_find_host(&rules->governed, host);
    if (!enrolled)
        return false;
    lh_rules_facts(rules, identity, ret);
    ret->host = enrolled->name;
    ret->host_labels = rules->host_labels[enrolled - rules->governed.hosts];
    ret->host_label_count = enrolled->enrolment->n_labels;
    ret->assurance = "host";
    ret->remote = true;
    return true;
}

/* Whether a live lease would still be allowed as far as the configuration decides it: its grant, its role
 * with the same key, its holds. */
static bool still_allowed(const lh_rules *rules, const lh_lease *lease)
{
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!rules->policy || (t->host[0] && !lh_state_find_host(&rules->governed, t->host)))
        return false;
    const lh_policy_role *role = lh_policy_role_by_name(rules->policy, t->role);
    const lh_policy_workload *workload = lh_policy_workload_by_id(rules->policy, t->workload);
    const lh_state_parent *parent = role ? lh_rules_parent(rules, role->parent) : NULL;
    if (!role || !workload || !parent || role->key != t->kind || strcmp(role->parent, t->parent) != 0 ||
        parent->version != t->parent_version ||
        (role->per == LH_POLICY_PER_LEASE) != (t->per == LH_PER_LEASE))
        return false;
    bool granted = false;
    for (size_t i = 0; i < workload->grant_count; i++)
        granted = granted || lh_policy_grant_at(rules->policy, workload->grants[i])->role == role->index;
    return granted;
}

static bool is_held(const lh_rules *rules, const lh_lease *lease)
{
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    const char *host = t->host[0] ? t->host : "self";
    for (size_t i = 0; i < rules->hold_count; i++) {
        const lh_policy_hold *h = &rules->holds[i];
        if ((!h->workload || strcmp(h->workload, t->workload) == 0) &&
            (!h->role || strcmp(h->role, t->role) == 0) && (!h->host || strcmp(h->host, host) == 0))
            return true;
    }
    return false;
}

typedef struct {
    lh_vault *vault;
    const lh_rules *rules;
} reappraisal;

const char *lh_rules_objection(const lh_rules *rules, const lh_lease *lease)
{
    if (is_held(rules, lease))
        return "held";
    return still_allowed(rules, lease) ? NULL : "policy";
}

static bool reappraise(lh_lease *lease, void *arg)
{
    reappraisal *r = arg;
    const char *objection = lh_rules_objection(r->rules, lease);
    if (objection)
        lh_vault_lease_end(r->vault, lease, objection);
    return true;
}

void lh_vault_rules_set(lh_vault *v, lh_rules *rules_taken)
{
    pthread_mutex_lock(&v->mutex);
    lh_rules *old = v->rules;
    if (rules_taken->values)
        lh_filesets_attach(v, rules_taken->values);
    v->rules = rules_taken;
    rules_taken->generation = atomic_fetch_add(&v->generation, 1) + 1;
    reappraisal r = {v, rules_taken};
    lh_lease_table_each(v->leases, reappraise, &r);
    pthread_mutex_unlock(&v->mutex);
    bool references = !old || old->references_version != rules_taken->references_version;
    lh_rules_unref(old);
    LH_AUTO(lh_rules_unrefp) lh_rules *now = lh_vault_rules(v);
    if (now)
        lh_hosts_rules_changed(v->hosts, now, references);
    if (v->partition_hooks.changed)
        v->partition_hooks.changed(v);
    lh_vault_keeper_wake(v);
}
