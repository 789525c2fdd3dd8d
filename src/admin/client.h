/* The admin calls from the caller's side, over wire/client.h.
 * Threads: one client belongs to one thread. Blocks.
 */
#ifndef LH_ADMIN_CLIENT_H
#define LH_ADMIN_CLIENT_H

#include "admin/call.h"

typedef struct lh_admin_client lh_admin_client;

/* Connect to the daemon at a socket's path and say hello.
 * Errors: LH_E_IO (no such socket, nobody listens, no permission), LH_E_PROTOCOL, LH_E_DENIED. */
LH_MUST lh_err lh_admin_open(const char *socket_path, lh_admin_client **ret);
/* Takes NULL. */
void lh_admin_close(lh_admin_client *client);
LH_DEFINE_FREEP(lh_admin_client, lh_admin_close)

/* Make one call and wait for its reply.
 * request_taken: the object with "call"; consumed in any case; NULL (out of memory while it was made) is an
 *                error. It is checked against the call's shape before it is sent.
 * ret_reply:     the reply's object ("ok" included); the caller drops it; untouched on error; may be NULL.
 * Errors: whatever the daemon refused with (code, reason, message); LH_E_IO, LH_E_GONE, LH_E_PROTOCOL. */
LH_MUST lh_err lh_admin_do(lh_admin_client *client, json_t *request_taken, json_t **ret_reply);

#endif
