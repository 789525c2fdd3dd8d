/* The module's state and what its files share. PKCS#11 has no context argument, so there is one state per
 * process, in token.c, reached only between lh_token_enter and lh_token_leave, which hold its lock.
 *
 * Nothing is read, opened or allocated before the first call that needs the daemon; nothing runs at exit.
 * Rules about objects, PINs and logins are the daemon's; the module keeps what PKCS#11 calls a session.
 */
#ifndef LH_TOKEN_TOKEN_H
#define LH_TOKEN_TOKEN_H

#include "p11/mechanism.h"
#include "wire/client.h"

#include <leasehold/pkcs11-3.h>

#define LH_TOKEN_SLOT LH_SLOT_LEASED /* the leased partition's */
#define LH_TOKEN_SESSIONS_MAX 4096u
#define LH_TOKEN_TEMPLATE_MAX 256u /* attributes in one template */
#define LH_TOKEN_NOBODY (~0UL)     /* no CKU_: not logged in */

/* Operations that a session can have at once, one of each. */
enum lh_token_op_index {
    LH_OP_SIGN,
    LH_OP_VERIFY,
    LH_OP_ENCRYPT,
    LH_OP_DECRYPT,
    LH_OP_DIGEST,
    LH_OP_SIGN_RECOVER,
    LH_OP_VERIFY_RECOVER,
    LH_TOKEN_OPS
};
enum { LH_TOKEN_MESSAGES = 4 }; /* message-based processes: the first four of these */

/* A cached output, waiting for a buffer that it fits: which function it belongs to. */
enum lh_token_held { LH_HELD_NONE, LH_HELD_ONCE, LH_HELD_UPDATE, LH_HELD_FINAL };

typedef struct {
    bool active;
    bool parts;           /* fed in parts */
    bool signature_first; /* begun by C_VerifySignatureInit */
    bool fed_key;         /* C_DigestKey: its state is the daemon's alone */
    bool always_auth;     /* the key wants C_Login(CKU_CONTEXT_SPECIFIC) for each operation */
    unsigned use;         /* LH_USE_… */
    unsigned key_bits;    /* lh_mechanism_output_len; 0 where not known */
    const lh_mechanism *row;
    uint64_t key;
    lh_buf params;       /* encoded for the wire */
    uint64_t fed;        /* bytes in parts so far */
    lh_buf gathered;     /* parts not sent yet */
    lh_buf signature;    /* where it is given first */
    uint64_t stream;     /* the daemon's operation, or 0 */
    uint64_t generation; /* of the connection that has it */
    enum lh_token_held held;
    lh_buf result;
} lh_token_op;

/* IVs that are counted up for an application (CKG_GENERATE_COUNTER_XOR). */
typedef struct {
    uint64_t count;
    size_t len;
    uint8_t first[LH_GCM_IV_MAX];
} lh_token_iv;

/* A message-based process (PKCS#11 3.0 sections 5.9, 5.11, 5.14, 5.16). */
typedef struct {
    bool active;
    bool begun; /* a message is under way in parts */
    lh_token_iv iv;
    size_t tag_len;      /* of the message under way */
    lh_token_op init;    /* mechanism and key; never carried out */
    lh_token_op message; /* the message under way */
} lh_token_messages;

typedef struct {
    CK_SESSION_HANDLE handle;
    CK_SLOT_ID slot;
    bool rw;
    bool async;
    uint64_t objects_on; /* the connection on which it made session objects, or 0 */
    uint64_t pending;    /* C_InitPIN waits for its quorum: what `pending` is asked about, or 0 */
    bool finding;
    bool more;       /* pages of a search are left */
    uint64_t cursor; /* the next page's */
    lh_buf template; /* encoded, for the next page */
    CK_OBJECT_HANDLE *found;
    size_t found_room;
    size_t found_count;
    size_t found_next;
    lh_buf wrap_request; /* the wrapping whose output waits for a buffer */
    lh_buf wrap_output;
    lh_token_op ops[LH_TOKEN_OPS];
    lh_token_messages messages[LH_TOKEN_MESSAGES];
} lh_token_session;

typedef struct {
    uint64_t handle;
    uint8_t *attributes; /* as on the wire */
    size_t len;
} lh_token_object;

/* What is known of a slot. */
typedef struct {
    CK_SLOT_ID id;
    bool listed;       /* in the daemon's last list */
    bool present;      /* as C_WaitForSlotEvent last told */
    CK_USER_TYPE user; /* CKU_SO, CKU_USER or LH_TOKEN_NOBODY */
    lh_buf ticket;     /* resumes the login on a new connection; empty for the leased slot */
    size_t session_count;
    size_t rw_count;
    uint64_t *mechanisms;
    size_t mechanism_count;
    uint64_t mechanisms_of; /* the connection that told them */
} lh_token_slot;

typedef struct {
    bool initialized;
    bool inherited; /* by fork: C_Initialize answers CKR_OK once more */
    uint64_t lives; /* counts C_Initialize */
    lh_client *client;
    uint64_t generation; /* counts connections */
    lh_token_session *sessions[LH_TOKEN_SESSIONS_MAX];
    size_t session_count;
    CK_ULONG session_serial;
    lh_token_slot **slots; /* in the order first seen; the leased one is made with the first use of any */
    size_t slot_count;
    bool watched;             /* present and listed of the slots are C_WaitForSlotEvent's base */
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

/* One call to the daemon, over a connection that is opened when there is none; logins are resumed on it
 * first. Where a connection turns out to be closed, a call that was not delivered, or that the table calls
 * repeatable, is made once more on a new one. generation: 0, or the connection that the call belongs to: then
 * LH_E_GONE where that has ended. LH_E_UNSUPPORTED (reason "call-version") where the daemon is too old. */
LH_MUST lh_err lh_token_call(
    lh_token *token, enum lh_call call, const void *request, void *ret_reply, uint64_t generation);
/* The protocol's version that the daemon speaks; 0 where there is no connection to one. */
unsigned lh_token_version(lh_token *token);

/* --- slot.c --- */

typedef struct {
    bool leased;
    lh_slot_info_reply info;
} lh_token_told;

/* What is kept of a slot; made where it is new. NULL without memory. */
lh_token_slot *lh_token_slot_keep(lh_token *token, CK_SLOT_ID id);
/* NULL where nothing is kept of it. */
lh_token_slot *lh_token_slot_find(lh_token *token, CK_SLOT_ID id);
void lh_token_slots_clear(lh_token *token);
/* Ask the daemon. CKR_SLOT_ID_INVALID; CKR_TOKEN_NOT_PRESENT where there is no daemon or its vault is not
 * open. */
CK_RV lh_token_present(lh_token *token, CK_SLOT_ID slot, lh_slot_info_reply *ret);
/* Lock, and check the slot's number and out (not NULL). */
CK_RV lh_token_enter_slot(CK_SLOT_ID slot, const void *out, lh_token **ret);
/* The slots, in listing order, in a buffer of u64s, and whether their tokens are present. CKR_HOST_MEMORY. */
CK_RV lh_token_slots(lh_token *token, lh_buf *ret, bool *ret_present);

/* --- mechanism.c --- */

/* The row where this slot offers the mechanism for this use. CKR_MECHANISM_INVALID. */
CK_RV lh_token_mechanism(
    lh_token *token, CK_SLOT_ID slot, const CK_MECHANISM *mechanism, unsigned use, const lh_mechanism **ret);

/* --- session.c --- */

lh_token_session *lh_token_session_find(lh_token *token, CK_SESSION_HANDLE handle);
/* Close those of a slot, or all (every slot) where all is true; the daemon is told where tell is true. */
void lh_token_sessions_close(lh_token *token, CK_SLOT_ID slot, bool all, bool tell);
bool lh_token_session_leased(const lh_token_session *session);
/* The session has made session objects on the present connection. */
void lh_token_session_made(lh_token *token, lh_token_session *session, uint64_t handle);
/* The logins of every slot are gone, and what was known of objects with them. */
void lh_token_forget_logins(lh_token *token);

/* --- login.c --- */

/* Once per new connection: resume what tickets are for; a login that is refused is gone. */
LH_MUST lh_err lh_token_resume(lh_token *token);
void lh_token_logout(lh_token *token, lh_token_slot *slot, bool tell);

/* --- object.c: what the daemon told of objects, by handle --- */

bool lh_token_is_standalone(uint64_t handle); /* bit 62 */
bool lh_token_is_session_object(uint64_t handle);
/* From the cache, or asked for. Of a standalone object only what Init functions check: it may be out of date.
 * CKR_OBJECT_HANDLE_INVALID, also where the handle is of another kind of slot, or what the daemon answered.
 */
CK_RV lh_token_object_get(
    lh_token *token, CK_SLOT_ID slot, CK_OBJECT_HANDLE handle, const lh_token_object **ret);
/* Keep (a copy of) one; replaces what is known of its handle. */
LH_MUST lh_err lh_token_object_put(lh_token *token, uint64_t handle, lh_bytes attributes);
void lh_token_object_drop(lh_token *token, uint64_t handle);
/* Standalone ones, or all. */
void lh_token_objects_clear(lh_token *token, bool all);
/* One attribute; false where the object has none of that type. */
bool lh_token_object_attribute(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, lh_wire_attribute *ret);
bool lh_token_object_bool(const lh_token_object *object, CK_ATTRIBUTE_TYPE type);
bool lh_token_object_ulong(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, CK_ULONG *ret);
bool lh_token_object_matches(const lh_token_object *object, const CK_ATTRIBUTE *template, CK_ULONG count);
/* Whether the handle can be one of this slot. */
bool lh_token_handle_fits(CK_SLOT_ID slot, CK_OBJECT_HANDLE handle);

/* --- template.c --- */

/* Append a template in the wire's form, nested ones too. CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_TYPE_INVALID,
 * CKR_ATTRIBUTE_VALUE_INVALID, CKR_HOST_MEMORY (longer than out takes). */
CK_RV lh_token_template(const CK_ATTRIBUTE *template, CK_ULONG count, lh_buf *out);
/* CKA_TOKEN of a template; fallback where it has none. */
bool lh_token_template_token(const CK_ATTRIBUTE *template, CK_ULONG count, bool fallback);
/* Fill one attribute as C_GetAttributeValue does; a NULL: the object lacks it. */
CK_RV lh_token_tell(CK_ATTRIBUTE *wanted, const lh_wire_attribute *a);

/* --- operation.c --- */

/* Where output goes: data NULL asks for a length. len NULL where the function has no output (verify). */
typedef struct {
    CK_BYTE_PTR data;
    CK_ULONG_PTR len;
} lh_token_output;

/* Check mechanism and key, encode the parameters (with_params), and make op active. mechanism NULL ends an
 * active one (3.0). */
CK_RV lh_token_op_init(lh_token *token, const lh_token_session *session, lh_token_op *op, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
/* Everything of Init but the parameters and the activation. */
CK_RV lh_token_op_prepare(lh_token *token, const lh_token_session *session, lh_token_op *op, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV lh_token_op_once(
    lh_token *token, lh_token_op *op, lh_bytes data, lh_bytes signature, lh_token_output out);
CK_RV lh_token_op_update(lh_token *token, lh_token_op *op, lh_bytes data, lh_token_output out);
CK_RV lh_token_op_final(lh_token *token, lh_token_op *op, lh_bytes signature, lh_token_output out);
CK_RV lh_token_op_digest_key(lh_token *token, lh_token_op *op, CK_OBJECT_HANDLE key);
/* End it; tells the daemon (where token is not NULL) to forget what it holds of it. */
void lh_token_op_end(lh_token *token, lh_token_op *op);
/* Nothing comes out before the end. */
bool lh_token_op_is_held_back(const lh_token_op *op);
/* How long the whole output for len bytes of input is; *ret_exact where that is certain. */
CK_ULONG lh_token_op_output_len(const lh_token_op *op, size_t len, bool *ret_exact);
/* For message.c: the whole operation, and its parts; what comes out is appended to op->result. */
LH_MUST lh_err lh_token_op_perform(lh_token *token, lh_token_op *op, lh_bytes data, lh_bytes signature);
LH_MUST lh_err lh_token_op_feed(lh_token *token, lh_token_op *op, lh_bytes data);
LH_MUST lh_err lh_token_op_finish(lh_token *token, lh_token_op *op, lh_bytes signature);
lh_token_op *lh_token_session_op(lh_token_session *session, unsigned use);

/* --- message.c --- */

void lh_token_messages_end(lh_token *token, lh_token_messages *m);

/* --- params.c, params_derive.c, params_message.c --- */

/* The mechanism's parameter in the wire's form. CKR_MECHANISM_PARAM_INVALID, CKR_HOST_MEMORY. */
CK_RV lh_token_params(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret);
/* Of key derivation, generation and wrapping: the shapes that params.c leaves to it. */
CK_RV lh_token_params_key(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_buf *ret);
CK_RV lh_token_params_oaep(const CK_RSA_PKCS_OAEP_PARAMS *p, lh_buf *ret);
/* A parameter's struct into out: CKR_MECHANISM_PARAM_INVALID where it is of another size. */
CK_RV lh_token_params_take(const CK_MECHANISM *m, void *out, size_t size);
/* A pointer and a length from an application: right where it can be read and has at most max bytes. */
bool lh_token_span_ok(const void *p, CK_ULONG len, size_t max);
/* Further keys that an SP 800-108 parameter asks for; 0 for any other. */
size_t lh_token_params_further(const lh_mechanism *row, const CK_MECHANISM *mechanism, CK_DERIVED_KEY **ret);

/* One message's parameter, borrowed from the application's. */
typedef struct {
    uint8_t *iv;
    size_t iv_len;
    size_t fixed_bits;
    CK_GENERATOR_FUNCTION generator;
    uint8_t *tag; /* NULL in a wrapping's, where it follows the ciphertext */
    size_t tag_len;
    bool counted; /* CCM: data_len is given */
    uint64_t data_len;
    lh_bytes aad; /* where the parameter carries some */
} lh_token_message;

/* CK_GCM_MESSAGE_PARAMS, CK_CCM_MESSAGE_PARAMS, CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS. */
CK_RV lh_token_params_message(
    const lh_mechanism *row, const void *parameter, CK_ULONG len, lh_token_message *ret);
/* CK_GCM_WRAP_PARAMS, CK_CCM_WRAP_PARAMS (3.2). False where the parameter is another's. */
bool lh_token_params_wrap(const lh_mechanism *row, const CK_MECHANISM *mechanism, lh_token_message *ret);
/* Encode as the whole mechanism's parameter; made: the daemon makes the IV, and gives it out first. */
CK_RV lh_token_params_of_message(const lh_mechanism *row, const lh_token_message *m, lh_bytes aad,
    uint64_t data_len, bool made, lh_buf *ret);
/* Make the IV here, where the message wants one: from random bytes of the daemon's, or by counting (iv; NULL
 * where that is not offered). */
CK_RV lh_token_make_iv(lh_token *token, const lh_token_message *m, lh_token_iv *iv);

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

/* --- function_list.c --- */

/* A fixed-size, blank-padded, unterminated PKCS#11 string. */
void lh_token_pad(unsigned char *out, size_t size, const char *text);

#endif
