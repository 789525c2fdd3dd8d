/* Reader of the crypto-agile event log. */
#include "codec/event_log.h"

#include "base/limits.h"
#include "codec/little.h"

#define SHA1_SIZE 20u
#define DIGEST_SIZE_MAX 64u
#define ALG_SHA256 0x000bu

static const struct {
    uint16_t id;
    uint16_t size;
} known_algorithms[] = {
    {0x0004, 20}, /* SHA-1 */
    {0x000b, 32}, /* SHA-256 */
    {0x000c, 48}, /* SHA-384 */
    {0x000d, 64}, /* SHA-512 */
    {0x0012, 32}, /* SM3 */
    {0x0027, 32}, /* SHA3-256 */
    {0x0028, 48}, /* SHA3-384 */
    {0x0029, 64}, /* SHA3-512 */
};

static const struct {
    uint32_t type;
    const char *name;
} types[] = {
    {LH_EV_POST_CODE, "EV_POST_CODE"},
    {LH_EV_NO_ACTION, "EV_NO_ACTION"},
    {LH_EV_SEPARATOR, "EV_SEPARATOR"},
    {LH_EV_ACTION, "EV_ACTION"},
    {LH_EV_EVENT_TAG, "EV_EVENT_TAG"},
    {LH_EV_S_CRTM_CONTENTS, "EV_S_CRTM_CONTENTS"},
    {LH_EV_S_CRTM_VERSION, "EV_S_CRTM_VERSION"},
    {LH_EV_CPU_MICROCODE, "EV_CPU_MICROCODE"},
    {LH_EV_PLATFORM_CONFIG_FLAGS, "EV_PLATFORM_CONFIG_FLAGS"},
    {LH_EV_TABLE_OF_DEVICES, "EV_TABLE_OF_DEVICES"},
    {LH_EV_COMPACT_HASH, "EV_COMPACT_HASH"},
    {LH_EV_IPL, "EV_IPL"},
    {LH_EV_IPL_PARTITION_DATA, "EV_IPL_PARTITION_DATA"},
    {LH_EV_NONHOST_CODE, "EV_NONHOST_CODE"},
    {LH_EV_NONHOST_CONFIG, "EV_NONHOST_CONFIG"},
    {LH_EV_NONHOST_INFO, "EV_NONHOST_INFO"},
    {LH_EV_OMIT_BOOT_DEVICE_EVENTS, "EV_OMIT_BOOT_DEVICE_EVENTS"},
    {LH_EV_POST_CODE2, "EV_POST_CODE2"},
    {LH_EV_EFI_VARIABLE_DRIVER_CONFIG, "EV_EFI_VARIABLE_DRIVER_CONFIG"},
    {LH_EV_EFI_VARIABLE_BOOT, "EV_EFI_VARIABLE_BOOT"},
    {LH_EV_EFI_BOOT_SERVICES_APPLICATION, "EV_EFI_BOOT_SERVICES_APPLICATION"},
    {LH_EV_EFI_BOOT_SERVICES_DRIVER, "EV_EFI_BOOT_SERVICES_DRIVER"},
    {LH_EV_EFI_RUNTIME_SERVICES_DRIVER, "EV_EFI_RUNTIME_SERVICES_DRIVER"},
    {LH_EV_EFI_GPT_EVENT, "EV_EFI_GPT_EVENT"},
    {LH_EV_EFI_ACTION, "EV_EFI_ACTION"},
    {LH_EV_EFI_PLATFORM_FIRMWARE_BLOB, "EV_EFI_PLATFORM_FIRMWARE_BLOB"},
    {LH_EV_EFI_HANDOFF_TABLES, "EV_EFI_HANDOFF_TABLES"},
    {LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"},
    {LH_EV_EFI_HANDOFF_TABLES2, "EV_EFI_HANDOFF_TABLES2"},
    {LH_EV_EFI_VARIABLE_BOOT2, "EV_EFI_VARIABLE_BOOT2"},
    {LH_EV_EFI_GPT_EVENT2, "EV_EFI_GPT_EVENT2"},
    {LH_EV_EFI_HCRTM_EVENT, "EV_EFI_HCRTM_EVENT"},
    {LH_EV_EFI_VARIABLE_AUTHORITY, "EV_EFI_VARIABLE_AUTHORITY"},
    {LH_EV_EFI_SPDM_FIRMWARE_BLOB, "EV_EFI_SPDM_FIRMWARE_BLOB"},
    {LH_EV_EFI_SPDM_FIRMWARE_CONFIG, "EV_EFI_SPDM_FIRMWARE_CONFIG"},
    {LH_EV_EFI_SPDM_DEVICE_POLICY, "EV_EFI_SPDM_DEVICE_POLICY"},
    {LH_EV_EFI_SPDM_DEVICE_AUTHORITY, "EV_EFI_SPDM_DEVICE_AUTHORITY"},
};

const char *lh_event_type_name(uint32_t type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return NULL;
}

static lh_err truncated(const lh_event_log *log)
{
    return LH_REFUSE(LH_E_CORRUPT, "eventlog-truncated", "the event log ends within event %zu", log->count);
}

static lh_err read_algorithm(lh_reader *r, lh_event_log *log)
{
    uint16_t id = lh_read_le16(r), size = lh_read_le16(r);
    bool good = size > 0 && size <= DIGEST_SIZE_MAX;
    for (size_t i = 0; i < LH_ARRAY_LEN(known_algorithms); i++)
        good = good && (known_algorithms[i].id != id || known_algorithms[i].size == size);
    for (size_t i = 0; i < log->n_algorithms; i++)
        good = good && log->algorithms[i].id != id;
    if (!r->bad && !good)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-algorithms",
            "the event log names algorithm 0x%04x twice, or with digests of %u bytes, which it does not have",
            id, size);
    log->algorithms[log->n_algorithms].id = id;
    log->algorithms[log->n_algorithms++].size = size;
    return LH_SUCCESS;
}

/* TCG_EfiSpecIDEventStruct. */
static lh_err read_spec_id(lh_bytes data, lh_event_log *log)
{
    static const char signature[16] = "Spec ID Event03";
    lh_reader r = lh_reader_new(data);
    lh_bytes have = lh_read_raw(&r, sizeof(signature));
    (void)lh_read_raw(&r, 4); /* platform class */
    uint8_t minor = lh_read_u8(&r), major = lh_read_u8(&r);
    (void)lh_read_raw(&r, 2); /* errata; size of UINTN */
    uint32_t count = lh_read_le32(&r);
    if (r.bad || memcmp(have.data, signature, sizeof(signature)) != 0 || major != 2 || minor != 0)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-format",
            "the event log does not begin with a Spec ID event of version 2.0");
    if (count == 0 || count > LH_EVENT_ALGORITHMS_MAX)
        return LH_REFUSE(
            LH_E_CORRUPT, "eventlog-algorithms", "the event log says it has %u algorithms", count);
    for (uint32_t i = 0; i < count; i++)
        LH_TRY(read_algorithm(&r, log));
    (void)lh_read_raw(&r, lh_read_u8(&r)); /* vendor information */
    if (r.bad || r.left != 0)
        return LH_REFUSE(
            LH_E_CORRUPT, "eventlog-format", "the event log's Spec ID event contradicts its own sizes");
    for (uint32_t i = 0; i < log->n_algorithms; i++)
        if (log->algorithms[i].id == ALG_SHA256)
            return LH_SUCCESS;
    return LH_REFUSE(LH_E_CORRUPT, "eventlog-bank", "the event log has no SHA-256 digests");
}

static lh_err read_data(lh_reader *r, const lh_event_log *log, lh_bytes *ret)
{
    uint32_t size = lh_read_le32(r);
    if (!r->bad && size > LH_LIMIT_EVENT_DATA)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-data",
            "event %zu says it has %u bytes of data; %d are taken", log->count, size, LH_LIMIT_EVENT_DATA);
    *ret = lh_read_raw(r, size);
    return r->bad ? truncated(log) : LH_SUCCESS;
}

lh_err lh_event_log_begin(lh_bytes log, lh_event_log *ret)
{
    lh_event_log begun = {0};
    if (log.len > LH_LIMIT_EVENT_LOG)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-size", "an event log of %zu bytes; %d are taken", log.len,
            LH_LIMIT_EVENT_LOG);
    lh_reader r = lh_reader_new(log);
    uint32_t pcr = lh_read_le32(&r), type = lh_read_le32(&r);
    lh_bytes sha1 = lh_read_raw(&r, SHA1_SIZE);
    if (r.bad)
        return truncated(&begun);
    uint8_t any = 0;
    for (size_t i = 0; i < sha1.len; i++)
        any |= sha1.data[i];
    if (pcr != 0 || type != LH_EV_NO_ACTION || any != 0)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-format",
            "the event log does not begin with a Spec ID event: PCR %u, type 0x%08x", pcr, type);
    lh_bytes data;
    LH_TRY(read_data(&r, &begun, &data));
    LH_TRY(read_spec_id(data, &begun));
    begun.rest = LH_BYTES(r.at, r.left);
    *ret = begun;
    return LH_SUCCESS;
}

static lh_err read_digests(lh_reader *r, const lh_event_log *log, lh_event *event)
{
    uint32_t count = lh_read_le32(r), seen = 0;
    if (r->bad)
        return truncated(log);
    bool good = count == log->n_algorithms;
    for (uint32_t i = 0; good && i < count; i++) {
        uint16_t id = lh_read_le16(r);
        if (r->bad)
            return truncated(log);
        uint32_t which = 0;
        while (which < log->n_algorithms && log->algorithms[which].id != id)
            which++;
        good = which < log->n_algorithms && !(seen >> which & 1u);
        if (!good)
            break;
        seen |= 1u << which;
        lh_bytes digest = lh_read_raw(r, log->algorithms[which].size);
        if (r->bad)
            return truncated(log);
        if (id == ALG_SHA256)
            memcpy(event->sha256, digest.data, LH_EVENT_SHA256_SIZE);
    }
    if (!good)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-algorithms",
            "event %zu does not have one digest of each of the log's algorithms", log->count);
    return LH_SUCCESS;
}

lh_err lh_event_log_next(lh_event_log *log, lh_event *ret, bool *ret_more)
{
    if (log->rest.len == 0) {
        *ret_more = false;
        return LH_SUCCESS;
    }
    if (log->count == LH_LIMIT_EVENTS)
        return LH_REFUSE(
            LH_E_CORRUPT, "eventlog-count", "the event log has more than %d events", LH_LIMIT_EVENTS);
    lh_reader r = lh_reader_new(log->rest);
    lh_event event = {0};
    event.pcr = lh_read_le32(&r);
    event.type = lh_read_le32(&r);
    if (r.bad)
        return truncated(log);
    LH_TRY(read_digests(&r, log, &event));
    LH_TRY(read_data(&r, log, &event.data));
    if (event.pcr >= LH_EVENT_PCRS)
        return LH_REFUSE(LH_E_CORRUPT, "eventlog-pcr", "event %zu extends PCR %u, which there is not",
            log->count, event.pcr);
    log->count++;
    log->rest = LH_BYTES(r.at, r.left);
    *ret = event;
    *ret_more = true;
    return LH_SUCCESS;
}
