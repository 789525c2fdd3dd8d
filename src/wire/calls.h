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

#define LH_WIRE_VERSION_MIN 1u
#define LH_WIRE_VERSION_MAX 1u
#define LH_WIRE_MAGIC UINT64_C(0x6c65617365686f64) /* "leasehod" */

/* Bounds of spans. A request or reply with every span at its bound still fits a message. */
#define LH_WIRE_DATA_MAX 122880u /* bytes of data in one request */
#define LH_WIRE_OUTPUT_MAX                                                                                   \
    126976u /* bytes of output: data, a block and a tag, or held-back data that a finish gives */
#define LH_WIRE_PARAMS_MAX 4096u      /* bytes of encoded mechanism parameters */
#define LH_WIRE_SIGNATURE_MAX 1024u   /* bytes of a signature to verify */
#define LH_WIRE_ATTRIBUTES_MAX 65536u /* bytes of one object's or one template's attributes */
#define LH_WIRE_VALUE_MAX 16384u      /* bytes of one attribute's value */
#define LH_WIRE_OBJECTS_MAX 126976u   /* bytes of the objects in one page of a search */
#define LH_WIRE_TYPES_MAX 256u        /* attribute types asked for at once */
#define LH_WIRE_JSON_MAX 130000u      /* bytes of an admin document */
#define LH_WIRE_NONCE 32u

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
};

/* What a connection is for, said in hello. */
enum lh_wire_kind { LH_KIND_TOKEN = 1, LH_KIND_ADMIN = 2 };

enum lh_token_state { LH_TOKEN_OPEN = 0, LH_TOKEN_SEALED = 1, LH_TOKEN_FOUNDING = 2 };
enum { LH_TOKEN_FLAG_DEVELOPMENT = 1 };

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

/* sign, verify, encrypt, decrypt, digest: one shot. */
typedef struct {
    uint64_t handle;    /* 0 for a digest */
    uint64_t mechanism; /* CKM_… */
    lh_bytes params;    /* encoded as the mechanism's row says (enum lh_param) */
    lh_bytes data;
    lh_bytes signature; /* verify only; else empty */
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
