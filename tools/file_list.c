#include "file_list.h"

#include "crypto/hash.h"
#include "verify/fileset.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_list {
    lh_crypto *crypto;
    char **lines; /* without the line break */
    size_t count;
    size_t room;
};

lh_err file_list_new(lh_crypto *c, file_list **ret)
{
    file_list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    list->crypto = c;
    *ret = list;
    return LH_SUCCESS;
}

void file_list_free(file_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->lines[i]);
    free(list->lines);
    free(list);
}

size_t file_list_count(const file_list *list)
{
    return list->count;
}

lh_err file_list_add(file_list *list, const uint8_t digest[32], const char *name)
{
    if (list->count == LH_FILESET_LINES_MAX)
        return LH_FAIL(LH_E_LIMIT, "there are more than %u files: make several sets", LH_FILESET_LINES_MAX);
    if (list->count == list->room) {
        size_t room = list->room > 0 ? 2 * list->room : 1024;
        char **lines = realloc(list->lines, room * sizeof(*lines));
        if (lines == NULL)
            return LH_RAISE(LH_E_NOMEM, 0);
        list->lines = lines;
        list->room = room;
    }
    char hex[65];
    lh_hex(digest, 32, hex);
    char *line = NULL;
    if (asprintf(&line, "%s  %.*s", hex, (int)LH_FILESET_NAME_MAX, name) < 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (char *at = line; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = '?';
    list->lines[list->count++] = line;
    return LH_SUCCESS;
}

static lh_err hash_fd(lh_crypto *c, int fd, const char *path, uint8_t ret[32])
{
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = NULL;
    LH_TRY(lh_sha256_ctx_new(c, &ctx));
    static uint8_t block[1 << 16];
    for (;;) {
        ssize_t n = read(fd, block, sizeof(block));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LH_FAIL(LH_E_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return lh_sha256_ctx_final(ctx, ret);
        LH_TRY(lh_sha256_ctx_update(ctx, LH_BYTES(block, (size_t)n)));
    }
}

/* ret_regular: false for what is no regular file; nothing is read of it. */
static lh_err hash_file(lh_crypto *c, const char *path, uint8_t ret[32], bool *ret_regular)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ELOOP || errno == ENXIO)) {
        *ret_regular = false;
        return LH_SUCCESS;
    }
    if (fd < 0)
        return LH_FAIL(
            errno == ENOENT ? LH_E_NOT_FOUND : LH_E_IO, "cannot open %s: %s", path, strerror(errno));
    struct stat status;
    lh_err err = LH_SUCCESS;
    *ret_regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (*ret_regular)
        err = hash_fd(c, fd, path, ret);
    (void)close(fd);
    return err;
}

lh_err file_list_add_file(file_list *list, const char *path)
{
    uint8_t digest[32];
    bool regular = false;
    LH_TRY(hash_file(list->crypto, path, digest, &regular));
    return regular ? file_list_add(list, digest, path) : LH_SUCCESS;
}

static lh_err add_entry(file_list *list, const FTSENT *entry, size_t prefix)
{
    if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
        return LH_FAIL(entry->fts_errno == ENOENT ? LH_E_NOT_FOUND : LH_E_IO, "cannot read %s: %s",
            entry->fts_path, strerror(entry->fts_errno));
    if (entry->fts_info != FTS_F)
        return LH_SUCCESS;
    uint8_t digest[32];
    bool regular = false;
    LH_TRY(hash_file(list->crypto, entry->fts_accpath, digest, &regular));
    return regular ? file_list_add(list, digest, entry->fts_path + prefix) : LH_SUCCESS;
}

lh_err file_list_add_tree(file_list *list, const char *folder)
{
    struct stat status;
    if (stat(folder, &status) != 0)
        return LH_FAIL(
            errno == ENOENT ? LH_E_NOT_FOUND : LH_E_IO, "cannot look at %s: %s", folder, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return LH_FAIL(LH_E_INVALID, "%s is no folder", folder);
    char *root = realpath(folder, NULL);
    if (root == NULL)
        return LH_FAIL(LH_E_IO, "cannot look at %s: %s", folder, strerror(errno));
    char *const roots[] = {root, NULL};
    size_t prefix = strcmp(root, "/") == 0 ? 0 : strlen(root);
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    lh_err err = walk != NULL ? LH_SUCCESS : LH_FAIL(LH_E_IO, "cannot read %s: %s", folder, strerror(errno));
    for (FTSENT *entry; lh_ok(err) && (entry = fts_read(walk)) != NULL;)
        err = add_entry(list, entry, prefix);
    if (walk != NULL)
        (void)fts_close(walk);
    free(root);
    return err;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

lh_err file_list_write(file_list *list, lh_buf *ret)
{
    if (list->count > 0)
        qsort(list->lines, list->count, sizeof(*list->lines), compare);
    for (size_t i = 0; i < list->count; i++)
        if (i == 0 || strcmp(list->lines[i - 1], list->lines[i]) != 0)
            lh_buf_printf(ret, "%s\n", list->lines[i]);
    return lh_buf_status(ret);
}
