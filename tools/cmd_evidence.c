/* leasehold evidence: verifying a lease's proof without daemon and TPM, and the key to do so with. */
#include "codec/base64.h"
#include "codec/tpms.h"
#include "commands.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "output.h"
#include "proof_file.h"

#include <inttypes.h>

#define SHA256_PREFIX "sha256:"

/* --- the key ---------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_buf public_area;
    uint8_t sha256[LH_SHA256_SIZE];
    lh_proof_key key;
} given_key;

/* A TPMT_PUBLIC begins with its type (TPM_ALG_RSA, TPM_ALG_ECC), whose first byte is zero: no text does. */
static lh_err read_key(lh_bytes text, lh_buf *ret)
{
    if (text.len > 0 && text.data[0] == 0) {
        lh_buf_append(ret, text.data, text.len);
        return lh_buf_status(ret);
    }
    LH_AUTO(lh_json_freep) json_t *json = json_loadb((const char *)text.data, text.len, 0, NULL);
    const char *ak = json_string_value(json_object_get(json, "ak"));
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.len--;
    return lh_base64_decode(ak ? LH_BYTES_STR(ak) : text, ret);
}

static lh_err key_of_file(const char *path, lh_buf *ret)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_HOST_IDENTITY);
    LH_TRY(in_file(path, &text));
    lh_tpms_public public_area;
    if (!lh_ok(read_key(lh_buf_bytes(&text), ret)) ||
        !lh_ok(lh_tpms_public_parse(lh_buf_bytes(ret), &public_area)))
        return LH_REFUSE(LH_E_INVALID, "ak-format",
            "%s holds no attestation key: neither a TPMT_PUBLIC, nor its base64, nor a host's identity "
            "document",
            path);
    return LH_SUCCESS;
}

static lh_err take_key(const lh_cli *cli, given_key *ret)
{
    const char *text = NULL;
    LH_TRY(cli_require(cli, "ak", &text));
    if (strncmp(text, SHA256_PREFIX, strlen(SHA256_PREFIX)) != 0) {
        LH_TRY(key_of_file(text, &ret->public_area));
        ret->key.public_area = lh_buf_bytes(&ret->public_area);
        return LH_SUCCESS;
    }
    text += strlen(SHA256_PREFIX);
    if (strlen(text) != 2 * LH_SHA256_SIZE || !lh_ok(lh_unhex(text, ret->sha256, LH_SHA256_SIZE)))
        return CLI_MISUSE("--ak %s%s: a SHA-256 digest has 64 hexadecimal digits", SHA256_PREFIX, text);
    ret->key.sha256 = ret->sha256;
    return LH_SUCCESS;
}

/* --- what is proved ----------------------------------------------------------------------------------------
 */

static const char *hex(const uint8_t hash[32], char out[65])
{
    lh_hex(hash, 32, out);
    return out;
}

static json_t *process_of(const lh_identity *who)
{
    char exe[65];
    char boot[33];
    lh_hex(who->boot_id, sizeof(who->boot_id), boot);
    return json_pack("{s:i, s:I, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "pid", (int)who->pid, "start_time",
        (json_int_t)who->start_time, "boot", boot, "uid", (json_int_t)who->uid, "gid", (json_int_t)who->gid,
        "exe", who->exe_path, "exe_sha256", lh_identity_exe_counts(who) ? hex(who->exe_sha256, exe) : "",
        "cgroup", who->cgroup, "unit", who->unit, "lsm", who->lsm_label);
}

static lh_err proved(
    const proof_file *file, const lh_evidence_result *result, const char *ak_hash, json_t **ret)
{
    lh_identity who;
    LH_TRY(lh_facts_decode(lh_buf_bytes(&file->facts), &who));
    char firmware[17];
    (void)snprintf(firmware, sizeof(firmware), "%016" PRIx64, result->firmware);
    json_t *json = json_pack("{s:b, s:s, s:o, s:{s:I, s:I, s:I, s:b, s:s}, s:O, s:O, s:O, s:O, s:O, s:O}",
        "verified", 1, "ak", ak_hash, "process", process_of(&who), "tpm", "reset_count",
        (json_int_t)result->reset_count, "restart_count", (json_int_t)result->restart_count, "clock_ms",
        (json_int_t)result->clock_ms, "clock_safe", result->clock_safe ? 1 : 0, "firmware", firmware, "pcrs",
        json_object_get(file->json, "pcrs"), "batch", json_object_get(file->json, "batch"), "nonce",
        json_object_get(file->json, "nonce"), "channel", json_object_get(file->json, "channel"), "ephemeral",
        json_object_get(file->json, "ephemeral"), "said_by_the_vault", json_object_get(file->json, "lease"));
    if (!json) /* a path that is no UTF-8 */
        return LH_REFUSE(LH_E_INVALID, "proof-facts", "the facts hold text that is not UTF-8");
    *ret = json;
    return LH_SUCCESS;
}

static void print_process(json_t *who)
{
    (void)printf("process    pid %lld, started at tick %lld of boot %s, uid %lld, gid %lld\n",
        out_number(who, "pid"), out_number(who, "start_time"), out_line(who, "boot"), out_number(who, "uid"),
        out_number(who, "gid"));
    (void)printf("executable %s\n           %s%s\n", out_line(who, "exe"),
        out_line(who, "exe_sha256")[0] ? "sha256:" : "its digest did not count", out_line(who, "exe_sha256"));
    const char *const more[] = {"unit", "cgroup", "lsm"};
    for (size_t i = 0; i < LH_ARRAY_LEN(more); i++)
        if (out_line(who, more[i])[0])
            (void)printf("%-10s %s\n", more[i], out_line(who, more[i]));
}

static void print_proved(json_t *json)
{
    json_t *tpm = json_object_get(json, "tpm");
    json_t *batch = json_object_get(json, "batch");
    json_t *pcrs = json_object_get(json, "pcrs");
    json_t *lease = json_object_get(json, "said_by_the_vault");
    (void)printf("Verified: the TPM of attestation key %s signed this.\n", out_line(json, "ak"));
    print_process(json_object_get(json, "process"));
    for (size_t i = 0; i < json_array_size(pcrs); i++) {
        json_t *pcr = json_array_get(pcrs, i);
        (void)printf("PCR %-6lld %s\n", out_number(pcr, "pcr"), out_line(pcr, "value"));
    }
    (void)printf("TPM        reset count %lld, restart count %lld, clock %lld ms%s, firmware %s\n",
        out_number(tpm, "reset_count"), out_number(tpm, "restart_count"), out_number(tpm, "clock_ms"),
        out_bool(tpm, "clock_safe") ? "" : " (not safe)", out_line(tpm, "firmware"));
    (void)printf("quote      leaf %lld of %lld\nnonce      %s\nchannel    %s\nephemeral  %s\n",
        out_number(batch, "index"), out_number(batch, "leaves"), out_line(json, "nonce"),
        out_line(json, "channel"), out_line(json, "ephemeral"));
    (void)printf("Not proved by it, the vault says so: lease %s for role %s as %s%s%s, issued %s\n",
        out_line(lease, "id"), out_line(lease, "role"), out_line(lease, "workload"),
        out_line(lease, "host")[0] ? " on host " : "", out_line(lease, "host"), out_line(lease, "issued"));
}

/* --- verify ------------------------------------------------------------------------------------------------
 */

static lh_err verify(const lh_cli *cli, proof_file *file, given_key *key)
{
    LH_TRY(take_key(cli, key));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(PROOF_FILE_MAX);
    LH_TRY(in_file(cli->args[0], &text));
    LH_TRY(proof_file_parse(lh_buf_bytes(&text), file));
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    lh_evidence_result result;
    LH_TRY(lh_proof_verify(crypto, &file->proof, &key->key, &result));
    uint8_t hash[LH_SHA256_SIZE];
    char ak[sizeof(SHA256_PREFIX) + 64] = SHA256_PREFIX;
    LH_TRY(lh_sha256(crypto, &file->proof.ak_public, 1, hash));
    lh_hex(hash, sizeof(hash), ak + strlen(SHA256_PREFIX));
    LH_AUTO(lh_json_freep) json_t *json = NULL;
    LH_TRY(proved(file, &result, ak, &json));
    if (cli->json)
        return out_json(json);
    print_proved(json);
    return LH_SUCCESS;
}

static lh_err run_verify(lh_cli *cli)
{
    proof_file file = {0};
    given_key key = {.public_area = LH_BUF_INIT(LH_LIMIT_TPM_PUBLIC)};
    lh_err err = verify(cli, &file, &key);
    lh_buf_free(&key.public_area);
    proof_file_deinit(&file);
    return err;
}

/* --- ak ----------------------------------------------------------------------------------------------------
 */

static lh_err run_ak(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "status"), &reply));
    const char *ak = out_line(reply, "ak");
    if (ak[0] == '\0')
        return LH_REFUSE(LH_E_STATE, "no-ak",
            "the vault does not tell its attestation key: it is sealed, or you are no admin");
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_buf_printf(&line, "%s\n", ak);
    LH_TRY(lh_buf_status(&line));
    const char *path = cli_value(cli, "out");
    if (path)
        return out_file(path, lh_buf_bytes(&line));
    if (cli->json) {
        LH_AUTO(lh_json_freep) json_t *json = json_pack("{s:s}", "ak", ak);
        return json ? out_json(json) : LH_RAISE(LH_E_NOMEM, 0);
    }
    (void)printf("%s", lh_buf_cstr(&line));
    return LH_SUCCESS;
}

static const cli_option verify_options[] = {
    {"ak", "FILE|sha256:HEX", "the attestation key that must have signed"},
    {NULL, NULL, NULL},
};
static const cli_option ak_options[] = {
    {"out", "FILE", "write it there"},
    {NULL, NULL, NULL},
};

const cli_command cmd_evidence_verify = {
    .name = "evidence verify",
    .arguments = "FILE",
    .summary = "verify a lease's proof, with nothing but the attestation key",
    .details =
        "FILE is what `leasehold lease show ID --evidence` wrote (\"-\": standard input). --ak names the "
        "key\n"
        "that you expect: a file (what `leasehold evidence ak` or a host's agent told, or the TPMT_PUBLIC\n"
        "itself), or the SHA-256 of its TPMT_PUBLIC. Neither daemon nor TPM is asked.\n",
    .options = verify_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_verify,
};

const cli_command cmd_evidence_ak = {
    .name = "evidence ak",
    .arguments = "",
    .summary = "the attestation key of the vault's own TPM",
    .options = ak_options,
    .run = run_ak,
};
