/* The net process: TLS and framing for the hosts that connect, in a process that has nothing else. It knows
 * no key of the vault's but that of its end of channels, and that only while the vault is open; it opens no
 * file and no socket, and starts nothing.
 *
 * What main believes it is which frames came over which connection, the other side's key and what TLS
 * exports: no more than it needs to forward messages. A host is then proved to main by its TPM, on that very
 * connection (vault/host.h).
 *
 * It is forked before main has threads or keys, with the sockets bound while main may still bind them. They
 * are listened at while the vault is open. */
#ifndef LH_DAEMON_NET_H
#define LH_DAEMON_NET_H

#include "base/limits.h"
#include "base/secret.h"
#include "channel/identity.h"
#include "wire/link.h"

#include <sys/types.h>

typedef struct lh_net lh_net;

/* Whether text is "ADDRESS:PORT" (IPv4, or IPv6 in brackets; port 0: any) or "unix:/path". */
bool lh_net_is_address(const char *text);

/* One bound socket. */
typedef struct {
    int fd;
    bool local;                          /* a Unix socket */
    char text[LH_LIMIT_LISTEN_TEXT + 1]; /* with the port that it got */
} lh_net_socket;

/* Bind, without listening yet. LH_E_INVALID, LH_E_EXISTS (the address is in use), LH_E_IO. Changes the umask
 * for a moment. */
LH_MUST lh_err lh_net_bind(const char *address, lh_net_socket *ret);

/* Whom the process becomes. */
typedef struct {
    uid_t uid;
    gid_t gid;
    bool drop; /* root: become them; else it stays who it is */
} lh_net_user;

/* Fork it. Main's copies of the sockets are closed, also on error. ret_pid: to be waited for and watched.
 * Call it before there are threads. others: descriptors of main that the process must not have. */
LH_MUST lh_err lh_net_fork(lh_net_socket *sockets, size_t count, const lh_net_user *user, const int *others,
    size_t n_others, lh_net **ret);
/* Closes the control socket, upon which the process ends, and waits for it. Takes NULL. */
void lh_net_free(lh_net *net);
LH_DEFINE_FREEP(lh_net, lh_net_free)

int lh_net_pidfd(const lh_net *net);   /* readable when it has ended */
int lh_net_control(const lh_net *net); /* readable when it says something */

/* Begin: listen and shake hands by that key. Stop: close listeners and channels, forget the key. */
LH_MUST lh_err lh_net_open(lh_net *net, const lh_secret *key);
LH_MUST lh_err lh_net_stop(lh_net *net);

/* What net says of a channel that has come up. */
typedef struct {
    uint8_t peer[LH_CHANNEL_HASH];
    uint8_t exporter[LH_LINK_EXPORTER];
    char source[64]; /* "192.0.2.7:50000", "unix" */
} lh_net_link;

/* Take what it says; without waiting. fd: carries whole frames, a packet each; the caller's. LH_E_TIMEOUT:
 * nothing; LH_E_GONE: it has ended; LH_E_PROTOCOL. */
LH_MUST lh_err lh_net_take(lh_net *net, lh_net_link *ret, int *ret_fd);

/* --- the process itself: net_process.c --------------------------------------------------------------------
 */

/* Enters its sandbox and serves until control is closed; the exit status. */
int lh_net_serve(int control, lh_net_socket *sockets, size_t count, lh_crypto *crypto);

/* On control, one packet each way: */
enum lh_net_order { LH_NET_OPEN = 1, LH_NET_STOP = 2 };
typedef struct {
    uint8_t order;
    uint8_t key[LH_CHANNEL_KEY];
} lh_net_message;

#endif
