/* leasehold: the officer's and operator's command. Finds the command, runs it, tells errors. */
#include "commands.h"
#include "dev_token.h"
#include "output.h"

#define NAME_MAX_LEN 64

static const cli_command *const commands[] = {
    &cmd_init,
    &cmd_status,
    &cmd_seal,
    &cmd_unseal,
    &cmd_propose,
    &cmd_proposals,
    &cmd_show,
    &cmd_approve,
    &cmd_deny,
    &cmd_withdraw,
    &cmd_policy_check,
    &cmd_policy_show,
    &cmd_policy_reference,
    &cmd_reference_record,
    &cmd_reference_files,
    &cmd_reference_packages,
    &cmd_reference_check,
    &cmd_reference_upload,
    &cmd_reference_list,
    &cmd_key_list,
    &cmd_key_public,
    &cmd_lease_list,
    &cmd_lease_show,
    &cmd_lease_end,
    &cmd_lease_revoke,
    &cmd_evidence_verify,
    &cmd_evidence_ak,
    &cmd_partition_list,
    &cmd_partition_show,
    &cmd_host_enrol,
    &cmd_host_retire,
    &cmd_host_list,
    &cmd_host_show,
    &cmd_hold_list,
    &cmd_hold_add,
    &cmd_hold_lift,
    &cmd_explain,
    &cmd_log_show,
    &cmd_log_verify,
    &cmd_log_checkpoint,
    &cmd_log_keys,
    &cmd_log_export,
    &cmd_dev,
    &cmd_completion,
};

const cli_command *const *cli_commands(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(commands);
    return commands;
}

static const char exit_codes[] = "exit codes: 0 done; 1 refused or failed; 2 the command line makes no "
                                 "sense; 3 more approvals are needed, or\n"
                                 "the vault is not open. `dev -- COMMAND` exits with COMMAND's status.\n";

/* group: NULL for all, or the first word of several commands. */
static void print_commands(FILE *file, const char *group)
{
    size_t len = group == NULL ? 0 : strlen(group);
    for (size_t i = 0; i < LH_ARRAY_LEN(commands); i++) {
        const char *name = commands[i]->name;
        if (group == NULL || (strncmp(name, group, len) == 0 && name[len] == ' '))
            (void)fprintf(file, "  %-19s %s\n", name, commands[i]->summary);
    }
}

static void print_help(void)
{
    (void)printf("usage: leasehold COMMAND [OPTION ...] [ARGUMENT ...]\n\ncommands:\n");
    print_commands(stdout, NULL);
    (void)printf("  %-18s %s\n  %-18s %s\n", "help", "print this, or the help of a command", "version",
        "print the version");
    (void)printf(
        "\nEvery command knows --help, --json and --socket PATH (or LEASEHOLD_SOCKET).\n%s", exit_codes);
}

static bool is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < LH_ARRAY_LEN(commands); i++) {
        const char *name = commands[i]->name;
        if (strncmp(name, word, len) == 0 && name[len] == ' ')
            return true;
    }
    return false;
}

/* ret_words: how many words of argv its name takes. */
static const cli_command *find_command(int argc, char **argv, int *ret_words)
{
    char pair[NAME_MAX_LEN] = "";
    if (argc >= 2)
        (void)snprintf(pair, sizeof pair, "%s %s", argv[0], argv[1]);
    for (size_t i = 0; i < LH_ARRAY_LEN(commands); i++) {
        bool two = strcmp(commands[i]->name, pair) == 0;
        if (two || strcmp(commands[i]->name, argv[0]) == 0) {
            *ret_words = two ? 2 : 1;
            return commands[i];
        }
    }
    return NULL;
}

/* What has become of a proposal or a genesis will not change by waiting; the vault's state may. */
static bool is_settled(const lh_err_detail *detail)
{
    return strncmp(detail->reason, "proposal-", strlen("proposal-")) == 0 ||
           strncmp(detail->reason, "genesis-", strlen("genesis-")) == 0;
}

/* What to do about it, where the code alone tells. */
static const char *hint(const lh_err_detail *detail)
{
    /* Of LH_E_GONE, what `dev` says of its own processes needs no hint. */
    bool own = strstr(detail->reason, "-ended") != NULL;
    if (detail->code == LH_E_GONE && !own)
        return "is leaseholdd running? Name its socket with --socket or LEASEHOLD_SOCKET";
    if (detail->code == LH_E_STATE && !is_settled(detail))
        return "`leasehold status` tells the vault's state and what to do";
    if (detail->code == LH_E_QUORUM)
        return "`leasehold proposals` lists what waits for approvals";
    return NULL;
}

static int exit_code(const lh_err_detail *detail)
{
    if (strcmp(detail->reason, CLI_USAGE_REASON) == 0)
        return CLI_USAGE;
    bool waiting = detail->code == LH_E_STATE && !is_settled(detail);
    return detail->code == LH_E_QUORUM || waiting ? CLI_WAITING : CLI_FAILED;
}

static int report(const lh_cli *cli)
{
    lh_err_detail detail = *lh_err_last();
    int code = exit_code(&detail);
    const char *message = detail.message[0] != '\0' ? detail.message : lh_code_text(detail.code);
    const char *name = cli->command->name;
    (void)fflush(stdout);
    (void)fprintf(stderr, "leasehold %s: ", name);
    out_text(stderr, message);
    if (detail.reason[0] != '\0' && code != CLI_USAGE)
        (void)fprintf(stderr, " [%s]", detail.reason);
    if (detail.message[0] == '\0' && detail.foreign != 0)
        (void)fprintf(stderr, " (%s:%d: %lld)", detail.file, detail.line, (long long)detail.foreign);
    (void)fputc('\n', stderr);
    if (code == CLI_USAGE)
        (void)fprintf(stderr, "  `leasehold %s --help` tells how it is used\n", name);
    else if (hint(&detail) != NULL)
        (void)fprintf(stderr, "  %s\n", hint(&detail));
    if (cli->json) {
        LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
        if (lh_ok(lh_admin_reply_error(&detail, &out)))
            (void)printf("%s\n", lh_buf_cstr(&out));
    }
    return code;
}

static int run(const cli_command *command, int argc, char **argv)
{
    lh_cli cli = {.command = command};
    bool help = false;
    lh_err err = cli_parse(&cli, argc, argv, &help);
    if (lh_ok(err) && help) {
        cli_print_help(command);
        return CLI_DONE;
    }
    if (lh_ok(err))
        err = command->run(&cli);
    int code = lh_ok(err) ? cli.exit_code : report(&cli);
    cli_deinit(&cli);
    if (fflush(stdout) != 0 && code == CLI_DONE)
        code = CLI_FAILED;
    return code;
}

static int no_command(int argc, char **argv)
{
    bool group = is_group(argv[0]);
    bool asked = group && argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    FILE *file = asked ? stdout : stderr;
    if (!asked && group && argc >= 2)
        (void)fprintf(file, "leasehold: there is no command \"%s %s\"\n", argv[0], argv[1]);
    else if (!group)
        (void)fprintf(file, "leasehold: there is no command \"%s\"; `leasehold help` lists them\n", argv[0]);
    if (group) {
        (void)fprintf(file, "usage: leasehold %s COMMAND\n", argv[0]);
        print_commands(file, argv[0]);
    }
    return asked ? CLI_DONE : CLI_USAGE;
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: leasehold COMMAND [OPTION ...]; `leasehold help` lists the commands\n");
        return CLI_USAGE;
    }
    int words = 0;
    if (strcmp(argv[1], DEV_TOKEN_COMMAND) == 0)
        return dev_token_main();
    if (is_help(argv[1]) && argc == 2) {
        print_help();
        return CLI_DONE;
    }
    if (is_help(argv[1])) {
        const cli_command *about = find_command(argc - 2, argv + 2, &words);
        char ask[] = "--help";
        char *group[] = {argv[2], ask, NULL};
        if (about == NULL)
            return no_command(2, group);
        cli_print_help(about);
        return CLI_DONE;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        bool json = argc > 2 && strcmp(argv[2], "--json") == 0;
        (void)printf(json ? "{\"version\": \"%s\"}\n" : "leasehold %s\n", LEASEHOLD_VERSION);
        return CLI_DONE;
    }
    const cli_command *command = find_command(argc - 1, argv + 1, &words);
    if (command == NULL)
        return no_command(argc - 1, argv + 1);
    return run(command, argc - words, argv + words);
}
