/* A whole use of a key in the host's TPM beside what the TPM itself takes for the same commands: the time
 * between a command's going to the TCTI and its response's coming from there. On a swtpm of its own, which is
 * quicker than a chip: what is ours shows all the more. usage: custody [USES] */
#include "../unit/custody_fixture.h"

#include "tpm/core.h"

static custody c;
static TSS2_TCTI_TRANSMIT_FCN transmit;
static TSS2_TCTI_RECEIVE_FCN receive;
static double sent_at, in_tpm;
static unsigned commands;

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static TSS2_RC on_transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, uint8_t const *command)
{
    sent_at = now_us();
    commands++;
    return transmit(tcti, size, command);
}

/* SYS asks for the size first; the answer that fills response is the last. */
static TSS2_RC on_receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t timeout)
{
    TSS2_RC rc = receive(tcti, size, response, timeout);
    if (rc == TSS2_RC_SUCCESS && response)
        in_tpm += now_us() - sent_at;
    return rc;
}

static lh_err job_hook(lh_core *core, void *arg)
{
    (void)arg;
    transmit = TSS2_TCTI_TRANSMIT(core->tcti);
    receive = TSS2_TCTI_RECEIVE(core->tcti);
    TSS2_TCTI_TRANSMIT(core->tcti) = on_transmit;
    TSS2_TCTI_RECEIVE(core->tcti) = on_receive;
    return LH_SUCCESS;
}

static void run(const char *name, unsigned uses, lh_err (*use)(void))
{
    in_tpm = 0;
    commands = 0;
    const double begin = now_us();
    for (unsigned i = 0; i < uses; i++)
        assert_lh_ok(use());
    const double whole = now_us() - begin;
    printf("%-14s %6.0f us a use, of which %6.0f in the TPM (%u commands): %.2f times its own time\n", name,
        whole / uses, in_tpm / uses, commands / uses, whole / in_tpm);
}

static lh_err sign(void)
{
    return custody_sign(&c);
}

static lh_err hmac(void)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(64);
    return lh_lease_key_hmac(c.lease, LH_BYTES(custody_digest, 64), &out);
}

/* A quote between two uses takes the room, and gives it back. */
static lh_err sign_after_quote(void)
{
    static const uint8_t nonce[32];
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(4096);
    LH_TRY(lh_tpm_quote(c.tpm, CUSTODY_MASK, nonce, &out, &out));
    return custody_sign(&c);
}

/* The vault's part, with no TPM: what each lease costs it in half a minute, and each key that it gives. */
static void run_vault(unsigned uses)
{
    uint8_t signature[64];
    double begin = now_us();
    for (unsigned i = 0; i < uses; i++)
        assert_lh_ok(lh_custody_approve(c.crypto, c.approver, c.terms.lease, 3600, signature));
    printf("%-14s %6.0f us each\n", "approval", (now_us() - begin) / uses);
    const lh_custody_request request = {.approver = c.approver,
        .terms = &c.terms,
        .storage_public = lh_buf_bytes(&c.storage),
        .key = c.key,
        .signs = true};
    begin = now_us();
    for (unsigned i = 0; i < uses; i++)
        assert_lh_ok(lh_custody_pack(c.crypto, &request, &c.package));
    printf("%-14s %6.0f us each\n", "key given", (now_us() - begin) / uses);
}

int main(int argc, char **argv)
{
    const unsigned uses = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    custody_setup(&c);
    custody_ec(&c, 3600);
    assert_lh_ok(lh_tpm_run(c.tpm, job_hook, NULL));
    assert_lh_ok(custody_sign(&c));
    run("sign P-256", uses, sign);
    run("quote and sign", uses, sign_after_quote);
    custody_pack(&c, custody_key(&c, LH_KEY_HMAC_SHA256));
    custody_import(&c);
    custody_approve(&c, 3600);
    run("HMAC", uses, hmac);
    run_vault(uses);
    custody_teardown(&c);
    return 0;
}
