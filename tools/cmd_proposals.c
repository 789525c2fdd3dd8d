/* leasehold proposals: what waits for approvals. */
#include "commands.h"
#include "output.h"
#include "proposal.h"

static lh_err print_one(json_t *proposal)
{
    LH_AUTO(lh_buf_free) lh_buf officers = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    out_join_field(json_object_get(proposal, "approvals"), "officer", &officers);
    const char *by = lh_buf_cstr(&officers);
    if (by == NULL)
        return lh_buf_status(&officers);
    (void)printf("%s  %-16s %-9s by %s, until %s\n", out_line(proposal, "id"),
        out_line(proposal, "operation"), out_line(proposal, "state"), out_line(proposal, "requester"),
        out_line(proposal, "not_after"));
    const char *reason = out_line(proposal, "reason");
    (void)printf("  votes: %s", by[0] == '\0' ? "none" : by);
    if (strcmp(out_line(proposal, "state"), "open") == 0)
        (void)printf("; %lld more needed", proposal_missing(proposal));
    (void)printf("%s%s\n", reason[0] == '\0' ? "" : "; reason: ", reason);
    return LH_SUCCESS;
}

static lh_err run(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    json_t *request = json_pack("{s:s,s:b}", "call", "proposals", "all", cli_flag(cli, "all") ? 1 : 0);
    LH_TRY(cli_call(cli, request, &reply));
    if (cli->json)
        return out_json(reply);
    json_t *proposals = json_object_get(reply, "proposals");
    for (size_t i = 0; i < json_array_size(proposals); i++)
        LH_TRY(print_one(json_array_get(proposals, i)));
    if (json_array_size(proposals) == 0)
        (void)printf("no proposal %s\n", cli_flag(cli, "all") ? "was made" : "waits for approvals");
    return LH_SUCCESS;
}

static const cli_option options[] = {
    {"all", NULL, "those that were executed, denied, withdrawn or expired, too"},
    {NULL, NULL, NULL},
};

const cli_command cmd_proposals = {
    .name = "proposals",
    .arguments = "",
    .summary = "what waits for approvals",
    .options = options,
    .run = run,
};
