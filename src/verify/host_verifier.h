/* The verifier of one host: takes its logs as they come, appraises its evidence with them, and says what it
 * found that the reference values do not know.
 *
 * Order of an appraisal (docs/attestation.md says it in full):
 *   1. the evidence itself (lh_evidence_verify without reference values), and against the last that was
 * accepted;
 *   2. PCR values against the reference values;
 *   3. the event log, replayed against the quoted PCRs;
 *   4. the IMA log, replayed to the quoted PCR 10, and each file of it.
 * The first failure decides. Nothing is kept of an appraisal that fails but its drift, save that what cannot
 * be used is dropped, so that it is asked for again: see lh_host_verifier_ima_offset.
 *
 * Not thread-safe: the caller locks. Different hosts' verifiers share nothing but the digests. */
#ifndef LH_VERIFY_HOST_VERIFIER_H
#define LH_VERIFY_HOST_VERIFIER_H

#include "verify/digests.h"
#include "verify/evidence.h"
#include "verify/reference.h"

#define LH_DRIFT_MAX 256 /* entries kept of one appraisal */

typedef struct lh_host_verifier lh_host_verifier;

/* shared: one more reference to it is taken; crypto is borrowed. Errors: LH_E_NOMEM. */
LH_MUST lh_err lh_host_verifier_new(lh_crypto *c, lh_digests *shared, lh_host_verifier **ret);
/* Takes NULL. */
void lh_host_verifier_free(lh_host_verifier *verifier);
LH_DEFINE_FREEP(lh_host_verifier, lh_host_verifier_free)

/* Bytes of a log as they come; an entry may be cut anywhere. offset: where the last chunk ended; offset 0 of
 * the event log begins it anew; of the IMA log what came already may come again, and is skipped. A chunk may
 * be empty. The event log is used by the next appraisal only. Errors: LH_E_ATTESTATION "log-gap" (a later
 * offset), LH_E_LIMIT "log-size" (an event log past LH_LIMIT_EVENT_LOG, or IMA entries past
 * LH_LIMIT_IMA_PENDING that no quote has confirmed), LH_E_INVALID (another kind), LH_E_NOMEM. The chunk is
 * not taken then. */
LH_MUST lh_err lh_host_verifier_log(
    lh_host_verifier *verifier, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk);
/* Where the next chunk of the IMA log begins: what QUOTE asks from. It goes back, at most to what a quote has
 * confirmed, where an appraisal found that the rest cannot be used. */
uint64_t lh_host_verifier_ima_offset(const lh_host_verifier *verifier);
/* True where no event log has been appraised since the last reset: QUOTE asks for it (where the reference
 * wants it). */
bool lh_host_verifier_needs_event_log(const lh_host_verifier *verifier);

/* Appraise evidence. expectation: as for lh_evidence_verify; what it says of the last evidence is checked
 * beside what the verifier itself has accepted last. reference: NULL where there is none (then the PCRs are
 * checked against expectation->references alone, and no log is). Errors: all of lh_evidence_verify; and, each
 * LH_E_ATTESTATION: "evidence-nonce-used"  the nonce has been answered before "log-restarted"        the host
 * has rebooted, its logs begin anew: all were dropped; ask again "eventlog-…"           see
 * src/verify/boot.h;  "eventlog-none": none came "ima-…"                see src/verify/ima.h LH_E_LIMIT
 * "ima-entries" (more than LH_LIMIT_IMA_ENTRIES in all). Where the reference document changes so that it
 * allows less, the caller resets, so that the files that were measured before are appraised against the new
 * one. */
LH_MUST lh_err lh_host_verifier_appraise(lh_host_verifier *verifier, const lh_evidence *evidence,
    const lh_evidence_expectation *expectation, const lh_reference *reference, lh_evidence_result *ret);
/* Drop what was taken of both logs: they begin anew. What the last evidence said of counts, Clock and
 * firmware stays. Appraise does it itself where resetCount rose. */
void lh_host_verifier_reset(lh_host_verifier *verifier);

typedef struct {
    char kind[16];      /* "pcr", "event", "ima", "violation", "reset", "restart", "firmware", "clock" */
    unsigned pcr;       /* of "pcr", "event", "ima" and "violation"; 0 otherwise */
    uint8_t digest[32]; /* the value, the event's or the file's digest; zero where there is none */
    char text[256]; /* printable ASCII: the path, the event's type, or what changed; cut where it is longer */
} lh_drift_entry;
/* What the last appraisal found, in order: that the reference does not know, or that changed since the one
 * before
 * ("reset", "restart": also of an appraisal that succeeds). At most max entries to ret; the count of those
 * written. */
size_t lh_host_verifier_drift(const lh_host_verifier *verifier, lh_drift_entry *ret, size_t max);

typedef struct {
    uint64_t ima_entries; /* that quotes have confirmed, since the last reset */
    uint64_t ima_bytes;   /* that they take */
    size_t ima_files;     /* different file digests among them */
    size_t ima_pending;   /* bytes that no quote has confirmed yet */
    size_t boot_events;   /* in the event log that was appraised */
    size_t memory;        /* bytes that this verifier takes, without the shared digests */
} lh_host_verifier_stats;
void lh_host_verifier_get_stats(const lh_host_verifier *verifier, lh_host_verifier_stats *ret);
/* Whether a file of this digest was measured on this host since the last reset. */
bool lh_host_verifier_has_file(const lh_host_verifier *verifier, const uint8_t digest[LH_DIGEST_SIZE]);

#endif
