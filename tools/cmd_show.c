/* leasehold show: a proposal or the genesis, and the exact bytes to sign. */
#include "commands.h"
#include "notes.h"
#include "output.h"
#include "proposal.h"

static lh_err write_exact(lh_bytes text)
{
    if (fwrite(text.data, 1, text.len, stdout) != text.len)
        return LH_FAIL(LH_E_IO, "cannot write to standard output");
    return LH_SUCCESS;
}

static lh_err show_genesis(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "genesis.show"), &reply));
    const char *text = json_string_value(json_object_get(reply, "text"));
    if (cli->json)
        return out_json(reply);
    if (cli_flag(cli, "text"))
        return write_exact(LH_BYTES_STR(text));
    out_text(stdout, text);
    LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_buf_printf(&line, "\nvault %s\nsigned by: ", out_line(reply, "vault"));
    out_join(json_object_get(reply, "signed"), &line);
    lh_buf_append_str(&line, "\nmissing:   ");
    out_join(json_object_get(reply, "missing"), &line);
    LH_TRY(lh_buf_status(&line));
    (void)printf("%s\n", lh_buf_cstr(&line));
    return LH_SUCCESS;
}

static lh_err print_proposal(lh_crypto *crypto, json_t *proposal, lh_buf *text)
{
    const char *shown = lh_buf_cstr(text);
    if (shown == NULL)
        return lh_buf_status(text);
    out_text(stdout, shown);
    notes_print(stdout, crypto, proposal);
    LH_AUTO(lh_buf_free) lh_buf votes = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    out_join_field(json_object_get(proposal, "approvals"), "officer", &votes);
    LH_TRY(lh_buf_status(&votes));
    (void)printf(
        "\nstate: %s; votes: %s", out_line(proposal, "state"), votes.len == 0 ? "none" : lh_buf_cstr(&votes));
    if (strcmp(out_line(proposal, "state"), "open") == 0)
        (void)printf("; %lld more approval(s) needed", proposal_missing(proposal));
    (void)putchar('\n');
    return LH_SUCCESS;
}

static lh_err run(lh_cli *cli)
{
    if (strcmp(cli->args[0], "genesis") == 0)
        return show_genesis(cli);
    enum lh_verb verb = LH_VERB_APPROVE;
    const char *name = cli_value(cli, "verb");
    if (name != NULL && !lh_ok(lh_verb_parse(name, &verb)))
        return CLI_MISUSE("--verb \"%s\": expected approve, deny or withdraw", name);
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s,s:s}", "call", "proposal.show", "id", cli->args[0]), &reply));
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    LH_TRY(proposal_check(crypto, reply));
    if (cli->json)
        return out_json(reply);
    json_t *proposal = json_object_get(reply, "proposal");
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(PROPOSAL_TEXT_MAX);
    LH_TRY(proposal_text(crypto, proposal, verb, &text));
    if (cli_flag(cli, "text"))
        return write_exact(lh_buf_bytes(&text));
    return print_proposal(crypto, proposal, &text);
}

static const cli_option options[] = {
    {"text", NULL, "write the exact bytes to sign, and nothing else"},
    {"verb", "VERB", "the text to approve (as without), deny or withdraw it"},
    {NULL, NULL, NULL},
};

const cli_command cmd_show = {
    .name = "show",
    .arguments = "ID|genesis",
    .summary = "a proposal (or the genesis) as the text that officers sign",
    .details =
        "The text is made here from the proposal's fields, with the SHA-256 of the parameters computed\n"
        "here, and compared with the daemon's. Sign it elsewhere with:\n"
        "  leasehold show ID --text > text; ssh-keygen -Y sign -n leasehold -f KEYFILE text\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
