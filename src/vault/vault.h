/* The vault: root key, store, officers, policy, leases and log as one thing. Opens what it finds, serves
 * peers (vault/peer.h) and admin calls (vault/admin.h).
 *
 * States: empty (no vault here yet), founding (made, but not signed by every officer: serves nothing), sealed
 * (the root key is not in memory; the reason says why), open.
 *
 * Threads: any. Calls that say "blocks" wait for TPM, disk or the attest process: never from a worker. */
#ifndef LH_VAULT_VAULT_H
#define LH_VAULT_VAULT_H

#include "base/bytes.h"
#include "base/macro.h"
#include "base/secret.h"
#include "crypto/crypto.h"
#include "identity/client.h"

typedef struct lh_vault lh_vault;

enum lh_vault_state { LH_VAULT_EMPTY, LH_VAULT_FOUNDING, LH_VAULT_SEALED, LH_VAULT_OPEN };

/* The logs of the vault's own host; -1: there is none. Read with pread. */
typedef struct {
    int event_log_fd;
    int ima_log_fd;
} lh_vault_logs;

typedef struct {
    const char *state_dir;
    const char *tcti;
    uint32_t seal_pcrs; /* what init seals to unless it names others */
    bool development;   /* serve development vaults, and only those */
    bool check;  /* open and check everything; the store stays as it is, the TPM's anchor is written what it
                    holds */
    bool blank;  /* development only: one spare uninitialised partition exists at all times */
    bool legacy; /* development only: legacy mechanisms in every standalone partition */
    bool standalone_first;        /* list standalone partitions before the leased one */
    int64_t checkpoint_interval;  /* seconds between checkpoints while the log grows */
    lh_identity_client *identity; /* borrowed until lh_vault_close */
    const lh_vault_logs *logs;    /* NULL: none. Copied; the descriptors are borrowed until lh_vault_close */
    const char *const *listen;    /* where hosts are listened for: shown; borrowed until lh_vault_close */
    size_t listen_count;
    lh_bytes ek_authorities;    /* PEM: certificates of TPM manufacturers; empty: endorsement keys are pinned.
                                   Borrowed until lh_vault_open returns */
    void (*changed)(void *arg); /* the state may have changed. Any thread, with locks held: it only passes it
                                   on. May be NULL */
    void *changed_arg;
} lh_vault_options;

/* Open the store, unseal, replay the configuration, check everything against the anchor, start the keeper
 * thread. A TPM that is not there, a platform that is not in its approved state and a vault that an officer
 * sealed leave it sealed: no error. Blocks. Errors: LH_E_CORRUPT, LH_E_ROLLBACK (the store is not what was
 * last committed; the message names the place), LH_E_STATE (another daemon has the store open; reason
 * "vault-development" where a development vault meets a production daemon or the reverse), LH_E_INVALID
 * "ek-authority", and those of the store. */
LH_MUST lh_err lh_vault_open(const lh_vault_options *options, lh_vault **ret);
/* Signs a last checkpoint where the log has grown. Peers must be gone. Takes NULL. Blocks. */
void lh_vault_close(lh_vault *vault);
LH_DEFINE_FREEP(lh_vault, lh_vault_close)

enum lh_vault_state lh_vault_state_of(lh_vault *vault);
/* The first 16 hex digits of the vault's id, or "" while there is none. */
void lh_vault_short_id(lh_vault *vault, char out[17]);
/* The vault's id; false while there is none. */
bool lh_vault_id(lh_vault *vault, uint8_t out[32]);
/* The private key of the vault's end of channels to hosts (a P-256 scalar). The caller frees it. LH_E_STATE
 * unless open. */
LH_MUST lh_err lh_vault_net_key(lh_vault *vault, lh_secret **ret);
/* Development only: mechanisms of which only old data is made are offered everywhere. */
bool lh_vault_allows_legacy(const lh_vault *vault);
/* For carrying out operations with a grip's key. Borrowed. */
lh_crypto *lh_vault_crypto(lh_vault *vault);

#endif
