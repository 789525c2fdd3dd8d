/* The executable of a process: which file, whether its digest counts, and the digest, from a cache keyed by
 * device, inode, ctime, size and mtime, never by path. Only the attest process uses it. Threads: one. */
#ifndef LH_IDENTITY_EXE_H
#define LH_IDENTITY_EXE_H

#include "crypto/crypto.h"
#include "identity/identity.h"

typedef struct lh_exe_reader lh_exe_reader;

/* c: borrowed for its life. */
LH_MUST lh_err lh_exe_reader_new(lh_crypto *c, lh_exe_reader **ret);
void lh_exe_reader_free(lh_exe_reader *reader);
LH_DEFINE_FREEP(lh_exe_reader, lh_exe_reader_free)

/* Fill identity's exe_… fields and LH_IDENTITY_EXE_… flags. proc: a descriptor of /proc/<pid>. identity->uid
 * and its namespace flags are set already: hashing is charged to the uid. Never asks a file system that could
 * keep us waiting. Errors: LH_E_ATTESTATION "path-too-long", "proc-unreadable"; LH_E_GONE; LH_E_IO,
 * LH_E_NOMEM. */
LH_MUST lh_err lh_exe_read(lh_exe_reader *reader, int proc, lh_identity *identity);

/* Read a whole file of /proc (at most max bytes) relative to a folder; appended to out.
 * Errors: LH_E_GONE, LH_E_ATTESTATION "proc-unreadable", LH_E_LIMIT, LH_E_IO. */
LH_MUST lh_err lh_proc_file_read(int folder, const char *name, lh_buf *out);
/* The error for an errno that a file of /proc/<pid> gave. */
lh_err lh_proc_file_error(int error, const char *name);

#endif
