/* leasehold policy: check a document offline, show the one in force, make reference values. */
#include "commands.h"
#include "output.h"
#include "policy/policy.h"

static lh_err run_check(lh_cli *cli)
{
    const char *path = cli->args[0];
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &doc));
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_policy_parse(lh_buf_bytes(&doc), path, &policy, &problems);
    if (!lh_ok(err) && problems.errors == 0)
        return err;
    LH_TRY(out_problems(cli, &problems));
    cli->exit_code = problems.errors == 0 ? CLI_DONE : CLI_FAILED;
    if (policy != NULL && !cli->json)
        (void)printf("%s: good: %zu workload(s), %zu role(s), %zu grant(s)\n", path,
            lh_policy_workload_count(policy), lh_policy_role_count(policy), lh_policy_grant_count(policy));
    return LH_SUCCESS;
}

static lh_err print_document(lh_cli *cli, json_t *request_taken, const char *field)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, request_taken, &reply));
    if (cli->json)
        return out_json(reply);
    out_text(stdout, json_string_value(json_object_get(reply, field)));
    return LH_SUCCESS;
}

static lh_err run_show(lh_cli *cli)
{
    if (cli_flag(cli, "references"))
        return print_document(cli, json_pack("{s:s}", "call", "references.show"), "references");
    return print_document(cli, json_pack("{s:s}", "call", "policy.show"), "policy");
}

static lh_err run_reference(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *pcrs = NULL;
    LH_TRY(cli_pcrs(cli, "pcrs", &pcrs));
    return print_document(
        cli, json_pack("{s:s,s:O*}", "call", "references.template", "pcrs", pcrs), "references");
}

static const cli_option show_options[] = {
    {"references", NULL, "the reference values in force instead"},
    {NULL, NULL, NULL},
};
static const cli_option reference_options[] = {
    {"pcrs", "LIST", "which PCRs, such as 0-7 (else those the vault is sealed to)"},
    {NULL, NULL, NULL},
};

const cli_command cmd_policy_check = {
    .name = "policy check",
    .arguments = "FILE|-",
    .summary = "check a policy document; needs no daemon",
    .details = "Prints every problem with its line and column; exits with 1 where there is an error.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_check,
};

const cli_command cmd_policy_show = {
    .name = "policy show",
    .arguments = "",
    .summary = "the policy (or the reference values) in force",
    .options = show_options,
    .run = run_show,
};

const cli_command cmd_policy_reference = {
    .name = "policy reference",
    .arguments = "",
    .summary = "a reference document made from what the TPM's PCRs hold now",
    .options = reference_options,
    .run = run_reference,
};
