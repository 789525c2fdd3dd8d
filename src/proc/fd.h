/* Descriptors: closing, local sockets, messages with descriptors and the kernel's word on who sent them.
 * Everything made or received here is close-on-exec. Threads: any; no state.
 * Source: unix(7), pidfd_open(2), SCM_PIDFD and SO_PEERPIDFD (Linux 6.5). */
#ifndef LH_PROC_FD_H
#define LH_PROC_FD_H

#include "base/bytes.h"

#include <sys/types.h>

#define LH_FD_PASS_MAX 4 /* descriptors in one message */

/* close(2) where fd >= 0; errno stays. */
void lh_fd_close(int fd);
/* For LH_AUTO: closes and sets to -1. */
static inline void lh_fd_closep(int *fd)
{
    lh_fd_close(*fd);
    *fd = -1;
}
#define LH_AUTO_FD LH_AUTO(lh_fd_closep) int
/* Hand on what an LH_AUTO_FD variable owns. */
static inline int lh_fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

LH_MUST lh_err lh_fd_set_nonblock(int fd, bool on);

/* A connected pair of SOCK_SEQPACKET sockets, blocking. */
LH_MUST lh_err lh_fd_pair(int ret_pair[2]);

/* A received message. The descriptors are the caller's: lh_fd_message_close. */
typedef struct {
    size_t len;              /* bytes of data */
    int fds[LH_FD_PASS_MAX]; /* SCM_RIGHTS */
    size_t n_fds;
    bool has_sender; /* the kernel named the sender (SO_PASSCRED is on) */
    pid_t pid;       /* 0 where the sender is not visible in our pid namespace */
    uid_t uid;
    gid_t gid;
    int pidfd; /* of the sender (SO_PASSPIDFD is on and the kernel has it); -1 otherwise or when it is gone */
} lh_fd_message;

#define LH_FD_MESSAGE_INIT ((lh_fd_message){.fds = {-1, -1, -1, -1}, .pidfd = -1})
/* Closes what is still there; for LH_AUTO too. Set a field to -1 to keep its descriptor. */
void lh_fd_message_close(lh_fd_message *message);

/* Send one message, at most LH_FD_PASS_MAX descriptors, which stay the caller's. No SIGPIPE.
 * wait: false returns at once, with LH_E_TIMEOUT where the socket's buffer is full.
 * Errors: LH_E_GONE (the peer has closed), LH_E_LIMIT (longer than the socket takes), LH_E_TIMEOUT, LH_E_IO.
 */
LH_MUST lh_err lh_fd_send(int fd, lh_bytes data, const int *fds, size_t n_fds, bool wait);
/* Receive one message of at most size bytes into buffer. ret: overwritten, nothing in it on error.
 * wait: false returns at once, with LH_E_TIMEOUT where there is none.
 * Errors: LH_E_GONE (the peer has closed), LH_E_LIMIT (longer than size, or too many descriptors; it is
 * dropped), LH_E_TIMEOUT, LH_E_IO. */
LH_MUST lh_err lh_fd_receive(int fd, void *buffer, size_t size, bool wait, lh_fd_message *ret);

/* From now on the kernel names the sender of each message received on fd: pid, uid and gid always, a pidfd
 * where it can. ret_pidfds (may be NULL): whether it can. */
LH_MUST lh_err lh_fd_name_senders(int fd, bool *ret_pidfds);

/* Who connected the other end (SO_PEERCRED). ret_pidfd: a pidfd of that process. Where the kernel lacks
 * SO_PEERPIDFD (before 6.5) it is opened by pid: whether it is still the same process must then be shown by a
 * reading and an answer, as the identity folder does.
 * Errors: LH_E_GONE (the process has ended), LH_E_DENIED reason "peer-not-visible" (another pid namespace).
 */
LH_MUST lh_err lh_fd_peer(int fd, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid, int *ret_pidfd);

/* LH_E_GONE where there is no such process. */
LH_MUST lh_err lh_pidfd_open(pid_t pid, int *ret_pidfd);
/* LH_E_GONE where the process has exited (a zombie has). */
LH_MUST lh_err lh_pidfd_check_alive(int pidfd);
/* The pid that a pidfd stands for, as our pid namespace numbers it. LH_E_GONE where it was reaped,
 * LH_E_INVALID where fd is no pidfd. */
LH_MUST lh_err lh_pidfd_pid(int pidfd, pid_t *ret_pid);

#endif
