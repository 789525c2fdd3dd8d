#include "sign.h"

#include "base/limits.h"
#include "codec/sshsig.h"
#include "proc/child.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIGN_MS 600000 /* for passphrases and touches */

struct sign_job {
    lh_child *child;
    int output; /* read end of its standard output */
    char key[256];
};

/* Text as a file that is nowhere on disk, read from its beginning. */
static lh_err text_file(lh_bytes text, int *ret_fd)
{
    LH_AUTO_FD fd = memfd_create("leasehold-text", MFD_CLOEXEC);
    if (fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    for (size_t done = 0; done < text.len;) {
        ssize_t n = write(fd, text.data + done, text.len - done);
        if (n < 0 && errno != EINTR)
            return LH_RAISE(LH_E_IO, errno);
        done += n > 0 ? (size_t)n : 0;
    }
    if (lseek(fd, 0, SEEK_SET) != 0)
        return LH_RAISE(LH_E_IO, errno);
    *ret_fd = lh_fd_take(&fd);
    return LH_SUCCESS;
}

lh_err sign_check_key(const char *key)
{
    if (access(key, R_OK) == 0)
        return LH_SUCCESS;
    int why = errno;
    LH_AUTO(lh_buf_free) lh_buf public_half = LH_BUF_INIT(LH_LIMIT_PATH + 8);
    lh_buf_printf(&public_half, "%s.pub", key);
    const char *path = lh_buf_cstr(&public_half);
    if (path != NULL && access(path, R_OK) == 0)
        return LH_SUCCESS;
    return LH_FAIL(LH_E_NOT_FOUND, "cannot read the key file %s: %s", key, strerror(why));
}

lh_err sign_start(const char *key, lh_bytes text, sign_job **ret)
{
    LH_TRY(sign_check_key(key));
    LH_AUTO(sign_freep) sign_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    job->output = -1;
    size_t len = strlen(key) < sizeof job->key ? strlen(key) : sizeof job->key - 1;
    memcpy(job->key, key, len);
    LH_AUTO_FD input = -1;
    LH_TRY(text_file(text, &input));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return LH_RAISE(LH_E_IO, errno);
    job->output = ends[0];
    LH_AUTO_FD write_end = ends[1];
    const char *const argv[] = {"ssh-keygen", "-Y", "sign", "-q", "-n", LH_SSHSIG_NAMESPACE, "-f", key, NULL};
    const int fds[] = {input, write_end, STDERR_FILENO};
    lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = 3, .die_with_parent = true};
    lh_err err = lh_child_spawn(&spec, &job->child);
    if (err.code == LH_E_NOT_FOUND)
        return LH_FAIL(LH_E_NOT_FOUND, "ssh-keygen was not found: install OpenSSH's client (8.2 or later)");
    LH_TRY(err);
    *ret = LH_TAKE(job);
    return LH_SUCCESS;
}

lh_err sign_finish(sign_job *job, lh_buf *ret_armor)
{
    LH_AUTO(lh_buf_free) lh_buf armor = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    for (;;) {
        uint8_t chunk[4096];
        ssize_t n = read(job->output, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LH_RAISE(LH_E_IO, errno);
        if (n == 0)
            break;
        lh_buf_append(&armor, chunk, (size_t)n);
        LH_TRY(lh_buf_status(&armor));
    }
    int status = 0;
    LH_TRY(lh_child_wait(job->child, SIGN_MS, &status));
    if (status != 0 || armor.len == 0)
        return LH_FAIL(LH_E_SIGNATURE,
            "ssh-keygen did not sign with %s (its message is above): check the key and, for a public key, "
            "that "
            "ssh-agent holds it",
            job->key);
    lh_buf_append(ret_armor, armor.data, armor.len);
    return lh_buf_status(ret_armor);
}

void sign_free(sign_job *job)
{
    if (job == NULL)
        return;
    lh_child_free(job->child);
    lh_fd_close(job->output);
    free(job);
}

lh_err sign_text(const char *key, lh_bytes text, lh_buf *ret_armor)
{
    LH_AUTO(sign_freep) sign_job *job = NULL;
    LH_TRY(sign_start(key, text, &job));
    return sign_finish(job, ret_armor);
}
