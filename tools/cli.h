/* What the commands of `leasehold` share: options described as data (parsing and --help follow from the same
 * rows), the connection to the daemon, exit codes.
 *
 * A command's run returns an error to be told to the person and turned into an exit code by main; it sets
 * cli->exit_code itself only for CLI_WAITING, or to hand on a child's status.
 */
#ifndef LH_TOOLS_CLI_H
#define LH_TOOLS_CLI_H

#include "admin/client.h"
#include "base/limits.h"

enum {
    CLI_DONE = 0,
    CLI_FAILED = 1,  /* refused, or failed */
    CLI_USAGE = 2,   /* the command line makes no sense */
    CLI_WAITING = 3, /* more approvals are needed, or the vault is not open */
};

#define CLI_VALUES_MAX 320 /* options given on one command line */
#define CLI_USAGE_REASON "usage"

/* Raise an error about the command line itself. */
#define CLI_MISUSE(...) LH_REFUSE(LH_E_INVALID, CLI_USAGE_REASON, __VA_ARGS__)

typedef struct {
    const char *name;  /* "officer"; NULL ends a list */
    const char *value; /* "NAME=KEY.pub"; NULL: a flag */
    const char *help;  /* one line */
} cli_option;

typedef struct lh_cli lh_cli;

typedef struct {
    const char *name;          /* "policy check" */
    const char *arguments;     /* "FILE"; "" where there are none */
    const char *summary;       /* one line, for the list of commands */
    const char *details;       /* paragraphs for --help; may be NULL */
    const cli_option *options; /* besides --help, --json and --socket; may be NULL */
    int min_args;
    int max_args;       /* -1: any number */
    bool takes_command; /* options end at the first argument, which begins another program's command line */
    lh_err (*run)(lh_cli *cli);
} cli_command;

struct lh_cli {
    const cli_command *command;
    bool json;
    const char *socket; /* NULL: where wire/path.h says */
    int n_args;
    char **args; /* without options; NULL after the last */
    size_t n_values;
    struct {
        const char *name;
        const char *value; /* NULL for a flag */
    } values[CLI_VALUES_MAX];
    int exit_code;
    lh_admin_client *client; /* connected by the first cli_call */
};

/* Parse what follows the command's name. argv[0] is the name's last word.
 * ret_help: --help was given; nothing else was checked then. */
LH_MUST lh_err cli_parse(lh_cli *cli, int argc, char **argv, bool *ret_help);
void cli_print_help(const cli_command *command);
/* Closes the connection. */
void cli_deinit(lh_cli *cli);

/* The n-th value of an option; NULL past the last. */
const char *cli_value_at(const lh_cli *cli, const char *option, size_t n);
/* The last one given; NULL where it was not. */
const char *cli_value(const lh_cli *cli, const char *option);
bool cli_flag(const lh_cli *cli, const char *option);
/* The same for one that must be there. */
LH_MUST lh_err cli_require(const lh_cli *cli, const char *option, const char **ret);
/* A whole number from 0 to max; untouched where the option was not given. */
LH_MUST lh_err cli_number(const lh_cli *cli, const char *option, int64_t max, int64_t *ret);
/* "7", "0,2,7" or "0-7" as a JSON list; NULL where the option was not given. The caller drops it. */
LH_MUST lh_err cli_pcrs(const lh_cli *cli, const char *option, json_t **ret);

/* Make one admin call; as lh_admin_do. */
LH_MUST lh_err cli_call(lh_cli *cli, json_t *request_taken, json_t **ret_reply);
/* The socket's path into out. */
LH_MUST lh_err cli_socket_path(const lh_cli *cli, char *out, size_t size);

#endif
