/* Evidence that must be refused, each kind for its own reason; made with a software key that signs whatever
 * it is told, as a stolen or an emulated TPM would. The numbers are those of docs/attestation.md's list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs_fixture.h"

#define MASK 0x91u

typedef struct {
    lh_crypto *c;
    fx_tpm tpm;
    lh_evidence e;
    lh_evidence_expectation want;
} fixture;

static void quote(fixture *f)
{
    fx_quote(&f->tpm, 1, &f->e);
    f->want = fx_expect(&f->tpm, &f->e);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fx_must(lh_crypto_new(&f->c));
    fx_tpm_new(f->c, 0x21, &f->tpm);
    f->tpm.mask = MASK;
    for (uint8_t i = 0; i < 24; i++)
        memset(f->tpm.pcrs[i], i, 32);
    lh_evidence_init(&f->e);
    quote(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_evidence_deinit(&f->e);
    fx_tpm_free(&f->tpm);
    lh_crypto_free(f->c);
    free(f);
    return 0;
}

static lh_err verify(fixture *f)
{
    lh_evidence_result result;
    return lh_evidence_verify(f->c, &f->e, &f->want, &result);
}

static void expect(lh_err err, const char *reason, int line)
{
    if (err.code != LH_E_ATTESTATION || strcmp(lh_err_last()->reason, reason) != 0)
        print_error("line %d: %s, %s: %s\n", line, lh_code_name(err.code), lh_err_last()->reason,
            lh_err_last()->message);
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, reason);
}
#define assert_refused(f, reason) expect(verify(f), (reason), __LINE__)

/* A quote over that selection, with the PCR digest of mask, truly signed. */
static void quote_selection(fixture *f, lh_bytes selection, uint32_t mask)
{
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
    uint8_t qualifying[32], digest[32];
    fx_must(lh_evidence_qualifying_one(f->c, &f->e.leaf, qualifying));
    fx_pcr_digest(&f->tpm, mask, digest);
    fx_attest(&f->tpm, LH_BYTES(qualifying, 32), selection, digest, &attest);
    fx_sign(&f->tpm, lh_buf_bytes(&attest), &f->e);
}

static void accepted(void **state)
{
    fixture *f = *state;
    fx_must(verify(f));
}

/* The quote covers PCR 16, which anybody resets; the evidence says it was PCR 7. */
static void n01_selection_relabelled(void **state)
{
    fixture *f = *state;
    LH_AUTO(lh_buf_free) lh_buf selection = LH_BUF_INIT(64);
    memcpy(f->tpm.pcrs[16], f->tpm.pcrs[7], 32);
    fx_selection(0x10011, &selection);
    quote_selection(f, lh_buf_bytes(&selection), MASK);
    assert_refused(f, "evidence-selection");
    f->e.pcr_mask = 0x10011; /* and it says so: still not what was asked */
    memcpy(f->e.pcrs[16], f->tpm.pcrs[16], 32);
    assert_refused(f, "evidence-selection");
}

static void n01_values_of_other_pcrs_sent(void **state)
{
    fixture *f = *state;
    f->e.pcr_mask = 0x11;
    assert_refused(f, "evidence-selection");
    f->e.pcr_mask = MASK | 0x100;
    assert_refused(f, "evidence-selection");
}

static void n02_ak_attributes(void **state)
{
    fixture *f = *state;
    static const uint32_t need[] = {LH_TPMS_ATTR_FIXED_TPM, LH_TPMS_ATTR_FIXED_PARENT,
        LH_TPMS_ATTR_SENSITIVE_ORIGIN, LH_TPMS_ATTR_RESTRICTED, LH_TPMS_ATTR_SIGN, LH_TPMS_ATTR_DECRYPT};
    for (size_t i = 0; i < LH_ARRAY_LEN(need); i++) {
        uint32_t bits = __builtin_bswap32(need[i]), have;
        memcpy(&have, f->tpm.public_area.data + 4, 4);
        have ^= bits;
        memcpy(f->tpm.public_area.data + 4, &have, 4);
        quote(f);
        assert_refused(f, "evidence-ak-attributes");
        have ^= bits;
        memcpy(f->tpm.public_area.data + 4, &have, 4);
    }
}

/* A genuine key of the owner hierarchy: its counts are obfuscated there. */
static void n02_ak_outside_the_endorsement_hierarchy(void **state)
{
    fixture *f = *state;
    f->e.attest.data[8 + 2] ^= 1; /* the qualified Name */
    fx_sign(&f->tpm, lh_buf_bytes(&f->e.attest), &f->e);
    assert_refused(f, "evidence-hierarchy");
    f->e.attest.data[8 + 2] ^= 1;
    f->e.attest.data[9] = 0x0c; /* its hash */
    fx_sign(&f->tpm, lh_buf_bytes(&f->e.attest), &f->e);
    assert_refused(f, "evidence-hierarchy");
}

static void n03_wrong_magic(void **state)
{
    fixture *f = *state;
    f->tpm.magic = 0xff544346;
    quote(f);
    assert_refused(f, "evidence-magic");
}

/* NV, SessionAudit, CommandAudit, Time, Creation, Certify. */
static void n03_another_attestation_as_a_quote(void **state)
{
    fixture *f = *state;
    static const uint16_t types[] = {0x8014, 0x8015, 0x8016, 0x8017, 0x8019, 0x801a, 0};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        f->tpm.type = types[i];
        quote(f);
        assert_refused(f, "evidence-type");
    }
}

static void n04_nonce_constant_or_reused(void **state)
{
    fixture *f = *state;
    memset(f->want.leaf.nonce, 7, 32); /* the evidence of nonce 1 again */
    assert_refused(f, "evidence-nonce");
    f->e.leaf = f->want.leaf; /* and now it says that it answers this one */
    assert_refused(f, "evidence-qualifying");
}

static void n04_nonce_expired_or_of_the_future(void **state)
{
    fixture *f = *state;
    f->want.max_age_ms = 1000;
    f->want.nonce_issued_ms = 5000;
    f->want.now_ms = 6001;
    assert_refused(f, "evidence-age");
    f->want.now_ms = 4999;
    assert_refused(f, "evidence-age");
    f->want.now_ms = 6000;
    fx_must(verify(f));
}

/* The nonce itself as qualifying data, cut, as text; the leaf's hash or the root instead of the labelled
 * hash. */
static void n04_nonce_truncated_or_in_another_encoding(void **state)
{
    fixture *f = *state;
    char hex[65];
    uint8_t leaf[32], qualifying[32];
    lh_hex(f->e.leaf.nonce, 32, hex);
    fx_must(lh_evidence_leaf_hash(f->c, &f->e.leaf, leaf));
    fx_must(lh_evidence_qualifying_one(f->c, &f->e.leaf, qualifying));
    const lh_bytes extras[] = {LH_BYTES(f->e.leaf.nonce, 32), LH_BYTES(hex, 64), LH_BYTES(leaf, 32),
        LH_BYTES(qualifying, 31), LH_BYTES(qualifying, 16), LH_BYTES_NONE};
    for (size_t i = 0; i < LH_ARRAY_LEN(extras); i++) {
        LH_AUTO(lh_buf_free) lh_buf selection = LH_BUF_INIT(64);
        LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(LH_EVIDENCE_PART_MAX);
        uint8_t digest[32];
        fx_selection(MASK, &selection);
        fx_pcr_digest(&f->tpm, MASK, digest);
        fx_attest(&f->tpm, extras[i], lh_buf_bytes(&selection), digest, &attest);
        fx_sign(&f->tpm, lh_buf_bytes(&attest), &f->e);
        assert_refused(f, "evidence-qualifying");
    }
}

static void n05_banks(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *reason;
    } cases[] = {
#define CASE(bytes, reason) {bytes, sizeof(bytes) - 1, reason}
        CASE("\0\0\0\1\0\x04\3\x91\0\0", "evidence-selection"),                 /* SHA-1 */
        CASE("\0\0\0\1\0\x0c\3\x91\0\0", "evidence-selection"),                 /* SHA-384 */
        CASE("\0\0\0\0", "evidence-selection"),                                 /* none */
        CASE("\0\0\0\1\0\x0b\3\0\0\0", "evidence-selection"),                   /* of no PCR */
        CASE("\0\0\0\1\0\x0b\3\x90\0\0", "evidence-selection"),                 /* one missing */
        CASE("\0\0\0\1\0\x0b\3\x91\1\0", "evidence-selection"),                 /* one more */
        CASE("\0\0\0\2\0\x0b\3\x91\0\0\0\x04\3\x91\0\0", "evidence-selection"), /* a bank more */
        CASE("\0\0\0\2\0\x0b\3\x91\0\0\0\x0b\3\x91\0\0", "evidence-selection"), /* twice */
        CASE("\0\0\0\2\0\x0b\3\x90\0\0\0\x0b\3\1\0\0", "evidence-selection"),   /* in two parts */
        CASE("\0\0\0\1\0\x0b\1\x91", "evidence-selection"),                     /* sizeofSelect 1, 2, 4 */
        CASE("\0\0\0\1\0\x0b\2\x91\0", "evidence-selection"),
        CASE("\0\0\0\1\0\x0b\4\x91\0\0\0", "evidence-selection"),
        CASE("\0\0\0\1\0\x0b\0", "evidence-format"),
        CASE("\0\0\0\1\0\x0b\5\x91\0\0\0\0", "evidence-format"),
        CASE("\0\0\0\x09\0\x0b\3\x91\0\0", "evidence-format"),
        CASE("\xff\xff\xff\xff\0\x0b\3\x91\0\0", "evidence-format"),
#undef CASE
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        quote_selection(f, LH_BYTES(cases[i].bytes, cases[i].len), MASK);
        expect(verify(f), cases[i].reason, (int)i);
    }
}

static void n06_signature_of_another_scheme_or_hash(void **state)
{
    fixture *f = *state;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{1, 0x14}, {1, 0x16}, {1, 0x1a}, {1, 0x05}, {3, 0x04}, {3, 0x0c}, {3, 0x10}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        uint8_t was = f->e.signature.data[cases[i].at];
        f->e.signature.data[cases[i].at] = cases[i].value;
        lh_err err = verify(f);
        /* What says RSA and holds two numbers does not even parse. */
        expect(err, i < 2 ? "evidence-format" : "evidence-scheme", (int)i);
        f->e.signature.data[cases[i].at] = was;
    }
}

static void n06_rsa_signature_under_an_ecc_key(void **state)
{
    fixture *f = *state;
    lh_buf_clear(&f->e.signature);
    lh_put_u16(&f->e.signature, LH_TPMS_ALG_RSASSA);
    lh_put_u16(&f->e.signature, LH_TPMS_ALG_SHA256);
    lh_put_u16(&f->e.signature, 256);
    uint8_t rsa[256] = {1};
    lh_put_raw(&f->e.signature, rsa, sizeof(rsa));
    assert_refused(f, "evidence-scheme");
}

/* The AK itself of a curve, scheme or hash that is not taken. */
static void n06_ak_of_another_curve_or_scheme(void **state)
{
    fixture *f = *state;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{17, 0x04}, {17, 0x05}, {17, 0x10}, {17, 0x20}, {15, 0x04}, {15, 0x0c}, {13, 0x1a},
        {13, 0x10}, {3, 0x04}, {3, 0x0d}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        uint8_t was = f->tpm.public_area.data[cases[i].at];
        f->tpm.public_area.data[cases[i].at] = cases[i].value;
        quote(f);
        lh_err err = verify(f);
        /* Without a scheme there is no hash, and what follows is out of step. */
        expect(err, "evidence-scheme", (int)i);
        f->tpm.public_area.data[cases[i].at] = was;
    }
}

static void n06_signature_by_another_key(void **state)
{
    fixture *f = *state;
    fx_tpm other;
    fx_tpm_new(f->c, 0x22, &other);
    fx_sign(&other, lh_buf_bytes(&f->e.attest), &f->e);
    assert_refused(f, "evidence-signature");
    fx_tpm_free(&other);
    /* Numbers that are longer than the curve's. */
    lh_buf_clear(&f->e.signature);
    lh_put_raw(&f->e.signature, "\0\x18\0\x0b\0\x30", 6);
    uint8_t big[48] = {1};
    lh_put_raw(&f->e.signature, big, 48);
    lh_put_raw(&f->e.signature, "\0\x30", 2);
    lh_put_raw(&f->e.signature, big, 48);
    assert_refused(f, "evidence-signature");
}

static void n09_another_ak_of_an_enrolled_host(void **state)
{
    fixture *f = *state;
    fx_tpm other;
    fx_tpm_new(f->c, 0x22, &other);
    f->want.ak_public = lh_buf_bytes(&other.public_area);
    assert_refused(f, "evidence-ak");
    fx_tpm_free(&other);
}

/* A valid quote of another genuine TPM, or of this one for another channel: passed on. */
static void n12_relay(void **state)
{
    fixture *f = *state;
    fx_tpm other;
    fx_tpm_new(f->c, 0x23, &other);
    other.mask = MASK;
    memcpy(other.pcrs, f->tpm.pcrs, sizeof(other.pcrs));
    fx_quote(&other, 1, &f->e);
    assert_refused(f, "evidence-ak");
    fx_tpm_free(&other);
    quote(f);
    f->want.leaf.channel[0] ^= 1;
    assert_refused(f, "evidence-channel");
    quote(f);
    f->want.leaf.ephemeral[0] ^= 1;
    assert_refused(f, "evidence-ephemeral");
    quote(f);
    f->want.leaf.facts[31] ^= 1;
    assert_refused(f, "evidence-facts");
    quote(f);
    f->e.leaf.channel[0] ^= 1; /* and the evidence says what is wanted */
    f->want.leaf.channel[0] ^= 1;
    assert_refused(f, "evidence-qualifying");
}

/* Values read before an extend, a quote made after it. */
static void n13_pcrs_read_and_quoted_at_different_times(void **state)
{
    fixture *f = *state;
    uint8_t before[32];
    memcpy(before, f->tpm.pcrs[7], 32);
    f->tpm.pcrs[7][0] ^= 1;
    quote(f);
    memcpy(f->e.pcrs[7], before, 32);
    assert_refused(f, "evidence-pcr-digest");
}

static void n13_drifted_since(void **state)
{
    fixture *f = *state;
    uint8_t approved[1][32];
    memcpy(approved[0], f->tpm.pcrs[7], 32);
    const lh_evidence_reference reference = {7, 1, (const uint8_t(*)[32])approved};
    f->want.references = &reference;
    f->want.n_references = 1;
    fx_must(verify(f));
    f->tpm.pcrs[7][0] ^= 1;
    quote(f);
    f->want.references = &reference;
    f->want.n_references = 1;
    assert_refused(f, "evidence-pcr");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(accepted),
        CASE(n01_selection_relabelled),
        CASE(n01_values_of_other_pcrs_sent),
        CASE(n02_ak_attributes),
        CASE(n02_ak_outside_the_endorsement_hierarchy),
        CASE(n03_wrong_magic),
        CASE(n03_another_attestation_as_a_quote),
        CASE(n04_nonce_constant_or_reused),
        CASE(n04_nonce_expired_or_of_the_future),
        CASE(n04_nonce_truncated_or_in_another_encoding),
        CASE(n05_banks),
        CASE(n06_signature_of_another_scheme_or_hash),
        CASE(n06_rsa_signature_under_an_ecc_key),
        CASE(n06_ak_of_another_curve_or_scheme),
        CASE(n06_signature_by_another_key),
        CASE(n09_another_ak_of_an_enrolled_host),
        CASE(n12_relay),
        CASE(n13_pcrs_read_and_quoted_at_different_times),
        CASE(n13_drifted_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
