/* Kinds and ids: their names, and names to ids. */
#include "crypto/hash.h"
#include "record/record.h"

#include <stdio.h>

/* How a record of the kind is told from others of it. */
enum id_form { ID_OPAQUE, ID_NUMBER };

static const struct {
    const char *name;
    enum id_form form;
} kinds[LH_RECORD_KIND_END] = {
    [LH_RECORD_HEAD] = {"head", ID_OPAQUE},
    [LH_RECORD_CONFIG] = {"configuration", ID_NUMBER},
    [LH_RECORD_OFFICERS] = {"officers", ID_OPAQUE},
    [LH_RECORD_POLICY] = {"policy", ID_OPAQUE},
    [LH_RECORD_REFERENCES] = {"references", ID_OPAQUE},
    [LH_RECORD_PARENT] = {"parent key", ID_OPAQUE},
    [LH_RECORD_LEASE] = {"lease", ID_OPAQUE},
    [LH_RECORD_HOLD] = {"hold", ID_OPAQUE},
    [LH_RECORD_PROPOSAL] = {"proposal", ID_OPAQUE},
    [LH_RECORD_LOG] = {"log entry", ID_NUMBER},
    [LH_RECORD_CHECKPOINT] = {"checkpoint", ID_NUMBER},
    [LH_RECORD_VAULT] = {"vault", ID_OPAQUE},
    [LH_RECORD_SETTINGS] = {"settings", ID_OPAQUE},
    [LH_RECORD_PARTITION] = {"partition", ID_OPAQUE},
    [LH_RECORD_OBJECT] = {"object", ID_OPAQUE},
    [LH_RECORD_HOST] = {"host", ID_OPAQUE},
    [LH_RECORD_FILES] = {"files", ID_OPAQUE},
    [LH_RECORD_KEY] = {"key", ID_OPAQUE},
    [LH_RECORD_VERIFIER] = {"PIN verifier", ID_OPAQUE},
};

const char *lh_record_kind_name(enum lh_record_kind kind)
{
    unsigned number = (unsigned)kind;
    return number < LH_RECORD_KIND_END && kinds[number].name ? kinds[number].name : "unknown";
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

void lh_record_name(enum lh_record_kind kind, const lh_record_id *id, char out[LH_RECORD_NAME_SIZE])
{
    const char *word = lh_record_kind_name(kind);
    unsigned number = (unsigned)kind;
    bool numbered = number < LH_RECORD_KIND_END && kinds[number].form == ID_NUMBER;
    if (numbered && is_zero(id->b, LH_STORE_ID_SIZE - 8)) {
        snprintf(out, LH_RECORD_NAME_SIZE, "%s %llu", word, (unsigned long long)lh_record_id_to_u64(id));
    } else if (is_zero(id->b, LH_STORE_ID_SIZE)) {
        snprintf(out, LH_RECORD_NAME_SIZE, "%s", word);
    } else {
        char hex[2 * LH_STORE_ID_SIZE + 1];
        lh_hex(id->b, is_zero(id->b + 16, 16) ? 16 : LH_STORE_ID_SIZE, hex);
        snprintf(out, LH_RECORD_NAME_SIZE, "%s %s", word, hex);
    }
}

lh_record_id lh_record_id_from_u64(uint64_t value)
{
    lh_record_id id = LH_RECORD_ID_ZERO;
    for (size_t i = 0; i < 8; i++)
        id.b[LH_STORE_ID_SIZE - 1 - i] = (uint8_t)(value >> (8 * i));
    return id;
}

uint64_t lh_record_id_to_u64(const lh_record_id *id)
{
    uint64_t value = 0;
    for (size_t i = LH_STORE_ID_SIZE - 8; i < LH_STORE_ID_SIZE; i++)
        value = value << 8 | id->b[i];
    return value;
}

lh_err lh_record_id_from_bytes(lh_bytes bytes, lh_record_id *ret)
{
    if (bytes.len > LH_STORE_ID_SIZE)
        return LH_FAIL(
            LH_E_INVALID, "a record's id has at most %d bytes, not %zu", LH_STORE_ID_SIZE, bytes.len);
    lh_record_id id = LH_RECORD_ID_ZERO;
    if (bytes.len > 0)
        memcpy(id.b, bytes.data, bytes.len);
    *ret = id;
    return LH_SUCCESS;
}

lh_err lh_record_id_from_name(
    lh_crypto *crypto, enum lh_record_kind kind, const char *name, lh_record_id *ret)
{
    lh_record_id id;
    lh_bytes parts[] = {LH_BYTES_STR(lh_record_kind_name(kind)), LH_BYTES(" ", 1), LH_BYTES_STR(name)};
    LH_TRY(lh_sha256(crypto, parts, LH_ARRAY_LEN(parts), id.b));
    *ret = id;
    return LH_SUCCESS;
}
