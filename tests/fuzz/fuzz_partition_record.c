/* Records of partitions and objects: whatever decodes encodes to the same bytes again. The first byte
 * chooses. */
#include "object/attributes.h"
#include "object/partition_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_partition(lh_bytes bytes)
{
    lh_partition_record record;
    if (!lh_ok(lh_partition_record_decode(bytes, &record)))
        return;
    lh_buf again = LH_BUF_INIT(LH_PARTITION_RECORD_MAX);
    lh_partition_record_encode(&record, &again);
    if (!lh_ok(lh_buf_status(&again)) || !lh_bytes_equal(lh_buf_bytes(&again), bytes))
        abort();
    lh_buf_free(&again);
    uint8_t boot[16] = {0};
    if (lh_pin_look(&record.user, boot, 0).wait_ms > LH_PIN_DELAY_MAX_MS)
        abort();
}

static void try_object(lh_bytes bytes)
{
    lh_object_record record;
    lh_attributes *set = NULL;
    if (!lh_ok(lh_object_record_decode(bytes, &record)))
        return;
    lh_buf again = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    lh_object_record_encode(&record, &again);
    if (!lh_ok(lh_buf_status(&again)) || !lh_bytes_equal(lh_buf_bytes(&again), bytes))
        abort();
    lh_buf_free(&again);
    if (lh_ok(lh_attributes_parse(record.attributes, &set)))
        lh_attributes_free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        try_partition(LH_BYTES(data + 1, size - 1));
    else
        try_object(LH_BYTES(data + 1, size - 1));
    return 0;
}
