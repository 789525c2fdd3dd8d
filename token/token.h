/* The module's state and what its files share. PKCS#11 has no context argument, so there is one state per
 * process, in token.c, reached only between lh_token_enter and lh_token_leave, which hold its lock.
 *
 * Nothing is read, opened or allocated before the first call that needs the daemon; nothing runs at exit.
 */
#ifndef LH_TOKEN_TOKEN_H
#define LH_TOKEN_TOKEN_H

#include "p11/mechanism.h"
#include "wire/client.h"

#include <leasehold/pkcs11-3.h>

#define LH_TOKEN_SLOT 0UL
#define LH_TOKEN_SESSIONS_MAX 4096u
#define LH_TOKEN_TEMPLATE_MAX 256u /* attributes in one template */

enum { LH_TOKEN_OPS = 5 }; /* one operation of each LH_USE_… per session */

/* A cached output, waiting for a buffer that it fits: which function it belongs to. */
enum lh_token_held { LH_HELD_NONE, LH_HELD_ONCE, LH_HELD_UPDATE, LH_HELD_FINAL };

typedef struct {
    bool active;
    unsigned use; /* LH_USE_… */
    const lh_mechanism *row;
    unsigned key_bits; /* of an RSA modulus or of a curve's field; 0: neither, or not known */
    uint64_t key;
    lh_buf params;       /* encoded for the wire */
    bool parts;          /* fed in parts */
    uint64_t fed;        /* bytes in parts so far */
    lh_buf gathered;     /* parts not sent yet */
    uint64_t stream;     /* the daemon's operation, or 0 */
    uint64_t generation; /* of the connection that has it */
    enum lh_token_held held;
    lh_buf result;
} lh_token_op;

typedef struct {
    CK_SESSION_HANDLE handle;
    bool rw;
    bool finding;
    CK_OBJECT_HANDLE *found;
    size_t found_count;
    size_t found_next;
    lh_token_op ops[LH_TOKEN_OPS];
} lh_token_session;

typedef struct {
    uint64_t handle;
    uint8_t *attributes; /* as on the wire */
    size_t len;
} lh_token_object;

typedef struct {
    bool initialized;
    bool inherited; /* by fork: C_Initialize answers CKR_OK once more */
    bool logged_in;
    lh_client *client;
    uint64_t generation; /* counts connections */
    lh_token_session *sessions[LH_TOKEN_SESSIONS_MAX];
    size_t session_count;
    CK_ULONG session_serial;
    lh_token_object *objects; /* sorted by handle */
    size_t object_count;
    size_t object_room;
} lh_token;

/* --- token.c --- */

/* Lock the state of an initialized module. CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV lh_token_enter(lh_token **ret);
/* The same, and find the session. CKR_SESSION_HANDLE_INVALID. */
CK_RV lh_token_enter_session(CK_SESSION_HANDLE handle, lh_token **ret, lh_token_session **ret_session);
/* Unlock; returns rv. */
CK_RV lh_token_leave(lh_token *token, CK_RV rv);

/* One call to the daemon, over a connection that is opened when there is none. Where a connection turns out
 * to be closed, a call that was not delivered, or that the table calls repeatable, is made once more on a new
 * one. generation: 0, or the connection that the call belongs to: then LH_E_GONE where that has ended. */
LH_MUST lh_err lh_token_call(
    lh_token *token, enum lh_call call, const void *request, void *ret_reply, uint64_t generation);

/* --- session.c --- */

lh_token_session *lh_token_session_find(lh_token *token, CK_SESSION_HANDLE handle);
void lh_token_sessions_clear(lh_token *token);

/* --- object.c: what the daemon told of objects, by handle --- */

/* From the cache, or asked for. CKR_OBJECT_HANDLE_INVALID or what the daemon answered. */
CK_RV lh_token_object_get(lh_token *token, CK_OBJECT_HANDLE handle, const lh_token_object **ret);
/* Keep (a copy of) one; replaces what is known of its handle. */
LH_MUST lh_err lh_token_object_put(lh_token *token, uint64_t handle, lh_bytes attributes);
void lh_token_object_drop(lh_token *token, uint64_t handle);
void lh_token_objects_clear(lh_token *token);
/* One attribute; false where the object has none of that type. */
bool lh_token_object_attribute(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, lh_wire_attribute *ret);
bool lh_token_object_bool(const lh_token_object *object, CK_ATTRIBUTE_TYPE type);
bool lh_token_object_ulong(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, CK_ULONG *ret);
bool lh_token_object_matches(const lh_token_object *object, const CK_ATTRIBUTE *template, CK_ULONG count);

/* --- operation.c --- */

/* Where output goes: data NULL asks for a length. len NULL where the function has no output (verify). */
typedef struct {
    CK_BYTE_PTR data;
    CK_ULONG_PTR len;
} lh_token_output;

CK_RV lh_token_op_init(lh_token *token, lh_token_session *session, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV lh_token_op_once(lh_token *token, lh_token_session *session, unsigned use, lh_bytes data,
    lh_bytes signature, lh_token_output out);
CK_RV lh_token_op_update(
    lh_token *token, lh_token_session *session, unsigned use, lh_bytes data, lh_token_output out);
CK_RV lh_token_op_final(
    lh_token *token, lh_token_session *session, unsigned use, lh_bytes signature, lh_token_output out);
/* End it; tells the daemon (where token is not NULL) to forget what it holds of it. */
void lh_token_op_end(lh_token *token, lh_token_op *op);
lh_token_op *lh_token_session_op(lh_token_session *session, unsigned use);

/* --- params.c --- */

/* The mechanism's parameter in the wire's form. CKR_MECHANISM_PARAM_INVALID, CKR_HOST_MEMORY. */
CK_RV lh_token_params(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret);

/* --- error.c --- */

/* What was being done: the column of the translation table. */
enum lh_token_context {
    LH_CONTEXT_SLOT,    /* slot and token functions */
    LH_CONTEXT_OBJECT,  /* attributes and searches */
    LH_CONTEXT_KEY,     /* operations but decryption */
    LH_CONTEXT_DECRYPT, /* decryption */
    LH_CONTEXT_COUNT
};

/* The one place where an lh_err becomes a CK_RV. Reads lh_err_last() for the reason. */
CK_RV lh_token_rv(lh_err err, enum lh_token_context context);

/* --- slot.c --- */

/* Ask the daemon; CKR_TOKEN_NOT_PRESENT where there is none, or its vault is not open. */
CK_RV lh_token_present(lh_token *token, lh_token_info_reply *ret);

/* --- function_list.c --- */

/* A fixed-size, blank-padded, unterminated PKCS#11 string. */
void lh_token_pad(unsigned char *out, size_t size, const char *text);

#endif
