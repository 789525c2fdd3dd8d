/* The agent's link to the vault: dials, shows the TPM (ACTIVATE), carries frames, and comes back by itself
 * when it is lost, with a jittered backoff. Frames and streams: src/wire/link.h, docs/attestation.md.
 *
 * Invariants:
 *   1. Nothing is taken from a vault whose key is not the pinned one: the channel sees to it.
 *   2. Between ready and WELCOME only ACTIVATE, WELCOME and REFUSED are taken; whatever else comes ends the
 * link.
 *   3. A generation is one link that came up; numbers never repeat. What was meant for one is never sent on
 *      another.
 *
 * Threads: that of the loop, but for new and free. Callbacks come from the loop. */
#ifndef LH_AGENT_UPLINK_H
#define LH_AGENT_UPLINK_H

#include "agent/address.h"
#include "channel/channel.h"
#include "serve/loop.h"
#include "serve/pool.h"
#include "tpm/tpm.h"

#define LH_UPLINK_BASE_MS 200 /* backoff after a loss */
#define LH_UPLINK_CAP_MS 30000
/* After a refusal, which somebody has to do something about: so long, and a backoff. */
#define LH_UPLINK_REFUSED_MIN_MS 1000
#define LH_UPLINK_REFUSED_BASE_MS 2000
#define LH_UPLINK_REFUSED_CAP_MS 60000
#define LH_UPLINK_STABLE_MS 2000   /* up for so long: the next backoff begins anew */
#define LH_UPLINK_DIAL_MS 5000     /* to connect */
#define LH_UPLINK_WELCOME_MS 30000 /* from the end of the handshake to WELCOME; the TPM works meanwhile */

typedef struct lh_uplink lh_uplink;

/* All is borrowed for the uplink's life. */
typedef struct {
    lh_loop *loop;
    lh_pool *pool; /* for activating; dialling has a thread of its own */
    lh_crypto *crypto;
    lh_tpm *tpm;
    const lh_address *address;
    const uint8_t *pin; /* 32 bytes, the vault's key */
    lh_channel_identity *identity;
    void (*up)(void *arg);
    /* A frame that the vault may send, not yet decoded; after WELCOME. Returns an error where the link is to
     * be ended (its reason and message are logged). */
    lh_err (*frame)(void *arg, const lh_link_frame *frame);
    /* There is room again, after lh_uplink_send has answered LH_E_LIMIT. */
    void (*drained)(void *arg);
    /* It was up, and is not any more. lh_uplink_error says why. */
    void (*down)(void *arg);
    void *arg;
} lh_uplink_options;

/* Begins to dial. */
LH_MUST lh_err lh_uplink_new(const lh_uplink_options *options, lh_uplink **ret);
/* No callback comes any more. On the loop. */
void lh_uplink_stop(lh_uplink *uplink);
/* After lh_uplink_stop, and not on the loop; the loop and the pool are there still, and what they were given
 * has been run when this returns. Takes NULL. */
void lh_uplink_free(lh_uplink *uplink);

bool lh_uplink_is_up(const lh_uplink *uplink);
/* While up: the number of this link, its exporter (32 bytes). */
uint64_t lh_uplink_generation(const lh_uplink *uplink);
const uint8_t *lh_uplink_exporter(const lh_uplink *uplink);

/* Queue a whole frame. LH_E_LIMIT "channel-full": drained will be called; LH_E_STATE as lh_uplink_error. */
LH_MUST lh_err lh_uplink_send_frame(lh_uplink *uplink, lh_bytes frame);
/* The same from a struct of src/wire/link.h. */
LH_MUST lh_err lh_uplink_send(lh_uplink *uplink, enum lh_link_type type, uint32_t stream, const void *value);

/* End the link: it is dialled anew. */
void lh_uplink_end(lh_uplink *uplink, const char *reason, const char *message);

/* Raise why there is no vault: LH_E_STATE, reason "vault-unreachable", or "vault-refused" where it answers
 * and refuses this host. The message says which, since when, why, and what to do. */
LH_MUST lh_err lh_uplink_error(const lh_uplink *uplink);

#endif
