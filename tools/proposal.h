/* Proposals from the officer's side: the text is rebuilt here from the proposal's fields and compared with
 * the daemon's, so that nobody signs a text that the daemon made up. */
#ifndef LH_TOOLS_PROPOSAL_H
#define LH_TOOLS_PROPOSAL_H

#include "cli.h"
#include "codec/approval.h"
#include "crypto/crypto.h"

#define PROPOSAL_TEXT_MAX (4 * LH_LIMIT_DOCUMENT)

/* The options of every command that signs. */
#define PROPOSAL_SIGN_OPTIONS                                                                                \
    {"key", "KEYFILE", "sign with this key (by ssh-keygen); a .pub file uses ssh-agent"},                    \
    {                                                                                                        \
        "yes", NULL, "sign without asking"                                                                   \
    }

/* And of those that make a proposal. */
#define PROPOSAL_MAKE_OPTIONS                                                                                \
    {"officer", "NAME", "the officer who asks"}, {"reason", "TEXT", "why; it stands in the signed text"},    \
        {"life", "DURATION", "until it expires, such as 30m or 2d"}, PROPOSAL_SIGN_OPTIONS

/* The text for a verb from the fields in json (the "proposal" of a reply). */
LH_MUST lh_err proposal_text(lh_crypto *crypto, const json_t *proposal, enum lh_verb verb, lh_buf *ret_text);

/* Get a proposal and check that the daemon's text of it is the one its fields make.
 * reply: of proposal.show or propose. Errors: LH_E_PROTOCOL "text-differs". */
LH_MUST lh_err proposal_check(lh_crypto *crypto, const json_t *reply);

/* Show a text to the officer and ask, where there is a terminal and --yes was not given.
 * proposal: what notes.h tells of it stands behind the text; NULL for the genesis.
 * must_ask: without a terminal --yes is needed. Errors: LH_E_DENIED "not-confirmed". */
LH_MUST lh_err proposal_confirm(
    const lh_cli *cli, lh_crypto *crypto, const json_t *proposal, const char *text, bool must_ask);

/* Sign the text for verb with --key and hand the signature in. ret_reply: of proposal.vote. */
LH_MUST lh_err proposal_vote(
    lh_cli *cli, const json_t *proposal, enum lh_verb verb, bool must_ask, json_t **ret_reply);
/* The same with a signature that was made elsewhere. */
LH_MUST lh_err proposal_hand_in(
    lh_cli *cli, const char *id, enum lh_verb verb, const char *signature_file, json_t **ret_reply);

/* Make a proposal with --officer, --reason and --life, check what came back, and with --key sign it as the
 * requester's approval. Prints the outcome.
 * effect: the command is there for the effect, so it exits with CLI_WAITING while approvals are missing. */
LH_MUST lh_err proposal_make(lh_cli *cli, const char *operation, lh_bytes params, bool effect);
/* The same with JSON parameters. params_taken may be NULL (out of memory). */
LH_MUST lh_err proposal_make_json(lh_cli *cli, const char *operation, json_t *params_taken, bool effect);

/* How many approvals a proposal still takes, from its (or a vote's reply's) "needed" (in all), "approvals"
 * and "state". */
long long proposal_missing(const json_t *proposal);
bool proposal_is_executed(const json_t *reply);

/* Tell what a vote has done. */
LH_MUST lh_err proposal_print_vote(const lh_cli *cli, enum lh_verb verb, const char *id, json_t *reply);

#endif
