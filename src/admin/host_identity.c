#include "admin/host_identity.h"

#include "admin/call.h"
#include "codec/base64.h"

#define BASE64_OF(bytes) (4 * (((bytes) + 2) / 3))
#define CHANNEL_PREFIX "sha256:"

static const lh_admin_field document_fields[] = {
    {"ek", LH_ADMIN_TEXT, true, BASE64_OF(LH_LIMIT_TPM_PUBLIC), 0, NULL},
    {"ek_certificates", LH_ADMIN_STRINGS, true, LH_LIMIT_EK_CERTIFICATES, BASE64_OF(LH_LIMIT_CERTIFICATE),
        NULL},
    {"ak", LH_ADMIN_TEXT, true, BASE64_OF(LH_LIMIT_TPM_PUBLIC), 0, NULL},
    {"channel_key", LH_ADMIN_TEXT, true, sizeof CHANNEL_PREFIX - 1 + 64, 0, NULL},
    {NULL, LH_ADMIN_TEXT, false, 0, 0, NULL},
};

void lh_host_document_clear(lh_host_document *document)
{
    lh_buf_free(&document->ek);
    lh_buf_free(&document->ak);
    for (size_t i = 0; i < LH_ARRAY_LEN(document->certificates); i++)
        lh_buf_free(&document->certificates[i]);
    *document = (lh_host_document){0};
}

static lh_err wrong(const char *what)
{
    return LH_REFUSE(LH_E_INVALID, "identity-format", "the host's identity document is wrong: %s", what);
}

static lh_err decode(const json_t *text, const char *what, lh_buf *out)
{
    lh_err err = lh_base64_decode(LH_BYTES_STR(json_string_value(text)), out);
    return err.code == LH_E_INVALID || err.code == LH_E_LIMIT || (lh_ok(err) && out->len == 0) ? wrong(what)
                                                                                               : err;
}

static lh_err read_channel_key(const json_t *value, uint8_t out[32])
{
    const char *text = json_string_value(value);
    size_t prefix = strlen(CHANNEL_PREFIX);
    if (strncmp(text, CHANNEL_PREFIX, prefix) != 0 || strlen(text) != prefix + 64 ||
        !lh_ok(lh_unhex(text + prefix, out, 32)))
        return wrong("\"channel_key\" is \"sha256:\" and 64 hex digits");
    return LH_SUCCESS;
}

lh_err lh_host_document_parse(lh_bytes bytes, lh_host_document *ret)
{
    LH_AUTO(lh_host_document_clear)
    lh_host_document document = {
        .ek = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC), .ak = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC)};
    json_error_t error;
    if (bytes.len > LH_LIMIT_HOST_IDENTITY)
        return LH_REFUSE(LH_E_LIMIT, "identity-size", "a host's identity document has at most %d bytes",
            LH_LIMIT_HOST_IDENTITY);
    LH_AUTO(lh_json_freep)
    json_t *json = json_loadb((const char *)bytes.data, bytes.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json))
        return wrong("one JSON object is expected");
    LH_TRY(lh_admin_check(json, document_fields, LH_ADMIN_STRICT, "a host's identity document"));
    LH_TRY(decode(json_object_get(json, "ek"), "\"ek\" is base64", &document.ek));
    LH_TRY(decode(json_object_get(json, "ak"), "\"ak\" is base64", &document.ak));
    LH_TRY(read_channel_key(json_object_get(json, "channel_key"), document.channel_key));
    const json_t *list = json_object_get(json, "ek_certificates");
    for (size_t i = 0; i < json_array_size(list); i++) {
        document.certificates[i] = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
        LH_TRY(decode(json_array_get(list, i), "a certificate is base64", &document.certificates[i]));
        document.n_certificates = i + 1;
    }
    *ret = document;
    document = (lh_host_document){0};
    return LH_SUCCESS;
}
