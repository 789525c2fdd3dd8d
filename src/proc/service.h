/* What a program that serves does before it serves: find the user to run as, make its folders, raise its
 * limits, give up what it started with. Before threads are started. Errors say what to do about them. */
#ifndef LH_PROC_SERVICE_H
#define LH_PROC_SERVICE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whom to become. */
typedef struct {
    uid_t uid;
    gid_t gid;
    uint32_t drop; /* 1: we are root, and become that user; 0: we are it already */
} lh_service_user;

/* The user to run as. Where we are not root: whoever we are. what: "daemon", "agent", for messages.
 * name, group (NULL: the user's own): of the configuration.
 * Errors: LH_E_NOT_FOUND (no such user or group), LH_E_INVALID (root). */
LH_MUST lh_err lh_service_find_user(
    const char *what, const char *name, const char *group, lh_service_user *ret);

/* Make a folder for that user, where there is nothing. One that exists is left as it is: we may be root and
 * it somebody else's. ret_made: whether there was none. LH_E_IO. */
LH_MUST lh_err lh_service_make_folder(
    const char *path, mode_t mode, const lh_service_user *user, bool *ret_made);
/* A state folder that was there must be the user's alone already. LH_E_INVALID (no folder), LH_E_DENIED,
 * LH_E_IO. */
LH_MUST lh_err lh_service_check_folder(const char *path, const lh_service_user *user);

/* Where the kernel shows what was measured: the firmware's and the boot loader's log, and that of files
 * (IMA). */
#define LH_SERVICE_EVENT_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define LH_SERVICE_IMA_LOG "/sys/kernel/security/ima/binary_runtime_measurements"
/* Open one of them, while we may: root alone may. named: the configuration names it, and it must be there.
 * The default may be missing, on a host without measured boot or IMA: -1 then, and a line in the log.
 * LH_E_IO. */
LH_MUST lh_err lh_service_open_log(const char *path, bool named, int *ret_fd);

/* Become the user, with the groups that belong to it (the TPM's device is one's), and harden
 * (proc/privilege.h). LH_E_LIMIT (too many groups), LH_E_IO. */
LH_MUST lh_err lh_service_drop(const char *name, const lh_service_user *user);

/* As many descriptors as we may have: a connection takes three. */
void lh_service_raise_descriptors(void);
/* So many bytes that may be locked in memory, where we may still raise that. */
void lh_service_raise_locked(uint64_t bytes);

#endif
