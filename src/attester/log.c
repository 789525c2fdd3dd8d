/* Parts of this host's logs. The kernel gives them through seq_file: a read may be short without being the
 * last, and the file's size is unknown. */
#include "attester/internal.h"
#include "codec/ima_log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* How many bytes of these are whole entries. Bytes that are no entry are handed on as they are: it is for the
 * verifier to say what is wrong with them. */
static size_t whole_entries(lh_bytes bytes)
{
    lh_bytes rest = bytes;
    lh_ima_entry entry;
    bool more = true;
    while (more)
        if (!lh_ok(lh_ima_log_next(&rest, &entry, &more)))
            return bytes.len;
    return bytes.len - rest.len;
}

static lh_err read_at(int fd, uint64_t offset, uint8_t *out, size_t max, size_t *ret_len)
{
    size_t len = 0;
    while (len < max) {
        ssize_t n = pread(fd, out + len, max - len, (off_t)(offset + len));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LH_RAISE(LH_E_IO, errno);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return LH_SUCCESS;
}

/* At its end a log that grows has nothing more; one that does not reach so far has lost something. */
static lh_err reaches(int fd, uint64_t offset)
{
    uint8_t last;
    size_t len = 0;
    if (offset > 0)
        LH_TRY(read_at(fd, offset - 1, &last, 1, &len));
    if (offset > 0 && len == 0)
        return LH_REFUSE(LH_E_NOT_FOUND, "log-offset", "the log is shorter than what was read of it before");
    return LH_SUCCESS;
}

static lh_err cut(enum lh_log_kind kind, const uint8_t *bytes, size_t max, size_t *len)
{
    if (kind != LH_LOG_IMA)
        return LH_SUCCESS;
    size_t whole = whole_entries(LH_BYTES(bytes, *len));
    if (whole == 0 && *len == max)
        return LH_REFUSE(
            LH_E_LIMIT, "log-entry-size", "an entry of the IMA log is larger than %zu bytes", max);
    *len = whole; /* what is cut off at the end of the file is still being written, or the next part's */
    return LH_SUCCESS;
}

lh_err lh_attester_log(lh_attester *attester, enum lh_log_kind kind, uint64_t offset, size_t max, lh_buf *ret)
{
    if ((kind != LH_LOG_EVENTS && kind != LH_LOG_IMA) || max == 0 || offset > INT64_MAX / 2)
        return LH_FAIL(LH_E_INVALID, "there is no such part of a log");
    int fd = kind == LH_LOG_IMA ? attester->options.ima_log_fd : attester->options.event_log_fd;
    if (fd < 0)
        return LH_SUCCESS;
    if (max > LH_ATTESTER_LOG_CHUNK_MAX)
        max = LH_ATTESTER_LOG_CHUNK_MAX;
    uint8_t *bytes = malloc(max);
    if (!bytes)
        return LH_RAISE(LH_E_NOMEM, 0);
    size_t len = 0;
    lh_err err = read_at(fd, offset, bytes, max, &len);
    if (lh_ok(err) && len == 0)
        err = reaches(fd, offset);
    if (lh_ok(err))
        err = cut(kind, bytes, max, &len);
    if (lh_ok(err) && len > 0) {
        lh_buf_append(ret, bytes, len);
        err = lh_buf_status(ret);
    }
    free(bytes);
    return err;
}
