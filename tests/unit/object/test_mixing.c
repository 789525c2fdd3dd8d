/* Attacks by derivations that mix a hidden key with what is known, and by second lives of keys. */
#include "rules_support.h"

/* Refused, since the derived key would tell of its base. */
static void tells(const lh_attributes *base, const lh_mechanism *row, size_t natural, uint64_t len)
{
    const lh_rules_derivation from = {.base = base, .natural_len = natural};
    AUTO template = TEMPLATE(U(CKA_VALUE_LEN, len));
    AUTO out = NULL;
    refused(lh_rules_derive(&from, row, template, LH_RULES_USER, &out), "key-function-not-permitted");
}

/* A private key wrapped, and unwrapped as a generic secret, is partly known (the frame, the public key): 16
 * bytes of it, 15 of which are known, and so on, would be the key byte by byte. Neither is a key mixed that
 * could once leave: it may have a second life. */
static void test_derivation_of_what_was_unwrapped(void **state)
{
    (void)state;
    AUTO fit = guardian();
    AUTO as_secret = TEMPLATE(U(CKA_KEY_TYPE, CKK_GENERIC_SECRET), B(CKA_DERIVE, true));
    AUTO pkcs8 = NULL;
    ok(lh_rules_unwrap(fit, &AES_KW, as_secret, LH_RULES_USER, &pkcs8));
    give_value(pkcs8, 64);
    tells(pkcs8, &EXTRACT, 64, 16);
    tells(pkcs8, &XOR, 64, 16);
    AUTO master = aes(TEMPLATE(B(CKA_DERIVE, true), B(CKA_EXTRACTABLE, true), B(CKA_SENSITIVE, true)), 32);
    tells(master, &ECB_DATA, 16, 16);
    AUTO stay = TEMPLATE(B(CKA_EXTRACTABLE, false));
    AUTO late = NULL;
    ok(lh_rules_set(master, stay, LH_RULES_USER, &late));
    tells(late, &ECB_DATA, 16, 16);
    AUTO copy = NULL;
    ok(lh_rules_copy(master, stay, LH_RULES_USER, &copy));
    tells(copy, &ECB_DATA, 16, 16);
}

/* Known bytes beside a hidden key as one XTS key: its tweaks are encrypted by the hidden half alone, which is
 * what CKM_AES_ECB_ENCRYPT_DATA derives. */
static void test_derivation_to_two_keys_in_one(void **state)
{
    (void)state;
    AUTO base = aes(TEMPLATE(B(CKA_DERIVE, true)), 16);
    const uint64_t types[] = {CKK_AES_XTS, CKK_DES3, CKK_RC4};
    const lh_mechanism *const rows[] = {&DATA_AND_BASE, &EXTRACT, &XOR};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            AUTO template =
                TEMPLATE(U(CKA_KEY_TYPE, types[i]), U(CKA_VALUE_LEN, types[i] == CKK_DES3 ? 24 : 32));
            AUTO out = NULL;
            const lh_rules_derivation from = {.base = base, .natural_len = 32};
            refused(
                lh_rules_derive(&from, rows[j], template, LH_RULES_USER, &out), "key-function-not-permitted");
        }
}

/* A MAC of one block, or a known key wrapped, is encryption too. */
static void test_derivation_beside_other_roles(void **state)
{
    (void)state;
    const unsigned long roles[] = {CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_ENCRYPT, CKA_DECRYPT};
    AUTO derives = aes(TEMPLATE(B(CKA_DERIVE, true)), 32);
    for (size_t i = 0; i < 6; i++) {
        AUTO both = aes(TEMPLATE(B(CKA_DERIVE, true), B(roles[i], true)), 32);
        tells(both, &ECB_DATA, 16, 16);
        AUTO more = TEMPLATE(B(roles[i], true));
        AUTO out = NULL;
        assert_false(lh_ok(lh_rules_set(derives, more, LH_RULES_USER, &out)));
        assert_false(lh_ok(lh_rules_copy(derives, more, LH_RULES_USER, &out)));
    }
}

/* The SO's word is not for a key that can be read or taken away, and would make no guardian of it. */
static void test_trusted_but_loose(void **state)
{
    (void)state;
    const bool flags[][2] = {{true, true}, {false, false}, {false, true}};
    AUTO trusted = TEMPLATE(B(CKA_TRUSTED, true));
    for (size_t i = 0; i < 3; i++) {
        lh_attributes *template = TEMPLATE(B(CKA_WRAP, true), B(CKA_PRIVATE, false),
            B(CKA_SENSITIVE, flags[i][0]), B(CKA_EXTRACTABLE, flags[i][1]));
        confine(template);
        AUTO loose = aes(template, 32);
        AUTO vouched = NULL;
        refused(lh_rules_set(loose, trusted, LH_RULES_SO, &vouched), "attribute-value-invalid");
        ok(lh_attributes_set_bool(loose, CKA_TRUSTED, true)); /* as stores may have it */
        assert_false(lh_rules_is_guardian(loose));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_derivation_of_what_was_unwrapped),
        cmocka_unit_test(test_derivation_to_two_keys_in_one),
        cmocka_unit_test(test_derivation_beside_other_roles),
        cmocka_unit_test(test_trusted_but_loose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
