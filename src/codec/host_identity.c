#include "codec/host_identity.h"

#include "codec/base64.h"

static void put_text(lh_buf *out, lh_bytes bytes)
{
    lh_buf_append_str(out, "\"");
    lh_base64_encode(bytes, out);
    lh_buf_append_str(out, "\"");
}

lh_err lh_host_identity_encode(const lh_host_identity *identity, lh_buf *out)
{
    char hex[2 * sizeof identity->channel_key + 1];
    lh_hex(identity->channel_key, sizeof identity->channel_key, hex);
    lh_buf_append_str(out, "{\n  \"ek\": ");
    put_text(out, identity->ek);
    lh_buf_append_str(out, ",\n  \"ek_certificates\": [");
    for (size_t i = 0; i < identity->n_certificates; i++) {
        lh_buf_append_str(out, i > 0 ? ",\n    " : "\n    ");
        put_text(out, identity->certificates[i]);
    }
    lh_buf_append_str(out, "],\n  \"ak\": ");
    put_text(out, identity->ak);
    lh_buf_printf(out, ",\n  \"channel_key\": \"sha256:%s\"\n}\n", hex);
    return lh_buf_status(out);
}
