/* leasehold approve, deny, withdraw: an officer's signature over a proposal, or over the genesis. */
#include "commands.h"
#include "crypto/hash.h"
#include "output.h"
#include "proposal.h"
#include "sign.h"

static lh_err check_source(const lh_cli *cli)
{
    bool key = cli_value(cli, "key") != NULL;
    bool signature = cli_value(cli, "signature") != NULL;
    if (key == signature)
        return CLI_MISUSE("give either --key KEYFILE or --signature FILE");
    return LH_SUCCESS;
}

/* The signature counted for whom it was said to be. */
static lh_err check_officer(const lh_cli *cli, const json_t *reply)
{
    const char *expected = cli_value(cli, "officer");
    const char *officer = json_string_value(json_object_get(reply, "officer"));
    if (expected != NULL && strcmp(expected, officer) != 0)
        return LH_REFUSE(LH_E_SIGNATURE, "other-officer",
            "the signature was accepted, but as %s's: that key is of %s, not of %s", officer, officer,
            expected);
    return LH_SUCCESS;
}

/* The text is the daemon's; that it is the genesis of the vault whose id is shown is checked here. */
static lh_err check_genesis(const json_t *reply)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    lh_bytes text = LH_BYTES_STR(json_string_value(json_object_get(reply, "text")));
    uint8_t digest[LH_SHA256_SIZE];
    char hex[2 * LH_SHA256_SIZE + 1];
    LH_TRY(lh_sha256(crypto, &text, 1, digest));
    lh_hex(digest, sizeof digest, hex);
    if (strcmp(hex, json_string_value(json_object_get(reply, "vault"))) != 0)
        return LH_REFUSE(LH_E_PROTOCOL, "text-differs",
            "the vault's id is not the SHA-256 of the genesis text; nothing was signed");
    return LH_SUCCESS;
}

static lh_err sign_genesis(lh_cli *cli, lh_buf *armor)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "genesis.show"), &reply));
    LH_TRY(check_genesis(reply));
    const char *text = json_string_value(json_object_get(reply, "text"));
    LH_TRY(proposal_confirm(cli, NULL, NULL, text, true));
    return sign_text(cli_value(cli, "key"), LH_BYTES_STR(text), armor);
}

static lh_err approve_genesis(lh_cli *cli)
{
    LH_AUTO(lh_buf_free) lh_buf armor = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    if (cli_value(cli, "key") != NULL)
        LH_TRY(sign_genesis(cli, &armor));
    else
        LH_TRY(in_file(cli_value(cli, "signature"), &armor));
    const char *signature = lh_buf_cstr(&armor);
    json_t *request = json_pack("{s:s,s:s*}", "call", "genesis.sign", "signature", signature);
    if (request == NULL)
        return LH_REFUSE(LH_E_INVALID, "signature-file", "the signature is not text as ssh-keygen writes it");
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, request, &reply));
    LH_TRY(check_officer(cli, reply));
    if (cli->json)
        return out_json(reply);
    LH_AUTO(lh_buf_free) lh_buf missing = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    out_join(json_object_get(reply, "missing"), &missing);
    LH_TRY(lh_buf_status(&missing));
    (void)printf("%s signed the genesis; ", out_line(reply, "officer"));
    if (missing.len > 0)
        (void)printf("still missing: %s\n", lh_buf_cstr(&missing));
    else
        (void)printf("all have signed: the vault is %s\n", out_line(reply, "state"));
    return LH_SUCCESS;
}

static lh_err vote(lh_cli *cli, enum lh_verb verb)
{
    LH_TRY(check_source(cli));
    const char *id = cli->args[0];
    if (strcmp(id, "genesis") == 0 && verb == LH_VERB_APPROVE)
        return approve_genesis(cli);
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    const char *file = cli_value(cli, "signature");
    if (file != NULL) {
        LH_TRY(proposal_hand_in(cli, id, verb, file, &reply));
    } else {
        LH_AUTO(lh_json_freep) json_t *shown = NULL;
        LH_TRY(cli_call(cli, json_pack("{s:s,s:s}", "call", "proposal.show", "id", id), &shown));
        LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
        LH_TRY(lh_crypto_new(&crypto));
        LH_TRY(proposal_check(crypto, shown));
        LH_TRY(proposal_vote(cli, json_object_get(shown, "proposal"), verb, true, &reply));
    }
    LH_TRY(check_officer(cli, reply));
    return proposal_print_vote(cli, verb, id, reply);
}

static lh_err run_approve(lh_cli *cli)
{
    return vote(cli, LH_VERB_APPROVE);
}

static lh_err run_deny(lh_cli *cli)
{
    return vote(cli, LH_VERB_DENY);
}

static lh_err run_withdraw(lh_cli *cli)
{
    return vote(cli, LH_VERB_WITHDRAW);
}

#define SIGNING                                                                                              \
    "The text is made here from the proposal's fields and must equal the daemon's; it is shown, and on a\n"  \
    "terminal you are asked. Without a terminal, --yes is needed. --signature takes what\n"                  \
    "`ssh-keygen -Y sign -n leasehold` made of `leasehold show ID --text` elsewhere.\n"

static const cli_option options[] = {
    PROPOSAL_SIGN_OPTIONS,
    {"signature", "FILE|-", "hand in a signature that was made elsewhere"},
    {"officer", "NAME", "fail where the key turns out to be another officer's"},
    {NULL, NULL, NULL},
};

const cli_command cmd_approve = {
    .name = "approve",
    .arguments = "ID|genesis",
    .summary = "sign a proposal; with the last approval needed it is executed",
    .details = SIGNING "`approve genesis` is how each officer founds the vault.\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_approve,
};

const cli_command cmd_deny = {
    .name = "deny",
    .arguments = "ID",
    .summary = "vote against a proposal",
    .details = SIGNING,
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_deny,
};

const cli_command cmd_withdraw = {
    .name = "withdraw",
    .arguments = "ID",
    .summary = "take a proposal of your own back",
    .details = SIGNING,
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_withdraw,
};
