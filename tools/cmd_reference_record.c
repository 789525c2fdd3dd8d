/* leasehold reference record: reference values from a run that is known to be good, made on the host itself:
 * PCR values, the events that led to them, and every file that the kernel has measured. Needs no TPM: the
 * kernel shows the values, and the boot log must lead to them. */
#include "codec/event_log.h"
#include "codec/ima_log.h"
#include "codec/schema.h"
#include "commands.h"
#include "crypto/hash.h"
#include "file_list.h"
#include "output.h"
#include "verify/boot.h"
#include "verify/reference.h"

#include <stdio.h>
#include <sys/stat.h>

#define EVENT_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"
#define IMA_LOG "/sys/kernel/security/ima/binary_runtime_measurements"
#define PCR_FOLDER "/sys/class/tpm/tpm0/pcr-sha256"
#define IMA_LOG_MAX (64u << 20)
#define IMA_PCR 10u
#define DEFAULT_PCRS 0xffu /* 0 to 7, and whatever else the boot log extends */

typedef struct {
    lh_crypto *crypto;
    file_list *list;
    lh_boot_replay boot;
    lh_err failed; /* of the first event that could not be noted */
    size_t files;
    size_t violations;
} recording;

static void note_event(void *arg, const lh_event *event)
{
    recording *r = arg;
    if (event->type == LH_EV_NO_ACTION || !lh_ok(r->failed))
        return;
    const char *type = lh_event_type_name(event->type);
    char name[96];
    (void)snprintf(name, sizeof(name), LH_FILESET_EVENT_PREFIX "%u %s", event->pcr, type ? type : "unknown");
    r->failed = file_list_add(r->list, event->sha256, name);
}

static lh_err read_boot_log(lh_cli *cli, recording *r)
{
    const char *path = cli_value(cli, "event-log");
    LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT(LH_LIMIT_EVENT_LOG);
    LH_TRY(in_file(path != NULL ? path : EVENT_LOG, &log));
    LH_TRY(lh_boot_replay_log(r->crypto, lh_buf_bytes(&log), note_event, r, &r->boot));
    return r->failed;
}

static lh_err note_file(recording *r, const lh_ima_entry *entry)
{
    if (entry->violation) {
        r->violations++;
        return LH_SUCCESS;
    }
    if (strcmp(entry->path, "boot_aggregate") == 0)
        return LH_SUCCESS;
    bool sha256 = lh_bytes_equal(entry->algorithm, LH_BYTES_STR("sha256")) && entry->digest.len == 32;
    if (!sha256)
        return LH_FAIL(LH_E_UNSUPPORTED,
            "the kernel measures files with %.*s: boot it with ima_hash=sha256 and record again",
            (int)entry->algorithm.len, (const char *)entry->algorithm.data);
    if (entry->path[0] != '/') /* buffers: key rings, kexec's command line … */
        return LH_SUCCESS;
    r->files++;
    return file_list_add(r->list, entry->digest.data, entry->path);
}

static lh_err read_ima_log(lh_cli *cli, recording *r)
{
    const char *path = cli_value(cli, "ima-log");
    LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT(IMA_LOG_MAX);
    LH_TRY(in_file(path != NULL ? path : IMA_LOG, &log));
    lh_bytes rest = lh_buf_bytes(&log);
    for (;;) {
        lh_ima_entry entry;
        bool more = false;
        LH_TRY(lh_ima_log_next(&rest, &entry, &more));
        if (!more)
            break;
        LH_TRY(note_file(r, &entry));
    }
    if (rest.len > 0)
        return LH_FAIL(LH_E_CORRUPT, "the IMA log ends within an entry");
    return LH_SUCCESS;
}

/* What the kernel shows of a PCR: 64 hex digits. ret_there: false where it shows none. */
static lh_err read_pcr(const char *folder, unsigned pcr, uint8_t ret[32], bool *ret_there)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%u", folder, pcr);
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(256);
    lh_err err = in_file(path, &text);
    *ret_there = lh_ok(err);
    if (err.code == LH_E_NOT_FOUND)
        return LH_SUCCESS;
    LH_TRY(err);
    char digits[65] = "";
    for (size_t i = 0; i < 64 && i < text.len; i++)
        digits[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'F' ? text.data[i] + 32 : text.data[i]);
    err = lh_unhex(digits, ret, 32);
    return lh_ok(err) ? err : LH_FAIL(LH_E_CORRUPT, "%s holds no SHA-256 value", path);
}

/* The values of the boot log, unless the kernel shows others: then the log is not the whole truth. */
static lh_err compare_pcrs(const char *folder, const recording *r, uint32_t mask)
{
    uint8_t shown[LH_EVENT_PCRS][32] = {{0}};
    uint32_t seen = 0;
    for (unsigned pcr = 0; pcr < LH_EVENT_PCRS; pcr++) {
        bool there = false;
        if (!(mask & (1u << pcr)))
            continue;
        LH_TRY(read_pcr(folder, pcr, shown[pcr], &there));
        seen |= there ? 1u << pcr : 0;
    }
    return lh_boot_compare(&r->boot, (const uint8_t(*)[32])shown, seen);
}

static lh_err write_document(lh_cli *cli, const recording *r, uint32_t mask, const char *hash, lh_buf *out)
{
    lh_buf_printf(out, "references:\n  \"%s\":\n    pcrs:\n", cli->args[0]);
    for (unsigned pcr = 0; pcr < LH_EVENT_PCRS; pcr++) {
        if (!(mask & (1u << pcr)))
            continue;
        char hex[65];
        lh_hex(r->boot.pcrs[pcr], 32, hex);
        lh_buf_printf(out, "      %u: [\"sha256:%s\"]\n", pcr, hex);
    }
    lh_buf_printf(out, "    files: [\"sha256:%s\"]\n", hash);
    for (size_t i = 0; cli_value_at(cli, "exclude", i) != NULL; i++)
        lh_buf_printf(
            out, "%s      - \"%s\"\n", i == 0 ? "    exclude:\n" : "", cli_value_at(cli, "exclude", i));
    return lh_buf_status(out);
}

static lh_err mask_of(lh_cli *cli, const recording *r, uint32_t *ret)
{
    LH_AUTO(lh_json_freep) json_t *pcrs = NULL;
    LH_TRY(cli_pcrs(cli, "pcrs", &pcrs));
    uint32_t mask = pcrs != NULL ? 0 : DEFAULT_PCRS | (r->boot.extended & LH_BOOT_PCRS);
    for (size_t i = 0; i < json_array_size(pcrs); i++)
        mask |= 1u << json_integer_value(json_array_get(pcrs, i));
    if (mask & (1u << IMA_PCR))
        return CLI_MISUSE("PCR 10 has no reference value: the log of files is replayed to it");
    if (mask & ~LH_BOOT_PCRS)
        return CLI_MISUSE("the boot log accounts for PCRs 0 to 9 and 14 only");
    *ret = mask;
    return LH_SUCCESS;
}

static lh_err check_arguments(lh_cli *cli)
{
    if (!lh_schema_is_name(cli->args[0]))
        return CLI_MISUSE("expected a name of letters, digits, '.', '_' and '-', found \"%s\"", cli->args[0]);
    for (size_t i = 0; cli_value_at(cli, "exclude", i) != NULL; i++)
        if (!lh_reference_may_exclude(cli_value_at(cli, "exclude", i)) ||
            strpbrk(cli_value_at(cli, "exclude", i), "\"\n") != NULL)
            return CLI_MISUSE(
                "%s is too broad to exclude, or no absolute path: name a file, or a folder at least "
                "two deep that ends with '/' and holds no programs",
                cli_value_at(cli, "exclude", i));
    return LH_SUCCESS;
}

static lh_err write_both(lh_cli *cli, recording *r, uint32_t mask)
{
    const char *folder = cli_value(cli, "out") != NULL ? cli_value(cli, "out") : ".";
    char set_path[4096];
    char document_path[4096];
    (void)snprintf(set_path, sizeof(set_path), "%s/%s.files", folder, cli->args[0]);
    (void)snprintf(document_path, sizeof(document_path), "%s/%s.yaml", folder, cli->args[0]);
    LH_AUTO(lh_buf_free) lh_buf set = LH_BUF_INIT(LH_FILESET_MAX);
    LH_AUTO(lh_buf_free) lh_buf document = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(file_list_write(r->list, &set));
    uint8_t hash[32];
    char hex[65];
    const lh_bytes bytes = lh_buf_bytes(&set);
    LH_TRY(lh_sha256(r->crypto, &bytes, 1, hash));
    lh_hex(hash, sizeof(hash), hex);
    LH_TRY(write_document(cli, r, mask, hex, &document));
    LH_TRY(out_file(set_path, bytes));
    LH_TRY(out_file(document_path, lh_buf_bytes(&document)));
    if (cli->json) {
        LH_AUTO(lh_json_freep)
        json_t *reply = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "references", document_path, "set",
            set_path, "files", hex, "measured", (json_int_t)r->files, "events", (json_int_t)r->boot.events,
            "violations", (json_int_t)r->violations);
        return out_json(reply);
    }
    (void)printf("%s: PCR values of %zu boot events\n%s: %zu measurements of files, sha256:%s\n",
        document_path, r->boot.events, set_path, r->files, hex);
    if (r->violations > 0)
        (void)printf(
            "%zu files changed while they were measured: a host with such entries is refused, so find out "
            "which they are and keep them from being measured\n",
            r->violations);
    (void)printf(
        "Read both, propose the first (`leasehold propose reference.set`), give the vault the second "
        "(`leasehold reference upload`).\n");
    return LH_SUCCESS;
}

static lh_err run_record(lh_cli *cli)
{
    LH_TRY(check_arguments(cli));
    LH_AUTO(lh_crypto_freep) lh_crypto *c = NULL;
    LH_AUTO(file_list_freep) file_list *list = NULL;
    LH_TRY(lh_crypto_new(&c));
    LH_TRY(file_list_new(c, &list));
    recording r = {.crypto = c, .list = list, .failed = LH_SUCCESS};
    LH_TRY(read_boot_log(cli, &r));
    LH_TRY(read_ima_log(cli, &r));
    uint32_t mask = 0;
    LH_TRY(mask_of(cli, &r, &mask));
    const char *folder = cli_value(cli, "pcr-folder");
    LH_TRY(compare_pcrs(folder != NULL ? folder : PCR_FOLDER, &r, mask));
    return write_both(cli, &r, mask);
}

static const cli_option record_options[] = {
    {"out", "FOLDER", "where to write NAME.yaml and NAME.files (default: here)"},
    {"pcrs", "LIST", "which PCRs to give values for (default: 0-7 and what else the boot log extends)"},
    {"exclude", "PATH", "a file, or a folder ending in '/', whose content is no matter (repeatable)"},
    {"event-log", "FILE", "the boot log (default: " EVENT_LOG ")"},
    {"ima-log", "FILE", "the IMA log (default: " IMA_LOG ")"},
    {"pcr-folder", "FOLDER", "PCR values as the kernel shows them (default: " PCR_FOLDER ")"},
    {NULL, NULL, NULL},
};

const cli_command cmd_reference_record = {
    .name = "reference record",
    .arguments = "NAME",
    .summary = "reference values from this host's present run; needs no daemon",
    .details =
        "Run it as root on a host that is known to be good, after its services have started. It writes a "
        "document\nof reference values, NAME.yaml, and the set of files that the document names, "
        "NAME.files.\n",
    .options = record_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_record,
};
