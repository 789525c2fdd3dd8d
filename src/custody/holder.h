/* Custody tpm, the agent's side: keeps the lease keys that the vault has sent, by stream and handle, and
 * answers an application's requests with them as the vault would, so that it sees the same key object as
 * ever.
 *
 * How a use goes: the relay shows the holder each message of an application (lh_holder_request) and each one
 * of the vault's (lh_holder_answered). A use of a handle whose key is not here is relayed; the holder
 * remembers it. Where the vault decides that the key is to be used here, it sends LEASE_KEY in place of a
 * reply, and the holder carries that very request out and answers it; from then on it takes the handle's
 * SIGN, ENCRYPT and DECRYPT, and operations in parts, itself. What it cannot do (VERIFY, attributes, another
 * handle) is relayed. Where the TPM refuses (the approval ran out, a PCR has changed), the key is dropped and
 * the very request is relayed: the vault answers with a new LEASE_KEY, or with the refusal that is in force
 * there.
 *
 * Operations that the holder has begun have numbers with LH_HOLDER_OPERATION set; the vault's have not.
 *
 * Threads: any; calls of one stream follow one another, and the next message of a stream comes after the
 * answer to the last (the protocol allows an application one at a time). The holder has a thread of its own
 * that waits for the TPM; callbacks come from it, or from within a call. Nothing here blocks but free. */
#ifndef LH_CUSTODY_HOLDER_H
#define LH_CUSTODY_HOLDER_H

#include "crypto/crypto.h"
#include "tpm/tpm.h"

#define LH_HOLDER_OPERATION (UINT64_C(1) << 62) /* in the number of an operation in parts */

typedef struct {
    lh_tpm *tpm;
    lh_crypto *crypto;
    /* A frame for the vault (src/wire/link.h): its type, stream and encoded body. May queue only. */
    void (*send)(void *arg, uint32_t stream, uint8_t type, lh_bytes body);
    /* A whole message for the stream's application. May queue only. */
    void (*reply)(void *arg, uint32_t stream, lh_bytes message);
    /* Relay this message of the application to the vault as DATA. May queue only. */
    void (*relay)(void *arg, uint32_t stream, lh_bytes message);
    void *arg;
} lh_holder_options;

typedef struct lh_holder lh_holder;
LH_MUST lh_err lh_holder_new(const lh_holder_options *options, lh_holder **ret);
/* Waits for what is under way; every key is flushed. No callback comes after. Takes NULL. */
void lh_holder_free(lh_holder *holder);
LH_DEFINE_FREEP(lh_holder, lh_holder_free)

/* A message of an application. true: the holder answers it; false: relay it. */
bool lh_holder_request(lh_holder *holder, uint32_t stream, lh_bytes message);
/* A message of the vault for an application passes: what was remembered for it is forgotten. */
void lh_holder_answered(lh_holder *holder, uint32_t stream, lh_bytes message);
/* A custody frame of the vault (types LH_LINK_STORAGE_ASK to LH_LINK_PIN). LH_E_CORRUPT, LH_E_PROTOCOL: the
 * link is to be closed. */
LH_MUST lh_err lh_holder_frame(lh_holder *holder, uint8_t type, uint32_t stream, lh_bytes body);
/* A stream has ended: its keys and operations go. */
void lh_holder_stream_closed(lh_holder *holder, uint32_t stream);
/* The link has ended, and with it all streams. */
void lh_holder_link_closed(lh_holder *holder);

#endif
