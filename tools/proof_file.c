#include "proof_file.h"

#include "admin/call.h"
#include "codec/base64.h"
#include "output.h"

#define VERSION 1
#define TIME_MAX 32
#define EVIDENCE_TEXT (2u * LH_EVIDENCE_SIZE_MAX) /* base64 takes less */

static const lh_admin_field lease_fields[] = {
    {"id", LH_ADMIN_HEX, true, 16, 0, NULL},
    {"role", LH_ADMIN_LINE, true, LH_LIMIT_NAME, 0, NULL},
    {"workload", LH_ADMIN_LINE, true, LH_LIMIT_SPIFFE_ID, 0, NULL},
    {"host", LH_ADMIN_LINE, true, LH_LIMIT_NAME, 0, NULL},
    {"issued", LH_ADMIN_LINE, true, TIME_MAX, 0, NULL},
    {"not_after", LH_ADMIN_LINE, true, TIME_MAX, 0, NULL},
    {0},
};
static const lh_admin_field batch_fields[] = {
    {"leaves", LH_ADMIN_NUMBER, true, LH_EVIDENCE_LEAVES_MAX, 0, NULL},
    {"index", LH_ADMIN_NUMBER, true, LH_EVIDENCE_LEAVES_MAX, 0, NULL},
    {0},
};
static const lh_admin_field pcr_fields[] = {
    {"pcr", LH_ADMIN_NUMBER, true, LH_EVIDENCE_PCRS - 1, 0, NULL},
    {"value", LH_ADMIN_HEX, true, LH_EVIDENCE_HASH, 0, NULL},
    {0},
};
static const lh_admin_field file_fields[] = {
    {"leasehold_proof", LH_ADMIN_NUMBER, true, UINT32_MAX, 0, NULL},
    {"vault", LH_ADMIN_HEX, true, 32, 0, NULL},
    {"lease", LH_ADMIN_OBJECT, true, 0, 0, lease_fields},
    {"facts", LH_ADMIN_LINE, true, EVIDENCE_TEXT, 0, NULL},
    {"nonce", LH_ADMIN_HEX, true, LH_EVIDENCE_HASH, 0, NULL},
    {"channel", LH_ADMIN_HEX, true, LH_EVIDENCE_HASH, 0, NULL},
    {"ephemeral", LH_ADMIN_HEX, true, LH_EVIDENCE_HASH, 0, NULL},
    {"batch", LH_ADMIN_OBJECT, true, 0, 0, batch_fields},
    {"pcrs", LH_ADMIN_LIST, true, LH_EVIDENCE_PCRS, 0, pcr_fields},
    {"ak", LH_ADMIN_LINE, true, EVIDENCE_TEXT, 0, NULL},
    {"evidence", LH_ADMIN_LINE, true, EVIDENCE_TEXT, 0, NULL},
    {0},
};

void proof_file_deinit(proof_file *file)
{
    json_decref(file->json);
    lh_buf_free(&file->evidence);
    lh_buf_free(&file->facts);
    lh_buf_free(&file->ak_public);
}

/* --- making --------------------------------------------------------------------------------------------- */

static json_t *hex_of(const uint8_t hash[LH_EVIDENCE_HASH])
{
    char text[2 * LH_EVIDENCE_HASH + 1];
    lh_hex(hash, LH_EVIDENCE_HASH, text);
    return json_string(text);
}

static json_t *pcr_list(const lh_proof *proof)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS; i++)
        if (proof->pcr_mask >> i & 1u)
            json_array_append_new(
                list, json_pack("{s:i, s:o}", "pcr", (int)i, "value", hex_of(proof->pcrs[i])));
    return list;
}

static json_t *copy_of(const json_t *object, const char *key)
{
    return json_string(json_string_value(json_object_get(object, key)));
}

static json_t *lease_of(const json_t *lease)
{
    const char *host = json_string_value(json_object_get(lease, "host"));
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "id", copy_of(lease, "id"), "role",
        copy_of(lease, "role"), "workload", copy_of(lease, "workload"), "host", host ? host : "", "issued",
        copy_of(lease, "issued"), "not_after", copy_of(lease, "not_after"));
}

static lh_err decode(const json_t *object, const char *key, lh_buf *out)
{
    *out = LH_BUF_INIT(EVIDENCE_TEXT);
    const char *text = json_string_value(json_object_get(object, key));
    return lh_base64_decode(LH_BYTES_STR(text ? text : ""), out);
}

static lh_err pack(const json_t *reply, const lh_proof *proof, json_t **ret)
{
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(EVIDENCE_TEXT);
    lh_base64_encode(proof->ak_public, &ak);
    const char *ak_text = lh_buf_cstr(&ak);
    if (!ak_text)
        return LH_RAISE(LH_E_NOMEM, 0);
    json_t *file = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:s, s:o}",
        "leasehold_proof", VERSION, "vault", copy_of(reply, "vault"), "lease",
        lease_of(json_object_get(reply, "lease")), "facts", copy_of(reply, "facts"), "nonce",
        hex_of(proof->nonce), "channel", hex_of(proof->channel), "ephemeral", hex_of(proof->ephemeral),
        "batch", "leaves", (json_int_t)proof->leaf_count, "index", (json_int_t)proof->leaf_index, "pcrs",
        pcr_list(proof), "ak", ak_text, "evidence", copy_of(reply, "evidence"));
    if (!file)
        return LH_FAIL(LH_E_PROTOCOL, "the daemon's answer about the lease lacks something");
    *ret = file;
    return LH_SUCCESS;
}

lh_err proof_file_make(json_t *reply, json_t **ret)
{
    if (out_line(reply, "facts")[0] == '\0' || out_line(reply, "evidence")[0] == '\0')
        return LH_REFUSE(LH_E_NOT_FOUND, "lease-without-proof",
            "the vault keeps no proof of this lease: it was issued by an older version");
    LH_AUTO(lh_buf_free) lh_buf evidence = {0};
    LH_AUTO(lh_buf_free) lh_buf facts = {0};
    LH_TRY(decode(reply, "evidence", &evidence));
    LH_TRY(decode(reply, "facts", &facts));
    lh_evidence decoded;
    lh_evidence_init(&decoded);
    lh_proof proof;
    lh_err err = lh_proof_describe(lh_buf_bytes(&evidence), lh_buf_bytes(&facts), &decoded, &proof);
    if (lh_ok(err))
        err = pack(reply, &proof, ret);
    lh_evidence_deinit(&decoded);
    return err;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static lh_err read_hash(const json_t *object, const char *key, uint8_t ret[LH_EVIDENCE_HASH])
{
    return lh_unhex(json_string_value(json_object_get(object, key)), ret, LH_EVIDENCE_HASH);
}

static lh_err read_pcrs(const json_t *list, lh_proof *ret)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pcr = json_array_get(list, i);
        uint32_t bit = 1u << (unsigned)json_integer_value(json_object_get(pcr, "pcr"));
        if (ret->pcr_mask >= bit)
            return LH_REFUSE(
                LH_E_INVALID, "proof-pcrs", "the proof's PCRs are not in rising order, each once");
        ret->pcr_mask |= bit;
        LH_TRY(read_hash(pcr, "value", ret->pcrs[json_integer_value(json_object_get(pcr, "pcr"))]));
    }
    return LH_SUCCESS;
}

lh_err proof_file_parse(lh_bytes text, proof_file *ret)
{
    json_error_t error;
    ret->json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(ret->json))
        return LH_REFUSE(LH_E_INVALID, "proof-json", "this is no lease's proof: not a JSON object");
    const json_t *version = json_object_get(ret->json, "leasehold_proof");
    if (!json_is_integer(version) || json_integer_value(version) != VERSION)
        return LH_REFUSE(LH_E_INVALID, "proof-version",
            "this is no lease's proof of version %d (\"leasehold_proof\")", VERSION);
    LH_TRY(lh_admin_check(ret->json, file_fields, LH_ADMIN_STRICT, "the proof"));
    LH_TRY(decode(ret->json, "evidence", &ret->evidence));
    LH_TRY(decode(ret->json, "facts", &ret->facts));
    LH_TRY(decode(ret->json, "ak", &ret->ak_public));
    const json_t *batch = json_object_get(ret->json, "batch");
    ret->proof = (lh_proof){.evidence = lh_buf_bytes(&ret->evidence),
        .facts = lh_buf_bytes(&ret->facts),
        .ak_public = lh_buf_bytes(&ret->ak_public),
        .leaf_count = (uint32_t)json_integer_value(json_object_get(batch, "leaves")),
        .leaf_index = (uint32_t)json_integer_value(json_object_get(batch, "index"))};
    LH_TRY(read_hash(ret->json, "nonce", ret->proof.nonce));
    LH_TRY(read_hash(ret->json, "channel", ret->proof.channel));
    LH_TRY(read_hash(ret->json, "ephemeral", ret->proof.ephemeral));
    return read_pcrs(json_object_get(ret->json, "pcrs"), &ret->proof);
}
