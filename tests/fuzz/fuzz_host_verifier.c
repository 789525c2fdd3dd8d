/* A host's life as bytes: parts of logs, quotes of a TPM that follows them or does not, boots. Whatever
 * comes, the verifier's account of itself stays sound. Input: steps of u8 what ‖ u16 length ‖ bytes. */
#include "../unit/verify/logs_fixture.h"
#include "verify/host_verifier.h"
#include "verify/ima.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    lh_crypto *crypto;
    lh_digests *digests;
    fx_reference reference;
    fx_tpm tpm;
    fx_boot boot;
} fixed;

static fixed made;

/* What points to the key's parts lies in a heap of its own, where a leak checker does not look. */
static void release(void)
{
    fx_tpm_free(&made.tpm);
    fx_reference_free(&made.reference);
    lh_digests_unref(made.digests);
    lh_crypto_free(made.crypto);
}

static fixed *get_fixed(void)
{
    if (made.crypto)
        return &made;
    fx_must(lh_crypto_new(&made.crypto));
    fx_must(lh_digests_new(&made.digests));
    fx_tpm_new(made.crypto, 0x31, &made.tpm);
    fx_boot_typical(&made.boot, made.crypto, 3);
    fx_boot_pcrs(&made.boot, 0, made.tpm.pcrs);
    fx_reference_make(
        made.crypto, made.digests, 50, 0x3ff, (const uint8_t(*)[32])made.tpm.pcrs, &made.reference);
    if (atexit(release) != 0)
        abort();
    return &made;
}

typedef struct {
    fixed *f;
    lh_host_verifier *v;
    fx_tpm tpm; /* borrows key and public area */
    lh_evidence evidence;
    uint64_t nonce;
} life;

/* The kernel measures these entries, and the agent sends them. */
static void measure(life *l, lh_bytes part)
{
    lh_bytes rest = part;
    uint64_t offset = lh_host_verifier_ima_offset(l->v);
    for (bool more = true; more;) {
        lh_ima_entry entry;
        if (!lh_ok(lh_ima_log_next(&rest, &entry, &more)) || !more)
            break;
        uint8_t digest[32];
        memset(digest, 0xff, sizeof(digest));
        if (!entry.violation)
            fx_sha256(l->f->crypto, entry.template_data.data, entry.template_data.len, digest);
        fx_extend(l->f->crypto, l->tpm.pcrs[10], digest);
    }
    if (!lh_ok(lh_host_verifier_log(l->v, LH_LOG_IMA, offset, part)))
        abort();
    if (lh_host_verifier_ima_offset(l->v) != offset + part.len)
        abort();
}

static void appraise(life *l, lh_bytes change)
{
    if (change.len > 0)
        l->tpm.reset_count += change.data[0];
    if (change.len > 1)
        l->tpm.restart_count += change.data[1];
    if (change.len > 2)
        l->tpm.clock += change.data[2];
    fx_quote(&l->tpm, ++l->nonce, &l->evidence);
    lh_evidence_expectation want = fx_expect(&l->tpm, &l->evidence);
    lh_evidence_result result;
    lh_err err = lh_host_verifier_appraise(l->v, &l->evidence, &want, l->f->reference.reference, &result);
    lh_host_verifier_stats stats;
    lh_host_verifier_get_stats(l->v, &stats);
    if (stats.ima_bytes + stats.ima_pending != lh_host_verifier_ima_offset(l->v) ||
        stats.ima_files > stats.ima_entries)
        abort();
    if (lh_ok(err) && (stats.ima_entries == 0 || lh_host_verifier_needs_event_log(l->v)))
        abort();
    lh_drift_entry drift[LH_DRIFT_MAX];
    size_t n = lh_host_verifier_drift(l->v, drift, LH_DRIFT_MAX);
    for (size_t i = 0; i < n; i++)
        for (const char *p = drift[i].text; *p; p++)
            if (*p < 0x20 || *p > 0x7e)
                abort();
}

static void step(life *l, uint8_t what, lh_bytes bytes)
{
    switch (what % 5) {
    case 0: /* may be refused, as anything an agent sends */
        LH_IGNORE(lh_host_verifier_log(l->v, LH_LOG_EVENTS, what & 0x80 ? 1 : 0, bytes));
        break;
    case 1: measure(l, bytes); break;
    case 2: LH_IGNORE(lh_host_verifier_log(l->v, LH_LOG_IMA, what & 0x80 ? 7 : 0, bytes)); break;
    case 3: appraise(l, bytes); break;
    default: {
        LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT(65536);
        fx_boot_write(&l->f->boot, &log);
        LH_IGNORE(lh_host_verifier_log(l->v, LH_LOG_EVENTS, 0, lh_buf_bytes(&log)));
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    life l = {.f = get_fixed()};
    l.tpm = l.f->tpm;
    memset(l.tpm.pcrs[10], 0, 32);
    fx_must(lh_host_verifier_new(l.f->crypto, l.f->digests, &l.v));
    lh_evidence_init(&l.evidence);
    lh_reader r = lh_reader_new(LH_BYTES(data, size));
    for (unsigned i = 0; i < 64 && r.left > 0; i++) {
        uint8_t what = lh_read_u8(&r);
        size_t len = lh_read_u16(&r);
        lh_bytes bytes = lh_read_raw(&r, len < r.left ? len : r.left);
        if (r.bad)
            break;
        step(&l, what, bytes);
    }
    lh_evidence_deinit(&l.evidence);
    lh_host_verifier_free(l.v);
    return 0;
}
