/* leasehold hold: revocations that stand. */
#include "commands.h"
#include "output.h"
#include "proposal.h"

static const char *const subjects[] = {"workload", "role", "lease", "host"};

static void print_hold(json_t *hold)
{
    (void)printf("%s ", out_line(hold, "id"));
    for (size_t i = 0; i < LH_ARRAY_LEN(subjects); i++) {
        const char *value = out_line(hold, subjects[i]);
        if (value[0] != '\0')
            (void)printf(" %s %s", subjects[i], value);
    }
    (void)printf("\n  placed %s by %s%s%s\n", out_line(hold, "placed"), out_line(hold, "officer"),
        out_line(hold, "reason")[0] == '\0' ? "" : ": ", out_line(hold, "reason"));
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "holds"), &reply));
    if (cli->json)
        return out_json(reply);
    const json_t *holds = json_object_get(reply, "holds");
    for (size_t i = 0; i < json_array_size(holds); i++)
        print_hold(json_array_get(holds, i));
    if (json_array_size(holds) == 0)
        (void)printf("nothing is on hold\n");
    return LH_SUCCESS;
}

static lh_err run_add(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *params = json_object();
    for (size_t i = 0; i < LH_ARRAY_LEN(subjects); i++) {
        const char *value = cli_value(cli, subjects[i]);
        if (value != NULL && json_object_set_new(params, subjects[i], json_string(value)) != 0)
            return CLI_MISUSE("--%s must be UTF-8 text", subjects[i]);
    }
    if (json_object_size(params) == 0)
        return CLI_MISUSE("hold add needs --workload, --role, --lease or --host");
    return proposal_make_json(cli, "hold.place", LH_TAKE(params), true);
}

static lh_err run_lift(lh_cli *cli)
{
    return proposal_make_json(cli, "hold.lift", json_pack("{s:s}", "hold", cli->args[0]), true);
}

static const cli_option add_options[] = {
    {"workload", "ID", "hold this workload"},
    {"role", "NAME", "hold this role (with --workload: for that workload)"},
    {"lease", "ID", "hold what this lease was issued for"},
    {"host", "NAME", "hold this host"},
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};
static const cli_option lift_options[] = {
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};

const cli_command cmd_hold_list = {
    .name = "hold list",
    .arguments = "",
    .summary = "what is on hold, since when and why",
    .run = run_list,
};

const cli_command cmd_hold_add = {
    .name = "hold add",
    .arguments = "",
    .summary = "issue nothing any more for a workload, role or host; takes one officer",
    .details =
        "Leases it covers end at once. Without --key the proposal waits for one officer's signature.\n",
    .options = add_options,
    .run = run_add,
};

const cli_command cmd_hold_lift = {
    .name = "hold lift",
    .arguments = "ID",
    .summary = "lift a hold; takes a quorum",
    .details = "With --key the requester approves at once; exits with 3 while more approvals are needed.\n",
    .options = lift_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_lift,
};
