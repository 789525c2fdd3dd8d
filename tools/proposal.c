#include "proposal.h"

#include "base/clock.h"
#include "crypto/hash.h"
#include "notes.h"
#include "output.h"
#include "sign.h"

#include <unistd.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value == NULL ? "" : value;
}

static lh_err fill_digests(const json_t *proposal, lh_approval_fields *fields)
{
    LH_TRY(lh_unhex(text_of(proposal, "vault"), fields->vault, sizeof fields->vault));
    LH_TRY(lh_unhex(text_of(proposal, "state_hash"), fields->state, sizeof fields->state));
    LH_TRY(lh_unhex(text_of(proposal, "id"), fields->proposal, sizeof fields->proposal));
    LH_TRY(lh_unhex(text_of(proposal, "officers_digest"), fields->roster, sizeof fields->roster));
    LH_TRY(lh_unhex(text_of(proposal, "nonce"), fields->nonce, sizeof fields->nonce));
    LH_TRY(lh_time_parse(text_of(proposal, "not_before"), &fields->not_before));
    return lh_time_parse(text_of(proposal, "not_after"), &fields->not_after);
}

lh_err proposal_text(lh_crypto *crypto, const json_t *proposal, enum lh_verb verb, lh_buf *ret_text)
{
    lh_approval_fields fields = {
        .verb = verb,
        .sequence = (uint64_t)out_number(proposal, "sequence"),
        .operation = text_of(proposal, "operation"),
        .requester = text_of(proposal, "requester"),
        .threshold = (uint32_t)out_number(proposal, "threshold"),
        .officers = (uint32_t)out_number(proposal, "officers_count"),
        .object_version = (uint64_t)out_number(proposal, "object_version"),
        .parameters = LH_BYTES_STR(text_of(proposal, "params")),
        .reason = text_of(proposal, "reason"),
    };
    LH_TRY(fill_digests(proposal, &fields));
    LH_TRY(lh_sha256(crypto, &fields.parameters, 1, fields.parameters_sha256));
    return lh_approval_text(&fields, ret_text);
}

lh_err proposal_check(lh_crypto *crypto, const json_t *reply)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(PROPOSAL_TEXT_MAX);
    LH_TRY(proposal_text(crypto, json_object_get(reply, "proposal"), LH_VERB_APPROVE, &text));
    uint8_t hash[LH_SHA256_SIZE];
    const lh_bytes whole = lh_buf_bytes(&text);
    LH_TRY(lh_sha256(crypto, &whole, 1, hash));
    char hex[2 * LH_SHA256_SIZE + 1];
    lh_hex(hash, sizeof(hash), hex);
    /* A long text comes as its hash alone. */
    const json_t *theirs = json_object_get(reply, "text");
    bool same = theirs ? lh_bytes_equal(whole, LH_BYTES_STR(json_string_value(theirs)))
                       : strcmp(hex, text_of(reply, "text_sha256")) == 0;
    if (!same)
        return LH_REFUSE(LH_E_PROTOCOL, "text-differs",
            "the daemon's text of this proposal is not the one that its fields make, so it is not to be "
            "signed: "
            "daemon and tool are of different versions, or the daemon lies; compare `leasehold version` and "
            "`leasehold status`");
    return LH_SUCCESS;
}

static lh_err ask(const lh_cli *cli, bool must_ask)
{
    if (cli_flag(cli, "yes"))
        return LH_SUCCESS;
    if (!isatty(STDIN_FILENO)) {
        if (must_ask)
            return CLI_MISUSE("there is no terminal to ask on: read the text above, then give --yes");
        return LH_SUCCESS;
    }
    (void)fprintf(stderr, "\nSign this text with %s? [y/N] ", cli_value(cli, "key"));
    char answer[16] = "";
    if (fgets(answer, sizeof answer, stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y'))
        return LH_REFUSE(LH_E_DENIED, "not-confirmed", "nothing was signed");
    return LH_SUCCESS;
}

lh_err proposal_confirm(
    const lh_cli *cli, lh_crypto *crypto, const json_t *proposal, const char *text, bool must_ask)
{
    FILE *shown = cli->json ? stderr : stdout;
    out_text(shown, text);
    if (proposal != NULL)
        notes_print(shown, crypto, proposal);
    (void)fflush(shown);
    return ask(cli, must_ask);
}

static lh_err send_vote(lh_cli *cli, const char *id, enum lh_verb verb, const char *armor, json_t **ret_reply)
{
    json_t *request = json_pack("{s:s,s:s,s:s,s:s}", "call", "proposal.vote", "id", id, "verb",
        lh_verb_name(verb), "signature", armor);
    if (request == NULL)
        return LH_REFUSE(LH_E_INVALID, "signature-file", "the signature is not text as ssh-keygen writes it");
    return cli_call(cli, request, ret_reply);
}

lh_err proposal_vote(
    lh_cli *cli, const json_t *proposal, enum lh_verb verb, bool must_ask, json_t **ret_reply)
{
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    const char *key = NULL;
    LH_TRY(cli_require(cli, "key", &key));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(PROPOSAL_TEXT_MAX);
    LH_TRY(proposal_text(crypto, proposal, verb, &text));
    const char *shown = lh_buf_cstr(&text);
    if (shown == NULL)
        return lh_buf_status(&text);
    LH_TRY(proposal_confirm(cli, crypto, proposal, shown, must_ask));
    LH_AUTO(lh_buf_free) lh_buf armor = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    LH_TRY(sign_text(key, lh_buf_bytes(&text), &armor));
    const char *signature = lh_buf_cstr(&armor);
    if (signature == NULL)
        return lh_buf_status(&armor);
    return send_vote(cli, text_of(proposal, "id"), verb, signature, ret_reply);
}

lh_err proposal_hand_in(
    lh_cli *cli, const char *id, enum lh_verb verb, const char *signature_file, json_t **ret_reply)
{
    LH_AUTO(lh_buf_free) lh_buf armor = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    LH_TRY(in_file(signature_file, &armor));
    const char *signature = lh_buf_cstr(&armor);
    if (signature == NULL)
        return lh_buf_status(&armor);
    return send_vote(cli, id, verb, signature, ret_reply);
}

bool proposal_is_executed(const json_t *reply)
{
    return strcmp(text_of(reply, "state"), "executed") == 0;
}

long long proposal_missing(const json_t *proposal)
{
    long long needed = out_number(proposal, "needed");
    const json_t *votes = json_object_get(proposal, "approvals");
    for (size_t i = 0; i < json_array_size(votes); i++) {
        if (strcmp(text_of(json_array_get(votes, i), "verb"), lh_verb_name(LH_VERB_APPROVE)) == 0)
            needed--;
    }
    return needed > 0 && !proposal_is_executed(proposal) ? needed : 0;
}

/* What came back must be what was asked for. */
static lh_err check_asked(const json_t *request, const json_t *proposal)
{
    static const char *const same[] = {"operation", "params", "requester", "reason"};
    for (size_t i = 0; i < LH_ARRAY_LEN(same); i++) {
        if (strcmp(text_of(request, same[i]), text_of(proposal, same[i])) != 0)
            return LH_REFUSE(LH_E_PROTOCOL, "proposal-differs",
                "the daemon's proposal has another %s than was asked for; nothing was signed", same[i]);
    }
    return LH_SUCCESS;
}

static lh_err print_made(lh_cli *cli, lh_crypto *crypto, json_t *reply)
{
    if (cli->json)
        return out_json(reply);
    json_t *proposal = json_object_get(reply, "proposal");
    const char *id = out_line(proposal, "id");
    (void)printf(
        "proposal %s: %s, until %s\n", id, out_line(proposal, "operation"), out_line(proposal, "not_after"));
    (void)printf("  %lld approval(s) needed. Sign with: leasehold approve %s --key KEYFILE\n",
        proposal_missing(proposal), id);
    (void)printf("  elsewhere: leasehold show %s --text > t; ssh-keygen -Y sign -n leasehold -f KEY t; "
                 "leasehold approve %s --signature t.sig\n",
        id, id);
    notes_print(stdout, crypto, proposal);
    return LH_SUCCESS;
}

static lh_err make_request(
    lh_cli *cli, const char *operation, lh_bytes params, const char *requester, json_t **ret_request)
{
    const char *reason = cli_value(cli, "reason");
    LH_AUTO(lh_json_freep) json_t *exact = json_stringn((const char *)params.data, params.len);
    if (exact == NULL || memchr(params.data, 0, params.len) != NULL)
        return LH_REFUSE(LH_E_INVALID, "text-utf8", "the parameters of %s are not UTF-8 text", operation);
    LH_AUTO(lh_json_freep)
    json_t *request = json_pack("{s:s,s:s,s:O,s:s,s:s}", "call", "propose", "operation", operation, "params",
        exact, "requester", requester, "reason", reason == NULL ? "" : reason);
    if (request == NULL)
        return CLI_MISUSE("operation, officer and reason must be UTF-8 text");
    const char *life = cli_value(cli, "life");
    int64_t seconds = 0;
    if (life != NULL && !lh_ok(lh_duration_parse(life, &seconds)))
        return CLI_MISUSE("--life \"%s\": expected a duration such as 30m, 8h or 2d", life);
    if (life != NULL && json_object_set_new(request, "life", json_integer(seconds)) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret_request = LH_TAKE(request);
    return LH_SUCCESS;
}

lh_err proposal_make(lh_cli *cli, const char *operation, lh_bytes params, bool effect)
{
    const char *requester = NULL;
    LH_TRY(cli_require(cli, "officer", &requester));
    /* Before anything is made that could then not be signed. */
    if (cli_value(cli, "key") != NULL)
        LH_TRY(sign_check_key(cli_value(cli, "key")));
    LH_AUTO(lh_json_freep) json_t *request = NULL;
    LH_TRY(make_request(cli, operation, params, requester, &request));
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_incref(request), &reply));
    json_t *proposal = json_object_get(reply, "proposal");
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    LH_TRY(lh_crypto_new(&crypto));
    LH_TRY(check_asked(request, proposal));
    LH_TRY(proposal_check(crypto, reply));
    if (cli_value(cli, "key") == NULL) {
        cli->exit_code = effect ? CLI_WAITING : CLI_DONE;
        return print_made(cli, crypto, reply);
    }
    LH_AUTO(lh_json_freep) json_t *vote = NULL;
    LH_TRY(proposal_vote(cli, proposal, LH_VERB_APPROVE, false, &vote));
    if (effect && proposal_missing(vote) > 0)
        cli->exit_code = CLI_WAITING;
    const char *id = text_of(proposal, "id");
    if (cli->json && json_object_set(vote, "proposal", proposal) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    return proposal_print_vote(cli, LH_VERB_APPROVE, id, vote);
}

lh_err proposal_make_json(lh_cli *cli, const char *operation, json_t *params_taken, bool effect)
{
    LH_AUTO(lh_json_freep) json_t *params = params_taken;
    if (params == NULL)
        return CLI_MISUSE("the parameters must be UTF-8 text");
    /* Several lines, for the eyes of who signs. */
    char *text = json_dumps(params, json_object_size(params) > 1 ? JSON_INDENT(2) : 0);
    if (text == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_AUTO(lh_buf_free) lh_buf bytes = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_printf(&bytes, "%s\n", text);
    free(text);
    LH_TRY(lh_buf_status(&bytes));
    return proposal_make(cli, operation, lh_buf_bytes(&bytes), effect);
}

static void print_result(json_t *result)
{
    char *text = json_dumps(result, JSON_INDENT(2));
    if (text != NULL && json_object_size(result) > 0) {
        out_text(stdout, text);
        (void)putchar('\n');
    }
    free(text);
}

lh_err proposal_print_vote(const lh_cli *cli, enum lh_verb verb, const char *id, json_t *reply)
{
    if (cli->json)
        return out_json(reply);
    static const char *const done[] = {
        [LH_VERB_APPROVE] = "approved", [LH_VERB_DENY] = "denied", [LH_VERB_WITHDRAW] = "withdrew"};
    (void)printf("%s %s proposal %s\n", out_line(reply, "officer"), done[verb], id);
    if (proposal_missing(reply) == 0 && verb == LH_VERB_APPROVE) {
        (void)printf("that was the last approval needed: executed\n");
        print_result(json_object_get(reply, "result"));
    } else if (verb == LH_VERB_APPROVE) {
        (void)printf("%lld more approval(s) needed\n", proposal_missing(reply));
    } else if (out_line(reply, "state")[0] != '\0') {
        (void)printf("it is now %s\n", out_line(reply, "state"));
    }
    return LH_SUCCESS;
}
