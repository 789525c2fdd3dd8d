#include "cli.h"

#include "wire/path.h"

#include <getopt.h>
#include <stdio.h>

#define OPTIONS_MAX 24
#define OPTION_BASE 256 /* getopt's values of the command's options; the common ones are letters */

static const struct option common[] = {
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, 'j'},
    {"socket", required_argument, NULL, 's'},
};

static size_t count_options(const cli_option *options)
{
    size_t n = 0;
    while (options != NULL && options[n].name != NULL)
        n++;
    return n;
}

static void fill_options(const cli_option *options, size_t n, struct option out[OPTIONS_MAX])
{
    size_t at = 0;
    for (; at < LH_ARRAY_LEN(common); at++)
        out[at] = common[at];
    for (size_t i = 0; i < n; i++, at++) {
        int takes = options[i].value != NULL ? required_argument : no_argument;
        out[at] = (struct option){options[i].name, takes, NULL, OPTION_BASE + (int)i};
    }
    out[at] = (struct option){NULL, 0, NULL, 0};
}

static lh_err add_value(lh_cli *cli, const char *name, const char *value)
{
    if (cli->n_values == CLI_VALUES_MAX)
        return CLI_MISUSE("more than %d options", CLI_VALUES_MAX);
    cli->values[cli->n_values].name = name;
    cli->values[cli->n_values].value = value;
    cli->n_values++;
    return LH_SUCCESS;
}

static lh_err check_args(const lh_cli *cli)
{
    const cli_command *command = cli->command;
    if (cli->n_args < command->min_args)
        return CLI_MISUSE("%s needs %s", command->name, command->arguments);
    if (command->max_args >= 0 && cli->n_args > command->max_args)
        return CLI_MISUSE("unexpected argument \"%s\"", cli->args[command->max_args]);
    return LH_SUCCESS;
}

lh_err cli_parse(lh_cli *cli, int argc, char **argv, bool *ret_help)
{
    const cli_option *options = cli->command->options;
    size_t n = count_options(options);
    if (n + LH_ARRAY_LEN(common) >= OPTIONS_MAX)
        return LH_FAIL(LH_E_INTERNAL, "%s has too many options", cli->command->name);
    struct option table[OPTIONS_MAX];
    fill_options(options, n, table);
    const char *letters = cli->command->takes_command ? "+:hjs:" : ":hjs:";
    *ret_help = false;
    opterr = 0;
    optind = 1;
    for (;;) {
        int before = optind;
        int got = getopt_long(argc, argv, letters, table, NULL);
        if (got == -1)
            break;
        const char *given = argv[before < argc ? before : argc - 1];
        if (got == 'h') {
            *ret_help = true;
            return LH_SUCCESS;
        }
        if (got == 'j')
            cli->json = true;
        else if (got == 's')
            cli->socket = optarg;
        else if (got >= OPTION_BASE)
            LH_TRY(add_value(cli, options[got - OPTION_BASE].name, optarg));
        else if (got == ':')
            return CLI_MISUSE("option \"%s\" needs a value", argv[optind - 1]);
        else
            return CLI_MISUSE("unknown option \"%s\"", optopt == 0 ? argv[optind - 1] : given);
    }
    cli->args = argv + optind;
    cli->n_args = argc - optind;
    return check_args(cli);
}

void cli_print_help(const cli_command *command)
{
    bool args = command->arguments[0] != '\0';
    (void)printf("usage: leasehold %s [OPTION ...]%s%s\n\n%s\n", command->name, args ? " " : "",
        command->arguments, command->summary);
    if (command->details != NULL)
        (void)printf("\n%s", command->details);
    (void)printf("\noptions:\n");
    for (const cli_option *option = command->options; option != NULL && option->name != NULL; option++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", option->name, option->value != NULL ? " " : "",
            option->value != NULL ? option->value : "");
        (void)printf("  %-28s %s\n", left, option->help);
    }
    (void)printf("  %-28s %s\n", "-s, --socket PATH", "the daemon's socket (else LEASEHOLD_SOCKET)");
    (void)printf("  %-28s %s\n", "-j, --json", "print the reply as JSON");
    (void)printf("  %-28s %s\n", "-h, --help", "print this");
}

void cli_deinit(lh_cli *cli)
{
    lh_admin_close(cli->client);
    cli->client = NULL;
}

const char *cli_value_at(const lh_cli *cli, const char *option, size_t n)
{
    for (size_t i = 0; i < cli->n_values; i++) {
        if (strcmp(cli->values[i].name, option) == 0 && n-- == 0)
            return cli->values[i].value;
    }
    return NULL;
}

const char *cli_value(const lh_cli *cli, const char *option)
{
    const char *last = NULL;
    for (size_t i = 0; i < cli->n_values; i++) {
        if (strcmp(cli->values[i].name, option) == 0)
            last = cli->values[i].value;
    }
    return last;
}

bool cli_flag(const lh_cli *cli, const char *option)
{
    for (size_t i = 0; i < cli->n_values; i++) {
        if (strcmp(cli->values[i].name, option) == 0)
            return true;
    }
    return false;
}

lh_err cli_require(const lh_cli *cli, const char *option, const char **ret)
{
    const char *value = cli_value(cli, option);
    if (value == NULL)
        return CLI_MISUSE("%s needs --%s", cli->command->name, option);
    *ret = value;
    return LH_SUCCESS;
}

/* Digits only, at most max; *end is left behind the last digit. */
static bool parse_digits(const char *text, int64_t max, const char **end, int64_t *ret)
{
    int64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        int digit = *at - '0';
        if (number > (max - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *end = at;
    *ret = number;
    return at != text;
}

lh_err cli_number(const lh_cli *cli, const char *option, int64_t max, int64_t *ret)
{
    const char *text = cli_value(cli, option);
    if (text == NULL)
        return LH_SUCCESS;
    const char *end = NULL;
    int64_t number = 0;
    if (!parse_digits(text, max, &end, &number) || *end != '\0')
        return CLI_MISUSE("--%s \"%s\" is not a whole number up to %lld", option, text, (long long)max);
    *ret = number;
    return LH_SUCCESS;
}

lh_err cli_pcrs(const lh_cli *cli, const char *option, json_t **ret)
{
    const char *text = cli_value(cli, option);
    if (text == NULL)
        return LH_SUCCESS;
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    const char *at = text;
    for (bool more = true; more;) {
        int64_t first = 0;
        bool good = parse_digits(at, 23, &at, &first);
        int64_t last = first;
        if (good && *at == '-')
            good = parse_digits(at + 1, 23, &at, &last);
        if (!good || last < first || (*at != ',' && *at != '\0'))
            return CLI_MISUSE(
                "--%s \"%s\": expected PCR numbers from 0 to 23 such as 7 or 0-4,7", option, text);
        for (int64_t pcr = first; pcr <= last; pcr++) {
            if (json_array_append_new(list, json_integer(pcr)) != 0)
                return LH_RAISE(LH_E_NOMEM, 0);
        }
        more = *at++ == ',';
    }
    *ret = LH_TAKE(list);
    return LH_SUCCESS;
}

lh_err cli_socket_path(const lh_cli *cli, char *out, size_t size)
{
    if (cli->socket == NULL)
        return lh_path_socket(out, size);
    if (strlen(cli->socket) >= size)
        return CLI_MISUSE("--socket: the path is too long");
    memcpy(out, cli->socket, strlen(cli->socket) + 1);
    return LH_SUCCESS;
}

lh_err cli_call(lh_cli *cli, json_t *request_taken, json_t **ret_reply)
{
    LH_AUTO(lh_json_freep) json_t *request = request_taken;
    if (cli->client == NULL) {
        char path[LH_LIMIT_PATH];
        LH_TRY(cli_socket_path(cli, path, sizeof path));
        LH_TRY(lh_admin_open(path, &cli->client));
    }
    return lh_admin_do(cli->client, LH_TAKE(request), ret_reply);
}
