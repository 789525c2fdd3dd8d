#include "daemon/authorities.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static lh_err read_all(int fd, const char *path, lh_buf *out)
{
    for (;;) {
        uint8_t block[8192];
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return LH_FAIL(LH_E_IO, "cannot read %s (ek_authorities): %s", path, strerrordesc_np(errno));
        if (got == 0)
            break;
        lh_buf_append(out, block, (size_t)got);
        if (out->status == LH_E_LIMIT)
            return LH_FAIL(LH_E_LIMIT, "%s (ek_authorities) has more than %zu bytes", path, out->max);
    }
    lh_buf_append_str(out, "\n"); /* where a file's last line does not end, the next one's begins anew */
    return lh_buf_status(out);
}

static bool is_certificate(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && name[0] != '.' &&
           (strcmp(name + len - 4, ".pem") == 0 || strcmp(name + len - 4, ".crt") == 0);
}

static lh_err read_folder(int fd, const char *path, lh_buf *out)
{
    size_t count = 0;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    LH_AUTO(close_dir) DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir)
        return LH_FAIL(
            LH_E_IO, "cannot read the folder %s (ek_authorities): %s", path, strerrordesc_np(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!is_certificate(entry->d_name))
            continue;
        LH_AUTO(close_fd) int file = openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (file < 0)
            return LH_FAIL(LH_E_IO, "cannot open %s in %s (ek_authorities): %s", entry->d_name, path,
                strerrordesc_np(errno));
        LH_TRY(read_all(file, path, out));
        count++;
    }
    return count > 0 ? LH_SUCCESS
                     : LH_FAIL(LH_E_NOT_FOUND, "no file in %s (ek_authorities) ends with .pem or .crt", path);
}

lh_err lh_authorities_read(const char *path, lh_buf *out)
{
    struct stat st;
    LH_AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return LH_FAIL(errno == ENOENT ? LH_E_NOT_FOUND : LH_E_IO, "cannot open %s (ek_authorities): %s",
            path, strerrordesc_np(errno));
    return S_ISDIR(st.st_mode) ? read_folder(fd, path, out) : read_all(fd, path, out);
}
