/* conformance --module FILE --label LABEL --so-pin PIN --pin PIN [--list | --covers | --mechanisms] [NAME...]
 *
 * One line for each case on standard output: NAME|ok, NAME|absent WHAT, or NAME|FAIL why. NAME may end in
 * `*`. Exit status: 0 where none failed. --list: the names; --covers: NAME and what it shows.
 * --mechanisms: the numbers of what the token offers. */
#include "suite.h"

#include <dlfcn.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_SECONDS 120 /* the alarm of one case */

static const conformance_case *const files[] = {cases_general, cases_session, cases_pin, cases_object,
    cases_attribute, cases_sign, cases_mac, cases_cipher, cases_digest, cases_key, cases_derive, cases_attack,
    cases_hostile, cases_v3};

void suite_fail(suite *s, const char *file, int line, const char *format, ...)
{
    const char *slash = strrchr(file, '/');
    int n = snprintf(s->why, sizeof s->why, "%s:%d: ", slash ? slash + 1 : file, line);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->why + n, sizeof s->why - (size_t)n, format, args);
    va_end(args);
    longjmp(s->out, RESULT_FAILED);
}

void suite_absent(suite *s, const char *what)
{
    (void)snprintf(s->why, sizeof s->why, "%s", what);
    longjmp(s->out, RESULT_ABSENT);
}

static void load(suite *s)
{
    s->library = dlopen(s->module, RTLD_NOW | RTLD_LOCAL);
    void *symbol = s->library ? dlsym(s->library, "C_GetFunctionList") : NULL;
    if (!symbol) {
        (void)fprintf(stderr, "conformance: cannot load %s: %s\n", s->module, dlerror());
        exit(2);
    }
    CK_C_GetFunctionList get;
    memcpy(&get, &symbol, sizeof get);
    OK(get(&s->f));
}

static void prepare(suite *s, unsigned flags)
{
    load(s);
    if (flags & CASE_BARE)
        return;
    suite_initialize(s);
    s->slot = suite_find_slot(s, s->label);
    if (flags & CASE_NO_LOGIN)
        return;
    s->session = suite_open(s, CKF_RW_SESSION);
    suite_login(s, s->session);
}

/* In the child: the result, and why through fd. */
static int run_here(const suite *options, const conformance_case *c, int fd)
{
    suite *s = malloc(sizeof *s);
    if (!s)
        return RESULT_FAILED;
    *s = *options;
    (void)alarm(CASE_SECONDS);
    int result = setjmp(s->out);
    if (result == 0) {
        prepare(s, c->flags);
        c->run(s);
    } else {
        (void)!write(fd, s->why, strlen(s->why));
    }
    if (s->f)
        (void)s->f->C_Finalize(NULL);
    free(s);
    return result;
}

static bool run(const suite *options, const conformance_case *c)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_here(options, c, ends[1]));
    (void)close(ends[1]);
    char why[400] = "";
    size_t have = 0;
    for (ssize_t n; (n = read(ends[0], why + have, sizeof why - 1 - have)) > 0;)
        have += (size_t)n;
    (void)close(ends[0]);
    for (char *p = why; *p; p++)
        if (*p == '\n' || *p == '|')
            *p = ' ';
    int status = 0;
    (void)waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        (void)printf("%s|FAIL ended by signal %d\n", c->name, WTERMSIG(status));
    else if (WEXITSTATUS(status) == RESULT_OK)
        (void)printf("%s|ok\n", c->name);
    else if (WEXITSTATUS(status) == RESULT_ABSENT)
        (void)printf("%s|absent %s\n", c->name, why);
    else
        (void)printf("%s|FAIL %s\n", c->name, have > 0 ? why : "it ended the process");
    return !WIFSIGNALED(status) && WEXITSTATUS(status) != RESULT_FAILED;
}

static bool wanted(const char *name, char **patterns, int count)
{
    for (int i = 0; i < count; i++) {
        size_t n = strlen(patterns[i]);
        bool star = n > 0 && patterns[i][n - 1] == '*';
        if (star ? strncmp(name, patterns[i], n - 1) == 0 : strcmp(name, patterns[i]) == 0)
            return true;
    }
    return count == 0;
}

enum mode { MODE_RUN, MODE_LIST, MODE_COVERS, MODE_MECHANISMS };

static void print_mechanisms(suite *s)
{
    CK_MECHANISM_TYPE types[512];
    CK_ULONG count = 512;
    if (setjmp(s->out) != 0) {
        (void)fprintf(stderr, "conformance: %s\n", s->why);
        exit(1);
    }
    prepare(s, CASE_NO_LOGIN);
    OK(s->f->C_GetMechanismList(s->slot, types, &count));
    for (CK_ULONG i = 0; i < count; i++)
        (void)printf("0x%08lx\n", types[i]);
}

static bool each(const suite *options, enum mode mode, char **patterns, int count)
{
    bool all = true;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (const conformance_case *c = files[i]; c->name; c++) {
            if (!wanted(c->name, patterns, count))
                continue;
            if (mode == MODE_LIST)
                (void)printf("%s\n", c->name);
            else if (mode == MODE_COVERS)
                (void)printf("%s|%s\n", c->name, c->covers);
            else
                all = run(options, c) && all;
        }
    return all;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"module", required_argument, NULL, 'm'},
        {"label", required_argument, NULL, 'l'}, {"so-pin", required_argument, NULL, 's'},
        {"pin", required_argument, NULL, 'p'}, {"list", no_argument, NULL, 'L'},
        {"covers", no_argument, NULL, 'C'}, {"mechanisms", no_argument, NULL, 'M'}, {NULL, 0, NULL, 0}};
    suite options = {.module = getenv("LEASEHOLD_MODULE"), .label = "test", .so_pin = "", .pin = ""};
    enum mode mode = MODE_RUN;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        switch (c) {
        case 'm': options.module = optarg; break;
        case 'l': options.label = optarg; break;
        case 's': options.so_pin = optarg; break;
        case 'p': options.pin = optarg; break;
        case 'L': mode = MODE_LIST; break;
        case 'C': mode = MODE_COVERS; break;
        case 'M': mode = MODE_MECHANISMS; break;
        default: return 2;
        }
    if (mode == MODE_MECHANISMS) {
        print_mechanisms(&options);
        return 0;
    }
    return each(&options, mode, argv + optind, argc - optind) ? 0 : 1;
}
