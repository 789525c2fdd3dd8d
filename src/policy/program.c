/* Programs that are no identity by themselves. A list of names cannot be complete, and is hygiene: what keeps
 * workloads apart is the unit, the LSM label or the uid. */
#include "policy/internal.h"

static const char *const interpreters[] = {"awk", "bash", "busybox", "bun", "csh", "dash", "deno", "dotnet",
    "env", "erl", "fish", "gawk", "gdb", "guile", "java", "jshell", "ksh", "ld-linux-x86-64.so", "lua",
    "luajit", "mawk", "mono", "node", "nodejs", "perl", "php", "pwsh", "pypy", "python", "qemu-x86_64",
    "Rscript", "ruby", "sh", "strace", "tclsh", "tcsh", "wish", "zsh", NULL};
static const char *const relays[] = {"cat", "dbus-daemon", "gpg-agent", "haproxy", "nc", "nc.openbsd",
    "nc.traditional", "ncat", "netcat", "nginx", "p11-kit", "p11-kit-remote", "p11-kit-server", "pcscd",
    "scdaemon", "socat", "ssh", "ssh-agent", "ssh-pkcs11-helper", "sshd", "stunnel", "systemd-socket-proxyd",
    NULL};

/* The name itself or with a version behind it: python3.11, lua5.4, ruby-3. */
static bool is_listed(const char *name, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        size_t length = strlen(list[i]);
        if (strncmp(name, list[i], length) != 0)
            continue;
        const char *rest = name + length;
        if (rest[strspn(rest, "0123456789.-")] == '\0')
            return true;
    }
    return false;
}

enum lh_policy_program lh_policy_program_kind(const char *exe)
{
    if (exe == NULL)
        return LH_POLICY_PROGRAM;
    const char *slash = strrchr(exe, '/');
    const char *name = slash != NULL ? slash + 1 : exe;
    if (is_listed(name, interpreters))
        return LH_POLICY_INTERPRETER;
    if (is_listed(name, relays))
        return LH_POLICY_RELAY;
    return LH_POLICY_PROGRAM;
}
