/* The firmware's event log, crypto-agile format, as Linux shows it in
 * /sys/kernel/security/tpm0/binary_bios_measurements. Pure: nothing is hashed here, nothing believed.
 *
 * A log is one TCG_PCR_EVENT that holds a TCG_EfiSpecIDEvent, then TCG_PCR_EVENT2s, all little-endian.
 * Bounds: LH_LIMIT_EVENT_LOG bytes, LH_LIMIT_EVENTS events, LH_LIMIT_EVENT_DATA bytes of data each,
 * LH_EVENT_ALGORITHMS_MAX algorithms. Any bytes are safe to pass; all spans borrow. Source: TCG PC Client
 * Platform Firmware Profile, rev 1.05, sections 10.2 (structures), 10.4 (event types). */
#ifndef LH_CODEC_EVENT_LOG_H
#define LH_CODEC_EVENT_LOG_H

#include "base/bytes.h"

#define LH_EVENT_ALGORITHMS_MAX 8u
#define LH_EVENT_PCRS 24u
#define LH_EVENT_SHA256_SIZE 32u

/* Event types, table 10.4.1. */
#define LH_EV_POST_CODE 0x01u
#define LH_EV_NO_ACTION 0x03u
#define LH_EV_SEPARATOR 0x04u
#define LH_EV_ACTION 0x05u
#define LH_EV_EVENT_TAG 0x06u
#define LH_EV_S_CRTM_CONTENTS 0x07u
#define LH_EV_S_CRTM_VERSION 0x08u
#define LH_EV_CPU_MICROCODE 0x09u
#define LH_EV_PLATFORM_CONFIG_FLAGS 0x0au
#define LH_EV_TABLE_OF_DEVICES 0x0bu
#define LH_EV_COMPACT_HASH 0x0cu
#define LH_EV_IPL 0x0du
#define LH_EV_IPL_PARTITION_DATA 0x0eu
#define LH_EV_NONHOST_CODE 0x0fu
#define LH_EV_NONHOST_CONFIG 0x10u
#define LH_EV_NONHOST_INFO 0x11u
#define LH_EV_OMIT_BOOT_DEVICE_EVENTS 0x12u
#define LH_EV_POST_CODE2 0x13u
#define LH_EV_EFI_VARIABLE_DRIVER_CONFIG 0x80000001u
#define LH_EV_EFI_VARIABLE_BOOT 0x80000002u
#define LH_EV_EFI_BOOT_SERVICES_APPLICATION 0x80000003u
#define LH_EV_EFI_BOOT_SERVICES_DRIVER 0x80000004u
#define LH_EV_EFI_RUNTIME_SERVICES_DRIVER 0x80000005u
#define LH_EV_EFI_GPT_EVENT 0x80000006u
#define LH_EV_EFI_ACTION 0x80000007u
#define LH_EV_EFI_PLATFORM_FIRMWARE_BLOB 0x80000008u
#define LH_EV_EFI_HANDOFF_TABLES 0x80000009u
#define LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2 0x8000000au
#define LH_EV_EFI_HANDOFF_TABLES2 0x8000000bu
#define LH_EV_EFI_VARIABLE_BOOT2 0x8000000cu
#define LH_EV_EFI_GPT_EVENT2 0x8000000du
#define LH_EV_EFI_HCRTM_EVENT 0x80000010u
#define LH_EV_EFI_VARIABLE_AUTHORITY 0x800000e0u
#define LH_EV_EFI_SPDM_FIRMWARE_BLOB 0x800000e1u
#define LH_EV_EFI_SPDM_FIRMWARE_CONFIG 0x800000e2u
#define LH_EV_EFI_SPDM_DEVICE_POLICY 0x800000e3u
#define LH_EV_EFI_SPDM_DEVICE_AUTHORITY 0x800000e4u

/* "EV_SEPARATOR"; NULL for a type that is not in the table. */
const char *lh_event_type_name(uint32_t type);

typedef struct {
    uint32_t pcr; /* below LH_EVENT_PCRS */
    uint32_t type;
    uint8_t sha256[LH_EVENT_SHA256_SIZE];
    lh_bytes data;
} lh_event;

/* The place in a log. Filled by lh_event_log_begin; one thread. */
typedef struct {
    lh_bytes rest;
    size_t count; /* events read */
    uint32_t n_algorithms;
    struct {
        uint16_t id;   /* TPM_ALG_ID */
        uint16_t size; /* bytes of a digest */
    } algorithms[LH_EVENT_ALGORITHMS_MAX];
} lh_event_log;

/* Read the head of a log.
 * Errors: LH_E_CORRUPT, each with a reason:
 *   "eventlog-size"       more than LH_LIMIT_EVENT_LOG bytes
 *   "eventlog-truncated"  the log ends within a structure
 *   "eventlog-format"     it does not begin with a Spec ID event of version 2 ("Spec ID Event03"), or one
 * that contradicts itself "eventlog-algorithms" an algorithm twice, none, too many, or one with another
 * digest size than it has "eventlog-bank"       SHA-256 is not among them */
LH_MUST lh_err lh_event_log_begin(lh_bytes log, lh_event_log *ret);
/* The next event; *ret_more is false at the end, ret untouched.
 * Errors: LH_E_CORRUPT, each with a reason:
 *   "eventlog-truncated", as above
 *   "eventlog-algorithms" the event's digests are not one of each of the head's algorithms
 *   "eventlog-pcr"        an index of LH_EVENT_PCRS or more
 *   "eventlog-data"       more than LH_LIMIT_EVENT_DATA bytes of data
 *   "eventlog-count"      more than LH_LIMIT_EVENTS events */
LH_MUST lh_err lh_event_log_next(lh_event_log *log, lh_event *ret, bool *ret_more);

#endif
