/* Sets of files (verify/fileset.h) as the vault keeps them: uploaded in parts by whoever may make admin
 * calls, since the reference values in force, or open to approval, name them by their hash. What nothing
 * names any more is dropped.
 *
 * Records of kind "files": id = the first 28 bytes of the set's SHA-256 ‖ u32 part; plaintext = u8 1 ‖ u32
 * parts ‖ bytes (docs/format.md). */
#ifndef LH_VAULT_FILESET_H
#define LH_VAULT_FILESET_H

#include "vault/internal.h"

#define LH_FILESETS_MAX 64u              /* sets kept */
#define LH_FILESETS_BYTES (256ull << 20) /* bytes of text kept */
#define LH_FILESET_UPLOAD_PART LH_LIMIT_FILESET_PART

typedef struct lh_filesets lh_filesets;

LH_MUST lh_err lh_filesets_new(lh_filesets **ret);
/* Takes NULL. */
void lh_filesets_free(lh_filesets *sets);
/* The table that every digest of files and hosts is stored in, once. Borrowed. */
lh_digests *lh_filesets_digests(lh_filesets *sets);

/* Read what is stored; forget what was. Under core_lock (write). LH_E_CORRUPT. */
LH_MUST lh_err lh_filesets_load(lh_vault *v);
void lh_filesets_forget(lh_vault *v);
/* Give references the sets that they name, before they are put in force. Under mutex. */
void lh_filesets_attach(lh_vault *v, lh_references *references);
/* Drop what neither the references in force nor an open proposal names. Under core_lock (read). */
LH_MUST lh_err lh_filesets_prune(lh_vault *v);

#endif
