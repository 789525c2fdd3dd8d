/* The rows of frames, and the few bytes around a body. */
#include "wire/link.h"

#include "wire/shape_rows.h"

_Static_assert(LH_LIMIT_MESSAGE + 4 + LH_LINK_HEADER <= LH_LINK_FRAME_MAX, "a whole message fits a frame");
_Static_assert(LH_LINK_FACTS_MAX + LH_LINK_EVIDENCE_MAX + 8 + LH_LINK_HEADER <= LH_LINK_FRAME_MAX,
    "so do facts with their evidence");

static const lh_shape shape_empty = {"empty", 0, NULL, 0};

SHAPE(hello, lh_link_hello, U16(lh_link_hello, version));
SHAPE(activate, lh_link_activate, BLOB(lh_link_activate, id_object, LH_LINK_CREDENTIAL_MAX),
    BLOB(lh_link_activate, encrypted_secret, LH_LINK_CREDENTIAL_MAX));
SHAPE(activated, lh_link_activated, RAW(lh_link_activated, answer));
SHAPE(welcome, lh_link_welcome, STR(lh_link_welcome, host), RAW(lh_link_welcome, vault));
SHAPE(open, lh_link_open, BLOB(lh_link_open, facts, LH_LINK_FACTS_MAX),
    BLOB(lh_link_open, ephemeral, LH_LINK_POINT_MAX), BLOB(lh_link_open, signature, LH_LINK_SIGNATURE_MAX));
SHAPE(data, lh_link_data, BLOB(lh_link_data, message, LH_LIMIT_MESSAGE));
SHAPE(close, lh_link_close, STR(lh_link_close, reason));
SHAPE(quote, lh_link_quote, RAW(lh_link_quote, nonce), U32(lh_link_quote, pcr_mask),
    U8(lh_link_quote, want_event_log), U64(lh_link_quote, ima_offset));
SHAPE(log, lh_link_log, U8(lh_link_log, kind), U64(lh_link_log, offset),
    BLOB(lh_link_log, chunk, LH_LINK_LOG_MAX));
SHAPE(evidence, lh_link_evidence, BLOB(lh_link_evidence, facts, LH_LINK_FACTS_MAX),
    BLOB(lh_link_evidence, evidence, LH_LINK_EVIDENCE_MAX));
SHAPE(storage_ask, lh_link_storage_ask, RAW(lh_link_storage_ask, nonce), U8(lh_link_storage_ask, storage));
SHAPE(storage, lh_link_storage, STR(lh_link_storage, reason),
    BLOB(lh_link_storage, storage_public, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_storage, certify, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_storage, certify_signature, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_storage, time, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_storage, time_signature, LH_LINK_CUSTODY_MAX));
SHAPE(lease_key, lh_link_lease_key, U64(lh_link_lease_key, request), U64(lh_link_lease_key, handle),
    RAW(lh_link_lease_key, lease), U8(lh_link_lease_key, kind),
    BLOB(lh_link_lease_key, mechanisms, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_lease_key, public_area, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_lease_key, duplicate, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_lease_key, seed, LH_LINK_CUSTODY_MAX),
    BLOB(lh_link_lease_key, approver, LH_LINK_CUSTODY_MAX), U32(lh_link_lease_key, pcr_mask),
    U32(lh_link_lease_key, reset_count), U32(lh_link_lease_key, restart_count),
    U32(lh_link_lease_key, pin_index), U32(lh_link_lease_key, expiration), RAW(lh_link_lease_key, signature));
SHAPE(approval, lh_link_approval, RAW(lh_link_approval, lease), U32(lh_link_approval, expiration),
    RAW(lh_link_approval, signature));
SHAPE(withdraw, lh_link_withdraw, RAW(lh_link_withdraw, lease), STR(lh_link_withdraw, reason));
SHAPE(pin_ask, lh_link_pin_ask, RAW(lh_link_pin_ask, lease), RAW(lh_link_pin_ask, nonce),
    U8(lh_link_pin_ask, written));
SHAPE(pin, lh_link_pin, RAW(lh_link_pin, lease), U32(lh_link_pin, limit), RAW(lh_link_pin, signature));

#define AGENT LH_LINK_AGENT
#define VAULT LH_LINK_VAULT
#define BOTH (LH_LINK_AGENT | LH_LINK_VAULT)
#define NONE LH_LINK_STREAM_NONE
#define ONE LH_LINK_STREAM_ONE
#define ANY LH_LINK_STREAM_ANY

static const lh_link_row rows[] = {
    {LH_LINK_HELLO, "hello", AGENT, NONE, &shape_hello},
    {LH_LINK_ACTIVATE, "activate", VAULT, NONE, &shape_activate},
    {LH_LINK_ACTIVATED, "activated", AGENT, NONE, &shape_activated},
    {LH_LINK_WELCOME, "welcome", VAULT, NONE, &shape_welcome},
    {LH_LINK_REFUSED, "refused", VAULT, NONE, &lh_shape_error},
    {LH_LINK_OPEN, "open", AGENT, ONE, &shape_open},
    {LH_LINK_DATA, "data", BOTH, ONE, &shape_data},
    {LH_LINK_CLOSE, "close", BOTH, ONE, &shape_close},
    {LH_LINK_QUOTE, "quote", VAULT, ANY, &shape_quote},
    {LH_LINK_LOG, "log", AGENT, ANY, &shape_log},
    {LH_LINK_EVIDENCE, "evidence", AGENT, ANY, &shape_evidence},
    {LH_LINK_NO_EVIDENCE, "no_evidence", AGENT, ANY, &lh_shape_error},
    {LH_LINK_STORAGE_ASK, "storage_ask", VAULT, NONE, &shape_storage_ask},
    {LH_LINK_STORAGE, "storage", AGENT, NONE, &shape_storage},
    {LH_LINK_LEASE_KEY, "lease_key", VAULT, ONE, &shape_lease_key},
    {LH_LINK_APPROVAL, "approval", VAULT, NONE, &shape_approval},
    {LH_LINK_WITHDRAW, "withdraw", VAULT, NONE, &shape_withdraw},
    {LH_LINK_PIN_ASK, "pin_ask", AGENT, NONE, &shape_pin_ask},
    {LH_LINK_PIN, "pin", VAULT, NONE, &shape_pin},
    {LH_LINK_PING, "ping", BOTH, NONE, &shape_empty},
    {LH_LINK_PONG, "pong", BOTH, NONE, &shape_empty},
};

const lh_link_row *lh_link_find(unsigned type)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if ((unsigned)rows[i].type == type)
            return &rows[i];
    return NULL;
}

const lh_link_row *lh_link_table(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(rows);
    return rows;
}

static bool stream_fits(const lh_link_row *row, uint32_t stream)
{
    switch (row->stream) {
    case LH_LINK_STREAM_NONE: return stream == 0;
    case LH_LINK_STREAM_ONE: return stream != 0;
    case LH_LINK_STREAM_ANY: return true;
    }
    return false;
}

lh_err lh_link_encode_raw(unsigned type, uint32_t stream, lh_bytes body, lh_buf *frame)
{
    const lh_link_row *row = lh_link_find(type);
    if (!row || !stream_fits(row, stream))
        return LH_FAIL(LH_E_INTERNAL, "no frame of type %u has stream %u", type, stream);
    if (body.len > LH_LINK_SIZE_MAX - LH_LINK_HEADER)
        return LH_FAIL(LH_E_LIMIT, "a %s frame of %zu bytes is too long", row->name, body.len);
    lh_buf_clear(frame);
    lh_put_u32(frame, (uint32_t)(LH_LINK_HEADER - LH_LINK_LENGTH + body.len));
    lh_put_u8(frame, (uint8_t)type);
    lh_put_u32(frame, stream);
    lh_put_raw(frame, body.data, body.len);
    return lh_buf_status(frame);
}

lh_err lh_link_encode(enum lh_link_type type, uint32_t stream, const void *value, lh_buf *frame)
{
    const lh_link_row *row = lh_link_find((unsigned)type);
    if (!row)
        return LH_FAIL(LH_E_INTERNAL, "no frame has the type %d", (int)type);
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LINK_FRAME_MAX);
    LH_TRY(lh_shape_encode(row->body, value, &body));
    return lh_link_encode_raw((unsigned)type, stream, lh_buf_bytes(&body), frame);
}

lh_err lh_link_size(lh_bytes begin, size_t *ret_size)
{
    *ret_size = 0;
    if (begin.len < LH_LINK_LENGTH)
        return LH_SUCCESS;
    lh_reader r = lh_reader_new(begin);
    size_t length = lh_read_u32(&r);
    if (length < LH_LINK_HEADER - LH_LINK_LENGTH || length > LH_LINK_FRAME_MAX)
        return LH_REFUSE(
            LH_E_PROTOCOL, "link-frame-size", "a frame of %zu bytes is shorter or longer than any", length);
    *ret_size = LH_LINK_LENGTH + length;
    return LH_SUCCESS;
}

lh_err lh_link_decode(lh_bytes frame, enum lh_link_side side, lh_link_frame *ret)
{
    size_t size = 0;
    LH_TRY(lh_link_size(frame, &size));
    if (size != frame.len || size == 0)
        return LH_REFUSE(LH_E_PROTOCOL, "link-frame-size", "a frame has another length than it says");
    lh_reader r = lh_reader_new(LH_BYTES(frame.data + LH_LINK_LENGTH, frame.len - LH_LINK_LENGTH));
    unsigned type = lh_read_u8(&r);
    lh_link_frame found = {.row = lh_link_find(type), .stream = lh_read_u32(&r)};
    found.body = lh_read_raw(&r, r.left);
    LH_TRY(lh_read_done(&r, "a frame"));
    if (!found.row || !(found.row->sides & (unsigned)side) || !stream_fits(found.row, found.stream))
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol",
            "a frame of type %u on stream %u is not for this side of a link", type, found.stream);
    *ret = found;
    return LH_SUCCESS;
}

lh_err lh_link_decode_body(const lh_link_frame *frame, void *ret)
{
    return lh_shape_decode(frame->row->body, frame->body, ret);
}
