/* A stream of frames, from either side (the first byte chooses): cut into frames as a channel does it, each
 * taken apart. What decodes must encode to the same bytes. */
#include "wire/link.h"

#include <stdlib.h>

static void require(bool ok)
{
    if (!ok)
        abort();
}

static void take(lh_bytes frame, enum lh_link_side side)
{
    lh_link_frame decoded;
    lh_link_any body;
    if (!lh_ok(lh_link_decode(frame, side, &decoded)))
        return;
    require((decoded.row->sides & (unsigned)side) != 0);
    if (!lh_ok(lh_link_decode_body(&decoded, &body)))
        return;
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    require(lh_ok(lh_link_encode(decoded.row->type, decoded.stream, &body, &again)));
    require(lh_bytes_equal(lh_buf_bytes(&again), frame));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum lh_link_side side = data[0] & 1 ? LH_LINK_AGENT : LH_LINK_VAULT;
    lh_bytes rest = LH_BYTES(data + 1, size - 1);
    size_t length = 0;
    while (lh_ok(lh_link_size(rest, &length)) && length > 0 && length <= rest.len) {
        take(LH_BYTES(rest.data, length), side);
        rest = LH_BYTES(rest.data + length, rest.len - length);
    }
    return 0;
}
