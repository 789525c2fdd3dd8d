/* Messages between main and attest: the first byte chooses which; what decodes must encode to the same bytes.
 */
#include "identity/attest_wire.h"
#include "identity/facts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(lh_bytes input)
{
    lh_attest_request decoded;
    if (!lh_ok(lh_attest_request_decode(input, &decoded)))
        return;
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_ATTEST_MESSAGE_MAX);
    lh_attest_request_encode(&decoded, &again);
    if (!lh_bytes_equal(input, lh_buf_bytes(&again)))
        abort();
}

static void reply(lh_bytes input)
{
    lh_attest_reply decoded;
    if (!lh_ok(lh_attest_reply_decode(input, &decoded)))
        return;
    /* Facts of version 1 are written as of version 2: what matters is that they say the same. */
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_ATTEST_MESSAGE_MAX);
    lh_attest_reply_encode(&decoded, &again);
    lh_attest_reply back;
    if (!lh_ok(lh_attest_reply_decode(lh_buf_bytes(&again), &back)) || back.code != decoded.code ||
        (decoded.code == LH_OK && !lh_identity_same(&decoded.identity, &back.identity)))
        abort();
}

static void facts(lh_bytes input)
{
    lh_identity decoded;
    if (!lh_ok(lh_facts_decode(input, &decoded)))
        return;
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(&decoded, &again);
    lh_identity back;
    if (!lh_ok(lh_facts_decode(lh_buf_bytes(&again), &back)) || !lh_identity_same(&decoded, &back))
        abort();
    if (input.data[0] != 1 && !lh_bytes_equal(input, lh_buf_bytes(&again)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > LH_ATTEST_MESSAGE_MAX)
        return 0;
    lh_bytes input = LH_BYTES(data + 1, size - 1);
    switch (data[0] % 3) {
    case 0: request(input); break;
    case 1: reply(input); break;
    default: facts(input); break;
    }
    return 0;
}
