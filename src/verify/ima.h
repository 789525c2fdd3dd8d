/* The IMA log judged: replayed to the quoted PCR 10 (SHA-256 bank), incrementally, its boot aggregate
 * compared with the quoted PCRs 0 to 9, each file looked up in the reference values.
 *
 * Only what a quote has confirmed is kept: a PCR value, how many bytes and entries lead to it, and the set of
 * the known digests among them. Bytes that lie past it wait in a buffer: a log read after its quote is ahead
 * of it.
 *
 * PCR 10 is extended with SHA-256(template data); for a violation with 32 bytes of 0xff, whatever its
 * template data says: a violation's path is nobody's word but the sender's. Source: Linux
 * Documentation/security/IMA-templates.rst; security/integrity/ima/ima_queue.c, ima_crypto.c. */
#ifndef LH_VERIFY_IMA_H
#define LH_VERIFY_IMA_H

#include "codec/ima_log.h"
#include "crypto/crypto.h"
#include "verify/digests.h"
#include "verify/reference.h"

#define LH_IMA_PCRS 0x7ffu /* PCRs 0 to 10: what must be quoted for a log to be judged */

typedef struct lh_ima lh_ima;

/* shared is borrowed. Errors: LH_E_NOMEM. */
LH_MUST lh_err lh_ima_new(lh_crypto *c, lh_digests *shared, lh_ima **ret);
/* Takes NULL. */
void lh_ima_free(lh_ima *ima);
LH_DEFINE_FREEP(lh_ima, lh_ima_free)

/* More bytes. Errors: LH_E_LIMIT "log-size" (more than LH_LIMIT_IMA_PENDING wait); LH_E_NOMEM. */
LH_MUST lh_err lh_ima_take(lh_ima *ima, lh_bytes chunk);
/* Bytes taken that still count: confirmed and waiting. */
uint64_t lh_ima_offset(const lh_ima *ima);
/* The log begins anew. */
void lh_ima_reset(lh_ima *ima);

/* What a file was found to be: for what is not known. */
typedef struct {
    bool violation;
    uint8_t digest[32]; /* zero where it is not SHA-256 */
    const char *path;   /* any bytes; valid during the call */
} lh_ima_finding;
typedef void (*lh_ima_finding_fn)(void *arg, const lh_ima_finding *finding);

/* Judge what waits against a quote's values (PCRs 0 to 10). finding: may be NULL; called for each entry that
 * is not known, in order. Errors: LH_E_ATTESTATION; those of codec/ima_log.h ("ima-format", "ima-template",
 * "ima-pcr"), and "ima-none"      no entry came: the kernel measures nothing, or the agent sent nothing
 *   "ima-behind"    the log does not come to the quoted PCR 10: it ends before, or was altered
 *   "ima-aggregate" the first entry is not a boot aggregate over the quoted PCRs
 *   "ima-violation" an entry that the kernel could not vouch for, whose path no exclusion names
 *   "ima-digest"    a file digest that is not SHA-256, whose path no exclusion names
 *   "ima-unknown"   a file that the reference values do not know (the message names the first)
 * LH_E_LIMIT "ima-entries" (LH_LIMIT_IMA_ENTRIES); LH_E_NOMEM. After "ima-violation", "ima-digest" and
 * "ima-unknown" the waiting bytes stay, to be judged again; after the others they are dropped, to be sent
 * again. */
LH_MUST lh_err lh_ima_judge(lh_ima *ima, const uint8_t quoted[24][32], const lh_reference *reference,
    lh_ima_finding_fn finding, void *arg);

typedef struct {
    uint64_t entries, bytes; /* confirmed */
    size_t files;            /* different known digests among them */
    size_t pending;          /* bytes that wait */
    size_t memory;
} lh_ima_stats;
void lh_ima_get_stats(const lh_ima *ima, lh_ima_stats *ret);
bool lh_ima_has_file(const lh_ima *ima, const uint8_t digest[32]);

#endif
