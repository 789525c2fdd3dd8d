/* For tests of custody tpm: a vault's approver and a host's TPM, and a key that goes from one to the other.
 */
#ifndef LH_TESTS_CUSTODY_FIXTURE_H
#define LH_TESTS_CUSTODY_FIXTURE_H

#include "crypto/derive.h"
#include "custody/package.h"
#include "tpm/lease_key.h"
#include "tpm_fixture.h"

#include <leasehold/pkcs11-3.h>

#define CUSTODY_MASK 0x0004ffu /* PCR 0 to 7 and 10 */

typedef struct {
    swtpm s;
    lh_tpm *tpm;
    lh_crypto *crypto;
    lh_approver *approver;
    lh_buf ak, storage;
    uint8_t pcrs[LH_TPM_PCRS][32];
    lh_custody_terms terms;
    lh_custody_package package;
    lh_key *key;       /* what the vault wraps */
    lh_tpm_key *lease; /* what the TPM holds */
} custody;

static inline lh_secret *custody_secret(const char *text)
{
    lh_secret *secret = NULL;
    uint8_t bytes[32] = {0};
    memcpy(bytes, text, strlen(text));
    assert_lh_ok(lh_secret_copy(LH_BYTES(bytes, 32), &secret));
    return secret;
}

static inline lh_custody_time custody_time(custody *c)
{
    static const uint8_t nonce[32] = "time";
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_get_time(c->tpm, nonce, &attest, &signature));
    const lh_custody_statement statement = {
        lh_buf_bytes(&c->ak), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    lh_custody_time time = {0};
    assert_lh_ok(lh_custody_check_time(c->crypto, &statement, &time));
    return time;
}

/* The host's storage key and state are known anew. */
static inline void custody_look(custody *c)
{
    static const uint8_t nonce[32] = "storage";
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(1024);
    lh_buf_clear(&c->ak);
    lh_buf_clear(&c->storage);
    assert_lh_ok(lh_tpm_ak_public(c->tpm, &c->ak));
    assert_lh_ok(lh_tpm_storage_certify(c->tpm, nonce, &c->storage, &attest, &signature));
    const lh_custody_statement statement = {
        lh_buf_bytes(&c->ak), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    assert_lh_ok(lh_custody_check_storage(c->crypto, lh_buf_bytes(&c->storage), &statement));
    const lh_custody_time time = custody_time(c);
    assert_lh_ok(lh_tpm_pcr_read(c->tpm, CUSTODY_MASK, c->pcrs));
    c->terms.pcr_mask = CUSTODY_MASK;
    c->terms.pcrs = (const uint8_t(*)[32])c->pcrs;
    c->terms.reset_count = time.reset_count;
    c->terms.restart_count = time.restart_count;
}

static inline void custody_setup(custody *c)
{
    *c = (custody){.ak = LH_BUF_INIT(1024), .storage = LH_BUF_INIT(1024), .package = LH_CUSTODY_PACKAGE_INIT};
    swtpm_start(&c->s);
    c->tpm = swtpm_open(&c->s);
    assert_lh_ok(lh_crypto_new(&c->crypto));
    LH_AUTO(lh_secret_freep) lh_secret *root = custody_secret("root");
    assert_lh_ok(lh_approver_new(c->crypto, root, &c->approver));
    memset(c->terms.lease, 0x4c, sizeof(c->terms.lease));
    custody_look(c);
}

static inline void custody_teardown(custody *c)
{
    lh_lease_key_free(c->lease);
    lh_tpm_close(c->tpm);
    lh_key_free(c->key);
    lh_approver_free(c->approver);
    lh_crypto_free(c->crypto);
    lh_buf_free(&c->ak);
    lh_buf_free(&c->storage);
    lh_custody_package_deinit(&c->package);
    swtpm_stop(&c->s);
}

/* Wrap key (taken over) for the host. */
static inline void custody_pack(custody *c, lh_key *key)
{
    lh_key_free(c->key);
    c->key = key;
    const lh_custody_request request = {.approver = c->approver,
        .terms = &c->terms,
        .storage_public = lh_buf_bytes(&c->storage),
        .key = key,
        .signs = true,
        .decrypts = true};
    assert_lh_ok(lh_custody_pack(c->crypto, &request, &c->package));
}

static inline lh_lease_key_package custody_package_of(custody *c)
{
    lh_lease_key_package package = {.public_area = lh_buf_bytes(&c->package.public_area),
        .duplicate = lh_buf_bytes(&c->package.duplicate),
        .seed = lh_buf_bytes(&c->package.seed),
        .approver = lh_approver_public(c->approver),
        .pcr_mask = c->terms.pcr_mask,
        .reset_count = c->terms.reset_count,
        .restart_count = c->terms.restart_count,
        .pin_index = c->terms.pin_index};
    memcpy(package.lease, c->terms.lease, sizeof(package.lease));
    return package;
}

static inline void custody_import(custody *c)
{
    lh_lease_key_free(c->lease);
    c->lease = NULL;
    const lh_lease_key_package package = custody_package_of(c);
    assert_lh_ok(lh_lease_key_import(c->tpm, &package, &c->lease));
}

/* Approve until so many seconds of TPM Time from the second that runs now. */
static inline int32_t custody_approve(custody *c, int32_t seconds)
{
    const int32_t expiration = (int32_t)(custody_time(c).time_ms / 1000) + seconds;
    uint8_t signature[64];
    assert_lh_ok(lh_custody_approve(c->crypto, c->approver, c->terms.lease, expiration, signature));
    assert_lh_ok(lh_lease_key_approve(c->lease, expiration, signature));
    return expiration;
}

/* Wait until an approval has run out for sure: a TPM adds the milliseconds of the second that runs. */
static inline void custody_outlast(custody *c, int32_t expiration)
{
    while (custody_time(c).time_ms < ((uint64_t)expiration + 1) * 1000)
        swtpm_sleep_ms(20);
}

static inline lh_key *custody_key(custody *c, enum lh_key_kind kind)
{
    LH_AUTO(lh_secret_freep) lh_secret *parent = custody_secret("parent");
    lh_key *key = NULL;
    assert_lh_ok(lh_key_derive(c->crypto, parent, LH_BYTES_STR("test"), kind, &key));
    return key;
}

static inline lh_key *custody_rsa_key(custody *c)
{
    static const uint8_t bits[8] = {0, 0, 0, 0, 0, 0, 8, 0};
    const lh_key_part part = {CKA_MODULUS_BITS, LH_BYTES(bits, 8)};
    lh_key *key = NULL;
    assert_lh_ok(lh_key_generate(c->crypto, lh_mechanism_by_type(CKM_RSA_PKCS_KEY_PAIR_GEN), LH_BYTES_NONE,
        (lh_key_parts){&part, 1}, &key));
    return key;
}

/* An EC key on the TPM, approved for a while. */
static inline void custody_ec(custody *c, int32_t seconds)
{
    custody_pack(c, custody_key(c, LH_KEY_EC_P256));
    custody_import(c);
    custody_approve(c, seconds);
}

static const uint8_t custody_digest[64] = "to be signed: sixty-four bytes, which serve as every digest ..";

static inline lh_err custody_sign(custody *c)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(256);
    LH_TRY(lh_lease_key_ecdsa(c->lease, LH_BYTES(custody_digest, 32), &out));
    assert_int_equal(out.len, 64);
    return LH_SUCCESS;
}

/* Refused with that reason, and by the TPM: with that response code, whatever session or parameter it names.
 */
#define assert_tpm_refused(expr, want_reason, want_rc)                                                       \
    do {                                                                                                     \
        assert_lh_refused(expr, LH_E_DENIED, want_reason);                                                   \
        assert_int_equal(rc_base(lh_err_last()->foreign), rc_base(want_rc));                                 \
        assert_int_equal(lh_err_last()->foreign &TSS2_RC_LAYER_MASK, TSS2_TPM_RC_LAYER);                     \
    } while (0)

static inline int64_t rc_base(int64_t rc)
{
    rc &= 0xfff;
    return rc & TPM2_RC_FMT1 ? rc & 0x0bf : rc;
}

#endif
