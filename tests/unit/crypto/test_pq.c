/* ML-KEM, ML-DSA and SLH-DSA keys and signatures: with a libcrypto that has them; with others, that they are
 * not offered, and refused rather than made wrongly. */
#include "pair_fixture.h"

static const struct {
    unsigned long ck_type;
    const char *keygen;
    const char *sign; /* NULL: ML-KEM */
    unsigned sets;    /* CKP_ 1 to this */
} types[] = {{CKK_ML_KEM, "ml-kem-keygen", NULL, 3}, {CKK_ML_DSA, "ml-dsa-keygen", "ml-dsa", 3},
    {CKK_SLH_DSA, "slh-dsa-keygen", "slh-dsa", 12}};

static void try_signature(const lh_key *private, const lh_key *public, const char *name)
{
    LH_AUTO(lh_buf_free) lh_buf made = LH_BUF_INIT(65536);
    const lh_bytes params[] = {
        LH_BYTES_NONE, hex_of("000000000000000568656c6c6f"), hex_of("0000000200000000")};
    for (size_t i = 0; i < LH_ARRAY_LEN(params); i++) {
        tool t = {private, name, params[i]};
        assert_ok(use(t, LH_USE_SIGN, MESSAGE, LH_BYTES_NONE, &made));
        assert_true(made.len <= lh_mechanism_output_len(row(name), LH_USE_SIGN, 0, MESSAGE.len));
        verify_strictly((tool){public, name, params[i]}, MESSAGE, lh_buf_bytes(&made));
        lh_buf none = LH_BUF_INIT(16);
        if (i == 1) /* another context */
            assert_err(
                use((tool){public, name, params[0]}, LH_USE_VERIFY, MESSAGE, lh_buf_bytes(&made), &none),
                LH_E_SIGNATURE);
    }
    lh_op *op = NULL;
    assert_refused(lh_op_begin(crypto, private, row(name), LH_USE_SIGN, hex_of("0000000300000000"), &op),
        LH_E_INVALID, "mechanism-param");
}

static void keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        bool offered = lh_crypto_offers(crypto, row(types[i].keygen));
        for (unsigned set = 1; set <= types[i].sets; set++) {
            lh_key_part part = {CKA_PARAMETER_SET, ulong_of(set)};
            if (!offered) {
                lh_key *key = NULL;
                assert_false(lh_ok(lh_key_generate(
                    crypto, row(types[i].keygen), LH_BYTES_NONE, (lh_key_parts){&part, 1}, &key)));
                assert_null(key);
                continue;
            }
            LH_AUTO(lh_key_freep) lh_key *key = generate_parts(types[i].keygen, &part, 1, NULL);
            LH_AUTO(lh_key_freep) lh_key *private = NULL;
            LH_AUTO(lh_key_freep) lh_key *public = NULL;
            export_and_import(key, &private, &public);
            if (types[i].sign)
                try_signature(private, public, types[i].sign);
        }
        generate_parts(types[i].keygen, &(lh_key_part){CKA_PARAMETER_SET, ulong_of(types[i].sets + 1)}, 1,
            "parameter-set-not-supported");
        generate_parts(types[i].keygen, NULL, 0, "template-incomplete");
        import_refused(
            types[i].ck_type, CKO_PRIVATE_KEY, "template-incomplete", {CKA_PARAMETER_SET, ulong_of(1)});
    }
}

static void offers(void **state)
{
    (void)state;
    lh_mechanism at = *row("ecdsa");
    assert_true(lh_crypto_offers(crypto, &at));
    at.needs = "SHA2-256";
    assert_true(lh_crypto_offers(crypto, &at));
    at.needs = "AES-256-GCM";
    assert_true(lh_crypto_offers(crypto, &at));
    at.needs = "RSA";
    assert_true(lh_crypto_offers(crypto, &at));
    at.needs = "NO-SUCH-THING";
    assert_false(lh_crypto_offers(crypto, &at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys), cmocka_unit_test(offers)};
    return cmocka_run_group_tests(tests, crypto_setup, crypto_teardown);
}
