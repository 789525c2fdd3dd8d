/* leasehold partition: standalone partitions, ordinary tokens inside the vault. */
#include "commands.h"
#include "output.h"

static lh_err print_list(const char *label, const json_t *list)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (json_array_size(list) == 0)
        return LH_SUCCESS;
    out_join(list, &text);
    LH_TRY(lh_buf_status(&text));
    (void)printf("  %s ", label);
    out_text(stdout, lh_buf_cstr(&text));
    (void)putchar('\n');
    return LH_SUCCESS;
}

static void print_users(const json_t *users)
{
    if (json_array_size(users) == 0)
        return;
    (void)printf("  users");
    for (size_t i = 0; i < json_array_size(users); i++)
        (void)printf("%s %lld", i > 0 ? "," : "", (long long)json_integer_value(json_array_get(users, i)));
    (void)putchar('\n');
}

static void print_pin(const char *label, const json_t *pin)
{
    if (pin == NULL)
        return;
    (void)printf("  %s PIN %s", label, out_bool(pin, "set") ? "set" : "not set");
    if (out_number(pin, "failures") > 0)
        (void)printf(", %lld wrong in a row", out_number(pin, "failures"));
    if (out_bool(pin, "locked"))
        (void)printf(", LOCKED");
    else if (out_number(pin, "wait_ms") > 0)
        (void)printf(", next try in %lld s", (out_number(pin, "wait_ms") + 999) / 1000);
    (void)putchar('\n');
}

static lh_err print_partition(json_t *partition)
{
    (void)printf("partition %s: slot %lld, ", out_line(partition, "name"), out_number(partition, "number"));
    if (json_object_get(partition, "initialized") != NULL && !out_bool(partition, "initialized"))
        (void)printf("not initialized, ");
    (void)printf("SO: %s\n",
        strcmp(out_line(partition, "so"), "quorum") == 0 ? "a quorum of officers" : "whoever has its PIN");
    if (out_line(partition, "label")[0] != '\0')
        (void)printf("  label %s, serial %s\n", out_line(partition, "label"), out_line(partition, "serial"));
    print_users(json_object_get(partition, "users"));
    LH_TRY(print_list("workloads", json_object_get(partition, "workloads")));
    LH_TRY(print_list("legacy", json_object_get(partition, "legacy")));
    if (json_object_get(partition, "objects") != NULL)
        (void)printf("  %lld objects, %lld of them keys, %lld bytes; %lld logins\n",
            out_number(partition, "objects"), out_number(partition, "keys"), out_number(partition, "bytes"),
            out_number(partition, "logins"));
    print_pin("SO", json_object_get(partition, "so_pin"));
    print_pin("user", json_object_get(partition, "user_pin"));
    return LH_SUCCESS;
}

static lh_err run_list(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    LH_TRY(cli_call(cli, json_pack("{s:s}", "call", "partition.list"), &reply));
    if (cli->json)
        return out_json(reply);
    const json_t *partitions = json_object_get(reply, "partitions");
    for (size_t i = 0; i < json_array_size(partitions); i++)
        LH_TRY(print_partition(json_array_get(partitions, i)));
    if (out_bool(reply, "more"))
        (void)printf("(there are more)\n");
    return LH_SUCCESS;
}

static lh_err run_show(lh_cli *cli)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    json_t *request = json_pack("{s:s,s:s}", "call", "partition.show", "name", cli->args[0]);
    if (request == NULL)
        return CLI_MISUSE("the partition's name must be UTF-8 text");
    LH_TRY(cli_call(cli, request, &reply));
    return cli->json ? out_json(reply) : print_partition(json_object_get(reply, "partition"));
}

const cli_command cmd_partition_list = {
    .name = "partition list",
    .arguments = "",
    .summary = "standalone partitions: ordinary tokens with PINs",
    .run = run_list,
};

const cli_command cmd_partition_show = {
    .name = "partition show",
    .arguments = "NAME",
    .summary = "one standalone partition",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};
