#include "serve/settings.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOCKET_PATH_MAX 107 /* bytes: sun_path without its NUL */

static bool is_mode(const char *text)
{
    return strlen(text) == 4 && text[0] == '0' && strspn(text, "01234567") == 4;
}

static bool is_user(const char *text)
{
    return text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(text);
}

static bool is_tcti(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") > 0;
}

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

const lh_schema lh_settings_path = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_PATH - 256, /* room for the names of files in it */
    .check = lh_schema_is_absolute_path,
    .expected = "an absolute path without empty, \".\" or \"..\" parts"};
const lh_schema lh_settings_socket = {.type = LH_SCHEMA_STRING,
    .max = SOCKET_PATH_MAX,
    .check = lh_schema_is_absolute_path,
    .expected = "an absolute path of at most 107 bytes without empty, \".\" or \"..\" parts"};
const lh_schema lh_settings_mode = {
    .type = LH_SCHEMA_STRING, .max = 4, .check = is_mode, .expected = "an octal mode such as \"0666\""};
const lh_schema lh_settings_tcti = {
    .type = LH_SCHEMA_STRING, .max = 1024, .check = is_tcti, .expected = "a TCTI such as device:/dev/tpmrm0"};
const lh_schema lh_settings_user = {
    .type = LH_SCHEMA_STRING, .max = 64, .check = is_user, .expected = "a name or number of a user or group"};
const lh_schema lh_settings_level = {.type = LH_SCHEMA_ENUM, .names = level_names};

unsigned lh_settings_mode_of(const lh_yaml_node *node, const char *fallback)
{
    return (unsigned)strtoul(lh_schema_string(node, fallback), NULL, 8);
}

enum lh_level lh_settings_level_of(const lh_yaml_node *node)
{
    return (enum lh_level)lh_schema_enum(node, level_names, LH_LEVEL_NOTICE);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

lh_err lh_settings_read(const char *path, lh_buf *ret)
{
    LH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && errno == ENOENT)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no configuration file %s", path);
    if (fd < 0)
        return LH_FAIL(LH_E_IO, "cannot open the configuration file %s: %s", path, strerrordesc_np(errno));
    for (size_t total = 0;;) {
        uint8_t block[4096];
        ssize_t got = read(fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return LH_FAIL(
                LH_E_IO, "cannot read the configuration file %s: %s", path, strerrordesc_np(errno));
        if (got == 0)
            return lh_buf_status(ret);
        total += (size_t)got;
        if (total > LH_LIMIT_DOCUMENT)
            return LH_FAIL(
                LH_E_LIMIT, "the configuration file %s has more than %d bytes", path, LH_LIMIT_DOCUMENT);
        lh_buf_append(ret, block, (size_t)got);
    }
}

/* Nothing but blank lines and comments. */
static bool is_blank(lh_bytes doc)
{
    bool comment = false;
    for (size_t i = 0; i < doc.len; i++) {
        uint8_t byte = doc.data[i];
        if (byte == '\n')
            comment = false;
        else if (byte == '#')
            comment = true;
        else if (!comment && byte != ' ' && byte != '\r')
            return false;
    }
    return true;
}

lh_err lh_settings_parse(
    lh_bytes doc, const char *file, const lh_schema *schema, lh_yaml **ret, lh_problems *problems)
{
    lh_problems_set_file(problems, file);
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    LH_AUTO(lh_buf_free) lh_buf blank = LH_BUF_INIT(doc.len + 16);
    if (is_blank(doc)) {
        /* No document as YAML has it; the parser still checks what the comments are made of. */
        lh_buf_append(&blank, doc.data, doc.len);
        lh_buf_append_str(&blank, "\n{}\n");
        LH_TRY(lh_buf_status(&blank));
        doc = lh_buf_bytes(&blank);
    }
    LH_TRY(lh_yaml_parse(doc, &yaml, problems));
    if (!lh_schema_walk(lh_yaml_root(yaml), schema, problems))
        return lh_problems_status(problems, "configuration");
    *ret = LH_TAKE(yaml);
    return LH_SUCCESS;
}

void lh_settings_tell(const lh_problems *problems)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(65536);
    lh_problems_format(problems, &text);
    const char *lines = lh_buf_cstr(&text);
    if (lines)
        (void)fputs(lines, stderr);
}

lh_err lh_settings_text(const lh_yaml_node *node, const char *fallback, char **ret)
{
    const char *text = lh_schema_string(node, fallback);
    char *copy = text != NULL ? strdup(text) : NULL;
    if (text != NULL && copy == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = copy;
    return LH_SUCCESS;
}
