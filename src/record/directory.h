/* What the vault knows, in memory, of every record of one kind: id -> version and the digest of its bytes.
 * An open-addressing hash table. Ids are the vault's own (random, hashes, small numbers) and authenticated
 * before they come here. Threads: the caller locks. */
#ifndef LH_RECORD_DIRECTORY_H
#define LH_RECORD_DIRECTORY_H

#include "record/record.h"

#define LH_DIRECTORY_DIGEST_SIZE 16 /* of SHA-256(blob) */

enum lh_entry_state {
    LH_ENTRY_FREE = 0,
    LH_ENTRY_LIVE,
    LH_ENTRY_DEAD, /* deleted: in a group's changes it hides the committed entry */
};

typedef struct {
    lh_record_id id;
    uint64_t version;
    uint8_t digest[LH_DIRECTORY_DIGEST_SIZE];
    uint8_t state; /* enum lh_entry_state */
} lh_entry;

typedef struct {
    lh_entry *slots;
    size_t capacity; /* 0 or a power of two */
    size_t used;     /* slots that are not free */
    size_t live;
    bool
        keeps_dead; /* a group's changes do; elsewhere a dead entry only fills its slot until it is rebuilt */
} lh_directory;

/* Zeroed is empty. This frees and empties. */
void lh_directory_free(lh_directory *directory);
/* Room for so many more sets, so that they cannot fail. LH_E_NOMEM. */
LH_MUST lh_err lh_directory_reserve(lh_directory *directory, size_t more);
/* The entry, dead ones too, or NULL; until the next change. */
const lh_entry *lh_directory_find(const lh_directory *directory, const lh_record_id *id);
/* Put entry (live or dead) in its place. Only with room reserved. */
void lh_directory_set(lh_directory *directory, const lh_entry *entry);
/* Forget everything. */
void lh_directory_clear(lh_directory *directory);
LH_MUST lh_err lh_directory_copy(const lh_directory *directory, lh_directory *ret);
/* Ids of the live entries of base as changed by changes (NULL for none), sorted; the caller frees *ret_ids.
 */
LH_MUST lh_err lh_directory_ids(
    const lh_directory *base, const lh_directory *changes, lh_record_id **ret_ids, size_t *ret_count);

#endif
