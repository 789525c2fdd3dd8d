/* The vault's side of custody tpm: what a host says of its storage key and of its time, what is refused, and
 * that the policy computed here is the one that a TPM computes. */
#include "../custody_fixture.h"

#include "tpm/core.h"

#include <tss2/tss2_mu.h>

static custody c;
static const uint8_t nonce[32] = "a nonce of the vault's";
static lh_buf public_area, attest, signature;

static int setup(void **state)
{
    (void)state;
    custody_setup(&c);
    public_area = attest = signature = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_storage_certify(c.tpm, nonce, &public_area, &attest, &signature));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_buf_free(&public_area);
    lh_buf_free(&attest);
    lh_buf_free(&signature);
    custody_teardown(&c);
    return 0;
}

static lh_err check(void)
{
    const lh_custody_statement statement = {
        lh_buf_bytes(&c.ak), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    return lh_custody_check_storage(c.crypto, lh_buf_bytes(&public_area), &statement);
}

#define assert_refused(expr, reason) assert_lh_refused(expr, LH_E_ATTESTATION, reason)

static void test_storage(void **state)
{
    (void)state;
    assert_lh_ok(check());
    /* Another key's public area: the statement is not about it. */
    public_area.data[public_area.len - 1] ^= 1;
    assert_refused(check(), "storage-key-certify");
    public_area.data[public_area.len - 1] ^= 1;
    public_area.len--;
    assert_refused(check(), "storage-key-malformed");
    public_area.len++;
    attest.data[20] ^= 1;
    assert_refused(check(), "storage-key-signature");
    attest.data[20] ^= 1;
    signature.len--;
    assert_refused(check(), "storage-key-malformed");
    signature.len++;
    static const uint8_t other[32] = "another";
    const lh_custody_statement replayed = {
        lh_buf_bytes(&c.ak), other, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    assert_refused(
        lh_custody_check_storage(c.crypto, lh_buf_bytes(&public_area), &replayed), "storage-key-nonce");
}

/* A quote, and a statement of time, by the same key over the same nonce. */
static void test_other_statements(void **state)
{
    (void)state;
    lh_buf_clear(&attest);
    lh_buf_clear(&signature);
    assert_lh_ok(lh_tpm_quote(c.tpm, CUSTODY_MASK, nonce, &attest, &signature));
    assert_refused(check(), "storage-key-type");
    lh_custody_time time;
    lh_custody_statement s = {lh_buf_bytes(&c.ak), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    assert_refused(lh_custody_check_time(c.crypto, &s, &time), "time-type");
    lh_buf_clear(&attest);
    lh_buf_clear(&signature);
    assert_lh_ok(lh_tpm_get_time(c.tpm, nonce, &attest, &signature));
    assert_refused(check(), "storage-key-type");
    s = (lh_custody_statement){lh_buf_bytes(&c.ak), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    assert_lh_ok(lh_custody_check_time(c.crypto, &s, &time));
    static const uint8_t other[32] = "another";
    s.nonce = other;
    assert_refused(lh_custody_check_time(c.crypto, &s, &time), "time-nonce");
    s.nonce = nonce;
    attest.data[attest.len - 1] ^= 1;
    assert_refused(lh_custody_check_time(c.crypto, &s, &time), "time-signature");
    s.attest.len = 10;
    assert_refused(lh_custody_check_time(c.crypto, &s, &time), "time-malformed");
}

/* Certified by the attestation key, but not a storage key that this TPM made: TPM2_Certify takes any object.
 */
typedef struct {
    uint32_t attributes;
    uint16_t key_bits;
} other_key;

static lh_err job_certify_other(lh_core *core, void *arg)
{
    const other_key *o = arg;
    const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = o->attributes,
            .parameters.eccDetail = {.symmetric = {.algorithm = o->key_bits ? TPM2_ALG_AES : TPM2_ALG_NULL,
                                         .keyBits.aes = o->key_bits,
                                         .mode.aes = TPM2_ALG_CFB},
                .scheme.scheme = TPM2_ALG_NULL,
                .curveID = TPM2_ECC_NIST_P256,
                .kdf.scheme = TPM2_ALG_NULL}}};
    LH_AUTO(lh_handle_release) lh_handle key = LH_HANDLE_NONE;
    LH_AUTO(lh_esys_freep) TPM2B_PUBLIC *public = NULL;
    LH_TRY(lh_core_primary(core, ESYS_TR_RH_OWNER, &template, &key, &public));
    ESYS_TR ak;
    LH_TRY(lh_core_ak(core, &ak));
    TPM2B_DATA qualifying = {.size = 32};
    memcpy(qualifying.buffer, nonce, 32);
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL};
    LH_AUTO(lh_esys_freep) TPM2B_ATTEST *said = NULL;
    LH_AUTO(lh_esys_freep) TPMT_SIGNATURE *by = NULL;
    LH_TPM_TRY(core,
        Esys_Certify(core->esys, key.tr, ak, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &qualifying,
            &scheme, &said, &by),
        "TPM2_Certify");
    lh_buf_clear(&public_area);
    lh_buf_clear(&attest);
    lh_buf_clear(&signature);
    uint8_t bytes[1024];
    size_t len = 0;
    assert_int_equal(Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, bytes, sizeof(bytes), &len), 0);
    lh_buf_append(&public_area, bytes, len);
    len = 0;
    assert_int_equal(Tss2_MU_TPMT_SIGNATURE_Marshal(by, bytes, sizeof(bytes), &len), 0);
    lh_buf_append(&signature, bytes, len);
    lh_buf_append(&attest, said->attestationData, said->size);
    return LH_SUCCESS;
}

static void test_other_keys(void **state)
{
    (void)state;
    const uint32_t made_here =
        TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN;
    const uint32_t storage =
        TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA;
    other_key o = {made_here | storage, 128};
    assert_lh_ok(lh_tpm_run(c.tpm, job_certify_other, &o));
    assert_lh_ok(check());
    /* Not fixed to this TPM: it could be duplicated to software. */
    o.attributes = TPMA_OBJECT_SENSITIVEDATAORIGIN | storage;
    assert_lh_ok(lh_tpm_run(c.tpm, job_certify_other, &o));
    assert_refused(check(), "storage-key-attributes");
    /* Not a storage key: it would decrypt what it is given. */
    o = (other_key){made_here | TPMA_OBJECT_DECRYPT | TPMA_OBJECT_USERWITHAUTH, 0};
    assert_lh_ok(lh_tpm_run(c.tpm, job_certify_other, &o));
    assert_refused(check(), "storage-key-attributes");
    o = (other_key){made_here | storage, 256};
    assert_lh_ok(lh_tpm_run(c.tpm, job_certify_other, &o));
    assert_refused(check(), "storage-key-algorithm");
}

/* Another TPM's statement, though all of it is in order. */
static void test_other_ak(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf checkpoint = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_checkpoint_public(c.tpm, &checkpoint));
    const lh_custody_statement statement = {
        lh_buf_bytes(&checkpoint), nonce, lh_buf_bytes(&attest), lh_buf_bytes(&signature)};
    assert_refused(
        lh_custody_check_storage(c.crypto, lh_buf_bytes(&public_area), &statement), "storage-key-signature");
}

static void test_refused_requests(void **state)
{
    (void)state;
    uint8_t out[64];
    assert_int_equal(lh_custody_approve(c.crypto, c.approver, c.terms.lease, 0, out).code, LH_E_INVALID);
    assert_int_equal(lh_custody_approve(c.crypto, c.approver, c.terms.lease, -5, out).code, LH_E_INVALID);
    lh_custody_pin pin = {.index = 1, .limit = 1};
    assert_int_equal(lh_custody_approve_pin(c.crypto, c.approver, &pin, out).code, LH_E_INVALID);
    const uint32_t loose[] = {0, 1u << 16, 0xffu | 1u << 23, 1u << 24};
    for (size_t i = 0; i < LH_ARRAY_LEN(loose); i++) {
        c.terms.pcr_mask = loose[i];
        assert_lh_refused(
            lh_custody_policy(c.crypto, c.approver, &c.terms, out), LH_E_INVALID, "custody-pcrs");
    }
    c.terms.pcr_mask = CUSTODY_MASK;
    const enum lh_key_kind kinds[] = {LH_KEY_ED25519, LH_KEY_EC_P521};
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++) {
        LH_AUTO(lh_key_freep) lh_key *key = custody_key(&c, kinds[i]);
        const lh_custody_request request = {.approver = c.approver,
            .terms = &c.terms,
            .storage_public = lh_buf_bytes(&c.storage),
            .key = key,
            .signs = true};
        assert_lh_refused(lh_custody_pack(c.crypto, &request, &c.package), LH_E_UNSUPPORTED, "custody-key");
        assert_int_equal(c.package.public_area.len, 0);
    }
}

/* The secret goes out encrypted, and never twice in the same way. */
static void test_secrecy(void **state)
{
    (void)state;
    static const uint8_t value[32] = "thirty-two bytes that must hide.";
    const lh_key_part part = {CKA_VALUE, LH_BYTES(value, 32)};
    lh_key *key = NULL;
    assert_lh_ok(lh_key_import(c.crypto, CKK_AES, CKO_SECRET_KEY, (lh_key_parts){&part, 1}, &key));
    custody_pack(&c, key);
    assert_null(memmem(c.package.duplicate.data, c.package.duplicate.len, value, 8));
    LH_AUTO(lh_buf_free) lh_buf first = LH_BUF_INIT(1024);
    lh_buf_append(&first, c.package.duplicate.data, c.package.duplicate.len);
    const lh_custody_request request = {.approver = c.approver,
        .terms = &c.terms,
        .storage_public = lh_buf_bytes(&c.storage),
        .key = key,
        .signs = true};
    assert_lh_ok(lh_custody_pack(c.crypto, &request, &c.package));
    assert_false(lh_bytes_equal(lh_buf_bytes(&first), lh_buf_bytes(&c.package.duplicate)));
    custody_import(&c);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_storage), CASE(test_other_statements), CASE(test_other_keys),
        CASE(test_other_ak), CASE(test_refused_requests), CASE(test_secrecy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
