/* Records: everything the vault keeps, encrypted, authenticated and fresh, over the store's rows.
 *
 * Each write of a record is sealed under a key of its own (docs/format.md). A head record, rewritten in every
 * group, holds for each kind a count and a keyed sum over all live records, so that a store that is opened is
 * the set of records that was last committed or is refused. While it is open, a directory in memory knows
 * the digest of each record's bytes, so that what is read is what was last committed or is refused.
 *
 * Not detected here: the whole database put back as it was at an earlier commit. Every byte of it was once
 * right; only something outside it can tell (the anchor in the TPM, which src/vault keeps).
 *
 * Errors of all calls: those of the store; LH_E_CORRUPT with reason "record-altered" (does not authenticate),
 * "record-missing", "record-extra", "record-replaced" (authenticates, but is not what was last committed);
 * LH_E_ROLLBACK with reason "record-older" (an older version of the record was put back while the store
 * was open). The message names the record, as lh_record_name does.
 */
#ifndef LH_RECORD_RECORD_H
#define LH_RECORD_RECORD_H

#include "base/secret.h"
#include "crypto/crypto.h"
#include "store/store.h"

/* Numbers stand in the file: append only. */
enum lh_record_kind {
    LH_RECORD_HEAD = 1,        /* of src/record itself */
    LH_RECORD_CONFIG = 2,      /* the configuration chain; id = sequence */
    LH_RECORD_OFFICERS = 3,    /* one, id zero */
    LH_RECORD_POLICY = 4,      /* one, id zero */
    LH_RECORD_REFERENCES = 5,  /* one, id zero */
    LH_RECORD_PARENT = 6,      /* parent keys; id by name */
    LH_RECORD_LEASE = 7,       /* id = lease id and zeros */
    LH_RECORD_HOLD = 8,        /* id = hold id and zeros, or by name */
    LH_RECORD_PROPOSAL = 9,    /* id = proposal id and zeros */
    LH_RECORD_LOG = 10,        /* id = index */
    LH_RECORD_CHECKPOINT = 11, /* id = tree size */
    LH_RECORD_VAULT = 12,      /* vault-wide state; id by name or zero */
    LH_RECORD_SETTINGS = 13,   /* id by name or zero */
    LH_RECORD_VERIFIER = 14,   /* PIN verifiers that wait for officers; id = proposal id and zeros */
    LH_RECORD_PARTITION = 15,  /* standalone partitions; id = partition id and zeros */
    LH_RECORD_OBJECT = 16,     /* their objects; id = partition id, handle (8 bytes), zeros */
    LH_RECORD_FILES = 17, /* parts of sets of files; id = SHA-256 of the set (28 bytes), part (4 bytes) */
    LH_RECORD_KEY = 18,   /* roles' keys that were made; id = SHA-256 of the derivation's context */
    LH_RECORD_HOST = 19,  /* counts of enrolled hosts' TPMs; id by name */
    LH_RECORD_KIND_END    /* one past the last */
};

typedef struct {
    uint8_t b[LH_STORE_ID_SIZE];
} lh_record_id;

#define LH_RECORD_ID_ZERO ((lh_record_id){{0}})

/* value, big-endian, in the last 8 bytes. */
lh_record_id lh_record_id_from_u64(uint64_t value);
uint64_t lh_record_id_to_u64(const lh_record_id *id);
/* At most 32 bytes, zeros after them. LH_E_INVALID for more. */
LH_MUST lh_err lh_record_id_from_bytes(lh_bytes bytes, lh_record_id *ret);
/* SHA-256 of "KIND NAME", KIND as lh_record_kind_name says it. */
LH_MUST lh_err lh_record_id_from_name(
    lh_crypto *crypto, enum lh_record_kind kind, const char *name, lh_record_id *ret);

#define LH_RECORD_NAME_SIZE 96
/* "lease", "log entry" …; "unknown" for a number that is no kind. A static string. */
const char *lh_record_kind_name(enum lh_record_kind kind);
/* For people: "policy", "configuration 3", "log entry 17", "lease 3f2a…" (32 hex digits, or 64 where the
 * second half of the id is not zero). */
void lh_record_name(enum lh_record_kind kind, const lh_record_id *id, char out[LH_RECORD_NAME_SIZE]);

typedef struct lh_records lh_records;
/* A transaction on records. Lives for the call that gets it, on the writer thread only. */
typedef struct lh_record_txn lh_record_txn;

/* Begin records in a store that has none. root: the vault's root key, of 32 bytes; borrowed for the call.
 * store and crypto are borrowed until lh_records_free. LH_E_EXISTS where the store has records. */
LH_MUST lh_err lh_records_create(lh_store *store, lh_crypto *crypto, const lh_secret *root, lh_records **ret);
/* Open those that are there, reading and checking every one. LH_E_NOT_FOUND where there are none (reason
 * "record-none"); LH_E_CORRUPT with reason "record-wrong-key" (root is not this vault's) and as above, naming
 * the first bad record and how many more; LH_E_UNSUPPORTED (reason "record-newer"). */
LH_MUST lh_err lh_records_open(lh_store *store, lh_crypto *crypto, const lh_secret *root, lh_records **ret);
/* Takes NULL. The store is left open. No call may be under way. */
void lh_records_free(lh_records *records);
LH_DEFINE_FREEP(lh_records, lh_records_free)

/* From now on nothing is written through these records (lh_records_write: LH_E_STATE, reason "records-shut"),
 * and others may be opened on the same store; what is under way is waited for. Reading through them makes no
 * sense any more. For whoever still holds them when they are to be no more. */
void lh_records_shut(lh_records *records);

typedef lh_err (*lh_record_txn_fn)(lh_record_txn *txn, void *arg);
/* As lh_store_write: fn runs on the writer thread, its error undoes what it did alone, and when this returns
 * success all of it is durable. Blocks on the disk. */
LH_MUST lh_err lh_records_write(lh_records *records, lh_record_txn_fn fn, void *arg);

/* Within a transaction: the group's state, own writes included. Plaintext is appended to ret_plain, of which
 * the caller sets the ceiling. LH_E_NOT_FOUND. */
LH_MUST lh_err lh_txn_get(
    lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id, lh_buf *ret_plain);
bool lh_txn_exists(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id);
/* Make or replace. plain: at most LH_LIMIT_RECORD bytes (LH_E_LIMIT). Kind head is refused. */
LH_MUST lh_err lh_txn_put(
    lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id, lh_bytes plain);
/* LH_E_NOT_FOUND where there is none. */
LH_MUST lh_err lh_txn_delete(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id);

/* Borrowed for the call. */
typedef lh_err (*lh_record_fn)(const lh_record_id *id, lh_bytes plain, void *arg);
/* Each record of the kind in order of id, as it was when the call began; fn may write. fn's error ends it
 * and is returned. */
LH_MUST lh_err lh_txn_each(lh_record_txn *txn, enum lh_record_kind kind, lh_record_fn fn, void *arg);
/* The ids of the kind as the group has them, in order; the caller frees *ret_ids. Reads no record. */
LH_MUST lh_err lh_txn_ids(
    lh_record_txn *txn, enum lh_record_kind kind, lh_record_id **ret_ids, size_t *ret_count);
/* Plain values of the store beside the records (seal blobs), written with this group. */
LH_MUST lh_err lh_txn_meta_put(lh_record_txn *txn, const char *key, lh_bytes value);

/* What is committed, from any thread. Plaintext is appended to ret_plain. LH_E_NOT_FOUND. */
LH_MUST lh_err lh_record_get(
    lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_buf *ret_plain);
/* The same for plaintexts that are keys (1 to LH_SECRET_MAX bytes): the caller frees *ret. */
LH_MUST lh_err lh_record_get_secret(
    lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_secret **ret);
bool lh_record_exists(lh_records *records, enum lh_record_kind kind, const lh_record_id *id);
uint64_t lh_record_count(lh_records *records, enum lh_record_kind kind);
/* The ids of the kind, in order; the caller frees *ret_ids. Reads no record. */
LH_MUST lh_err lh_record_ids(
    lh_records *records, enum lh_record_kind kind, lh_record_id **ret_ids, size_t *ret_count);
/* Each record of the kind in order of id: those there when the call began, but for those deleted meanwhile.
 */
LH_MUST lh_err lh_record_each(lh_records *records, enum lh_record_kind kind, lh_record_fn fn, void *arg);

/* A record that is not as it was last committed. */
typedef struct {
    enum lh_code code;        /* LH_E_CORRUPT or LH_E_ROLLBACK */
    enum lh_record_kind kind; /* 0 where the fault is not one record's */
    lh_record_id id;
    const char *reason;  /* "record-altered" … or "store-damaged" */
    const char *message; /* names the record and says what is wrong with it */
} lh_record_fault;

typedef void (*lh_record_report_fn)(const lh_record_fault *fault, void *arg);
/* Read everything again from the disk now and report each bad record (report may be NULL). Any thread; writes
 * go on. LH_OK where all is well, else LH_E_CORRUPT naming the first fault; LH_E_STORE … where it could not
 * be read. */
LH_MUST lh_err lh_records_verify(lh_records *records, lh_record_report_fn report, void *arg);

/* State in memory that follows the records (the log's tree), all calls on the writer thread; any may be
 * NULL. */
typedef struct {
    void (*begin)(void *arg);                               /* a caller's fn is about to run */
    void (*undo)(void *arg);                                /* that fn failed: back to where it began */
    lh_err (*before_commit)(lh_record_txn *txn, void *arg); /* once per group; an error aborts it */
    void (*committed)(void *arg);                           /* the group is durable */
    void (*aborted)(void *arg);                             /* back to where the group began */
    void *arg;
} lh_record_listener;

#define LH_RECORD_LISTENERS 4
/* Copied. Only while nothing writes (after open, before serving). LH_E_LIMIT past LH_RECORD_LISTENERS. */
LH_MUST lh_err lh_records_add_listener(lh_records *records, const lh_record_listener *listener);
/* By its arg, before that is freed; only while nothing writes. */
void lh_records_remove_listener(lh_records *records, const void *arg);

#endif
