#include "host_params.h"

#include "cli.h"
#include "codec/base64.h"
#include "crypto/hash.h"

#define PIECE 76 /* characters of base64 in one text: lines of what is signed are limited */

/* Base64 as a list of texts. NULL where memory ran out. */
static json_t *pieces_of(lh_bytes bytes)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_base64_encode(bytes, &text);
    json_t *list = lh_ok(lh_buf_status(&text)) ? json_array() : NULL;
    for (size_t at = 0; list != NULL && at < text.len; at += PIECE) {
        size_t len = text.len - at < PIECE ? text.len - at : PIECE;
        if (json_array_append_new(list, json_stringn((const char *)text.data + at, len)) != 0)
            return NULL;
    }
    return list;
}

static lh_err add_certificates(const lh_host_document *document, json_t *params)
{
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    for (size_t i = 0; i < document->n_certificates; i++)
        if (json_array_append_new(list, pieces_of(lh_buf_bytes(&document->certificates[i]))) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    return json_object_set(params, "certificate", list) == 0 ? LH_SUCCESS : LH_RAISE(LH_E_NOMEM, 0);
}

static lh_err hash_hex(lh_bytes bytes, char out[2 * LH_SHA256_SIZE + 1])
{
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_crypto_new(&crypto));
    LH_TRY(lh_sha256(crypto, &bytes, 1, digest));
    lh_hex(digest, sizeof digest, out);
    return LH_SUCCESS;
}

lh_err host_params_make(const host_params *given, const lh_host_document *document, json_t **ret)
{
    char ek_hash[2 * LH_SHA256_SIZE + 1];
    char channel[2 * LH_SHA256_SIZE + 1];
    LH_TRY(hash_hex(lh_buf_bytes(&document->ek), ek_hash));
    lh_hex(document->channel_key, sizeof document->channel_key, channel);
    LH_AUTO(lh_json_freep)
    json_t *params = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", given->name, "ek-sha256", ek_hash,
        "channel-key", channel, "ek-proof", given->pinned ? "pinned" : "certificate", "ek",
        pieces_of(lh_buf_bytes(&document->ek)), "ak", pieces_of(lh_buf_bytes(&document->ak)));
    if (params == NULL)
        return CLI_MISUSE("the host's name must be UTF-8 text");
    if (!given->pinned)
        LH_TRY(add_certificates(document, params));
    if (json_object_size(given->labels) > 0)
        json_object_set(params, "labels", given->labels);
    if (given->reference != NULL &&
        json_object_set_new(params, "reference", json_string(given->reference)) != 0)
        return CLI_MISUSE("--reference must be UTF-8 text");
    *ret = LH_TAKE(params);
    return LH_SUCCESS;
}
