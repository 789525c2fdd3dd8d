#include "wire/path.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_MAX 16384 /* bytes of client.yaml that are read */

/* The whole file into text, NUL-terminated; false where it cannot be read or is too long. */
static bool read_config(const char *file, char text[CONFIG_MAX + 1])
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    size_t len = 0;
    bool ok = false;
    while (len <= CONFIG_MAX) {
        ssize_t n = read(fd, text + len, CONFIG_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        ok = n == 0;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    ok = ok && len <= CONFIG_MAX && !memchr(text, '\0', len);
    text[ok ? len : 0] = '\0';
    return ok;
}

/* The scalar at s, up to the end of its line, without quotes and comment. */
static bool parse_scalar(const char *s, char *out, size_t size)
{
    while (*s == ' ' || *s == '\t')
        s++;
    const char *end;
    if (*s == '"') {
        s++;
        end = s + strcspn(s, "\"\\\n");
        if (*end != '"')
            return false;
    } else {
        end = s + strcspn(s, "\n");
        for (const char *c = s; c < end; c++)
            if (*c == '#' && (c == s || c[-1] == ' ' || c[-1] == '\t'))
                end = c;
        while (end > s && isspace((unsigned char)end[-1]))
            end--;
    }
    size_t len = (size_t)(end - s);
    if (len == 0 || len >= size)
        return false;
    memcpy(out, s, len);
    out[len] = '\0';
    return true;
}

bool lh_path_config_value(const char *file, const char *key, char *out, size_t size)
{
    char text[CONFIG_MAX + 1];
    if (!read_config(file, text))
        return false;
    size_t len = strlen(key);
    for (const char *line = text; *line;) {
        if (strncmp(line, key, len) == 0 && line[len] == ':' &&
            (line[len + 1] == ' ' || line[len + 1] == '\t'))
            return parse_scalar(line + len + 1, out, size);
        const char *end = strchr(line, '\n');
        if (!end)
            break;
        line = end + 1;
    }
    return false;
}

lh_err lh_path_socket(char *out, size_t size)
{
    const char *path = secure_getenv("LEASEHOLD_SOCKET");
    char configured[LH_LIMIT_PATH];
    if (!path || !*path)
        path = lh_path_config_value(LH_PATH_CLIENT_CONFIG, "socket", configured, sizeof(configured))
                   ? configured
                   : LH_PATH_SOCKET_DEFAULT;
    size_t len = strlen(path);
    if (len >= size)
        return LH_FAIL(LH_E_LIMIT, "the socket's path is longer than %zu bytes", size - 1);
    memcpy(out, path, len + 1);
    return LH_SUCCESS;
}

bool lh_path_server_uid(uid_t *ret_uid)
{
    const char *text = secure_getenv("LEASEHOLD_SERVER_UID");
    char configured[16];
    if (!text || !*text)
        text = lh_path_config_value(LH_PATH_CLIENT_CONFIG, "server-uid", configured, sizeof(configured))
                   ? configured
                   : NULL;
    if (!text || !isdigit((unsigned char)*text))
        return false;
    errno = 0;
    char *end;
    unsigned long uid = strtoul(text, &end, 10);
    if (errno != 0 || *end || uid >= (uid_t)-1)
        return false;
    *ret_uid = (uid_t)uid;
    return true;
}
