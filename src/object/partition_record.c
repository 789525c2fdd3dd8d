#include "object/partition_record.h"

#define FORMAT 1
enum { FLAG_INITIALIZED = 1, FLAG_MADE_OF_BLANK = 2, FLAGS = 3 };

void lh_partition_record_encode(const lh_partition_record *record, lh_buf *out)
{
    lh_put_u8(out, FORMAT);
    lh_put_u64(out, record->number);
    lh_put_str(out, record->name);
    lh_put_raw(out, record->label, sizeof(record->label));
    lh_put_u8(out, (uint8_t)((record->initialized ? FLAG_INITIALIZED : 0) |
                             (record->made_of_blank ? FLAG_MADE_OF_BLANK : 0)));
    lh_put_u64(out, record->token_generation);
    lh_put_u64(out, (uint64_t)record->created);
    lh_pin_put(&record->so, out);
    lh_pin_put(&record->user, out);
}

static lh_err refuse(const char *reason)
{
    return LH_REFUSE(
        LH_E_CORRUPT, reason, "the record of a standalone partition or its object has not its form");
}

lh_err lh_partition_record_decode(lh_bytes bytes, lh_partition_record *ret)
{
    lh_reader r = lh_reader_new(bytes);
    uint8_t format = lh_read_u8(&r);
    lh_partition_record record = {.number = lh_read_u64(&r)};
    lh_read_str(&r, record.name, sizeof(record.name));
    lh_read_into(&r, record.label, sizeof(record.label));
    uint8_t flags = lh_read_u8(&r);
    record.initialized = (flags & FLAG_INITIALIZED) != 0;
    record.made_of_blank = (flags & FLAG_MADE_OF_BLANK) != 0;
    record.token_generation = lh_read_u64(&r);
    record.created = (int64_t)lh_read_u64(&r);
    if (r.bad || format != FORMAT || (flags & ~(unsigned)FLAGS) || record.number == 0 ||
        !lh_ok(lh_pin_read(&r, &record.so)) || !lh_ok(lh_pin_read(&r, &record.user)) || r.left != 0)
        return refuse("partition-record");
    *ret = record;
    return LH_SUCCESS;
}

void lh_object_record_encode(const lh_object_record *record, lh_buf *out)
{
    lh_put_u8(out, FORMAT);
    lh_put_u64(out, record->order);
    lh_put_u64(out, record->reserved);
    lh_put_blob(out, record->attributes);
}

lh_err lh_object_record_decode(lh_bytes bytes, lh_object_record *ret)
{
    lh_reader r = lh_reader_new(bytes);
    uint8_t format = lh_read_u8(&r);
    lh_object_record record = {.order = lh_read_u64(&r)};
    record.reserved = lh_read_u64(&r);
    record.attributes = lh_read_blob(&r, LH_OBJECT_ATTRIBUTES_MAX);
    if (r.bad || r.left != 0 || format != FORMAT || record.order == 0)
        return refuse("object-record");
    *ret = record;
    return LH_SUCCESS;
}

lh_record_id lh_partition_record_id(const uint8_t id[LH_PARTITION_ID_SIZE])
{
    lh_record_id ret = LH_RECORD_ID_ZERO;
    memcpy(ret.b, id, LH_PARTITION_ID_SIZE);
    return ret;
}

lh_record_id lh_object_record_id(const uint8_t partition[LH_PARTITION_ID_SIZE], uint64_t handle)
{
    lh_record_id ret = lh_partition_record_id(partition);
    for (size_t i = 0; i < 8; i++)
        ret.b[LH_PARTITION_ID_SIZE + i] = (uint8_t)(handle >> (8 * (7 - i)));
    return ret;
}

uint64_t lh_object_record_handle(const lh_record_id *id)
{
    uint64_t handle = 0;
    for (size_t i = 0; i < 8; i++)
        handle = handle << 8 | id->b[LH_PARTITION_ID_SIZE + i];
    return handle;
}
