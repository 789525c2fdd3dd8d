/* leasehold explain: why something is allowed or refused. */
#include "commands.h"
#include "output.h"

static lh_err explain_role(lh_cli *cli)
{
    int64_t pid = -1;
    LH_TRY(cli_number(cli, "pid", INT32_MAX, &pid));
    LH_AUTO(lh_json_freep)
    json_t *request =
        json_pack("{s:s,s:s,s:s*,s:s*,s:s*}", "call", "explain", "role", cli->args[0], "mechanism",
            cli_value(cli, "mechanism"), "use", cli_value(cli, "use"), "host", cli_value(cli, "host"));
    if (request == NULL)
        return CLI_MISUSE("role, host and mechanism must be UTF-8 text");
    if (pid >= 0 && json_object_set_new(request, "pid", json_integer(pid)) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, LH_TAKE(request), &reply));
    bool allowed = out_bool(reply, "allowed");
    cli->exit_code = allowed ? CLI_DONE : CLI_FAILED;
    if (cli->json)
        return out_json(reply);
    const char *reason = out_line(reply, "reason");
    const char *rule = out_line(reply, "rule");
    (void)printf("%s%s%s%s\n", allowed ? "allowed" : "refused", reason[0] == '\0' ? "" : " [", reason,
        reason[0] == '\0' ? "" : "]");
    if (rule[0] != '\0')
        (void)printf("rule: %s\n", rule);
    const char *text = json_string_value(json_object_get(reply, "text"));
    out_text(stdout, text);
    if (text[0] != '\0' && text[strlen(text) - 1] != '\n')
        (void)putchar('\n');
    return LH_SUCCESS;
}

/* What was refused and why; the conditions that were looked at follow it, for --json. */
static void print_first_line(const char *text)
{
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_buf_append(&line, text == NULL ? "" : text, text == NULL ? 0 : strcspn(text, "\n"));
    const char *first = lh_buf_cstr(&line);
    (void)printf("  ");
    out_text(stdout, first == NULL ? "" : first);
    (void)putchar('\n');
}

static lh_err list_refusals(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "refusals"), &reply));
    if (cli->json)
        return out_json(reply);
    const json_t *refusals = json_object_get(reply, "refusals");
    for (size_t i = 0; i < json_array_size(refusals); i++) {
        json_t *refusal = json_array_get(refusals, i);
        (void)printf("%s  %s [%s]\n", out_line(refusal, "time"), out_line(refusal, "role"),
            out_line(refusal, "reason"));
        const char *host = out_line(refusal, "host");
        (void)printf("  pid %lld, uid %lld%s%s, %s\n", out_number(refusal, "pid"), out_number(refusal, "uid"),
            host[0] == '\0' ? "" : " on ", host, out_line(refusal, "exe"));
        if (out_line(refusal, "rule")[0] != '\0')
            (void)printf("  rule: %s\n", out_line(refusal, "rule"));
        print_first_line(json_string_value(json_object_get(refusal, "text")));
    }
    if (json_array_size(refusals) == 0)
        (void)printf("nothing was refused lately\n");
    return LH_SUCCESS;
}

static lh_err run(lh_cli *cli)
{
    return cli->n_args == 0 ? list_refusals(cli) : explain_role(cli);
}

static const cli_option options[] = {
    {"pid", "N", "for this process (else for the caller)"},
    {"host", "NAME", "the process is on this enrolled host, and connected now"},
    {"mechanism", "NAME", "with this mechanism, such as ecdsa-sha256"},
    {"use", "USE", "for this use: sign, verify, encrypt or decrypt"},
    {NULL, NULL, NULL},
};

const cli_command cmd_explain = {
    .name = "explain",
    .arguments = "[ROLE]",
    .summary = "why a process may or may not use a role; without ROLE: recent refusals",
    .details = "Exits with 1 where it would be refused. Those who are no admins see their own processes and\n"
               "refusals only.\n",
    .options = options,
    .max_args = 1,
    .run = run,
};
