/* leasehold init: make a founding vault. */
#include "commands.h"
#include "output.h"
#include "roster.h"

static void print_next(json_t *reply, json_t *officers)
{
    out_text(stdout, json_string_value(json_object_get(reply, "text")));
    (void)printf("\nvault %s is founding: it serves once every officer has signed the text above.\n",
        out_line(reply, "vault"));
    (void)printf("Each officer, with a key of the roster:\n");
    for (size_t i = 0; i < json_array_size(officers); i++)
        (void)printf("  leasehold approve genesis --officer %s --key KEYFILE\n",
            out_line(json_array_get(officers, i), "name"));
    (void)printf("or elsewhere (an air-gapped machine, a smart card):\n"
                 "  leasehold show genesis --text > genesis.txt\n"
                 "  ssh-keygen -Y sign -n leasehold -f KEYFILE genesis.txt\n"
                 "  leasehold approve genesis --signature genesis.txt.sig\n");
}

static lh_err run(lh_cli *cli)
{
    int64_t threshold = -1;
    LH_TRY(cli_number(cli, "threshold", LH_LIMIT_OFFICERS, &threshold));
    if (threshold < 0)
        return CLI_MISUSE("init needs --threshold, how many officers an operation takes");
    LH_AUTO(lh_json_freep) json_t *officers = NULL;
    LH_TRY(roster_read(cli, "officer", &officers));
    LH_AUTO(lh_json_freep) json_t *pcrs = NULL;
    LH_TRY(cli_pcrs(cli, "seal-pcrs", &pcrs));
    LH_AUTO(lh_json_freep)
    json_t *request = json_pack("{s:s,s:O,s:I,s:O*}", "call", "init", "officers", officers, "threshold",
        (json_int_t)threshold, "seal_pcrs", pcrs);
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, LH_TAKE(request), &reply));
    if (cli->json)
        return out_json(reply);
    print_next(reply, officers);
    return LH_SUCCESS;
}

static const cli_option options[] = {
    {"officer", "NAME=KEY.pub", "an officer and a public key; repeat for more officers and more keys"},
    {"threshold", "M", "how many officers an operation takes, at least 2"},
    {"seal-pcrs", "LIST", "PCRs that the root key is sealed to, such as 7 (else the daemon's choice)"},
    {NULL, NULL, NULL},
};

const cli_command cmd_init = {
    .name = "init",
    .arguments = "",
    .summary = "make a founding vault: its officers, its root key, its genesis",
    .details = "Prints the genesis text, whose SHA-256 is the vault's id, and how each officer signs it.\n"
               "The vault serves nothing until all have.\n",
    .options = options,
    .run = run,
};
