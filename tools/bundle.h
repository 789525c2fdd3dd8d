/* A copy of the log that can be verified without the daemon: entries with salts and leaf hashes, checkpoints
 * and the keys that sign them.
 *
 * On disk, JSON lines (docs/cli.md, "log export"): a header {"leasehold_bundle":1,"origin","size","root"},
 * then {"key"}, {"index","salt","leaf","entry"} and {"checkpoint"} lines.
 */
#ifndef LH_TOOLS_BUNDLE_H
#define LH_TOOLS_BUNDLE_H

#include "admin/call.h"
#include "merkle/checkpoint.h"

#define BUNDLE_MAX ((size_t)1 << 30) /* bytes of a bundle in memory */
#define BUNDLE_KEYS_MAX 16
#define BUNDLE_PROBLEMS_MAX 100 /* told; more are counted */

typedef struct bundle bundle;

LH_MUST lh_err bundle_new(lh_crypto *crypto, bundle **ret);
/* Takes NULL. */
void bundle_free(bundle *b);
LH_DEFINE_FREEP(bundle, bundle_free)

/* --- filling: what is wrong with an entry becomes a problem, not an error ------------------------------- */

/* What the source says of the whole log; compared with what is found. root may be NULL. */
LH_MUST lh_err bundle_set_head(bundle *b, const char *origin, uint64_t size, const char *root_hex);
/* The next entry. leaf_hex: the leaf hash that the source claims; may be NULL. */
LH_MUST lh_err bundle_add_entry(
    bundle *b, uint64_t index, const char *salt_hex, const char *entry, const char *leaf_hex);
/* A checkpoint note. name: where it is from, for messages. must_fit: a saved one: it is an error of the log
 * where it is longer than the log. */
LH_MUST lh_err bundle_add_checkpoint(bundle *b, const char *note, const char *name);
/* A verifier key ("name+id+base64"). LH_E_INVALID. */
LH_MUST lh_err bundle_add_key(bundle *b, const char *vkey);
/* Forget the keys that came with it: pinned ones follow. */
void bundle_clear_keys(bundle *b);

/* Note a problem that somebody else found. */
LH_MUST lh_err bundle_add_problem(bundle *b, const char *place, const char *message);

/* --- files ---------------------------------------------------------------------------------------------- */

LH_MUST lh_err bundle_load(bundle *b, const char *path);
/* One verifier key a line; blank lines and lines beginning with # are skipped. */
LH_MUST lh_err bundle_load_keys(bundle *b, const char *path);

/* --- verifying ------------------------------------------------------------------------------------------ */

/* Check every checkpoint against the tree and the keys. all_covered: entries after the newest good checkpoint
 * are a problem, since anybody could have added them to a file. After this the results below are valid. */
LH_MUST lh_err bundle_verify(bundle *b, bool all_covered);
bool bundle_good(const bundle *b);
/* {"good","size","root","checkpointed","problems":[{"place","message"}]}. The caller drops it. */
LH_MUST lh_err bundle_report(const bundle *b, json_t **ret);

#endif
