/* Where the daemon's socket is, for module and tools alike.
 *
 * 1. the environment variable LEASEHOLD_SOCKET (ignored in set-uid programs)
 * 2. the line `socket: PATH` of /etc/leasehold/client.yaml
 * 3. /run/leasehold/vault.sock
 *
 * client.yaml is read by a line reader that knows only this part of YAML: comments, blank lines, and
 * top-level `key: value` lines with a plain or double-quoted scalar without escapes. Other lines are ignored.
 */
#ifndef LH_WIRE_PATH_H
#define LH_WIRE_PATH_H

#include "base/bytes.h"
#include "base/limits.h"

#include <sys/types.h>

#define LH_PATH_SOCKET_DEFAULT "/run/leasehold/vault.sock"
#define LH_PATH_CLIENT_CONFIG "/etc/leasehold/client.yaml"

/* The socket's path into out (NUL-terminated). LH_E_LIMIT where it is too long. A missing or unreadable
 * client.yaml counts as an empty one. */
LH_MUST lh_err lh_path_socket(char *out, size_t size);

/* The uid that LEASEHOLD_SERVER_UID or `server-uid:` names as the daemon's; false where neither does. */
bool lh_path_server_uid(uid_t *ret_uid);

/* The value of one key in such a file; false where file or key is missing or the value does not fit.
 * Exposed for tests. */
bool lh_path_config_value(const char *file, const char *key, char *out, size_t size);

#endif
