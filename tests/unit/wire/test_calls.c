/* The table of calls: every shape there and back, cut short, too long; hello. */
#include "wire/calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Bytes of this span where every span is at its bound: a signature alone shares its room with the data. */
static size_t span_max(const lh_field *f)
{
    return strcmp(f->name, "signature") == 0 ? LH_WIRE_SIGNATURE_SHORT : f->max;
}

/* A struct of shape, its fields filled with what differs by field; spans point into fill. */
static void fill_struct(const lh_shape *shape, uint8_t *out, const uint8_t *fill)
{
    for (size_t i = 0; i < shape->count; i++) {
        const lh_field *f = &shape->fields[i];
        lh_bytes blob = {fill, span_max(f)};
        if (f->kind == LH_FIELD_BLOB)
            memcpy(out + f->offset, &blob, sizeof(blob));
        else if (f->kind == LH_FIELD_STR)
            memset(out + f->offset, 'a' + (int)i, f->max - 1);
        else
            memset(out + f->offset, 0x10 + (int)i, f->max);
    }
}

static void check_shape(const lh_shape *shape, const uint8_t *fill)
{
    uint8_t in[1024] = {0};
    uint8_t out[1024] = {0};
    lh_bytes blobs;
    assert_true(shape->size <= sizeof(in));
    fill_struct(shape, in, fill);
    /* Even with every span at its bound it fits a message. */
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_MESSAGE_BODY_MAX);
    assert_true(lh_ok(lh_shape_encode(shape, in, &body)));
    assert_true(lh_ok(lh_shape_decode(shape, lh_buf_bytes(&body), out)));
    for (size_t i = 0; i < shape->count; i++) {
        const lh_field *f = &shape->fields[i];
        if (f->kind != LH_FIELD_BLOB) {
            assert_memory_equal(in + f->offset, out + f->offset, f->max);
            continue;
        }
        memcpy(&blobs, out + f->offset, sizeof(blobs));
        assert_true(lh_bytes_equal(blobs, LH_BYTES(fill, span_max(f))));
        /* One over its bound is refused by the writer. */
        lh_bytes big = {fill, f->max + 1};
        memcpy(in + f->offset, &big, sizeof(big));
        LH_AUTO(lh_buf_free) lh_buf over = LH_BUF_INIT(2 * LH_LIMIT_MESSAGE);
        assert_int_equal(lh_shape_encode(shape, in, &over).code, LH_E_LIMIT);
        big.len = 0;
        memcpy(in + f->offset, &big, sizeof(big));
    }
    /* With empty spans: every shorter body, and one byte more, is refused. */
    lh_buf_clear(&body);
    assert_true(lh_ok(lh_shape_encode(shape, in, &body)));
    for (size_t n = 0; n < body.len; n++)
        assert_int_equal(lh_shape_decode(shape, LH_BYTES(body.data, n), out).code, LH_E_CORRUPT);
    lh_put_u8(&body, 0);
    assert_int_equal(lh_shape_decode(shape, lh_buf_bytes(&body), out).code, LH_E_CORRUPT);
}

static void every_shape(void **state)
{
    (void)state;
    uint8_t *fill = malloc(LH_LIMIT_MESSAGE + 1);
    for (size_t i = 0; i <= LH_LIMIT_MESSAGE; i++)
        fill[i] = (uint8_t)(i * 7);
    size_t count;
    const lh_call_row *rows = lh_call_table(&count);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(lh_call_find(rows[i].call), &rows[i]);
        assert_in_range(rows[i].min_version, 1, LH_WIRE_VERSION_MAX);
        assert_true(rows[i].request->size <= sizeof(lh_any_request));
        check_shape(rows[i].request, fill);
        if (rows[i].reply)
            check_shape(rows[i].reply, fill);
    }
    check_shape(&lh_shape_error, fill);
    free(fill);
}

/* A long signature fits a message with so much less data; with more it is refused by the writer. */
static void a_long_signature_takes_room_from_data(void **state)
{
    (void)state;
    uint8_t *fill = calloc(1, LH_LIMIT_MESSAGE);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_operate_request q = {.signature = LH_BYTES(fill, LH_WIRE_SIGNATURE_MAX),
        .data = LH_BYTES(fill, LH_WIRE_DATA_MAX + LH_WIRE_SIGNATURE_SHORT - LH_WIRE_SIGNATURE_MAX),
        .params = LH_BYTES(fill, LH_WIRE_PARAMS_MAX)};
    assert_true(lh_ok(lh_call_request(LH_CALL_VERIFY, 1, &q, &message)));
    lh_message_header h;
    lh_bytes body;
    lh_any_request out;
    assert_true(lh_ok(lh_message_decode(lh_buf_bytes(&message), &h, &body)));
    assert_true(lh_ok(lh_call_decode(&h, body, LH_KIND_TOKEN, LH_WIRE_VERSION_MAX, &out)));
    assert_int_equal(out.operate.signature.len, LH_WIRE_SIGNATURE_MAX);
    q.data.len = LH_WIRE_DATA_MAX;
    assert_int_equal(lh_call_request(LH_CALL_VERIFY, 1, &q, &message).code, LH_E_LIMIT);
    free(fill);
}

/* What a version-1 connection may ask is what version 1 had. */
static void calls_of_a_later_version_are_unknown(void **state)
{
    (void)state;
    size_t count;
    size_t later = 0;
    const lh_call_row *rows = lh_call_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (!(rows[i].kinds & 1u << LH_KIND_TOKEN))
            continue;
        assert_int_equal(rows[i].min_version, (unsigned)rows[i].call >= LH_CALL_SLOTS ? 2 : 1);
        const lh_message_header h = {.call = (uint16_t)rows[i].call};
        lh_any_request out;
        lh_err err = lh_call_decode(&h, LH_BYTES_NONE, LH_KIND_TOKEN, 1, &out);
        if (rows[i].min_version > 1) {
            assert_int_equal(err.code, LH_E_UNSUPPORTED);
            assert_string_equal(lh_err_last()->reason, "unknown-call");
            later++;
        } else {
            assert_int_not_equal(err.code, LH_E_UNSUPPORTED);
        }
    }
    assert_true(later > 20);
}

/* A reader refuses a span over its bound even where the bytes are there. */
static void oversized_spans_are_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_seed_request out;
    lh_put_u32(&body, LH_WIRE_DATA_MAX + 1);
    assert_non_null(lh_buf_extend(&body, LH_WIRE_DATA_MAX + 1));
    assert_int_equal(
        lh_shape_decode(lh_call_find(LH_CALL_SEED)->request, lh_buf_bytes(&body), &out).code, LH_E_CORRUPT);
    lh_buf_clear(&body);
    lh_put_u32(&body, UINT32_MAX);
    assert_int_equal(
        lh_shape_decode(lh_call_find(LH_CALL_SEED)->request, lh_buf_bytes(&body), &out).code, LH_E_CORRUPT);
}

static void requests_are_for_their_kind(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header h;
    lh_bytes body;
    lh_any_request out;
    lh_admin_message admin = {LH_BYTES_STR("{}")};
    assert_true(lh_ok(lh_call_request(LH_CALL_ADMIN, 5, &admin, &message)));
    assert_true(lh_ok(lh_message_decode(lh_buf_bytes(&message), &h, &body)));
    assert_int_equal(h.id, 5);
    assert_true(lh_ok(lh_call_decode(&h, body, LH_KIND_ADMIN, 1, &out)));
    assert_true(lh_bytes_equal(out.admin.json, admin.json));
    assert_int_equal(lh_call_decode(&h, body, LH_KIND_TOKEN, 1, &out).code, LH_E_DENIED);
    assert_string_equal(lh_err_last()->reason, "wrong-kind");
    assert_int_equal(lh_call_decode(&h, body, LH_KIND_ADMIN, 0, &out).code, LH_E_UNSUPPORTED);
    h.call = 999;
    assert_int_equal(lh_call_decode(&h, body, LH_KIND_ADMIN, 1, &out).code, LH_E_UNSUPPORTED);
    assert_string_equal(lh_err_last()->reason, "unknown-call");
    h.call = LH_CALL_CHALLENGE; /* the daemon's to send */
    assert_int_equal(lh_call_decode(&h, body, LH_KIND_TOKEN, 1, &out).code, LH_E_UNSUPPORTED);
    h.call = LH_CALL_ADMIN;
    h.flags = LH_FLAG_REPLY;
    assert_int_equal(lh_call_decode(&h, body, LH_KIND_ADMIN, 1, &out).code, LH_E_PROTOCOL);
}

static void errors_travel(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header h;
    lh_bytes body;
    lh_output_reply out;
    lh_err err = LH_REFUSE(LH_E_DENIED, "hold", "role %s is on hold", "invoice");
    assert_true(lh_ok(lh_call_error(LH_CALL_SIGN, 9, err, lh_err_last(), &message)));
    LH_IGNORE(LH_RAISE(LH_E_IO, 1));
    assert_true(lh_ok(lh_message_decode(lh_buf_bytes(&message), &h, &body)));
    assert_int_equal(h.status, LH_E_DENIED);
    assert_int_equal(lh_call_decode_reply(&h, body, &out).code, LH_E_DENIED);
    assert_string_equal(lh_err_last()->reason, "hold");
    assert_string_equal(lh_err_last()->message, "role invoice is on hold");
    /* A code of a later version, and two codes in one reply. */
    h.status = LH_E_IO;
    assert_int_equal(lh_call_decode_reply(&h, body, &out).code, LH_E_PROTOCOL);
    lh_error_reply later = {.code = 5000};
    lh_buf_clear(&message);
    assert_true(lh_ok(lh_shape_encode(&lh_shape_error, &later, &message)));
    h.status = 5000;
    assert_int_equal(lh_call_decode_reply(&h, lh_buf_bytes(&message), &out).code, LH_E_INTERNAL);
    /* A detail of another error tells nothing false. */
    assert_true(lh_ok(lh_call_error(LH_CALL_SIGN, 9, (lh_err){LH_E_FULL}, lh_err_last(), &message)));
    assert_true(lh_ok(lh_message_decode(lh_buf_bytes(&message), &h, &body)));
    assert_int_equal(lh_call_decode_reply(&h, body, &out).code, LH_E_FULL);
    assert_string_equal(lh_err_last()->reason, "");
}

static void hello_chooses_a_version(void **state)
{
    (void)state;
    static const struct {
        uint16_t client_min, client_max, min, max;
        int expect; /* version, or minus the error */
    } cases[] = {{1, 1, 1, 1, 1}, {1, 2, 1, 1, 1}, {1, 1, 1, 2, 1}, {1, 2, 1, 2, 2}, {1, 3, 2, 5, 3},
        {2, 5, 1, 3, 3}, {2, 2, 1, 1, -LH_E_UNSUPPORTED}, {1, 1, 2, 3, -LH_E_UNSUPPORTED},
        {0, 1, 1, 1, -LH_E_PROTOCOL}, {3, 2, 1, 9, -LH_E_PROTOCOL}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_hello_request hello = {LH_WIRE_MAGIC, cases[i].client_min, cases[i].client_max, LH_KIND_TOKEN};
        uint16_t version = 0;
        lh_err err = lh_hello_choose(&hello, cases[i].min, cases[i].max, &version);
        assert_int_equal(lh_ok(err) ? (int)version : -(int)err.code, cases[i].expect);
    }
    uint16_t version;
    lh_hello_request hello = {LH_WIRE_MAGIC + 1, 1, 1, LH_KIND_TOKEN};
    assert_int_equal(lh_hello_choose(&hello, 1, 1, &version).code, LH_E_PROTOCOL);
    hello = (lh_hello_request){LH_WIRE_MAGIC, 1, 1, 7};
    assert_int_equal(lh_hello_choose(&hello, 1, 1, &version).code, LH_E_PROTOCOL);
}

/* Bytes of version 1 as they were first released: they must be read, and written, for ever. */
static void version_one_is_fixed(void **state)
{
    (void)state;
    static const uint8_t sign[] = {0, 0, 0, 0x1f, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
        0, /* header */
        0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0x10, 0x44, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0,
        0};
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_operate_request q = {11, 0x1044, LH_BYTES_NONE, LH_BYTES_STR("abc"), LH_BYTES_NONE};
    assert_true(lh_ok(lh_call_request(LH_CALL_SIGN, 7, &q, &message)));
    assert_int_equal(message.len, sizeof(sign));
    assert_memory_equal(message.data, sign, sizeof(sign));
}

static void objects_and_attributes(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf a = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf o = LH_BUF_INIT(1024);
    lh_wire_put_ulong(&a, 0, 3);
    lh_wire_put_bool(&a, 0x108, true);
    lh_wire_put_attribute(&a, 0x11, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_STR("must not be sent"));
    lh_wire_put_object(&o, 42, lh_buf_bytes(&a));
    lh_reader r = lh_reader_new(lh_buf_bytes(&o));
    lh_wire_object object;
    lh_wire_attribute got;
    assert_true(lh_wire_next_object(&r, &object));
    assert_int_equal(object.handle, 42);
    assert_false(lh_wire_next_object(&r, &object));
    assert_true(lh_ok(lh_read_done(&r, "objects")));
    r = lh_reader_new(object.attributes);
    assert_true(
        lh_wire_next_attribute(&r, &got) && got.type == 0 && got.value.len == 8 && got.value.data[7] == 3);
    assert_true(lh_wire_next_attribute(&r, &got) && got.value.len == 1);
    assert_true(
        lh_wire_next_attribute(&r, &got) && got.flags == LH_ATTRIBUTE_SENSITIVE && got.value.len == 0);
    assert_false(lh_wire_next_attribute(&r, &got));

    static const uint8_t bad[][13] = {
        {0, 0, 0, 1, 8, 0, 0, 0, 0},    /* a flag that has no meaning */
        {0, 0, 0, 1, 3, 0, 0, 0, 0},    /* two at once */
        {0, 0, 0, 1, 1, 0, 0, 0, 1},    /* sensitive, and told */
        {0, 0, 0, 1, 0, 0, 0, 0x40, 1}, /* value too long */
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        r = lh_reader_new(LH_BYTES(bad[i], i == 2 ? 10u : 9u));
        assert_false(lh_wire_next_attribute(&r, &got));
        assert_int_equal(lh_read_done(&r, "attributes").code, LH_E_CORRUPT);
    }
    static const uint8_t handles[][12] = {{0}, {0x80, 0, 0, 0, 0, 0, 0, 1}};
    for (size_t i = 0; i < LH_ARRAY_LEN(handles); i++) {
        r = lh_reader_new(LH_BYTES(handles[i], 12));
        assert_false(lh_wire_next_object(&r, &object));
        assert_int_equal(lh_read_done(&r, "objects").code, LH_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_shape),
        cmocka_unit_test(a_long_signature_takes_room_from_data),
        cmocka_unit_test(calls_of_a_later_version_are_unknown), cmocka_unit_test(oversized_spans_are_refused),
        cmocka_unit_test(requests_are_for_their_kind), cmocka_unit_test(errors_travel),
        cmocka_unit_test(hello_chooses_a_version), cmocka_unit_test(version_one_is_fixed),
        cmocka_unit_test(objects_and_attributes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
