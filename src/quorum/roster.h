/* The officers: who they are, which keys are theirs, and how many must agree.
 *
 * Invariants of a roster:
 * 1. 2 <= threshold <= number of officers <= LH_LIMIT_OFFICERS.
 * 2. Officers are sorted by name and distinct; each has 1 to LH_LIMIT_OFFICER_KEYS keys, sorted by blob.
 * 3. A key belongs to one officer only and stands once.
 * 4. Equal rosters have equal encodings, so the digest names the roster.
 * A roster does not change once made; any number of threads may read it. */
#ifndef LH_QUORUM_ROSTER_H
#define LH_QUORUM_ROSTER_H

#include "base/limits.h"
#include "crypto/crypto.h"

typedef struct {
    char name[LH_LIMIT_NAME + 1]; /* [a-z0-9._-], the first a letter or digit */
    size_t n_keys;
    lh_buf keys[LH_LIMIT_OFFICER_KEYS]; /* public key blobs */
} lh_officer;

typedef struct lh_roster lh_roster;

/* A name and a public key of its owner; several entries of one name are several keys of one officer. */
typedef struct {
    const char *name;
    lh_bytes key; /* blob */
} lh_roster_entry;

/* In any order. LH_E_INVALID with reason "roster-threshold", "roster-name", "roster-key-shared" (under two
 * names, or twice), "roster-size" (too few or too many officers or keys); the errors of lh_ssh_key_parse. */
LH_MUST lh_err lh_roster_new(
    lh_crypto *c, const lh_roster_entry *entries, size_t n, uint32_t threshold, lh_roster **ret);
/* Of a canonical encoding; any bytes are safe to pass. LH_E_CORRUPT where it is not one, and the above. */
LH_MUST lh_err lh_roster_decode(lh_crypto *c, lh_bytes encoding, lh_roster **ret);
/* Another owner of the same roster. */
lh_roster *lh_roster_ref(lh_roster *roster);
/* Takes NULL. */
void lh_roster_free(lh_roster *roster);
LH_DEFINE_FREEP(lh_roster, lh_roster_free)

uint32_t lh_roster_threshold(const lh_roster *roster);
size_t lh_roster_count(const lh_roster *roster);
/* index < count; borrowed. */
const lh_officer *lh_roster_officer(const lh_roster *roster, size_t index);
/* Whose key it is; NULL where it is nobody's. */
const lh_officer *lh_roster_find_key(const lh_roster *roster, lh_bytes key);
const lh_officer *lh_roster_find_name(const lh_roster *roster, const char *name);
/* The canonical encoding (borrowed) and its SHA-256 (32 bytes). */
lh_bytes lh_roster_encoding(const lh_roster *roster);
const uint8_t *lh_roster_digest(const lh_roster *roster);

/* LH_E_INVALID with reason "roster-name". */
LH_MUST lh_err lh_roster_check_name(const char *name);

#endif
