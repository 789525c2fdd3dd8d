/* The daemon's configuration file, in YAML:
 *
 *   state_dir: /var/lib/leasehold
 *   socket: /run/leasehold/vault.sock
 *   socket_mode: "0666"
 *   tcti: device:/dev/tpmrm0
 *   user: leasehold
 *   group: leasehold
 *   admin: { users: [root], groups: [leasehold-admin] }
 *   seal: { pcrs: [7] }
 *   workers: 2
 *   checkpoint_interval: 60s
 *   log_level: notice
 *   ek_authorities: /etc/leasehold/tpm-manufacturers
 *   pods: /etc/leasehold/pods.yaml
 *   standalone_first: false
 *   blank: false
 *   legacy: false
 *   event_log: /sys/kernel/security/tpm0/binary_bios_measurements
 *   ima_log: /sys/kernel/security/ima/binary_runtime_measurements
 *   listen: ["192.0.2.1:7710", "[2001:db8::1]:7710", "unix:/run/leasehold/hosts.sock"]
 *
 * All keys are optional, and so is there being any: an empty file, or one of comments, is all defaults. The
 * values above are the defaults, except group (the user's), admin.groups (none),
 * ek_authorities (none: endorsement keys are enrolled by their hash alone), pods (none: pods have no labels;
 * identity/pods.h), workers (0: as many as there are CPUs) and listen (none: no other host is served). */
#ifndef LH_DAEMON_CONFIG_H
#define LH_DAEMON_CONFIG_H

#include "base/limits.h"
#include "base/log_line.h"
#include "codec/problem.h"

#define LH_CONFIG_ADMINS 32   /* admin users, and as many groups */
#define LH_CONFIG_WORKERS 256 /* worker threads, at most */
#define LH_CONFIG_SOCKET 107  /* bytes of a socket's path: sun_path without its NUL */

typedef struct {
    char *state_dir;
    char *socket;
    unsigned socket_mode; /* permission bits, 0 to 0777 */
    char *tcti;
    char *user;
    char *group; /* NULL: the user's own */
    char **admin_users;
    size_t admin_user_count;
    char **admin_groups;
    size_t admin_group_count;
    uint32_t seal_pcrs;          /* bit n is PCR n; never 0 */
    unsigned workers;            /* 0: as many as there are CPUs */
    int64_t checkpoint_interval; /* seconds */
    enum lh_level log_level;
    char *ek_authorities;  /* PEM file or folder of TPM manufacturers' certificates; NULL: none */
    bool standalone_first; /* list standalone partitions before the leased one */
    bool blank;            /* development only: a spare uninitialised partition at all times */
    bool legacy;           /* development only: legacy mechanisms in every standalone partition */
    char *pods;            /* file of pods' labels; NULL: none */
    char *event_log;       /* logs of the vault's own host */
    bool event_log_named;  /* it is in the file: that it is missing is an error */
    char *ima_log;
    bool ima_log_named;
    char **listen; /* where hosts connect: lh_net_is_address */
    size_t listen_count;
} lh_config;

/* Refuse what a daemon of a production vault never does (blank, legacy): LH_E_INVALID "development-only". */
LH_MUST lh_err lh_config_check(const lh_config *config, bool development);
/* The defaults. Freed by the caller with lh_config_free. LH_E_NOMEM. */
LH_MUST lh_err lh_config_defaults(lh_config **ret);
/* Parse and check a document; as lh_policy_parse. Errors: LH_E_INVALID, "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_config_parse(lh_bytes doc, const char *file, lh_config **ret, lh_problems *problems);
/* The same from a file of at most LH_LIMIT_DOCUMENT bytes. LH_E_NOT_FOUND, LH_E_IO, LH_E_LIMIT besides. */
LH_MUST lh_err lh_config_load(const char *path, lh_config **ret, lh_problems *problems);
void lh_config_free(lh_config *config);
LH_DEFINE_FREEP(lh_config, lh_config_free)

#endif
