/* Any packet, from either side: the header, every decoder, and what is inside find and attributes. What
 * decodes must encode to the same bytes. The first byte chooses the direction. */
#include "wire/calls.h"

#include <stdlib.h>

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void walk(lh_bytes objects, lh_bytes attributes)
{
    lh_reader r = lh_reader_new(objects);
    lh_wire_object o;
    lh_wire_attribute a;
    while (lh_wire_next_object(&r, &o)) {
        lh_reader inner = lh_reader_new(o.attributes);
        while (lh_wire_next_attribute(&inner, &a))
            require(a.value.len <= LH_WIRE_VALUE_MAX);
    }
    r = lh_reader_new(attributes);
    while (lh_wire_next_attribute(&r, &a))
        continue;
}

static void decode(const lh_shape *shape, lh_bytes body)
{
    uint8_t value[1024];
    if (!shape || !lh_ok(lh_shape_decode(shape, body, value)))
        return;
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    require(lh_ok(lh_shape_encode(shape, value, &again)));
    require(lh_bytes_equal(lh_buf_bytes(&again), body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > LH_LIMIT_MESSAGE)
        return 0;
    lh_message_header h;
    lh_bytes body;
    if (!lh_ok(lh_message_decode(LH_BYTES(data + 1, size - 1), &h, &body))) {
        /* No message: the bytes as a body of each shape. */
        size_t count;
        const lh_call_row *rows = lh_call_table(&count);
        const lh_call_row *row = &rows[data[0] / 2 % count];
        decode(data[0] & 1 ? row->reply : row->request, LH_BYTES(data + 1, size - 1));
        walk(LH_BYTES(data + 1, size - 1), LH_BYTES(data + 1, size - 1));
        return 0;
    }
    lh_any_request request;
    uint8_t reply[1024];
    uint16_t version;
    if (lh_ok(lh_call_decode(&h, body, data[0] & 1 ? LH_KIND_ADMIN : LH_KIND_TOKEN, 1, &request)) &&
        h.call == LH_CALL_FIND)
        walk(LH_BYTES_NONE, request.find.attributes);
    if (h.call == LH_CALL_HELLO &&
        lh_ok(lh_shape_decode(lh_call_find(LH_CALL_HELLO)->request, body, &request)))
        LH_IGNORE(lh_hello_choose(&request.hello, 1, 3, &version));
    LH_IGNORE(lh_call_decode_reply(&h, body, reply));
    const lh_call_row *row = lh_call_find(h.call);
    if (row)
        decode(h.flags & LH_FLAG_REPLY ? row->reply : row->request, body);
    return 0;
}
