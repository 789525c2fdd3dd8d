/* The event log judged: replayed into SHA-256 PCR values, checked for what cannot be, and compared with what
 * was quoted. A digest in the log is believed because its replay gives the quoted value; an event's type is
 * covered by nothing, and its data only where the digest is that of the data, which is checked.
 *
 * Source: TCG PC Client Platform Firmware Profile, rev 1.05 (section 3.3 uses of the PCRs, 9.4.5.3
 * StartupLocality, 10.4 events). */
#ifndef LH_VERIFY_BOOT_H
#define LH_VERIFY_BOOT_H

#include "codec/event_log.h"
#include "crypto/crypto.h"

/* PCRs that the log must account for wherever they are quoted: those that firmware, boot loader and the
 * kernel's EFI stub extend and nothing after them. (10 is IMA's; 11 to 13 and 15 are extended by systemd,
 * which has a log of its own; reference values alone judge these.) */
#define LH_BOOT_PCRS 0x43ffu
#define LH_BOOT_SEPARATED 0xffu /* PCRs 0 to 7: each must have one EV_SEPARATOR */

typedef struct {
    uint8_t pcrs[LH_EVENT_PCRS][32]; /* what the log comes to */
    uint32_t extended;               /* PCRs that it extends */
    uint8_t locality;                /* StartupLocality: PCR 0 starts from it; 0 where the log has none */
    uint8_t pcr0_otherwise[2][32];   /* PCR 0 with the two other localities that there are */
    size_t events;
} lh_boot_replay;

/* Called for each event of a log, in order. */
typedef void (*lh_boot_event_fn)(void *arg, const lh_event *event);

/* Replay a log. each: may be NULL; it is called also for the events before one that is refused.
 * Errors: LH_E_ATTESTATION with one of the reasons of codec/event_log.h, or
 *   "eventlog-no-action" an EV_NO_ACTION event with a digest: one that hides an extension
 *   "eventlog-locality"  a StartupLocality that is malformed, not 0, 3 or 4, not of PCR 0, a second one, or
 * one after PCR 0 was extended "eventlog-type"      an event of a type that its PCR does not take, or that
 * there is not "eventlog-digest"    a digest that is not that of the event's data, for a type where it must
 * be "eventlog-separator" PCR 0 to 7 without an EV_SEPARATOR, with two, or with one that reports an error
 *   "eventlog-missing"   one of PCR 0 to 7 without any event
 *   "eventlog-late"      an event after the separator that its PCR does not take there */
LH_MUST lh_err lh_boot_replay_log(
    lh_crypto *c, lh_bytes log, lh_boot_event_fn each, void *arg, lh_boot_replay *ret);

/* Compare with quoted values: mask says which PCRs those are; those of LH_BOOT_PCRS are compared.
 * Errors: LH_E_ATTESTATION, the message naming the PCR:
 *   "eventlog-missing"  the log has no event of a PCR that has been extended
 *   "eventlog-locality" PCR 0 would be right with another StartupLocality than the log's
 *   "eventlog-replay"   the log comes to another value: events are missing, altered or added */
LH_MUST lh_err lh_boot_compare(
    const lh_boot_replay *replay, const uint8_t quoted[LH_EVENT_PCRS][32], uint32_t mask);

#endif
