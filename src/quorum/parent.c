#include "quorum/parent.h"

#include "codec/bin.h"
#include "crypto/hash.h"

#define PARENT_FORMAT 1
#define PARENT_PREFIX "leasehold-parent-v1"
#define SALT_SIZE 32

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

/* id: 16 bytes; salt and secret: 32 each. */
static lh_err commit_to(
    lh_crypto *c, const uint8_t *id, uint32_t version, const uint8_t *salt_and_secret, uint8_t out[32])
{
    uint8_t number[4] = {
        (uint8_t)(version >> 24), (uint8_t)(version >> 16), (uint8_t)(version >> 8), (uint8_t)version};
    const lh_bytes parts[] = {
        LH_BYTES_STR(PARENT_PREFIX),
        LH_BYTES(salt_and_secret, SALT_SIZE),
        LH_BYTES(id, LH_GOVERNED_ID_SIZE),
        LH_BYTES(number, sizeof number),
        LH_BYTES(salt_and_secret + SALT_SIZE, LH_PARENT_SECRET_SIZE),
    };
    return lh_sha256(c, parts, LH_ARRAY_LEN(parts), out);
}

/* The record but for its end, salt ‖ secret, which stands in an lh_secret only. */
static lh_err encode_head(const char *name, const uint8_t *id, uint32_t version, lh_buf *out)
{
    lh_put_u8(out, PARENT_FORMAT);
    lh_put_str(out, name);
    lh_put_raw(out, id, LH_GOVERNED_ID_SIZE);
    lh_put_u32(out, version);
    return lh_buf_status(out);
}

lh_err lh_parent_create(lh_crypto *c, lh_record_txn *txn, const char *name, lh_outcome *outcome)
{
    LH_AUTO(free_buf) lh_buf head = LH_BUF_INIT(LH_LIMIT_NAME + 64);
    LH_AUTO(lh_secret_freep) lh_secret *record = NULL;
    lh_record_id key;
    LH_TRY(lh_record_id_from_name(c, LH_RECORD_PARENT, name, &key));
    lh_random(outcome->made_id, sizeof outcome->made_id);
    LH_TRY(encode_head(name, outcome->made_id, 1, &head));
    LH_TRY(lh_secret_random(head.len + SALT_SIZE + LH_PARENT_SECRET_SIZE, &record));
    memcpy(lh_secret_data(record), head.data, head.len);
    LH_TRY(commit_to(c, outcome->made_id, 1, lh_secret_data(record) + head.len, outcome->parent_commitment));
    return lh_txn_put(txn, LH_RECORD_PARENT, &key, lh_secret_bytes(record));
}

static lh_err mismatch(const char *name, const char *why)
{
    return LH_REFUSE(LH_E_CORRUPT, "table-mismatch",
        "the parent key %s %s: its record says otherwise than the configuration chain", name, why);
}

lh_err lh_parent_load(lh_records *records, lh_crypto *c, const lh_state_parent *parent, lh_secret **ret)
{
    LH_AUTO(free_buf) lh_buf head = LH_BUF_INIT(LH_LIMIT_NAME + 64);
    LH_AUTO(lh_secret_freep) lh_secret *record = NULL;
    uint8_t commitment[32];
    lh_record_id key;
    LH_TRY(lh_record_id_from_name(c, LH_RECORD_PARENT, parent->name, &key));
    lh_err err = lh_record_get_secret(records, LH_RECORD_PARENT, &key, &record);
    if (err.code == LH_E_NOT_FOUND)
        return mismatch(parent->name, "is missing");
    LH_TRY(err);
    LH_TRY(encode_head(parent->name, parent->id, parent->version, &head));
    lh_bytes plain = lh_secret_bytes(record);
    if (plain.len != head.len + SALT_SIZE + LH_PARENT_SECRET_SIZE ||
        !lh_bytes_equal(LH_BYTES(plain.data, head.len), lh_buf_bytes(&head)))
        return mismatch(parent->name, "is another");
    LH_TRY(commit_to(c, parent->id, parent->version, plain.data + head.len, commitment));
    if (memcmp(commitment, parent->commitment, sizeof commitment) != 0)
        return mismatch(parent->name, "has another secret");
    return lh_secret_copy(LH_BYTES(plain.data + head.len + SALT_SIZE, LH_PARENT_SECRET_SIZE), ret);
}
