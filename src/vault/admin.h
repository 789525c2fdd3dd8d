/* The admin calls: JSON in, JSON out. docs/protocol.md lists them. */
#ifndef LH_VAULT_ADMIN_H
#define LH_VAULT_ADMIN_H

#include "vault/vault.h"

#include <sys/types.h>

/* Who asks, as the kernel says. */
typedef struct {
    uid_t uid;
    pid_t pid;
    bool is_admin; /* the daemon's configuration names this user or one of its groups */
} lh_admin_caller;

/* Carry out one call. The reply (also a refusal) is appended to ret_json; an error is returned only where no
 * reply could be made. Blocks. */
LH_MUST lh_err lh_vault_admin(
    lh_vault *vault, const lh_admin_caller *caller, lh_bytes json, lh_buf *ret_json);

#endif
