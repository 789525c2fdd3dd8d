/* leasehold propose: make a proposal of any operation. */
#include "commands.h"
#include "output.h"
#include "policy/policy.h"
#include "proposal.h"
#include "propose_partition.h"
#include "roster.h"
#include "verify/reference.h"

static lh_err one_argument(const lh_cli *cli, const char *what, const char **ret)
{
    if (cli->n_args != 2)
        return CLI_MISUSE("propose %s needs %s", cli->args[0], what);
    *ret = cli->args[1];
    return LH_SUCCESS;
}

/* Errors and warnings of a document, where a person sees them. */
static void print_problems(lh_problems *problems)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_problems_format(problems, &text);
    const char *shown = lh_buf_cstr(&text);
    if (shown != NULL)
        out_text(stderr, shown);
    lh_problems_clear(problems);
}

static lh_err propose_policy(lh_cli *cli)
{
    const char *path = NULL;
    LH_TRY(one_argument(cli, "a policy FILE (or -)", &path));
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &doc));
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_policy_parse(lh_buf_bytes(&doc), path, &policy, &problems);
    print_problems(&problems);
    if (!lh_ok(err))
        return LH_REFUSE(err.code, "document-invalid", "%s has errors; nothing was proposed", path);
    return proposal_make(cli, "policy.apply", lh_buf_bytes(&doc), false);
}

static lh_err read_template(lh_cli *cli, lh_buf *doc)
{
    LH_AUTO(lh_json_freep) json_t *pcrs = NULL;
    LH_TRY(cli_pcrs(cli, "pcrs", &pcrs));
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s,s:O*}", "call", "references.template", "pcrs", pcrs), &reply));
    lh_buf_append_str(doc, json_string_value(json_object_get(reply, "references")));
    return lh_buf_status(doc);
}

static lh_err propose_reference(lh_cli *cli)
{
    bool from_tpm = cli_flag(cli, "from-tpm");
    const char *path = "the TPM's reference";
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    if (from_tpm && cli->n_args == 1) {
        LH_TRY(read_template(cli, &doc));
    } else {
        LH_TRY(one_argument(cli, "a reference FILE (or -), or --from-tpm", &path));
        LH_TRY(in_file(path, &doc));
    }
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_references_parse(lh_buf_bytes(&doc), path, &references, &problems);
    print_problems(&problems);
    if (!lh_ok(err))
        return LH_REFUSE(err.code, "document-invalid", "%s has errors; nothing was proposed", path);
    return proposal_make(cli, "reference.set", lh_buf_bytes(&doc), false);
}

static lh_err propose_parent(lh_cli *cli)
{
    const char *name = NULL;
    LH_TRY(one_argument(cli, "the parent key's NAME", &name));
    return proposal_make_json(cli, "parent.create", json_pack("{s:s}", "name", name), false);
}

static lh_err propose_officers(lh_cli *cli)
{
    int64_t threshold = -1;
    LH_TRY(cli_number(cli, "threshold", LH_LIMIT_OFFICERS, &threshold));
    if (threshold < 0)
        return CLI_MISUSE("propose officers.change needs --threshold");
    json_t *roster = NULL;
    LH_TRY(roster_read(cli, "officer-key", &roster));
    return proposal_make_json(cli, "officers.change",
        json_pack("{s:o,s:I}", "officers", roster, "threshold", (json_int_t)threshold), false);
}

static lh_err propose_lift(lh_cli *cli)
{
    const char *id = NULL;
    LH_TRY(one_argument(cli, "the hold's ID", &id));
    return proposal_make_json(cli, "hold.lift", json_pack("{s:s}", "hold", id), false);
}

static lh_err propose_retire(lh_cli *cli)
{
    const char *name = NULL;
    LH_TRY(one_argument(cli, "the host's NAME", &name));
    return proposal_make_json(cli, "host.retire", json_pack("{s:s}", "name", name), false);
}

static lh_err propose_revoke(lh_cli *cli)
{
    const char *id = NULL;
    LH_TRY(one_argument(cli, "the lease's ID", &id));
    return proposal_make_json(cli, "lease.revoke", json_pack("{s:s}", "lease", id), false);
}

static lh_err propose_nothing(lh_cli *cli)
{
    if (cli->n_args != 1)
        return CLI_MISUSE("propose %s takes no argument", cli->args[0]);
    return proposal_make_json(cli, cli->args[0], json_object(), false);
}

/* Any other operation: the parameters' exact bytes from a file. */
static lh_err propose_bytes(lh_cli *cli)
{
    const char *path = NULL;
    LH_TRY(one_argument(cli, "a FILE (or -) with its parameters", &path));
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &params));
    return proposal_make(cli, cli->args[0], lh_buf_bytes(&params), false);
}

const char *const cli_operations[] = {"policy.apply", "reference.set", "parent.create", "officers.change",
    "partition.create", "partition.destroy", "certificate.attach", "certificate.remove", "host.enrol",
    "host.retire", "hold.lift", "hold.place", "lease.revoke", "vault.seal", "vault.unseal", NULL};

static lh_err run(lh_cli *cli)
{
    static const struct {
        const char *operation;
        lh_err (*propose)(lh_cli *cli);
    } forms[] = {
        {"policy.apply", propose_policy},
        {"reference.set", propose_reference},
        {"parent.create", propose_parent},
        {"officers.change", propose_officers},
        {"host.retire", propose_retire},
        {"hold.lift", propose_lift},
        {"lease.revoke", propose_revoke},
        {"partition.create", propose_partition_create},
        {"partition.destroy", propose_partition_destroy},
        {"certificate.attach", propose_certificate_attach},
        {"certificate.remove", propose_certificate_remove},
        {"vault.seal", propose_nothing},
        {"vault.unseal", propose_nothing},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].operation, cli->args[0]) == 0)
            return forms[i].propose(cli);
    }
    return propose_bytes(cli);
}

static const cli_option options[] = {
    PROPOSAL_MAKE_OPTIONS,
    {"from-tpm", NULL, "reference.set: allow what the TPM's PCRs hold now"},
    {"pcrs", "LIST", "with --from-tpm: which PCRs, such as 0-7"},
    {"officer-key", "NAME=KEY.pub", "officers.change: an officer of the new roster; repeat"},
    {"threshold", "M", "officers.change: how many officers an operation will take"},
    PROPOSE_PARTITION_OPTIONS,
    {NULL, NULL, NULL},
};

const cli_command cmd_propose = {
    .name = "propose",
    .arguments = "OPERATION [FILE|NAME|ID]",
    .summary = "propose an operation, which then waits for officers' approvals",
    .details = "  propose policy.apply FILE        the policy of FILE (- is standard input)\n"
               "  propose reference.set FILE       reference values; or --from-tpm in FILE's place\n"
               "  propose parent.create NAME       a parent key that roles derive from\n"
               "  propose officers.change          the roster that --officer-key and --threshold give\n"
               "  propose partition.create NAME    a standalone partition; see --user and --so\n"
               "  propose partition.destroy NAME   delete one with all that is in it\n"
               "  propose certificate.attach       show --chain beside the key of --role and --workload\n"
               "  propose certificate.remove       show that key without certificates\n"
               "  propose host.enrol FILE          a host, as JSON; `leasehold host enrol` is easier\n"
               "  propose host.retire NAME         know a host no longer\n"
               "  propose hold.lift ID             lift a hold\n"
               "  propose hold.place FILE          a hold, as JSON; `leasehold hold add` is easier\n"
               "  propose lease.revoke ID          end a lease and hold its workload and role\n"
               "  propose vault.seal, vault.unseal close and open the vault\n"
               "With --key the requester's own approval is signed at once; it never suffices where a quorum\n"
               "is needed. Policy and reference values are checked here first.\n",
    .options = options,
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
