/* Full appraisals of a host's evidence per second: a quote, an event log of about 120 events, an IMA log of
 * 10,000 lines; the first time, and renewed with 10 new lines. One thread.
 *
 *   evidence SECONDS        measure; each kind takes so long
 *   evidence --write DIR    leave quote, key and logs in DIR for others to verify: quote.msg, quote.sig,
 * ak.pub (TPM2B_PUBLIC), qualifying (hexadecimal), events.bin, ima.bin, pcrs (lines "sha256: N …") */
#include "../unit/verify/logs_fixture.h"

#include "base/limits.h"
#include "verify/host_verifier.h"

#include <time.h>

#define LINES 10000u
#define NEW_LINES 10u
#define FILES 20000u /* that the reference values know */

typedef struct {
    lh_crypto *c;
    lh_digests *digests;
    fx_reference reference;
    fx_tpm tpm;
    fx_boot boot;
    lh_buf events, ima;
    lh_evidence evidence;
} host;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void host_new(host *h)
{
    fx_must(lh_crypto_new(&h->c));
    fx_must(lh_digests_new(&h->digests));
    fx_tpm_new(h->c, 0x41, &h->tpm);
    lh_evidence_init(&h->evidence);
    h->events = h->ima = LH_BUF_INIT(LH_LIMIT_IMA_PENDING);
    fx_boot_typical(&h->boot, h->c, 60);
    fx_boot_write(&h->boot, &h->events);
    fx_boot_pcrs(&h->boot, 0, h->tpm.pcrs);
    fx_reference_make(h->c, h->digests, FILES, 0x3ff, (const uint8_t(*)[32])h->tpm.pcrs, &h->reference);
    fx_ima_begin(h->c, &h->ima, (const uint8_t(*)[32])h->tpm.pcrs, h->tpm.pcrs[10]);
    for (size_t i = 0; i < LINES; i++)
        fx_ima_file(h->c, &h->ima, h->tpm.pcrs[10], i);
}

static void host_free(host *h)
{
    lh_evidence_deinit(&h->evidence);
    fx_reference_free(&h->reference);
    fx_tpm_free(&h->tpm);
    lh_buf_free(&h->events);
    lh_buf_free(&h->ima);
    lh_digests_unref(h->digests);
    lh_crypto_free(h->c);
}

static void appraise(host *h, lh_host_verifier *v)
{
    lh_evidence_expectation want = fx_expect(&h->tpm, &h->evidence);
    lh_evidence_result result;
    fx_must(lh_host_verifier_appraise(v, &h->evidence, &want, h->reference.reference, &result));
}

static lh_host_verifier *first(host *h)
{
    lh_host_verifier *v = NULL;
    fx_must(lh_host_verifier_new(h->c, h->digests, &v));
    fx_must(lh_host_verifier_log(v, LH_LOG_EVENTS, 0, lh_buf_bytes(&h->events)));
    fx_must(lh_host_verifier_log(v, LH_LOG_IMA, 0, lh_buf_bytes(&h->ima)));
    appraise(h, v);
    return v;
}

static void report(const char *what, unsigned count, double seconds)
{
    printf("%-28s %9.1f /s  (%.3f ms each, %u)\n", what, count / seconds, seconds * 1e3 / count, count);
}

static void measure(host *h, double seconds)
{
    uint64_t nonce = 1;
    fx_quote(&h->tpm, nonce, &h->evidence);
    double begin = now();
    unsigned count = 0;
    for (; now() - begin < seconds; count++)
        lh_host_verifier_free(first(h));
    report("quote and both logs, first", count, now() - begin);

    lh_host_verifier *v = first(h);
    double spent = 0;
    size_t line = LINES;
    for (count = 0; spent < seconds && line < LH_LIMIT_IMA_ENTRIES - NEW_LINES; count++) {
        lh_buf_clear(&h->ima);
        for (unsigned i = 0; i < NEW_LINES; i++)
            fx_ima_file(h->c, &h->ima, h->tpm.pcrs[10], line++ % FILES);
        fx_quote(&h->tpm, ++nonce, &h->evidence);
        begin = now();
        fx_must(lh_host_verifier_log(v, LH_LOG_IMA, lh_host_verifier_ima_offset(v), lh_buf_bytes(&h->ima)));
        appraise(h, v);
        spent += now() - begin;
    }
    report("quote and 10 new lines", count, spent);
    lh_host_verifier_free(v);
}

static void save(const char *folder, const char *name, const void *data, size_t len)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void leave(host *h, const char *folder)
{
    char hex[65];
    uint8_t qualifying[32];
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf pcrs = LH_BUF_INIT(8192);
    fx_quote(&h->tpm, 1, &h->evidence);
    fx_must(lh_evidence_qualifying_one(h->c, &h->evidence.leaf, qualifying));
    lh_hex(qualifying, 32, hex);
    lh_put_u16(&ak, (uint16_t)h->tpm.public_area.len);
    lh_put_raw(&ak, h->tpm.public_area.data, h->tpm.public_area.len);
    save(folder, "ak.pub", ak.data, ak.len);
    save(folder, "qualifying", hex, 64);
    save(folder, "quote.msg", h->evidence.attest.data, h->evidence.attest.len);
    save(folder, "quote.sig", h->evidence.signature.data, h->evidence.signature.len);
    save(folder, "events.bin", h->events.data, h->events.len);
    save(folder, "ima.bin", h->ima.data, h->ima.len);
    for (unsigned i = 0; i < 24; i++) {
        lh_hex(h->tpm.pcrs[i], 32, hex);
        lh_buf_printf(&pcrs, "PCR-%02u: %s\n", i, hex);
    }
    save(folder, "pcrs", pcrs.data, pcrs.len);
}

int main(int argc, char **argv)
{
    static host h;
    host_new(&h);
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        leave(&h, argv[2]);
    } else {
        printf("%zu events, %u IMA lines\n", h.boot.n, LINES);
        measure(&h, argc > 1 ? atof(argv[1]) : 3);
    }
    host_free(&h);
    return 0;
}
