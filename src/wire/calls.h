/* The table of calls: one row each with the shapes of request and reply. Encoders, decoders, the fuzz harness
 * and the test of docs/protocol.md all walk these rows. To add a call: its number, its structs, its shapes
 * and its row in calls.c, its section in docs/protocol.md.
 *
 * A struct below is the decoded form of a body; its fields are in the order of the wire. Spans of a decoded
 * struct borrow from the message. Integers are big-endian, spans have a 32-bit length before them.
 */
#ifndef LH_WIRE_CALLS_H
#define LH_WIRE_CALLS_H

#include "base/bytes.h"
#include "codec/bin.h"
#include "wire/message.h"

#include <stddef.h>

/* Version 1: the leased partition. Version 2 adds the calls from LH_CALL_SLOTS on and changes no other. A
 * build may offer less (tests build a module and a daemon of version 1 so). */
#define LH_WIRE_VERSION_MIN 1u
#ifndef LH_WIRE_VERSION_MAX
#define LH_WIRE_VERSION_MAX 2u
#endif
#define LH_WIRE_MAGIC UINT64_C(0x6c65617365686f64) /* "leasehod" */

/* Bounds of spans. A request or reply with every span at its bound still fits a message, but for a signature
 * to verify: one that is longer than LH_WIRE_SIGNATURE_SHORT leaves so much less room for data. */
#define LH_WIRE_DATA_MAX 122880u /* bytes of data in one request */
#define LH_WIRE_OUTPUT_MAX                                                                                   \
    126976u /* bytes of output: data, a block and a tag, or held-back data that a finish gives */
#define LH_WIRE_PARAMS_MAX 4096u      /* bytes of encoded mechanism parameters */
#define LH_WIRE_SIGNATURE_SHORT 1024u /* bytes of a signature that fits beside LH_WIRE_DATA_MAX of data */
#define LH_WIRE_SIGNATURE_MAX 65536u  /* bytes of a signature to verify */
#define LH_WIRE_ATTRIBUTES_MAX 65536u /* bytes of one object's or one template's attributes */
#define LH_WIRE_VALUE_MAX 57344u      /* bytes of one attribute's value: others fit a template beside it */
#define LH_WIRE_OBJECTS_MAX 126976u   /* bytes of the objects in one page of a search */
#define LH_WIRE_TYPES_MAX 256u        /* attribute types asked for at once */
#define LH_WIRE_JSON_MAX 130000u      /* bytes of an admin document */
#define LH_WIRE_NONCE 32u
#define LH_WIRE_TEMPLATE_MAX                                                                                 \
    61440u /* bytes of a template that makes or changes an object: two fit a message */
#define LH_WIRE_PIN_MAX 255u
#define LH_WIRE_USER_NAME_MAX 128u
#define LH_WIRE_TICKET_MAX 512u      /* bytes of what resumes a login */
#define LH_WIRE_WRAPPED_MAX 32768u   /* bytes of a wrapped key */
#define LH_WIRE_AAD_MAX 16384u       /* bytes of additional data that a wrapped key is bound to */
#define LH_WIRE_CIPHERTEXT_MAX 4096u /* bytes of an encapsulated key */
#define LH_WIRE_SLOTS_MAX 1088u      /* slots in one list */
#define LH_WIRE_MECHANISMS_MAX 1024u /* mechanisms in one list */
/* In a mechanism's number in that list: here it verifies, decrypts and unwraps, and does nothing else. */
#define LH_WIRE_MECHANISM_OLD_DATA (UINT64_C(1) << 63)
#define LH_WIRE_SEARCH_MAX 8192u /* handles in one page of a search */
#define LH_WIRE_DERIVED_MAX 64u  /* keys that one derivation gives */

enum lh_call {
    LH_CALL_HELLO = 1,
    LH_CALL_TOKEN_INFO = 2,
    LH_CALL_FIND = 3,
    LH_CALL_ATTRIBUTES = 4,
    LH_CALL_SIGN = 5,
    LH_CALL_VERIFY = 6,
    LH_CALL_ENCRYPT = 7,
    LH_CALL_DECRYPT = 8,
    LH_CALL_DIGEST = 9,
    LH_CALL_OP_BEGIN = 10,
    LH_CALL_OP_UPDATE = 11,
    LH_CALL_OP_FINISH = 12,
    LH_CALL_OP_CANCEL = 13,
    LH_CALL_RANDOM = 14,
    LH_CALL_SEED = 15,
    LH_CALL_CHALLENGE = 16, /* daemon to client, while a request waits; header id = that request's */
    LH_CALL_ANSWER = 17,    /* client to daemon, at once; no reply */
    LH_CALL_ADMIN = 18,
    /* Version 2: standalone partitions. */
    LH_CALL_SLOTS = 19,
    LH_CALL_SLOT_INFO = 20,
    LH_CALL_MECHANISMS = 21,
    LH_CALL_INIT_TOKEN = 22,
    LH_CALL_INIT_PIN = 23,
    LH_CALL_SET_PIN = 24,
    LH_CALL_LOGIN = 25,
    LH_CALL_RESUME = 26,
    LH_CALL_LOGOUT = 27,
    LH_CALL_SESSION_END = 28,
    LH_CALL_SEARCH = 29,
    LH_CALL_CREATE = 30,
    LH_CALL_COPY = 31,
    LH_CALL_DESTROY = 32,
    LH_CALL_SET_ATTRIBUTES = 33,
    LH_CALL_OBJECT_SIZE = 34,
    LH_CALL_GENERATE = 35,
    LH_CALL_WRAP = 36,
    LH_CALL_UNWRAP = 37,
    LH_CALL_DERIVE = 38,
    LH_CALL_ENCAPSULATE = 39,
    LH_CALL_DECAPSULATE = 40,
    LH_CALL_OP_DIGEST_KEY = 41,
    LH_CALL_SIGN_RECOVER = 42,
    LH_CALL_VERIFY_RECOVER = 43,
    LH_CALL_PENDING = 44,
};

/* What a connection is for, said in hello. */
enum lh_wire_kind { LH_KIND_TOKEN = 1, LH_KIND_ADMIN = 2 };

enum lh_token_state { LH_TOKEN_OPEN = 0, LH_TOKEN_SEALED = 1, LH_TOKEN_FOUNDING = 2 };
enum {
    LH_TOKEN_FLAG_DEVELOPMENT = 1,
    /* Of slots only (slot_info). */
    LH_TOKEN_FLAG_LEASED = 2,
    LH_TOKEN_FLAG_INITIALIZED = 4,
    LH_TOKEN_FLAG_LOGIN_REQUIRED = 8,
    LH_TOKEN_FLAG_USER_PIN = 16, /* is set */
    LH_TOKEN_FLAG_USER_COUNT_LOW = 32,
    LH_TOKEN_FLAG_USER_FINAL_TRY = 64,
    LH_TOKEN_FLAG_USER_LOCKED = 128,
    LH_TOKEN_FLAG_SO_COUNT_LOW = 256,
    LH_TOKEN_FLAG_SO_FINAL_TRY = 512,
    LH_TOKEN_FLAG_SO_LOCKED = 1024,
    LH_TOKEN_FLAG_QUORUM_SO =
        2048, /* what the security officer does takes a quorum of the vault's officers */
};

/* Slot 0 is the leased partition; any other number is that of a standalone one. */
#define LH_SLOT_LEASED 0u

typedef struct {
    uint64_t magic;
    uint16_t version_min;
    uint16_t version_max;
    uint8_t kind; /* enum lh_wire_kind */
} lh_hello_request;

typedef struct {
    uint16_t version;       /* the one to speak */
    uint32_t message_limit; /* bytes the daemon takes in one message; at least 4096 */
} lh_hello_reply;

typedef struct {
    uint8_t label[32];  /* padded with blanks */
    uint8_t serial[16]; /* padded with blanks */
    uint8_t state;      /* enum lh_token_state */
    uint32_t flags;     /* LH_TOKEN_FLAG_… */
} lh_token_info_reply;

typedef struct {
    uint64_t cursor;     /* 0 at first, then the last reply's */
    lh_bytes attributes; /* the template: attributes that objects must have; see lh_wire_attribute. The client
                            sends only CKA_CLASS, CKA_ID, CKA_LABEL and CKA_KEY_TYPE, and matches the rest */
} lh_find_request;

typedef struct {
    uint64_t cursor;  /* 0: these were the last */
    lh_bytes objects; /* see lh_wire_object */
} lh_find_reply;

typedef struct {
    uint64_t handle;
    lh_bytes types; /* u32 each, at most LH_WIRE_TYPES_MAX; empty: all that a search would give */
} lh_attributes_request;

typedef struct {
    lh_bytes attributes; /* in the order asked; one that the object lacks has LH_ATTRIBUTE_NONE */
} lh_attributes_reply;

/* sign, verify, encrypt, decrypt, digest: one shot. Also sign_recover and verify_recover (data: the
 * signature; output: what it holds). */
typedef struct {
    uint64_t handle;    /* 0 for a digest */
    uint64_t mechanism; /* CKM_… */
    lh_bytes params;    /* encoded as the mechanism's row says (enum lh_param) */
    lh_bytes data;
    lh_bytes signature; /* verify only; else empty. Version 1: at most LH_WIRE_SIGNATURE_SHORT bytes */
} lh_operate_request;

/* Also the reply to op_update, op_finish and random. */
typedef struct {
    lh_bytes output; /* empty for verify */
} lh_output_reply;

typedef struct {
    uint8_t use; /* one LH_USE_… bit (p11/mechanism.h) */
    uint64_t handle;
    uint64_t mechanism;
    lh_bytes params;
} lh_op_begin_request;

typedef struct {
    uint64_t operation; /* of this connection; never 0 */
} lh_op_begin_reply;

typedef struct {
    uint64_t operation;
    lh_bytes data;
} lh_op_update_request;

typedef struct {
    uint64_t operation;
    lh_bytes data;      /* the last part; may be empty */
    lh_bytes signature; /* verify only; else empty */
} lh_op_finish_request; /* ends the operation, whatever the answer */

typedef struct {
    uint64_t operation;
} lh_op_cancel_request; /* an unknown operation is no error */

typedef struct {
    uint32_t len; /* 1 to LH_LIMIT_RANDOM */
} lh_random_request;

typedef struct {
    lh_bytes data;
} lh_seed_request;

/* challenge and answer */
typedef struct {
    uint8_t nonce[LH_WIRE_NONCE];
} lh_nonce_message;

/* admin, both ways */
typedef struct {
    lh_bytes json;
} lh_admin_message;

/* --- version 2: standalone partitions. A slot's number is its partition's, LH_SLOT_LEASED the leased one. A
 * session is the module's own number of the one that a session object belongs to. Templates are attributes as
 * below; their nesting ones hold the same encoding. -------------------------------------------------------
 */

typedef struct {
    lh_bytes slots; /* u64 each, in listing order */
} lh_slots_reply;

/* slot_info, mechanisms, logout */
typedef struct {
    uint64_t slot;
} lh_slot_request;

typedef struct {
    uint8_t label[32];  /* padded with blanks */
    uint8_t serial[16]; /* padded with blanks */
    uint8_t state;      /* enum lh_token_state */
    uint32_t flags;     /* LH_TOKEN_FLAG_… */
    uint32_t pin_min;   /* bytes */
    uint32_t pin_max;
    uint64_t public_memory;  /* bytes in use */
    uint64_t private_memory; /* bytes in use */
    uint64_t sessions_max;   /* that one process should open at most */
} lh_slot_info_reply;

typedef struct {
    lh_bytes types; /* CKM_… as u64 each */
} lh_mechanisms_reply;

typedef struct {
    uint64_t slot;
    lh_bytes pin; /* the security officer's */
    uint8_t label[32];
} lh_init_token_request;

typedef struct {
    uint64_t slot;
    lh_bytes pin;
    uint8_t async; /* 1: where it takes a quorum, propose it */
} lh_init_pin_request;

typedef struct {
    uint64_t pending; /* 0: done; else what `pending` asks about */
} lh_init_pin_reply;

typedef struct {
    uint64_t slot;
    lh_bytes old_pin;
    lh_bytes new_pin;
} lh_set_pin_request;

typedef struct {
    uint64_t slot;
    uint32_t user; /* CKU_… */
    lh_bytes name; /* C_LoginUser's; else empty */
    lh_bytes pin;
    uint64_t handle; /* CKU_CONTEXT_SPECIFIC: the key; else 0 */
} lh_login_request;

typedef struct {
    lh_bytes ticket; /* for resume, opaque */
} lh_login_reply;

typedef struct {
    uint64_t slot;
    lh_bytes ticket;
} lh_resume_request;

typedef struct {
    uint32_t user; /* CKU_… */
} lh_resume_reply;

typedef struct {
    uint64_t session; /* its session objects go */
} lh_session_request;

typedef struct {
    uint64_t slot;
    uint64_t cursor;     /* 0 at first, then the last reply's */
    lh_bytes attributes; /* the whole template */
} lh_search_request;

typedef struct {
    uint64_t cursor;  /* 0: these were the last */
    lh_bytes handles; /* u64 each */
} lh_search_reply;

typedef struct {
    uint64_t slot;
    uint64_t session;
    lh_bytes attributes;
} lh_create_request;

/* The reply to whatever makes one object. */
typedef struct {
    uint64_t handle;
} lh_handle_reply;

typedef struct {
    uint64_t handle;
    uint64_t session;
    lh_bytes attributes;
} lh_copy_request;

/* destroy, object_size */
typedef struct {
    uint64_t handle;
} lh_handle_request;

typedef struct {
    uint64_t handle;
    lh_bytes attributes;
} lh_set_attributes_request;

typedef struct {
    uint64_t size; /* bytes */
} lh_object_size_reply;

typedef struct {
    uint64_t slot;
    uint64_t session;
    uint64_t mechanism;
    lh_bytes params;
    lh_bytes attributes;         /* of the secret key, the domain parameters or the public key */
    lh_bytes private_attributes; /* of a pair's private key; else empty */
    uint8_t pair;                /* 1: C_GenerateKeyPair */
} lh_generate_request;

typedef struct {
    uint64_t handle;
    uint64_t private_handle; /* 0 unless it is a pair */
} lh_generate_reply;

typedef struct {
    uint64_t mechanism;
    lh_bytes params;
    uint64_t wrapping;
    uint64_t key;
    lh_bytes aad; /* C_WrapKeyAuthenticated's; else empty */
} lh_wrap_request;

typedef struct {
    lh_bytes wrapped;
} lh_wrap_reply;

typedef struct {
    uint64_t slot;
    uint64_t session;
    uint64_t mechanism;
    lh_bytes params;
    uint64_t unwrapping;
    lh_bytes wrapped;
    lh_bytes aad;
    lh_bytes attributes;
} lh_unwrap_request;

typedef struct {
    uint64_t slot;
    uint64_t session;
    uint64_t mechanism;
    lh_bytes params;
    uint64_t base;
    lh_bytes attributes;
} lh_derive_request;

typedef struct {
    lh_bytes handles; /* u64 each: the derived key, then what further keys the parameters ask for */
} lh_derive_reply;

typedef struct {
    uint64_t slot;
    uint64_t session;
    uint64_t mechanism;
    lh_bytes params;
    uint64_t public_key;
    lh_bytes attributes;
} lh_encapsulate_request;

typedef struct {
    uint64_t handle;
    lh_bytes ciphertext;
} lh_encapsulate_reply;

typedef struct {
    uint64_t slot;
    uint64_t session;
    uint64_t mechanism;
    lh_bytes params;
    uint64_t private_key;
    lh_bytes ciphertext;
    lh_bytes attributes;
} lh_decapsulate_request;

typedef struct {
    uint64_t operation; /* a digest */
    uint64_t handle;    /* the secret key whose value it takes in */
} lh_op_digest_key_request;

typedef struct {
    uint64_t slot;
    uint64_t pending;
} lh_pending_request;

enum lh_pending_state { LH_PENDING_WAITS = 0, LH_PENDING_DONE = 1, LH_PENDING_REFUSED = 2 };

typedef struct {
    uint8_t state; /* enum lh_pending_state; refused: or expired */
} lh_pending_reply;

/* The body of every error reply. */
typedef struct {
    uint32_t code;     /* enum lh_code, as in the header's status; one that the client does not know is
                          LH_E_INTERNAL to it */
    char reason[64];   /* stable token, or "" */
    char message[512]; /* for a person, or "" */
} lh_error_reply;

/* --- shapes --------------------------------------------------------------------------------------------- */

enum lh_field_kind {
    LH_FIELD_U8,
    LH_FIELD_U16,
    LH_FIELD_U32,
    LH_FIELD_U64,
    LH_FIELD_RAW,  /* max bytes in place, without a length */
    LH_FIELD_STR,  /* char array of max bytes, NUL included; on the wire as a blob without the NUL */
    LH_FIELD_BLOB, /* lh_bytes of at most max bytes */
};

typedef struct {
    const char *name;
    enum lh_field_kind kind;
    size_t offset; /* in the struct */
    size_t max;
} lh_field;

typedef struct {
    const char *name; /* of the struct, for messages and docs/protocol.md */
    size_t size;      /* of the struct; 0 where the body is empty */
    const lh_field *fields;
    size_t count;
} lh_shape;

typedef struct {
    enum lh_call call;
    const char *name;     /* "op_begin" */
    uint16_t min_version; /* the first protocol version that has it */
    unsigned kinds;       /* bits 1 << enum lh_wire_kind that may send it; 0: not on a client's own socket */
    unsigned use;         /* LH_USE_… bit of a one-shot operation, or 0 */
    bool repeatable;      /* sending it again after a lost connection changes nothing */
    bool slow;            /* may compute, or wait for its turn to, for minutes before it is answered */
    bool secret;          /* the request carries a PIN or a key's value: wiped as soon as it is done with */
    const lh_shape *request;
    const lh_shape *reply; /* NULL where there is none (challenge, answer) */
} lh_call_row;

/* NULL where there is none. */
const lh_call_row *lh_call_find(unsigned call);
/* Every row; ret_count is set. */
const lh_call_row *lh_call_table(size_t *ret_count);
extern const lh_shape lh_shape_error;

/* Append value (the shape's struct; NULL where the shape is empty) to body. LH_E_LIMIT where a span is over
 * its bound, LH_E_NOMEM. */
LH_MUST lh_err lh_shape_encode(const lh_shape *shape, const void *value, lh_buf *body);
/* Fill *ret (untouched on error; may be NULL where the shape is empty). LH_E_CORRUPT. Left-over bytes are
 * refused. */
LH_MUST lh_err lh_shape_decode(const lh_shape *shape, lh_bytes body, void *ret);

/* Whole messages into an emptied buf: what a client sends, what the daemon answers. */
LH_MUST lh_err lh_call_request(enum lh_call call, uint64_t id, const void *request, lh_buf *message);
LH_MUST lh_err lh_call_reply(enum lh_call call, uint64_t id, const void *reply, lh_buf *message);
/* An error reply from an error and its detail (usually lh_err_last()); call may be unknown. */
LH_MUST lh_err lh_call_error(
    unsigned call, uint64_t id, lh_err err, const lh_err_detail *detail, lh_buf *message);
/* The daemon's side of the decoding: a request of this connection's kind and version.
 * Errors: LH_E_UNSUPPORTED (reason "unknown-call"), LH_E_DENIED (reason "wrong-kind"), LH_E_CORRUPT,
 * LH_E_PROTOCOL (flags of a reply). ret must have room for the row's request (LH_CALL_REQUEST_MAX bytes fit
 * all). */
LH_MUST lh_err lh_call_decode(
    const lh_message_header *header, lh_bytes body, enum lh_wire_kind kind, uint16_t version, void *ret);
/* The client's side: a reply's body, or the error that it carries, raised with its reason and message. */
LH_MUST lh_err lh_call_decode_reply(const lh_message_header *header, lh_bytes body, void *ret);

/* Room for any decoded request. */
typedef union {
    lh_hello_request hello;
    lh_find_request find;
    lh_attributes_request attributes;
    lh_operate_request operate;
    lh_op_begin_request op_begin;
    lh_op_update_request op_update;
    lh_op_finish_request op_finish;
    lh_op_cancel_request op_cancel;
    lh_random_request random;
    lh_seed_request seed;
    lh_nonce_message nonce;
    lh_admin_message admin;
    lh_slot_request slot;
    lh_init_token_request init_token;
    lh_init_pin_request init_pin;
    lh_set_pin_request set_pin;
    lh_login_request login;
    lh_resume_request resume;
    lh_session_request session;
    lh_search_request search;
    lh_create_request create;
    lh_copy_request copy;
    lh_handle_request handle;
    lh_set_attributes_request set_attributes;
    lh_generate_request generate;
    lh_wrap_request wrap;
    lh_unwrap_request unwrap;
    lh_derive_request derive;
    lh_encapsulate_request encapsulate;
    lh_decapsulate_request decapsulate;
    lh_op_digest_key_request op_digest_key;
    lh_pending_request pending;
} lh_any_request;

/* Choose the version: the highest that both speak. LH_E_PROTOCOL for a wrong magic or kind, LH_E_UNSUPPORTED
 * (reason "version") where the ranges do not meet. min and max are this side's (LH_WIRE_VERSION_MIN, _MAX).
 */
LH_MUST lh_err lh_hello_choose(
    const lh_hello_request *hello, uint16_t min, uint16_t max, uint16_t *ret_version);

/* --- objects and attributes inside find and attributes ----------------------------------------------------
 */

enum {
    LH_ATTRIBUTE_SENSITIVE = 1, /* exists, is not told: CKR_ATTRIBUTE_SENSITIVE; no value */
    LH_ATTRIBUTE_NONE = 2,      /* the object has no such attribute; no value */
    LH_ATTRIBUTE_ASK = 4,       /* must be asked for by `attributes` at each reading, because it changes or
                                   because telling it issues a lease; no value in a search */
};

/* On the wire: u32 type | u8 flags | blob value. Values: CK_BBOOL 1 byte, CK_ULONG 8 bytes, lists of CK_ULONG
 * 8 bytes each, anything else its bytes (p11/attribute.h tells the kind of a type). */
typedef struct {
    uint32_t type;
    uint8_t flags;
    lh_bytes value;
} lh_wire_attribute;

/* On the wire: u64 handle | blob attributes. */
typedef struct {
    uint64_t handle; /* 1 to 2^63 - 1 */
    lh_bytes attributes;
} lh_wire_object;

/* Writing. Buffers are the caller's; failures stick in buf. */
void lh_wire_put_attribute(lh_buf *buf, uint32_t type, uint8_t flags, lh_bytes value);
void lh_wire_put_bool(lh_buf *buf, uint32_t type, bool value);
void lh_wire_put_ulong(lh_buf *buf, uint32_t type, uint64_t value);
void lh_wire_put_object(lh_buf *buf, uint64_t handle, lh_bytes attributes);

/* Reading: true and *ret filled while there is another; false at the end or at malformed bytes: check with
 * lh_read_done afterwards. */
bool lh_wire_next_attribute(lh_reader *reader, lh_wire_attribute *ret);
bool lh_wire_next_object(lh_reader *reader, lh_wire_object *ret);

#endif
