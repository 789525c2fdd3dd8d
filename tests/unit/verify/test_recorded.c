/* The logs and the quote that a real boot left (tests/vm/record.sh: OVMF, Debian's kernel with
 * ima_policy=tcb): what the readers and replays make of them is what the TPM had in its PCRs and signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs_fixture.h"

#include "base/limits.h"
#include "codec/tpms.h"
#include "crypto/sign.h"
#include "verify/boot.h"
#include "verify/ima.h"

#define LOGS SOURCE_DIR "/tests/vm/logs/"
#define PCRS 11 /* quoted: 0 to 10 */

static lh_buf load(const char *path)
{
    lh_buf out = LH_BUF_INIT(LH_LIMIT_EVENT_LOG);
    uint8_t chunk[4096];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        lh_buf_append(&out, chunk, n);
    fclose(file);
    fx_must(lh_buf_status(&out));
    return out;
}

/* "N HEX" lines. */
static void load_pcrs(uint8_t pcrs[24][32])
{
    LH_AUTO(lh_buf_free) lh_buf text = load(LOGS "pcrs.txt");
    const char *at = lh_buf_cstr(&text);
    for (unsigned i = 0; i < 24; i++) {
        char hex[65];
        unsigned pcr = 99;
        assert_int_equal(sscanf(at, "%u %64s", &pcr, hex), 2);
        assert_int_equal(pcr, i);
        fx_must(lh_unhex(hex, pcrs[i], 32));
        at = strchr(at, '\n') + 1;
    }
}

static int setup(void **state)
{
    lh_crypto *c = NULL;
    fx_must(lh_crypto_new(&c));
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    lh_crypto_free(*state);
    return 0;
}

/* SHA-256 over values one after the other is what was signed. */
static void quote_is_of_these_pcrs(void **state)
{
    lh_crypto *c = *state;
    LH_AUTO(lh_buf_free) lh_buf attest_bytes = load(LOGS "quote.bin");
    LH_AUTO(lh_buf_free) lh_buf signature_bytes = load(LOGS "quote.sig");
    LH_AUTO(lh_buf_free) lh_buf key_bytes = load(LOGS "ak.pub");
    lh_tpms_attest attest;
    lh_tpms_quote quote;
    lh_tpms_signature signature;
    lh_tpms_public ak;
    fx_must(lh_tpms_attest_parse(lh_buf_bytes(&attest_bytes), &attest));
    fx_must(lh_tpms_quote_parse(attest.attested, &quote));
    fx_must(lh_tpms_signature_parse(lh_buf_bytes(&signature_bytes), &signature));
    fx_must(lh_tpms_public_parse(lh_buf_bytes(&key_bytes), &ak));
    uint8_t pcrs[24][32], digest[32], point[LH_P256_POINT_SIZE], raw[LH_P256_SIGNATURE_SIZE];
    load_pcrs(pcrs);
    assert_int_equal(quote.selection.banks[0].mask, (1u << PCRS) - 1);
    fx_sha256(c, pcrs, sizeof(pcrs[0]) * PCRS, digest);
    assert_int_equal(quote.pcr_digest.len, 32);
    assert_memory_equal(quote.pcr_digest.data, digest, 32);
    fx_sha256(c, attest_bytes.data, attest_bytes.len, digest);
    fx_must(lh_p256_point(ak.x, ak.y, point));
    fx_must(lh_p256_signature(signature.r, signature.s, raw));
    fx_must(lh_p256_verify(c, point, LH_BYTES(digest, 32), raw));
}

static void event_log_comes_to_them(void **state)
{
    lh_crypto *c = *state;
    LH_AUTO(lh_buf_free) lh_buf log = load(LOGS "events.bin");
    uint8_t pcrs[24][32];
    load_pcrs(pcrs);
    lh_boot_replay replay;
    fx_must(lh_boot_replay_log(c, lh_buf_bytes(&log), NULL, NULL, &replay));
    assert_true(replay.events > 15);
    fx_must(lh_boot_compare(&replay, (const uint8_t(*)[32])pcrs, (1u << PCRS) - 1));
    for (unsigned i = 0; i < 10; i++)
        assert_memory_equal(replay.pcrs[i], pcrs[i], 32);
    /* One byte of any digest, data or type is one too many. */
    size_t refused = 0;
    for (size_t i = 0; i < log.len; i++) {
        log.data[i] ^= 1;
        lh_err err = lh_boot_replay_log(c, lh_buf_bytes(&log), NULL, NULL, &replay);
        if (lh_ok(err))
            err = lh_boot_compare(&replay, (const uint8_t(*)[32])pcrs, (1u << PCRS) - 1);
        refused += !lh_ok(err);
        log.data[i] ^= 1;
    }
    /* SHA-1 digests, and data that no digest covers, are all that is not. */
    assert_true(refused > log.len / 3);
}

static void ima_log_comes_to_them(void **state)
{
    lh_crypto *c = *state;
    LH_AUTO(lh_buf_free) lh_buf log = load(LOGS "ima.bin");
    uint8_t pcrs[24][32];
    load_pcrs(pcrs);
    /* The host's own files are its reference values. */
    LH_AUTO(lh_digests_unrefp) lh_digests *digests = NULL;
    LH_AUTO(lh_ima_freep) lh_ima *ima = NULL;
    fx_must(lh_digests_new(&digests));
    fx_must(lh_ima_new(c, digests, &ima));
    fx_must(lh_ima_take(ima, lh_buf_bytes(&log)));
    fx_reference reference;
    fx_reference_make(c, digests, 1, 1, (const uint8_t(*)[32])pcrs, &reference);
    lh_err err = lh_ima_judge(ima, (const uint8_t(*)[32])pcrs, reference.reference, NULL, NULL);
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_string_equal(
        lh_err_last()->reason, "ima-unknown"); /* replayed, aggregate right, and files of its own */
    fx_reference_free(&reference);
    pcrs[9][0] ^= 1;
    fx_reference_make(c, digests, 1, 1, (const uint8_t(*)[32])pcrs, &reference);
    err = lh_ima_judge(ima, (const uint8_t(*)[32])pcrs, reference.reference, NULL, NULL);
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, "ima-aggregate");
    fx_reference_free(&reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quote_is_of_these_pcrs),
        cmocka_unit_test(event_log_comes_to_them),
        cmocka_unit_test(ima_log_comes_to_them),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
