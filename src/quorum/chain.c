#include "quorum/chain.h"

#include "crypto/hash.h"
#include "quorum/config.h"
#include "quorum/judge.h"
#include "quorum/parent.h"
#include "quorum/table.h"

#define CONFIG_PREFIX "leasehold-config-v1"

typedef struct {
    uint8_t b[LH_SHA256_SIZE];
} state_hash;

typedef struct {
    uint8_t b[LH_GOVERNED_ID_SIZE];
} nonce;

struct lh_chain {
    uint8_t vault[32];
    lh_state state;
    uint64_t sequence;
    uint64_t roster_since;
    state_hash *hashes; /* by sequence: sequence + 1 of them */
    nonce *nonces;      /* sorted: sequence of them */
};

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

void lh_chain_free(lh_chain *chain)
{
    if (!chain)
        return;
    lh_state_clear(&chain->state);
    free(chain->hashes);
    free(chain->nonces);
    free(chain);
}

const lh_state *lh_chain_state(const lh_chain *chain)
{
    return &chain->state;
}

const uint8_t *lh_chain_vault(const lh_chain *chain)
{
    return chain->vault;
}

uint64_t lh_chain_sequence(const lh_chain *chain)
{
    return chain->sequence;
}

const uint8_t *lh_chain_hash(const lh_chain *chain)
{
    return chain->hashes[chain->sequence].b;
}

uint64_t lh_chain_roster_since(const lh_chain *chain)
{
    return chain->roster_since;
}

bool lh_chain_contains(const lh_chain *chain, uint64_t sequence, const uint8_t hash[32])
{
    return sequence <= chain->sequence && memcmp(chain->hashes[sequence].b, hash, sizeof(state_hash)) == 0;
}

/* Where it stands among the sorted nonces, or would. */
static size_t nonce_place(const lh_chain *chain, const uint8_t *wanted)
{
    size_t low = 0;
    size_t high = chain->sequence;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(chain->nonces[middle].b, wanted, sizeof(nonce)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool lh_chain_nonce_used(const lh_chain *chain, const uint8_t wanted[LH_GOVERNED_ID_SIZE])
{
    size_t at = nonce_place(chain, wanted);
    return at < chain->sequence && memcmp(chain->nonces[at].b, wanted, sizeof(nonce)) == 0;
}

static lh_err next_hash(lh_crypto *c, const uint8_t previous[32], lh_bytes record, uint8_t out[32])
{
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, &record, 1, digest));
    const lh_bytes parts[] = {
        LH_BYTES_STR(CONFIG_PREFIX), LH_BYTES(previous, LH_SHA256_SIZE), LH_BYTES(digest, sizeof digest)};
    return lh_sha256(c, parts, LH_ARRAY_LEN(parts), out);
}

lh_err lh_chain_new(lh_crypto *c, const lh_genesis *genesis, lh_chain **ret)
{
    LH_AUTO(lh_chain_freep) lh_chain *chain = NULL;
    LH_AUTO(free_buf) lh_buf record = LH_BUF_INIT(LH_LIMIT_RECORD);
    const uint8_t nothing[LH_SHA256_SIZE] = {0};
    if (!lh_genesis_complete(genesis))
        return LH_REFUSE(LH_E_STATE, "vault-founding",
            "the vault is founding: it serves once every officer has signed the genesis");
    chain = calloc(1, sizeof *chain);
    if (!chain)
        return LH_RAISE(LH_E_NOMEM, 0);
    chain->hashes = calloc(1, sizeof *chain->hashes);
    if (!chain->hashes)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_genesis_encode(genesis, &record));
    LH_TRY(next_hash(c, nothing, lh_buf_bytes(&record), chain->hashes[0].b));
    lh_state_init(&chain->state, lh_genesis_development(genesis), lh_genesis_roster(genesis));
    memcpy(chain->vault, lh_genesis_vault(genesis), sizeof chain->vault);
    *ret = LH_TAKE(chain);
    return LH_SUCCESS;
}

/* A copy with room for one operation more. */
static lh_err copy_chain(const lh_chain *chain, lh_chain **ret)
{
    LH_AUTO(lh_chain_freep) lh_chain *copy = calloc(1, sizeof *copy);
    if (!copy)
        return LH_RAISE(LH_E_NOMEM, 0);
    copy->hashes = calloc(chain->sequence + 2, sizeof *copy->hashes);
    copy->nonces = calloc(chain->sequence + 1, sizeof *copy->nonces);
    if (!copy->hashes || !copy->nonces)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(copy->vault, chain->vault, sizeof copy->vault);
    copy->sequence = chain->sequence;
    copy->roster_since = chain->roster_since;
    memcpy(copy->hashes, chain->hashes, (chain->sequence + 1) * sizeof *copy->hashes);
    if (chain->sequence > 0)
        memcpy(copy->nonces, chain->nonces, chain->sequence * sizeof *copy->nonces);
    LH_TRY(lh_state_copy(&chain->state, &copy->state));
    *ret = LH_TAKE(copy);
    return LH_SUCCESS;
}

static lh_err grow(lh_chain *chain)
{
    state_hash *hashes = realloc(chain->hashes, (chain->sequence + 2) * sizeof *hashes);
    if (!hashes)
        return LH_RAISE(LH_E_NOMEM, 0);
    chain->hashes = hashes;
    nonce *nonces = realloc(chain->nonces, (chain->sequence + 1) * sizeof *nonces);
    if (!nonces)
        return LH_RAISE(LH_E_NOMEM, 0);
    chain->nonces = nonces;
    return LH_SUCCESS;
}

static const char *first_approver(const lh_proposal *proposal)
{
    for (size_t i = 0; i < proposal->n_votes; i++)
        if (proposal->votes[i].verb == LH_VERB_APPROVE)
            return proposal->votes[i].officer;
    return "";
}

/* Append an operation that was judged; on error the chain is to be thrown away. */
static lh_err extend(
    lh_chain *chain, lh_crypto *c, const lh_config_record *config, const lh_params *params, lh_bytes record)
{
    const lh_change change = {
        .params = params,
        .outcome = &config->outcome,
        .proposal = config->proposal->id,
        .by = first_approver(config->proposal),
        .reason = config->proposal->reason,
        .at = config->at,
    };
    LH_TRY(grow(chain));
    LH_TRY(next_hash(c, lh_chain_hash(chain), record, chain->hashes[chain->sequence + 1].b));
    size_t at = nonce_place(chain, config->proposal->nonce);
    memmove(&chain->nonces[at + 1], &chain->nonces[at], (chain->sequence - at) * sizeof(nonce));
    memcpy(chain->nonces[at].b, config->proposal->nonce, sizeof(nonce));
    chain->sequence++;
    LH_TRY(lh_state_apply(&chain->state, &change));
    if (params->operation->kind == LH_OPERATION_OFFICERS_CHANGE)
        chain->roster_since = chain->sequence;
    return LH_SUCCESS;
}

/* What lease.revoke says of the lease is the vault's word, so what it may say is bounded: a hold on the lease
 * that was named, or on a workload and role. */
static lh_err check_outcome(const lh_chain *chain, const lh_params *params, const lh_outcome *outcome)
{
    bool partition = params->operation->kind == LH_OPERATION_PARTITION_CREATE;
    if (partition ? outcome->number <= chain->state.partitions_made : outcome->number != 0)
        return LH_FAIL(LH_E_INVALID, "a partition's number that was used before, or is none");
    if (params->operation->kind != LH_OPERATION_LEASE_REVOKE)
        return LH_SUCCESS;
    if (outcome->selector.workload[0] == '\0' || outcome->selector.role[0] == '\0')
        return LH_FAIL(LH_E_INVALID, "a revocation that does not name the workload and role it holds");
    return LH_SUCCESS;
}

static lh_err replay_config(lh_chain *chain, lh_crypto *c, uint64_t sequence, lh_bytes record)
{
    LH_AUTO(lh_config_record_clear) lh_config_record config = {0};
    LH_AUTO(lh_params_clear) lh_params params = {0};
    LH_TRY(lh_config_record_decode(record, &config));
    if (sequence != chain->sequence + 1 || config.sequence != sequence)
        return LH_FAIL(
            LH_E_CORRUPT, "it is not the one that follows %llu", (unsigned long long)chain->sequence);
    if (memcmp(config.previous, lh_chain_hash(chain), sizeof config.previous) != 0)
        return LH_FAIL(LH_E_CORRUPT, "it does not build on the one before it");
    if (config.proposal->status != LH_PROPOSAL_EXECUTED)
        return LH_FAIL(LH_E_CORRUPT, "its proposal was not executed");
    config.proposal->status = LH_PROPOSAL_OPEN; /* as it stood when it was judged */
    LH_TRY(
        lh_params_parse(c, config.proposal->operation, lh_buf_bytes(&config.proposal->parameters), &params));
    LH_TRY(lh_proposal_judge(config.proposal, &params, chain, c, config.at));
    LH_TRY(check_outcome(chain, &params, &config.outcome));
    return extend(chain, c, &config, &params, record);
}

typedef struct {
    lh_crypto *c;
    lh_chain *chain; /* NULL until the genesis was read */
} replay;

static lh_err replay_genesis(replay *r, const lh_record_id *id, lh_bytes plain)
{
    LH_AUTO(lh_genesis_freep) lh_genesis *genesis = NULL;
    if (lh_record_id_to_u64(id) != 0)
        return LH_FAIL(LH_E_CORRUPT, "the genesis is missing before it");
    LH_TRY(lh_genesis_decode(r->c, plain, &genesis));
    return lh_chain_new(r->c, genesis, &r->chain);
}

static lh_err replay_record(const lh_record_id *id, lh_bytes plain, void *arg)
{
    replay *r = arg;
    char name[LH_RECORD_NAME_SIZE];
    lh_err err = r->chain ? replay_config(r->chain, r->c, lh_record_id_to_u64(id), plain)
                          : replay_genesis(r, id, plain);
    /* Faults and the founding vault go up as they are; all else is a record that should not be there. */
    if (lh_ok(err) || err.code == LH_E_NOMEM || err.code == LH_E_CRYPTO ||
        strcmp(lh_err_last()->reason, "vault-founding") == 0)
        return err;
    lh_err_detail why = *lh_err_last();
    lh_record_name(LH_RECORD_CONFIG, id, name);
    return LH_REFUSE(LH_E_CORRUPT, "chain-broken", "%s is not to be believed (%s): %s", name,
        why.reason[0] ? why.reason : lh_code_name(why.code), why.message);
}

lh_err lh_chain_replay(lh_records *records, lh_crypto *c, lh_chain **ret)
{
    replay r = {c, NULL};
    lh_err err = lh_record_each(records, LH_RECORD_CONFIG, replay_record, &r);
    LH_AUTO(lh_chain_freep) lh_chain *chain = r.chain;
    LH_TRY(err);
    if (!chain)
        return LH_REFUSE(LH_E_NOT_FOUND, "genesis-missing", "the store holds no genesis");
    *ret = LH_TAKE(chain);
    return LH_SUCCESS;
}

lh_err lh_chain_check_tables(lh_records *records, lh_crypto *c, const lh_chain *chain)
{
    return lh_table_check(records, c, &chain->state);
}

/* What is executed, as it is being put together. */
typedef struct {
    lh_config_record config;
    lh_params params;
} execution_job;

static void clear_job(execution_job *job)
{
    lh_params_clear(&job->params);
    lh_config_record_clear(&job->config);
}

static lh_err judge(execution_job *job, const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_execution *execution)
{
    lh_config_record *config = &job->config;
    lh_record_id id = lh_record_id_from_u64(chain->sequence + 1);
    LH_TRY(lh_proposal_fetch(txn, execution->proposal, &config->proposal));
    const lh_proposal *proposal = config->proposal;
    LH_TRY(lh_params_parse(c, proposal->operation, lh_buf_bytes(&proposal->parameters), &job->params));
    LH_TRY(lh_proposal_judge(proposal, &job->params, chain, c, execution->now));
    LH_TRY(lh_state_admit(&chain->state, &job->params));
    if (lh_txn_exists(txn, LH_RECORD_CONFIG, &id))
        return LH_REFUSE(LH_E_STATE, "chain-moved", "another operation was executed meanwhile: try again");
    return LH_SUCCESS;
}

/* The id of a new partition, and its number where the vault has no other. */
static lh_err number_partition(const lh_chain *chain, lh_outcome *outcome)
{
    if (chain->state.partitions_made == UINT64_MAX)
        return LH_REFUSE(LH_E_LIMIT, "state-limit", "there are no numbers left for partitions");
    if (outcome->number == 0)
        outcome->number = chain->state.partitions_made + 1;
    lh_random(outcome->made_id, sizeof outcome->made_id);
    return LH_SUCCESS;
}

/* The record of the operation, with what the vault adds to it. */
static lh_err make_record(execution_job *job, const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_execution *execution)
{
    lh_config_record *config = &job->config;
    config->sequence = chain->sequence + 1;
    config->at = execution->now;
    memcpy(config->previous, lh_chain_hash(chain), sizeof config->previous);
    if (execution->effect)
        LH_TRY(execution->effect(txn, &job->params, &config->outcome, execution->arg));
    if (job->params.operation->kind == LH_OPERATION_PARENT_CREATE)
        LH_TRY(lh_parent_create(c, txn, job->params.parent, &config->outcome));
    if (job->params.operation->kind == LH_OPERATION_PARTITION_CREATE)
        LH_TRY(number_partition(chain, &config->outcome));
    LH_TRY(check_outcome(chain, &job->params, &config->outcome));
    config->proposal->status = LH_PROPOSAL_EXECUTED;
    return LH_SUCCESS;
}

lh_err lh_chain_execute(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_execution *execution, lh_chain **ret_next)
{
    LH_AUTO(clear_job) execution_job job = {0};
    LH_AUTO(lh_chain_freep) lh_chain *next = NULL;
    LH_AUTO(free_buf) lh_buf record = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = lh_record_id_from_u64(chain->sequence + 1);
    LH_TRY(judge(&job, chain, c, txn, execution));
    LH_TRY(make_record(&job, chain, c, txn, execution));
    LH_TRY(lh_config_record_encode(&job.config, &record));
    LH_TRY(copy_chain(chain, &next));
    LH_TRY(extend(next, c, &job.config, &job.params, lh_buf_bytes(&record)));
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &id, lh_buf_bytes(&record)));
    LH_TRY(lh_table_update(txn, &next->state, &job.params, job.config.proposal->id));
    LH_TRY(lh_proposal_store(txn, job.config.proposal));
    *ret_next = LH_TAKE(next);
    return LH_SUCCESS;
}
