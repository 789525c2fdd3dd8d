/* One connected process on the standalone partitions: its logins, its session objects, and every call of
 * version 2 of the protocol. Login rules, rules of objects (rules.h), PINs (pin.h) and limits are kept here,
 * not in the module.
 *
 * Handles: bit 62 set; bit 61 clear: a token object, the same for ever; bit 61 set: a session object of this
 * connection. A handle that is another partition's, not visible, or of a partition that this process may not
 * see, is told as one that does not exist.
 *
 * Errors: reasons are CKR_ names in lower case with dashes ("user-not-logged-in", "object-handle-invalid",
 * "key-function-not-permitted", "template-inconsistent" …), which the module turns into that CKR_.
 *
 * Threads: one thread at a time uses an application. Every call but lh_application_acquire with may_wait
 * false may block (disk, scrypt): never call it from a worker. Different applications at once.
 */
#ifndef LH_OBJECT_APPLICATION_H
#define LH_OBJECT_APPLICATION_H

#include "crypto/key.h"
#include "object/partition.h"
#include "p11/mechanism.h"
#include "wire/calls.h"

#include <sys/types.h>

typedef struct lh_application lh_application;

typedef struct {
    uid_t uid;
    pid_t pid;
    uint64_t start_time; /* of the process, in clock ticks since boot */
    /* May this process see the partition? Asked at each call that names it, after the partition's own list of
     * users; cheap. NULL: yes. */
    bool (*may_see)(void *arg, uint64_t number);
    /* Mechanisms that the partition's policy allows although lh_mechanism_needs_legacy. NULL: none. */
    bool (*legacy_allowed)(void *arg, uint64_t number, const lh_mechanism *row);
    void *arg;
} lh_application_options;

/* partitions: borrowed until lh_application_free. LH_E_LIMIT (reason "host-memory") is told by the calls that
 * make session objects: LH_LIMIT_SESSION_OBJECTS and LH_LIMIT_SESSION_OBJECT_BYTES are per uid. */
LH_MUST lh_err lh_application_new(
    lh_partitions *partitions, const lh_application_options *options, lh_application **ret);
/* Takes NULL. Session objects go with it. No grip of it may be held. */
void lh_application_free(lh_application *application);
LH_DEFINE_FREEP(lh_application, lh_application_free)

/* Bit 62. */
bool lh_handle_is_standalone(uint64_t handle);

/* --- slots ---------------------------------------------------------------------------------------------- */

/* Numbers of the slots, u64 each, in listing order, the leased one (0) among them; appended. */
LH_MUST lh_err lh_application_slots(lh_application *a, lh_buf *ret_slots);
/* Of a standalone one. LH_E_NOT_FOUND (reason "slot-id-invalid"). Its time does not grow with the objects. */
LH_MUST lh_err lh_application_slot_info(lh_application *a, const lh_slot_request *r, lh_slot_info_reply *ret);
/* CKM_ numbers, u64 each, that this slot offers; appended. LH_WIRE_MECHANISM_OLD_DATA is set in those for
 * old data only. */
LH_MUST lh_err lh_application_mechanisms(lh_application *a, const lh_slot_request *r, lh_buf *ret_types);

/* --- PINs and logins ------------------------------------------------------------------------------------ */

/* That no session of this process is open is the module's check. */
LH_MUST lh_err lh_application_init_token(lh_application *a, const lh_init_token_request *r);
/* Of a partition with quorum_so this answers LH_E_QUORUM (reason "partition-quorum"): the caller proposes it
 * (r->async) and carries it out with lh_partitions_set_user_pin once it is approved. */
LH_MUST lh_err lh_application_init_pin(lh_application *a, const lh_init_pin_request *r);
LH_MUST lh_err lh_application_set_pin(lh_application *a, const lh_set_pin_request *r);
/* The ticket is appended (at most LH_WIRE_TICKET_MAX bytes; none for CKU_CONTEXT_SPECIFIC). */
LH_MUST lh_err lh_application_login(lh_application *a, const lh_login_request *r, lh_buf *ret_ticket);
/* Log in by a ticket of this very process. LH_E_DENIED (reason "user-not-logged-in") where it is no longer
 * good. */
LH_MUST lh_err lh_application_resume(lh_application *a, const lh_resume_request *r, uint32_t *ret_user);
LH_MUST lh_err lh_application_logout(lh_application *a, const lh_slot_request *r);
/* CKU_SO, CKU_USER, or UINT32_MAX where this process is not logged in there. */
uint32_t lh_application_user(lh_application *a, uint64_t slot);

/* --- objects -------------------------------------------------------------------------------------------- */

/* A session ended: its objects go. Unknown ones are no error. */
void lh_application_session_end(lh_application *a, const lh_session_request *r);
/* Handles (u64 each) appended, at most LH_WIRE_SEARCH_MAX; *ret_cursor 0: no more. In order of creation. What
 * is created or destroyed between pages neither repeats nor hides another. Profile objects (CKO_PROFILE) are
 * found by templates that name CKA_CLASS or CKA_PROFILE_ID only. */
LH_MUST lh_err lh_application_search(
    lh_application *a, const lh_search_request *r, uint64_t *ret_cursor, lh_buf *ret_handles);
/* Attributes as wire/calls.h has them, in the order asked, appended. */
LH_MUST lh_err lh_application_attributes(
    lh_application *a, const lh_attributes_request *r, lh_buf *ret_attributes);
LH_MUST lh_err lh_application_object_size(
    lh_application *a, const lh_handle_request *r, lh_object_size_reply *ret);
LH_MUST lh_err lh_application_create(lh_application *a, const lh_create_request *r, lh_handle_reply *ret);
LH_MUST lh_err lh_application_copy(lh_application *a, const lh_copy_request *r, lh_handle_reply *ret);
LH_MUST lh_err lh_application_destroy(lh_application *a, const lh_handle_request *r);
LH_MUST lh_err lh_application_set_attributes(lh_application *a, const lh_set_attributes_request *r);

/* --- keys ----------------------------------------------------------------------------------------------- */

LH_MUST lh_err lh_application_generate(
    lh_application *a, const lh_generate_request *r, lh_generate_reply *ret);
/* The wrapped key is appended. */
LH_MUST lh_err lh_application_wrap(lh_application *a, const lh_wrap_request *r, lh_buf *ret_wrapped);
LH_MUST lh_err lh_application_unwrap(lh_application *a, const lh_unwrap_request *r, lh_handle_reply *ret);
/* Handles, u64 each, appended. */
LH_MUST lh_err lh_application_derive(lh_application *a, const lh_derive_request *r, lh_buf *ret_handles);
/* The ciphertext is appended. */
LH_MUST lh_err lh_application_encapsulate(
    lh_application *a, const lh_encapsulate_request *r, uint64_t *ret_handle, lh_buf *ret_ciphertext);
LH_MUST lh_err lh_application_decapsulate(
    lh_application *a, const lh_decapsulate_request *r, lh_handle_reply *ret);

/* The right to use a key once: counted, and held until released. */
typedef struct {
    const lh_key *key;
    void *hold;
} lh_key_grip;

typedef struct {
    uint64_t handle;
    const lh_mechanism *row; /* of a digest where use is LH_USE_DIGEST: C_DigestKey */
    unsigned use;            /* one LH_USE_ bit */
    bool may_wait;           /* false on workers */
} lh_key_use;

/* The right to use a key now. Where that takes the disk and may_wait is false, *ret_wait is set true, *ret is
 * empty and nothing has been counted: call again on a pool thread with may_wait. Else *ret_wait is false.
 * Checks: the partition is seen and the object visible (LH_E_NOT_FOUND "key-handle-invalid"), login
 * (LH_E_DENIED "user-not-logged-in"), class and type against the row ("key-type-inconsistent"), CKA_SIGN …
 * and CKA_ALLOWED_MECHANISMS ("key-function-not-permitted", "mechanism-invalid"), legacy
 * ("mechanism-invalid"; "key-size-range" for a short RSA key), dates and uses left ("action-prohibited"),
 * ALWAYS_AUTHENTICATE ("user-not-logged-in"). */
LH_MUST lh_err lh_application_acquire(
    lh_application *a, const lh_key_use *use, bool *ret_wait, lh_key_grip *ret);
/* Whether an operation that was begun may go on: what lh_application_acquire found is so still. Never waits.
 */
typedef struct {
    uint64_t handle;
    const lh_mechanism *row;
    unsigned use;
    uint64_t token_generation;
    uint64_t login_run; /* of the login it was begun in; 0 and 0: none */
    uint64_t login_number;
} lh_key_tenure;

/* To be asked for where lh_application_acquire has given a grip, before anything else is done with a. */
void lh_application_tenure(lh_application *a, const lh_key_use *use, lh_key_tenure *ret);
/* LH_E_NOT_FOUND (reason "key-handle-invalid": destroyed, or the token was initialised; "slot-id-invalid":
 * the partition is gone, or not for this user any more), LH_E_DENIED ("user-not-logged-in": a private key,
 * and the login that it was begun in has ended or its PIN was set anew; "key-function-not-permitted": what
 * the key may be used for was changed; "action-prohibited": its time is over; "key-size-range"), LH_E_INVALID
 * ("mechanism-invalid": policy allows it no longer). may_see is not asked. */
LH_MUST lh_err lh_application_check(lh_application *a, const lh_key_tenure *tenure, const lh_key_grip *grip);
/* Safe on an empty grip. */
void lh_key_grip_release(lh_key_grip *grip);
/* The partition's number; 0 of an empty grip. */
uint64_t lh_key_grip_slot(const lh_key_grip *grip);

#endif
