/* The IMA log: replay, boot aggregate, files.
 *
 * Invariants:
 *   1. pcr is what the confirmed entries come to, and a quote has had that value.
 *   2. waiting begins at the confirmed entries' end.
 *   3. known holds only digests that the reference values knew, so that no host fills the shared table. */
#include "verify/ima.h"

#include "base/limits.h"
#include "codec/problem.h"
#include "crypto/hash.h"

#define REFUSE(reason, ...) LH_REFUSE(LH_E_ATTESTATION, (reason), __VA_ARGS__)
#define PATH_TEXT 256 /* bytes of a path in a message */
#define PCR_IMA 10

struct lh_ima {
    lh_crypto *c;
    lh_digests *shared;
    uint8_t pcr[32];
    uint64_t entries, bytes;
    lh_buf waiting;
    lh_digest_set *known;
};

lh_err lh_ima_new(lh_crypto *c, lh_digests *shared, lh_ima **ret)
{
    LH_AUTO(lh_ima_freep) lh_ima *ima = calloc(1, sizeof(*ima));
    if (!ima)
        return LH_RAISE(LH_E_NOMEM, 0);
    ima->c = c;
    ima->shared = shared;
    ima->waiting = LH_BUF_INIT(LH_LIMIT_IMA_PENDING);
    LH_TRY(lh_digest_set_new(&ima->known));
    *ret = LH_TAKE(ima);
    return LH_SUCCESS;
}

void lh_ima_free(lh_ima *ima)
{
    if (!ima)
        return;
    lh_buf_free(&ima->waiting);
    lh_digest_set_free(ima->known);
    free(ima);
}

static void drop_waiting(lh_ima *ima)
{
    lh_buf_free(&ima->waiting);
    ima->waiting = LH_BUF_INIT(LH_LIMIT_IMA_PENDING);
}

void lh_ima_reset(lh_ima *ima)
{
    drop_waiting(ima);
    lh_digest_set_clear(ima->known);
    memset(ima->pcr, 0, sizeof(ima->pcr));
    ima->entries = ima->bytes = 0;
}

lh_err lh_ima_take(lh_ima *ima, lh_bytes chunk)
{
    if (chunk.len > LH_LIMIT_IMA_PENDING - ima->waiting.len)
        return LH_REFUSE(LH_E_LIMIT, "log-size",
            "more than %d bytes of the IMA log came since the last quote that they lead to",
            LH_LIMIT_IMA_PENDING);
    size_t before = ima->waiting.len;
    lh_buf_append(&ima->waiting, chunk.data, chunk.len);
    if (ima->waiting.status != LH_OK) { /* keep what there was */
        ima->waiting.len = before;
        ima->waiting.status = LH_OK;
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}

uint64_t lh_ima_offset(const lh_ima *ima)
{
    return ima->bytes + ima->waiting.len;
}

/* A reader's refusal, told as one of the evidence; its reason is kept. */
static lh_err refuse_read(lh_err err)
{
    if (err.code != LH_E_CORRUPT)
        return err;
    const lh_err_detail last = *lh_err_last();
    return REFUSE(last.reason, "%s", last.message);
}

static lh_err extend(lh_sha256_ctx *hash, uint8_t pcr[32], const lh_ima_entry *entry)
{
    uint8_t digest[32];
    if (entry->violation)
        memset(digest, 0xff, sizeof(digest));
    else
        LH_TRY(lh_sha256_again(hash, &entry->template_data, 1, digest));
    const lh_bytes parts[] = {LH_BYTES(pcr, 32), LH_BYTES(digest, 32)};
    return lh_sha256_again(hash, parts, 2, pcr);
}

/* How much of what waits leads to the quoted value. */
static lh_err find_quoted(lh_ima *ima, const uint8_t quoted[32], size_t *ret_bytes, uint64_t *ret_entries)
{
    uint8_t pcr[32];
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *hash = NULL;
    LH_TRY(lh_sha256_ctx_new(ima->c, &hash));
    memcpy(pcr, ima->pcr, sizeof(pcr));
    lh_bytes rest = lh_buf_bytes(&ima->waiting);
    uint64_t entries = 0;
    while (memcmp(pcr, quoted, sizeof(pcr)) != 0) {
        lh_ima_entry entry;
        bool more = false;
        lh_err err = lh_ima_log_next(&rest, &entry, &more);
        if (!lh_ok(err))
            return refuse_read(err);
        if (!more)
            return REFUSE("ima-behind",
                "the IMA log does not come to the quoted PCR 10 within its %llu entries: it ends before, or "
                "was altered",
                (unsigned long long)(ima->entries + entries));
        if (ima->entries + ++entries > LH_LIMIT_IMA_ENTRIES)
            return LH_REFUSE(LH_E_LIMIT, "ima-entries",
                "the IMA log has more than %d entries; restart the host", LH_LIMIT_IMA_ENTRIES);
        LH_TRY(extend(hash, pcr, &entry));
    }
    *ret_bytes = ima->waiting.len - rest.len;
    *ret_entries = entries;
    return LH_SUCCESS;
}

/* SHA-256 over PCRs 0 to n - 1. */
static lh_err aggregate(lh_crypto *c, const uint8_t quoted[24][32], unsigned n, uint8_t ret[32])
{
    const lh_bytes pcrs = LH_BYTES(quoted, (size_t)n * 32);
    return lh_sha256(c, &pcrs, 1, ret);
}

/* Linux 5.9 and later take PCRs 0 to 9 for hashes other than SHA-1, 5.8 takes 0 to 7. */
static lh_err check_aggregate(lh_crypto *c, const lh_ima_entry *entry, const uint8_t quoted[24][32])
{
    if (entry->violation || strcmp(entry->path, "boot_aggregate") != 0)
        return REFUSE("ima-aggregate", "the IMA log does not begin with a boot aggregate");
    if (!lh_bytes_equal(entry->algorithm, LH_BYTES_STR("sha256")) || entry->digest.len != 32)
        return REFUSE("ima-aggregate",
            "the boot aggregate is not of SHA-256 digests: Linux 5.8 or later and a SHA-256 bank are needed");
    static const unsigned counts[] = {10, 8};
    for (size_t i = 0; i < LH_ARRAY_LEN(counts); i++) {
        uint8_t want[32];
        LH_TRY(aggregate(c, quoted, counts[i], want));
        if (memcmp(want, entry->digest.data, sizeof(want)) == 0)
            return LH_SUCCESS;
    }
    return REFUSE("ima-aggregate", "the boot aggregate of the IMA log is not that of the quoted PCRs 0 to 9");
}

/* A judgement under way: the first failure decides, all are reported. */
typedef struct {
    const lh_reference *reference;
    lh_ima_finding_fn finding;
    void *arg;
    const char *reason; /* NULL: none yet */
    char path[PATH_TEXT];
    size_t count;
} judgement;

static bool has_sha256(const lh_ima_entry *entry)
{
    return lh_bytes_equal(entry->algorithm, LH_BYTES_STR("sha256")) && entry->digest.len == 32;
}

static void judge_file(judgement *j, const lh_ima_entry *entry)
{
    static const uint8_t none[32];
    bool counts = has_sha256(entry) && !entry->violation;
    const uint8_t *digest = counts ? entry->digest.data : none;
    enum lh_file_verdict verdict = lh_reference_file(j->reference, digest, entry->path);
    if (verdict == LH_FILE_EXCLUDED || (verdict == LH_FILE_KNOWN && counts))
        return;
    lh_ima_finding finding = {.violation = entry->violation, .path = entry->path};
    memcpy(finding.digest, digest, sizeof(finding.digest));
    if (j->finding)
        j->finding(j->arg, &finding);
    if (j->count++ > 0)
        return;
    j->reason = entry->violation ? "ima-violation" : counts ? "ima-unknown" : "ima-digest";
    lh_problem_escape(j->path, sizeof(j->path), entry->path);
}

static lh_err judge_all(lh_ima *ima, lh_bytes span, const uint8_t quoted[24][32], judgement *j)
{
    for (bool first = ima->entries == 0; span.len > 0; first = false) {
        lh_ima_entry entry;
        bool more = false;
        LH_TRY(lh_ima_log_next(&span, &entry, &more));
        if (first)
            LH_TRY(check_aggregate(ima->c, &entry, quoted));
        else
            judge_file(j, &entry);
    }
    if (!j->reason)
        return LH_SUCCESS;
    const char *what = strcmp(j->reason, "ima-violation") == 0 ? "was written to while it was read"
                       : strcmp(j->reason, "ima-digest") == 0  ? "was measured with another hash than SHA-256"
                                                               : "is not in the reference values";
    return REFUSE(j->reason, "%s %s (the first of %zu such entries of the IMA log)", j->path, what, j->count);
}

/* Keep what a quote has confirmed and the reference values know. */
static lh_err confirm(lh_ima *ima, lh_bytes span, const lh_reference *reference)
{
    for (bool first = ima->entries == 0; span.len > 0; first = false) {
        lh_ima_entry entry;
        bool more = false;
        LH_TRY(lh_ima_log_next(&span, &entry, &more));
        if (first || entry.violation || !has_sha256(&entry) ||
            lh_reference_file(reference, entry.digest.data, "") != LH_FILE_KNOWN)
            continue;
        uint32_t id;
        LH_TRY(lh_digests_intern(ima->shared, entry.digest.data, &id));
        LH_TRY(lh_digest_set_add(ima->known, id));
    }
    return LH_SUCCESS;
}

static void advance(lh_ima *ima, size_t bytes, uint64_t entries, const uint8_t pcr[32])
{
    size_t left = ima->waiting.len - bytes;
    if (left == 0)
        drop_waiting(ima);
    else
        memmove(ima->waiting.data, ima->waiting.data + bytes, left);
    ima->waiting.len = left;
    ima->bytes += bytes;
    ima->entries += entries;
    memcpy(ima->pcr, pcr, sizeof(ima->pcr));
}

static lh_err judge(lh_ima *ima, const uint8_t quoted[24][32], judgement *j, bool *ret_keep)
{
    size_t bytes = 0;
    uint64_t entries = 0;
    if (ima->entries == 0 && ima->waiting.len == 0)
        return REFUSE(
            "ima-none", "no IMA log came; boot the host with ima_policy=tcb and ima_template=ima-ng");
    LH_TRY(find_quoted(ima, quoted[PCR_IMA], &bytes, &entries));
    if (ima->entries + entries == 0)
        return REFUSE("ima-none", "PCR 10 has not been extended: the host's kernel measures nothing");
    lh_bytes span = LH_BYTES(ima->waiting.data, bytes);
    lh_err err = judge_all(ima, span, quoted, j);
    *ret_keep = lh_ok(err) || j->reason;
    LH_TRY(err);
    LH_TRY(confirm(ima, span, j->reference));
    if (bytes > 0)
        advance(ima, bytes, entries, quoted[PCR_IMA]);
    return LH_SUCCESS;
}

lh_err lh_ima_judge(lh_ima *ima, const uint8_t quoted[24][32], const lh_reference *reference,
    lh_ima_finding_fn finding, void *arg)
{
    judgement j = {.reference = reference, .finding = finding, .arg = arg};
    bool keep = false;
    lh_err err = judge(ima, quoted, &j, &keep);
    if (err.code == LH_E_ATTESTATION && !keep)
        drop_waiting(ima);
    return err;
}

void lh_ima_get_stats(const lh_ima *ima, lh_ima_stats *ret)
{
    *ret = (lh_ima_stats){.entries = ima->entries,
        .bytes = ima->bytes,
        .files = lh_digest_set_count(ima->known),
        .pending = ima->waiting.len,
        .memory = sizeof(*ima) + ima->waiting.cap + lh_digest_set_memory(ima->known)};
}

bool lh_ima_has_file(const lh_ima *ima, const uint8_t digest[32])
{
    uint32_t id;
    return lh_digests_find(ima->shared, digest, &id) && lh_digest_set_has(ima->known, id);
}
