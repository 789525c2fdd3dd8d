/* leasehold propose: the operations on standalone partitions and on certificates of leased keys. */
#include "propose_partition.h"

#include "codec/utf8.h"
#include "output.h"
#include "proposal.h"

#include <ctype.h>
#include <pwd.h>

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

static lh_err partition_name(const lh_cli *cli, const char **ret)
{
    if (cli->n_args != 2)
        return CLI_MISUSE("propose %s needs the partition's NAME", cli->args[0]);
    *ret = cli->args[1];
    return LH_SUCCESS;
}

/* Asked here, too: the name may hold what JSON could only write with an escape. */
static lh_err new_name(const lh_cli *cli, const char **ret)
{
    LH_TRY(partition_name(cli, ret));
    if (!lh_utf8_is_plain_name(LH_BYTES_STR(*ret), LH_LIMIT_PARTITION_NAME))
        return LH_REFUSE(LH_E_INVALID, "partition-name", "%s", LH_PARTITION_NAME_EXPECTED);
    return LH_SUCCESS;
}

/* A number, or the name of a user of this machine, which becomes its number. */
static lh_err read_user(const char *text, uint32_t *ret)
{
    bool digits = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    unsigned long long uid = digits && strlen(text) <= 10 ? strtoull(text, NULL, 10) : UINT32_MAX;
    const struct passwd *entry = digits ? NULL : getpwnam(text);
    if (entry != NULL)
        uid = entry->pw_uid;
    if (uid >= UINT32_MAX)
        return CLI_MISUSE(
            "--user \"%s\": this machine has no user of that name, and a user's number it is not", text);
    *ret = (uint32_t)uid;
    return LH_SUCCESS;
}

static lh_err read_users(const lh_cli *cli, json_t *users)
{
    const char *text = NULL;
    for (size_t n = 0; (text = cli_value_at(cli, "user", n)) != NULL; n++) {
        uint32_t uid = 0;
        LH_TRY(read_user(text, &uid));
        if (json_array_append_new(users, json_integer((json_int_t)uid)) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}

lh_err propose_partition_create(lh_cli *cli)
{
    const char *name = NULL;
    const char *so = cli_value(cli, "so");
    LH_TRY(new_name(cli, &name));
    if (so != NULL && strcmp(so, "pin") != 0 && strcmp(so, "quorum") != 0)
        return CLI_MISUSE("--so \"%s\": expected pin or quorum", so);
    LH_AUTO(lh_json_freep) json_t *users = json_array();
    LH_TRY(read_users(cli, users));
    return proposal_make_json(cli, "partition.create",
        json_pack("{s:s,s:O,s:s}", "name", name, "users", users, "so", so != NULL ? so : "pin"), false);
}

lh_err propose_partition_destroy(lh_cli *cli)
{
    const char *name = NULL;
    LH_TRY(partition_name(cli, &name));
    return proposal_make_json(cli, "partition.destroy", json_pack("{s:s}", "name", name), false);
}

/* The base64 of one PEM block, a line each, up to its end line; *text is left behind that. */
static lh_err read_block(const char **text, json_t *lines)
{
    for (const char *at = *text; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        const char *next = at + len + (at[len] == '\n' ? 1 : 0);
        while (len > 0 && isspace((unsigned char)at[len - 1]))
            len--;
        if (len == strlen(PEM_END) && strncmp(at, PEM_END, len) == 0) {
            *text = next;
            return LH_SUCCESS;
        }
        json_t *line = len > 0 ? json_stringn(at, len) : NULL;
        if (len > 0 && (line == NULL || json_array_append_new(lines, line) != 0))
            return CLI_MISUSE("--chain: not a PEM file");
        at = next;
    }
    return CLI_MISUSE("--chain: a certificate without its end line");
}

/* The certificates of a PEM file, in its order; what stands around them is left out. */
static lh_err read_chain(const char *path, json_t *chain)
{
    LH_AUTO(lh_buf_free) lh_buf file = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &file));
    const char *at = lh_buf_cstr(&file);
    while (at != NULL && (at = strstr(at, PEM_BEGIN)) != NULL) {
        LH_AUTO(lh_json_freep) json_t *lines = json_array();
        at += strlen(PEM_BEGIN);
        LH_TRY(read_block(&at, lines));
        if (json_array_append(chain, lines) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    if (json_array_size(chain) == 0)
        return CLI_MISUSE("--chain: %s holds no certificate (" PEM_BEGIN ")", path);
    return LH_SUCCESS;
}

static lh_err read_subject(const lh_cli *cli, const char **role, const char **workload)
{
    if (cli->n_args != 1)
        return CLI_MISUSE("propose %s takes no argument", cli->args[0]);
    LH_TRY(cli_require(cli, "role", role));
    return cli_require(cli, "workload", workload);
}

lh_err propose_certificate_attach(lh_cli *cli)
{
    const char *role = NULL;
    const char *workload = NULL;
    const char *path = NULL;
    LH_AUTO(lh_json_freep) json_t *chain = json_array();
    LH_TRY(read_subject(cli, &role, &workload));
    LH_TRY(cli_require(cli, "chain", &path));
    LH_TRY(read_chain(path, chain));
    return proposal_make_json(cli, "certificate.attach",
        json_pack("{s:s,s:s,s:O}", "role", role, "workload", workload, "chain", chain), false);
}

lh_err propose_certificate_remove(lh_cli *cli)
{
    const char *role = NULL;
    const char *workload = NULL;
    LH_TRY(read_subject(cli, &role, &workload));
    return proposal_make_json(
        cli, "certificate.remove", json_pack("{s:s,s:s}", "role", role, "workload", workload), false);
}
