/* The vault's log: entries as encrypted records, a Merkle tree (RFC 9162) over their salted hashes, and
 * checkpoints of it.
 *
 * leaf hash = SHA-256(0x00 ‖ salt[32] ‖ entry). The salt is random, so that a tree given out tells nothing of
 * entries that can be guessed.
 *
 * Invariants:
 * 1. Entry i is a record of kind log with id i; there are no gaps.
 * 2. An entry is written in the same transaction as what it tells of, so both are durable or neither is.
 * 3. Readers see committed entries only.
 * 4. Every stored checkpoint is the root of a beginning of the log.
 *
 * Errors of all calls: those of src/record; LH_E_CORRUPT with reason "log-gap", "log-entry",
 * "log-checkpoint", the message naming "log entry N" or "checkpoint N".
 * Threads: any, but where said otherwise.
 */
#ifndef LH_LOG_LOG_H
#define LH_LOG_LOG_H

#include "merkle/checkpoint.h"
#include "merkle/tree.h"
#include "record/record.h"

#define LH_LOG_SALT_SIZE 32

typedef struct lh_log lh_log;

/* Read all entries into a tree and check it against the last stored checkpoint. records and crypto are
 * borrowed until lh_log_free. Only while nothing writes. */
LH_MUST lh_err lh_log_open(lh_records *records, lh_crypto *crypto, lh_log **ret);
/* Only while nothing writes. Takes NULL. */
void lh_log_free(lh_log *log);
LH_DEFINE_FREEP(lh_log, lh_log_free)

/* Append an entry within a transaction on the same records; on its thread. entry: 1 to LH_LIMIT_LOG_ENTRY
 * bytes (LH_E_LIMIT, LH_E_INVALID), meant to be compact JSON. ret_index may be NULL. Undone with the
 * transaction or its group. */
LH_MUST lh_err lh_log_append(lh_log *log, lh_record_txn *txn, lh_bytes entry, uint64_t *ret_index);

/* Committed entries. */
uint64_t lh_log_size(lh_log *log);
/* The root of the first size entries. LH_E_INVALID where size is more than there are. */
LH_MUST lh_err lh_log_root(lh_log *log, uint64_t size, uint8_t ret_root[LH_MERKLE_HASH_SIZE]);
/* Size and root of all that is committed, in one. */
LH_MUST lh_err lh_log_head(lh_log *log, lh_merkle_head *ret);
/* Size and root with what the transaction's group has appended so far: what will be committed if this
 * succeeds. On the writer thread. */
LH_MUST lh_err lh_log_pending_head(lh_log *log, lh_merkle_head *ret);

/* LH_E_NOT_FOUND past the end. The entry is appended to ret_entry; ret_salt may be NULL. */
LH_MUST lh_err lh_log_get(lh_log *log, uint64_t index, uint8_t ret_salt[LH_LOG_SALT_SIZE], lh_buf *ret_entry);

typedef struct {
    uint64_t index;
    const uint8_t *salt; /* LH_LOG_SALT_SIZE bytes */
    lh_bytes entry;
} lh_log_entry;

/* Borrowed for the call. */
typedef lh_err (*lh_log_entry_fn)(const lh_log_entry *entry, void *arg);
/* Entries from index from up to what is committed at the call, in order. fn's error ends it. */
LH_MUST lh_err lh_log_each(lh_log *log, uint64_t from, lh_log_entry_fn fn, void *arg);

/* Proofs over committed entries, as lh_merkle_tree_inclusion and lh_merkle_tree_consistency. */
LH_MUST lh_err lh_log_inclusion(lh_log *log, uint64_t index, uint64_t size, lh_merkle_proof *ret);
LH_MUST lh_err lh_log_consistency(lh_log *log, uint64_t old_size, uint64_t new_size, lh_merkle_proof *ret);

typedef struct {
    const char *origin;            /* "leasehold/<first 32 hex digits of the vault id>" */
    const char *extension;         /* one line without its newline, or NULL */
    const lh_note_signer *signers; /* n of them; called on the calling thread (a TPM's may block) */
    size_t n;
} lh_log_checkpoint_request;

/* Sign a checkpoint of all that is committed, store it (in place of an earlier one of that size) and append
 * the note to ret_note. The signers' errors; LH_E_STATE where the log is empty. Blocks on signers and disk.
 */
LH_MUST lh_err lh_log_checkpoint(lh_log *log, const lh_log_checkpoint_request *request, lh_buf *ret_note);
/* The newest stored note, appended. ret_size may be NULL. LH_E_NOT_FOUND where there is none. */
LH_MUST lh_err lh_log_checkpoint_latest(lh_log *log, uint64_t *ret_size, lh_buf *ret_note);

/* The tree holds that head: false where size is more than there is, or the root differs. For a checkpoint
 * from outside, whose signatures the caller has verified. */
LH_MUST lh_err lh_log_contains(lh_log *log, const lh_merkle_head *head, bool *ret);

typedef struct {
    enum lh_record_kind kind; /* LH_RECORD_LOG or LH_RECORD_CHECKPOINT */
    uint64_t number;          /* index, or tree size */
    const char *message;
} lh_log_fault;

typedef void (*lh_log_report_fn)(const lh_log_fault *fault, void *arg);
/* Read all entries and checkpoints again from the disk and compare: each entry with its leaf, each
 * checkpoint with the tree. report may be NULL. LH_OK, or LH_E_CORRUPT naming the first fault. */
LH_MUST lh_err lh_log_verify(lh_log *log, lh_log_report_fn report, void *arg);

#endif
