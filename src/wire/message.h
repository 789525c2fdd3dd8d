/* Messages and their way over a SOCK_SEQPACKET socket: one packet is one message, a 24-byte header and a
 * body. The header is the same in every protocol version. docs/protocol.md is the specification.
 *
 * Header, big-endian: u32 length of the body | u16 call | u16 flags | u64 request id | u32 status | u32 zero
 */
#ifndef LH_WIRE_MESSAGE_H
#define LH_WIRE_MESSAGE_H

#include "base/bytes.h"
#include "base/limits.h"

#include <sys/socket.h>
#include <sys/types.h>

#define LH_MESSAGE_HEADER 24u
#define LH_MESSAGE_BODY_MAX (LH_LIMIT_MESSAGE - LH_MESSAGE_HEADER)

/* Flags of a header. An error is a reply with both bits; its status is an lh_code, its body an
 * lh_error_reply. */
enum { LH_FLAG_REPLY = 1, LH_FLAG_ERROR = 2 };

typedef struct {
    uint32_t length; /* of the body */
    uint16_t call;   /* enum lh_call; values that this side does not know pass */
    uint16_t flags;
    uint64_t id;     /* chosen by who asks, repeated in the reply */
    uint32_t status; /* 0, or in an error the lh_code */
} lh_message_header;

/* Append header and body to message. LH_E_LIMIT, LH_E_NOMEM. length is set from the body. */
LH_MUST lh_err lh_message_encode(const lh_message_header *header, lh_bytes body, lh_buf *message);

/* Split a received packet; *ret_body borrows from it. LH_E_PROTOCOL where header and packet disagree, where a
 * bit is set that has no meaning, or where a status stands outside an error. */
LH_MUST lh_err lh_message_decode(lh_bytes message, lh_message_header *ret, lh_bytes *ret_body);

/* Send one packet, with a descriptor where pass_fd >= 0 (it stays the caller's). flags are added to
 * MSG_NOSIGNAL, so that a dead peer never raises SIGPIPE.
 * Errors: LH_E_GONE (peer closed: nothing of the message was delivered), LH_E_TIMEOUT (would block),
 * LH_E_LIMIT (longer than a message may be), LH_E_IO. */
LH_MUST lh_err lh_message_send(int fd, lh_bytes message, int pass_fd, int flags);

/* What came beside a packet. Descriptors are the caller's to close. */
typedef struct {
    int fd;              /* by SCM_RIGHTS, or -1 */
    int pidfd;           /* by SCM_PIDFD, or -1 */
    bool has_sender;     /* sender is set (SO_PASSCRED) */
    struct ucred sender; /* as the kernel attributes it */
} lh_ancillary;

/* Receive one packet into message (emptied first; its max must be >= LH_LIMIT_MESSAGE). flags are added to
 * MSG_CMSG_CLOEXEC. ret_ancillary may be NULL: then a packet that carries a descriptor is refused, and the
 * descriptor closed.
 * Errors: LH_E_GONE (peer closed), LH_E_TIMEOUT (nothing there on a non-blocking read), LH_E_PROTOCOL (packet
 * or ancillary data cut short, or more than one descriptor), LH_E_NOMEM, LH_E_IO. */
LH_MUST lh_err lh_message_recv(int fd, int flags, lh_buf *message, lh_ancillary *ret_ancillary);

#endif
