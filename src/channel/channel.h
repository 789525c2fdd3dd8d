/* One TLS 1.3 connection that carries frames (src/wire/link.h), on an event loop. Over any descriptor that
 * can be polled, read and written: a TCP or Unix stream socket, a serial port of a virtual machine.
 *
 * Both sides show a key. The client ends where the server's is not the one it pins; the server takes any
 * P-256 key in a certificate signed by itself, and hands its hash up: whose it is, others decide.
 *
 * Back-pressure: nothing is read from the descriptor while the channel is paused, and so nothing more is sent
 * by the other side than what fits in between. What is to be sent is bounded by LH_CHANNEL_OUTGOING_MAX.
 *
 * Pings are answered, and sent where nothing was heard; the user sees neither.
 * Threads: that of the loop. Callbacks come from the loop only, never from within a call of this header; a
 * callback may call anything here, lh_channel_free too. */
#ifndef LH_CHANNEL_CHANNEL_H
#define LH_CHANNEL_CHANNEL_H

#include "channel/identity.h"
#include "wire/link.h"

struct event_base;

#define LH_CHANNEL_OUTGOING_MAX 8388608u /* bytes that wait to be sent */
#define LH_CHANNEL_HANDSHAKE_MS 10000    /* for the whole of it, whatever trickles in */
#define LH_CHANNEL_FINISH_MS 3000        /* for the other side to take the last of it */

typedef struct lh_channel lh_channel;

enum lh_channel_role { LH_CHANNEL_CLIENT, LH_CHANNEL_SERVER };

typedef struct {
    struct event_base *base;
    enum lh_channel_role role;
    int fd;                        /* taken over, on error too; made non-blocking */
    lh_channel_identity *identity; /* borrowed, for lh_channel_new only */
    const uint8_t *pin;            /* client: 32 bytes, the server's key; borrowed, for lh_channel_new only */
    /* The handshake is done: lh_channel_peer and lh_channel_exporter tell. */
    void (*ready)(lh_channel *channel, void *arg);
    /* A whole frame, its length included; of the bounds of lh_link_size and not looked at otherwise (but for
     * pings, which do not come here). Borrowed for the call. */
    void (*frame)(lh_channel *channel, lh_bytes frame, void *arg);
    /* What waited to be sent has shrunk to a half of its bound or less, after lh_channel_send has refused.
     * May be NULL. */
    void (*drained)(lh_channel *channel, void *arg);
    /* It has ended: once, and the last callback; lh_channel_free is still due. reason: "closed" (by the other
     * side, in order), "cut" (without saying so), "handshake" (TLS did not come about), "handshake-timeout",
     * "channel-pin" (another server key than pinned), "channel-peer" (the client's certificate is missing,
     * not of a P-256 key or not signed by itself), "tls" (a record that does not authenticate …),
     * "link-frame-size", "idle" (nothing heard for LH_LINK_DEAD_MS), "memory". */
    void (*closed)(lh_channel *channel, const char *reason, const char *message, void *arg);
    void *arg;
} lh_channel_options;

/* Begin the handshake. LH_E_NOMEM, LH_E_CRYPTO, LH_E_IO. */
LH_MUST lh_err lh_channel_new(const lh_channel_options *options, lh_channel **ret);
/* Says good-bye where it can be said at once, closes the descriptor, wipes. No callback comes any more. Takes
 * NULL. */
void lh_channel_free(lh_channel *channel);
LH_DEFINE_FREEP(lh_channel, lh_channel_free)

/* No frame is handed up any more; what waits is sent, then good-bye, and closed comes with reason "finished",
 * within LH_CHANNEL_FINISH_MS whatever the other side does. */
void lh_channel_finish(lh_channel *channel);

/* Queue a whole frame (copied). LH_E_LIMIT "channel-full": nothing of it is queued (drained tells when to try
 * again); LH_E_STATE: the handshake is not done; LH_E_GONE: the channel has ended; LH_E_NOMEM. */
LH_MUST lh_err lh_channel_send(lh_channel *channel, lh_bytes frame);
/* Bytes that wait to be sent. */
size_t lh_channel_outgoing(const lh_channel *channel);

/* While paused, no frame is handed up (from the frame callback on: the one in hand is the last) and nothing
 * is read; so the other side's pings wait too, and it takes this one for dead after LH_LINK_DEAD_MS. */
void lh_channel_pause(lh_channel *channel, bool paused);

/* After ready: 32 bytes each. */
const uint8_t *lh_channel_peer(const lh_channel *channel);
const uint8_t *lh_channel_exporter(const lh_channel *channel);

#endif
