/* The event log: replay, what may be where, comparison with the quote. */
#include "verify/boot.h"

#include "crypto/hash.h"

#define REFUSE(reason, ...) LH_REFUSE(LH_E_ATTESTATION, (reason), __VA_ARGS__)
#define PCR_BIT(n) (1u << (n))
#define ALL7 0xffu /* PCRs 0 to 7 */

enum covers {
    COVERS_OTHER,    /* the digest is of something that the event's data describes */
    COVERS_DATA,     /* of the data */
    COVERS_VARIABLE, /* of the data, or of the variable's value within it (both are seen) */
};

/* Which of PCRs 0 to 7 take a type, before their separator and after it. What extends the others is the
 * operating system's matter. */
static const struct {
    uint32_t type;
    uint8_t before, after;
    enum covers covers;
} rules[] = {
    {LH_EV_POST_CODE, 0x07, 0, COVERS_OTHER},
    {LH_EV_SEPARATOR, ALL7, 0, COVERS_DATA},
    {LH_EV_ACTION, ALL7, 0x30, COVERS_DATA},
    {LH_EV_EVENT_TAG, ALL7, 0x30, COVERS_OTHER},
    {LH_EV_S_CRTM_CONTENTS, 0x01, 0, COVERS_OTHER},
    {LH_EV_S_CRTM_VERSION, 0x01, 0, COVERS_DATA},
    {LH_EV_CPU_MICROCODE, 0x03, 0, COVERS_OTHER},
    {LH_EV_PLATFORM_CONFIG_FLAGS, 0x7f, 0, COVERS_OTHER},
    {LH_EV_TABLE_OF_DEVICES, 0x0a, 0, COVERS_OTHER},
    {LH_EV_COMPACT_HASH, 0x7f, 0x30, COVERS_OTHER},
    {LH_EV_IPL, 0x30, 0x30, COVERS_OTHER},
    {LH_EV_IPL_PARTITION_DATA, 0x20, 0x20, COVERS_OTHER},
    {LH_EV_NONHOST_CODE, 0x0f, 0, COVERS_OTHER},
    {LH_EV_NONHOST_CONFIG, 0x0f, 0, COVERS_OTHER},
    {LH_EV_NONHOST_INFO, 0x0f, 0, COVERS_OTHER},
    {LH_EV_OMIT_BOOT_DEVICE_EVENTS, 0x10, 0x10, COVERS_DATA},
    {LH_EV_POST_CODE2, 0x07, 0, COVERS_OTHER},
    {LH_EV_EFI_VARIABLE_DRIVER_CONFIG, 0xaa, 0, COVERS_DATA},
    {LH_EV_EFI_VARIABLE_BOOT, 0x22, 0, COVERS_VARIABLE},
    {LH_EV_EFI_VARIABLE_BOOT2, 0x22, 0, COVERS_DATA},
    {LH_EV_EFI_BOOT_SERVICES_APPLICATION, 0x15, 0x10, COVERS_OTHER},
    {LH_EV_EFI_BOOT_SERVICES_DRIVER, 0x15, 0x10, COVERS_OTHER},
    {LH_EV_EFI_RUNTIME_SERVICES_DRIVER, 0x15, 0x10, COVERS_OTHER},
    {LH_EV_EFI_GPT_EVENT, 0x20, 0x20, COVERS_DATA},
    {LH_EV_EFI_GPT_EVENT2, 0x20, 0x20, COVERS_OTHER},
    {LH_EV_EFI_ACTION, ALL7, 0x30, COVERS_DATA},
    {LH_EV_EFI_PLATFORM_FIRMWARE_BLOB, 0x07, 0, COVERS_OTHER},
    {LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2, 0x07, 0, COVERS_OTHER},
    {LH_EV_EFI_HANDOFF_TABLES, 0x03, 0, COVERS_OTHER},
    {LH_EV_EFI_HANDOFF_TABLES2, 0x03, 0, COVERS_OTHER},
    {LH_EV_EFI_HCRTM_EVENT, 0x01, 0, COVERS_OTHER},
    {LH_EV_EFI_VARIABLE_AUTHORITY, 0x80, 0x80, COVERS_VARIABLE},
    {LH_EV_EFI_SPDM_FIRMWARE_BLOB, 0x04, 0, COVERS_OTHER},
    {LH_EV_EFI_SPDM_FIRMWARE_CONFIG, 0x08, 0, COVERS_OTHER},
    {LH_EV_EFI_SPDM_DEVICE_POLICY, 0x80, 0, COVERS_OTHER},
    {LH_EV_EFI_SPDM_DEVICE_AUTHORITY, 0x80, 0, COVERS_OTHER},
};

static const uint8_t localities[] = {0, 3, 4};

/* A replay under way. */
typedef struct {
    lh_crypto *c;
    lh_boot_replay r;
    uint8_t pcr0[LH_ARRAY_LEN(localities)][32];
    uint32_t separated;
    bool has_locality;
} progress;

static lh_err extend(lh_crypto *c, uint8_t pcr[32], const uint8_t digest[32])
{
    const lh_bytes parts[] = {LH_BYTES(pcr, 32), LH_BYTES(digest, 32)};
    return lh_sha256(c, parts, 2, pcr);
}

/* EV_NO_ACTION extends nothing; of its kinds only StartupLocality has a meaning here. */
static lh_err no_action(progress *x, const lh_event *event)
{
    static const uint8_t none[32];
    static const char signature[16] = "StartupLocality";
    if (memcmp(event->sha256, none, sizeof(none)) != 0)
        return REFUSE("eventlog-no-action",
            "event %zu says that it extends nothing, and has a digest: its type was altered", x->r.events);
    if (event->data.len < sizeof(signature) || memcmp(event->data.data, signature, sizeof(signature)) != 0)
        return LH_SUCCESS;
    uint8_t locality = event->data.len == sizeof(signature) + 1 ? event->data.data[sizeof(signature)] : 0xff;
    if (event->pcr != 0 || x->has_locality || (x->r.extended & PCR_BIT(0)) ||
        !memchr(localities, locality, sizeof(localities)))
        return REFUSE("eventlog-locality",
            "event %zu is a StartupLocality that is malformed, comes twice, or after PCR 0 was extended",
            x->r.events);
    x->r.locality = locality;
    x->has_locality = true;
    return LH_SUCCESS;
}

/* UEFI_VARIABLE_DATA: GUID[16] ‖ u64 name length in characters ‖ u64 value length ‖ name (UCS-2) ‖ value. */
static bool variable_value(lh_bytes data, lh_bytes *ret)
{
    if (data.len < 32)
        return false;
    uint64_t name = 0, value = 0;
    for (int i = 7; i >= 0; i--) {
        name = name << 8 | data.data[16 + i];
        value = value << 8 | data.data[24 + i];
    }
    size_t left = data.len - 32;
    if (name > left / 2 || value != left - 2 * name)
        return false;
    *ret = LH_BYTES(data.data + 32 + 2 * name, (size_t)value);
    return true;
}

static lh_err check_digest(progress *x, const lh_event *event, enum covers covers)
{
    if (covers == COVERS_OTHER)
        return LH_SUCCESS;
    uint8_t digest[32];
    LH_TRY(lh_sha256(x->c, &event->data, 1, digest));
    bool good = memcmp(digest, event->sha256, sizeof(digest)) == 0;
    lh_bytes value;
    if (!good && covers == COVERS_VARIABLE && variable_value(event->data, &value)) {
        LH_TRY(lh_sha256(x->c, &value, 1, digest));
        good = memcmp(digest, event->sha256, sizeof(digest)) == 0;
    }
    if (!good)
        return REFUSE("eventlog-digest", "event %zu (%s, PCR %u) has a digest that is not its data's",
            x->r.events, lh_event_type_name(event->type), event->pcr);
    return LH_SUCCESS;
}

static lh_err check_separator(progress *x, const lh_event *event)
{
    static const uint8_t zeros[4], ones[4] = {0xff, 0xff, 0xff, 0xff};
    if (!lh_bytes_equal(event->data, LH_BYTES(zeros, 4)) && !lh_bytes_equal(event->data, LH_BYTES(ones, 4)))
        return REFUSE("eventlog-separator",
            "PCR %u: its separator reports that the firmware failed, or is none", event->pcr);
    if (x->separated & PCR_BIT(event->pcr))
        return REFUSE("eventlog-separator", "PCR %u has two separators", event->pcr);
    x->separated |= PCR_BIT(event->pcr);
    return LH_SUCCESS;
}

/* Whether the PCR takes this type, here. */
static lh_err check_place(progress *x, const lh_event *event, enum covers *ret_covers)
{
    size_t i = 0;
    while (i < LH_ARRAY_LEN(rules) && rules[i].type != event->type)
        i++;
    bool early = (LH_BOOT_SEPARATED & PCR_BIT(event->pcr)) != 0;
    if (i == LH_ARRAY_LEN(rules) || (early && !((rules[i].before | rules[i].after) & PCR_BIT(event->pcr))))
        return REFUSE("eventlog-type", "event %zu: PCR %u takes no event of type 0x%08x (%s)", x->r.events,
            event->pcr, event->type, i < LH_ARRAY_LEN(rules) ? lh_event_type_name(event->type) : "unknown");
    *ret_covers = rules[i].covers;
    if (!early)
        return LH_SUCCESS;
    if (event->type == LH_EV_SEPARATOR)
        return check_separator(x, event);
    bool after = (x->separated & PCR_BIT(event->pcr)) != 0;
    if (after && !(rules[i].after & PCR_BIT(event->pcr)))
        return REFUSE("eventlog-late", "event %zu: PCR %u takes no %s after its separator", x->r.events,
            event->pcr, lh_event_type_name(event->type));
    return LH_SUCCESS;
}

static lh_err take(progress *x, const lh_event *event)
{
    if (event->type == LH_EV_NO_ACTION)
        return no_action(x, event);
    enum covers covers = COVERS_OTHER;
    LH_TRY(check_place(x, event, &covers));
    LH_TRY(check_digest(x, event, covers));
    x->r.extended |= PCR_BIT(event->pcr);
    if (event->pcr != 0)
        return extend(x->c, x->r.pcrs[event->pcr], event->sha256);
    for (size_t i = 0; i < LH_ARRAY_LEN(localities); i++)
        LH_TRY(extend(x->c, x->pcr0[i], event->sha256));
    return LH_SUCCESS;
}

/* What the log's own locality makes of PCR 0, and what the others would. */
static void settle_pcr0(progress *x)
{
    size_t others = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(localities); i++) {
        if (localities[i] == x->r.locality)
            memcpy(x->r.pcrs[0], x->pcr0[i], 32);
        else
            memcpy(x->r.pcr0_otherwise[others++], x->pcr0[i], 32);
    }
}

/* A reader's refusal, told as one of the evidence; its reason is kept. */
static lh_err refuse_read(lh_err err)
{
    if (err.code != LH_E_CORRUPT)
        return err;
    const lh_err_detail last = *lh_err_last();
    return REFUSE(last.reason, "%s", last.message);
}

static lh_err replay_all(progress *x, lh_event_log *log, lh_boot_event_fn each, void *arg)
{
    for (;;) {
        lh_event event;
        bool more = false;
        lh_err err = lh_event_log_next(log, &event, &more);
        if (!lh_ok(err))
            return refuse_read(err);
        if (!more)
            return LH_SUCCESS;
        if (each)
            each(arg, &event);
        LH_TRY(take(x, &event));
        x->r.events++;
    }
}

lh_err lh_boot_replay_log(lh_crypto *c, lh_bytes log, lh_boot_event_fn each, void *arg, lh_boot_replay *ret)
{
    progress x = {.c = c};
    for (size_t i = 0; i < LH_ARRAY_LEN(localities); i++)
        x.pcr0[i][31] = localities[i];
    for (unsigned i = 17; i <= 22; i++) /* Part 1 of the TPM's specification: those of a late launch */
        memset(x.r.pcrs[i], 0xff, 32);
    lh_event_log reader;
    lh_err err = lh_event_log_begin(log, &reader);
    if (!lh_ok(err))
        return refuse_read(err);
    LH_TRY(replay_all(&x, &reader, each, arg));
    for (unsigned i = 0; i < LH_EVENT_PCRS; i++)
        if ((LH_BOOT_SEPARATED & ~x.r.extended) & PCR_BIT(i))
            return REFUSE("eventlog-missing", "the event log has no event of PCR %u: they were deleted", i);
    for (unsigned i = 0; i < LH_EVENT_PCRS; i++)
        if ((LH_BOOT_SEPARATED & ~x.separated) & PCR_BIT(i))
            return REFUSE("eventlog-separator", "PCR %u has no separator: the log is cut, or altered", i);
    settle_pcr0(&x);
    *ret = x.r;
    return LH_SUCCESS;
}

static bool untouched(unsigned pcr, const uint8_t value[32])
{
    static const uint8_t zeros[32];
    return memcmp(value, zeros, 31) == 0 &&
           (pcr == 0 ? memchr(localities, value[31], sizeof(localities)) != NULL : value[31] == 0);
}

lh_err lh_boot_compare(const lh_boot_replay *replay, const uint8_t quoted[LH_EVENT_PCRS][32], uint32_t mask)
{
    for (unsigned i = 0; i < LH_EVENT_PCRS; i++) {
        if (!(mask & LH_BOOT_PCRS & PCR_BIT(i)) || memcmp(replay->pcrs[i], quoted[i], 32) == 0)
            continue;
        if (!(replay->extended & PCR_BIT(i))) {
            if (untouched(i, quoted[i]))
                continue;
            return REFUSE("eventlog-missing", "PCR %u was extended, and the event log has no event of it", i);
        }
        if (i == 0 && (memcmp(replay->pcr0_otherwise[0], quoted[0], 32) == 0 ||
                          memcmp(replay->pcr0_otherwise[1], quoted[0], 32) == 0))
            return REFUSE("eventlog-locality", "PCR 0 did not start from locality %u, as the event log says",
                replay->locality);
        char hex[65];
        lh_hex(quoted[i], 32, hex);
        return REFUSE("eventlog-replay",
            "PCR %u is sha256:%s, and the event log comes to another value: events of it are missing, "
            "altered or "
            "added",
            i, hex);
    }
    return LH_SUCCESS;
}
