#include "dev_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16 /* of folders in it */

static lh_err check_empty(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return LH_FAIL(LH_E_IO, "cannot read the folder %s: %s", path, strerror(errno));
    int entries = 0;
    while (readdir(dir) != NULL)
        entries++;
    (void)closedir(dir);
    if (entries > 2) /* . and .. */
        return LH_REFUSE(LH_E_EXISTS, "dir-not-empty",
            "%s is not empty: a development vault takes a folder that is empty or does not exist", path);
    return LH_SUCCESS;
}

/* An existing folder: ours, empty, and from now on private. */
static lh_err take_folder(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return LH_FAIL(LH_E_IO, "%s is not a folder", path);
    if (info.st_uid != geteuid())
        return LH_REFUSE(LH_E_DENIED, "dir-not-ours", "the folder %s belongs to somebody else", path);
    LH_TRY(check_empty(path));
    if (chmod(path, 0700) != 0)
        return LH_FAIL(LH_E_IO, "cannot make %s private: %s", path, strerror(errno));
    return LH_SUCCESS;
}

lh_err dev_dir_make(const char *wanted, dev_dir *ret)
{
    dev_dir dir = {.made = true};
    const char *base = getenv("TMPDIR");
    char given[4096];
    if (base == NULL || base[0] != '/')
        base = "/tmp";
    int n = wanted != NULL ? snprintf(given, sizeof given, "%s", wanted)
                           : snprintf(given, sizeof given, "%s/leasehold-dev-XXXXXX", base);
    if (n < 0 || (size_t)n >= sizeof given)
        return LH_FAIL(LH_E_LIMIT, "the folder's path is too long");
    if (wanted == NULL && mkdtemp(given) == NULL)
        return LH_FAIL(LH_E_IO, "cannot make a folder in %s: %s", base, strerror(errno));
    if (wanted != NULL && mkdir(given, 0700) != 0) {
        if (errno != EEXIST)
            return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", given, strerror(errno));
        LH_TRY(take_folder(given));
        dir.made = false;
    }
    LH_AUTO(lh_freep) char *real = realpath(given, NULL);
    if (real == NULL || strlen(real) > DEV_PATH_MAX) {
        if (dir.made)
            (void)rmdir(given);
        return LH_FAIL(LH_E_LIMIT, "the path of %s is longer than %d bytes: give a shorter one with --dir",
            given, DEV_PATH_MAX);
    }
    memcpy(dir.path, real, strlen(real) + 1);
    *ret = dir;
    return LH_SUCCESS;
}

static int empty_folder(int fd, int depth);

/* 0, or the errno of what failed. */
static int remove_entry(int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return errno;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int failed = empty_folder(fd, depth + 1);
    if (failed == 0 && unlinkat(parent, name, AT_REMOVEDIR) != 0)
        failed = errno;
    return failed;
}

/* Takes fd. */
static int empty_folder(int fd, int depth)
{
    DIR *dir = depth > DEPTH_MAX ? NULL : fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return depth > DEPTH_MAX ? ELOOP : errno;
    }
    int failed = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int one = remove_entry(dirfd(dir), entry->d_name, depth);
        failed = failed == 0 ? one : failed;
    }
    (void)closedir(dir);
    return failed;
}

lh_err dev_dir_remove(dev_dir *dir)
{
    int fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int failed = fd < 0 ? errno : empty_folder(fd, 0);
    if (failed == 0 && dir->made && rmdir(dir->path) != 0)
        failed = errno;
    if (failed != 0)
        return LH_FAIL(LH_E_IO, "could not remove all of %s: %s", dir->path, strerror(failed));
    return LH_SUCCESS;
}

lh_err dev_dir_path(const dev_dir *dir, const char *name, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%s", dir->path, name);
    if (n < 0 || (size_t)n >= size)
        return LH_FAIL(LH_E_LIMIT, "the path of %s/%s is too long", dir->path, name);
    return LH_SUCCESS;
}
