/* Real keys and signatures for tests, made by ssh-keygen in a directory of their own. */
#ifndef TESTS_UNIT_SSH_FIXTURE_H
#define TESTS_UNIT_SSH_FIXTURE_H

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char ssh_dir[64];

static inline void ssh_run(const char *command)
{
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static inline int ssh_setup(void)
{
    strcpy(ssh_dir, "/tmp/lh-ssh-XXXXXX");
    return mkdtemp(ssh_dir) ? 0 : -1;
}

static inline void ssh_teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", ssh_dir);
    if (ssh_dir[0] == '\0' || system(command) != 0)
        fail_msg("cannot remove %s", ssh_dir);
}

static inline void ssh_read(const char *name, lh_buf *out)
{
    char path[256];
    char bytes[4096];
    snprintf(path, sizeof path, "%s/%s", ssh_dir, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, file)) > 0)
        lh_buf_append(out, bytes, n);
    fclose(file);
    assert_int_equal(out->status, LH_OK);
}

/* type_and_bits: "ed25519", "ecdsa -b 384" … */
static inline void ssh_make_key(const char *name, const char *type_and_bits)
{
    char command[512];
    snprintf(command, sizeof command, "cd '%s' && ssh-keygen -q -N '' -C '%s@test' -t %s -f %s", ssh_dir,
        name, type_and_bits, name);
    ssh_run(command);
}

/* The content of NAME.pub; the caller frees it. */
static inline lh_buf ssh_public(const char *name)
{
    char file[128];
    lh_buf out = LH_BUF_INIT(8192);
    snprintf(file, sizeof file, "%s.pub", name);
    ssh_read(file, &out);
    return out;
}

/* What ssh-keygen -Y sign makes of text; the caller frees it. options: "-n leasehold" … */
static inline lh_buf ssh_sign(const char *key, const char *options, lh_bytes text)
{
    char path[256];
    lh_buf out = LH_BUF_INIT(65536);
    snprintf(path, sizeof path, "%s/message", ssh_dir);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.len, file), text.len);
    fclose(file);
    char command[512];
    snprintf(command, sizeof command,
        "cd '%s' && rm -f message.sig && ssh-keygen -Y sign %s -f %s message 2>/dev/null", ssh_dir, options,
        key);
    ssh_run(command);
    ssh_read("message.sig", &out);
    return out;
}

#endif
