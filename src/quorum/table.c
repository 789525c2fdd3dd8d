#include "quorum/table.h"

#include "codec/bin.h"
#include "quorum/params.h"
#include "quorum/parent.h"

#include <stdio.h>

#define TABLE_FORMAT 1

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static lh_err encode_document(uint64_t version, lh_bytes bytes, lh_buf *out)
{
    lh_put_u8(out, TABLE_FORMAT);
    lh_put_u64(out, version);
    lh_put_blob(out, bytes);
    return lh_buf_status(out);
}

static lh_err encode_hold(const lh_state_hold *hold, lh_buf *out)
{
    lh_put_u8(out, TABLE_FORMAT);
    lh_put_raw(out, hold->id, sizeof hold->id);
    lh_selector_encode(&hold->selector, out);
    lh_put_str(out, hold->placed_by);
    lh_put_u64(out, (uint64_t)hold->placed_at);
    lh_put_str(out, hold->reason);
    return lh_buf_status(out);
}

static lh_err put_document(lh_record_txn *txn, enum lh_record_kind kind, uint64_t version, lh_bytes bytes)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = LH_RECORD_ID_ZERO;
    LH_TRY(encode_document(version, bytes, &plain));
    return lh_txn_put(txn, kind, &id, lh_buf_bytes(&plain));
}

lh_err lh_table_put_officers(lh_record_txn *txn, const lh_roster *roster, uint64_t version)
{
    return put_document(txn, LH_RECORD_OFFICERS, version, lh_roster_encoding(roster));
}

static lh_err put_hold(lh_record_txn *txn, const lh_state *state, const uint8_t *id)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id key;
    const lh_state_hold *hold = lh_state_find_hold(state, id);
    if (!hold)
        return LH_FAIL(LH_E_INTERNAL, "a hold was placed and is not there");
    LH_TRY(encode_hold(hold, &plain));
    LH_TRY(lh_record_id_from_bytes(LH_BYTES(id, LH_GOVERNED_ID_SIZE), &key));
    return lh_txn_put(txn, LH_RECORD_HOLD, &key, lh_buf_bytes(&plain));
}

lh_err lh_table_update(
    lh_record_txn *txn, const lh_state *state, const lh_params *params, const uint8_t *proposal)
{
    lh_record_id key;
    switch (params->operation->kind) {
    case LH_OPERATION_POLICY_APPLY:
        return put_document(txn, LH_RECORD_POLICY, state->policy.version, lh_buf_bytes(&state->policy.bytes));
    case LH_OPERATION_REFERENCE_SET:
        return put_document(
            txn, LH_RECORD_REFERENCES, state->references.version, lh_buf_bytes(&state->references.bytes));
    case LH_OPERATION_OFFICERS_CHANGE:
        return lh_table_put_officers(txn, state->roster, state->roster_version);
    case LH_OPERATION_HOLD_PLACE:
    case LH_OPERATION_LEASE_REVOKE: return put_hold(txn, state, proposal);
    case LH_OPERATION_HOLD_LIFT:
        LH_TRY(lh_record_id_from_bytes(LH_BYTES(params->hold, sizeof params->hold), &key));
        return lh_txn_delete(txn, LH_RECORD_HOLD, &key);
    case LH_OPERATION_PARENT_CREATE: /* lh_parent_create wrote it */
    case LH_OPERATION_VAULT_SEAL:
    case LH_OPERATION_VAULT_UNSEAL:
    case LH_OPERATION_PARTITION_CREATE:
    case LH_OPERATION_PARTITION_DESTROY:
    case LH_OPERATION_PARTITION_INITIALIZE:
    case LH_OPERATION_PARTITION_PIN:
    case LH_OPERATION_CERTIFICATE_ATTACH:
    case LH_OPERATION_CERTIFICATE_REMOVE:
    case LH_OPERATION_HOST_ENROL:
    case LH_OPERATION_HOST_RETIRE: break; /* stand in the chain alone */
    }
    return LH_SUCCESS;
}

static lh_err mismatch(enum lh_record_kind kind, const char *what)
{
    return LH_REFUSE(LH_E_CORRUPT, "table-mismatch",
        "the %s table says otherwise than the configuration chain: %s", lh_record_kind_name(kind), what);
}

/* The record under id is there and is expected. */
static lh_err check_record(
    lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_bytes expected)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(kind, id, name);
    lh_err err = lh_record_get(records, kind, id, &plain);
    if (err.code == LH_E_NOT_FOUND) {
        char what[LH_RECORD_NAME_SIZE + 32];
        snprintf(what, sizeof what, "%s is missing", name);
        return mismatch(kind, what);
    }
    LH_TRY(err);
    if (!lh_bytes_equal(lh_buf_bytes(&plain), expected)) {
        char what[LH_RECORD_NAME_SIZE + 32];
        snprintf(what, sizeof what, "%s has another content", name);
        return mismatch(kind, what);
    }
    return LH_SUCCESS;
}

static lh_err check_count(lh_records *records, enum lh_record_kind kind, size_t n)
{
    return lh_record_count(records, kind) == n ? LH_SUCCESS
                                               : mismatch(kind, "it has too few or too many records");
}

static lh_err check_document(lh_records *records, enum lh_record_kind kind, uint64_t version, lh_bytes bytes)
{
    LH_AUTO(free_buf) lh_buf expected = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = LH_RECORD_ID_ZERO;
    LH_TRY(check_count(records, kind, version > 0 ? 1 : 0));
    if (version == 0)
        return LH_SUCCESS;
    LH_TRY(encode_document(version, bytes, &expected));
    return check_record(records, kind, &id, lh_buf_bytes(&expected));
}

static lh_err check_hold(lh_records *records, const lh_state_hold *hold)
{
    LH_AUTO(free_buf) lh_buf expected = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id key;
    LH_TRY(lh_record_id_from_bytes(LH_BYTES(hold->id, sizeof hold->id), &key));
    LH_TRY(encode_hold(hold, &expected));
    return check_record(records, LH_RECORD_HOLD, &key, lh_buf_bytes(&expected));
}

lh_err lh_table_check(lh_records *records, lh_crypto *c, const lh_state *state)
{
    LH_TRY(check_document(
        records, LH_RECORD_OFFICERS, state->roster_version, lh_roster_encoding(state->roster)));
    LH_TRY(
        check_document(records, LH_RECORD_POLICY, state->policy.version, lh_buf_bytes(&state->policy.bytes)));
    LH_TRY(check_document(
        records, LH_RECORD_REFERENCES, state->references.version, lh_buf_bytes(&state->references.bytes)));
    LH_TRY(check_count(records, LH_RECORD_PARENT, state->n_parents));
    for (size_t i = 0; i < state->n_parents; i++) {
        LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
        LH_TRY(lh_parent_load(records, c, &state->parents[i], &secret));
    }
    LH_TRY(check_count(records, LH_RECORD_HOLD, state->n_holds));
    for (size_t i = 0; i < state->n_holds; i++)
        LH_TRY(check_hold(records, &state->holds[i]));
    return LH_SUCCESS;
}
