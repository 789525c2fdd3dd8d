/* What a host's firmware and kernel did, done to a TPM: its PCRs (SHA-256) are extended event by event, as
 * logs say.
 *
 * usage: replay TCTI events FILE            the boot log: every event
 *        replay TCTI ima FILE [FROM]        the IMA log: every entry from byte FROM on
 *        replay TCTI measure FILE PATH TEXT the kernel measures a file of that path and content: an entry is
 *                                           appended to the IMA log FILE, and PCR 10 extended */
#include "codec/bin.h"
#include "codec/event_log.h"
#include "codec/ima_log.h"
#include "crypto/hash.h"
#include "tpm/tpm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MAX (64u << 20)
#define IMA_PCR 10u

typedef struct {
    lh_crypto *crypto;
    lh_tpm *tpm;
    const char *path;
    lh_buf log;
} replaying;

static lh_err read_log(replaying *r)
{
    uint8_t block[65536];
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && (n = read(fd, block, sizeof(block))) > 0)
        lh_buf_append(&r->log, block, (size_t)n);
    if (fd >= 0)
        close(fd);
    return n < 0 ? LH_FAIL(LH_E_IO, "cannot read %s", r->path) : lh_buf_status(&r->log);
}

static lh_err replay_events(replaying *r)
{
    lh_event_log log;
    lh_event event;
    bool more = true;
    LH_TRY(read_log(r));
    LH_TRY(lh_event_log_begin(lh_buf_bytes(&r->log), &log));
    for (;;) {
        LH_TRY(lh_event_log_next(&log, &event, &more));
        if (!more)
            return LH_SUCCESS;
        if (event.type != LH_EV_NO_ACTION)
            LH_TRY(lh_tpm_pcr_extend(r->tpm, event.pcr, event.sha256));
    }
}

static lh_err replay_ima(replaying *r, size_t from)
{
    LH_TRY(read_log(r));
    if (from > r->log.len)
        return LH_FAIL(LH_E_INVALID, "%s is shorter than %zu bytes", r->path, from);
    lh_bytes rest = LH_BYTES(r->log.data + from, r->log.len - from);
    for (;;) {
        lh_ima_entry entry;
        uint8_t digest[32];
        bool more = false;
        LH_TRY(lh_ima_log_next(&rest, &entry, &more));
        if (!more)
            return LH_SUCCESS;
        memset(digest, 0xff, sizeof(digest));
        if (!entry.violation)
            LH_TRY(lh_sha256(r->crypto, &entry.template_data, 1, digest));
        LH_TRY(lh_tpm_pcr_extend(r->tpm, IMA_PCR, digest));
    }
}

static void put_le32(lh_buf *out, uint32_t value)
{
    lh_put_u32(out, __builtin_bswap32(value));
}

static lh_err measure(replaying *r, const char *path, const char *text)
{
    static const char head[] = "sha256:", template_name[] = "ima-ng";
    uint8_t digest[32];
    uint8_t sha1[LH_IMA_TEMPLATE_SHA1];
    memset(sha1, 1, sizeof(sha1)); /* of a bank that nobody here looks at */
    const lh_bytes content = LH_BYTES_STR(text);
    LH_TRY(lh_sha256(r->crypto, &content, 1, digest));
    LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(65536);
    put_le32(&entry, IMA_PCR);
    lh_put_raw(&entry, sha1, sizeof(sha1));
    put_le32(&entry, (uint32_t)strlen(template_name));
    lh_buf_append_str(&entry, template_name);
    put_le32(&entry, (uint32_t)(4 + sizeof(head) + sizeof(digest) + 4 + strlen(path) + 1));
    put_le32(&entry, (uint32_t)(sizeof(head) + sizeof(digest)));
    lh_put_raw(&entry, head, sizeof(head));
    lh_put_raw(&entry, digest, sizeof(digest));
    put_le32(&entry, (uint32_t)strlen(path) + 1);
    lh_put_raw(&entry, path, strlen(path) + 1);
    LH_TRY(lh_buf_status(&entry));
    LH_TRY(read_log(r));
    size_t from = r->log.len;
    int fd = open(r->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, entry.data, entry.len) == (ssize_t)entry.len;
    if (fd >= 0)
        close(fd);
    if (!written)
        return LH_FAIL(LH_E_IO, "cannot write %s", r->path);
    lh_buf_clear(&r->log);
    return replay_ima(r, from);
}

static lh_err run(replaying *r, int argc, char **argv)
{
    r->path = argv[3];
    LH_TRY(lh_crypto_new(&r->crypto));
    LH_TRY(lh_tpm_open(argv[1], &r->tpm));
    if (strcmp(argv[2], "events") == 0 && argc == 4)
        return replay_events(r);
    if (strcmp(argv[2], "ima") == 0 && argc <= 5)
        return replay_ima(r, argc == 5 ? strtoul(argv[4], NULL, 10) : 0);
    if (strcmp(argv[2], "measure") == 0 && argc == 6)
        return measure(r, argv[4], argv[5]);
    return LH_FAIL(LH_E_INVALID, "the usage is at the head of replay.c");
}

int main(int argc, char **argv)
{
    replaying r = {.log = LH_BUF_INIT(LOG_MAX)};
    if (argc < 4)
        return 2;
    setenv("TSS2_LOG", "all+none", 0);
    lh_err err = run(&r, argc, argv);
    if (!lh_ok(err))
        fprintf(stderr, "replay: %s: %s\n", lh_code_name(err.code), lh_err_last()->message);
    lh_tpm_close(r.tpm);
    lh_crypto_free(r.crypto);
    lh_buf_free(&r.log);
    return lh_ok(err) ? 0 : 1;
}
