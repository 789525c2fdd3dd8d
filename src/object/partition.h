/* Standalone partitions: ordinary PKCS#11 tokens inside the vault, each with its PINs and objects. This file
 * is what the vault does with them; what a connected application does is application.h.
 *
 * Each partition is a record (kind partition), each of its token objects another (kind object); both are
 * encrypted and fresh as all records are. What searches need is an index in memory, built when the partitions
 * are opened (docs/decisions/0012-index-in-memory.md).
 *
 * Threads: any, but for opening and freeing. All calls that write block on the disk.
 * Errors of all calls besides those named: those of src/record.
 */
#ifndef LH_OBJECT_PARTITION_H
#define LH_OBJECT_PARTITION_H

#include "base/limits.h"
#include "object/pin.h"
#include "record/record.h"

#define LH_PARTITION_ID_SIZE 16
#define LH_PARTITION_LABEL_SIZE 32 /* as CK_TOKEN_INFO has it: padded with blanks, no NUL */
#define LH_PARTITION_SERIAL_SIZE 16

/* What is logged of partitions, within the transaction that does it. */
enum lh_partition_event_kind {
    LH_EVENT_TOKEN_INITIALIZED, /* C_InitToken or a quorum: label; objects: how many were destroyed */
    LH_EVENT_PIN_SET,           /* user: of whom; by the SO, or by a quorum */
    LH_EVENT_PIN_CHANGED,       /* user changed it */
    LH_EVENT_PIN_WRONG,         /* count wrong ones since the last such entry (one a minute at most) */
    LH_EVENT_PIN_LOCKED,        /* for good */
    LH_EVENT_KEY_GENERATED,     /* token keys only, these four: class, key type, handle, CKA_ID */
    LH_EVENT_KEY_IMPORTED,
    LH_EVENT_KEY_UNWRAPPED,
    LH_EVENT_KEY_DERIVED,
    LH_EVENT_KEY_COPIED,
    LH_EVENT_KEY_DESTROYED,
    LH_EVENT_OBJECT_TRUSTED,  /* the SO made CKA_TRUSTED true, of a session object too: as of keys */
    LH_EVENT_LOGIN,           /* only one with a name (C_LoginUser) */
    LH_EVENT_OBJECTS_DROPPED, /* the partition is gone from the configuration */
};

/* "partition-initialized" …: the event's name in the log. A static string. */
const char *lh_partition_event_name(enum lh_partition_event_kind kind);

/* Fields that an event has not are zero, "" or empty. Strings are UTF-8. Borrowed for the call. */
typedef struct {
    enum lh_partition_event_kind kind;
    uint64_t partition; /* its number */
    const char *name;   /* of the partition; "" for one that only development has */
    const char *label;  /* the token's, as UTF-8, for people */
    const char *user;   /* "user" or "so" */
    const char *who;    /* C_LoginUser's name */
    int32_t pid;        /* of the process that asked; 0: a quorum, or nobody */
    uint32_t uid;       /* of that process */
    uint64_t count;     /* of PINs or objects */
    uint64_t handle;    /* of the key */
    uint64_t ck_class;  /* CKO_… */
    uint64_t key_type;  /* CKK_… */
    lh_bytes key_id;    /* CKA_ID */
    uint64_t mechanism; /* CKM_… it was made by, or UINT64_MAX */
} lh_partition_event;

typedef lh_err (*lh_partition_event_fn)(void *arg, lh_record_txn *txn, const lh_partition_event *event);

typedef struct lh_partitions lh_partitions;

typedef struct {
    lh_records *records; /* these two borrowed until lh_partitions_free */
    lh_crypto *crypto;
    const lh_secret *root; /* the vault's root key: ticket key and PIN pepper come from it; borrowed for the
                              call */
    uint8_t vault_id[32];
    uint8_t boot_id[16];
    bool blank;                  /* development: one spare uninitialised partition exists at all times */
    bool legacy;                 /* development: legacy mechanisms everywhere */
    bool standalone_first;       /* in the list of slots */
    lh_partition_event_fn event; /* NULL: nothing is logged. On the writer thread; its error undoes all. */
    void *event_arg;
    int64_t wall_floor; /* wall seconds that have been seen already (the log's newest entry); dates of keys
                           never go by an earlier time. 0: none */
} lh_partitions_options;

/* Reads every record of partitions and objects once. Only while nothing writes. LH_E_CORRUPT where one does
 * not parse (reason "partition-record", "object-record"). */
LH_MUST lh_err lh_partitions_open(const lh_partitions_options *options, lh_partitions **ret);
/* Every lh_application is freed first. Takes NULL. */
void lh_partitions_free(lh_partitions *partitions);
LH_DEFINE_FREEP(lh_partitions, lh_partitions_free)

/* One partition as the configuration (src/quorum) has it. */
typedef struct {
    uint64_t number; /* 1, 2, 3 …: its slot */
    uint8_t id[LH_PARTITION_ID_SIZE];
    char name[LH_LIMIT_PARTITION_NAME + 1];
    const uint32_t *users; /* uids that may see it, n_users of them; none: any */
    size_t n_users;
    bool quorum_so; /* what the SO does takes a quorum: C_Login as SO, C_InitToken and C_InitPIN are refused
                       (LH_E_QUORUM, reason "partition-quorum") */
} lh_partition_spec;

/* Make it so: at open and whenever the configuration changes. Partitions that are new get their record, those
 * that are gone lose it and all objects, in one transaction; logins to them are void. Development's blank one
 * and those made of blank ones stay; where a new number is one of theirs, theirs moves on. */
LH_MUST lh_err lh_partitions_sync(lh_partitions *partitions, const lh_partition_spec *specs, size_t count);

/* For people. */
typedef struct {
    uint64_t number;
    uint8_t id[LH_PARTITION_ID_SIZE];
    char name[LH_LIMIT_PARTITION_NAME + 1];
    char label[LH_PARTITION_LABEL_SIZE + 1]; /* without the blanks */
    char serial[LH_PARTITION_SERIAL_SIZE + 1];
    bool blank; /* the spare one of development */
    bool initialized;
    bool quorum_so;
    int64_t created;       /* wall seconds */
    bool so_pin, user_pin; /* is set */
    lh_pin_view so, user;
    uint64_t objects, keys; /* token objects, and those of them that are private or secret keys */
    uint64_t bytes;         /* of token objects */
    uint64_t logins;        /* processes that are logged in now */
} lh_partition_description;

/* LH_E_NOT_FOUND (reason "slot-id-invalid"). Reads nothing in proportion to the objects. */
LH_MUST lh_err lh_partitions_describe(
    lh_partitions *partitions, uint64_t number, lh_partition_description *ret);
/* The numbers of all, ascending; the caller frees *ret. */
LH_MUST lh_err lh_partitions_numbers(lh_partitions *partitions, uint64_t **ret, size_t *ret_count);

/* --- what a quorum decided ------------------------------------------------------------------------------ */

/* Stretches a PIN (4 to 255 bytes; LH_E_INVALID reason "pin-len-range") into what lh_partitions_initialize
 * and lh_partitions_set_user_pin take, and what a proposal may carry: it is of use in this vault alone. About
 * 50 ms of work. */
LH_MUST lh_err lh_pin_verifier_new(lh_partitions *partitions, lh_bytes pin, lh_buf *ret_verifier);
/* Initialise, or initialise anew: every object is destroyed, the user PIN cleared, logins are void. label: at
 * most 32 bytes. verifier: empty for a partition whose SO is a quorum. LH_E_NOT_FOUND, LH_E_INVALID. */
LH_MUST lh_err lh_partitions_initialize(
    lh_partitions *partitions, uint64_t number, const char *label, lh_bytes so_pin_verifier);
/* Also unlocks it. LH_E_STATE (reason "token-not-initialized"). */
LH_MUST lh_err lh_partitions_set_user_pin(lh_partitions *partitions, uint64_t number, lh_bytes verifier);

/* The blank one takes another number if that one is taken now, and a new one is made where it was used up.
 * Every call that may use it up does it by itself. */
LH_MUST lh_err lh_partitions_refresh(lh_partitions *partitions);

#endif
