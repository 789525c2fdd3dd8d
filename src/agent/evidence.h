/* QUOTEs of the vault, from the question to the frame that answers it. Private to the two files that do it:
 * evidence.c finds out what is true of the processes, evidence_send.c has the TPM say so and sends it.
 *
 *   ask → [challenge] → read the process again → leaf → quote → logs → EVIDENCE
 *
 * Invariants:
 *   1. Facts in evidence are read after QUOTE came, and of a process that has shown to be the one that said
 *      hello and has not called exec since its stream was opened; else its stream is closed.
 *   2. Logs are read after the quote was made, so that they hold all that it covers, and are on their way
 * before the evidence.
 *   3. Each QUOTE is answered once, on the link that it came by, or dropped with its stream or that link. */
#ifndef LH_AGENT_EVIDENCE_H
#define LH_AGENT_EVIDENCE_H

#include "agent/internal.h"

/* A process among those of evidence of the host as such. */
typedef struct {
    lh_application *application; /* a reference; for the loop only */
    uint32_t stream;
    pid_t pid;
    int pidfd;
    lh_identity before; /* as its stream was opened */
    uint8_t facts[32];  /* SHA-256 of the facts now */
    const char *end;    /* why its stream ends; NULL: it does not */
} lh_quote_member;

struct lh_quote {
    lh_quote *next; /* of its application's, or of those to be sent */
    lh_agent *agent;
    uint64_t generation;
    uint32_t stream; /* 0: the host as such */
    lh_link_quote request;
    lh_application *application; /* a reference; NULL: the host as such */
    lh_quote_member *members;    /* of the host as such, by stream, rising */
    size_t n_members;
    bool away;    /* with another thread, which owns it until it is back on the loop */
    bool dropped; /* meanwhile: nobody wants it any more */
    int pidfd;
    lh_identity identity; /* as read last */
    lh_buf facts;
    lh_evidence_leaf leaf;
    lh_buf evidence;
    lh_err err;
    lh_err_detail detail;
    enum { LH_QUOTE_EVENTS, LH_QUOTE_IMA, LH_QUOTE_DONE } part; /* what is to be sent next */
    uint64_t offset;
    lh_buf chunk; /* read of the log, not sent yet */
};

void lh_quote_free(lh_quote *quote);
/* The processes have been read: have the TPM quote, then send. Takes the quote, which is in no list. */
void lh_quote_make(lh_quote *quote);
/* Answer NO_EVIDENCE. Takes the quote, which is in no list. */
void lh_quote_refuse(lh_quote *quote, lh_err err, const lh_err_detail *detail);

#endif
