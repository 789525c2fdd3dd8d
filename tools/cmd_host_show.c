/* leasehold host list, host show: enrolled hosts, and what is known of them now. */
#include "commands.h"
#include "output.h"

static void print_labels(json_t *labels)
{
    const char *name;
    json_t *value;
    if (json_object_size(labels) == 0)
        return;
    (void)printf("  labels");
    json_object_foreach(labels, name, value)
    {
        (void)value;
        (void)putchar(' ');
        out_text(stdout, name);
        (void)printf("=%s", out_line(labels, name));
    }
    (void)putchar('\n');
}

static void print_enrolled(json_t *host)
{
    const char *reference = out_line(host, "reference");
    (void)printf("host %s: %s\n", out_line(host, "name"),
        json_object_get(host, "connected") == NULL ? ""
        : out_bool(host, "connected")              ? "connected"
                                                   : "away");
    (void)printf("  EK %s, SHA-256 %s, %s\n", out_line(host, "ek_kind"), out_line(host, "ek_sha256"),
        strcmp(out_line(host, "ek_proof"), "pinned") == 0 ? "pinned by officers"
                                                          : "by its manufacturer's certificate");
    (void)printf("  AK Name %s\n", out_line(host, "ak_name"));
    (void)printf("  channel key sha256:%s\n", out_line(host, "channel_key"));
    if (reference[0] != '\0')
        (void)printf("  reference values %s\n", reference);
    print_labels(json_object_get(host, "labels"));
}

static void print_certificates(const json_t *certificates)
{
    for (size_t i = 0; i < json_array_size(certificates); i++) {
        json_t *one = json_array_get(certificates, i);
        (void)printf("  certificate %s, serial %s\n    by %s\n", out_line(one, "subject"),
            out_line(one, "serial"), out_line(one, "issuer"));
    }
}

static void print_evidence(json_t *evidence)
{
    if (evidence == NULL)
        return;
    (void)printf("  evidence: %s at %s", out_line(evidence, "verdict"), out_line(evidence, "at"));
    if (json_object_get(evidence, "age") != NULL)
        (void)printf("; last good %lld s ago", out_number(evidence, "age"));
    (void)putchar('\n');
    if (out_line(evidence, "message")[0] != '\0')
        (void)printf("    %s\n", out_line(evidence, "message"));
    if (json_object_get(evidence, "reset_count") != NULL)
        (void)printf("    resets %lld, restarts %lld, firmware %s\n", out_number(evidence, "reset_count"),
            out_number(evidence, "restart_count"), out_line(evidence, "firmware"));
}

static void print_drift(const json_t *drift)
{
    for (size_t i = 0; i < json_array_size(drift); i++) {
        json_t *one = json_array_get(drift, i);
        (void)printf("  changed: %s", out_line(one, "kind"));
        (void)printf(", PCR %lld, %s", out_number(one, "pcr"), out_line(one, "digest"));
        (void)printf(", %s\n", out_line(one, "text"));
    }
}

static void print_streams(const json_t *streams)
{
    for (size_t i = 0; i < json_array_size(streams); i++) {
        json_t *one = json_array_get(streams, i);
        (void)printf("  process %lld (uid %lld) ", out_number(one, "pid"), out_number(one, "uid"));
        (void)printf("%s", out_line(one, "exe"));
        if (out_line(one, "unit")[0] != '\0')
            (void)printf(", unit %s", out_line(one, "unit"));
        (void)printf(": %lld leases\n", out_number(one, "leases"));
    }
}

static void print_live(json_t *live)
{
    if (live == NULL)
        return;
    if (out_line(live, "since")[0] != '\0')
        (void)printf(
            "  %s since %s", out_bool(live, "connected") ? "connected" : "away", out_line(live, "since"));
    if (out_line(live, "source")[0] != '\0')
        (void)printf(" from %s", out_line(live, "source"));
    if (out_line(live, "since")[0] != '\0')
        (void)putchar('\n');
    print_evidence(json_object_get(live, "evidence"));
    print_drift(json_object_get(live, "drift"));
    print_streams(json_object_get(live, "streams"));
    (void)printf("  %lld leases\n", out_number(live, "leases"));
    if (out_bool(live, "more"))
        (void)printf("  (there is more than fits)\n");
}

/* All pages, joined. */
static lh_err read_list(lh_cli *cli, json_t *all)
{
    for (bool more = true; more;) {
        LH_AUTO(lh_json_freep) json_t *reply = NULL;
        const json_t *last = json_array_get(all, json_array_size(all) - 1);
        const json_t *after = json_object_get(last, "name");
        LH_TRY(cli_call(cli, json_pack("{s:s, s:O*}", "call", "host.list", "after", after), &reply));
        const json_t *page = json_object_get(reply, "hosts");
        if (json_array_extend(all, json_object_get(reply, "hosts")) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
        more = out_bool(reply, "more") && json_array_size(page) > 0;
    }
    return LH_SUCCESS;
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *hosts = json_array();
    LH_TRY(read_list(cli, hosts));
    if (cli->json) {
        LH_AUTO(lh_json_freep) json_t *whole = json_pack("{s:O}", "hosts", hosts);
        return out_json(whole);
    }
    for (size_t i = 0; i < json_array_size(hosts); i++)
        print_enrolled(json_array_get(hosts, i));
    if (json_array_size(hosts) == 0)
        (void)printf("no host is enrolled\n");
    return LH_SUCCESS;
}

static lh_err run_show(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    json_t *request = json_pack("{s:s, s:s}", "call", "host.show", "name", cli->args[0]);
    if (request == NULL)
        return CLI_MISUSE("the host's name must be UTF-8 text");
    LH_TRY(cli_call(cli, request, &reply));
    if (cli->json)
        return out_json(reply);
    json_t *host = json_object_get(reply, "host");
    print_enrolled(host);
    print_certificates(json_object_get(host, "certificates"));
    print_live(json_object_get(host, "live"));
    return LH_SUCCESS;
}

const cli_command cmd_host_list = {
    .name = "host list",
    .arguments = "",
    .summary = "other hosts that officers enrolled, and whether they are connected",
    .run = run_list,
};

const cli_command cmd_host_show = {
    .name = "host show",
    .arguments = "NAME",
    .summary = "one of them: its keys, its evidence, what changed on it, who uses leases there",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
