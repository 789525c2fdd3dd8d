/* leasehold status: the vault's state, why it is so and what to do. */
#include "commands.h"
#include "output.h"

static void print_warnings(json_t *reply)
{
    if (strcmp(out_line(reply, "environment"), "development") == 0)
        (void)printf("DEVELOPMENT VAULT: throwaway keys, not for anything that matters\n");
    if (out_bool(reply, "software_tpm"))
        (void)printf("SOFTWARE TPM: not hardware-backed\n");
}

static void print_pair(const char *label, const char *value)
{
    if (value[0] != '\0')
        (void)printf("%-12s %s\n", label, value);
}

static void print_tpm(json_t *reply)
{
    json_t *tpm = json_object_get(reply, "tpm");
    if (tpm == NULL)
        return;
    (void)printf("%-12s %s %s, firmware %s%s\n", "TPM", out_line(tpm, "manufacturer"),
        out_line(tpm, "vendor"), out_line(tpm, "firmware"),
        out_bool(reply, "software_tpm") ? " (software)" : "");
}

static void print_officers(json_t *reply)
{
    json_t *officers = json_object_get(reply, "officers");
    if (json_array_size(officers) == 0)
        return;
    bool founding = strcmp(out_line(reply, "state"), "founding") == 0;
    (void)printf("%-12s %lld of %zu:", "officers", out_number(reply, "threshold"), json_array_size(officers));
    for (size_t i = 0; i < json_array_size(officers); i++) {
        json_t *officer = json_array_get(officers, i);
        const char *mark = founding ? (out_bool(officer, "signed") ? " (signed)" : " (not signed yet)") : "";
        (void)printf("%s %s%s", i == 0 ? "" : ",", out_line(officer, "name"), mark);
    }
    (void)putchar('\n');
}

static void print_details(json_t *reply)
{
    json_t *log = json_object_get(reply, "log");
    if (json_object_get(reply, "sequence") != NULL)
        (void)printf("%-12s sequence %lld, state %s\n", "config", out_number(reply, "sequence"),
            out_line(reply, "state_hash"));
    if (log != NULL)
        (void)printf("%-12s %lld entries, root %s\n", "log", out_number(log, "size"), out_line(log, "root"));
    if (json_object_get(reply, "leases") != NULL)
        (void)printf("%-12s %lld active\n", "leases", out_number(reply, "leases"));
    json_t *pcrs = json_object_get(json_object_get(reply, "seal"), "pcrs");
    if (json_array_size(pcrs) > 0) {
        (void)printf("%-12s PCRs", "seal");
        for (size_t i = 0; i < json_array_size(pcrs); i++)
            (void)printf(" %lld", (long long)json_integer_value(json_array_get(pcrs, i)));
        (void)putchar('\n');
    }
    json_t *reference = json_object_get(reply, "reference");
    if (reference != NULL)
        (void)printf("%-12s %s%s%s\n", "reference",
            !out_bool(reference, "set") ? "not set" : (out_bool(reference, "ok") ? "met" : "NOT MET"),
            out_line(reference, "message")[0] == '\0' ? "" : ": ", out_line(reference, "message"));
    print_pair("assurance", out_line(reply, "assurance"));
    const bool open = strcmp(out_line(reply, "state"), "open") == 0; /* hosts are let in only then */
    json_t *net = json_object_get(reply, "net");
    json_t *listen = json_object_get(net, "listen");
    for (size_t i = 0; i < json_array_size(listen); i++)
        print_pair(open ? "listens" : "would listen", json_string_value(json_array_get(listen, i)));
    if (net != NULL)
        print_pair("net key", out_line(net, "key"));
}

static lh_err run(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "status"), &reply));
    const char *state = json_string_value(json_object_get(reply, "state"));
    cli->exit_code = strcmp(state, "open") == 0 ? CLI_DONE : CLI_WAITING;
    if (cli->json)
        return out_json(reply);
    print_warnings(reply);
    const char *reason = out_line(reply, "reason");
    (void)printf("%-12s %s%s%s%s\n", "state", out_line(reply, "state"), reason[0] == '\0' ? "" : " (", reason,
        reason[0] == '\0' ? "" : ")");
    print_pair("", out_line(reply, "message"));
    print_pair("vault", out_line(reply, "vault"));
    print_pair("environment", out_line(reply, "environment"));
    print_pair("version", out_line(reply, "version"));
    print_tpm(reply);
    print_officers(reply);
    print_details(reply);
    return LH_SUCCESS;
}

const cli_command cmd_status = {
    .name = "status",
    .arguments = "",
    .summary = "the vault's state, why it is so and what to do",
    .details =
        "Exits with 3 where the vault is not open. Those who are no admins are told the state alone.\n",
    .run = run,
};
