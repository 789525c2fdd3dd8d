/* The agent's configuration file, in YAML:
 *
 *   vault: vault.example.org:7710        # or "[IPv6]:PORT", "unix:/path", "device:/dev/virtio-ports/NAME"
 *   vault_key: sha256:…                  # as `leasehold status` shows it on the vault's host
 *   socket: /run/leasehold/vault.sock
 *   socket_mode: "0666"
 *   tcti: device:/dev/tpmrm0
 *   state_dir: /var/lib/leasehold-agent
 *   user: leasehold
 *   group: leasehold
 *   log_level: notice
 *   event_log: /sys/kernel/security/tpm0/binary_bios_measurements
 *   ima_log: /sys/kernel/security/ima/binary_runtime_measurements
 *   pods: /etc/leasehold/pods.yaml
 *
 * All keys but the first two are optional; the values shown are the defaults, except group (the user's) and
 * pods (none: pods have no labels; identity/pods.h). The first two are needed for serving, not for showing
 * the host's identity. */
#ifndef LH_AGENT_CONFIG_H
#define LH_AGENT_CONFIG_H

#include "agent/address.h"
#include "base/limits.h"
#include "base/log_line.h"
#include "codec/problem.h"

#define LH_AGENT_CONFIG_FILE "/etc/leasehold/agent.yaml"

typedef struct {
    bool have_vault;
    lh_address vault;
    bool have_vault_key;
    uint8_t vault_key[32];
    char *socket;
    unsigned socket_mode; /* permission bits, 0 to 0777 */
    char *tcti;
    char *state_dir;
    char *user;
    char *group; /* NULL: the user's own */
    enum lh_level log_level;
    char *event_log;
    bool event_log_named; /* it is in the file: that it is missing is an error */
    char *ima_log;
    bool ima_log_named;
    char *pods; /* NULL: none */
} lh_agent_config;

/* The defaults. Freed by the caller with lh_agent_config_free. LH_E_NOMEM. */
LH_MUST lh_err lh_agent_config_defaults(lh_agent_config **ret);
/* Parse and check a document. Errors: LH_E_INVALID "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_agent_config_parse(
    lh_bytes doc, const char *file, lh_agent_config **ret, lh_problems *problems);
/* The same from a file of at most LH_LIMIT_DOCUMENT bytes. LH_E_NOT_FOUND, LH_E_IO, LH_E_LIMIT besides. */
LH_MUST lh_err lh_agent_config_load(const char *path, lh_agent_config **ret, lh_problems *problems);
/* Is there all that serving takes? LH_E_INVALID "vault-missing", "vault-key-missing". */
LH_MUST lh_err lh_agent_config_check(const lh_agent_config *config);
void lh_agent_config_free(lh_agent_config *config);
LH_DEFINE_FREEP(lh_agent_config, lh_agent_config_free)

#endif
