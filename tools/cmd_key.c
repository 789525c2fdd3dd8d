/* leasehold key: parents and roles, and the public keys of workloads. */
#include "commands.h"
#include "output.h"

static void print_duration(const char *label, long long seconds)
{
    if (seconds > 0 && seconds % 86400 == 0)
        (void)printf(", %s %lldd", label, seconds / 86400);
    else if (seconds > 0 && seconds % 3600 == 0)
        (void)printf(", %s %lldh", label, seconds / 3600);
    else if (seconds > 0 && seconds % 60 == 0)
        (void)printf(", %s %lldm", label, seconds / 60);
    else if (seconds > 0)
        (void)printf(", %s %llds", label, seconds);
}

static void print_certificates(const json_t *certificates, const char *role)
{
    for (size_t i = 0; i < json_array_size(certificates); i++) {
        json_t *one = json_array_get(certificates, i);
        const char *of = json_string_value(json_object_get(one, "role"));
        if (role == NULL || of == NULL || strcmp(of, role) != 0)
            continue;
        (void)printf("  certificate of %s: %s", out_line(one, "workload"), out_line(one, "subject"));
        (void)printf(", until %s\n",
            out_line(one, "not_after")[0] != '\0' ? out_line(one, "not_after") : "(not to be told)");
    }
}

static lh_err print_role(json_t *role)
{
    LH_AUTO(lh_buf_free) lh_buf allow = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    out_join(json_object_get(role, "allow"), &allow);
    LH_TRY(lh_buf_status(&allow));
    (void)printf("role %s: %s per %s from %s", out_line(role, "role"), out_line(role, "key"),
        out_line(role, "per"), out_line(role, "parent"));
    print_duration("ttl", out_number(role, "ttl"));
    print_duration("at most", out_number(role, "max_ttl"));
    if (out_number(role, "uses") > 0)
        (void)printf(", %lld uses", out_number(role, "uses"));
    (void)printf("\n  allows %s\n", allow.len == 0 ? "nothing" : lh_buf_cstr(&allow));
    const json_t *workloads = json_object_get(role, "workloads");
    for (size_t i = 0; i < json_array_size(workloads); i++) {
        LH_AUTO(lh_buf_free) lh_buf one = LH_BUF_INIT(LH_LIMIT_MESSAGE);
        lh_buf_append_str(&one, json_string_value(json_array_get(workloads, i)));
        LH_TRY(lh_buf_status(&one));
        (void)printf("  to ");
        out_text(stdout, lh_buf_cstr(&one));
        (void)putchar('\n');
    }
    return LH_SUCCESS;
}

static void print_parent(json_t *parent)
{
    const char *created = out_line(parent, "created");
    (void)printf("parent %s: version %lld%s%s\n", out_line(parent, "name"), out_number(parent, "version"),
        created[0] == '\0' ? "" : ", created ", created);
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "keys"), &reply));
    if (cli->json)
        return out_json(reply);
    const json_t *parents = json_object_get(reply, "parents");
    const json_t *roles = json_object_get(reply, "roles");
    for (size_t i = 0; i < json_array_size(parents); i++)
        print_parent(json_array_get(parents, i));
    for (size_t i = 0; i < json_array_size(roles); i++) {
        json_t *role = json_array_get(roles, i);
        LH_TRY(print_role(role));
        print_certificates(
            json_object_get(reply, "certificates"), json_string_value(json_object_get(role, "role")));
    }
    if (out_bool(reply, "more"))
        (void)printf("and other certificates, which did not fit\n");
    return LH_SUCCESS;
}

static lh_err run_public(lh_cli *cli)
{
    const char *workload = NULL;
    LH_TRY(cli_require(cli, "workload", &workload));
    const char *format = cli_value(cli, "format");
    bool ssh = format != NULL && strcmp(format, "ssh") == 0;
    if (format != NULL && !ssh && strcmp(format, "pem") != 0)
        return CLI_MISUSE("--format \"%s\": expected pem or ssh", format);
    json_t *request =
        json_pack("{s:s,s:s,s:s}", "call", "key.public", "role", cli->args[0], "workload", workload);
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, request, &reply));
    if (cli->json)
        return out_json(reply);
    const char *key = json_string_value(json_object_get(reply, ssh ? "ssh" : "pem"));
    if (key == NULL)
        return LH_REFUSE(LH_E_UNSUPPORTED, "key-format", "this key has no %s form", ssh ? "OpenSSH" : "PEM");
    out_text(stdout, key);
    if (key[0] != '\0' && key[strlen(key) - 1] != '\n')
        (void)putchar('\n');
    return LH_SUCCESS;
}

static const cli_option public_options[] = {
    {"workload", "ID", "the workload's SPIFFE ID"},
    {"format", "pem|ssh", "pem (as without), or an authorized_keys line"},
    {NULL, NULL, NULL},
};

const cli_command cmd_key_list = {
    .name = "key list",
    .arguments = "",
    .summary = "parent keys, and the roles that derive from them",
    .run = run_list,
};

const cli_command cmd_key_public = {
    .name = "key public",
    .arguments = "ROLE",
    .summary = "the public key that a workload has under a role of `per: workload`",
    .options = public_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_public,
};
