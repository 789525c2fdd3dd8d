/* leasehold log: show, checkpoint, keys, export, and verifying without believing the daemon. */
#include "bundle.h"
#include "commands.h"
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define PAGE 512 /* entries asked for at once */

/* One page of log.show; *ret_size is the log's size then. */
static lh_err get_page(lh_cli *cli, uint64_t from, uint64_t count, json_t **ret_reply)
{
    return cli_call(cli,
        json_pack("{s:s,s:I,s:I}", "call", "log.show", "from", (json_int_t)from, "count",
            (json_int_t)(count < PAGE ? count : PAGE)),
        ret_reply);
}

/* --- show ----------------------------------------------------------------------------------------------- */

static void print_entry(json_t *entry, bool salts)
{
    (void)printf("%lld ", out_number(entry, "index"));
    if (salts)
        (void)printf("%s ", out_line(entry, "salt"));
    (void)printf("%s\n", out_line(entry, "entry"));
}

static lh_err print_page(const lh_cli *cli, json_t *reply, json_t *all)
{
    json_t *entries = json_object_get(reply, "entries");
    if (all != NULL)
        return json_array_extend(all, entries) == 0 ? LH_SUCCESS : LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < json_array_size(entries); i++)
        print_entry(json_array_get(entries, i), cli_flag(cli, "salts"));
    return LH_SUCCESS;
}

static lh_err show_range(lh_cli *cli, uint64_t from, uint64_t count)
{
    LH_AUTO(lh_json_freep) json_t *all = cli->json ? json_array() : NULL;
    uint64_t size = UINT64_MAX;
    while (count > 0 && from < size) {
        LH_AUTO(lh_json_freep) json_t *reply = NULL;
        LH_TRY(get_page(cli, from, count, &reply));
        uint64_t got = json_array_size(json_object_get(reply, "entries"));
        size = (uint64_t)out_number(reply, "size");
        if (got == 0 || got > count)
            break;
        LH_TRY(print_page(cli, reply, all));
        from += got;
        count -= got;
    }
    if (!cli->json)
        return LH_SUCCESS;
    LH_AUTO(lh_json_freep)
    json_t *result =
        json_pack("{s:I,s:O}", "size", (json_int_t)(size == UINT64_MAX ? 0 : size), "entries", all);
    return result == NULL ? LH_RAISE(LH_E_NOMEM, 0) : out_json(result);
}

static lh_err run_show(lh_cli *cli)
{
    int64_t from = -1;
    int64_t count = INT64_MAX;
    LH_TRY(cli_number(cli, "from", INT64_MAX, &from));
    LH_TRY(cli_number(cli, "count", INT64_MAX, &count));
    if (from >= 0)
        return show_range(cli, (uint64_t)from, (uint64_t)count);
    /* Without --from: the last ones. */
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(get_page(cli, 0, 1, &reply));
    long long size = out_number(reply, "size");
    long long last = count == INT64_MAX ? 20 : count;
    return show_range(cli, (uint64_t)(size > last ? size - last : 0), (uint64_t)last);
}

/* --- fetching the whole log ----------------------------------------------------------------------------- */

/* The leaf hashes that the daemon holds for the entries of one page. */
static lh_err get_leaves(lh_cli *cli, uint64_t from, uint64_t count, json_t **ret_leaves)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli,
        json_pack(
            "{s:s,s:I,s:I}", "call", "log.leaves", "from", (json_int_t)from, "count", (json_int_t)count),
        &reply));
    json_t *leaves = json_object_get(reply, "leaves");
    if (json_array_size(leaves) != count)
        return LH_REFUSE(LH_E_PROTOCOL, "admin-reply",
            "the daemon gave %zu leaf hashes, %" PRIu64 " were asked for", json_array_size(leaves), count);
    *ret_leaves = json_incref(leaves);
    return LH_SUCCESS;
}

typedef lh_err (*entry_fn)(void *arg, json_t *entry, const char *leaf);

/* Every entry of the first size, with its leaf hash. */
static lh_err each_entry(lh_cli *cli, uint64_t size, entry_fn fn, void *arg)
{
    for (uint64_t from = 0; from < size;) {
        LH_AUTO(lh_json_freep) json_t *reply = NULL;
        LH_AUTO(lh_json_freep) json_t *leaves = NULL;
        LH_TRY(get_page(cli, from, size - from, &reply));
        json_t *entries = json_object_get(reply, "entries");
        uint64_t got = json_array_size(entries);
        if (got == 0 || got > size - from)
            return LH_REFUSE(LH_E_PROTOCOL, "admin-reply",
                "the daemon gave %" PRIu64 " entries from %" PRIu64 " on, of %" PRIu64, got, from, size);
        LH_TRY(get_leaves(cli, from, got, &leaves));
        for (size_t i = 0; i < got; i++)
            LH_TRY(fn(arg, json_array_get(entries, i), json_string_value(json_array_get(leaves, i))));
        from += got;
    }
    return LH_SUCCESS;
}

/* Keys, size and checkpoints as the daemon gives them. */
typedef struct {
    json_t *keys;
    json_t *notes;
    uint64_t size;
} log_parts;

static void log_parts_deinit(log_parts *parts)
{
    json_decref(parts->keys);
    json_decref(parts->notes);
}

static lh_err get_parts(lh_cli *cli, log_parts *parts)
{
    LH_AUTO(lh_json_freep) json_t *notes = NULL;
    LH_AUTO(lh_json_freep) json_t *first = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.keys"), &parts->keys));
    /* Checkpoints first: those that are made meanwhile would be longer than what is fetched. */
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.checkpoints"), &notes));
    parts->notes = json_incref(json_object_get(notes, "notes"));
    LH_TRY(get_page(cli, 0, 1, &first));
    parts->size = (uint64_t)out_number(first, "size");
    return LH_SUCCESS;
}

static const char *key_of(const log_parts *parts, const char *name)
{
    return json_string_value(json_object_get(parts->keys, name));
}

/* --- verify --------------------------------------------------------------------------------------------- */

static lh_err add_fetched(void *arg, json_t *entry, const char *leaf)
{
    return bundle_add_entry(arg, (uint64_t)out_number(entry, "index"),
        json_string_value(json_object_get(entry, "salt")), json_string_value(json_object_get(entry, "entry")),
        leaf);
}

static lh_err fetch(lh_cli *cli, bundle *b)
{
    LH_AUTO(log_parts_deinit) log_parts parts = {NULL, NULL, 0};
    LH_TRY(get_parts(cli, &parts));
    LH_TRY(bundle_set_head(b, key_of(&parts, "origin"), parts.size, NULL));
    LH_TRY(bundle_add_key(b, key_of(&parts, "ed25519")));
    LH_TRY(bundle_add_key(b, key_of(&parts, "p256")));
    LH_TRY(each_entry(cli, parts.size, add_fetched, b));
    for (size_t i = 0; i < json_array_size(parts.notes); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "checkpoint %zu of %zu", i + 1, json_array_size(parts.notes));
        LH_TRY(bundle_add_checkpoint(b, json_string_value(json_array_get(parts.notes, i)), name));
    }
    return LH_SUCCESS;
}

/* What the daemon finds when it reads its whole store again. */
static lh_err ask_daemon(lh_cli *cli, bundle *b, json_t **ret_reply)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.verify"), &reply));
    const json_t *problems = json_object_get(reply, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        json_t *problem = json_array_get(problems, i);
        LH_TRY(bundle_add_problem(b, out_line(problem, "place"), out_line(problem, "message")));
    }
    if (!out_bool(reply, "good") && json_array_size(problems) == 0)
        LH_TRY(bundle_add_problem(b, "store", "the daemon says it is not good, and not why"));
    *ret_reply = LH_TAKE(reply);
    return LH_SUCCESS;
}

static lh_err add_saved(lh_cli *cli, bundle *b)
{
    const char *path;
    for (size_t i = 0; (path = cli_value_at(cli, "checkpoint", i)) != NULL; i++) {
        LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
        LH_TRY(in_file(path, &note));
        const char *text = lh_buf_cstr(&note);
        if (text == NULL)
            return lh_buf_status(&note);
        char name[256];
        (void)snprintf(name, sizeof name, "saved checkpoint %.200s", path);
        LH_TRY(bundle_add_checkpoint(b, text, name));
    }
    return LH_SUCCESS;
}

static void print_report(json_t *report, const json_t *daemon, bool pinned)
{
    const json_t *problems = json_object_get(report, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        json_t *problem = json_array_get(problems, i);
        (void)printf("BAD  %s: %s\n", out_line(problem, "place"), out_line(problem, "message"));
    }
    long long untold = out_number(report, "problem_count") - (long long)json_array_size(problems);
    if (untold > 0)
        (void)printf("BAD  and %lld more\n", untold);
    (void)printf("log: %lld entries, root %s, %lld of them under a verified checkpoint\n",
        out_number(report, "size"), out_line(report, "root"), out_number(report, "checkpointed"));
    const json_t *checked = json_object_get(daemon, "checked");
    if (checked != NULL)
        (void)printf(
            "store, read again by the daemon: %lld records, %lld log entries, %lld configuration steps\n",
            out_number(checked, "records"), out_number(checked, "entries"),
            out_number(checked, "configuration"));
    if (!pinned)
        (void)printf("note: the keys were taken from the source itself; pin them with --keys FILE\n");
    (void)printf("%s\n", out_bool(report, "good") ? "good" : "NOT GOOD");
}

static lh_err tell_report(lh_cli *cli, const bundle *b, json_t *daemon, bool pinned)
{
    cli->exit_code = bundle_good(b) ? CLI_DONE : CLI_FAILED;
    LH_AUTO(lh_json_freep) json_t *report = NULL;
    LH_TRY(bundle_report(b, &report));
    if (!cli->json) {
        print_report(report, daemon, pinned);
        return LH_SUCCESS;
    }
    if (json_object_set_new(report, "keys_pinned", json_boolean(pinned)) != 0 ||
        (daemon != NULL && json_object_set(report, "daemon", daemon) != 0))
        return LH_RAISE(LH_E_NOMEM, 0);
    return out_json(report);
}

static lh_err pin_keys(const lh_cli *cli, bundle *b)
{
    const char *keys = cli_value(cli, "keys");
    if (keys == NULL)
        return LH_SUCCESS;
    bundle_clear_keys(b);
    return bundle_load_keys(b, keys);
}

static lh_err run_verify(lh_cli *cli)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    LH_AUTO(bundle_freep) bundle *b = NULL;
    LH_TRY(bundle_new(crypto, &b));
    LH_AUTO(lh_json_freep) json_t *daemon = NULL;
    const char *file = cli_value(cli, "bundle");
    if (file != NULL)
        LH_TRY(bundle_load(b, file));
    else
        LH_TRY(ask_daemon(cli, b, &daemon));
    if (file == NULL && !lh_ok(fetch(cli, b))) {
        /* What cannot be fetched cannot be verified here; what the daemon found is told all the same. */
        char message[sizeof lh_err_last()->message];
        (void)snprintf(message, sizeof message, "its entries cannot be read: %.480s", lh_err_last()->message);
        LH_TRY(bundle_add_problem(b, "log", message));
        return tell_report(cli, b, daemon, cli_value(cli, "keys") != NULL);
    }
    LH_TRY(pin_keys(cli, b));
    LH_TRY(add_saved(cli, b));
    LH_TRY(bundle_verify(b, file != NULL));
    return tell_report(cli, b, daemon, cli_value(cli, "keys") != NULL);
}

/* --- checkpoint, keys, export ----------------------------------------------------------------------------
 */

static lh_err run_checkpoint(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.checkpoint"), &reply));
    const char *note = json_string_value(json_object_get(reply, "note"));
    if (cli->n_args == 1)
        LH_TRY(out_file(cli->args[0], LH_BYTES_STR(note)));
    if (cli->json)
        return out_json(reply);
    if (cli->n_args == 0)
        out_text(stdout, note);
    else
        (void)printf("%s: written; keep it where the vault's operator cannot reach it\n", cli->args[0]);
    return LH_SUCCESS;
}

static lh_err run_keys(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.keys"), &reply));
    if (cli->json)
        return out_json(reply);
    (void)printf("%s\n%s\n", out_line(reply, "ed25519"), out_line(reply, "p256"));
    return LH_SUCCESS;
}

/* line_taken may be NULL (out of memory). */
static lh_err write_line(FILE *file, json_t *line_taken)
{
    LH_AUTO(lh_json_freep) json_t *line = line_taken;
    if (line == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (json_dumpf(line, file, JSON_COMPACT) != 0 || fputc('\n', file) == EOF)
        return LH_FAIL(LH_E_IO, "cannot write the bundle");
    return LH_SUCCESS;
}

static lh_err write_entry(void *arg, json_t *entry, const char *leaf)
{
    return write_line(
        arg, json_pack("{s:O,s:O,s:s,s:O}", "index", json_object_get(entry, "index"), "salt",
                 json_object_get(entry, "salt"), "leaf", leaf, "entry", json_object_get(entry, "entry")));
}

/* Those that were made meanwhile are of a longer log. */
static lh_err write_notes(FILE *file, const log_parts *parts)
{
    for (size_t i = 0; i < json_array_size(parts->notes); i++) {
        json_t *text = json_array_get(parts->notes, i);
        lh_checkpoint_note note;
        LH_TRY(lh_checkpoint_parse(LH_BYTES_STR(json_string_value(text)), &note));
        if (note.checkpoint.size <= parts->size)
            LH_TRY(write_line(file, json_pack("{s:O}", "checkpoint", text)));
    }
    return LH_SUCCESS;
}

static lh_err write_bundle(lh_cli *cli, FILE *file, uint64_t *ret_size)
{
    LH_AUTO(log_parts_deinit) log_parts parts = {NULL, NULL, 0};
    /* A fresh checkpoint, and no entry later than it: every entry of the bundle is under one. */
    LH_AUTO(lh_json_freep) json_t *fresh = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "log.checkpoint"), &fresh));
    LH_TRY(get_parts(cli, &parts));
    lh_checkpoint_note note;
    LH_TRY(lh_checkpoint_parse(LH_BYTES_STR(json_string_value(json_object_get(fresh, "note"))), &note));
    if (note.checkpoint.size > parts.size)
        return LH_REFUSE(LH_E_PROTOCOL, "admin-reply", "the daemon's checkpoint is longer than its log");
    parts.size = note.checkpoint.size;
    LH_TRY(write_line(file, json_pack("{s:i,s:s,s:I}", "leasehold_bundle", 1, "origin",
                                key_of(&parts, "origin"), "size", (json_int_t)parts.size)));
    LH_TRY(write_line(file, json_pack("{s:s}", "key", key_of(&parts, "ed25519"))));
    LH_TRY(write_line(file, json_pack("{s:s}", "key", key_of(&parts, "p256"))));
    LH_TRY(each_entry(cli, parts.size, write_entry, file));
    LH_TRY(write_notes(file, &parts));
    *ret_size = parts.size;
    return LH_SUCCESS;
}

static lh_err run_export(lh_cli *cli)
{
    const char *path = cli->args[0];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file == NULL)
        return LH_FAIL(LH_E_IO, "cannot make %s: %s", path, strerror(errno));
    uint64_t size = 0;
    lh_err err = write_bundle(cli, file, &size);
    if (fclose(file) != 0 && lh_ok(err))
        err = LH_FAIL(LH_E_IO, "cannot write %s: %s", path, strerror(errno));
    if (!lh_ok(err)) {
        (void)remove(path);
        return err;
    }
    if (cli->json) {
        LH_AUTO(lh_json_freep)
        json_t *result = json_pack("{s:s,s:I}", "file", path, "size", (json_int_t)size);
        return result == NULL ? LH_RAISE(LH_E_NOMEM, 0) : out_json(result);
    }
    (void)printf(
        "%s: %" PRIu64 " entries; verify it with: leasehold log verify --bundle %s\n", path, size, path);
    return LH_SUCCESS;
}

static const cli_option show_options[] = {
    {"from", "INDEX", "begin at this entry (else: the last 20)"},
    {"count", "N", "at most so many"},
    {"salts", NULL, "the leaves' salts, too"},
    {NULL, NULL, NULL},
};
static const cli_option verify_options[] = {
    {"checkpoint", "FILE", "a checkpoint saved earlier must still fit; repeat for more"},
    {"bundle", "FILE", "verify what `log export` wrote, without a daemon"},
    {"keys", "FILE", "believe these verifier keys only (as `log keys` printed them)"},
    {NULL, NULL, NULL},
};

const cli_command cmd_log_show = {
    .name = "log show",
    .arguments = "",
    .summary = "entries of the log",
    .options = show_options,
    .run = run_show,
};

const cli_command cmd_log_verify = {
    .name = "log verify",
    .arguments = "",
    .summary = "verify log, store and checkpoints; also offline",
    .details =
        "The daemon reads its whole store again; apart from that every entry is fetched with its salt,\n"
        "leaf hashes and roots are computed here, and every checkpoint's root and signatures checked.\n"
        "What is bad is named; the exit code is 1 then.\n",
    .options = verify_options,
    .run = run_verify,
};

const cli_command cmd_log_checkpoint = {
    .name = "log checkpoint",
    .arguments = "[FILE]",
    .summary = "make a signed checkpoint; keep it elsewhere to notice a cut log",
    .max_args = 1,
    .run = run_checkpoint,
};

const cli_command cmd_log_keys = {
    .name = "log keys",
    .arguments = "",
    .summary = "the keys that sign checkpoints, for --keys and for C2SP's tools",
    .run = run_keys,
};

const cli_command cmd_log_export = {
    .name = "log export",
    .arguments = "FILE",
    .summary = "save entries, salts, checkpoints and keys for verifying offline",
    .details = "FILE must not exist. It holds the log in the clear: keep it as you would keep the log.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_export,
};
