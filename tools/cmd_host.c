/* leasehold host: other hosts, by whose TPMs and agents they are known. */
#include "admin/host_identity.h"
#include "commands.h"
#include "host_params.h"
#include "output.h"
#include "proposal.h"

static lh_err add_labels(const lh_cli *cli, json_t *labels)
{
    const char *text = NULL;
    for (size_t n = 0; (text = cli_value_at(cli, "label", n)) != NULL; n++) {
        char name[LH_LIMIT_NAME + 1];
        const char *equals = strchr(text, '=');
        size_t len = equals != NULL ? (size_t)(equals - text) : 0;
        if (len == 0 || len > LH_LIMIT_NAME || equals[1] == '\0')
            return CLI_MISUSE("--label \"%s\": expected NAME=VALUE", text);
        memcpy(name, text, len);
        name[len] = '\0';
        if (json_object_get(labels, name) != NULL)
            return CLI_MISUSE("--label %s is given twice", name);
        if (json_object_set_new(labels, name, json_string(equals + 1)) != 0)
            return CLI_MISUSE("--label \"%s\" is not UTF-8 text", text);
    }
    return LH_SUCCESS;
}

/* By certificate where there is one, unless --pin says otherwise. */
static lh_err choose_proof(const lh_cli *cli, const lh_host_document *document, bool *ret_pinned)
{
    bool pin = cli_flag(cli, "pin");
    bool certificate = cli_flag(cli, "certificate");
    if (pin && certificate)
        return CLI_MISUSE("--pin and --certificate exclude each other");
    if (certificate && document->n_certificates == 0)
        return LH_REFUSE(LH_E_INVALID, "identity-certificate",
            "the host's TPM shows no certificate of its manufacturer's; --pin lets the officers vouch for "
            "its "
            "key");
    if (!pin && document->n_certificates == 0)
        return CLI_MISUSE(
            "the host's TPM shows no certificate of its manufacturer's: with --pin the officers "
            "vouch for its key themselves");
    *ret_pinned = pin;
    return LH_SUCCESS;
}

static lh_err build(const lh_cli *cli, const lh_host_document *document, json_t **ret)
{
    bool pinned = false;
    LH_AUTO(lh_json_freep) json_t *labels = json_object();
    LH_TRY(choose_proof(cli, document, &pinned));
    LH_TRY(add_labels(cli, labels));
    const host_params given = {cli->args[0], pinned, labels, cli_value(cli, "reference")};
    return host_params_make(&given, document, ret);
}

static lh_err run_enrol(lh_cli *cli)
{
    const char *path = NULL;
    json_t *params = NULL;
    LH_AUTO(lh_buf_free) lh_buf file = LH_BUF_INIT(LH_LIMIT_HOST_IDENTITY);
    LH_AUTO(lh_host_document_clear) lh_host_document document = {0};
    LH_TRY(cli_require(cli, "identity", &path));
    LH_TRY(in_file(path, &file));
    LH_TRY(lh_host_document_parse(lh_buf_bytes(&file), &document));
    LH_TRY(build(cli, &document, &params));
    return proposal_make_json(cli, "host.enrol", params, false);
}

static lh_err run_retire(lh_cli *cli)
{
    return proposal_make_json(cli, "host.retire", json_pack("{s:s}", "name", cli->args[0]), true);
}

static const cli_option enrol_options[] = {
    {"identity", "FILE", "what `leasehold-agent --identity` printed there (- is standard input)"},
    {"certificate", NULL, "its TPM's manufacturer vouches for its key (where there is a certificate)"},
    {"pin", NULL, "the officers vouch for its TPM's key, by its SHA-256"},
    {"label", "NAME=VALUE", "what a policy's `host:` asks for; repeat"},
    {"reference", "NAME", "the reference values that its state is compared with"},
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};

static const cli_option retire_options[] = {
    PROPOSAL_MAKE_OPTIONS,
    {NULL, NULL, NULL},
};

const cli_command cmd_host_enrol = {
    .name = "host enrol",
    .arguments = "NAME",
    .summary = "propose to know another host by its TPM and its agent",
    .details =
        "Run `leasehold-agent --identity` on the host, compare the SHA-256 of its endorsement key with what "
        "you\nknow of its TPM, and propose it under NAME. A name that is enrolled takes the new keys, labels "
        "and reference\nvalues in place of the old. A TPM and an agent's key belong to one host each.\n",
    .options = enrol_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_enrol,
};

const cli_command cmd_host_retire = {
    .name = "host retire",
    .arguments = "NAME",
    .summary = "know a host no longer: its leases end (one officer suffices)",
    .options = retire_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_retire,
};
