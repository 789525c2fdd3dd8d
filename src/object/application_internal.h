/* Shared within src/object: what lh_application is. */
#ifndef LH_OBJECT_APPLICATION_INTERNAL_H
#define LH_OBJECT_APPLICATION_INTERNAL_H

#include "object/application.h"
#include "object/partition_internal.h"
#include "object/rules.h"

/* A login counts while the generations of token and PIN are those it was made in. */
typedef struct {
    lh_partition *partition; /* counted */
    uint32_t user;           /* CKU_SO or CKU_USER */
    uint64_t token_generation;
    uint64_t pin_generation;
    lh_login_id id;        /* kept where it is resumed */
    uint64_t logouts_seen; /* lh_logouts_count when id was last seen not to be ended */
} lh_login;

typedef struct {
    uint64_t handle;
    uint64_t session;
    uint64_t bytes;          /* charged */
    lh_partition *partition; /* counted */
    lh_live *live;
} lh_session_object;

struct lh_application {
    lh_partitions *p;
    lh_application_options options;
    lh_login *logins;
    size_t n_logins;
    lh_index *session_index; /* owner: lh_session_object */
    uint64_t context_handle; /* one operation with this key is allowed; 0: none */
};

/* A partition that this process may see, and as whom it is there. */
typedef struct {
    lh_partition *partition; /* counted */
    lh_partition_record record;
    enum lh_rules_user user;
} lh_place;

void lh_place_leave(lh_place *place);
/* The login to that partition that counts now, by its record; NULL: there is none. Borrowed from a. */
const lh_login *lh_application_login_in(
    lh_application *a, const lh_partition *partition, const lh_partition_record *record);
/* LH_E_NOT_FOUND "slot-id-invalid". */
LH_MUST lh_err lh_application_enter(lh_application *a, uint64_t slot, lh_place *ret);
/* The same, and it is initialised. LH_E_STATE "token-not-initialized". */
LH_MUST lh_err lh_application_enter_token(lh_application *a, uint64_t slot, lh_place *ret);
lh_asker lh_application_asker(const lh_application *a);

/* An object that this process may see now. */
typedef struct {
    lh_place place;
    lh_live *live;              /* counted */
    lh_session_object *session; /* NULL: a token object */
    bool profile;
} lh_found;

void lh_found_leave(lh_found *found);
typedef struct {
    uint64_t handle;
    bool may_wait;
    bool keep;           /* in the cache: it is going to be used */
    const char *missing; /* reason where there is none: "object-handle-invalid" … */
} lh_find;
/* ret_wait: as lh_application_acquire's; NULL where may_wait. */
LH_MUST lh_err lh_application_find(lh_application *a, const lh_find *find, bool *ret_wait, lh_found *ret);

/* The handle of a partition's profile object number index. */
uint64_t lh_profile_handle(const lh_partition *partition, size_t index);

/* --- application_object.c --- */

/* A token object that is copied and, being no guardian, can from now on not become one. */
typedef struct {
    uint64_t handle;
    bool closed; /* set: it has become one since it was read, so this copy of it would be free */
} lh_original;

#define LH_MADE_MAX 64
/* Objects that one call makes: all of them or none. */
typedef struct {
    lh_place *place;
    uint64_t session;
    enum lh_partition_event_kind event; /* for the keys among them */
    uint64_t mechanism;                 /* UINT64_MAX: none */
    size_t count;
    lh_attributes *attributes[LH_MADE_MAX]; /* owned; complete */
    uint64_t handles[LH_MADE_MAX];          /* set by lh_made_store */
    lh_original *original;                  /* marked in the same transaction; NULL: nothing to mark */
} lh_made;

void lh_made_free(lh_made *made);
/* taken: also where it fails. */
LH_MUST lh_err lh_made_store(lh_application *a, lh_made *made);
/* End the making of a key object: its parts from key (NULL: not a key), check value, unique id. */
LH_MUST lh_err lh_object_finish(lh_application *a, lh_attributes *object, const lh_key *key);
/* A session object changes: a new live object takes the place of the old one, and whoever still uses that one
 * goes on with it. after_taken: also where it fails; then the object may be gone. */
LH_MUST lh_err lh_session_object_change(lh_application *a, const lh_found *found, lh_attributes *after_taken);
/* Within a transaction: the token must still be the one that the caller was admitted to. LH_E_STATE
 * "token-not-present". */
LH_MUST lh_err lh_place_check_in(lh_record_txn *txn, const lh_place *place);
/* A session object goes. */
void lh_session_object_drop(lh_application *a, lh_session_object *object);
/* Those that fit: of a session (UINT64_MAX: of any), of a partition (NULL: of any), private ones only. */
void lh_session_objects_drop(
    lh_application *a, uint64_t session, const lh_partition *partition, bool private_only);
/* The event of one key, of another object none. */
LH_MUST lh_err lh_key_event_in(lh_application *a, lh_record_txn *txn, const lh_place *place,
    const lh_attributes *object, lh_partition_event *event);

/* --- application_guardian.c --- */

/* Close the wrapping key (lh_rules_close), durably if it is a token object; nothing to do where another has
 * closed it meanwhile. LH_E_DENIED "key-not-wrappable" where it was copied meanwhile. */
LH_MUST lh_err lh_application_close_key(lh_application *a, uint64_t handle, const lh_found *found);
/* Part of storing a copy of made->original. */
LH_MUST lh_err lh_original_mark_in(lh_application *a, lh_record_txn *txn, const lh_made *made);

/* An object that is changed or made. */
typedef struct {
    uint64_t handle;
    const lh_attributes *before; /* NULL: a new object */
    const lh_attributes *after;
} lh_trusting;
/* The security officer's word is logged: where after is CKA_TRUSTED and before (NULL: a new object) is not.
 * The first within the transaction that stores it, the second of a session object, before it is so. */
LH_MUST lh_err lh_trusted_event_in(
    lh_record_txn *txn, lh_application *a, const lh_place *place, const lh_trusting *trusting);
LH_MUST lh_err lh_trusted_event(lh_application *a, const lh_place *place, const lh_trusting *trusting);

/* --- application_use.c --- */

/* The row of a mechanism that is offered here and has that use. LH_E_INVALID "mechanism-invalid". */
LH_MUST lh_err lh_application_row(
    lh_application *a, const lh_place *place, uint64_t mechanism, unsigned use, const lh_mechanism **ret);

#endif
