/* leasehold seal, unseal: close the vault (one officer), open one that an officer closed (a quorum). */
#include "commands.h"
#include "proposal.h"

static lh_err run_seal(lh_cli *cli)
{
    return proposal_make_json(cli, "vault.seal", json_object(), true);
}

static lh_err run_unseal(lh_cli *cli)
{
    return proposal_make_json(cli, "vault.unseal", json_object(), true);
}

static const cli_option options[] = {
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};

const cli_command cmd_seal = {
    .name = "seal",
    .arguments = "",
    .summary = "close the vault until a quorum opens it; takes one officer",
    .details =
        "Without --key the proposal is made and waits for one officer's signature (`leasehold approve`).\n"
        "A vault that an officer sealed stays sealed through restarts.\n",
    .options = options,
    .run = run_seal,
};

const cli_command cmd_unseal = {
    .name = "unseal",
    .arguments = "",
    .summary = "open a vault that an officer sealed; takes a quorum",
    .details = "With --key the requester approves at once; exits with 3 while more approvals are needed.\n"
               "A vault that its TPM would not open is not opened by this: `leasehold status` tells why.\n",
    .options = options,
    .run = run_unseal,
};
