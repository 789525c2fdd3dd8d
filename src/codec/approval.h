/* The texts that officers read and sign: approvals (approve, deny, withdraw) and the genesis. The daemon and
 * the officer's own tool build them with this code from the same fields; neither parses the other's text.
 * The exact format and its escapes: docs/quorum.md; why: docs/decisions/0005-approval-text.md.
 *
 * Invariants:
 * 1. Two different sets of fields never give the same text (values hold no line break, every escape begins
 *    with a backslash, and a backslash of the value is doubled).
 * 2. Every byte of a text is printable ASCII, a line feed, or part of a visible UTF-8 character. */
#ifndef LH_CODEC_APPROVAL_H
#define LH_CODEC_APPROVAL_H

#include "base/bytes.h"
#include "base/limits.h"

enum lh_verb { LH_VERB_APPROVE = 1, LH_VERB_DENY = 2, LH_VERB_WITHDRAW = 3 };

/* "approve", "deny", "withdraw"; NULL for other values. */
const char *lh_verb_name(enum lh_verb verb);
/* LH_E_INVALID with reason "approval-verb". */
LH_MUST lh_err lh_verb_parse(const char *name, enum lh_verb *ret);

typedef struct {
    enum lh_verb verb;
    uint8_t vault[32];     /* the vault's id */
    uint64_t sequence;     /* of the configuration state that the proposal was made on */
    uint8_t state[32];     /* that state's hash */
    const char *operation; /* "policy.apply" … */
    uint8_t proposal[16];
    const char *requester;
    uint8_t roster[32];            /* SHA-256 of the canonical roster */
    uint32_t threshold;            /* M */
    uint32_t officers;             /* N */
    uint64_t object_version;       /* of what the operation changes; 0: not there yet */
    lh_bytes parameters;           /* the exact bytes */
    uint8_t parameters_sha256[32]; /* computed over those by whoever builds the text, never handed in */
    uint8_t nonce[16];
    int64_t not_before; /* seconds since 1970 UTC */
    int64_t not_after;
    const char *reason; /* "" where none was given */
} lh_approval_fields;

/* Append the text. out keeps its content on error.
 * Errors: LH_E_INVALID with reason "text-line-break", "text-control-character", "text-utf8" (in a value or in
 * the parameters), LH_E_LIMIT with reason "text-line-length" or "text-length"; LH_E_NOMEM. */
LH_MUST lh_err lh_approval_text(const lh_approval_fields *fields, lh_buf *out);

/* Refuse what a value in a text may not hold: line breaks ("text-line-break"), other control characters
 * ("text-control-character"), invalid UTF-8 ("text-utf8"), more than max bytes ("text-line-length"). what
 * names the value in the message ("the reason"). */
LH_MUST lh_err lh_text_check_value(const char *what, lh_bytes value, size_t max);

/* Refuse what parameters may not hold: NUL ("text-control-character"), invalid UTF-8 ("text-utf8"). Other
 * control characters are shown escaped. */
LH_MUST lh_err lh_text_check_parameters(lh_bytes parameters);

/* Append value as texts show it: backslash doubled; controls, invisible and deceptive characters, and a space
 * at the end as \u{HEX}. value is valid UTF-8. */
void lh_text_escape(lh_bytes value, lh_buf *out);

typedef struct {
    const char *name; /* [a-z0-9._-] */
    lh_bytes key;     /* a public key blob */
} lh_genesis_key;

typedef struct {
    bool development; /* a throwaway vault; production otherwise */
    int64_t created;
    uint8_t nonce[16];
    uint32_t threshold;
    uint8_t tpm_srk[32]; /* the digest of the storage root key's name */
    bool software_tpm;
    const char *seal_pcrs;      /* "sha256:0,2,4,7", or "none" */
    const lh_genesis_key *keys; /* sorted by name, then by key */
    size_t n_keys;
} lh_genesis_fields;

/* Append the genesis text, whose SHA-256 is the vault's id. Errors as lh_approval_text; LH_E_INVALID with
 * reason "genesis-order" where keys are not sorted or one stands twice, "pubkey-line" for a key that is none.
 */
LH_MUST lh_err lh_genesis_text(const lh_genesis_fields *fields, lh_buf *out);

#endif
