/* leasehold completion: words for the shell, out of the commands' own tables, so that they never fall behind.
 */
#include "commands.h"

#include <stdio.h>

/* The shell gets one case for each command: its options, and which of them take a value. */
static void print_options(const cli_option *options, bool with_value)
{
    for (; options != NULL && options->name != NULL; options++)
        if (!with_value || options->value != NULL)
            (void)printf(" --%s", options->name);
}

static void print_command(const cli_command *command)
{
    (void)printf("    '%s') options='--help --json --socket", command->name);
    print_options(command->options, false);
    (void)printf("'; values='--socket -s");
    print_options(command->options, true);
    (void)printf("'; runs=%d ;;\n", command->takes_command ? 1 : 0);
}

/* The first or, behind first, the second words of commands. */
static void print_words(const cli_command *const *commands, size_t n, const char *first)
{
    size_t len = first == NULL ? 0 : strlen(first);
    const char *last = "";
    for (size_t i = 0; i < n; i++) {
        const char *name = commands[i]->name;
        if (first != NULL && (strncmp(name, first, len) != 0 || name[len] != ' '))
            continue;
        const char *word = first == NULL ? name : name + len + 1;
        size_t word_len = strcspn(word, " ");
        if (strncmp(last, word, word_len) == 0 && (last[word_len] == ' ' || last[word_len] == '\0'))
            continue;
        (void)printf("%.*s ", (int)word_len, word);
        last = word;
    }
}

static void print_groups(const cli_command *const *commands, size_t n)
{
    const char *last = "";
    for (size_t i = 0; i < n; i++) {
        const char *name = commands[i]->name;
        size_t len = strcspn(name, " ");
        if (name[len] == '\0' || (strncmp(last, name, len) == 0 && last[len] == ' '))
            continue;
        char group[64];
        (void)snprintf(group, sizeof group, "%.*s", (int)len, name);
        (void)printf("    '%s') echo '", group);
        print_words(commands, n, group);
        (void)printf("' ;;\n");
        last = name;
    }
}

static const char head[] = "# bash completion for leasehold, made by `leasehold completion bash`\n"
                           "_leasehold_words() {\n"
                           "    case $1 in\n";
static const char middle[] = "    esac\n"
                             "}\n"
                             "_leasehold_options() {\n"
                             "    case $1 in\n";
static const char tail[] =
    "    *) return 1 ;;\n"
    "    esac\n"
    "}\n"
    "_leasehold() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local name=${COMP_WORDS[1]} options='' values='' runs=0 at=2 seconds i\n"
    "    COMPREPLY=()\n"
    "    if ((COMP_CWORD == 1)); then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_leasehold_words '') help version\" -- \"$current\")\n"
    "        return\n"
    "    fi\n"
    "    if [[ $name == help ]]; then\n"
    "        ((COMP_CWORD == 2)) && mapfile -t COMPREPLY < <(compgen -W \"$(_leasehold_words '')\" -- "
    "\"$current\")\n"
    "        return\n"
    "    fi\n"
    "    seconds=$(_leasehold_words \"$name\")\n"
    "    if [[ $seconds ]]; then\n"
    "        if ((COMP_CWORD == 2)); then\n"
    "            mapfile -t COMPREPLY < <(compgen -W \"$seconds\" -- \"$current\")\n"
    "            return\n"
    "        fi\n"
    "        name+=\" ${COMP_WORDS[2]}\" at=3\n"
    "    fi\n"
    "    _leasehold_options \"$name\" || return\n"
    "    if ((runs)); then\n"
    "        for ((i = at; i < COMP_CWORD; i++)); do\n"
    "            [[ ${COMP_WORDS[i]} == -- ]] || continue\n"
    "            if ((i + 1 == COMP_CWORD)); then\n"
    "                mapfile -t COMPREPLY < <(compgen -c -- \"$current\")\n"
    "            else\n"
    "                mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "            fi\n"
    "            return\n"
    "        done\n"
    "    fi\n"
    "    if [[ \" $values \" == *\" $previous \"* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "    elif [[ $current == -* ]]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$current\")\n"
    "    elif [[ $name == propose ]] && ((COMP_CWORD == at)); then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(_leasehold_operations)\" -- \"$current\")\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
    "    fi\n"
    "}\n"
    "complete -o filenames -F _leasehold leasehold\n";

static lh_err run(lh_cli *cli)
{
    size_t n = 0;
    const cli_command *const *commands = cli_commands(&n);
    if (strcmp(cli->args[0], "bash") != 0)
        return CLI_MISUSE("completion \"%s\": bash is what there is", cli->args[0]);
    (void)printf("%s    '') echo '", head);
    print_words(commands, n, NULL);
    (void)printf("' ;;\n");
    print_groups(commands, n);
    (void)printf("%s", middle);
    for (size_t i = 0; i < n; i++)
        print_command(commands[i]);
    (void)printf("%s_leasehold_operations() {\n    echo '", tail);
    for (const char *const *operation = cli_operations; *operation != NULL; operation++)
        (void)printf("%s ", *operation);
    (void)printf("'\n}\n");
    return LH_SUCCESS;
}

const cli_command cmd_completion = {
    .name = "completion",
    .arguments = "bash",
    .summary = "completion of this command's words for a shell",
    .details = "For this shell: source <(leasehold completion bash); for all, write it to\n"
               "/usr/share/bash-completion/completions/leasehold.\n",
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
