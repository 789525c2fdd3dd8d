#include "vault/host_counts.h"

#include "codec/bin.h"

#define FORMAT 1
#define RECORD_MAX 64

lh_err lh_host_counts_load(lh_vault *v, const char *host, uint64_t version, lh_host_counts *ret)
{
    lh_record_id id;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(RECORD_MAX);
    LH_TRY(lh_record_id_from_name(v->crypto, LH_RECORD_HOST, host, &id));
    LH_TRY(lh_record_get(v->core->records, LH_RECORD_HOST, &id, &plain));
    lh_reader r = lh_reader_new(lh_buf_bytes(&plain));
    lh_host_counts counts = {.version = 0};
    r.bad = lh_read_u8(&r) != FORMAT;
    counts.version = lh_read_u64(&r);
    counts.reset_count = lh_read_u32(&r);
    counts.restart_count = lh_read_u32(&r);
    counts.firmware = lh_read_u64(&r);
    LH_TRY(lh_read_done(&r, "counts of a host"));
    if (counts.version != version)
        return LH_FAIL(LH_E_NOT_FOUND, "what is kept of host %s is of an earlier enrolment", host);
    memcpy(counts.host, host, strnlen(host, sizeof(counts.host) - 1));
    *ret = counts;
    return LH_SUCCESS;
}

static lh_err put(lh_record_txn *txn, void *arg)
{
    const lh_bytes *const *parts = arg;
    lh_record_id id;
    LH_TRY(lh_record_id_from_bytes(*parts[0], &id));
    return lh_txn_put(txn, LH_RECORD_HOST, &id, *parts[1]);
}

lh_err lh_host_counts_store(lh_vault *v, const lh_host_counts *counts)
{
    lh_record_id id;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(RECORD_MAX);
    LH_TRY(lh_record_id_from_name(v->crypto, LH_RECORD_HOST, counts->host, &id));
    lh_put_u8(&plain, FORMAT);
    lh_put_u64(&plain, counts->version);
    lh_put_u32(&plain, counts->reset_count);
    lh_put_u32(&plain, counts->restart_count);
    lh_put_u64(&plain, counts->firmware);
    LH_TRY(lh_buf_status(&plain));
    const lh_bytes name = LH_BYTES(id.b, sizeof(id.b));
    const lh_bytes value = lh_buf_bytes(&plain);
    const lh_bytes *parts[] = {&name, &value};
    return lh_records_write(v->core->records, put, parts);
}
