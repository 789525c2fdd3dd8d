/* leasehold reference: reference values for hosts, made and kept. Sets of files from a folder, from Debian
 * packages or from a run that is known to be good; what the vault has of them. */
#include "codec/base64.h"
#include "commands.h"
#include "crypto/hash.h"
#include "file_list.h"
#include "output.h"
#include "proc/child.h"
#include "verify/fileset.h"
#include "verify/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXTRACT_MS 600000     /* for one package */
#define QUERY_MAX (16u << 20) /* bytes of names of an installed package's files */

/* The text to --out FILE, or to standard output; how much there is, to standard error. */
static lh_err write_set(const lh_cli *cli, lh_crypto *c, file_list *list)
{
    if (file_list_count(list) == 0)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no regular file there");
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_FILESET_MAX);
    LH_TRY(file_list_write(list, &text));
    uint8_t hash[32];
    const lh_bytes bytes = lh_buf_bytes(&text);
    LH_TRY(lh_sha256(c, &bytes, 1, hash));
    char hex[65];
    lh_hex(hash, sizeof(hash), hex);
    const char *out = cli_value(cli, "out");
    if (out != NULL)
        LH_TRY(out_file(out, bytes));
    if (cli->json) {
        LH_AUTO(lh_json_freep)
        json_t *reply = json_pack(
            "{s:s, s:I, s:s*}", "files", hex, "lines", (json_int_t)file_list_count(list), "out", out);
        return out_json(reply);
    }
    if (out != NULL)
        (void)printf("sha256:%s\n", hex);
    else if (fwrite(text.data, 1, text.len, stdout) != text.len)
        return LH_FAIL(LH_E_IO, "cannot write to standard output: %s", strerror(errno));
    return LH_SUCCESS;
}

static lh_err run_files(lh_cli *cli)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *c = NULL;
    LH_AUTO(file_list_freep) file_list *list = NULL;
    LH_TRY(lh_crypto_new(&c));
    LH_TRY(file_list_new(c, &list));
    for (int i = 0; i < cli->n_args; i++)
        LH_TRY(file_list_add_tree(list, cli->args[i]));
    return write_set(cli, c, list);
}

/* --- packages ---------------------------------------------------------------------------------------------
 */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    (void)remove(path);
    return 0;
}

static void remove_tree(char **folder)
{
    if (*folder != NULL)
        (void)nftw(*folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(*folder);
}

/* Run a program of dpkg's, which says itself what is wrong. */
static lh_err run_dpkg(const char *const *argv, lh_buf *output)
{
    int status = 0;
    LH_TRY(lh_child_run(argv, LH_BYTES_NONE, output, EXTRACT_MS, &status));
    return status == 0 ? LH_SUCCESS : LH_FAIL(LH_E_INVALID, "%s %s failed", argv[0], argv[1]);
}

static lh_err add_archive(file_list *list, const char *archive)
{
    const char *tmp = getenv("TMPDIR");
    LH_AUTO(remove_tree) char *folder = NULL;
    char *name = NULL;
    if (asprintf(&name, "%s/leasehold-package-XXXXXX", tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp") < 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (mkdtemp(name) == NULL) {
        lh_err err = LH_FAIL(LH_E_IO, "cannot make a folder %s: %s", name, strerror(errno));
        free(name);
        return err;
    }
    folder = name;
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(4096);
    const char *const argv[] = {"dpkg-deb", "--extract", archive, folder, NULL};
    LH_TRY(run_dpkg(argv, &output));
    return file_list_add_tree(list, folder);
}

/* Files of an installed package, as they are on this machine now: make the set where it is known to be good.
 */
static lh_err add_installed(file_list *list, const char *package)
{
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(QUERY_MAX);
    const char *const argv[] = {"dpkg-query", "--listfiles", package, NULL};
    LH_TRY(run_dpkg(argv, &output));
    lh_buf_append(&output, "", 1);
    LH_TRY(lh_buf_status(&output));
    char *rest = NULL;
    for (char *line = strtok_r((char *)output.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        lh_err err = line[0] == '/' ? file_list_add_file(list, line) : LH_SUCCESS;
        if (err.code == LH_E_NOT_FOUND)
            continue; /* diverted, or removed by its administrator */
        LH_TRY(err);
    }
    return LH_SUCCESS;
}

static lh_err run_packages(lh_cli *cli)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *c = NULL;
    LH_AUTO(file_list_freep) file_list *list = NULL;
    LH_TRY(lh_crypto_new(&c));
    LH_TRY(file_list_new(c, &list));
    for (int i = 0; i < cli->n_args; i++) {
        const char *argument = cli->args[i];
        size_t len = strlen(argument);
        bool archive = len > 4 && strcmp(argument + len - 4, ".deb") == 0;
        LH_TRY(archive ? add_archive(list, argument) : add_installed(list, argument));
    }
    return write_set(cli, c, list);
}

/* --- the vault --------------------------------------------------------------------------------------------
 */

static lh_err upload_part(lh_cli *cli, const char *hash, lh_bytes all, size_t offset)
{
    size_t len = all.len - offset < LH_LIMIT_FILESET_PART ? all.len - offset : LH_LIMIT_FILESET_PART;
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_base64_encode(LH_BYTES(all.data + offset, len), &data);
    LH_TRY(lh_buf_status(&data));
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    return cli_call(cli,
        json_pack("{s:s, s:s, s:I, s:I, s:s%}", "call", "reference.upload", "files", hash, "size",
            (json_int_t)all.len, "offset", (json_int_t)offset, "data", (const char *)data.data, data.len),
        &reply);
}

static lh_err upload(lh_cli *cli, lh_crypto *c, const char *path, json_t *done)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_FILESET_MAX);
    LH_TRY(in_file(path, &text));
    LH_AUTO(lh_digests_unrefp) lh_digests *digests = NULL;
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = NULL;
    LH_TRY(lh_digests_new(&digests));
    lh_err err = lh_fileset_parse(c, digests, lh_buf_bytes(&text), &set);
    if (!lh_ok(err)) {
        const lh_err_detail d = *lh_err_last();
        return LH_REFUSE(err.code, d.reason, "%s: %s", path, d.message);
    }
    char hash[65];
    lh_hex(lh_fileset_hash(set), 32, hash);
    for (size_t offset = 0; offset < text.len; offset += LH_LIMIT_FILESET_PART)
        LH_TRY(upload_part(cli, hash, lh_buf_bytes(&text), offset));
    json_array_append_new(
        done, json_pack("{s:s, s:I, s:I}", "files", hash, "count", (json_int_t)lh_fileset_files(set),
                  "events", (json_int_t)lh_fileset_events(set)));
    if (!cli->json)
        (void)printf("sha256:%s  %zu files, %zu events of the boot log: the vault has them\n", hash,
            lh_fileset_files(set), lh_fileset_events(set));
    return LH_SUCCESS;
}

static lh_err run_upload(lh_cli *cli)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *c = NULL;
    LH_TRY(lh_crypto_new(&c));
    LH_AUTO(lh_json_freep) json_t *done = json_array();
    for (int i = 0; i < cli->n_args; i++)
        LH_TRY(upload(cli, c, cli->args[i], done));
    if (!cli->json)
        return LH_SUCCESS;
    LH_AUTO(lh_json_freep) json_t *reply = json_pack("{s:O}", "sets", done);
    return out_json(reply);
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "reference.list"), &reply));
    if (cli->json)
        return out_json(reply);
    size_t i;
    json_t *set;
    json_array_foreach(json_object_get(reply, "sets"), i, set)(void)
        printf("sha256:%s  %lld files, %lld events of the boot log, %lld bytes\n", out_line(set, "files"),
            out_number(set, "count"), out_number(set, "events"), out_number(set, "bytes"));
    return LH_SUCCESS;
}

/* --- checking a document ----------------------------------------------------------------------------------
 */

static lh_err run_check(lh_cli *cli)
{
    const char *path = cli->args[0];
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &doc));
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_references_parse(lh_buf_bytes(&doc), path, &references, &problems);
    if (!lh_ok(err) && problems.errors == 0)
        return err;
    LH_TRY(out_problems(cli, &problems));
    cli->exit_code = problems.errors == 0 ? CLI_DONE : CLI_FAILED;
    if (references != NULL && !cli->json)
        (void)printf("%s: good\n", path);
    return LH_SUCCESS;
}

static const cli_option set_options[] = {
    {"out", "FILE", "write the set there and print its SHA-256 (else the set goes to standard output)"},
    {NULL, NULL, NULL},
};

const cli_command cmd_reference_files = {
    .name = "reference files",
    .arguments = "FOLDER…",
    .summary = "a set of all files below a folder, named as if it were the root; needs no daemon",
    .details = "The set is what sha256sum prints, sorted. Links are not followed and other file systems not "
               "entered.\n",
    .options = set_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_files,
};

const cli_command cmd_reference_packages = {
    .name = "reference packages",
    .arguments = "FILE.deb|PACKAGE…",
    .summary = "a set of the files of Debian packages; needs no daemon",
    .details = "FILE.deb: what the archive holds. PACKAGE: the files that an installed package has on this "
               "machine, as\nthey are now: only where the machine is known to be good.\n",
    .options = set_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_packages,
};

const cli_command cmd_reference_upload = {
    .name = "reference upload",
    .arguments = "FILE…",
    .summary = "give the vault sets of files that reference values name",
    .details = "The document that names them comes first: in force, or proposed and open. The vault takes "
               "nothing else.\n",
    .min_args = 1,
    .max_args = -1,
    .run = run_upload,
};

const cli_command cmd_reference_list = {
    .name = "reference list",
    .arguments = "",
    .summary = "the sets of files that the vault has",
    .run = run_list,
};

const cli_command cmd_reference_check = {
    .name = "reference check",
    .arguments = "FILE|-",
    .summary = "check a document of reference values; needs no daemon",
    .details = "Prints every problem with its line and column; exits with 1 where there is an error.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_check,
};
