/* What the dispatcher and the admin calls ask besides calls of applications: the leased partition as a slot,
 * PINs that wait for a quorum, partitions for people. */
#include "base/clock.h"
#include "vault/standalone_internal.h"

#include <stdio.h>

#define SESSIONS_MAX 65536 /* sessions that one process should have open: they are the module's own */

/* --- the leased partition as a slot -----------------------------------------------------------------------
 */

void lh_vault_leased_slot_info(lh_vault *v, lh_slot_info_reply *ret)
{
    lh_token_info_reply token;
    lh_vault_token_info(v, &token);
    *ret = (lh_slot_info_reply){
        .state = token.state,
        .flags = token.flags | LH_TOKEN_FLAG_LEASED | LH_TOKEN_FLAG_INITIALIZED,
        .pin_max = LH_WIRE_PIN_MAX,
        .sessions_max = SESSIONS_MAX,
    };
    memcpy(ret->label, token.label, sizeof(ret->label));
    memcpy(ret->serial, token.serial, sizeof(ret->serial));
}

lh_err lh_vault_leased_mechanisms(lh_vault *v, lh_buf *ret_types)
{
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
        if (!row->standalone && !row->legacy && lh_crypto_offers(v->crypto, row))
            lh_put_u64(ret_types, row->type);
    return lh_buf_status(ret_types);
}

/* --- PINs that wait for a quorum --------------------------------------------------------------------------
 */

static lh_err partition_name(lh_vault *v, uint64_t number, char ret[LH_LIMIT_PARTITION_NAME + 1])
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    for (size_t i = 0; rules && i < rules->governed.n_partitions; i++) {
        const lh_state_partition *p = &rules->governed.partitions[i];
        if (p->number != number)
            continue;
        memcpy(ret, p->name, LH_LIMIT_PARTITION_NAME + 1);
        return LH_SUCCESS;
    }
    return LH_REFUSE(LH_E_NOT_FOUND, "slot-id-invalid", "there is no partition of this number");
}

static lh_err propose(lh_peer *peer, lh_partition_proposal *wanted, uint64_t number, lh_bytes pin,
    uint8_t ret_id[LH_GOVERNED_ID_SIZE])
{
    lh_vault *v = peer->vault;
    LH_AUTO(lh_standalone_unrefp) lh_standalone *s = NULL;
    LH_AUTO(lh_buf_free) lh_buf verifier = LH_BUF_INIT(LH_PARTITION_VERIFIER_MAX);
    char name[LH_LIMIT_PARTITION_NAME + 1];
    char requester[64];
    LH_TRY(lh_standalone_get(v, &s));
    LH_TRY(partition_name(v, number, name));
    if (!wanted->label) /* a partition whose officer is a quorum has no officer's PIN */
        LH_TRY(lh_pin_verifier_new(s->partitions, pin, &verifier));
    snprintf(requester, sizeof(requester), "user %u, process %d", (unsigned)peer->options.uid,
        (int)peer->options.pid);
    wanted->partition = name;
    wanted->requester = requester;
    wanted->verifier = lh_buf_bytes(&verifier);
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_propose_internal(v, wanted, ret_id);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

static uint64_t pending_of(const uint8_t id[LH_GOVERNED_ID_SIZE])
{
    uint64_t pending = 0;
    for (size_t i = 0; i < sizeof(pending); i++)
        pending = pending << 8 | id[i];
    return pending;
}

lh_err lh_peer_propose_pin(lh_peer *peer, const lh_init_pin_request *r, uint64_t *ret_pending)
{
    uint8_t id[LH_GOVERNED_ID_SIZE];
    lh_partition_proposal wanted = {.operation = "partition.pin"};
    LH_TRY(propose(peer, &wanted, r->slot, r->pin, id));
    if (pending_of(id) == 0)
        return LH_RAISE(LH_E_INTERNAL, 0);
    *ret_pending = pending_of(id);
    return LH_SUCCESS;
}

lh_err lh_peer_propose_initialize(lh_peer *peer, const lh_init_token_request *r)
{
    uint8_t id[LH_GOVERNED_ID_SIZE];
    char hex[2 * LH_GOVERNED_ID_SIZE + 1];
    char label[LH_LIMIT_PARTITION_NAME + 1];
    size_t len = sizeof(r->label);
    while (len > 0 && (r->label[len - 1] == ' ' || r->label[len - 1] == 0))
        len--;
    memcpy(label, r->label, len);
    label[len] = '\0';
    lh_partition_proposal wanted = {.operation = "partition.initialize", .label = label};
    LH_TRY(propose(peer, &wanted, r->slot, LH_BYTES_NONE, id));
    lh_hex(id, sizeof(id), hex);
    return LH_REFUSE(LH_E_QUORUM, "action-prohibited",
        "initialising this partition takes a quorum: proposal %s waits for the officers", hex);
}

/* The proposal that pending stands for, if it is one about this partition. */
static lh_err find_proposal(lh_vault *v, const char *partition, uint64_t pending, uint8_t ret[16])
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    LH_TRY(lh_record_ids(v->core->records, LH_RECORD_PROPOSAL, &ids, &count));
    for (size_t i = 0; i < count; i++) {
        if (pending_of(ids[i].b) != pending)
            continue;
        LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
        LH_AUTO(lh_params_clear) lh_params params = {0};
        LH_TRY(lh_proposal_load(v->core->records, ids[i].b, &proposal));
        LH_TRY(lh_params_parse(v->crypto, proposal->operation, lh_buf_bytes(&proposal->parameters), &params));
        if (strcmp(params.partition, partition) != 0)
            continue;
        memcpy(ret, ids[i].b, LH_GOVERNED_ID_SIZE);
        return LH_SUCCESS;
    }
    return LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "nothing waits under this number in this partition");
}

static lh_err outcome_of(
    lh_vault *v, const lh_pending_request *r, const char *partition, enum lh_proposal_outcome *ret)
{
    uint8_t id[LH_GOVERNED_ID_SIZE];
    LH_TRY(lh_vault_require_open(v));
    LH_TRY(find_proposal(v, partition, r->pending, id));
    return lh_vault_proposal_outcome(v, id, ret, NULL);
}

/* Whether the process may see the partition is asked as for any call that names it. */
static lh_err look(lh_application *application, void *arg)
{
    const lh_pending_request *r = arg;
    lh_slot_request slot = {r->slot};
    lh_slot_info_reply info;
    return lh_application_slot_info(application, &slot, &info);
}

lh_err lh_peer_pending(lh_peer *peer, const lh_pending_request *r, enum lh_pending_state *ret)
{
    lh_vault *v = peer->vault;
    lh_pending_request copy = *r;
    char name[LH_LIMIT_PARTITION_NAME + 1];
    enum lh_proposal_outcome outcome = LH_OUTCOME_UNKNOWN;
    LH_TRY(lh_peer_standalone(peer, look, &copy));
    LH_TRY(partition_name(v, r->slot, name));
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = outcome_of(v, r, name, &outcome);
    pthread_rwlock_unlock(&v->core_lock);
    LH_TRY(err);
    switch (outcome) {
    case LH_OUTCOME_OPEN: *ret = LH_PENDING_WAITS; return LH_SUCCESS;
    case LH_OUTCOME_EXECUTED: *ret = LH_PENDING_DONE; return LH_SUCCESS;
    case LH_OUTCOME_DENIED:
    case LH_OUTCOME_EXPIRED: *ret = LH_PENDING_REFUSED; return LH_SUCCESS;
    case LH_OUTCOME_UNKNOWN: break;
    }
    return LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "nothing waits under this number in this partition");
}

/* --- for people -------------------------------------------------------------------------------------------
 */

lh_err lh_standalone_describe(lh_vault *v, const char *name, lh_partition_description *ret)
{
    uint64_t number = 0;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    for (size_t i = 0; rules && i < rules->governed.n_partitions; i++)
        if (strcmp(rules->governed.partitions[i].name, name) == 0)
            number = rules->governed.partitions[i].number;
    if (number == 0)
        return LH_REFUSE(LH_E_NOT_FOUND, "partition-unknown", "there is no partition of this name");
    LH_AUTO(lh_standalone_unrefp) lh_standalone *s = NULL;
    LH_TRY(lh_standalone_get(v, &s));
    return lh_partitions_describe(s->partitions, number, ret);
}
