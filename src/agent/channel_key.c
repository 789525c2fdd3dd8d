#include "agent/channel_key.h"

#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NEW LH_CHANNEL_KEY_FILE ".new"

static lh_err check_file(int fd, const char *state_dir)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return LH_RAISE(LH_E_IO, errno);
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return LH_REFUSE(LH_E_DENIED, "channel-key-mode",
            "%s/" LH_CHANNEL_KEY_FILE " must be a file that the agent's user owns and nobody else may read "
            "(mode 0600)",
            state_dir);
    if (status.st_size != LH_CHANNEL_KEY)
        return LH_REFUSE(LH_E_CORRUPT, "channel-key-file",
            "%s/" LH_CHANNEL_KEY_FILE
            " has %lld bytes, not %u: restore it, or remove it and enrol the host anew",
            state_dir, (long long)status.st_size, LH_CHANNEL_KEY);
    return LH_SUCCESS;
}

static lh_err read_key(lh_crypto *c, int fd, const char *state_dir, lh_secret **ret)
{
    LH_TRY(check_file(fd, state_dir));
    LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
    LH_TRY(lh_secret_new(LH_CHANNEL_KEY, &key));
    ssize_t n = pread(fd, lh_secret_data(key), LH_CHANNEL_KEY, 0);
    if (n != (ssize_t)LH_CHANNEL_KEY)
        return LH_FAIL(LH_E_IO, "cannot read %s/" LH_CHANNEL_KEY_FILE ": %s", state_dir,
            n < 0 ? strerrordesc_np(errno) : "it is short");
    uint8_t hash[LH_CHANNEL_HASH];
    lh_err err = lh_channel_key_hash(c, key, hash);
    if (err.code == LH_E_INVALID)
        return LH_REFUSE(LH_E_CORRUPT, "channel-key-file",
            "%s/" LH_CHANNEL_KEY_FILE " holds no key: restore it, or remove it and enrol the host anew",
            state_dir);
    LH_TRY(err);
    *ret = LH_TAKE(key);
    return LH_SUCCESS;
}

/* Written and synced under another name, then linked, which fails where somebody was first. */
static lh_err write_key(int dir, const lh_secret *key, const char *state_dir)
{
    (void)unlinkat(dir, FILE_NEW, 0); /* of an agent that ended halfway */
    LH_AUTO_FD fd = openat(dir, FILE_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    lh_bytes bytes = lh_secret_bytes(key);
    if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, bytes.data, bytes.len) != (ssize_t)bytes.len ||
        fsync(fd) != 0 || (linkat(dir, FILE_NEW, dir, LH_CHANNEL_KEY_FILE, 0) != 0 && errno != EEXIST) ||
        unlinkat(dir, FILE_NEW, 0) != 0 || fsync(dir) != 0)
        return LH_FAIL(LH_E_IO, "cannot write the channel key in %s: %s", state_dir, strerrordesc_np(errno));
    return LH_SUCCESS;
}

lh_err lh_channel_key_open(lh_crypto *c, const char *state_dir, lh_secret **ret)
{
    LH_AUTO_FD dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return LH_FAIL(LH_E_IO, "cannot open the folder %s: %s", state_dir, strerrordesc_np(errno));
    for (bool made = false;; made = true) {
        LH_AUTO_FD fd = openat(dir, LH_CHANNEL_KEY_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0)
            return read_key(c, fd, state_dir, ret);
        if (errno == ELOOP)
            return LH_REFUSE(LH_E_DENIED, "channel-key-mode",
                "%s/" LH_CHANNEL_KEY_FILE " is a symbolic link: it must be a file", state_dir);
        if (errno != ENOENT || made)
            return LH_FAIL(
                LH_E_IO, "cannot open %s/" LH_CHANNEL_KEY_FILE ": %s", state_dir, strerrordesc_np(errno));
        LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
        LH_TRY(lh_channel_key_generate(c, &key));
        LH_TRY(write_key(dir, key, state_dir));
    }
}
