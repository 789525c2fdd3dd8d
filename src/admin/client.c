#include "admin/client.h"

#include "base/limits.h"
#include "wire/client.h"

struct lh_admin_client {
    lh_client *wire;
};

lh_err lh_admin_open(const char *socket_path, lh_admin_client **ret)
{
    LH_AUTO(lh_admin_closep) lh_admin_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_client_open(socket_path, LH_KIND_ADMIN, &client->wire));
    *ret = LH_TAKE(client);
    return LH_SUCCESS;
}

void lh_admin_close(lh_admin_client *client)
{
    if (client == NULL)
        return;
    lh_client_close(client->wire);
    free(client);
}

/* The request's bytes, checked by the same code as the daemon's, so that a mistake is named without a trip.
 */
static lh_err encode_request(const json_t *request, const lh_admin_call **ret_call, lh_buf *out)
{
    if (request == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    char *text = json_dumps(request, JSON_COMPACT);
    if (text == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_buf_append_str(out, text);
    free(text);
    LH_TRY(lh_buf_status(out));
    LH_AUTO(lh_json_freep) json_t *checked = NULL;
    return lh_admin_parse(lh_buf_bytes(out), ret_call, &checked);
}

lh_err lh_admin_do(lh_admin_client *client, json_t *request_taken, json_t **ret_reply)
{
    LH_AUTO(lh_json_freep) json_t *request = request_taken;
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_admin_call *call = NULL;
    LH_TRY(encode_request(request, &call, &bytes));
    lh_admin_message asked = {lh_buf_bytes(&bytes)};
    lh_admin_message answered = {LH_BYTES_NONE};
    LH_TRY(lh_client_call(client->wire, LH_CALL_ADMIN, &asked, &answered));
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(lh_admin_parse_reply(answered.json, call, &reply));
    if (ret_reply != NULL)
        *ret_reply = LH_TAKE(reply);
    return LH_SUCCESS;
}
