/* The IMA log: any bytes are read; how it is cut into parts makes no difference to what it is judged to be.
 */
#include "../unit/verify/logs_fixture.h"
#include "verify/ima.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    lh_crypto *crypto;
    lh_digests *digests;
    fx_reference reference;
    uint8_t pcrs[24][32];
} fixed;

static fixed *get_fixed(void)
{
    static fixed made;
    if (made.crypto)
        return &made;
    fx_must(lh_crypto_new(&made.crypto));
    fx_must(lh_digests_new(&made.digests));
    fx_reference_make(made.crypto, made.digests, 50, 1, (const uint8_t(*)[32])made.pcrs, &made.reference);
    return &made;
}

/* What a kernel with this log would have in PCR 10. */
static void replay(fixed *f, lh_bytes log, uint8_t pcr[32])
{
    memset(pcr, 0, 32);
    for (;;) {
        lh_ima_entry entry;
        bool more = false;
        if (!lh_ok(lh_ima_log_next(&log, &entry, &more)) || !more)
            return;
        uint8_t digest[32];
        memset(digest, 0xff, sizeof(digest));
        if (!entry.violation)
            fx_sha256(f->crypto, entry.template_data.data, entry.template_data.len, digest);
        fx_extend(f->crypto, pcr, digest);
        if (strlen(entry.path) >= LH_IMA_PATH_MAX || entry.digest.len > LH_IMA_DIGEST_MAX)
            abort();
    }
}

static enum lh_code judge(fixed *f, lh_bytes log, size_t part, char reason[64])
{
    LH_AUTO(lh_ima_freep) lh_ima *ima = NULL;
    fx_must(lh_ima_new(f->crypto, f->digests, &ima));
    for (size_t at = 0; at < log.len; at += part)
        fx_must(lh_ima_take(ima, LH_BYTES(log.data + at, log.len - at < part ? log.len - at : part)));
    lh_err err = lh_ima_judge(ima, (const uint8_t(*)[32])f->pcrs, f->reference.reference, NULL, NULL);
    snprintf(reason, 64, "%s", lh_ok(err) ? "" : lh_err_last()->reason);
    return err.code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fixed *f = get_fixed();
    char one[64], other[64];
    lh_bytes log = LH_BYTES(data, size);
    replay(f, log, f->pcrs[10]);
    if (judge(f, log, size ? size : 1, one) != judge(f, log, 37, other) || strcmp(one, other) != 0)
        abort();
    return 0;
}
