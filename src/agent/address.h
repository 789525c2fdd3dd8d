/* Where the vault is: "HOST:PORT", "[IPv6]:PORT", "unix:/path" (a stream socket),
 * "device:/dev/virtio-ports/NAME" (a serial port of a virtual machine). */
#ifndef LH_AGENT_ADDRESS_H
#define LH_AGENT_ADDRESS_H

#include "base/err.h"

#include <stdbool.h>

#define LH_ADDRESS_HOST 253 /* bytes of a host's name, RFC 1035 */
#define LH_ADDRESS_PATH 107 /* bytes of a path: sun_path without its NUL */
#define LH_ADDRESS_TEXT (LH_ADDRESS_HOST + 9)

enum lh_address_kind { LH_ADDRESS_TCP, LH_ADDRESS_UNIX, LH_ADDRESS_DEVICE };

typedef struct {
    enum lh_address_kind kind;
    char host[LH_ADDRESS_HOST + 1]; /* TCP: a name or an address, without brackets */
    char port[6];                   /* TCP: 1 to 65535 */
    char path[LH_ADDRESS_PATH + 1];
    char text[LH_ADDRESS_TEXT + 1]; /* as it was given, for messages */
} lh_address;

/* LH_E_INVALID "vault-address" where text is none of those forms. */
LH_MUST lh_err lh_address_parse(const char *text, lh_address *ret);
/* The same as a check, for schemas. */
bool lh_address_is(const char *text);

/* Connect, or open the device. Names are looked up anew each time; each address found is tried, for at most
 * timeout_ms all together (looking up a name takes as long as the system's resolver lets it). Blocks.
 * ret_fd: the caller's, non-blocking, close-on-exec.
 * Errors: LH_E_NOT_FOUND "vault-name" (no such host), LH_E_GONE "vault-refused-connection" (nobody listens
 * there), LH_E_TIMEOUT "vault-timeout", LH_E_DENIED "vault-permission", LH_E_IO. The messages name the
 * address. */
LH_MUST lh_err lh_address_connect(const lh_address *address, int timeout_ms, int *ret_fd);

#endif
