/* Encoding and decoding by shape, and whole messages from shapes. */
#include "codec/bin.h"
#include "wire/calls.h"

static const void *at(const void *value, const lh_field *field)
{
    return (const uint8_t *)value + field->offset;
}

static lh_err encode_blob(const lh_shape *shape, const lh_field *field, lh_bytes blob, lh_buf *body)
{
    if (blob.len > field->max)
        return LH_FAIL(LH_E_LIMIT, "%s of %s has %zu bytes, more than %zu", field->name, shape->name,
            blob.len, field->max);
    lh_put_blob(body, blob);
    return LH_SUCCESS;
}

static uint64_t load(const void *from, enum lh_field_kind kind)
{
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    uint64_t v64 = 0;
    switch (kind) {
    case LH_FIELD_U8: memcpy(&v8, from, sizeof(v8)); return v8;
    case LH_FIELD_U16: memcpy(&v16, from, sizeof(v16)); return v16;
    case LH_FIELD_U32: memcpy(&v32, from, sizeof(v32)); return v32;
    case LH_FIELD_U64: memcpy(&v64, from, sizeof(v64)); return v64;
    case LH_FIELD_RAW:
    case LH_FIELD_STR:
    case LH_FIELD_BLOB: break;
    }
    return v64;
}

lh_err lh_shape_encode(const lh_shape *shape, const void *value, lh_buf *body)
{
    for (size_t i = 0; i < shape->count; i++) {
        const lh_field *field = &shape->fields[i];
        const void *from = at(value, field);
        switch (field->kind) {
        case LH_FIELD_U8: lh_put_u8(body, (uint8_t)load(from, field->kind)); break;
        case LH_FIELD_U16: lh_put_u16(body, (uint16_t)load(from, field->kind)); break;
        case LH_FIELD_U32: lh_put_u32(body, (uint32_t)load(from, field->kind)); break;
        case LH_FIELD_U64: lh_put_u64(body, load(from, field->kind)); break;
        case LH_FIELD_RAW: lh_put_raw(body, from, field->max); break;
        case LH_FIELD_STR: lh_put_blob(body, LH_BYTES(from, strnlen(from, field->max - 1))); break;
        case LH_FIELD_BLOB: {
            lh_bytes blob;
            memcpy(&blob, from, sizeof(blob));
            LH_TRY(encode_blob(shape, field, blob, body));
            break;
        }
        }
    }
    return lh_buf_status(body);
}

static void decode_field(lh_reader *r, const lh_field *field, uint8_t *to)
{
    switch (field->kind) {
    case LH_FIELD_U8: *to = lh_read_u8(r); break;
    case LH_FIELD_U16: memcpy(to, &(uint16_t){lh_read_u16(r)}, sizeof(uint16_t)); break;
    case LH_FIELD_U32: memcpy(to, &(uint32_t){lh_read_u32(r)}, sizeof(uint32_t)); break;
    case LH_FIELD_U64: memcpy(to, &(uint64_t){lh_read_u64(r)}, sizeof(uint64_t)); break;
    case LH_FIELD_RAW: lh_read_into(r, to, field->max); break;
    case LH_FIELD_STR: lh_read_str(r, (char *)to, field->max); break;
    case LH_FIELD_BLOB: {
        lh_bytes blob = lh_read_blob(r, field->max);
        memcpy(to, &blob, sizeof(blob));
        break;
    }
    }
}

/* Large enough for every struct of a shape; a static assertion in the tests' table walk keeps it so. */
typedef union {
    lh_any_request request;
    lh_error_reply error;
    lh_token_info_reply token_info;
    lh_find_reply find;
    lh_slot_info_reply slot_info;
} any_struct;

lh_err lh_shape_decode(const lh_shape *shape, lh_bytes body, void *ret)
{
    any_struct value;
    memset(&value, 0, sizeof(value));
    if (shape->size > sizeof(value))
        return LH_FAIL(LH_E_INTERNAL, "%s is larger than any_struct", shape->name);
    lh_reader r = lh_reader_new(body);
    for (size_t i = 0; i < shape->count; i++)
        decode_field(&r, &shape->fields[i], (uint8_t *)&value + shape->fields[i].offset);
    LH_TRY(lh_read_done(&r, shape->name));
    if (shape->size > 0)
        memcpy(ret, &value, shape->size);
    return LH_SUCCESS;
}

static lh_err encode_message(
    lh_message_header header, const lh_shape *shape, const void *value, lh_buf *message)
{
    lh_buf_clear(message);
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_MESSAGE_BODY_MAX);
    LH_TRY(lh_shape_encode(shape, value, &body));
    return lh_message_encode(&header, lh_buf_bytes(&body), message);
}

lh_err lh_call_request(enum lh_call call, uint64_t id, const void *request, lh_buf *message)
{
    const lh_call_row *row = lh_call_find(call);
    if (!row)
        return LH_FAIL(LH_E_INTERNAL, "no call has the number %d", (int)call);
    return encode_message(
        (lh_message_header){.call = (uint16_t)call, .id = id}, row->request, request, message);
}

lh_err lh_call_reply(enum lh_call call, uint64_t id, const void *reply, lh_buf *message)
{
    const lh_call_row *row = lh_call_find(call);
    if (!row || !row->reply)
        return LH_FAIL(LH_E_INTERNAL, "call %d has no reply", (int)call);
    return encode_message((lh_message_header){.call = (uint16_t)call, .flags = LH_FLAG_REPLY, .id = id},
        row->reply, reply, message);
}

lh_err lh_call_error(unsigned call, uint64_t id, lh_err err, const lh_err_detail *detail, lh_buf *message)
{
    lh_error_reply reply;
    memset(&reply, 0, sizeof(reply));
    enum lh_code code = err.code == LH_OK ? LH_E_INTERNAL : err.code;
    reply.code = (uint32_t)code;
    if (detail && detail->code == err.code) {
        memcpy(reply.reason, detail->reason, strnlen(detail->reason, sizeof(reply.reason) - 1));
        memcpy(reply.message, detail->message, strnlen(detail->message, sizeof(reply.message) - 1));
    }
    lh_message_header header = {
        .call = (uint16_t)call, .flags = LH_FLAG_REPLY | LH_FLAG_ERROR, .id = id, .status = reply.code};
    return encode_message(header, &lh_shape_error, &reply, message);
}

lh_err lh_call_decode(
    const lh_message_header *header, lh_bytes body, enum lh_wire_kind kind, uint16_t version, void *ret)
{
    if (header->flags != 0)
        return LH_REFUSE(LH_E_PROTOCOL, "message-header", "a client sends requests, not replies");
    const lh_call_row *row = lh_call_find(header->call);
    if (!row || row->kinds == 0 || row->min_version > version)
        return LH_REFUSE(LH_E_UNSUPPORTED, "unknown-call", "call %u is not known in protocol version %u",
            header->call, version);
    if (!(row->kinds & 1u << kind))
        return LH_REFUSE(LH_E_DENIED, "wrong-kind", "%s is not for a connection of this kind", row->name);
    return lh_shape_decode(row->request, body, ret);
}

lh_err lh_call_decode_reply(const lh_message_header *header, lh_bytes body, void *ret)
{
    const lh_call_row *row = lh_call_find(header->call);
    if (!row || !row->reply || !(header->flags & LH_FLAG_REPLY))
        return LH_REFUSE(LH_E_PROTOCOL, "message-header", "this is not a reply to a call");
    if (!(header->flags & LH_FLAG_ERROR))
        return lh_shape_decode(row->reply, body, ret);
    lh_error_reply error;
    LH_TRY(lh_shape_decode(&lh_shape_error, body, &error));
    if (error.code != header->status)
        return LH_REFUSE(LH_E_PROTOCOL, "message-header", "an error reply tells two codes");
    enum lh_code code = error.code < LH_CODE_COUNT ? (enum lh_code)error.code : LH_E_INTERNAL;
    return lh_err_raise(code, 0, __FILE__, __LINE__, error.reason, "%s", error.message);
}

/* --- objects and attributes --- */

void lh_wire_put_attribute(lh_buf *buf, uint32_t type, uint8_t flags, lh_bytes value)
{
    lh_put_u32(buf, type);
    lh_put_u8(buf, flags);
    lh_put_blob(buf, flags != 0 ? LH_BYTES_NONE : value);
}

void lh_wire_put_bool(lh_buf *buf, uint32_t type, bool value)
{
    uint8_t byte = value ? 1 : 0;
    lh_wire_put_attribute(buf, type, 0, LH_BYTES(&byte, 1));
}

void lh_wire_put_ulong(lh_buf *buf, uint32_t type, uint64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * (7 - i)));
    lh_wire_put_attribute(buf, type, 0, LH_BYTES(bytes, sizeof(bytes)));
}

void lh_wire_put_object(lh_buf *buf, uint64_t handle, lh_bytes attributes)
{
    lh_put_u64(buf, handle);
    lh_put_blob(buf, attributes);
}

bool lh_wire_next_attribute(lh_reader *reader, lh_wire_attribute *ret)
{
    if (reader->bad || reader->left == 0)
        return false;
    lh_wire_attribute a;
    a.type = lh_read_u32(reader);
    a.flags = lh_read_u8(reader);
    a.value = lh_read_blob(reader, LH_WIRE_VALUE_MAX);
    bool known = a.flags == 0 || a.flags == LH_ATTRIBUTE_SENSITIVE || a.flags == LH_ATTRIBUTE_NONE ||
                 a.flags == LH_ATTRIBUTE_ASK;
    if (!known || (a.flags != 0 && a.value.len > 0))
        reader->bad = true;
    if (reader->bad)
        return false;
    *ret = a;
    return true;
}

bool lh_wire_next_object(lh_reader *reader, lh_wire_object *ret)
{
    if (reader->bad || reader->left == 0)
        return false;
    lh_wire_object o;
    o.handle = lh_read_u64(reader);
    o.attributes = lh_read_blob(reader, LH_WIRE_ATTRIBUTES_MAX);
    if (o.handle == 0 || o.handle > INT64_MAX)
        reader->bad = true;
    if (reader->bad)
        return false;
    *ret = o;
    return true;
}
