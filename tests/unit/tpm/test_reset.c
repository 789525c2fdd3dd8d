/* A TPM that is reset under an open connection, as by a transport that connects anew for each command. */
#include "../custody_fixture.h"

#include "codec/tpms.h"

static custody c;

static int setup(void **state)
{
    (void)state;
    custody_setup(&c);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    custody_teardown(&c);
    return 0;
}

/* A reset under an open connection, while the attestation key was put away for a lease's: it is made anew,
 * and so is the endorsement key. */
static void test_reset_unseen(void **state)
{
    (void)state;
    static const uint8_t nonce[32] = "nonce";
    LH_AUTO(lh_buf_free) lh_buf attest = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf signature = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf ek = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(1024);
    assert_lh_ok(lh_tpm_ek_public(c.tpm, LH_TPMS_ALG_ECC, &ek));
    custody_ec(&c, 60);
    assert_lh_ok(custody_sign(&c));
    swtpm_kill(&c.s);
    swtpm_run(&c.s);
    assert_lh_ok(lh_tpm_quote(c.tpm, CUSTODY_MASK, nonce, &attest, &signature));
    assert_lh_ok(lh_tpm_ek_public(c.tpm, LH_TPMS_ALG_ECC, &again));
    assert_true(lh_bytes_equal(lh_buf_bytes(&ek), lh_buf_bytes(&again)));
    assert_tpm_refused(custody_sign(&c), "custody-reset", TPM2_RC_POLICY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_reset_unseen, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
