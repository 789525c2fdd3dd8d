/* Shared within src/log. */
#ifndef LH_LOG_STATE_H
#define LH_LOG_STATE_H

#include "log/log.h"

#include <pthread.h>

#define LH_LOG_FORMAT 1

struct lh_log {
    lh_records *records;
    lh_crypto *crypto;
    pthread_rwlock_t
        lock;             /* of tree, committed, latest; the writer thread alone changes tree and committed */
    lh_merkle_tree *tree; /* what the group under way appended stands at its end */
    uint64_t committed;   /* leaves that are durable; readers see no others */
    uint64_t latest;      /* size of the newest stored checkpoint; 0 where there is none */
    uint64_t mark;        /* writer thread: where the caller under way began */
};

/* plain: u8 format ‖ salt[32] ‖ blob entry. ret borrows from it. LH_E_CORRUPT (reason "log-entry"). */
LH_MUST lh_err lh_log_entry_parse(uint64_t index, lh_bytes plain, lh_log_entry *ret);
LH_MUST lh_err lh_log_leaf(lh_crypto *crypto, const lh_log_entry *entry, uint8_t out[LH_MERKLE_HASH_SIZE]);

/* Find the newest stored checkpoint and check it against the tree. */
LH_MUST lh_err lh_log_checkpoints_load(lh_log *log);
/* A stored note fits the log: LH_E_CORRUPT (reason "log-checkpoint") naming it, where not. */
LH_MUST lh_err lh_log_checkpoint_check(lh_log *log, uint64_t size, lh_bytes note);

#endif
