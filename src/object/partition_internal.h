/* Shared within src/object: what lh_partitions is.
 *
 * Everything that is committed reaches memory on the writer thread, by the listener (partition_txn.c): what a
 * transaction changes waits in pending, and is applied when its group is durable or thrown away with it. So
 * memory is never ahead of the disk, and changes come in the order in which they were committed.
 *
 * Locks, in the order in which they may be taken together:
 *   pin_lock of a partition  one PIN check at a time; held while waiting for disk and scrypt.
 *   lock                     short: the list, records and indexes. The writer thread alone takes it to write.
 *   users_lock               short: what session objects of each uid take. */
#ifndef LH_OBJECT_PARTITION_INTERNAL_H
#define LH_OBJECT_PARTITION_INTERNAL_H

#include "object/index.h"
#include "object/key_cache.h"
#include "object/logouts.h"
#include "object/partition.h"
#include "object/partition_record.h"
#include "wire/calls.h"

#include <pthread.h>
#include <stdatomic.h>

#define LH_HANDLE_STANDALONE (UINT64_C(1) << 62)
#define LH_HANDLE_SESSION (UINT64_C(1) << 61)
#define LH_PROFILES_MAX 8

enum lh_pin_user { LH_PIN_OF_SO, LH_PIN_OF_USER, LH_PIN_USERS };

/* The right PIN of a generation, so that it is not stretched at each login: HMAC-SHA-256 under a key that
 * lives and dies with lh_partitions. Dropped whenever a wrong one could not be counted. */
typedef struct {
    bool set;
    uint64_t generation;
    uint8_t tag[32];
} lh_known_pin;

typedef struct {
    atomic_int references;
    uint8_t id[LH_PARTITION_ID_SIZE];
    /* under lock */
    lh_partition_record record;
    bool blank; /* has no record yet */
    bool gone;
    bool quorum_so;
    uint32_t *users;
    size_t n_users;
    lh_index *index;
    /* under pin_lock */
    pthread_mutex_t pin_lock;
    lh_known_pin known[LH_PIN_USERS];
    uint64_t wrong[LH_PIN_USERS];          /* not in the log yet */
    int64_t wrong_logged_ms[LH_PIN_USERS]; /* boot time of the last entry; 0: none */
    atomic_uint_fast64_t logins;
} lh_partition;

enum lh_pending_kind {
    LH_PENDING_RECORD,
    LH_PENDING_GONE,
    LH_PENDING_EMPTY,
    LH_PENDING_OBJECT,
    LH_PENDING_OBJECT_GONE
};

typedef struct {
    enum lh_pending_kind kind;
    lh_partition *partition; /* counted */
    lh_partition_record record;
    lh_index_entry *entry;
    uint64_t handle;
} lh_pending;

typedef struct lh_user_share {
    uint32_t uid;
    uint64_t objects;
    uint64_t bytes;
    struct lh_user_share *next;
} lh_user_share;

struct lh_partitions {
    lh_partitions_options options; /* root is not kept */
    lh_secret *pepper;
    lh_secret *ticket_key;
    lh_secret *known_key;
    lh_key_cache *cache;
    lh_logouts *logouts;
    bool listening;

    pthread_rwlock_t lock;
    lh_partition *list[LH_WIRE_SLOTS_MAX]; /* by number, ascending; the blank one among them */
    size_t count;
    bool stale; /* memory ran out while a change was applied: nothing is answered from the indexes */
    atomic_uint_fast64_t next_order;
    atomic_int_fast64_t wall_seen;

    lh_attributes *profiles[LH_PROFILES_MAX];
    size_t n_profiles;

    pthread_mutex_t users_lock;
    lh_user_share *users;

    /* the writer thread's */
    lh_pending *pending;
    size_t pending_len;
    size_t pending_cap;
    size_t pending_mark;
};

/* Who asks, for the log. */
typedef struct {
    int32_t pid;
    uint32_t uid;
} lh_asker;

/* --- partition.c --- */

lh_partition *lh_partition_ref(lh_partition *partition);
void lh_partition_unref(lh_partition *partition);
LH_DEFINE_FREEP(lh_partition, lh_partition_unref)
LH_MUST lh_err lh_partition_new(const uint8_t id[LH_PARTITION_ID_SIZE], lh_partition **ret);
/* One reference; LH_E_NOT_FOUND (reason "slot-id-invalid"). */
LH_MUST lh_err lh_partitions_find(lh_partitions *p, uint64_t number, lh_partition **ret);
/* Its record as it is now. */
void lh_partition_look(lh_partitions *p, lh_partition *partition, lh_partition_record *ret);
bool lh_partition_allows_uid(lh_partitions *p, lh_partition *partition, uint32_t uid);
/* Whose token object that is: one reference. False where there is none. */
bool lh_partitions_locate(lh_partitions *p, uint64_t handle, lh_partition **ret, lh_index_facts *ret_facts);
/* Wall seconds, never less than any that was told before. */
int64_t lh_partitions_wall(lh_partitions *p);
/* A handle that nothing has. */
uint64_t lh_partitions_new_handle(lh_partitions *p, bool session);
/* Read a token object's record. LH_E_NOT_FOUND. ret: its attributes; order and reserved of ret_record. */
LH_MUST lh_err lh_partitions_read_object(lh_partitions *p, const lh_partition *partition, uint64_t handle,
    lh_object_record *ret_record, lh_attributes **ret);
/* In the list by number; under lock, to write. */
void lh_partitions_sort(lh_partitions *p);
void lh_partitions_remove(lh_partitions *p, lh_partition *partition);

/* --- partition_txn.c: all within a transaction, but for the listener --- */

extern const lh_record_listener lh_partitions_listener;

/* The record as the group has it. LH_E_NOT_FOUND. */
LH_MUST lh_err lh_partition_get_in(
    lh_record_txn *txn, const lh_partition *partition, lh_partition_record *ret);
LH_MUST lh_err lh_partition_put_in(
    lh_partitions *p, lh_record_txn *txn, lh_partition *partition, const lh_partition_record *record);

typedef struct {
    lh_partition *partition;
    uint64_t handle;
    uint64_t order;
    uint64_t reserved;
    const lh_attributes *attributes;
} lh_object_put;

LH_MUST lh_err lh_object_put_in(lh_partitions *p, lh_record_txn *txn, const lh_object_put *put);
/* Only how many uses are reserved: memory need not follow. */
LH_MUST lh_err lh_object_reserve_in(
    lh_record_txn *txn, const lh_partition *partition, uint64_t handle, uint64_t reserved);
/* The object's record as the group has it. LH_E_NOT_FOUND (reason "object-handle-invalid"). */
LH_MUST lh_err lh_object_get_in(lh_record_txn *txn, const lh_partition *partition, uint64_t handle,
    lh_object_record *ret_record, lh_attributes **ret);
LH_MUST lh_err lh_object_delete_in(
    lh_partitions *p, lh_record_txn *txn, lh_partition *partition, uint64_t handle);
/* Every object of it. */
LH_MUST lh_err lh_partition_empty_in(
    lh_partitions *p, lh_record_txn *txn, lh_partition *partition, uint64_t *ret_count);
LH_MUST lh_err lh_partition_drop_in(lh_partitions *p, lh_record_txn *txn, lh_partition *partition);

typedef struct {
    lh_partition *partition;
    const uint8_t *label;            /* LH_PARTITION_LABEL_SIZE bytes */
    const lh_pin_verifier *verifier; /* of the SO PIN; NULL: it stays as it is */
    lh_asker asker;
} lh_token_init;

LH_MUST lh_err lh_token_init_in(lh_partitions *p, lh_record_txn *txn, const lh_token_init *init);
/* Call the vault's event function, with the partition's fields filled in from record. */
LH_MUST lh_err lh_partition_event_in(
    lh_partitions *p, lh_record_txn *txn, const lh_partition_record *record, lh_partition_event *event);
/* Label of a record as text without blanks; what is not UTF-8 becomes "?". */
void lh_partition_label_text(const lh_partition_record *record, char out[LH_PARTITION_LABEL_SIZE + 1]);

/* --- partition_pin.c --- */

/* Check a PIN: count, look, reset. LH_E_DENIED "pin-incorrect", "pin-locked"; LH_E_STATE
 * "user-pin-not-initialized", "token-not-initialized". ret: the record as it was when the PIN was right. */
LH_MUST lh_err lh_partition_check_pin(lh_partitions *p, lh_partition *partition, enum lh_pin_user user,
    lh_bytes pin, lh_asker asker, lh_partition_record *ret);
/* Set a PIN. event: LH_EVENT_PIN_SET or _CHANGED. expected: the record by which it was allowed, whose
 * generations must still be (LH_E_STATE "user-not-logged-in"). ret: the record now. */
typedef struct {
    lh_partition *partition;
    enum lh_pin_user user;
    enum lh_partition_event_kind event;
    lh_asker asker;
    const lh_partition_record *expected;
} lh_pin_change;

LH_MUST lh_err lh_partition_change_pin(
    lh_partitions *p, const lh_pin_change *change, lh_bytes pin, lh_partition_record *ret);

#endif
