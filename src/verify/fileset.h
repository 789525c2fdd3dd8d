/* A set of files that reference values allow: what `sha256sum` prints, a line each, in a document that is too
 * large to be read in an approval. The document of reference values names it by its SHA-256.
 *
 *   <64 lower-case hex digits> <space><space> <name> <newline>
 *
 * A name that begins with '/' is a file's path (for people: files are known by their digest, wherever they
 * are). "event:PCR TEXT" is an event of the boot log with that digest, which explanations name and nothing
 * else depends on. Lines are sorted bytewise, each once, so that one set has one text. `sha256sum` marks
 * names with a backslash or a line break by a backslash before the digest: such a line is refused.
 *
 * Threads: a set is immutable once made. */
#ifndef LH_VERIFY_FILESET_H
#define LH_VERIFY_FILESET_H

#include "base/limits.h"
#include "crypto/crypto.h"
#include "verify/digests.h"

#define LH_FILESET_MAX LH_LIMIT_FILESET /* bytes of text */
#define LH_FILESET_LINES_MAX 500000u    /* lines */
#define LH_FILESET_NAME_MAX 4096u       /* bytes of a name */
#define LH_FILESET_EVENTS_MAX 4096u     /* events */
#define LH_FILESET_EVENT_PREFIX "event:"

typedef struct lh_fileset lh_fileset;

/* Any bytes are safe to pass. digests: the table that the set's digests are stored in; a reference is kept.
 * One reference.
 * Errors: LH_E_INVALID "fileset-format" (the message names the line), "fileset-order" (not sorted, or a line
 * twice), LH_E_LIMIT "fileset-size"; LH_E_NOMEM. */
LH_MUST lh_err lh_fileset_parse(lh_crypto *c, lh_digests *digests, lh_bytes text, lh_fileset **ret);
lh_fileset *lh_fileset_ref(lh_fileset *set);
void lh_fileset_unref(lh_fileset *set);
LH_DEFINE_FREEP(lh_fileset, lh_fileset_unref)

/* SHA-256 of the text: what reference values name it by. */
const uint8_t *lh_fileset_hash(const lh_fileset *set);
size_t lh_fileset_files(const lh_fileset *set);
size_t lh_fileset_events(const lh_fileset *set);
bool lh_fileset_has(const lh_fileset *set, const uint8_t digest[32]);
bool lh_fileset_has_event(const lh_fileset *set, unsigned pcr, const uint8_t digest[32]);
/* Bytes of memory, the shared digests aside. */
size_t lh_fileset_memory(const lh_fileset *set);

/* One line of a set. Both spans borrow. */
typedef struct {
    uint8_t digest[32];
    lh_bytes name;
} lh_fileset_line;

/* Take the next line off rest. False at its end. LH_E_INVALID "fileset-format". */
LH_MUST lh_err lh_fileset_next(lh_bytes *rest, lh_fileset_line *ret, bool *ret_more);

#endif
