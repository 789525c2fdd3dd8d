/* The beginning of a vault: the text that every officer signs, and whose SHA-256 is the vault's id. Until all
 * have signed, the vault is founding and serves nothing. Kept as configuration record 0. */
#ifndef LH_QUORUM_GENESIS_H
#define LH_QUORUM_GENESIS_H

#include "quorum/roster.h"
#include "record/record.h"

typedef struct lh_genesis lh_genesis;

typedef struct {
    bool development;
    int64_t created;
    const lh_roster *roster;
    uint8_t tpm_srk[32]; /* the digest of the storage root key's name */
    bool software_tpm;
    const char *seal_pcrs; /* "sha256:7" or "none" */
} lh_genesis_request;

/* A genesis that nobody has signed yet, with a nonce of its own. Errors as lh_genesis_text. */
LH_MUST lh_err lh_genesis_new(lh_crypto *c, const lh_genesis_request *request, lh_genesis **ret);
/* Takes NULL. */
void lh_genesis_free(lh_genesis *genesis);
LH_DEFINE_FREEP(lh_genesis, lh_genesis_free)

/* The text to sign (borrowed), and the vault's id (32 bytes). */
lh_bytes lh_genesis_bytes(const lh_genesis *genesis);
const uint8_t *lh_genesis_vault(const lh_genesis *genesis);
/* Borrowed. */
lh_roster *lh_genesis_roster(const lh_genesis *genesis);
bool lh_genesis_development(const lh_genesis *genesis);

/* Take an officer's signature. ret_officer: who it was; borrowed.
 * Errors: those of lh_approval_verify; LH_E_EXISTS "approval-same-person"; LH_E_STATE "genesis-complete". */
LH_MUST lh_err lh_genesis_sign(
    lh_genesis *genesis, lh_crypto *c, lh_bytes armor, int64_t at, const lh_officer **ret_officer);
bool lh_genesis_has_signed(const lh_genesis *genesis, const char *officer);
/* Whether every officer has signed. */
bool lh_genesis_complete(const lh_genesis *genesis);

/* Write configuration record 0, and where all have signed the officers' table. */
LH_MUST lh_err lh_genesis_store(const lh_genesis *genesis, lh_record_txn *txn);
/* LH_E_NOT_FOUND where there is none. Signatures are verified again. */
LH_MUST lh_err lh_genesis_load(lh_records *records, lh_crypto *c, lh_genesis **ret);

LH_MUST lh_err lh_genesis_encode(const lh_genesis *genesis, lh_buf *out);
/* Any bytes are safe to pass. LH_E_CORRUPT, and the errors of lh_genesis_sign. */
LH_MUST lh_err lh_genesis_decode(lh_crypto *c, lh_bytes encoding, lh_genesis **ret);

#endif
