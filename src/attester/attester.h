/* This host's evidence: one TPM quote for many requests, and parts of its boot and IMA logs.
 *
 * A quote takes a TPM a fifth of a second and more. A request that comes while the TPM is idle is quoted at
 * once; those that come while a quote is under way wait and become the leaves of the next one's tree
 * (verify/evidence.h), each with an inclusion proof of its own. There is no waiting for others to come.
 *
 * Invariants:
 *   1. A leaf is under a quote only where its request had come before the quote began: evidence is never
 *      older than the nonce in it.
 *   2. Requests with another PCR mask are under other quotes. Masks take turns: the one whose request has
 *      waited longest is next.
 *   3. The PCR values given are those that the quote is over.
 *   4. A failure of the TPM goes to each request that was under that quote, with its detail, and to no other.
 *   5. Each request is answered once, whatever becomes of the others.
 *
 * Threads: any. One thread of its own asks the TPM and answers.
 * Errors: those of src/tpm/tpm.h, and what is named below. */
#ifndef LH_ATTESTER_ATTESTER_H
#define LH_ATTESTER_ATTESTER_H

#include "tpm/tpm.h"
#include "verify/evidence.h"

#define LH_ATTESTER_LOG_CHUNK_MAX 1048576u /* bytes of a log given at once */

typedef struct lh_attester lh_attester;

/* All is borrowed. The files are read with pread; -1: there is none. */
typedef struct {
    lh_tpm *tpm;
    lh_crypto *crypto;
    int event_log_fd; /* /sys/kernel/security/tpm0/binary_bios_measurements, or like it */
    int ima_log_fd;   /* /sys/kernel/security/ima/binary_runtime_measurements, or like it */
} lh_attester_options;

/* Starts the thread; nothing is asked of the TPM yet. */
LH_MUST lh_err lh_attester_new(const lh_attester_options *options, lh_attester **ret);
/* Requests that wait are answered LH_E_STATE "attester-stopped"; then the thread ends. Takes NULL. */
void lh_attester_free(lh_attester *attester);
LH_DEFINE_FREEP(lh_attester, lh_attester_free)

/* One leaf of the next quote over mask (not empty, within 24 PCRs): whoever waits meanwhile with the same
 * mask shares it, at most LH_EVIDENCE_LEAVES_MAX; more wait for the one after it. Blocks. ret: initialised by
 * the caller, its buffers empty; they are as they were on error. Errors: the TPM's; LH_E_INVALID (the mask);
 * LH_E_LIMIT "attester-busy" (LH_LIMIT_ATTESTER_WAITING wait); LH_E_TPM "attester-pcr-busy" (PCRs change
 * faster than they can be quoted); LH_E_STATE "attester-stopped". */
LH_MUST lh_err lh_attester_quote(
    lh_attester *attester, uint32_t mask, const lh_evidence_leaf *leaf, lh_evidence *ret);

/* The same without a thread that waits. done is called once, on the attester's thread, where submit did not
 * fail: it keeps that thread from everybody else, so it hands on and returns. evidence is borrowed for the
 * call, NULL where err is none; then lh_err_last is its detail.
 * Errors: LH_E_INVALID, LH_E_LIMIT, LH_E_STATE, LH_E_NOMEM as above; the others come to done. */
typedef void (*lh_attester_done)(void *arg, lh_err err, const lh_evidence *evidence);
LH_MUST lh_err lh_attester_submit(
    lh_attester *attester, uint32_t mask, const lh_evidence_leaf *leaf, lh_attester_done done, void *arg);

/* What was done since the beginning. */
typedef struct {
    uint64_t quotes;  /* asked of the TPM, those included that failed or were over PCRs that had moved */
    uint64_t leaves;  /* requests that got evidence */
    uint32_t largest; /* leaves under one quote, at most */
} lh_attester_counts;
void lh_attester_count(lh_attester *attester, lh_attester_counts *ret);

/* A part of a log from offset, at most max bytes (and LH_ATTESTER_LOG_CHUNK_MAX), appended to ret; nothing
 * appended: its end for now, or there is no such log. An IMA log is given in whole entries, so offset must be
 * 0 or where a part before ended; bytes that are no entry are given as they are. ret is as it was on error.
 * Errors: LH_E_LIMIT "log-entry-size" (one entry is larger than max); LH_E_NOT_FOUND "log-offset" (the file
 * is shorter than offset); LH_E_IO. */
LH_MUST lh_err lh_attester_log(
    lh_attester *attester, enum lh_log_kind kind, uint64_t offset, size_t max, lh_buf *ret);

#endif
