/* The table of a link's frames: every shape there and back, cut short, too long; what a side may not send. */
#include "wire/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void fill_struct(const lh_shape *shape, uint8_t *out, const uint8_t *fill)
{
    for (size_t i = 0; i < shape->count; i++) {
        const lh_field *f = &shape->fields[i];
        lh_bytes blob = {fill, f->max};
        if (f->kind == LH_FIELD_BLOB)
            memcpy(out + f->offset, &blob, sizeof(blob));
        else if (f->kind == LH_FIELD_STR)
            memset(out + f->offset, 'a' + (int)i, f->max - 1);
        else
            memset(out + f->offset, 0x10 + (int)i, f->max);
    }
}

static uint32_t stream_of(const lh_link_row *row)
{
    return row->stream == LH_LINK_STREAM_NONE ? 0 : 0x01020304;
}

static void check_row(const lh_link_row *row, const uint8_t *fill)
{
    uint8_t in[1024] = {0};
    uint8_t out[1024] = {0};
    uint8_t again[1024] = {0};
    assert_true(row->body->size <= sizeof(in));
    assert_true(row->body->size <= sizeof(lh_link_any));
    fill_struct(row->body, in, fill);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_true(lh_ok(lh_link_encode(row->type, stream_of(row), in, &frame)));
    size_t size = 0;
    assert_true(lh_ok(lh_link_size(LH_BYTES(frame.data, 4), &size)));
    assert_int_equal(size, frame.len);
    enum lh_link_side side = row->sides & LH_LINK_AGENT ? LH_LINK_AGENT : LH_LINK_VAULT;
    lh_link_frame decoded;
    assert_true(lh_ok(lh_link_decode(lh_buf_bytes(&frame), side, &decoded)));
    assert_ptr_equal(decoded.row, row);
    assert_int_equal(decoded.stream, stream_of(row));
    assert_true(lh_ok(lh_link_decode_body(&decoded, out)));
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_true(lh_ok(lh_link_encode(row->type, stream_of(row), out, &second)));
    assert_true(lh_bytes_equal(lh_buf_bytes(&frame), lh_buf_bytes(&second)));
    /* A span over its bound is refused by the writer and by the reader. */
    for (size_t i = 0; i < row->body->count; i++) {
        const lh_field *f = &row->body->fields[i];
        if (f->kind != LH_FIELD_BLOB)
            continue;
        lh_bytes big = {fill, f->max + 1};
        memcpy(again, in, sizeof(again));
        memcpy(again + f->offset, &big, sizeof(big));
        assert_int_equal(lh_link_encode(row->type, stream_of(row), again, &second).code, LH_E_LIMIT);
    }
    /* Every shorter body, and one byte more, is refused. */
    for (size_t n = 0; n<decoded.body.len; n += decoded.body.len> 4096 ? 997 : 1) {
        lh_link_frame cut = decoded;
        cut.body.len = n;
        assert_int_equal(lh_link_decode_body(&cut, out).code, LH_E_CORRUPT);
    }
    lh_put_u8(&frame, 0);
    frame.data[3]++;
    if (frame.data[3] != 0) {
        assert_true(lh_ok(lh_link_decode(lh_buf_bytes(&frame), side, &decoded)));
        assert_int_equal(lh_link_decode_body(&decoded, out).code, LH_E_CORRUPT);
    }
}

static void every_row(void **state)
{
    (void)state;
    uint8_t *fill = malloc(LH_LINK_SIZE_MAX + 1);
    for (size_t i = 0; i <= LH_LINK_SIZE_MAX; i++)
        fill[i] = (uint8_t)(i * 7);
    size_t count;
    const lh_link_row *rows = lh_link_table(&count);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(lh_link_find((unsigned)rows[i].type), &rows[i]);
        check_row(&rows[i], fill);
    }
    assert_null(lh_link_find(0));
    assert_null(lh_link_find(255));
    free(fill);
}

static void reason_is(lh_err err, enum lh_code code, const char *reason)
{
    assert_int_equal(err.code, code);
    assert_string_equal(lh_err_last()->reason, reason);
}

static void sides_and_streams(void **state)
{
    (void)state;
    lh_link_frame decoded = {.stream = 77};
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    size_t count;
    const lh_link_row *rows = lh_link_table(&count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned side = LH_LINK_AGENT; side <= LH_LINK_VAULT; side++) {
            assert_true(lh_ok(
                lh_link_encode_raw((unsigned)rows[i].type, stream_of(&rows[i]), LH_BYTES_NONE, &frame)));
            lh_err err = lh_link_decode(lh_buf_bytes(&frame), (enum lh_link_side)side, &decoded);
            if (rows[i].sides & side)
                assert_true(lh_ok(err));
            else
                reason_is(err, LH_E_PROTOCOL, "link-protocol");
        }
        if (rows[i].stream == LH_LINK_STREAM_ANY)
            continue;
        /* With a stream where there must be none, or the other way round: neither written nor read. */
        uint32_t wrong = rows[i].stream == LH_LINK_STREAM_NONE ? 1 : 0;
        enum lh_link_side side = rows[i].sides & LH_LINK_AGENT ? LH_LINK_AGENT : LH_LINK_VAULT;
        memset(frame.data + 5, 0, 4);
        frame.data[8] = (uint8_t)wrong;
        reason_is(lh_link_decode(lh_buf_bytes(&frame), side, &decoded), LH_E_PROTOCOL, "link-protocol");
        assert_int_equal(
            lh_link_encode_raw((unsigned)rows[i].type, wrong, LH_BYTES_NONE, &frame).code, LH_E_INTERNAL);
    }
    static const uint8_t unknown[] = {0, 0, 0, 5, 200, 0, 0, 0, 0};
    reason_is(lh_link_decode(LH_BYTES(unknown, sizeof(unknown)), LH_LINK_AGENT, &decoded), LH_E_PROTOCOL,
        "link-protocol");
    assert_int_equal(lh_link_encode_raw(200, 0, LH_BYTES_NONE, &frame).code, LH_E_INTERNAL);
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[4];
        size_t size; /* 0: refused */
    } cases[] = {
        {{0, 0, 0, 0}, 0},
        {{0, 0, 0, 4}, 0},
        {{0, 0, 0, 5}, 9},
        {{0, 3, 0, 0}, LH_LINK_SIZE_MAX},
        {{0, 3, 0, 1}, 0},
        {{0xff, 0xff, 0xff, 0xff}, 0},
    };
    size_t size = 1;
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_err err = lh_link_size(LH_BYTES(cases[i].bytes, 4), &size);
        if (cases[i].size == 0) {
            reason_is(err, LH_E_PROTOCOL, "link-frame-size");
            continue;
        }
        assert_true(lh_ok(err));
        assert_int_equal(size, cases[i].size);
    }
    for (size_t n = 0; n < 4; n++) {
        assert_true(lh_ok(lh_link_size(LH_BYTES(cases[2].bytes, n), &size)));
        assert_int_equal(size, 0);
    }
    /* Longer or shorter than it says. */
    static const uint8_t ping[] = {0, 0, 0, 5, 20, 0, 0, 0, 0, 0};
    lh_link_frame decoded;
    assert_true(lh_ok(lh_link_decode(LH_BYTES(ping, 9), LH_LINK_AGENT, &decoded)));
    for (size_t n = 0; n <= sizeof(ping); n++)
        if (n != 9)
            reason_is(
                lh_link_decode(LH_BYTES(ping, n), LH_LINK_AGENT, &decoded), LH_E_PROTOCOL, "link-frame-size");
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_int_equal(
        lh_link_encode_raw(LH_LINK_PING, 0, LH_BYTES(ping, LH_LINK_SIZE_MAX), &frame).code, LH_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(sides_and_streams),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
