/* Admin requests and replies: any bytes. What parses must print and parse again to the same. */
#include "admin/call.h"
#include "base/limits.h"

#include <stdlib.h>

static void check_reply(lh_bytes json)
{
    size_t count = 0;
    const lh_admin_call *calls = lh_admin_calls(&count);
    for (size_t i = 0; i < count; i++) {
        json_t *reply = NULL;
        if (lh_ok(lh_admin_parse_reply(json, &calls[i], &reply)))
            json_decref(reply);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_bytes json = LH_BYTES(data, size);
    check_reply(json);
    const lh_admin_call *call = NULL;
    json_t *request = NULL;
    if (!lh_ok(lh_admin_parse(json, &call, &request)))
        return 0;
    char *text = json_dumps(request, JSON_COMPACT);
    const lh_admin_call *again_call = NULL;
    json_t *again = NULL;
    if (text == NULL || strlen(text) > LH_LIMIT_MESSAGE) {
        free(text);
        json_decref(request);
        return 0;
    }
    if (!lh_ok(lh_admin_parse(LH_BYTES_STR(text), &again_call, &again)) || again_call != call ||
        !json_equal(request, again))
        abort();
    free(text);
    json_decref(request);
    json_decref(again);
    return 0;
}
