/* The frames between a host's agent and the vault, inside their channel: one row each, as calls.h has for the
 * messages of applications. docs/protocol.md ("Links") is the specification.
 *
 * frame, big-endian: u32 length of what follows (5 to LH_LINK_FRAME_MAX) | u8 type | u32 stream | body.
 * Bodies are structs by shape (calls.h): fields in the order of the wire, spans with a 32-bit length. Spans
 * of a decoded struct borrow from the frame. Pure: any thread. */
#ifndef LH_WIRE_LINK_H
#define LH_WIRE_LINK_H

#include "wire/calls.h"

#define LH_LINK_VERSION 1u
#define LH_LINK_FRAME_MAX 196608u                             /* bytes after the length */
#define LH_LINK_LENGTH 4u                                     /* bytes of the length itself */
#define LH_LINK_HEADER 9u                                     /* length, type and stream */
#define LH_LINK_SIZE_MAX (LH_LINK_LENGTH + LH_LINK_FRAME_MAX) /* bytes of a whole frame */

#define LH_LINK_CREDENTIAL_MAX 1024u /* bytes of a TPM2B_ID_OBJECT or TPM2B_ENCRYPTED_SECRET */
#define LH_LINK_FACTS_MAX 65536u     /* bytes of facts; of stream 0: 36 for each open stream */
#define LH_LINK_POINT_MAX 65u        /* bytes of an ephemeral public key: 04 | x | y of P-256 */
#define LH_LINK_SIGNATURE_MAX 64u    /* bytes of a signature: r | s */
#define LH_LINK_LOG_MAX 65536u       /* bytes of a log in one frame */
#define LH_LINK_EVIDENCE_MAX 8192u   /* bytes of encoded evidence */
#define LH_LINK_CUSTODY_MAX 16384u   /* bytes of a custody frame's spans */
#define LH_LINK_NO_IMA UINT64_MAX    /* lh_link_quote.ima_offset: no IMA log is wanted */

#define LH_LINK_PING_MS 10000 /* a side that has heard nothing for so long asks */
#define LH_LINK_DEAD_MS 30000 /* and takes the other for dead after so long */

/* What a channel exports of its TLS connection: 32 bytes that both sides know and nobody else. */
#define LH_LINK_EXPORTER_LABEL "EXPORTER-leasehold-channel-v1"
#define LH_LINK_EXPORTER 32u

enum lh_link_type {
    LH_LINK_HELLO = 1,
    LH_LINK_ACTIVATE = 2,
    LH_LINK_ACTIVATED = 3,
    LH_LINK_WELCOME = 4,
    LH_LINK_REFUSED = 5,
    LH_LINK_OPEN = 6,
    LH_LINK_DATA = 7,
    LH_LINK_CLOSE = 8,
    LH_LINK_QUOTE = 9,
    LH_LINK_LOG = 10,
    LH_LINK_EVIDENCE = 11,
    LH_LINK_NO_EVIDENCE = 12,
    /* Keys that the host's TPM lets expire: src/custody. */
    LH_LINK_STORAGE_ASK = 13,
    LH_LINK_STORAGE = 14,
    LH_LINK_LEASE_KEY = 15,
    LH_LINK_APPROVAL = 16,
    LH_LINK_WITHDRAW = 17,
    LH_LINK_PIN_ASK = 18,
    LH_LINK_PIN = 19,
    LH_LINK_PING = 20,
    LH_LINK_PONG = 21,
};

/* Who sends a frame. */
enum lh_link_side { LH_LINK_AGENT = 1, LH_LINK_VAULT = 2 };

typedef struct {
    uint16_t version; /* LH_LINK_VERSION */
} lh_link_hello;

typedef struct {
    lh_bytes id_object;        /* TPM2B_ID_OBJECT */
    lh_bytes encrypted_secret; /* TPM2B_ENCRYPTED_SECRET */
} lh_link_activate;

typedef struct {
    uint8_t answer[32]; /* HMAC-SHA-256(secret, "leasehold-activate-v1" | exporter) */
} lh_link_activated;

typedef struct {
    char host[LH_LIMIT_NAME + 1]; /* the name it is enrolled by */
    uint8_t vault[32];            /* the vault's id */
} lh_link_welcome;

/* Of refused and no_evidence: lh_error_reply. */

typedef struct {
    lh_bytes facts;     /* of the process, encoded (src/identity/facts.h) */
    lh_bytes ephemeral; /* 65 bytes */
    lh_bytes
        signature; /* 64 bytes: by it over "leasehold-open-v1" | exporter | u32 stream | SHA-256(facts) */
} lh_link_open;

typedef struct {
    lh_bytes message; /* a whole message (message.h) */
} lh_link_data;

typedef struct {
    char reason[64]; /* a token */
} lh_link_close;

typedef struct {
    uint8_t nonce[32];
    uint32_t pcr_mask;
    uint8_t want_event_log; /* 0 or 1 */
    uint64_t ima_offset;    /* bytes that the vault has already, or LH_LINK_NO_IMA */
} lh_link_quote;

typedef struct {
    uint8_t kind; /* enum lh_log_kind of src/verify/evidence.h */
    uint64_t offset;
    lh_bytes chunk;
} lh_link_log;

typedef struct {
    lh_bytes
        facts; /* of the stream's process as it is now; of stream 0: u32 stream | SHA-256(facts) of each */
    lh_bytes evidence; /* lh_evidence_encode's */
} lh_link_evidence;

/* The agent answers with storage. */
typedef struct {
    uint8_t nonce[32]; /* qualifies both statements */
    uint8_t storage;   /* 1: the storage key, too; 0: time only */
} lh_link_storage_ask;

typedef struct {
    char reason[64];            /* a token where the TPM could not; then the rest is empty */
    lh_bytes storage_public;    /* TPMT_PUBLIC; empty unless asked for, as are the next two */
    lh_bytes certify;           /* TPMS_ATTEST of TPM2_Certify */
    lh_bytes certify_signature; /* TPMT_SIGNATURE */
    lh_bytes time;              /* TPMS_ATTEST of TPM2_GetTime */
    lh_bytes time_signature;    /* TPMT_SIGNATURE */
} lh_link_storage;

/* In place of a reply to that request of the stream: the agent carries it out with this key, and what follows
 * for the handle, while the TPM allows it. The same lease may be sent again: with the same public_area it is
 * the same key. */
typedef struct {
    uint64_t request; /* the message's id */
    uint64_t handle;
    uint8_t lease[16];
    uint8_t kind;         /* enum lh_key_kind */
    lh_bytes mechanisms;  /* what it may be used with: u64 CKM_ each */
    lh_bytes public_area; /* TPMT_PUBLIC */
    lh_bytes duplicate;   /* TPM2B_PRIVATE */
    lh_bytes seed;        /* TPM2B_ENCRYPTED_SECRET */
    lh_bytes approver;    /* TPMT_PUBLIC of the vault's approval key */
    uint32_t pcr_mask;    /* of PolicyPCR */
    uint32_t reset_count; /* of PolicyCounterTimer */
    uint32_t restart_count;
    uint32_t pin_index;    /* the NV index that counts uses; 0: they are not counted */
    uint32_t expiration;   /* of the approval: TPM Time in seconds */
    uint8_t signature[64]; /* r | s */
} lh_link_lease_key;

typedef struct {
    uint8_t lease[16];
    uint32_t expiration;
    uint8_t signature[64];
} lh_link_approval;

typedef struct {
    uint8_t lease[16];
    char reason[64]; /* a token */
} lh_link_withdraw;

/* Counted uses are taken or were never given: more are asked for. */
typedef struct {
    uint8_t lease[16];
    uint8_t nonce[32]; /* nonceTPM of the session that waits */
    uint8_t written;   /* 1: the index has been written before */
} lh_link_pin_ask;

typedef struct {
    uint8_t lease[16];
    uint32_t limit;        /* uses given; 0: none, and the signature means nothing */
    uint8_t signature[64]; /* over that write in that session */
} lh_link_pin;

enum lh_link_stream {
    LH_LINK_STREAM_NONE, /* must be 0 */
    LH_LINK_STREAM_ONE,  /* must not be 0 */
    LH_LINK_STREAM_ANY,  /* 0: the host as such */
};

typedef struct {
    enum lh_link_type type;
    const char *name; /* "no_evidence" */
    unsigned sides;   /* bits of enum lh_link_side that may send it */
    enum lh_link_stream stream;
    const lh_shape *body; /* its name is lh_link_<…>, "empty" or lh_error_reply */
} lh_link_row;

/* NULL where there is none. */
const lh_link_row *lh_link_find(unsigned type);
const lh_link_row *lh_link_table(size_t *ret_count);

/* A frame taken apart; body borrows from it. */
typedef struct {
    const lh_link_row *row;
    uint32_t stream;
    lh_bytes body;
} lh_link_frame;

/* Room for any decoded body. */
typedef union {
    lh_link_hello hello;
    lh_link_activate activate;
    lh_link_activated activated;
    lh_link_welcome welcome;
    lh_error_reply refused; /* and no_evidence */
    lh_link_open open;
    lh_link_data data;
    lh_link_close close;
    lh_link_quote quote;
    lh_link_log log;
    lh_link_evidence evidence;
    lh_link_storage_ask storage_ask;
    lh_link_storage storage;
    lh_link_lease_key lease_key;
    lh_link_approval approval;
    lh_link_withdraw withdraw;
    lh_link_pin_ask pin_ask;
    lh_link_pin pin;
} lh_link_any;

/* A whole frame into frame, emptied first (its max must be >= LH_LINK_SIZE_MAX for any frame to fit). value:
 * the row's struct, NULL where it is empty. LH_E_LIMIT (a span over its bound), LH_E_NOMEM, LH_E_INTERNAL
 * (no such type, or a stream that it cannot have). */
LH_MUST lh_err lh_link_encode(enum lh_link_type type, uint32_t stream, const void *value, lh_buf *frame);
/* The same from an encoded body. */
LH_MUST lh_err lh_link_encode_raw(unsigned type, uint32_t stream, lh_bytes body, lh_buf *frame);

/* How long the whole frame is that begins with these bytes, its length included; 0 while there are fewer than
 * LH_LINK_LENGTH of them. LH_E_PROTOCOL "link-frame-size" where it says a length that no frame has. */
LH_MUST lh_err lh_link_size(lh_bytes begin, size_t *ret_size);

/* Take apart a whole frame that side sent. LH_E_PROTOCOL with reason "link-frame-size" (the length is not
 * that of the bytes), "link-protocol" (no such type, not from that side, or a stream that it cannot have). */
LH_MUST lh_err lh_link_decode(lh_bytes frame, enum lh_link_side side, lh_link_frame *ret);
/* Decode its body into the row's struct (lh_link_any has room for each). LH_E_CORRUPT. */
LH_MUST lh_err lh_link_decode_body(const lh_link_frame *frame, void *ret);

#endif
