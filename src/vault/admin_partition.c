/* partition.list, partition.show: standalone partitions as officers made them, what policy adds, and what is
 * in them. */
#include "vault/admin_internal.h"
#include "vault/standalone.h"

#define LIST_SIZE (LH_LIMIT_MESSAGE - 4096) /* bytes of partitions in one answer: it must fit a message */

static json_t *users_of(const lh_state_partition *partition)
{
    json_t *users = json_array();
    for (size_t i = 0; i < partition->n_users; i++)
        json_array_append_new(users, json_integer(partition->users[i]));
    return users;
}

static json_t *workloads_of(const lh_policy *policy, const lh_policy_partition *rule)
{
    json_t *list = json_array();
    for (size_t i = 0; rule && i < rule->workload_count; i++)
        json_array_append_new(list, json_string(lh_policy_workload_at(policy, rule->workloads[i])->id));
    return list;
}

static json_t *legacy_of(const lh_policy_partition *rule)
{
    json_t *list = json_array();
    for (size_t i = 0; rule && i < rule->legacy_count; i++)
        json_array_append_new(list, json_string(rule->legacy[i]->name));
    return list;
}

/* NULL where memory ran out. */
static json_t *configured(const lh_rules *rules, const lh_state_partition *partition)
{
    const lh_policy_partition *rule =
        rules->policy ? lh_policy_partition_find(rules->policy, partition->name) : NULL;
    return json_pack("{s:s, s:I, s:s, s:o, s:o, s:o}", "name", partition->name, "number",
        (json_int_t)partition->number, "so", partition->so_quorum ? "quorum" : "pin", "users",
        users_of(partition), "workloads", workloads_of(rules->policy, rule), "legacy", legacy_of(rule));
}

static json_t *pin_of(bool set, const lh_pin_view *pin)
{
    return json_pack("{s:b, s:i, s:b, s:I}", "set", set, "failures", (int)pin->failures, "locked",
        pin->locked, "wait_ms", (json_int_t)pin->wait_ms);
}

/* Add what is in it. Where that cannot be told now, what the configuration says stands alone. */
static lh_err describe(lh_vault *v, const char *name, json_t *one)
{
    lh_partition_description d;
    if (!lh_ok(lh_standalone_describe(v, name, &d)))
        return LH_SUCCESS;
    LH_AUTO(lh_json_freep)
    json_t *more = json_pack("{s:b, s:b, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "initialized",
        d.initialized, "blank", d.blank, "label", d.label, "serial", d.serial, "created",
        lh_event_time(d.created), "objects", (json_int_t)d.objects, "keys", (json_int_t)d.keys, "bytes",
        (json_int_t)d.bytes, "logins", (json_int_t)d.logins, "so_pin", pin_of(d.so_pin, &d.so), "user_pin",
        pin_of(d.user_pin, &d.user));
    return more && json_object_update(one, more) == 0 ? LH_SUCCESS : LH_RAISE(LH_E_NOMEM, 0);
}

LH_ADMIN_HANDLER(lh_admin_partition_list)
{
    (void)caller;
    (void)request;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules)
        return lh_vault_require_open(v);
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    size_t room = LIST_SIZE;
    bool more = false;
    for (size_t i = 0; i < rules->governed.n_partitions && !more; i++) {
        LH_AUTO(lh_json_freep) json_t *one = configured(rules, &rules->governed.partitions[i]);
        if (!one)
            return LH_RAISE(LH_E_NOMEM, 0);
        LH_TRY(describe(v, rules->governed.partitions[i].name, one));
        size_t size = json_dumpb(one, NULL, 0, JSON_COMPACT) + 1;
        more = size > room;
        room -= more ? 0 : size;
        if (!more && json_array_append(list, one) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    *ret_fields = json_pack("{s:O, s:b}", "partitions", list, "more", more);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_partition_show)
{
    (void)caller;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const char *name = lh_admin_string(request, "name");
    if (!rules)
        return lh_vault_require_open(v);
    const lh_state_partition *partition = lh_state_find_partition(&rules->governed, name);
    if (!partition)
        return LH_REFUSE(LH_E_NOT_FOUND, "partition-unknown", "there is no partition named %s", name);
    LH_AUTO(lh_json_freep) json_t *one = configured(rules, partition);
    if (!one)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(describe(v, name, one));
    *ret_fields = json_pack("{s:O}", "partition", one);
    return LH_SUCCESS;
}
