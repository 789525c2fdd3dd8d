/* leasehold lease: who may use which key until when; ending one, and revoking one for good. */
#include "commands.h"
#include "output.h"
#include "proof_file.h"
#include "proposal.h"

static void print_lease(json_t *lease)
{
    (void)printf("%s  %-8s %s to %s\n", out_line(lease, "id"), out_line(lease, "state"),
        out_line(lease, "role"), out_line(lease, "workload"));
    const char *host = out_line(lease, "host");
    const char *source = out_line(lease, "source");
    (void)printf("  pid %lld, uid %lld%s%s%s%s%s; issued %s, expires %s, at most until %s\n",
        out_number(lease, "pid"), out_number(lease, "uid"), host[0] == '\0' ? "" : " on ", host,
        source[0] == '\0' ? "" : " (from ", source, source[0] == '\0' ? "" : ")", out_line(lease, "issued"),
        out_line(lease, "expires"), out_line(lease, "not_after"));
    (void)printf("  used %lld", out_number(lease, "used"));
    if (out_number(lease, "uses") > 0)
        (void)printf(" of %lld", out_number(lease, "uses"));
    (void)printf("; assurance %s%s%s\n", out_line(lease, "assurance"),
        out_line(lease, "reason")[0] == '\0' ? "" : "; ", out_line(lease, "reason"));
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    json_t *request = json_pack("{s:s,s:b}", "call", "leases", "all", cli_flag(cli, "all") ? 1 : 0);
    LH_TRY(cli_call(cli, request, &reply));
    if (cli->json)
        return out_json(reply);
    const json_t *leases = json_object_get(reply, "leases");
    for (size_t i = 0; i < json_array_size(leases); i++)
        print_lease(json_array_get(leases, i));
    if (json_is_true(json_object_get(reply, "more")))
        (void)fprintf(
            stderr, "there are more leases than fit one answer; `leasehold log show` has all of them\n");
    if (json_array_size(leases) == 0)
        (void)printf("no lease %s\n", cli_flag(cli, "all") ? "is known" : "is active");
    return LH_SUCCESS;
}

static lh_err give_proof(const lh_cli *cli, json_t *reply)
{
    LH_AUTO(lh_json_freep) json_t *proof = NULL;
    LH_TRY(proof_file_make(reply, &proof));
    const char *path = cli_value(cli, "out");
    if (path == NULL)
        return out_json(proof);
    char *text = json_dumps(proof, JSON_INDENT(2));
    LH_AUTO(lh_buf_free) lh_buf lines = LH_BUF_INIT(PROOF_FILE_MAX);
    lh_buf_printf(&lines, "%s\n", text == NULL ? "" : text);
    bool made = text != NULL;
    free(text);
    LH_TRY(lh_buf_status(&lines));
    return made ? out_file(path, lh_buf_bytes(&lines)) : LH_RAISE(LH_E_NOMEM, 0);
}

static lh_err run_show(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s,s:s}", "call", "lease.show", "id", cli->args[0]), &reply));
    if (cli_flag(cli, "evidence") || cli_value(cli, "out"))
        return give_proof(cli, reply);
    if (cli->json)
        return out_json(reply);
    print_lease(json_object_get(reply, "lease"));
    const char *evidence = out_line(reply, "evidence");
    if (evidence[0] != '\0')
        (void)printf("  evidence (base64): %s\n", evidence);
    return LH_SUCCESS;
}

static lh_err run_end(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s,s:s}", "call", "lease.end", "id", cli->args[0]), &reply));
    if (cli->json)
        return out_json(reply);
    (void)printf("lease %s has ended\n", cli->args[0]);
    return LH_SUCCESS;
}

static lh_err run_revoke(lh_cli *cli)
{
    return proposal_make_json(cli, "lease.revoke", json_pack("{s:s}", "lease", cli->args[0]), true);
}

static const cli_option list_options[] = {
    {"all", NULL, "those that have ended, too"},
    {NULL, NULL, NULL},
};
static const cli_option show_options[] = {
    {"evidence", NULL, "its proof, for `leasehold evidence verify`"},
    {"out", "FILE", "write the proof there"},
    {NULL, NULL, NULL},
};
static const cli_option revoke_options[] = {
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};

const cli_command cmd_lease_list = {
    .name = "lease list",
    .arguments = "",
    .summary = "leases: who may use which key until when",
    .options = list_options,
    .run = run_list,
};

const cli_command cmd_lease_show = {
    .name = "lease show",
    .arguments = "ID",
    .summary = "one lease with the evidence it was issued on",
    .options = show_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

const cli_command cmd_lease_end = {
    .name = "lease end",
    .arguments = "ID",
    .summary = "end a lease now; the workload may get another",
    .min_args = 1,
    .max_args = 1,
    .run = run_end,
};

const cli_command cmd_lease_revoke = {
    .name = "lease revoke",
    .arguments = "ID",
    .summary = "end a lease and hold its workload and role; takes one officer",
    .details = "The hold stands until a quorum lifts it (`leasehold hold lift`). Without --key the proposal\n"
               "waits for one officer's signature.\n",
    .options = revoke_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_revoke,
};
