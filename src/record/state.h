/* Shared within src/record: what lh_records is. */
#ifndef LH_RECORD_STATE_H
#define LH_RECORD_STATE_H

#include "record/directory.h"
#include "record/head.h"

#include <pthread.h>

/* The group under way put `before` out of its place; undoing puts it back. */
typedef struct {
    enum lh_record_kind kind;
    lh_entry before;
} lh_change;

/* Invariants:
 * 1. directory and head say what is committed. They change only on the writer thread and under lock, so it
 * reads them without and everyone else with it.
 * 2. changes and next say what the group under way will have committed; only the writer thread sees them.
 * 3. commit_lock is held from just before COMMIT until directory and head have followed it: under it, file
 * and memory agree. It is taken before lock. */
struct lh_records {
    lh_store *store;
    lh_crypto *crypto;
    lh_secret *root;    /* the record root key */
    lh_secret *sum_key; /* of the head's sums */
    bool hooked;

    pthread_mutex_t gate; /* of these three; writes wait elsewhere */
    pthread_cond_t left;
    size_t writing;
    bool shut;

    pthread_mutex_t commit_lock;
    pthread_mutex_t lock;
    lh_directory directory[LH_RECORD_KIND_END]; /* the head's own entry too */
    lh_head head;

    lh_directory changes[LH_RECORD_KIND_END];
    lh_head next;
    lh_change *journal;
    size_t journal_len;
    size_t journal_cap;
    bool committing; /* commit_lock is held by the writer thread */

    lh_record_listener listeners[LH_RECORD_LISTENERS];
    size_t listener_count;
};

struct lh_record_txn {
    lh_records *records;
    lh_store_txn *store;
};

/* A row as read, in the memory of blob. */
typedef struct {
    uint64_t version;
    lh_bytes blob;
} lh_record_row;

/* The row is what entry says: LH_OK, or LH_E_CORRUPT or LH_E_ROLLBACK as record.h says. ret_digest may be
 * NULL. */
LH_MUST lh_err lh_records_check(lh_records *records, enum lh_record_kind kind, const lh_entry *entry,
    const lh_record_row *row, uint8_t ret_digest[LH_SHA256_SIZE]);
/* "NAME: it was deleted behind the vault's back." */
LH_MUST lh_err lh_records_missing(enum lh_record_kind kind, const lh_record_id *id);

/* Hooks of the writer thread (txn.c), arg is the lh_records. */
extern const lh_store_hooks lh_records_hooks;

/* Read every row of a store that is being opened into directory and head (scan.c), or refuse it. */
LH_MUST lh_err lh_records_scan(lh_records *records, lh_store_snapshot *snapshot);

/* Faults as they are found: reported, counted, the first one kept. */
typedef struct {
    lh_record_report_fn report;
    void *arg;
    size_t count;
    lh_err_detail first;
} lh_fault_list;

/* Add the last error raised on this thread, as a fault of that record (id NULL for none). */
void lh_fault_add(lh_fault_list *faults, enum lh_record_kind kind, const lh_record_id *id);
/* LH_OK where there are none; else the first, saying how many more. */
LH_MUST lh_err lh_fault_result(const lh_fault_list *faults);

#endif
