/* The client's end of the protocol, for the module and for the command line tool. Uses libc alone, raises no
 * signal, starts no thread, prints nothing; every descriptor is close-on-exec.
 * Threads: none of this locks; callers that share a client lock around it.
 */
#ifndef LH_WIRE_CLIENT_H
#define LH_WIRE_CLIENT_H

#include "wire/calls.h"

#define LH_CLIENT_CONNECT_MS 5000 /* for connecting and hello together */
#define LH_CLIENT_CALL_MS 60000   /* for one call */
#define LH_CLIENT_SLOW_MS 600000  /* for one that may compute for minutes, unless a deadline was set */

typedef struct lh_client lh_client;

/* Connect to the socket at path, check whose it is, say hello and take over the socket of our own.
 * The server must run as root, as our own effective uid, as the owner of the socket's folder where only root
 * could have made that folder, or as the uid that LEASEHOLD_SERVER_UID or client.yaml names (wire/path.h).
 * Where the daemon closes the connection unheard, because too many come at once, it is tried again until
 * LH_CLIENT_CONNECT_MS are over.
 * Errors: LH_E_GONE (nobody listens), LH_E_DENIED (reason "server-uid", or no permission on the socket),
 * LH_E_UNSUPPORTED (reason "version"), LH_E_TIMEOUT, LH_E_PROTOCOL, LH_E_LIMIT (path too long), LH_E_IO. */
LH_MUST lh_err lh_client_open(const char *path, enum lh_wire_kind kind, lh_client **ret);
/* Takes NULL. Safe in a forked child: closes the inherited descriptor and tells the daemon nothing. */
void lh_client_close(lh_client *client);
/* For a child forked while another thread of the parent was inside a call: closes the inherited descriptor
 * and leaves the memory, which may be half changed, alone. Takes NULL. */
void lh_client_abandon(lh_client *client);
LH_DEFINE_FREEP(lh_client, lh_client_close)

/* One call: request is the call's struct (NULL where empty), *ret_reply its reply's. Spans of the reply
 * borrow from the client until its next call or its end. Challenges are answered on the way. Errors: what the
 * daemon answered (lh_err_last() has reason and message); LH_E_GONE with reason "connection-lost" (sent, no
 * answer: it may have been done) or "connection-closed" (not delivered: it was not done), LH_E_TIMEOUT and
 * LH_E_PROTOCOL, after which the client is broken; LH_E_LIMIT for a request longer than the daemon takes. */
LH_MUST lh_err lh_client_call(lh_client *client, enum lh_call call, const void *request, void *ret_reply);
/* No call can succeed any more: close it and open another. */
bool lh_client_broken(const lh_client *client);
/* Another deadline than LH_CLIENT_CALL_MS for the calls that follow. */
void lh_client_set_timeout(lh_client *client, int timeout_ms);
uint16_t lh_client_version(const lh_client *client);

/* The last call's request was certainly not delivered, so that asking again on a new connection is safe. */
bool lh_client_undelivered(const lh_client *client);

#endif
